//! The file against a model: every cut, every flipped bit, every step that fails, and any mixture of these with compactions.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    super::{
        KEY_BYTES, VALUE_BYTES,
        fake::{Crash, Fake, Step, replay},
    },
    *,
};

const SMALL: Limits = Limits { least_bytes: 200, live_bytes: 1000, queue_bytes: 0 };

type Model = BTreeMap<Bytes, Bytes>;

fn change(key: impl Into<Bytes>, value: Option<&str>) -> Change {
    Change { key: key.into(), value: value.map(|value| value.to_owned().into()) }
}

fn apply(model: &mut Model, changes: &[Change]) {
    for Change { key, value } in changes {
        match value {
            Some(value) => model.insert(key.clone(), value.clone()),
            None => model.remove(key),
        };
    }
}

fn commit(log: &mut Log<Fake>, changes: &[Change]) -> io::Result<()> {
    for change in changes {
        log.stage(change.clone()).unwrap();
    }
    log.commit()
}

/// Some changes, the file they make, and where each entry ends in it.
fn sample() -> (Vec<Change>, Vec<u8>, Vec<usize>) {
    let changes = vec![
        change("a", Some("first")),
        change("b", Some("")),
        change("a", None),
        change("", Some("empty key")),
        change("b", Some("another value, longer than the others")),
        change("c", None),
        change("a", Some("again")),
    ];
    let fake = Fake::default();
    let (mut log, _) = Log::open(fake.clone(), SMALL).unwrap();
    let mut ends = vec![MAGIC.len()];
    for change in &changes {
        commit(&mut log, std::slice::from_ref(change)).unwrap();
        ends.push(fake.content().len());
    }
    (changes, fake.content(), ends)
}

/// Opens, appends and opens again: entries of the first time, and what was found.
fn open_twice(fake: &Fake) -> (Model, Replay) {
    let (mut log, found) = Log::open(fake.clone(), SMALL).unwrap();
    let entries = log.entries().clone();
    commit(&mut log, &[change("new", Some("value"))]).unwrap();
    fake.crash(Crash::Power);
    let (log, replay) = Log::open(fake.clone(), SMALL).unwrap();
    let mut with_new = entries.clone();
    apply(&mut with_new, &[change("new", Some("value"))]);
    assert_eq!(log.entries(), &with_new);
    assert_eq!((replay.torn_bytes, replay.damaged_bytes), (0, 0), "repaired");
    (entries, found)
}

#[test]
fn a_file_cut_at_any_byte_opens_to_the_entries_before_and_counts_the_rest() {
    let (changes, file, ends) = sample();
    for cut in 0..=file.len() {
        let fake = Fake::with(file[..cut].to_vec());
        let n_whole = ends.iter().filter(|end| **end <= cut).count().saturating_sub(1);
        let good = ends.iter().copied().filter(|end| *end <= cut).max().unwrap_or(0);
        let mut model = Model::new();
        apply(&mut model, &changes[..n_whole]);
        let want = Replay { entries: n_whole as u64, torn_bytes: (cut - good) as u64, damaged_bytes: 0 };
        assert_eq!(open_twice(&fake), (model, want), "cut at {cut}");
        assert_eq!(fake.aside(), None);
    }
}

#[test]
fn a_flipped_bit_ends_the_replay_and_the_rest_is_kept_aside() {
    let (changes, file, ends) = sample();
    let last = ends[ends.len() - 2];
    for bit in 0..8 * file.len() {
        let mut file = file.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        let good = ends.iter().copied().filter(|end| *end <= bit / 8).max().unwrap_or(0);
        let n_good = ends.iter().filter(|end| **end <= bit / 8).count().saturating_sub(1);
        let rest = file[good..].to_vec();
        let fake = Fake::with(file);
        let mut model = Model::new();
        apply(&mut model, &changes[..n_good]);
        let n_rest = rest.len() as u64;
        // What nothing good follows cannot be told from a write that was never finished.
        let (torn_bytes, damaged_bytes) = if good == last { (n_rest, 0) } else { (0, n_rest) };
        let want = Replay { entries: n_good as u64, torn_bytes, damaged_bytes };
        assert_eq!(open_twice(&fake), (model, want), "bit {bit}");
        assert_eq!(fake.aside(), (damaged_bytes > 0).then_some(rest), "bit {bit}");
    }
}

#[test]
fn damage_that_cannot_be_kept_aside_stays_where_it_is() {
    let (_, mut file, _) = sample();
    file[20] ^= 1;
    let fake = Fake::with(file.clone());
    fake.fail(Step::Aside, 1);
    assert!(Log::open(fake.clone(), SMALL).is_err());
    assert_eq!(fake.content(), file);
}

#[test]
fn what_a_step_that_failed_left_is_cut_before_anything_else_is_written() {
    for steps in [&[Step::Write][..], &[Step::Sync], &[Step::Write, Step::Truncate], &[Step::Sync, Step::Truncate]] {
        let fake = Fake::default();
        let (mut log, _) = Log::open(fake.clone(), SMALL).unwrap();
        commit(&mut log, &[change("old", Some("1"))]).unwrap();
        let before = fake.content();
        for step in steps {
            fake.fail(*step, 1);
        }
        assert_eq!(commit(&mut log, &[change("lost", Some("2"))]).unwrap_err().kind(), io::ErrorKind::StorageFull, "{steps:?}");
        assert_eq!(log.entries().len(), 1);
        if steps.len() == 1 {
            assert_eq!(fake.content(), before, "{steps:?}");
            assert_eq!(fake.durable().len(), 1, "{steps:?}: durably");
        }
        commit(&mut log, &[change("new", Some("3"))]).unwrap();
        fake.crash(Crash::Power);
        let (log, replay) = Log::open(fake, SMALL).unwrap();
        assert_eq!(log.entries().keys().collect::<Vec<_>>(), ["new", "old"], "{steps:?}");
        assert_eq!(replay, Replay { entries: 2, ..Replay::default() }, "{steps:?}");
    }
}

#[test]
fn while_what_failed_cannot_be_cut_nothing_is_written() {
    let fake = Fake::default();
    let (mut log, _) = Log::open(fake.clone(), SMALL).unwrap();
    fake.fail(Step::Write, 1);
    fake.fail(Step::Truncate, 3);
    assert!(commit(&mut log, &[change("lost", Some("1"))]).is_err());
    let torn = fake.content();
    assert!(torn.len() > MAGIC.len());
    assert!(commit(&mut log, &[change("lost too", Some("2"))]).is_err());
    assert_eq!(fake.content(), torn);
    assert!(commit(&mut log, &[change("good", Some("3"))]).is_ok());
    assert_eq!(replay(&fake.content()).len(), 1);
    assert_eq!((log.stats().commits, log.stats().commits_failed, log.stats().refused), (1, 2, 2));
}

/// A log that is due to be compacted.
fn grown(fake: &Fake) -> Log<Fake> {
    let (mut log, _) = Log::open(fake.clone(), SMALL).unwrap();
    for _ in 0..10 {
        commit(&mut log, &[change("a", Some("0123456789")), change("b", None)]).unwrap();
    }
    assert!(log.is_compacting() && fake.content().len() > 200);
    log
}

#[test]
fn a_compaction_that_fails_anywhere_is_counted_and_tried_again_later() {
    for step in [Step::Draft, Step::Write, Step::Sync, Step::Publish] {
        let fake = Fake::default();
        let mut log = grown(&fake);
        let before = fake.content();
        fake.fail(step, 1);
        log.compact();
        assert_eq!(fake.content(), before, "{step:?}");
        assert_eq!((log.stats().compactions, log.stats().compactions_failed), (0, 1), "{step:?}");
        let mut n_commits = 0;
        while !log.is_compacting() {
            commit(&mut log, &[change("n", Some(""))]).unwrap();
            n_commits += 1;
        }
        assert_eq!(n_commits, PAUSE_COMMITS);
        log.compact();
        assert_eq!(log.stats().compactions, 1, "{step:?}");
        assert_eq!(log.stats().file_bytes, log.stats().live_bytes);
        assert_eq!(fake.content().len() as u64, log.stats().file_bytes);
        assert_eq!(&replay(&fake.content()), log.entries());
    }
}

#[test]
fn after_a_compaction_nothing_is_acknowledged_before_the_folder_is_synced() {
    let fake = Fake::default();
    let mut log = grown(&fake);
    fake.fail(Step::Folder, 3);
    log.compact();
    assert_eq!(log.stats().compactions, 1);
    assert!(commit(&mut log, &[change("lost", Some(""))]).is_err());
    assert_eq!(&fake.durable(), log.entries(), "the old file has the same");
    assert!(commit(&mut log, &[change("good", Some(""))]).is_ok());
    assert_eq!(&fake.durable(), log.entries());
    assert_eq!(log.entries().keys().collect::<Vec<_>>(), ["a", "good"]);
}

/// A log of four pieces that is due to be compacted: the keys 00 to 18, the even ones.
fn large(fake: &Fake) -> Log<Fake> {
    let (mut log, _) = Log::open(fake.clone(), Limits { live_bytes: 4000, ..SMALL }).unwrap();
    for round in 0..3 {
        let make = |n: usize| change(format!("{:02}", 2 * n), Some(&"x".repeat(50 + round)));
        commit(&mut log, &(0..10).map(make).collect::<Vec<_>>()).unwrap();
    }
    assert!(log.is_compacting());
    log
}

#[test]
fn changes_during_a_compaction_are_in_its_result() {
    let fake = Fake::default();
    let mut log = large(&fake);
    let mut n_pieces = 0;
    while log.stats().compactions == 0 {
        assert!(log.is_compacting());
        log.compact();
        assert_eq!(&fake.durable(), log.entries(), "piece {n_pieces}");
        // Each round another put, overwriting and deletion before the place where the compaction is, and behind it.
        let put = |key: usize, value| change(format!("{key:02}"), value);
        commit(&mut log, &[put(2 * n_pieces + 1, Some("new")), put(2 * n_pieces, Some("over")), put(18 - 2 * n_pieces, None)])
            .unwrap();
        commit(&mut log, &[put(17 - 2 * n_pieces, Some("new")), put(16 - 2 * n_pieces, Some("over"))]).unwrap();
        assert_eq!(&fake.durable(), log.entries(), "after piece {n_pieces}");
        n_pieces += 1;
    }
    assert!(n_pieces > 2 && !fake.has_draft(), "{n_pieces}");
    assert_eq!(log.entries().len(), 10 + n_pieces);
    let (again, replay) = Log::open(fake, log.limits).unwrap();
    assert_eq!(again.entries(), log.entries());
    assert_eq!(again.stats().live_bytes, log.stats().live_bytes);
    assert!(replay.entries < 10 + 5 * n_pieces as u64 + 1, "nothing was written more than twice");
}

#[test]
fn a_compaction_that_a_stop_ended_leaves_nothing() {
    let fake = Fake::default();
    let mut log = large(&fake);
    let before = fake.content();
    log.compact();
    assert!(fake.has_draft());
    drop(log);
    assert!(!fake.has_draft());
    assert_eq!(fake.content(), before);
}

#[test]
fn a_journal_above_a_lowered_bound_still_shrinks() {
    let fake = Fake::default();
    let len = large(&fake).entries().len();
    let (mut log, _) = Log::open(fake, Limits { live_bytes: 500, ..SMALL }).unwrap();
    assert!(matches!(log.stage(change("new", Some(""))), Err(AppendError::Full { most: 500 })));
    assert!(commit(&mut log, &[change("00", None), change("02", Some("less"))]).is_ok());
    assert_eq!(log.entries().len(), len - 1);
}

#[test]
fn a_full_journal_refuses_what_makes_it_larger_and_nothing_else() {
    let (mut log, _) = Log::open(Fake::default(), SMALL).unwrap();
    let frame = entry::frame_len(1, 100) as u64;
    let n_fit = (SMALL.live_bytes - MAGIC.len() as u64) / frame;
    let value = "v".repeat(100);
    for n in 0..n_fit {
        log.stage(change(n.to_string(), Some(&value))).unwrap();
    }
    let refused = log.stage(change("x", Some(&value)));
    assert!(matches!(refused, Err(AppendError::Full { most: 1000 })), "{refused:?}");
    log.commit().unwrap();
    assert!(matches!(log.stage(change("x", Some(&value))), Err(AppendError::Full { .. })));
    log.stage(change("0", Some(&value))).unwrap();
    log.stage(change("1", None)).unwrap();
    log.commit().unwrap();
    log.stage(change("x", Some(&value))).unwrap();
    log.commit().unwrap();
    assert_eq!((log.stats().entries, log.stats().refused), (n_fit, 2));
}

#[test]
fn a_file_that_cannot_be_compacted_stops_growing_at_its_bound_until_it_can() {
    let fake = Fake::default();
    let (mut log, _) = Log::open(fake.clone(), SMALL).unwrap();
    fake.fail(Step::Draft, 5);
    let (mut n_full, mut n_good) = (0, 0);
    // Each failure costs a pause; the file is full long before the last of them.
    for n in 0..10 * PAUSE_COMMITS {
        match log.stage(change("key", Some(&"v".repeat(n as usize % 90)))) {
            Ok(()) => n_good += 1,
            Err(AppendError::Full { most }) => {
                assert_eq!(most, SMALL.file_bytes());
                n_full += 1;
            }
            Err(err) => panic!("{err}"),
        }
        log.commit().unwrap();
        log.compact();
        assert!(fake.content().len() as u64 <= SMALL.file_bytes());
    }
    assert!(n_full > 0 && n_good > PAUSE_COMMITS);
    assert_eq!(log.stats().compactions_failed, 5);
    assert!(log.stats().compactions > 1, "it went on");
    assert!(log.stats().file_bytes <= SMALL.least_bytes.max(2 * log.stats().live_bytes));
}

#[test]
fn the_longest_entry_is_read_again() {
    let fake = Fake::default();
    let (mut log, _) = Log::open(fake.clone(), Limits::DEFAULT).unwrap();
    commit(&mut log, &[change("k".repeat(KEY_BYTES), Some(&"v".repeat(VALUE_BYTES)))]).unwrap();
    assert_eq!(Log::open(fake, Limits::DEFAULT).unwrap().0.entries(), log.entries());
}

#[derive(Clone, Debug)]
enum Action {
    Commit(Vec<(u8, Option<u8>)>),
    Compact,
    Crash(Crash),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let commit = prop::collection::vec((0..12_u8, prop::option::of(0..40_u8)), 1..6).prop_map(Action::Commit);
    let crash = prop_oneof![Just(Crash::Process), Just(Crash::Power), (0..300_usize).prop_map(Crash::Part)];
    prop::collection::vec(prop_oneof![6 => commit, 3 => Just(Action::Compact), 1 => crash.prop_map(Action::Crash)], 1..80)
}

/// Runs actions on a disk with these dice. What was acknowledged is always there; of what was refused, nothing is once
/// anything was acknowledged after it, and before that at most a begin of one group.
fn run(actions: Vec<Action>, dice: &[u8]) {
    let fake = Fake::default();
    let (mut log, _) = Log::open(fake.clone(), SMALL).unwrap();
    fake.dice(dice);
    let mut model = Model::new();
    let mut failed: Vec<Vec<Change>> = Vec::new();
    for action in actions {
        match action {
            Action::Commit(changes) => {
                let make = |(key, len): (u8, Option<u8>)| change(vec![key], len.map(|len| "v".repeat(len.into())).as_deref());
                let staged: Vec<_> = changes.into_iter().map(make).filter(|change| log.stage(change.clone()).is_ok()).collect();
                match log.commit() {
                    Ok(()) if staged.is_empty() => {}
                    Ok(()) => {
                        apply(&mut model, &staged);
                        failed.clear();
                        assert_eq!(fake.durable(), model, "acknowledged and durable");
                    }
                    Err(_) => failed.push(staged),
                }
                assert_eq!(log.entries(), &model);
            }
            Action::Compact => log.compact(),
            Action::Crash(crash) => {
                fake.dice(&[]);
                fake.crash(crash);
                let found;
                (log, found) = Log::open(fake.clone(), SMALL).unwrap();
                fake.dice(dice);
                assert_eq!(&fake.durable(), log.entries(), "what was found stays");
                assert_eq!(found.damaged_bytes, 0);
                let begins = failed.iter().flat_map(|group| (0..=group.len()).map(|n| &group[..n]));
                let is_possible = begins.chain([&[][..]]).any(|begin| {
                    let mut with = model.clone();
                    apply(&mut with, begin);
                    with == *log.entries()
                });
                assert!(is_possible, "{crash:?}: {:?} of {model:?}", log.entries());
                model = log.entries().clone();
                failed.clear();
            }
        }
        assert!(fake.content().len() as u64 <= SMALL.file_bytes() + 400, "a group that failed may stand behind the file's end");
        assert!(log.stats().file_bytes <= SMALL.file_bytes());
    }
}

proptest! {
    #[test]
    fn it_is_a_map_that_survives_restarts_and_compactions(actions in actions()) {
        run(actions, &[]);
    }

    #[test]
    fn it_is_a_map_whatever_fails(actions in actions(), dice in prop::collection::vec(any::<u8>(), 1..60)) {
        run(actions, &dice);
    }
}
