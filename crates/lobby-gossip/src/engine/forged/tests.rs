//! One engine that is told what its owners did not write, by each way in.

use std::sync::atomic::{AtomicUsize, Ordering};

use foca::Member;
use lobby_core::{
    id::{Generation, Origin, Version},
    limits,
    local::LocalRecord,
    port::Announcement,
    proof::{Checker, Signer, unchecked},
    record::{ApplyDeltaError, Delta, Entry, Key, Phase, Stamp},
    stats::PacketKind,
};

use super::{
    super::{
        tests::{at, identity, run},
        *,
    },
    *,
};
use crate::{config::Profile, frame::Gift, item::Item, packet::PacketWriter};

const CLUSTER: &str = "test";

fn signer(byte: u8) -> Arc<Signer> {
    Arc::new(Signer::new(&[byte; 32], CLUSTER))
}

fn local(byte: u8) -> LocalRecord {
    let mut local = LocalRecord::signed(signer(byte), Generation(5), format!("node-{byte}").parse().unwrap());
    local.set_labels(["a:1", "b:2"].map(|label| label.parse().unwrap()));
    local.commit(Moment::ZERO);
    local
}

/// A member that checks, and knows the member 9, from whom everything comes.
fn engine(checks: bool) -> Engine {
    let setup = Setup {
        config: Profile::Lan.config(),
        keyring: Arc::new(Keyring::new(CLUSTER, &[]).unwrap()),
        advertise: identity(1).addr,
        announcement: Announcement::new(local(1).record().clone(), true),
        peers: Vec::new(),
        seeded: false,
        nonces: Box::new(|| [0; 24]),
        seed: 1,
        check: if checks { Checker::new(CLUSTER).into_check() } else { unchecked() },
        signer: signer(1),
        stats: Arc::default(),
    };
    let mut engine = Engine::new(setup, at(0));
    engine.with_membership(at(0), |membership, effects| {
        membership.apply([Member::alive(identity(9))], true, at(0), effects);
    });
    run(&mut engine, at(5000));
    engine.forgeries.speaker = Some(identity(9).id);
    engine
}

/// The victim's next version, with another label and the proof of the one before.
fn forged(real: &Record) -> Arc<Record> {
    let mut entries: Vec<_> = real.entries().map(|(key, entry)| (key.clone(), entry.clone())).collect();
    entries.pop();
    let stamp = Stamp { version: real.stamp.version.next(), ..real.stamp };
    let forged = Record::from_parts(real.origin.clone(), real.name.clone(), stamp, stamp.version, Phase::Running, entries);
    Arc::new(forged.unwrap().with_proof(real.proof().cloned()))
}

/// Two versions of the member 2, of which the engine has the first; the delta between them, and one that says less.
fn versions(engine: &mut Engine) -> (Arc<Record>, Arc<Record>, Delta, Delta) {
    let mut owner = local(2);
    let first = owner.record().clone();
    assert_eq!(engine.take_record(first.clone(), at(5000)), Verdict::Ok);
    owner.set_labels(["c:3".parse().unwrap()]);
    let next = owner.commit(Moment::ZERO).unwrap();
    let delta = next.delta_since(first.stamp.version).unwrap();
    let mut other = delta.clone();
    other.entries.pop();
    (first, next, delta, other)
}

/// How many records the engine checks from now on.
fn count_checks(engine: &mut Engine) -> Arc<AtomicUsize> {
    let (n_checks, check) = (Arc::new(AtomicUsize::new(0)), engine.check.clone());
    let counted = n_checks.clone();
    engine.check = Arc::new(move |record, content| {
        counted.fetch_add(1, Ordering::Relaxed);
        check(record, content)
    });
    n_checks
}

fn id_of(record: &Record) -> NodeId {
    let Origin::Node(id) = record.origin else { unreachable!("it has an id") };
    id
}

#[test]
fn by_datagram_and_by_stream_only_the_owner_s_versions_are_taken() {
    let mut owner = local(2);
    let first = owner.record().clone();
    let id = id_of(&first);
    owner.set_labels(["c:3".parse().unwrap()]);
    let next = owner.commit(Moment::ZERO).unwrap();
    for checks in [true, false] {
        let mut one = engine(checks);
        let push = |one: &mut Engine, record: &Arc<Record>| {
            one.take_pushed(record.clone(), Item::Full(record.clone()).encode(), at(5000))
        };
        assert_eq!(push(&mut one, &first), Verdict::Ok);
        let gift = |record: Arc<Record>| vec![Gift { member: None, record: Some(record), spoilt: false }];
        if checks {
            let queued = one.push.queue.len();
            assert_eq!(push(&mut one, &forged(&first)), Verdict::Forged);
            assert_eq!(push(&mut one, &Arc::new((*forged(&first)).clone().with_proof(None))), Verdict::Unsigned);
            assert_eq!(one.take_record(forged(&first), at(5000)), Verdict::Forged);
            assert_eq!(one.take_pulled(forged(&first), at(5000)), Verdict::Forged);
            one.take_gifts(gift(forged(&first)), at(5000));
            assert_eq!(one.stats.received_count(PacketKind::Record, Verdict::Forged), 1, "the gift");
            assert_eq!(one.push.queue.len(), queued, "handed on");
            assert_eq!(one.record(id), Some(&first));
            assert_eq!(one.stats.forged.counts(), [(identity(9).id, 5)]);
            assert_eq!(one.take_record(next.clone(), at(5000)), Verdict::Ok);
        } else {
            // What this is all for.
            assert_eq!(push(&mut one, &forged(&first)), Verdict::Ok);
        }
    }
}

#[test]
fn a_delta_that_makes_another_record_is_dropped_and_the_whole_one_is_fetched() {
    let mut one = engine(true);
    let (first, next, delta, other) = versions(&mut one);
    let source = identity(9).addr;
    let take = |one: &mut Engine, delta: &Delta, ms| one.take_delta(delta, Item::Delta(delta.clone()).encode(), source, at(ms));
    assert_eq!(take(&mut one, &other, 5000), Verdict::Forged);
    assert_eq!(one.stats.forged.counts(), [], "whoever passed it on may have needed no more");
    assert_eq!(one.record(id_of(&first)), Some(&first));
    let fetched = |outputs: &[Output]| outputs.iter().any(|output| matches!(output, Output::Open(_, to) if *to == source));
    assert!(fetched(&run(&mut one, at(5200))), "the whole record is asked for");
    assert_eq!(take(&mut one, &delta, 5300), Verdict::Ok);
    assert_eq!(one.record(id_of(&first)), Some(&next));
}

/// Hashing a large record takes milliseconds, and a forged delta of it 150 bytes.
#[test]
fn a_flood_of_forged_deltas_costs_a_few_checks_and_what_is_true_is_fetched() {
    let mut one = engine(true);
    let (first, next, _, other) = versions(&mut one);
    let n_checks = count_checks(&mut one);
    let hear = |one: &mut Engine, item: Item, counter: u64| {
        let mut packet = PacketWriter::new(identity(9).id, Generation(5), counter, &[], 1000);
        packet.push(&item.encode());
        let datagram = one.keyring.seal(packet.as_bytes(), || [0; 24]);
        one.handle(Input::Datagram(identity(9).addr, &datagram), at(5000 + counter / 10));
    };
    (0..1000).for_each(|counter| hear(&mut one, Item::Delta(other.clone()), counter));
    let checked = n_checks.load(Ordering::Relaxed);
    assert!((1..=10).contains(&checked), "{checked} in a tenth of a second");
    hear(&mut one, Item::Delta(other), 1001);
    hear(&mut one, Item::Full(next), 1002);
    assert_eq!(one.record(id_of(&first)), Some(&first), "not while it rests");
    let source = identity(9).addr;
    let fetched = |outputs: &[Output]| outputs.iter().any(|output| matches!(output, Output::Open(_, to) if *to == source));
    assert!(fetched(&run(&mut one, at(6000))), "but it is asked for");
}

#[test]
fn what_is_forged_does_not_use_up_the_owner_s_allowance_and_is_told_once_a_second() {
    let mut one = engine(true);
    let mut owner = local(2);
    let first = owner.record().clone();
    assert_eq!(one.take_record(first.clone(), at(5000)), Verdict::Ok);
    run(&mut one, at(5000));
    for n in 0..500 {
        let lie = forged(&first);
        assert_eq!(one.take_pushed(lie.clone(), Item::Full(lie).encode(), at(5000 + n)), Verdict::Forged);
    }
    let told = std::iter::from_fn(|| one.poll_output()).filter_map(|output| match output {
        Output::Forged { origin, from, why, more } => Some((origin, from, why, more)),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [(id_of(&first), Some(identity(9).id), Forged::BadSignature, 0)]);
    owner.set_labels(["c:3".parse().unwrap()]);
    let next = owner.commit(Moment::ZERO).unwrap();
    assert_eq!(one.take_pushed(next.clone(), Item::Full(next.clone()).encode(), at(5600)), Verdict::Ok);
    let lie = forged(&next);
    one.take_pushed(lie.clone(), Item::Full(lie).encode(), at(6001));
    let more = std::iter::from_fn(|| one.poll_output())
        .find_map(|output| if let Output::Forged { more, .. } = output { Some(more) } else { None });
    assert_eq!(more, Some(499));
}

/// An owner that floods is signed all right, and costs no more checks than its allowance has changes.
#[test]
fn a_flood_of_signed_versions_is_not_checked_beyond_the_owner_s_allowance() {
    let mut one = engine(true);
    let mut owner = local(2);
    assert_eq!(one.take_record(owner.record().clone(), at(5000)), Verdict::Ok);
    let n_checks = count_checks(&mut one);
    let mut n_refused = 0;
    for n in 0..200 {
        let base = owner.record().stamp.version;
        owner.set_labels([format!("n:{n}").parse().unwrap()]);
        let next = owner.commit(Moment::ZERO).unwrap();
        let delta = next.delta_since(base).unwrap();
        let by_delta = one.take_delta(&delta, Item::Delta(delta.clone()).encode(), identity(9).addr, at(5000));
        let whole = one.take_pushed(next.clone(), Item::Full(next).encode(), at(5000));
        n_refused += usize::from(by_delta == Verdict::Refused && whole == Verdict::Refused);
    }
    let n_checks = n_checks.load(Ordering::Relaxed);
    assert_eq!((n_checks, n_refused), (64, 136), "the burst of an allowance is 64");
}

/// Tombstones are not signed: whoever invents some for us must not keep the owner's next versions from us.
#[test]
fn a_delta_that_does_not_fit_to_what_we_hold_is_fetched_whole() {
    let mut one = engine(true);
    let mut owner = local(2);
    let first = owner.record().clone();
    let dead =
        |n: usize| (Key::Label(format!("gone-{n}:1").parse().unwrap()), Entry { version: first.stamp.version, value: None });
    let entries = first.entries().map(|(key, entry)| (key.clone(), entry.clone())).chain((0..limits::TOMBSTONES).map(dead));
    let made = Record::from_parts(first.origin.clone(), first.name.clone(), first.stamp, Version(0), Phase::Running, entries);
    let padded = made.unwrap().with_proof(first.proof().cloned());
    assert_eq!(one.take_record(Arc::new(padded), at(5000)), Verdict::Ok);
    owner.set_labels([]);
    let delta = owner.commit(Moment::ZERO).unwrap().delta_since(first.stamp.version).unwrap();
    let source = identity(9).addr;
    assert!(matches!(one.roster.record(id_of(&first)).unwrap().apply(&delta), Err(ApplyDeltaError::TooLarge)));
    one.take_delta(&delta, Item::Delta(delta.clone()).encode(), source, at(5000));
    let outputs = run(&mut one, at(5200));
    assert!(outputs.iter().any(|output| matches!(output, Output::Open(_, to) if *to == source)), "{outputs:?}");
}

/// Somebody with our id who is not us is no clone unless it has our key.
#[test]
fn our_own_record_is_checked_too() {
    let mut one = engine(true);
    let own = local(1).record().clone();
    assert_eq!(one.take_record(forged(&own), at(5000)), Verdict::Forged);
    let stamp = Stamp { version: Version(own.stamp.version.0 + 1), ..own.stamp };
    let cloned = Record::new(own.origin.clone(), own.name.clone(), stamp);
    assert_eq!(one.take_record(Arc::new(signer(1).sign(cloned)), at(5000)), Verdict::Own);
}
