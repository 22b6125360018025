//! One look at a service. Decides what passes for each kind of check; whatever goes wrong is a failure.
//!
//! Everything is bounded: time by the check's timeout, bytes by each kind. Not here: what several looks mean (`judge`).

mod rabbitmq;
mod redis;
#[cfg(test)]
mod tests;

use std::{future::Future, io, time::Duration};

use tokio::{net::TcpStream, time::timeout};

use super::settings::{Check, CheckKind, Http};
use crate::fetch::{Fetch, FetchError, Request};

/// Why a check does not pass.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    /// Not all of it in its time.
    #[error("not within {0:?}")]
    Late(Duration),
    /// No connection, or it broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// No answer to a request.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// An answer of another status than 200 to 399.
    #[error("status {0}")]
    Status(u16),
    /// The body lacks what was expected in it.
    #[error("{0:?} is not in the body")]
    NotInBody(String),
    /// The server says what it should not.
    #[error("the server answers {0:?}")]
    Answer(String),
    /// More bytes than such a server ever sends.
    #[error("{0} bytes at once are too many")]
    TooLong(usize),
}

/// Looks once.
pub(super) async fn look(check: &Check, fetch: &impl Fetch) -> Result<(), CheckError> {
    match &check.kind {
        CheckKind::Noop => Ok(()),
        CheckKind::Tcp => within(check.timeout, connect(check)).await.map(drop),
        CheckKind::Http(http) => within(http.timeout, ask(check, http, fetch)).await,
        CheckKind::Redis => within(check.timeout, async { redis::talk(connect(check).await?).await }).await,
        CheckKind::Rabbitmq { username, password } => {
            within(check.timeout, async { rabbitmq::talk(connect(check).await?, username, &password.0).await }).await
        }
    }
}

async fn within<T>(most: Duration, what: impl Future<Output = Result<T, CheckError>>) -> Result<T, CheckError> {
    timeout(most, what).await.unwrap_or(Err(CheckError::Late(most)))
}

async fn connect(check: &Check) -> Result<TcpStream, CheckError> {
    let stream = TcpStream::connect((check.host.as_str(), check.port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn ask(check: &Check, http: &Http, fetch: &impl Fetch) -> Result<(), CheckError> {
    let scheme = if http.is_tls { "https" } else { "http" };
    let host = if check.host.contains(':') { format!("[{}]", check.host) } else { check.host.clone() };
    let request = Request {
        method: "GET",
        url: format!("{scheme}://{host}:{}{}", check.port, http.uri),
        headers: http.headers.clone().into_iter().collect(),
        timeout: http.timeout,
        is_insecure: http.is_tls,
        ..Request::default()
    };
    let response = fetch.fetch(request).await?;
    if !(200..400).contains(&response.status) {
        return Err(CheckError::Status(response.status));
    }
    match &http.expect {
        Some(part) if !holds(&response.body, part.as_bytes()) => Err(CheckError::NotInBody(part.clone())),
        _ => Ok(()),
    }
}

/// The part is not empty: that is checked where it is read.
fn holds(body: &[u8], part: &[u8]) -> bool {
    part.is_empty() || body.windows(part.len()).any(|window| window == part)
}
