//! decode(encode(x)) = x, applying a delta gives the newer record, merging does not depend on the order, and no
//! decoder panics on any bytes.

use std::{sync::Arc, time::Duration};

use lobby_core::{
    catalog::{Catalog, ExchangeSpec, Liveness},
    id::{ExchangeId, Generation, NodeId, Origin, Revision},
    label::Label,
    local::LocalRecord,
    port::PeerEvent,
    record::Record,
    select::Selector,
    time::{Moment, Now, WallSecond},
    wire::{binary, packet},
};
use proptest::{collection::vec, prelude::*};

use crate::services;

const EXCHANGE: ExchangeId = ExchangeId(0);

pub(crate) fn label() -> impl Strategy<Value = Label> {
    "[a-z]{1,3}(:[ -~&&[^,]]{0,8})?".prop_filter_map("a label", |text| text.parse().ok())
}

/// The label sets that one node had one after the other.
fn history() -> impl Strategy<Value = Vec<Vec<Label>>> {
    vec(vec(label(), 0..6), 1..12)
}

fn versions(id: u8, history: &[Vec<Label>]) -> Vec<Arc<Record>> {
    let mut local = LocalRecord::new(NodeId::from_bytes([id; 16]), Generation(7), "node".parse().unwrap());
    local.set_meta("addresses", "192.0.2.1");
    let mut versions = vec![local.record().clone()];
    for labels in history {
        local.set_labels(labels.iter().cloned());
        versions.extend(local.commit(Moment::ZERO));
    }
    versions
}

proptest! {
    #[test]
    fn records_survive_the_binary_form(history in services::history()) {
        for record in services::versions(&history) {
            let mut bytes = Vec::new();
            binary::encode_record(&record, &mut bytes);
            prop_assert_eq!(binary::decode_record(&bytes).unwrap(), record);
        }
    }

    #[test]
    fn a_delta_from_any_version_gives_the_newest(history in services::history()) {
        let versions = services::versions(&history);
        let newest = versions.last().unwrap();
        for old in &versions[..versions.len() - 1] {
            let delta = newest.delta_since(old.stamp.version).unwrap();
            let mut bytes = Vec::new();
            binary::encode_delta(&delta, &mut bytes);
            let delta = binary::decode_delta(&bytes).unwrap();
            let next = old.apply(&delta).unwrap();
            prop_assert_eq!(&next, &**newest);
            prop_assert_eq!(next.content_hash(), newest.content_hash());
            prop_assert!(newest.apply(&delta).is_err());
        }
    }

    #[test]
    fn the_json_packet_keeps_labels_services_and_order(history in services::history()) {
        for record in services::versions(&history) {
            let long = packet::encode(&record, packet::Message::Hi, "lobby", WallSecond(5));
            let short = packet::encode_short(&record, "lobby", WallSecond(5));
            prop_assert!(short.len() <= long.len());
            for bytes in [long, short] {
                let read = packet::decode(&bytes, EXCHANGE).unwrap();
                prop_assert_eq!(read.record.stamp, record.stamp);
                prop_assert_eq!(read.record.content_hash(), record.content_hash());
                prop_assert_eq!(read.hash, Some(record.content_hash()));
                prop_assert_eq!(read.dropped, 0);
            }
        }
    }

    #[test]
    fn the_catalog_ends_the_same_whatever_the_order(
        history in history(),
        shuffled in any::<prop::sample::Index>().prop_flat_map(|_| Just(())).prop_perturb(|(), rng| rng),
    ) {
        let mut events: Vec<_> = versions(1, &history).into_iter().chain(versions(2, &history)).collect();
        let show = |events: &[Arc<Record>]| {
            let own = versions(0, &[]).remove(0);
            let spec = ExchangeSpec { name: "memory".into(), liveness: Liveness::Reported };
            let mut catalog = Catalog::new(Revision(1), [spec], own, true, Duration::from_secs(60), Now::default());
            for record in events {
                catalog.apply(EXCHANGE, PeerEvent::Record(record.clone()), Now::default());
                catalog.apply(EXCHANGE, PeerEvent::Seen(record.origin.clone(), Duration::ZERO), Now::default());
            }
            let snapshot = catalog.poll_snapshot().unwrap();
            snapshot.nodes.values().map(|node| node.record.clone()).collect::<Vec<_>>()
        };
        let straight = show(&events);
        let mut rng = shuffled;
        for idx in (1..events.len()).rev() {
            events.swap(idx, rng.random_range(0..=idx));
        }
        let copies = events.clone();
        events.extend(copies);
        prop_assert_eq!(show(&events), straight);
    }

    #[test]
    fn no_decoder_panics(bytes in vec(any::<u8>(), 0..300)) {
        let _ = binary::decode_record(&bytes);
        let _ = binary::decode_delta(&bytes);
        let _ = packet::decode(&bytes, EXCHANGE);
        let _ = packet::decode_answer(&bytes, EXCHANGE);
    }

    #[test]
    fn no_decoder_panics_on_damaged_records(history in services::history(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = Vec::new();
        binary::encode_record(services::versions(&history).last().unwrap(), &mut bytes);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(record) = binary::decode_record(&bytes) {
            let mut again = Vec::new();
            binary::encode_record(&record, &mut again);
            let again = binary::decode_record(&again).unwrap();
            services::reads_alike(&again)?;
            prop_assert_eq!(again, record);
        }
    }

    #[test]
    fn answers_keep_every_record_in_parts_that_fit(history in history(), max in 700_usize..4000) {
        let records = versions(1, &history);
        let parts = packet::encode_answer(records.iter().map(|record| (&**record, 17)), "lobby", WallSecond(1), max);
        let mut read = Vec::new();
        for (idx, part) in parts.iter().enumerate() {
            prop_assert!(part.len() <= max);
            let (answer, dropped) = packet::decode_answer(part, EXCHANGE).unwrap();
            prop_assert_eq!((dropped, answer.more), (0, idx + 1 < parts.len()));
            read.extend(answer.records.into_iter().map(|answered| answered.packet.record.stamp));
        }
        prop_assert_eq!(read, records.iter().map(|record| record.stamp).collect::<Vec<_>>());
    }

    #[test]
    fn selectors_take_any_text(labels in any::<Option<String>>(), prefixes in any::<Option<String>>()) {
        let _ = Selector::from_query(labels.as_deref(), prefixes.as_deref());
    }
}

#[test]
fn forgotten_deletions_are_answered_by_the_full_record() {
    let mut local = LocalRecord::new(NodeId::from_bytes([1; 16]), Generation(1), "node".parse().unwrap());
    let mut bases = Vec::new();
    for n in 0..600 {
        local.set_labels([format!("label:{n}").parse().unwrap()]);
        bases.extend(local.commit(Moment::ZERO).map(|record| record.stamp.version));
    }
    let newest = local.record();
    assert!(newest.delta_since(bases[10]).is_none());
    assert!(newest.delta_since(bases[590]).is_some());
    assert!(newest.entries().len() <= 1 + lobby_core::limits::TOMBSTONES);
    assert_eq!(newest.origin, Origin::Node(NodeId::from_bytes([1; 16])));
}
