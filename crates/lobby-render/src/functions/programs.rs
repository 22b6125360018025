//! The programs that functions of one evaluation run. Decides that none of them outlives the evaluation: each leads a group, and who
//! gives the evaluation up kills those that run. Not here: how a program is called and read (`act`).

use std::collections::BTreeSet;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

/// Programs that run now.
#[derive(Debug, Default)]
pub struct Programs(Mutex<Running>);

#[derive(Debug, Default)]
struct Running {
    /// Nobody waits for this evaluation any more: nothing is started.
    is_over: bool,
    /// The numbers of processes that lead a group and were not waited for: nobody else has them.
    leaders: BTreeSet<u32>,
}

/// Ends the programs when it is dropped.
#[derive(Debug)]
pub(crate) struct EndWith(pub(crate) Arc<Programs>);

impl Drop for EndWith {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Programs {
    /// Starts one, in a group of its own.
    pub(super) fn start(&self, command: &mut Command) -> io::Result<Child> {
        let mut running = self.lock();
        if running.is_over {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the evaluation was given up"));
        }
        let child = command.process_group(0).spawn()?;
        running.leaders.insert(child.id());
        Ok(child)
    }

    /// How one ended, if it has. What it left in its group goes on.
    pub(super) fn ended(&self, child: &mut Child) -> Option<ExitStatus> {
        let mut running = self.lock();
        let status = child.try_wait().ok().flatten()?;
        running.leaders.remove(&child.id());
        Some(status)
    }

    /// Kills one with its group.
    pub(super) fn kill(&self, child: &mut Child) {
        let mut running = self.lock();
        if running.leaders.remove(&child.id()) {
            kill(child.id());
        }
        drop(running);
        // Killed, it ends.
        let _ = child.wait();
    }

    /// Kills all that run; no other one is started.
    fn end(&self) {
        let mut running = self.lock();
        running.is_over = true;
        running.leaders.iter().copied().for_each(kill);
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kill(leader: u32) {
    if let Some(leader) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process_group(leader, Signal::KILL);
    }
}
