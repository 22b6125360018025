//! What a disk that refuses, or that is full for a while, makes of nodes without an agent.

use lobby_testkit::{eventually, expect};

use super::*;
use crate::registry::journal::JournalStats;

const SOON: Duration = Duration::from_secs(10);

/// Waits until the journal says so; a paused clock stands still meanwhile.
async fn journal_says(journal: &Journal, holds: impl Fn(&JournalStats) -> bool + Send + 'static) {
    let journal = journal.clone();
    let wait = move || eventually(SOON, || expect(holds(&journal.stats()), journal.stats()));
    tokio::task::spawn_blocking(wait).await.unwrap();
}

async fn saved(bench: &mut Bench) {
    let snapshot = bench.snapshots.borrow().clone();
    bench.task.save(&snapshot);
    while let Some(saved) = bench.task.saving.join_next().await {
        bench.task.note(saved.ok());
    }
}

#[tokio::test(start_paused = true)]
async fn what_had_no_room_is_tried_again_each_five_seconds_though_nothing_changes() {
    let Bench { mut task, snapshots, _folder, .. } = {
        let bench = Bench::new(600);
        bench.publish([record("a")]);
        bench
    };
    let journal = task.journal.clone().unwrap();
    let filled = journal.submit("filler".into(), Some(vec![0; 550].into())).unwrap();
    let (batches_in, batches) = mpsc::channel(1);
    task.batches = batches;
    let stop = CancellationToken::new();
    let running = tokio::spawn(task.run(stop.clone()));
    // With the snapshot, and at once.
    journal_says(&journal, |stats| stats.refused == 2).await;
    let freed = journal.submit("filler".into(), None).unwrap();
    journal_says(&journal, |stats| stats.entries == 0).await;
    tokio::time::advance(RETRY - Duration::from_millis(100)).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!((journal.stats().refused, journal.stats().entries), (2, 0), "the disk is left alone for a while");
    tokio::time::advance(Duration::from_millis(200)).await;
    journal_says(&journal, |stats| stats.entries == 1).await;
    stop.cancel();
    running.await.unwrap();
    drop((filled, freed, batches_in, snapshots));
}

#[tokio::test(start_paused = true)]
async fn what_was_written_and_does_not_count_is_put_right_though_nothing_changes() {
    let Bench { mut task, snapshots, outcome, _folder, .. } = Bench::new(1 << 20);
    *outcome.lock().unwrap() = Outcome::Stale;
    let journal = task.journal.clone().unwrap();
    let (batches_in, batches) = mpsc::channel(1);
    task.batches = batches;
    let stop = CancellationToken::new();
    let running = tokio::spawn(task.run(stop.clone()));
    let (answer, answered) = oneshot::channel();
    batches_in.send(Batch { writes: vec![write("n1", vec![node("10.0.0.1")])], answer }).await.unwrap();
    assert_eq!(answered.await.unwrap(), Err(ExternalError::Changed("n1".parse().unwrap())));
    journal_says(&journal, |stats| stats.appended == 2 && stats.entries == 0).await;
    stop.cancel();
    running.await.unwrap();
    drop(snapshots);
}

#[tokio::test]
async fn a_batch_of_which_one_is_too_long_for_the_disk_leaves_nothing_there() {
    let mut bench = Bench::new(LIMITS.live_bytes);
    let large = |n: u16| {
        let mut instance = Instance::new(format!("x{n}").parse().unwrap(), "db".parse().unwrap());
        instance.tags = vec!["x".repeat(512); 256].into();
        Change::Instance(Box::new(instance))
    };
    // They are handed to the journal in the order of their ids.
    let mut names = ["n1", "n2"];
    names.sort_by_key(|name| NodeId::external(&name.parse().unwrap()));
    let long: Vec<_> = [node("10.0.0.1")].into_iter().chain((0..3).map(large)).collect();
    let writes = vec![write(names[0], vec![node("10.0.0.1")]), write(names[1], long)];
    let (answer, answered) = oneshot::channel();
    bench.task.carry_out(vec![Batch { writes, answer }]).await;
    let refused = answered.await.unwrap();
    assert!(matches!(refused, Err(ExternalError::NotSaved(_))), "{refused:?}");
    saved(&mut bench).await;
    // After all that nobody waits for.
    bench.task.journal.clone().unwrap().append("end".into(), None).await.unwrap();
    assert_eq!(bench.entries(), 0, "a restart would bring it back");
}

#[tokio::test]
async fn what_the_journal_does_not_take_at_all_waits_for_the_next_try() {
    let mut bench = Bench::new(1 << 20);
    bench.task.journal.clone().unwrap().close().await;
    bench.publish([record("a"), record("b")]);
    saved(&mut bench).await;
    assert_eq!(bench.task.unsaved.len(), 2);
}

#[tokio::test]
async fn what_was_written_here_is_not_written_once_more() {
    let mut bench = Bench::new(1 << 20);
    assert_eq!(bench.carry_out(vec![write("n1", vec![node("10.0.0.1")])]).await, [Ok(())]);
    let published = bench.published.lock().unwrap().clone();
    bench.publish(published);
    saved(&mut bench).await;
    assert_eq!(bench.task.journal.as_ref().unwrap().stats().appended, 1);
}

#[tokio::test]
async fn a_node_that_comes_back_needs_room_like_any_other() {
    let mut bench = Bench::new(LIMITS.live_bytes);
    let mut records: Vec<_> = (0..limits::EXTERNALS).map(|n| record(&format!("old-{n}"))).collect();
    let gone = record("gone");
    let gone = next(Some(&gone), &gone.name, NodeId::from_bytes([7; 16]), 0, &[Change::Remove]).unwrap().unwrap();
    records.push(Arc::new(gone));
    bench.publish(records);
    assert_eq!(bench.carry_out(vec![write("gone", vec![node("10.0.0.1")])]).await, [Err(ExternalError::TooMany)]);
}

#[tokio::test]
async fn only_nodes_without_an_agent_are_read_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&folder.path().join("externals"), LIMITS).unwrap().journal;
    let mut other = Record::clone(&record("a"));
    other.name = "b".parse().unwrap();
    let kept = record("c");
    for record in [&other, &*kept] {
        journal.append(key(record), Some(value(record))).await.unwrap();
    }
    journal.append("broken".into(), Some("broken".into())).await.unwrap();
    journal.close().await;
    let disk = Disk::open(&Store::open(folder.path()).unwrap()).await.unwrap();
    assert_eq!(disk.records, [kept]);
}
