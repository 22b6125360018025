//! Where things listen. Decides which addresses of an HAProxy's file are one and the same, however they are spelt: of those who
//! share one the kernel gives each a part of its connections, and what comes to an address beside a wildcard never reaches
//! the latter. Neither says a word.
//!
//! What cannot be known from the file (variables, names of hosts, other network devices) counts as different.

use std::{fmt, net::IpAddr, ops::RangeInclusive};

use super::error::quoted;
use crate::{
    haproxy::{name, text::split_title, words},
    settings::{Bind, Haproxy, HaproxyService, Service},
};

/// How many addresses of one file are compared: four for each of the most services. Each is compared with all before it.
const PLACES: usize = 4 * super::part::SERVICES;
/// Before `@`: what speaks other than TCP.
const DATAGRAMS: [&str; 5] = ["quic4", "quic6", "udp", "udp4", "udp6"];
/// Before `@`: an address with a port, or a path, follows.
const STREAMS: [&str; 9] = ["ipv4", "ipv6", "tcp", "tcp4", "tcp6", "mptcp", "mptcp4", "mptcp6", "unix"];
/// Options of a `bind` line that make it another place, with their values.
const APART: [&str; 2] = ["interface", "namespace"];

/// The longest path of a socket that HAProxy opens: it adds its process id and `.tmp` to it, and all of that fits in 107.
pub(crate) const SOCKET_BYTES: usize = 97;

/// Whether something can listen at it; `line` is what stands after `bind`.
pub(crate) fn is_place(line: &str) -> bool {
    of(line).is_some()
}

/// Who listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who<'a> {
    /// HAProxy itself, by a line of `global`.
    Stats,
    /// A section of the settings, by its title.
    Extra(&'a str),
    /// The frontend that services share.
    Shared,
    /// A service, by its name.
    Service(&'a str),
}

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stats => f.write_str("a stats socket of global"),
            Self::Extra(title) => write!(f, "the extra section {}", quoted(title)),
            Self::Shared => f.write_str("the shared frontend"),
            Self::Service(name) => write!(f, "service {name}"),
        }
    }
}

/// Two at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clash<'a> {
    /// Who came second.
    pub(crate) who: Who<'a>,
    /// As that one spells it.
    pub(crate) address: String,
    other: Who<'a>,
    others: String,
}

impl fmt::Display for Clash<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is taken: {} listens at {}", self.address, self.other, self.others)
    }
}

/// Those who listen where somebody before them does, each once.
pub(crate) fn clashes<'a>(haproxy: &'a Haproxy, services: &'a [Service]) -> Vec<Clash<'a>> {
    let mut taken: Vec<(Place, Who<'a>)> = Vec::new();
    let mut clashes: Vec<Clash<'a>> = Vec::new();
    for (who, line) in listeners(haproxy, services) {
        for place in of(&line).into_iter().flatten() {
            let is_told = clashes.last().is_some_and(|clash| clash.who == who);
            let other = taken.iter().find(|(other, owner)| !is_told && *owner != who && other.overlaps(&place));
            let clash = other.map(|(other, owner)| (*owner, other.text.clone()));
            clashes.extend(clash.map(|(other, others)| Clash { who, address: place.text.clone(), other, others }));
            if taken.len() < PLACES {
                taken.push((place, who));
            }
        }
    }
    clashes
}

/// All addresses with their options, as after `bind`.
fn listeners<'a>(haproxy: &'a Haproxy, services: &'a [Service]) -> Vec<(Who<'a>, String)> {
    let stats = haproxy.global.iter().filter_map(|line| after(line, "stats").and_then(|line| after(line, "socket")));
    let mut all: Vec<_> = stats.map(|line| (Who::Stats, line.to_owned())).collect();
    for (title, lines) in &haproxy.extra_sections {
        let bind = split_title(title).1;
        let lines = bind.iter().chain(lines).filter_map(|line| after(line, "bind"));
        all.extend(lines.map(|line| (Who::Extra(title), line.to_owned())));
    }
    let binds = |who, lines: &'a [String]| lines.iter().filter_map(move |line| Some((who, after(line, "bind")?.to_owned())));
    all.extend(haproxy.shared_frontend.iter().flat_map(|lines| binds(Who::Shared, lines)));
    for service in services {
        let Some(stanza) = &service.haproxy else { continue };
        let who = Who::Service(&service.name);
        all.extend(own(haproxy, stanza).map(|line| (who, line)));
        // Without a place of its own it has no frontend.
        if stanza.bind != Bind::Nowhere {
            all.extend(binds(who, &stanza.frontend).chain(binds(who, &stanza.listen)));
        }
        if haproxy.shared_frontend.is_some() {
            all.extend(binds(Who::Shared, &stanza.shared_frontend));
        }
    }
    all
}

/// What its frontend's own `bind` line says.
fn own(haproxy: &Haproxy, stanza: &HaproxyService) -> Option<String> {
    let address = stanza.bind_address.as_ref().unwrap_or(&haproxy.bind_address);
    let address = match stanza.bind {
        Bind::Nowhere => return None,
        Bind::Port(port) => name::address(address, port),
        Bind::Address => address.clone(),
    };
    Some(format!("{address} {}", stanza.bind_options))
}

fn after<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    line.trim_start().strip_prefix(keyword).filter(|rest| rest.starts_with(char::is_whitespace))
}

/// One address that something listens at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// As it is written.
    text: String,
    is_datagram: bool,
    /// Words that tell it from others at the same address.
    apart: Vec<String>,
    at: At,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    Path(String),
    Port(Host, RangeInclusive<u16>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// Of IPv4.
    Every,
    /// Of IPv6, and of IPv4 unless it says otherwise.
    Every6 {
        is_only: bool,
    },
    Ip(IpAddr),
    /// In lower case.
    Name(String),
}

impl Place {
    /// Whether both get connections of one address.
    fn overlaps(&self, other: &Self) -> bool {
        let is_same = match (&self.at, &other.at) {
            (At::Path(one), At::Path(other)) => one == other,
            (At::Port(one, ports), At::Port(other, others)) => {
                ports.start() <= others.end() && others.start() <= ports.end() && one.overlaps(other)
            }
            _ => false,
        };
        is_same && self.is_datagram == other.is_datagram && self.apart == other.apart
    }
}

impl Host {
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Every6 { is_only }, host) | (host, Self::Every6 { is_only }) => {
                let is_v6 = matches!(host, Self::Every6 { .. } | Self::Ip(IpAddr::V6(_)));
                is_v6 || !is_only
            }
            (Self::Every, host) | (host, Self::Every) => !matches!(host, Self::Ip(IpAddr::V6(_))),
            (Self::Name(name), Self::Ip(ip)) | (Self::Ip(ip), Self::Name(name)) => name == "localhost" && ip.is_loopback(),
            (one, other) => one == other,
        }
    }
}

/// The places of a `bind` line: what stands after the keyword. None: it names no address that there can be.
fn of(line: &str) -> Option<Vec<Place>> {
    let words = words::split(line);
    let (addresses, options) = words.split_first()?;
    let values = APART.map(|key| options.windows(2).find(|pair| pair[0] == key).map(|pair| pair.concat()));
    let apart: Vec<_> = values.into_iter().flatten().collect();
    let is_only = options.iter().any(|word| word == "v6only");
    let mut places = Vec::new();
    for text in addresses.split(',') {
        let (is_datagram, at) = match text.split_once('@') {
            // An own name, or what is open already: nobody else can have it, or nobody can know.
            Some((kind, rest)) if DATAGRAMS.contains(&kind) => (true, at(rest, kind.ends_with('6'), is_only)?),
            Some((kind, rest)) if STREAMS.contains(&kind) => (false, at(rest, kind.ends_with('6'), is_only)?),
            Some(("abns", _)) => (false, Some(At::Path(text.to_owned()))),
            Some(_) => continue,
            None => (false, at(text, false, is_only)?),
        };
        if let Some(at) = at {
            places.push(Place { text: text.to_owned(), is_datagram, apart: apart.clone(), at });
        }
    }
    Some(places)
}

/// `PATH`, `HOST:PORT`, `HOST:FROM-TO`. None: none of these; none inside: nobody knows.
#[expect(clippy::option_option, reason = "what is wrong is not what is unknown")]
fn at(text: &str, is_v6: bool, is_only: bool) -> Option<Option<At>> {
    if text.contains(['$', '"']) {
        return Some(None);
    }
    if text.starts_with('/') {
        return (text.len() <= SOCKET_BYTES).then(|| Some(At::Path(text.to_owned())));
    }
    let (host, ports) = text.rsplit_once(':')?;
    let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
    let (from, to) = (from.parse::<u16>().ok()?, to.parse::<u16>().ok()?);
    let host = match host {
        "" | "*" if is_v6 => Host::Every6 { is_only },
        "" | "*" => Host::Every,
        host => self::host(host, is_only)?,
    };
    (from > 0 && from <= to).then_some(Some(At::Port(host, from..=to)))
}

fn host(text: &str, is_only: bool) -> Option<Host> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) if ip.is_unspecified() => Some(Host::Every),
        Ok(IpAddr::V6(ip)) if ip.is_unspecified() => Some(Host::Every6 { is_only }),
        Ok(ip) => Some(Host::Ip(ip)),
        // Of numbers alone it is an address that is mistyped.
        Err(_) if !name::is_host(text) || is_numbers(text) => None,
        Err(_) => Some(Host::Name(text.trim_end_matches('.').to_ascii_lowercase())),
    }
}

fn is_numbers(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Place {
        let places = of(line).unwrap_or_else(|| panic!("{line}: no address"));
        let [place] = &places[..] else { panic!("{line}: {places:?}") };
        place.clone()
    }

    #[test]
    fn one_address_has_many_spellings() {
        for (a, b, want) in [
            (":80", "*:80", true),
            (":80", "0.0.0.0:80", true),
            (":80", "127.0.0.1:80", true),
            ("*:80", "[::]:80", true),
            (":80", ":::80", true),
            (":80", "ipv6@:80", true),
            (":80", "[::]:80 v6only", false),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::]:80 v6only", "127.0.0.1:80", false),
            ("[::]:80 v6only", "[::1]:80", true),
            ("[::]:80 v6only", "[::]:80", true),
            (":80", "[::1]:80", false),
            ("127.0.0.1:80", "127.0.0.1:80 ssl crt /c", true),
            ("127.0.0.1:80", "ipv4@127.0.0.1:80", true),
            ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "localhost:80", true),
            ("[::1]:80", "LOCALHOST:80", true),
            (":80", "web.example:80", true),
            ("10.0.0.1:80", "web.example:80", false),
            ("Web.example.:80", "web.example:80", true),
            (":8000-8010", "127.0.0.1:8010", true),
            (":8000-8010", ":7990-8000", true),
            (":8000-8010", ":8011", false),
            (":443", "quic4@:443", false),
            ("quic6@:443", "quic4@1.1.1.1:443", true),
            (":80 interface eth0", ":80", false),
            (":80 interface eth0", ":80 interface eth1", false),
            (":80 interface eth0", "10.0.0.1:80 interface eth0", true),
            ("/run/a.sock", "unix@/run/a.sock mode 600", true),
            ("/run/a.sock", "/run/b.sock", false),
            ("/run/a.sock", "abns@/run/a.sock", false),
            ("abns@a", "abns@a", true),
        ] {
            assert_eq!(one(a).overlaps(&one(b)), want, "{a} and {b}");
            assert_eq!(one(b).overlaps(&one(a)), want, "{b} and {a}");
        }
    }

    #[test]
    fn what_is_no_address_is_told_from_what_nobody_knows() {
        for line in [
            "999.1.1.1:80",
            "10.0.0:80",
            "a b",
            "10.0.0.1",
            "a_b!:80",
            ":0",
            ":80-79",
            ":65536",
            "",
            "[1.1:80",
            ":http",
            &format!("/{}", "x".repeat(97)),
        ] {
            assert_eq!(of(line), None, "{line}");
        }
        for line in ["fd@3", "${IP}:80", "\"$IP\":80", "sockpair@1", "new@thing"] {
            assert_eq!(of(line), Some(Vec::new()), "{line}");
        }
        assert_eq!(of(":80,:81 mss 5").unwrap().len(), 2);
    }

    fn told(haproxy: &Haproxy, services: &[(&str, HaproxyService)]) -> Vec<String> {
        let service = |(name, stanza): &(&str, HaproxyService)| Service {
            name: (*name).to_owned(),
            haproxy: Some(stanza.clone()),
            ..Service::default()
        };
        let services: Vec<_> = services.iter().map(service).collect();
        clashes(haproxy, &services).iter().map(|clash| format!("{}: {clash}", clash.who)).collect()
    }

    #[test]
    fn everything_that_listens_is_looked_at() {
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let haproxy = Haproxy {
            global: lines(&["maxconn 1", " stats socket /s level admin", "stats socket ipv4@127.0.0.1:1 level admin"]),
            extra_sections: vec![
                ("listen stats :1937".into(), lines(&["stats enable", "binds 5"])),
                ("frontend mine".into(), lines(&["  bind 127.0.0.1:2,127.0.0.1:3 ssl"])),
            ],
            shared_frontend: Some(lines(&["bind :4"])),
            bind_address: "127.0.0.1".into(),
            ..Haproxy::default()
        };
        let at = |port| HaproxyService { bind: Bind::Port(port), ..HaproxyService::default() };
        let bind = |address: &str| HaproxyService {
            bind: Bind::Address,
            bind_address: Some(address.into()),
            ..HaproxyService::default()
        };
        let frontend = |line: &str| HaproxyService { frontend: lines(&[line]), ..at(5) };
        assert_eq!(told(&haproxy, &[("a", at(6)), ("b", at(7))]), [""; 0]);
        for (stanza, want) in [
            (at(1), "127.0.0.1:1 is taken: a stats socket of global listens at ipv4@127.0.0.1:1"),
            (bind("/s"), "/s is taken: a stats socket of global listens at /s"),
            (at(1937), "127.0.0.1:1937 is taken: the extra section \"listen stats :1937\" listens at :1937"),
            (at(3), "127.0.0.1:3 is taken: the extra section \"frontend mine\" listens at 127.0.0.1:3"),
            (at(4), "127.0.0.1:4 is taken: the shared frontend listens at :4"),
            (frontend("bind *:3"), "*:3 is taken: the extra section \"frontend mine\" listens at 127.0.0.1:3"),
            (at(9), "127.0.0.1:9 is taken: service a listens at 127.0.0.1:9"),
            (bind("*:9"), "*:9 is taken: service a listens at 127.0.0.1:9"),
        ] {
            assert_eq!(told(&haproxy, &[("a", at(9)), ("b", stanza)]), [format!("service b: {want}")]);
        }
        // Nobody is in its own way, and a service without a frontend in nobody's.
        let nowhere = HaproxyService { bind: Bind::Nowhere, ..frontend("bind :3") };
        let twice = frontend("bind :5");
        let shared = HaproxyService { shared_frontend: lines(&["bind :4"]), ..at(8) };
        assert_eq!(told(&haproxy, &[("a", nowhere), ("b", twice), ("c", shared)]), [""; 0]);
        assert_eq!(told(&haproxy, &[("a", at(9)), ("b", at(9)), ("c", at(9))]).len(), 2);
    }
}
