//! How watchers speak HTTP. Decides what a program has to bring (lobbyd brings its client), so that nothing here knows a
//! library for it: plain requests to a URL, or to the socket of a local daemon such as Docker.

use std::{future::Future, path::PathBuf, time::Duration};

/// The longest body that is read: 32 MiB. Beyond it the request fails.
pub const BODY_BYTES: usize = 32 << 20;

/// One request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST` or `PUT`.
    pub method: &'static str,
    /// `http:` or `https:`, whole. With `unix_socket`, its host is only told to the server.
    pub url: String,
    /// Besides `Host` and `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// Sent as it is.
    pub body: Vec<u8>,
    /// Over this socket instead of TCP.
    pub unix_socket: Option<PathBuf>,
    /// For everything from the connection to the last byte.
    pub timeout: Duration,
    /// With `https:`: whoever answers is believed, whatever its certificate says. For health checks of this machine's own.
    pub is_insecure: bool,
}

/// What a server answered, of whatever status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Headers in order, names in lower case; a program may leave out all but those of Consul and Lobby (`x-…`).
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);

/// Brings one answer. Redirects are not followed.
pub trait Fetch: Clone + Send + Sync + 'static {
    /// Sends it, reads the answer.
    fn fetch(&self, request: Request) -> impl Future<Output = Result<Response, FetchError>> + Send;
}
