//! One run of a command: a process group of its own, a deadline, its output in the log or kept as an answer.
//!
//! Hooks and handlers decide what is run and when; both run it here.
//! Not here: who counts how it ended, and why it was run (`hook`, `handler`); how a command is made and its group killed
//! (`group`), which scripts of checks share (`probe::script`).

use std::{process::ExitStatus, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::Child,
    time::error::Elapsed,
};
use tokio_util::sync::CancellationToken;

use crate::group::{DRAIN, Group, command};

#[cfg(test)]
mod tests;

/// Most bytes of output that reach the log in one run; the rest is read and dropped, so that the command never blocks.
const OUTPUT_BYTES: u64 = 64 * 1024;

/// Who has a command run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runner {
    Hook,
    Handler,
}

/// A line in the log that names who runs the command.
macro_rules! tell {
    ($level:ident, $job:expr, $($rest:tt)+) => {
        match $job.runner {
            Runner::Hook => tracing::$level!(hook = %$job.name, $($rest)+),
            Runner::Handler => tracing::$level!(handler = %$job.name, $($rest)+),
        }
    };
}

/// A command that is to be run once.
pub(crate) struct Job<'a> {
    /// For whom.
    pub(crate) runner: Runner,
    /// Name in the log.
    pub(crate) name: &'a str,
    /// Program and arguments; no shell.
    pub(crate) command: &'a [String],
    /// A run that takes longer is killed with everything it started.
    pub(crate) timeout: Duration,
    /// Variables beside those inherited.
    pub(crate) env: Vec<(String, String)>,
    /// What it gets on stdin.
    pub(crate) input: Vec<u8>,
    /// Keep so many bytes of stdout as answer instead of logging it.
    pub(crate) keep: Option<usize>,
}

/// How a run ended. Everything but success is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With status 0.
    Succeeded,
    /// With another one, or it could not start.
    Failed,
    /// It was killed at its deadline.
    TimedOut,
}

impl Job<'_> {
    /// Runs it and logs how it ended. With [`Self::keep`], the answer is what it wrote to stdout; none when that is more
    /// than may be kept.
    pub(crate) async fn run(self) -> (End, Option<Vec<u8>>) {
        let Some((program, arguments)) = self.command.split_first() else { return (End::Failed, None) };
        let mut command = command(program, arguments);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(err) => {
                tell!(warn, self, "cannot start {program}: {err}");
                return (End::Failed, None);
            }
        };
        let group = Group::of(&child);
        crate::rlimit::restore_for(group.leader());
        let mut answer = Vec::new();
        let end = match self.feed_and_wait(&mut child, &mut answer).await {
            Ok(Ok(status)) => {
                group.release();
                self.report(status)
            }
            Ok(Err(err)) => {
                tell!(warn, self, "lost track of the command: {err}");
                End::Failed
            }
            Err(_) => {
                tell!(warn, self, timeout = ?self.timeout, "killed: it took longer than its timeout");
                End::TimedOut
            }
        };
        let fits = self.keep.is_some_and(|most| answer.len() <= most);
        if let (false, Some(most)) = (fits, self.keep) {
            tell!(warn, self, most, "its answer has more bytes than an answer may have, and is not given");
        }
        (end, fits.then_some(answer))
    }

    /// Feeds the command and takes what it says until it ends or its time is up.
    async fn feed_and_wait(&self, child: &mut Child, answer: &mut Vec<u8>) -> Result<std::io::Result<ExitStatus>, Elapsed> {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let ended = CancellationToken::new();
        let wait = async {
            let status = tokio::time::timeout(self.timeout, child.wait()).await;
            ended.cancel();
            status
        };
        let feed = ended.run_until_cancelled(async {
            if let Some(mut stdin) = stdin {
                // A command that does not read its input is no error.
                let _ = stdin.write_all(&self.input).await;
            }
        });
        let said = async {
            match self.keep {
                Some(most) => keep(stdout, most, answer).await,
                None => self.log(stdout).await,
            }
        };
        let output = async {
            let drained = async {
                ended.cancelled().await;
                tokio::time::sleep(DRAIN).await;
            };
            let all = async { tokio::join!(said, self.log(stderr)) };
            tokio::select! {
                _ = all => {}
                () = drained => {}
            }
        };
        tokio::join!(wait, feed, output).0
    }

    async fn log(&self, output: Option<impl AsyncRead + Unpin>) {
        let Some(output) = output else { return };
        let mut output = BufReader::new(output);
        let mut kept = (&mut output).take(OUTPUT_BYTES);
        let mut line = Vec::new();
        while kept.read_until(b'\n', &mut line).await.is_ok_and(|n_bytes| n_bytes > 0) {
            tell!(info, self, "{}", String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
        // An error ends the reading either way.
        let _ = tokio::io::copy_buf(&mut output, &mut tokio::io::sink()).await;
    }

    fn report(&self, status: ExitStatus) -> End {
        if status.success() {
            tell!(info, self, "succeeded");
            End::Succeeded
        } else {
            tell!(warn, self, %status, "failed");
            End::Failed
        }
    }
}

/// Keeps one byte more than allowed, to show that there was more.
async fn keep(output: Option<impl AsyncRead + Unpin>, most: usize, answer: &mut Vec<u8>) {
    let Some(mut output) = output else { return };
    // An error ends the reading; what was read before it counts.
    let _ = (&mut output).take(most as u64 + 1).read_to_end(answer).await;
    let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
}
