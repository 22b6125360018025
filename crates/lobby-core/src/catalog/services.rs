//! All services by name: what nodes offer, turned into the views that snapshots share.
//!
//! ```text
//! shown, changed, removed nodes ─► what they moved ─► publish: new views, each with the revision as its index
//! ```
//! An index rises with what is seen: what came and went between two snapshots is no change, nor is who was heard of. Of
//! services that nobody offers any more the index is remembered for a while, so that who waits for them is not led back.
//! Not here: which nodes show (`show`), what one node offers (`offers`).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use imbl::OrdMap;

use crate::{
    catalog::Node,
    id::{Origin, Revision},
    instance::Id,
};

mod offers;
mod view;

use offers::{Moved, Offers};
pub use view::{InstanceNode, InstanceView, Place, ServiceView};

/// Of how many services that nobody offers any more the index is remembered: as many as a fleet may rename in an hour.
/// For one that is forgotten the newest index of all that are forgotten stands.
pub(super) const VANISHED: usize = 4096;

/// The services of all nodes that show.
#[derive(Debug)]
pub(super) struct Services {
    nodes: HashMap<Origin, Offers>,
    /// What moved since the last snapshot, by service and place.
    moved: BTreeMap<Id, BTreeMap<Place, Option<Arc<InstanceView>>>>,
    /// As the last snapshot has them.
    views: OrdMap<Id, Arc<ServiceView>>,
    vanished: Vanished,
    /// The vanished, oldest first.
    order: BTreeSet<(Revision, Id)>,
}

/// The indexes of services that are not there.
#[derive(Clone, Debug)]
pub(crate) struct Vanished {
    known: OrdMap<Id, Revision>,
    /// That of all others.
    others: Revision,
}

impl Services {
    /// No services, and none that vanished before this revision.
    pub(super) fn new(revision: Revision) -> Self {
        Self {
            nodes: HashMap::new(),
            moved: BTreeMap::new(),
            views: OrdMap::new(),
            vanished: Vanished { known: OrdMap::new(), others: revision },
            order: BTreeSet::new(),
        }
    }

    /// The node shows, like this.
    pub(super) fn show(&mut self, node: &Node) {
        let offers = self.nodes.entry(node.record.origin.clone()).or_insert_with(|| Offers::new(&node.record));
        let moved = offers.update(&node.record, !node.state.is_listed());
        self.note(moved);
    }

    /// The node does not show, if it did.
    pub(super) fn hide(&mut self, origin: &Origin) {
        if let Some(offers) = self.nodes.remove(origin) {
            self.note(offers.withdraw());
        }
    }

    fn note(&mut self, moved: impl IntoIterator<Item = Moved>) {
        for Moved { service, place, view } in moved {
            self.moved.entry(service).or_default().insert(place, view);
        }
    }

    /// Makes the views of the next snapshot, which has this revision if any is another; whether one is.
    pub(super) fn publish(&mut self, revision: Revision) -> bool {
        let mut changed = false;
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
                    self.recall(&service);
                    self.views.insert(service, Arc::new(ServiceView { name, instances, index: revision }));
                }
                None => {
                    self.views.remove(&service);
                    self.remember(service, revision);
                }
            }
        }
        changed
    }

    pub(super) fn views(&self) -> &OrdMap<Id, Arc<ServiceView>> {
        &self.views
    }

    pub(super) fn vanished(&self) -> &Vanished {
        &self.vanished
    }

    fn remember(&mut self, service: Id, revision: Revision) {
        self.order.insert((revision, service.clone()));
        self.vanished.known.insert(service, revision);
        if self.order.len() > VANISHED
            && let Some((index, oldest)) = self.order.pop_first()
        {
            self.vanished.known.remove(&oldest);
            self.vanished.others = index;
        }
    }

    fn recall(&mut self, service: &Id) {
        if let Some(index) = self.vanished.known.remove(service) {
            self.order.remove(&(index, service.clone()));
        }
    }
}

impl Vanished {
    /// The index of a service that is not there, by its name in lower case.
    pub(crate) fn index(&self, service: &str) -> Revision {
        self.known.get(service).copied().unwrap_or(self.others)
    }
}
