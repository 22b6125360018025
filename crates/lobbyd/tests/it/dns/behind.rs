//! Behind other resolvers: the recipes of docs/dns.md, run with the port that the test has.

use std::path::Path;

use lobby_testkit::{
    eventually, expect,
    server::{dnsmasq, unbound},
};
use serde_json::json;

use super::{dns, served, short};
use crate::{
    catalog::{deregister, register},
    fleet::SOON,
};

/// The block of docs/dns.md that follows this heading, for DNS at another address.
fn recipe(heading: &str, fence: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/dns.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, after) = page.split_once(&format!("\n### {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let (_, block) = after.split_once(&format!("\n```{fence}\n")).unwrap();
    block.split_once("\n```").unwrap().0.to_owned() + "\n"
}

/// Every kind of answer comes through, and follows changes.
fn check(resolver: std::net::SocketAddr, agent: &lobby_testkit::daemon::Daemon) {
    for (question, want) in [
        ("web.service.consul A", &["10.0.0.1", "10.0.0.2", "10.0.0.3"][..]),
        ("web.service.lobby A", &["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
        ("v1.web.service.consul A", &["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
        ("db.service.consul SRV", &["1 1 5432 n1.node.dc1.consul."]),
        ("_db._tcp.service.consul SRV", &["1 1 5432 n1.node.dc1.consul."]),
        ("n1.node.dc1.consul A", &["127.0.0.1"]),
        ("+tcp n1.node.consul TXT", &["\"rack=r1\""]),
        ("rack.r1.label.lobby A", &["127.0.0.1"]),
        ("web-2.web.instance.lobby A", &["10.0.0.2"]),
        ("-x 10.0.0.2", &["web.service.lobby."]),
        ("nobody.service.consul A", &[]),
    ] {
        eventually(SOON, || {
            let seen = short(resolver, question);
            expect(seen == want, (question, seen))
        });
    }
    register(agent, &json!({"Name": "new", "Address": "10.0.0.9", "Port": 9}));
    eventually(SOON, || {
        let seen = short(resolver, "new.service.consul A");
        expect(seen == ["10.0.0.9"], seen)
    });
    deregister(agent, "new");
    eventually(SOON, || {
        let seen = short(resolver, "new.service.consul A");
        expect(seen.is_empty(), seen)
    });
}

#[test]
fn dnsmasq_asks_us() {
    let agent = served();
    let lines = recipe("dnsmasq", "conf").replace("127.0.0.1#8600", &format!("127.0.0.1#{}", dns(&agent).port()));
    assert!(!lines.contains("8600"), "{lines}");
    let dnsmasq = dnsmasq::configured(&lines);
    check(dnsmasq.address, &agent);
}

#[test]
fn unbound_asks_us() {
    let agent = served();
    let zones = recipe("unbound", "conf").replace("127.0.0.1@8600", &unbound::at(dns(&agent)));
    assert!(!zones.contains("8600"), "{zones}");
    let unbound = unbound::start(&zones);
    check(unbound.address, &agent);
}
