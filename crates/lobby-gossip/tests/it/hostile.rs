//! A hostile fleet: ten honest members, and two with the right key that tell every lie there is, all at once.
//!
//! The liars' own engines behave, so that nobody takes them for dead; beside what those say, they write datagrams by hand
//! (`hostile/liar`), and hand out forged records by stream. Honest members keep the truth about each other, nobody honest
//! is taken for dead, what they keep is bounded, and they know who lies.

use std::{collections::BTreeMap, time::Duration};

use lobby_core::{
    id::{Generation, NodeId},
    record::Phase,
    stats::{PacketKind, Queue, Verdict},
    time::Moment,
};
use lobby_gossip::{Identity, Keyring};
use rand::RngExt;

use crate::{
    forged::forged,
    seeds,
    sim::{CLUSTER, MS, Note, SEC, Sim, addr},
};

#[expect(dead_code, reason = "probes are answered by engines here; the tests of lobbyd need it")]
pub(crate) mod liar;

use liar::{GOSSIP, Liar, State, TURN_UNDEAD, event, force_leave, full, hint, refusal, root};

const HONEST: usize = 10;
const ALL: usize = 12;

/// How long they lie, at five datagrams to each honest member in each tenth of a second.
const LIES_FOR: Duration = Duration::from_secs(120);

/// Longest that somebody honest may be held for dead by anybody: nobody at all is what is hoped for.
const WRONGED_FOR: Duration = Duration::from_secs(1);

/// Members that do not exist, which each liar tells of.
const GHOSTS: u8 = 20;

impl Sim {
    fn hostile(seed: u64) -> Self {
        let mut sim = Self::formed(ALL, seed, true);
        for idx in HONEST..ALL {
            let keyring = Keyring::new(CLUSTER, sim.key.as_slice()).unwrap();
            // Above whatever its engine has counted to.
            sim.liars.insert(idx, Liar::new(keyring, sim.engine(idx).identity(), 1_000_000));
        }
        sim
    }

    fn says(&mut self, liar: usize, to: usize, foca: &[u8], items: &[Vec<u8>]) {
        let own = self.engine(liar).identity();
        let Some(mouth) = self.liars.get_mut(&liar) else { return };
        mouth.own = own;
        let datagram = mouth.datagram(foca, items);
        self.input(to, lobby_gossip::Input::Datagram(addr(liar), &datagram));
    }

    /// One round of lies of this liar, to everybody honest.
    fn tell_lies(&mut self, liar: usize) {
        for to in 0..HONEST {
            let victim = self.rng.random_range(0..HONEST);
            let (told, target) = (self.engine(victim).identity(), self.engine(to).identity());
            let own = self.id(liar);
            let real = self.nodes[victim].local.record().clone();
            let newer = if self.rng.random_bool(0.1) { u64::MAX / 2 } else { self.rng.random_range(1..1000) };
            let phase = [Phase::Running, Phase::Left, Phase::Restarting][self.rng.random_range(0..3)];
            let record = forged(&real, phase, self.rng.random_range(0..15), newer);
            self.says(liar, to, &[], &[full(&record), hint(told, newer), root(self.rng.clone().random())]);

            let renewal = told.renewal.saturating_add(self.rng.random_range(0..3));
            let generation = Generation(told.generation.0 + if self.rng.random_bool(0.2) { 1_000_000 } else { 0 });
            let dead = (Identity { renewal, generation, ..told }, self.rng.random_range(0..3), State::Down);
            let doubted = (told, [0, 1, u16::MAX - 1, u16::MAX][self.rng.random_range(0..4)], State::Suspect);
            let ghost_id = NodeId::from_bytes([self.rng.random_range(100..100 + GHOSTS); 16]);
            let ghost = Identity { id: ghost_id, addr: addr(9999), ..told };
            let kind = if self.rng.random_bool(0.2) { TURN_UNDEAD } else { GOSSIP };
            let foca = self.liars[&liar].foca(&[kind], target, &[dead, doubted, (ghost, 0, State::Alive)]);
            self.says(liar, to, &foca, &[]);

            let witnesses: Vec<_> = [own, self.id((victim + 1) % HONEST), self.id((victim + 2) % HONEST)].into();
            let refusals: Vec<_> = witnesses.into_iter().map(|id| refusal(told, id, self.rng.random())).collect();
            self.says(liar, to, &[], &refusals);
            let flags = self.rng.random_range(0..8);
            self.says(liar, to, &[], &[force_leave(told, flags), force_leave(Identity { generation, ..told }, flags)]);

            let ltime = if self.rng.random_bool(0.2) { u64::MAX - 1 } else { self.rng.random_range(1..100_000) };
            let origin = if self.rng.random_bool(0.5) { own } else { self.id(victim) };
            let id = self.rng.random();
            self.says(liar, to, &[], &[event(id, origin, ltime)]);
        }
    }

    /// A record that is too large for datagrams, in the name of somebody honest.
    fn tell_huge_lie(&mut self, liar: usize, round: u64) {
        let victim = self.rng.random_range(0..HONEST);
        let real = self.nodes[victim].local.record().clone();
        self.lie(liar, forged(&real, Phase::Running, 4000, 1_000_000 + round));
    }

    /// Whoever is honest knows what everybody honest says of itself, and nothing else.
    fn assert_truth(&self) {
        for (at, of) in (0..HONEST).flat_map(|at| (0..HONEST).map(move |of| (at, of))) {
            let real = self.nodes[of].local.record();
            let known = self
                .engine(at)
                .record(self.id(of))
                .unwrap_or_else(|| panic!("{at} has forgotten {of}: {:?}", self.notes(at, of)));
            assert!(known.stamp <= real.stamp, "{at} believes a version of {of} that it has never written");
            if known.stamp == real.stamp {
                assert_eq!(known, real, "at {at}");
            }
        }
    }

    /// What one noted of another.
    fn notes(&self, at: usize, of: usize) -> Vec<(Moment, Note)> {
        let is_of = |note: &Note| matches!(*note, Note::Seen(who) | Note::Gone(who) | Note::Unattended(who) | Note::Suspect(who) | Note::Forced(who) if who == of);
        let noted = self.log.iter().filter(|(_, observer, note)| *observer == at && is_of(note));
        noted.map(|(when, _, note)| (*when, *note)).collect()
    }

    fn assert_bounded(&self) {
        for at in 0..HONEST {
            let stats = &self.nodes[at].stats;
            for (queue, depth, bound) in stats.depths() {
                assert!(depth <= bound, "{queue:?} at {at}: {depth} of {bound}");
                // Rumours and changes are bounded by the number of nodes of a catalog: here there are few.
                let few = matches!(queue, Queue::Rumours | Queue::Send);
                assert!(!few || depth <= 200, "{queue:?} at {at}: {depth}");
            }
            assert!(self.engine(at).n_members() < ALL + usize::from(GHOSTS), "at {at}");
            let numbers: BTreeMap<_, _> = self.engine(at).user_numbers().into_iter().collect();
            assert!(numbers["posts_queued"] <= 512, "at {at}: {numbers:?}");
            assert!(stats.forged.counts().len() <= 2, "at {at}");
        }
    }

    /// For how long, and how often, somebody honest held somebody honest for dead.
    fn wrongs(&self) -> Vec<(usize, usize, Duration)> {
        let mut since: BTreeMap<(usize, usize), Moment> = BTreeMap::new();
        let mut wrongs = Vec::new();
        for (at, observer, note) in self.log.iter().filter(|(_, observer, _)| *observer < HONEST) {
            match *note {
                Note::Gone(of) | Note::Unattended(of) | Note::Forced(of) if of < HONEST => {
                    since.entry((*observer, of)).or_insert(*at);
                }
                Note::Seen(of) if of < HONEST => {
                    let ended = since.remove(&(*observer, of));
                    wrongs.extend(ended.map(|begun| (*observer, of, at.since(begun))));
                }
                _ => {}
            }
        }
        wrongs.extend(since.into_iter().map(|((observer, of), begun)| (observer, of, self.now.since(begun))));
        wrongs
    }
}

#[test]
fn two_liars_of_twelve_change_nothing_and_are_named() {
    seeds::for_each_seed(1, |seed| {
        println!("seed {seed}");
        let mut sim = Sim::hostile(seed);
        let rounds = (LIES_FOR.as_millis() / 100) as u64;
        for round in 0..rounds {
            for liar in HONEST..ALL {
                sim.tell_lies(liar);
                if round % 50 == 0 {
                    sim.tell_huge_lie(liar, round);
                }
                // Not at once: what comes right after something forged is not looked at.
                sim.run(50 * MS);
                sim.assert_truth();
            }
            sim.assert_bounded();
            if round % 100 == 50 {
                let changed = (round / 100) as usize % HONEST;
                sim.relabel(changed, &[format!("real:{round}")]);
            }
        }
        let wrongs = sim.wrongs();
        let worst = wrongs.iter().map(|(.., lasted)| *lasted).max().unwrap_or_default();
        println!("{} wrongs, the longest of {worst:?}, {} renewals", wrongs.len(), sim.renewals());
        assert!(worst <= WRONGED_FOR && wrongs.len() <= 10, "{wrongs:?}");
        let liars: Vec<_> = (HONEST..ALL).map(|idx| sim.id(idx)).collect();
        for at in 0..HONEST {
            let stats = &sim.nodes[at].stats;
            let mut named: Vec<_> = stats.forged.counts().into_iter().map(|(from, _)| from).collect();
            named.sort();
            assert!(liars.iter().all(|liar| named.contains(liar)) && named.len() == 2, "{named:?} at {at}");
            let flooders = stats.refused_posts.counts();
            assert!(flooders.len() == 2 && flooders.iter().all(|(from, _)| liars.contains(from)), "{flooders:?} at {at}");
            let n_forged = stats.received_count(PacketKind::Record, Verdict::Forged);
            assert!(n_forged > rounds, "{n_forged} in {rounds} rounds at {at}");
        }
        // Nothing of it stays.
        sim.run(30 * SEC);
        sim.assert_truth();
        for (at, of) in (0..HONEST).flat_map(|at| (0..HONEST).map(move |of| (at, of))) {
            assert!(at == of || sim.holds_up(at, of), "{at} does not hold {of} up");
            let (real, known) = (sim.nodes[of].local.record(), sim.engine(at).record(sim.id(of)));
            assert_eq!(known, Some(real), "at {at}");
        }
    });
}
