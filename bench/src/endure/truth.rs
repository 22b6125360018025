//! What the fleet was told and has acknowledged, and whether each agent's view is that: every node alive, with its labels,
//! its instances and their status. The file of the template must have the passing ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::agent::{Agent, rendered};
use crate::random::Random;

const SERVICES: usize = 5;

/// Instances and labels that come and go on each agent.
const INSTANCES: usize = 20;
const LABELS: usize = 20;

/// What the labels of this run begin with: lists show the forms of instances among them.
const LABEL: &str = "soak:";

/// The state of every node once the trouble is over.
const ALIVE: &str = "alive";

const STATUSES: [(&str, &str); 3] = [("pass", "passing"), ("warn", "warning"), ("fail", "critical")];

/// The name of service `n`.
pub(super) fn service(n: usize) -> String {
    format!("svc-{n}")
}

/// What one node is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    state: String,
    labels: BTreeSet<String>,
    /// Status by id.
    instances: BTreeMap<String, String>,
}

/// What was acknowledged, by the name of the node.
pub(super) struct Truth {
    nodes: BTreeMap<String, Node>,
    rendered: PathBuf,
}

impl Truth {
    pub(super) fn new(agents: &[Agent], folder: &Path) -> Self {
        let node = || Node { state: ALIVE.into(), ..Node::default() };
        let nodes = agents.iter().map(|agent| (agent.name.clone(), node())).collect();
        Self { nodes, rendered: rendered(folder) }
    }

    /// Changes something at one of the agents that answer: a label, an instance, or the status of one.
    pub(super) fn change(&mut self, agents: &[Agent], random: &mut Random) -> Result<(), String> {
        let up: Vec<_> = agents.iter().filter(|agent| agent.is_up && !agent.is_spared).collect();
        let agent = *random.choose(&up);
        let Some(node) = self.nodes.get_mut(&agent.name) else { return Ok(()) };
        if random.below(4) == 0 {
            let label = format!("{LABEL}{}", random.below(LABELS));
            let is_there = node.labels.contains(&label);
            done(agent, if is_there { "DELETE" } else { "POST" }, "/v1/labels", &label)?;
            if !node.labels.remove(&label) {
                node.labels.insert(label);
            }
            return Ok(());
        }
        let n = random.below(INSTANCES);
        let id = format!("{}-{n}", agent.name);
        let is_there = node.instances.contains_key(&id);
        if !is_there {
            let check = json!({ "TTL": "24h", "Status": "passing" });
            let body = json!({ "Name": service(n % SERVICES), "ID": id, "Port": 8000 + n, "Tags": ["a"], "Check": check });
            done(agent, "PUT", "/v1/agent/service/register", &body.to_string())?;
            node.instances.insert(id, "passing".into());
        } else if random.below(3) == 0 {
            done(agent, "PUT", &format!("/v1/agent/service/deregister/{id}"), "")?;
            node.instances.remove(&id);
        } else {
            let (verb, status) = *random.choose(&STATUSES);
            done(agent, "PUT", &format!("/v1/agent/check/{verb}/service:{id}"), "")?;
            node.instances.insert(id, status.into());
        }
        Ok(())
    }

    /// Whether every agent sees exactly this; if not, who does not and what.
    pub(super) fn compare(&self, agents: &[Agent]) -> Result<(), String> {
        for agent in agents {
            let seen = view(agent)?;
            if seen != self.nodes {
                return Err(format!("{} sees: {}", agent.name, self.difference(&seen)));
            }
        }
        let text = std::fs::read_to_string(&self.rendered).unwrap_or_default();
        let lines: BTreeSet<_> = text.lines().map(str::to_owned).collect();
        let wanted = self.passing();
        if lines == wanted { Ok(()) } else { Err(format!("the template has {lines:?}, not {wanted:?}")) }
    }

    /// Ids of the passing instances of the service that the template shows.
    fn passing(&self) -> BTreeSet<String> {
        let is_first = |id: &str| id.rsplit('-').next().and_then(|n| n.parse::<usize>().ok()).is_some_and(|n| n % SERVICES == 0);
        let all = self.nodes.values().flat_map(|node| &node.instances);
        all.filter(|(id, status)| *status == "passing" && is_first(id)).map(|(id, _)| id.clone()).collect()
    }

    fn difference(&self, seen: &BTreeMap<String, Node>) -> String {
        let names: BTreeSet<_> = self.nodes.keys().chain(seen.keys()).collect();
        let differs = names.into_iter().filter(|name| self.nodes.get(*name) != seen.get(*name));
        differs.map(|name| format!("\n  {name}: {:?}\n  wanted: {:?}", seen.get(name), self.nodes.get(name))).collect()
    }
}

/// Makes a request that must be acknowledged.
fn done(agent: &Agent, method: &str, path: &str, body: &str) -> Result<(), String> {
    let answer = agent.request(method, path, body)?;
    if answer.status == 200 {
        Ok(())
    } else {
        Err(format!("{} {method} {path}: {} {}", agent.name, answer.status, answer.text()))
    }
}

/// What an agent says about all nodes. Those that are not alive show their labels too, so that what differs is told as it is. Who
/// comes between two of the requests has instances, and neither state nor labels.
fn view(agent: &Agent) -> Result<BTreeMap<String, Node>, String> {
    let list = |path: &str| {
        let answer = agent.request("GET", path, "")?;
        match answer.status {
            200 => Ok(answer.json().as_array().cloned().unwrap_or_default()),
            404 => Ok(Vec::new()),
            status => Err(format!("{} GET {path}: {status}", agent.name)),
        }
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut nodes = BTreeMap::<String, Node>::new();
    for node in list("/v1/nodes")? {
        let (name, state) = (text(&node["name"]), text(&node["state"]));
        // A node that drew a new id leaves its old one behind, failed.
        if state != ALIVE && nodes.contains_key(&name) {
            continue;
        }
        let labels = node["labels"].as_array().into_iter().flatten().map(text).filter(|label| label.starts_with(LABEL));
        nodes.insert(name, Node { state, labels: labels.collect(), instances: BTreeMap::new() });
    }
    for n in 0..SERVICES {
        for instance in list(&format!("/v1/services/{}", service(n)))? {
            let node = nodes.entry(text(&instance["node"])).or_default();
            node.instances.insert(text(&instance["id"]), text(&instance["status"]));
        }
    }
    Ok(nodes)
}
