//! The machine: everything that comes in, everything that goes out, and the timers between.
//!
//! The shell calls [`Engine::handle`] and [`Engine::handle_deadline`] and afterwards takes outputs until
//! [`Engine::poll_output`] has none. Nothing here reads a clock, opens a socket or draws a nonce.
//! Parts: `engine/datagram` (in and out), `engine/push` (records), `engine/talk` (streams), `engine/contact` (seeds),
//! `engine/leave` (the end), `engine/death` (proof of it), `engine/watch`, `engine/twin`, `engine/force`.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use lobby_core::{
    id::{Generation, NodeId, Origin},
    proof::{Check, Signer},
    record::Record,
    stats::{PacketKind, Queue, Stats, Verdict},
    time::Moment,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{
    config::Config,
    identity::Identity,
    keyring::{Keyring, Nonce},
    member::{Effects, MemberTimer, Membership},
    replay::Replay,
    roster::Roster,
    timer::Timers,
};

mod ask;
mod beacon;
mod contact;
#[cfg(test)]
mod contact_tests;
mod counted;
mod datagram;
mod death;
mod event;
#[cfg(test)]
mod external_tests;
mod force;
mod forged;
mod gift;
mod keys;
#[cfg(test)]
mod large_tests;
mod leave;
mod locate;
#[cfg(test)]
mod plane_tests;
mod port;
mod proof;
mod pull;
mod push;
mod query;
mod rekey;
mod reply;
mod reunite;
mod seal;
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

pub use port::{Asked, CONNECT_TIMEOUT, Input, Output, Reach, Setup, StreamId};
pub use talk::MAX_INBOUND;

use contact::Contact;
use death::{Deaths, Fate, Why};
use forged::Forgeries;
use push::Push;
use reunite::Reunion;
use talk::Talks;
use user::{User, UserTimer};

/// Outputs for which room is kept while there are none.
const OUTPUTS_KEPT: usize = 256;

/// How often old nodes are looked for.
const FORGET_PERIOD: Duration = Duration::from_secs(60);

#[derive(Debug)]
enum Timer {
    Member(MemberTimer),
    /// Judge this member: others say that it is dead.
    Judge(Identity),
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
    /// Contact somebody whose beacon was heard.
    Beacon(Identity),
    /// Fetch the record of this node.
    Pull(NodeId),
    /// This stream has had its time to bring this record.
    PullLate(NodeId, StreamId),
    /// Tell members that others hold them down.
    Tell,
    /// One that was told had its time.
    Doubt(Identity),
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
    check: Check,
    signer: Arc<Signer>,
    forgeries: Forgeries,
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
    reunion: Reunion,
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
            stats: setup.stats.clone(),
            check: setup.check,
            signer: setup.signer,
            forgeries: Forgeries::default(),
            own,
            generation,
            counter: 0,
            replay: Replay::default(),
            timers: Timers::new(),
            outputs: VecDeque::new(),
            push: Push::default(),
            talks: Talks::default(),
            contact: Contact::new(setup.seeded, setup.peers, setup.advertise),
            deaths: Deaths::default(),
            reunion: Reunion::default(),
            asks: HashMap::new(),
            user: User::new(setup.stats, now),
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
        let output = self.outputs.pop_front();
        // The thousands of events of a join must not leave their room behind: a ring touches all of it in time.
        if output.is_none() && self.outputs.capacity() > OUTPUTS_KEPT {
            self.outputs = VecDeque::new();
        }
        output
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
            Input::Beacon(_, bytes) => self.handle_beacon(bytes, now),
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
                Timer::Judge(suspect) => {
                    self.with_membership(now, |membership, effects| membership.judge(suspect, now, effects));
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
                Timer::Seeds => self.retry_contacts(now),
                Timer::Beacon(identity) => self.contact_heard(identity, now),
                Timer::Pull(id) => self.pull(id, now),
                Timer::PullLate(id, stream) => self.end_late_pull(id, stream, now),
                Timer::Tell => self.tell_doubted(now),
                Timer::Doubt(identity) => self.end_doubt(identity, now),
                Timer::Ask(id, number, n_asked) => self.send_question(id, number, n_asked, now),
                Timer::Fate(fate) => self.handle_fate(fate, now),
                Timer::Goodbye => self.say_goodbye(),
                Timer::Left => self.outputs.push_back(Output::Left),
                Timer::User(timer) => self.handle_user_timer(timer, now),
                Timer::Forget => {
                    self.forget_user(now);
                    self.sync_roster(now);
                    self.remember_peers();
                    self.roster.forget(now);
                    self.replay.retain(|id| self.roster.knows(id));
                    self.timers.arm(now, FORGET_PERIOD, Timer::Forget);
                }
            }
        }
        self.note_kept();
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
        for (after, suspect) in effects.judgements {
            self.timers.arm(now, after, Timer::Judge(suspect));
        }
        for (to, packet) in effects.sends {
            let coordinate = self.note_probe_out(&to, &packet, now);
            self.send(to.addr, &packet, coordinate.as_slice());
        }
        if effects.changed {
            self.sync_roster(now);
        }
        (0..effects.n_refused).for_each(|_| self.stats.received(PacketKind::Member, Verdict::Refused, 0));
        for id in effects.accused {
            self.inquire(id, Why::Probe, now);
        }
        if effects.overdue {
            self.catch_up(now);
        }
    }

    fn sync_roster(&mut self, now: Moment) {
        self.forget_pruned();
        self.roster.set_own(self.membership.identity(), now);
        let membership = &self.membership;
        let events = self.roster.sync(membership.states(), |id| membership.has_proof(id, now), now);
        self.outputs.extend(events.into_iter().map(Output::Event));
        self.membership.resize(&self.config, self.roster.n_live() + 1, now);
        self.arm_gossip(now);
        self.note_standing(now);
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
