//! Keeps the files of `[[template]]` blocks in step with the catalog while the agent runs.
//!
//! ```text
//! configuration (watch: start, reload) ─► one runner at a time ─► files, commands;  its counts ─► /metrics
//!                                             ▲ questions, answered by our own API in process
//! ```
//! Nothing that a template does ends the agent. Files stay as they are when it stops.
//! Not here: what a runner does (`lobby_render`), what is configured (`config::template`).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use lobby_core::stats::TemplateCounts;
use lobby_http::{Handles, Inside, InsideError};
use lobby_render::{
    Order, Runner,
    command::Surroundings,
    manifest::Lists,
    runner::{Environment, Stats},
    source::{BODY_BYTES, Consul, Files, Folder, Options, Patient, Reply, Retry, Sources, Transport, TransportError},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::config::template::{Templates, with_causes};

/// How long a runner may take to stop: it may be evaluating a template that waits for a program. What is cut off then leaves
/// each file as it was or as it is to be.
const STOP: Duration = Duration::from_secs(2);

/// What the agent is to its templates.
pub(crate) struct Agent {
    pub(crate) cluster: String,
    pub(crate) handles: Handles,
    /// The node id.
    pub(crate) node: String,
    pub(crate) around: Surroundings,
    pub(crate) counts: Arc<Counts>,
}

/// The task that renders.
pub(crate) struct Renderer {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Renderer {
    /// Returns when no file is written and no command is started any more.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if let Err(err) = self.task.await {
            tracing::error!("the templates ended badly: {err}");
        }
    }
}

/// Renders what is wanted, now and whenever that is told again.
pub(crate) fn start(wanted: watch::Receiver<Templates>, agent: Agent) -> Renderer {
    let stop = CancellationToken::new();
    Renderer { task: tokio::spawn(follow(wanted, agent, stop.clone())), stop }
}

/// What commands are given: how to reach us, none of our secrets, and the limit of open files that we were started with.
pub(crate) fn surroundings(https: bool, listener: SocketAddr) -> Surroundings {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let scheme = if https { "https" } else { "http" };
    let address = format!("{scheme}://{}", SocketAddr::new(ip, listener.port()));
    Surroundings {
        set: vec![("CONSUL_HTTP_ADDR".into(), address)],
        unset: lobby::secret_variables().collect(),
        started: Some(lobby::rlimit::restore),
    }
}

async fn follow(mut wanted: watch::Receiver<Templates>, agent: Agent, stop: CancellationToken) {
    let (mut inside, mut before) = (None, BTreeSet::new());
    loop {
        let templates = wanted.borrow_and_update().clone();
        let mut running = None;
        let lists = templates.lists(before);
        before = lists.before.union(&lists.known).cloned().collect();
        if templates.settings.templates.is_empty() {
            // Whoever is to clear them has nothing else to do; it ends badly only when the process ends.
            let _ = tokio::task::spawn_blocking(move || lists.clear(&BTreeSet::new())).await;
        } else {
            let inside = inside.get_or_insert_with(|| Inside::new(agent.cluster.clone(), agent.handles.clone()));
            running = run(&templates, lists, inside.clone(), &agent).await;
        }
        let goes_on = tokio::select! {
            changed = wanted.changed() => changed.is_ok(),
            () = stop.cancelled() => false,
        };
        if let Some(mut running) = running {
            if goes_on {
                tokio::select! {
                    () = running.finish() => {}
                    () = stop.cancelled() => {}
                }
            }
            running.stop().await;
        }
        if !goes_on {
            return;
        }
    }
}

/// A runner at work.
struct Running {
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

impl Running {
    /// Lets a command that runs end by itself: its files and the next configuration go together.
    async fn finish(&mut self) {
        // It may have ended by itself.
        let _ = self.orders.send(Order::Finish).await;
        let _ = (&mut self.task).await;
    }

    async fn stop(mut self) {
        if self.task.is_finished() {
            return;
        }
        // It may have ended by itself.
        let _ = self.orders.send(Order::Stop).await;
        if tokio::time::timeout(STOP, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

/// Starts a runner for the templates that are good.
async fn run(templates: &Templates, lists: Lists, inside: Inside, agent: &Agent) -> Option<Running> {
    let read = templates.clone();
    // Texts may be on a slow disk. It ends badly only when the process ends.
    let (settings, wrong) = tokio::task::spawn_blocking(move || read.usable()).await.ok()?;
    wrong.iter().for_each(|why| tracing::error!("{why}; it is left out until a reload"));
    let retry = Retry { attempts: 0, ..Retry::default() };
    let sources = Sources {
        keys: templates.keys.as_ref().map(Folder::new),
        files: Files,
        main: Consul::new(Own(inside), Options { retry, ..Options::default() }),
    };
    let environment = Environment {
        around: agent.around.clone(),
        variables: Arc::new(variables(&agent.around)),
        node: agent.node.clone(),
        keep_going: true,
        lookups_must_succeed: false,
        lists,
        clock: || SystemTime::UNIX_EPOCH + Duration::from_micros(lobby::clock::unix_micros()),
        show: |_| {},
    };
    let (orders, receiver) = mpsc::channel(1);
    let n_templates = settings.templates.len();
    let runner = match Runner::new(settings, environment, Patient(sources), receiver) {
        Ok(runner) => runner,
        Err(err) => {
            tracing::error!("no template is rendered until a reload: {}", with_causes(&err));
            return None;
        }
    };
    agent.counts.next(n_templates, runner.stats());
    tracing::info!(templates = n_templates, "files follow the catalog");
    let task = tokio::spawn(async move {
        if let Err(err) = runner.run().await {
            tracing::error!("no template is rendered until a reload: {}", with_causes(&err));
        }
    });
    Some(Running { orders, task })
}

/// The variables that templates see: ours without the secrets.
fn variables(around: &Surroundings) -> BTreeMap<String, String> {
    // A variable that is not text cannot be printed.
    let ours = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    ours.filter(|(name, _)| !around.unset.contains(name)).chain(around.set.clone()).collect()
}

/// What all runners since the start have counted. The lock is held for a few additions, by a reload and by readers of metrics.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<Tally>);

#[derive(Debug, Default)]
struct Tally {
    /// Of the runners before.
    before: TemplateCounts,
    now: Option<(usize, Arc<Stats>)>,
}

impl Counts {
    /// The runner that counts from here on.
    fn next(&self, n_templates: usize, stats: Arc<Stats>) {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tally.before = tally.sum();
        tally.now = Some((n_templates, stats));
    }

    /// The sum of all.
    pub(crate) fn read(&self) -> TemplateCounts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).sum()
    }
}

impl Tally {
    fn sum(&self) -> TemplateCounts {
        let Some((n_templates, stats)) = &self.now else { return self.before };
        TemplateCounts {
            templates: *n_templates as u64,
            waiting: stats.waiting.get(),
            evaluations: self.before.evaluations + stats.evaluations.get(),
            writes: self.before.writes + stats.writes.get(),
            commands: self.before.commands + stats.commands.get(),
            failures: self.before.failures + stats.failures.get(),
            roll_backs: self.before.roll_backs + stats.roll_backs.get(),
            delayed: self.before.delayed + stats.delayed.get(),
        }
    }
}

/// Our own API, without a socket.
#[derive(Debug)]
pub(crate) struct Own(pub(crate) Inside);

impl Transport for Own {
    async fn get(&self, path_and_query: &str, _: Duration) -> Result<Reply, TransportError> {
        let answered = self
            .0
            .get(path_and_query, BODY_BYTES)
            .await
            .map_err(|err| TransportError { message: err.to_string(), is_retryable: matches!(err, InsideError::TooLong(_)) })?;
        let header = |name: &str| answered.headers.get(name).and_then(|value| value.to_str().ok());
        let index = header("x-consul-index").and_then(|text| text.parse().ok());
        let warm = header("x-lobby-warm").map(|text| text == "true");
        Ok(Reply { status: answered.status.as_u16(), index, warm, last_contact: None, body: answered.body.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_an_address_that_works_and_no_secret() {
        for (https, listener, want) in [
            (false, "127.0.0.1:1313", "http://127.0.0.1:1313"),
            (false, "0.0.0.0:1313", "http://127.0.0.1:1313"),
            (true, "[::]:443", "https://[::1]:443"),
            (false, "10.0.0.1:80", "http://10.0.0.1:80"),
        ] {
            let around = surroundings(https, listener.parse().unwrap());
            assert_eq!(around.set, [("CONSUL_HTTP_ADDR".to_owned(), want.to_owned())]);
            for secret in ["TOKEN", "LOBBY_GOSSIP_KEY"] {
                assert!(around.unset.iter().any(|name| name == secret), "{:?}", around.unset);
            }
        }
    }
}
