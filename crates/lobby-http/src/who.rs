//! Whom a text of a request names, and what a node is called: ids and names against one snapshot; asking gossip.
//!
//! A node is named by its id, by its name, or by `_agent`, which is the answering one, as in Consul.

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

/// Asks gossip.
pub(crate) async fn ask<T>(app: &App, command: impl FnOnce(Answer<T>) -> GossipCommand) -> Result<T, ApiError> {
    let answer = tokio::time::timeout(PATIENCE, app.state.handles.gossip.ask(command)).await;
    Ok(answer.map_err(|_| ApiError::NoAnswer)??)
}

/// Refuses where there is no gossip.
pub(crate) fn gossips(app: &App) -> Result<(), ApiError> {
    if app.state.handles.gossip.is_some() { Ok(()) } else { Err(GossipError::NoGossip.into()) }
}

/// The ids that a text names: those of all nodes of this name. An id need not be known.
pub(crate) fn all(snapshot: &Snapshot, text: &str) -> Vec<NodeId> {
    let own = snapshot.local.record.origin.node_id();
    if text == "_agent" {
        return own.into_iter().collect();
    }
    let known = |id: &NodeId| own == Some(*id) || snapshot.node(*id).is_some();
    let id: Option<NodeId> = text.parse().ok();
    // A name may look like an id; then an id that is known comes first.
    if let Some(id) = id.filter(known) {
        return vec![id];
    }
    let listed = snapshot.nodes.values().filter(|node| !node.own);
    let named = listed.chain([&snapshot.local]).filter(|node| node.record.name.as_str() == text);
    let mut ids: Vec<_> = named.filter_map(|node| node.record.origin.node_id()).collect();
    ids.sort();
    if ids.is_empty() { id.into_iter().collect() } else { ids }
}

/// The one id that a text names.
pub(crate) fn one(snapshot: &Snapshot, text: &str) -> Result<NodeId, ApiError> {
    match *all(snapshot, text) {
        [] => Err(GossipError::UnknownNode(format!("{:?}", shown(text))).into()),
        [id] => Ok(id),
        ref ids => Err(ApiError::Ambiguous { name: shown(text), ids: ids.iter().map(NodeId::to_string).collect() }),
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
