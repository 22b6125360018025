//! Services of three agents over gossip: a registration is the same on all, and what ends in which way is gone when.

use std::time::Duration;

use lobby_testkit::{daemon::Daemon, eventually, expect, process::Signal};
use serde_json::{Value, json};

use crate::{
    catalog::{Watch, all_pass, deregister, ids, now, passing, put, register, without_indexes},
    clients::Backend,
    fleet::{SOON, all_list, ctl, daemon, gossiping, is_warm, node},
};

/// How much later than its TTL a check may turn on two busy cores; the benchmark measures how late it really is.
const LATE: Duration = Duration::from_secs(1);

fn three() -> Vec<Daemon> {
    let fleet = gossiping(3);
    all_list(&fleet, &["n0", "n1", "n2"]);
    fleet.iter().for_each(is_warm);
    fleet
}

/// Waits until each of them answers the same to `path`, but for indexes; that.
#[track_caller]
fn same_on_all(fleet: &[Daemon], path: &str) -> Value {
    eventually(SOON, || {
        let mut answers: Vec<_> = fleet.iter().map(|daemon| without_indexes(daemon.get(path).json())).collect();
        let are_same = answers.windows(2).all(|two| two[0] == two[1]);
        expect(are_same, answers.clone()).map(|()| answers.swap_remove(0))
    })
}

#[test]
fn a_registration_on_one_is_the_same_on_all_until_it_is_deregistered() {
    let fleet = three();
    let mut web =
        json!({"Name": "web", "ID": "web-1", "Address": "10.9.0.7", "Port": 8080, "Tags": ["a"], "Meta": {"zone": "z1"}});
    register(&fleet[1], &web);
    assert_eq!(passing(&fleet[1], "web"), ["web-1"], "acknowledged means readable");
    all_pass(&fleet, "web", &["web-1"]);
    let entries = same_on_all(&fleet, "/v1/health/service/web");
    let entry = &entries[0];
    assert_eq!((&entry["Node"]["Node"], &entry["Service"]["Meta"]), (&json!("n1"), &json!({"zone": "z1"})), "{entry}");
    assert_eq!((&entry["Service"]["Address"], &entry["Service"]["Port"]), (&json!("10.9.0.7"), &json!(8080)), "{entry}");
    let checks = entry["Checks"].as_array().unwrap();
    assert_eq!(checks.iter().map(|check| check["CheckID"].as_str().unwrap()).collect::<Vec<_>>(), ["serfHealth"]);

    register(&fleet[0], &json!({"Name": "web", "ID": "web-0", "Tags": ["b"], "Check": {"TTL": "1h", "Status": "passing"}}));
    all_pass(&fleet, "web", &["web-0", "web-1"]);
    same_on_all(&fleet, "/v1/health/service/web");
    assert_eq!(same_on_all(&fleet, "/v1/catalog/services"), json!({"consul": [], "web": ["a", "b"]}));
    same_on_all(&fleet, "/v1/catalog/service/web");

    let watch = Watch::start(fleet[2].http, "web");
    web["Tags"] = json!(["c"]);
    register(&fleet[1], &web);
    watch.until(|entries| entries[1]["Service"]["Tags"] == json!(["c"]));
    put(&fleet[0], "/v1/agent/check/fail/service:web-0", "");
    watch.until(|entries| ids(entries) == ["web-1"]);
    deregister(&fleet[1], "web-1");
    watch.until(|entries| ids(entries).is_empty());
    deregister(&fleet[0], "web-0");
    for daemon in &fleet {
        eventually(SOON, || {
            let services = daemon.get("/v1/catalog/services").json();
            expect(services == json!({"consul": []}), services)
        });
    }
    assert_eq!(same_on_all(&fleet, "/v1/health/service/web"), json!([]));
}

#[test]
fn kill_9_of_a_program_that_its_registration_is_bound_to_deregisters_it_everywhere() {
    let fleet = three();
    let (mut bound, other) = (Backend::start("bound"), Backend::start("other"));
    for program in [&bound, &other] {
        let check = json!({"PID": program.process.pid()});
        register(&fleet[0], &json!({"Name": "web", "ID": program.name, "Port": program.address.port(), "Check": check}));
    }
    all_pass(&fleet, "web", &["bound", "other"]);
    let watches: Vec<_> = fleet.iter().map(|daemon| Watch::start(daemon.http, "web")).collect();
    bound.process.kill();
    for watch in &watches {
        watch.until(|entries| ids(entries) == ["other"]);
        assert_eq!(watch.seen().len(), 2, "one change: {:?}", watch.seen());
    }
    for daemon in &fleet {
        let entries = daemon.get("/v1/health/service/web").json();
        assert_eq!(ids(&entries), ["other"], "deregistered, not critical");
    }
    let local = fleet[0].get("/v1/agent/services").json();
    assert_eq!(local.as_object().unwrap().keys().collect::<Vec<_>>(), ["other"]);
}

#[test]
fn kill_9_of_an_agent_keeps_its_services_for_the_grace_and_they_come_back_with_it() {
    let start = |name: &str| daemon(name).env("AGENT_GRACE", 5);
    let mut fleet = vec![start("n0").start()];
    for name in ["n1", "n2"] {
        let join = fleet[0].gossip();
        fleet.push(start(name).env("GOSSIP_JOIN", join).start());
    }
    all_list(&fleet, &["n0", "n1", "n2"]);
    register(&fleet[2], &json!({"Name": "web", "ID": "web-2", "Port": 80, "Check": {"TTL": "1h", "Status": "passing"}}));
    all_pass(&fleet, "web", &["web-2"]);

    let mut killed = fleet.pop().unwrap();
    killed.kill();
    for daemon in &fleet {
        eventually(SOON, || {
            let node = node(daemon, "n2");
            expect(node["state"] == "unattended", node)
        });
        assert_eq!(passing(daemon, "web"), ["web-2"], "its program may well live");
    }
    all_pass(&fleet, "web", &[]);
    for daemon in &fleet {
        let entries = daemon.get("/v1/health/service/web").json();
        assert_eq!(ids(&entries), ["web-2"], "shown for an hour, but not as passing");
        let checks = entries[0]["Checks"].as_array().unwrap();
        let serf = checks.iter().find(|check| check["CheckID"] == "serfHealth").unwrap();
        assert_eq!(serf["Status"], "critical");
    }
    fleet.push(killed.start_again());
    all_pass(&fleet, "web", &["web-2"]);
}

#[test]
fn a_silent_program_is_out_of_passing_one_ttl_after_its_last_pass_on_every_agent() {
    const TTL: Duration = Duration::from_secs(1);
    let fleet = three();
    register(&fleet[0], &json!({"Name": "web", "Check": {"TTL": "1s"}}));
    let watches: Vec<_> = fleet.iter().map(|daemon| Watch::start(daemon.http, "web")).collect();
    watches.iter().for_each(|watch| assert_eq!(ids(&watch.seen()[0].entries).len(), 0, "critical until its first pass"));
    // Passes until everybody has seen it, and never again.
    let (sent, answered) = eventually(SOON, || {
        let sent = now();
        put(&fleet[0], "/v1/agent/check/pass/service:web", "");
        let answered = now();
        let seen: Vec<_> = watches.iter().map(Watch::seen).collect();
        expect(seen.iter().all(|seen| ids(&seen.last().unwrap().entries) == ["web"]), seen).map(|()| (sent, answered))
    });
    for watch in &watches {
        let gone = watch.until(|entries| ids(entries).is_empty()).at;
        assert!(gone >= sent + TTL, "{:?} after the last pass was sent", gone - sent);
        assert!(gone <= answered + TTL + LATE, "{:?} after the last pass was answered", gone - answered);
        assert_eq!(watch.seen().len(), 3, "critical, passing, critical: {:?}", watch.seen());
    }
    let check = fleet[0].get("/v1/agent/checks").json()["service:web"].clone();
    assert_eq!(check["Status"], "critical", "{check}");
    assert_eq!(ids(&same_on_all(&fleet, "/v1/health/service/web")), ["web"], "critical, not deregistered");
}

#[test]
fn a_drain_that_is_waited_for_tells_who_has_not_applied_it() {
    let mut fleet = three();
    register(&fleet[0], &json!({"Name": "web", "ID": "w", "Port": 80}));
    all_pass(&fleet, "web", &["w"]);
    let weights = |daemon: &Daemon| daemon.get("/v1/health/service/web").json()[0]["Service"]["Weights"].clone();
    for (method, drained) in [("PUT", true), ("DELETE", false)] {
        for path in ["/v1/services/web/w/drain?wait=20s", "/v1/drain?wait=20s"] {
            let answer = fleet[0].request(method, path, &[], "").json();
            assert_eq!(answer, json!({"applied": 3, "asked": 3, "missing": []}), "{method} {path}");
            // One after the other is undone.
            let is_drained = drained || path.starts_with("/v1/services");
            let want = if is_drained { json!({"Passing": 0, "Warning": 0}) } else { json!({"Passing": 1, "Warning": 1}) };
            for daemon in &fleet {
                assert_eq!(weights(daemon), want, "{method} {path}: no need to wait any more");
            }
        }
    }
    assert_eq!(ctl(&fleet[0], &["drain", "w", "--wait=20s"]), (Some(0), "applied by 3 of 3\n".to_owned()));

    fleet[2].process.signal(Signal::STOP);
    let got = ctl(&fleet[0], &["drain", "w", "--undo", "--wait=1s"]);
    assert_eq!(got, (Some(1), "applied by 2 of 3; not by: n2\n".to_owned()));
    assert_eq!(weights(&fleet[1]), json!({"Passing": 1, "Warning": 1}));
    fleet[2].process.signal(Signal::CONT);
    eventually(SOON, || {
        let got = ctl(&fleet[0], &["drain", "w", "--wait=1s"]);
        expect(got == (Some(0), "applied by 3 of 3\n".to_owned()), got)
    });
    assert_eq!(weights(&fleet[2]), json!({"Passing": 0, "Warning": 0}));
}
