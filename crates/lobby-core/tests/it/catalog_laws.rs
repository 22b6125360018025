//! Whatever exchanges say and however clocks jump: the wall clock decides nothing, nothing stays halfway, and what the
//! change watch tells is what the snapshots show.

use std::{sync::Arc, time::Duration};

use lobby_core::{
    catalog::{Catalog, ExchangeSpec, Liveness, NodeState, Snapshot},
    id::{ExchangeId, Generation, NodeId, Origin, Revision, Version},
    local::LocalRecord,
    port::{Gone, LinkState, PeerEvent},
    record::{Phase, Record},
    time::{Moment, Now, WallSecond},
};
use proptest::{collection::vec, prelude::*};

const TTL: Duration = Duration::from_secs(30);
const DAY: i64 = 86_400;

/// One thing that happens, and how many milliseconds pass before it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    wait: u64,
    exchange: ExchangeId,
    event: PeerEvent,
    /// How far the wall clock is set then.
    jump: i64,
}

fn record(node: u8, generation: u64, version: u64, phase: Phase) -> Arc<Record> {
    let name = format!("n{}", node / 2).parse().unwrap();
    let mut local = LocalRecord::new(NodeId::from_bytes([node; 16]), Generation(generation), name);
    local.set_labels([format!("v:{}", version / 2).parse().unwrap()]);
    local.commit(Moment::ZERO);
    let mut record = (**local.record()).clone();
    record.stamp.version = Version(version);
    record.phase = phase;
    Arc::new(record)
}

fn event() -> impl Strategy<Value = PeerEvent> {
    let origin = || (1..4_u8).prop_map(|node| Origin::Node(NodeId::from_bytes([node; 16])));
    let phase = prop_oneof![4 => Just(Phase::Running), 2 => Just(Phase::Restarting), 1 => Just(Phase::Left)];
    let gone = prop_oneof![Just(Gone::Failed), Just(Gone::Unattended), Just(Gone::Left)];
    prop_oneof![
        6 => (1..4_u8, 1..4_u64, 1..6_u64, phase).prop_map(|(n, g, v, phase)| PeerEvent::Record(record(n, g, v, phase))),
        6 => (origin(), 0..40_u64).prop_map(|(origin, age)| PeerEvent::Seen(origin, Duration::from_secs(age.saturating_sub(20)))),
        1 => origin().prop_map(PeerEvent::Suspect),
        3 => (origin(), gone).prop_map(|(origin, gone)| PeerEvent::Gone(origin, gone)),
        1 => Just(PeerEvent::Link(LinkState::Up)),
        1 => Just(PeerEvent::Link(LinkState::Down { why: "cut".into() })),
        1 => Just(PeerEvent::Warm),
    ]
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let wait = prop_oneof![3 => Just(0), 3 => 0..2_000_u64, 1 => 0..20_000_u64];
    let jump = prop_oneof![4 => Just(0), 1 => -DAY..DAY];
    let step = (wait, 0..2_u8, event(), jump);
    vec(step.prop_map(|(wait, exchange, event, jump)| Step { wait, exchange: ExchangeId(exchange), event, jump }), 1..60)
}

/// A catalog and its clocks.
pub(crate) struct Run {
    catalog: Catalog,
    millis: u64,
    offset: i64,
    pub(crate) last: Arc<Snapshot>,
}

impl Run {
    pub(crate) fn start() -> Self {
        let spec = |name: &str, liveness| ExchangeSpec { name: name.into(), liveness };
        let specs = [spec("gossip", Liveness::Reported), spec("nats", Liveness::Ttl(TTL))];
        let own = record(0, 1, 1, Phase::Running);
        let mut catalog = Catalog::new(Revision(1), specs, own, true, Duration::from_secs(60), Now::default());
        let stale = [(record(1, 1, 1, Phase::Running), WallSecond(5)), (record(3, 1, 1, Phase::Restarting), WallSecond(7))];
        catalog.restore(stale, Now::default());
        let last = catalog.poll_snapshot().unwrap();
        Self { catalog, millis: 0, offset: 100 * DAY, last }
    }

    fn now(&self) -> Now {
        let wall = (self.millis / 1000).saturating_add_signed(self.offset);
        Now { moment: Moment::from_micros(self.millis * 1000), wall: WallSecond(wall) }
    }

    /// What it shows, but for seconds.
    fn shown(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let node = |node: &Arc<lobby_core::catalog::Node>| (node.state, node.record.clone());
        let hosts = self.last.hosts.values().map(|host| (format!("{} {:?}", host.name, host.labels), host.nodes.len()));
        let nodes: Vec<_> = self.last.nodes.values().map(node).collect();
        (self.last.revision, self.last.warm, nodes, hosts.collect::<Vec<_>>())
    }

    fn wait(&mut self, millis: u64) {
        let until = self.millis + millis;
        while let Some(deadline) = self.catalog.next_deadline().map(|at| at.as_micros().div_ceil(1000))
            && deadline <= until
        {
            self.millis = self.millis.max(deadline);
            self.catalog.handle_deadline(self.now());
        }
        self.millis = until;
        self.refresh();
    }

    fn refresh(&mut self) {
        while self.catalog.poll_question().is_some() {}
        self.last = self.catalog.poll_snapshot().unwrap_or_else(|| self.last.clone());
    }

    pub(crate) fn take(&mut self, step: &Step, jump: bool) {
        self.wait(step.wait);
        self.offset += if jump { step.jump } else { 0 };
        self.catalog.apply(step.exchange, step.event.clone(), self.now());
        self.refresh();
    }
}

proptest! {
    #[test]
    fn a_wall_clock_that_jumps_by_hours_changes_nothing_but_shown_seconds(steps in steps()) {
        let (mut steady, mut jumping) = (Run::start(), Run::start());
        for step in &steps {
            steady.take(step, false);
            jumping.take(step, true);
            prop_assert_eq!(steady.shown(), jumping.shown());
            prop_assert_eq!(steady.catalog.next_deadline(), jumping.catalog.next_deadline());
        }
    }

    #[test]
    fn after_quiet_nobody_is_halfway(steps in steps()) {
        let mut run = Run::start();
        for step in &steps {
            run.take(step, true);
        }
        for exchange in [ExchangeId(0), ExchangeId(1)] {
            run.catalog.apply(exchange, PeerEvent::Link(LinkState::Up), run.now());
        }
        run.wait(120_000);
        for node in run.last.nodes.values() {
            prop_assert!(matches!(node.state, NodeState::Alive | NodeState::Suspect | NodeState::Failed), "{:?}", node);
        }
        // An hour after the last word about anybody, the dead are forgotten.
        run.wait(3_700_000);
        prop_assert!(run.last.nodes.values().all(|node| node.state != NodeState::Failed));
        prop_assert_eq!(run.catalog.next_deadline(), None);
    }
}
