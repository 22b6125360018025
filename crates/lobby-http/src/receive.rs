//! What comes in with a request beside its query string: the body within its bounds, one decoded segment of the path.

use axum::{
    body::{Body, HttpBody},
    extract::FromRequestParts,
    http::request::Parts,
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::{
    App,
    error::{ApiError, shown},
    query,
};

/// The last segment of the path, decoded: a node, an event, an address. Paths are not normalised: `..` is a name.
pub(crate) struct Segment(pub(crate) String);

impl<S: Sync> FromRequestParts<S> for Segment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let last = parts.uri.path().rsplit('/').next().unwrap_or_default();
        let text = query::segment(last).map_err(ApiError::Path)?;
        match text.chars().any(char::is_control) {
            true => Err(ApiError::PathControl(shown(&text))),
            false => Ok(Self(text.into_owned())),
        }
    }
}

/// The whole body, `most` bytes of it at most, within the time that a body may take.
pub(crate) async fn body(app: &App, body: Body, most: usize) -> Result<Bytes, ApiError> {
    if body.size_hint().lower() > most as u64 {
        return Err(ApiError::BodyTooLarge(most));
    }
    let body = Limited::new(body, most);
    let read = tokio::time::timeout(app.config().limits.body_read, body.collect()).await;
    match read.map_err(|_| ApiError::BodyTimeout)? {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(err) if err.is::<LengthLimitError>() => Err(ApiError::BodyTooLarge(most)),
        Err(_) => Err(ApiError::BodyBroken),
    }
}
