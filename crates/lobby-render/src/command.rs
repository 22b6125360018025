//! Runs a command that ends: after a file changed, or to check a new one. Decides its form (direct or `sh -c`), its
//! environment, its process group and what becomes of it at its deadline.
//!
//! A command that takes too long, or whose run is dropped, is killed with everything in its group. One that ended leaves its
//! group alone: a server that it put in the background goes on. One without a time (zero) is put there itself.
//! Not here: programs that go on under supervision (`child`); when a command is run (the runner).

use std::{
    ffi::OsString,
    io,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    sync::Semaphore,
};

use crate::{
    glob::Globs,
    settings::{CommandSettings, Env},
};

pub(crate) mod path;
#[cfg(test)]
mod tests;

/// Most bytes kept of what a check prints on stdout, and of stderr: 64 KiB together, as other runs of lobbyd keep. The rest
/// is read and dropped, so that the command never blocks.
pub const OUTPUT_BYTES: usize = 32 * 1024;

/// How long output is read after the command's end: what it wrote is in the pipe by then, and a process that it left behind
/// may hold the pipe for ever.
const DRAIN: Duration = Duration::from_millis(100);

/// Most commands in the background at a time: as many as a pool of sixty-four templates has, and far fewer than a machine's
/// processes. A command that never ends must not pile up with each change.
pub const IN_BACKGROUND: usize = 64;

/// Those that are left of them.
static BACKGROUND: Semaphore = Semaphore::const_new(IN_BACKGROUND);

/// What commands find around them, whatever their own settings are.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Variables that are given, like `CONSUL_HTTP_ADDR`; a command's own (`custom`) win.
    pub set: Vec<(String, String)>,
    /// Variables that are not inherited: secrets of this program.
    pub unset: Vec<String>,
    /// Told the id of each process that was started, to give back limits that this program had raised.
    pub started: Option<fn(u32)>,
}

/// Why a command is no success.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The settings name no program. Nothing was run.
    #[error("command is empty: give it a program")]
    Empty,
    /// The path cannot be put into the command's text. Nothing was run.
    #[error(
        "command {command:?}: the path {path:?} has characters that mean something to a shell: \
         write {{{{.Path}}}} as a word of its own, or give the command as a list"
    )]
    Path {
        /// As configured.
        command: String,
        /// What was to be put in.
        path: String,
    },
    /// The program cannot be started. Nothing was run.
    #[error("cannot start command {command:?}: {source}")]
    Start {
        /// The program, or `sh`.
        command: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// So many run in the background that no other one may. Nothing was run.
    #[error("cannot start command {command:?}: {IN_BACKGROUND} commands run in the background, and none of them ends")]
    TooMany {
        /// As configured.
        command: String,
    },
    /// It ended, but not well.
    #[error("command exited with a non-zero exit status: {command:?}: {status}{}", told(.output))]
    Exit {
        /// The program, or the text for the shell.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it printed, if that was captured.
        output: String,
    },
    /// It was killed with its process group.
    #[error("command did not exit within {timeout:?} and was killed: {command:?}{}", told(.output))]
    Timeout {
        /// The program, or the text for the shell.
        command: String,
        /// How long it had.
        timeout: Duration,
        /// What it printed, if that was captured.
        output: String,
    },
    /// How it ended is not known; it was killed.
    #[error("lost track of command {command:?}: {source}")]
    Lost {
        /// The program, or the text for the shell.
        command: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn told(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!("\n{}", output.trim_end()) }
}

/// Runs a command to its end; it shares our standard input and outputs. Without a time it goes on in the background: it is not
/// waited for, its end is logged, and it outlives this process.
pub async fn run(command: &CommandSettings, around: &Surroundings) -> Result<(), CommandError> {
    if command.timeout.is_zero() {
        return in_background(command, around);
    }
    let (name, spawned) = spawn(&command.argv, &command.env, around, Stdio::inherit(), Stdio::inherit)?;
    finish(name, spawned, command.timeout).await.map(drop)
}

fn in_background(settings: &CommandSettings, around: &Surroundings) -> Result<(), CommandError> {
    let (name, mut command) = prepare(&settings.argv, &settings.env, around)?;
    let place = BACKGROUND.try_acquire().map_err(|_| CommandError::TooMany { command: name.clone() })?;
    command.stdin(Stdio::null()).kill_on_drop(false);
    let Spawned { mut child, mut group } = start(&name, command, around)?;
    group.release();
    tokio::spawn(async move {
        let _place = place;
        match child.wait().await {
            Ok(status) if status.success() => tracing::info!(command = name, "a command in the background has ended"),
            Ok(status) => tracing::error!(command = name, %status, "a command in the background has failed"),
            Err(err) => tracing::error!(command = name, "lost track of a command in the background: {err}"),
        }
    });
    Ok(())
}

/// Runs a command to its end; it has no input, and what it prints is the answer (also part of the errors).
pub async fn run_captured(command: &CommandSettings, around: &Surroundings) -> Result<String, CommandError> {
    let (name, spawned) = spawn(&command.argv, &command.env, around, Stdio::null(), Stdio::piped)?;
    finish(name, spawned, command.timeout).await
}

/// The process group of a child: killed whole when dropped, so that a cancelled run leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// Who leads it.
    pub(crate) fn leader(&self) -> Option<Pid> {
        self.0
    }

    /// Its leader has ended: what it left in its group on purpose may go on.
    pub(crate) fn release(&mut self) {
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

/// How a program is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form<'a> {
    /// A text for `sh -c`.
    Shell(&'a str),
    /// A program and its arguments.
    Direct(&'a str, &'a [String]),
}

impl<'a> Form<'a> {
    /// One text with blanks is for the shell; all else is a program. None: there is none.
    pub(crate) fn of(argv: &'a [String]) -> Option<Self> {
        match argv {
            [text] if text.trim().is_empty() => None,
            [text] if text.contains(char::is_whitespace) => Some(Self::Shell(text)),
            _ => argv.split_first().map(|(program, arguments)| Self::Direct(program, arguments)),
        }
    }

    fn program(self) -> &'a str {
        match self {
            Self::Shell(_) => "sh",
            Self::Direct(program, _) => program,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Shell(text) => text.to_owned(),
            Self::Direct(program, arguments) => arguments.iter().fold(program.to_owned(), |name, argument| name + " " + argument),
        }
    }
}

/// A process that was started, in a group of its own.
pub(crate) struct Spawned {
    pub(crate) child: Child,
    pub(crate) group: Group,
}

/// Starts a program.
pub(crate) fn spawn(
    argv: &[String],
    env: &Env,
    around: &Surroundings,
    input: Stdio,
    output: fn() -> Stdio,
) -> Result<(String, Spawned), CommandError> {
    let (name, mut command) = prepare(argv, env, around)?;
    command.stdin(input).stdout(output()).stderr(output());
    let spawned = start(&name, command, around)?;
    Ok((name, spawned))
}

/// A program with its arguments and environment.
fn prepare(argv: &[String], env: &Env, around: &Surroundings) -> Result<(String, Command), CommandError> {
    let form = Form::of(argv).ok_or(CommandError::Empty)?;
    let mut command = match found(form.program()) {
        Some(file) => Command::new(file),
        None => Command::new(form.program()),
    };
    command.arg0(form.program());
    match form {
        Form::Shell(text) => command.args(["-c", text]),
        Form::Direct(_, arguments) => command.args(arguments),
    };
    command.env_clear().envs(environment(env, around, std::env::vars_os()));
    command.process_group(0).kill_on_drop(true);
    Ok((form.name(), command))
}

/// Where our own `PATH` has a program, as Go looks for it: the `PATH` that the program is given is for itself. None: nowhere; it may
/// still be found by that one.
fn found(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").filter(|_| !program.contains('/'))?;
    let is_program = |file: &PathBuf| {
        let about = std::fs::metadata(file);
        file.is_absolute() && about.is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&paths).map(|folder| folder.join(program)).find(is_program)
}

fn start(name: &str, mut command: Command, around: &Surroundings) -> Result<Spawned, CommandError> {
    let child = command.spawn().map_err(|source| CommandError::Start { command: name.to_owned(), source })?;
    let pid = child.id();
    if let (Some(started), Some(pid)) = (around.started, pid) {
        started(pid);
    }
    let group = Group(pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)));
    tracing::debug!(command = name, pid, "started");
    Ok(Spawned { child, group })
}

/// The variables of a process: inherited ones that may be, then those of the surroundings, then its own.
pub(crate) fn environment(
    env: &Env,
    around: &Surroundings,
    inherited: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    let (allow, deny) = (Globs::new(env.allowlist.iter().cloned()), Globs::new(env.denylist.iter().cloned()));
    let may = |name: &OsString| {
        let name = name.to_string_lossy();
        let secret = around.unset.iter().any(|unset| *unset == name);
        !env.pristine && !secret && (allow.is_empty() || allow.take(&name)) && !deny.take(&name)
    };
    let given = around.set.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let custom = env.custom.iter().filter_map(|pair| pair.split_once('='));
    let ours = given.chain(custom).filter(|(name, value)| is_variable(name, value));
    let ours = ours.map(|(name, value)| (name.into(), value.into()));
    inherited.filter(|(name, _)| may(name)).chain(ours).collect()
}

/// A process can be given no others.
fn is_variable(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
}

/// Waits for the end, at most `timeout`; what it printed.
async fn finish(command: String, spawned: Spawned, timeout: Duration) -> Result<String, CommandError> {
    let Spawned { mut child, mut group } = spawned;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (ended_tx, ended) = tokio::sync::oneshot::channel::<()>();
    let wait = async {
        let status = tokio::time::timeout(timeout, child.wait()).await;
        // Nobody listens when all output has been read.
        let _ = ended_tx.send(());
        status
    };
    let read = async {
        let drained = async {
            let _ = ended.await;
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! {
            _ = async { tokio::join!(keep(stdout, &mut out), keep(stderr, &mut err)) } => {}
            () = drained => {}
        }
    };
    let status = tokio::join!(wait, read).0;
    out.append(&mut err);
    let output = String::from_utf8_lossy(&out).into_owned();
    match status {
        Ok(Ok(status)) => {
            group.release();
            tracing::debug!(command, %status, "ended");
            if status.success() { Ok(output) } else { Err(CommandError::Exit { command, status, output }) }
        }
        Ok(Err(source)) => Err(CommandError::Lost { command, source }),
        Err(_) => {
            drop(group);
            // Killed, it ends; a process that hangs in the kernel is left to tokio.
            let _ = tokio::time::timeout(DRAIN, child.wait()).await;
            Err(CommandError::Timeout { command, timeout, output })
        }
    }
}

/// Reads all, keeps the beginning.
async fn keep(output: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut output) = output else { return };
    // An error ends the reading; what was read before it counts.
    let _ = (&mut output).take(OUTPUT_BYTES as u64).read_to_end(kept).await;
    let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
}
