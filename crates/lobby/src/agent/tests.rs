//! How agents end, and what a test can only ask from inside: joins whose gossip the test holds, clones.

use lobby_core::port::gossip::{EventLog, JoinOutcome};
use tokio::sync::watch;

use super::*;
use crate::{captured, memory::Hub};

async fn alone() -> Lobby {
    Lobby::builder().name("alone".parse().unwrap()).start().await.unwrap()
}

async fn ends_with(lobby: &mut Lobby, want: &str) {
    let ended = tokio::time::timeout(Duration::from_secs(10), lobby.ended()).await.unwrap();
    assert!(matches!(ended, Err(AgentError::TaskEnded(name)) if name == want), "wanted {want}, got {ended:?}");
}

#[tokio::test]
async fn any_task_that_ends_or_panics_unasked_is_an_error() {
    let mut lobby = alone().await;
    lobby.exchanges.spawn("memory", async { panic!("as a defect would") });
    ends_with(&mut lobby, "memory").await;
    lobby.exchanges.spawn("gossip", async { Ok(()) });
    ends_with(&mut lobby, "gossip").await;
    lobby.sources.spawn_sure("hook", async {});
    ends_with(&mut lobby, "hook").await;
    lobby.stops.node.cancel();
    ends_with(&mut lobby, "node").await;
    lobby.leave().await;
}

#[tokio::test]
async fn the_pulse_beats_until_the_node_task_ends() {
    let mut lobby = alone().await;
    let (pulse, before) = (lobby.pulse(), lobby.reader().snapshot());
    assert!(pulse.beat().await);
    assert_eq!(lobby.reader().snapshot().revision, before.revision, "it changes nothing");
    lobby.stops.node.cancel();
    ends_with(&mut lobby, "node").await;
    assert!(!pulse.beat().await);
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_nobody_takes_ends_after_a_second() {
    let mut lobby = alone().await;
    lobby.exchanges.spawn("stuck", std::future::pending());
    let (clock, reader) = (lobby.clock(), lobby.reader());
    let asked = clock.moment();
    lobby.leave().await;
    let took = clock.moment().since(asked);
    assert!(took <= Duration::from_millis(1010), "{took:?}");
    assert!(reader.snapshot().local.record.has_left());
}

/// An agent whose gossip is this function.
async fn gossiping(join: impl Fn(Vec<String>) -> JoinOutcome + Send + 'static) -> Lobby {
    let mut lobby = alone().await;
    let (commands, mut asked) = mpsc::channel(4);
    lobby.gossip = GossipHandle::new(commands, watch::channel(EventLog::default()).1);
    tokio::spawn(async move {
        while let Some(command) = asked.recv().await {
            let GossipCommand::Join(addrs, answer) = command else { panic!("only joins are asked here") };
            let _ = answer.send(Ok(join(addrs)));
        }
    });
    lobby
}

#[tokio::test]
async fn a_join_counts_whom_it_reached_and_fails_only_if_it_reached_nobody() {
    let lobby = gossiping(|addrs| {
        let (good, bad): (Vec<_>, Vec<_>) = addrs.into_iter().partition(|addr| addr.ends_with(":1"));
        let failed = bad.into_iter().map(|addr| (addr, "refused".into())).collect();
        JoinOutcome { reached: good.iter().map(|addr| addr.parse().unwrap()).collect(), failed }
    });
    let lobby = lobby.await;
    assert_eq!(lobby.join(["127.0.0.1:1", "127.0.0.2:1", "127.0.0.1:2"]).await.unwrap(), 2);
    let err = lobby.join(["127.0.0.1:2", "nowhere"]).await.unwrap_err();
    assert_eq!(err.to_string(), "nobody was reached: 127.0.0.1:2: refused; nowhere: refused");
    assert!(lobby.reader().snapshot().hosts.len() == 1, "the agent stays up");
}

#[tokio::test]
async fn a_clone_draws_a_new_id_and_goes_without_a_word() {
    let log = captured::Log::start();
    let (hub, folder) = (Hub::new(), tempfile::tempdir().unwrap());
    let builder = |name: &str| Lobby::builder().name(name.parse().unwrap()).memory(hub.join());
    let watcher = builder("watcher").start().await.unwrap();
    let mut lobby = builder("a").store(Store::open(folder.path()).unwrap()).start().await.unwrap();
    let id = lobby.id();
    let mut reader = watcher.reader();
    while reader.changed().await.unwrap().node(id).is_none() {}
    lobby._events.send((ExchangeId(0), PeerEvent::Cloned)).await.unwrap();
    let ended = lobby.ended().await;
    let Err(AgentError::Cloned { old, new }) = ended else { panic!("{ended:?}") };
    assert!(old == id && new != id);
    assert!(matches!(lobby.ended().await, Err(AgentError::Cloned { new: again, .. }) if again == new), "drawn once");
    assert!(log.text().contains("another node lives under our id"), "{}", log.text());
    lobby.leave().await;
    let gone = loop {
        let snapshot = reader.changed().await.unwrap();
        match snapshot.node(id).map(|node| (node.state, node.record.has_left())) {
            Some((lobby_core::catalog::NodeState::Alive, _)) => {}
            other => break other,
        }
    };
    assert_eq!(gone, Some((lobby_core::catalog::NodeState::Failed, false)), "no goodbye in the name of the other one");
    assert_eq!(Store::open(folder.path()).unwrap().id, new);
}

/// The one who starts anew in the same process leaves no command of its former life behind.
#[tokio::test]
async fn a_clone_ends_its_commands_before_it_goes() {
    // Where a line was first logged without a listener, later ones on other threads may not hear it.
    let _log = captured::Log::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pid");
    let mut handler: crate::handler::Handler = "member-join=sh".parse().unwrap();
    let script = format!("echo $$ > {0}.new && mv {0}.new {0} && exec sleep 1000", path.display());
    handler.command.extend(["-c".into(), script]);
    let hub = Hub::new();
    let builder = Lobby::builder().name("a".parse().unwrap()).memory(hub.join()).handler(handler);
    let mut lobby = builder.start().await.unwrap();
    let started = || std::future::ready(std::fs::read_to_string(&path));
    let pid = lobby_testkit::eventually_async(Duration::from_secs(20), started).await.trim().to_owned();
    lobby._events.send((ExchangeId(0), PeerEvent::Cloned)).await.unwrap();
    assert!(matches!(lobby.ended().await, Err(AgentError::Cloned { .. })));
    lobby.leave().await;
    // From here on no task runs, as after a new start: who has not been killed by now lives on.
    let is_dead = || match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    };
    let mut n_looks = 0;
    while !is_dead() {
        n_looks += 1;
        assert!(n_looks < 100, "process {pid} lives on");
        std::process::Command::new("sleep").arg("0.02").status().unwrap();
    }
}

#[tokio::test]
async fn a_clone_whose_folder_cannot_be_written_says_so() {
    // Where a line was first logged without a listener, later ones on other threads may not hear it.
    let _log = captured::Log::start();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let builder = Lobby::builder().name("a".parse().unwrap()).memory(Hub::new().join());
    let mut lobby = builder.store(store).start().await.unwrap();
    folder.close().unwrap();
    lobby._events.send((ExchangeId(0), PeerEvent::Cloned)).await.unwrap();
    assert!(matches!(lobby.ended().await, Err(AgentError::ClonedForEver(_))));
}
