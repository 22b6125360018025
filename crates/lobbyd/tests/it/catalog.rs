//! What the tests of services share: registering, reading and watching through Consul's HTTP API, as its clients do.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use lobby_testkit::{daemon::Daemon, eventually, expect, http};
use serde_json::Value;

use crate::fleet::SOON;

/// How long a watch waits for a change before it asks again: short, so that its thread ends soon after its test.
const WAIT: &str = "2s";

/// Puts something that answers nothing; panics unless it does so with 200.
#[track_caller]
pub(crate) fn put(daemon: &Daemon, path: &str, body: &str) {
    let answer = daemon.request("PUT", path, &[], body);
    assert_eq!((answer.status, answer.text().as_str()), (200, ""), "PUT {path} {body}");
}

/// Registers an instance.
#[track_caller]
pub(crate) fn register(daemon: &Daemon, body: &Value) {
    put(daemon, "/v1/agent/service/register", &body.to_string());
}

/// Deregisters an instance.
#[track_caller]
pub(crate) fn deregister(daemon: &Daemon, id: &str) {
    put(daemon, &format!("/v1/agent/service/deregister/{id}"), "");
}

/// The ids of these health entries, in their order.
pub(crate) fn ids(entries: &Value) -> Vec<String> {
    let ids = entries.as_array().into_iter().flatten().map(|entry| entry["Service"]["ID"].as_str().unwrap_or("?").to_owned());
    ids.collect()
}

/// The ids of the passing instances of a service.
#[track_caller]
pub(crate) fn passing(daemon: &Daemon, service: &str) -> Vec<String> {
    ids(&daemon.get(&format!("/v1/health/service/{service}?passing")).json())
}

/// Waits until each of them has exactly these passing instances.
#[track_caller]
pub(crate) fn all_pass<'a>(fleet: impl IntoIterator<Item = &'a Daemon>, service: &str, want: &[&str]) {
    for daemon in fleet {
        eventually(SOON, || {
            let seen = passing(daemon, service);
            expect(seen == want, (daemon.node(), seen))
        });
    }
}

/// The same without what each agent counts for itself.
pub(crate) fn without_indexes(mut value: Value) -> Value {
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

/// The time now, to compare with that of another answer.
pub(crate) fn now() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().expect("the clock is after 1970")
}

/// A client that watches the passing instances of one service at one agent, as Consul's clients do, until it is dropped.
pub(crate) struct Watch {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    stopped: Arc<AtomicBool>,
}

/// An answer whose index differs from that of the one before: what clients take for a change.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// When it came.
    pub(crate) at: Duration,
    /// Whether the connection had failed since the answer before.
    pub(crate) is_resumed: bool,
    /// The entries, without indexes.
    pub(crate) entries: Value,
}

impl Watch {
    /// Starts one and waits for its first answer.
    #[track_caller]
    pub(crate) fn start(address: SocketAddr, service: &str) -> Self {
        let watch = Self { address, seen: Arc::default(), stopped: Arc::default() };
        let (seen, stopped, service) = (watch.seen.clone(), watch.stopped.clone(), service.to_owned());
        // Ends when the watch is dropped, WAIT later at most; bounded by the number of changes of one test.
        std::thread::spawn(move || follow(address, &service, &seen, &stopped));
        watch.until(|_| true);
        watch
    }

    /// All it has seen so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    /// Waits until the newest is `wanted`.
    #[track_caller]
    pub(crate) fn until(&self, wanted: impl Fn(&Value) -> bool) -> Seen {
        eventually(SOON, || {
            let last = lock(&self.seen).last().cloned();
            last.clone().filter(|seen| wanted(&seen.entries)).ok_or(last)
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

fn lock(seen: &Mutex<Vec<Seen>>) -> MutexGuard<'_, Vec<Seen>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn follow(address: SocketAddr, service: &str, seen: &Mutex<Vec<Seen>>, stopped: &AtomicBool) {
    let (mut index, mut is_resumed) = (0, false);
    loop {
        let path = format!("/v1/health/service/{service}?passing&wait={WAIT}&index={index}");
        let answer = eventually(SOON, || match ask(address, &path) {
            _ if stopped.load(Ordering::Relaxed) => Ok(None),
            Ok(answer) => Ok(Some(answer)),
            Err(err) => {
                is_resumed = true;
                Err(err)
            }
        });
        let Some((next, entries)) = answer else { return };
        if next != index {
            lock(seen).push(Seen { at: now(), is_resumed, entries });
        }
        // Consul's clients begin anew when an index falls.
        index = if next < index { 0 } else { next };
        is_resumed = false;
    }
}

fn ask(address: SocketAddr, path: &str) -> Result<(u64, Value), String> {
    let answer = http::get(address, path).map_err(|err| err.to_string())?;
    let index = answer.header("x-consul-index").and_then(|text| text.parse().ok());
    // An agent that ends may have sent the beginning of an answer.
    match (index, serde_json::from_slice(&answer.body)) {
        (Some(index), Ok(entries)) if answer.status == 200 && index > 0 => Ok((index, without_indexes(entries))),
        _ => Err(format!("{} with {index:?}: {}", answer.status, answer.text())),
    }
}
