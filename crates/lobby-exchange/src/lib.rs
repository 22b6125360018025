//! How records travel: one file and one feature per way.
//!
//! An exchange publishes our own record and nobody else's, and reports what it hears of others. It gets everything
//! it needs in a [`PeerLink`] and has one method. Whether a node is alive is decided in `lobby_core::catalog`.
//!
//! | feature | module | how a peer is known to be alive | who answers a newcomer |
//! |---|---|---|---|
//! | always | [`memory`] | it says so, within one process | every peer at once |
//! | `gossip` | `gossip` | probes (SWIM), reported | a seed, over a stream |
//! | `nats` | `nats` | heard of within TTL | one peer, on the ask subject |
//! | `redis` | `redis` | heard of within TTL | one peer, on the ask channel |

use std::{future::Future, path::PathBuf};

use lobby_core::port::PeerLink;
use tokio_util::sync::CancellationToken;

pub mod backoff;
#[cfg(any(feature = "nats", feature = "redis"))]
mod broker;
pub mod clock;
pub mod file;
#[cfg(feature = "gossip")]
pub mod gossip;
pub mod memory;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(any(feature = "nats", feature = "redis"))]
mod pem;
#[cfg(feature = "redis")]
pub mod redis;
pub mod seal;

/// A way for records to travel.
pub trait Exchange: Send + 'static {
    /// Publishes our record and reports peers until `stop`; then says the last word, if the last announcement is one: a
    /// goodbye when it leaves, when it restarts that it will be back. Returns within a second. Who stops without either is
    /// kept by its peers until their own evidence runs out.
    ///
    /// A lost connection is not an end: the exchange reports the link down and tries again for ever.
    fn run(self, link: PeerLink, stop: CancellationToken) -> impl Future<Output = Result<(), ExchangeError>> + Send;
}

/// Why an exchange cannot go on. Trying again would not help; the agent stops and shows this.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// An address cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address as configured.
        address: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A setting makes no sense to the library that was given it.
    #[error("{setting} is not usable: {why}")]
    Setting {
        /// The name of the setting, as in the configuration.
        setting: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A file of the data folder cannot be read or removed.
    #[error("{path:?} cannot be used")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file of the data folder is not what this program wrote, and must not be guessed at.
    #[error("{path:?} is damaged ({why}): repair it, or remove it to start with what is configured")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}
