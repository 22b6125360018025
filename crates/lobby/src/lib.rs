//! Embed Lobby into a program, or talk to a running lobbyd.
//!
//! With the feature `node` a program is an agent of its own: it has a record, exchanges it with the fleet and holds the
//! whole catalog in memory. It needs no daemon beside it.
//!
//! ```
//! # #[cfg(feature = "gossip")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::collections::BTreeMap;
//!
//! use lobby::{Lobby, MembershipHandler};
//!
//! struct Printer;
//!
//! impl MembershipHandler for Printer {
//!     fn member_join(&self, name: &str, tags: &BTreeMap<String, String>) {
//!         println!("{name} came: {tags:?}");
//!     }
//!
//!     fn member_leave(&self, name: &str, _tags: &BTreeMap<String, String>) {
//!         println!("{name} is gone");
//!     }
//! }
//!
//! let first = Lobby::builder().name("web-1".parse()?).bind("127.0.0.1:0").membership(Printer).start().await?;
//! let addr = first.exchanges()[0].address.ok_or("gossip listens")?.to_string();
//!
//! let second = Lobby::builder().name("web-2".parse()?).tags([("role", "web")]).bind("127.0.0.1:0").start().await?;
//! assert_eq!(second.join([addr]).await?, 1);
//! let mut events = first.member_events();
//! assert!(matches!(events.next().await, Some(lobby::MemberEvent::Join(web)) if web.tags["role"] == "web"));
//!
//! second.leave().await;
//! assert!(matches!(events.next().await, Some(lobby::MemberEvent::Leave(_))), "seen as left, not as failed");
//! assert_eq!(first.members().len(), 1);
//! # first.leave().await;
//! # Ok(())
//! # }
//! # #[cfg(feature = "gossip")]
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! #     tokio::time::timeout(std::time::Duration::from_secs(30), example()).await.unwrap().unwrap()
//! # });
//! ```
//!
//! The example `embed` is a whole program, beside the names that the same has in Go with Serf. Members come and go the
//! same way over every exchange; [`Builder::gossip`] and its siblings take all that there is to set. A start without
//! seeds, or with seeds that do not answer, is no error: the agent waits, and tries for ever. [`Lobby::user_events`]
//! tells user events; those from before the start are shown, but never told to anybody.
//!
//! | feature | what it adds |
//! |---|---|
//! | `node` (default) | the node task, sources, storage, services and their checks, hooks, handlers, membership |
//! | `gossip` (default) | embedded gossip: no other server needed |
//! | `nats`, `redis` | these brokers as exchanges |
//! | `probe` | `probe`: one run of a check, as the agent makes it; part of `node` |
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
mod external;
#[cfg(any(feature = "client", feature = "probe"))]
pub mod fetch;
#[cfg(feature = "probe")]
mod group;
#[cfg(feature = "node")]
pub mod handler;
#[cfg(feature = "node")]
pub mod hook;
#[cfg(feature = "node")]
pub mod membership;
#[cfg(feature = "node")]
mod node;
#[cfg(feature = "probe")]
pub mod probe;
#[cfg(feature = "node")]
mod pulse;
#[cfg(feature = "node")]
pub mod registry;
#[cfg(feature = "probe")]
pub mod rlimit;
#[cfg(feature = "node")]
mod run;
#[cfg(feature = "node")]
mod seeds;
#[cfg(feature = "node")]
mod source;
#[cfg(feature = "node")]
pub mod store;
#[cfg(feature = "node")]
mod tasks;
#[cfg(feature = "node")]
mod user_event;
#[cfg(feature = "node")]
mod way;

#[cfg(feature = "node")]
pub use agent::{AgentError, ExchangeInfo, Lobby};
#[cfg(feature = "node")]
pub use builder::{Builder, StartError};
#[cfg(feature = "probe")]
pub use group::secret_variables;
pub use lobby_core as core;
#[cfg(feature = "gossip")]
pub use lobby_exchange::gossip;
#[cfg(feature = "nats")]
pub use lobby_exchange::nats;
#[cfg(feature = "redis")]
pub use lobby_exchange::redis;
#[cfg(feature = "node")]
pub use lobby_exchange::{ExchangeError, clock, memory, seal};
#[cfg(feature = "node")]
pub use membership::{JoinError, Member, MemberEvent, MemberEvents, MembershipHandler};
#[cfg(feature = "node")]
pub use pulse::Pulse;
#[cfg(feature = "node")]
pub use source::{
    hostname::current as hostname,
    labels::{LabelsConfig, ReadFixed},
};
#[cfg(feature = "node")]
pub use user_event::UserEvents;
