//! Who waits for what: requests file themselves under topics, one task takes each snapshot and wakes those whose topic moved.
//!
//! ```text
//! request ─► Waiting (filed under its topics) ◄─ wakes ─ one task ◄─ difference of two snapshots, by pointer
//! ```
//! A request files itself first and looks at the newest snapshot then, so that nothing passes unseen in between. All who wait
//! for a topic share one place to wait at; one more of them costs a handle and the name. A request that is dropped takes itself
//! out.
//! Topics are bounded by the requests that may wait (`Limits::waits`), each with a few. The shards' locks are held for a look.
//! Not here: how long a request waits (`consul`), what moved an index (`lobby_core::catalog`).

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    hash::{BuildHasher, RandomState},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
};

use lobby_core::{catalog::Snapshot, id::NodeId, port::CatalogReader};
use tokio::sync::{Notify, futures::Notified};

#[cfg(test)]
mod tests;
mod touched;

pub(crate) use touched::touched;

/// So many parts of the table with a lock each: some times as many as there are threads.
const SHARDS: usize = 64;

/// What a request can wait for. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// A service with all that its instances show.
    Service(Box<str>),
    /// The nodes of a name with all that they offer.
    Node(Box<str>),
    /// The same of one node by its id.
    Id(NodeId),
    /// The list of all nodes.
    Nodes,
    /// The list of all services.
    Services,
    /// The list of all checks.
    Checks,
    /// Anything.
    All,
}

/// All who wait.
#[derive(Debug)]
pub(crate) struct Watches {
    shards: [Mutex<HashMap<Topic, Place>>; SHARDS],
    hasher: RandomState,
    /// The task that wakes runs, or did until the agent ended.
    runs: AtomicBool,
    /// Requests that were woken.
    wakes: AtomicU64,
    /// Requests that were woken and found their index as it was.
    in_vain: AtomicU64,
}

/// Where all wait who wait for one topic, and how many they are.
#[derive(Debug, Default)]
struct Place {
    notify: Arc<Notify>,
    waiting: usize,
}

/// One request, filed under its topics until this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    watches: &'a Watches,
    first: Filed,
    second: Option<Filed>,
}

/// A topic and where one waits for it.
#[derive(Debug)]
struct Filed(Topic, Arc<Notify>);

impl Default for Watches {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            runs: AtomicBool::new(false),
            wakes: AtomicU64::new(0),
            in_vain: AtomicU64::new(0),
        }
    }
}

impl Watches {
    /// Starts the task that wakes, unless it runs. It ends when the node task or the app does.
    pub(crate) fn run(self: &Arc<Self>, reader: &CatalogReader) {
        if !self.runs.swap(true, Ordering::AcqRel) {
            tokio::spawn(wake_all(Arc::downgrade(self), reader.clone(), reader.snapshot()));
        }
    }

    /// Files a request under one or two topics.
    pub(crate) fn wait_for(&self, (first, second): (Topic, Option<Topic>)) -> Waiting<'_> {
        Waiting { watches: self, first: self.file(first), second: second.map(|second| self.file(second)) }
    }

    fn file(&self, topic: Topic) -> Filed {
        let mut shard = self.shard(&topic);
        if let Some(place) = shard.get_mut(&topic) {
            place.waiting += 1;
            return Filed(topic, place.notify.clone());
        }
        let place = Place { notify: Arc::default(), waiting: 1 };
        let notify = place.notify.clone();
        shard.insert(topic.clone(), place);
        Filed(topic, notify)
    }

    /// How many requests were woken, and how many of them in vain.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.wakes.load(Ordering::Relaxed), self.in_vain.load(Ordering::Relaxed))
    }

    /// How many topics somebody waits for.
    pub(crate) fn topics(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).len()).sum()
    }

    fn wake(&self, topic: &Topic) {
        if let Some(place) = self.shard(topic).get(topic) {
            place.notify.notify_waiters();
        }
    }

    fn shard(&self, topic: &Topic) -> MutexGuard<'_, HashMap<Topic, Place>> {
        let hash = self.hasher.hash_one(topic);
        locked(&self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or_default()])
    }
}

impl Waiting<'_> {
    /// Waits until one of the topics has moved and `is_news` says so.
    pub(crate) async fn news(&self, is_news: impl Fn() -> bool) {
        loop {
            let Filed(_, first) = &self.first;
            let mut first = pin!(first.notified());
            let mut second = pin!(self.second.as_ref().map(|Filed(_, notify)| notify.notified()));
            // In place before the look, so that what comes after the look wakes it.
            first.as_mut().enable();
            second.as_mut().as_pin_mut().map(Notified::enable);
            if is_news() {
                return;
            }
            poll_fn(|context| {
                let first = first.as_mut().poll(context);
                let second = second.as_mut().as_pin_mut().map_or(Poll::Pending, |second| second.poll(context));
                if first.is_ready() { first } else { second }
            })
            .await;
            self.watches.wakes.fetch_add(1, Ordering::Relaxed);
            if is_news() {
                return;
            }
            self.watches.in_vain.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        for Filed(topic, _) in [Some(&self.first), self.second.as_ref()].into_iter().flatten() {
            let mut shard = self.watches.shard(topic);
            let Some(place) = shard.get_mut(topic) else { continue };
            place.waiting -= 1;
            if place.waiting == 0 {
                shard.remove(topic);
            }
        }
    }
}

/// Nothing is left half done under the lock.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn wake_all(watches: Weak<Watches>, mut reader: CatalogReader, mut last: Arc<Snapshot>) {
    while let Ok(next) = reader.changed().await {
        let Some(watches) = watches.upgrade() else { return };
        touched(&last, &next, |topic| watches.wake(&topic));
        last = next;
    }
}
