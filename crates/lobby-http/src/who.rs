//! Whom a text of a request names, and what a node is called: ids and names against one snapshot; asking gossip.
//!
//! A node is named by its id or the first digits of it, by its name, or by `_agent`, which is the answering one, as in Consul.

use std::time::Duration;

use lobby_core::{
    catalog::{Node, Snapshot},
    id::NodeId,
    port::gossip::{Answer, GossipCommand, GossipError},
};

use crate::{
    App,
    error::{ApiError, shown},
};

/// How long gossip may take for an answer. Its own deadlines are shorter; this one frees the client of a stuck agent.
const PATIENCE: Duration = Duration::from_secs(30);

/// So many digits of an id stand for all of it, as in the filters of events (`lobby_core::filter`) and of what lobbyctl shows.
const ID_DIGITS: usize = 8;

/// Asks gossip.
pub(crate) async fn ask<T>(app: &App, command: impl FnOnce(Answer<T>) -> GossipCommand) -> Result<T, ApiError> {
    let answer = tokio::time::timeout(PATIENCE, app.state.handles.gossip.ask(command)).await;
    Ok(answer.map_err(|_| ApiError::NoAnswer)??)
}

/// Refuses where there is no gossip.
pub(crate) fn gossips(app: &App) -> Result<(), ApiError> {
    if app.state.handles.gossip.is_some() { Ok(()) } else { Err(GossipError::NoGossip.into()) }
}

/// The ids that a text names, one at least: those of all nodes of this name. A whole id need not be known.
pub(crate) fn all(snapshot: &Snapshot, text: &str) -> Result<Vec<NodeId>, ApiError> {
    let unknown = || GossipError::UnknownNode(format!("{:?}", shown(text))).into();
    let own = snapshot.local.record.origin.node_id();
    if text == "_agent" {
        return own.map(|own| vec![own]).ok_or_else(unknown);
    }
    let known = |id: &NodeId| own == Some(*id) || snapshot.node(*id).is_some();
    let id: Option<NodeId> = text.parse().ok();
    // A name may look like an id; then an id that is known comes first.
    if let Some(id) = id.filter(known) {
        return Ok(vec![id]);
    }
    let ids = ids(snapshot, |node, _| node.record.name.as_str() == text);
    if !ids.is_empty() {
        return Ok(ids);
    }
    id.or(begun(snapshot, text)?).map(|id| vec![id]).ok_or_else(unknown)
}

/// The one id that begins so; of what is too short for that, or no beginning of an id, none.
fn begun(snapshot: &Snapshot, text: &str) -> Result<Option<NodeId>, ApiError> {
    if text.len() < ID_DIGITS || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let prefix = text.to_ascii_lowercase();
    match *ids(snapshot, |_, id| id.to_string().starts_with(&prefix)) {
        [] => Ok(None),
        [id] => Ok(Some(id)),
        ref ids => Err(ApiError::AmbiguousId { prefix: shown(text), ids: texts(ids) }),
    }
}

/// The ids of these nodes, ourselves too, in their order.
fn ids(snapshot: &Snapshot, is_meant: impl Fn(&Node, NodeId) -> bool) -> Vec<NodeId> {
    let listed = snapshot.nodes.values().map(|node| &**node).filter(|node| !node.own && !node.external);
    let with_id = listed.chain([&*snapshot.local]).filter_map(|node| Some((node, node.record.origin.node_id()?)));
    let mut ids: Vec<_> = with_id.filter(|(node, id)| is_meant(node, *id)).map(|(_, id)| id).collect();
    ids.sort();
    ids
}

fn texts(ids: &[NodeId]) -> Vec<String> {
    ids.iter().map(NodeId::to_string).collect()
}

/// The one id that a text names.
pub(crate) fn one(snapshot: &Snapshot, text: &str) -> Result<NodeId, ApiError> {
    match *all(snapshot, text)? {
        [id] => Ok(id),
        ref ids => Err(ApiError::Ambiguous { name: shown(text), ids: texts(ids) }),
    }
}

/// The node with this id, ourselves too, listed or not.
pub(crate) fn node(snapshot: &Snapshot, id: NodeId) -> Option<&Node> {
    if snapshot.local.record.origin.node_id() == Some(id) {
        return Some(&snapshot.local);
    }
    snapshot.node(id).map(|node| &**node)
}

/// What the node with this id is called. Members that publish no record have no name.
pub(crate) fn name(snapshot: &Snapshot, id: NodeId) -> Option<&str> {
    node(snapshot, id).map(|node| node.record.name.as_str())
}
