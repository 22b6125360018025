//! Backends that come, go, drain and change their weight under requests: none fails, nothing is reloaded. And backends whose
//! nodes fall silent, which stay.
//!
//! At 1 000 requests a second, with more and other changes: `bench proxy`.

use std::time::Duration;

use lobby_testkit::{
    daemon::Daemon,
    eventually, expect,
    load::{Connections, Load},
    process::Signal,
};

use super::stage::{Place, Server};
use crate::fleet::{SOON, all_list, is_warm, node, throughout};

/// Requests a second of each load.
const RATE: u32 = 200;

/// How long it is watched that nothing more goes.
const CALM: Duration = Duration::from_secs(3);

/// More than gossip takes to call a few silent nodes failed.
const SILENT: Duration = Duration::from_secs(60);

#[test]
fn forty_changes_fail_no_request_and_reload_nothing() {
    let place = Place::new();
    place.write_managed("");
    let agent = place.builder("n0").start();
    let servers: Vec<_> = (0..5).map(|idx| Server::start(&format!("s{idx}"))).collect();
    servers.iter().for_each(|server| server.register(&agent, 1));
    place.has(&agent, SOON, &servers.iter().map(|server| (server, 1)).collect::<Vec<_>>());
    place.is_known(&agent);
    assert_eq!(place.reloads(), 0, "servers that come while it starts: {}", agent.process.log());
    let loads = [Connections::New, Connections::Kept].map(|connections| Load::start(place.front, connections, RATE));
    let all = |weight: u32, but: Option<&str>| -> Vec<_> {
        let there = servers.iter().filter(|server| Some(&*server.name) != but);
        there.map(|server| (server, if server.name == "s0" { weight } else { 1 })).collect()
    };
    // 32 changes of four servers, and 8 of the first one's weight.
    servers[0].register(&agent, 2);
    for round in 0..4 {
        for server in &servers[1..] {
            if round % 2 == 0 {
                server.drain(&agent, true);
            } else {
                server.deregister(&agent);
            }
            place.has(&agent, SOON, &all(2, Some(&server.name)));
            if round % 2 == 0 {
                server.drain(&agent, false);
            } else {
                server.register(&agent, 1);
            }
            place.has(&agent, SOON, &all(2, None));
        }
    }
    for weight in 3..10 {
        servers[0].register(&agent, weight);
        place.has(&agent, SOON, &all(weight, None));
    }
    for load in loads {
        let report = load.stop();
        assert_eq!(report.n_failed(), 0, "{report:?}\n{}", agent.process.log());
        assert!(servers.iter().all(|server| report.answered.contains_key(&server.name)), "{:?}", report.answered);
    }
    assert_eq!(place.reloads(), 0, "{}", agent.process.log());
}

/// `n` agents that know each other; the first keeps the proxy, the last `with_server` have a server each.
fn fleet(place: &Place, n: usize, with_server: usize) -> (Vec<Daemon>, Vec<Server>) {
    place.write_managed("");
    let mut agents = vec![place.builder("n0").start()];
    for idx in 1..n {
        let join = agents[0].gossip();
        agents.push(crate::fleet::daemon(&format!("n{idx}")).env("GOSSIP_JOIN", join).start());
    }
    let names: Vec<_> = (0..n).map(|idx| format!("n{idx}")).collect();
    all_list(&agents, &names.iter().map(String::as_str).collect::<Vec<_>>());
    agents.iter().for_each(is_warm);
    let servers: Vec<_> = (n - with_server..n)
        .map(|idx| {
            let server = Server::start(&format!("s{idx}"));
            server.register(&agents[idx], 1);
            server
        })
        .collect();
    place.has(&agents[0], SOON, &servers.iter().map(|server| (server, 1)).collect::<Vec<_>>());
    (agents, servers)
}

#[test]
fn at_most_half_of_a_backend_goes_for_lost_contact() {
    let place = Place::new();
    let (mut agents, servers) = fleet(&place, 5, 2);
    // Two of five: too few to be held by the catalog.
    agents[3..].iter_mut().for_each(|agent| agent.process.signal(Signal::STOP));
    let is_lost = |agent: &Daemon, name: &str| node(agent, name)["state"] == "failed";
    eventually(SILENT, || {
        let lost = ["n3", "n4"].map(|name| is_lost(&agents[0], name));
        expect(lost == [true; 2], (lost, agents[0].process.log()))
    });
    eventually(SOON, || expect(place.ready().is_ok_and(|ready| ready.len() == 1), (place.ready(), agents[0].process.log())));
    throughout(CALM, || assert_eq!(place.ready().map(|ready| ready.len()), Ok(1), "{}", agents[0].process.log()));
    place.answers(&agents[0], SOON);
    agents[3..].iter_mut().for_each(|agent| agent.process.signal(Signal::CONT));
    place.has(&agents[0], SILENT, &servers.iter().map(|server| (server, 1)).collect::<Vec<_>>());
}

#[test]
fn backends_stay_when_most_nodes_fall_silent() {
    let place = Place::new();
    let (mut agents, servers) = fleet(&place, 4, 3);
    agents[1..].iter_mut().for_each(|agent| agent.process.signal(Signal::STOP));
    eventually(SILENT, || {
        let held = ["n1", "n2", "n3"].map(|name| node(&agents[0], name)["held"] == true);
        expect(held == [true; 3], (held, agents[0].process.log()))
    });
    let all: Vec<_> = servers.iter().map(|server| (server, 1)).collect();
    // Whoever was given up before the rest fell silent is back.
    place.has(&agents[0], SOON, &all);
    throughout(CALM, || assert_eq!(place.ready().map(|ready| ready.len()), Ok(3), "{}", agents[0].process.log()));
}
