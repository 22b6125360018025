//! The journal with its thread: who is acknowledged when, what shares a sync, what the bounds answer, and real files.

use std::{
    collections::VecDeque,
    fs,
    os::unix::fs::PermissionsExt,
    pin::pin,
    task::{Wake, Waker},
};

use super::{
    fake::{Crash, Fake, Step},
    *,
};

fn key(n: impl ToString) -> Bytes {
    n.to_string().into()
}

fn start(fake: &Fake) -> Journal {
    Journal::start(fake.clone(), Limits::DEFAULT).unwrap().journal
}

fn start_held(fake: &Fake) -> (Journal, Pending) {
    start_held_with(fake, Limits::DEFAULT)
}

/// Starts with a first entry whose sync is held at the gate, so that all that is submitted now waits for the next one.
fn start_held_with(fake: &Fake, limits: Limits) -> (Journal, Pending) {
    let journal = Journal::start(fake.clone(), limits).unwrap().journal;
    fake.shut_gate();
    let first = journal.submit(key("first"), Some(key("held"))).unwrap();
    fake.wait_held();
    (journal, first)
}

fn is_ready(pending: &mut Pending) -> bool {
    Pin::new(pending).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[tokio::test]
async fn all_that_waits_shares_one_sync_and_nobody_is_told_before() {
    let fake = Fake::default();
    let (journal, first) = start_held(&fake);
    let n_syncs = fake.n_syncs();
    let mut waiting: Vec<_> = (0..1000).map(|n| journal.submit(key(n), Some(key("value"))).unwrap()).collect();
    assert!(!waiting.iter_mut().any(is_ready));
    fake.open_gate();
    first.await.unwrap();
    for pending in waiting {
        pending.await.unwrap();
    }
    assert_eq!(fake.n_syncs() - n_syncs, 2, "the first, and one for all the others");
    assert_eq!(fake.durable().len(), 1001);
    assert_eq!((journal.stats().appended, journal.stats().commits, journal.stats().entries), (1001, 2, 1001));
}

#[tokio::test]
async fn acknowledgements_come_in_the_order_of_the_calls() {
    struct Order(usize, Arc<Mutex<Vec<usize>>>);
    impl Wake for Order {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }
    let fake = Fake::default();
    let (journal, mut first) = start_held_with(&fake, Limits { live_bytes: 100, ..Limits::DEFAULT });
    let order = Arc::default();
    let watch = |n, pending: &mut Pending| {
        let waker = Arc::new(Order(n, Arc::clone(&order))).into();
        assert!(Pin::new(pending).poll(&mut Context::from_waker(&waker)).is_pending());
    };
    watch(0, &mut first);
    // Each second one is refused, as it finds the journal full, and keeps its place.
    let long = Bytes::from(vec![b'v'; 200]);
    let make = |n: usize| journal.submit(key(n), n.is_multiple_of(2).then(|| long.clone())).unwrap();
    let mut waiting: Vec<_> = (1..100).map(make).collect();
    for (idx, pending) in waiting.iter_mut().enumerate() {
        watch(idx + 1, pending);
    }
    fake.open_gate();
    let shown = journal.clone();
    journal.close().await;
    assert_eq!((shown.stats().appended, shown.stats().refused), (51, 49));
    assert_eq!(*order.lock().unwrap(), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn syncs_keep_their_distance() {
    let fake = Fake::default();
    let journal = start(&fake);
    let n_before = fake.n_syncs();
    let clock = lobby_exchange::clock::Clock::start();
    let begin = clock.moment();
    for n in 0..10 {
        journal.append(key(n), None).await.unwrap();
    }
    assert_eq!(fake.n_syncs() - n_before, 10, "each call waited for its own");
    assert!(clock.moment().since(begin) >= 9 * COMMIT_EVERY);
}

#[tokio::test]
async fn whoever_is_refused_by_the_disk_hears_it_and_the_next_are_written() {
    for step in [Step::Write, Step::Sync] {
        let fake = Fake::default();
        let (journal, first) = start_held(&fake);
        let lost: Vec<_> = (0..3).map(|n| journal.submit(key(n), Some(key("lost"))).unwrap()).collect();
        // The first is at its sync, which is the next to fail; the next write is the others'.
        fake.fail(step, 1);
        if step == Step::Sync {
            fake.open_gate();
            assert!(matches!(first.await, Err(AppendError::Io(_))));
            for pending in lost {
                pending.await.unwrap();
            }
        } else {
            fake.open_gate();
            first.await.unwrap();
            for pending in lost {
                let Err(AppendError::Io(err)) = pending.await else { panic!("must fail") };
                assert_eq!(err.kind(), io::ErrorKind::StorageFull);
            }
        }
        journal.append(key("next"), Some(key("good"))).await.unwrap();
        assert_eq!(journal.stats().commits_failed, 1);
        let durable = fake.durable();
        assert_eq!(durable.contains_key("first".as_bytes()), step == Step::Write);
        assert_eq!(durable.contains_key("0".as_bytes()), step == Step::Sync);
        assert!(durable.contains_key("next".as_bytes()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_appends_are_durable_when_acknowledged_and_only_then() {
    let fake = Fake::default();
    let limits = Limits { least_bytes: 500, ..Limits::DEFAULT };
    let journal = Journal::start(fake.clone(), limits).unwrap().journal;
    // A third of all steps fails, one way or the other.
    fake.dice(&(0..97_u32).map(|n| (n * 89 % 256) as u8).collect::<Vec<_>>());
    let appenders = (0..8).map(|task| {
        let (journal, fake) = (journal.clone(), fake.clone());
        tokio::spawn(async move {
            let mut last = None;
            let mut n_failed = 0;
            for n in 0..60 {
                let value = (n % 4 != 3).then(|| key(n));
                match journal.append(key(task), value.clone()).await {
                    Ok(()) => {
                        assert_eq!(fake.durable().get(key(task).as_ref()), value.as_ref(), "nobody else writes this key");
                        last = value;
                    }
                    Err(AppendError::Io(_)) => n_failed += 1,
                    Err(err) => panic!("{err}"),
                }
            }
            (key(task), last, n_failed)
        })
    });
    let mut model = BTreeMap::from([(key("end"), key("good"))]);
    let mut n_failed = 0;
    for appender in appenders.collect::<Vec<_>>() {
        let (key, last, n) = appender.await.unwrap();
        model.extend(last.map(|value| (key, value)));
        n_failed += n;
    }
    fake.dice(&[]);
    journal.append(key("end"), Some(key("good"))).await.unwrap();
    assert!(n_failed > 0 && n_failed < 8 * 60, "{n_failed}");
    assert_eq!(fake.durable(), model);
    // If each attempt has failed so far, the next one is some commits away.
    for _ in 0..100 {
        journal.append(key("end"), Some(key("good"))).await.unwrap();
    }
    assert!(journal.stats().compactions > 0, "{:?}", journal.stats());
    journal.close().await;
    fake.crash(Crash::Power);
    assert_eq!(Journal::start(fake, limits).unwrap().entries, model);
}

#[tokio::test]
async fn a_full_queue_refuses_or_lets_wait_and_has_room_when_it_was_written() {
    let fake = Fake::default();
    let (journal, first) = start_held(&fake);
    let value = Bytes::from(vec![b'v'; 100_000]);
    let mut waiting = Vec::new();
    let refused = loop {
        match journal.submit(key("k"), Some(value.clone())) {
            Ok(pending) => waiting.push(pending),
            Err(err) => break err,
        }
    };
    assert!(matches!(refused, AppendError::Busy { most } if most == Limits::DEFAULT.queue_bytes), "{refused}");
    assert_eq!(waiting.len(), Limits::DEFAULT.queue_bytes / (value.len() + ENTRY_COST));
    let mut append = pin!(journal.append(key("k"), Some(value.clone())));
    assert!(append.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(matches!(journal.submit(key("k"), Some(value.clone())), Err(AppendError::Busy { .. })));
    fake.open_gate();
    append.await.unwrap();
    first.await.unwrap();
    for pending in waiting {
        pending.await.unwrap();
    }
    // An entry gives its room back just after it is answered.
    while journal.room.available_permits() < journal.queue {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn keys_and_values_have_a_longest() {
    let fake = Fake::default();
    let limits = Limits { queue_bytes: 0, ..Limits::DEFAULT };
    let journal = Journal::start(fake, limits).unwrap().journal;
    let (longest_key, longest_value) = (Bytes::from(vec![b'k'; KEY_BYTES]), Bytes::from(vec![b'v'; VALUE_BYTES]));
    journal.append(longest_key, Some(longest_value)).await.unwrap();
    let err = journal.append(vec![0; KEY_BYTES + 1].into(), None).await.unwrap_err();
    assert!(matches!(err, AppendError::TooLong { what: "key", len: 1025, most: KEY_BYTES }), "{err}");
    let err = journal.submit(key("k"), Some(vec![0; VALUE_BYTES + 1].into())).unwrap_err();
    assert!(matches!(err, AppendError::TooLong { what: "value", most: VALUE_BYTES, .. }), "{err}");
}

#[tokio::test]
async fn a_close_writes_what_waits_and_then_nothing_is_accepted() {
    let fake = Fake::default();
    let (journal, first) = start_held(&fake);
    let second = journal.submit(key("second"), Some(key("2"))).unwrap();
    let other = journal.clone();
    let mut close = pin!(journal.close());
    assert!(close.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    fake.open_gate();
    close.await;
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(fake.durable().len(), 2);
    assert!(matches!(other.submit(key("late"), None), Err(AppendError::Closed)));
    assert!(matches!(other.append(key("late"), None).await, Err(AppendError::Closed)));
    other.close().await;
}

#[tokio::test]
async fn a_dropped_journal_writes_what_waits() {
    let fake = Fake::default();
    let (journal, first) = start_held(&fake);
    let second = journal.submit(key("second"), Some(key("2"))).unwrap();
    drop(journal);
    fake.open_gate();
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(fake.durable().len(), 2);
}

#[tokio::test]
async fn a_file_is_for_its_owner_and_keeps_its_entries_and_damage_is_kept_beside_it() {
    let log = crate::captured::Log::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    fs::write(folder.path().join(".journal~"), "of a compaction that a crash ended").unwrap();
    let Opened { journal, entries, replay } = Journal::open(&path, Limits::DEFAULT).unwrap();
    assert_eq!((entries.len(), replay), (0, Replay::default()));
    for n in 0..3 {
        journal.append(key(n), Some(key("value"))).await.unwrap();
    }
    journal.close().await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(log.text(), "");

    let mut file = fs::read(&path).unwrap();
    let frame = entry::frame_len(1, 5);
    file[entry::MAGIC.len() + frame] ^= 1;
    fs::write(&path, &file).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let Opened { journal, entries, replay } = Journal::open(&path, Limits::DEFAULT).unwrap();
    assert_eq!((entries.len(), replay.entries, replay.damaged_bytes), (1, 1, 2 * frame as u64));
    assert_eq!(fs::read(path.with_extension("damaged")).unwrap(), file[entry::MAGIC.len() + frame..]);
    assert_eq!((mode(&path), mode(&path.with_extension("damaged"))), (0o600, 0o600));
    assert!(log.text().contains("damaged_bytes=42"), "{}", log.text());
    journal.append(key("new"), Some(key("value"))).await.unwrap();
    journal.close().await;

    let file = fs::read(&path).unwrap();
    fs::write(&path, &file[..file.len() - 1]).unwrap();
    let Opened { entries, replay, .. } = Journal::open(&path, Limits::DEFAULT).unwrap();
    assert_eq!((entries.len(), replay.torn_bytes), (1, entry::frame_len(3, 5) as u64 - 1));
    assert!(log.text().contains("torn_bytes=22"), "{}", log.text());
}

#[test]
fn what_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { least_bytes: 100, live_bytes: 0, queue_bytes: 0 };
    fs::write(folder.path().join("long"), vec![0; 101]).unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    for name in ["long", "no/such/folder", "folder"] {
        let err = Journal::open(&folder.path().join(name), limits).unwrap_err();
        assert!(matches!(&err, StoreError::Io { path, .. } if path.ends_with(name)), "{err}");
    }
}

/// Hundreds of thousands of registrations leave nothing behind, neither at the end nor on the way.
#[tokio::test]
async fn a_hundred_thousand_pairs_keep_the_file_small() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let Opened { journal, .. } = Journal::open(&path, Limits::DEFAULT).unwrap();
    let value = Bytes::from(vec![b'v'; 200]);
    let mut waiting = VecDeque::new();
    let mut longest = 0;
    for n in 0..200_000_u32 {
        // A put, and its deletion, of 100 keys in turn.
        let (key, value) = (key(n / 2 % 100), (n % 2 == 0).then(|| value.clone()));
        loop {
            match journal.submit(key.clone(), value.clone()) {
                Ok(pending) => break waiting.push_back(pending),
                Err(AppendError::Busy { .. }) => waiting.pop_front().unwrap().await.unwrap(),
                Err(err) => panic!("{err}"),
            }
        }
        longest = longest.max(journal.stats().file_bytes);
    }
    for pending in waiting {
        pending.await.unwrap();
    }
    let most = Limits::DEFAULT.least_bytes + 2 * 100 * entry::frame_len(2, 200) as u64;
    assert!(longest <= most + Limits::DEFAULT.queue_bytes as u64, "one group can come on top: {longest}");
    assert!(journal.stats().compactions > 10 && journal.stats().compactions_failed == 0, "{:?}", journal.stats());
    assert!(journal.stats().commits < 20_000, "{:?}", journal.stats());
    journal.close().await;
    assert!(fs::metadata(&path).unwrap().len() <= most + Limits::DEFAULT.queue_bytes as u64);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(Journal::open(&path, Limits::DEFAULT).unwrap().entries.len(), 0);
}
