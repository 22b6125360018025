//! Handlers beside gossip: user events that are not replayed, queries that are answered.

//! User events and queries.

use bytes::Bytes;
use lobby_core::port::gossip::{EVENTS, EventId, Filter, NewEvent, UserEvent};
use tokio::sync::oneshot;

use super::*;

fn new_event(name: &str, payload: &[u8]) -> NewEvent {
    NewEvent { name: name.into(), payload: Bytes::copy_from_slice(payload), filter: Filter::default() }
}

/// Does what gossip does with an event that is for us.
pub(super) fn push(log: &mut EventLog, name: &str, payload: &[u8], replayed: bool) {
    log.n_seen += 1;
    let (number, ltime) = (log.n_seen, 100 + log.n_seen);
    let origin = NodeId::from_bytes([7; 16]);
    let event = UserEvent { id: EventId([0; 16]), ltime, origin, event: new_event(name, payload), number, replayed };
    log.events.push_back(Arc::new(event));
    if log.events.len() > EVENTS {
        log.events.pop_front();
    }
}

impl Scene {
    fn fire(&self, name: &str, payload: &str) {
        self.log.send_modify(|log| push(log, name, payload.as_bytes(), false));
    }

    async fn ask(&self, name: &str, payload: &str, timeout: Duration) -> oneshot::Receiver<Bytes> {
        let (answer, answered) = oneshot::channel();
        let event = new_event(name, payload.as_bytes());
        let origin = NodeId::from_bytes([8; 16]);
        let query = IncomingQuery { id: EventId([1; 16]), ltime: 42, origin, event, timeout, answer };
        self.queries.send(query).await.unwrap();
        answered
    }
}

#[tokio::test]
async fn user_events_come_in_order_by_name_and_never_from_before() {
    let mut scene = Scene::new();
    let script = "echo $LOBBY_EVENT $SERF_EVENT $LOBBY_USER_EVENT $SERF_USER_LTIME $LOBBY_ORIGIN_ID $(cat) >> out";
    scene.start(scene.handler("user:deploy,user:stop", script));
    scene.start(scene.handler("user", "cat >> all"));
    scene.log.send_modify(|log| push(log, "deploy", b"replayed", true));
    let mut want = String::new();
    for n in 0..20 {
        scene.fire("other", "x");
        scene.fire("deploy", &n.to_string());
        want += &format!("user user deploy {} {} {n}\n", 103 + 2 * n, NodeId::from_bytes([7; 16]));
    }
    scene.reads("out", &want).await;
    scene.reads("all", &(0..20).map(|n| format!("x\n{n}\n")).collect::<String>()).await;
}

#[tokio::test]
async fn events_that_leave_the_log_before_a_busy_handler_comes_are_counted() {
    let mut scene = Scene::new();
    scene.start(scene.handler("user", "cat >> out; while ! test -e go; do sleep 0.01; done"));
    scene.fire("x", "first");
    scene.reads("out", "first\n").await;
    for n in 0..EVENTS + 10 {
        scene.fire(if n % 64 == 0 { "x" } else { "y" }, &n.to_string());
    }
    let mut quiet = scene.handler("member-join", "true");
    quiet.name = "quiet".into();
    scene.start(quiet);
    scene.touch("go");
    let want = "first\n".to_owned() + &(10..EVENTS + 10).map(|n| format!("{n}\n")).collect::<String>();
    scene.reads("out", &want).await;
    scene.counts(|stats| &stats.handlers_events_dropped, 10).await;
}

#[tokio::test]
async fn states_and_events_take_turns() {
    let mut scene = Scene::new();
    scene.start(scene.handler("user,member-join", "echo $LOBBY_EVENT >> out; while ! test -e go; do sleep 0.01; done"));
    scene.reads("out", "member-join\n").await;
    for _ in 0..5 {
        scene.fire("x", "");
    }
    scene.member(1, &[]);
    scene.touch("go");
    scene.reads("out", "member-join\nuser\nmember-join\nuser\nuser\nuser\nuser\n").await;
}

#[tokio::test]
async fn the_first_handler_that_says_something_answers_a_query() {
    let mut scene = Scene::new();
    scene.start(scene.handler("query:load", "echo not me; exit 1"));
    scene.start(scene.handler("query:load", "cat > /dev/null"));
    scene.start(scene.handler("query", "printf '%s %s %s ' $LOBBY_QUERY_NAME $SERF_QUERY_LTIME $LOBBY_SELF_NAME; cat"));
    scene.start(scene.handler("query:other", "echo wrong"));
    scene.serve_queries();
    let answer = scene.ask("load", "now", HOUR).await;
    assert_eq!(answer.await.unwrap(), "load 42 own now\n");
    let answer = scene.ask("anything", "", HOUR).await;
    assert_eq!(answer.await.unwrap(), "anything 42 own ");
}

#[tokio::test]
async fn no_answer_is_an_end_and_not_a_wait() {
    let mut scene = Scene::new();
    scene.start(scene.handler("query:silent", "true"));
    scene.start(scene.handler("query:loud", "head -c 65537 /dev/zero"));
    scene.start(scene.handler("query:full", "head -c 65536 /dev/zero"));
    scene.serve_queries();
    for name in ["silent", "loud", "of nobody"] {
        let answer = scene.ask(name, "", HOUR).await;
        assert!(answer.await.is_err(), "{name}");
    }
    let answer = scene.ask("full", "", HOUR).await;
    assert_eq!(answer.await.unwrap().len(), ANSWER_BYTES);
}

#[test]
fn the_role_is_one_however_many_labels_say_it() {
    let labels: Vec<_> = (10..5000).map(|n| format!("role:{n}-{}", "x".repeat(100))).collect();
    let own = local(0, "own", &labels.iter().map(String::as_str).collect::<Vec<_>>());
    let mut log = EventLog::default();
    push(&mut log, "x", b"", false);
    let env = script::env(&inbox::Work::User(log.events[0].clone()), own.record());
    for name in ["LOBBY_SELF_ROLE", "SERF_SELF_ROLE"] {
        let (_, role) = env.iter().find(|(key, _)| key == name).unwrap();
        assert_eq!(*role, format!("10-{}", "x".repeat(100)), "{name}");
    }
}

#[tokio::test]
async fn a_query_whose_time_ends_while_all_slots_are_taken_is_not_run() {
    let mut scene = Scene::new();
    scene.start(scene.handler("query", "echo run >> out; echo done"));
    scene.serve_queries();
    let slots = scene.context.slots.clone();
    let taken = slots.acquire_many(u32::try_from(CONCURRENCY).unwrap()).await.unwrap();
    let (asked, within) = (scene.clock.moment(), Duration::from_millis(200));
    let late = scene.ask("x", "", within).await;
    eventually("its time is over", || (scene.clock.moment().since(asked) > 2 * within).then_some(())).await;
    drop(taken);
    assert!(late.await.is_err());
    scene.counts(|stats| &stats.handlers_queries_dropped, 1).await;
    assert_eq!(scene.ask("x", "", HOUR).await.await.unwrap(), "done\n");
    assert_eq!(scene.read("out"), "run\n");
}

#[tokio::test]
async fn a_full_queue_and_a_query_that_is_too_old_are_counted() {
    let mut scene = Scene::new();
    scene.start(scene.handler("query", "cat >> out; while ! test -e go; do sleep 0.01; done; echo done"));
    scene.serve_queries();
    let first = scene.ask("x", "first", HOUR).await;
    scene.reads("out", "first\n").await;
    let old = scene.ask("x", "old", Duration::ZERO).await;
    let mut answers = Vec::new();
    for n in 1..QUERIES + 4 {
        answers.push(scene.ask("x", &n.to_string(), HOUR).await);
    }
    // Beside the one that runs and the old one, so many wait; four find no room.
    scene.counts(|stats| &stats.handlers_queries_dropped, 4).await;
    scene.touch("go");
    assert_eq!(first.await.unwrap(), "done\n");
    assert!(old.await.is_err());
    let mut n_answered = 0;
    for answer in answers {
        n_answered += usize::from(answer.await.is_ok());
    }
    assert_eq!(n_answered, QUERIES - 1);
    assert!(!scene.read("out").contains("old"));
    scene.counts(|stats| &stats.handlers_queries_dropped, 5).await;
}
