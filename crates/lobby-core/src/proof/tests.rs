//! Whatever is changed about a signed record, wherever it travelled: it is its owner's no more.

use proptest::{collection, prelude::*, sample::Index};

use super::*;
use crate::{
    external,
    id::{ExchangeId, Generation, Origin, Version},
    instance::Instance,
    label::Label,
    local::LocalRecord,
    record::{Entry, Key, Phase, Stamp, Value},
    time::{Moment, WallSecond},
    wire::{
        binary::{decode_delta, decode_record, encode_delta, encode_record},
        packet::{Message, decode, encode},
    },
};

const CLUSTER: &str = "lobby";

fn signer() -> Arc<Signer> {
    Arc::new(Signer::new(&[7; 32], CLUSTER))
}

fn checker() -> Checker {
    Checker::new(CLUSTER)
}

fn local() -> LocalRecord {
    let mut local = LocalRecord::signed(signer(), Generation(5), "a".parse().unwrap());
    local.set_labels(["x:1", "y:2"].map(|label| label.parse().unwrap()));
    local.set_meta(meta::VERSION, "1");
    let web = Instance::new("web-1".parse().unwrap(), "web".parse().unwrap());
    local.set_instance(&Instance { port: 80, tags: ["a".into()].into(), ..web }).unwrap();
    local.commit(Moment::ZERO);
    local
}

fn signed() -> Record {
    (**local().record()).clone()
}

fn parts(record: &Record) -> Vec<(Key, Entry)> {
    record.entries().map(|(key, entry)| (key.clone(), entry.clone())).collect()
}

/// The record with these parts and the old proof.
fn with(old: &Record, stamp: Stamp, phase: Phase, name: &str, entries: Vec<(Key, Entry)>) -> Record {
    let record = Record::from_parts(old.origin.clone(), name.parse().unwrap(), stamp, old.floor, phase, entries);
    record.unwrap().with_proof(old.proof().cloned())
}

#[test]
fn each_version_that_is_committed_is_signed() {
    let mut local = LocalRecord::signed(signer(), Generation(5), "a".parse().unwrap());
    assert_eq!(checker().check(local.record()), Ok(()), "the empty one too");
    for n in 0..3 {
        local.set_labels([format!("n:{n}").parse().unwrap()]);
        assert_eq!(checker().check(&local.commit(Moment::ZERO).unwrap()), Ok(()));
    }
    local.leave();
    assert_eq!(checker().check(&local.commit(Moment::ZERO).unwrap()), Ok(()));
    assert_eq!(local.record().origin, Origin::Node(signer().id()));
}

#[test]
fn what_somebody_else_says_is_not_the_owner_s_word() {
    let record = signed();
    let stranger = Signer::new(&[8; 32], CLUSTER);
    assert_eq!(checker().check(&record), Ok(()));
    assert_eq!(checker().check(&record.clone().with_proof(None)), Err(Forged::Unsigned));
    assert_eq!(checker().check(&stranger.sign(record.clone())), Err(Forged::WrongKey));
    let mut borrowed = stranger.sign(record.clone()).proof().unwrap().clone();
    borrowed.key = record.proof().unwrap().key;
    assert_eq!(checker().check(&record.clone().with_proof(Some(borrowed))), Err(Forged::BadSignature));
    assert_eq!(Checker::new("other").check(&record), Err(Forged::BadSignature));
    assert_eq!(checker().check(&Signer::new(&[7; 32], "other").sign(record)), Err(Forged::BadSignature));
}

#[test]
fn name_order_phase_and_each_entry_are_signed() {
    let record = signed();
    let (stamp, entries) = (record.stamp, parts(&record));
    assert_eq!(checker().check(&with(&record, stamp, Phase::Running, "a", entries.clone())), Ok(()));
    let bad = |record: Record| assert_eq!(checker().check(&record), Err(Forged::BadSignature), "{record:?}");
    bad(with(&record, stamp, Phase::Running, "b", entries.clone()));
    bad(with(&record, stamp, Phase::Left, "a", entries.clone()));
    bad(with(&record, stamp, Phase::Restarting, "a", entries.clone()));
    let newer = Stamp { version: stamp.version.next(), ..stamp };
    bad(with(&record, newer, Phase::Running, "a", entries.clone()));
    bad(with(&record, Stamp { generation: Generation(6), ..stamp }, Phase::Running, "a", entries.clone()));
    for idx in 0..entries.len() {
        let mut fewer = entries.clone();
        let (key, _) = fewer.remove(idx);
        bad(with(&record, stamp, Phase::Running, "a", fewer));
        let mut gone = entries.clone();
        gone[idx] = (key, Entry { version: stamp.version, value: None });
        bad(with(&record, stamp, Phase::Running, "a", gone));
    }
    let mut more = entries;
    more.push((Key::Label("z:3".parse().unwrap()), Entry { version: stamp.version, value: Some(Value::default()) }));
    bad(with(&record, stamp, Phase::Running, "a", more));
}

#[test]
fn an_id_of_another_node_is_noticed() {
    let record = signed();
    let other = Record::from_parts(
        Origin::Node(NodeId::from_bytes([9; 16])),
        record.name.clone(),
        record.stamp,
        record.floor,
        record.phase,
        parts(&record),
    );
    let other = other.unwrap().with_proof(record.proof().cloned());
    assert_eq!(checker().check(&other), Err(Forged::WrongKey));
}

#[test]
fn a_goodbye_is_bound_to_its_phase_version_and_hash() {
    let mut local = local();
    let running = local.record().clone();
    local.leave();
    let left = local.commit(Moment::ZERO).unwrap();
    let goodbye = |record: &Record| decode(&encode(record, Message::Goodbye, CLUSTER, WallSecond(1)), ExchangeId(0)).unwrap();
    assert_eq!(goodbye(&left).check(&checker()), Ok(()));
    assert_eq!(goodbye(&running).check(&checker()), Ok(()), "that of an old name, which takes nothing away");
    // The signature of a hi does not make a goodbye.
    let turned = with(&running, running.stamp, Phase::Left, "a", Vec::new());
    assert_eq!(goodbye(&turned).check(&checker()), Err(Forged::BadSignature));
    let later = with(&left, Stamp { version: Version(99), ..left.stamp }, Phase::Left, "a", Vec::new());
    assert_eq!(goodbye(&later).check(&checker()), Err(Forged::BadSignature));
    let mut without = goodbye(&left);
    without.content = None;
    assert_eq!(without.check(&checker()), Err(Forged::BadSignature));
    let mut other = goodbye(&left);
    other.content = other.content.map(|content| content.map(|byte| byte ^ 1));
    assert_eq!(other.check(&checker()), Err(Forged::BadSignature));
    // And a goodbye that is told as a hi has no content that fits.
    let empty = with(&left, left.stamp, Phase::Left, "a", Vec::new());
    assert_eq!(checker().check(&empty), Err(Forged::BadSignature));
}

#[test]
fn a_delta_carries_the_signature_of_what_it_makes() {
    let mut local = local();
    let old = local.record().clone();
    local.set_labels(["x:1", "new:1"].map(|label| label.parse().unwrap()));
    let new = local.commit(Moment::ZERO).unwrap();
    let mut bytes = Vec::new();
    encode_delta(&new.delta_since(old.stamp.version).unwrap(), &mut bytes);
    let delta = decode_delta(&bytes).unwrap();
    let made = old.apply(&delta).unwrap();
    assert_eq!((checker().check(&made), &made), (Ok(()), &*new));

    let bad = |delta| assert_eq!(checker().check(&old.apply(&delta).unwrap()), Err(Forged::BadSignature));
    bad(crate::record::Delta { stamp: Stamp { version: Version(99), ..new.stamp }, ..delta.clone() });
    bad(crate::record::Delta { phase: Phase::Left, ..delta.clone() });
    let mut less = delta.clone();
    less.entries.pop();
    bad(less);
    let unsigned = crate::record::Delta { signature: None, ..delta.clone() };
    assert_eq!(checker().check(&old.apply(&unsigned).unwrap()), Err(Forged::Unsigned));
    // It makes another content of a base that is not what it was made for.
    let entries = parts(&old).into_iter().filter(|(key, _)| *key != Key::meta(meta::VERSION)).collect();
    let hollow = with(&old, old.stamp, Phase::Running, "a", entries);
    assert_eq!(checker().check(&hollow.apply(&delta).unwrap()), Err(Forged::BadSignature));
}

#[test]
fn tombstones_and_entries_ages_are_not_signed_and_change_nothing_that_counts() {
    let record = signed();
    let mut entries = parts(&record);
    entries.iter_mut().for_each(|(_, entry)| entry.version = Version(1));
    entries.push((Key::Label("gone:1".parse().unwrap()), Entry { version: Version(2), value: None }));
    assert_eq!(checker().check(&with(&record, record.stamp, Phase::Running, "a", entries)), Ok(()));
}

/// A record with what only a newer agent writes: another kind of entry, a later form of an instance.
fn newer_agent_s() -> Record {
    let mut entries = parts(&signed());
    let entry = |value: &[u8]| Entry { version: Version(2), value: Some(value.into()) };
    entries.push((Key::Other(77, b"later".as_slice().into()), entry(b"\x00\xff anything")));
    for (key, entry) in entries.iter_mut().filter(|(key, _)| matches!(key, Key::Instance(_))) {
        let mut later = entry.value.clone().unwrap().to_vec();
        (later[0], entry.value) = (later[0] + 1, None);
        later.extend(b"more");
        assert!(key.takes(&later));
        entry.value = Some(later.into());
    }
    let record = with(&signed(), Stamp { generation: Generation(5), version: Version(3) }, Phase::Running, "a", entries);
    signer().sign(record)
}

#[test]
fn a_proof_survives_json_and_bytes_also_of_what_only_newer_agents_know() {
    for record in [signed(), newer_agent_s()] {
        assert_eq!(checker().check(&record), Ok(()));
        let read = decode(&encode(&record, Message::Hi, CLUSTER, WallSecond(1)), ExchangeId(0)).unwrap();
        assert_eq!((read.dropped, checker().check(&read.record)), (0, Ok(())));
        assert_eq!(read.record.content(), record.content());
        let mut bytes = Vec::new();
        encode_record(&record, &mut bytes);
        assert_eq!(*decode_record(&bytes).unwrap(), record);
    }
}

#[test]
fn bare_records_need_no_proof_and_externals_have_their_writer_s_if_any() {
    let bare = Record::new(Origin::Bare(ExchangeId(0), "go".parse().unwrap()), "go".parse().unwrap(), Stamp::default());
    assert_eq!((checker().check(&bare), bare.is_signed()), (Ok(()), false));
    let data = external::NodeData { address: "10.0.0.1".into(), ..external::NodeData::default() };
    let name = "db".parse().unwrap();
    let change = [external::Change::Node(data)];
    let written = external::next(None, &name, signer().id(), 5, &change).unwrap().unwrap();
    assert_eq!(checker().check(&written), Ok(()));
    assert_eq!(checker().check(&signer().sign(written.clone())), Ok(()));
    let stranger = Signer::new(&[8; 32], CLUSTER);
    assert_eq!(checker().check(&stranger.sign(written)), Err(Forged::WrongKey));
}

#[test]
fn a_signer_does_not_show_its_secret() {
    assert_eq!(format!("{:?}", signer()), format!("Signer({})", signer().id()));
}

/// A weak key: its signatures fit more than one text.
#[test]
fn keys_that_are_none_are_refused() {
    for key in [[0; 32], [0xff; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }] {
        let record = Record::new(Origin::Node(NodeId::from_public_key(&key)), "a".parse().unwrap(), Stamp::default());
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&key);
        let record = record.with_proof(Some(Proof { key, signature }));
        assert!(matches!(checker().check(&record), Err(Forged::WrongKey | Forged::BadSignature)), "{key:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Any changed bit of the bytes makes them no record, or a forged one, unless it changes only what is not signed:
    /// the ages of entries and the floor, and then the content is the same.
    #[test]
    fn any_changed_bit_is_noticed(at in any::<Index>(), bit in 0..8_u8) {
        let record = signed();
        let mut bytes = Vec::new();
        encode_record(&record, &mut bytes);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(read) = decode_record(&bytes) {
            let same = read.origin == record.origin && read.stamp == record.stamp && read.content() == record.content();
            prop_assert!(checker().check(&read).is_err() || (same && read.proof() == record.proof()), "{:?}", read);
        }
    }

    /// The same of the JSON form.
    #[test]
    fn any_changed_byte_of_a_packet_is_noticed(at in any::<Index>(), new in any::<u8>()) {
        let record = signed();
        for message in [Message::Hi, Message::Goodbye] {
            let mut bytes = encode(&record, message, CLUSTER, WallSecond(1));
            let at = at.index(bytes.len());
            bytes[at] = new;
            if let Ok(read) = decode(&bytes, ExchangeId(0)) {
                let made = &read.record;
                let same = made.origin == record.origin && made.stamp == record.stamp && made.phase == record.phase
                    && made.name == record.name && (read.message == Message::Goodbye || made.content() == record.content());
                // Without its part for agents it is a Go daemon's, which proves nothing and is shown so.
                prop_assert!(read.check(&checker()).is_err() || same || !made.is_signed(), "{made:?}");
            }
        }
    }

    /// Different labels, different content, whatever they are.
    #[test]
    fn contents_differ(a in collection::btree_set("[ab]{1,3}", 0..4), b in collection::btree_set("[ab]{1,3}", 0..4)) {
        let of = |labels: &std::collections::BTreeSet<String>| {
            let mut local = LocalRecord::signed(signer(), Generation(5), "a".parse().unwrap());
            local.set_labels(labels.iter().map(|label| label.parse::<Label>().unwrap()));
            local.commit(Moment::ZERO);
            local.record().content()
        };
        prop_assert_eq!(a == b, of(&a) == of(&b));
    }
}

#[test]
fn an_answer_is_of_one_number_one_generation_one_key_and_one_cluster() {
    let own = Signer::new(&[1; 32], "lobby");
    let answer = own.answer(7, Generation(5));
    assert!(own.is_answer(7, Generation(5), &answer));
    assert!(!own.is_answer(8, Generation(5), &answer));
    assert!(!own.is_answer(7, Generation(4), &answer));
    assert!(!Signer::new(&[1; 32], "other").is_answer(7, Generation(5), &answer));
    assert!(!own.is_answer(7, Generation(5), &Signer::new(&[2; 32], "lobby").answer(7, Generation(5))));
    for at in 0..64 {
        let mut changed = answer;
        changed[at] ^= 1;
        assert!(!own.is_answer(7, Generation(5), &changed), "{at}");
    }
}
