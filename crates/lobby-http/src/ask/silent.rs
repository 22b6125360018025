//! Whom a query is for, and who of them should have said that it got it, and has not: the members that gossip held alive when it was asked and whom
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

/// Those of whom nothing was heard.
pub(super) struct Silent {
    /// How many the query is for.
    n_asked: usize,
    /// `None` when nobody was asked to acknowledge.
    ids: Option<BTreeSet<NodeId>>,
}

impl Silent {
    /// Everybody who should get the query.
    pub(super) fn new(snapshot: &Snapshot, filter: &Filter, ack: bool) -> Self {
        // A filter that is none is gossip's to refuse.
        let Ok(matcher) = Matcher::compile(filter) else { return Self { n_asked: 0, ids: None } };
        let gossip = snapshot.links.iter().position(|link| &*link.name == GOSSIP);
        let is_up = |state| matches!(state, NodeState::Alive | NodeState::Suspect | NodeState::Unattended);
        let takes_part = |node: &&Node| {
            let mut presences = node.presences.iter();
            node.own || presences.any(|presence| Some(usize::from(presence.exchange.0)) == gossip && is_up(presence.state))
        };
        let others = snapshot.nodes.values().map(|node| &**node).filter(|node| !node.own);
        let meant = others.chain([&*snapshot.local]).filter(takes_part).filter(|node| matcher.matches(&node.record));
        let ids: BTreeSet<_> = meant.filter_map(|node| node.record.origin.node_id()).collect();
        Self { n_asked: ids.len(), ids: ack.then_some(ids) }
    }

    /// How many nodes the query is for, as far as we know.
    pub(super) const fn n_asked(&self) -> usize {
        self.n_asked
    }

    /// This node said something. Whether that was waited for.
    pub(super) fn heard(&mut self, id: NodeId) -> bool {
        self.ids.as_mut().is_some_and(|ids| ids.remove(&id))
    }

    /// Whether anybody is left who has said nothing.
    pub(super) fn is_anybody(&self) -> bool {
        self.ids.as_ref().is_some_and(|ids| !ids.is_empty())
    }

    /// Those who have said nothing to the end.
    pub(super) fn names(&self, app: &App) -> Option<Vec<Who>> {
        let snapshot = app.state.handles.reader.snapshot();
        let still = |id: &&NodeId| who::node(&snapshot, **id).is_some();
        self.ids.as_ref().map(|ids| ids.iter().filter(still).map(|id| Who::new(app, *id)).collect())
    }
}
