//! What a name in one of our domains is about, read from its labels alone.
//!
//! ```text
//! [tag.]NAME.service   _NAME._TAG[.service]   NODE.node   HEX.addr   LABEL.VALUE.label   ID.NAME.instance   ns
//!                      each may be followed by a data centre: .DC or .DC.dc
//! ```
//! Labels come in lower case. What stands before the word may have dots of its own: tags, names of nodes, values, ids.
//! Not here: whether any of it is there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a name is about, and in which data centre.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form<'a> {
    pub(super) what: What<'a>,
    pub(super) dc: Option<&'a str>,
}

/// What a name is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What<'a> {
    /// The domain itself.
    Apex,
    /// The name server of the domain.
    NameServer,
    /// Nothing, but there are names below.
    Between,
    /// A single word that may be a data centre.
    Word(&'a str),
    /// Nothing, and never will be.
    Never,
    /// A service, perhaps only what carries a tag.
    Service { name: &'a str, tag: Option<String> },
    /// A node.
    Node(String),
    /// An address.
    Address(IpAddr),
    /// All nodes with a label.
    Label(LabelText),
    /// One instance; without an id: is there such a service?
    Instance { id: Option<String>, service: &'a str },
}

/// A label as it may be written with dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LabelText {
    /// `name:value`, or one word alone.
    pub(super) text: String,
    /// As it reads when it is only the end of a value with dots.
    pub(super) tail: String,
}

const WORDS: &[&str] = &["service", "node", "addr", "label", "instance", "query", "connect", "virtual", "ingress"];

impl<'a> Form<'a> {
    pub(super) fn read(labels: &'a [String]) -> Self {
        let plain = |what| Self { what, dc: None };
        if labels.is_empty() {
            return plain(What::Apex);
        }
        for at in (0..labels.len()).rev().filter(|at| WORDS.contains(&labels[*at].as_str())) {
            if let Some(dc) = datacenter(&labels[at + 1..]) {
                return Self { what: what(&labels[at], &labels[..at]), dc };
            }
        }
        let underscored = |label: &String| label.starts_with('_');
        match labels {
            [word] if word == "ns" => plain(What::NameServer),
            [word] if word == "dc" || underscored(word) => plain(What::Between),
            [word] => plain(What::Word(word)),
            [dc, word] if word == "dc" => plain(What::Word(dc)),
            [name, tag, tail @ ..] if underscored(name) && underscored(tag) => match datacenter(tail) {
                Some(dc) => Self { what: service(&labels[..2]), dc },
                None => plain(What::Never),
            },
            [tag, _] if underscored(tag) => plain(What::Between),
            _ => plain(What::Never),
        }
    }
}

/// What stands behind the word, if that is a data centre or nothing. Consul's words for its other editions mean nothing here.
fn datacenter(mut tail: &[String]) -> Option<Option<&str>> {
    for word in ["ns", "ap"] {
        if let [name, second, rest @ ..] = tail
            && name == "default"
            && second == word
        {
            tail = rest;
        }
    }
    match tail {
        [] => Some(None),
        [dc] => Some(Some(dc)),
        [dc, word] if word == "dc" => Some(Some(dc)),
        _ => None,
    }
}

fn what<'a>(word: &str, before: &'a [String]) -> What<'a> {
    let [.., last] = before else { return What::Between };
    match word {
        "service" => service(before),
        "node" => What::Node(before.join(".")),
        "addr" => match before {
            [hex] => address(hex).map_or(What::Never, What::Address),
            _ => What::Never,
        },
        "label" => {
            let tail = before.join(".");
            let text = match before.split_first() {
                Some((name, value)) if !value.is_empty() => format!("{name}:{}", value.join(".")),
                _ => tail.clone(),
            };
            What::Label(LabelText { text, tail })
        }
        "instance" => {
            let id = &before[..before.len() - 1];
            What::Instance { id: (!id.is_empty()).then(|| id.join(".")), service: last }
        }
        // Prepared queries and meshes are not to be had here.
        _ => What::Never,
    }
}

fn service(before: &[String]) -> What<'_> {
    match before {
        [name, tag] if name.len() > 1 && name.starts_with('_') && tag.starts_with('_') => {
            let tag = &tag[1..];
            What::Service { name: &name[1..], tag: (tag != "tcp").then(|| tag.to_owned()) }
        }
        [tag @ .., name] => What::Service { name, tag: (!tag.is_empty()).then(|| tag.join(".")) },
        [] => What::Between,
    }
}

/// 8 or 32 hexadecimal digits.
fn address(hex: &str) -> Option<IpAddr> {
    if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(u32::from_str_radix(hex, 16).ok()?))),
        32 => Some(IpAddr::V6(Ipv6Addr::from(u128::from_str_radix(hex, 16).ok()?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, want: What<'_>, dc: Option<&str>) {
        let labels: Vec<String> = name.split('.').filter(|label| !label.is_empty()).map(str::to_owned).collect();
        assert_eq!(Form::read(&labels), Form { what: want, dc }, "{name}");
    }

    fn service<'a>(name: &'a str, tag: Option<&str>) -> What<'a> {
        What::Service { name, tag: tag.map(str::to_owned) }
    }

    #[test]
    fn services() {
        check("web.service", service("web", None), None);
        check("web.service.dc1", service("web", None), Some("dc1"));
        check("web.service.dc1.dc", service("web", None), Some("dc1"));
        check("v1.web.service", service("web", Some("v1")), None);
        check("a.b.c.web.service.eu", service("web", Some("a.b.c")), Some("eu"));
        check("_web._tcp.service", service("web", None), None);
        check("_web._udp.service.dc1", service("web", Some("udp")), Some("dc1"));
        check("_web._v1", service("web", Some("v1")), None);
        check("_web._tcp.dc1", service("web", None), Some("dc1"));
        check("service.service", service("service", None), None);
        check("web.service.default.ns.default.ap.dc1.dc", service("web", None), Some("dc1"));
        check("web.service.other.ns.dc1.dc", What::Never, None);
        check("web.service.x.dc1", What::Never, None);
        check("_tcp.service", service("_tcp", None), None);
        check("service", What::Between, None);
        check("service.dc1", What::Between, Some("dc1"));
        check("_tcp", What::Between, None);
        check("_tcp.dc1", What::Between, None);
    }

    #[test]
    fn nodes_addresses_and_the_domain() {
        check("", What::Apex, None);
        check("ns", What::NameServer, None);
        check("dc1", What::Word("dc1"), None);
        check("dc1.dc", What::Word("dc1"), None);
        check("web1.node", What::Node("web1".into()), None);
        check("web1.example.com.node.dc1", What::Node("web1.example.com".into()), Some("dc1"));
        check("web.service.node", What::Node("web.service".into()), None);
        check("0a000007.addr", What::Address([10, 0, 0, 7].into()), None);
        let v6 = "2001:db8::7".parse::<IpAddr>().unwrap();
        check("20010db8000000000000000000000007.addr.dc1", What::Address(v6), Some("dc1"));
        for bad in ["0a00000.addr", "0a00000g.addr", "+a000007.addr", "x.0a000007.addr"] {
            check(bad, What::Never, None);
        }
        check("web.query", What::Never, None);
        check("web.connect", What::Never, None);
        check("a.b", What::Never, None);
    }

    #[test]
    fn labels_and_instances() {
        let label = |text: &str, tail: &str| What::Label(LabelText { text: text.into(), tail: tail.into() });
        check("rack.1.label", label("rack:1", "rack.1"), None);
        check("version.1.2.3.label", label("version:1.2.3", "version.1.2.3"), None);
        check("spare.label", label("spare", "spare"), None);
        check("label", What::Between, None);
        check("web-1.web.instance", What::Instance { id: Some("web-1".into()), service: "web" }, None);
        check("a.b.web.instance", What::Instance { id: Some("a.b".into()), service: "web" }, None);
        check("web.instance", What::Instance { id: None, service: "web" }, None);
    }
}
