//! What must hold after each step of a random script.
//!
//! - Nobody is told a record that its owner never wrote, and what one process of an observer is told of one node only
//!   gets newer.
//! - Nobody is called dead whom nobody could have missed. Missed can be: a process that ended or started in the last
//!   minute, or that was stopped for more than 2 s (or twice in short order); each end of a cut, in either direction; a
//!   deaf node. A minute because an observer that heard nothing judges after 30 s, and old verdicts travel a while. No
//!   excuse: loss up to 10 %, duplicates, reordering, clocks that jump, one short stop, the faults of others.
//! - Whoever leaves politely, heard by all, is not called dead either, nor by proof of death whoever runs.
//! - Queues keep within bounds that follow from the size of the cluster.

use std::{collections::HashMap, time::Duration};

use lobby_core::{record::Stamp, stats::Queue, time::Moment};

use crate::sim::{Note, SEC, Sim};

const EXCUSED: Duration = Duration::from_secs(60);

/// What observers know of the end of a process that was killed and started again may be this old.
const STALE_PROOF: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Default)]
struct Life {
    /// Verdicts until then are no wonder.
    excused_until: Moment,
    /// When its last stop ends.
    paused_until: Moment,
    starts_at: Moment,
    /// It said goodbye.
    going: bool,
}

pub(super) struct Judge {
    lives: Vec<Life>,
    deaf_until: Moment,
    /// The newest stamp that an observer's process was told of a node.
    told: HashMap<(usize, Moment, usize), Stamp>,
    n_judged: usize,
}

impl Judge {
    pub(super) fn new(n: usize, now: Moment) -> Self {
        Self {
            lives: vec![Life { starts_at: now, ..Life::default() }; n],
            deaf_until: Moment::ZERO,
            told: HashMap::new(),
            n_judged: 0,
        }
    }

    /// Something is wrong with a node until then.
    pub(super) fn impair(&mut self, idx: usize, until: Moment) {
        let life = &mut self.lives[idx];
        life.excused_until = life.excused_until.max(until + EXCUSED);
    }

    pub(super) fn pause(&mut self, idx: usize, now: Moment, time: Duration) {
        let soon_again = now < self.lives[idx].paused_until + 10 * SEC;
        self.lives[idx].paused_until = self.lives[idx].paused_until.max(now + time);
        if time > 2 * SEC || soon_again {
            self.impair(idx, self.lives[idx].paused_until);
        }
    }

    /// A node says goodbye. In a pause it says it later; who does not hear it may miss the node.
    pub(super) fn leaves(&mut self, idx: usize, now: Moment, all_hear: bool) {
        self.lives[idx].going = true;
        if self.lives[idx].paused_until > now || !all_hear {
            self.impair(idx, self.lives[idx].paused_until.max(now));
        }
    }

    /// A new process of a node starts then.
    pub(super) fn starts(&mut self, idx: usize, at: Moment) {
        self.impair(idx, at);
        self.lives[idx].going = false;
        self.lives[idx].starts_at = at;
    }

    /// Whether a start is under way.
    pub(super) fn is_starting(&self, idx: usize, now: Moment) -> bool {
        self.lives[idx].starts_at + SEC > now
    }

    pub(super) fn is_going(&self, idx: usize) -> bool {
        self.lives[idx].going
    }

    /// One deaf node at a time, and none deaf for so long that it may judge the others.
    pub(super) fn may_deafen(&mut self, now: Moment) -> bool {
        let may = now > self.deaf_until;
        if may {
            self.deaf_until = now + EXCUSED;
        }
        may
    }

    /// Judges what was noted since the last call.
    pub(super) fn check(&mut self, sim: &mut Sim) -> Result<(), String> {
        for idx in self.n_judged..sim.log.len() {
            let (at, observer, note) = sim.log[idx];
            match note {
                Note::Record(of, stamp, _) => self.check_record(sim, observer, of, stamp)?,
                Note::Gone(of) | Note::Unattended(of) => self.check_verdict(sim, at, observer, note, of)?,
                _ => {}
            }
        }
        self.n_judged = sim.log.len();
        for idx in sim.up() {
            check_view(sim, idx)?;
            check_queues(sim, idx)?;
        }
        Ok(())
    }

    fn check_record(&mut self, sim: &Sim, observer: usize, of: usize, stamp: Stamp) -> Result<(), String> {
        let owner = sim.nodes[of].local.record().stamp;
        if stamp > owner {
            return Err(format!("{observer} was told {stamp:?} of {of}, whose newest is {owner:?}"));
        }
        let before = self.told.insert((observer, sim.nodes[observer].started, of), stamp);
        match before.filter(|before| *before >= stamp) {
            Some(before) => Err(format!("{observer} was told {stamp:?} of {of} after {before:?}")),
            None => Ok(()),
        }
    }

    fn check_verdict(&self, sim: &Sim, at: Moment, observer: usize, note: Note, of: usize) -> Result<(), String> {
        let life = &self.lives[of];
        let runs = sim.nodes[of].engine.is_some();
        let proven = matches!(note, Note::Unattended(_));
        // Who was stopped reads of the old process when it goes on, however long that has been gone.
        let awake = self.lives[observer].paused_until;
        let excused = if proven { !runs || at < life.starts_at.max(awake) + STALE_PROOF } else { at <= life.excused_until };
        if excused || observer == of {
            return Ok(());
        }
        let what = if life.going { "it left politely" } else { "nobody could have missed it" };
        Err(format!("at {at:?} {observer} noted {note:?}, but {what} (excused until {:?}, runs: {runs})", life.excused_until))
    }
}

fn check_view(sim: &Sim, observer: usize) -> Result<(), String> {
    for of in 0..sim.nodes.len() {
        let owner = sim.nodes[of].local.record().stamp;
        match sim.engine(observer).record(sim.id(of)) {
            Some(record) if record.stamp > owner => {
                return Err(format!("{observer} holds {:?} of {of}, whose newest is {owner:?}", record.stamp));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_queues(sim: &Sim, idx: usize) -> Result<(), String> {
    let n = sim.nodes.len() as u64;
    for (queue, depth, bound) in sim.nodes[idx].stats.depths() {
        let most = match queue {
            // One per node that foca knows of.
            Queue::Rumours | Queue::Send => n,
            _ => bound,
        };
        if depth > most.min(bound) {
            return Err(format!("{} of {idx} is {depth} deep, {most} are enough", queue.as_str()));
        }
    }
    Ok(())
}
