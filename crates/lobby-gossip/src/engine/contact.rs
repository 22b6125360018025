//! Seeds: how a newcomer finds the cluster, and how a split cluster finds itself again.
//!
//! Until the first complete exchange all seeds are tried at once, again after 1 s, 2 s, … 30 s, for ever; 1 s after an
//! exchange that had more to give than fits into one. Afterwards one seed that is not a live member is tried every 30 s,
//! for ever. Names are resolved anew at each try (by the shell).

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use lobby_core::{port::PeerEvent, time::Moment};
use rand::RngExt;

use super::{Engine, Output, Timer, talk::Purpose};
use crate::identity::Identity;

/// First wait between two tries.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Who joined in the same moment as we did was unknown to our seed, and pushed its record while we were unknown to it.
const RECHECK: Duration = Duration::from_millis(1500);

/// Addresses of seeds that are used; a name with more is a mistake.
const MAX_SEEDS: usize = 64;

/// Where the search stands.
#[derive(Debug)]
pub(super) struct Contact {
    seeded: bool,
    warm: bool,
    wait: Duration,
    /// When the next try is due. Timers that were armed for later than that no longer matter.
    due: Moment,
    seeds: HashSet<SocketAddr>,
    /// Whether `seeds` are all of them; false while a name does not resolve.
    all_resolved: bool,
    /// Addresses at which we found ourselves.
    selves: HashSet<SocketAddr>,
}

impl Contact {
    pub(super) fn new(seeded: bool) -> Self {
        Self {
            seeded,
            warm: false,
            wait: FIRST_WAIT,
            due: Moment::ZERO,
            seeds: HashSet::new(),
            all_resolved: false,
            selves: HashSet::new(),
        }
    }
}

impl Engine {
    pub(super) fn start_contact(&mut self, now: Moment) {
        if self.contact.seeded {
            self.outputs.push_back(Output::Resolve);
        } else {
            self.become_warm(now);
        }
    }

    /// It may be time for the next try.
    pub(super) fn resolve_seeds(&mut self, now: Moment) {
        if !self.leaving && now >= self.contact.due {
            self.outputs.push_back(Output::Resolve);
        }
    }

    /// The seeds were resolved: contact them.
    pub(super) fn handle_seeds(&mut self, addrs: Vec<SocketAddr>, all_resolved: bool, now: Moment) {
        if self.leaving {
            return;
        }
        self.contact.seeds = addrs.into_iter().take(MAX_SEEDS).collect();
        self.contact.all_resolved = all_resolved;
        self.contact.selves.insert(self.identity().addr);
        self.warm_if_alone(now);
        // Before the first complete exchange a live member is as good a seed as a stranger.
        let known =
            |addr: SocketAddr| self.contact.selves.contains(&addr) || (self.contact.warm && self.roster.has_live_at(addr));
        let mut seeds: Vec<_> = self.contact.seeds.iter().copied().collect();
        seeds.retain(|addr| !known(*addr) && !self.is_contacting(*addr));
        // A set has no order of its own; the same seed of randomness must give the same run.
        seeds.sort();
        if self.contact.warm && self.roster.n_live() > 0 && !seeds.is_empty() {
            seeds = vec![seeds[self.rng.random_range(0..seeds.len())]];
        }
        for addr in seeds {
            self.open(addr, Purpose::Seed(addr));
        }
        let wait = if self.contact.warm { self.config.seed_period } else { self.contact.wait };
        self.contact.wait = LONGEST_WAIT.min(self.contact.wait * 2);
        self.arm_seeds(wait, now);
    }

    fn arm_seeds(&mut self, wait: Duration, now: Moment) {
        let wait = self.about(wait);
        self.contact.due = now + wait;
        self.timers.arm(now, wait, Timer::Seeds);
    }

    /// A seed answered and the exchange with it is over.
    pub(super) fn seed_answered(&mut self, addr: SocketAddr, peer: Identity, complete: bool, now: Moment) {
        if peer.id == self.own {
            self.contact.selves.insert(addr);
            self.warm_if_alone(now);
            return;
        }
        // By datagram, so that both know that this way is open too.
        self.with_membership(now, |membership, effects| membership.announce(peer, effects));
        if complete {
            self.become_warm(now);
        } else if !self.contact.warm {
            self.arm_seeds(FIRST_WAIT, now);
        }
    }

    /// When all seeds are ourselves there is nobody to wait for. One that does not resolve may be somebody.
    fn warm_if_alone(&mut self, now: Moment) {
        let contact = &self.contact;
        if contact.all_resolved && !contact.seeds.is_empty() && contact.seeds.is_subset(&contact.selves) {
            self.become_warm(now);
        }
    }

    fn become_warm(&mut self, now: Moment) {
        if !std::mem::replace(&mut self.contact.warm, true) {
            self.arm_about(now, RECHECK, Timer::Recheck);
            self.outputs.push_back(Output::Event(PeerEvent::Warm));
        }
    }
}
