//! All services by name: what nodes offer, turned into the views that snapshots share.
//!
//! ```text
//! shown, changed, removed nodes ─► what they moved ─► publish: new views, each with the revision as its index
//! ```
//! An index rises with what is seen: what came and went between two snapshots is no change, nor is who was heard of.
//! Not here: which nodes show (`show`), what one node offers (`offers`), the same by node (`nodes`), the indexes of services
//! that nobody offers any more (`vanished`).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use imbl::OrdMap;

use crate::{
    catalog::Node,
    id::{Origin, Revision},
    instance::Id,
    label::Label,
    record::Record,
};

mod nodes;
mod offers;
mod vanished;
mod view;

use nodes::Nodes;
pub(super) use nodes::{Names, lower};
pub use nodes::{NodeOffers, Stamped, Tables};
use offers::Offers;
use vanished::Memory;
#[cfg(test)]
pub(super) use vanished::VANISHED;
pub(super) use vanished::Vanished;
use view::key;
pub use view::{InstanceNode, InstanceView, Place, ServiceView};

/// The services of all nodes that show.
#[derive(Debug)]
pub(super) struct Services {
    nodes: HashMap<Origin, Offers>,
    /// What moved since the last snapshot, by service and place.
    moved: BTreeMap<Id, BTreeMap<Place, Option<Arc<InstanceView>>>>,
    /// As the last snapshot has them.
    views: OrdMap<Id, Arc<ServiceView>>,
    vanished: Memory<Id>,
    by_node: Nodes,
}

impl Services {
    /// No services, and none that vanished before this revision.
    pub(super) fn new(revision: Revision) -> Self {
        Self {
            nodes: HashMap::new(),
            moved: BTreeMap::new(),
            views: OrdMap::new(),
            vanished: Memory::new(revision),
            by_node: Nodes::new(revision),
        }
    }

    /// The node shows, like this, with the tags that others give to its instances. Whether its [`Self::labels`] may be others
    /// than before.
    pub(super) fn show(&mut self, node: &Node, given: Option<&Arc<Record>>) -> bool {
        let offers = self.nodes.entry(node.record.origin.clone()).or_insert_with(|| Offers::new(&node.record));
        let Some(moved) = offers.update(&node.record, node.is_lost(), given) else { return false };
        let instances = moved.instances.iter().map(|(id, (_, new))| (id.clone(), new.clone())).collect();
        self.by_node.show(offers.node(), instances, moved.checks);
        moved.instances.into_values().for_each(|(old, new)| self.note(old, new));
        moved.labels
    }

    /// The node does not show, if it did.
    pub(super) fn hide(&mut self, origin: &Origin) {
        if let Some(offers) = self.nodes.remove(origin) {
            self.by_node.hide(origin);
            offers.into_views().for_each(|old| self.note(Some(old), None));
        }
    }

    /// An instance moved. First it is gone where it was: it may be in the same place.
    fn note(&mut self, old: Option<Arc<InstanceView>>, new: Option<Arc<InstanceView>>) {
        for (view, is_new) in [(old, false), (new, true)] {
            let Some(view) = view else { continue };
            let places = self.moved.entry(key(&view.instance.service)).or_default();
            places.insert(view.place(), is_new.then_some(view));
        }
    }

    /// The labels that lists show of a node that shows: its own, and those in whose form its registered instances appear.
    pub(super) fn labels(&self, node: &Node) -> Vec<Label> {
        let offers = self.nodes.get(&node.record.origin);
        offers.map_or_else(|| node.record.labels().cloned().collect(), |offers| offers.labels(&node.record))
    }

    /// Makes the views of the next snapshot, which has this revision if any is another; whether one is.
    pub(super) fn publish(&mut self, revision: Revision) -> bool {
        let mut changed = self.by_node.publish(revision);
        for (service, mut moved) in std::mem::take(&mut self.moved) {
            let old = self.views.get(&service).map(|view| &view.instances);
            moved.retain(|place, view| old.and_then(|old| old.get(place)) != view.as_ref());
            if moved.is_empty() {
                continue;
            }
            changed = true;
            let mut instances = old.cloned().unwrap_or_default();
            for (place, view) in moved {
                match view {
                    Some(view) => instances.insert(place, view),
                    None => instances.remove(&place),
                };
            }
            match instances.values().next().map(|first| first.instance.service.clone()) {
                Some(name) => {
                    self.vanished.recall(&service);
                    self.views.insert(service, Arc::new(ServiceView { name, instances, index: revision }));
                }
                None => {
                    self.views.remove(&service);
                    self.vanished.remember(service, revision);
                }
            }
        }
        changed
    }

    pub(super) fn views(&self) -> &OrdMap<Id, Arc<ServiceView>> {
        &self.views
    }

    pub(super) fn vanished(&self) -> &Vanished<Id> {
        self.vanished.vanished()
    }

    pub(super) fn by_node(&self) -> &Nodes {
        &self.by_node
    }
}
