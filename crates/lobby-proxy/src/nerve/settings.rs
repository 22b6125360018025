//! What a Nerve is told to do. Decides the model and the values that hold where a file says nothing.
//!
//! Not here: how a file is read (`config`).

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::Payload;
use crate::settings::Secret;

/// Between two rounds: that of Nerve.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// Of one check: that of Nerve.
pub(super) const TIMEOUT: Duration = Duration::from_millis(100);
/// To connect, and once more for the handshake of TLS: those of Nerve.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_millis(200);
/// Reports that fail in a row until a task begins anew: that of Nerve.
pub(super) const REPORT_FAILURES: u32 = 10;

/// Everything that a Nerve does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Each with another name.
    pub services: Vec<Service>,
    /// Touched every few seconds for as long as it works.
    pub heartbeat_path: Option<PathBuf>,
    /// Reports that fail in a row until a task begins anew.
    pub max_repeated_report_failures: u32,
}

impl Settings {
    /// Whether anything is reported to our own agent.
    pub fn asks_agent(&self) -> bool {
        self.services.iter().any(|service| service.reporter == Reporter::Lobby)
    }
}

/// One service of this machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Its key in the file; clones have a number behind it.
    pub name: String,
    /// Where it is reported.
    pub reporter: Reporter,
    /// What is reported.
    pub payload: Payload,
    /// Between two rounds.
    pub check_interval: Duration,
    /// It is up without any check.
    pub is_mocked: bool,
    /// All must pass.
    pub checks: Vec<Check>,
    /// How often it may be reported.
    pub rate: Rate,
    /// Of the whole file; here, so that a task knows it.
    pub max_repeated_report_failures: u32,
}

/// Where something is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporter {
    /// The catalog.
    Lobby,
    /// Nowhere but the log.
    Noop,
}

/// A bucket of tokens; a report takes one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Tokens a second; infinite: no limit.
    pub average: f64,
    /// Tokens that it holds, and begins with; at least one.
    pub burst: f64,
    /// Without a token it is reported all the same, with a word in the log.
    pub is_shadow: bool,
}

impl Default for Rate {
    fn default() -> Self {
        Self { average: f64::INFINITY, burst: f64::INFINITY, is_shadow: true }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// For the log.
    pub name: String,
    /// An address (IPv6 without brackets) or a host name.
    pub host: String,
    /// Never 0.
    pub port: u16,
    /// For all of it, unless the kind says more.
    pub timeout: Duration,
    /// Passes in a row until it is up again.
    pub rise: u32,
    /// Failures in a row until it is down.
    pub fall: u32,
    /// What is done.
    pub kind: CheckKind,
}

/// What a check does.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckKind {
    /// Passes always.
    Noop,
    /// Connects.
    Tcp,
    /// Asks; 200 to 399 pass.
    Http(Http),
    /// `PING`, and `EXISTS` of a key.
    Redis,
    /// A message goes through the queue `nerve`.
    Rabbitmq {
        /// Of the user.
        username: String,
        /// Of the user.
        password: Secret,
    },
}

/// How HTTP is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Http {
    /// Begins with a slash.
    pub uri: String,
    /// With TLS, whose certificate is not looked at.
    pub is_tls: bool,
    /// Besides `Host`.
    pub headers: BTreeMap<String, String>,
    /// A part of the body.
    pub expect: Option<String>,
    /// To connect, to shake hands, and to read: all of them together, for a request has one timeout.
    pub timeout: Duration,
}
