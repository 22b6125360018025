//! Settings of a service in the real daemon with a real HAProxy: a Consul at another address, with a token; a backend of another
//! name; a pair of versions that swap. None of them costs a reload.

use std::fs;

use lobby_testkit::{
    eventually, expect, haproxy,
    load::{Connections, Load},
    process::find,
};
use serde_json::json;

use super::stage::{Place, Server};
use crate::fleet::{SOON, daemon, throughout};

const TOKEN: (&str, &str) = ("X-Consul-Token", "s3cret");

#[test]
fn a_consul_elsewhere_is_asked_with_its_token() {
    let consul = daemon("c0").env("TOKEN", TOKEN.1).start();
    assert_eq!(consul.get("/v1/catalog/service/web").status, 403, "without the token nothing is told");
    let (good, late) = (Server::start("good"), Server::start("late"));
    let register = |server: &Server| {
        let body = json!({ "Name": "web", "ID": server.name, "Port": server.port, "Address": "127.0.0.1" }).to_string();
        assert_eq!(consul.request("PUT", "/v1/agent/service/register", &[TOKEN], &body).status, 200);
    };
    register(&good);
    let place = Place::new();
    let with = |token: &str| {
        let address = format!("http://{}", consul.http);
        place.write_managed(&format!("discovery = {{ method = \"consul\", address = \"{address}\"{token} }}"));
    };
    with(", token = \"wrong\"");
    let mut agent = place.builder("n0").start();
    eventually(SOON, || {
        let status = agent.get("/v1/proxy").text();
        expect(status.contains("status 403"), (status, agent.process.log()))
    });
    with(", token = \"s3cret\"");
    agent.process.signal(lobby_testkit::process::Signal::HUP);
    place.has(&agent, SOON, &[(&good, 1)]);
    place.answers(&agent, SOON);
    // It is pushed: a poll of seconds would show here.
    register(&late);
    place.has(&agent, SOON, &[(&good, 1), (&late, 1)]);
    assert_eq!(consul.request("PUT", "/v1/agent/service/deregister/good", &[TOKEN], "").status, 200);
    place.has(&agent, SOON, &[(&late, 1)]);
    assert_eq!(place.reloads(), 0, "{}", agent.process.log());
    assert!(!agent.get("/v1/proxy").text().contains(TOKEN.1) && !agent.process.log().contains(TOKEN.1), "the token is not told");
}

#[test]
fn a_backend_of_another_name_changes_over_the_socket() {
    let place = Place::new();
    place.write_managed("backend_name = \"inner\"");
    let agent = place.builder("n0").start();
    let (one, two) = (Server::start("one"), Server::start("two"));
    let has = |wanted: &[&Server]| {
        let mut want: Vec<_> = wanted.iter().map(|server| server.line(1)).collect();
        want.sort();
        eventually(SOON, || {
            let servers = haproxy::servers(&place.path("haproxy.sock"), "inner").map_err(|err| err.to_string());
            expect(servers.as_ref() == Ok(&want), (servers, agent.process.log()))
        });
    };
    one.register(&agent, 1);
    has(&[&one]);
    place.answers(&agent, SOON);
    two.register(&agent, 1);
    has(&[&one, &two]);
    one.deregister(&agent);
    has(&[&two]);
    assert_eq!(place.reloads(), 0, "{}", agent.process.log());
}

/// As `bench proxy` does it: the registration stays, both versions run, a label says which is the primary one.
#[test]
fn a_pair_swaps_by_labels_without_a_reload() {
    let (blue, green) = (Server::start("blue"), Server::start("green"));
    let place = Place::new();
    let text = format!(
        "[proxy.haproxy]\nconfig = {:?}\n{}\n[proxy.service.web]\nport = {}\nbackup_port = {}\n\
         server_options = \"check inter 100ms fall 1 rise 1\"\n",
        place.path("haproxy.cfg"),
        Place::managed(&find("haproxy").display().to_string()),
        place.front.port(),
        green.port
    );
    fs::write(place.path("lobbyd.toml"), text).unwrap();
    let agent = place.builder("n0").start();
    blue.register(&agent, 1);
    place.answers(&agent, SOON);
    place.is_known(&agent);
    let in_step = || agent.get("/v1/proxy").json()["haproxy"]["is_in_step"] == true;
    eventually(SOON, || expect(in_step(), agent.process.log()));
    let load = Load::start(place.front, Connections::New, 200);
    for (new, old) in [(&green, &blue), (&blue, &green), (&green, &blue), (&blue, &green)] {
        for (method, server) in [("POST", new), ("DELETE", old)] {
            let answer = agent.request(method, "/v1/labels", &[], &format!("deploy:web:primary:{}", server.port));
            assert!(answer.status < 300, "{}", answer.text());
        }
        eventually(SOON, || {
            let seen = lobby_testkit::http::get(place.front, "/").map(|answer| answer.text());
            let is_there = seen.as_ref().is_ok_and(|seen| *seen == new.name);
            expect(is_there && in_step(), (seen.map_err(|err| err.to_string()), agent.process.log()))
        });
        throughout(std::time::Duration::from_millis(300), || ());
    }
    let report = load.stop();
    assert_eq!(report.n_failed(), 0, "{report:?}\n{}", agent.process.log());
    assert_eq!(place.reloads(), 0, "{}", agent.process.log());
}
