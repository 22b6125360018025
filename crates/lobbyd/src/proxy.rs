//! Keeps the proxies of `[proxy]` in step with the catalog while the agent runs.
//!
//! ```text
//! configuration (watch: start, reload) ─► one proxy at a time ─► HAProxy, nginx, files;  its status ─► the API
//!                                             ▲ questions: our own API in process; others over HTTP
//! ```
//! Nothing that a proxy does ends the agent. A reload replaces it only if its settings have changed; what it kept in step
//! goes on as it is meanwhile, and when the agent stops.
//! Not here: what a proxy does (`lobby_proxy`), what is configured (`config::proxy`), a proxy without an agent (`alone`).

pub(crate) mod nerve;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lobby_core::{port::CatalogReader, stats::ProxyCounts};
use lobby_http::{Handles, Inside};
use lobby_proxy::{
    Proxy, Settings,
    fetch::{BODY_BYTES, Fetch, FetchError, Request, Response},
    haproxy::manage,
    nerve::{Agent as Registry, Report},
    run::{Observer, Status},
};
use lobby_render::{
    command::Surroundings,
    source::{Consul, Options, Reply, Retry, Transport, TransportError},
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{config::proxy::Proxies, template::Own};
use nerve::Nerve;

/// How long a proxy may take to stop: it may be waiting for a command. What is cut off then leaves each file as it was or as
/// it is to be.
pub(crate) const STOP: Duration = Duration::from_secs(2);

/// Before one that ended badly is started again: whatever it met may need a moment to pass.
const AGAIN: Duration = Duration::from_secs(1);

/// What is to be kept in step; None: nothing.
pub(crate) type Wanted = Option<Proxies>;

/// What the agent is to its proxies.
pub(crate) struct Agent {
    /// The cluster's name, and what our own API reaches.
    pub(crate) inside: (String, Handles),
    pub(crate) around: Surroundings,
    pub(crate) shown: Arc<Shown>,
}

/// Our own API, and what it does not tell: whether an exchange that was never complete has been given up.
struct Catalog(Own, CatalogReader);

impl Transport for Catalog {
    async fn get(&self, path_and_query: &str, wait: Duration) -> Result<Reply, TransportError> {
        self.0.get(path_and_query, wait).await
    }

    fn is_doubtful(&self) -> bool {
        self.1.snapshot().links.iter().any(|link| link.given_up)
    }
}

/// The proxy that runs, for whoever shows it, and the last one that ran.
#[derive(Debug, Default)]
pub(crate) struct Shown(Mutex<(Option<Observer>, Option<Observer>)>);

impl Shown {
    /// How it is; None: there is none.
    pub(crate) fn status(&self) -> Option<Status> {
        let observer = self.lock().0.clone();
        observer.map(|observer| observer.status())
    }

    /// What metrics show of it. What was counted stays while there is none.
    pub(crate) fn counts(&self) -> ProxyCounts {
        let (now, last) = self.lock().clone();
        let all = last.map(|last| counts(&last.counted())).unwrap_or_default();
        let now = now.map(|now| counts(&now.status())).unwrap_or_default();
        let ProxyCounts { services, unanswered, backends, outputs, .. } = now;
        ProxyCounts { services, unanswered, backends, outputs, ..all }
    }

    fn set(&self, observer: Option<Observer>) {
        let mut shown = self.lock();
        shown.1 = observer.clone().or(shown.1.take());
        shown.0 = observer;
    }

    /// The last that ran.
    fn last(&self) -> Option<Observer> {
        self.lock().1.clone()
    }

    fn lock(&self) -> MutexGuard<'_, (Option<Observer>, Option<Observer>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn counts(status: &Status) -> ProxyCounts {
    let unanswered = status.services.iter().filter(|service| service.backends.is_none()).count();
    let (services, unanswered) = (status.services.len() as u64, unanswered as u64);
    let mut counts = ProxyCounts { services, unanswered, ..ProxyCounts::default() };
    if let Some(haproxy) = &status.haproxy {
        haproxy.count(&mut counts);
    }
    if let Some(nginx) = &status.nginx {
        nginx.count(&mut counts);
    }
    if let Some(files) = &status.files {
        files.count(&mut counts);
    }
    counts
}

/// The task that keeps a proxy running.
pub(crate) struct Keeper {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Keeper {
    /// Returns when nothing is written and no command is started any more. HAProxy and nginx go on.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if let Err(err) = self.task.await {
            tracing::error!("the proxy ended badly: {err}");
        }
    }
}

/// Keeps in step what is wanted, now and whenever that is told again. The first proxy is shown when this returns.
pub(crate) fn start(mut wanted: watch::Receiver<Wanted>, agent: Agent) -> Keeper {
    let stop = CancellationToken::new();
    let now = wanted.borrow_and_update().clone();
    let proxy = begin(&now, &agent);
    Keeper { task: tokio::spawn(follow(wanted, now, proxy, agent, stop.clone())), stop }
}

async fn follow(
    mut wanted: watch::Receiver<Wanted>,
    mut now: Wanted,
    mut proxy: Option<Proxy>,
    agent: Agent,
    stop: CancellationToken,
) {
    let mut nerve = Nerve::new(Registry::report(agent.inside.1.registry.clone()));
    loop {
        let (settings, checks) = now.map(|now| (now.settings, now.nerve)).unzip();
        nerve.set(checks.flatten());
        let goes_on = tokio::select! {
            is_other = changed(&mut wanted, &settings, &mut nerve) => is_other,
            () = failed(&mut proxy) => true,
            () = stop.cancelled() => false,
        };
        if let Some(proxy) = proxy {
            end(proxy).await;
        }
        if !goes_on {
            return nerve.stop().await;
        }
        if let Some(settings) = &settings {
            let now = wanted.borrow().clone();
            give_up(settings, now.as_ref().map(|now| &*now.settings), &agent.around).await;
        }
        now = wanted.borrow_and_update().clone();
        proxy = begin(&now, &agent);
    }
}

/// Starts the proxy that is wanted, if one is, and shows it.
fn begin(wanted: &Wanted, agent: &Agent) -> Option<Proxy> {
    let proxy = wanted.as_ref().map(|wanted| proxy(wanted.settings.clone(), agent));
    agent.shown.set(proxy.as_ref().map(Proxy::observer));
    proxy
}

fn proxy(settings: Arc<Settings>, agent: &Agent) -> Proxy {
    let (cluster, handles) = agent.inside.clone();
    let retry = Retry { attempts: 0, ..Retry::default() };
    let reader = handles.reader.clone();
    let source = Consul::new(Catalog(Own(Inside::new(cluster, handles)), reader), Options { retry, ..Options::default() });
    tracing::info!(services = settings.services.len(), "a proxy follows the catalog");
    Proxy::start(settings, Http, source, &environment(), agent.around.clone(), agent.shown.last().as_ref())
}

/// Waits for other settings; false: there will be none, as the agent ends.
async fn changed<R: Report>(
    wanted: &mut watch::Receiver<Wanted>,
    settings: &Option<Arc<Settings>>,
    nerve: &mut Nerve<R>,
) -> bool {
    loop {
        if wanted.changed().await.is_err() {
            return false;
        }
        let (now, checks) = wanted.borrow_and_update().clone().map(|now| (now.settings, now.nerve)).unzip();
        nerve.set(checks.flatten());
        if now != *settings {
            return true;
        }
    }
}

/// Waits until it has ended by itself, and a moment more.
async fn failed(proxy: &mut Option<Proxy>) {
    let Some(proxy) = proxy else { return std::future::pending().await };
    let why = proxy.ended().await;
    tracing::error!("{why}; the proxy is started again");
    tokio::time::sleep(AGAIN).await;
}

/// Lets it finish what it does, for a while.
pub(crate) async fn end(proxy: Proxy) {
    if timeout(STOP, proxy.stop()).await.is_err() {
        tracing::warn!("the proxy was at work when it was stopped, and is cut off");
    }
}

/// An HAProxy that was ours to run, and of which nobody would know any more, ends when it has finished what it works on.
pub(crate) async fn give_up(before: &Settings, now: Option<&Settings>, around: &Surroundings) {
    let Some(old) = before.haproxy.as_ref().filter(|old| old.manage) else { return };
    let new = now.and_then(|now| now.haproxy.as_ref());
    // With the same file, but another master socket, `manage` replaces it without a gap.
    if new.is_none_or(|new| new.config_file_path != old.config_file_path) {
        manage::release(old, around).await;
    }
}

/// The variables that sources may look at.
pub(crate) fn environment() -> BTreeMap<String, String> {
    // What is not text can be no address and no key.
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// Others' HTTP, by the client of ours.
#[derive(Clone, Debug)]
pub(crate) struct Http;

impl Fetch for Http {
    async fn fetch(&self, request: Request) -> Result<Response, FetchError> {
        let Request { method, url, headers, body, unix_socket, timeout, is_insecure } = request;
        let most = BODY_BYTES;
        let request = lobby::fetch::Request { method, url, headers, body, unix_socket, is_insecure, timeout, most };
        let lobby::fetch::Response { status, headers, body } = lobby::fetch::fetch(request).await.map_err(FetchError)?;
        Ok(Response { status, headers, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_output_that_there_is_has_numbers() {
        let status = Status { haproxy: Some(Default::default()), ..Status::default() };
        let names = |status: &Status| counts(status).outputs.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(&status), ["haproxy"]);
        let nginx = lobby_proxy::nginx::Status { writes: 3, reloads: 2, is_in_step: true, ..Default::default() };
        let files =
            lobby_proxy::file_output::Status { writes: 7, is_in_step: true, unanswered: vec!["x".into()], ..Default::default() };
        let status = Status { nginx: Some(nginx), files: Some(files), ..status };
        assert_eq!(names(&status), ["haproxy", "nginx", "files"]);
        let outputs = counts(&status).outputs;
        assert_eq!((outputs[1].1.writes, outputs[1].1.reloads, outputs[1].1.is_in_step), (3, 2, true));
        assert_eq!((outputs[2].1.writes, outputs[2].1.is_in_step), (7, false), "one has no file yet");
    }
}
