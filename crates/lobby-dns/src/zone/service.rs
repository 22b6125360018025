//! Services: their addresses, and SRV with weights.
//!
//! An instance counts when it is not critical, does not drain, and with `only_passing` has no warning either. Critical are
//! those of failed nodes, too, unless they are held.
//! Not here: the one instance that is asked for by its id (`instance`).

use std::{collections::HashSet, net::IpAddr, time::Duration};

use hickory_proto::rr::{
    RData,
    rdata::{CNAME, SRV},
};
use lobby_core::{
    catalog::{InstanceView, ServiceView},
    check::Status,
};

use super::{
    Answer, Basis, LEAST_BYTES, Record, Zone, ends_with_label,
    place::{self, Place},
    txt,
};
use crate::{
    message::{Rcode, kind},
    name::{self, Name},
};

/// Bytes of an SRV answer without its target: of a pointer, the head of a record, three numbers, and the end of a name.
const SRV_BYTES: usize = 18;

pub(super) fn answer(zone: &Zone<'_>, domain: &Name, dc: Option<&str>, (name, tag): (&str, Option<&str>), kind: u16) -> Answer {
    let basis = Basis::Service(name.into());
    // Below `_tag` there may be `_NAME._TAG`.
    let Some(view) = zone.snapshot.service(name) else { return zone.nothing(domain, !name.starts_with('_'), basis) };
    let well = |view: &&InstanceView| is_well(zone, view) && place::is_in(zone.snapshot, &view.node, dc);
    let has = |view: &&InstanceView, tag: &str| view.instance.tags.iter().any(|carried| carried.eq_ignore_ascii_case(tag));
    let mut views: Vec<_> = instances(view).filter(well).collect();
    if let Some(tag) = tag {
        let n_all = views.len();
        let ends = |carried: &String| ends_with_label(carried, tag);
        let below = views.iter().any(|view| view.instance.tags.iter().any(ends));
        views.retain(|view| has(view, tag));
        if views.is_empty() && n_all > 0 {
            return zone.nothing(domain, !below, basis);
        }
    }
    answer_with(zone, domain, views, kind, basis)
}

/// The instances of a service.
pub(super) fn instances(view: &ServiceView) -> impl Iterator<Item = &InstanceView> {
    view.instances.values().map(|view| &**view)
}

/// Whether an instance is told of.
pub(super) fn is_well(zone: &Zone<'_>, view: &InstanceView) -> bool {
    let accepted = if zone.settings.only_passing { view.status == Status::Passing } else { view.status != Status::Critical };
    accepted && !view.is_draining()
}

/// The answer that these instances make.
pub(super) fn answer_with(zone: &Zone<'_>, domain: &Name, mut views: Vec<&InstanceView>, kind: u16, basis: Basis) -> Answer {
    let Some(first) = views.first() else { return zone.nothing(domain, true, basis) };
    // Where a node without addresses is, its labels tell, which are no part of its services.
    let basis = if views.iter().all(|view| is_told(view)) { basis } else { Basis::All };
    if !matches!(kind, kind::SRV | kind::A | kind::AAAA | kind::ANY | kind::CNAME) {
        return zone.nothing(domain, false, basis);
    }
    let ttl = zone.settings.service_ttl(first.instance.service.as_str());
    zone.shuffle(&mut views);
    if let Some(near) = zone.near {
        let distance = |view: &&InstanceView| near.distance(view.node.origin.node_id()?);
        views.sort_by_cached_key(|view| distance(view).unwrap_or(Duration::MAX));
    }
    let mut answer = Answer { rotates: zone.near.is_none(), ..Answer::empty(Rcode::NoError, true, basis.clone()) };
    match kind {
        kind::SRV => srv(zone, domain, &views, ttl, &mut answer),
        _ => addresses(zone, &views, kind, ttl, &mut answer),
    }
    if answer.answers.is_empty() { zone.nothing(domain, false, basis) } else { answer }
}

fn is_told(view: &InstanceView) -> bool {
    !view.instance.address.is_empty() || view.node.external.is_some() || view.node.addresses.is_some()
}

/// Addresses; only if there are none at all, one of the names that stand for them.
fn addresses(zone: &Zone<'_>, views: &[&InstanceView], kind: u16, ttl: u32, answer: &mut Answer) {
    // Looked at one after the other, until there is no more room.
    let places = || views.iter().filter_map(|view| place::of_instance(zone.snapshot, view));
    let ips = || places().filter_map(|place| if let Place::Ip(ip) = place { Some(ip) } else { None });
    if ips().next().is_some() {
        answer.answers = zone.addresses(ips(), kind, ttl);
    } else if let Some(Place::Host(host)) = places().next() {
        // A name may have one other name only. There is SRV beside it, which caches would not ask for while they keep this.
        answer.answers.push(Record { owner: None, ttl: 0, data: RData::CNAME(CNAME(host)) });
        answer.rotates = false;
        answer.chosen = true;
    }
}

fn srv(zone: &Zone<'_>, domain: &Name, views: &[&InstanceView], ttl: u32, answer: &mut Answer) {
    let (mut seen, mut records, mut told) = (HashSet::new(), HashSet::new(), Vec::new());
    let mut bytes = 0;
    for view in views.iter().filter(|view| view.instance.port != 0) {
        let instance = &view.instance;
        if !seen.insert((&view.node.origin, instance.address.as_str(), instance.port)) {
            continue;
        }
        let Some((target, ips)) = target(zone, domain, view) else { continue };
        let weight = if view.status == Status::Passing { instance.weights.passing } else { instance.weights.warning };
        // Two nodes may say the same, and the same record is told once (RFC 2181 §5).
        if !records.insert((target.clone(), instance.port, weight)) {
            continue;
        }
        let data = RData::SRV(SRV::new(1, weight, instance.port, target.clone()));
        answer.answers.push(Record { owner: None, ttl, data });
        bytes += SRV_BYTES + target.len();
        told.push((view, target, ips));
        if bytes > zone.room {
            // Nobody has room for more, nor for what belongs to them.
            return;
        }
    }
    let mut targets = HashSet::new();
    for (view, target, ips) in told {
        if bytes > zone.room {
            return;
        }
        if !targets.insert(target.clone()) {
            continue;
        }
        // What somebody wrote may be a name of ours, which others than this service decide about.
        let own = if ips.is_empty() { zone.own_addresses(&target) } else { None };
        if own.is_some() {
            answer.basis = Basis::All;
        }
        let glue = own.unwrap_or_else(|| zone.glue(&target, ips, ttl));
        bytes += LEAST_BYTES * glue.len();
        answer.additional.extend(glue);
        if zone.settings.node_txt {
            let texts = txt::distinct(txt::of_node(zone.snapshot, &view.node).into_iter());
            let owner = || Some(target.clone());
            answer.additional.extend(texts.map(|text| Record { owner: owner(), ttl, data: RData::TXT(text) }));
        }
    }
}

/// The name that stands for where an instance is, and the addresses that this name has. Never one that stands for another
/// (RFC 2782).
fn target(zone: &Zone<'_>, domain: &Name, view: &InstanceView) -> Option<(Name, Vec<IpAddr>)> {
    let (snapshot, node) = (zone.snapshot, &*view.node);
    let ip = match place::of_instance(snapshot, view)? {
        Place::Ip(ip) => ip,
        Place::Host(host) => return Some((host, Vec::new())),
    };
    // Of two nodes of one name each must be reached by itself.
    let is_only = || snapshot.offers_by_name(node.name.as_str()).nth(1).is_none();
    if place::of_node(snapshot, node) == Some(Place::Ip(ip))
        && is_only()
        && let Some(name) = node_name(zone, domain, view)
    {
        return Some((name, place::ips_of_node(snapshot, node)));
    }
    Some((address_name(zone, domain, view, ip)?, vec![ip]))
}

/// `NODE.node.DC.DOMAIN`, without the data centre if that is no single label.
pub(super) fn node_name(zone: &Zone<'_>, domain: &Name, view: &InstanceView) -> Option<Name> {
    named(zone, domain, view, view.node.name.as_str(), "node")
}

fn address_name(zone: &Zone<'_>, domain: &Name, view: &InstanceView, ip: IpAddr) -> Option<Name> {
    let hex = match ip {
        IpAddr::V4(ip) => format!("{:08x}", u32::from(ip)),
        IpAddr::V6(ip) => format!("{:032x}", u128::from(ip)),
    };
    named(zone, domain, view, &hex, "addr")
}

fn named(zone: &Zone<'_>, domain: &Name, view: &InstanceView, text: &str, word: &str) -> Option<Name> {
    with_datacenter(text, word, place::datacenter(zone.snapshot, &view.node), domain)
}

/// `TEXT.WORD.DC.DOMAIN`, without the data centre if that is no single label.
pub(super) fn with_datacenter(text: &str, word: &str, dc: &str, domain: &Name) -> Option<Name> {
    if dc.contains('.') {
        return name::above(&[text, word], domain);
    }
    name::above(&[text, word, dc], domain).or_else(|| name::above(&[text, word], domain))
}
