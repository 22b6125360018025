//! An HAProxy that this program starts and keeps running (`manage = true`). Decides how it is started, whether one that
//! runs is ours, and when one that ended is started again.
//!
//! ```text
//! ours runs already? ─ yes ─► adopted ─┐
//!  └ no ─► PROGRAM -W -db -S MASTER -f FILE ─► until it ends ─► 100 ms … 10 s, or a new file ─► again
//!                                       └► replaced: another one with `-sf OLD`, which takes over its listeners
//! ```
//! It outlives this program: a new start, or an update, of lobbyd cuts nobody off, and the next lobbyd adopts it. So a
//! service manager must not end it with lobbyd's group (systemd: `KillMode=process`). It is told to end (SIGUSR1: what it
//! works on is finished) by a lobbyd that finds it with `manage` turned off. Two are never started: one whose process is
//! there, with our file and its master's socket in its arguments, is ours, however it answers, unless it was told to end;
//! one whose master listens elsewhere than it is to is replaced. Whoever looks and starts holds `.FILE.lobby-lock`. Places
//! are decided here alone ([`master_socket`]; `.FILE.lobby-pid` beside the file, which also tells the socket of a master
//! whose key is gone, and those that are ending; if it is lost, the system's processes are looked through).
//! Not here: reloads (`reload`), what it serves (`output`).

use std::{
    fs::File,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use lobby_render::command::Surroundings;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::AsyncRead,
    process::Child,
    sync::{Notify, mpsc, oneshot, watch},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep, timeout},
};

pub(super) use self::log::{complaint, forget_complaint};
use self::{
    log::pass_on,
    place::{Found, Managing, Written, is_there},
};
use super::{output::changed, stats::Stats};
use crate::settings::Haproxy;

mod log;
mod place;
mod seek;
#[cfg(test)]
mod tests;

/// After the first end: with a start of 60 to 120 ms it serves again far within a second.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A file that it does not take costs one start each 10 s.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// One that ran for so long did not end because of how it was started.
const STEADY: Duration = Duration::from_secs(10);

/// More than a start takes, which was 60 to 120 ms where it was measured.
const STARTS: Duration = Duration::from_secs(2);

/// How often an adopted process, which is nobody's child, is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A stop waits so long for a start that is at work, which takes [`STARTS`].
const ENDS: Duration = Duration::from_secs(3);

/// Far longer than the kernel takes to replace a program.
const EXEC: Duration = Duration::from_millis(20);

/// How often a lock that somebody else has is tried.
const TRY: Duration = Duration::from_millis(20);

/// The task that supervises; dropped, it ends, and HAProxy goes on.
#[derive(Debug)]
pub struct Managed {
    running: watch::Receiver<Option<Running>>,
    new_file: Arc<Notify>,
    replace: mpsc::Sender<Replace>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Who wants another process, and is told how it went.
type Replace = oneshot::Sender<Result<(), String>>;

/// The process that runs.
#[derive(Debug, Clone, Copy)]
struct Running {
    pid: u32,
    /// Of the file that it was started with; None: that is not known.
    file_changed: Option<SystemTime>,
}

impl Drop for Managed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Managed {
    /// Whether it runs, and its master's process id.
    pub fn pid(&self) -> Option<u32> {
        self.running.borrow().map(|running| running.pid)
    }

    /// When the file that it was started with had been changed last, if this supervisor or an earlier one wrote that down.
    pub fn file_changed(&self) -> Option<SystemTime> {
        self.running.borrow().and_then(|running| running.file_changed)
    }

    /// Waits until it has ended or runs again.
    pub async fn changed(&mut self) {
        if self.running.changed().await.is_err() {
            // The task lives as long as this.
            std::future::pending().await
        }
    }

    /// Has a new process take over from the one that runs: what a reload cannot mend is new then, as are both sockets. The
    /// old one finishes what it works on. An error: the old one goes on.
    pub async fn replace(&self) -> Result<(), String> {
        const ENDED: &str = "nobody supervises it";
        let (told, heard) = oneshot::channel();
        self.replace.send(told).await.map_err(|_| ENDED)?;
        heard.await.map_err(|_| ENDED)?
    }

    /// Ends the supervision, and HAProxy goes on. Waits until nothing is looked for or started any more, so that the next
    /// supervisor finds no lock.
    pub async fn end(mut self) {
        self.stop.send_replace(true);
        if timeout(ENDS, &mut self.task).await.is_err() {
            tracing::warn!("haproxy: its supervisor was at work when it was stopped, and is cut off");
        }
    }

    /// The file is another one: one that does not run may run with it.
    pub fn new_file(&self) {
        self.new_file.notify_waiters();
    }
}

/// Where a managed master listens: as configured, else beside the file. None: there is no file.
pub fn master_socket(haproxy: &Haproxy) -> Option<PathBuf> {
    let beside = || Some(haproxy.config_file_path.as_ref()?.with_file_name("haproxy-master.sock"));
    haproxy.master_socket.clone().or_else(beside)
}

/// Adopts what runs, else starts it as soon as there is a file, and keeps it running. None: no file is configured.
pub fn supervise(haproxy: &Haproxy, around: &Surroundings, stats: Arc<Stats>) -> Option<Managed> {
    let managing = Managing::of(haproxy, around)?;
    let (running_tx, running) = watch::channel(None);
    let new_file = Arc::new(Notify::new());
    let (replace, asked) = mpsc::channel(1);
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(keep(managing, running_tx, Arc::clone(&new_file), asked, stopped, stats));
    Some(Managed { running, new_file, replace, stop, task })
}

/// With `manage` turned off: tells one that an earlier lobbyd started to finish and end.
pub async fn release(haproxy: &Haproxy, around: &Surroundings) {
    let Some(mut managing) = Managing::of(haproxy, around) else { return };
    // Without it, none was ever started.
    if !managing.pid_file.exists() {
        return;
    }
    let lock = managing.lock().await;
    let Written { socket, leaving, .. } = managing.written();
    managing.socket = socket.unwrap_or(managing.socket);
    let found = managing.find().await;
    // Before it is told: it must not be adopted again, as it takes no new connections.
    managing.write(None, found.map(|found| found.pid));
    drop(lock);
    // In case somebody was cut off between these two.
    leaving.into_iter().filter(|pid| managing.is_ours(*pid, &managing.socket)).for_each(|pid| signal(pid, Signal::USR1));
    if let Some(Found { pid, .. }) = found {
        tracing::info!(pid, "haproxy: it was started by lobbyd, which is to manage none: it finishes what it has and ends");
        // A master that has just started loses signals, as it becomes another program once its worker runs; one more does
        // nothing to one that is ending.
        let until = Instant::now() + STARTS;
        while managing.is_ours(pid, &managing.socket) && Instant::now() < until {
            signal(pid, Signal::USR1);
            sleep(LOOK).await;
        }
    }
    let _lock = managing.lock().await;
    let Written { pid, leaving, .. } = managing.written();
    if pid.is_none() && !leaving.into_iter().any(is_there) {
        let _ = std::fs::remove_file(&managing.pid_file);
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
        && let Err(err) = kill_process(pid, signal)
    {
        tracing::warn!(?pid, "haproxy: cannot signal it: {err}");
    }
}

async fn keep(
    managing: Managing,
    running_tx: watch::Sender<Option<Running>>,
    new_file: Arc<Notify>,
    mut asked: mpsc::Receiver<Replace>,
    mut stopped: watch::Receiver<bool>,
    stats: Arc<Stats>,
) {
    let mut pause = FIRST_PAUSE;
    let set = |running: Option<Running>| {
        stats.update(|status| (status.managed_pid, status.backoff_ms) = (running.map(|running| running.pid), None));
        running_tx.send_replace(running);
    };
    while !*stopped.borrow() {
        let (mut began, mut ended) = (Instant::now(), None);
        forget_complaint(&managing.file);
        let mut runs = match first(&managing).await {
            Ok(Some((runs, file_changed))) => {
                stats.update(|status| status.starts += u64::from(runs.child.is_some()));
                set(Some(Running { pid: runs.pid, file_changed }));
                Some(runs)
            }
            Ok(None) => None,
            Err(err) => {
                ended = Some(err);
                None
            }
        };
        while let Some(running) = &mut runs {
            tokio::select! {
                _ = stopped.changed() => return,
                how = running.ended(&managing) => {
                    ended = Some(how);
                    break;
                }
                Some(told) = asked.recv() => {
                    let file_changed = changed(&managing.file);
                    let lock = managing.lock().await;
                    let done = taken_over(&managing, running.pid, file_changed, lock).await.map(|new| {
                        stats.update(|status| status.starts += 1);
                        (*running, began) = (new, Instant::now());
                        set(Some(Running { pid: running.pid, file_changed }));
                    });
                    let _ = told.send(done);
                }
            }
        }
        set(None);
        if let Some(ended) = ended {
            if began.elapsed() >= STEADY {
                pause = FIRST_PAUSE;
            }
            stats.update(|status| {
                status.crashes += 1;
                status.backoff_ms = u64::try_from(pause.as_millis()).ok();
            });
            let why = complaint(&managing.file).map(|why| format!(": {why}")).unwrap_or_default();
            stats.fail(format!("managed process: {ended}{why}"));
        }
        // Each is a reason to go on.
        tokio::select! {
            _ = timeout(pause, new_file.notified()) => {}
            _ = stopped.changed() => {}
        }
        pause = if managing.file.exists() { (pause * 2).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
    }
}

/// One that runs already, else a new one, and when the file that this was started with had been changed last. None: there
/// is no file.
async fn first(managing: &Managing) -> Result<Option<(Runs, Option<SystemTime>)>, String> {
    let lock = managing.lock().await;
    // Before a start: of a file that changes meanwhile nothing is known.
    let file_changed = changed(&managing.file);
    match managing.find().await {
        Some(Found { pid, is_elsewhere: false, file_changed }) => {
            tracing::info!(pid, "haproxy: it runs already, and is supervised from now on");
            managing.write(Some((pid, file_changed)), None);
            Ok(Some((Runs { pid, child: None }, file_changed)))
        }
        Some(Found { pid, .. }) => {
            tracing::info!(pid, "haproxy: it runs already, with another master socket, and is replaced");
            Ok(Some((taken_over(managing, pid, file_changed, lock).await?, file_changed)))
        }
        None if managing.file.exists() => {
            let child = managing.start(None).map_err(|err| format!("cannot start {:?}: {err}", managing.program))?;
            let runs = Runs::of(child, managing).ok_or("it ended at once")?;
            managing.write(Some((runs.pid, file_changed)), None);
            Ok(Some((runs, file_changed)))
        }
        None => Ok(None),
    }
}

/// A process that is looked after.
struct Runs {
    pid: u32,
    /// None: an earlier lobbyd started it.
    child: Option<Child>,
}

impl Runs {
    /// Passes its log on from now on. None: it has ended.
    fn of(mut child: Child, managing: &Managing) -> Option<Self> {
        let (out, err) = (child.stdout.take(), child.stderr.take());
        // Its workers have the pipes as well, and may outlive it for a moment.
        for pipe in [out.map(boxed), err.map(boxed)].into_iter().flatten() {
            tokio::spawn(pass_on(pipe, managing.file.clone()));
        }
        Some(Self { pid: child.id()?, child: Some(child) })
    }

    /// Waits for its end; says how it came. Dropping the future loses nothing.
    async fn ended(&mut self, managing: &Managing) -> String {
        let (how, pid) = (self.gone(managing).await, self.pid);
        match spawn_blocking(move || seek::successor(pid)).await {
            Ok(Some((other, line))) => {
                format!("{how}: process {other} told it to finish, and listens on the same ports; end it: {line}")
            }
            _ => how,
        }
    }

    async fn gone(&mut self, managing: &Managing) -> String {
        let Some(child) = &mut self.child else {
            while managing.is_still_ours(self.pid, &managing.socket).await {
                sleep(LOOK).await;
            }
            return "it ended".into();
        };
        match child.wait().await {
            Ok(status) => format!("it ended: {status}"),
            Err(err) => format!("lost track of it: {err}"),
        }
    }
}

/// As [`replaced`], to its end also if the caller is cut off: a new process of which nothing is written would be a second.
async fn taken_over(managing: &Managing, old: u32, file_changed: Option<SystemTime>, lock: Option<File>) -> Result<Runs, String> {
    let managing = managing.clone();
    let taking = tokio::spawn(async move {
        let _lock = lock;
        let new = replaced(&managing, old).await?;
        managing.write(Some((new.pid, file_changed)), Some(old));
        Ok(new)
    });
    taking.await.unwrap_or_else(|err| Err(err.to_string()))
}

/// A new process that has taken over from `old`.
async fn replaced(managing: &Managing, old: u32) -> Result<Runs, String> {
    let child = managing.start(Some(old)).map_err(|err| format!("cannot start {:?}: {err}", managing.program))?;
    let mut new = Runs::of(child, managing).ok_or("it ended at once")?;
    // It tells the old one to finish only when it serves.
    match timeout(STARTS, new.ended(managing)).await {
        Ok(ended) => Err(format!("a new process could not take over from {old}: {ended}")),
        Err(_) => Ok(new),
    }
}

fn boxed(pipe: impl AsyncRead + Send + Unpin + 'static) -> Box<dyn AsyncRead + Send + Unpin> {
    Box::new(pipe)
}
