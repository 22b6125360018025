//! One immutable state of the catalog, shared by everybody who answers from it.
//!
//! Built by [`super::Catalog`] in O(changes): maps are persistent, leaves are `Arc`s. The one thing in it
//! that moves is [`Heard`], the time a node was last heard of, because a keep-alive is not a change.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use imbl::OrdMap;

use super::services::{Names, NodeOffers, ServiceView, Tables, Vanished, lower};
use crate::{
    hold::Held,
    id::{ExchangeId, NodeId, Origin, Revision},
    instance::Id,
    label::Label,
    name::Name,
    port::LinkState,
    record::Record,
    time::{Moment, Now, WallSecond},
    wire::rest,
};

/// One state of the catalog.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Rises when anything that a list, a service or a node's offers show has changed, and only then.
    pub revision: Revision,
    /// The first complete picture has arrived.
    pub warm: bool,
    /// Since when the picture is not complete: not warm, or a link is down. `None` while it is complete.
    pub incomplete_since: Option<Moment>,
    /// Our own node, listed or not.
    pub local: Arc<Node>,
    /// Every node, failed ones too, our own only when it is listed.
    pub nodes: OrdMap<Origin, Arc<Node>>,
    /// What Lobby's lists show: live nodes, those of one host name merged.
    pub hosts: OrdMap<Name, Arc<Host>>,
    /// What nodes offer, failed ones too, by the name with its ASCII letters in lower case. See [`Snapshot::service`].
    pub services: OrdMap<Id, Arc<ServiceView>>,
    pub(super) vanished: Vanished<Id>,
    /// Each node that shows with all that it offers, failed ones and those that offer nothing too.
    pub offers: OrdMap<Origin, Arc<NodeOffers>>,
    pub(super) names: Names,
    pub(super) vanished_nodes: Vanished<Name>,
    /// When the lists of the whole catalog last changed.
    pub tables: Tables,
    /// Nodes without an agent, removed ones too, whether they show or not: what every agent keeps.
    pub externals: OrdMap<NodeId, Arc<Record>>,
    /// The exchanges, in the order of the configuration.
    pub links: Arc<[Link]>,
}

/// One exchange as the catalog sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name: `gossip`, `nats`, `redis`, …
    pub name: Arc<str>,
    /// The state of its connection.
    pub state: LinkState,
    /// Its first complete picture has arrived.
    pub warm: bool,
    /// It was not warm after WARM_MAX and no longer counts.
    pub given_up: bool,
    /// How many nodes are held because it is doubted.
    pub held: usize,
}

/// A node as the catalog sees it.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it says about itself.
    pub record: Arc<Record>,
    /// What we make of it.
    pub state: NodeState,
    /// What each exchange that knows it makes of it.
    pub presences: Vec<Presence>,
    /// When it was last heard of.
    pub heard: Arc<Heard>,
    /// It is ourselves.
    pub own: bool,
    /// Some exchange's own failure detection holds it alive, so it counts as heard of right now.
    pub watched: bool,
    /// It has no agent: somebody registered it, and it is there until it is deregistered.
    pub external: bool,
    /// It is failed, but so are most others at once: services count it as alive meanwhile.
    pub held: Option<Held>,
}

/// Whether a node is alive. Ordered from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeState {
    /// Some exchange holds it alive.
    Alive,
    /// No exchange holds it alive, some only suspects it. Still listed.
    Suspect,
    /// Its agent said that it will be back in a moment. Listed for AGENT_GRACE, then failed.
    Restarting,
    /// Its agent is gone while its host lives. Listed for AGENT_GRACE, then failed.
    Unattended,
    /// Known from disk alone, while the first complete picture has not arrived. Listed until then.
    Stale,
    /// Every exchange that knew it has lost it. Not listed, held or not; remembered for an hour.
    Failed,
}

/// What one exchange makes of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Which exchange.
    pub exchange: ExchangeId,
    /// What it makes of the node.
    pub state: NodeState,
}

/// When a node was last heard of, on both clocks. Written by the catalog, read by anybody.
#[derive(Debug, Default)]
pub struct Heard {
    moment: AtomicU64,
    wall: AtomicU64,
}

/// The nodes of one host name, merged as Lobby's lists show them.
#[derive(Debug, PartialEq, Eq)]
pub struct Host {
    /// The host name.
    pub name: Name,
    /// The live nodes of that name, at least one. More than one is a name conflict or several daemons on one machine.
    pub nodes: Vec<Arc<Node>>,
    /// Union of their labels, sorted.
    pub labels: Vec<Label>,
    /// The start of the rendered packet, up to the number of `last_check`.
    pub(crate) rendered: Arc<str>,
}

impl NodeState {
    /// Every state, from best to worst.
    pub const ALL: &[Self] = &[Self::Alive, Self::Suspect, Self::Restarting, Self::Unattended, Self::Stale, Self::Failed];

    /// The state in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Restarting => "restarting",
            Self::Unattended => "unattended",
            Self::Stale => "stale",
            Self::Failed => "failed",
        }
    }

    /// Whether lists show a node in this state.
    pub const fn is_listed(self) -> bool {
        !matches!(self, Self::Failed)
    }

    /// Whether an exchange with this view of a node holds it alive.
    pub(super) const fn is_held(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

/// Two nodes are equal when they show the same, whenever they were last heard of.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        (Arc::ptr_eq(&self.record, &other.record) || self.record == other.record)
            && (self.state, self.own, self.watched) == (other.state, other.own, other.watched)
            && (self.external, self.held) == (other.external, other.held)
            && self.presences == other.presences
    }
}

impl Eq for Node {}

impl Heard {
    pub(crate) fn at(&self, now: Now) {
        let moment = now.moment.as_micros();
        if self.moment.fetch_max(moment, Ordering::Relaxed) <= moment {
            self.wall.store(now.wall.0, Ordering::Relaxed);
        }
    }

    /// The moment it was last heard of.
    pub fn moment(&self) -> Moment {
        Moment::from_micros(self.moment.load(Ordering::Relaxed))
    }

    /// The wall second at which it was last heard of.
    pub fn wall(&self) -> WallSecond {
        WallSecond(self.wall.load(Ordering::Relaxed))
    }
}

impl Link {
    /// The same with so many nodes held.
    pub(super) fn holding(&self, held: usize) -> Self {
        Self { held, ..self.clone() }
    }
}

impl Node {
    /// Whether its services count as those of a failed node: no list shows it, and it is not held either.
    pub fn is_lost(&self) -> bool {
        !self.state.is_listed() && self.held.is_none()
    }

    /// Of several nodes of one name those of the highest rank show: agents, then nodes without one, then bare records.
    pub(super) fn rank(&self) -> u8 {
        match (&self.record.origin, self.external) {
            (Origin::Node(_), false) => 2,
            (Origin::Node(_), true) => 1,
            (Origin::Bare(..), _) => 0,
        }
    }

    /// The second shown as `last_check`.
    pub fn last_check(&self, now: Now) -> WallSecond {
        if self.own || self.watched { now.wall } else { self.heard.wall() }
    }

    /// How long ago the node was last heard of.
    pub fn age(&self, now: Now) -> std::time::Duration {
        if self.own || self.watched { std::time::Duration::ZERO } else { now.moment.since(self.heard.moment()) }
    }
}

impl Host {
    /// These nodes, whose labels come sorted.
    pub(super) fn new(name: Name, nodes: Vec<Arc<Node>>, labels_of: impl Fn(&Node) -> Vec<Label>) -> Self {
        let mut labels: Vec<_> = nodes.iter().flat_map(|node| labels_of(node)).collect();
        if nodes.len() > 1 {
            labels.sort();
            labels.dedup();
        }
        let rendered = rest::packet_head(&name, &labels).into();
        Self { name, nodes, labels, rendered }
    }

    /// The same nodes as they are now, with the same labels.
    pub(super) fn with_nodes(&self, nodes: Vec<Arc<Node>>) -> Self {
        Self { name: self.name.clone(), nodes, labels: self.labels.clone(), rendered: self.rendered.clone() }
    }

    /// Whether it is of these nodes, however they are.
    pub(super) fn is_of(&self, nodes: &[Arc<Node>]) -> bool {
        self.nodes.iter().map(|node| &node.record.origin).eq(nodes.iter().map(|node| &node.record.origin))
    }

    /// The second shown as `last_check`: the newest of its nodes.
    pub fn last_check(&self, now: Now) -> WallSecond {
        self.nodes.iter().map(|node| node.last_check(now)).max().unwrap_or(now.wall)
    }

    /// Whether any of its nodes is ourselves.
    pub fn is_own(&self) -> bool {
        self.nodes.iter().any(|node| node.own)
    }
}

impl Snapshot {
    /// The node with this id.
    pub fn node(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.nodes.get(&Origin::Node(id))
    }

    /// The service of this name, in whatever case.
    pub fn service(&self, name: &str) -> Option<&Arc<ServiceView>> {
        self.services.get(name.to_ascii_lowercase().as_str())
    }

    /// The revision at which the service of this name last changed, its end included; it never falls. Of a name that nobody
    /// remembers it is the newest index of any that was forgotten.
    pub fn service_index(&self, name: &str) -> Revision {
        let name = name.to_ascii_lowercase();
        self.services.get(name.as_str()).map_or_else(|| self.vanished.index(&name), |view| view.index)
    }

    /// What the nodes of this name offer, in whatever case. Names may clash.
    pub fn offers_by_name(&self, name: &str) -> impl Iterator<Item = &Arc<NodeOffers>> {
        let name = name.parse().ok().map(|name| lower(&name));
        name.into_iter().flat_map(|name| self.names.of(name)).filter_map(|origin| self.offers.get(origin))
    }

    /// The revision at which anything of the nodes of this name last changed, their end included; it never falls. Of a name
    /// that nobody remembers it is the newest index of any that was forgotten.
    pub fn node_index(&self, name: &str) -> Revision {
        let newest = self.offers_by_name(name).map(|offers| offers.index).max();
        newest.unwrap_or_else(|| self.vanished_nodes.index(&name.to_ascii_lowercase()))
    }

    /// How old the picture is: zero while it is complete.
    pub fn age(&self, now: Now) -> std::time::Duration {
        self.incomplete_since.map_or(std::time::Duration::ZERO, |since| now.moment.since(since))
    }
}
