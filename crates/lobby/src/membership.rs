//! Membership for programs that embed an agent: who is there, and being told who comes and goes.
//!
//! Everything is derived from snapshots, so it is the same over gossip, NATS and every other exchange, and a program that
//! is slow misses what came and went meanwhile, never how things are now. A member is a node that lists show: suspicion,
//! and a restart within AGENT_GRACE, are no departures.
//! Not here: what a difference of snapshots is (`lobby_core::change`), commands that are run on it (`handler`).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use lobby_core::{
    catalog::{Node, NodeState, Snapshot},
    change::{Batch, Kind, Watch},
    id::{Generation, NodeId},
    port::{CatalogReader, gossip::GossipError},
    record::{Record, meta},
};
use tokio_util::sync::CancellationToken;

/// What an application is told about the others: who came, and who is gone, by leaving or by dying.
///
/// Called in order, one at a time, for each member once when it comes and once when it goes, never for the own node. Members
/// of one name are one: it leaves when the last of them goes. So a program that keeps no identity, is killed and starts
/// again joins a second time, and its old life is not told as a leave when it is found dead later. Calls
/// come on a task of their own, but on a thread of the runtime: return soon. A node that is renamed leaves by its old name
/// and joins by its new one; other changes, and restarts within AGENT_GRACE, are not told here but by
/// [`Lobby::member_events`](crate::Lobby::member_events).
///
/// Tags are the labels of the form `KEY:VALUE`, split at the first colon. A label without a colon is a key with an empty
/// value. When several labels have the same key, their values are joined by commas in sorted order: `service:web` and
/// `service:db` are the tag `service` with the value `db,web`.
pub trait MembershipHandler: Send + Sync + 'static {
    /// A node came, or came back after it had failed.
    fn member_join(&self, name: &str, tags: &BTreeMap<String, String>);

    /// A node left or failed; these are its last known tags.
    fn member_leave(&self, name: &str, tags: &BTreeMap<String, String>);
}

/// A node as an application sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name. Two nodes may have the same; the id tells them apart.
    pub name: String,
    /// Who it is; `None` for a daemon that tells only its host name.
    pub id: Option<NodeId>,
    /// Which process of it.
    pub generation: Generation,
    /// What we make of it.
    pub state: NodeState,
    /// Where it is reached, if it told.
    pub address: Option<IpAddr>,
    /// Its labels, as [`MembershipHandler`] describes them.
    pub tags: BTreeMap<String, String>,
    /// It is ourselves.
    pub own: bool,
}

/// What happened to another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberEvent {
    /// It came, or came back after it had failed.
    Join(Member),
    /// Its agent is a new process. It was a member all the time.
    Restarted(Member),
    /// Its name, tags or address have changed.
    Update {
        /// How it was.
        before: Member,
        /// How it is.
        now: Member,
    },
    /// It said goodbye.
    Leave(Member),
    /// It died, or cannot be reached.
    Failed(Member),
    /// It had failed and is forgotten, or was made to leave.
    Reap(Member),
}

/// The events of other nodes, from everybody who is there now (they join first) to the end of the agent.
#[derive(Debug)]
pub struct MemberEvents {
    reader: CatalogReader,
    watch: Watch,
    waiting: VecDeque<MemberEvent>,
    started: bool,
}

/// Why a join reached nobody. The agent stays up, and goes on trying the addresses it could resolve or not, for ever.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// No member of our cluster answered at any address.
    #[error("nobody was reached: {}", list(.0))]
    Nobody(Vec<(String, String)>),
    /// Gossip did not even try.
    #[error(transparent)]
    Gossip(#[from] GossipError),
}

fn list(failed: &[(String, String)]) -> String {
    failed.iter().map(|(addr, why)| format!("{addr}: {why}")).collect::<Vec<_>>().join("; ")
}

impl Member {
    fn new(node: &Node) -> Self {
        let record = &node.record;
        Self {
            name: record.name.to_string(),
            id: record.origin.node_id(),
            generation: record.stamp.generation,
            state: node.state,
            address: address(record),
            tags: tags(record),
            own: node.own,
        }
    }
}

/// Everybody in a snapshot, ourselves too, sorted by name.
pub(crate) fn members(snapshot: &Snapshot) -> Vec<Member> {
    let others = snapshot.nodes.values().filter(|node| !node.own && !node.external);
    let mut members: Vec<_> = others.chain([&snapshot.local]).map(|node| Member::new(node)).collect();
    members.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    members
}

/// The labels of a node as tags.
pub(crate) fn tags(record: &Record) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::<String, String>::new();
    // Sorted, so the values of one key come in order.
    for label in record.labels() {
        let (key, value) = label.as_str().split_once(':').unwrap_or((label.as_str(), ""));
        tags.entry(key.to_owned())
            .and_modify(|values| {
                values.push(',');
                values.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    tags
}

/// Where a node is reached: the first address it tells, or the one in the labels of a daemon that tells none.
pub(crate) fn address(record: &Record) -> Option<IpAddr> {
    let told = record.meta(meta::ADDRESSES).and_then(|list| list.split(',').find_map(|address| address.trim().parse().ok()));
    let label = |prefix: &str| record.labels().find_map(|label| label.as_str().strip_prefix(prefix)?.parse().ok());
    told.or_else(|| label("public_ip4:")).or_else(|| label("public_ip6:"))
}

impl MemberEvents {
    pub(crate) fn new(reader: CatalogReader) -> Self {
        let kinds = [
            Kind::MemberJoin,
            Kind::MemberRestarted,
            Kind::MemberUpdate,
            Kind::MemberLeave,
            Kind::MemberFailed,
            Kind::MemberReap,
        ];
        Self { reader, watch: Watch::new(kinds), waiting: VecDeque::new(), started: false }
    }

    /// The next event; `None` when the agent has ended. Loses nothing when it is cancelled.
    pub async fn next(&mut self) -> Option<MemberEvent> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if let Some(batch) = self.watch.take() {
                self.waiting = events(batch);
                continue;
            }
            let snapshot = match std::mem::replace(&mut self.started, true) {
                false => self.reader.snapshot(),
                true => self.reader.changed().await.ok()?,
            };
            self.watch.look(&snapshot);
        }
    }
}

fn events(batch: Batch) -> VecDeque<MemberEvent> {
    let others = batch.changes.into_iter().filter(|change| !change.node.own);
    let event = |change: lobby_core::change::Change| {
        let now = Member::new(&change.node);
        Some(match batch.kind {
            Kind::MemberJoin => MemberEvent::Join(now),
            Kind::MemberRestarted => MemberEvent::Restarted(now),
            Kind::MemberUpdate => MemberEvent::Update { before: Member::new(change.before.as_deref()?), now },
            Kind::MemberLeave => MemberEvent::Leave(now),
            Kind::MemberFailed => MemberEvent::Failed(Member { state: NodeState::Failed, ..now }),
            Kind::MemberReap => MemberEvent::Reap(now),
            Kind::ServiceDown | Kind::ServiceUpdate | Kind::ServiceUp => return None,
        })
    };
    others.filter_map(event).collect()
}

/// Tells an application until `stop`.
pub(crate) async fn tell(handler: Arc<dyn MembershipHandler>, reader: CatalogReader, stop: CancellationToken) {
    let mut events = MemberEvents::new(reader);
    let mut names = Names { handler, present: BTreeMap::new() };
    while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
        match event {
            MemberEvent::Join(member) => names.join(&member),
            MemberEvent::Leave(member) | MemberEvent::Failed(member) => names.leave(&member),
            MemberEvent::Update { before, now } if before.name != now.name => {
                names.leave(&before);
                names.join(&now);
            }
            MemberEvent::Update { now, .. } | MemberEvent::Restarted(now) => names.update(&now),
            MemberEvent::Reap(_) => {}
        }
    }
}

/// Who is there under each name. As many as the catalog lists.
struct Names {
    handler: Arc<dyn MembershipHandler>,
    present: BTreeMap<String, Present>,
}

/// Those of one name, and the tags of the one that came or was told of last.
#[derive(Default)]
struct Present {
    ids: BTreeSet<Option<NodeId>>,
    youngest: Option<NodeId>,
    tags: BTreeMap<String, String>,
}

impl Names {
    fn join(&mut self, member: &Member) {
        let present = self.present.entry(member.name.clone()).or_default();
        present.ids.insert(member.id);
        (present.youngest, present.tags) = (member.id, member.tags.clone());
        self.handler.member_join(&member.name, &member.tags);
    }

    /// Other tags are no news to the application, but they are the last known ones when it leaves.
    fn update(&mut self, member: &Member) {
        if let Some(present) = self.present.get_mut(&member.name).filter(|present| present.youngest == member.id) {
            present.tags = member.tags.clone();
        }
    }

    /// Tells it, unless somebody else has the name: then it is the end of one life of several. The tags are those of the
    /// youngest, whichever ends last.
    fn leave(&mut self, member: &Member) {
        self.update(member);
        if let Some(present) = self.present.get_mut(&member.name) {
            present.ids.remove(&member.id);
            if !present.ids.is_empty() {
                return;
            }
        }
        let tags = self.present.remove(&member.name).map_or_else(|| member.tags.clone(), |present| present.tags);
        self.handler.member_leave(&member.name, &tags);
    }
}
