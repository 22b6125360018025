//! Names and what they are answered: the table of forms.

use lobby_core::{check::Status, external::NodeData, instance::Weights, record::meta};
use lobby_dns::{Settings, Truncate};

use crate::fleet::{Asked, Fleet, asking, check, instance, read, record, short};

const NONE: &str = "NXDomain | [SOA consul.]";
const EMPTY: &str = "NoError | [SOA consul.]";

/// Two nodes with three instances of `web`, one of a node's own address, and other things.
fn fleet() -> Fleet {
    let with = |mut it: lobby_core::instance::Instance, tags: &[&str], weights: (u16, u16)| {
        it.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        it.weights = Weights { passing: weights.0, warning: weights.1 };
        it
    };
    Fleet::new()
        .node(2, "n2", |local| {
            local.set_labels(["rack:1", "version:1.2.3", "spare", "Zone:EU"].map(|label| label.parse().unwrap()));
            local.set_instance(&with(instance("web-a", "web", "10.1.0.1", 80), &["v1", "a.b"], (10, 3))).unwrap();
            local.set_instance(&with(instance("web.b", "web", "", 81), &["V2"], (1, 1))).unwrap();
            local.set_check(&check("c", Some("web-a"), Status::Warning)).unwrap();
            local.set_instance(&instance("host", "named", "Backend.example.com", 9000)).unwrap();
            local.set_instance(&instance("noport", "noport", "10.1.0.9", 0)).unwrap();
        })
        .node(3, "n3.example.com", |local| {
            local.set_meta(meta::ADDRESSES, "2001:db8::3,10.0.0.3,10.9.0.3");
            local.set_labels(["rack:1".parse().unwrap()]);
            local.set_instance(&with(instance("web-c", "WEB", "[2001:db8:1::5]", 80), &["v1"], (1, 1))).unwrap();
            local.set_instance(&instance("six", "six", "", 6)).unwrap();
            local.set_instance(&instance("ill", "ill", "10.1.0.7", 1)).unwrap();
            local.set_check(&check("c2", Some("ill"), Status::Critical)).unwrap();
            let mut drained = instance("drained", "drained", "10.1.0.8", 1);
            drained.drain = true;
            local.set_instance(&drained).unwrap();
            let mut told = instance("told", "told", "10.1.0.6", 1);
            told.meta = std::sync::Arc::new([("k_y".to_owned(), "v`".to_owned())].into());
            told.tags = ["t".to_owned()].into();
            local.set_instance(&told).unwrap();
        })
        .external(
            "ext",
            NodeData {
                address: "10.5.0.1".into(),
                pairs: [("rfc1035-x", "plain"), ("os", "linux")].map(|(k, v)| (k.into(), v.into())).into(),
                tagged_addresses: [("lan_ipv6".to_owned(), "2001:db8:5::1".to_owned())].into(),
                ..NodeData::default()
            },
            vec![instance("pay", "pay", "", 443)],
        )
}

fn asked() -> Asked {
    fleet().asked(Settings::default())
}

#[test]
fn addresses_of_services() {
    asked().check(&[
        ("web.service.consul A", "NoError | A 10.0.0.2 | A 10.1.0.1"),
        ("WEB.Service.CONSUL A", "NoError | A 10.0.0.2 | A 10.1.0.1"),
        ("web.service.consul AAAA", "NoError | AAAA 2001:db8:1::5"),
        ("web.service.consul ANY", "NoError | A 10.0.0.2 | A 10.1.0.1"),
        ("web.service.dc1.consul A", "NoError | A 10.0.0.2 | A 10.1.0.1"),
        ("web.service.dc1.dc.consul A", "NoError | A 10.0.0.2 | A 10.1.0.1"),
        ("web.service.dc2.consul A", NONE),
        ("v1.web.service.consul A", "NoError | A 10.1.0.1"),
        ("v2.web.service.consul A", "NoError | A 10.0.0.2"),
        ("a.b.web.service.consul A", "NoError | A 10.1.0.1"),
        ("b.web.service.consul A", EMPTY),
        ("v3.web.service.consul A", NONE),
        ("_web._tcp.service.consul A", "NoError | A 10.0.0.2 | A 10.1.0.1"),
        ("_web._v1.service.consul A", "NoError | A 10.1.0.1"),
        ("_web._udp.service.consul A", NONE),
        ("_web._tcp.consul A", "NoError | A 10.0.0.2 | A 10.1.0.1"),
        ("six.service.consul A", EMPTY),
        ("six.service.consul AAAA", "NoError | AAAA 2001:db8::3"),
        ("pay.service.consul A", "NoError | A 10.5.0.1"),
        ("web.service.consul TXT", EMPTY),
        ("web.service.consul MX", EMPTY),
        ("web.service.consul CNAME", EMPTY),
        ("web.service.lobby MX", "NoError | [SOA lobby.]"),
        ("nobody.service.consul A", NONE),
        ("nobody.service.consul SRV", NONE),
        ("ill.service.consul A", NONE),
        ("drained.service.consul A", NONE),
        ("web.query.consul A", NONE),
        ("web.connect.consul A", NONE),
        ("web.web.consul A", NONE),
        ("service.consul A", EMPTY),
        ("service.dc1.consul A", EMPTY),
        ("dc1.consul A", EMPTY),
        ("dc2.consul A", NONE),
        ("_tcp.service.consul A", EMPTY),
        ("named.service.consul A", "NoError | CNAME Backend.example.com."),
        ("named.service.consul AAAA", "NoError | CNAME Backend.example.com."),
        ("named.service.consul CNAME", "NoError | CNAME Backend.example.com."),
    ]);
}

#[test]
fn srv_has_weights_targets_and_their_addresses() {
    let mut asked = asked();
    asked.check(&[
        (
            "web.service.consul SRV",
            "NoError | SRV 1 1 80 20010db8000100000000000000000005.addr.dc1.consul. | SRV 1 1 81 n2.node.dc1.consul. | \
             SRV 1 3 80 0a010001.addr.dc1.consul.",
        ),
        (
            "v1.web.service.lobby SRV",
            "NoError | SRV 1 1 80 20010db8000100000000000000000005.addr.dc1.lobby. | SRV 1 3 80 0a010001.addr.dc1.lobby.",
        ),
        ("named.service.consul SRV", "NoError | SRV 1 1 9000 Backend.example.com."),
        ("six.service.consul SRV", "NoError | SRV 1 1 6 n3.example.com.node.dc1.consul."),
        ("pay.service.consul SRV", "NoError | SRV 1 1 443 ext.node.dc1.consul."),
        ("noport.service.consul SRV", EMPTY),
        ("noport.service.consul A", "NoError | A 10.1.0.9"),
    ]);
    for (question, want) in [
        (
            "web.service.consul SRV",
            "0a010001.addr.dc1.consul. A 10.1.0.1 | 20010db8000100000000000000000005.addr.dc1.consul. AAAA 2001:db8:1::5 | \
             n2.node.dc1.consul. A 10.0.0.2",
        ),
        (
            "six.service.consul SRV",
            "n3.example.com.node.dc1.consul. A 10.0.0.3 | n3.example.com.node.dc1.consul. AAAA 2001:db8::3",
        ),
        ("named.service.consul SRV", ""),
    ] {
        // Whatever order the answers are in.
        for _ in 0..8 {
            let mut extras: Vec<_> =
                asked.ask(question).additionals.iter().map(|extra| format!("{} {}", extra.name, record(extra))).collect();
            extras.sort();
            assert_eq!(extras.join(" | "), want, "{question}");
        }
    }
    // Every target leads where its instance is.
    asked.check(&[
        ("0a010001.addr.dc1.consul A", "NoError | A 10.1.0.1"),
        ("20010db8000100000000000000000005.addr.dc1.consul AAAA", "NoError | AAAA 2001:db8:1::5"),
        ("0a010001.addr.consul AAAA", EMPTY),
        ("0a010001.addr.dc7.consul A", NONE),
        ("0a01000.addr.consul A", NONE),
    ]);
}

#[test]
fn nodes() {
    asked().check(&[
        ("n2.node.consul A", "NoError | A 10.0.0.2"),
        ("N2.node.dc1.consul A", "NoError | A 10.0.0.2"),
        ("n2.node.consul AAAA", EMPTY),
        ("n2.node.consul MX", EMPTY),
        ("n3.example.com.node.consul A", "NoError | A 10.0.0.3"),
        ("n3.example.com.node.consul AAAA", "NoError | AAAA 2001:db8::3"),
        ("n3.example.com.node.consul ANY", "NoError | A 10.0.0.3"),
        ("example.com.node.consul A", EMPTY),
        ("com.node.consul A", EMPTY),
        ("other.com.node.consul A", NONE),
        ("ext.node.consul A", "NoError | A 10.5.0.1"),
        ("ext.node.consul AAAA", "NoError | AAAA 2001:db8:5::1"),
        ("ext.node.consul TXT", "NoError | TXT os=linux | TXT plain"),
        ("n2.node.consul TXT", "NoError | TXT Zone=EU | TXT rack=1 | TXT spare | TXT version=1.2.3"),
        ("n9.node.consul A", NONE),
        ("node.consul A", EMPTY),
    ]);
}

#[test]
fn nodes_by_label_and_instances_by_id() {
    asked().check(&[
        ("rack.1.label.lobby A", "NoError | A 10.0.0.2 | A 10.0.0.3"),
        ("rack.1.label.lobby AAAA", "NoError | AAAA 2001:db8::3"),
        ("version.1.2.3.label.consul A", "NoError | A 10.0.0.2"),
        ("zone.eu.label.consul A", "NoError | A 10.0.0.2"),
        ("spare.label.consul A", "NoError | A 10.0.0.2"),
        ("rack.2.label.consul A", NONE),
        ("rack.1.label.dc1.consul A", "NoError | A 10.0.0.2 | A 10.0.0.3"),
        ("1.label.consul A", EMPTY),
        ("2.3.label.consul A", EMPTY),
        ("label.consul A", EMPTY),
        ("web-a.web.instance.consul A", "NoError | A 10.1.0.1"),
        ("web-a.web.instance.consul SRV", "NoError | SRV 1 3 80 0a010001.addr.dc1.consul."),
        ("web.b.web.instance.consul A", "NoError | A 10.0.0.2"),
        ("b.web.instance.consul A", EMPTY),
        ("web.instance.consul A", EMPTY),
        ("web-x.web.instance.consul A", NONE),
        ("x.nobody.instance.consul A", NONE),
        ("nobody.instance.consul A", NONE),
        ("ill.ill.instance.consul A", NONE),
        ("told.told.instance.consul TXT", "NoError | TXT k_y=v`` | TXT tag=t"),
        ("web-c.web.instance.consul TXT", "NoError | TXT tag=v1"),
    ]);
}

#[test]
fn addresses_backwards() {
    let six = "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR";
    asked().check(&[
        ("2.0.0.10.in-addr.arpa PTR", "NoError | PTR n2.node.dc1.lobby."),
        ("3.0.9.10.in-addr.arpa PTR", "NoError | PTR n3.example.com.node.dc1.lobby."),
        ("1.0.1.10.in-addr.arpa PTR", "NoError | PTR web.service.lobby."),
        ("1.0.5.10.in-addr.arpa PTR", "NoError | PTR ext.node.dc1.lobby."),
        (six, "NoError | PTR WEB.service.lobby."),
        ("7.0.1.10.in-addr.arpa PTR", "NXDomain | [SOA 0.1.10.in-addr.arpa.]"),
        ("99.0.0.10.in-addr.arpa PTR", "NXDomain | [SOA 0.0.10.in-addr.arpa.]"),
        ("10.in-addr.arpa PTR", "NoError | [SOA 10.in-addr.arpa.]"),
        ("0.0.10.in-addr.arpa A", "NoError | [SOA 0.0.10.in-addr.arpa.]"),
        ("in-addr.arpa PTR", "NoError | [SOA in-addr.arpa.]"),
        ("8.b.d.0.1.0.0.2.ip6.arpa PTR", "NoError | [SOA 8.b.d.0.1.0.0.2.ip6.arpa.]"),
        ("9.b.d.0.1.0.0.2.ip6.arpa PTR", "NXDomain | [SOA 9.b.d.0.1.0.0.2.ip6.arpa.]"),
        ("11.in-addr.arpa PTR", "NXDomain | [SOA 11.in-addr.arpa.]"),
        ("02.0.0.10.in-addr.arpa PTR", "NXDomain | [SOA 0.0.10.in-addr.arpa.]"),
        ("999.0.0.10.in-addr.arpa PTR", "NXDomain | [SOA 0.0.10.in-addr.arpa.]"),
        ("1.ip6.arpa PTR", "NXDomain | [SOA 1.ip6.arpa.]"),
        ("2.0.0.10.in-addr.arpa ANY", "NoError | PTR n2.node.dc1.lobby."),
        ("2.0.0.10.in-addr.arpa A", "NoError | [SOA 0.0.10.in-addr.arpa.]"),
    ]);
}

#[test]
fn the_domains_themselves() {
    let mut asked = asked();
    asked.check(&[
        ("consul SOA", "NoError | SOA ns.consul. postmaster.consul. 1700000000 3600 600 86400 1"),
        ("lobby SOA", "NoError | SOA ns.lobby. postmaster.lobby. 1700000000 3600 600 86400 1"),
        ("consul NS", "NoError | NS here.node.dc1.consul."),
        ("consul ANY", "NoError | SOA ns.consul. postmaster.consul. 1700000000 3600 600 86400 1"),
        ("consul A", EMPTY),
        ("ns.consul A", "NoError | A 10.0.0.1"),
        ("ns.consul AAAA", "NoError | AAAA 2001:db8::1"),
        ("example.com A", "Refused not ours"),
        ("notconsul A", "Refused not ours"),
        ("web.service.consul.example A", "Refused not ours"),
    ]);
    let glue: Vec<_> =
        asked.ask("consul NS").additionals.iter().map(|extra| format!("{} {}", extra.name, record(extra))).collect();
    assert_eq!(glue, ["here.node.dc1.consul. A 10.0.0.1", "here.node.dc1.consul. AAAA 2001:db8::1"]);
}

#[test]
fn a_domain_within_a_domain_is_the_one_that_is_asked() {
    let domains = ["consul", "dc.example.consul"].map(|text| lobby_dns::name::parse(text).unwrap());
    fleet().asked(Settings { domains: domains.into(), ..Settings::default() }).check(&[
        ("web.service.dc.example.consul AAAA", "NoError | AAAA 2001:db8:1::5"),
        ("nobody.service.dc.example.consul A", "NXDomain | [SOA dc.example.consul.]"),
        ("2.0.0.10.in-addr.arpa PTR", "NoError | PTR n2.node.dc1.consul."),
        ("web.service.lobby A", "Refused not ours"),
    ]);
}

#[test]
fn warnings_are_left_out_by_a_setting_and_weigh_less_otherwise() {
    fleet()
        .asked(Settings { only_passing: true, ..Settings::default() })
        .check(&[("web.service.consul A", "NoError | A 10.0.0.2"), ("web-a.web.instance.consul A", NONE)]);
}

#[test]
fn times_to_live_are_those_of_the_service_and_of_nothing() {
    let settings = Settings { ttl: 7, negative_ttl: 3, service_ttls: "web=30,*=5".parse().unwrap(), ..Settings::default() };
    let mut asked = fleet().asked(settings);
    for (question, want) in
        [("web.service.consul A", 30), ("WEB.service.consul SRV", 30), ("six.service.consul AAAA", 5), ("n2.node.consul A", 7)]
    {
        let message = asked.ask(question);
        assert!(message.answers.iter().chain(&message.additionals).all(|record| record.ttl == want), "{question}");
    }
    let message = asked.ask("nobody.service.consul A");
    assert_eq!(message.authorities[0].ttl, 3);
    assert!(record(&message.authorities[0]).ends_with(" 86400 3"));
}

#[test]
fn srv_brings_what_nodes_say_only_by_a_setting() {
    let texts = |settings| {
        let message = fleet().asked(settings).ask("pay.service.consul SRV");
        message.additionals.iter().filter(|extra| extra.record_type().to_string() == "TXT").count()
    };
    assert_eq!(texts(Settings::default()), 0);
    assert_eq!(texts(Settings { node_txt: true, truncate: Truncate::Tell, ..Settings::default() }), 2);
}

#[test]
fn nodes_of_one_name_answer_together_and_their_instances_apart() {
    let fleet = Fleet::new();
    let fleet = [2, 3].into_iter().fold(fleet, |fleet, n| {
        fleet.node(n, "twin", |local| {
            local.set_instance(&instance("i", "web", "", 80)).unwrap();
        })
    });
    fleet.asked(Settings::default()).check(&[
        ("twin.node.consul A", "NoError | A 10.0.0.2 | A 10.0.0.3"),
        ("web.service.consul A", "NoError | A 10.0.0.2 | A 10.0.0.3"),
        ("i.web.instance.consul A", "NoError | A 10.0.0.2 | A 10.0.0.3"),
        ("web.service.consul SRV", "NoError | SRV 1 1 80 0a000002.addr.dc1.consul. | SRV 1 1 80 0a000003.addr.dc1.consul."),
    ]);
}

#[test]
fn what_several_say_is_told_once() {
    let say = |local: &mut lobby_core::local::LocalRecord, weight: u16| {
        let mut web = instance("web", "web", "10.1.0.1", 80);
        web.meta =
            std::sync::Arc::new([("rfc1035-a".to_owned(), "x".to_owned()), ("rfc1035-b".to_owned(), "x".to_owned())].into());
        local.set_instance(&web).unwrap();
        let mut far = instance("far", "far", if weight == 1 { "Far.example.com" } else { "far.EXAMPLE.com" }, 80);
        far.tags = ["t".to_owned()].into();
        local.set_instance(&far).unwrap();
        let mut weighed = instance("weighed", "weighed", "10.1.0.2", 80);
        weighed.weights = Weights { passing: weight, warning: 1 };
        local.set_instance(&weighed).unwrap();
        local.set_labels(["same:1", "pair:1", "pair=1"].map(|label| label.parse().unwrap()));
    };
    let fleet = Fleet::new().node(2, "n2", |local| say(local, 1)).node(3, "n3", |local| say(local, 2));
    let mut asked = fleet.asked(Settings { node_txt: true, ..Settings::default() });
    asked.check(&[
        ("web.service.consul A", "NoError | A 10.1.0.1"),
        ("web.service.consul SRV", "NoError | SRV 1 1 80 0a010001.addr.dc1.consul."),
        ("weighed.service.consul SRV", "NoError | SRV 1 1 80 0a010002.addr.dc1.consul. | SRV 1 2 80 0a010002.addr.dc1.consul."),
        ("same.1.label.consul TXT", "NoError | TXT pair=1 | TXT same=1"),
        ("n2.node.consul TXT", "NoError | TXT pair=1 | TXT same=1"),
        ("web.web.instance.consul TXT", "NoError | TXT x"),
        ("far.far.instance.consul TXT", "NoError | TXT tag=t"),
    ]);
    assert_eq!(asked.ask("far.service.consul SRV").answers.len(), 1, "names are the same in any spelling");
    for question in ["web.service.consul SRV", "weighed.service.consul SRV"] {
        let mut extras: Vec<_> = asked.ask(question).additionals.iter().map(record).collect();
        extras.sort();
        let address = if question.starts_with("web.") { "A 10.1.0.1" } else { "A 10.1.0.2" };
        assert_eq!(extras, [address, "TXT pair=1", "TXT same=1"], "{question}");
    }
}

#[test]
fn names_that_dns_cannot_say_have_addresses_all_the_same() {
    let long = "x".repeat(64);
    let fleet = Fleet::new().node(2, &long, |local| {
        local.set_instance(&instance("i", "web", "", 80)).unwrap();
        local.set_instance(&instance("j", "odd", "not_a-name-that..is", 80)).unwrap();
    });
    fleet.asked(Settings::default()).check(&[
        ("web.service.consul SRV", "NoError | SRV 1 1 80 0a000002.addr.dc1.consul."),
        ("odd.service.consul A", EMPTY),
        ("odd.service.consul SRV", EMPTY),
    ]);
}

#[test]
fn nodes_of_another_data_centre_are_named_there() {
    let fleet = Fleet::new().node(2, "n2", |local| {
        local.set_meta(meta::DATACENTER, "Dc2");
        local.set_instance(&instance("i", "web", "", 80)).unwrap();
    });
    fleet.asked(Settings::default()).check(&[
        ("web.service.consul SRV", "NoError | SRV 1 1 80 n2.node.Dc2.consul."),
        ("n2.node.dc2.consul A", "NoError | A 10.0.0.2"),
        ("n2.node.dc1.consul A", NONE),
        ("web.service.dc1.consul A", NONE),
        ("web.service.dc2.consul A", "NoError | A 10.0.0.2"),
    ]);
}

#[test]
fn names_that_are_no_text_are_nobodys() {
    let mut asked = asked();
    for (domain, want) in [("consul", NONE), ("elsewhere", "Refused not ours")] {
        let mut request = asking(&format!("x.service.{domain} A"), None);
        request[13] = 0xff;
        assert_eq!(short(&read(&asked.bytes(&request, false))), want, "{domain}");
    }
}
