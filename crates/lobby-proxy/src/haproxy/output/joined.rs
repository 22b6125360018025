//! The real text and the real sockets behind the task. Decides how several processes are one HAProxy: each is mended, and all
//! must answer.

use std::{collections::BTreeMap, future::Future, path::PathBuf, sync::Arc, time::Duration};

use lobby_render::command::Surroundings;
use tokio::{sync::watch, time::Instant};

use super::{Parts, Process, Reconciled, memory::SAME, run_with, unix_now};
use crate::{
    Backend, Picture, Settings,
    backend::Known,
    haproxy::{
        self, Layout,
        act::act,
        ids::{Ids, Remembered},
        plan::{Memory, Plan, own_frontends, plan},
        reload::Pace,
        socket::{Ask as _, Socket, SocketError, read},
        state::{Admin, Running},
        statefile::{Saved, SavedServer},
        stats::{BackendStatus, Stats},
        text::{self, old::own_name},
        version::Version,
    },
    settings::Haproxy,
};

#[cfg(test)]
mod tests;

/// Keeps the HAProxy of `settings` in step until `stop` is there. HAProxy goes on.
pub async fn run(
    settings: Arc<Settings>,
    picture: watch::Receiver<Picture>,
    around: Surroundings,
    stats: Arc<Stats>,
    stop: impl Future<Output = ()> + Send,
) {
    run_after(settings, picture, around, stats, Pace::default(), stop).await;
}

/// The same, after one that had the same `pace`.
pub async fn run_after(
    settings: Arc<Settings>,
    picture: watch::Receiver<Picture>,
    around: Surroundings,
    stats: Arc<Stats>,
    pace: Pace,
    stop: impl Future<Output = ()> + Send,
) {
    let Some(haproxy) = &settings.haproxy else { return };
    let parts = Joined::new(haproxy);
    run_with(parts, settings, picture, around, stats, pace, stop).await;
}

pub(super) struct Joined {
    ids: Ids,
    ttl: Duration,
    haproxy: Haproxy,
    processes: Vec<OneProcess>,
    /// A process that starts has these, if the file is ours: those of the last text that was found in it.
    lines: Option<Vec<haproxy::Backend>>,
    /// The last turn's text and its lines, until that is in the file.
    next: Option<(String, Vec<haproxy::Backend>)>,
    /// Where we write it.
    file: Option<PathBuf>,
    seen: Option<Seen>,
}

/// The process that answered last.
#[derive(Debug, Clone, Copy)]
struct Seen {
    process: Process,
    /// In seconds.
    uptime: u64,
    at: Instant,
}

/// One process, and what it was told.
struct OneProcess {
    socket: Socket,
    memory: Memory,
    pid: u32,
}

impl Joined {
    pub(super) fn new(haproxy: &Haproxy) -> Self {
        let process = |path| OneProcess { socket: Socket::new(path), memory: Memory::default(), pid: 0 };
        Self {
            ids: Ids::default(),
            ttl: haproxy.state_file_ttl,
            haproxy: haproxy.clone(),
            processes: haproxy.sockets.iter().map(process).collect(),
            lines: None,
            next: None,
            file: haproxy.config_file_path.clone().filter(|_| haproxy.do_writes),
            seen: None,
        }
    }

    fn first(&self) -> Result<&Socket, String> {
        self.processes.first().map(|process| &process.socket).ok_or_else(|| "no socket is configured".to_owned())
    }
}

impl OneProcess {
    /// Reads, plans and acts once.
    async fn mend(
        &mut self,
        wanted: &Layout,
        lines: Option<&[haproxy::Backend]>,
        haproxy: &Haproxy,
    ) -> Result<Reconciled, SocketError> {
        let running = read(&self.socket).await?;
        if running.pid != self.pid {
            self.memory = match lines {
                Some(lines) if self.pid != 0 => Memory::started_with(running.pid, lines),
                _ => Memory::default(),
            };
            self.pid = running.pid;
        }
        let now = Instant::now().into_std();
        let plan = planned(wanted, &running, &self.memory, now, haproxy);
        let acted = act(&self.socket, &plan, &mut self.memory, now).await;
        let again = acted.again(now);
        if let Some(trouble) = acted.trouble {
            return Err(trouble);
        }
        let mut reconciled = Reconciled {
            version: Some(running.version),
            n_failed: acted.failed.len().saturating_sub(plan.reload.len()) as u64,
            reload: acted.failed.iter().map(|reload| (reload.why.label().to_owned(), reload.to_string())).collect(),
            backends: wanted.backends.iter().map(|backend| (backend.name.clone(), status(backend, &running))).collect(),
            again,
            ..Reconciled::default()
        };
        for action in &acted.done {
            *reconciled.done.entry(action.kind().as_str().to_owned()).or_default() += 1;
        }
        for waiting in &acted.waiting {
            reconciled.backends.entry(waiting.key.0.clone()).or_default().draining += 1;
        }
        Ok(reconciled)
    }
}

fn planned(wanted: &Layout, running: &Running, memory: &Memory, now: std::time::Instant, haproxy: &Haproxy) -> Plan {
    let mut plan = plan(&wanted.backends, running, memory, now, haproxy.drain);
    plan.open(&own_frontends(&wanted.skeleton, haproxy), running);
    plan
}

fn status(backend: &haproxy::Backend, running: &Running) -> BackendStatus {
    let servers = running.backends.get(&backend.name);
    let wanted = || backend.servers.iter().filter(|server| !server.is_disabled);
    let is_up = |name: &str| servers.and_then(|servers| servers.get(name)).is_some_and(|server| server.is_usable());
    let up = wanted().filter(|server| is_up(&server.name)).count();
    BackendStatus { wanted: wanted().count() as u64, up: up as u64, ..BackendStatus::default() }
}

impl Parts for Joined {
    fn restore(&mut self, saved: Saved) {
        for (service, servers) in saved.services {
            for (name, SavedServer { backend, haproxy_id, seen, is_listed }) in servers {
                self.ids.restore(&service, &name, Remembered { backend, id: haproxy_id, seen, is_listed });
            }
        }
    }

    fn saved(&self) -> Saved {
        let server = |server: &Remembered| SavedServer {
            backend: server.backend.clone(),
            haproxy_id: server.id,
            seen: server.seen,
            is_listed: server.is_listed,
        };
        let services = self.ids.services().map(|(service, servers)| {
            (service.to_owned(), servers.iter().map(|(name, remembered)| (name.clone(), server(remembered))).collect())
        });
        Saved { services: services.collect() }
    }

    fn layout(&mut self, settings: &Settings, picture: &[Known], version: Option<Version>, now: u64) -> Layout {
        self.ids.forget(now, self.ttl);
        text::layout(settings, picture, version, &mut self.ids)
    }

    async fn version(&mut self) -> Option<Version> {
        let info = self.first().ok()?.ask("show info").await.ok()?;
        Version::from_info(&info)
    }

    async fn servers(&mut self) -> BTreeMap<String, BTreeMap<String, Backend>> {
        let Ok(socket) = self.first() else { return BTreeMap::new() };
        let Ok(running) = read(socket).await else { return BTreeMap::new() };
        let backends = running.backends.into_iter().map(|(backend, servers)| {
            let servers = servers.into_iter().filter(|(_, server)| server.admin != Admin::Maint);
            let servers = servers.filter_map(|(name, server)| {
                let host = server.fqdn.or_else(|| Some(server.address?.to_string()))?;
                let backend = Backend {
                    name: own_name(&name, &host, server.port),
                    host,
                    port: Some(server.port).filter(|port| *port != 0)?,
                    weight: Some(server.weight).filter(|weight| *weight != 1),
                    is_backup: server.is_backup,
                    is_draining: server.admin == Admin::Drain,
                    ..Backend::default()
                };
                Some((name, backend))
            });
            (backend, servers.collect())
        });
        backends.collect()
    }

    async fn reconcile(&mut self, wanted: &Layout) -> Result<Reconciled, String> {
        self.note_lines(&wanted.text).await;
        let info = self.first()?.ask("show info").await.map_err(|err| told(&err))?;
        self.seen = Seen::of(&info, self.seen, Instant::now());
        let process = self.seen.map(|seen| seen.process);
        let mut all = Reconciled { process, ..Reconciled::default() };
        let mut trouble = None;
        for process in &mut self.processes {
            match process.mend(wanted, self.lines.as_deref(), &self.haproxy).await {
                Ok(one) => add(&mut all, one),
                Err(err) => trouble = Some(told(&err)),
            }
        }
        let is_next = self.next.as_ref().is_some_and(|(text, _)| *text == wanted.text);
        if self.file.is_some() && !is_next && self.lines.as_ref() != Some(&wanted.backends) {
            self.next = Some((wanted.text.clone(), wanted.backends.clone()));
        }
        trouble.map_or(Ok(all), Err)
    }

    async fn servers_state(&mut self) -> Result<String, String> {
        self.first()?.ask("show servers state").await.map_err(|err| told(&err))
    }
}

impl Joined {
    /// The file is written while the socket is at work, or refused: what is in it counts. `wanted`: what follows, which may
    /// have come in its place already.
    async fn note_lines(&mut self, wanted: &str) {
        let (Some(file), Some((text, _))) = (&self.file, &self.next) else { return };
        if tokio::fs::read(file).await.is_ok_and(|there| [text, wanted].map(str::as_bytes).contains(&&*there)) {
            self.lines = self.next.take().map(|(_, lines)| lines);
        }
    }

    /// What each process would be told, by its socket.
    pub(super) async fn plans(&self, wanted: &Layout) -> Vec<(PathBuf, Result<Plan, String>)> {
        let mut plans = Vec::new();
        for process in &self.processes {
            let running = read(&process.socket).await.map_err(|err| told(&err));
            let now = Instant::now().into_std();
            let plan = running.map(|running| planned(wanted, &running, &process.memory, now, &self.haproxy));
            plans.push((process.socket.path().to_owned(), plan));
        }
        plans
    }

    /// Which process answers first.
    pub(super) async fn process(&self) -> Option<Process> {
        let info = self.first().ok()?.ask("show info").await.ok()?;
        Seen::of(&info, None, Instant::now()).map(|seen| seen.process)
    }
}

impl Seen {
    /// One that has grown older as the monotonic clock says is the same one, wherever the wall clock was set to meanwhile.
    fn of(info: &str, last: Option<Self>, now: Instant) -> Option<Self> {
        let number = |key: &str| info.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
        let (pid, uptime) = (u32::try_from(number("Pid:")?).ok()?, number("Uptime_sec:")?);
        let is_same = |last: &Self| {
            let elapsed = now.duration_since(last.at).as_secs();
            last.process.pid == pid && uptime >= last.uptime && (uptime - last.uptime).abs_diff(elapsed) <= SAME
        };
        let process = last.filter(is_same).map(|last| last.process);
        let process = process.unwrap_or_else(|| Process { pid, started: unix_now().saturating_sub(uptime) });
        Some(Self { process, uptime, at: now })
    }
}

/// Another process of the same HAProxy.
fn add(all: &mut Reconciled, one: Reconciled) {
    all.version = one.version;
    all.n_failed += one.n_failed;
    one.done.into_iter().for_each(|(kind, n)| *all.done.entry(kind).or_default() += n);
    all.reload.extend(one.reload);
    // They have the same servers: the last one's word counts.
    all.backends.extend(one.backends);
    all.again = [all.again, one.again].into_iter().flatten().min();
}

fn told(err: &SocketError) -> String {
    let cause = std::error::Error::source(err).map(|cause| format!(": {cause}"));
    format!("{err}{}", cause.unwrap_or_default())
}
