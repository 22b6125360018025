//! How members find each other: by names in DNS, at run time, by what was kept on disk, and by multicast.

use hickory_resolver::proto::rr::{RData, rdata::SRV};
use lobby_core::port::gossip::{GossipCommand, GossipError};
use lobby_exchange::{
    clock::Clock,
    gossip::{Config, Gossip},
};
use lobby_testkit::{TempDir, port};

use crate::agent::{Agent, config};

#[path = "../../src/gossip/seeds/name_server.rs"]
mod name_server;

use name_server::NameServer;

#[tokio::test]
async fn an_srv_name_is_a_seed_that_may_appear_and_move_at_any_time() {
    let server = NameServer::start().await;
    let seeds = vec!["_lobby._tcp.example.com".to_owned()];
    let gossip = Gossip::bind(config(seeds, &[1]), Clock::start()).await.unwrap();
    let mut second = Agent::run(2, gossip.with_name_servers(vec![server.addr]));
    let first = Agent::start(1, config(Vec::new(), &[1])).await;
    // The name is there only after it was looked up for the first time in vain.
    second.until("its socket", |agent| agent.up).await;
    let address = RData::from(first.addr.ip());
    let target = RData::SRV(SRV::new(0, 0, first.addr.port(), "first.example.com.".parse().unwrap()));
    server.tells(&[("_lobby._tcp.example.com.", target), ("first.example.com.", address)]);
    let id = first.id;
    second.until("the first", |agent| agent.warm && agent.alive.contains(&id)).await;
}

#[tokio::test]
async fn a_join_without_addresses_or_with_a_bad_name_tells_why() {
    let agent = Agent::start(1, config(Vec::new(), &[1])).await;
    let join = async |seeds: &[&str]| {
        let seeds = seeds.iter().map(|seed| (*seed).to_owned()).collect();
        agent.handle.ask(|answer| GossipCommand::Join(seeds, answer)).await
    };
    assert!(matches!(join(&[]).await, Err(GossipError::Invalid { field: "addresses", .. })));
    let outcome = join(&["no such host"]).await.unwrap();
    assert!(outcome.reached.is_empty());
    assert_eq!(outcome.failed.iter().map(|(seed, _)| seed.as_str()).collect::<Vec<_>>(), ["no such host"]);
}

#[tokio::test]
async fn a_join_reaches_who_is_there_and_tells_who_is_not() {
    let (mut first, mut second) =
        (Agent::start(1, config(Vec::new(), &[1])).await, Agent::start(2, config(Vec::new(), &[1])).await);
    let stranger = Agent::start(3, config(Vec::new(), &[2])).await;
    let nobody = port::free_address().to_string();
    let seeds = vec![second.addr.to_string(), nobody.clone(), stranger.addr.to_string()];
    let outcome = first.handle.ask(|answer| GossipCommand::Join(seeds, answer)).await.unwrap();
    assert_eq!(outcome.reached, [second.addr]);
    let mut failed: Vec<_> = outcome.failed.into_iter().map(|(seed, _)| seed).collect();
    failed.sort();
    let mut expected = [nobody, stranger.addr.to_string()];
    expected.sort();
    assert_eq!(failed, expected);
    let ids = [first.id, second.id];
    first.until("the second", |agent| agent.alive.contains(&ids[1])).await;
    second.until("the first", |agent| agent.alive.contains(&ids[0])).await;
}

#[tokio::test]
async fn a_node_finds_its_cluster_although_its_seed_is_gone() {
    let folder = TempDir::new().unwrap();
    let kept = |join: Vec<String>| Config { folder: Some(folder.path().to_owned()), ..config(join, &[1]) };
    let seed = Agent::start(1, config(Vec::new(), &[1])).await;
    let join = vec![seed.addr.to_string()];
    let mut second = Agent::start(2, config(join.clone(), &[1])).await;
    let mut third = Agent::start(3, kept(join.clone())).await;
    let (second_id, third_id) = (second.id, third.id);
    third.until("the second", |agent| agent.warm && agent.alive.contains(&second_id)).await;
    third.stop().await;
    let peers = std::fs::read_to_string(folder.path().join("peers")).unwrap();
    assert!(peers.lines().any(|line| line == second.addr.to_string()), "{peers}");
    seed.leave().await;
    // The seed is gone for good; who else was there is known from disk.
    let mut third = Agent::start(3, kept(join)).await;
    third.until("the second", |agent| agent.warm && agent.alive.contains(&second_id)).await;
    second.until("the third", |agent| agent.alive.contains(&third_id)).await;
}

#[tokio::test]
async fn members_on_one_network_find_each_other_without_any_seed() {
    let group = ([239, 255, 13, 14], port::free_address().port()).into();
    let lit = |key| Config { beacon: Some(group), ..config(Vec::new(), &[key]) };
    let (mut first, mut second) = (Agent::start(1, lit(1)).await, Agent::start(2, lit(1)).await);
    let stranger = Agent::start(3, lit(2)).await;
    let ids = [first.id, second.id];
    first.until("the second", |agent| agent.records.contains_key(&ids[1]) && agent.alive.contains(&ids[1])).await;
    second.until("the first", |agent| agent.records.contains_key(&ids[0]) && agent.alive.contains(&ids[0])).await;
    assert!(stranger.records.is_empty() && !first.alive.contains(&stranger.id));
}
