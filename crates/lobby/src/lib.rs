//! Embed Lobby into a program, or talk to a running lobbyd.
//!
//! With the feature `node` a program is an agent of its own: it has a record, exchanges it with the fleet and holds the
//! whole catalog in memory.
//!
//! ```no_run
//! # #[cfg(feature = "gossip")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use lobby::{Lobby, gossip};
//!
//! let lobby = Lobby::builder()
//!     .name("web-1".parse()?)
//!     .labels(["service:web".parse()?])
//!     .gossip(gossip::Config {
//!         bind: "127.0.0.1:0".parse()?,
//!         advertise: None,
//!         join: vec!["127.0.0.1:1314".into()],
//!         keys: Vec::new(),
//!         cluster: "lobby".into(),
//!         profile: gossip::Profile::Lan,
//!         beacon: None,
//!         folder: None,
//!     })
//!     .start()
//!     .await?;
//! let snapshot = lobby.reader().snapshot();
//! println!("{} hosts", snapshot.hosts.len());
//! lobby.leave().await;
//! # Ok(())
//! # }
//! ```
//!
//! | feature | what it adds |
//! |---|---|
//! | `node` (default) | the node task, sources, storage, hooks |
//! | `gossip` (default) | embedded gossip: no other server needed |
//! | `nats`, `redis` | these brokers as exchanges |
//! | `client` | `client`: the HTTP API of a running lobbyd; needs no other feature |

#[cfg(feature = "client")]
pub mod client;

#[cfg(feature = "node")]
mod agent;
#[cfg(feature = "node")]
mod builder;
#[cfg(all(test, feature = "node"))]
mod captured;
#[cfg(feature = "node")]
pub mod hook;
#[cfg(feature = "node")]
mod node;
#[cfg(feature = "node")]
pub mod rlimit;
#[cfg(feature = "node")]
mod source;
#[cfg(feature = "node")]
pub mod store;
#[cfg(feature = "node")]
mod tasks;
#[cfg(feature = "node")]
mod way;

#[cfg(feature = "node")]
pub use agent::{AgentError, ExchangeInfo, Lobby};
#[cfg(feature = "node")]
pub use builder::{Builder, StartError};
pub use lobby_core as core;
#[cfg(feature = "gossip")]
pub use lobby_exchange::gossip;
#[cfg(feature = "nats")]
pub use lobby_exchange::nats;
#[cfg(feature = "redis")]
pub use lobby_exchange::redis;
#[cfg(feature = "node")]
pub use lobby_exchange::{ExchangeError, clock, memory};
#[cfg(feature = "node")]
pub use source::{
    hostname::current as hostname,
    labels::{LabelsConfig, ReadFixed},
};
