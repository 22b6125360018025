//! Holds: whose services stay while most nodes are failed, and what the lists show meanwhile.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{check::Status, record::Phase};

fn origin(n: u8) -> Origin {
    Origin::Node(id(n))
}

/// A node that offers `web`.
fn offering(n: u8) -> Arc<Record> {
    let mut record = (*record(n, 1, &format!("n{n}"), &["service:web"])).clone();
    record.stamp.generation = Generation(2);
    Arc::new(record)
}

impl Scene {
    /// Ourselves and nodes 1 to 6, which these exchanges know.
    fn of_seven(exchanges: &[ExchangeId]) -> Self {
        let mut scene = Self::new();
        for n in 1..=6 {
            exchanges.iter().for_each(|exchange| scene.hear(*exchange, &offering(n)));
        }
        scene
    }

    /// Nobody looks in between.
    fn all_gone(&mut self, exchange: ExchangeId, nodes: impl IntoIterator<Item = u8>) {
        for n in nodes {
            self.catalog.apply(exchange, PeerEvent::Gone(origin(n), Gone::Failed), self.now);
        }
        self.refresh();
    }

    fn passing(&self) -> String {
        let instances = self.last.service("web").map(|web| web.instances.values().cloned().collect::<Vec<_>>());
        let passing = instances.iter().flatten().filter(|view| view.status == Status::Passing && !view.node.failed);
        passing.map(|view| view.node.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    fn held(&self) -> String {
        let held = self.last.nodes.values().filter(|node| node.held.is_some());
        let held = held.inspect(|node| assert_eq!(node.state, NodeState::Failed));
        held.map(|node| node.record.name.as_str()).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn services_of_most_nodes_stay_for_a_minute_while_lists_tell_the_truth() {
    let mut scene = Scene::of_seven(&[GOSSIP]);
    let index = scene.last.service_index("web");
    scene.all_gone(GOSSIP, 1..=5);
    assert_eq!((scene.held().as_str(), scene.hosts().as_str()), ("n1 n2 n3 n4 n5", "n6 own"));
    assert_eq!((scene.passing().as_str(), scene.last.links[0].held), ("n1 n2 n3 n4 n5 n6", 5));
    assert_eq!(scene.last.service_index("web"), index, "nobody who waits for the service is woken");
    scene.wait(30_000);
    scene.tell(GOSSIP, PeerEvent::Seen(origin(2), Duration::ZERO));
    assert_eq!((scene.held().as_str(), scene.hosts().as_str()), ("n1 n3 n4 n5", "n2 n6 own"));
    scene.wait(29_999);
    assert_eq!(scene.passing(), "n1 n2 n3 n4 n5 n6");
    scene.wait(1);
    assert_eq!((scene.held().as_str(), scene.passing().as_str()), ("", "n2 n6"));
    assert_eq!((scene.last.links[0].held, scene.catalog.hold.next_deadline()), (0, None));
}

#[test]
fn the_first_to_go_come_back_when_most_have_gone() {
    let mut scene = Scene::of_seven(&[GOSSIP]);
    for n in 1..=3 {
        scene.all_gone(GOSSIP, [n]);
        scene.wait(2_000);
    }
    assert_eq!((scene.held().as_str(), scene.passing().as_str()), ("", "n4 n5 n6"));
    scene.all_gone(GOSSIP, [4]);
    assert_eq!((scene.held().as_str(), scene.passing().as_str()), ("n1 n2 n3 n4", "n1 n2 n3 n4 n5 n6"));
}

#[test]
fn proof_of_death_goodbyes_and_restarts_hold_nobody_and_end_a_hold() {
    let gone = |gone| move |n| PeerEvent::Gone(origin(n), gone);
    let last = |phase: Phase| {
        move |n| {
            let mut record = (*offering(n)).clone();
            (record.phase, record.stamp.version) = (phase, Version(9));
            PeerEvent::Record(Arc::new(record))
        }
    };
    let explained: [Box<dyn Fn(u8) -> PeerEvent>; 4] = [
        Box::new(gone(Gone::Unattended)),
        Box::new(gone(Gone::Left)),
        Box::new(last(Phase::Left)),
        Box::new(last(Phase::Restarting)),
    ];
    for explain in explained {
        let mut scene = Scene::of_seven(&[GOSSIP]);
        (1..=5).for_each(|n| _ = scene.tell(GOSSIP, explain(n)));
        scene.wait(AGENT_GRACE.as_millis() as u64 + 1);
        assert_eq!((scene.held().as_str(), scene.passing().as_str()), ("", "n6"));
        let mut scene = Scene::of_seven(&[GOSSIP]);
        scene.all_gone(GOSSIP, 1..=5);
        assert_eq!(scene.tell(GOSSIP, explain(3)), Outcome::Applied);
        assert_eq!((scene.held().as_str(), scene.passing().as_str()), ("n1 n2 n4 n5", "n1 n2 n4 n5 n6"), "{:?}", explain(3));
    }
}

#[test]
fn what_a_held_node_takes_back_is_gone() {
    let mut scene = Scene::of_seven(&[GOSSIP]);
    scene.all_gone(GOSSIP, 1..=5);
    let mut bare = (*record(1, 9, "n1", &[])).clone();
    bare.stamp.generation = Generation(3);
    scene.tell(GOSSIP, PeerEvent::Record(Arc::new(bare)));
    assert_eq!((scene.held().as_str(), scene.passing().as_str()), ("n1 n2 n3 n4 n5", "n2 n3 n4 n5 n6"));
}

#[test]
fn nodes_of_a_broker_that_expire_together_are_held() {
    let mut scene = Scene::of_seven(&[NATS]);
    scene.wait(20_000);
    scene.tell(NATS, PeerEvent::Seen(origin(6), Duration::ZERO));
    scene.wait(10_000);
    assert_eq!((scene.held().as_str(), scene.passing().as_str()), ("n1 n2 n3 n4 n5", "n1 n2 n3 n4 n5 n6"));
}

#[test]
fn an_exchange_that_is_asked_decides_by_what_else_it_hears() {
    // Neither answers: both are doubted.
    let mut scene = Scene::of_seven(&[GOSSIP, NATS]);
    scene.wait(5_000);
    scene.all_gone(GOSSIP, 1..=5);
    assert_eq!((scene.held().as_str(), scene.hosts().as_str()), ("", "n1 n2 n3 n4 n5 n6 own"));
    scene.wait(1_000);
    assert_eq!((scene.held().as_str(), scene.hosts().as_str()), ("n1 n2 n3 n4 n5", "n6 own"));
    // The broker hears all but one, which it may be believed.
    let mut scene = Scene::of_seven(&[GOSSIP, NATS]);
    scene.wait(5_000);
    scene.all_gone(GOSSIP, 1..=5);
    (2..=5).for_each(|n| _ = scene.tell(NATS, PeerEvent::Seen(origin(n), Duration::ZERO)));
    scene.wait(1_000);
    assert_eq!((scene.held().as_str(), scene.passing().as_str()), ("", "n2 n3 n4 n5 n6"));
}

#[test]
fn silence_of_a_broker_about_whom_gossip_proved_dead_is_none() {
    let mut scene = Scene::of_seven(&[GOSSIP, NATS]);
    scene.catalog = scene.catalog.with_hold(Rule { window: Duration::from_secs(100), ..Rule::default() });
    scene.wait(5_000);
    (1..=5).for_each(|n| _ = scene.tell(GOSSIP, PeerEvent::Gone(origin(n), Gone::Unattended)));
    scene.wait(20_000);
    // Now somebody is judged, and all who fell silent lately with it.
    scene.all_gone(GOSSIP, [6]);
    scene.wait(1_000);
    assert_eq!((scene.held().as_str(), scene.passing().as_str(), scene.hosts().as_str()), ("", "", "own"));
}

#[test]
fn why_tells_the_truth_and_who_is_doubted() {
    let mut scene = Scene::of_seven(&[GOSSIP]);
    scene.wait(1_000);
    scene.all_gone(GOSSIP, 1..=5);
    let view = scene.last.service("web").unwrap().instances.values().next().unwrap().clone();
    let why = why::Why::of(&scene.last, &view, scene.now).unwrap();
    assert_eq!((why.verdict, view.status), (why::Verdict::Failed, Status::Passing));
    let held = why.hold.unwrap();
    assert_eq!((held.exchange, held.silent, held.of), (GOSSIP, 5, 7));
    assert_eq!((held.since, held.until), (at(1_000).moment, at(61_000).moment));
}

#[derive(Clone, Debug)]
enum Step {
    Seen(u8, u8),
    Gone(u8, u8, Gone),
    Suspect(u8, u8),
    Restart(u8),
    Link(u8, bool),
    Wait(u64),
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    let place = || (0..2_u8, 1..7_u8);
    let gone = prop_oneof![8 => Just(Gone::Failed), 1 => Just(Gone::Unattended), 1 => Just(Gone::Left)];
    prop_oneof![
        6 => place().prop_map(|(exchange, n)| Step::Seen(exchange, n)),
        8 => (place(), gone).prop_map(|((exchange, n), gone)| Step::Gone(exchange, n, gone)),
        1 => place().prop_map(|(exchange, n)| Step::Suspect(exchange, n)),
        1 => (1..7_u8).prop_map(Step::Restart),
        1 => (0..2_u8, any::<bool>()).prop_map(|(exchange, up)| Step::Link(exchange, up)),
        3 => (0..20_000_u64).prop_map(Step::Wait),
        4 => Just(Step::Look),
    ]
}

proptest! {
    #[test]
    fn who_is_held_is_failed_for_a_minute_at_most_and_only_with_two_others(steps in vec(step(), 0..150)) {
        let mut scene = Scene::of_seven(&[GOSSIP, NATS]);
        for (turn, step) in steps.into_iter().enumerate() {
            let mut apply = |exchange, event| _ = scene.catalog.apply(ExchangeId(exchange), event, scene.now);
            match step {
                Step::Seen(exchange, n) => {
                    apply(exchange, PeerEvent::Record(offering(n)));
                    apply(exchange, PeerEvent::Seen(origin(n), Duration::ZERO));
                }
                Step::Gone(exchange, n, gone) => apply(exchange, PeerEvent::Gone(origin(n), gone)),
                Step::Suspect(exchange, n) => apply(exchange, PeerEvent::Suspect(origin(n))),
                Step::Restart(n) => {
                    let mut record = (*offering(n)).clone();
                    (record.phase, record.stamp.version) = (Phase::Restarting, Version(10 + turn as u64));
                    apply(0, PeerEvent::Record(Arc::new(record)));
                }
                Step::Link(exchange, true) => apply(exchange, PeerEvent::Link(LinkState::Up)),
                Step::Link(exchange, false) => apply(exchange, PeerEvent::Link(LinkState::Down { why: "test".into() })),
                Step::Wait(millis) => scene.wait(millis),
                Step::Look => scene.refresh(),
            }
            // What nobody looked at may still be unjudged.
            scene.refresh();
            for node in scene.last.nodes.values() {
                let shown = scene.last.offers.get(&node.record.origin).map(|offers| offers.node.failed);
                prop_assert_eq!(shown, Some(node.state == NodeState::Failed && node.held.is_none()));
                let Some(held) = node.held else { continue };
                prop_assert!(node.state == NodeState::Failed && held.until > scene.now.moment && held.since <= scene.now.moment);
                prop_assert!(held.silent >= crate::hold::LEAST && 2 * held.silent > held.of, "{held:?}");
            }
            let shown = scene.last.nodes.values().filter(|node| node.held.is_some()).count();
            prop_assert_eq!(shown, scene.last.links.iter().map(|link| link.held).sum::<usize>());
        }
    }
}
