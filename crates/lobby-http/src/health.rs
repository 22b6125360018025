//! Whether the agent serves, how good its picture is, and the state of its exchanges' links.
//!
//! ```text
//! GET /v1/health    200 while the agent serves at all
//! ```
//! No token is needed; where one is set, whoever may not read sees only `ok` and `warm`.

use axum::{Extension, Router, response::Response, routing::get};
use lobby_core::{catalog::Link, port::LinkState};
use serde::Serialize;

use crate::{App, View, access::Rights, answer};

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/health", get(health))
}

#[derive(Serialize)]
struct Health<'a> {
    ok: bool,
    warm: bool,
    #[serde(flatten)]
    details: Option<Details<'a>>,
}

#[derive(Serialize)]
struct Details<'a> {
    revision: u64,
    age: u64,
    id: String,
    node: &'a str,
    exchanges: Vec<ExchangeHealth<'a>>,
}

#[derive(Serialize)]
pub(crate) struct ExchangeHealth<'a> {
    name: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    warm: bool,
    given_up: bool,
    /// How many nodes are held because this exchange is doubted.
    #[serde(skip_serializing_if = "is_zero")]
    held: usize,
}

async fn health(Extension(view): Extension<View>, Extension(rights): Extension<Rights>) -> Response {
    let snapshot = &view.snapshot;
    let details = rights.reads().then(|| Details {
        revision: snapshot.revision.0,
        age: snapshot.age(view.now).as_secs(),
        id: snapshot.local.record.origin.node_id().map(|id| id.to_string()).unwrap_or_default(),
        node: snapshot.local.record.name.as_str(),
        exchanges: snapshot.links.iter().map(exchange_health).collect(),
    });
    answer::json(&Health { ok: true, warm: snapshot.warm, details })
}

pub(crate) fn exchange_health(link: &Link) -> ExchangeHealth<'_> {
    let why = match &link.state {
        LinkState::Down { why } => Some(&**why),
        LinkState::Connecting | LinkState::Up => None,
    };
    let Link { name, warm, given_up, held, .. } = link;
    ExchangeHealth { name, state: state(&link.state), why, warm: *warm, given_up: *given_up, held: *held }
}

const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A link's state in answers and metrics.
pub(crate) const fn state(state: &LinkState) -> &'static str {
    match state {
        LinkState::Connecting => "connecting",
        LinkState::Up => "up",
        LinkState::Down { .. } => "down",
    }
}
