//! DNS of the real daemon, as dig and kdig see it: forms of names, sizes, what is refused, and when there is no DNS.
//!
//! Every case of a name is in `lobby-dns`; here is one of each kind, over the wire.

mod behind;
mod floods;
mod proxies;
mod rate;

use std::{net::SocketAddr, process::Command, time::Duration};

use lobby_testkit::{
    daemon::{Builder, Daemon},
    eventually, expect, port,
    process::find,
};
use serde_json::json;

use crate::{
    catalog::{deregister, put, register},
    fleet::{SOON, daemon, is_warm, metric},
};

/// With DNS on a free port.
pub(crate) fn with_dns(name: &str) -> Builder {
    daemon(name).env("DNS_ADDR", "127.0.0.1:0")
}

/// Where its DNS listens.
#[track_caller]
pub(crate) fn dns(daemon: &Daemon) -> SocketAddr {
    let text = daemon.ready["dns"].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no DNS: {}", daemon.ready))
}

/// What dig (or kdig) prints.
#[track_caller]
fn run(program: &str, at: SocketAddr, arguments: &str) -> String {
    let mut command = Command::new(find(program));
    command.args([format!("@{}", at.ip()), "-p".into(), at.port().to_string()]);
    command.args(arguments.split(' ')).env("HOME", "/nonexistent");
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{program} {arguments}: {text}");
    text
}

/// The answers to a question, sorted.
#[track_caller]
pub(crate) fn short(at: SocketAddr, question: &str) -> Vec<String> {
    let text = run("dig", at, &format!("+short +nocookie {question}"));
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Three instances of `web` and one of `db`, on a node with labels.
fn served() -> Daemon {
    let agent = with_dns("n1").env("LABELS", "rack:r1").env("DNS_SERVICE_TTL", "web=30").start();
    for n in 1..=3 {
        let id = format!("web-{n}");
        let weights = json!({"Passing": n * 10, "Warning": 1});
        register(
            &agent,
            &json!({"Name": "web", "ID": id, "Address": format!("10.0.0.{n}"), "Port": 8000 + n, "Tags": ["v1"], "Weights": weights}),
        );
    }
    register(&agent, &json!({"Name": "db", "Port": 5432, "Check": {"TTL": "1h", "Status": "passing"}}));
    register(&agent, &json!({"Name": "other", "Port": 1, "Address": "Backend.example.com"}));
    register(&agent, &json!({"Name": "six", "Port": 6, "Address": "2001:db8::6"}));
    agent
}

#[test]
fn names_of_each_kind_over_both_protocols() {
    let agent = served();
    let at = dns(&agent);
    let cases: &[(&str, &[&str])] = &[
        ("web.service.consul A", &["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
        ("v1.web.service.dc1.lobby A", &["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
        (
            "_web._v1.service.consul SRV",
            &[
                "1 10 8001 0a000001.addr.dc1.consul.",
                "1 20 8002 0a000002.addr.dc1.consul.",
                "1 30 8003 0a000003.addr.dc1.consul.",
            ],
        ),
        ("db.service.consul SRV", &["1 1 5432 n1.node.dc1.consul."]),
        ("n1.node.dc1.consul A", &["127.0.0.1"]),
        ("n1.node.consul TXT", &["\"rack=r1\""]),
        ("0a000002.addr.consul A", &["10.0.0.2"]),
        ("rack.r1.label.lobby A", &["127.0.0.1"]),
        ("web-2.web.instance.lobby A", &["10.0.0.2"]),
        ("other.service.consul A", &["Backend.example.com."]),
        ("web-2.web.instance.lobby SRV", &["1 20 8002 0a000002.addr.dc1.lobby."]),
        ("web-2.web.instance.lobby TXT", &["\"tag=v1\""]),
        ("web.service.consul ANY", &["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
        ("six.service.consul AAAA", &["2001:db8::6"]),
        ("other.service.consul CNAME", &["Backend.example.com."]),
        ("-x 10.0.0.2", &["web.service.lobby."]),
        ("-x 2001:db8::6", &["six.service.lobby."]),
        ("consul NS", &["n1.node.dc1.consul."]),
        ("web.service.consul AAAA", &[]),
        ("nobody.service.consul A", &[]),
    ];
    for (question, want) in cases {
        for transport in ["+notcp", "+tcp", "+noedns", "+bufsize=512"] {
            assert_eq!(short(at, &format!("{transport} {question}")), *want, "{transport} {question}");
        }
        // A second program reads the same in what we write.
        for transport in ["+notcp", "+tcp"] {
            let text = run("kdig", at, &format!("+short {transport} {question}"));
            let mut lines: Vec<_> = text.lines().collect();
            lines.sort_unstable();
            assert_eq!(lines, *want, "kdig {transport} {question}");
        }
    }
    // With a number that rises.
    for question in ["consul SOA", "+tcp consul SOA", "+notcp consul ANY"] {
        let soa = short(at, question).join(" | ");
        assert!(soa.starts_with("ns.consul. postmaster.consul. ") && soa.ends_with(" 3600 600 86400 1"), "{question}: {soa}");
    }
    let full = run("dig", at, "+nocookie WeB.service.CONSUL A");
    assert!(full.contains("WeB.service.CONSUL.\t30\tIN\tA"), "{full}");
    assert!(full.contains("flags: qr aa rd;") && full.contains("udp: 1232"), "{full}");
    assert!(!full.contains("WARNING: Message"), "{full}");
}

#[test]
fn what_is_not_ours_or_no_question_is_refused() {
    let agent = served();
    let at = dns(&agent);
    for (arguments, want) in [
        ("nobody.service.consul A", "status: NXDOMAIN"),
        ("web.service.consul AAAA", "status: NOERROR"),
        ("web.service.consul TYPE65280", "status: NOERROR"),
        ("example.com A", "status: REFUSED"),
        ("version.bind CH TXT", "status: REFUSED"),
        ("consul AXFR +tcp", "Transfer failed"),
        ("+opcode=NOTIFY web.service.consul SOA", "status: NOTIMP"),
        ("+opcode=UPDATE web.service.consul SOA", "status: NOTIMP"),
        ("+edns=1 +noednsnegotiation web.service.consul A", "status: BADVERS"),
        ("+header-only", "status: FORMERR"),
    ] {
        let text = run("dig", at, &format!("+nocookie {arguments}"));
        assert!(text.contains(want), "{arguments}: {text}");
    }
    let text = run("dig", at, "+nocookie nobody.service.lobby A");
    assert!(text.contains("lobby.\t\t\t1\tIN\tSOA\tns.lobby. postmaster.lobby."), "{text}");
    assert!(metric(&agent, "lobby_dns_malformed_total{kind=\"opcode\"}") >= 2.0);
    assert!(metric(&agent, "lobby_dns_answers_total{rcode=\"nxdomain\"}") >= 2.0);
}

#[test]
fn a_change_is_answered_at_once() {
    let agent = served();
    let at = dns(&agent);
    assert_eq!(short(at, "db.service.consul A"), ["127.0.0.1"]);
    put(&agent, "/v1/agent/check/fail/service:db", "");
    assert!(short(at, "db.service.consul A").is_empty(), "what is acknowledged is answered");
    put(&agent, "/v1/agent/check/warn/service:db", "");
    assert_eq!(short(at, "db.service.consul A"), ["127.0.0.1"]);
    put(&agent, "/v1/agent/service/maintenance/db?enable=true", "");
    assert!(short(at, "db.service.consul A").is_empty());
    put(&agent, "/v1/agent/service/maintenance/db?enable=false", "");
    deregister(&agent, "web-2");
    assert_eq!(short(at, "web.service.consul A"), ["10.0.0.1", "10.0.0.3"]);
    let drained = agent.request("PUT", "/v1/services/web/web-1/drain", &[], "");
    assert_eq!(drained.status, 200);
    assert_eq!(short(at, "web.service.consul A"), ["10.0.0.3"]);
}

#[test]
fn a_thousand_instances_over_udp_edns_and_tcp() {
    let agent = with_dns("n1").start();
    for n in 0..1000 {
        let address = format!("10.1.{}.{}", n / 250, n % 250 + 1);
        register(&agent, &json!({"Name": "web", "ID": format!("web-{n}"), "Address": address, "Port": 1000 + n}));
    }
    let at = dns(&agent);
    for kind in ["A", "SRV"] {
        // dig asks again over TCP when it is told to.
        assert_eq!(short(at, &format!("web.service.consul {kind}")).len(), 1000, "{kind}");
        for size in ["+noedns", "+bufsize=1232", "+bufsize=4096"] {
            let text = run("dig", at, &format!("+nocookie +ignore {size} web.service.consul {kind}"));
            assert!(text.contains("flags: qr aa tc rd;"), "{text}");
            let bytes = text.lines().find_map(|line| line.strip_prefix(";; MSG SIZE  rcvd: ")).unwrap();
            assert!(bytes.parse::<usize>().unwrap() <= if size == "+noedns" { 512 } else { 1232 }, "{text}");
        }
    }
    assert!(metric(&agent, "lobby_dns_short_total{what=\"truncated\"}") >= 6.0);
}

#[test]
fn as_many_addresses_as_the_setting_says() {
    let agent = with_dns("n1").env("DNS_A_RECORD_LIMIT", 2).start();
    for n in 1..=5 {
        register(&agent, &json!({"Name": "web", "ID": format!("web-{n}"), "Address": format!("10.0.0.{n}"), "Port": 80}));
    }
    for transport in ["+notcp", "+noedns", "+tcp"] {
        // The second time it is at hand.
        for (kind, want) in [("A", 2), ("A", 2), ("ANY", 2), ("SRV", 5)] {
            let seen = short(dns(&agent), &format!("{transport} web.service.consul {kind}"));
            assert_eq!(seen.len(), want, "{transport} {kind}: {seen:?}");
        }
    }
    assert!(metric(&agent, "lobby_dns_short_total{what=\"truncated\"}") == 0.0, "it is all that there is to be told");
}

#[test]
fn names_of_others_are_forwarded_when_that_is_wanted() {
    let other = served();
    let agent = with_dns("n2").env("DNS_DOMAINS", "mine").env("DNS_FORWARD", dns(&other)).start();
    assert_eq!(short(dns(&agent), "web.service.consul A"), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    assert_eq!(short(dns(&agent), "+tcp web.service.consul A"), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    assert_eq!(short(dns(&agent), "n2.node.mine A"), ["127.0.0.1"]);
    let text = run("dig", dns(&agent), "+nocookie web.service.consul A");
    assert!(text.contains("flags: qr rd ra;"), "not authoritative, but recursion is available: {text}");
}

#[test]
fn an_agent_that_waits_for_others_does_not_say_that_there_is_no_such_name() {
    let nobody = port::free_address();
    let agent = with_dns("n1").env("GOSSIP_JOIN", nobody).start();
    register(&agent, &json!({"Name": "web", "Address": "10.0.0.1", "Port": 80}));
    let at = dns(&agent);
    assert!(run("dig", at, "+nocookie db.service.consul A").contains("status: SERVFAIL"));
    assert_eq!(short(at, "web.service.consul A"), ["10.0.0.1"]);
    let other = with_dns("n2").env("GOSSIP_ADDR", nobody).start();
    is_warm(&agent);
    eventually(SOON, || {
        let text = run("dig", at, "+nocookie db.service.consul A");
        expect(text.contains("status: NXDOMAIN"), text)
    });
    eventually(SOON, || {
        let seen = short(dns(&other), "web.service.consul A");
        expect(seen == ["10.0.0.1"], seen)
    });
}

#[test]
fn an_address_that_is_taken_is_an_error_only_if_somebody_chose_it() {
    let first = with_dns("n1").start();
    let (status, log) = with_dns("n2").env("DNS_ADDR", dns(&first)).run(Duration::from_secs(20));
    assert_eq!(status, Some(1), "{log}");
    assert!(log.contains("DNS_ADDR"), "{log}");
    // Nobody chose it: whether it is free here or not, the agent starts, with DNS or with one warning.
    let _taken = std::net::TcpListener::bind("127.0.0.1:8600");
    let mut second = with_dns("n3").without_env("DNS_ADDR").start();
    assert_eq!(second.ready["dns"], json!(null), "{}", second.ready);
    assert_eq!(second.process.log().matches("DNS is off").count(), 1);
    second.stop(Duration::from_secs(10));
    let off = daemon("n4").start();
    assert!(off.ready.get("dns").is_none());
    assert!(!off.get("/metrics").text().contains("lobby_dns_"));
}

#[test]
fn a_stop_is_as_quick_as_without_and_frees_the_address() {
    let mut agent = served();
    let at = dns(&agent);
    assert!(!short(at, "web.service.consul A").is_empty());
    agent.stop(Duration::from_secs(10));
    assert!(std::net::UdpSocket::bind(at).is_ok() && !port::is_open(at));
}
