//! Services as the daemon's catalog has them, and why an instance is shown as it is.
//!
//! Read leniently, as all answers. Selectors (`where`) are lobbyd's own; docs/rest.md has their grammar.
//! Not here: changing what this daemon offers (`registration`), following a service (`follow`).

use std::collections::BTreeMap;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Answer, Client, ClientError, NodeName};

/// A service in short.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// How many instances it has, or how many of them the selector takes.
    pub instances: u64,
    /// How many of these pass all checks.
    pub passing: u64,
    /// How many have a check that warns, and none that is worse.
    pub warning: u64,
    /// How many have a critical check, or a failed node.
    pub critical: u64,
    /// How many take nothing new, whatever their checks say.
    pub draining: u64,
    /// The tags of all of them, sorted.
    pub tags: Vec<String>,
}

/// One instance of a service, with all that judges it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Instance {
    /// Unique on its node.
    pub id: String,
    /// The service that it is an instance of.
    pub service: String,
    /// The name of its node.
    pub node: String,
    /// The id of its node in 32 hexadecimal digits; none for a Go daemon, and for nodes without an agent.
    pub node_id: Option<String>,
    /// No exchange holds its node alive: it is critical.
    pub node_failed: bool,
    /// Where others reach it.
    pub address: String,
    /// On which port; 0 when it has none.
    pub port: u16,
    /// Its tags, in the order of its registration.
    pub tags: Vec<String>,
    /// What else it says of itself.
    pub meta: BTreeMap<String, String>,
    /// Its share of the work.
    pub weights: Weights,
    /// `passing`, `warning` or `critical`: the worst of its checks and those of its node.
    pub status: String,
    /// Somebody took it or its node out.
    pub maintenance: bool,
    /// It takes nothing new.
    pub drain: bool,
    /// A label made it.
    pub from_label: bool,
    /// Milliseconds since its node was last heard of.
    pub age_ms: Option<u64>,
    /// Its checks and those of its node.
    pub checks: Vec<Check>,
}

/// The share of the work of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Weights {
    /// While it is passing.
    pub passing: u32,
    /// While it warns.
    pub warning: u32,
}

/// What a check says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// Unique on its node.
    pub id: String,
    /// For people.
    pub name: String,
    /// `instance`, or `node` when it judges all of the node.
    pub of: String,
    /// `tcp`, `http`, `ttl`, …
    pub kind: String,
    /// `passing`, `warning` or `critical`.
    pub status: String,
    /// What its author says about it.
    pub notes: String,
    /// What it said last, or the beginning of that.
    pub output: String,
}

/// Why an instance is shown as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Why {
    /// The service.
    pub service: String,
    /// The instance.
    pub id: String,
    /// What is made of it: `passing`, `warning`, `draining`, `critical`, `maintenance` or `failed`.
    pub verdict: String,
    /// Whose it is, and how that node is.
    pub owner: Owner,
    /// Its checks and those of its node.
    pub checks: Vec<Evidence>,
    /// Labels made it.
    pub from_label: bool,
    /// Other nodes of the name of its node.
    pub conflict: Vec<NodeName>,
    /// Everything else that the daemon says.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// The node whose instance it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// Its name.
    pub name: String,
    /// `alive`, `suspect`, `restarting`, `unattended`, `stale` or `failed`.
    pub state: String,
    /// Milliseconds since it was heard of.
    pub age_ms: u64,
    /// Everything else that the daemon says.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// What one check says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// Its id.
    pub id: String,
    /// How it finds out.
    pub kind: String,
    /// `passing`, `warning` or `critical`; of maintenance `maintenance`.
    pub verdict: String,
    /// What it said last, or the beginning of that.
    pub output: String,
    /// What its author says about it.
    pub notes: String,
    /// Everything else that the daemon says.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

impl Default for Weights {
    /// One share, as long as nobody says otherwise.
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

impl Client {
    /// `GET /v1/services?where=`: all services; with a selector, those with an instance that it takes.
    ///
    /// ```no_run
    /// # async fn demo() -> Result<(), lobby::client::ClientError> {
    /// # let client = lobby::client::Client::new("http://127.0.0.1:1313")?;
    /// for service in client.services(Some("status=critical")).await?.value {
    ///     println!("{}: {} are critical", service.name, service.instances);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 400 if the selector is none.
    pub async fn services(&self, selector: Option<&str>) -> Result<Answer<Vec<Service>>, ClientError> {
        self.get(self.chosen(&["v1", "services"], selector)).await
    }

    /// `GET /v1/services/:name?where=`: the instances of a service, those of failed nodes too.
    ///
    /// ```no_run
    /// # async fn demo() -> Result<(), lobby::client::ClientError> {
    /// # let client = lobby::client::Client::new("http://127.0.0.1:1313")?;
    /// for web in client.service("web", Some("status=passing and tag=v2")).await?.value {
    ///     println!("{}:{} on {}", web.address, web.port, web.node);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Refused`] if nobody offers the service (404), or the selector is none (400).
    pub async fn service(&self, name: &str, selector: Option<&str>) -> Result<Answer<Vec<Instance>>, ClientError> {
        self.get(self.chosen(&["v1", "services", name], selector)).await
    }

    /// `GET /v1/why/:service[/:id]`: the evidence for each instance of a service, or for those of this id.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 404 if there is none.
    pub async fn why(&self, service: &str, id: Option<&str>) -> Result<Answer<Vec<Why>>, ClientError> {
        let segments: Vec<_> = ["v1", "why", service].into_iter().chain(id).collect();
        self.get(self.route(&segments)).await
    }

    /// The address of a route for what a selector takes.
    pub(super) fn chosen(&self, segments: &[&str], selector: Option<&str>) -> Url {
        let mut url = self.route(segments);
        if let Some(selector) = selector {
            url.query_pairs_mut().append_pair("where", selector);
        }
        url
    }
}
