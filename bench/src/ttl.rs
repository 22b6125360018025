//! The seed's figures in real time: a heartbeat of 10 s, deregistered a minute after it stopped; three agents, about two
//! minutes.
//!
//! Two services, each at an agent of its own. The agent of the second one restarts while its service is critical, and is
//! killed and started again once it is gone: it must neither begin to count anew nor bring the service back.

use std::time::{Duration, Instant};

use lobby_testkit::{daemon::Daemon, process::Signal};
use serde_json::json;

use crate::{
    agents::{self, all_pass, knows, put, registration},
    host::{lobbyd, now, sleep_until},
    watch::{Seen, Watches, What, entries},
};

const AGENTS: usize = 3;
const SERVICES: [&str; 2] = ["stays", "restarts"];

/// What is asked of each service at each agent.
const FORMS: [&str; 2] = ["?passing", ""];
const TTL: Duration = Duration::from_secs(10);
const CRITICAL_FOR: Duration = Duration::from_secs(60);

/// How late it may be out of `passing`, and how late it may be deregistered.
const LATE: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(30)];

/// When the second agent restarts, counted from the last heartbeat.
const RESTART: Duration = Duration::from_secs(35);

/// How long it is watched that nothing comes back.
const AFTER: Duration = Duration::from_secs(8);

pub(crate) fn run() {
    let mut fleet = agents::start(&lobbyd(), AGENTS, &[]);
    for (service, agent) in SERVICES.iter().zip(&fleet) {
        let check = json!({"TTL": "10s", "Status": "passing", "DeregisterCriticalServiceAfter": "1m"});
        put(agent, &registration(&json!({"Name": service, "Port": 80, "Check": check})));
        all_pass(&fleet, service, 1);
    }
    let questions = questions(&fleet);
    let (watches, _) = Watches::start(questions.iter().map(|(_, _, _, address, path)| (*address, path.clone())).collect());
    let mut passed = [(now(), now()); SERVICES.len()];
    for _ in 0..3 {
        sleep_until(now() + Duration::from_secs(2));
        for (idx, (service, agent)) in SERVICES.iter().zip(&fleet).enumerate() {
            let before = now();
            put(agent, &(format!("/v1/agent/check/pass/service:{service}"), String::new()));
            passed[idx] = (before, now());
        }
    }

    let mut seen = Vec::new();
    sleep_until(passed[1].0 + RESTART);
    fleet[1].process.signal(Signal::USR2);
    assert!(fleet[1].process.wait(Duration::from_secs(5)).success(), "no clean end");
    restart(&mut fleet);
    let last = passed[1].1 + TTL + CRITICAL_FOR + LATE[1];
    sleep_until(last);
    seen.extend(watches.drain());
    fleet[1].kill();
    restart(&mut fleet);
    sleep_until(now() + AFTER);
    seen.extend(watches.drain());

    println!("| service | agent | question | gone after s | allowed |\n|---|---|---|---|---|");
    let mut is_reached = true;
    for (watch, (service, agent, form, ..)) in questions.iter().enumerate() {
        let (from, until) = allowed(passed[*service], *form);
        let gone = gone(&seen, watch);
        let is_good = gone.is_some_and(|gone| gone >= from && gone <= until);
        is_reached &= is_good;
        let after =
            gone.map_or("never, or came back".to_owned(), |gone| format!("{:.3}", (gone - passed[*service].0).as_secs_f64()));
        let least = if FORMS[*form].is_empty() { TTL + CRITICAL_FOR } else { TTL };
        let verdict = if is_good { "" } else { " MISSED" };
        println!(
            "| {} | {agent} | `{}` | {after}{verdict} | {:?} to {:?} |",
            SERVICES[*service],
            FORMS[*form],
            least,
            least + LATE[usize::from(FORMS[*form].is_empty())]
        );
    }
    for agent in &fleet {
        for service in SERVICES {
            let listed = agent.get(&format!("/v1/health/service/{service}")).text();
            assert_eq!(listed.trim(), "[]", "{service} was created again at {}", agent.node());
        }
    }
    fleet.iter_mut().for_each(|agent| agent.stop(Duration::from_secs(5)));
    assert!(is_reached, "a goal was missed");
}

type Question = (usize, usize, usize, std::net::SocketAddr, String);

/// Each service, agent and form.
fn questions(fleet: &[Daemon]) -> Vec<Question> {
    let mut all = Vec::new();
    for (service, name) in SERVICES.iter().enumerate() {
        for (agent, daemon) in fleet.iter().enumerate() {
            for (form, text) in FORMS.iter().enumerate() {
                all.push((service, agent, form, daemon.http, format!("/v1/health/service/{name}{text}")));
            }
        }
    }
    all
}

/// Starts the second agent again and waits until it knows the others.
fn restart(fleet: &mut Vec<Daemon>) {
    let agent = fleet.remove(1);
    fleet.insert(1, agent.start_again());
    knows(&fleet[1], AGENTS);
}

/// From when to when it must go, with the last heartbeat somewhere between these two.
fn allowed((before, after): (Instant, Instant), form: usize) -> (Instant, Instant) {
    match FORMS[form] {
        "" => (before + TTL + CRITICAL_FOR, after + TTL + CRITICAL_FOR + LATE[1]),
        _ => (before + TTL, after + TTL + LATE[0]),
    }
}

/// When this watch saw the list become empty; `None` if never, or if it was filled again.
fn gone(seen: &[Seen], watch: usize) -> Option<Instant> {
    let mut gone = None;
    for seen in seen.iter().filter(|seen| seen.watch == watch) {
        let What::Answer { body, .. } = &seen.what else { continue };
        match (entries(body) == json!([]), gone) {
            (true, None) => gone = Some(seen.at),
            (false, Some(_)) => return None,
            _ => {}
        }
    }
    gone
}
