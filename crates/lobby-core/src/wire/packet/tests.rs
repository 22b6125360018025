//! Tables of the JSON packet: what the old daemon writes, what is dropped, how services ride along.

use super::*;
use crate::{instance::Instance, local::LocalRecord, time::Moment};

const EXCHANGE: ExchangeId = ExchangeId(0);

#[test]
fn a_packet_of_the_go_daemon_is_a_bare_record() {
    let text = br#"{"discovery":{"hostname":"smtp.example.com","labels":["service:smtp","public_ip6:2a03::1"],"last_check":1630612478},"message":"hi"}"#;
    let packet = decode(text, EXCHANGE).unwrap();
    assert_eq!(packet.message, Message::Hi);
    assert_eq!(packet.record.origin, Origin::Bare(EXCHANGE, "smtp.example.com".parse().unwrap()));
    let labels: Vec<_> = packet.record.labels().map(Label::as_str).collect();
    assert_eq!(labels, ["public_ip6:2a03::1", "service:smtp"]);
}

#[test]
fn a_goodbye_may_have_null_labels() {
    let text = br#"{"discovery":{"hostname":"a","labels":null,"last_check":0},"message":"goodbye"}"#;
    assert_eq!(decode(text, EXCHANGE).unwrap().message, Message::Goodbye);
}

#[test]
fn bad_labels_are_dropped_and_counted() {
    let text = br#"{"discovery":{"hostname":"a","labels":["ok","","a\tb"," ok "]},"message":"hi","new":1}"#;
    let packet = decode(text, EXCHANGE).unwrap();
    assert_eq!((packet.dropped, packet.record.labels().count()), (2, 1));
}

#[test]
fn a_question_reads_as_it_was_written() {
    let ask = Ask { asker: NodeId::from_bytes([7; 16]), cluster: "c".into(), taken: false };
    assert_eq!(decode_ask(&encode_ask(&ask)).unwrap(), ask);
    assert!(decode_ask(br#"{"ask":"7"}"#).is_err());
}

#[test]
fn what_is_no_packet_is_refused() {
    assert!(matches!(decode(b"", EXCHANGE), Err(DecodePacketError::Json(_))));
    assert!(matches!(decode(br#"{"message":"hi"}"#, EXCHANGE), Err(DecodePacketError::Json(_))));
    let text = br#"{"discovery":{"hostname":"a"},"message":"resync"}"#;
    assert!(matches!(decode(text, EXCHANGE), Err(DecodePacketError::UnknownMessage)));
    let text = br#"{"discovery":{"hostname":""},"message":"hi"}"#;
    assert!(matches!(decode(text, EXCHANGE), Err(DecodePacketError::Hostname)));
}

/// A node with these labels and an instance `web-1` of `web` on port 80 with the tag `a`.
fn with_service(labels: &[&str]) -> Arc<Record> {
    let mut local = LocalRecord::new(NodeId::from_bytes([7; 16]), Generation(1), "a".parse().unwrap());
    local.set_labels(labels.iter().map(|label| label.parse().unwrap()));
    let plain = Instance::new("web-1".parse().unwrap(), "web".parse().unwrap());
    local.set_instance(&Instance { port: 80, tags: ["a".into()].into(), ..plain }).unwrap();
    local.commit(Moment::ZERO).unwrap()
}

fn labels_of(bytes: &[u8]) -> Vec<String> {
    let packet: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    serde_json::from_value(packet["discovery"]["labels"].clone()).unwrap()
}

#[test]
fn old_daemons_see_services_as_labels_and_our_agents_do_not() {
    let derived = ["service:web", "service:web:port:80", "service:web:tag:a"];
    for (own, want) in [
        (&[][..], derived.to_vec()),
        (&["x", "zone:eu"], [&["x", "zone:eu"], &derived[..]].concat()),
        // Somebody wrote by hand what one of the service's labels says.
        (&["service:web:port:80", "z"], vec!["service:web:port:80", "z", "service:web", "service:web:tag:a"]),
        (&derived, derived.to_vec()),
    ] {
        let record = with_service(own);
        let bytes = encode(&record, Message::Hi, "c", WallSecond(1));
        assert_eq!(labels_of(&bytes), want);
        for bytes in [bytes, encode_short(&record, "c", WallSecond(1))] {
            let read = decode(&bytes, EXCHANGE).unwrap();
            assert_eq!(read.record.labels().map(Label::as_str).collect::<Vec<_>>(), own);
            assert_eq!((read.hash, read.record.content_hash()), (Some(record.content_hash()), record.content_hash()));
            assert!(read.record.instances().eq(record.instances()) && read.dropped == 0);
        }
        assert_eq!(labels_of(&encode_short(&record, "c", WallSecond(1))), own);
        let goodbye = encode(&record, Message::Goodbye, "c", WallSecond(1));
        assert!(!String::from_utf8(goodbye).unwrap().contains("web"));
    }
}

#[test]
fn bad_services_and_checks_are_dropped_and_counted() {
    let packet = |services: &str, checks: &str| {
        let lobby =
            format!(r#"{{"id":"{}","generation":1,"version":2,"services":[{services}],"checks":[{checks}]}}"#, "07".repeat(16));
        let text = format!(r#"{{"discovery":{{"hostname":"a"}},"message":"hi","lobby":{lobby}}}"#);
        let read = decode(text.as_bytes(), EXCHANGE).unwrap();
        (read.record.instances().count(), read.record.checks().count(), read.dropped)
    };
    let good = r#"{"id":"w","service":"web","new":[1]}"#;
    assert_eq!(packet(good, r#"{"id":"c","name":"C","status":"passing","kind":"astrology"}"#), (1, 1, 0));
    for bad in [
        r#"{"id":"","service":"web"}"#,
        r#"{"id":"x","service":""}"#,
        r#"{"id":"x","service":"web","port":65536}"#,
        r#"{"id":"x","service":"web","address":"0.0.0.0"}"#,
        r#"{"id":"x","service":"web","tags":["a\nb"]}"#,
        r#"{"id":"x","service":"web","meta":{"a b":""}}"#,
        r#"{"id":"x","service":"web","weights":[1,65536]}"#,
        r#"{"id":"x","service":"web","tagged":{"lan":{"address":"::"}}}"#,
        r#"{"id":"x","service":"web","tagged":{"lan":{"address":"a","port":70000}}}"#,
        r#"{"id":"x","service":"web","proxy":"[]"}"#,
    ] {
        assert_eq!(packet(&format!("{bad},{good}"), ""), (1, 0, 1), "{bad}");
    }
    for bad in [
        r#"{"id":"","name":"C","status":"passing"}"#,
        r#"{"id":"c","name":"","status":"passing"}"#,
        r#"{"id":"c","name":"C","status":"ok"}"#,
        r#"{"id":"c","name":"C","status":"passing","service":"a\nb"}"#,
    ] {
        assert_eq!(packet(good, bad), (1, 0, 1), "{bad}");
    }
    // More own labels than there are: all of them are.
    let text = r#"{"discovery":{"hostname":"a","labels":["x","y"]},"message":"hi","lobby":{"id":"07070707070707070707070707070707","generation":1,"version":2,"own_labels":9}}"#;
    assert_eq!(decode(text.as_bytes(), EXCHANGE).unwrap().record.labels().count(), 2);
}
