//! The arguments of the verbs of the local proxy.
//!
//! Not here: the list of all verbs and the help text (`cli`).

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::time;

/// HAProxy, kept in step.
#[derive(Debug, Subcommand)]
pub(crate) enum Proxy {
    /// The services that the daemon proxies, and whether HAProxy is in step
    Status,
    /// What would be done to HAProxy, nginx and files now, and whether that takes a reload; does nothing
    Plan(Source),
    /// How the files of HAProxy, nginx and others would change; writes nothing
    Diff(Source),
    /// Does it once for HAProxy: file, check, socket, and a reload if one is needed; returns when all is in step
    Apply(Source),
}

/// What the proxy is to be like.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// A configuration of lobbyd with a proxy table; LOBBY_CONFIG if neither this nor --synapse is given
    #[arg(long, value_name = "FILE", conflicts_with = "synapse")]
    pub(crate) config: Option<PathBuf>,
    /// A configuration of Synapse
    #[arg(long, value_name = "FILE")]
    pub(crate) synapse: Option<PathBuf>,
    /// How long the sources of the services may take to answer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time::option)]
    pub(crate) timeout: Duration,
}

/// Deploys without a lost request: two versions on two ports, one of them the backup of the other.
#[derive(Debug, Subcommand)]
pub(crate) enum Deploy {
    /// Makes one port of a service the primary one on the daemon's node, once somebody listens there
    Swap(Swap),
    /// Which port is the primary one on which node
    Status {
        /// The service
        service: String,
    },
}

/// What becomes primary.
#[derive(Debug, Args)]
pub(crate) struct Swap {
    /// The service, as its proxies call it
    pub(crate) service: String,
    /// The port of the version that is to take the requests
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) to: u16,
    /// Do so though nobody listens there, or this node does not offer the service
    #[arg(long)]
    pub(crate) force: bool,
    /// Return when the agents that answer have applied it; fails unless all have within this time, 50ms to 1m. 0: do not wait
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time::option)]
    pub(crate) wait: Duration,
}
