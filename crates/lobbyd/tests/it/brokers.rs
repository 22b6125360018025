//! Agents over a NATS server and over Redis: lost brokers, clusters, TLS, passwords.

use std::time::Duration;

use lobby_testkit::{
    daemon::{Builder, Daemon},
    eventually, expect,
    server::{nats, redis},
    tls::Ca,
};

use crate::fleet::{SOON, all_list, daemon, is_warm, lists, node, revision, shows_label, throughout};

/// Longer than TTL, so that whoever expires by mistake is missed.
const OUTAGE: Duration = Duration::from_secs(40);

fn over_nats(name: &str, url: &str) -> Builder {
    daemon(name).env("NATS_URL", url).env("LABELS", format!("name:{name}"))
}

fn over_redis(name: &str, port: u16) -> Builder {
    daemon(name).env("DRIVER", "redis").env("REDIS_PORT", port).env("LABELS", format!("name:{name}"))
}

fn five(start: impl Fn(&str) -> Daemon) -> Vec<Daemon> {
    let fleet: Vec<_> = (0..5).map(|idx| start(&format!("n{idx}"))).collect();
    all_list(&fleet, &["n0", "n1", "n2", "n3", "n4"]);
    fleet.iter().for_each(is_warm);
    fleet
}

/// The broker is away for longer than TTL: nothing is lost, nothing flaps, and changes travel again afterwards.
fn survives_an_outage(fleet: &[Daemon], kill: impl FnOnce(), restart: impl FnOnce()) {
    let before: Vec<_> = fleet.iter().map(revision).collect();
    kill();
    for daemon in fleet {
        eventually(SOON, || {
            let health = daemon.get("/v1/health").json();
            expect(health["exchanges"][0]["state"] == "down", health)
        });
    }
    throughout(OUTAGE, || assert_eq!(fleet[0].hosts().len(), 5));
    let age: u64 = fleet[0].get("/").header("x-lobby-age").unwrap().parse().unwrap();
    assert!(age >= OUTAGE.as_secs() - 5, "the answer says how old it is: {age}");
    restart();
    for daemon in fleet {
        eventually(SOON, || {
            let health = daemon.get("/v1/health").json();
            expect(health["exchanges"][0]["state"] == "up", health)
        });
    }
    fleet[1].request("POST", "/v1/labels", &[], "after:1");
    fleet.iter().for_each(|daemon| shows_label(daemon, "n1", "after:1"));
    for (daemon, before) in fleet.iter().zip(before) {
        assert_eq!(daemon.hosts().len(), 5);
        let changes = revision(daemon) - before;
        assert!(changes <= 2, "only the new label is a change, not {changes}");
    }
}

#[test]
fn five_agents_outlive_a_dead_nats_server() {
    let mut server = Some(nats::start(""));
    let url = nats::url(server.as_ref().unwrap());
    let fleet = five(|name| over_nats(name, &url).start());
    let server = std::cell::RefCell::new(server.take().unwrap());
    survives_an_outage(&fleet, || server.borrow_mut().kill(), || server.borrow_mut().restart());
}

#[test]
fn five_agents_outlive_a_dead_redis_server() {
    let server = std::cell::RefCell::new(redis::start(&[]));
    let port = server.borrow().address.port();
    let fleet = five(|name| over_redis(name, port).start());
    survives_an_outage(&fleet, || server.borrow_mut().kill(), || server.borrow_mut().restart());
}

#[test]
fn a_newcomer_over_nats_is_warm_within_a_second_and_a_leaver_gone_at_once() {
    let server = nats::start("");
    let url = nats::url(&server);
    let first = over_nats("first", &url).env("KEEP_ALIVE", 2).start();
    is_warm(&first);
    // Its keep-alive would take a minute: only an answered question can tell it of the first one in time.
    let mut second = over_nats("second", &url).env("KEEP_ALIVE", 60).start();
    eventually(Duration::from_secs(3), || {
        let answer = second.get("/");
        let warm = answer.header("x-lobby-warm") == Some("true");
        expect(warm && second.hosts() == ["first", "second"], answer.text())
    });
    lists(&first, &["first", "second"]);
    second.stop(Duration::from_secs(2));
    eventually(Duration::from_secs(2), || expect(first.hosts() == ["first"], first.hosts()));
}

#[test]
fn a_killed_agent_over_a_broker_expires_after_ttl() {
    let server = nats::start("");
    let url = nats::url(&server);
    let start = |name: &str| over_nats(name, &url).env("KEEP_ALIVE", 1).env("TTL", 4).start();
    let (first, mut second) = (start("first"), start("second"));
    all_list([&first, &second], &["first", "second"]);
    second.kill();
    throughout(Duration::from_secs(2), || assert_eq!(first.hosts().len(), 2));
    lists(&first, &["first"]);
    assert_eq!(node(&first, "second")["state"], "failed");
}

#[test]
fn the_connected_server_of_a_nats_cluster_dies_without_a_change() {
    let mut cluster = nats::cluster(3);
    let urls: Vec<_> = cluster.iter().map(nats::url).collect();
    let start = |name: &str, first: usize| {
        let order: Vec<_> = (0..3).map(|idx| urls[(first + idx) % 3].clone()).collect();
        over_nats(name, &order.join(",")).start()
    };
    let fleet = [start("n0", 0), start("n1", 0), start("n2", 1), start("n3", 2)];
    all_list(&fleet, &["n0", "n1", "n2", "n3"]);
    fleet.iter().for_each(is_warm);
    let before: Vec<_> = fleet.iter().map(revision).collect();
    cluster[0].kill();
    throughout(Duration::from_secs(8), || assert_eq!(fleet[0].hosts().len(), 4));
    for daemon in &fleet {
        eventually(SOON, || {
            let health = daemon.get("/v1/health").json();
            expect(health["exchanges"][0]["state"] == "up", health)
        });
    }
    assert_eq!(fleet.iter().map(revision).collect::<Vec<_>>(), before);
    fleet[0].request("POST", "/v1/labels", &[], "after:1");
    fleet.iter().for_each(|daemon| shows_label(daemon, "n0", "after:1"));
}

#[test]
fn nats_with_tls_users_and_tokens() {
    let ca = Ca::new();
    let server = nats::start_tls(&ca, "authorization { user: lobby, password: pa55 }");
    let url = format!("tls://localhost:{}", server.address.port());
    let start = |name: &str| over_nats(name, &url).env("NATS_CA", ca.root.display());
    let fleet = [
        start("n0").env("NATS_USER", "lobby").env("NATS_PASSWORD", "pa55").start(),
        start("n1").env("NATS_URL", format!("tls://lobby:pa55@localhost:{}", server.address.port())).start(),
    ];
    all_list(&fleet, &["n0", "n1"]);
    // Without a CA of its own the system's roots count, which on this system are these.
    let by_the_system = over_nats("n3", &url).env("SSL_CERT_FILE", ca.root.display());
    let by_the_system = by_the_system.env("NATS_USER", "lobby").env("NATS_PASSWORD", "pa55").start();
    lists(&by_the_system, &["n0", "n1", "n3"]);
    drop(by_the_system);
    let refused = start("n2").env("NATS_USER", "lobby").env("NATS_PASSWORD", "wrong").start();
    eventually(SOON, || expect(server.log().contains("authentication error"), server.log()));
    assert_eq!(refused.hosts(), ["n2"], "the own record is listed, broker or not");
    assert_eq!(refused.get("/v1/health").json()["warm"], false);

    let server = nats::start("authorization { token: t0ken }");
    let url = format!("nats://t0ken@{}", server.address);
    let fleet = [over_nats("a", &url).start(), over_nats("b", &nats::url(&server)).env("NATS_TOKEN", "t0ken").start()];
    all_list(&fleet, &["a", "b"]);
}

#[test]
fn redis_with_a_password_another_database_and_tls() {
    let server = redis::start(&["--requirepass", "pa55"]);
    let start = |name: &str| over_redis(name, server.address.port()).env("REDIS_PASSWORD", "pa55").env("REDIS_DB", 3).start();
    let fleet = [start("a"), start("b")];
    all_list(&fleet, &["a", "b"]);

    let ca = Ca::new();
    let server = redis::start_tls(&ca, &[]);
    let start = |name: &str| {
        let builder = over_redis(name, server.address.port()).env("REDIS_HOST", "localhost").env("REDIS_TLS", "true");
        builder.env("REDIS_CA", ca.root.display()).start()
    };
    let fleet = [start("a"), start("b")];
    all_list(&fleet, &["a", "b"]);
}

#[test]
fn without_any_broker_the_agent_serves_and_stops_cleanly() {
    let mut agent = over_nats("lonely", "nats://127.0.0.1:1").start();
    assert_eq!(agent.hosts(), ["lonely"]);
    assert_eq!(agent.get("/v1/prometheus/x").status, 503);
    agent.stop(Duration::from_secs(2));
}
