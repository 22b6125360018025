//! What templates ask for. Decides which questions there are and when two are the same; reading them from the arguments of
//! template functions is in `parse`, what people see of them in `show`, answering them is a source's part.

mod parse;
mod show;

use std::path::PathBuf;

pub use parse::InvalidQuery;

/// A question. Equal ones are asked once, however many templates ask them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Query {
    /// `service "tag.name@dc~near|filter"`: instances of a service by health.
    Service(ServiceQuery),
    /// `services "@dc"`: names and tags of all services.
    Services {
        /// None: our own.
        datacenter: Option<String>,
    },
    /// `nodes "@dc~near"`
    Nodes {
        /// None: our own.
        datacenter: Option<String>,
        /// A node's name, or `_agent`: nearest to it first.
        near: Option<String>,
    },
    /// `node "name@dc"`: a node with its services.
    Node {
        /// None: the agent's own.
        name: Option<String>,
        /// None: our own.
        datacenter: Option<String>,
    },
    /// `datacenters`
    Datacenters,
    /// `key`, `keyExists` and `keyOrDefault`: one value of the key-value store.
    Key {
        /// Without a leading `/`.
        path: String,
        /// None: our own.
        datacenter: Option<String>,
    },
    /// `ls` and `tree`: everything below a prefix.
    Keys {
        /// Without a leading `/`.
        prefix: String,
        /// None: our own.
        datacenter: Option<String>,
    },
    /// `file "path"`: the text of a file.
    File(PathBuf),
    /// Lobby's own: `nodes` and `labels` that a selector takes; empty: all.
    Selected {
        /// As in `/v1/nodes?where=`.
        selector: String,
    },
    /// Lobby's own `instances`: those that a selector takes, of one service or of all.
    Instances {
        /// None: of all services.
        service: Option<String>,
        /// As in `/v1/services?where=`; empty: all.
        selector: String,
    },
}

/// The instances of a service that a template wants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceQuery {
    /// Of the service.
    pub name: String,
    /// Only instances that have it.
    pub tag: Option<String>,
    /// None: our own.
    pub datacenter: Option<String>,
    /// A node's name, or `_agent`: nearest to it first, else by node and id.
    pub near: Option<String>,
    /// Which statuses are wanted, sorted; `[Any]` takes all. Never empty.
    pub statuses: Vec<Wanted>,
}

/// A status that a template wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wanted {
    /// Whatever the status is.
    Any,
    /// All checks pass.
    Passing,
    /// The worst check warns.
    Warning,
    /// A check is critical.
    Critical,
    /// An operator took it or its node out.
    Maintenance,
}
