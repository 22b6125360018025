//! Laws of instances and checks: decode(encode(x)) = x, no decoder panics, what a record holds is what was set, and labels
//! that tell of instances are those instances' labels.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lobby_core::{
    check::{
        Status,
        view::{CheckKind, CheckView, short},
    },
    id::{Generation, NodeId},
    instance::{Id, Instance, TaggedAddress, Weights, address},
    label::Label,
    limits,
    local::LocalRecord,
    record::{Key, Record},
    service,
    time::Moment,
    wire::{
        binary,
        service::{decode_check, decode_instance, encode_check, encode_instance},
    },
};
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::select,
};

use crate::laws;

fn id() -> impl Strategy<Value = Id> {
    prop_oneof!["[a-c]", "[ -~]{1,12}", "\\PC{1,9}"].prop_filter_map("an id", |text| text.parse().ok())
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z:=]{0,8}", "\\PC{0,20}"].prop_filter("no control characters", |text| !text.contains(char::is_control))
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z][a-z.-]{0,9}", any::<std::net::IpAddr>().prop_map(|ip| ip.to_string())]
        .prop_filter("an address", |text| address("address", text).is_ok())
}

fn object() -> impl Strategy<Value = String> {
    select(["", "{}", "{\"a\": [1, \"}\"]}"].as_slice()).prop_map(String::from)
}

fn pairs() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[A-Za-z0-9_-]{1,5}", line(), 0..4)
}

fn tagged() -> impl Strategy<Value = BTreeMap<String, TaggedAddress>> {
    btree_map(line(), (host(), any::<u16>()).prop_map(|(address, port)| TaggedAddress { address, port }), 0..3)
}

fn instance() -> impl Strategy<Value = Instance> {
    let weights = any::<(u16, u16)>().prop_map(|(passing, warning)| Weights { passing, warning });
    let flags = any::<(bool, bool)>();
    let first = (id(), id(), vec(line(), 0..4), host(), any::<u16>(), pairs());
    (first, tagged(), weights, flags, "[a-z-]{0,9}", object(), object()).prop_map(
        |(first, tagged_addresses, weights, (enable_tag_override, drain), kind, proxy, connect)| {
            let (id, service, tags, address, port, meta) = first;
            Instance {
                id,
                service,
                tags: tags.into(),
                address,
                port,
                meta: meta.into(),
                tagged_addresses,
                weights,
                enable_tag_override,
                kind,
                drain,
                proxy,
                connect,
            }
        },
    )
}

fn check() -> impl Strategy<Value = CheckView> {
    let duration = || prop_oneof![0..100_u64, any::<u64>()].prop_map(Duration::from_nanos);
    let (status, kind) = (select(Status::ALL.as_slice()), select(CheckKind::ALL.as_slice()));
    let names = (id(), "\\PC{1,20}".prop_filter("no control characters", |text| !text.contains(char::is_control)));
    (names, prop::option::of(id()), status, kind, duration(), duration(), line(), any::<String>(), object()).prop_map(
        |((id, name), instance, status, kind, interval, timeout, notes, output, definition)| {
            let output = short(&output, limits::OUTPUT_BYTES);
            CheckView { id, name, instance, status, kind, interval, timeout, notes, output, definition }
        },
    )
}

/// What a source may ask for.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Labels(Vec<Label>),
    Instance(Box<Instance>),
    Check(Box<CheckView>),
    /// Removes the instance or the check of that position, counted around.
    Remove(usize),
    Commit,
}

/// What the sources of one node asked for, one after the other.
pub(crate) fn history() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => vec(laws::label(), 0..6).prop_map(Step::Labels),
        3 => instance().prop_map(|instance| Step::Instance(Box::new(instance))),
        3 => check().prop_map(|check| Step::Check(Box::new(check))),
        2 => any::<usize>().prop_map(Step::Remove),
        3 => Just(Step::Commit),
    ];
    vec(step, 1..24)
}

/// All versions that come of a history, and what the last one must hold.
#[derive(Default)]
struct Played {
    versions: Vec<Arc<Record>>,
    instances: BTreeMap<Id, Instance>,
    checks: BTreeMap<Id, CheckView>,
}

fn played(history: &[Step]) -> Played {
    let Played { mut versions, mut instances, mut checks } = Played::default();
    let mut local = LocalRecord::new(NodeId::from_bytes([1; 16]), Generation(7), "node".parse().unwrap());
    local.set_meta("addresses", "192.0.2.1");
    versions.push(local.record().clone());
    for step in history.iter().chain([&Step::Commit]) {
        match step {
            Step::Labels(labels) => assert_eq!(local.set_labels(labels.iter().cloned()), 0),
            Step::Instance(instance) => {
                local.set_instance(instance).unwrap();
                instances.insert(instance.id.clone(), (**instance).clone());
            }
            Step::Check(check) => {
                local.set_check(check).unwrap();
                checks.insert(check.id.clone(), (**check).clone());
            }
            Step::Remove(n) => {
                let ids: Vec<_> = instances.keys().chain(checks.keys()).cloned().collect();
                let Some(id) = ids.get(n % ids.len().max(1)) else { continue };
                assert_eq!(local.remove_instance(id), instances.remove(id).is_some());
                assert_eq!(local.remove_check(id), checks.remove(id).is_some());
            }
            Step::Commit => versions.extend(local.commit(Moment::ZERO)),
        }
    }
    Played { versions, instances, checks }
}

pub(crate) fn versions(history: &[Step]) -> Vec<Arc<Record>> {
    played(history).versions
}

/// Whatever a record from outside holds can be read, and reads as what it is written as.
pub(crate) fn reads_alike(record: &Record) -> Result<(), TestCaseError> {
    let count = |kind: fn(&Key) -> bool| record.entries().filter(|(key, entry)| kind(key) && entry.value.is_some()).count();
    prop_assert_eq!(record.instances().count(), count(|key| matches!(key, Key::Instance(_))));
    prop_assert_eq!(record.checks().count(), count(|key| matches!(key, Key::Check(_))));
    for instance in record.instances() {
        prop_assert_eq!(instance.validate(), Ok(()));
        prop_assert_eq!(record.instance(&instance.id), Some(instance));
    }
    for check in record.checks() {
        prop_assert_eq!(check.validate(), Ok(()));
        prop_assert_eq!(record.check(&check.id), Some(check));
    }
    Ok(())
}

/// The values that labels can tell, as one service of a node has them.
fn family() -> impl Strategy<Value = Vec<Instance>> {
    let text = "[a-z]([a-z: ]{0,6}[a-z:])?";
    let meta = btree_map("[a-z]{4}", prop_oneof![Just(String::new()), text.boxed()], 0..3).prop_map(|mut meta| {
        meta.retain(|key, _| key != "port" && key != "host");
        meta
    });
    let tags = prop::collection::btree_set(text, 0..4);
    let ports = prop::collection::btree_set(1..u16::MAX, 0..limits::LABEL_PORTS);
    ("[a-z/#]([a-z/# ]{0,6}[a-z])?", host(), tags, meta, ports).prop_map(|(name, address, tags, meta, ports)| {
        let service: Id = name.parse().unwrap();
        let tags = tags.into_iter().collect();
        let plain = Instance { address, tags, meta: meta.into(), ..Instance::new(service.clone(), service) };
        if ports.is_empty() {
            return vec![plain];
        }
        ports.into_iter().map(|port| Instance { id: format!("{name}:{port}").parse().unwrap(), port, ..plain.clone() }).collect()
    })
}

proptest! {
    #[test]
    fn instances_survive_the_binary_form(instance in instance()) {
        let mut bytes = Vec::new();
        encode_instance(&instance, &mut bytes);
        prop_assert!(Key::Instance(instance.id.clone()).takes(&bytes));
        prop_assert_eq!(decode_instance(instance.id.clone(), &bytes), Ok(instance));
    }

    #[test]
    fn checks_survive_the_binary_form(check in check()) {
        let mut bytes = Vec::new();
        encode_check(&check, &mut bytes);
        prop_assert!(Key::Check(check.id.clone()).takes(&bytes));
        prop_assert_eq!(decode_check(check.id.clone(), &bytes), Ok(check));
    }

    #[test]
    fn a_record_holds_what_was_set(history in history()) {
        let Played { versions, instances, checks } = played(&history);
        for record in versions.iter().map(|record| {
            let mut bytes = Vec::new();
            binary::encode_record(record, &mut bytes);
            binary::decode_record(&bytes)
        }) {
            reads_alike(&record.unwrap())?;
        }
        let last = versions.last().unwrap();
        prop_assert_eq!(last.instances().collect::<Vec<_>>(), instances.into_values().collect::<Vec<_>>());
        prop_assert_eq!(last.checks().collect::<Vec<_>>(), checks.into_values().collect::<Vec<_>>());
    }

    #[test]
    fn no_decoder_panics_on_any_bytes(bytes in vec(any::<u8>(), 0..200)) {
        let id: Id = "x".parse().unwrap();
        let _ = decode_instance(id.clone(), &bytes);
        let _ = decode_check(id, &bytes);
    }

    #[test]
    fn damaged_values_are_refused_or_valid(
        instance in instance(), check in check(), at in any::<prop::sample::Index>(), byte: u8, cut: bool,
    ) {
        let damaged = |mut bytes: Vec<u8>| {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes.truncate(if cut { at + 1 } else { bytes.len() });
            bytes
        };
        let (mut instance_bytes, mut check_bytes) = (Vec::new(), Vec::new());
        encode_instance(&instance, &mut instance_bytes);
        encode_check(&check, &mut check_bytes);
        if let Ok(instance) = decode_instance(instance.id, &damaged(instance_bytes)) {
            prop_assert_eq!(instance.validate(), Ok(()));
        }
        if let Ok(check) = decode_check(check.id, &damaged(check_bytes)) {
            prop_assert_eq!(check.validate(), Ok(()));
        }
    }

    #[test]
    fn the_labels_of_instances_make_these_instances(families in vec(family(), 0..4)) {
        let wanted: BTreeMap<Id, Vec<Instance>> = families.into_iter().map(|all| (all[0].service.clone(), all)).collect();
        let mut labels: Vec<Label> = wanted.values().flatten().flat_map(service::labels).collect();
        labels.sort();
        labels.dedup();
        let wanted: Vec<_> = wanted.into_values().flatten().collect();
        prop_assert_eq!(service::instances(&labels), wanted);
    }

    #[test]
    fn any_labels_make_valid_instances_whose_labels_are_among_them(labels in vec("service:[ab:]{0,3}(:(port|host|tag|k):[a-z0-9:]{0,3})?", 0..12)) {
        let mut labels: Vec<Label> = labels.iter().filter_map(|text| text.parse().ok()).collect();
        labels.sort();
        for instance in service::instances(&labels) {
            prop_assert_eq!(instance.validate(), Ok(()));
            let plain = format!("service:{}", instance.service);
            for label in service::labels(&instance).into_iter().filter(|label| label.as_str() != plain) {
                // Numbers lose the zeroes before them.
                let port = label.as_str().strip_prefix(&format!("{plain}:port:")).is_some();
                prop_assert!(port || labels.contains(&label), "{label} of {labels:?}");
            }
        }
    }

    #[test]
    fn no_instance_has_labels_of_another_service(instance in instance()) {
        for label in service::labels(&instance) {
            let made = service::instances([&label]);
            prop_assert!(made.iter().all(|made| made.service == instance.service), "{label}");
        }
    }
}
