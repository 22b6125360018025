//! Instances and checks in the local record: versions, refusals, and the bounds that labels, instances, checks and tombstones
//! share. Laws over random histories are in `tests/it/services.rs`.

use super::*;
use crate::{check::Status, wire::binary};

fn local() -> LocalRecord {
    LocalRecord::new(NodeId::from_bytes([1; 16]), Generation(1), "a".parse().unwrap())
}

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn instance(text: &str) -> Instance {
    Instance::new(id(text), id("web"))
}

fn check(text: &str, output: &str) -> CheckView {
    CheckView { output: output.into(), ..CheckView::new(id(text), "c", None) }
}

/// Instances of about 10 kB, until there is no more room.
fn fill(local: &mut LocalRecord, name: &str) -> usize {
    let proxy = format!("{{{}}}", " ".repeat(limits::OPAQUE_BYTES - 2));
    let full = (0..).find(|n| {
        let instance = Instance { proxy: proxy.clone(), ..instance(&format!("{name}-{n}")) };
        local.set_instance(&instance).is_err()
    });
    full.unwrap()
}

/// What others get to hold of this record is the same.
#[track_caller]
fn travels(record: &Record, from: &Record) {
    let mut bytes = Vec::new();
    binary::encode_record(record, &mut bytes);
    assert!(bytes.len() <= limits::RECORD_BYTES, "{}", bytes.len());
    assert_eq!(*binary::decode_record(&bytes).unwrap(), *record);
    if let Some(delta) = record.delta_since(from.stamp.version) {
        assert_eq!(from.apply(&delta).as_ref(), Ok(record));
    }
}

#[test]
fn instances_and_checks_come_change_and_go() {
    let mut local = local();
    let first = local.record().clone();
    local.set_labels(["service:x".parse().unwrap()]);
    local.set_instance(&instance("web-1")).unwrap();
    local.set_check(&check("c", "")).unwrap();
    let there = local.commit(Moment::ZERO).unwrap();
    travels(&there, &first);
    assert_eq!(there.instance(&id("web-1")), Some(instance("web-1")));
    assert_eq!(there.instances().collect::<Vec<_>>(), [instance("web-1")]);
    assert_eq!(there.checks().collect::<Vec<_>>(), [check("c", "")]);
    assert_eq!((there.instance(&id("c")), there.check(&id("web-1"))), (None, None));

    local.set_instance(&instance("web-1")).unwrap();
    local.set_labels(["service:x".parse().unwrap()]);
    assert_eq!(local.commit(Moment::ZERO), None, "the same again is no change");

    local.set_check(&CheckView { status: Status::Passing, ..check("c", "") }).unwrap();
    let passing = local.commit(Moment::ZERO).unwrap();
    travels(&passing, &there);
    assert_eq!(passing.delta_since(there.stamp.version).unwrap().entries.len(), 1);
    assert_eq!(passing.check(&id("c")).unwrap().status, Status::Passing);

    assert!(local.remove_instance(&id("web-1")) && !local.remove_instance(&id("web-1")));
    assert!(local.remove_check(&id("c")) && !local.remove_check(&id("web-1")));
    let gone = local.commit(Moment::ZERO).unwrap();
    travels(&gone, &passing);
    assert_eq!((gone.instances().count(), gone.checks().count(), gone.labels().count()), (0, 0, 1));
    assert_eq!(gone.entries().filter(|(_, entry)| entry.value.is_none()).count(), 2);
    assert_eq!(local.commit(Moment::ZERO), None);
}

#[test]
fn what_comes_and_goes_between_two_versions_leaves_nothing() {
    let mut local = local();
    local.set_instance(&instance("web-1")).unwrap();
    local.remove_instance(&id("web-1"));
    assert_eq!(local.commit(Moment::ZERO), None);
    for n in 0..100_000 {
        local.set_instance(&instance(&format!("web-{n}"))).unwrap();
        local.remove_instance(&id(&format!("web-{n}")));
        if n % 10 == 0 {
            local.commit(Moment::ZERO);
        }
    }
    assert_eq!((local.wanted.len(), local.bytes, local.record().entries().len()), (0, 0, 0));
}

#[test]
fn what_breaks_its_rules_is_refused_before_anything_changed() {
    let mut local = local();
    local.set_instance(&instance("web-1")).unwrap();
    local.commit(Moment::ZERO);
    let bad = Instance { address: "0.0.0.0".into(), ..instance("web-1") };
    assert!(matches!(local.set_instance(&bad), Err(SetError::Invalid(_))));
    assert!(matches!(local.set_check(&check("c", &"x".repeat(513))), Err(SetError::Invalid(_))));
    assert_eq!(local.commit(Moment::ZERO), None);
}

#[test]
fn a_full_record_refuses_more_and_still_travels() {
    let mut local = local();
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        local.set_meta(name, &"x".repeat(limits::META_BYTES));
    }
    let empty = local.commit(Moment::ZERO).unwrap();
    let n_fit = fill(&mut local, "web");
    let full = local.commit(Moment::ZERO).unwrap();
    assert_eq!((full.instances().count(), n_fit), (n_fit, limits::RECORD_BYTES / (limits::OPAQUE_BYTES + 80)));
    travels(&full, &empty);
    let refused = local.set_instance(&Instance { proxy: format!("{{{}}}", " ".repeat(8190)), ..instance("x") });
    let Err(SetError::TooLarge { id: named, bytes, most: MOST_BYTES }) = refused else { panic!("{refused:?}") };
    assert!(named == id("x") && bytes > MOST_BYTES);
    assert_eq!(local.commit(Moment::ZERO), None, "a refusal changes nothing");
}

#[test]
fn labels_and_instances_share_the_room() {
    let labels = || (0..600).map(|n| format!("{n:01000}").parse().unwrap());
    let mut local = local();
    let empty = local.record().clone();
    let n_alone = fill(&mut local, "web");
    let left_out = local.set_labels(labels());
    assert!(left_out > 580, "{left_out}: the instances were there first");
    travels(&local.commit(Moment::ZERO).unwrap(), &empty);
    let record = local.record().clone();
    (0..n_alone).for_each(|n| assert!(local.remove_instance(&id(&format!("web-{n}")))));
    assert_eq!(local.set_labels(labels()), 600 - limits::LABELS_BYTES / 1000);
    let n_beside = fill(&mut local, "more");
    assert!(n_beside < n_alone / 2, "the labels were there first");
    travels(&local.commit(Moment::ZERO).unwrap(), &record);
    assert_eq!(local.set_labels([]), 0);
    assert_eq!(n_beside + fill(&mut local, "rest"), n_alone);
    travels(&local.commit(Moment::ZERO).unwrap(), &record);
}

#[test]
fn tombstones_give_way_to_what_is_there() {
    let mut local = local();
    fill(&mut local, "a");
    let full = local.commit(Moment::ZERO).unwrap();
    for n in 0..200 {
        local.remove_instance(&id(&format!("a-{n}")));
    }
    let n_fit = fill(&mut local, &"b".repeat(200));
    let next = local.commit(Moment::ZERO).unwrap();
    travels(&next, &full);
    assert_eq!(next.instances().count(), n_fit);
    assert_eq!(next.delta_since(full.stamp.version), None, "whoever holds the old one must get the full record");
}

#[test]
fn tombstones_are_forgotten_after_an_hour_or_when_there_are_too_many() {
    let mut local = local();
    local.set_instance(&instance("a")).unwrap();
    let with = local.commit(Moment::ZERO).unwrap();
    local.remove_instance(&id("a"));
    let without = local.commit(Moment::ZERO).unwrap();
    travels(&without, &with);
    assert!(without.delta_since(with.stamp.version).is_some());
    local.set_check(&check("c", "")).unwrap();
    let later = local.commit(Moment::ZERO + TOMBSTONE_AGE + Duration::from_secs(1)).unwrap();
    assert_eq!((later.entries().len(), later.delta_since(with.stamp.version)), (1, None));
    travels(&later, &without);

    let ids: Vec<_> = (0..=limits::TOMBSTONES).map(|n| id(&n.to_string())).collect();
    ids.iter().for_each(|id| local.set_instance(&instance(id.as_str())).unwrap());
    local.commit(Moment::ZERO);
    ids.iter().for_each(|id| assert!(local.remove_instance(id)));
    let gone = local.commit(Moment::ZERO).unwrap();
    travels(&gone, &later);
    assert_eq!(gone.entries().len(), 1, "one version makes one tombstone too many: all of it is forgotten");
}

#[test]
fn a_check_without_room_for_its_output_still_tells_its_status() {
    let mut local = local();
    let full = |n: &u32| local.set_check(&check(&format!("service:web-{n}"), "")).is_err();
    let n_fit = (0..).find(full).unwrap();
    assert!(n_fit > 18_000, "{n_fit}: the design wants ten thousand on one agent");
    local.commit(Moment::ZERO);
    let warns = CheckView { status: Status::Warning, ..check("service:web-7", &"x".repeat(limits::OUTPUT_BYTES)) };
    local.set_check(&warns).unwrap();
    let record = local.commit(Moment::ZERO).unwrap();
    assert_eq!(record.check(&warns.id), Some(CheckView { output: String::new(), ..warns.clone() }));
    local.remove_check(&id("service:web-8"));
    (9..30).for_each(|n| assert!(local.remove_check(&id(&format!("service:web-{n}")))));
    local.set_check(&warns).unwrap();
    assert_eq!(local.commit(Moment::ZERO).unwrap().check(&warns.id), Some(warns));
}

#[test]
fn nothing_weighs_less_than_the_least() {
    let mut local = local();
    local.set_check(&CheckView::new(id("c"), "n", None)).unwrap();
    assert_eq!(local.bytes, LEAST_BYTES);
    local.set_instance(&Instance::new(id("i"), id("s"))).unwrap();
    assert!(local.bytes >= 2 * LEAST_BYTES);
}

/// What a check takes in the record of its node, and so how many fit.
#[test]
fn ten_thousand_checks_with_ids_as_consul_makes_them_fit_into_one_record() {
    let mut local = LocalRecord::new(NodeId::from_bytes([1; 16]), Generation(1), "a".parse().unwrap());
    for n in 0..10_000 {
        let (id, instance) = (format!("service:web-{n:05}"), format!("web-{n:05}").parse().unwrap());
        let mut check = CheckView::new(id.parse().unwrap(), "Service 'web' check", Some(instance));
        (check.interval, check.timeout) = (Duration::from_secs(10), Duration::from_secs(10));
        local.set_check(&check).unwrap();
    }
    assert_eq!(local.bytes, 10_000 * 86, "24 of them for what stands around an entry, 17 for numbers and lengths");
}
