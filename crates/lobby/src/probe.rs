//! One run of a check: asks what the check names, once, and says how it is.
//!
//! ```text
//! Kind, timeout, bytes to keep ─► run ─► Verdict: status, tail of the output
//! ```
//! A run never fails otherwise than with a verdict, ends within its timeout (and [`GRACE`]), and keeps little of what
//! it is told. Dropped, it leaves no connection and no process group behind.
//! Not here: when a check runs (`lobby_core::check::schedule`), what several verdicts mean (`lobby_core::check::state`).

mod capped;
mod grpc;
mod h2ping;
mod http;
mod http2;
mod os_service;
mod script;
mod tail;
mod tcp;
mod tls;
mod udp;

#[cfg(test)]
mod tests;

use std::{io, net::SocketAddr, time::Duration};

use lobby_core::check::{Status, kind::Kind, output::Output, spec::OUTPUT_BYTES};

/// How much longer than its timeout a run may take: for the end of a command that was killed, or of its output. Killing
/// takes milliseconds, unless the command sits in the kernel; then it is left to end by itself.
pub const GRACE: Duration = Duration::from_secs(1);

/// Most addresses of one name that are tried, all at once. Two are usual, one of each family.
const ADDRESSES: usize = 8;

/// What one run has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it is.
    pub status: Status,
    /// The end of what it said, and how much that was.
    tail: String,
    total: u64,
}

impl Verdict {
    /// What it said, for the state of the check.
    pub fn output(&self) -> Output<'_> {
        Output { tail: &self.tail, total: self.total }
    }

    fn new(status: Status, text: impl Into<String>) -> Self {
        let tail = text.into();
        let total = tail.len() as u64;
        Self { status, tail, total }
    }

    fn critical(text: impl Into<String>) -> Self {
        Self::new(Status::Critical, text)
    }
}

/// Runs a check of this kind once. It takes at most `timeout`, and [`GRACE`] where a command must be killed.
///
/// Of its output about `keep` bytes are kept, and never more than [`OUTPUT_BYTES`] of what others said. A kind that is
/// not run, or that this version cannot run, is critical and says so.
///
/// Looking up a name is left to the system, which cannot be told to stop: a run that ends meanwhile leaves one thread
/// of tokio's pool to it until the system gives up.
pub async fn run(kind: &Kind, timeout: Duration, keep: usize) -> Verdict {
    let keep = keep.clamp(1, OUTPUT_BYTES as usize);
    match kind {
        Kind::Http(http) => Box::pin(http::run(http, timeout, keep)).await,
        Kind::Tcp { address, tls } => Box::pin(tcp::run(address, tls.as_ref(), timeout)).await,
        Kind::Udp { address } => udp::run(address, timeout).await,
        Kind::Grpc { target, tls } => Box::pin(grpc::run(target, tls.as_ref(), timeout)).await,
        Kind::H2ping { address, tls } => Box::pin(h2ping::run(address, tls.as_ref(), timeout)).await,
        Kind::Script { args } => script::run(args, timeout, keep).await,
        Kind::OsService { name } => os_service::run(name, timeout).await,
        kind if kind.is_run() => Verdict::critical(format!("a check of kind {} is not available in this version", kind.as_str())),
        kind => Verdict::critical(format!("a check of kind {} is not run", kind.as_str())),
    }
}

/// The addresses behind `host:port`; at least one.
async fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(address).await?.take(ADDRESSES).collect();
    match &*addresses {
        [] => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
        _ => Ok(addresses),
    }
}

/// What is said when the time is up.
fn too_late(timeout: Duration) -> String {
    format!("no answer within {timeout:?}")
}
