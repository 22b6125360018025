//! The keys of the cluster: who has which, and their change everywhere.
//!
//! ```text
//! GET /v1/keys            {own, keys: [{key, nodes, primary}], nodes: [{id, name, keys}]}, fingerprints only
//! PUT /v1/keys/install    everybody accepts the key in the body (base64 of 32 bytes) too
//! PUT /v1/keys/use        everybody seals with it; the body is a key or a fingerprint
//! PUT /v1/keys/remove     everybody forgets it; the body is a key or a fingerprint
//! ```
//! Changes may also be POSTed, by operators only; the list tells no key, so the token is enough for it.
//! A change is answered when the list shows it of everybody who did it, or after a second, so that the next step of a
//! rotation is not refused for what is known already.
//! A key stands in the body, never in a path or query, which end up in logs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::{Request, State},
    response::Response,
    routing::{get, put},
};
use lobby_core::{
    id::NodeId,
    port::gossip::{GossipCommand, GossipError, KeyChange},
};
use serde::Serialize;

use crate::{App, View, answer, error::ApiError, receive, who};

/// Largest body of a change. A key has 44 bytes.
const BODY_BYTES: usize = 256;

/// How long and how often is looked whether the list shows a change. A report takes a tenth of a second.
const REPORTS: (u32, Duration) = (20, Duration::from_millis(50));

/// What everybody with access may ask.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/keys", get(keys))
}

/// What only operators may do.
pub(crate) fn verbs() -> Router<App> {
    Router::new()
        .route("/v1/keys/install", put(install).post(install))
        .route("/v1/keys/use", put(use_key).post(use_key))
        .route("/v1/keys/remove", put(remove).post(remove))
}

#[derive(Serialize)]
struct KeysBody<'a> {
    own: &'a [String],
    keys: Vec<KeyBody<'a>>,
    nodes: Vec<NodeKeys<'a>>,
}

#[derive(Serialize)]
struct KeyBody<'a> {
    key: &'a str,
    nodes: usize,
    primary: usize,
}

#[derive(Serialize)]
struct NodeKeys<'a> {
    #[serde(flatten)]
    node: NodeName<'a>,
    keys: &'a [String],
}

#[derive(Serialize)]
pub(crate) struct NodeName<'a> {
    id: String,
    name: Option<&'a str>,
}

impl<'a> NodeName<'a> {
    pub(crate) fn new(view: &'a View, id: NodeId) -> Self {
        Self { id: id.to_string(), name: who::name(&view.snapshot, id) }
    }
}

async fn keys(State(app): State<App>, Extension(view): Extension<View>) -> Result<Response, ApiError> {
    let keys = who::ask(&app, GossipCommand::Keys).await?;
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (_, held) in &keys.nodes {
        for (idx, key) in held.iter().enumerate() {
            let (nodes, primary) = counts.entry(key).or_default();
            *nodes += 1;
            *primary += usize::from(idx == 0);
        }
    }
    let nodes = keys.nodes.iter().map(|(id, keys)| NodeKeys { node: NodeName::new(&view, *id), keys });
    Ok(answer::json(&KeysBody {
        own: &keys.own,
        keys: counts.into_iter().map(|(key, (nodes, primary))| KeyBody { key, nodes, primary }).collect(),
        nodes: nodes.collect(),
    }))
}

#[derive(Serialize)]
struct Changed<'a> {
    done: Vec<NodeName<'a>>,
    refused: Vec<Refused<'a>>,
    silent: Vec<NodeName<'a>>,
}

#[derive(Serialize)]
struct Refused<'a> {
    #[serde(flatten)]
    node: NodeName<'a>,
    why: &'a str,
}

async fn install(app: State<App>, view: Extension<View>, request: Request) -> Result<Response, ApiError> {
    change(&app, &view, request, KeyChange::Install).await
}

async fn use_key(app: State<App>, view: Extension<View>, request: Request) -> Result<Response, ApiError> {
    change(&app, &view, request, KeyChange::Use).await
}

async fn remove(app: State<App>, view: Extension<View>, request: Request) -> Result<Response, ApiError> {
    change(&app, &view, request, KeyChange::Remove).await
}

async fn change(app: &App, view: &View, request: Request, change: fn(String) -> KeyChange) -> Result<Response, ApiError> {
    who::gossips(app)?;
    let bytes = receive::body(app, request.into_body(), BODY_BYTES).await?;
    let key = std::str::from_utf8(&bytes).map_err(|_| ApiError::NotText("a key or a fingerprint"))?.trim();
    if key.is_empty() {
        let why = "the body is empty; expected a key or a fingerprint".to_owned();
        return Err(GossipError::Invalid { field: "key", why }.into());
    }
    let outcome = who::ask(app, |answer| GossipCommand::ChangeKeys(change(key.to_owned()), answer)).await?;
    reported(app, &outcome.done).await;
    let names = |ids: &[NodeId]| ids.iter().map(|id| NodeName::new(view, *id)).collect();
    let refused = outcome.refused.iter().map(|(id, why)| Refused { node: NodeName::new(view, *id), why });
    Ok(answer::json(&Changed { done: names(&outcome.done), refused: refused.collect(), silent: names(&outcome.silent) }))
}

/// Waits until those who did a change report the same keys as we have. That they have them is known: their reports follow.
async fn reported(app: &App, done: &[NodeId]) {
    let same = |a: &[String], b: &[String]| {
        a.first() == b.first() && a.iter().collect::<BTreeSet<_>>() == b.iter().collect::<BTreeSet<_>>()
    };
    for _ in 0..REPORTS.0 {
        let Ok(keys) = who::ask(app, GossipCommand::Keys).await else { return };
        let mut nodes = keys.nodes.iter().filter(|(id, _)| done.contains(id));
        if nodes.all(|(_, held)| same(held, &keys.own)) {
            return;
        }
        tokio::time::sleep(REPORTS.1).await;
    }
}
