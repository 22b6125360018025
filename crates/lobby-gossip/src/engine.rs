//! The machine: everything that comes in, everything that goes out, and the timers between.
//!
//! The shell calls [`Engine::handle`] and [`Engine::handle_deadline`] and afterwards takes outputs until
//! [`Engine::poll_output`] has none. Nothing here reads a clock, opens a socket or draws a nonce.
//! Parts: `engine/datagram` (in and out), `engine/push` (records), `engine/talk` (streams), `engine/contact` (seeds),
//! `engine/leave` (the end), `engine/death` (proof of it), `engine/watch`, `engine/twin`, `engine/force`.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use lobby_core::{
    coordinate::Coordinate,
    id::{Generation, NodeId, Origin},
    port::{
        Announcement, PeerEvent,
        gossip::{EventId, KeyOutcome, NewEvent, QueryNews, UserEvent},
    },
    record::Record,
    stats::{Queue, Stats},
    time::Moment,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{
    config::Config,
    identity::Identity,
    item::Item,
    keyring::{Keyring, Nonce},
    member::{Effects, MemberTimer, Membership},
    replay::Replay,
    roster::Roster,
    timer::Timers,
};

mod contact;
mod datagram;
mod death;
mod event;
mod force;
mod keys;
mod leave;
mod locate;
mod push;
mod query;
mod rekey;
mod reply;
mod talk;
#[cfg(test)]
mod testnet;
#[cfg(test)]
mod tests;
mod twin;
mod user;
mod verbs;
mod view;
mod watch;

pub use talk::MAX_INBOUND;

use contact::Contact;
use death::{Deaths, Fate, Why};
use push::Push;
use talk::Talks;
use user::{User, UserTimer};

/// Wait before a directed question is asked for the second and the third time; afterwards it waits for the root period.
const ASK_AGAIN: Duration = Duration::from_millis(300);
const QUICK_ASKS: u8 = 3;

/// How often old nodes are looked for.
const FORGET_PERIOD: Duration = Duration::from_secs(60);

/// A stream, for as long as it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(u64);

/// What comes in.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram.
    Datagram(SocketAddr, &'a [u8]),
    /// Our own record is now this one.
    Announce(Announcement),
    /// Ask this node directly whether it is there.
    Question(NodeId),
    /// What the seeds resolve to at present, the answer to [`Output::Resolve`].
    Seeds {
        /// All addresses that were found.
        addrs: Vec<SocketAddr>,
        /// Whether every seed has some. Otherwise we may not take ourselves for the only one.
        all_resolved: bool,
    },
    /// A stream of [`Output::Open`] is open.
    Opened(StreamId),
    /// A whole frame.
    Frame(StreamId, &'a [u8]),
    /// A stream ended, or could not be opened. Ends that we asked for need not be told.
    Closed(StreamId),
    /// How [`Output::Connect`] ended.
    Reached(NodeId, Reach),
    /// A datagram from the beacon's multicast group.
    Beacon(SocketAddr, &'a [u8]),
    /// Say goodbye, for good or until we are back: our last record's phase says which. [`Output::Left`] follows.
    Leave,
}

/// What goes out.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram.
    Datagram(SocketAddr, Vec<u8>),
    /// Tell the catalog.
    Event(PeerEvent),
    /// Resolve the seeds and answer with [`Input::Seeds`].
    Resolve,
    /// Open a stream.
    Open(StreamId, SocketAddr),
    /// Open a stream that stays open for as long as both ends live: its end is news.
    Watch(StreamId, SocketAddr),
    /// This stream, which somebody opened to us, is such a one: it has no deadline and takes no slot.
    Keep(StreamId),
    /// Open a TCP connection and close it again; answer with [`Input::Reached`], [`CONNECT_TIMEOUT`] at most.
    Connect(NodeId, SocketAddr),
    /// Send this frame.
    Frame(StreamId, Vec<u8>),
    /// Close the stream once its frames are sent.
    Close(StreamId),
    /// Goodbye is said.
    Left,
    /// An address given to [`Engine::join`] was tried: whether a member of our cluster answered, else why not.
    Joined(SocketAddr, Result<(), &'static str>),
    /// A user event for the log; the shell numbers it.
    Heard(UserEvent),
    /// Somebody asks us; answer with [`Engine::answer`].
    Asked(Asked),
    /// News of a query of ours.
    News(EventId, QueryNews),
    /// The time of a query of ours is over, or everybody has answered.
    QueryOver(EventId),
    /// Use this keyring for streams from now on, and save its keys.
    Keyring(Arc<Keyring>),
    /// What became of the change of keys with this number.
    KeysChanged(u64, KeyOutcome),
    /// The answer to [`Engine::locate`] with this number.
    Located(u64, Vec<Option<Coordinate>>),
}

/// How long an attempt to connect may take. Only a refusal matters, and that comes at once.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// How an attempt to connect ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Refused: the host lives and nothing listens there.
    Refused,
    /// Somebody listens there.
    Open,
    /// Neither, within the time.
    Silent,
}

/// A query of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its identity.
    pub id: EventId,
    /// Lamport time.
    pub ltime: u64,
    /// Who asks.
    pub origin: NodeId,
    /// What it says.
    pub event: NewEvent,
    /// How long the asker still waits.
    pub timeout: Duration,
}

/// What an engine starts with.
pub struct Setup {
    /// Timings and sizes.
    pub config: Config,
    /// Cluster and keys.
    pub keyring: Arc<Keyring>,
    /// Where the others reach us.
    pub advertise: SocketAddr,
    /// Our own record; it names our id and generation.
    pub announcement: Announcement,
    /// Whether there are seeds. Without, and without `peers`, the picture is complete at once.
    pub seeded: bool,
    /// Members of our former life: tried beside the seeds.
    pub peers: Vec<SocketAddr>,
    /// Draws a nonce: random bytes of the operating system.
    pub nonces: Box<dyn FnMut() -> Nonce + Send>,
    /// Seed of all choices that need no secrecy.
    pub seed: u64,
    /// Where packets are counted.
    pub stats: Arc<Stats>,
}

#[derive(Debug)]
enum Timer {
    Member(MemberTimer),
    /// Push fresh changes.
    Flush,
    /// Send another round of changes that are not yet fresh nor done.
    Gossip,
    /// Send the sum of our state to somebody.
    Root,
    /// Compare our state with somebody.
    Exchange,
    /// Compare once more, soon after joining.
    Recheck,
    /// Contact seeds.
    Seeds,
    /// Fetch the record of this node.
    Pull(NodeId),
    /// Ask this node: the number of the question, and how often it was asked already.
    Ask(NodeId, u64, u8),
    /// Repeat our goodbye.
    Goodbye,
    /// Goodbye is said.
    Left,
    Forget,
    /// Of deaths and what goes with them.
    Fate(Fate),
    /// Of events, queries, keys and coordinates.
    User(UserTimer),
}

/// One member of the cluster.
pub struct Engine {
    config: Config,
    keyring: Arc<Keyring>,
    nonces: Box<dyn FnMut() -> Nonce + Send>,
    rng: SmallRng,
    stats: Arc<Stats>,
    own: NodeId,
    generation: Generation,
    counter: u64,
    membership: Membership,
    roster: Roster,
    replay: Replay,
    timers: Timers<Timer>,
    outputs: VecDeque<Output>,
    push: Push,
    talks: Talks,
    contact: Contact,
    deaths: Deaths,
    /// The open question to each node. Only live members are asked, so there are never more than the roster has.
    asks: HashMap<NodeId, u64>,
    user: User,
    last_words: Option<Vec<u8>>,
    leaving: bool,
}

impl Engine {
    /// A member that knows nobody yet.
    ///
    /// # Panics
    /// When the record is a bare one, without a node id: only Go daemons make those.
    pub fn new(setup: Setup, now: Moment) -> Self {
        let record = &setup.announcement.record;
        let Origin::Node(own) = record.origin else { panic!("our own record has a node id") };
        let generation = record.stamp.generation;
        let identity = Identity { id: own, generation, renewal: 0, addr: setup.advertise };
        let mut rng = SmallRng::seed_from_u64(setup.seed);
        let mut engine = Self {
            membership: Membership::new(identity, &setup.config, rng.random(), now),
            roster: Roster::new(own),
            config: setup.config,
            keyring: setup.keyring,
            nonces: setup.nonces,
            rng,
            stats: setup.stats,
            own,
            generation,
            counter: 0,
            replay: Replay::default(),
            timers: Timers::new(),
            outputs: VecDeque::new(),
            push: Push::default(),
            talks: Talks::default(),
            contact: Contact::new(setup.seeded),
            deaths: Deaths::default(),
            asks: HashMap::new(),
            user: User::new(now),
            last_words: None,
            leaving: false,
        };
        engine.roster.set_own(identity, now);
        engine.announce(setup.announcement, now);
        engine.arm_about(now, engine.config.root_period, Timer::Root);
        engine.arm_about(now, engine.config.exchange_period, Timer::Exchange);
        engine.timers.arm(now, FORGET_PERIOD, Timer::Forget);
        engine.start_contact(now);
        engine.start_keys(now);
        engine
    }

    /// Our identity as a member.
    pub fn identity(&self) -> Identity {
        self.membership.identity()
    }

    /// How many other members are up.
    pub fn n_members(&self) -> usize {
        self.roster.n_live()
    }

    /// The other members that are up.
    pub fn members(&self) -> impl Iterator<Item = Identity> {
        self.roster.live()
    }

    /// The record of a node, as far as it is known here.
    pub fn record(&self, id: NodeId) -> Option<&Arc<Record>> {
        self.roster.record(id)
    }

    /// When [`Self::handle_deadline`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.timers.next_deadline()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Takes something in.
    pub fn handle(&mut self, input: Input<'_>, now: Moment) {
        self.user.now = now;
        match input {
            Input::Datagram(from, bytes) => self.handle_datagram(from, bytes, now),
            Input::Announce(announcement) => self.announce(announcement, now),
            Input::Question(id) => self.ask(id, now),
            Input::Seeds { addrs, all_resolved } => self.handle_seeds(addrs, all_resolved, now),
            Input::Opened(stream) => self.handle_opened(stream),
            Input::Frame(stream, bytes) => self.handle_frame(stream, bytes, now),
            Input::Closed(stream) => self.handle_closed(stream, now),
            Input::Reached(id, reach) => self.handle_reached(id, reach, now),
            Input::Beacon(..) => {}
            Input::Leave => self.leave(now),
        }
    }

    /// Does what is due.
    pub fn handle_deadline(&mut self, now: Moment) {
        self.user.now = now;
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Member(timer) => {
                    self.with_membership(now, |membership, effects| membership.handle_timer(timer, now, effects));
                }
                Timer::Flush => self.flush(now),
                Timer::Gossip => self.gossip(now),
                Timer::Root => {
                    self.send_root();
                    self.arm_about(now, self.config.root_period, Timer::Root);
                }
                Timer::Exchange => {
                    self.exchange_with_anybody(now);
                    self.arm_about(now, self.config.exchange_period, Timer::Exchange);
                }
                Timer::Recheck => self.exchange_with_anybody(now),
                Timer::Seeds => self.resolve_seeds(now),
                Timer::Pull(id) => self.pull(id, now),
                Timer::Ask(id, number, n_asked) => self.send_question(id, number, n_asked, now),
                Timer::Fate(fate) => self.handle_fate(fate, now),
                Timer::Goodbye => self.say_goodbye(),
                Timer::Left => self.outputs.push_back(Output::Left),
                Timer::User(timer) => self.handle_user_timer(timer, now),
                Timer::Forget => {
                    self.forget_user(now);
                    self.sync_roster(now);
                    self.roster.forget(now);
                    self.replay.retain(|id| self.roster.knows(id));
                    self.timers.arm(now, FORGET_PERIOD, Timer::Forget);
                }
            }
        }
        self.stats.depth(Queue::Rumours, self.membership.backlog(), lobby_core::limits::NODES);
        self.stats.depth(Queue::Send, self.push.backlog(), lobby_core::limits::NODES);
    }

    /// Calls foca and carries out what it wants.
    fn with_membership(&mut self, now: Moment, call: impl FnOnce(&mut Membership, &mut Effects)) {
        let mut effects = Effects::default();
        call(&mut self.membership, &mut effects);
        for (after, timer) in effects.timers {
            self.timers.arm(now, after, Timer::Member(timer));
        }
        for (to, packet) in effects.sends {
            let coordinate = self.note_probe_out(&to, &packet, now);
            self.send(to.addr, &packet, coordinate.as_slice());
        }
        if effects.changed {
            self.sync_roster(now);
        }
        for id in effects.accused {
            self.inquire(id, Why::Probe, now);
        }
    }

    fn sync_roster(&mut self, now: Moment) {
        self.forget_pruned();
        self.roster.set_own(self.membership.identity(), now);
        let membership = &self.membership;
        let events = self.roster.sync(membership.states(), |id| membership.has_proof(id, now), now);
        self.outputs.extend(events.into_iter().map(Output::Event));
        self.membership.resize(&self.config, self.roster.n_live() + 1);
        self.arm_gossip(now);
        self.note_standing(now);
    }

    /// Asks until there is an answer, or the node is no live member any more: even a late answer corrects a verdict.
    fn ask(&mut self, id: NodeId, now: Moment) {
        let number = self.rng.random();
        self.asks.insert(id, number);
        self.send_question(id, number, 0, now);
    }

    fn send_question(&mut self, id: NodeId, number: u64, n_asked: u8, now: Moment) {
        if self.asks.get(&id) != Some(&number) {
            return;
        }
        let Some(identity) = self.roster.live_member(id).filter(|_| !self.leaving) else {
            self.asks.remove(&id);
            return;
        };
        self.send(identity.addr, &[], &[Item::Question(number).encode()]);
        let n_asked = n_asked.saturating_add(1);
        let wait = if n_asked < QUICK_ASKS { ASK_AGAIN } else { self.config.root_period };
        self.timers.arm(now, wait, Timer::Ask(id, number, n_asked));
    }

    fn handle_answer(&mut self, sender: NodeId, number: u64, now: Moment) {
        self.note_answer(sender, number, now);
        if self.asks.get(&sender) == Some(&number) {
            self.asks.remove(&sender);
            self.outputs.push_back(Output::Event(PeerEvent::Seen(Origin::Node(sender), Duration::ZERO)));
        }
    }

    /// Arms a timer within 20 % of `period`, so that members do not march in step.
    fn arm_about(&mut self, now: Moment, period: Duration, timer: Timer) {
        let wait = self.about(period);
        self.timers.arm(now, wait, timer);
    }

    fn about(&mut self, period: Duration) -> Duration {
        period.mul_f64(self.rng.random_range(0.8..1.2))
    }
}
