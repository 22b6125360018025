//! What a selector (`where=`) chooses from: the nodes and the instances of a snapshot.
//!
//! | condition | a node | an instance |
//! |---|---|---|
//! | label | its own, and the form of its registered instances | its form, and its node's labels that are about no service |
//! | service, tag | of any of its instances | its own |
//! | status | the worst of its checks and of its instances' | its own |
//!
//! A service is taken when any one of its instances is: `tag=v2 and status=passing` means both of the same instance.
//! Not here: the language (`selector`), the lists `labels=` and `prefixes=` (`select`).

use super::{InstanceView, Node, NodeOffers, ServiceView, Snapshot};
use crate::{
    check::Status,
    selector::{Selector, Subject},
    service,
};

/// A node and what it offers.
#[derive(Clone, Copy, Debug)]
pub struct NodeSubject<'a> {
    /// The node.
    pub node: &'a Node,
    /// What it offers; `None` for one that hides behind another, which has no services and no status.
    pub offers: Option<&'a NodeOffers>,
}

/// An instance and its node.
#[derive(Clone, Copy, Debug)]
pub struct InstanceSubject<'a> {
    /// The instance.
    pub view: &'a InstanceView,
    /// Its node; without, no label of the node is carried.
    pub node: Option<&'a Node>,
}

impl<'a> NodeSubject<'a> {
    /// This node of a snapshot.
    pub fn new(snapshot: &'a Snapshot, node: &'a Node) -> Self {
        Self { node, offers: snapshot.offers.get(&node.record.origin).map(|offers| &**offers) }
    }

    fn views(&self) -> impl Iterator<Item = &'a InstanceView> {
        self.offers.into_iter().flat_map(|offers| offers.instances.values()).map(|stamped| &*stamped.value)
    }
}

impl<'a> InstanceSubject<'a> {
    /// This instance of a snapshot.
    pub fn new(snapshot: &'a Snapshot, view: &'a InstanceView) -> Self {
        Self { view, node: snapshot.nodes.get(&view.node.origin).map(|node| &**node) }
    }
}

impl ServiceView {
    /// The instances that a selector takes, in order. The service is taken when there are any.
    pub fn taken<'a>(&'a self, selector: &'a Selector, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a InstanceView> {
        let views = self.instances.values().map(|view| &**view);
        views.filter(move |view| selector.takes(&InstanceSubject::new(snapshot, view)))
    }
}

impl Subject for NodeSubject<'_> {
    fn any_label(&self, wanted: &dyn Fn(&str) -> bool) -> bool {
        // What labels make has its labels in the record.
        let mut registered = self.views().filter(|view| !view.from_label);
        self.node.record.labels().any(|label| wanted(label.as_str()))
            || registered.any(|view| service::any_label(&view.instance, wanted))
    }

    fn has_service(&self, name: &str) -> bool {
        self.views().any(|view| is_of(view, name))
    }

    fn has_tag(&self, tag: &str) -> bool {
        self.views().any(|view| has_tag(view, tag))
    }

    fn status(&self) -> Option<Status> {
        let worst = Status::worst(self.offers?.checks.values().map(|check| check.value.status));
        // Of nodes the truth is told, held or not.
        Some(if !self.node.state.is_listed() { Status::Critical } else { worst })
    }
}

impl Subject for InstanceSubject<'_> {
    fn any_label(&self, wanted: &dyn Fn(&str) -> bool) -> bool {
        let labels = self.node.into_iter().flat_map(|node| node.record.labels());
        let mut of_node = labels.filter(|label| service::family(label).is_none());
        service::any_label(&self.view.instance, wanted) || of_node.any(|label| wanted(label.as_str()))
    }

    fn has_service(&self, name: &str) -> bool {
        is_of(self.view, name)
    }

    fn has_tag(&self, tag: &str) -> bool {
        has_tag(self.view, tag)
    }

    fn status(&self) -> Option<Status> {
        Some(self.view.status)
    }
}

/// Names of services that differ only in the case of ASCII letters are the same.
fn is_of(view: &InstanceView, service: &str) -> bool {
    view.instance.service.as_str().eq_ignore_ascii_case(service)
}

fn has_tag(view: &InstanceView, tag: &str) -> bool {
    view.instance.tags.iter().any(|carried| carried == tag)
}
