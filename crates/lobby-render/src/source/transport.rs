//! How questions reach an agent: one GET at a time. Decides what a program has to bring, so that nothing here knows HTTP;
//! lobbyd brings its own router without a socket, lobbyctl a client.

use std::future::Future;
use std::time::Duration;

/// The longest body that is read: 64 MiB, 40 000 instances with two checks each. A transport need not hand on more than one
/// byte beyond it.
pub const BODY_BYTES: usize = 64 << 20;

/// Brings one answer.
pub trait Transport: Send + Sync + 'static {
    /// GET of a path with its query, both escaped, such as `/v1/health/service/web?passing=1`. The agent may hold the
    /// request for `wait` and a sixteenth more; zero: it answers at once. Answers of every status are replies.
    fn get(&self, path_and_query: &str, wait: Duration) -> impl Future<Output = Result<Reply, TransportError>> + Send;

    /// As [`Source::is_doubtful`](super::Source::is_doubtful), for transports that can tell.
    fn is_doubtful(&self) -> bool {
        false
    }
}

/// What an agent answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// `X-Consul-Index`, if it is a number.
    pub index: Option<u64>,
    /// `X-Lobby-Warm`: whether its picture of the fleet is complete. None: no lobbyd answered, so it always is.
    pub warm: Option<bool>,
    /// `X-Consul-LastContact`: how long ago whoever answered heard of its leader. None: not told.
    pub last_contact: Option<Duration>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TransportError {
    /// What went wrong, for people.
    pub message: String,
    /// Whether the same request may work later.
    pub is_retryable: bool,
}
