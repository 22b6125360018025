//! Addresses backwards: the names of nodes and services that have an address.
//!
//! Names stand in the first of our domains. An address that nobody has is somebody else's; others are asked, if there are any.
//! Whoever keeps that there is nothing needs an SOA: it is that of the network, /24 or /64, in whatever zone a resolver asks for.
//! The begin of an address that somebody has is a name, too: resolvers ask label by label.
//! Not here: names forwards (`node`, `service`).

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use hickory_proto::rr::{RData, rdata::PTR};

use super::{Answer, Basis, Outcome, Record, Zone, in_doubt, index::Holder, place, service};
use crate::{
    message::{Rcode, kind},
    name::{self, Name},
};

/// Most names of one address: more would be no help to anybody.
const MOST: usize = 256;

/// Labels of the name of a network, /24 and /64: above the last octet, and the last 16 nibbles.
const NETWORK_LABELS: (usize, usize) = (3, 16);

/// Networks whose addresses mean nothing elsewhere, and how many of their bits count: private, shared (RFC 6598), of a link, of
/// the machine.
const PRIVATE_V4: [(Ipv4Addr, u32); 6] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
];

/// The same of IPv6.
const PRIVATE_V6: [(Ipv6Addr, u32); 3] = [
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::LOCALHOST, 128),
];

/// The first bits of an address, the others are zero.
#[derive(Clone, Copy)]
struct Begin {
    bits: u128,
    n_bits: u32,
    v6: bool,
}

pub(super) fn answer(zone: &Zone<'_>, labels: &[String], kind: u16) -> Outcome {
    let begin = match labels {
        [before @ .., zone, arpa] if arpa == "arpa" && zone == "in-addr" => Begin::octets(before),
        [before @ .., zone, arpa] if arpa == "arpa" && zone == "ip6" => Begin::nibbles(before),
        _ => return Outcome::Outside(Rcode::Refused),
    };
    let Some(begin) = begin else { return nobodys(zone, labels) };
    let names = if begin.is_whole() { names(zone, begin.ip()) } else { BTreeSet::new() };
    let addresses = zone.index.addresses(zone.snapshot);
    let is_ours = match begin.is_whole() {
        true => !names.is_empty(),
        // With others behind us they know best about all that there is.
        false => (begin.n_bits > 0 || !zone.settings.forwards) && addresses.keys().any(|ip| begin.is_of(*ip)),
    };
    if !is_ours {
        // Others would say that there is no such name, of a network that they know nothing of.
        return if in_doubt(zone.snapshot) && (!zone.settings.forwards || begin.is_private()) {
            Outcome::Answer(Answer::empty(Rcode::ServFail, false, Basis::All))
        } else {
            nobodys(zone, labels)
        };
    }
    let mut answer = Answer::empty(Rcode::NoError, true, Basis::All);
    let own = |data| Record { owner: None, ttl: zone.settings.ttl, data };
    match kind {
        kind::PTR | kind::ANY => answer.answers = names.into_iter().map(|name| own(RData::PTR(PTR(name)))).collect(),
        kind::SOA => {
            let itself = network(labels).filter(|name| name.iter().len() == labels.len());
            answer.answers.extend(itself.map(|name| own(zone.soa(&name))));
        }
        _ => {}
    }
    Outcome::Answer(if answer.answers.is_empty() { nothing(zone, labels, Rcode::NoError) } else { answer })
}

/// None of us has it.
fn nobodys(zone: &Zone<'_>, labels: &[String]) -> Outcome {
    if zone.settings.forwards {
        Outcome::Outside(Rcode::NxDomain)
    } else {
        Outcome::Answer(nothing(zone, labels, Rcode::NxDomain))
    }
}

/// There is nothing, with the SOA that says how long that may be kept.
fn nothing(zone: &Zone<'_>, labels: &[String], rcode: Rcode) -> Answer {
    let mut answer = Answer::empty(rcode, true, Basis::All);
    let soa = |name: Name| Record { data: zone.soa(&name), owner: Some(name), ttl: zone.negative_ttl() };
    answer.authority.extend(network(labels).map(soa));
    answer
}

/// The name of the network that an address is in.
fn network(labels: &[String]) -> Option<Name> {
    let (v4, v6) = NETWORK_LABELS;
    let most = 2 + if labels.iter().rev().nth(1)? == "ip6" { v6 } else { v4 };
    let labels = &labels[labels.len().saturating_sub(most)..];
    name::of(labels)
}

impl Begin {
    fn octets(labels: &[String]) -> Option<Self> {
        let octet = |text: &String| text.parse::<u8>().ok().filter(|octet| octet.to_string() == *text);
        Self::of(labels, 4, 8, octet)
    }

    fn nibbles(labels: &[String]) -> Option<Self> {
        let nibble = |text: &String| {
            let [digit] = text.as_bytes() else { return None };
            char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
        };
        Self::of(labels, 32, 4, nibble)
    }

    fn of(labels: &[String], most: usize, n_bits: u32, part: impl Fn(&String) -> Option<u8>) -> Option<Self> {
        if labels.len() > most {
            return None;
        }
        let mut begin = Self { bits: 0, n_bits: 0, v6: most == 32 };
        for label in labels.iter().rev() {
            begin.n_bits += n_bits;
            begin.bits |= u128::from(part(label)?) << (begin.most() - begin.n_bits);
        }
        Some(begin)
    }

    fn most(self) -> u32 {
        if self.v6 { 128 } else { 32 }
    }

    fn is_whole(self) -> bool {
        self.n_bits == self.most()
    }

    fn ip(self) -> IpAddr {
        match u32::try_from(self.bits) {
            Ok(bits) if !self.v6 => IpAddr::V4(Ipv4Addr::from(bits)),
            _ => IpAddr::V6(Ipv6Addr::from(self.bits)),
        }
    }

    /// Whether that address begins so.
    fn is_of(self, ip: IpAddr) -> bool {
        self.meets(ip, self.n_bits)
    }

    /// Whether that address begins as this does, as far as both are told: of that one, so many bits.
    fn meets(self, ip: IpAddr, n_bits: u32) -> bool {
        let bits = match ip {
            IpAddr::V4(ip) => u128::from(u32::from(ip)),
            IpAddr::V6(ip) => u128::from(ip),
        };
        let n_bits = self.n_bits.min(n_bits);
        ip.is_ipv6() == self.v6 && (n_bits == 0 || (bits ^ self.bits) >> (self.most() - n_bits) == 0)
    }

    /// Whether some such addresses mean nothing elsewhere. Of all together others know enough.
    fn is_private(self) -> bool {
        let v4 = PRIVATE_V4.map(|(ip, n_bits)| (IpAddr::V4(ip), n_bits));
        let v6 = PRIVATE_V6.map(|(ip, n_bits)| (IpAddr::V6(ip), n_bits));
        self.n_bits > 0 && v4.into_iter().chain(v6).any(|(ip, n_bits)| self.meets(ip, n_bits))
    }
}

fn names(zone: &Zone<'_>, ip: IpAddr) -> BTreeSet<Name> {
    let snapshot = zone.snapshot;
    let Some(domain) = zone.settings.domains.first() else { return BTreeSet::new() };
    let name = |holder: &Holder| match holder {
        Holder::Node(origin) => {
            let node = &snapshot.offers.get(origin)?.node;
            service::with_datacenter(node.name.as_str(), "node", place::datacenter(snapshot, node), domain)
        }
        Holder::Instance(origin, id) => {
            let view = &snapshot.offers.get(origin)?.instances.get(id)?.value;
            let service = view.instance.service.as_str();
            // One with dots would be read as a tag and another service.
            let is_told = service::is_well(zone, view) && !service.contains('.');
            is_told.then(|| name::above(&[service, "service"], domain)).flatten()
        }
    };
    let holders = zone.index.addresses(snapshot).get(&ip);
    holders.into_iter().flatten().filter_map(name).take(MOST).collect()
}
