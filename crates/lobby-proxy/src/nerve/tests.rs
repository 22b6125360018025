//! Laws of the whole under a paused clock: when something is reported, how often, and that a reload leaves no gap.

mod agent;
mod law;
mod reload;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    settings::{Check, CheckKind, Http, Rate, Reporter, Service},
    *,
};
use crate::fetch::{Fetch, FetchError, Request, Response};

/// What was told at some time, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Up(String),
    Down(String),
}

#[derive(Default)]
struct Seen {
    told: Vec<(u64, Told)>,
    /// What is there now, by id.
    there: BTreeMap<String, Payload>,
}

/// Keeps what it is told.
#[derive(Clone)]
struct Catalog {
    seen: Arc<Mutex<Seen>>,
    begun: Instant,
    is_broken: Arc<AtomicBool>,
    pings: Arc<AtomicU32>,
    /// How long it takes until a service is there.
    delay: Duration,
}

impl Catalog {
    fn new() -> Self {
        Self {
            seen: Arc::default(),
            begun: Instant::now(),
            is_broken: Arc::default(),
            pings: Arc::default(),
            delay: Duration::ZERO,
        }
    }

    fn tell(&self, told: Told) -> Result<(), ReportError> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Err(ReportError::Client("broken".into()));
        }
        let at = u64::try_from(self.begun.elapsed().as_millis()).unwrap();
        self.seen.lock().unwrap().told.push((at, told));
        Ok(())
    }

    /// When it was told to be up (true) or down.
    fn times(&self) -> Vec<(u64, bool)> {
        self.seen.lock().unwrap().told.iter().map(|(at, told)| (*at, matches!(told, Told::Up(_)))).collect()
    }

    fn ids(&self) -> Vec<String> {
        self.seen.lock().unwrap().there.keys().cloned().collect()
    }
}

impl Report for Catalog {
    async fn up(&self, payload: &Payload) -> Result<(), ReportError> {
        if !self.delay.is_zero() {
            sleep(self.delay).await;
        }
        self.tell(Told::Up(payload.id.clone()))?;
        self.seen.lock().unwrap().there.insert(payload.id.clone(), payload.clone());
        Ok(())
    }

    async fn down(&self, payload: &Payload) -> Result<(), ReportError> {
        self.tell(Told::Down(payload.id.clone()))?;
        self.seen.lock().unwrap().there.remove(&payload.id);
        Ok(())
    }

    async fn ping(&self, payload: &Payload, is_told_up: bool) -> bool {
        self.pings.fetch_add(1, Ordering::Relaxed);
        !is_told_up || self.seen.lock().unwrap().there.get(&payload.id) == Some(payload)
    }
}

/// Answers as it is told, by the path that is asked.
#[derive(Clone, Default)]
struct Web(Arc<Mutex<BTreeMap<String, bool>>>);

impl Web {
    fn set(&self, path: &str, is_well: bool) {
        self.0.lock().unwrap().insert(path.into(), is_well);
    }
}

impl Fetch for Web {
    async fn fetch(&self, request: Request) -> Result<Response, FetchError> {
        let path = request.url.rsplit_once('/').map(|(_, path)| format!("/{path}")).unwrap();
        let is_well = self.0.lock().unwrap().get(&path).copied();
        match is_well {
            Some(is_well) => Ok(Response { status: if is_well { 200 } else { 503 }, ..Response::default() }),
            // Hangs.
            None => std::future::pending().await,
        }
    }
}

fn check(path: &str, rise: u32, fall: u32) -> Check {
    let timeout = Duration::from_millis(100);
    let kind = CheckKind::Http(Http { uri: path.into(), timeout, ..Http::default() });
    Check { name: path.into(), host: "h".into(), port: 1, timeout, rise, fall, kind }
}

fn service(name: &str, checks: Vec<Check>) -> Service {
    let payload = Payload {
        service: name.into(),
        id: format!("{name}_i"),
        host: "10.0.0.1".into(),
        port: 80,
        name: "i".into(),
        ..Payload::default()
    };
    Service {
        name: name.into(),
        reporter: Reporter::Lobby,
        payload,
        check_interval: Duration::from_millis(500),
        is_mocked: false,
        checks,
        rate: Rate::default(),
        max_repeated_report_failures: 10,
    }
}

fn settings(services: Vec<Service>) -> Settings {
    Settings { services, heartbeat_path: None, max_repeated_report_failures: 10 }
}

/// A running Nerve.
struct It {
    catalog: Catalog,
    web: Web,
    settings: watch::Sender<Arc<Settings>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl It {
    fn start(services: Vec<Service>) -> Self {
        let (catalog, web) = (Catalog::new(), Web::default());
        web.set("/ok", true);
        Self::start_with(settings(services), catalog, web)
    }

    fn start_with(settings: Settings, catalog: Catalog, web: Web) -> Self {
        let (settings, receiver) = watch::channel(Arc::new(settings));
        let (stop, stopped) = oneshot::channel();
        let until = async move {
            let _ = stopped.await;
        };
        let task = tokio::spawn(run(receiver, web.clone(), catalog.clone(), until));
        Self { catalog, web, settings, stop, task }
    }

    async fn stop(self) -> Catalog {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
        self.catalog
    }
}

/// A moment after so many milliseconds, so that what is due then is done.
async fn pass(millis: u64) {
    sleep(Duration::from_millis(millis) + Duration::from_micros(100)).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_result_counts_at_once_and_later_ones_by_rise_and_fall() {
    let it = It::start(vec![service("web", vec![check("/a", 3, 2), check("/ok", 1, 1)])]);
    it.web.set("/a", true);
    pass(10).await;
    assert_eq!(it.catalog.times(), [(0, true)]);
    it.web.set("/a", false);
    pass(500).await;
    assert_eq!(it.catalog.times(), [(0, true)], "one failure of two");
    pass(500).await;
    it.web.set("/a", true);
    pass(2000).await;
    // Failures at 500 and 1000, passes at 1500, 2000 and 2500.
    assert_eq!(it.catalog.times(), [(0, true), (1000, false), (2500, true)]);
    let catalog = it.stop().await;
    assert_eq!(catalog.times().last().map(|(_, is_up)| *is_up), Some(false));
    assert_eq!(catalog.ids(), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_ill_from_the_start_is_told_down_and_its_checks_have_timeouts() {
    let it = It::start(vec![service("web", vec![check("/hangs", 1, 1)])]);
    pass(110).await;
    assert_eq!(it.catalog.times(), [(100, false)]);
    it.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_checks_or_mocked_it_is_up() {
    let mocked = Service { is_mocked: true, ..service("mocked", vec![check("/hangs", 1, 1)]) };
    let it = It::start(vec![service("bare", vec![]), mocked]);
    pass(10).await;
    assert_eq!(it.catalog.ids(), ["bare_i", "mocked_i"]);
    it.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_noop_reporter_tells_nobody() {
    let it = It::start(vec![Service { reporter: Reporter::Noop, ..service("web", vec![]) }]);
    pass(5000).await;
    assert_eq!(it.stop().await.times(), []);
}

#[tokio::test(start_paused = true)]
async fn reports_wait_for_a_token_unless_the_limit_is_a_trial() {
    for (is_shadow, want) in [(false, 3), (true, 9)] {
        let rate = Rate { average: 0.1, burst: 2.0, is_shadow };
        let it = It::start(vec![Service { rate, ..service("web", vec![check("/a", 1, 1)]) }]);
        for round in 0..9 {
            it.web.set("/a", round % 2 == 0);
            pass(500).await;
        }
        if is_shadow {
            assert_eq!(it.catalog.times().len(), want);
        } else {
            // It stays up: that is what was told last but one, so nothing is due.
            assert_eq!(it.catalog.times().len(), 2);
            assert_eq!(it.catalog.ids(), [] as [&str; 0]);
            // The next token is there ten seconds after the beginning.
            pass(6000).await;
            assert_eq!(it.catalog.times().len(), want);
            assert!((10_000..=10_500).contains(&it.catalog.times()[2].0), "{:?}", it.catalog.times());
        }
        it.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_catalog_forgets_is_told_again() {
    let it = It::start(vec![service("web", vec![check("/ok", 1, 1)])]);
    pass(10).await;
    it.catalog.seen.lock().unwrap().there.clear();
    pass(1000).await;
    assert_eq!(it.catalog.ids(), ["web_i"]);
    it.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_cannot_report_ends_and_is_begun_anew_within_ten_seconds() {
    let it = It::start(vec![service("web", vec![check("/ok", 1, 1)])]);
    it.catalog.is_broken.store(true, Ordering::Relaxed);
    // Ten failures, half a second apart.
    pass(4_600).await;
    let pings = it.catalog.pings.load(Ordering::Relaxed);
    assert_eq!(pings, 10);
    pass(300).await;
    assert_eq!(it.catalog.pings.load(Ordering::Relaxed), pings, "it has ended");
    it.catalog.is_broken.store(false, Ordering::Relaxed);
    pass(10_000).await;
    assert_eq!(it.catalog.ids(), ["web_i"]);
    assert_eq!(it.catalog.times().len(), 1);
    it.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_report_that_failed_may_have_arrived_so_what_was_told_before_is_told_again() {
    let it = It::start(vec![service("web", vec![check("/a", 1, 1)])]);
    it.web.set("/a", true);
    pass(10).await;
    it.web.set("/a", false);
    it.catalog.is_broken.store(true, Ordering::Relaxed);
    pass(500).await;
    it.web.set("/a", true);
    it.catalog.is_broken.store(false, Ordering::Relaxed);
    pass(500).await;
    assert_eq!(it.catalog.times(), [(0, true), (1000, true)]);
    it.stop().await;
}

#[tokio::test(start_paused = true)]
async fn failures_count_in_a_row_only() {
    let it = It::start(vec![service("web", vec![check("/a", 1, 1)])]);
    it.web.set("/a", true);
    pass(10).await;
    for is_up in [false, true, false, true] {
        it.catalog.is_broken.store(true, Ordering::Relaxed);
        it.web.set("/a", is_up);
        pass(9 * 500).await;
        it.catalog.is_broken.store(false, Ordering::Relaxed);
        pass(500).await;
    }
    // It never began anew: not a round is missing.
    assert_eq!(it.catalog.pings.load(Ordering::Relaxed), 41);
    it.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_is_touched_while_it_works() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heartbeat");
    std::fs::write(&path, "kept").unwrap();
    let old = std::time::UNIX_EPOCH + Duration::from_secs(1);
    let age = || std::fs::File::options().append(true).open(&path).unwrap().set_modified(old).unwrap();
    age();
    let with_path = Settings { heartbeat_path: Some(path.clone()), ..settings(vec![]) };
    let it = It::start_with(with_path, Catalog::new(), Web::default());
    for _ in 0..3 {
        // The clock of files is a real one, and so is the thread that touches it.
        let touched =
            || async { lobby_testkit::expect(std::fs::metadata(&path).unwrap().modified().unwrap() > old, "untouched") };
        lobby_testkit::eventually_async(Duration::from_secs(10), touched).await;
        age();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
    it.stop().await;
}
