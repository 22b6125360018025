//! What a question cannot find in a snapshot without looking at all of it: who has an address, who carries a label, which names
//! are the end of longer ones.
//!
//! Each part is made when it is first asked for, once for each revision, so questions with made-up names cost one look each.
//! Not here: what is answered (`reverse`, `label`, `node`).

use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use lobby_core::{
    catalog::Snapshot,
    id::{Origin, Revision},
    instance::Id,
};

use super::place;

/// All that is looked up, of one revision.
#[derive(Debug, Default)]
pub struct Index {
    revision: Option<Revision>,
    datacenters: OnceCell<HashSet<String>>,
    node_ends: OnceCell<HashSet<String>>,
    labels: OnceCell<Labels>,
    addresses: OnceCell<HashMap<IpAddr, Vec<Holder>>>,
}

/// Labels, all in lower case.
#[derive(Debug, Default)]
pub(super) struct Labels {
    /// Nodes that are not failed, by the labels that they carry.
    pub(super) nodes: HashMap<String, Vec<Origin>>,
    /// What follows a dot in `NAME.VALUE`.
    pub(super) ends: HashSet<String>,
}

/// Who has an address.
#[derive(Debug)]
pub(super) enum Holder {
    /// A node.
    Node(Origin),
    /// An instance of that node.
    Instance(Origin, Id),
}

impl Index {
    /// Forgets what it knows of an older revision.
    pub fn renew(&mut self, snapshot: &Snapshot) {
        if self.revision != Some(snapshot.revision) {
            *self = Self { revision: Some(snapshot.revision), ..Self::default() };
        }
    }

    /// The data centres of all nodes, in lower case.
    pub(super) fn datacenters(&self, snapshot: &Snapshot) -> &HashSet<String> {
        let names = || snapshot.offers.values().filter_map(|offers| offers.node.datacenter.as_deref());
        self.datacenters.get_or_init(|| names().map(str::to_ascii_lowercase).collect())
    }

    /// What follows a dot in names of nodes, in lower case.
    pub(super) fn node_ends(&self, snapshot: &Snapshot) -> &HashSet<String> {
        let names = || snapshot.offers.values().map(|offers| offers.node.name.as_str());
        self.node_ends.get_or_init(|| names().flat_map(ends).collect())
    }

    /// The labels of nodes that are not failed.
    pub(super) fn labels(&self, snapshot: &Snapshot) -> &Labels {
        self.labels.get_or_init(|| {
            let mut labels = Labels::default();
            // Not those of lists, in which nobody is held.
            let told = snapshot.offers.iter().filter(|(_, offers)| !offers.node.failed);
            for (origin, node) in told.filter_map(|(origin, _)| Some((origin, snapshot.nodes.get(origin)?))) {
                for label in node.record.labels() {
                    let text = label.as_str().to_ascii_lowercase();
                    if text.contains(':') {
                        labels.ends.extend(ends(&text.replacen(':', ".", 1)));
                    }
                    let nodes = labels.nodes.entry(text).or_default();
                    // One that differs in case alone is the same.
                    if nodes.last() != Some(origin) {
                        nodes.push(origin.clone());
                    }
                }
            }
            labels
        })
    }

    /// Who has which address, of those that are not failed.
    pub(super) fn addresses(&self, snapshot: &Snapshot) -> &HashMap<IpAddr, Vec<Holder>> {
        self.addresses.get_or_init(|| {
            let mut addresses: HashMap<_, Vec<_>> = HashMap::new();
            for (origin, offers) in snapshot.offers.iter().filter(|(_, offers)| !offers.node.failed) {
                for ip in place::all_ips(snapshot, &offers.node) {
                    addresses.entry(ip).or_default().push(Holder::Node(origin.clone()));
                }
                for (id, instance) in &offers.instances {
                    if let Some(ip) = place::ip(&instance.value.instance.address) {
                        addresses.entry(ip).or_default().push(Holder::Instance(origin.clone(), id.clone()));
                    }
                }
            }
            addresses
        })
    }
}

/// What follows each dot, in lower case.
fn ends(text: &str) -> impl Iterator<Item = String> {
    text.match_indices('.').map(|(at, _)| text[at + 1..].to_ascii_lowercase())
}
