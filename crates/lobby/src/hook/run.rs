//! One run of a hook: a process group of its own, a deadline, its output in the log.

use std::{
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

use lobby_core::stats::AgentStats;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

use super::Hook;

/// Most bytes of output that reach the log in one run; the rest is read and dropped, so that the command never blocks.
const OUTPUT_BYTES: u64 = 64 * 1024;

/// The process group of a run: killed whole when dropped, so that a cancelled run leaves nothing behind.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // The group may have ended by itself.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Runs the command with `input` on its stdin, logs how it ended and counts it.
pub(super) async fn run(hook: &Hook, input: Vec<u8>, stats: &AgentStats) {
    let name = &hook.name;
    let Some((program, arguments)) = hook.command.split_first() else { return };
    let mut command = Command::new(program);
    command.args(arguments).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(err) => {
            tracing::warn!(hook = %name, "cannot start {program}: {err}");
            count(&stats.hooks_failed);
            return;
        }
    };
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    crate::rlimit::restore_for(group.0);
    match tokio::time::timeout(hook.timeout, feed_and_wait(name, &mut child, input)).await {
        Ok(Ok(status)) => {
            // What it left in its group on purpose may go on.
            group.0 = None;
            report(name, status, stats);
        }
        Ok(Err(err)) => {
            tracing::warn!(hook = %name, "lost track of the command: {err}");
            count(&stats.hooks_failed);
        }
        Err(_) => {
            tracing::warn!(hook = %name, timeout = ?hook.timeout, "killed: it took longer than its timeout");
            count(&stats.hooks_timed_out);
        }
    }
}

async fn feed_and_wait(name: &str, child: &mut Child, input: Vec<u8>) -> std::io::Result<ExitStatus> {
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command that does not read its input is no error.
            let _ = stdin.write_all(&input).await;
        }
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // The output ends when the last process that holds it ends; that is waited for only until the command itself ends.
    let output = async { tokio::join!(log(name, stdout), log(name, stderr)) };
    let (_, status) = tokio::join!(feed, async {
        tokio::pin!(output);
        tokio::select! {
            status = child.wait() => status,
            _ = &mut output => child.wait().await,
        }
    });
    status
}

async fn log(name: &str, output: Option<impl AsyncRead + Unpin>) {
    let Some(output) = output else { return };
    let mut output = BufReader::new(output);
    let mut kept = (&mut output).take(OUTPUT_BYTES);
    let mut line = Vec::new();
    while kept.read_until(b'\n', &mut line).await.is_ok_and(|n_bytes| n_bytes > 0) {
        tracing::info!(hook = %name, "{}", String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    // An error ends the reading either way.
    let _ = tokio::io::copy_buf(&mut output, &mut tokio::io::sink()).await;
}

fn report(name: &str, status: ExitStatus, stats: &AgentStats) {
    if status.success() {
        tracing::info!(hook = %name, "succeeded");
        count(&stats.hooks_succeeded);
    } else {
        tracing::warn!(hook = %name, %status, "failed");
        count(&stats.hooks_failed);
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
