//! Stored bytes of every released form: what version 0.1 wrote must decode for ever.

use std::{sync::Arc, time::Duration};

use lobby_core::{
    check::{
        Status,
        view::{CheckKind, CheckView},
    },
    id::{ExchangeId, NodeId, Origin},
    instance::{Instance, TaggedAddress, Weights},
    label::Label,
    record::Record,
    time::WallSecond,
    wire::{self, binary, packet},
};

/// Id 0x11…, generation 7, version 3, floor 1, name `web-1`, label `service:web`, tombstone of `old:1`, meta address.
const RECORD: &str = "11111111111111111111111111111111070301000577\
65622d310300056f6c643a310000000b736572766963653a776562010100\
01096164647265737365730201093139322e302e322e31";

/// The same node with one instance and one check of every field.
const SERVICES: &str = "1111111111111111111111111111111107030100057765622d3104000b73\
6572766963653a7765620101000109616464726573736573020109313932\
2e302e322e3102057765622d3101014b0103037765620831302e302e302e\
37903f0aac0202016201610103766572013301036c616e033a3a31510d63\
6f6e6e6563742d70726f7879027b7d0f7b224e6174697665223a74727565\
7d030d736572766963653a7765622d3100011c010101057765622d310143\
80c8afa02580dea0cb05016e043432390a";

const PACKET: &str = r#"{"discovery":{"hostname":"web-1","labels":["service:web"],"last_check":5},"message":"hi","lobby":{"id":"11111111111111111111111111111111","generation":7,"version":3,"hash":"00","cluster":"lobby","meta":{"addresses":"192.0.2.1"}}}"#;

/// The same with the services of [`SERVICES`], as an agent sends it.
const SERVICES_PACKET: &str = concat!(
    r#"{"discovery":{"hostname":"web-1","labels":["service:web","service:web:host:10.0.0.7","service:web:port:8080","#,
    r#""service:web:tag:a","service:web:tag:b","service:web:ver:3"],"last_check":5},"message":"hi","lobby":{"#,
    r#""id":"11111111111111111111111111111111","generation":7,"version":3,"hash":"HASH","cluster":"lobby","#,
    r#""meta":{"addresses":"192.0.2.1"},"services":[{"id":"web-1","service":"web","address":"10.0.0.7","port":8080,"#,
    r#""tags":["b","a"],"meta":{"ver":"3"},"tagged":{"lan":{"address":"::1","port":81}},"weights":[10,300],"#,
    r#""tag_override":true,"kind":"connect-proxy","drain":true,"proxy":"{}","connect":"{\"Native\":true}"}],"#,
    r#""checks":[{"id":"service:web-1","name":"C","status":"warning","service":"web-1","kind":"http","#,
    r#""interval":10000000000,"timeout":1500000000,"notes":"n","output":"429\n"}],"own_labels":1}}"#
);

fn bytes(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn check(record: &Record) {
    assert_eq!(record.origin, Origin::Node(NodeId::from_bytes([0x11; 16])));
    assert_eq!((record.name.as_str(), record.stamp.generation.0, record.stamp.version.0), ("web-1", 7, 3));
    assert_eq!(record.labels().map(Label::as_str).collect::<Vec<_>>(), ["service:web"]);
    assert_eq!(record.meta("addresses"), Some("192.0.2.1"));
}

#[test]
fn the_binary_record_of_0_1() {
    let bytes = bytes(RECORD);
    let record = binary::decode_record(&bytes).unwrap();
    check(&record);
    assert_eq!(record.entries().len(), 3, "the tombstone is kept");
    let mut again = Vec::new();
    binary::encode_record(&record, &mut again);
    assert_eq!(again, bytes);
}

#[test]
fn the_json_packet_of_0_1() {
    let record = packet::decode(PACKET.as_bytes(), ExchangeId(0)).unwrap().record;
    check(&record);
    // Nothing has been added for a node without services.
    let again = packet::encode(&record, packet::Message::Hi, "lobby", WallSecond(5));
    let want = PACKET.replace(r#""00""#, &format!(r#""{:016x}""#, record.content_hash()));
    assert_eq!(String::from_utf8(again).unwrap(), want);
}

#[test]
fn the_json_packet_of_services() {
    let record = binary::decode_record(&bytes(SERVICES)).unwrap();
    let text = packet::encode(&record, packet::Message::Hi, "lobby", WallSecond(5));
    let want = SERVICES_PACKET.replace("HASH", &format!("{:016x}", record.content_hash()));
    assert_eq!(String::from_utf8(text).unwrap(), want);
    let read = packet::decode(want.as_bytes(), ExchangeId(0)).unwrap().record;
    check(&read);
    assert_eq!(read.content_hash(), record.content_hash());
}

#[test]
fn the_first_form_of_instances_and_checks() {
    let bytes = bytes(SERVICES);
    let record = binary::decode_record(&bytes).unwrap();
    check(&record);
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let instance = Instance {
        tags: ["b".into(), "a".into()].into(),
        address: "10.0.0.7".into(),
        port: 8080,
        meta: Arc::new([pair("ver", "3")].into()),
        tagged_addresses: [("lan".into(), TaggedAddress { address: "::1".into(), port: 81 })].into(),
        weights: Weights { passing: 10, warning: 300 },
        enable_tag_override: true,
        kind: "connect-proxy".into(),
        drain: true,
        proxy: "{}".into(),
        connect: r#"{"Native":true}"#.into(),
        ..Instance::new("web-1".parse().unwrap(), "web".parse().unwrap())
    };
    assert!(record.instances().eq([instance.clone()]), "{:?}", record.instance(&instance.id));
    let check = CheckView {
        status: Status::Warning,
        kind: CheckKind::Http,
        interval: Duration::from_secs(10),
        timeout: Duration::from_millis(1500),
        notes: "n".into(),
        output: "429\n".into(),
        ..CheckView::new("service:web-1".parse().unwrap(), "C", Some(instance.id.clone()))
    };
    assert!(record.checks().eq([check.clone()]), "{:?}", record.check(&check.id));
    let mut again = Vec::new();
    wire::service::encode_instance(&instance, &mut again);
    assert!(bytes.windows(again.len()).any(|part| part == again));
    again.clear();
    wire::service::encode_check(&check, &mut again);
    assert!(bytes.windows(again.len()).any(|part| part == again));
}
