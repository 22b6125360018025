//! Changing what the daemon's own node offers: registering, taking away, draining, reports, maintenance.
//!
//! A change that is answered is on the daemon's disk and in its next answer. What a definition may hold is said in
//! docs/rest.md; durations of less than a second are taken as they are.
//! Not here: a registration that lasts as long as a connection (`hold`).

use std::{collections::BTreeMap, time::Duration};

pub use lobby_core::check::Status;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Answer, Client, ClientError, FLEET_TIMEOUT, TIMEOUT};

/// An instance that the daemon's own node offers, in Consul's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct OwnInstance {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// The service that it is an instance of.
    pub service: String,
    /// On which port; 0 when it has none.
    pub port: u16,
}

/// A check that is registered at the daemon, in Consul's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct OwnCheck {
    /// Its id.
    #[serde(rename = "CheckID")]
    pub id: String,
    /// The instance that it judges; empty: all of the node.
    #[serde(rename = "ServiceID")]
    pub instance: String,
    /// `ttl`, `tcp`, …
    pub r#type: String,
    /// `passing`, `warning` or `critical`.
    pub status: String,
    /// What it said last.
    pub output: String,
}

/// Who has applied a change that was waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Applied {
    /// How many agents have.
    pub applied: u64,
    /// How many were asked, the daemon itself too. Zero if it asks nobody, since it does not gossip or is not listed.
    pub asked: u64,
    /// The names of those that did not answer in time.
    pub missing: Vec<String>,
}

impl Applied {
    /// Whether everybody has, and somebody was asked.
    pub const fn is_everywhere(&self) -> bool {
        self.asked > 0 && self.applied == self.asked && self.missing.is_empty()
    }
}

impl Client {
    /// `PUT /v1/services/:name/:id`: registers an instance at this daemon, or replaces it and its checks.
    ///
    /// ```no_run
    /// # async fn demo() -> Result<(), lobby::client::ClientError> {
    /// # let client = lobby::client::Client::new("http://127.0.0.1:1313")?;
    /// let check = serde_json::json!({"TCP": "127.0.0.1:8080", "Interval": "1s"});
    /// let web = serde_json::json!({"Port": 8080, "Tags": ["v2"], "Checks": [check]});
    /// client.register("web", "web-1", &web).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the definition is not accepted (400, 413), says another name or id (400), or a label
    /// makes the instance (409).
    pub async fn register(&self, name: &str, id: &str, definition: &Value) -> Result<(), ClientError> {
        self.put(self.route(&["v1", "services", name, id]), definition.to_string().into(), TIMEOUT).await.map(drop)
    }

    /// `PUT /v1/agent/service/deregister/:id`: takes an instance of this daemon away, with its checks.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if nothing of this id is registered here (404), or a label makes it (409).
    pub async fn deregister(&self, id: &str) -> Result<(), ClientError> {
        self.put(self.route(&["v1", "agent", "service", "deregister", id]), Vec::new(), TIMEOUT).await.map(drop)
    }

    /// `PUT` or `DELETE /v1/services/:name/:id/drain`: an instance of this daemon takes nothing new, or again.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 404 if no instance of this id and service is registered here.
    pub async fn drain(&self, name: &str, id: &str, on: bool) -> Result<(), ClientError> {
        self.send(drains(on), self.route(&["v1", "services", name, id, "drain"]), Vec::new(), TIMEOUT).await.map(drop)
    }

    /// `PUT` or `DELETE /v1/drain`: all of the daemon's node takes nothing new, or again.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn drain_node(&self, on: bool) -> Result<(), ClientError> {
        self.send(drains(on), self.route(&["v1", "drain"]), Vec::new(), TIMEOUT).await.map(drop)
    }

    /// The same for an instance (its service and id), or all of the node, waiting so long (50 ms to a minute) until the agents
    /// that answer have applied it. That some have not is no error but in what is returned.
    ///
    /// ```no_run
    /// # async fn demo() -> Result<(), lobby::client::ClientError> {
    /// # let client = lobby::client::Client::new("http://127.0.0.1:1313")?;
    /// let applied = client.drain_and_wait(Some(("web", "web-1")), true, std::time::Duration::from_secs(5)).await?;
    /// if !applied.is_everywhere() {
    ///     println!("{} may still send requests", applied.missing.join(", "));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the instance is not registered here (404), or too many queries are under way (429).
    pub async fn drain_and_wait(&self, of: Option<(&str, &str)>, on: bool, wait: Duration) -> Result<Applied, ClientError> {
        let mut url = match of {
            Some((name, id)) => self.route(&["v1", "services", name, id, "drain"]),
            None => self.route(&["v1", "drain"]),
        };
        url.query_pairs_mut().append_pair("wait", &format!("{}ms", wait.as_millis()));
        let within = wait.saturating_add(FLEET_TIMEOUT);
        Ok(self.send(drains(on), url.clone(), Vec::new(), within).await?.json(&url)?.value)
    }

    /// `PUT /v1/agent/check/update/:id`: reports to a check with a TTL.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if no check of this id is registered here (404), or it is of another kind (500).
    pub async fn report(&self, check: &str, status: Status, note: &str) -> Result<(), ClientError> {
        let body = json!({ "Status": status.as_str(), "Output": note });
        self.put(self.route(&["v1", "agent", "check", "update", check]), body.to_string().into(), TIMEOUT).await.map(drop)
    }

    /// `PUT /v1/agent/service/maintenance/:id` or `/v1/agent/maintenance`: takes an instance of this daemon, or all of its
    /// node, out, or back in. The reason is shown to everybody; an empty one is none.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 404 if nothing of this id is registered here.
    pub async fn maintain(&self, id: Option<&str>, on: bool, reason: &str) -> Result<(), ClientError> {
        let segments = match id {
            Some(id) => vec!["v1", "agent", "service", "maintenance", id],
            None => vec!["v1", "agent", "maintenance"],
        };
        let mut url = self.route(&segments);
        url.query_pairs_mut().append_pair("enable", if on { "true" } else { "false" });
        if !reason.is_empty() {
            url.query_pairs_mut().append_pair("reason", reason);
        }
        self.put(url, Vec::new(), TIMEOUT).await.map(drop)
    }

    /// `GET /v1/agent/services`: what the daemon's own node offers, by id.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn own_instances(&self) -> Result<Answer<BTreeMap<String, OwnInstance>>, ClientError> {
        self.get(self.route(&["v1", "agent", "services"])).await
    }

    /// `GET /v1/agent/service/:id`: one of them.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 404 if nothing of this id is there.
    pub async fn own_instance(&self, id: &str) -> Result<Answer<OwnInstance>, ClientError> {
        self.get(self.route(&["v1", "agent", "service", id])).await
    }

    /// `GET /v1/agent/checks`: the checks that are registered at the daemon, by id.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn own_checks(&self) -> Result<Answer<BTreeMap<String, OwnCheck>>, ClientError> {
        self.get(self.route(&["v1", "agent", "checks"])).await
    }
}

/// The method that makes something drain, or ends that.
const fn drains(on: bool) -> Method {
    if on { Method::PUT } else { Method::DELETE }
}
