//! How often a second an agent answers what clients of services read, beside nginx that serves the very same bytes.
//!
//! Three agents, a third of 1 000 instances of `web` and of 1 000 services of one instance registered at each. `/` of the
//! same agent, which lists all of them as labels, is what the seed's Lobby would be asked. Nothing changes meanwhile, so
//! these are repeated reads of one body.

use std::time::Duration;

use crate::{
    agents::{self, CONNECTIONS, instance, registration},
    client::put_all,
    host::{lobbyd, mib},
    list::{GOAL, compare},
};

const AGENTS: usize = 3;
const COUNT: usize = 1_000;
const PATHS: &[&str] = &["/v1/health/service/web?passing", "/v1/catalog/services", "/v1/catalog/service/web", "/"];

pub(crate) fn run(rounds: u32) {
    let mut fleet = agents::start(&lobbyd(), AGENTS, &[]);
    for (idx, agent) in fleet.iter().enumerate() {
        let own = || (idx..COUNT).step_by(AGENTS);
        let puts = own().map(|idx| registration(&instance("web", idx)));
        let others = own().map(|idx| registration(&instance(&format!("svc-{idx}"), idx)));
        put_all(agent, puts.chain(others).collect(), CONNECTIONS);
    }
    agents::all_pass(&fleet, "web", COUNT);
    agents::all_list(&fleet, COUNT + 1);

    println!("| instances | path | bytes | lobbyd req/s | CPU | nginx req/s | CPU | ratio | of rounds |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let ratios: Vec<_> = PATHS.iter().map(|path| compare(&fleet[0], COUNT, path, rounds.max(1))).collect();
    println!("RSS of the agent: {:.1} MiB, of the others {:.1} MiB", mib(&fleet[0].process), mib(&fleet[1].process));
    fleet.iter_mut().for_each(|agent| agent.stop(Duration::from_secs(5)));
    let worst = ratios.into_iter().fold(f64::MAX, f64::min);
    println!("worst ratio {worst:.2}, goal {GOAL}");
    assert!(worst >= GOAL, "below the goal");
}
