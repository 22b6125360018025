//! Ids in paths: one segment, or all that follows. Paths are not normalised, so `…/deregister//a/b` is the id `/a/b`.
//!
//! Not here: the last segment of a path as text (`receive`), what an id may be (`lobby_core::instance`).

use axum::{
    extract::FromRequestParts,
    http::{Uri, request::Parts},
    routing::{MethodFilter, MethodRouter, on},
};
use lobby_core::instance::Id;

use crate::{App, error::ApiError, query};

/// All that follows the first `N` segments, decoded.
pub(crate) struct RestId<const N: usize>(pub(crate) Id);

/// The segment after the first `N`, decoded; a slash inside of it is written `%2F`.
pub(crate) struct SegmentId<const N: usize>(pub(crate) Id);

impl<S: Sync, const N: usize> FromRequestParts<S> for RestId<N> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        decoded(rest(&parts.uri, N)).map(Self)
    }
}

impl<S: Sync, const N: usize> FromRequestParts<S> for SegmentId<N> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        decoded(rest(&parts.uri, N).split('/').next().unwrap_or_default()).map(Self)
    }
}

/// What follows the first `skipped` segments, as it was sent.
fn rest(uri: &Uri, skipped: usize) -> &str {
    // Before the first slash there is nothing.
    uri.path().splitn(skipped + 2, '/').nth(skipped + 1).unwrap_or_default()
}

fn decoded(text: &str) -> Result<Id, ApiError> {
    Ok(query::segment(text).map_err(ApiError::Path)?.parse()?)
}

/// Writes of Consul's clients: PUT, and POST for those that say it so.
pub(crate) fn write<H: axum::handler::Handler<T, App>, T: 'static>(handler: H) -> MethodRouter<App> {
    on(MethodFilter::PUT.or(MethodFilter::POST), handler)
}

/// Routes all below `prefix`, which ends in a slash; below it alone the id is missing, and that is said.
pub(crate) fn below(router: axum::Router<App>, prefix: &str, method: MethodRouter<App>) -> axum::Router<App> {
    router.route(prefix, method.clone()).route(&format!("{prefix}{{*id}}"), method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_paths() {
        for (path, want) in [
            ("/v1/agent/service/deregister/web", "web"),
            ("/v1/agent/service/deregister//a/b", "/a/b"),
            ("/v1/agent/service/deregister/a%2Fb", "a/b"),
            ("/v1/agent/service/deregister/app%23127.0.0.1%233000", "app#127.0.0.1#3000"),
            ("/v1/agent/service/deregister/../x", "../x"),
            ("/v1/agent/service/deregister/a+b%20c%25", "a+b c%"),
        ] {
            let uri: Uri = path.parse().unwrap();
            assert_eq!(decoded(rest(&uri, 4)).unwrap().as_str(), want, "{path}");
        }
        for path in ["/v1/a/b/c/", "/v1/a/b/c", "/v1/a/b/c/%0a", "/v1/a/b/c/%00", "/v1/a/b/c/%", "/v1/a/b/c/%ff"] {
            assert!(decoded(rest(&path.parse().unwrap(), 4)).is_err(), "{path}");
        }
    }
}
