//! Watches over an agent that follows a script, in paused time: when it is asked, and what is told.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use super::*;

/// What an agent does with one request.
#[derive(Debug)]
enum Act {
    Reply(Reply),
    /// Holds the request for so long.
    Hold(Duration, Reply),
    Fail(bool),
    /// Never answers.
    Hang,
}

/// When, what, and for how long.
type Request = (Duration, String, Duration);

/// Follows its script, then never answers again.
#[derive(Debug, Clone)]
struct Script(Arc<Mutex<(VecDeque<Act>, Vec<Request>)>>, Instant);

impl Transport for Script {
    async fn get(&self, path_and_query: &str, wait: Duration) -> Result<Reply, TransportError> {
        let act = {
            let mut script = self.0.lock().unwrap();
            script.1.push((self.1.elapsed(), path_and_query.to_owned(), wait));
            script.0.pop_front()
        };
        match act {
            Some(Act::Reply(reply)) => Ok(reply),
            Some(Act::Hold(time, reply)) => {
                sleep(time).await;
                Ok(reply)
            }
            Some(Act::Fail(is_retryable)) => Err(TransportError { message: "refused".into(), is_retryable }),
            Some(Act::Hang) | None => pending().await,
        }
    }
}

/// A watch that runs.
struct Run {
    script: Script,
    news: mpsc::Receiver<News>,
    query: Query,
}

fn run(query: Query, options: Options, acts: impl IntoIterator<Item = Act>) -> Run {
    let script = Script(Arc::new(Mutex::new((acts.into_iter().collect(), Vec::new()))), Instant::now());
    let (sender, news) = mpsc::channel(8);
    let (source, asked) = (Consul::new(script.clone(), options), query.clone());
    tokio::spawn(async move { source.watch(asked, sender).await });
    Run { script, news, query }
}

impl Run {
    async fn answer(&mut self) -> Answer {
        match self.news.recv().await {
            Some(News::Answer(query, answer)) if query == self.query => answer,
            other => panic!("{other:?}"),
        }
    }

    /// That nothing more is told while all that is scripted happens.
    async fn quiet(&mut self) {
        let more = timeout(Duration::from_secs(20), self.news.recv()).await;
        assert!(more.is_err(), "{more:?}");
    }

    fn requests(&self) -> Vec<Request> {
        self.script.0.lock().unwrap().1.clone()
    }

    fn paths(&self) -> Vec<String> {
        self.requests().into_iter().map(|(_, path, _)| path).collect()
    }
}

fn ok(index: u64, body: &str) -> Reply {
    Reply { status: 200, index: Some(index), body: body.into(), ..Reply::default() }
}

fn warm(index: u64, body: &str) -> Reply {
    Reply { warm: Some(true), ..ok(index, body) }
}

fn cold(body: &str) -> Reply {
    Reply { warm: Some(false), ..ok(5, body) }
}

fn status(status: u16) -> Act {
    Act::Reply(Reply { status, ..ok(5, "why") })
}

fn services() -> Query {
    Query::services("").unwrap()
}

/// How many services an answer names.
fn count(answer: &Answer) -> usize {
    match answer {
        Answer::Services(services) => services.len(),
        other => panic!("{other:?}"),
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn the_first_answer_comes_at_once_and_the_next_when_the_index_moves() {
    let acts = [Act::Reply(ok(7, "{}")), Act::Hold(MINUTE, ok(7, "{}")), Act::Hold(ms(500), ok(9, r#"{"a":[]}"#))];
    let mut run = run(services(), Options::default(), acts);
    assert_eq!(count(&run.answer().await), 0);
    assert_eq!(count(&run.answer().await), 1);
    run.quiet().await;
    let held = |index| format!("/v1/catalog/services?index={index}&wait=60000ms");
    let want = [
        (ms(0), "/v1/catalog/services".to_owned(), ms(0)),
        (ms(100), held(7), MINUTE),
        (ms(60_200), held(7), MINUTE),
        (ms(60_800), held(9), MINUTE),
    ];
    assert_eq!(run.requests(), want);
}

#[tokio::test(start_paused = true)]
async fn the_same_answer_under_another_index_is_no_news() {
    let mut run = run(services(), Options::default(), [7, 8, 9].map(|index| Act::Reply(ok(index, r#"{"a":["x"]}"#))));
    assert_eq!(count(&run.answer().await), 1);
    run.quiet().await;
    assert_eq!(run.paths()[3], "/v1/catalog/services?index=9&wait=60000ms");
}

#[tokio::test(start_paused = true)]
async fn a_body_under_the_same_index_is_not_even_read() {
    let mut run = run(services(), Options::default(), [Act::Reply(ok(7, "{}")), Act::Reply(ok(7, "not JSON"))]);
    run.answer().await;
    run.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn an_index_that_falls_begins_anew() {
    let acts = [Act::Reply(ok(9, "{}")), Act::Reply(ok(3, r#"{"a":[]}"#)), Act::Reply(ok(3, r#"{"a":[]}"#))];
    let mut run = run(services(), Options::default(), acts);
    assert_eq!((count(&run.answer().await), count(&run.answer().await)), (0, 1));
    run.quiet().await;
    let paths = run.paths();
    assert_eq!(paths[2..], ["/v1/catalog/services", "/v1/catalog/services?index=3&wait=60000ms"]);
}

#[tokio::test(start_paused = true)]
async fn without_an_index_the_answer_counts_and_is_looked_at_again() {
    for index in [None, Some(0)] {
        let reply = |body: &str| Act::Reply(Reply { index, ..ok(0, body) });
        let mut run = run(services(), Options::default(), [reply("{}"), reply(r#"{"a":[]}"#)]);
        assert_eq!((count(&run.answer().await), count(&run.answer().await)), (0, 1));
        let at: Vec<_> = run.requests().into_iter().map(|(at, _, _)| at).collect();
        assert_eq!(at, [ms(0), POLL]);
    }
}

#[tokio::test(start_paused = true)]
async fn news_comes_at_most_every_tenth_of_a_second() {
    let body = |count: u64| (0..count).map(|name| format!("\"{name}\":[]")).collect::<Vec<_>>().join(",");
    let acts = (1..=30).map(|index| Act::Reply(ok(index, &format!("{{{}}}", body(index)))));
    let mut run = run(services(), Options::default(), acts);
    let begun = Instant::now();
    for times in 0..30 {
        assert_eq!(count(&run.answer().await), times + 1);
        assert_eq!(begun.elapsed(), ms(100) * u32::try_from(times).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn errors_are_repeated_with_growing_pauses_until_they_have_failed() {
    let retry = Retry { enabled: true, attempts: 4, backoff: ms(250), max_backoff: ms(1500) };
    let acts =
        [Act::Fail(true), status(500), status(403), Act::Reply(ok(1, "no JSON")), Act::Fail(true), Act::Reply(ok(1, "{}"))];
    let mut run = run(services(), Options { retry, ..Options::default() }, acts);
    for attempt in 1..=4 {
        match run.news.recv().await {
            Some(News::Trouble { attempts, .. }) => assert_eq!(attempts, attempt),
            other => panic!("{other:?}"),
        }
    }
    let failed = News::Failed { query: services(), message: "refused".into() };
    assert_eq!((run.news.recv().await, run.news.recv().await), (Some(failed), None));
    let at: Vec<_> = run.requests().into_iter().map(|(at, _, _)| at).collect();
    assert_eq!(at, [0, 250, 750, 1750, 3250].map(ms));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_in_the_words_of_the_agent() {
    let said = Act::Reply(Reply { status: 403, ..ok(5, r#"{"message": "access denied"}"#) });
    let mut run = run(services(), Options::default(), [said, Act::Reply(ok(7, "{}"))]);
    let Some(News::Trouble { message, .. }) = run.news.recv().await else { panic!("no trouble") };
    assert!(message.ends_with("/v1/catalog/services: status 403: access denied"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_forgives_all_errors_before_and_errors_the_index() {
    let retry = Retry { attempts: 1, ..Retry::default() };
    let acts = [Act::Fail(true), Act::Reply(ok(7, "{}")), Act::Fail(true), Act::Reply(ok(7, "{}")), Act::Fail(true)];
    let mut run = run(services(), Options { retry, ..Options::default() }, acts);
    let mut told = Vec::new();
    while let Ok(Some(news)) = timeout(ms(5000), run.news.recv()).await {
        told.push(match news {
            News::Answer(..) => "answer",
            News::Trouble { attempts: 1, .. } => "trouble",
            _ => "?",
        });
    }
    assert_eq!(told, ["trouble", "answer", "trouble", "trouble"]);
    let has_index: Vec<_> = run.paths().iter().map(|path| path.contains("index=7")).collect();
    assert_eq!(has_index, [false, false, true, false, true, false]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_become_better_fails_at_once() {
    for act in [status(400), Act::Fail(false)] {
        let mut run = run(services(), Options::default(), [act]);
        assert!(matches!(run.news.recv().await, Some(News::Failed { .. })));
        assert_eq!((run.news.recv().await, run.requests().len()), (None, 1));
    }
    let mut run = run(Query::key("a").unwrap(), Options::default(), [status(501)]);
    assert!(matches!(run.news.recv().await, Some(News::Failed { message, .. }) if message.contains("keys_dir")));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_is_given_up() {
    let mut run = run(services(), Options::default(), [Act::Reply(ok(7, "{}")), Act::Hang, Act::Reply(ok(7, r#"{"a":[]}"#))]);
    run.answer().await;
    assert!(matches!(run.news.recv().await, Some(News::Trouble { attempts: 1, .. })));
    assert_eq!(count(&run.answer().await), 1);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_is_not_warm_gives_no_answer_and_takes_none_back() {
    let mut acts: Vec<_> = (0..40).map(|_| Act::Reply(cold("{}"))).collect();
    acts.extend([Act::Reply(Reply { status: 503, ..cold("{}") }), status(503)]);
    acts.extend([Act::Reply(warm(7, r#"{"a":[]}"#)), Act::Reply(cold("{}")), Act::Reply(warm(2, r#"{"a":[]}"#))]);
    let mut run = run(services(), Options::default(), acts);
    assert!(matches!(run.news.recv().await, Some(News::Trouble { attempts: 0, .. })));
    assert!(matches!(run.news.recv().await, Some(News::Trouble { attempts: 1, .. })));
    assert_eq!(count(&run.answer().await), 1);
    assert!(matches!(run.news.recv().await, Some(News::Trouble { attempts: 0, .. })));
    run.quiet().await;
    assert_eq!(run.paths()[44..], ["/v1/catalog/services", "/v1/catalog/services?index=2&wait=60000ms"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_for_whom_nobody_listens() {
    let Run { script, news, .. } = run(services(), Options::default(), [Act::Reply(ok(7, "{}"))]);
    drop(news);
    sleep(MINUTE).await;
    assert!(script.0.lock().unwrap().1.len() <= 1);
    assert_eq!(Arc::strong_count(&script.0), 1);
}

#[tokio::test(start_paused = true)]
async fn a_missing_key_is_an_answer_that_is_waited_on() {
    let missing = Act::Reply(Reply { status: 404, ..ok(7, "") });
    let acts = [missing, Act::Reply(ok(8, r#"[{"Key":"a","Value":"eA=="}]"#))];
    let mut run = run(Query::key("a").unwrap(), Options::default(), acts);
    assert_eq!((run.answer().await, run.answer().await), (Answer::Key(None), Answer::Key(Some(Arc::from(*b"x")))));
    assert_eq!(run.paths()[1], "/v1/kv/a?index=7&wait=60000ms");
}

#[tokio::test(start_paused = true)]
async fn the_own_node_is_asked_for_once_and_after_errors() {
    let own = || Act::Reply(Reply { index: None, ..ok(0, r#"{"Config":{"NodeName":"h"}}"#) });
    let node = |index| Act::Reply(ok(index, "null"));
    let mut run = run(Query::node("").unwrap(), Options::default(), [own(), node(7), node(8), Act::Fail(true), own(), node(9)]);
    assert_eq!(run.answer().await, Answer::Node(None));
    assert!(matches!(run.news.recv().await, Some(News::Trouble { .. })));
    run.quiet().await;
    let (who, node) = ("/v1/agent/self", "/v1/catalog/node/h");
    let want = [who, node, &format!("{node}?index=7&wait=60000ms"), &format!("{node}?index=8&wait=60000ms"), who, node];
    assert_eq!(run.paths()[..6], want);
}

#[tokio::test(start_paused = true)]
async fn data_centres_are_looked_at_now_and_then() {
    let mut run = run(Query::Datacenters, Options::default(), [r#"["b","a"]"#, r#"["a"]"#].map(|body| Act::Reply(ok(7, body))));
    let (first, second) = (run.answer().await, run.answer().await);
    assert_eq!((first, second), (Answer::Datacenters(["a".into(), "b".into()].into()), Answer::Datacenters(["a".into()].into())));
    assert_eq!(run.requests()[1], (DATACENTERS_POLL, "/v1/catalog/datacenters".into(), ms(0)));
}

#[tokio::test(start_paused = true)]
async fn a_selector_waits_for_the_revision_and_then_asks_its_own_route() {
    let acts = [warm(3, "[]"), warm(0, r#"[{"name":"a"}]"#), warm(4, "[]"), warm(0, "[]")].map(Act::Reply);
    let mut run = run(Query::Selected { selector: "tag=v2".into() }, Options::default(), acts);
    let count = |answer: Answer| matches!(answer, Answer::Selected(nodes) if nodes.len() == 1);
    assert!(count(run.answer().await) && !count(run.answer().await));
    run.quiet().await;
    let own = "/v1/nodes?where=tag%3Dv2";
    let want = [route::REVISION, own, &format!("{}?index=3&wait=10000ms", route::REVISION), own];
    assert_eq!(run.paths()[..4], want);
}

#[tokio::test(start_paused = true)]
async fn instances_of_all_services_are_asked_for_one_by_one() {
    let health = |id: &str| warm(1, &format!(r#"[{{"Node":{{"Node":"n"}},"Service":{{"ID":"{id}","Port":80}}}}]"#));
    let chosen = |id: &str| warm(0, &format!(r#"[{{"node":"n","id":"{id}","drain":true}}]"#));
    let gone = Reply { status: 404, ..warm(0, "no service") };
    let names = warm(0, r#"[{"name":"a"},{"name":"b"},{"name":"gone"}]"#);
    let acts = [warm(3, "[]"), names, chosen("a1"), health("a1"), chosen("b1"), health("b1"), gone].map(Act::Reply);
    let mut run = run(Query::Instances { service: None, selector: "tag=x".into() }, Options::default(), acts);
    let Answer::Instances(instances) = run.answer().await else { panic!("other") };
    let ids: Vec<_> = instances.iter().map(|of| (of.id.as_str(), of.port, of.draining)).collect();
    assert_eq!(ids, [("a1", 80, true), ("b1", 80, true)]);
    assert_eq!(run.paths()[1..4], ["/v1/services?where=tag%3Dx", "/v1/services/a?where=tag%3Dx", "/v1/health/service/a"]);
}

#[tokio::test(start_paused = true)]
async fn what_only_lobbyd_has_is_not_asked_of_consul() {
    let instances = |service: Option<&str>| Query::Instances { service: service.map(str::to_owned), selector: String::new() };
    for query in [Query::Selected { selector: String::new() }, instances(None), instances(Some("web"))] {
        let mut run = run(query, Options::default(), [Act::Reply(ok(7, "[]"))]);
        assert!(matches!(run.news.recv().await, Some(News::Failed { message, .. }) if message.contains("lobbyd")));
    }
}

#[tokio::test(start_paused = true)]
async fn without_repetitions_the_first_error_is_the_last() {
    let retry = Retry { enabled: false, ..Retry::default() };
    let mut run = run(services(), Options { retry, ..Options::default() }, [status(500)]);
    assert!(matches!(run.news.recv().await, Some(News::Failed { .. })));
    assert_eq!((run.news.recv().await, run.requests().len()), (None, 1));
}

#[tokio::test(start_paused = true)]
async fn a_follower_may_answer_unless_it_is_too_far_behind() {
    let aged = |age, body: &str| Act::Reply(Reply { last_contact: Some(ms(age)), ..ok(7, body) });
    let options = Options { max_stale: ms(2000), ..Options::default() };
    let mut told = run(services(), options, [aged(2000, "{}"), aged(2001, "{}"), aged(0, r#"{"a":[]}"#)]);
    assert_eq!(count(&told.answer().await), 0);
    told.quiet().await;
    let path = "/v1/catalog/services";
    let held = "index=7&wait=60000ms";
    assert_eq!(
        told.paths(),
        [format!("{path}?stale"), format!("{path}?stale&{held}"), format!("{path}?{held}"), format!("{path}?stale&{held}")]
    );
    let mut run = run(Query::Selected { selector: String::new() }, options, [warm(3, "[]"), warm(0, "[]")].map(Act::Reply));
    run.answer().await;
    assert_eq!(run.paths()[1], "/v1/nodes", "only lobbyd has these");
}

proptest! {
    /// What is waited for next is never below what an agent said, and never above.
    #[test]
    fn the_next_index_is_that_of_the_reply_or_none(seen in prop::option::of(1u64..4), got in prop::option::of(0u64..5)) {
        let next = next_index(seen, got);
        prop_assert!(next.is_none() || next == got);
        prop_assert_eq!(next.is_some(), got.is_some_and(|got| got > 0 && got >= seen.unwrap_or(0)));
    }

    #[test]
    fn pauses_never_fall_and_never_exceed_the_longest(failures in 1u32..200, backoff in 0u64..5000, most in 0u64..100_000) {
        let retry = Retry { enabled: true, attempts: 0, backoff: ms(backoff), max_backoff: ms(most) };
        let (now, next) = (retry.pause(failures).unwrap(), retry.pause(failures + 1).unwrap());
        prop_assert!(now <= next && next <= ms(most));
        prop_assert_eq!(Retry { attempts: failures, ..retry }.pause(failures + 1), None);
    }
}
