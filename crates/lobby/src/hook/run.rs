//! One run of a hook: a process group of its own, a deadline, its output in the log.

use std::{
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use lobby_core::stats::AgentStats;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    time::error::Elapsed,
};
use tokio_util::sync::CancellationToken;

use super::Hook;

/// Most bytes of output that reach the log in one run; the rest is read and dropped, so that the command never blocks.
const OUTPUT_BYTES: u64 = 64 * 1024;

/// How long the output is read after the command's end: what it wrote is in the pipe by then, and a process that it left
/// behind may hold the pipe for ever.
const DRAIN: Duration = Duration::from_millis(100);

/// Variables of lobbyd that hold secrets, each also known as `LOBBY_NAME`: a command that needs one is given it by
/// whoever configures the command.
const SECRETS: &[&str] =
    &["TOKEN", "NATS_URL", "NATS_PASSWORD", "NATS_TOKEN", "NATS_NKEY", "REDIS_PASSWORD", "GOSSIP_KEY", "EXCHANGE_KEY"];

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
    let mut child = match command(program, arguments).spawn() {
        Ok(child) => child,
        Err(err) => {
            tracing::warn!(hook = %name, "cannot start {program}: {err}");
            count(&stats.hooks_failed);
            return;
        }
    };
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    crate::rlimit::restore_for(group.0);
    match feed_and_wait(hook, &mut child, input).await {
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

fn command(program: &str, arguments: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in SECRETS {
        command.env_remove(name).env_remove(format!("LOBBY_{name}"));
    }
    command
}

/// Feeds the command and logs what it says until it ends or its time is up.
async fn feed_and_wait(hook: &Hook, child: &mut Child, input: Vec<u8>) -> Result<std::io::Result<ExitStatus>, Elapsed> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let ended = CancellationToken::new();
    let wait = async {
        let status = tokio::time::timeout(hook.timeout, child.wait()).await;
        ended.cancel();
        status
    };
    let feed = ended.run_until_cancelled(async {
        if let Some(mut stdin) = stdin {
            // A command that does not read its input is no error.
            let _ = stdin.write_all(&input).await;
        }
    });
    let output = async {
        let drained = async {
            ended.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        let all = async { tokio::join!(log(&hook.name, stdout), log(&hook.name, stderr)) };
        tokio::select! {
            _ = all => {}
            () = drained => {}
        }
    };
    tokio::join!(wait, feed, output).0
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

#[cfg(test)]
mod tests {
    use lobby_core::select::Selector;

    use super::*;
    use crate::captured;

    fn hook(script: &str) -> Hook {
        Hook {
            name: "test".into(),
            command: ["sh", "-c", script].map(str::to_owned).into(),
            cooldown: Duration::ZERO,
            first_delay: Duration::ZERO,
            timeout: Duration::from_secs(30),
            selector: Selector::All,
        }
    }

    async fn succeeds(hook: &Hook, input: Vec<u8>) {
        let stats = AgentStats::default();
        tokio::time::timeout(Duration::from_secs(10), run(hook, input, &stats)).await.expect("the run ends with its command");
        assert_eq!(stats.hooks_succeeded.load(Ordering::Relaxed), 1, "{stats:?}");
    }

    #[tokio::test]
    async fn the_last_words_of_a_command_reach_the_log() {
        let log = captured::Log::start();
        let folder = tempfile::tempdir().unwrap();
        for n in 0..10 {
            let path = folder.path().join(n.to_string());
            let hook = hook(&format!("echo $$ > {}; echo word-{n}.; echo error-{n}. >&2", path.display()));
            // Holds up this thread until the command has ended: then its end and its output are news at the same time.
            let hold_up = async {
                tokio::task::yield_now().await;
                let is_over = || {
                    let pid = std::fs::read_to_string(&path).ok().filter(|pid| pid.ends_with('\n'))?;
                    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
                    (stat.is_empty() || stat.contains(") Z ")).then_some(())
                };
                while is_over().is_none() {
                    std::thread::yield_now();
                }
            };
            tokio::join!(succeeds(&hook, Vec::new()), hold_up);
            let text = log.text();
            assert!(text.contains(&format!("word-{n}.")) && text.contains(&format!("error-{n}.")), "{n}: {text}");
        }
    }

    #[tokio::test]
    async fn a_child_that_holds_the_pipes_does_not_hold_up_the_run() {
        // More input than a pipe takes, and nobody who reads it. The child ends itself.
        succeeds(&hook("exec 3<&0; sleep 20 <&3 & exit 0"), vec![b'x'; 1 << 20]).await;
    }

    #[tokio::test]
    async fn the_input_arrives_whole() {
        succeeds(&hook("test $(wc -c) = 1048576"), vec![b'x'; 1 << 20]).await;
    }

    #[test]
    fn secrets_are_not_inherited() {
        let command = command("true", &[]);
        let removed: Vec<_> = command.as_std().get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
        for name in ["TOKEN", "LOBBY_TOKEN", "GOSSIP_KEY", "LOBBY_GOSSIP_KEY", "NATS_PASSWORD", "LOBBY_REDIS_PASSWORD"] {
            assert!(removed.iter().any(|removed| *removed == name), "{name} in {removed:?}");
        }
    }
}
