//! A command that is run for us: in a process group of its own, which is killed whole, and without our secrets.
//!
//! Not here: its deadline and its output (`run` for hooks and handlers, `probe::script` for checks).

use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// How long the output is read after the command's end: what it wrote is in the pipe by then, and a process that it left
/// behind may hold the pipe for ever.
pub(crate) const DRAIN: Duration = Duration::from_millis(100);

/// Variables of lobbyd that hold secrets, each also known as `LOBBY_NAME`: a command that needs one is given it by
/// whoever configures the command.
const SECRETS: &[&str] =
    &["TOKEN", "NATS_URL", "NATS_PASSWORD", "NATS_TOKEN", "NATS_NKEY", "REDIS_PASSWORD", "GOSSIP_KEY", "EXCHANGE_KEY"];

/// The names of all variables that commands must not inherit.
pub fn secret_variables() -> impl Iterator<Item = String> {
    SECRETS.iter().flat_map(|name| [(*name).to_owned(), format!("LOBBY_{name}")])
}

/// The process group of a run: killed whole when dropped, so that a cancelled run leaves nothing behind.
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// That of a child that [`command`] made.
    pub(crate) fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }

    /// Who leads it.
    pub(crate) fn leader(&self) -> Option<Pid> {
        self.0
    }

    /// The command has ended: what it left in its group on purpose may go on.
    pub(crate) fn release(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // The group may have ended by itself.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// A command in a process group of its own, with piped input and output and without our secrets.
pub(crate) fn command(program: &str, arguments: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in secret_variables() {
        command.env_remove(name);
    }
    command
}
