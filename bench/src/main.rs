//! Benchmarks of whole daemons: real `lobbyd` processes of the release build, real servers, loopback only.
//!
//! ```text
//! bench list [ROUNDS]      requests per second of the lists, beside nginx serving the same bytes
//! bench senders [SECONDS]  1 000 senders of bare packets over NATS, three daemons
//! bench flood [COUNT]      random and mutated datagrams and requests at a daemon
//! bench soak [SECONDS]     thirty daemons over gossip, labels that change, daemons that restart
//! bench endure [SECONDS]   ten agents on three exchanges for an hour of restarts, dead brokers and cut networks
//! bench death [ROUNDS]     how long until everybody knows that an agent is dead: killed, refused, replaced, unplugged
//! bench serf [AGENTS]      as many lobbyd as Serf agents, each on a host of its own (network namespaces)
//! bench services [ROUNDS]  what clients of services read, beside nginx serving the same bytes
//! bench watchers [N]       blocked requests for one service: what wakes them, how soon all are answered
//! bench registrations [PAIRS]  acknowledged registrations a second, and that nothing piles up
//! bench checks [N]         checks of one agent: what they cost, whether they are on time
//! bench kill [ROUNDS]      how long until nobody lists a program that was killed: 31 agents
//! bench ttl                heartbeats that stop, in real time: two minutes
//! bench rolling            agents restart one after the other under services and watches
//! bench render [CHANGES]   50 templates over 1 000 services that change: processor time per change, in this process
//! bench start [ROUNDS]     an agent is killed and started again under services and watches
//! bench dns [ROUNDS]       answers of DNS a second, beside knot and dnsmasq with the same names
//! bench proxy [ROUNDS]     requests through HAProxy while its backends change, beside a template and `haproxy -sf`
//! bench templates [PAIRS]  templates read and run, beside Go's text/template
//! ```
//! Each prints a table and fails (by a panic with the daemons' logs) when what it promises does not hold. `$LOBBYD` names
//! the program to measure; without it the release build of this repository is built first.
//! Not here: the figures (`docs/benchmarks.md`).

use std::{env, process::ExitCode};

mod agents;
mod checks;
mod client;
mod death;
mod dns;
mod endure;
mod fleet;
mod flood;
mod host;
mod kill;
mod list;
mod nats;
mod proxy;
mod random;
mod registrations;
mod render;
mod rolling;
mod senders;
mod serf;
mod services;
mod soak;
mod templates;
mod times;
mod ttl;
mod watch;
mod watchers;

const USAGE: &str =
    "usage: bench list [ROUNDS] | senders [SECONDS] | flood [COUNT] | soak [SECONDS] | endure [SECONDS]
       | death [ROUNDS] | serf [AGENTS] | services [ROUNDS] | watchers [N] | registrations [PAIRS] | checks [N] | kill [ROUNDS] | ttl | rolling | start [ROUNDS]
       | render [CHANGES] | templates [PAIRS] | dns [ROUNDS] | proxy [ROUNDS]";

fn main() -> ExitCode {
    let args: Vec<_> = env::args().skip(1).collect();
    let number = |default| args.get(1).map_or(Some(default), |text| text.parse().ok());
    let run = match args.first().map(String::as_str) {
        Some("list") => number(3).map(list::run),
        Some("senders") => number(120).map(senders::run),
        Some("flood") => number(10_000).map(flood::run),
        Some("soak") => number(30).map(soak::run),
        Some("endure") => number(3600).map(endure::run),
        Some("death") => number(10).map(death::run),
        Some("listen") => args.get(1).and_then(|text| text.parse().ok()).map(death::listen),
        Some("serf") => number(30).map(serf::run),
        Some("services") => number(2).map(services::run),
        Some("watchers") => number(5000).map(watchers::run),
        Some("registrations") => number(100_000).map(registrations::run),
        Some("checks") => number(10_000).map(checks::run),
        Some("kill") => number(20).map(kill::run),
        Some("ttl") => number(0).map(|_| ttl::run()),
        Some("rolling") => number(0).map(|_| rolling::run()),
        Some("render") => number(200).map(render::run),
        Some("dns") => number(3).map(dns::run),
        Some("start") => number(5).map(rolling::start),
        Some("proxy") => number(20).map(proxy::run),
        Some("backend") => {
            proxy::backend(&args[1..]);
            Some(())
        }
        Some("templates") => number(5).map(templates::run),
        Some("templates-own") => {
            templates::own(&args[1..]);
            Some(())
        }
        _ => None,
    };
    match run {
        Some(()) => ExitCode::SUCCESS,
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(64)
        }
    }
}
