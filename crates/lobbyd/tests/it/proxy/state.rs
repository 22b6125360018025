//! What servers are at run time outlasts a reload for structure: by HAProxy's own `load-server-state-from-file`, from what
//! lobbyd keeps for it. What is drained stays so, what was ill takes no request, and what somebody set by hand at servers that
//! are not ours is still there.

use std::fs;

use lobby_testkit::{
    daemon::Daemon,
    eventually, expect,
    haproxy::servers,
    http,
    load::{Connections, Load},
    port,
    process::{Signal, find},
};
use serde_json::json;

use super::{program::Program, stage::Place};
use crate::fleet::SOON;

/// Changes of structure.
const RELOADS: u64 = 3;

/// After each of them.
const SOME: u64 = 100;

/// A file with `web`, whose checks ask for `/health`, and a section of somebody else.
fn write(place: &Place, mark: u64) {
    let (sock, state) = (place.path("haproxy.sock"), place.path("servers-state"));
    let text = format!(
        "[proxy.haproxy]\nconfig = {:?}\n{}\n\
         global = [\"maxconn 400\", \"stats socket {} mode 600 level admin expose-fd listeners\", \"server-state-file {}\"]\n\
         defaults = [\"mode http\", \"timeout connect 2s\", \"timeout client 1m\", \"timeout server 1m\", \"retries 3\", \
         \"option redispatch\", \"load-server-state-from-file global\"]\n\
         [proxy.haproxy.extra]\n\"backend by-hand\" = [\"server x 127.0.0.1:9\", \"server y 127.0.0.1:9 weight 5\"]\n\
         [proxy.service.web]\nport = {}\nserver_options = \"check inter 2s fall 1 rise 1\"\n\
         backend = [\"option httpchk GET /health\"]\nfrontend = [\"http-response set-header X-Mark {mark}\"]\n",
        place.path("haproxy.cfg"),
        Place::managed(&find("haproxy").display().to_string()),
        sock.display(),
        state.display(),
        place.front.port(),
    );
    fs::write(place.path("lobbyd.toml"), text).unwrap();
}

#[track_caller]
fn put(agent: &Daemon, path: &str, body: &str) {
    let answer = agent.request("PUT", path, &[], body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
}

#[test]
fn what_drains_is_ill_or_was_set_by_hand_is_so_after_each_reload() {
    let place = Place::new();
    write(&place, 0);
    let mut agent = place.builder("n0").start();
    let programs = ["well", "drains", "ill"].map(|name| Program::start(name, port::free()));
    for Program { name, port, .. } in &programs {
        put(&agent, &format!("/v1/services/web/{name}"), &json!({ "address": "127.0.0.1", "port": port }).to_string());
    }
    let is_down = |line: &str| line.contains(&format!(":{},", programs[2].port)) && line.contains(",DOWN,");
    eventually(SOON, || {
        let shown = place.try_ask("show stat").unwrap_or_default();
        expect(shown.lines().any(is_down), (shown, agent.process.log()))
    });
    place.is_known(&agent);
    put(&agent, "/v1/services/web/drains/drain", "");
    for edit in ["set server by-hand/x state drain", "set server by-hand/y weight 3"] {
        let said = place.ask(edit);
        assert!(said.trim().is_empty(), "{edit}: {said}");
    }
    let by_hand = || servers(&place.path("haproxy.sock"), "by-hand").map_err(|err| err.to_string());
    let set = [("127.0.0.1:9".to_owned(), 0, 3), ("127.0.0.1:9".to_owned(), 8, 1)];
    assert_eq!(by_hand(), Ok(set.to_vec()));
    eventually(SOON, || expect(place.ready().is_ok_and(|ready| ready.len() == 2), (place.ready(), agent.process.log())));
    let before = place.reloads();
    let load = Load::start(place.front, Connections::New, 200);
    for mark in 1..=RELOADS {
        write(&place, mark);
        agent.process.signal(Signal::HUP);
        eventually(SOON, || {
            let shown = http::get(place.front, "/").map(|answer| answer.header("x-mark").map(str::to_owned));
            expect(shown.as_ref().is_ok_and(|shown| *shown == Some(mark.to_string())), (shown, agent.process.log()))
        });
        let n_sent = load.n_sent();
        eventually(SOON, || expect(load.n_sent() > n_sent + SOME, load.n_sent()));
        assert_eq!(by_hand(), Ok(set.to_vec()), "{}", agent.process.log());
        place.is_known(&agent);
    }
    let report = load.stop();
    assert_eq!((report.n_failed(), place.reloads()), (0, before + RELOADS), "{report:?}\n{}", agent.process.log());
    assert!(report.answered.keys().eq(["well"]), "{:?}\n{}", report.answered, agent.process.log());
}
