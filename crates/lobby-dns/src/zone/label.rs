//! `LABELNAME.VALUE.label`: the addresses of all nodes that carry a label.
//!
//! Compared without regard to the case of ASCII letters, as DNS does; values may have dots.
//! Not here: nodes by their names (`node`).

use super::{Answer, Basis, Zone, form::LabelText, node, place};
use crate::name::Name;

pub(super) fn answer(zone: &Zone<'_>, domain: &Name, dc: Option<&str>, wanted: &LabelText, kind: u16) -> Answer {
    let labels = zone.index.labels(zone.snapshot);
    let nodes = labels.nodes.get(&wanted.text).into_iter().flatten().filter_map(|origin| zone.snapshot.offers.get(origin));
    let nodes: Vec<_> = nodes.map(|offers| &**offers).filter(|offers| place::is_in(zone.snapshot, &offers.node, dc)).collect();
    if nodes.is_empty() {
        // Is it the end of a value, as a resolver asks that goes label by label?
        return zone.nothing(domain, !labels.ends.contains(&wanted.tail), Basis::All);
    }
    node::answer_with(zone, domain, &nodes, kind, Basis::All)
}
