//! The program of exec mode: it goes on while the files are there, and is told of changes. Decides how it is started, told,
//! ended and started again, and what its end means.
//!
//! A text for `sh -c` gets its signals as a group, a program alone; what of its group is left once it was ended, too. Chance is
//! a parameter. Dropping a [`Child`] kills its group.
//! Not here: commands that end (`command`); which signals this process takes (the program).

use std::{io, os::unix::process::ExitStatusExt, process::ExitStatus, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

use crate::{
    command::{CommandError, Form, Spawned, Surroundings, spawn},
    settings::ExecSettings,
};

#[cfg(test)]
mod tests;

/// How long those that an ended program left in its group have to end themselves: nobody waits for them.
const LEFT_BEHIND: Duration = Duration::from_millis(500);

/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(10);

/// A running program, or one that has ended.
#[derive(Debug)]
pub struct Child {
    settings: ExecSettings,
    around: Surroundings,
    name: String,
    process: tokio::process::Child,
    group: crate::command::Group,
}

/// What became of a program that was told of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It got its reload signal.
    Signalled,
    /// It was ended and started again.
    Restarted,
    /// It had ended by itself, with this exit code.
    Ended(i32),
}

impl Child {
    /// Starts the program; it shares our standard input and outputs.
    pub fn start(settings: ExecSettings, around: Surroundings) -> Result<Self, CommandError> {
        let (name, spawned) = spawn(&settings.argv, &settings.env, &around, Stdio::inherit(), Stdio::inherit)?;
        let Spawned { child, group } = spawned;
        Ok(Self { settings, around, name, process: child, group })
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits until it ends, and tells its exit code: 128 and the number of a signal that killed it. May be dropped and
    /// called again.
    pub async fn wait(&mut self) -> Result<i32, CommandError> {
        match self.process.wait().await {
            Ok(status) => {
                self.group.release();
                Ok(code(status))
            }
            Err(source) => Err(CommandError::Lost { command: self.name.clone(), source }),
        }
    }

    /// Sends a signal on; one that has ended gets none. Signal numbers that the system has not are an error.
    pub fn signal(&self, number: i32) -> io::Result<()> {
        let signal = Signal::from_named_raw(number).ok_or(io::ErrorKind::InvalidInput)?;
        // Without an id it was waited for: its number may be another's by now.
        let (Some(_), Some(pid)) = (self.process.id(), self.group.leader()) else { return Ok(()) };
        let sent = match Form::of(&self.settings.argv) {
            Some(Form::Shell(_)) => kill_process_group(pid, signal),
            _ => kill_process(pid, signal),
        };
        match sent {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            sent => Ok(sent?),
        }
    }

    /// Tells it that a file changed, after a splay: by its reload signal if it has one, else by a new start. `chance` is
    /// random over all its values. When this is dropped while the splay lasts, nothing has happened yet.
    pub async fn reload(&mut self, chance: u64) -> Result<Told, CommandError> {
        let splay = splay(self.settings.splay, chance);
        if !splay.is_zero()
            && let Ok(ended) = tokio::time::timeout(splay, self.wait()).await
        {
            return ended.map(Told::Ended);
        }
        let lost = |name: &str, source| CommandError::Lost { command: name.to_owned(), source };
        if let Some(ended) = self.process.try_wait().map_err(|source| lost(&self.name, source))? {
            self.group.release();
            return Ok(Told::Ended(code(ended)));
        }
        if let Some(number) = self.settings.reload_signal {
            self.signal(number).map_err(|source| lost(&self.name, source))?;
            return Ok(Told::Signalled);
        }
        self.stop().await?;
        *self = Self::start(self.settings.clone(), self.around.clone())?;
        Ok(Told::Restarted)
    }

    /// Ends it at once, without splay: by its kill signal, after its time by force, with its group. What it leaves in its group
    /// gets the signal when it has ended, and is killed a moment later. Its exit code.
    pub async fn stop(&mut self) -> Result<i32, CommandError> {
        if let Err(err) = self.signal(self.settings.kill_signal) {
            tracing::warn!(signal = self.settings.kill_signal, "cannot send the kill signal to {:?}: {err}", self.name);
        }
        let group = self.process.id().and(self.group.leader());
        // The group is not released: dropped while this waits, it is killed.
        let status = match tokio::time::timeout(self.settings.kill_timeout, self.process.wait()).await {
            Ok(status) => {
                if let Some(group) = group {
                    self.end_rest(group).await;
                }
                status
            }
            Err(_) => {
                tracing::warn!(timeout = ?self.settings.kill_timeout, "killed: {:?} did not end when it was told to", self.name);
                if let (Some(_), Some(group)) = (self.process.id(), group) {
                    // It may have ended just now.
                    let _ = kill_process_group(group, Signal::KILL);
                }
                self.process.wait().await
            }
        };
        self.group.release();
        status.map(code).map_err(|source| CommandError::Lost { command: self.name.clone(), source })
    }

    /// Ends what a program that has ended left in its group. While there is any, no other process gets its number.
    async fn end_rest(&self, group: Pid) {
        // A group has had its signal.
        if let (Some(Form::Direct(..)), Some(signal)) =
            (Form::of(&self.settings.argv), Signal::from_named_raw(self.settings.kill_signal))
        {
            // There is none, as a rule.
            let _ = kill_process_group(group, signal);
        }
        let is_left = || test_kill_process_group(group).is_ok();
        let all_gone = async {
            while is_left() {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(LEFT_BEHIND, all_gone).await.is_err() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    // A status without a code is that of a process that a signal ended.
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// The same share of the longest splay as `chance` has of all its values.
fn splay(longest: Duration, chance: u64) -> Duration {
    let nanos = (longest.as_nanos().min(u128::from(u64::MAX)) * u128::from(chance)) >> 64;
    // Not above the longest, which was cut to 64 bits.
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
