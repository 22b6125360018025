//! Tests of lobbyctl as a program, and the house rules of the whole repository.
//!
//! The house rules live here because this crate builds in seconds and needs no server.

mod again;
mod canned;
mod deploy;
mod gossip;
mod layers;
mod papers;
mod program;
mod proxy;
mod query;
mod run;
mod services;
mod template;
mod tidy;
mod watch;
