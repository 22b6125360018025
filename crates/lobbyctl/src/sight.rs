//! Whether the daemon sees our processes: found out, since no address tells it.
//!
//! ```text
//! a thread of ours runs ─► "may an instance go with it?" ─► refused, since it is a thread
//! it has ended          ─► the same again                ─► refused, since it is not there: another answer, so it was seen
//! ```
//! A daemon in another container, on another machine or behind a forwarded port has other processes of the same numbers, and
//! would watch one of those. To it nothing has changed between the two questions. Neither can be granted: a second check
//! names a process that Linux cannot have.
//! Not here: what comes of the answer (`registrar`).

use std::{
    io,
    path::Path,
    sync::mpsc::{self, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use lobby::client::{Client, ClientError};
use rustix::thread::gettid;
use serde_json::json;
use tokio::time::sleep;

use crate::definition::Definition;

/// Above every number that Linux gives to a process (`PID_MAX_LIMIT`, 2^22), and accepted as one.
const NOBODY: i32 = i32::MAX;

/// The kernel forgets a thread that has ended within microseconds: this often a millisecond is waited for it.
const TURNS: u32 = 100;

/// A thread that waits for its end.
struct Canary {
    tid: i32,
    /// Dropped, it ends.
    cage: Sender<()>,
    thread: JoinHandle<()>,
}

impl Canary {
    fn start() -> io::Result<Self> {
        let (cage, opened) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let thread = thread::Builder::new().name("canary".into()).spawn(move || {
            // The other side waits for it.
            let _ = tell.send(gettid().as_raw_nonzero().get());
            let _ = opened.recv();
        })?;
        let tid = told.recv().map_err(io::Error::other)?;
        Ok(Self { tid, cage, thread })
    }

    async fn end(self) {
        drop(self.cage);
        // It does not panic.
        let _ = self.thread.join();
        let shown = format!("/proc/self/task/{}", self.tid);
        for _ in 0..TURNS {
            if !Path::new(&shown).exists() {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Whether the daemon can watch our processes for this instance.
pub(crate) async fn sees_us(client: &Client, definition: &Definition) -> Result<bool, ClientError> {
    // Without a thread nothing is found out, and a connection does for every daemon.
    let Ok(canary) = Canary::start() else { return Ok(false) };
    let tid = canary.tid;
    let running = refusal(client, definition, tid).await?;
    canary.end().await;
    Ok(running != refusal(client, definition, tid).await?)
}

/// What the daemon says about watching this thread.
async fn refusal(client: &Client, definition: &Definition, tid: i32) -> Result<String, ClientError> {
    let Definition { name, id, .. } = definition;
    // It looks at checks in the order of their ids.
    let checks = [(0, tid), (1, NOBODY)].map(|(idx, pid)| json!({"CheckID": format!("canary:{id}:{idx}"), "PID": pid}));
    match client.register(name, id, &json!({ "Name": name, "ID": id, "Checks": checks })).await {
        Ok(()) => Ok(String::new()),
        Err(ClientError::Refused { status: 400, message }) => Ok(message),
        Err(err) => Err(err),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_canary_is_a_thread_until_it_ends() {
        let canary = Canary::start().unwrap();
        let shown = format!("/proc/self/task/{}", canary.tid);
        assert!(Path::new(&shown).exists());
        canary.end().await;
        assert!(!Path::new(&shown).exists());
    }
}
