//! What Consul has and this version does not: a clear word instead of a route that is unknown.
//!
//! ```text
//! /v1/kv…  /v1/session…  /v1/query…              501    come later
//! /v1/acl…                                       401    as Consul answers while ACLs are off
//! /v1/agent/token…                               401
//! /v1/agent/connect…                             500    as Consul answers without its mesh
//! /v1/operator…  /v1/snapshot  /v1/config…  /v1/peering…  and their like    404
//! ```
//! Any method gets the same answer. Not here: routes that nobody knows (`answer::not_found`).

use axum::{
    Router,
    routing::{MethodRouter, any},
};

use crate::{App, error::ApiError};

/// What comes later: the route, whether it has more below it, and what it is.
const LATER: [(&str, &str); 3] =
    [("/v1/kv", "the key/value store"), ("/v1/session", "sessions"), ("/v1/query", "prepared queries")];

/// What Consul's servers have and no agent here.
const NEVER: [(&str, &str); 12] = [
    ("/v1/operator", "operator routes of Consul's servers"),
    ("/v1/snapshot", "snapshots of Consul's servers"),
    ("/v1/config", "configuration entries"),
    ("/v1/discovery-chain", "discovery chains"),
    ("/v1/connect", "the service mesh"),
    ("/v1/peering", "peering of clusters"),
    ("/v1/peerings", "peering of clusters"),
    ("/v1/partition", "partitions"),
    ("/v1/partitions", "partitions"),
    ("/v1/exported-services", "exported services"),
    ("/v1/imported-services", "imported services"),
    ("/v1/internal", "routes of Consul's web interface"),
];

/// Consul's tokens and policies.
const ACL: &str = "/v1/acl";

pub(crate) fn routes() -> Router<App> {
    let mut router = Router::new();
    for (path, what) in LATER {
        router = below(router, path, any(async move || ApiError::Later(what)));
    }
    for (path, what) in NEVER {
        router = below(router, path, any(async move || ApiError::Never(what)));
    }
    router = below(router, ACL, any(async || ApiError::AclDisabled));
    router = below(router, "/v1/agent/token", any(async || ApiError::AclDisabled));
    below(router, "/v1/agent/connect", any(async || ApiError::NoMesh))
}

/// Whether the path is one of these or below one; those of the agent have a class of their own.
pub(crate) fn is_below(path: &str) -> bool {
    let known = LATER.iter().chain(&NEVER).map(|(known, _)| *known).chain([ACL]);
    let mut rests = known.filter_map(|known| path.strip_prefix(known));
    rests.any(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path and all that is below it.
fn below(router: Router<App>, path: &str, answer: MethodRouter<App>) -> Router<App> {
    let (slash, rest) = (format!("{path}/"), format!("{path}/{{*rest}}"));
    router.route(path, answer.clone()).route(&slash, answer.clone()).route(&rest, answer)
}
