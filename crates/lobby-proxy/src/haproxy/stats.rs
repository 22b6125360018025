//! What the task of one HAProxy counts and knows. Decides what metrics and `lobbyctl proxy status` can show.
//!
//! Written by the task (`output`, `manage`), read as a [`Status`] by whoever shows it.

use std::collections::BTreeMap;

use lobby_core::stats::{ProxyBackends, ProxyCounts, ProxyOutput};
use serde::{Deserialize, Serialize};

use crate::shared::{Output, Shared};

/// Shared between the task and whoever shows it.
pub type Stats = Shared<Status>;

/// One HAProxy at one moment; counters are since the first task of this program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// File and process are as they should be.
    pub is_in_step: bool,
    /// The file that is kept, if one is.
    pub config_file: Option<std::path::PathBuf>,
    /// Services whose source has not answered yet.
    pub unanswered: Vec<String>,
    /// Of HAProxy, as far as it is known.
    pub version: Option<String>,
    /// Files put in place.
    pub writes: u64,
    /// Those of them that were written in place, as the file cannot be renamed over.
    pub writes_in_place: u64,
    /// Files that the check did not take.
    pub checks_failed: u64,
    /// Files that could not be written for another reason.
    pub writes_failed: u64,
    /// Reloads that were done.
    pub reloads: u64,
    /// Reloads that failed; they are tried again.
    pub reloads_failed: u64,
    /// For how many reloads there was this reason; one may have several.
    pub reload_reasons: BTreeMap<String, u64>,
    /// Why a reload is due now.
    pub reload_due: Vec<String>,
    /// Commands over the socket that were done, by kind.
    pub commands: BTreeMap<String, u64>,
    /// Commands over the socket that were refused or lost.
    pub commands_failed: u64,
    /// Reads of the socket that failed.
    pub socket_failures: u64,
    /// Commands that mended what somebody else had changed.
    pub repaired: u64,
    /// By the name of the backend.
    pub backends: BTreeMap<String, BackendStatus>,
    /// Starts of a managed HAProxy.
    pub starts: u64,
    /// Ends of a managed HAProxy that nobody asked for.
    pub crashes: u64,
    /// The process id of a managed HAProxy.
    pub managed_pid: Option<u32>,
    /// How long a managed HAProxy that ended waits for its next start, in milliseconds.
    pub backoff_ms: Option<u64>,
    /// What went wrong last, for people; None once all is in step.
    pub last_error: Option<String>,
}

/// One backend.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendStatus {
    /// Servers that should take traffic.
    pub wanted: u64,
    /// Servers that do.
    pub up: u64,
    /// Servers that finish what they have.
    pub draining: u64,
    /// Servers kept although contact with their node is lost.
    pub held: u64,
}

impl Status {
    /// Adds its numbers to those of the whole proxy, for metrics.
    pub fn count(&self, counts: &mut ProxyCounts) {
        let pairs = |map: &BTreeMap<String, u64>| map.iter().map(|(name, n)| (name.clone(), *n)).collect();
        counts.backends.extend(self.backends.iter().map(|(name, backend)| {
            let BackendStatus { wanted, up, draining, held } = *backend;
            ProxyBackends { name: name.clone(), wanted, up, draining, held }
        }));
        let output = ProxyOutput {
            is_in_step: self.is_in_step,
            writes: self.writes,
            writes_failed: self.writes_failed,
            checks_failed: self.checks_failed,
            reloads: self.reloads,
            reload_reasons: pairs(&self.reload_reasons),
            reloads_failed: self.reloads_failed,
        };
        counts.outputs.push(("haproxy", output));
        counts.commands = pairs(&self.commands);
        counts.commands_failed = self.commands_failed;
        counts.socket_failures = self.socket_failures;
        counts.repaired = self.repaired;
        (counts.starts, counts.crashes) = (self.starts, self.crashes);
    }
}

impl Output for Status {
    const NAME: &'static str = "haproxy";

    fn last_error(&mut self) -> &mut Option<String> {
        &mut self.last_error
    }

    fn counted(&self) -> Self {
        Self {
            is_in_step: false,
            config_file: None,
            unanswered: Vec::new(),
            version: None,
            reload_due: Vec::new(),
            backends: BTreeMap::new(),
            managed_pid: None,
            backoff_ms: None,
            last_error: None,
            ..self.clone()
        }
    }
}
