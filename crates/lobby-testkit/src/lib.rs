//! What tests share: real servers and daemons on free loopback ports, and waiting for a condition with a deadline.
//!
//! Everything started here is killed on drop, and its log is shown when the test fails. Blocking on purpose: a test
//! calls it around whatever runtime it has. A server that is not installed is a panic that names the command which
//! installs it, never a skipped test.

pub mod bridge;
pub mod daemon;
pub mod go_peer;
pub mod haproxy;
pub mod http;
pub mod load;
pub mod netns;
pub mod port;
pub mod process;
pub mod server;
pub mod tls;
pub mod wait;

pub use tempfile::TempDir;
pub use wait::{eventually, eventually_async, expect, holds_async};
