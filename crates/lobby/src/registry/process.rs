//! A process that a registration is bound to: which one it is, beyond its id, and when it ends.
//!
//! ```text
//! pid ─► open ─► Watched ─┬─ identity: kept over a restart of the agent ─► still ─► Watched
//!                         └─ exited: tells the end once, without looking again and again
//! ```
//! The kernel gives an id to another process later. A pidfd never means another one, and the time of the start, within
//! one boot, tells one process from the next of its id. A process that waits to be taken back by its parent has ended.
//! Not here: what its end means for an instance.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};
use tokio::io::{Interest, unix::AsyncFd};

/// Between two tries to watch a process: what is short, mostly file descriptors, is seldom free again at once.
const AGAIN: Duration = Duration::from_secs(10);

/// Which process it is, among all that this host has had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its id, as seen from here.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since boot: the 22nd field of `/proc/PID/stat`.
    pub(crate) start: u64,
    /// The boot in which it started: `/proc/sys/kernel/random/boot_id`.
    pub(crate) boot: String,
}

/// A process that was there when it was opened. It costs one file descriptor.
#[derive(Debug)]
pub(crate) struct Watched {
    process: Process,
    pidfd: AsyncFd<OwnedFd>,
}

/// Finds a process. Must be called within a runtime.
///
/// # Errors
/// `NotFound` when there is none of this id, or when it has ended and waits to be taken back; otherwise that of the system.
pub(crate) fn open(pid: u32) -> io::Result<Watched> {
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let id = id.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a process id is 1 to 2147483647"))?;
    let pidfd = pidfd_open(id, PidfdFlags::empty()).map_err(refused)?;
    let (stat, boot) = (fs::read(format!("/proc/{pid}/stat")), fs::read_to_string("/proc/sys/kernel/random/boot_id"));
    // While it has not ended its id is its own: what was read was about this process.
    if has_ended(&pidfd)? {
        return Err(gone());
    }
    let start = start_of(&stat.map_err(unreadable)?)?;
    let boot = boot.map_err(unreadable)?.trim().to_owned();
    let process = Process { pid, start, boot };
    #[expect(deprecated, reason = "its successor is unsafe because of types that change their descriptor, as this never does")]
    let pidfd = AsyncFd::with_interest(pidfd, Interest::READABLE)?;
    Ok(Watched { process, pidfd })
}

/// Finds the same process again. Must be called within a runtime.
///
/// # Errors
/// `NotFound` when it has ended, also when another process has its id now; otherwise that of the system.
pub(crate) fn still(process: &Process) -> io::Result<Watched> {
    let watched = open(process.pid)?;
    match watched.process == *process {
        true => Ok(watched),
        false => Err(io::Error::new(io::ErrorKind::NotFound, "another process has this id now")),
    }
}

/// Looks for the same process each ten seconds, until it can be watched; `None` when it has ended.
pub(crate) async fn find(process: &Process) -> Option<Watched> {
    loop {
        tokio::time::sleep(AGAIN).await;
        match still(process) {
            Ok(watched) => return Some(watched),
            Err(err) if err.kind() == io::ErrorKind::NotFound => return None,
            Err(_) => {}
        }
    }
}

impl Watched {
    /// Which process it is.
    pub(crate) fn identity(&self) -> &Process {
        &self.process
    }

    /// Waits for its end. Loses nothing when it is cancelled; after the end it returns at once.
    pub(crate) async fn exited(&self) {
        loop {
            // An error says that the runtime is ending. That says nothing about the process.
            let Ok(mut ready) = self.pidfd.readable().await else { return std::future::pending().await };
            // The runtime may wake without a reason. What cannot be told is taken as the end: nobody would tell it later.
            if has_ended(&self.pidfd).unwrap_or(true) {
                return;
            }
            ready.clear_ready();
        }
    }
}

/// Whether all threads of the process have ended.
fn has_ended(pidfd: &impl AsFd) -> io::Result<bool> {
    let mut asked = [PollFd::new(pidfd, PollFlags::IN)];
    Ok(rustix::io::retry_on_intr(|| poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })))? > 0)
}

/// The 22nd field. The second, the name, is in parentheses and may hold any bytes, also blanks and parentheses.
fn start_of(stat: &[u8]) -> io::Result<u64> {
    let stat = String::from_utf8_lossy(stat);
    let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest);
    let start = after_name.and_then(|rest| rest.split(' ').nth(22 - 3)).and_then(|start| start.parse().ok());
    start.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc does not tell when the process was started"))
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "no such process")
}

fn refused(err: Errno) -> io::Error {
    match err {
        Errno::SRCH => gone(),
        // Which of the two depends on the kernel.
        Errno::INVAL | Errno::NOENT => io::Error::new(io::ErrorKind::InvalidInput, "it is the id of a thread, not of a process"),
        Errno::NOSYS => io::Error::new(io::ErrorKind::Unsupported, "this kernel cannot watch a process: Linux 5.3 can"),
        err => err.into(),
    }
}

fn unreadable(err: io::Error) -> io::Error {
    match err.kind() {
        // It is there: that is no proof of its end.
        io::ErrorKind::NotFound => io::Error::other("/proc does not show it"),
        _ => err,
    }
}

#[cfg(test)]
mod tests;
