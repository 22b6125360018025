//! Fleets of lobbyd on loopback with services: how they are started, told and waited for.
//!
//! Not here: fleets on hosts of their own (`fleet`).

use std::{fmt::Display, time::Duration};

use lobby_testkit::{
    daemon::Daemon,
    eventually, expect,
    port::{free, free_address},
};
use serde_json::{Value, json};

use crate::{client::Put, host::metric};

/// How long a fleet may take to show something.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// How many agents each agent is told to join.
const SEEDS: usize = 3;

/// Connections over which many services are registered.
pub(crate) const CONNECTIONS: usize = 16;

/// `n` agents over gossip, at addresses that stay the same when they are started again, all of which know all.
pub(crate) fn start(program: &str, n: usize, settings: &[(&str, &str)]) -> Vec<Daemon> {
    let gossip: Vec<_> = (0..n).map(|_| free_address()).collect();
    let start = |idx: usize| {
        let others = gossip.iter().filter(|each| **each != gossip[idx]).take(SEEDS);
        let join = others.map(ToString::to_string).collect::<Vec<_>>().join(",");
        let builder = Daemon::build(program, &format!("n{idx:02}")).env("PORT", free()).env("GOSSIP_ADDR", gossip[idx]);
        let builder = builder.env("GOSSIP_JOIN", join).env("LOG", "warn");
        settings.iter().fold(builder, |builder, (name, value)| builder.env(name, value)).start()
    };
    let agents: Vec<_> = (0..n).map(start).collect();
    agents.iter().for_each(|agent| knows(agent, n));
    agents
}

/// Waits until it is warm and sees so many nodes alive.
pub(crate) fn knows(agent: &Daemon, n: usize) {
    eventually(SOON, || {
        let seen = (metric(agent, "lobby_warm", &[]), metric(agent, "lobby_nodes", &["state=\"alive\""]));
        expect(seen == (1, n as u64), seen)
    });
}

/// What registers this instance at its agent.
pub(crate) fn registration(body: &Value) -> Put {
    ("/v1/agent/service/register".to_owned(), body.to_string())
}

pub(crate) fn deregistration(id: impl Display) -> Put {
    (format!("/v1/agent/service/deregister/{id}"), String::new())
}

/// An instance as people have them: an address, a port, two tags, meta, a check that passes.
pub(crate) fn instance(service: &str, idx: usize) -> Value {
    json!({
        "Name": service, "ID": format!("{service}-{idx}"), "Address": format!("10.1.{}.{}", idx / 250, idx % 250 + 1),
        "Port": 8080, "Tags": ["v1", "blue"], "Meta": {"zone": format!("z{}", idx % 3)},
        "Check": {"TTL": "1h", "Status": "passing"},
    })
}

/// Puts something, over a connection of its own; panics unless the answer is 200.
pub(crate) fn put(agent: &Daemon, (path, body): &Put) {
    let answer = agent.request("PUT", path, &[], body);
    assert_eq!(answer.status, 200, "PUT {path} {body}: {}", answer.text());
}

/// Waits until each agent lists so many instances of `service` as passing.
pub(crate) fn all_pass(agents: &[Daemon], service: &str, n: usize) {
    for agent in agents {
        eventually(SOON, || {
            let entries = agent.get(&format!("/v1/health/service/{service}?passing")).json();
            let seen = entries.as_array().map_or(0, Vec::len);
            expect(seen == n, seen)
        });
    }
}

/// Waits until each agent lists so many services, `consul` not counted.
pub(crate) fn all_list(agents: &[Daemon], n: usize) {
    for agent in agents {
        eventually(SOON, || {
            let services = agent.get("/v1/catalog/services").json();
            let seen = services.as_object().map_or(0, |map| map.len() - 1);
            expect(seen == n, seen)
        });
    }
}

/// Waits until so many requests are blocked at an agent.
pub(crate) fn blocked(agent: &Daemon, n: usize) {
    eventually(SOON, || {
        let seen = metric(agent, "lobby_http_waits", &[]);
        expect(seen == n as u64, seen)
    });
}
