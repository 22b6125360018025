//! The steady load of an endurance run: blocked requests at every agent, and clients that simply ask.
//!
//! An agent that is being restarted or is stopped cannot answer; those requests are counted apart and made again.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{
    agent::{Agent, ask},
    truth::service,
};
use crate::host::{now, sleep_until};

/// Blocked requests at each agent.
const WATCHES: usize = 2;

/// Between two requests of the client that only asks.
const READ: Duration = Duration::from_millis(50);

/// After a request that was not answered.
const AGAIN: Duration = Duration::from_millis(200);

#[derive(Default)]
struct Counts {
    stopped: AtomicBool,
    answers: AtomicU64,
    reads: AtomicU64,
    unanswered: AtomicU64,
}

/// What runs.
pub(super) struct Load {
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

/// What came of it.
pub(super) struct Loaded(Arc<Counts>);

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [&self.0.answers, &self.0.reads, &self.0.unanswered].map(|count| count.load(Relaxed));
        write!(f, "{} blocked requests and {} plain ones answered, {} while an agent was away", counts[0], counts[1], counts[2])
    }
}

impl Load {
    pub(super) fn start(agents: &[Agent]) -> Self {
        let counts = Arc::new(Counts::default());
        let mut threads = Vec::new();
        for agent in agents {
            for n in 0..WATCHES {
                let (counts, socket) = (counts.clone(), agent.socket.clone());
                threads.push(std::thread::spawn(move || watch(&counts, &socket, &service(n))));
            }
        }
        let (shared, sockets) = (counts.clone(), agents.iter().map(|agent| agent.socket.clone()).collect::<Vec<_>>());
        threads.push(std::thread::spawn(move || read(&shared, &sockets)));
        Self { counts, threads }
    }

    /// Ends within the time of a blocked request.
    pub(super) fn stop(mut self) -> Loaded {
        self.end();
        Loaded(self.counts.clone())
    }

    fn end(&mut self) {
        self.counts.stopped.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            // A panic of such a thread was printed.
            let _ = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // In a panic nobody waits: the agents are about to go.
        self.counts.stopped.store(true, Relaxed);
    }
}

/// Asks for one service again and again, from the index of the last answer.
fn watch(counts: &Counts, socket: &Path, service: &str) {
    let mut index = 0_u64;
    while !counts.stopped.load(Relaxed) {
        match ask(socket, "GET", &format!("/v1/health/service/{service}?index={index}&wait=5s"), "") {
            Ok(answer) if answer.status == 200 => {
                let told = answer.header("x-consul-index").and_then(|text| text.parse().ok()).unwrap_or(0);
                // An index that goes back is that of another start.
                index = if told < index { 0 } else { told };
                counts.answers.fetch_add(1, Relaxed);
            }
            _ => missed(counts),
        }
    }
}

fn read(counts: &Counts, sockets: &[PathBuf]) {
    let paths = ["/", "/v1/catalog/services", "/v1/nodes", "/v1/services"];
    let mut n = 0;
    while !counts.stopped.load(Relaxed) {
        let next = now() + READ;
        match ask(&sockets[n % sockets.len()], "GET", paths[n / sockets.len() % paths.len()], "") {
            Ok(answer) if answer.status == 200 => _ = counts.reads.fetch_add(1, Relaxed),
            _ => missed(counts),
        }
        n += 1;
        sleep_until(next);
    }
}

fn missed(counts: &Counts) {
    counts.unanswered.fetch_add(1, Relaxed);
    sleep_until(now() + AGAIN);
}
