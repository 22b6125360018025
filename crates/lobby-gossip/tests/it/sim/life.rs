//! How processes and hosts begin and end.
//!
//! ```text
//! boot ─► runs ─┬─ leave ──► goodbye ─► process gone ─┐
//!               ├─ announce_restart ──► goodbye ──────┼─► boot with a newer generation
//!               ├─ kill ───► process gone, host lives ┤
//!               └─ power_off ► host silent ───────────┘
//! ```

use lobby_gossip::{Keyring, Profile, Setup};

use super::*;

impl Sim {
    /// Starts a node after a while.
    pub(crate) fn boot(&mut self, idx: usize, after: Duration) {
        self.at(after, idx, Event::Boot);
    }

    /// Starts a node again after a while, as a new process with a newer generation.
    pub(crate) fn restart(&mut self, idx: usize, after: Duration) {
        let node = &mut self.nodes[idx];
        let generation = node.local.record().stamp.generation.0 + 1_000_000;
        node.local = local(idx, &node.signer, generation);
        self.boot(idx, after);
    }

    /// Ends a node's process without a word; its host closes its streams and refuses new ones.
    pub(crate) fn kill(&mut self, idx: usize) {
        self.break_streams(idx, false);
        self.end(idx);
        self.nodes[idx].port = Port::Free;
    }

    /// Ends a node's host: nothing comes from there any more.
    pub(crate) fn power_off(&mut self, idx: usize) {
        self.forget_streams(idx);
        self.end(idx);
        self.nodes[idx].port = Port::Dark;
    }

    fn end(&mut self, idx: usize) {
        let node = &mut self.nodes[idx];
        node.engine = None;
        node.epoch += 1;
        node.wake_at = None;
        node.back_after = None;
        node.paused_until = self.now;
        node.links = Links::default();
    }

    /// Says goodbye; the process ends when the engine says so.
    pub(crate) fn leave(&mut self, idx: usize) {
        self.nodes[idx].local.leave();
        self.publish(idx);
        self.input(idx, Input::Leave);
    }

    /// Says that it will be back, ends when that is said, and starts again a while later.
    pub(crate) fn announce_restart(&mut self, idx: usize, after: Duration) {
        self.nodes[idx].back_after = Some(after);
        self.nodes[idx].local.restart();
        self.publish(idx);
        self.input(idx, Input::Leave);
    }

    /// The engine has said goodbye.
    pub(super) fn left(&mut self, idx: usize) {
        self.log.push((self.now, idx, Note::Left));
        let back_after = self.nodes[idx].back_after.take();
        self.kill(idx);
        if let Some(after) = back_after {
            self.restart(idx, after);
        }
    }

    pub(super) fn start(&mut self, idx: usize) {
        let mut nonces = SmallRng::seed_from_u64(self.rng.random());
        let node = &mut self.nodes[idx];
        node.clock = EngineClock::default();
        node.started = self.now;
        let setup = Setup {
            config: Profile::Lan.config(),
            keyring: Arc::new(Keyring::new(CLUSTER, self.key.as_slice()).unwrap()),
            advertise: addr(idx),
            announcement: Announcement::new(node.local.record().clone(), node.listed),
            seeded: true,
            peers: Vec::new(),
            nonces: Box::new(move || nonces.random()),
            seed: self.rng.random(),
            check: self.proofs.check(),
            signer: node.signer.clone(),
            stats: node.stats.clone(),
        };
        let now = node.clock.turn(self.now + node.skew, None);
        node.engine = Some(Engine::new(setup, now));
        self.drain(idx);
    }
}

/// A node that is off.
pub(super) fn node(idx: usize, signer: Arc<Signer>) -> Node {
    Node {
        engine: None,
        local: local(idx, &signer, 1_790_000_000_000_000),
        signer,
        stats: Arc::default(),
        clock: EngineClock::default(),
        listed: true,
        port: Port::Dark,
        reject: (false, false),
        packets: 0,
        bytes: 0,
        pulls_served: 0,
        n_watches: 0,
        n_connects: 0,
        started: Moment::ZERO,
        epoch: 0,
        paused_until: Moment::ZERO,
        wake_at: None,
        skew: Duration::ZERO,
        back_after: None,
        links: Links::default(),
    }
}

fn local(idx: usize, signer: &Arc<Signer>, generation: u64) -> LocalRecord {
    let mut local = LocalRecord::signed(signer.clone(), Generation(generation), format!("node-{idx}").parse().unwrap());
    local.set_labels(["service:web", "location:prague"].map(|label| label.parse().unwrap()));
    local.commit(Moment::ZERO);
    local
}
