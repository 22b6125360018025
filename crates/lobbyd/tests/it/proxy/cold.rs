//! An agent that starts and reaches nobody: what an earlier run left in HAProxy goes by the guard's rules, and with the proof at
//! once.

use std::time::Duration;

use lobby_testkit::{daemon::Daemon, eventually, expect, port};
use serde_json::Value;

use super::stage::{Place, Server};
use crate::fleet::{SOON, all_list, daemon, throughout};

/// In seconds. Long enough that the others join within it.
const WARM_MAX: u64 = 5;

/// The only exchange of these agents.
fn gossip(agent: &Daemon) -> Value {
    agent.get("/v1/health").json()["exchanges"][0].clone()
}

fn held(agent: &Daemon) -> Value {
    agent.get("/v1/proxy").json()["services"][0]["held"].clone()
}

#[test]
fn an_agent_that_reaches_nobody_does_not_take_out_those_it_had() {
    let place = Place::new();
    place.write_managed("");
    // Nobody is there.
    let seed = format!("127.0.0.1:{}", port::free());
    let mut first = place.builder("n0").env("GOSSIP_JOIN", seed).env("WARM_MAX", WARM_MAX).start();
    let mut others = ["n1", "n2"].map(|name| daemon(name).env("GOSSIP_JOIN", first.gossip()).start());
    let [a, b, c] = ["a", "b", "c"].map(Server::start);
    for (server, agent) in [(&a, &first), (&b, &others[0]), (&c, &others[1])] {
        server.register(agent, 1);
    }
    all_list([&first], &["n0", "n1", "n2"]);
    place.has(&first, SOON, &[(&a, 1), (&b, 1), (&c, 1)]);
    place.is_known(&first);
    others.iter_mut().for_each(Daemon::kill);
    first.kill();
    let first = first.start_again();
    eventually(Duration::from_secs(WARM_MAX) + SOON, || {
        let gossip = gossip(&first);
        expect(gossip["given_up"] == true && held(&first) == 1, (gossip, held(&first), first.process.log()))
    });
    // Half of three may go within a minute: one, and the first of those that are equal.
    let (goes, stays, name) = if b.port < c.port { (&b, &c, "n1") } else { (&c, &b, "n2") };
    place.has(&first, SOON, &[(&a, 1), (stays, 1)]);
    throughout(Duration::from_secs(3), || {
        let ready = place.ready().map(|ready| ready.len());
        assert!(ready == Ok(2) && held(&first) == 1, "{ready:?} {}", first.process.log());
    });
    // One comes back, and the picture is whole: the other one is not in it.
    let back = daemon(name).env("GOSSIP_JOIN", first.gossip()).start();
    goes.register(&back, 1);
    eventually(SOON, || expect(gossip(&first)["given_up"] == false, first.process.log()));
    place.has(&first, SOON, &[(&a, 1), (goes, 1)]);
    assert_eq!((held(&first), place.reloads()), (0.into(), 0), "{}", first.process.log());
}
