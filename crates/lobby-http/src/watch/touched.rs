//! What moved between two snapshots, as topics: in proportion to what moved, for what did not is the same memory.
//!
//! Not here: whether an index rose, which who is woken sees for himself.

use std::sync::Arc;

use imbl::ordmap::DiffItem;
use lobby_core::catalog::{NodeOffers, Snapshot};

use super::Topic;

/// Calls `tell` for each topic that moved, for some of them twice.
pub(crate) fn touched(old: &Snapshot, new: &Snapshot, mut tell: impl FnMut(Topic)) {
    for item in old.services.diff(&new.services) {
        let (DiffItem::Add(name, _) | DiffItem::Remove(name, _) | DiffItem::Update { new: (name, _), .. }) = item;
        tell(Topic::Service(name.as_str().into()));
    }
    for item in old.offers.diff(&new.offers) {
        match item {
            DiffItem::Add(_, offers) | DiffItem::Remove(_, offers) => node(offers, &mut tell),
            DiffItem::Update { old: (_, old), new: (_, new) } => {
                if old.node.name != new.node.name {
                    node(old, &mut tell);
                }
                node(new, &mut tell);
            }
        }
    }
    let (was, is) = (old.tables, new.tables);
    let tables = [
        (Topic::Nodes, was.nodes == is.nodes),
        (Topic::Services, was.services == is.services),
        (Topic::Checks, was.checks == is.checks),
        (Topic::All, old.revision == new.revision),
    ];
    tables.into_iter().filter(|(_, same)| !same).for_each(|(topic, _)| tell(topic));
}

fn node(offers: &Arc<NodeOffers>, tell: &mut impl FnMut(Topic)) {
    tell(Topic::Node(offers.node.name.as_str().to_ascii_lowercase().into()));
    if let Some(id) = offers.node.origin.node_id() {
        tell(Topic::Id(id));
    }
}
