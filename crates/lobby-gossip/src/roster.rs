//! What we know of every node: its member state, its record, and the sums that two members compare.
//!
//! The engine owns one. [`Roster::sync`] compares it with foca's state and says what the catalog must hear, so a lost
//! notification cannot lose a change. Sums cover members that are up (with their record's version): members that are
//! down are forgotten at different times by different members and must not keep the sums apart for ever.
//! At most [`limits::NODES`] nodes; those down for an hour are forgotten.
//! Not here: probing (`member`), who compares when (`engine/talk`).

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use foca::{Member, State};
use lobby_core::{
    id::{Generation, NodeId, Origin},
    limits,
    port::{Gone, PeerEvent},
    record::{Record, Stamp},
    time::Moment,
};
use rand::{RngExt, rngs::SmallRng};

use self::external::GivenUp;
use crate::{bucket::Bucket, config::REMEMBER_RECORD, identity::Identity};

mod digest;
mod external;
mod standing;

pub(crate) use digest::{BUCKETS, Entry, Mask, Sums, WIDE_BUCKETS};

/// Moves that wait to be looked at; there is hardly ever more than one.
const MOST_MOVED: usize = 8;

/// What the catalog was told last about a node's liveness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Seen(Identity),
    Suspect,
    Unattended,
    Gone,
    /// Forced to leave.
    Left,
}

#[derive(Debug)]
struct Node {
    member: Option<Member<Identity>>,
    record: Option<Arc<Record>>,
    told: Told,
    /// There is proof that its process is gone.
    unattended: bool,
    /// Changes of its record that are taken from datagrams.
    bucket: Bucket,
    /// What this node adds to the sums; zero while it is not up.
    share: u64,
    /// Where it stands in the list of live members.
    live_idx: Option<usize>,
    /// Nobody's process: its record is what somebody registered, and stays without a member.
    external: bool,
    since: Moment,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is newer than what was here.
    Newer,
    /// Nothing new.
    Stale,
    /// There is no room for another node.
    Full,
}

/// Everything known about everybody.
#[derive(Debug)]
pub(crate) struct Roster {
    own: NodeId,
    /// In boxes: a table of thousands of them in place would double its size, and leave holes, whenever it grows.
    nodes: HashMap<NodeId, Box<Node>>,
    live: Vec<NodeId>,
    /// Nodes without an agent. They count in the sums, and are nobody's to probe.
    externals: BTreeSet<NodeId>,
    /// Versions of such nodes that the node task has given up.
    given_up: GivenUp,
    sums: Sums,
    /// Rises whenever `live` changes, or who of them is unattended.
    version: u64,
    /// Members that were replaced by one at another address: the old and the new.
    moved: Vec<(Identity, Identity)>,
    /// Members that are down without ever having been suspected, and since when: their goodbye may be on its way.
    held: Vec<(Moment, NodeId)>,
}

impl Roster {
    pub(crate) fn new(own: NodeId) -> Self {
        Self {
            own,
            nodes: HashMap::new(),
            live: Vec::new(),
            externals: BTreeSet::new(),
            given_up: GivenUp::default(),
            sums: Sums::new(),
            version: 0,
            moved: Vec::new(),
            held: Vec::new(),
        }
    }

    pub(crate) fn sums(&self) -> &Sums {
        &self.sums
    }

    /// How many other members are up.
    pub(crate) fn n_live(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn record(&self, id: NodeId) -> Option<&Arc<Record>> {
        self.nodes.get(&id)?.record.as_ref()
    }

    pub(crate) fn member(&self, id: NodeId) -> Option<&Member<Identity>> {
        self.nodes.get(&id)?.member.as_ref()
    }

    /// Whether anything is known of this node.
    pub(crate) fn knows(&self, id: NodeId) -> bool {
        self.nodes.contains_key(&id)
    }

    /// Another member, if it is up.
    pub(crate) fn live_member(&self, id: NodeId) -> Option<Identity> {
        let node = self.nodes.get(&id)?;
        node.live_idx.and(node.member.as_ref()).map(|member| *member.id())
    }

    /// Whether some member that is up listens there.
    pub(crate) fn has_live_at(&self, addr: std::net::SocketAddr) -> bool {
        self.live().any(|identity| identity.addr == addr)
    }

    /// The other members that are up, in no order.
    pub(crate) fn live(&self) -> impl Iterator<Item = Identity> {
        self.live.iter().filter_map(|id| self.member(*id)).map(|member| *member.id())
    }

    /// Members that went away without a goodbye, and since when, in no order.
    pub(crate) fn failed(&self) -> impl Iterator<Item = (Moment, Identity)> {
        let failed = |node: &&Node| node.live_idx.is_none() && !node.record.as_ref().is_some_and(|record| record.has_left());
        let others = self.nodes.iter().filter(|(id, _)| **id != self.own).map(|(_, node)| &**node);
        others.filter(failed).filter_map(|node| Some((node.since, *node.member.as_ref()?.id())))
    }

    /// Up to `count` different members that are up, none of them `except`.
    pub(crate) fn choose(&self, count: usize, except: &[NodeId], rng: &mut SmallRng) -> Vec<Identity> {
        let mut chosen = Vec::with_capacity(count);
        // A few draws more than needed: some hit the same member or an excepted one.
        for _ in 0..count * 4 + 8 {
            if chosen.len() == count.min(self.live.len()) || self.live.is_empty() {
                break;
            }
            let id = self.live[rng.random_range(0..self.live.len())];
            if !except.contains(&id)
                && !chosen.iter().any(|other: &Identity| other.id == id)
                && let Some(member) = self.member(id)
            {
                chosen.push(*member.id());
            }
        }
        chosen
    }

    /// Whether the node's allowance has a change left; nothing is taken from it.
    pub(crate) fn could_change(&self, id: NodeId, now: Moment) -> bool {
        self.nodes.get(&id).is_none_or(|node| {
            let mut bucket = node.bucket;
            bucket.take(now)
        })
    }

    /// Takes one change from the node's allowance.
    pub(crate) fn may_change(&mut self, id: NodeId, now: Moment) -> bool {
        self.nodes.get_mut(&id).is_none_or(|node| node.bucket.take(now))
    }

    /// Takes in a record if it is newer.
    pub(crate) fn put_record(&mut self, record: Arc<Record>, now: Moment) -> Taken {
        let Origin::Node(id) = record.origin else { return Taken::Stale };
        if self.record(id).is_some_and(|old| old.stamp >= record.stamp) {
            return Taken::Stale;
        }
        let (external, known) = (record.is_external(), self.externals.contains(&id));
        // Nobody's process, whoever claims to be it.
        if (known && !external) || self.has_given_up(id, record.stamp) {
            return Taken::Stale;
        }
        if external && !known && self.externals.len() >= limits::EXTERNALS && !self.drop_oldest_removed() {
            return Taken::Full;
        }
        let Some(node) = self.node(id, now) else { return Taken::Full };
        node.record = Some(record);
        node.external = external;
        if external {
            node.since = now;
            self.externals.insert(id);
        }
        self.weigh(id);
        Taken::Newer
    }

    /// Sets our own identity, which counts in the sums but not among the others.
    pub(crate) fn set_own(&mut self, identity: Identity, now: Moment) {
        let own = self.own;
        if let Some(node) = self.node(own, now) {
            node.member = Some(Member::alive(identity));
            self.weigh(own);
        }
    }

    /// Compares with foca's members; `alive` says who gave a proof of life although foca suspects it.
    pub(crate) fn sync<'a>(
        &mut self,
        members: impl Iterator<Item = &'a Member<Identity>>,
        alive: impl Fn(NodeId) -> bool,
        now: Moment,
    ) -> Vec<PeerEvent> {
        let mut events = Vec::new();
        for member in members {
            let id = member.id().id;
            match self.nodes.get(&id) {
                // foca remembers our former processes as down. We are what `set_own` says.
                _ if id == self.own => continue,
                // Nobody cares about the end of a node that was never here.
                None if member.state() == State::Down => continue,
                // The usual case. A suspect is looked at again, for proofs of life come and go.
                Some(node) if node.member.as_ref() == Some(member) && member.state() != State::Suspect => continue,
                _ => {}
            }
            let Some(node) = self.node(id, now) else { continue };
            if node.member.as_ref().is_none_or(|old| old.state() != member.state()) {
                node.since = now;
            }
            let old = node.member.replace(member.clone()).map(|old| *old.id());
            if old.is_some_and(|old| old != *member.id()) {
                node.unattended = false;
            }
            let moved = old.filter(|old| old.addr != member.id().addr).map(|old| (old, *member.id()));
            let suspected = member.state() == State::Suspect && !alive(id);
            if member.state() == State::Down && matches!(node.told, Told::Seen(_)) {
                self.held.push((now, id));
                self.weigh(id);
                continue;
            }
            events.extend(node.tell_again(member, suspected));
            self.weigh(id);
            self.moved.extend(moved.filter(|_| self.moved.len() < MOST_MOVED));
        }
        events
    }

    /// Drops nodes that have been down for an hour, and records that never got a member.
    pub(crate) fn forget(&mut self, now: Moment) {
        let old = |node: &Node| node.live_idx.is_none() && now.since(node.since) > REMEMBER_RECORD;
        self.nodes.retain(|id, node| *id == self.own || node.external || !old(node));
    }

    /// The state of the live nodes in the buckets of `mask`.
    pub(crate) fn entries(&self, mask: &Mask) -> Vec<Entry> {
        let own = std::iter::once(&self.own);
        let ids = self.live.iter().chain(own).chain(&self.externals).filter(|id| mask.has(**id));
        ids.filter_map(|id| self.entry(*id)).collect()
    }

    /// The state of one node; `None` when it is unknown as a member, unless it has no agent.
    pub(crate) fn entry(&self, id: NodeId) -> Option<Entry> {
        let node = self.nodes.get(&id)?;
        let stamp = node.record.as_ref().map_or(Stamp::default(), |record| record.stamp);
        if node.external {
            return Some(Entry { id, generation: Generation::default(), renewal: 0, stamp });
        }
        let identity = node.member.as_ref()?.id();
        Some(Entry { id, generation: identity.generation, renewal: identity.renewal, stamp })
    }

    fn node(&mut self, id: NodeId, now: Moment) -> Option<&mut Node> {
        if self.nodes.len() >= limits::NODES && !self.nodes.contains_key(&id) {
            return None;
        }
        let empty = || Node {
            member: None,
            record: None,
            told: Told::Nothing,
            unattended: false,
            bucket: Bucket::full(),
            share: 0,
            live_idx: None,
            external: false,
            since: now,
        };
        Some(self.nodes.entry(id).or_insert_with(|| empty().into()))
    }

    /// Brings sums and live list up to date with one node.
    fn weigh(&mut self, id: NodeId) {
        let entry = self.entry(id);
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let up = node.member.as_ref().is_some_and(|member| member.state() != State::Down);
        let share = entry.filter(|_| up || node.external).map_or(0, |entry| entry.hash());
        self.sums.replace(id, node.share, share);
        node.share = share;
        if id == self.own {
            return;
        }
        match (up, node.live_idx) {
            (true, None) => {
                node.live_idx = Some(self.live.len());
                self.live.push(id);
                self.version += 1;
            }
            (false, Some(idx)) => {
                node.live_idx = None;
                self.live.swap_remove(idx);
                self.version += 1;
                if let Some(moved) = self.live.get(idx).and_then(|id| self.nodes.get_mut(id)) {
                    moved.live_idx = Some(idx);
                }
            }
            _ => {}
        }
    }
}

impl Node {
    /// Its record says that this process is gone, for good or until it is back.
    fn said_goodbye(&self) -> bool {
        let generation = self.member.as_ref().map(|member| member.id().generation);
        self.record.as_ref().is_some_and(|record| record.is_last() && Some(record.stamp.generation) >= generation)
    }

    /// The same as `tell`; one that was made to leave and is there after all brings its record along.
    fn tell_again(&mut self, member: &Member<Identity>, suspected: bool) -> Vec<PeerEvent> {
        let was_left = self.told == Told::Left;
        let event = self.tell(member, suspected);
        let record = self.record.clone().filter(|_| was_left && event.is_some());
        let record = record.filter(|record| record.stamp.generation == member.id().generation);
        record.map(PeerEvent::Record).into_iter().chain(event).collect()
    }

    /// What the catalog must hear, given what it heard last.
    fn tell(&mut self, member: &Member<Identity>, suspected: bool) -> Option<PeerEvent> {
        let identity = *member.id();
        let origin = Origin::Node(identity.id);
        // Its own record has said goodbye: there is nothing to add about this process.
        if self.said_goodbye() || (self.told == Told::Left && member.state() == State::Down) {
            return None;
        }
        let (told, event) = match member.state() {
            State::Down => (Told::Gone, PeerEvent::Gone(origin, Gone::Failed)),
            _ if self.unattended => (Told::Unattended, PeerEvent::Gone(origin, Gone::Unattended)),
            _ if suspected => (Told::Suspect, PeerEvent::Suspect(origin)),
            _ => (Told::Seen(identity), PeerEvent::Seen(origin, Duration::ZERO)),
        };
        if self.told == told || (told == Told::Gone && self.told == Told::Nothing) {
            return None;
        }
        self.told = told;
        Some(event)
    }
}
