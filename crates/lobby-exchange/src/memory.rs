//! An exchange within one process: a [`Hub`] that several nodes join. For tests and for programs that embed many nodes.
//!
//! The hub is a shared state, not a stream of messages: each node compares what it sees there with what it has told, so
//! nothing can be lost or out of order. A node whose task ends without a last record (it leaves, it restarts) has failed,
//! and the others are told so.
//! The hub can be cut into parts and taken down, to try what a fleet does then.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use imbl::OrdMap;
use lobby_core::{
    id::{NodeId, Origin},
    limits,
    port::{Announcement, Gone, LinkState, NodeEnded, PeerEvent, PeerLink},
    record::{Record, Stamp},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Exchange, ExchangeError};

/// Where nodes of one process meet. Copies are the same hub.
#[derive(Clone, Debug)]
pub struct Hub {
    state: Arc<Mutex<State>>,
    /// Counts changes; every node waits for the next one.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    up: bool,
    /// Stays are numbered, so that a late end of an old stay does not end a new one.
    stays: u64,
    members: HashMap<NodeId, Member>,
    /// Last records of those who left or restart. At most [`limits::NODES`]; who is forgotten here counts as failed.
    last: HashMap<NodeId, Arc<Record>>,
    parts: HashMap<NodeId, u32>,
}

#[derive(Debug)]
struct Member {
    stay: u64,
    /// `None` while it is not listed.
    record: Option<Arc<Record>>,
    /// The nodes without an agent that it knows.
    externals: OrdMap<NodeId, Arc<Record>>,
}

/// What one node sees of the others.
#[derive(Debug, Default)]
struct View {
    records: BTreeMap<NodeId, Arc<Record>>,
    /// The maps of all of them.
    externals: Vec<OrdMap<NodeId, Arc<Record>>>,
}

/// The memory exchange of one node.
#[derive(Debug)]
pub struct Memory {
    hub: Hub,
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl Hub {
    /// An empty hub that is up.
    pub fn new() -> Self {
        let state = State { up: true, stays: 0, members: HashMap::new(), last: HashMap::new(), parts: HashMap::new() };
        Self { state: Arc::new(Mutex::new(state)), changes: watch::Sender::new(0) }
    }

    /// An exchange for one more node.
    pub fn join(&self) -> Memory {
        Memory { hub: self.clone() }
    }

    /// Takes the hub down or up again. While it is down, every link is down and nobody sees any change.
    pub fn set_up(&self, up: bool) {
        self.change(|state| state.up = up);
    }

    /// Puts nodes into parts: nodes of different parts do not see each other. Everybody else is in part 0.
    pub fn split(&self, parts: impl IntoIterator<Item = (NodeId, u32)>) {
        let parts = parts.into_iter().collect();
        self.change(|state| state.parts = parts);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changes.send_modify(|n| *n += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is one assignment or insertion, so a panic elsewhere leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A node's presence in the hub. Its drop is how the others learn of a crash.
struct Stay {
    hub: Hub,
    id: NodeId,
    stay: u64,
}

impl Stay {
    fn begin(hub: Hub, id: NodeId, announced: &Announcement) -> Self {
        let mut stay = 0;
        hub.change(|state| {
            state.stays += 1;
            stay = state.stays;
            state.last.remove(&id);
            state.members.insert(id, Member { stay, record: listed(announced), externals: announced.externals.clone() });
        });
        Self { hub, id, stay }
    }

    fn announce(&self, announced: &Announcement) {
        self.hub.change(|state| {
            if let Some(member) = state.members.get_mut(&self.id).filter(|member| member.stay == self.stay) {
                member.record = listed(announced);
                member.externals = announced.externals.clone();
            }
            if announced.listed && announced.record.is_last() {
                if state.last.len() >= limits::NODES {
                    state.last.clear();
                }
                state.last.insert(self.id, announced.record.clone());
            }
        });
    }

    /// Everybody this node can see, itself excluded; `None` while the hub is down.
    fn view(&self) -> Option<View> {
        let state = self.hub.lock();
        let part = |id: &NodeId| state.parts.get(id).copied().unwrap_or(0);
        let own = part(&self.id);
        let others = state.members.iter().filter(|(id, _)| **id != self.id && part(id) == own);
        state.up.then(|| {
            let mut view = View::default();
            for (id, member) in others {
                view.records.extend(member.record.clone().map(|record| (*id, record)));
                view.externals.push(member.externals.clone());
            }
            view
        })
    }

    fn last_record(&self, id: NodeId) -> Option<Arc<Record>> {
        self.hub.lock().last.get(&id).cloned()
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.hub.change(|state| {
            if state.members.get(&self.id).is_some_and(|member| member.stay == self.stay) {
                state.members.remove(&self.id);
            }
        });
    }
}

fn listed(announced: &Announcement) -> Option<Arc<Record>> {
    (announced.listed && !announced.record.is_last()).then(|| announced.record.clone())
}

impl Exchange for Memory {
    async fn run(self, mut link: PeerLink, stop: CancellationToken) -> Result<(), ExchangeError> {
        let mut changes = self.hub.changes.subscribe();
        let announced = link.announcement.borrow_and_update().clone();
        let id = announced.record.origin.node_id().expect("our own record has a node id");
        let mut told = Told::default();
        let stay = Stay::begin(self.hub, id, &announced);
        loop {
            changes.mark_unchanged();
            if told.tell_changes(&stay, &link).await.is_err() {
                return Ok(());
            }
            tokio::select! {
                () = stop.cancelled() => break,
                changed = link.announcement.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    stay.announce(&link.announcement.borrow_and_update().clone());
                }
                Some(node) = link.questions.recv() => {
                    if stay.view().is_some_and(|view| view.records.contains_key(&node))
                        && link.tell(PeerEvent::Seen(Origin::Node(node), Duration::ZERO)).await.is_err()
                    {
                        return Ok(());
                    }
                }
                // The hub holds a sender for as long as this value, so this never fails.
                _ = changes.changed() => {}
            }
        }
        stay.announce(&link.announcement.borrow_and_update().clone());
        Ok(())
    }
}

/// What the node task knows from us.
#[derive(Default)]
struct Told {
    up: Option<bool>,
    warm: bool,
    records: BTreeMap<NodeId, Arc<Record>>,
    externals: HashMap<NodeId, Stamp>,
}

impl Told {
    async fn tell_changes(&mut self, stay: &Stay, link: &PeerLink) -> Result<(), NodeEnded> {
        let Some(View { records: view, externals }) = stay.view() else {
            if self.up.replace(false) == Some(true) {
                link.tell(PeerEvent::Link(LinkState::Down { why: "the hub is down".into() })).await?;
            }
            return Ok(());
        };
        if self.up.replace(true) != Some(true) {
            link.tell(PeerEvent::Link(LinkState::Up)).await?;
        }
        for (id, record) in &view {
            if !self.records.get(id).is_some_and(|told| Arc::ptr_eq(told, record)) {
                link.tell(PeerEvent::Record(record.clone())).await?;
                link.tell(PeerEvent::Seen(Origin::Node(*id), Duration::ZERO)).await?;
            }
        }
        for id in self.records.keys().filter(|id| !view.contains_key(id)) {
            match stay.last_record(*id) {
                Some(record) => link.tell(PeerEvent::Record(record)).await?,
                None => link.tell(PeerEvent::Gone(Origin::Node(*id), Gone::Failed)).await?,
            }
        }
        self.records = view;
        self.tell_externals(&externals, link).await?;
        if !std::mem::replace(&mut self.warm, true) {
            link.tell(PeerEvent::Warm).await?;
        }
        Ok(())
    }

    /// Nodes without an agent, each version once.
    async fn tell_externals(&mut self, maps: &[OrdMap<NodeId, Arc<Record>>], link: &PeerLink) -> Result<(), NodeEnded> {
        for (id, record) in maps.iter().flatten() {
            if self.externals.get(id).is_none_or(|told| *told < record.stamp) {
                self.externals.insert(*id, record.stamp);
                link.tell(PeerEvent::Record(record.clone())).await?;
            }
        }
        self.externals.retain(|id, _| maps.iter().any(|map| map.contains_key(id)));
        Ok(())
    }
}
