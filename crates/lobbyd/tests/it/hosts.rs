//! Twelve agents, each on a host of its own at one switch: cuts, one-way cuts, dead hosts, stopped processes, firewalls
//! that refuse, and a restart of everybody at once.

use std::{path::PathBuf, process::Command, time::Duration};

use lobby_testkit::{
    TempDir,
    bridge::Bridge,
    eventually, expect, netns,
    process::{Process, Signal},
};
use serde_json::Value;

use crate::{catalog, fleet::throughout};

const AGENTS: usize = 12;
const GOSSIP: u16 = 1314;

/// Longer than any of this takes on two busy cores: detection, and what follows a cut.
const LATER: Duration = Duration::from_secs(60);

struct Agent {
    name: String,
    process: Process,
    socket: PathBuf,
}

struct Hosts {
    agents: Vec<Agent>,
    bridge: Bridge,
    folder: TempDir,
}

impl Hosts {
    fn start() -> Self {
        let (bridge, folder) = (Bridge::new(AGENTS), TempDir::new().unwrap());
        let agents = (0..AGENTS).map(|idx| agent(&bridge, &folder, idx)).collect();
        let hosts = Self { agents, bridge, folder };
        hosts.all_see(LATER, |_, _| "alive");
        hosts
    }

    fn restart(&mut self, idx: usize) {
        self.agents[idx].process.kill();
        self.agents[idx] = agent(&self.bridge, &self.folder, idx);
    }

    /// Waits until each running agent shows each other one as `state(observer, other)` says.
    #[track_caller]
    fn all_see(&self, within: Duration, state: impl Fn(usize, usize) -> &'static str) {
        for observer in 0..AGENTS {
            eventually(within, || {
                let nodes = self.agents[observer].nodes()?;
                let wrong = (0..AGENTS).find(|other| self.state(&nodes, *other) != state(observer, *other));
                expect(wrong.is_none(), (observer, wrong, nodes)).map_err(|seen| format!("{seen:?}"))
            });
        }
    }

    /// Waits until each agent has exactly these passing instances of `web`.
    #[track_caller]
    fn all_pass(&self, want: &[&str]) {
        for agent in &self.agents {
            eventually(LATER, || {
                let seen = agent.passing("web")?;
                expect(seen == want, format!("{}: {seen:?}", agent.name))
            });
        }
    }

    /// Fails if any agent of `observers` shows one of `others` as anything but alive or suspected.
    #[track_caller]
    fn nobody_is_missed(&self, observers: impl IntoIterator<Item = usize>) {
        for observer in observers {
            let nodes = self.agents[observer].nodes().unwrap();
            for other in 0..AGENTS {
                let state = self.state(&nodes, other);
                assert!(state == "alive" || state == "suspect", "{observer} holds {other} {state}");
            }
        }
    }

    fn state<'a>(&self, nodes: &'a [Value], of: usize) -> &'a str {
        let node = nodes.iter().find(|node| node["name"] == self.agents[of].name.as_str());
        node.and_then(|node| node["state"].as_str()).unwrap_or("unknown")
    }
}

impl Agent {
    fn nodes(&self) -> Result<Vec<Value>, String> {
        let answer = netns::request(&self.socket, "GET", "/v1/nodes", "").map_err(|err| err.to_string())?;
        Ok(answer.json().as_array().cloned().unwrap_or_default())
    }

    #[track_caller]
    fn register(&self, service: &str) {
        let body = format!("{{\"Name\": \"{service}\", \"Port\": 80}}");
        let answer = netns::request(&self.socket, "PUT", "/v1/agent/service/register", &body).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    fn passing(&self, service: &str) -> Result<Vec<String>, String> {
        let path = format!("/v1/health/service/{service}?passing");
        let answer = netns::request(&self.socket, "GET", &path, "").map_err(|err| err.to_string())?;
        Ok(catalog::ids(&answer.json()))
    }
}

fn agent(bridge: &Bridge, folder: &TempDir, idx: usize) -> Agent {
    let (host, name) = (&bridge.hosts()[idx], format!("h{idx:02}"));
    let below = |what: &str| folder.path().join(format!("{name}.{what}"));
    let mut command: Command = host.command(env!("CARGO_BIN_EXE_lobbyd").as_ref());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOSTNAME", &name);
    command.env("SOCKET", below("sock")).env("DATA_DIR", below("data")).env("LABELS_PATH", below("labels"));
    command.env("GOSSIP_ADDR", format!("{}:{GOSSIP}", host.ip)).env("GOSSIP_JOIN", bridge.hosts()[0].ip.to_string());
    command.env("GOSSIP_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").env("DNS_ADDR", "off").env("AGENT_GRACE", "3");
    Agent { process: Process::start(&name, command), socket: below("sock"), name }
}

#[test]
fn halves_are_cut_and_heal_and_a_one_way_cut_of_one_host_harms_no_other() {
    let hosts = Hosts::start();
    let half = |idx: usize| idx < AGENTS / 2;
    hosts.bridge.cut(0..AGENTS / 2, AGENTS / 2..AGENTS);
    hosts.bridge.cut(AGENTS / 2..AGENTS, 0..AGENTS / 2);
    hosts.all_see(LATER, |observer, other| if half(observer) == half(other) { "alive" } else { "failed" });
    hosts.bridge.heal();
    hosts.all_see(LATER, |_, _| "alive");

    // Host 5 hears nobody, and everybody hears host 5: it must not be believed about the others.
    hosts.bridge.cut((0..AGENTS).filter(|idx| *idx != 5), [5]);
    throughout(Duration::from_secs(12), || {
        for observer in (0..AGENTS).filter(|idx| *idx != 5) {
            let nodes = hosts.agents[observer].nodes().unwrap();
            for other in (0..AGENTS).filter(|idx| *idx != 5) {
                let state = hosts.state(&nodes, other);
                assert!(state == "alive" || state == "suspect", "{observer} holds {other} {state}");
            }
        }
    });
    hosts.bridge.heal();
    hosts.all_see(LATER, |_, _| "alive");
}

#[test]
fn a_dead_process_a_dead_host_and_a_stopped_process_are_told_apart() {
    let mut hosts = Hosts::start();
    hosts.agents[3].process.kill();
    // The host lives and refuses connections: proof, long before silence would be one.
    let seen = |hosts: &Hosts, states: &[&str], of: usize| {
        for observer in (0..AGENTS).filter(|idx| *idx != of) {
            eventually(LATER, || {
                let nodes = hosts.agents[observer].nodes()?;
                expect(states.contains(&hosts.state(&nodes, of)), format!("{observer}: {nodes:?}"))
            });
        }
    };
    seen(&hosts, &["unattended"], 3);
    seen(&hosts, &["failed"], 3);
    hosts.restart(3);
    hosts.all_see(LATER, |_, _| "alive");

    hosts.agents[4].register("web");
    hosts.all_pass(&["web"]);
    hosts.agents[8].register("db");
    eventually(LATER, || expect(hosts.agents[4].passing("db")? == ["db"], "db").map_err(str::to_owned));
    hosts.bridge.unplug(4);
    for observer in (0..AGENTS).filter(|idx| *idx != 4) {
        eventually(LATER, || {
            let nodes = hosts.agents[observer].nodes()?;
            let state = hosts.state(&nodes, 4);
            assert_ne!(state, "unattended", "a silent host proves nothing");
            expect(state == "failed", format!("{observer}: {state}"))
        });
    }
    let others = (0..AGENTS).filter(|idx| *idx != 4);
    others.for_each(|observer| assert_eq!(hosts.agents[observer].passing("web"), Ok(Vec::new()), "{observer}"));
    // The host that hears nobody knows that it may be its own fault: everybody is failed, and their services stay.
    eventually(LATER, || {
        let nodes = hosts.agents[4].nodes()?;
        let is_held = |node: &&Value| node["state"] == "failed" && node["held"] == true;
        expect(nodes.iter().filter(is_held).count() == AGENTS - 1, format!("{nodes:?}"))
    });
    assert_eq!(hosts.agents[4].passing("db"), Ok(vec!["db".to_owned()]));
    hosts.bridge.plug(4);
    hosts.all_see(LATER, |_, _| "alive");
    hosts.all_pass(&["web"]);

    hosts.agents[5].process.signal(Signal::STOP);
    throughout(Duration::from_secs(2), || hosts.nobody_is_missed((0..AGENTS).filter(|idx| *idx != 5)));
    hosts.agents[5].process.signal(Signal::CONT);
    throughout(Duration::from_secs(5), || hosts.nobody_is_missed(0..AGENTS));
}

#[test]
fn a_firewall_that_refuses_tcp_kills_nobody_and_one_that_refuses_all_is_a_death_that_heals() {
    let hosts = Hosts::start();
    hosts.bridge.hosts()[6].reject(GOSSIP, false);
    throughout(Duration::from_secs(10), || hosts.nobody_is_missed((0..AGENTS).filter(|idx| *idx != 6)));
    hosts.bridge.hosts()[6].accept();

    hosts.bridge.hosts()[7].reject(GOSSIP, true);
    for observer in (0..AGENTS).filter(|idx| *idx != 7) {
        eventually(LATER, || {
            let nodes = hosts.agents[observer].nodes()?;
            expect(hosts.state(&nodes, 7) == "failed", format!("{observer}: {nodes:?}"))
        });
    }
    hosts.bridge.hosts()[7].accept();
    hosts.all_see(LATER, |_, _| "alive");
}

#[test]
fn five_percent_loss_and_a_restart_of_everybody_at_once() {
    let mut hosts = Hosts::start();
    hosts.bridge.lose(5);
    throughout(Duration::from_secs(10), || hosts.nobody_is_missed(0..AGENTS));
    hosts.agents.iter_mut().for_each(|agent| agent.process.signal(Signal::KILL));
    (0..AGENTS).for_each(|idx| hosts.restart(idx));
    hosts.all_see(LATER, |_, _| "alive");
    hosts.bridge.heal();
}
