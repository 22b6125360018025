//! Handlers with real commands over a catalog, an event log and a queue of queries that the test holds.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use lobby_core::{
    catalog::{Catalog, ExchangeSpec, Liveness, Snapshot},
    id::{ExchangeId, Generation, NodeId, Origin, Revision},
    local::LocalRecord,
    port::{Gone, LinkState, PeerEvent, gossip::IncomingQuery},
    record::{Record, meta},
    time::Moment,
};
use lobby_testkit::{eventually_async, expect};
use tokio::task::JoinSet;

use super::*;

mod applied;
mod gossip;

const NET: ExchangeId = ExchangeId(0);
const HOUR: Duration = Duration::from_secs(3600);

/// For broken programs and slow machines only.
const SOON: Duration = Duration::from_secs(20);

/// Everything around the handlers.
struct Scene {
    folder: tempfile::TempDir,
    catalog: Catalog,
    clock: Clock,
    snapshots: watch::Sender<Arc<Snapshot>>,
    log: watch::Sender<EventLog>,
    queries: mpsc::Sender<IncomingQuery>,
    context: Context,
    tasks: JoinSet<()>,
    stop: CancellationToken,
    versions: BTreeMap<u8, LocalRecord>,
    desk: Option<(Desk, mpsc::Receiver<IncomingQuery>)>,
}

fn origin(n: u8) -> Origin {
    Origin::Node(NodeId::from_bytes([n; 16]))
}

fn local(n: u8, name: &str, labels: &[&str]) -> LocalRecord {
    let mut local = LocalRecord::new(NodeId::from_bytes([n; 16]), Generation(1), name.parse().unwrap());
    local.set_labels(labels.iter().map(|label| label.parse().unwrap()));
    local.set_meta(meta::ADDRESSES, &format!("192.0.2.{n}"));
    local.commit(Moment::ZERO);
    local
}

/// Waits for a condition that is due.
async fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    eventually_async(SOON, || std::future::ready(condition().ok_or(what))).await
}

impl Scene {
    /// A catalog that knows ourselves and is warm.
    fn new() -> Self {
        let mut scene = Self::cold();
        scene.apply(PeerEvent::Warm);
        scene
    }

    fn cold() -> Self {
        let clock = Clock::start();
        let own = local(0, "own", &["role:lb", "zone:eu", "service:a", "service:b", "weird-key.x:1", "plain"]);
        let spec = ExchangeSpec { name: "net".into(), liveness: Liveness::Reported };
        let mut catalog = Catalog::new(Revision(1), [spec], own.record().clone(), true, HOUR, clock.now());
        catalog.apply(NET, PeerEvent::Link(LinkState::Up), clock.now());
        let (snapshots, seen) = watch::channel(catalog.poll_snapshot().unwrap());
        let (log, logged) = watch::channel(EventLog::default());
        let (queries, asked) = mpsc::channel(64);
        let stats = Arc::new(AgentStats::default());
        let slots = Arc::new(Semaphore::new(CONCURRENCY));
        let desk = Some((Desk::new(CatalogReader::new(seen.clone()), clock, stats.clone()), asked));
        let context = Context { reader: CatalogReader::new(seen), log: logged, clock, stats, slots };
        let (tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let folder = tempfile::tempdir().unwrap();
        let versions = BTreeMap::new();
        Self { folder, catalog, clock, snapshots, log, queries, context, tasks, stop, versions, desk }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// A handler that runs a shell script in the scene's folder.
    fn handler(&self, specs: &str, script: &str) -> Handler {
        let mut handler: Handler = format!("{specs}=sh").parse().unwrap();
        let script = format!("cd {} || exit 9\n{script}", self.folder.path().display());
        handler.command.extend(["-c".to_owned(), script]);
        handler
    }

    fn start(&mut self, handler: Handler) {
        let (desk, _) = self.desk.as_mut().unwrap();
        let queries = desk.open(&handler);
        self.tasks.spawn(handler.follow(self.context.clone(), queries, self.stop.clone()));
    }

    /// After the last handler.
    fn serve_queries(&mut self) {
        let (desk, queries) = self.desk.take().unwrap();
        self.tasks.spawn(desk.serve(queries, self.stop.clone()));
    }

    fn apply(&mut self, event: PeerEvent) {
        self.catalog.apply(NET, event, self.clock.now());
        if let Some(snapshot) = self.catalog.poll_snapshot() {
            self.snapshots.send_replace(snapshot);
        }
    }

    fn hear(&mut self, record: Arc<Record>) {
        let origin = record.origin.clone();
        self.apply(PeerEvent::Record(record));
        self.apply(PeerEvent::Seen(origin, Duration::ZERO));
    }

    /// A node joins, or gets these labels.
    fn member(&mut self, n: u8, labels: &[&str]) {
        let name = format!("n{n}");
        let local = self.versions.entry(n).or_insert_with(|| local(n, &name, &[]));
        local.set_labels(labels.iter().map(|label| label.parse().unwrap()));
        local.commit(Moment::ZERO);
        let record = local.record().clone();
        self.hear(record);
    }

    fn fail(&mut self, n: u8) {
        self.apply(PeerEvent::Gone(origin(n), Gone::Failed));
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap_or_default()
    }

    /// Waits until the file has this content.
    async fn reads(&self, file: &str, want: &str) {
        let look = || {
            let content = self.read(file);
            std::future::ready(expect(content == want, format!("{file}: wanted {want:?}, got {content:?}")))
        };
        eventually_async(SOON, look).await;
    }

    async fn counts(&self, counter: impl Fn(&AgentStats) -> &AtomicU64, want: u64) {
        let reached = || (counter(&self.context.stats).load(Ordering::Relaxed) == want).then_some(());
        eventually(&format!("{want} in {:?}", self.context.stats), reached).await;
    }

    fn touch(&self, file: &str) {
        std::fs::write(self.path(file), "").unwrap();
    }
}

/// Appends event and member names to a file, in one line.
const NOTE: &str = "echo $LOBBY_EVENT $LOBBY_SERVICE $(cut -f1) >> out";

/// The same, and then holds until `go` is there.
const NOTE_AND_HOLD: &str = "echo $LOBBY_EVENT $LOBBY_SERVICE $(cut -f1) >> out
    while ! test -e go; do sleep 0.01; done";

#[tokio::test]
async fn a_busy_handler_gets_the_latest_state_in_order_and_no_more() {
    let mut scene = Scene::new();
    scene.member(1, &[]);
    scene.start(scene.handler("member-*", NOTE_AND_HOLD));
    scene.reads("out", "member-join own n1\n").await;
    scene.member(2, &[]);
    scene.fail(2);
    scene.member(3, &["x:1"]);
    scene.member(3, &["x:2"]);
    scene.member(4, &[]);
    scene.fail(1);
    scene.touch("go");
    scene.reads("out", "member-join own n1\nmember-failed n1\nmember-join n3 n4\n").await;
    scene.member(3, &["x:3"]);
    scene.reads("out", "member-join own n1\nmember-failed n1\nmember-join n3 n4\nmember-update n3\n").await;
    scene.counts(|stats| &stats.handlers_succeeded, 4).await;
}

#[tokio::test]
async fn services_have_a_run_each() {
    let mut scene = Scene::new();
    scene.start(scene.handler("service-*", NOTE));
    scene.reads("out", "service-up a own\nservice-up b own\n").await;
    std::fs::remove_file(scene.path("out")).unwrap();
    scene.member(1, &["service:web", "service:web:port:80"]);
    scene.reads("out", "service-up web n1\n").await;
    scene.member(1, &["service:web"]);
    scene.reads("out", "service-up web n1\nservice-update web n1\n").await;
    scene.fail(1);
    scene.reads("out", "service-up web n1\nservice-update web n1\nservice-down web n1\n").await;
}

#[tokio::test]
async fn a_script_written_for_serf_finds_what_it_knows() {
    let mut scene = Scene::new();
    scene.start(
        scene.handler(
            "member-join",
            "env | grep -E '^(SERF|LOBBY)_(EVENT|SELF|TAG|LABEL)' | sort > env; cat > in.new; mv in.new in",
        ),
    );
    scene.reads("in", "own\t192.0.2.0\tlb\tplain=,role=lb,service=a,service=b,weird-key.x=1,zone=eu\n").await;
    let id = NodeId::from_bytes([0; 16]);
    let want: String = ["LOBBY", "SERF"]
        .map(|brand| {
            let (label, ours) = if brand == "LOBBY" { ("LABEL", true) } else { ("TAG", false) };
            let own_id = if ours { format!("LOBBY_SELF_ID={id}\n") } else { String::new() };
            let mut lines = format!("{brand}_EVENT=member-join\n");
            let values = [("PLAIN", ""), ("ROLE", "lb"), ("SERVICE", "a,b"), ("WEIRD_KEY_X", "1"), ("ZONE", "eu")];
            let tags: String = values.iter().map(|(key, value)| format!("{brand}_{label}_{key}={value}\n")).collect();
            let own = format!("{own_id}{brand}_SELF_NAME=own\n{brand}_SELF_ROLE=lb\n");
            lines += &if ours { tags + &own } else { own + &tags };
            lines
        })
        .concat();
    scene.reads("env", &want).await;
    scene.member(1, &["role:web", "role:web2"]);
    scene.reads("in", "n1\t192.0.2.1\tweb\trole=web,role=web2\n").await;
}

#[tokio::test]
async fn labels_that_do_not_fit_into_variables_are_left_out_and_the_command_still_starts() {
    let mut scene = Scene::new();
    let labels: Vec<String> = (0..400).map(|n| format!("key{n:03}:{}", "x".repeat(1000))).collect();
    let own = local(0, "own", &labels.iter().map(String::as_str).collect::<Vec<_>>());
    scene.catalog.set_local(own.record().clone());
    scene.apply(PeerEvent::Suspect(origin(9)));
    scene.start(scene.handler("member-join", "env | grep -c ^LOBBY_LABEL_KEY > n"));
    scene.reads("n", &format!("{}\n", 64 * 1024 / 1006)).await;
}

#[tokio::test]
async fn nothing_runs_for_states_before_the_picture_is_complete() {
    let mut scene = Scene::cold();
    scene.start(scene.handler("member-*", NOTE));
    scene.start(scene.handler("user", "echo user >> twin"));
    scene.member(1, &[]);
    scene.log.send_modify(|log| gossip::push(log, "x", b"", false));
    scene.reads("twin", "user\n").await;
    assert_eq!(scene.read("out"), "");
    scene.apply(PeerEvent::Warm);
    scene.reads("out", "member-join own n1\n").await;
}

#[tokio::test]
async fn a_handler_waits_for_its_first_delay_and_its_cooldown() {
    let mut scene = Scene::new();
    let script = |name: &str| format!("echo run >> {name}");
    scene.start(Handler { first_delay: HOUR, ..scene.handler("member-*", &script("late")) });
    scene.start(Handler { cooldown: HOUR, ..scene.handler("member-*", &script("rare")) });
    scene.start(scene.handler("member-*", &script("eager")));
    scene.reads("rare", "run\n").await;
    for n in 1..4 {
        scene.member(n, &[]);
        // Whoever could run again would have done so before the third of these.
        scene.reads("eager", &"run\n".repeat(usize::from(n) + 1)).await;
    }
    assert_eq!((scene.read("late"), scene.read("rare")), (String::new(), "run\n".into()));
}

#[tokio::test]
async fn so_many_commands_run_at_the_same_time_and_no_more() {
    let mut scene = Scene::new();
    scene.context.slots = Arc::new(Semaphore::new(2));
    for _ in 0..5 {
        let script = "touch running.$$; ls | grep -c '^running' >> seen
            while ! test -e go; do sleep 0.01; done; rm running.$$";
        scene.start(scene.handler("member-join", script));
    }
    eventually("two run", || (scene.read("seen").lines().count() == 2).then_some(())).await;
    assert_eq!(scene.context.slots.available_permits(), 0);
    scene.touch("go");
    scene.counts(|stats| &stats.handlers_succeeded, 5).await;
    assert!(scene.read("seen").lines().all(|line| matches!(line, "1" | "2")), "{}", scene.read("seen"));
}

#[tokio::test]
async fn failures_and_deadlines_are_counted_and_end_nothing() {
    let mut scene = Scene::new();
    scene.start(scene.handler("member-join", "exit 3"));
    scene.start(Handler { timeout: Duration::from_millis(20), ..scene.handler("member-join", "sleep 30") });
    scene.counts(|stats| &stats.handlers_failed, 1).await;
    scene.counts(|stats| &stats.handlers_timed_out, 1).await;
    scene.member(1, &[]);
    scene.counts(|stats| &stats.handlers_failed, 2).await;
    scene.counts(|stats| &stats.handlers_timed_out, 2).await;
}

#[tokio::test]
async fn a_stop_kills_what_runs() {
    let mut scene = Scene::new();
    scene.start(scene.handler("member-join", "echo $$ > pid; sleep 60; echo survived > out"));
    let pid = eventually("it runs", || scene.read("pid").trim().parse::<u32>().ok()).await;
    scene.stop.cancel();
    while scene.tasks.join_next().await.is_some() {}
    let is_over = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    };
    eventually("it is dead", is_over).await;
}
