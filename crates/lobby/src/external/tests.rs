//! Nodes without an agent over whole agents: written at one, seen at all, kept on every disk.

use std::{path::Path, time::Duration};

use lobby_core::{
    external::{Change, NodeData},
    instance::Instance,
    local::SetError,
};
use lobby_testkit::eventually_async;

use super::*;
use crate::{Lobby, memory::Hub};

mod disk;
mod tags;

async fn agent(hub: &Hub, name: &str, folder: Option<&Path>) -> Lobby {
    let store = folder.map_or_else(Store::temporary, |folder| Store::open(folder).unwrap());
    Lobby::builder().name(name.parse().unwrap()).store(store).memory(hub.join()).start().await.unwrap()
}

fn node(address: &str) -> Change {
    Change::Node(NodeData { address: address.into(), ..NodeData::default() })
}

fn service(id: &str) -> Change {
    Change::Instance(Box::new(Instance::new(id.parse().unwrap(), "db".parse().unwrap())))
}

fn write(name: &str, changes: Vec<Change>) -> Write {
    Write { name: name.parse().unwrap(), changes, seen: None }
}

fn instances(lobby: &Lobby) -> Vec<String> {
    let snapshot = lobby.reader().snapshot();
    let service = snapshot.service("db");
    service.into_iter().flat_map(|db| db.instances.keys()).map(|place| format!("{}/{}", place.node, place.id)).collect()
}

async fn shows(lobby: &Lobby, want: &[&str]) {
    eventually_async(Duration::from_secs(10), || async {
        (instances(lobby) == want).then_some(()).ok_or_else(|| instances(lobby))
    })
    .await;
}

#[tokio::test]
async fn what_one_writes_all_see_and_keep() {
    let (hub, folders) = (Hub::new(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let (a, b) = (agent(&hub, "a", Some(folders[0].path())).await, agent(&hub, "b", Some(folders[1].path())).await);
    a.externals().write(vec![write("n1", vec![node("10.0.0.1"), service("x"), service("y")])]).await.unwrap();
    assert_eq!(instances(&a), ["n1/x", "n1/y"], "seen before it is answered");
    shows(&b, &["n1/x", "n1/y"]).await;
    b.externals().write(vec![write("n1", vec![Change::RemoveInstance("x".parse().unwrap())])]).await.unwrap();
    shows(&a, &["n1/y"]).await;
    assert!(a.members().iter().all(|member| member.name != "n1"), "it is no member");
    // Whoever wrote it may be gone, and the others restarted.
    a.leave().await;
    b.leave().await;
    let hub = Hub::new();
    let b = agent(&hub, "b", Some(folders[1].path())).await;
    assert_eq!(instances(&b), ["n1/y"]);
    b.externals().write(vec![write("n1", vec![Change::Remove])]).await.unwrap();
    assert!(instances(&b).is_empty());
    // An agent that was away with the node on its disk learns that it was removed.
    let a = agent(&hub, "a", Some(folders[0].path())).await;
    shows(&a, &[]).await;
    shows(&b, &[]).await;
    a.leave().await;
    let a = agent(&Hub::new(), "a", Some(folders[0].path())).await;
    assert!(instances(&a).is_empty() && a.reader().snapshot().externals.len() == 1);
}

#[tokio::test]
async fn a_batch_counts_whole_or_not_at_all() {
    let (hub, folder) = (Hub::new(), tempfile::tempdir().unwrap());
    let a = agent(&hub, "a", Some(folder.path())).await;
    let _b = agent(&hub, "B", None).await;
    eventually_async(Duration::from_secs(10), || async { (a.members().len() == 2).then_some(()).ok_or("not there yet") }).await;
    let good = || write("n1", vec![node("10.0.0.1"), service("x")]);
    let refused = async |bad: Write| a.externals().write(vec![good(), bad]).await.unwrap_err();
    assert_eq!(refused(write("a", vec![node("1.1.1.1")])).await, ExternalError::HasAgent("a".parse().unwrap()));
    assert_eq!(refused(write("b", vec![node("1.1.1.1")])).await, ExternalError::HasAgent("b".parse().unwrap()));
    assert!(matches!(refused(write("n2", vec![node("0.0.0.0")])).await, ExternalError::Set { source: SetError::Invalid(_), .. }));
    let unseen = Write { seen: Some(Some(Default::default())), ..write("n2", vec![node("1.1.1.1")]) };
    assert_eq!(refused(unseen).await, ExternalError::Changed("n2".parse().unwrap()));
    let many = (0..=NODES).map(|n| write(&format!("n{n}"), vec![node("1.1.1.1")])).collect();
    assert_eq!(a.externals().write(many).await, Err(ExternalError::TooMany));
    assert!(instances(&a).is_empty() && a.reader().snapshot().externals.is_empty());
    a.leave().await;
    let a = agent(&hub, "a", Some(folder.path())).await;
    assert!(a.reader().snapshot().externals.is_empty(), "nor is it on disk");
    // Removing what an agent has comes to nothing.
    a.externals().write(vec![write("b", vec![Change::Remove])]).await.unwrap();
}

#[tokio::test]
async fn many_writers_share_syncs_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let a = agent(&Hub::new(), "a", Some(folder.path())).await;
    let writes = (0..300).map(|n| {
        let externals = a.externals();
        // Ends with its one write.
        tokio::spawn(async move {
            externals.write(vec![write(&format!("n{}", n % 50), vec![node("1.1.1.1"), service(&format!("s{n:03}"))])]).await
        })
    });
    for written in writes.collect::<Vec<_>>() {
        written.await.unwrap().unwrap();
    }
    assert_eq!(instances(&a).len(), 300);
    a.leave().await;
    let a = agent(&Hub::new(), "a", Some(folder.path())).await;
    assert_eq!(instances(&a).len(), 300);
}

/// A task whose journal holds so many bytes, and a node task that takes what it is given; `publish` makes a snapshot.
struct Bench {
    task: Externals,
    published: Arc<std::sync::Mutex<Vec<Arc<Record>>>>,
    outcome: Arc<std::sync::Mutex<Outcome>>,
    snapshots: tokio::sync::watch::Sender<Arc<Snapshot>>,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new(live_bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("externals"), Limits { live_bytes, ..LIMITS }).unwrap().journal;
        let (updates, mut updated) = mpsc::channel(8);
        let (published, outcome) =
            (Arc::<std::sync::Mutex<Vec<_>>>::default(), Arc::new(std::sync::Mutex::new(Outcome::Applied)));
        let (seen, answer) = (published.clone(), outcome.clone());
        // Ends with the task.
        tokio::spawn(async move {
            while let Some(update) = updated.recv().await {
                let Update::Externals(records, told) = update else { continue };
                let outcomes = vec![*answer.lock().unwrap(); records.len()];
                seen.lock().unwrap().extend(records);
                told.send(outcomes).unwrap();
            }
        });
        let own = lobby_core::local::LocalRecord::new(
            NodeId::from_bytes([1; 16]),
            lobby_core::id::Generation(1),
            "own".parse().unwrap(),
        );
        let mut catalog = catalog(own.record().clone());
        let snapshots = tokio::sync::watch::Sender::new(catalog.poll_snapshot().unwrap());
        let disk = Disk { journal: Some(journal), records: Vec::new() };
        let reader = CatalogReader::new(snapshots.subscribe());
        let task = Externals::new(Arc::new(Signer::new(&[1; 32], "lobby")), disk, reader, updates, mpsc::channel(1).1);
        Self { task, published, outcome, snapshots, _folder: folder }
    }

    /// What becomes of these batches, taken in one turn.
    async fn carry_out(&mut self, writes: Vec<Write>) -> Vec<Result<(), ExternalError>> {
        let (batches, answers): (Vec<_>, Vec<_>) = writes
            .into_iter()
            .map(|write| {
                let (answer, answered) = oneshot::channel();
                (Batch { writes: vec![write], answer }, answered)
            })
            .unzip();
        self.task.carry_out(batches).await;
        let mut results = Vec::new();
        for answer in answers {
            results.push(answer.await.unwrap());
        }
        results
    }

    fn publish(&self, externals: impl IntoIterator<Item = Arc<Record>>) {
        let externals = externals.into_iter().map(|record| (record.origin.node_id().unwrap(), record)).collect();
        let mut snapshot = Snapshot::clone(&self.snapshots.borrow());
        snapshot.externals = externals;
        self.snapshots.send_replace(Arc::new(snapshot));
    }

    fn entries(&self) -> u64 {
        self.task.journal.as_ref().unwrap().stats().entries
    }
}

fn catalog(own: Arc<Record>) -> lobby_core::catalog::Catalog {
    let now = lobby_core::time::Now::default();
    let mut catalog = lobby_core::catalog::Catalog::new(lobby_core::id::Revision(1), [], own, true, Duration::ZERO, now);
    catalog.handle_deadline(now);
    catalog
}

fn record(name: &str) -> Arc<Record> {
    let written = next(None, &name.parse().unwrap(), NodeId::from_bytes([7; 16]), unix_micros(), &[node("10.0.0.1")]);
    Arc::new(written.unwrap().unwrap())
}

#[tokio::test]
async fn what_rests_on_a_version_that_is_not_on_disk_fails_with_it() {
    let mut bench = Bench::new(100);
    let results = bench
        .carry_out(vec![
            write("n1", vec![node("10.0.0.1")]),
            // The same again, and one upon it.
            write("n1", vec![node("10.0.0.1")]),
            write("n1", vec![service("x")]),
            write("n2", vec![Change::Remove]),
        ])
        .await;
    let not_saved = |result: &Result<_, _>| matches!(result, Err(ExternalError::NotSaved(_)));
    assert!(results[..3].iter().all(not_saved), "{results:?}");
    assert_eq!(results[3], Ok(()), "it has nothing to do with the others");
    assert!(bench.published.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_the_catalog_refuses_is_not_acknowledged() {
    let mut bench = Bench::new(1 << 20);
    for (outcome, want) in [
        (Outcome::Stale, Err(ExternalError::Changed("n1".parse().unwrap()))),
        (Outcome::Refused, Err(ExternalError::TooMany)),
        (Outcome::Applied, Ok(())),
    ] {
        *bench.outcome.lock().unwrap() = outcome;
        assert_eq!(bench.carry_out(vec![write("n1", vec![node("10.0.0.1")])]).await, [want]);
    }
}

#[tokio::test]
async fn a_version_that_nobody_can_follow_is_not_followed() {
    let mut bench = Bench::new(1 << 20);
    let name = "n1".parse().unwrap();
    let far = next(None, &name, NodeId::from_bytes([7; 16]), u64::MAX - 1, &[node("10.0.0.1")]).unwrap().unwrap();
    bench.publish([Arc::new(far)]);
    assert_eq!(bench.carry_out(vec![write("n1", vec![service("x")])]).await, [Err(ExternalError::Ahead(name))]);
}

#[tokio::test]
async fn removed_ones_do_not_keep_new_ones_out() {
    let mut bench = Bench::new(LIMITS.live_bytes);
    let mut records: Vec<_> = (0..limits::EXTERNALS).map(|n| record(&format!("old-{n}"))).collect();
    bench.publish(records.clone());
    assert_eq!(bench.carry_out(vec![write("n1", vec![node("10.0.0.1")])]).await, [Err(ExternalError::TooMany)]);
    let gone = next(Some(&records[3]), &records[3].name, NodeId::from_bytes([7; 16]), 0, &[Change::Remove]);
    records[3] = Arc::new(gone.unwrap().unwrap());
    bench.publish(records);
    let more = ["n1", "n2"].map(|name| write(name, vec![node("10.0.0.1")])).into();
    assert_eq!(bench.carry_out(more).await, [Ok(()), Err(ExternalError::TooMany)]);
}

#[tokio::test]
async fn what_others_wrote_is_tried_again_until_it_is_on_disk() {
    // Room for two of three.
    let mut bench = Bench::new((value(&record("a")).len() as u64 + 16) * 5 / 2);
    let [a, b, c] = ["a", "b", "c"].map(record);
    let snapshot = |bench: &Bench| bench.snapshots.borrow().clone();
    bench.publish([a.clone(), b.clone(), c.clone()]);
    let all = snapshot(&bench);
    bench.task.save(&all);
    let mut failed = 0;
    while let Some(saved) = bench.task.saving.join_next().await {
        bench.task.note(saved.ok());
    }
    failed += bench.task.unsaved.len();
    assert!(failed > 0 && failed < 3, "{failed}");
    // What was kept goes, and makes room for the others, which have not changed.
    let rest: Vec<_> = [a, b, c].into_iter().filter(|it| bench.task.unsaved.contains(&it.origin.node_id().unwrap())).collect();
    bench.publish(rest);
    for _ in 0..2 {
        let rest = snapshot(&bench);
        bench.task.save(&rest);
        while let Some(saved) = bench.task.saving.join_next().await {
            bench.task.note(saved.ok());
        }
    }
    assert!(bench.task.unsaved.is_empty());
    assert_eq!(bench.entries(), failed as u64);
}

#[tokio::test]
async fn what_an_agent_hides_can_be_taken_away_and_not_added_to() {
    let (hub, folder) = (Hub::new(), tempfile::tempdir().unwrap());
    let a = agent(&hub, "a", Some(folder.path())).await;
    a.externals().write(vec![write("b", vec![node("10.0.0.1"), service("x"), service("y")])]).await.unwrap();
    let _b = agent(&hub, "b", None).await;
    eventually_async(Duration::from_secs(10), || async { (a.members().len() == 2).then_some(()).ok_or("not there yet") }).await;
    let adds = a.externals().write(vec![write("b", vec![service("z")])]).await;
    assert_eq!(adds, Err(ExternalError::HasAgent("b".parse().unwrap())));
    a.externals().write(vec![write("b", vec![Change::RemoveInstance("x".parse().unwrap())])]).await.unwrap();
    let left = |lobby: &Lobby| lobby.reader().snapshot().externals.values().map(|it| it.instances().count()).collect::<Vec<_>>();
    assert_eq!(left(&a), [1]);
}
