//! The question whether a change is applied: answered without handlers, when it is so, and never put before them.

use bytes::Bytes;
use lobby_core::{
    id::Version,
    port::gossip::{EventId, Filter, NewEvent},
    record::Stamp,
    wire::applied::{QUERY, Question, YES},
};
use tokio::sync::oneshot;

use super::{
    super::applied::{LONGEST, WAITING},
    *,
};

/// The question whether the record of node `n` is shown in this version.
fn question(n: u8, version: u64) -> Vec<u8> {
    let stamp = Stamp { generation: Generation(1), version: Version(version) };
    Question { id: NodeId::from_bytes([n; 16]), stamp }.encode()
}

impl Scene {
    async fn is_applied(&self, payload: Vec<u8>, timeout: Duration) -> oneshot::Receiver<Bytes> {
        let (answer, answered) = oneshot::channel();
        let event = NewEvent { name: QUERY.into(), payload: payload.into(), filter: Filter::default() };
        let origin = NodeId::from_bytes([8; 16]);
        let query = IncomingQuery { id: EventId([1; 16]), ltime: 42, origin, event, timeout, answer };
        self.queries.send(query).await.unwrap();
        answered
    }

    fn n_dropped(&self) -> u64 {
        self.context.stats.handlers_queries_dropped.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_answered_when_the_catalog_shows_the_version_or_a_newer_one() {
    let mut scene = Scene::new();
    scene.serve_queries();
    let own = scene.context.reader.snapshot().local.record.stamp.version.0;
    assert_eq!(scene.is_applied(question(0, own), HOUR).await.await.unwrap(), YES, "what we say ourselves");
    let first = scene.is_applied(question(1, 1), HOUR).await;
    scene.member(2, &["x:1"]);
    scene.member(1, &["x:1"]);
    assert_eq!(first.await.unwrap(), YES);
    let now = scene.versions[&1].record().stamp.version.0;
    let next = scene.is_applied(question(1, now + 1), HOUR).await;
    let mut later = scene.is_applied(question(1, now + 2), HOUR).await;
    scene.member(1, &["x:2"]);
    assert_eq!(next.await.unwrap(), YES);
    assert!(later.try_recv().is_err());
    scene.member(1, &["x:3"]);
    assert_eq!(later.await.unwrap(), YES);
    assert_eq!(scene.is_applied(question(1, now + 1), HOUR).await.await.unwrap(), YES, "at once");
    assert_eq!(scene.n_dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn it_waits_no_longer_than_its_asker_and_never_for_long() {
    let mut scene = Scene::new();
    scene.serve_queries();
    for (timeout, waits) in [(Duration::from_secs(2), Duration::from_secs(2)), (HOUR, LONGEST)] {
        let start = tokio::time::Instant::now();
        let answer = scene.is_applied(question(1, 1), timeout).await;
        assert!(answer.await.is_err());
        let waited = start.elapsed();
        assert!(waited >= waits && waited < waits + Duration::from_millis(10), "{waited:?}");
    }
    assert_eq!(scene.n_dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_question_and_what_has_no_room_is_dropped_and_counted() {
    let mut scene = Scene::new();
    scene.serve_queries();
    let mut later = question(0, 1);
    later[0] = 2;
    for bad in [Vec::new(), later, [question(0, 1), vec![0]].concat(), vec![0xff; 1024]] {
        assert!(scene.is_applied(bad, HOUR).await.await.is_err());
    }
    assert_eq!(scene.n_dropped(), 4);
    let mut waiting = Vec::new();
    for _ in 0..WAITING {
        waiting.push(scene.is_applied(question(1, 1), HOUR).await);
    }
    assert!(scene.is_applied(question(1, 1), HOUR).await.await.is_err());
    assert_eq!(scene.n_dropped(), 5);
    // Whose asker has gone makes room.
    drop(waiting.pop());
    let last = scene.is_applied(question(1, 1), HOUR).await;
    scene.member(1, &[]);
    for answer in waiting.into_iter().chain([last]) {
        assert_eq!(answer.await.unwrap(), YES);
    }
    assert_eq!(scene.n_dropped(), 5);
}

#[tokio::test]
async fn handlers_of_all_queries_do_not_see_it() {
    let mut scene = Scene::new();
    scene.start(scene.handler("query", "echo $LOBBY_QUERY_NAME >> out; echo done"));
    scene.serve_queries();
    assert_eq!(scene.is_applied(question(0, 1), HOUR).await.await.unwrap(), YES);
    let (answer, answered) = oneshot::channel();
    let event = NewEvent { name: "load".into(), payload: Bytes::new(), filter: Filter::default() };
    let origin = NodeId::from_bytes([8; 16]);
    let query = IncomingQuery { id: EventId([1; 16]), ltime: 42, origin, event, timeout: HOUR, answer };
    scene.queries.send(query).await.unwrap();
    assert_eq!(answered.await.unwrap(), "done\n");
    assert_eq!(scene.read("out"), "load\n");
}
