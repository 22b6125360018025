//! Who should have said that it got a query, and has not: the members that gossip held alive when it was asked and whom
//! the filter takes, ourselves too.
//!
//! A member whose agent is gone for a moment (`unattended`) is among them: it was not reached either, and is still listed.
//! Who has left meanwhile is not.

use std::collections::BTreeSet;

use lobby_core::{
    catalog::{Node, NodeState, Snapshot},
    filter::Matcher,
    id::NodeId,
    port::gossip::Filter,
};

use super::Who;
use crate::{App, who};

/// The exchange that queries travel by.
const GOSSIP: &str = "gossip";

/// Those of whom nothing was heard. `None` when nobody was asked to acknowledge.
pub(super) struct Silent(Option<BTreeSet<NodeId>>);

impl Silent {
    /// Everybody who should get the query.
    pub(super) fn new(snapshot: &Snapshot, filter: &Filter, ack: bool) -> Self {
        // A filter that is none is gossip's to refuse.
        let Some(matcher) = ack.then(|| Matcher::compile(filter).ok()).flatten() else { return Self(None) };
        let gossip = snapshot.links.iter().position(|link| &*link.name == GOSSIP);
        let is_up = |state| matches!(state, NodeState::Alive | NodeState::Suspect | NodeState::Unattended);
        let takes_part = |node: &&Node| {
            let mut presences = node.presences.iter();
            node.own || presences.any(|presence| Some(usize::from(presence.exchange.0)) == gossip && is_up(presence.state))
        };
        let others = snapshot.nodes.values().map(|node| &**node).filter(|node| !node.own);
        let meant = others.chain([&*snapshot.local]).filter(takes_part).filter(|node| matcher.matches(&node.record));
        Self(Some(meant.filter_map(|node| node.record.origin.node_id()).collect()))
    }

    /// This node said something.
    pub(super) fn heard(&mut self, id: NodeId) {
        if let Some(ids) = &mut self.0 {
            ids.remove(&id);
        }
    }

    /// Those who have said nothing to the end.
    pub(super) fn names(&self, app: &App) -> Option<Vec<Who>> {
        let snapshot = app.state.handles.reader.snapshot();
        let still = |id: &&NodeId| who::node(&snapshot, **id).is_some();
        self.0.as_ref().map(|ids| ids.iter().filter(still).map(|id| Who::new(app, *id)).collect())
    }
}
