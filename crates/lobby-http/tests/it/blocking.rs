//! Waiting on Consul's read routes: what wakes a request, what does not, and what it costs.

use std::{sync::Arc, time::Duration};

use lobby_core::{catalog::Snapshot, check::Status, local::LocalRecord, record::meta};
use lobby_http::{Config, Limits};
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use crate::{
    catalog::{check, instance},
    fixture::{Answer, Fleet, Served, config},
};

/// Two nodes with a service each, and an unmoved one that carries the service `consul`.
fn fleet() -> Fleet {
    Fleet::cold(&[], false)
        .warmed()
        .written(9, "still", |local| local.set_meta(meta::ADDRESSES, "10.0.0.1"))
        .written(2, "one", |local| {
            local.set_meta(meta::ADDRESSES, "10.0.0.2");
            local.set_instance(&instance("a", "alpha", 1, &["x"])).unwrap();
            local.set_check(&check("of-a", Some("a"), Status::Passing)).unwrap();
        })
        .written(3, "two", |local| {
            local.set_meta(meta::ADDRESSES, "10.0.0.3");
            local.set_instance(&instance("b", "beta", 1, &[])).unwrap();
        })
}

/// An app that shows this snapshot.
fn showing(snapshot: &Arc<Snapshot>, config: Config) -> Served {
    let served = Fleet::cold(&[], false).warmed().serve(config);
    served.snapshots.send_replace(snapshot.clone());
    served
}

fn fail(local: &mut LocalRecord) {
    local.set_check(&check("of-a", Some("a"), Status::Critical)).unwrap();
}

fn index(answer: &Answer) -> u64 {
    answer.header("x-consul-index").parse().unwrap()
}

/// A number of `/metrics`.
async fn metric(served: &Served, name: &str) -> u64 {
    let answer = served.get("/metrics").await;
    let line = answer.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
    line.parse().unwrap()
}

/// The answer to a request that has seen everything so far, and whether it came with this change, not with the end of its time.
async fn woken(path: &str, before: Fleet, change: impl FnOnce(Fleet) -> Fleet) -> (Answer, bool) {
    let mut before = before;
    let old = before.snapshot();
    let served = showing(&old, config());
    let seen = index(&served.get(path).await);
    let new = change(before).snapshot();
    let change = async {
        sleep(Duration::from_secs(7)).await;
        served.snapshots.send_replace(new);
    };
    let start = Instant::now();
    let path = format!("{path}{}index={seen}&wait=1m", if path.contains('?') { '&' } else { '?' });
    let (answer, ()) = tokio::join!(served.get(&path), change);
    let took = start.elapsed();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(metric(&served, "lobby_watch_topics").await, 0, "a request that has ended waits for nothing");
    if took == Duration::from_secs(7) {
        assert!(index(&answer) > seen, "{path}");
        return (answer, true);
    }
    assert!(took >= Duration::from_secs(60) && took <= Duration::from_millis(63_750), "{path}: {took:?}");
    assert_eq!(index(&answer), seen, "{path}");
    (answer, false)
}

type Change = fn(Fleet) -> Fleet;

#[tokio::test(start_paused = true)]
async fn each_route_wakes_for_what_it_shows() {
    let status: Change = |fleet| fleet.written(2, "one", fail);
    let port: Change = |fleet| fleet.written(2, "one", |local| local.set_instance(&instance("a", "alpha", 2, &["x"])).unwrap());
    let tags: Change = |fleet| fleet.written(2, "one", |local| local.set_instance(&instance("a", "alpha", 1, &["y"])).unwrap());
    let gone: Change = |fleet| fleet.written(2, "one", |local| _ = local.remove_instance(&"a".parse().unwrap()));
    let failed: Change = |fleet| fleet.failed(2);
    let left: Change = |fleet| fleet.written(2, "one", LocalRecord::leave);
    let other: Change = |fleet| fleet.written(3, "two", |local| local.set_instance(&instance("b", "beta", 2, &["z"])).unwrap());
    let joined: Change = |fleet| fleet.written(5, "new", |local| local.set_meta(meta::ADDRESSES, "10.0.0.5"));
    let rows: &[(&str, &[Change], &[Change])] = &[
        ("health/service/alpha", &[status, port, tags, gone, failed, left], &[other, joined]),
        ("health/service/ALPHA?passing&tag=x", &[status], &[other]),
        ("health/checks/alpha", &[status, gone, left], &[other, joined]),
        ("catalog/service/alpha", &[port, tags, gone, left], &[other, joined]),
        ("health/service/consul", &[joined, left], &[status, other]),
        ("health/connect/alpha", &[status, other], &[]),
        ("health/ingress/alpha", &[status], &[other]),
        ("health/node/one", &[status, failed, left], &[other, joined]),
        ("health/node/ONE", &[status], &[other]),
        ("health/node/02020202-0202-0202-0202-020202020202", &[status, left], &[other, joined]),
        ("catalog/node/one", &[port, tags, gone, failed, left], &[other, joined]),
        ("catalog/node-services/one", &[port], &[other]),
        ("health/state/any", &[status, failed, left, joined], &[port]),
        ("catalog/nodes", &[failed, left, joined], &[status, port, tags, gone, other]),
        ("catalog/services", &[tags, gone, left, other], &[status, port, joined, failed]),
    ];
    for (path, waking, others) in rows {
        for (changes, want) in [(waking, true), (others, false)] {
            for (idx, change) in changes.iter().enumerate() {
                let (answer, came) = woken(&format!("/v1/{path}"), fleet(), change).await;
                assert_eq!(came, want, "{path}, change {idx}: {}", answer.text());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_comes_and_one_that_goes() {
    let come = |fleet: Fleet| fleet.written(3, "two", |local| local.set_instance(&instance("n", "New", 1, &[])).unwrap());
    let (answer, came) = woken("/v1/health/service/new", fleet(), come).await;
    assert!(came && answer.text().contains("\"New\""), "{}", answer.text());
    let (answer, came) = woken("/v1/catalog/node/nobody", fleet(), |fleet| fleet.node(5, "Nobody", &[])).await;
    assert!(came && answer.text().contains("\"Nobody\""), "{}", answer.text());
    let go = |fleet: Fleet| fleet.written(2, "one", LocalRecord::leave);
    let (answer, came) = woken("/v1/health/service/alpha", fleet(), go).await;
    assert!(came && answer.text() == "[]", "{}", answer.text());
}

#[tokio::test(start_paused = true)]
async fn an_index_beyond_ours_is_waited_for_and_one_below_is_not() {
    let snapshot = fleet().snapshot();
    let served = showing(&snapshot, config());
    let start = Instant::now();
    for query in ["", "?index=0", "?index=", "?wait=1m", "?index=1&wait=1m"] {
        served.get(&format!("/v1/health/service/alpha{query}")).await;
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    let beyond = served.get("/v1/health/service/alpha?index=9000000000000000&wait=10s").await;
    assert_eq!(index(&beyond), snapshot.revision.0);
    assert!((10_000..10_626).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn many_watchers_cost_one_body_and_an_irrelevant_change_wakes_none() {
    const WATCHERS: usize = 5000;
    let mut fleet = fleet();
    let old = fleet.snapshot();
    let served = Arc::new(showing(&old, config()));
    let seen = index(&served.get("/v1/health/service/alpha").await);
    let watch = |n: usize| {
        let served = served.clone();
        // Whoever asks differently only in what no body depends on gets the same one.
        let path = format!("/v1/health/service/alpha?passing&wait=5m&index={seen}&token={n}");
        tokio::spawn(async move { served.get(&path).await })
    };
    let watchers: Vec<_> = (0..WATCHERS).map(watch).collect();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(metric(&served, "lobby_http_waits").await, WATCHERS as u64);
    assert_eq!(metric(&served, "lobby_watch_topics").await, 1);
    let old = Arc::downgrade(&{ old });
    for port in 2..10 {
        fleet = fleet.written(3, "two", |local| local.set_instance(&instance("b", "beta", port, &[])).unwrap());
        served.snapshots.send_replace(fleet.snapshot());
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(metric(&served, "lobby_watch_wakes_total").await, 0);
    assert!(old.upgrade().is_none(), "who waits holds no snapshot");
    let bodies = metric(&served, "lobby_consul_bodies_total").await;
    served.snapshots.send_replace(fleet.written(2, "one", fail).snapshot());
    for watcher in watchers {
        let answer = watcher.await.unwrap();
        assert!(index(&answer) > seen && answer.text() == "[]", "{}", answer.text());
    }
    assert_eq!(metric(&served, "lobby_watch_wakes_total").await, WATCHERS as u64);
    assert_eq!(metric(&served, "lobby_watch_wakes_in_vain_total").await, 0);
    assert_eq!(metric(&served, "lobby_consul_bodies_total").await, bodies + 1);
    assert_eq!((metric(&served, "lobby_http_waits").await, metric(&served, "lobby_watch_topics").await), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_filter_chooses_from_what_was_waited_for() {
    for (filter, want) in [("Status%20matches%20%22^crit%22", 1), ("Status%20matches%20%22^pass%22", 0)] {
        let path = format!("/v1/health/checks/alpha?filter={filter}");
        let (answer, came) = woken(&path, fleet(), |fleet| fleet.written(2, "one", fail)).await;
        assert!(came);
        assert_eq!(answer.json().as_array().unwrap().len(), want, "{}", answer.text());
    }
    // What is none is refused before the wait.
    let served = showing(&fleet().snapshot(), config());
    let answer = served.get("/v1/health/checks/alpha?index=99999&filter=Status%20matches%20%22(%22").await;
    assert_eq!(answer.status.as_u16(), 400);
}

#[tokio::test(start_paused = true)]
async fn so_many_may_wait_and_who_goes_away_makes_room() {
    let limits = Limits { waits: 2, ..Limits::default() };
    let served = Arc::new(showing(&fleet().snapshot(), Config { limits, ..config() }));
    let path = "/v1/catalog/nodes?index=9000000000000000&wait=1m";
    let watch = || {
        let served = served.clone();
        tokio::spawn(async move { served.get(path).await.status.as_u16() })
    };
    let (first, second) = (watch(), watch());
    sleep(Duration::from_secs(1)).await;
    let refused = served.get(path).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "1"));
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!((metric(&served, "lobby_http_waits").await, metric(&served, "lobby_watch_topics").await), (1, 1));
    assert_eq!(served.get(path).await.status, 200);
    assert_eq!(second.await.unwrap(), 200);
}

/// What may happen to one of three nodes.
#[derive(Clone, Debug)]
enum Step {
    Offer(u8, u8, u16, bool),
    Withdraw(u8, u8),
    Judge(u8, u8, usize),
    Move(u8, u8),
    Drain(u8, bool),
    Fail(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let (node, slot) = (2_u8..5, 0_u8..3);
    prop_oneof![
        4 => (node.clone(), slot.clone(), 1_u16..3, any::<bool>()).prop_map(|(n, s, port, tag)| Step::Offer(n, s, port, tag)),
        2 => (node.clone(), slot.clone()).prop_map(|(n, s)| Step::Withdraw(n, s)),
        4 => (node.clone(), slot, 0_usize..3).prop_map(|(n, s, status)| Step::Judge(n, s, status)),
        1 => (node.clone(), 0_u8..3).prop_map(|(n, place)| Step::Move(n, place)),
        1 => (node.clone(), any::<bool>()).prop_map(|(n, drain)| Step::Drain(n, drain)),
        1 => node.prop_map(Step::Fail),
    ]
}

fn take(fleet: Fleet, step: &Step) -> Fleet {
    let write = |fleet: Fleet, node: u8, write: &dyn Fn(&mut LocalRecord)| fleet.written(node, &format!("n{node}"), write);
    match *step {
        // The first two slots are one service, the third another.
        Step::Offer(node, slot, port, tag) => write(fleet, node, &|local| {
            let service = if slot < 2 { "alpha" } else { "beta" };
            let tags: &[&str] = if tag { &["x"] } else { &[] };
            local.set_instance(&instance(&format!("i{slot}"), service, port, tags)).unwrap();
        }),
        Step::Withdraw(node, slot) => write(fleet, node, &|local| {
            local.remove_instance(&format!("i{slot}").parse().unwrap());
        }),
        // A check of the last slot is one of the node.
        Step::Judge(node, slot, status) => write(fleet, node, &|local| {
            let of = format!("i{slot}");
            let view = check(&format!("c{slot}"), (slot < 2).then_some(of.as_str()), Status::ALL[status]);
            local.set_check(&view).unwrap();
        }),
        Step::Move(node, place) => write(fleet, node, &|local| local.set_meta(meta::ADDRESSES, &format!("10.0.1.{place}"))),
        Step::Drain(node, drain) => write(fleet, node, &|local| local.set_meta(meta::DRAIN, if drain { "true" } else { "" })),
        Step::Fail(node) => fleet.failed(node),
    }
}

const PATHS: &[&str] = &[
    "/v1/health/service/alpha",
    "/v1/health/service/beta",
    "/v1/health/checks/alpha",
    "/v1/catalog/service/alpha",
    "/v1/health/node/n2",
    "/v1/catalog/node/n2",
    "/v1/health/state/any",
    "/v1/catalog/nodes",
    "/v1/catalog/services",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn an_index_never_falls_and_rises_with_every_change_of_the_body(steps in proptest::collection::vec(step(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut fleet = Fleet::cold(&[], false).warmed();
            fleet = fleet.written(9, "still", |local| local.set_meta(meta::ADDRESSES, "10.0.0.1"));
            let served = showing(&fleet.snapshot(), config());
            let mut last = vec![(0, String::new()); PATHS.len()];
            for step in &steps {
                fleet = take(fleet, step);
                if let Some(snapshot) = fleet.poll() {
                    served.snapshots.send_replace(snapshot);
                }
                for (path, last) in PATHS.iter().zip(&mut last) {
                    let answer = served.get(path).await;
                    let (index, body) = (index(&answer), answer.text().to_owned());
                    prop_assert!(index >= last.0, "{path} fell with {step:?}");
                    prop_assert!(body == last.1 || index > last.0, "{path} stood still with {step:?}:\n{}\n{body}", last.1);
                    *last = (index, body);
                }
            }
            Ok(())
        })?;
    }
}
