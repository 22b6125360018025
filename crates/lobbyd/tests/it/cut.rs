//! Agents in a network namespace of their own, where gossip can be cut while the broker stays, and the other way round.

use std::{path::PathBuf, time::Duration};

use lobby_testkit::{TempDir, eventually, expect, netns, netns::Netns, process::Process};
use serde_json::Value;

use crate::fleet::{SOON, throughout};

const NATS: u16 = 4222;
/// Longer than NATS needs to miss its server and than another exchange may take to contradict (1 s).
const CUT: Duration = Duration::from_secs(8);
/// An agent that hears nobody at all doubts its own hearing for 30 s before it gives anybody up.
const GIVEN_UP: Duration = Duration::from_secs(60);

struct Inside {
    _process: Process,
    socket: PathBuf,
}

impl Inside {
    fn start(ns: &Netns, folder: &TempDir, name: &str, gossip: u16) -> Self {
        let socket = folder.path().join(format!("{name}.sock"));
        let mut command = ns.command(env!("CARGO_BIN_EXE_lobbyd").as_ref());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOSTNAME", name).env("PORT", "0").env("SOCKET", &socket).env("DATA_DIR", folder.path().join(name));
        command.env("LABELS_PATH", folder.path().join("labels").join(name));
        command.env("DRIVER", "gossip,nats").env("NATS_URL", format!("nats://127.0.0.1:{NATS}"));
        command.env("GOSSIP_ADDR", format!("127.0.0.1:{gossip}")).env("GOSSIP_JOIN", "127.0.0.1:2001");
        Self { _process: Process::start(name, command), socket }
    }

    fn list(&self) -> Result<(Vec<String>, u64), String> {
        let answer = netns::request(&self.socket, "GET", "/", "").map_err(|err| err.to_string())?;
        let list = answer.json();
        let hosts = list.as_array().unwrap().iter().map(|packet| packet["hostname"].as_str().unwrap().to_owned()).collect();
        Ok((hosts, answer.header("x-lobby-revision").unwrap().parse().unwrap()))
    }

    fn nodes(&self) -> Vec<Value> {
        let answer = netns::request(&self.socket, "GET", "/v1/nodes", "").unwrap();
        answer.json().as_array().unwrap().clone()
    }

    /// How many of the others `exchange` holds in `state`.
    fn held(&self, exchange: &str, state: &str) -> usize {
        let holds = |node: &Value| {
            let exchanges = node["exchanges"].as_array().into_iter().flatten();
            exchanges.filter(|each| each["name"] == exchange && each["state"] == state).count()
        };
        self.nodes().iter().map(holds).sum()
    }
}

#[test]
fn neither_a_cut_of_gossip_nor_one_of_nats_loses_an_entry_or_is_a_change() {
    let ns = Netns::new();
    let folder = TempDir::new().unwrap();
    let mut server = ns.command(&lobby_testkit::process::find("nats-server"));
    server.args(["-a", "127.0.0.1", "-p", &NATS.to_string()]);
    let _server = Process::start("nats-server", server);
    let fleet: Vec<_> = (1..=3).map(|n| Inside::start(&ns, &folder, &format!("n{n}"), 2000 + n)).collect();
    let names = ["n1", "n2", "n3"];
    for agent in &fleet {
        eventually(SOON, || {
            let list = agent.list();
            expect(list.as_ref().is_ok_and(|(hosts, _)| hosts == &names), list)
        });
        eventually(SOON, || {
            let held = (agent.held("gossip", "alive"), agent.held("nats", "alive"));
            expect(held == (2, 2), agent.nodes())
        });
    }
    let before: Vec<_> = fleet.iter().map(|agent| agent.list().unwrap()).collect();
    let unchanged = || assert_eq!(fleet.iter().map(|agent| agent.list().unwrap()).collect::<Vec<_>>(), before);

    ns.drop_ports(&[2001, 2002, 2003]);
    for agent in &fleet {
        eventually(GIVEN_UP, || {
            unchanged();
            expect(agent.held("gossip", "failed") == 2, agent.nodes())
        });
    }
    throughout(CUT, unchanged);
    ns.heal();
    eventually(Duration::from_secs(60), || expect(fleet[0].held("gossip", "alive") == 2, fleet[0].nodes()));

    ns.drop_ports(&[NATS]);
    throughout(CUT, unchanged);
    netns::request(&fleet[1].socket, "POST", "/v1/labels", "over:gossip").unwrap();
    for agent in &fleet {
        eventually(SOON, || {
            let answer = netns::request(&agent.socket, "GET", "/v1/resolve?label=over:gossip", "").unwrap().json();
            expect(answer == serde_json::json!(["n2"]), answer)
        });
    }
}
