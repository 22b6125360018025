//! The rules of `prometheus:…` labels, and that no label can spoil the document.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Sorts the labels as a record does and returns targets and labels as text, or `-` for no group.
fn check(labels: &[&str], want: &str) {
    let mut sorted = labels.to_vec();
    sorted.sort_unstable();
    let got = match group("web", sorted, "x", 9100) {
        None => "-".to_owned(),
        Some(group) => {
            let pairs: Vec<_> = group.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} | {}", group.targets.join(" "), pairs.join(" "))
        }
    };
    assert_eq!(got.trim_end_matches([' ', '|']), want, "{labels:?}");
}

#[test]
fn who_is_exported() {
    check(&[], "-");
    check(&["prometheus"], "-");
    check(&["prometheus:"], "-");
    check(&["prometheus:xy"], "-");
    check(&["Prometheus:x"], "-");
    check(&["prometheus:y:host:a"], "-");
    check(&["aprometheus:x"], "-");
    check(&["prometheus:x"], "web:9100");
    check(&["prometheus:x:"], "web:9100");
    check(&["prometheus:x:a"], "web:9100");
    check(&["prometheus:x:a:b"], "web:9100 | a=b");
    check(&["prometheus:x", "prometheus:y:a:b"], "web:9100");
}

#[test]
fn targets() {
    check(&["prometheus:x:host:192.168.1.1"], "192.168.1.1:9100");
    check(&["prometheus:x:host:b", "prometheus:x:host:a"], "a:9100 b:9100");
    check(&["prometheus:x:host:a:8080"], "a:8080");
    check(&["prometheus:x:host:a:8080", "prometheus:x:host:b", "prometheus:x:port:9200"], "a:8080 b:9200");
    check(&["prometheus:x:port:9200"], "web:9200");
    check(&["prometheus:x:port:-"], "web");
    check(&["prometheus:x:port:-", "prometheus:x:host:a:1"], "a:1");
    check(&["prometheus:x:host:2a03::1"], "[2a03::1]:9100");
    check(&["prometheus:x:host:2a03::1", "prometheus:x:port:-"], "[2a03::1]");
    check(&["prometheus:x:host:::1"], "[::1]:9100");
    check(&["prometheus:x:host:fe80::1%eth0"], "[fe80::1%eth0]:9100");
    check(&["prometheus:x:host:[2a03::1]"], "[2a03::1]:9100");
    check(&["prometheus:x:host:[2a03::1]:80"], "[2a03::1]:80");
}

#[test]
fn values_that_are_no_target() {
    // The port falls back; a host that Prometheus would refuse is left out, and without any the name is the target.
    for port in ["", "0", "65536", "-1", "+80", "http", "9 9"] {
        check(&[&format!("prometheus:x:port:{port}")], "web:9100");
    }
    for host in
        ["", " ", "a/b", "http://a", "a b", "a:", "a:0", "a:http", "a:1:2", ":80", "[a]", "[::1", "[::1]x", "[::1]:", "::1::"]
    {
        check(&[&format!("prometheus:x:host:{host}"), "prometheus:x:host:good"], "good:9100");
        check(&[&format!("prometheus:x:host:{host}")], "web:9100");
        check(&[&format!("prometheus:x:host:{host}"), "prometheus:x:port:-", "prometheus:x:a:b"], "web | a=b");
    }
}

#[test]
fn labels_are_rewritten_and_the_last_wins() {
    check(&["prometheus:x:bad-name:1"], "web:9100 | bad_name=1");
    check(&["prometheus:x:9lives:1"], "web:9100 | _9lives=1");
    check(&["prometheus:x:ž:1"], "web:9100 | _=1");
    check(&["prometheus:x:a b.c:1"], "web:9100 | a_b_c=1");
    check(&["prometheus:x:: v"], "web:9100");
    check(&["prometheus:x: :v"], "web:9100");
    check(&["prometheus:x:url:http://a:1/?b"], "web:9100 | url=http://a:1/?b");
    check(&["prometheus:x:a:1", "prometheus:x:a:2"], "web:9100 | a=2");
    check(&["prometheus:x:a-b:2", "prometheus:x:a_b:1"], "web:9100 | a_b=1");
    check(&["prometheus:x:__meta_x:1", "prometheus:x:job:j"], "web:9100 | __meta_x=1 job=j");
    check(&["prometheus:x:q:\"\\\u{e9}"], "web:9100 | q=\"\\\u{e9}");
}

/// Exactly the shape Prometheus takes, and no other: it refuses unknown fields and bad label names.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    #[serde(rename = "Labels")]
    labels: BTreeMap<String, String>,
    #[serde(rename = "Targets")]
    targets: Vec<String>,
}

fn assert_accepted(document: &[u8]) {
    let groups: Vec<Strict> = serde_json::from_slice(document).unwrap();
    for group in groups {
        for name in group.labels.keys() {
            let mut chars = name.chars();
            let first = chars.next().unwrap();
            assert!(first == '_' || first.is_ascii_alphabetic(), "{name:?}");
            assert!(chars.all(|c| c == '_' || c.is_ascii_alphanumeric()), "{name:?}");
        }
        for target in &group.targets {
            assert!(!target.is_empty() && !target.contains(['/', ' ', '\n', '\t']), "{target:?}");
        }
    }
}

fn hostile_part() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("host".to_owned()),
        Just("port".to_owned()),
        Just("-".to_owned()),
        "[a-z0-9_:.-]{0,12}",
        "[^\\x00-\\x1f\\x7f]{0,12}",
        "(\\[|\\]|:|%|/|\"|\\\\|[0-9a-f]){0,16}",
    ]
}

proptest! {
    #[test]
    fn no_label_spoils_the_document(parts in prop::collection::vec((hostile_part(), hostile_part()), 0..8)) {
        let mut labels: Vec<_> = parts.iter().map(|(key, value)| format!("prometheus:x:{key}:{value}")).collect();
        labels.sort();
        let hostile = group("web", labels.iter().map(String::as_str), "x", 9100);
        prop_assert_eq!(hostile.is_some(), !labels.is_empty());
        let good = group("good", ["prometheus:x"], "x", 9100);
        let groups: Vec<_> = hostile.into_iter().chain(good).collect();
        assert_accepted(&crate::answer::pretty(&groups));
    }
}
