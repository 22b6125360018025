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

use std::future::Future;

use lobby_core::port::PeerLink;
use tokio_util::sync::CancellationToken;

pub mod backoff;
#[cfg(any(feature = "nats", feature = "redis"))]
mod broker;
pub mod clock;
#[cfg(feature = "gossip")]
pub mod gossip;
pub mod memory;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "redis")]
pub mod redis;

/// A way for records to travel.
pub trait Exchange: Send + 'static {
    /// Publishes our record and reports peers until `stop`; then says goodbye, if the last announcement is leaving, and
    /// returns within a second. Who stops without leaving is restarting: its peers keep it until their own evidence runs out.
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
}
