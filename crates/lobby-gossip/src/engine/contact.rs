//! Addresses to try: how a newcomer finds the cluster, and how a split cluster finds itself again.
//!
//! | from | kept | tried while we are not warm, or alone | otherwise |
//! |---|---|---|---|
//! | GOSSIP_JOIN, resolved anew at each try (by the shell) | until resolved again | all | one of these every 30 s |
//! | [`Engine::join`] | until the process ends | all | |
//! | the beacon (`engine/beacon`) | 10 minutes | all | |
//! | members of this life and of the former one | for ever | all | none: foca asks members that are down |
//!
//! "All" again after 1 s, 2 s, … 30 s, for ever; 1 s after an exchange that had more to give than fits into one.
//! Warm: after the first complete exchange, or when there is nobody to wait for (see [`Engine::warm_if_alone`]).

use std::{
    collections::{BTreeSet, HashSet},
    net::SocketAddr,
    time::Duration,
};

use lobby_core::{port::PeerEvent, time::Moment};
use rand::RngExt;

use super::{Engine, Output, Timer, beacon::Heard, talk::Purpose};
use crate::identity::Identity;

/// First wait between two tries.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Who joined in the same moment as we did was unknown to our seed, and pushed its record while we were unknown to it.
const RECHECK: Duration = Duration::from_millis(1500);

/// Addresses of each kind that are used; a name with more is a mistake, of more joined ones the newest are kept.
const MAX_SEEDS: usize = 64;

/// Addresses worth trying after a restart ([`Engine::peers`]).
const MAX_PEERS: usize = 64;

const OURSELVES: &str = "that is ourselves";
const NO_ANSWER: &str = "no member of our cluster answered there";
const STOPPING: &str = "the agent is stopping";
const TOO_MANY: &str = "too many addresses are being tried";

/// Where the search stands.
#[derive(Debug)]
pub(super) struct Contact {
    seeded: bool,
    warm: bool,
    wait: Duration,
    /// When the next try is due. Timers that were armed for later than that no longer matter.
    due: Moment,
    seeds: BTreeSet<SocketAddr>,
    /// Whether `seeds` are all of them; false while a name does not resolve.
    all_resolved: bool,
    /// Given to [`Engine::join`], the oldest first.
    joined: Vec<SocketAddr>,
    /// Of these, those whose caller waits. Each has a stream under way.
    asked: BTreeSet<SocketAddr>,
    pub(super) heard: Heard,
    /// Who was there the last time that anybody was: at first what our former life left.
    peers: Vec<SocketAddr>,
    /// Peers of our former life that were not tried yet.
    untried: BTreeSet<SocketAddr>,
    /// Addresses at which we found ourselves.
    selves: HashSet<SocketAddr>,
}

impl Contact {
    pub(super) fn new(seeded: bool, peers: Vec<SocketAddr>, own: SocketAddr) -> Self {
        let peers: Vec<_> = peers.into_iter().filter(|addr| *addr != own).take(MAX_PEERS).collect();
        Self {
            seeded,
            warm: false,
            wait: FIRST_WAIT,
            due: Moment::ZERO,
            seeds: BTreeSet::new(),
            all_resolved: false,
            joined: Vec::new(),
            asked: BTreeSet::new(),
            heard: Heard::default(),
            untried: peers.iter().copied().collect(),
            peers,
            selves: [own].into(),
        }
    }
}

impl Engine {
    pub(super) fn start_contact(&mut self, now: Moment) {
        self.warm_if_alone(now);
        if self.contact.seeded {
            // Peers need not wait for names to resolve.
            self.outputs.push_back(Output::Resolve);
            self.open_contacts(now);
        } else {
            self.try_contacts(now);
        }
    }

    /// It may be time for the next try.
    pub(super) fn retry_contacts(&mut self, now: Moment) {
        if self.leaving || now < self.contact.due {
            return;
        }
        if self.contact.seeded {
            self.outputs.push_back(Output::Resolve);
        } else {
            self.try_contacts(now);
        }
    }

    /// The seeds were resolved: contact them.
    pub(super) fn handle_seeds(&mut self, addrs: Vec<SocketAddr>, all_resolved: bool, now: Moment) {
        if self.leaving {
            return;
        }
        self.contact.seeds = addrs.into_iter().take(MAX_SEEDS).collect();
        self.contact.all_resolved = all_resolved;
        self.warm_if_alone(now);
        self.try_contacts(now);
    }

    /// Tries, and comes back after a while.
    fn try_contacts(&mut self, now: Moment) {
        self.open_contacts(now);
        let wait = if self.is_searching() { self.contact.wait } else { self.config.seed_period };
        self.contact.wait = LONGEST_WAIT.min(self.contact.wait * 2);
        self.arm_contacts(wait, now);
    }

    pub(super) fn is_warm(&self) -> bool {
        self.contact.warm
    }

    fn is_searching(&self) -> bool {
        !self.contact.warm || self.roster.n_live() == 0
    }

    fn open_contacts(&mut self, now: Moment) {
        let searching = self.is_searching();
        let contact = &self.contact;
        let mut addrs: BTreeSet<_> = contact.seeds.iter().chain(&contact.joined).copied().collect();
        addrs.extend(contact.heard.choose(now, &mut self.rng));
        if searching {
            addrs.extend(self.peers());
        }
        // Before the first complete exchange a live member is as good as a stranger.
        addrs.retain(|addr| {
            let known = contact.selves.contains(addr) || (contact.warm && self.roster.has_live_at(*addr));
            !known && !self.is_contacting(*addr)
        });
        let mut addrs: Vec<_> = addrs.into_iter().collect();
        if !searching && !addrs.is_empty() {
            addrs = vec![addrs[self.rng.random_range(0..addrs.len())]];
        }
        for addr in addrs {
            self.open(addr, Purpose::Seed(addr));
        }
    }

    fn arm_contacts(&mut self, wait: Duration, now: Moment) {
        let wait = self.about(wait);
        self.contact.due = now + wait;
        self.timers.arm(now, wait, Timer::Seeds);
    }

    /// See [`Engine::join`].
    pub(super) fn join_at(&mut self, addr: SocketAddr, now: Moment) {
        let refused = if self.leaving {
            Some(STOPPING)
        } else if self.contact.selves.contains(&addr) {
            Some(OURSELVES)
        } else if self.contact.asked.len() >= MAX_SEEDS && !self.contact.asked.contains(&addr) {
            Some(TOO_MANY)
        } else {
            None
        };
        if let Some(why) = refused {
            return self.outputs.push_back(Output::Joined(addr, Err(why)));
        }
        let contact = &mut self.contact;
        contact.joined.retain(|other| *other != addr);
        if contact.joined.len() >= MAX_SEEDS {
            contact.joined.remove(0);
        }
        contact.joined.push(addr);
        contact.asked.insert(addr);
        contact.wait = FIRST_WAIT;
        if !self.is_contacting(addr) {
            self.open(addr, Purpose::Seed(addr));
        }
        if self.roster.n_live() == 0 {
            self.arm_contacts(FIRST_WAIT, now);
        }
    }

    /// Somebody answered at this address, and the exchange with it is over.
    pub(super) fn seed_answered(&mut self, addr: SocketAddr, peer: Identity, complete: bool, now: Moment) {
        if peer.id == self.own {
            self.contact.selves.insert(addr);
            self.contact.joined.retain(|other| *other != addr);
            self.answer_join(addr, Err(OURSELVES));
            return;
        }
        self.answer_join(addr, Ok(()));
        // By datagram, so that both know that this way is open too.
        self.with_membership(now, |membership, effects| membership.announce(peer, effects));
        if !complete && !self.contact.warm {
            self.arm_contacts(FIRST_WAIT, now);
        }
    }

    /// The stream to this address is over, well or badly.
    pub(super) fn seed_ended(&mut self, addr: SocketAddr, now: Moment) {
        self.answer_join(addr, Err(NO_ANSWER));
        self.contact.untried.remove(&addr);
        self.warm_if_alone(now);
    }

    fn answer_join(&mut self, addr: SocketAddr, outcome: Result<(), &'static str>) {
        if self.contact.asked.remove(&addr) {
            self.outputs.push_back(Output::Joined(addr, outcome));
        }
    }

    /// An exchange that we opened with another member ended well. Without seeds anybody's picture will do; with them it
    /// must come from one of the addresses that we were given: a newcomer knows no more than we do.
    pub(super) fn exchanged(&mut self, with_seed: bool, complete: bool, now: Moment) {
        if complete && (with_seed || !self.contact.seeded) {
            self.become_warm(now);
        }
    }

    /// There is nobody to wait for when all seeds are ourselves (one that does not resolve may be somebody), and when
    /// every peer of our former life was tried once.
    fn warm_if_alone(&mut self, now: Moment) {
        let contact = &self.contact;
        let all_ourselves =
            contact.all_resolved && !contact.seeds.is_empty() && contact.seeds.iter().all(|addr| contact.selves.contains(addr));
        if contact.warm || !contact.untried.is_empty() || (contact.seeded && !all_ourselves) {
            return;
        }
        if contact.seeded || self.roster.n_live() == 0 {
            self.become_warm(now);
        } else {
            self.exchange_with_anybody(now);
        }
    }

    fn become_warm(&mut self, now: Moment) {
        if !std::mem::replace(&mut self.contact.warm, true) {
            self.arm_about(now, RECHECK, Timer::Recheck);
            self.outputs.push_back(Output::Event(PeerEvent::Warm));
        }
    }

    /// Remembers who is there, for the time when nobody is.
    pub(super) fn remember_peers(&mut self) {
        if self.roster.n_live() > 0 {
            self.contact.peers = self.peers_now();
        }
    }

    /// See [`Engine::peers`].
    pub(super) fn peers_now(&self) -> Vec<SocketAddr> {
        // Of many members any: one in so many, from the whole list.
        let step = (self.roster.n_live() / MAX_PEERS).max(1);
        let live = self.roster.live().step_by(step).map(|identity| identity.addr);
        let mut failed: Vec<_> = self.roster.failed().collect();
        failed.sort_by_key(|(since, identity)| (std::cmp::Reverse(*since), identity.addr));
        let failed = failed.into_iter().map(|(_, identity)| identity.addr);
        let mut seen = HashSet::from([self.identity().addr]);
        let all = live.chain(failed).chain(self.contact.peers.iter().copied());
        all.filter(|addr| seen.insert(*addr)).take(MAX_PEERS).collect()
    }
}
