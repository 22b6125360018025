//! Does what a plan says over the stats socket, and judges the answers.
//!
//! HAProxy has no status codes: adding and deleting are judged by its words, everything else has an empty answer when it is done.
//! One failure stops nothing but its own step; only a socket that does not answer ends it all. Nothing here waits longer than
//! `DELETES`, and at first for names of machines: what takes more is told to the caller, who reads and plans again.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use tokio::time::{Instant as Clock, sleep};

use self::names::Names;
use super::{
    Server,
    plan::{Action, DELETE_AGAIN, Key, Memory, Plan, Reload, Waiting, Why},
    socket::{Ask, SocketError},
    state::Admin,
};

/// For all deletes of a plan together: one retry after 10 ms is what they need as a rule while requests are in flight (measured for the
/// contract), so nothing else waits long.
const DELETES: Duration = Duration::from_millis(100);

/// The first pause before a delete is tried again; it doubles.
const DELETE_PAUSE: Duration = Duration::from_millis(10);

/// Most of an answer that is kept for people.
const ANSWER_CHARS: usize = 200;

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Acted {
    /// Steps that HAProxy did.
    pub done: Vec<Action>,
    /// What the plan could not do, and what HAProxy refused.
    pub failed: Vec<Reload>,
    /// Servers that finish their work.
    pub waiting: Vec<Waiting>,
    /// The socket does not answer: the rest was not tried.
    pub trouble: Option<SocketError>,
}

impl Acted {
    /// When to read and plan again; None: nothing is open. Soon after something was done, to see that it is so.
    pub fn again(&self, now: Instant) -> Option<Duration> {
        if !self.done.is_empty() {
            return Some(DELETE_PAUSE);
        }
        let until = self.waiting.iter().map(|waiting| waiting.until).min()?;
        Some(until.saturating_duration_since(now).max(DELETE_PAUSE))
    }
}

/// What one step came to.
enum Step {
    Done,
    /// It did not apply any more; the next plan sees what is there.
    Void,
    Refused(Why),
    /// A name without an address. A new process could not reach it either, so it is no reason for a reload; it is tried again.
    Unresolved,
}

/// Does the plan. `memory` keeps what the next one must know.
pub async fn act(ask: &impl Ask, plan: &Plan, memory: &mut Memory, now: Instant) -> Acted {
    let mut acted = Acted { failed: plan.reload.clone(), waiting: plan.waiting.clone(), ..Acted::default() };
    if plan.pid != 0 {
        memory.see(plan.pid);
    }
    let names = names::look_up(plan, memory, now, names::system).await;
    let mut deletes = Vec::new();
    for action in &plan.actions {
        if matches!(action, Action::Delete { .. }) {
            deletes.push(action);
            continue;
        }
        match step(ask, plan, &names, action).await {
            Ok(Step::Done) => {
                remember(memory, action, now);
                acted.done.push(action.clone());
            }
            Ok(Step::Void | Step::Unresolved) => {}
            Ok(Step::Refused(why)) => {
                let (backend, server) = action.key().clone();
                acted.failed.push(Reload { backend, server: Some(server).filter(|server| !server.is_empty()), why });
            }
            Err(trouble) => {
                acted.trouble = Some(trouble);
                return acted;
            }
        }
    }
    if let Err(trouble) = delete_all(ask, plan, deletes, memory, now, &mut acted).await {
        acted.trouble = Some(trouble);
    }
    acted
}

fn remember(memory: &mut Memory, action: &Action, now: Instant) {
    match action {
        Action::Add { key, server, .. } | Action::Slot { key, server, .. } => memory.added(key.clone(), server.clone()),
        Action::State { key, to: Admin::Drain } => memory.drains(key.clone(), now),
        Action::State { key, to: Admin::Ready } => memory.stays(key),
        _ => {}
    }
}

/// Everything but deletes.
async fn step(ask: &impl Ask, plan: &Plan, names: &Names, action: &Action) -> Result<Step, SocketError> {
    let (backend, name) = action.key();
    let path = format!("{backend}/{name}");
    match action {
        Action::Add { server, words, has_check, has_agent, .. } => match names::of(names, &server.host) {
            Some(address) => add(ask, plan, &path, (server, address), words, *has_check, *has_agent).await,
            None => Ok(Step::Unresolved),
        },
        Action::Slot { server, weight, rests_first, .. } => {
            let Some(host) = names::of(names, &server.host) else { return Ok(Step::Unresolved) };
            if *rests_first
                && let refused @ (Step::Void | Step::Refused(_)) = set(ask, &format!("set server {path} state maint")).await?
            {
                return Ok(refused);
            }
            if let refused @ (Step::Void | Step::Refused(_)) = address(ask, &path, host, server.port).await? {
                return Ok(refused);
            }
            if let refused @ (Step::Void | Step::Refused(_)) = set(ask, &format!("set server {path} weight {weight}")).await? {
                return Ok(refused);
            }
            let to = if server.is_draining { Admin::Drain } else { Admin::Ready };
            set(ask, &format!("set server {path} state {}", to.as_str())).await
        }
        Action::Address { host, port, .. } => match names::of(names, host) {
            Some(host) => address(ask, &path, host, *port).await,
            None => Ok(Step::Unresolved),
        },
        Action::Weight { weight: Some(weight), .. } => set(ask, &format!("set server {path} weight {weight}")).await,
        Action::Weight { weight: None, .. } => set(ask, &format!("set server {path} weight 100%")).await,
        Action::Health { .. } => set(ask, &format!("enable health {path}")).await,
        Action::State { to, .. } => set(ask, &format!("set server {path} state {}", to.as_str())).await,
        Action::Frontend { .. } => set(ask, &format!("enable frontend {backend}")).await,
        Action::Delete { .. } => Ok(Step::Void),
    }
}

async fn add(
    ask: &impl Ask,
    plan: &Plan,
    path: &str,
    (server, address): (&Server, IpAddr),
    words: &str,
    has_check: bool,
    has_agent: bool,
) -> Result<Step, SocketError> {
    let endpoint = std::net::SocketAddr::new(address, server.port);
    let answer = ask.ask(format!("{}add server {path} {endpoint} {words}", mode(plan)).trim_end()).await?;
    if answer.contains("Already exists a server with the same name") {
        return Ok(Step::Void);
    }
    if answer.contains("No such backend") {
        return Ok(Step::Refused(Why::BackendUnknown));
    }
    if !answer.contains("New server registered") {
        return Ok(refused(&answer));
    }
    // It rests until its last command; one that fails leaves it so, and the next plan goes on from there.
    let mut rest = Vec::new();
    if has_check {
        rest.push(format!("enable health {path}"));
    }
    if has_agent {
        rest.push(format!("enable agent {path}"));
    }
    rest.push(format!("set server {path} state {}", if server.is_draining { "drain" } else { "ready" }));
    for line in rest {
        if let refused @ (Step::Void | Step::Refused(_)) = set(ask, &line).await? {
            return Ok(refused);
        }
    }
    Ok(Step::Done)
}

/// A command whose answer is empty when it is done.
async fn set(ask: &impl Ask, line: &str) -> Result<Step, SocketError> {
    let answer = ask.ask(line).await?;
    Ok(match answer.trim() {
        "" => Step::Done,
        answer if is_void(answer) => Step::Void,
        answer => refused(answer),
    })
}

async fn address(ask: &impl Ask, path: &str, address: IpAddr, port: u16) -> Result<Step, SocketError> {
    let answer = ask.ask(&format!("set server {path} addr {address} port {port}")).await?;
    // `IP changed from 'A' to 'B', no need to change the port by 'stats socket command'`, or nothing of it.
    let is_done = answer.trim().is_empty() || answer.contains("changed from") || answer.contains("no need to change");
    Ok(match answer.trim() {
        _ if is_done => Step::Done,
        answer if is_void(answer) => Step::Void,
        answer => refused(answer),
    })
}

fn is_void(answer: &str) -> bool {
    ["No such server", "No such backend", "No such frontend", "All sockets are already enabled"]
        .iter()
        .any(|void| answer.starts_with(void))
}

fn refused(answer: &str) -> Step {
    Step::Refused(Why::Refused(answer.trim().lines().next().unwrap_or_default().chars().take(ANSWER_CHARS).collect()))
}

fn mode(plan: &Plan) -> &'static str {
    if plan.version.needs_experimental_mode() { "experimental-mode on;" } else { "" }
}

/// Tries them again and again for a moment, because requests in flight end soon.
async fn delete_all(
    ask: &impl Ask,
    plan: &Plan,
    mut open: Vec<&Action>,
    memory: &mut Memory,
    now: Instant,
    acted: &mut Acted,
) -> Result<(), SocketError> {
    let end = Clock::now() + DELETES;
    let mut pause = DELETE_PAUSE;
    let mut n_rounds = 0;
    loop {
        let mut busy = Vec::new();
        for action in open {
            let Action::Delete { key, cuts } = action else { continue };
            if *cuts && n_rounds == 0 {
                set(ask, &format!("shutdown sessions server {}/{}", key.0, key.1)).await?;
            }
            match delete(ask, plan, key).await? {
                Deleted::Yes => {
                    memory.forget(key);
                    acted.done.push(action.clone());
                }
                Deleted::Gone => memory.forget(key),
                Deleted::Busy => busy.push(action),
                Deleted::Never => memory.keep(key.clone()),
                Deleted::InUse => {}
            }
        }
        open = busy;
        let left = end.saturating_duration_since(Clock::now()).min(pause);
        if open.is_empty() || left.is_zero() {
            break;
        }
        match open.first() {
            // Also closes idle connections, which deleting does not do any more since 3.3.
            Some(first) if plan.version.can_wait() => {
                let (backend, name) = first.key();
                ask.ask(&format!("wait {}ms srv-removable {backend}/{name}", left.as_millis().max(1))).await?;
                // An answer that comes at once must not make this a busy loop.
                sleep(Duration::from_millis(1)).await;
            }
            _ => sleep(left).await,
        }
        (pause, n_rounds) = (pause * 2, n_rounds + 1);
    }
    for action in open {
        memory.is_busy(action.key().clone(), now);
        acted.waiting.push(Waiting { key: action.key().clone(), until: now + DELETE_AGAIN });
    }
    Ok(())
}

/// What became of one delete.
enum Deleted {
    Yes,
    /// Somebody else did.
    Gone,
    /// It still has connections.
    Busy,
    /// Its state is not MAINT (any more).
    InUse,
    /// Other lines point to it, or the release does not delete servers of the file.
    Never,
}

async fn delete(ask: &impl Ask, plan: &Plan, (backend, name): &Key) -> Result<Deleted, SocketError> {
    let answer = ask.ask(&format!("{}del server {backend}/{name}", mode(plan))).await?;
    Ok(match answer.trim() {
        answer if answer.contains("Server deleted") => Deleted::Yes,
        answer if is_void(answer) => Deleted::Gone,
        answer if answer.contains("connections attached") => Deleted::Busy,
        answer if answer.contains("in maintenance mode") => Deleted::InUse,
        _ => Deleted::Never,
    })
}

mod names;
#[cfg(test)]
mod tests;
