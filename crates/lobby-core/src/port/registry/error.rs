//! Why the local registry refuses, in words that Consul's clients look for where they look for any.
//!
//! Not here: what a refusal is over HTTP (outputs).

use std::sync::Arc;

use super::PROXY_PORTS;
use crate::{check::state::NotTtlError, instance::Id, label::Label, local::SetError};

/// Why a command was not carried out. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No instance of this id is registered here. Consul's clients look for the words.
    #[error("unknown service ID {0:?}: ensure that the id of an instance is given, not the name of its service")]
    UnknownInstance(String),
    /// No check of this id is registered here.
    #[error("unknown check ID {0:?}: ensure that the id of a check is given, not its name")]
    UnknownCheck(String),
    /// A label made the instance; whoever wants it gone removes the label.
    #[error("the instance {id:?} is made by the label {label:?}: remove that")]
    FromLabel {
        /// Its id.
        id: Id,
        /// The first of its labels.
        label: Label,
    },
    /// A file made it, and would make it again; whoever wants it gone changes the file.
    #[error("{id:?} is made by the file {file:?} in the folder services.d: change that")]
    FromFile {
        /// Of an instance or a check.
        id: Id,
        /// The name of the file.
        file: Arc<str>,
    },
    /// What the command would have changed is of a service that whoever asks may not write. It was not when it was sent.
    #[error("{0:?} was registered by somebody else meanwhile")]
    Changed(Id),
    /// Only checks of the kind TTL take reports.
    #[error(transparent)]
    NotTtl(#[from] NotTtlError),
    /// A value breaks its rules, or the record has no room.
    #[error(transparent)]
    Set(#[from] SetError),
    /// The id is one of those that lobbyd gives itself.
    #[error("the id {0:?} is reserved")]
    Reserved(Id),
    /// The check runs a command, which must be allowed first.
    #[error("checks that run commands are off: set ENABLE_SCRIPT_CHECKS (enable_script_checks) to true")]
    ScriptsDisabled,
    /// All ports for proxies are taken by what is registered here. Consul's clients look for the words.
    #[error(
        "Invalid SidecarService: no port provided for sidecar_service and none left in the configured range [{}, {}]",
        PROXY_PORTS.start(),
        PROXY_PORTS.end()
    )]
    NoProxyPort,
    /// A label made the instance; checks come with what is registered.
    #[error(
        "the instance {id:?} is made by the label {label:?} and takes no checks: register an instance of this id in its place"
    )]
    LabelTakesNoChecks {
        /// Its id.
        id: Id,
        /// The first of its labels.
        label: Label,
    },
    /// The process that the instance is to be bound to is not there, or cannot be watched.
    #[error("PID {pid}: {why}")]
    Process {
        /// Its id.
        pid: u32,
        /// What the system says.
        why: Arc<str>,
    },
    /// There are too many of something.
    #[error("{what}: at most {most} are accepted")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// It could not be written to disk.
    #[error("not saved: {0}")]
    NotSaved(Arc<str>),
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}
