//! A command that is run whenever a service changed: one at a time, with a pause in between, and always for the newest state.
//!
//! ```text
//! state ─► run ─► cooldown (from the end of the run) ─► changed since? ─► run …
//! ```
//! What changes while it runs is not queued: the next run sees the result. Not here: what a change is (`lobby::client`).

use std::{pin::pin, process::Stdio, time::Duration};

use anyhow::Context;
use lobby::client::Instance;
use tokio::{io::AsyncWriteExt, process::Command, time::sleep};

use crate::failure::say;

/// What is run, for which service.
pub(crate) struct Handler<'a> {
    pub(crate) service: &'a str,
    pub(crate) command: &'a [String],
    pub(crate) cooldown: Duration,
}

impl Handler<'_> {
    /// Runs it for each state that `next` tells, until `next` fails or it cannot be started.
    pub(crate) async fn run(&self, mut next: impl AsyncFnMut() -> anyhow::Result<Vec<Instance>>) -> anyhow::Result<()> {
        let mut newest = None;
        loop {
            let state = match newest.take() {
                Some(state) => state,
                None => next().await?,
            };
            let once = async {
                self.once(&state).await?;
                sleep(self.cooldown).await;
                anyhow::Ok(())
            };
            let mut once = pin!(once);
            loop {
                tokio::select! {
                    done = &mut once => break done?,
                    state = next() => newest = Some(state?),
                }
            }
        }
    }

    /// One run. How it ends is its own business, but said.
    async fn once(&self, instances: &[Instance]) -> anyhow::Result<()> {
        let (program, arguments) = self.command.split_first().context("no command is given")?;
        let passing = instances.iter().filter(|instance| instance.status == "passing").count();
        let mut input = serde_json::to_vec(instances)?;
        input.push(b'\n');
        let mut child = Command::new(program)
            .args(arguments)
            .env("LOBBY_SERVICE", self.service)
            .env("LOBBY_INSTANCES", instances.len().to_string())
            .env("LOBBY_PASSING", passing.to_string())
            .stdin(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let stdin = child.stdin.take();
        let feed = async {
            if let Some(mut stdin) = stdin {
                // One that does not read all of it need not.
                let _ = stdin.write_all(&input).await;
            }
        };
        let mut feed = pin!(feed);
        let mut is_fed = false;
        let status = loop {
            tokio::select! {
                () = &mut feed, if !is_fed => is_fed = true,
                status = child.wait() => break status?,
            }
        };
        if !status.success() {
            say(format_args!("{program}: {status}"));
        }
        Ok(())
    }
}
