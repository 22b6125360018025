//! The API for the program that the agent lives in: the same answers as over HTTP, without a socket, a token or a bound on
//! connections. Decides nothing about what is answered.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use tower::Service;

use crate::{App, Caller, Config, Door, Handles, router};

/// The agent's own reader. Cheap to clone; it may wait as any other request may.
#[derive(Clone, Debug)]
pub struct Inside {
    router: Router,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Why nothing was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InsideError {
    /// The path is none.
    #[error("not a path with a query")]
    Path,
    /// The answer is longer than was wanted.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

impl Inside {
    /// Reads what `handles` reach, whether or not others may.
    pub fn new(cluster: String, handles: Handles) -> Self {
        Self { router: router(App::new(Config { cluster, ..Config::default() }, handles)) }
    }

    /// GET of a path with its query. The body may have `most` bytes.
    ///
    /// # Errors
    /// See [`InsideError`].
    pub async fn get(&self, path_and_query: &str, most: usize) -> Result<Answered, InsideError> {
        let mut request =
            Request::get(path_and_query).header(header::HOST, "localhost").body(Body::empty()).map_err(|_| InsideError::Path)?;
        let door = Door::Unix { trusted: true, pid: None, uid: None };
        request.extensions_mut().insert(Caller { door, crowded: false });
        // A router is always ready, and never fails.
        let response = match self.router.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, most).collect().await.map_err(|_| InsideError::TooLong(most))?;
        Ok(Answered { status: head.status, headers: head.headers, body: body.to_bytes() })
    }
}
