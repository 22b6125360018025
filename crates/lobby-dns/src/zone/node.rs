//! Nodes: their addresses, and what they say of themselves as TXT.
//!
//! Whether a node's checks pass is not asked; one that is failed, and not held, is not told of. Nodes of one name answer
//! together.
//! Not here: nodes by label (`label`), addresses backwards (`reverse`).

use std::net::IpAddr;

use hickory_proto::rr::{RData, rdata::CNAME};
use lobby_core::{catalog::NodeOffers, id::Origin};

use super::{
    Answer, Basis, Record, Zone,
    place::{self, Place},
    service, txt,
};
use crate::{
    message::{Rcode, kind},
    name::{self, Name},
};

pub(super) fn answer(zone: &Zone<'_>, domain: &Name, dc: Option<&str>, name: &str, kind: u16) -> Answer {
    let told = |offers: &&NodeOffers| !offers.node.failed && place::is_in(zone.snapshot, &offers.node, dc);
    let nodes: Vec<_> = zone.snapshot.offers_by_name(name).map(|offers| &**offers).filter(told).collect();
    if nodes.is_empty() {
        // Names of nodes may have dots: is this the end of one?
        let below = zone.index.node_ends(zone.snapshot).contains(name);
        return zone.nothing(domain, !below, Basis::All);
    }
    // Addresses may be told by labels, which do not count as what a node offers.
    answer_with(zone, domain, &nodes, kind, Basis::All)
}

/// The answer that these nodes make.
pub(super) fn answer_with(zone: &Zone<'_>, domain: &Name, nodes: &[&NodeOffers], kind: u16, basis: Basis) -> Answer {
    let ttl = zone.settings.ttl;
    let mut answer = Answer { rotates: true, ..Answer::empty(Rcode::NoError, true, basis.clone()) };
    let mut ips: Vec<_> = nodes.iter().flat_map(|offers| place::ips_of_node(zone.snapshot, &offers.node)).collect();
    zone.shuffle(&mut ips);
    let hosts = || nodes.iter().filter_map(|offers| place::of_node(zone.snapshot, &offers.node));
    match kind {
        kind::TXT => {
            let texts = nodes.iter().flat_map(|offers| txt::of_node(zone.snapshot, &offers.node));
            let record = |text| Record { owner: None, ttl, data: RData::TXT(text) };
            answer.answers.extend(txt::distinct(texts).map(record));
            answer.rotates = false;
        }
        kind::A | kind::AAAA | kind::ANY if !ips.is_empty() => answer.answers = zone.addresses(ips, kind, ttl),
        kind::A | kind::AAAA | kind::ANY | kind::CNAME if ips.is_empty() => {
            let host = hosts().find_map(|place| if let Place::Host(host) = place { Some(host) } else { None });
            answer.answers.extend(host.map(|host| Record { owner: None, ttl, data: RData::CNAME(CNAME(host)) }));
            answer.rotates = false;
        }
        _ => {}
    }
    if answer.answers.is_empty() { zone.nothing(domain, false, basis) } else { answer }
}

/// The name server of a domain, which is ourselves, and its addresses.
pub(super) fn server(zone: &Zone<'_>, domain: &Name) -> (Name, Vec<IpAddr>) {
    let own = own_offers(zone);
    let name = own.and_then(|offers| {
        let dc = place::datacenter(zone.snapshot, &offers.node);
        service::with_datacenter(offers.node.name.as_str(), "node", dc, domain)
    });
    let ips = own.map(|offers| place::ips_of_node(zone.snapshot, &offers.node)).unwrap_or_default();
    // Whoever is not listed has no name of its own.
    let unlisted = || name::above(&["ns"], domain).unwrap_or_else(|| domain.clone());
    (name.unwrap_or_else(unlisted), ips)
}

/// `ns.DOMAIN`, which SOA records name.
pub(super) fn own(zone: &Zone<'_>, domain: &Name, kind: u16) -> Answer {
    match own_offers(zone) {
        Some(offers) if kind != kind::TXT => answer_with(zone, domain, &[offers], kind, Basis::All),
        _ => zone.nothing(domain, false, Basis::All),
    }
}

fn own_offers<'a>(zone: &Zone<'a>) -> Option<&'a NodeOffers> {
    let origin: &'a Origin = &zone.snapshot.local.record.origin;
    zone.snapshot.offers.get(origin).map(|offers| &**offers)
}
