//! Gossip between Lobby agents: who is a member, and what each member's record is. A machine without IO.
//!
//! ```text
//!  datagrams, stream frames, own record, seeds ──► Engine ──► datagrams, stream frames, peer events
//!                                                    ▲
//!                                        time (Moment), seed, nonces
//! ```
//! The shell (`lobby_exchange::gossip`) owns the sockets and the clock: it feeds [`Input`]s, calls
//! [`Engine::handle_deadline`] when [`Engine::next_deadline`] has come, and carries out each [`Output`]. The simulator
//! in `tests/it` does the same in virtual time with hundreds of engines.
//!
//! | part | module |
//! |---|---|
//! | membership (foca) and the five guards around it | `member` |
//! | proof of death, watch streams, cloned ids, forced leaves | `engine/death`, `watch`, `twin`, `force`; `notice` |
//! | what is known about each node, and the sums over it | `roster` |
//! | records pushed in datagrams | `queue`, `item`, `engine/push` |
//! | anti-entropy, join and pulls over streams | `frame`, `engine/talk`, `engine/contact` |
//! | the envelope of a datagram and its secrecy | `packet`, `keyring`, `replay` |
//! | user events and queries | `post`, `lamport`, `spread`, `engine/event`, `engine/query` |
//! | keys changed at run time | `keyring`, `engine/keys` |
//! | coordinates of round trip times | `vivaldi`, `engine/locate` |
//!
//! Not here: sockets, DNS, Noise (the shell); what a failed member means (`lobby_core::catalog`).

mod allowance;
mod bucket;
mod clock;
mod codec;
mod config;
mod engine;
mod frame;
mod identity;
mod item;
mod keyring;
mod lamport;
#[cfg(test)]
mod laws;
mod member;
mod notice;
mod packet;
mod post;
mod queue;
mod replay;
mod roster;
mod spread;
mod timer;
mod vivaldi;

pub use clock::EngineClock;
pub use config::{Config, Profile};
pub use engine::{Asked, CONNECT_TIMEOUT, Engine, Input, MAX_INBOUND, Output, Reach, Setup, StreamId};
pub use frame::FRAME_BYTES;
pub use identity::{Identity, is_reachable};
pub use keyring::{KEYS_META, Key, Keyring, KeyringError, Nonce, OpenError, PREAMBLE_BYTES, ParseKeyError};
