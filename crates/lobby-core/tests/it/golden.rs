//! Stored bytes of every released form: what version 0.1 wrote must decode for ever.

use lobby_core::{
    id::{ExchangeId, NodeId, Origin},
    label::Label,
    record::Record,
    wire::{binary, packet},
};

/// Id 0x11…, generation 7, version 3, floor 1, name `web-1`, label `service:web`, tombstone of `old:1`, meta address.
const RECORD: &str = "11111111111111111111111111111111070301000577\
65622d310300056f6c643a310000000b736572766963653a776562010100\
01096164647265737365730201093139322e302e322e31";

const PACKET: &str = r#"{"discovery":{"hostname":"web-1","labels":["service:web"],"last_check":5},"message":"hi","lobby":{"id":"11111111111111111111111111111111","generation":7,"version":3,"hash":"00","cluster":"lobby","meta":{"addresses":"192.0.2.1"}}}"#;

fn check(record: &Record) {
    assert_eq!(record.origin, Origin::Node(NodeId::from_bytes([0x11; 16])));
    assert_eq!((record.name.as_str(), record.stamp.generation.0, record.stamp.version.0), ("web-1", 7, 3));
    assert_eq!(record.labels().map(Label::as_str).collect::<Vec<_>>(), ["service:web"]);
    assert_eq!(record.meta("addresses"), Some("192.0.2.1"));
}

#[test]
fn the_binary_record_of_0_1() {
    let digits: String = RECORD.split_whitespace().collect();
    let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
    let record = binary::decode_record(&bytes).unwrap();
    check(&record);
    assert_eq!(record.entries().len(), 3, "the tombstone is kept");
    let mut again = Vec::new();
    binary::encode_record(&record, &mut again);
    assert_eq!(again, bytes);
}

#[test]
fn the_json_packet_of_0_1() {
    check(&packet::decode(PACKET.as_bytes(), ExchangeId(0)).unwrap().record);
}
