//! What can go wrong between a client and its daemon.
//!
//! Not here: exit codes and hints for people (`lobbyctl`).

use std::error::Error;

/// The longest part of an answer that is quoted in an error.
const QUOTE_BYTES: usize = 1024;

/// Why a request brought no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address is not one of a daemon. Nothing was sent; fix the address.
    #[error("{url:?} is not usable: {why}")]
    BadUrl {
        /// The address as given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A certificate or a key is none, or they are not of each other. Nothing was sent; fix them.
    #[error("TLS: {why}")]
    BadTls {
        /// What is wrong.
        why: String,
    },
    /// The token has characters that a header cannot carry. Nothing was sent; fix the token.
    #[error("the token has characters that cannot be sent")]
    BadToken,
    /// No daemon answered: nothing listens there, or the answer broke off or did not come in time. Whether a change
    /// was made is not known; every request may be repeated safely, but an event that is fired and a query that is asked
    /// again are new ones.
    #[error("no lobbyd answers at {url}")]
    NotReachable {
        /// The address that was tried, or `unix:` and the socket.
        url: String,
        /// What the network said; its innermost cause is the interesting one.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The daemon wants a token, another token, or this request from elsewhere. Nothing was changed.
    #[error("{message}")]
    Denied {
        /// What the daemon said.
        message: String,
    },
    /// The daemon answered with an error. Nothing was changed.
    #[error("refused with status {status}: {message}")]
    Refused {
        /// The status code.
        status: u16,
        /// What the daemon said.
        message: String,
    },
    /// The answer is not one of a lobbyd. Probably something else listens at this address.
    #[error("unexpected answer from {url}: {why}")]
    Unexpected {
        /// The address that was tried.
        url: String,
        /// What is unexpected about it.
        why: String,
    },
}

impl ClientError {
    /// The innermost cause, such as `Connection refused`; the error itself if there is none below it.
    pub fn cause(&self) -> String {
        innermost(self)
    }

    /// Whether the same may be done later as it is: the daemon is away, busy, or not ready.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::NotReachable { .. } | Self::Refused { status: 429 | 500 | 502..=504, .. })
    }
}

pub(super) fn innermost(err: &dyn Error) -> String {
    let mut err = err;
    while let Some(source) = err.source() {
        err = source;
    }
    err.to_string()
}

/// What an error body says: the `message` of `{"message": …}`, or the text itself, cut.
pub(super) fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Body {
        message: String,
    }
    match serde_json::from_slice(body) {
        Ok(Body { message }) => message,
        Err(_) => String::from_utf8_lossy(&body[..body.len().min(QUOTE_BYTES)]).trim().to_owned(),
    }
}
