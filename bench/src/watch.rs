//! Blocking queries as Consul's clients make them: each asks again with the index it has seen, and comes back when its
//! agent restarts. All of them share one thread, which writes down what each was told and when.

use std::{
    net::SocketAddr,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use lobby_testkit::daemon::Daemon;
use serde_json::Value;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time,
};

use crate::{
    client::{Client, runtime},
    host::{now, sleep_until},
};

/// How long one question waits: the longest that Consul's API knows.
const WAIT: &str = "10m";

/// How soon a client tries again to connect.
const AGAIN: Duration = Duration::from_millis(20);

/// How many make their first connection at once. Later they come back as they like, as clients do.
const AT_ONCE: usize = 64;

/// How often what came is gathered: seldom, so that gathering takes nothing from the thread of the watches.
const GATHER_EVERY: Duration = Duration::from_millis(10);

/// What happened to one watch.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    /// Its place in the list that [`Watches::start`] was given.
    pub(crate) watch: usize,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// An answer, and whether the connection had been lost before it.
    Answer { body: Vec<u8>, is_resumed: bool },
    /// Another status than 200.
    Refused(u16),
    /// The connection was lost.
    Lost,
    /// It is there again.
    Back,
}

/// Watches, until they are dropped.
pub(crate) struct Watches {
    seen: mpsc::Receiver<Seen>,
    _stop: oneshot::Sender<()>,
}

impl Watches {
    /// One for each address and path (without `index` and `wait`), and waits for the first answer of each. Those are
    /// returned in the order of the list.
    pub(crate) fn start(list: Vec<(SocketAddr, String)>) -> (Self, Vec<Vec<u8>>) {
        let (sender, seen) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (n, waiting) = (list.len(), Arc::new(Semaphore::new(AT_ONCE)));
        // Ends with the watches, or with the program.
        std::thread::spawn(move || {
            runtime().block_on(async move {
                for (watch, (address, path)) in list.into_iter().enumerate() {
                    let place = waiting.clone().acquire_owned().await.ok();
                    tokio::spawn(follow(watch, address, path, sender.clone(), place));
                }
                let _ = stopped.await;
            });
        });
        let watches = Self { seen, _stop: stop };
        let mut first = vec![Vec::new(); n];
        for seen in watches.gather(n, Duration::from_secs(60)) {
            match seen.what {
                What::Answer { body, .. } => first[seen.watch] = body,
                other => panic!("a watch began with {other:?}"),
            }
        }
        assert!(first.iter().all(|body| !body.is_empty()), "a watch has no first answer");
        (watches, first)
    }

    /// What comes until there are `n` of them, or the time is over.
    pub(crate) fn gather(&self, n: usize, within: Duration) -> Vec<Seen> {
        let (start, mut seen) = (now(), Vec::new());
        loop {
            seen.extend(self.seen.try_iter());
            if seen.len() >= n || start.elapsed() >= within {
                return seen;
            }
            sleep_until(now() + GATHER_EVERY);
        }
    }

    /// All that has come so far.
    pub(crate) fn drain(&self) -> Vec<Seen> {
        self.seen.try_iter().collect()
    }
}

/// Never ends by itself: the runtime is dropped.
async fn follow(
    watch: usize,
    address: SocketAddr,
    path: String,
    sender: mpsc::Sender<Seen>,
    mut place: Option<OwnedSemaphorePermit>,
) {
    let join = if path.contains('?') { '&' } else { '?' };
    let tell = |what| sender.send(Seen { at: now(), watch, what });
    let (mut index, mut is_lost, mut is_resumed) = (0, false, false);
    loop {
        let Ok(mut client) = Client::connect(address).await else {
            time::sleep(AGAIN).await;
            continue;
        };
        if is_lost {
            is_resumed = true;
            let _ = tell(What::Back);
        }
        loop {
            match client.ask("GET", &format!("{path}{join}index={index}&wait={WAIT}"), "").await {
                Ok(answer) if answer.status == 200 => {
                    index = answer.index;
                    drop(place.take());
                    let _ = tell(What::Answer { body: answer.body, is_resumed });
                    is_resumed = false;
                    is_lost = false;
                }
                Ok(answer) => {
                    let _ = tell(What::Refused(answer.status));
                    time::sleep(AGAIN).await;
                }
                Err(_) => {
                    if !is_lost {
                        let _ = tell(What::Lost);
                    }
                    is_lost = true;
                    break;
                }
            }
        }
    }
}

/// A body without what each agent counts for itself, to compare.
pub(crate) fn entries(body: &[u8]) -> Value {
    without_indexes(
        serde_json::from_slice(body).unwrap_or_else(|err| panic!("not JSON ({err}): {}", String::from_utf8_lossy(body))),
    )
}

fn without_indexes(mut value: Value) -> Value {
    match &mut value {
        Value::Array(list) => list.iter_mut().for_each(|each| *each = without_indexes(each.take())),
        Value::Object(map) => {
            map.retain(|key, _| key != "CreateIndex" && key != "ModifyIndex");
            map.values_mut().for_each(|each| *each = without_indexes(each.take()));
        }
        _ => {}
    }
    value
}

/// The watches of one service's instances at one agent.
pub(crate) fn health(agent: &Daemon, service: &str) -> (SocketAddr, String) {
    (agent.http, format!("/v1/health/service/{service}?passing"))
}
