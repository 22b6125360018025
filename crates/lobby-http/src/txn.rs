//! Transactions over nodes without an agent, in Consul's shape: all of the operations count, or none.
//!
//! ```text
//! PUT /v1/txn    [{"Node": {"Verb": "cas", "Node": {…}}}, {"Service": {…}}, {"Check": {…}}]
//!                200 {"Results": [{"Node": {…}}], "Errors": null}
//!                409 {"Results": null, "Errors": [{"OpIndex": 1, "What": "…"}]}
//!
//! body ─► operations (`op`) ─► each on a draft of its node (`draft`) ─► one batch, unless a node has changed meanwhile
//! ```
//! Indexes are those that the catalog's lists show. What an agent has is its own, and there is no key/value store.
//! Not here: what a change does to a node (`lobby_core::external`), the forms of the results (`shape`).

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use lobby_core::{
    catalog::Snapshot,
    id::{NodeId, Origin},
    name::Name,
    port::external::{ExternalError, NODES},
};
use serde_json::{Value, json};

use crate::{
    App, View,
    catalog_api::node::{self, Fleet},
    consul,
    error::ApiError,
    path::write,
    receive, scope,
    shape::Service,
    writer::Writer,
};

mod draft;
mod op;

use draft::{Drafts, Refused};
use op::{Op, Thing, Verb};

/// Most operations of a transaction, as with Consul. A batch has room for a node for each.
pub(crate) const MOST_OPS: usize = NODES;

/// Most bytes of a transaction, as with Consul.
const MOST_BYTES: usize = 512 << 10;

/// How often a transaction begins anew because somebody else wrote one of its nodes in between.
const ATTEMPTS: usize = 4;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/txn", write(transact))
}

/// One result to be: read already, or shown as it is in the end.
struct Outcome {
    node: Name,
    thing: Thing,
    read: Option<Value>,
}

/// What an attempt comes to.
enum Attempt {
    Done(Vec<Outcome>),
    Back { op: usize, what: String },
    Again(Name),
}

async fn transact(
    State(app): State<App>,
    Extension(view): Extension<View>,
    uri: Uri,
    headers: HeaderMap,
    writer: Writer,
    request: Request,
) -> Result<Response, ApiError> {
    let query = scope::query(&uri, &headers, &view)?;
    let most = MOST_BYTES.min(app.config().limits.body_bytes);
    let bytes = receive::body(&app, request.into_body(), most).await?;
    let ops = op::read(&bytes, &view)?;
    let is_read_only = ops.iter().all(|op| op.verb == Verb::Get);
    let mut changed = None;
    for _ in 0..ATTEMPTS {
        let outcomes = match attempt(&app, &writer, &ops).await? {
            Attempt::Done(outcomes) => outcomes,
            Attempt::Back { op, what } => return Ok(rolled_back(&query, op, &what)),
            Attempt::Again(name) => {
                changed = Some(name);
                continue;
            }
        };
        let snapshot = app.view().snapshot;
        // Of what the same transaction takes away again there is nothing to show.
        let results = outcomes.into_iter().filter_map(|outcome| {
            let now = || show(&app, &snapshot, &outcome.node, &outcome.thing);
            outcome.read.clone().or_else(now)
        });
        let response = consul::json(&query, &json!({ "Results": results.collect::<Vec<_>>(), "Errors": null }));
        return Ok(if is_read_only { consul::led(response) } else { response });
    }
    let op = ops.iter().position(|op| Some(&op.node) == changed.as_ref()).unwrap_or_default();
    let what = changed.map(|name| ExternalError::Changed(name).to_string()).unwrap_or_default();
    Ok(rolled_back(&query, op, &what))
}

/// Carries the operations out on the newest picture.
async fn attempt(app: &App, writer: &Writer, ops: &[Op]) -> Result<Attempt, ApiError> {
    let snapshot = app.view().snapshot;
    let mut drafts = Drafts::new(&snapshot, writer);
    let mut outcomes = Vec::new();
    for (idx, op) in ops.iter().enumerate() {
        match drafts.apply(op) {
            Ok(()) => {}
            Err(Refused::What(what)) => return Ok(Attempt::Back { op: idx, what }),
            Err(Refused::Caller(err)) => return Err(err),
        }
        if matches!(op.verb, Verb::Delete | Verb::DeleteCas) {
            continue;
        }
        let is_as_before = op.verb == Verb::Get && drafts.is_as_before(op);
        let read = if is_as_before { show(app, &snapshot, &op.node, &op.thing) } else { None };
        outcomes.push(Outcome { node: op.node.clone(), thing: op.thing.clone(), read });
    }
    let first = |name: &Name| ops.iter().position(|op| NodeId::external(&op.node) == NodeId::external(name)).unwrap_or_default();
    let Some(writes) = drafts.writes() else { return Ok(Attempt::Done(outcomes)) };
    match crate::external::carry_out(app, writes).await {
        Ok(()) => Ok(Attempt::Done(outcomes)),
        Err(ExternalError::Changed(name)) => Ok(Attempt::Again(name)),
        Err(err) => match &err {
            ExternalError::HasAgent(name) | ExternalError::Set { name, .. } => {
                Ok(Attempt::Back { op: first(name), what: err.to_string() })
            }
            _ => Err(err.into()),
        },
    }
}

fn rolled_back(query: &crate::query::Query<'_>, op: usize, what: &str) -> Response {
    let body = json!({ "Results": null, "Errors": [{ "OpIndex": op, "What": what }] });
    (StatusCode::CONFLICT, consul::json(query, &body)).into_response()
}

/// Something of a node without an agent, as results have it.
fn show(app: &App, snapshot: &Snapshot, name: &Name, thing: &Thing) -> Option<Value> {
    let offers = snapshot.offers.get(&Origin::Node(NodeId::external(name)))?;
    Some(match thing {
        Thing::Node => json!({ "Node": Fleet::new(snapshot, &app.config().cluster).node(offers) }),
        Thing::Service(id) => {
            let stamped = offers.instances.get(id)?;
            json!({ "Service": Service::new(&stamped.value.instance, stamped.created.0, stamped.modified.0) })
        }
        Thing::Check(id) => {
            let view = &offers.checks.get(id)?.value;
            let instance = view.instance.as_ref().and_then(|id| offers.instances.get(id));
            json!({ "Check": node::check(offers, view, instance.map(|stamped| &*stamped.value.instance)) })
        }
    })
}
