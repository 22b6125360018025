//! Traefik's provider for Consul's catalog, polling and watching, routing real requests.

use lobby_testkit::{
    eventually, expect, http,
    server::{Server, traefik},
};
use serde_json::{Value, json};

use super::Backend;
use crate::{
    catalog::{deregister, register},
    fleet::{SOON, daemon, is_warm},
};

/// So many requests in turn reach every backend that Traefik knows.
const ROUND: usize = 10;

/// Who answers the next requests; a status instead of a name where nobody does.
fn round(proxy: &Server) -> Vec<String> {
    let ask = |_| {
        let answer = http::request(proxy.address, "GET", "/", &[("Host", "web.test")], b"");
        answer.map_or_else(
            |err| err.to_string(),
            |answer| if answer.status == 200 { answer.text() } else { answer.status.to_string() },
        )
    };
    let mut names: Vec<_> = (0..ROUND).map(ask).collect();
    names.sort();
    names.dedup();
    names
}

/// Waits until exactly these answer.
#[track_caller]
fn routes_to(proxy: &Server, want: &[&str]) {
    eventually(SOON, || {
        let names = round(proxy);
        expect(names == want, (names, proxy.log()))
    });
}

/// Two backends, one of them killed, started again under another port, deregistered.
#[track_caller]
fn follows(how: &str, check: impl Fn(&Backend) -> Value) {
    let agent = daemon("edge").start();
    is_warm(&agent);
    let offer = |backend: &Backend| {
        let (address, port) = (backend.address.ip(), backend.address.port());
        let body = json!({"Name": "web", "ID": backend.name, "Address": address, "Port": port, "Tags": ["traefik.enable=true"],
            "Check": check(backend)});
        register(&agent, &body);
    };
    let (one, mut two) = (Backend::start("one"), Backend::start("two"));
    offer(&one);
    offer(&two);
    let proxy = traefik::start(&format!(
        "  consulCatalog:\n    exposedByDefault: false\n    defaultRule: \"Host(`{{{{ .Name }}}}.test`)\"\n{how}\
         \x20   endpoint:\n      address: \"{}\"\n      scheme: http\n",
        agent.http
    ));
    routes_to(&proxy, &["one", "two"]);
    two.process.kill();
    routes_to(&proxy, &["one"]);
    let two = Backend::start("two");
    offer(&two);
    routes_to(&proxy, &["one", "two"]);
    deregister(&agent, "one");
    routes_to(&proxy, &["two"]);
}

#[test]
fn traefik_that_polls() {
    follows("    refreshInterval: 500ms\n", |backend| json!({"TCP": backend.address, "Interval": "1s", "Timeout": "1s"}));
}

#[test]
fn traefik_that_watches() {
    follows("    watch: true\n", |backend| json!({"PID": backend.process.pid()}));
}
