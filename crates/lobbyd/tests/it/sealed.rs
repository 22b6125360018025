//! EXCHANGE_KEY of whole agents: rotated by reloads, strangers left out, recordings worth nothing, and no secret shown.

use std::{path::Path, process::Command};

use lobby_testkit::{
    TempDir,
    daemon::{Builder, Daemon},
    eventually, expect,
    process::Signal,
    server::{nats, redis},
};

use crate::fleet::{SOON, all_list, daemon, is_warm, lists, lobbyctl, metric, revision, shows_label};

fn key() -> String {
    let output = Command::new(lobbyctl()).arg("keygen").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn agent(name: &str, url: &str, key: impl ToString) -> Builder {
    daemon(name).env("NATS_URL", url).env("KEEP_ALIVE", 1).env("EXCHANGE_KEY", key.to_string())
}

fn received(agent: &Daemon, verdict: &str) -> f64 {
    metric(agent, &format!("lobby_packets_received_total{{exchange=\"nats\",kind=\"hi\",verdict=\"{verdict}\"}}"))
}

fn reload(agent: &mut Daemon) {
    let text = "labels were read again";
    let before = agent.process.log().matches(text).count();
    agent.process.signal(Signal::HUP);
    eventually(SOON, || expect(agent.process.log().matches(text).count() > before, agent.process.log()));
}

#[test]
fn a_rotation_by_reloads_loses_nobody_and_strangers_are_counted() {
    let server = nats::start("");
    let url = nats::url(&server);
    let (old, new) = (key(), key());
    let folder = TempDir::new().unwrap();
    let files = ["n0", "n1", "n2"].map(|name| folder.path().join(name));
    let write = |file: &Path, keys: &[&str]| std::fs::write(file, format!("# exchange\n{}\n", keys.join("\n"))).unwrap();
    files.iter().for_each(|file| write(file, &[&old]));
    let names = ["n0", "n1", "n2"];
    let mut fleet = names.map(|name| agent(name, &url, folder.path().join(name).display()).start());
    all_list(&fleet, &names);
    fleet.iter().for_each(is_warm);
    let before = fleet.each_ref().map(revision);

    for step in [&[&*old, &*new][..], &[&*new, &*old], &[&*new]] {
        for (agent, file) in fleet.iter_mut().zip(&files) {
            write(file, step);
            reload(agent);
        }
    }
    // A list that is bad or gone changes nothing.
    std::fs::write(&files[0], "c2hvcnQ=").unwrap();
    fleet[0].process.signal(Signal::HUP);
    eventually(SOON, || expect(fleet[0].process.log().contains("cannot reload"), fleet[0].process.log()));
    assert_eq!(fleet.each_ref().map(revision), before, "nobody was lost for a moment");
    fleet[1].request("POST", "/v1/labels", &[], "after:rotation");
    fleet.iter().for_each(|agent| shows_label(agent, "n1", "after:rotation"));
    for agent in &fleet {
        assert_eq!((received(agent, "wrong_key"), received(agent, "no_key")), (0.0, 0.0));
        for secret in [&old, &new] {
            assert!(!agent.process.log().contains(&**secret));
        }
    }

    let outdated = agent("outdated", &url, &old).start();
    let mut keyless = daemon("n1").env("NATS_URL", &url).env("KEEP_ALIVE", 1).env("LABELS", "forged:1").start();
    eventually(SOON, || {
        let seen = (received(&fleet[0], "wrong_key"), received(&fleet[0], "no_key"));
        expect(seen.0 > 0.0 && seen.1 > 0.0, seen)
    });
    keyless.stop(SOON);
    all_list(&fleet, &names);
    assert!(!fleet[0].get("/").text().contains("forged"));
    lists(&outdated, &["outdated"]);
}

/// While a fleet gets its first key: those with it and those without see each other, as long as that is wanted.
#[test]
fn a_fleet_gets_its_first_key_without_losing_anybody() {
    let server = nats::start("");
    let (url, key) = (nats::url(&server), key());
    let a = daemon("a").env("NATS_URL", &url).env("KEEP_ALIVE", 1).start();
    let b = agent("b", &url, &key).env("EXCHANGE_UNSIGNED", true).start();
    all_list([&a, &b], &["a", "b"]);
    assert!(b.process.log().contains("EXCHANGE_UNSIGNED is set"));
    let c = agent("c", &url, &key).start();
    lists(&a, &["a", "b", "c"]);
    lists(&b, &["a", "b", "c"]);
    lists(&c, &["b", "c"]);
}

const SECRET: &str = "s3cr3t-of-the-broker";

#[test]
fn no_secret_is_shown_anywhere() {
    let (nats, redis) = (
        nats::start(&format!("authorization {{ user: agent, password: \"{SECRET}\" }}")),
        redis::start(&["--requirepass", SECRET]),
    );
    let key = key();
    let builder = || {
        daemon("a")
            .env("DRIVER", "nats,redis")
            .env("NATS_URL", format!("nats://agent:{SECRET}@{}", nats.address))
            .env("NATS_PASSWORD", SECRET)
            .env("REDIS_PORT", redis.address.port())
            .env("REDIS_PASSWORD", SECRET)
            .env("EXCHANGE_KEY", &key)
            .env("TOKEN", "token-of-the-api")
            .env("LOG", "trace")
    };
    let secrets = [SECRET, &key, "token-of-the-api"];
    let hides = |text: &str, what: &str| {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} in {what}: {text}");
        }
    };
    let mut agent = builder().start();
    let token = [("Authorization", "Bearer token-of-the-api")];
    eventually(SOON, || {
        let health = agent.get("/v1/health").json();
        expect(health["warm"] == true, health)
    });
    for path in ["/metrics", "/v1/health", "/v1/nodes", "/v1/agent/self", "/"] {
        hides(&agent.request("GET", path, &token, "").text(), path);
    }
    agent.process.signal(Signal::HUP);
    eventually(SOON, || expect(agent.process.log().contains("labels were read again"), agent.process.log()));
    let command_line = std::fs::read_to_string(format!("/proc/{}/cmdline", agent.process.pid())).unwrap();
    hides(&command_line, "argv");
    hides(&agent.process.log(), "the log");
    let folder = TempDir::new().unwrap();
    let printed = builder().arg("--print-config").command(folder.path()).output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains("<hidden>"));
    hides(&printed, "--print-config");
    // Refused, and wrong on the broker.
    let (code, log) = builder().env("EXCHANGE_KEY", format!("{key},{SECRET}")).run(SOON);
    assert_eq!(code, Some(64));
    hides(&log, "a refusal");
    let wrong = builder().env("REDIS_PASSWORD", format!("{SECRET}-not")).env("NATS_PASSWORD", format!("{SECRET}-not")).start();
    eventually(SOON, || {
        let log = wrong.process.log();
        expect(log.contains("redis: no connection") && log.contains("nats: "), log)
    });
    hides(&wrong.process.log(), "the log of one that is refused");
}
