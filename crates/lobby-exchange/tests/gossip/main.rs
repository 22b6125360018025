//! Real members on loopback: they find each other, agree on records, say goodbye, and ignore strangers.

use std::net::{Ipv4Addr, SocketAddr};

use lobby_core::stats::{PacketKind, Verdict};
use lobby_exchange::{
    ExchangeError,
    clock::Clock,
    gossip::{Config, Gossip},
};
use tokio::{
    net::{TcpStream, UdpSocket},
    time::timeout,
};

mod agent;
mod captured;
mod death;
mod found;
mod verbs;

use agent::{Agent, SOON, config, counts, three};

#[tokio::test]
async fn three_members_find_each_other_and_hear_changes_and_goodbyes() {
    let [mut first, mut second, third] = three(&[1]).await;
    let id = third.id;
    let mut third = third;
    third.relabel(&["colour:green".to_owned()]);
    for agent in [&mut first, &mut second] {
        agent.until("the new label", |agent| agent.has_label(id, "colour:green")).await;
    }
    third.leave().await;
    for agent in [&mut first, &mut second] {
        agent.until("goodbye", |agent| agent.records[&id].has_left()).await;
    }
}

#[tokio::test]
async fn a_large_record_comes_by_stream() {
    let [mut first, mut second, mut third] = three(&[1]).await;
    let id = first.id;
    first.relabel(&(0..400).map(|n| format!("large:{n}:{}", "x".repeat(500))).collect::<Vec<_>>());
    for agent in [&mut second, &mut third] {
        agent
            .until("the large record", |agent| agent.records.get(&id).is_some_and(|record| record.labels().count() == 400))
            .await;
    }
}

#[tokio::test]
async fn a_member_that_stops_without_a_word_is_seen_to_fail() {
    let [mut first, second, third] = three(&[]).await;
    let id = second.id;
    second.task.abort();
    first.until("the verdict", |agent| !agent.alive.contains(&id)).await;
    assert!(first.alive.contains(&third.id));
}

#[tokio::test]
async fn a_directed_question_is_answered_at_once() {
    let [mut first, second, _third] = three(&[1]).await;
    let n_seen = first.n_seen;
    first.questions.send(second.id).await.unwrap();
    first.until("an answer", |agent| agent.n_seen > n_seen).await;
}

#[tokio::test]
async fn another_key_and_another_cluster_are_counted_and_ignored() {
    let first = Agent::start(1, config(Vec::new(), &[1])).await;
    let seed = vec![first.addr.to_string()];
    let stranger = Agent::start(2, config(seed.clone(), &[2])).await;
    let foreign = Agent::start(3, Config { cluster: "other".to_owned(), ..config(seed, &[1]) }).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let counted = |kind, verdict| first.stats.received_count(kind, verdict) > 0;
    let wait = async {
        // Garbage by datagram until all of it was counted: a version from the future, another cluster, no key.
        while !(counted(PacketKind::Stream, Verdict::WrongKey)
            && counted(PacketKind::Stream, Verdict::Foreign)
            && counted(PacketKind::Datagram, Verdict::Garbage)
            && counted(PacketKind::Datagram, Verdict::Foreign))
        {
            for datagram in [&[9; 40][..], &[1; 40]] {
                socket.send_to(datagram, first.addr).await.unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    let waited = timeout(SOON, wait).await;
    assert!(waited.is_ok(), "received {:?}", counts(&first.stats));
    for mut agent in [first, stranger, foreign] {
        while let Ok((_, event)) = agent.events.try_recv() {
            agent.note(event);
        }
        assert!(agent.alive.is_empty() && agent.records.is_empty(), "node {} met somebody", agent.id);
    }
}

#[tokio::test]
async fn streams_that_never_say_a_word_keep_nobody_out() {
    let first = Agent::start(1, config(Vec::new(), &[1])).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(first.addr).await.unwrap());
    }
    let mut second = Agent::start(2, config(vec![first.addr.to_string()], &[1])).await;
    let id = first.id;
    second.until("the first and its record", |agent| agent.warm && agent.records.contains_key(&id)).await;
    assert_eq!(first.stats.received_count(PacketKind::Stream, Verdict::Failed), 0, "only after the silent ones were given up");
    let wait = async {
        while first.stats.received_count(PacketKind::Stream, Verdict::Refused) == 0 {
            silent.push(TcpStream::connect(first.addr).await.unwrap());
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(SOON, wait).await.is_ok(), "{} streams and none is refused", silent.len());
}

#[tokio::test]
async fn a_taken_address_and_bad_keys_are_errors() {
    let taken = Gossip::bind(config(Vec::new(), &[]), Clock::start()).await.unwrap();
    let again = Config { bind: taken.local_addr(), ..config(Vec::new(), &[]) };
    assert!(matches!(Gossip::bind(again, Clock::start()).await, Err(ExchangeError::Bind { .. })));
    let twice = config(Vec::new(), &[1, 1]);
    assert!(matches!(Gossip::bind(twice, Clock::start()).await, Err(ExchangeError::Setting { .. })));
}

#[tokio::test]
async fn the_advertised_address_is_never_the_unspecified_one() {
    let anywhere = Config { bind: (Ipv4Addr::UNSPECIFIED, 0).into(), ..config(vec!["127.0.0.1".to_owned()], &[]) };
    let gossip = Gossip::bind(anywhere, Clock::start()).await.unwrap();
    assert_eq!(gossip.advertised(), SocketAddr::new(Ipv4Addr::LOCALHOST.into(), gossip.local_addr().port()));
}

#[tokio::test]
async fn an_address_at_which_nobody_is_cannot_be_advertised() {
    for ip in [Ipv4Addr::BROADCAST, Ipv4Addr::new(239, 1, 2, 3), Ipv4Addr::UNSPECIFIED] {
        let config = Config { advertise: Some((ip, 1314).into()), ..config(Vec::new(), &[]) };
        let err = Gossip::bind(config, Clock::start()).await.unwrap_err().to_string();
        assert!(err.starts_with(&format!("GOSSIP_ADVERTISE is not usable: {ip}:1314: ")), "{err}");
    }
    let config = Config { advertise: Some((Ipv4Addr::LOCALHOST, 0).into()), ..config(Vec::new(), &[]) };
    let gossip = Gossip::bind(config, Clock::start()).await.unwrap();
    assert_eq!(gossip.advertised().port(), gossip.local_addr().port());
}
