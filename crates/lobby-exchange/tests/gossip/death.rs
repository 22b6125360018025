//! A process that dies takes its streams with it: that, and a refused connection, is seen at once.

use lobby_core::port::gossip::{GossipCommand, GossipError};

use crate::agent::three;

#[tokio::test]
async fn an_agent_whose_process_dies_is_unattended_and_not_merely_silent() {
    let [mut first, mut second, third] = three(&[1]).await;
    let id = third.id;
    // Each has streams to its successors on the ring; the others of the three are they.
    for agent in [&mut first, &mut second] {
        let streams = |agent: &crate::agent::Agent| agent.alive.contains(&id);
        agent.until("the third", streams).await;
    }
    third.task.abort();
    for agent in [&mut first, &mut second] {
        agent.until("proof of death", |agent| agent.unattended.contains(&id)).await;
    }
}

#[tokio::test]
async fn a_live_node_is_not_made_to_leave() {
    let [first, second, _third] = three(&[1]).await;
    let view = first.handle.ask(GossipCommand::View).await.unwrap();
    assert_eq!(view.members.len(), 3);
    assert!(view.numbers.iter().any(|(name, _)| *name == "queries_unanswered"), "{:?}", view.numbers);
    let refused = first.handle.ask(|answer| GossipCommand::ForceLeave { id: second.id, prune: false, answer }).await;
    assert!(matches!(refused, Err(GossipError::Alive(_))), "{refused:?}");
}

#[tokio::test]
async fn who_asks_an_agent_that_has_stopped_is_told_so() {
    let [first, _second, _third] = three(&[1]).await;
    let handle = first.handle.clone();
    first.leave().await;
    assert_eq!(handle.ask(GossipCommand::View).await, Err(GossipError::Stopping));
}
