//! Clusters in which everybody knows everybody: grown as in life, or, when they are large, made at once.
//!
//! A thousand nodes that join in life cost a minute of real time, nearly all of it for rumours about newcomers. At once:
//! every node meets node 0 (and hangs up), sends it its record by datagram, and then gets the whole picture of it in one
//! exchange. All with the engines' own words; only the streams take no time.

use super::*;

/// From this many nodes on clusters are made at once.
const LARGE: usize = 300;

/// Longest first wait of an engine for a change of its record to be sent.
const FLUSHED: Duration = Duration::from_millis(30);

/// Phases of the nodes' timers differ by up to one probe period.
const PHASE: Duration = Duration::from_millis(500);

/// What is said while a cluster is made.
#[derive(Default)]
pub(super) struct Forming {
    pub(super) opened: Vec<(usize, StreamId)>,
    /// Frames, and ends of streams.
    pub(super) parts: VecDeque<(usize, StreamId, Option<Vec<u8>>)>,
}

impl Sim {
    /// A cluster in which everybody knows everybody, at rest.
    pub(crate) fn formed(n: usize, seed: u64, key: bool) -> Self {
        Self::formed_beside(n, 0, seed, key)
    }

    /// The same, and `spare` more nodes that are off and unknown.
    pub(crate) fn formed_beside(n: usize, spare: usize, seed: u64, key: bool) -> Self {
        let mut sim = Self::new(n + spare, seed, key);
        if n < LARGE {
            sim.grow(n);
        } else {
            sim.make(n);
        }
        sim.seeds = (0..n.min(3)).collect();
        sim.run(20 * SEC);
        assert!(sim.all_see_all(), "no full view at rest");
        sim.log.clear();
        sim
    }

    fn grow(&mut self, n: usize) {
        self.seeds = (0..n.min(3)).collect();
        for idx in 0..n {
            let after = SEC.mul_f64(self.rng.random_range(0.0..3.0));
            self.boot(idx, after);
        }
        self.run(3 * SEC);
        let formed = self.run_until_true(60 * SEC, |sim| sim.up().len() == n && sim.all_see_all());
        assert!(formed.is_some(), "no full view after 60 s");
    }

    fn make(&mut self, n: usize) {
        self.forming = Some(Forming::default());
        for idx in 0..n {
            self.start(idx);
            self.teach(idx, true);
        }
        self.run(FLUSHED);
        for idx in 0..n {
            self.teach(idx, false);
        }
        // Whatever else was opened, a watch perhaps, is tried again.
        for (idx, stream) in self.forming.take().into_iter().flat_map(|forming| forming.opened) {
            self.input(idx, Input::Closed(stream));
        }
        for idx in 0..n {
            let after = PHASE.mul_f64(self.rng.random_range(0.0..1.0));
            self.pause(idx, after);
        }
    }

    /// Lets a node resolve its seeds to node 0 and talk to it, whole or until it has heard who that is.
    fn teach(&mut self, idx: usize, hang_up: bool) {
        self.input(idx, Input::Seeds { addrs: vec![addr(0)], all_resolved: true });
        let Some((_, ours)) = self.forming.as_mut().and_then(|forming| forming.opened.pop()) else { return };
        let theirs = self.nodes[0].engine.as_mut().and_then(Engine::accept).expect("node 0 talks to one at a time");
        self.input(idx, Input::Opened(ours));
        while let Some((from, stream, part)) = self.forming.as_mut().and_then(|forming| forming.parts.pop_front()) {
            let (to, stream) = if stream == ours && from == idx { (0, theirs) } else { (idx, ours) };
            match part {
                Some(bytes) => self.input(to, Input::Frame(stream, &bytes)),
                None => self.input(to, Input::Closed(stream)),
            }
            if hang_up && to == idx {
                break;
            }
        }
        self.input(idx, Input::Closed(ours));
        self.input(0, Input::Closed(theirs));
        if let Some(forming) = &mut self.forming {
            forming.parts.clear();
        }
    }
}
