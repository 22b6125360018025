//! Which differences there are, and who is told: one task follows the catalog for all streams.
//!
//! ```text
//! newest snapshot ─► history, the last HISTORY of them ─► for each group: render once, tell ─► its streams
//! ```
//! The streams with one filter are a group. A stream that stands where the difference begins takes what was rendered; one
//! that is behind has its own rendered, from where it stands, and those behind by as much share that. Streams whose filter
//! shows nothing of a change are not woken.
//! The task starts with the first stream. The history is bounded by a number of snapshots, which share what they have in
//! common, and goes when nobody has listened for [`QUIET`] minutes. The locks are held for a look.
//! Not here: what is rendered (`delta`), one client (`stream`).

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use lobby_core::{catalog::Snapshot, id::Origin, port::CatalogReader};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{delta, filter::Filter};
use crate::catalog_api::cache::Cache;

/// Snapshots that a client may come back to. With [`SPACING`] they reach back 5 seconds at least, in which a browser has
/// connected anew (after 3); while little happens, for hours.
pub(super) const HISTORY: usize = 256;

/// The least time between two differences: of a storm of changes 50 a second are enough, and the first is told at once.
const SPACING: Duration = Duration::from_millis(20);

/// How often what nobody needs any more is looked for.
const MINUTE: Duration = Duration::from_secs(60);

/// So many minutes without a listener, and the history goes. Longer than a client pauses between two tries.
const QUIET: u32 = 5;

/// All streams of an app.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    inner: Mutex<Inner>,
    /// Whole pictures, for a minute: many come at once when an agent is back.
    pub(super) wholes: ArcSwap<Cache>,
    /// Whole pictures and differences that were rendered.
    pub(crate) made: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    /// The task that follows the catalog runs, or did until the agent ended.
    runs: bool,
    numbers: u64,
    /// Not empty while the task runs.
    history: VecDeque<Entry>,
    /// By the keys of their filters. At most as many as there are streams, and as many again that have just ended.
    groups: HashMap<Box<str>, Weak<Group>>,
    /// From so many groups on it is looked which have ended.
    prune_at: usize,
}

/// A state of the catalog as streams count it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) snapshot: Arc<Snapshot>,
}

/// The streams with one filter.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) filter: Filter,
    told: watch::Sender<Told>,
    /// What was last rendered for one that was behind: from, to.
    behind: Mutex<Option<(u64, u64, Option<Bytes>)>>,
}

/// The last difference that shows with a filter. Numbers are those of entries.
#[derive(Debug)]
pub(super) struct Told {
    /// Since then nothing had shown before it.
    pub(super) since: u64,
    /// Where it begins.
    pub(super) from: u64,
    /// Where it ends.
    pub(super) to: u64,
    /// Its events, until they are a minute old.
    pub(super) events: Option<Bytes>,
    /// Until here nothing has shown after it.
    pub(super) seen: Entry,
}

/// A stream that begins.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) group: Arc<Group>,
    pub(super) told: watch::Receiver<Told>,
    /// Where it stands once it has told its beginning.
    pub(super) at: Entry,
    pub(super) start: Start,
}

/// What a stream begins with.
#[derive(Debug)]
pub(super) enum Start {
    /// The whole picture.
    Anew,
    /// The whole picture, because of this.
    Reset(&'static str),
    /// What happened since this state.
    Resume(Entry),
}

impl Hub {
    /// Begins a stream for a client that last saw the event of this id.
    pub(super) fn join(self: &Arc<Self>, reader: &CatalogReader, filter: Filter, last: Option<&str>) -> Joined {
        let mut inner = self.lock();
        if !inner.runs {
            inner.runs = true;
            inner.push(reader.snapshot());
            tokio::spawn(follow(Arc::downgrade(self), reader.clone()));
        }
        let at = inner.history.back().cloned().unwrap_or_else(|| Entry { number: inner.numbers, snapshot: reader.snapshot() });
        let group = inner.group(filter, &at);
        let start = last.map_or(Start::Anew, |last| inner.start(last, &at));
        drop(inner);
        Joined { told: group.told.subscribe(), group, at, start }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing is left half done under the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next state in and tells everybody.
    async fn take(&self, snapshot: Arc<Snapshot>) {
        let Some((last, next, groups)) = self.lock().next(snapshot) else { return };
        let changed = delta::changed(&last.snapshot, &next.snapshot);
        for group in groups {
            group.tell(self, &last, &next, &changed);
            // With thousands of filters others get their turn in between.
            tokio::task::yield_now().await;
        }
    }

    /// Forgets what is old. Whether nobody has listened for so long that the task ends.
    fn tidy(&self, quiet: &mut u32) -> bool {
        let mut inner = self.lock();
        let groups = inner.living();
        *quiet = if groups.is_empty() { *quiet + 1 } else { 0 };
        if *quiet >= QUIET {
            (inner.runs, inner.history) = (false, VecDeque::new());
        }
        drop(inner);
        self.wholes.store(Arc::default());
        for group in groups {
            group.told.send_if_modified(|told| {
                told.events = None;
                false
            });
            *group.behind() = None;
        }
        *quiet >= QUIET
    }
}

impl Inner {
    fn push(&mut self, snapshot: Arc<Snapshot>) -> Entry {
        self.numbers += 1;
        let entry = Entry { number: self.numbers, snapshot };
        self.history.push_back(entry.clone());
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
        entry
    }

    /// Appends a state if it shows anything new: what was before, what is now, whom to tell.
    fn next(&mut self, snapshot: Arc<Snapshot>) -> Option<(Entry, Entry, Vec<Arc<Group>>)> {
        let newest = self.history.back_mut()?;
        if (newest.snapshot.revision, newest.snapshot.warm) == (snapshot.revision, snapshot.warm) {
            // It shows the same, so the older one need not be kept.
            newest.snapshot = snapshot;
            return None;
        }
        let last = newest.clone();
        Some((last, self.push(snapshot), self.living()))
    }

    /// The groups with a stream; the others are forgotten.
    fn living(&mut self) -> Vec<Arc<Group>> {
        self.groups.retain(|_, group| group.strong_count() > 0);
        self.groups.values().filter_map(Weak::upgrade).collect()
    }

    fn group(&mut self, filter: Filter, at: &Entry) -> Arc<Group> {
        if let Some(group) = self.groups.get(filter.key()).and_then(Weak::upgrade) {
            return group;
        }
        if self.groups.len() >= self.prune_at {
            self.prune_at = 2 * self.living().len() + 64;
        }
        let number = at.number;
        let told = Told { since: number, from: number, to: number, events: None, seen: at.clone() };
        let key = filter.key().into();
        let group = Arc::new(Group { filter, told: watch::Sender::new(told), behind: Mutex::default() });
        self.groups.insert(key, Arc::downgrade(&group));
        group
    }

    /// How a client goes on that last saw this.
    fn start(&self, last: &str, at: &Entry) -> Start {
        let Some((agent, revision)) = last.trim().rsplit_once(':') else { return Start::Reset("foreign") };
        if agent != delta::agent(&at.snapshot) {
            return Start::Reset("foreign");
        }
        if revision.ends_with(delta::PART) {
            return Start::Reset("cut-off");
        }
        // Of two states with one revision the first, after which the other is told again.
        let known = self.history.iter().find(|entry| entry.snapshot.revision.0.to_string() == revision);
        known.map_or(Start::Reset("too-old"), |entry| Start::Resume(entry.clone()))
    }
}

impl Group {
    fn tell(&self, hub: &Hub, last: &Entry, next: &Entry, changed: &BTreeSet<Origin>) {
        let events = delta::events(&self.filter, &last.snapshot, &next.snapshot, changed);
        hub.made.fetch_add(u64::from(events.is_some()), Ordering::Relaxed);
        self.told.send_if_modified(|told| {
            // A group that began with this state has nothing to be told.
            if told.seen.number >= next.number {
                return false;
            }
            told.seen = next.clone();
            if events.is_none() {
                return false;
            }
            (told.since, told.from, told.to, told.events) = (told.to, last.number, next.number, events);
            true
        });
    }

    /// What shows between two states; `None` when nothing does.
    pub(super) fn between(&self, hub: &Hub, from: &Entry, to: &Entry) -> Option<Bytes> {
        if let Some((begin, end, events)) = &*self.behind()
            && (*begin, *end) == (from.number, to.number)
        {
            return events.clone();
        }
        let changed = delta::changed(&from.snapshot, &to.snapshot);
        let events = delta::events(&self.filter, &from.snapshot, &to.snapshot, &changed);
        hub.made.fetch_add(u64::from(events.is_some()), Ordering::Relaxed);
        *self.behind() = Some((from.number, to.number, events.clone()));
        events
    }

    fn behind(&self) -> MutexGuard<'_, Option<(u64, u64, Option<Bytes>)>> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows the catalog. Ends when the node task or the app does, or when nobody listens any more.
async fn follow(hub: Weak<Hub>, mut reader: CatalogReader) {
    let (mut minutes, mut quiet) = (interval(MINUTE), 0);
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    minutes.reset();
    loop {
        tokio::select! {
            snapshot = reader.changed() => {
                let (Ok(snapshot), Some(hub)) = (snapshot, hub.upgrade()) else { return };
                hub.take(snapshot).await;
                drop(hub);
                sleep(SPACING).await;
            }
            _ = minutes.tick() => {
                let Some(hub) = hub.upgrade() else { return };
                if hub.tidy(&mut quiet) {
                    return;
                }
            }
        }
    }
}
