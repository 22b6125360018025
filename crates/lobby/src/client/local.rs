//! The local proxy of the daemon, and changes of its labels that are waited for, as deploys behind proxies need them.
//!
//! Not here: what a proxy is told to do (its configuration).

use std::time::Duration;

use lobby_core::label::Label;
use reqwest::Method;
use serde_json::Value;

use super::{Answer, Applied, Client, ClientError, FLEET_TIMEOUT};

impl Client {
    /// `GET /v1/proxy`: the services that the daemon proxies, and whether HAProxy and nginx are in step.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 404 if it proxies nothing.
    pub async fn proxy(&self) -> Result<Answer<Value>, ClientError> {
        self.get(self.route(&["v1", "proxy"])).await
    }

    /// `POST /v1/labels?wait=`: adds runtime labels, and waits, up to this time (50 ms to a minute), until the agents that answer
    /// have applied it.
    ///
    /// # Errors
    /// [`ClientError::Refused`] as [`Client::add_labels`], and if too many queries are under way (429).
    pub async fn add_labels_and_wait(&self, labels: &[Label], wait: Duration) -> Result<Applied, ClientError> {
        self.change_labels(Method::POST, labels, wait).await
    }

    /// `DELETE /v1/labels?wait=`: removes runtime labels, and waits in the same way.
    ///
    /// # Errors
    /// [`ClientError::Refused`] as [`Client::remove_labels`], and if too many queries are under way (429).
    pub async fn remove_labels_and_wait(&self, labels: &[Label], wait: Duration) -> Result<Applied, ClientError> {
        self.change_labels(Method::DELETE, labels, wait).await
    }

    async fn change_labels(&self, method: Method, labels: &[Label], wait: Duration) -> Result<Applied, ClientError> {
        let body: String = labels.iter().map(|label| format!("{label}\n")).collect();
        let mut url = self.route(&["v1", "labels"]);
        url.query_pairs_mut().append_pair("wait", &format!("{}ms", wait.as_millis()));
        let within = wait.saturating_add(FLEET_TIMEOUT);
        Ok(self.send(method, url.clone(), body.into(), within).await?.json(&url)?.value)
    }
}
