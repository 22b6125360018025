//! The full view: every node as the agent knows it, failed ones too, those of one name apart.
//!
//! ```text
//! GET /v1/nodes    [{id, name, state, addresses, generation, version, exchanges, age_ms, labels, …}]
//! ```
//! `id` is null for daemons that tell only their host name. `conflict` marks live nodes that share a name.

use std::collections::HashMap;

use axum::{
    Extension, Router,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use lobby_core::{
    catalog::{Node, Presence, Snapshot},
    name::Name,
    record::meta,
};
use serde::Serialize;

use crate::{App, View, answer};

/// Above this many nodes the body is made on a thread of its own: about 2 ms of work.
const ASIDE: usize = 1000;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/nodes", get(nodes))
}

#[derive(Serialize)]
struct NodeBody<'a> {
    id: Option<String>,
    name: &'a str,
    state: &'static str,
    addresses: Vec<&'a str>,
    generation: u64,
    version: u64,
    exchanges: Vec<PresenceBody<'a>>,
    age_ms: u64,
    labels: Vec<&'a str>,
    own: bool,
    conflict: bool,
    lobbyd: Option<&'a str>,
    datacenter: Option<&'a str>,
}

#[derive(Serialize)]
struct PresenceBody<'a> {
    name: &'a str,
    state: &'static str,
}

async fn nodes(Extension(view): Extension<View>) -> Response {
    let body = if view.snapshot.nodes.len() <= ASIDE {
        render(&view)
    } else {
        // The task only fails when the agent stops, and then nobody waits for the body.
        tokio::task::spawn_blocking(move || render(&view)).await.unwrap_or_default()
    };
    ([(header::CONTENT_TYPE, answer::JSON)], body).into_response()
}

fn render(view: &View) -> Vec<u8> {
    let mut live: HashMap<&Name, usize> = HashMap::new();
    for node in view.snapshot.nodes.values().filter(|node| node.state.is_listed()) {
        *live.entry(&node.record.name).or_default() += 1;
    }
    let body = |node: &'_ Node| node.state.is_listed() && live.get(&node.record.name).is_some_and(|count| *count > 1);
    let bodies: Vec<_> = view.snapshot.nodes.values().map(|node| node_body(view, node, body(node))).collect();
    answer::pretty(&bodies)
}

fn node_body<'a>(view: &'a View, node: &'a Node, conflict: bool) -> NodeBody<'a> {
    let record = &*node.record;
    let addresses = record.meta(meta::ADDRESSES).unwrap_or_default();
    NodeBody {
        id: record.origin.node_id().map(|id| id.to_string()),
        name: record.name.as_str(),
        state: node.state.as_str(),
        addresses: addresses.split(',').map(str::trim).filter(|address| !address.is_empty()).collect(),
        generation: record.stamp.generation.0,
        version: record.stamp.version.0,
        exchanges: node.presences.iter().filter_map(|presence| presence_body(&view.snapshot, presence)).collect(),
        age_ms: u64::try_from(node.age(view.now).as_millis()).unwrap_or(u64::MAX),
        labels: record.labels().map(|label| label.as_str()).collect(),
        own: node.own,
        conflict,
        lobbyd: record.meta(meta::VERSION),
        datacenter: record.meta(meta::DATACENTER),
    }
}

fn presence_body<'a>(snapshot: &'a Snapshot, presence: &Presence) -> Option<PresenceBody<'a>> {
    let link = snapshot.links.get(usize::from(presence.exchange.0))?;
    Some(PresenceBody { name: &link.name, state: presence.state.as_str() })
}
