//! The catalog: every node's newest record, and whether the node is alive. A machine without IO or clock.
//!
//! The node task feeds it what exchanges say ([`Catalog::apply`]), its own record and the passing of time, carries
//! out the questions it asks, and publishes the snapshots it makes. Liveness is judged per exchange and then
//! joined: a node is failed when no exchange holds it alive any more. While an exchange's link is down, nothing
//! expires because of it. When one exchange loses a node, the others whose link is up are asked first.
//! A node that restarts, or whose agent alone is gone, stays listed for AGENT_GRACE; one that is known from disk stays
//! until the first complete picture. When most fall silent at once, their services stay for HOLD_MAX.
//! Not here: what is shown how (`wire`, outputs), how records travel (exchanges), what changed (`change`).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use imbl::OrdMap;

use crate::{
    hold::{Hold, Rule},
    id::{ExchangeId, NodeId, Origin, Revision},
    limits,
    name::Name,
    port::{Gone, LinkState, PeerEvent},
    record::{Record, Stamp},
    time::{Moment, Now},
};

mod external;
mod grace;
mod held;
mod peer;
mod remembered;
mod services;
mod show;
mod snapshot;
pub mod subject;
#[cfg(test)]
mod tests;
pub mod why;

use peer::Peer;
use remembered::Remembered;
use services::Services;
pub use services::{InstanceNode, InstanceView, NodeOffers, Place, ServiceView, Stamped, Tables};
pub use snapshot::{Heard, Host, Link, Node, NodeState, Presence, Snapshot};

/// How long the other exchanges have to contradict one that lost a node.
const QUESTION: Duration = Duration::from_secs(1);

/// AGENT_GRACE unless the configuration says otherwise (design §3): longer than a restart of lobbyd by systemd takes,
/// shorter than anybody would wait for a dead one.
pub const AGENT_GRACE: Duration = Duration::from_secs(10);

/// How an exchange tells that a node is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It has failure detection of its own and reports `Gone`.
    Reported,
    /// A node is alive for this long after each time it was heard of.
    Ttl(Duration),
}

/// An exchange as the configuration names it.
#[derive(Clone, Debug)]
pub struct ExchangeSpec {
    /// Its name.
    pub name: Arc<str>,
    /// How it tells that a node is alive.
    pub liveness: Liveness,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The catalog changed, or noted that the node lives.
    Applied,
    /// Nothing new in it.
    Stale,
    /// It speaks for us: our own packet come back, or somebody with our id.
    Ours,
    /// The catalog is full of other nodes.
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Timer {
    /// What one exchange makes of a node has had its time.
    Expire(Origin, ExchangeId),
    /// The other exchanges were asked long enough.
    Verdict(Origin),
    /// A restarting node should be back.
    Return(Origin),
    /// Nodes without an agent that were removed may have been so for long enough.
    Externals,
    WarmMax,
}

/// Whether a snapshot is due, and whether it is a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dirty {
    No,
    /// Something beside the lists: a link, what one exchange makes of a node.
    Aside,
    /// Something that lists show. What services show is compared when a snapshot is made.
    Lists,
}

struct LinkInfo {
    liveness: Liveness,
    up_since: Option<Moment>,
    link: Link,
}

/// The one mutable catalog of an agent.
pub struct Catalog {
    revision: Revision,
    incomplete_since: Option<Moment>,
    own_id: NodeId,
    local: Arc<Node>,
    listed: bool,
    grace: Duration,
    links: Vec<LinkInfo>,
    peers: HashMap<Origin, Peer>,
    /// Nodes without an agent, removed ones too.
    externals: OrdMap<NodeId, Arc<Record>>,
    /// Those of them that were removed, and since when that is known here.
    removed_externals: BTreeMap<NodeId, Moment>,
    /// A timer is on its way that looks for removed ones to forget.
    forgetting_externals: bool,
    /// Peers that no exchange holds alive.
    failed: Remembered<()>,
    /// The last stamps of nodes that said goodbye, so that an older record does not bring them back.
    departed: Remembered<Stamp>,
    timers: BTreeMap<(Moment, u64), Timer>,
    n_timers: u64,
    questions: Vec<(ExchangeId, NodeId)>,
    conflicts: Vec<Arc<Host>>,
    /// Nodes are known from disk that nobody has told of yet.
    any_stale: bool,
    names: HashMap<Name, BTreeSet<Origin>>,
    nodes: OrdMap<Origin, Arc<Node>>,
    hosts: OrdMap<Name, Arc<Host>>,
    services: Services,
    hold: Hold,
    dirty: Dirty,
}

impl Catalog {
    /// A catalog that knows only ourselves.
    ///
    /// `listed` is REGISTER; `warm_max` is how long an exchange may take to be warm before it stops counting.
    pub fn new(
        revision: Revision,
        exchanges: impl IntoIterator<Item = ExchangeSpec>,
        own: Arc<Record>,
        listed: bool,
        warm_max: Duration,
        now: Now,
    ) -> Self {
        let info = |spec: ExchangeSpec| LinkInfo {
            liveness: spec.liveness,
            up_since: None,
            link: Link { name: spec.name, state: LinkState::Connecting, warm: false, given_up: false, held: 0 },
        };
        let links: Vec<_> = exchanges.into_iter().map(info).collect();
        let mut catalog = Self {
            revision,
            incomplete_since: Some(now.moment),
            own_id: own.origin.node_id().expect("our own record has a node id"),
            local: own_node(own.clone()),
            listed,
            grace: AGENT_GRACE,
            hold: Hold::new(Rule::default(), links.len()),
            links,
            peers: HashMap::new(),
            externals: OrdMap::new(),
            removed_externals: BTreeMap::new(),
            forgetting_externals: false,
            failed: Remembered::default(),
            departed: Remembered::default(),
            timers: BTreeMap::new(),
            n_timers: 0,
            questions: Vec::new(),
            conflicts: Vec::new(),
            any_stale: false,
            names: HashMap::new(),
            nodes: OrdMap::new(),
            hosts: OrdMap::new(),
            services: Services::new(revision),
            dirty: Dirty::Lists,
        };
        catalog.arm(now.moment + warm_max, Timer::WarmMax);
        catalog.note_completeness(now.moment);
        catalog.set_local(own);
        catalog
    }

    /// The same with another AGENT_GRACE: how long a node stays listed that restarts, or whose agent alone is gone.
    #[must_use]
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Replaces our own record.
    pub fn set_local(&mut self, record: Arc<Record>) {
        let old_name = self.local.record.name.clone();
        self.local = own_node(record);
        let origin = Origin::Node(self.own_id);
        if self.listed && !self.local.record.has_left() {
            let name = self.local.record.name.clone();
            self.nodes.insert(origin.clone(), self.local.clone());
            self.rename(&origin, Some(&old_name), Some(&name));
        } else {
            self.nodes.remove(&origin);
            self.rename(&origin, Some(&old_name), None);
        }
        self.touch(Dirty::Aside);
    }

    /// Takes in what an exchange says.
    pub fn apply(&mut self, exchange: ExchangeId, event: PeerEvent, now: Now) -> Outcome {
        if usize::from(exchange.0) >= self.links.len() {
            return Outcome::Stale;
        }
        match event {
            PeerEvent::Link(state) => self.set_link(exchange, state, now.moment),
            PeerEvent::Warm => {
                let link = &mut self.links[usize::from(exchange.0)].link;
                if link.warm {
                    return Outcome::Stale;
                }
                link.warm = true;
                link.given_up = false;
                self.touch(Dirty::Aside);
                self.note_completeness(now.moment);
                Outcome::Applied
            }
            PeerEvent::Record(record) => self.set_record(record, now),
            PeerEvent::Seen(origin, age) => self.seen(exchange, origin, age, now),
            PeerEvent::Suspect(origin) => self.judge(exchange, origin, NodeState::Suspect, now),
            PeerEvent::Gone(origin, Gone::Failed) => self.judge(exchange, origin, NodeState::Failed, now),
            PeerEvent::Gone(origin, Gone::Unattended) => self.judge(exchange, origin, NodeState::Unattended, now),
            PeerEvent::Gone(origin, Gone::Left) if self.is_external(&origin) => Outcome::Stale,
            PeerEvent::Gone(origin, Gone::Left) => self.remove(&origin),
            // For the node task, which gives us a new id.
            PeerEvent::Cloned => Outcome::Ours,
        }
    }

    /// The next node to ask about, and over which exchange.
    pub fn poll_question(&mut self) -> Option<(ExchangeId, NodeId)> {
        self.questions.pop()
    }

    /// A host name that one more live node has taken than before, for the log. Both stay; `/v1/nodes` shows each.
    pub fn poll_conflict(&mut self) -> Option<Arc<Host>> {
        self.conflicts.pop()
    }

    /// When [`Self::handle_deadline`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Moment> {
        let timer = self.timers.keys().next().map(|(at, _)| *at);
        [timer, self.failed.next_deadline(), self.departed.next_deadline(), self.hold.next_deadline()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_deadline(&mut self, now: Now) {
        while let Some(entry) = self.timers.first_entry()
            && entry.key().0 <= now.moment
        {
            let number = entry.key().1;
            match entry.remove() {
                Timer::Expire(origin, exchange) => self.expire(&origin, exchange, number, now.moment),
                Timer::Verdict(origin) => self.verdict(&origin, now.moment),
                Timer::Return(origin) => self.give_up_return(&origin, number, now.moment),
                Timer::Externals => self.forget_externals(now),
                Timer::WarmMax => {
                    for info in &mut self.links {
                        info.link.given_up = !info.link.warm;
                    }
                    self.touch(Dirty::Aside);
                    self.note_completeness(now.moment);
                }
            }
        }
        self.end_holds(now.moment);
        while let Some(origin) = self.failed.pop_due(now.moment) {
            self.remove(&origin);
        }
        while self.departed.pop_due(now.moment).is_some() {}
    }

    /// One exchange as the catalog sees it.
    pub fn link(&self, exchange: ExchangeId) -> Option<&Link> {
        self.links.get(usize::from(exchange.0)).map(|info| &info.link)
    }

    /// A snapshot, if anything has changed since the last one.
    pub fn poll_snapshot(&mut self) -> Option<Arc<Snapshot>> {
        self.judge_silence();
        let dirty = std::mem::replace(&mut self.dirty, Dirty::No);
        if dirty == Dirty::No {
            return None;
        }
        let next = self.revision.next();
        if self.services.publish(next) || dirty == Dirty::Lists {
            self.revision = next;
        }
        Some(Arc::new(Snapshot {
            revision: self.revision,
            warm: self.is_warm(),
            incomplete_since: self.incomplete_since,
            local: self.local.clone(),
            nodes: self.nodes.clone(),
            hosts: self.hosts.clone(),
            services: self.services.views().clone(),
            vanished: self.services.vanished().clone(),
            offers: self.services.by_node().offers().clone(),
            names: self.services.by_node().names().clone(),
            vanished_nodes: self.services.by_node().vanished().clone(),
            tables: self.services.by_node().tables(),
            externals: self.externals.clone(),
            links: (0..).zip(&self.links).map(|(idx, info)| info.link.holding(self.hold.count(ExchangeId(idx)))).collect(),
        }))
    }
}

// === Links ===

impl Catalog {
    fn is_warm(&self) -> bool {
        self.links.iter().all(|info| info.link.warm || info.link.given_up)
    }

    fn set_link(&mut self, exchange: ExchangeId, state: LinkState, now: Moment) -> Outcome {
        let info = &mut self.links[usize::from(exchange.0)];
        if info.link.state == state {
            return Outcome::Stale;
        }
        info.up_since = match (&state, &info.link.state) {
            // Before the first connection nothing could be missed, so nobody needs more than what is left of their TTL.
            (LinkState::Up, LinkState::Connecting) => Some(Moment::ZERO),
            (LinkState::Up, _) => Some(now),
            (LinkState::Connecting | LinkState::Down { .. }, _) => None,
        };
        info.link.state = state;
        self.touch(Dirty::Aside);
        self.note_completeness(now);
        Outcome::Applied
    }

    fn note_completeness(&mut self, now: Moment) {
        let complete = self.is_warm() && self.links.iter().all(|info| info.up_since.is_some());
        self.incomplete_since = if complete { None } else { self.incomplete_since.or(Some(now)) };
        if self.is_warm() && std::mem::take(&mut self.any_stale) {
            self.drop_stale(now);
        }
    }

    fn touch(&mut self, dirty: Dirty) {
        self.dirty = self.dirty.max(dirty);
    }

    /// Arms a timer and returns its number.
    fn arm(&mut self, at: Moment, timer: Timer) -> u64 {
        self.n_timers += 1;
        self.timers.insert((at, self.n_timers), timer);
        self.n_timers
    }
}

fn own_node(record: Arc<Record>) -> Arc<Node> {
    let heard = Arc::new(Heard::default());
    Arc::new(Node {
        record,
        state: NodeState::Alive,
        presences: Vec::new(),
        heard,
        own: true,
        watched: false,
        external: false,
        held: None,
    })
}
