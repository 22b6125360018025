//! Whether the agent serves, how good its picture is, the state of its exchanges' links, and how its local proxy is.
//!
//! ```text
//! GET /v1/health    200 while the agent serves at all
//! ```
//! No token is needed; where one is set, whoever may not read sees only `ok` and `warm`.

use axum::{Extension, Router, extract::State, response::Response, routing::get};
use lobby_core::{catalog::Link, port::LinkState};
use serde::Serialize;
use serde_json::Value;

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
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<ProxyHealth>,
}

/// The local proxy in short; all of it is at `/v1/proxy`.
#[derive(Serialize)]
struct ProxyHealth {
    /// Of all that it keeps.
    in_step: bool,
    crashes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    backoff_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

/// Characters of an error that are shown.
const ERROR_CHARS: usize = 200;

impl ProxyHealth {
    /// Of what the proxy says of itself; null: there is none.
    fn of(status: &Value) -> Option<Self> {
        let outputs: Vec<_> = ["haproxy", "nginx", "files"].into_iter().map(|name| &status[name]).collect();
        let outputs = || outputs.iter().filter(|output| output.is_object());
        let is_in_step = |output: &Value| {
            output["is_in_step"] == true && output["unanswered"].as_array().is_none_or(|unanswered| unanswered.is_empty())
        };
        let short = |text: &str| text.lines().next().unwrap_or_default().chars().take(ERROR_CHARS).collect();
        status.is_object().then(|| Self {
            in_step: outputs().all(|output| is_in_step(output)),
            crashes: status["haproxy"]["crashes"].as_u64().unwrap_or_default(),
            backoff_ms: status["haproxy"]["backoff_ms"].as_u64(),
            last_error: outputs().find_map(|output| output["last_error"].as_str()).map(short),
        })
    }
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

async fn health(State(app): State<App>, Extension(view): Extension<View>, Extension(rights): Extension<Rights>) -> Response {
    let snapshot = &view.snapshot;
    let details = rights.reads().then(|| Details {
        revision: snapshot.revision.0,
        age: snapshot.age(view.now).as_secs(),
        id: snapshot.local.record.origin.node_id().map(|id| id.to_string()).unwrap_or_default(),
        node: snapshot.local.record.name.as_str(),
        exchanges: snapshot.links.iter().map(exchange_health).collect(),
        proxy: app.state.handles.proxy.as_ref().and_then(|read| ProxyHealth::of(&read())),
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
