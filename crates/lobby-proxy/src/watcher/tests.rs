//! All watchers as one: questions asked once, the rules of `multi`, and when a picture is published. Sources are scripted.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lobby_render::{
    Answer, Query,
    answer::{HealthCheck, HealthService},
    source::News,
};
use tokio::time::sleep;

use super::*;
use crate::{
    Backend,
    fetch::{FetchError, Request, Response},
    settings::{ConsulWatch, Discovery, LabelFilter, LobbyWatch, MultiWatch, Resolver, Service},
};

type Asked = Vec<(Query, mpsc::Sender<News>)>;

/// A catalog that a test writes.
#[derive(Clone, Default)]
struct Catalog {
    senders: Arc<Mutex<Asked>>,
}

impl Source for Catalog {
    async fn watch(&self, query: Query, news: mpsc::Sender<News>) {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).push((query, news.clone()));
        news.closed().await;
    }
}

impl Catalog {
    async fn say(&self, service: &str, news: impl Fn(Query) -> News) {
        lobby_testkit::eventually_async(Duration::from_secs(5), async || {
            let of = |query: &Query| matches!(query, Query::Service(of) if of.name == service);
            let found = self.senders.lock().unwrap().iter().find(|(query, _)| of(query)).cloned();
            let Some((query, sender)) = found else { return Err("nobody asks") };
            sender.send(news(query)).await.map_err(|_| "nobody listens")
        })
        .await;
    }

    /// Instances of a service by address, and whether their nodes are lost.
    async fn has(&self, service: &str, instances: &[(&str, bool)]) {
        let instance = |(address, is_lost): &(&str, bool)| {
            let status = if *is_lost { "critical" } else { "passing" };
            let check = HealthCheck { check_id: "serfHealth".into(), status: status.into(), ..HealthCheck::default() };
            let address = (*address).to_owned();
            Arc::new(HealthService { address, port: 80, status: status.into(), checks: vec![check], ..HealthService::default() })
        };
        let all: Arc<[_]> = instances.iter().map(instance).collect();
        self.say(service, |query| News::Answer(query, Answer::Service(all.clone()))).await;
    }

    async fn fails(&self, service: &str) {
        self.say(service, |query| News::Trouble { query, message: "away".into(), attempts: 1 }).await;
    }
}

#[derive(Clone)]
struct NoFetch;

impl Fetch for NoFetch {
    async fn fetch(&self, _: Request) -> Result<Response, FetchError> {
        Err(FetchError("no network".into()))
    }
}

fn lobby(service: &str) -> Discovery {
    Discovery::Lobby(LobbyWatch { service: service.into(), ..LobbyWatch::default() })
}

fn multi(children: &[(&str, &str)], resolver: Resolver) -> Discovery {
    let watchers = children.iter().map(|(name, service)| ((*name).into(), lobby(service))).collect();
    Discovery::Multi(MultiWatch { watchers, resolver })
}

fn run(discoveries: Vec<Discovery>) -> (Catalog, watch::Receiver<Picture>, Watching) {
    let service = |(at, discovery): (usize, Discovery)| Service { name: format!("s{at}"), discovery, ..Service::default() };
    let services = discoveries.into_iter().enumerate().map(service).collect();
    let catalog = Catalog::default();
    let settings = Settings { services, ..Settings::default() };
    let (picture, watching) = start(&settings, NoFetch, catalog.clone(), &BTreeMap::new());
    (catalog, picture, watching)
}

fn hosts(known: &Known) -> Option<String> {
    let hosts = |backends: &Arc<[Backend]>| backends.iter().map(|b| b.host.as_str()).collect::<Vec<_>>().join(" ");
    known.backends.as_ref().map(hosts)
}

/// Waits until the first service has these hosts.
async fn shows(picture: &mut watch::Receiver<Picture>, want: &str) {
    let is_there = |seen: &Picture| hosts(&seen[0]).as_deref() == Some(want);
    let is_in_time = tokio::time::timeout(Duration::from_secs(5), picture.wait_for(is_there)).await.is_ok();
    assert!(is_in_time, "not {want:?}: {:?}", picture.borrow());
}

#[tokio::test(start_paused = true)]
async fn equal_questions_are_asked_once_and_services_without_questions_are_known_at_once() {
    let (catalog, mut picture, _watching) =
        run(vec![lobby("web"), lobby("web"), multi(&[("a", "web"), ("b", "db")], Resolver::Union), Discovery::Base]);
    picture.wait_for(|seen| seen[3].backends.is_some()).await.unwrap();
    assert!(picture.borrow()[..3].iter().all(|known| *known == Known::default()), "nothing is known of the others");
    catalog.has("web", &[("a", false)]).await;
    catalog.has("db", &[("b", false)]).await;
    picture.wait_for(|seen| seen[2].backends.is_some()).await.unwrap();
    let seen: Vec<_> = picture.borrow().iter().map(hosts).collect();
    assert_eq!(seen, [Some("a".into()), Some("a".into()), Some("a b".into()), Some(String::new())]);
    assert_eq!(catalog.senders.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn not_all_go_who_are_lost_at_the_start() {
    let (catalog, mut picture, _watching) = run(vec![lobby("web")]);
    catalog.has("web", &[("a", true), ("b", true), ("c", true)]).await;
    shows(&mut picture, "b c").await;
    assert_eq!(picture.borrow()[0].n_held, 2);
}

#[tokio::test(start_paused = true)]
async fn trouble_shows_and_changes_no_backend() {
    let (catalog, mut picture, _watching) = run(vec![lobby("web")]);
    catalog.fails("web").await;
    picture.wait_for(|seen| seen[0].trouble.as_deref() == Some("away")).await.unwrap();
    assert_eq!(picture.borrow()[0].backends, None);
    catalog.has("web", &[("a", false)]).await;
    shows(&mut picture, "a").await;
    assert_eq!(picture.borrow()[0].trouble, None);
    catalog.fails("web").await;
    picture.wait_for(|seen| seen[0].trouble.is_some()).await.unwrap();
    shows(&mut picture, "a").await;
    // The same answer again changes nothing but the trouble; and a definite empty one does.
    catalog.has("web", &[]).await;
    shows(&mut picture, "").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_held_goes_when_the_window_has_passed() {
    let (catalog, mut picture, _watching) = run(vec![lobby("web")]);
    catalog.has("web", &[("a", false), ("b", false), ("c", false), ("d", false)]).await;
    shows(&mut picture, "a b c d").await;
    catalog.has("web", &[("a", true), ("b", true), ("c", true), ("d", false)]).await;
    shows(&mut picture, "d c").await;
    assert_eq!(picture.borrow()[0].n_held, 1);
    sleep(Duration::from_secs(58)).await;
    assert_eq!(hosts(&picture.borrow()[0]).as_deref(), Some("d c"));
    shows(&mut picture, "d").await;
    assert_eq!(picture.borrow()[0].n_held, 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_who_is_held_goes_while_the_source_is_in_trouble() {
    let (catalog, mut picture, _watching) = run(vec![lobby("web")]);
    catalog.has("web", &[("a", false), ("b", false)]).await;
    shows(&mut picture, "a b").await;
    catalog.has("web", &[("a", true), ("b", true)]).await;
    shows(&mut picture, "b").await;
    for _ in 0..3 {
        catalog.fails("web").await;
        sleep(Duration::from_secs(100)).await;
    }
    assert_eq!((hosts(&picture.borrow()[0]).as_deref(), picture.borrow()[0].n_held), (Some("b"), 1));
    catalog.has("web", &[("a", true), ("b", true)]).await;
    shows(&mut picture, "").await;
}

#[tokio::test(start_paused = true)]
async fn a_picture_that_is_the_same_is_not_published_again() {
    let (catalog, mut picture, _watching) = run(vec![lobby("web")]);
    catalog.has("web", &[("a", false), ("b", false)]).await;
    shows(&mut picture, "a b").await;
    picture.mark_unchanged();
    catalog.has("web", &[("b", false), ("a", false)]).await;
    sleep(Duration::from_secs(1)).await;
    assert!(!picture.has_changed().unwrap());
    catalog.has("web", &[("b", false)]).await;
    picture.changed().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_union_waits_for_all_and_keeps_what_a_failing_one_had() {
    let (catalog, mut picture, _watching) = run(vec![multi(&[("a", "a"), ("b", "b")], Resolver::Union)]);
    catalog.has("a", &[]).await;
    catalog.fails("b").await;
    picture.wait_for(|seen| seen[0].trouble.is_some()).await.unwrap();
    assert_eq!(picture.borrow()[0].backends, None, "empty without b is no answer");
    catalog.has("a", &[("1", false)]).await;
    sleep(WARM_MAX - Duration::from_secs(2)).await;
    assert_eq!(picture.borrow()[0].backends, None, "what b has may be in use since before a restart");
    shows(&mut picture, "1").await;
    catalog.has("b", &[("2", false)]).await;
    shows(&mut picture, "1 2").await;
    catalog.fails("b").await;
    catalog.has("a", &[]).await;
    shows(&mut picture, "2").await;
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_stays_silent_is_not_waited_for_any_longer_than_one_that_fails() {
    let order = Resolver::Sequential(vec!["primary".into(), "b".into()]);
    let told = Some("watcher primary has never answered");
    for (resolver, trouble, both) in [(Resolver::Union, told, "2 1"), (order, None, "1"), (Resolver::Fallback, None, "1")] {
        let (catalog, mut picture, _watching) = run(vec![multi(&[("primary", "silent"), ("b", "b")], resolver)]);
        catalog.has("b", &[("2", false)]).await;
        sleep(WARM_MAX - Duration::from_secs(2)).await;
        assert_eq!(picture.borrow()[0], Known::default());
        shows(&mut picture, "2").await;
        assert_eq!(picture.borrow()[0].trouble.as_deref(), trouble, "one that serves in its place is well");
        catalog.has("silent", &[("1", false)]).await;
        shows(&mut picture, both).await;
        assert_eq!(picture.borrow()[0].trouble, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_poll_that_fails_moves_no_traffic_to_the_next_watcher() {
    let order = Resolver::Sequential(vec!["primary".into(), "b".into()]);
    for resolver in [order, Resolver::Fallback] {
        let (catalog, mut picture, _watching) = run(vec![multi(&[("primary", "a"), ("b", "b")], resolver)]);
        catalog.has("b", &[("2", false)]).await;
        for _ in 0..5 {
            catalog.fails("a").await;
        }
        sleep(WARM_MAX / 2).await;
        assert!(picture.borrow()[0].trouble.is_some());
        assert_eq!(picture.borrow()[0].backends, None, "what the first has may be in use since before a restart");
        catalog.has("a", &[("1", false)]).await;
        shows(&mut picture, "1").await;
    }
    let (catalog, mut picture, _watching) = run(vec![multi(&[("primary", "a"), ("b", "b")], Resolver::Fallback)]);
    catalog.has("b", &[("2", false)]).await;
    catalog.fails("a").await;
    sleep(WARM_MAX - Duration::from_secs(2)).await;
    assert_eq!(picture.borrow()[0].backends, None);
    shows(&mut picture, "2").await;
}

#[tokio::test(start_paused = true)]
async fn in_sequence_the_first_that_answers_and_is_not_empty_counts() {
    let order = Resolver::Sequential(vec!["b".into(), "a".into()]);
    let (catalog, mut picture, _watching) = run(vec![multi(&[("a", "a"), ("b", "b")], order)]);
    catalog.has("a", &[("1", false)]).await;
    catalog.has("b", &[]).await;
    shows(&mut picture, "1").await;
    catalog.has("b", &[("2", false)]).await;
    shows(&mut picture, "2").await;
    for _ in 0..2 {
        catalog.fails("b").await;
    }
    // One failed poll, or two, move no traffic.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(hosts(&picture.borrow()[0]).as_deref(), Some("2"));
    catalog.fails("b").await;
    shows(&mut picture, "1").await;
    // Nobody has anything else: what b had is better than nothing.
    catalog.has("a", &[]).await;
    shows(&mut picture, "2").await;
    catalog.has("b", &[]).await;
    shows(&mut picture, "").await;
}

#[tokio::test(start_paused = true)]
async fn a_fallback_is_all_others_while_the_primary_is_empty() {
    let children = [("primary", "p"), ("x", "x"), ("y", "y")];
    let (catalog, mut picture, _watching) = run(vec![multi(&children, Resolver::Fallback)]);
    catalog.has("p", &[("0", false)]).await;
    shows(&mut picture, "0").await;
    catalog.has("x", &[("1", false)]).await;
    catalog.has("y", &[("2", false)]).await;
    catalog.has("p", &[]).await;
    shows(&mut picture, "1 2").await;
    catalog.has("p", &[("0", false)]).await;
    shows(&mut picture, "0").await;
}

#[tokio::test(start_paused = true)]
async fn questions_that_have_no_answer_say_so() {
    let watch = LobbyWatch { selector: "tag=a".into(), datacenter: Some("dc2".into()), ..LobbyWatch::default() };
    let (catalog, mut picture, _watching) = run(vec![Discovery::Lobby(watch)]);
    picture.wait_for(|seen| seen[0].trouble.is_some()).await.unwrap();
    assert_eq!((hosts(&picture.borrow()[0]), catalog.senders.lock().unwrap().len()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn labels_are_asked_for_those_who_look_at_them_by_one_question() {
    let plain = Service { discovery: lobby("web"), ..Service::default() };
    let deploy = Service { backup_port: Some(81), ..plain.clone() };
    let filter = LabelFilter { label: "zone".into(), value: "eu".into(), is_equal: true };
    let filtered = Service { label_filters: vec![filter], ..deploy.clone() };
    let services = vec![plain, deploy.clone(), deploy, filtered.clone(), filtered];
    let (catalog, settings) = (Catalog::default(), Settings { services, ..Settings::default() });
    let (_picture, _watching) = start(&settings, NoFetch, catalog.clone(), &BTreeMap::new());
    sleep(Duration::from_secs(1)).await;
    let mut asked: Vec<_> = catalog.senders.lock().unwrap().iter().map(|(query, _)| query.clone()).collect();
    asked.sort();
    let selected = |selector: &str| Query::Selected { selector: selector.into() };
    assert_eq!(asked[1..], [selected(""), selected("label^=deploy:")]);
    assert!("label^=deploy:".parse::<lobby_core::selector::Selector>().is_ok());
}

/// An agent with one instance; keeps the requests.
#[derive(Clone, Default)]
struct Agent(Arc<Mutex<Vec<Request>>>);

impl Fetch for Agent {
    async fn fetch(&self, request: Request) -> Result<Response, FetchError> {
        let held = request.url.contains("index=7");
        self.0.lock().unwrap().push(request);
        if held {
            sleep(Duration::from_secs(60)).await;
        }
        let body = br#"[{"Node":{"Node":"n","Address":"10.0.0.1"},"Service":{"ID":"w","Service":"web","Port":80},"Checks":[]}]"#;
        Ok(Response { status: 200, headers: vec![("x-consul-index".into(), "7".into())], body: body.to_vec() })
    }
}

#[tokio::test(start_paused = true)]
async fn a_consul_is_asked_at_its_address_with_its_token_and_waited_on() {
    let query =
        LobbyWatch { service: "web".into(), tag: Some("v2".into()), near: Some("_agent".into()), ..LobbyWatch::default() };
    let watch = ConsulWatch { address: "http://c:8500/".into(), token: Some("t".into()), query };
    let service = Service { discovery: Discovery::Consul(watch), ..Service::default() };
    let settings = Settings { services: vec![service], ..Settings::default() };
    let agent = Agent::default();
    let (mut picture, _watching) = start(&settings, agent.clone(), Catalog::default(), &BTreeMap::new());
    // It was passing by its checks; that its tags lack the one asked for is seen here too.
    shows(&mut picture, "").await;
    sleep(Duration::from_secs(1)).await;
    let asked = agent.0.lock().unwrap().clone();
    let urls: Vec<_> = asked.iter().map(|request| request.url.as_str()).collect();
    let base = "http://c:8500/v1/health/service/web?tag=v2&near=_agent";
    assert_eq!(urls, [base.to_owned(), format!("{base}&index=7&wait=60000ms")]);
    assert!(asked.iter().all(|request| request.headers == [("X-Consul-Token".to_owned(), "t".to_owned())]));
    assert!(asked[1].timeout > Duration::from_secs(63));
}
