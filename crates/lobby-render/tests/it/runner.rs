//! The runner beside a source that says what a test tells it to: what is rendered when, which commands are run, how it ends.
//! Not here: what functions print, and how one file is replaced.

mod commands;
mod items;
mod log;
mod modes;
mod passes;
mod stagger;
mod timers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lobby_render::command::Surroundings;
use lobby_render::manifest::Lists;
use lobby_render::query::Query;
use lobby_render::runner::{Environment, Shown, Stats};
use lobby_render::settings::{CommandSettings, Env, ExecSettings, TemplateSettings, TemplateSource};
use lobby_render::source::News;
use lobby_render::{Answer, End, Order, RunError, Runner, Settings, Source};
use lobby_testkit::{TempDir, eventually_async, expect};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Longest that anything takes on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A source that answers what a test tells it to.
#[derive(Debug, Clone, Default)]
struct Script(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    answers: HashMap<Query, Answer>,
    watchers: HashMap<Query, mpsc::Sender<News>>,
    /// How often each was asked.
    asked: HashMap<Query, u32>,
}

impl Source for Script {
    async fn watch(&self, query: Query, news: mpsc::Sender<News>) {
        let _given_up = GivenUp(self.clone(), query.clone());
        let answer = {
            let mut told = self.0.lock().unwrap();
            *told.asked.entry(query.clone()).or_default() += 1;
            told.watchers.insert(query.clone(), news.clone());
            told.answers.get(&query).cloned()
        };
        if let Some(answer) = answer {
            news.send(News::Answer(query, answer)).await.unwrap();
        }
        std::future::pending::<()>().await;
    }
}

struct GivenUp(Script, Query);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().watchers.remove(&self.1);
    }
}

impl Script {
    fn say(&self, query: Query, answer: Answer) {
        self.0.lock().unwrap().answers.insert(query.clone(), answer.clone());
        self.tell(News::Answer(query, answer));
    }

    fn key(&self, path: &str, value: &str) {
        self.say(key(path), text(value));
    }

    /// To the runner, if it asks.
    fn tell(&self, news: News) {
        let (News::Answer(query, _) | News::Trouble { query, .. } | News::Failed { query, .. }) = &news;
        if let Some(watcher) = self.0.lock().unwrap().watchers.get(query) {
            watcher.try_send(news).unwrap();
        }
    }

    fn watched(&self) -> BTreeSet<Query> {
        self.0.lock().unwrap().watchers.keys().cloned().collect()
    }

    fn asked(&self, query: &Query) -> u32 {
        self.0.lock().unwrap().asked.get(query).copied().unwrap_or_default()
    }

    async fn until_watched(&self, queries: impl IntoIterator<Item = Query>) {
        let want: BTreeSet<_> = queries.into_iter().collect();
        until(|| self.watched() == want, || self.watched()).await;
    }
}

fn key(path: &str) -> Query {
    Query::Key { path: path.into(), datacenter: None }
}

fn text(value: &str) -> Answer {
    Answer::Key(Some(value.as_bytes().into()))
}

async fn until<S: std::fmt::Debug>(mut holds: impl FnMut() -> bool, seen: impl Fn() -> S) {
    eventually_async(SOON, || std::future::ready(expect(holds(), seen()))).await;
}

/// A folder, what a runner is to do with its files, and what it is told.
struct Stage {
    folder: TempDir,
    settings: Settings,
    environment: Environment,
    script: Script,
}

/// A runner that runs.
struct Run {
    orders: mpsc::Sender<Order>,
    stats: Arc<Stats>,
    task: JoinHandle<Result<End, RunError>>,
}

impl Stage {
    fn new() -> Self {
        let settings =
            Settings { templates: Vec::new(), exec: None, wait: None, once: false, dry: false, rate: 0, stagger: None };
        let environment = Environment {
            around: Surroundings::default(),
            variables: Arc::new(BTreeMap::new()),
            node: "me".into(),
            keep_going: false,
            lookups_must_succeed: false,
            lists: Lists::default(),
            clock,
            show: |shown| {
                lock(&SHOWN).push(match shown {
                    Shown::Text(path, bytes) => (path.to_owned(), String::from_utf8(bytes.to_vec()).unwrap()),
                    Shown::Owner(path, change) => (path.to_owned(), format!("({change})")),
                    Shown::Gone(path) => (path.to_owned(), "(gone)".into()),
                })
            },
        };
        Self { folder: TempDir::new().unwrap(), settings, environment, script: Script::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds a template for a file of the folder.
    fn template(&mut self, contents: &str, name: &str) -> &mut TemplateSettings {
        let settings = TemplateSettings::new(TemplateSource::Contents(contents.into()), self.path(name));
        self.settings.templates.push(settings);
        self.settings.templates.last_mut().unwrap()
    }

    /// A text for the shell, with FOLDER in it; it is waited for until it ends.
    fn command(&self, text: &str) -> Option<CommandSettings> {
        Some(CommandSettings { argv: vec![self.with_folder(text)], timeout: Duration::MAX, env: Env::default() })
    }

    fn exec(&mut self, text: &str) -> &mut ExecSettings {
        let argv = vec!["sh".into(), "-c".into(), self.with_folder(text)];
        let (env, reload_signal, kill_signal) = (Env::default(), None, 15);
        let (kill_timeout, splay) = (SOON, Duration::ZERO);
        self.settings.exec.insert(ExecSettings { argv, env, reload_signal, kill_signal, kill_timeout, splay })
    }

    fn with_folder(&self, text: &str) -> String {
        text.replace("FOLDER", self.folder.path().to_str().unwrap())
    }

    fn runner(&self) -> (Result<Runner<Script>, RunError>, mpsc::Sender<Order>) {
        let (orders, receiver) = mpsc::channel(4);
        (Runner::new(self.settings.clone(), self.environment.clone(), self.script.clone(), receiver), orders)
    }

    fn start(&self) -> Run {
        let (runner, orders) = self.runner();
        let runner = runner.unwrap();
        Run { orders, stats: runner.stats(), task: tokio::spawn(runner.run()) }
    }

    /// Starts it, and waits for its end.
    async fn run(&self) -> Result<End, RunError> {
        self.start().end().await
    }

    /// What a file holds; empty if there is none.
    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    async fn until_file(&self, name: &str, want: &str) {
        until(|| self.file(name) == want, || self.file(name)).await;
    }

    /// Waits until the commands of all files were run, and that is noted.
    async fn until_settled(&self) {
        until(|| !self.names().iter().any(|name| name.starts_with('.')), || self.names()).await;
    }

    /// All files of the folder, also hidden ones.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Run {
    async fn end(self) -> Result<End, RunError> {
        until(|| self.task.is_finished(), || "it goes on").await;
        self.task.await.unwrap()
    }

    async fn stop(self) {
        self.orders.send(Order::Stop).await.unwrap();
        assert!(matches!(self.end().await, Ok(End::Stopped)));
    }
}

/// What dry runs showed, of all tests.
static SHOWN: Mutex<Vec<(PathBuf, String)>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

thread_local! {
    static BEGAN: tokio::time::Instant = tokio::time::Instant::now();
}

/// A time of day that goes with the clock of the test, which has one thread.
fn clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000_000) + BEGAN.with(tokio::time::Instant::elapsed)
}
