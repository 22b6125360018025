//! Restarts, agents that are gone while their host lives, and nodes from disk.

use super::*;
use crate::record::Phase;

const GRACE: u64 = AGENT_GRACE.as_millis() as u64;

fn origin() -> Origin {
    Origin::Node(id(1))
}

/// The last record of a generation.
fn restarting(generation: u64) -> Arc<Record> {
    let mut record = (*record(1, 9, "a", &["x"])).clone();
    record.stamp.generation = Generation(generation);
    record.phase = Phase::Restarting;
    Arc::new(record)
}

/// The first record of a generation.
fn running(generation: u64) -> Arc<Record> {
    let mut record = (*record(1, 2, "a", &["x"])).clone();
    record.stamp.generation = Generation(generation);
    Arc::new(record)
}

impl Scene {
    fn state(&self) -> Option<NodeState> {
        self.last.nodes.get(&origin()).map(|node| node.state)
    }

    fn record(&mut self, exchange: ExchangeId, record: Arc<Record>) {
        self.tell(exchange, PeerEvent::Record(record));
    }

    fn seen(&mut self, exchange: ExchangeId) {
        self.tell(exchange, PeerEvent::Seen(origin(), Duration::ZERO));
    }

    fn gone(&mut self, exchange: ExchangeId, gone: Gone) -> Outcome {
        self.tell(exchange, PeerEvent::Gone(origin(), gone))
    }

    /// A node that gossip alone knows, alive in generation 1.
    fn with_a() -> Self {
        let mut scene = Self::new();
        scene.hear(GOSSIP, &running(1));
        assert_eq!(scene.state(), Some(NodeState::Alive));
        scene
    }
}

// === Restarting ===

#[test]
fn a_restart_within_the_grace_is_no_revision_and_one_new_generation() {
    let mut scene = Scene::with_a();
    let revision = scene.last.revision;
    scene.record(GOSSIP, restarting(1));
    assert_eq!((scene.state(), scene.hosts().as_str()), (Some(NodeState::Restarting), "a own"));
    scene.wait(GRACE - 1);
    assert_eq!(scene.state(), Some(NodeState::Restarting));
    scene.record(GOSSIP, running(2));
    assert_eq!(scene.state(), Some(NodeState::Restarting), "its record may come before the news that it is alive");
    assert_eq!(scene.last.nodes[&origin()].record.stamp.generation, Generation(2));
    scene.seen(GOSSIP);
    assert_eq!(scene.state(), Some(NodeState::Alive));
    scene.wait(10 * GRACE);
    assert_eq!((scene.state(), scene.last.revision), (Some(NodeState::Alive), revision));
}

#[test]
fn a_restart_whose_news_of_life_comes_before_the_record_is_the_same() {
    let mut scene = Scene::with_a();
    let revision = scene.last.revision;
    scene.record(GOSSIP, restarting(1));
    scene.wait(3_000);
    scene.seen(GOSSIP);
    assert_eq!(scene.state(), Some(NodeState::Restarting), "of which process, nobody can tell");
    scene.wait(1_000);
    scene.record(GOSSIP, running(2));
    assert_eq!((scene.state(), scene.last.revision), (Some(NodeState::Alive), revision));
}

#[test]
fn a_restart_that_does_not_end_fails_after_the_grace_and_a_late_return_is_alive_at_once() {
    let mut scene = Scene::with_a();
    scene.record(GOSSIP, restarting(1));
    scene.wait(3_000);
    scene.seen(GOSSIP);
    scene.wait(GRACE - 3_000 - 1);
    assert_eq!(scene.hosts(), "a own");
    scene.wait(1);
    assert_eq!((scene.state(), scene.hosts().as_str()), (Some(NodeState::Failed), "own"));
    scene.wait(5_000);
    scene.record(GOSSIP, running(2));
    assert_eq!(scene.state(), Some(NodeState::Alive), "that it is alive was told before");
}

#[test]
fn silence_is_no_news_while_a_node_restarts() {
    let mut scene = Scene::with_a();
    scene.hear(NATS, &running(1));
    scene.record(GOSSIP, restarting(1));
    scene.gone(GOSSIP, Gone::Failed);
    scene.gone(GOSSIP, Gone::Unattended);
    scene.wait(GRACE - 1);
    assert_eq!(scene.catalog.poll_question(), None);
    assert_eq!(scene.state(), Some(NodeState::Restarting));
    scene.wait(1);
    assert_eq!(scene.state(), Some(NodeState::Failed));
}

#[test]
fn a_goodbye_ends_a_restart() {
    let mut scene = Scene::with_a();
    scene.record(GOSSIP, restarting(1));
    let mut left = (*running(2)).clone();
    left.phase = Phase::Left;
    scene.record(GOSSIP, Arc::new(left));
    assert_eq!((scene.state(), scene.hosts().as_str()), (None, "own"));
    scene.wait(2 * GRACE);
    assert_eq!(scene.state(), None);
}

#[test]
fn a_node_first_heard_of_while_it_restarts_is_listed_for_the_grace() {
    let mut scene = Scene::new();
    scene.record(GOSSIP, restarting(1));
    assert_eq!((scene.state(), scene.hosts().as_str()), (Some(NodeState::Restarting), "a own"));
    scene.wait(GRACE);
    assert_eq!((scene.state(), scene.hosts().as_str()), (Some(NodeState::Failed), "own"));
    scene.wait(3_600_000);
    assert_eq!(scene.state(), None, "forgotten like all the dead");
}

#[test]
fn old_news_of_a_restart_does_not_bring_a_failed_node_back() {
    let mut scene = Scene::with_a();
    scene.gone(GOSSIP, Gone::Failed);
    scene.record(NATS, restarting(1));
    assert_eq!(scene.state(), Some(NodeState::Failed));
}

#[test]
fn a_restart_is_waited_for_while_the_link_is_down() {
    let mut scene = Scene::with_a();
    scene.record(GOSSIP, restarting(1));
    scene.link_down(GOSSIP);
    scene.wait(100 * GRACE);
    assert_eq!(scene.state(), Some(NodeState::Restarting));
    scene.tell(GOSSIP, PeerEvent::Link(LinkState::Up));
    scene.wait(GRACE);
    assert_eq!(scene.state(), Some(NodeState::Failed));
}

#[test]
fn a_second_restart_gets_a_grace_of_its_own_and_the_first_timer_is_no_second_one() {
    let mut scene = Scene::with_a();
    for generation in 1..50 {
        scene.record(GOSSIP, restarting(generation));
        scene.record(GOSSIP, running(generation + 1));
        scene.seen(GOSSIP);
    }
    assert_eq!(scene.catalog.timers.values().filter(|timer| matches!(timer, Timer::Return(_))).count(), 1);
    scene.wait(GRACE / 2);
    scene.record(GOSSIP, restarting(50));
    scene.wait(GRACE - 1);
    assert_eq!(scene.state(), Some(NodeState::Restarting));
    scene.wait(1);
    assert_eq!(scene.state(), Some(NodeState::Failed));
}

#[test]
fn the_grace_is_a_setting() {
    let mut scene = Scene::new();
    scene.catalog = scene.catalog.with_grace(Duration::from_secs(2));
    scene.hear(GOSSIP, &running(1));
    scene.record(GOSSIP, restarting(1));
    scene.wait(2_000);
    assert_eq!(scene.state(), Some(NodeState::Failed));
}

// === Unattended ===

#[test]
fn an_unattended_node_is_listed_for_the_grace_and_silence_changes_nothing() {
    let mut scene = Scene::with_a();
    let revision = scene.last.revision;
    scene.wait(5_000);
    scene.gone(GOSSIP, Gone::Unattended);
    assert_eq!((scene.state(), scene.hosts().as_str()), (Some(NodeState::Unattended), "a own"));
    assert_eq!(scene.last.revision, revision);
    scene.wait(4_000);
    assert_eq!(scene.gone(GOSSIP, Gone::Failed), Outcome::Stale);
    scene.tell(GOSSIP, PeerEvent::Suspect(origin()));
    scene.wait(GRACE - 4_000 - 1);
    assert_eq!(scene.state(), Some(NodeState::Unattended));
    scene.wait(1);
    assert_eq!((scene.state(), scene.hosts().as_str()), (Some(NodeState::Failed), "own"));
}

#[test]
fn an_unattended_node_that_is_seen_or_comes_back_is_alive() {
    for comes_back in [false, true] {
        let mut scene = Scene::with_a();
        let revision = scene.last.revision;
        scene.gone(GOSSIP, Gone::Unattended);
        scene.wait(GRACE / 2);
        if comes_back {
            scene.record(GOSSIP, running(2));
            assert_eq!(scene.state(), Some(NodeState::Unattended));
        }
        scene.seen(GOSSIP);
        assert_eq!(scene.state(), Some(NodeState::Alive));
        scene.wait(GRACE);
        assert_eq!((scene.state(), scene.last.revision), (Some(NodeState::Alive), revision));
        // The same again, on the timer that is left over.
        scene.gone(GOSSIP, Gone::Unattended);
        scene.wait(GRACE - 1);
        assert_eq!(scene.state(), Some(NodeState::Unattended));
        scene.wait(1);
        assert_eq!(scene.state(), Some(NodeState::Failed));
    }
}

#[test]
fn whoever_else_holds_an_unattended_node_alive_is_asked_first() {
    for answers in [false, true] {
        let mut scene = Scene::with_a();
        scene.hear(NATS, &running(1));
        scene.wait(5_000);
        scene.gone(GOSSIP, Gone::Unattended);
        assert_eq!(scene.catalog.poll_question(), Some((NATS, id(1))));
        assert_eq!(scene.state(), Some(NodeState::Alive));
        if answers {
            scene.seen(NATS);
        }
        scene.wait(1_000);
        let want = if answers { NodeState::Alive } else { NodeState::Unattended };
        assert_eq!(scene.state(), Some(want));
        scene.wait(GRACE - 1_000);
        let want = if answers { NodeState::Alive } else { NodeState::Failed };
        assert_eq!(scene.state(), Some(want), "counted from the proof");
    }
}

#[test]
fn an_unattended_node_does_not_expire_while_the_link_is_down() {
    let mut scene = Scene::with_a();
    scene.gone(GOSSIP, Gone::Unattended);
    scene.link_down(GOSSIP);
    scene.wait(10 * GRACE);
    assert_eq!(scene.state(), Some(NodeState::Unattended));
    scene.tell(GOSSIP, PeerEvent::Link(LinkState::Up));
    scene.wait(GRACE - 1);
    assert_eq!(scene.state(), Some(NodeState::Unattended));
    scene.wait(1);
    assert_eq!(scene.state(), Some(NodeState::Failed));
}

#[test]
fn proof_of_death_about_a_failed_node_is_no_news() {
    let mut scene = Scene::with_a();
    scene.gone(GOSSIP, Gone::Failed);
    assert_eq!(scene.gone(GOSSIP, Gone::Unattended), Outcome::Stale);
    assert_eq!(scene.state(), Some(NodeState::Failed));
}

#[test]
fn an_unattended_node_that_comes_and_goes_has_one_timer() {
    let mut scene = Scene::with_a();
    for _ in 0..100 {
        scene.gone(GOSSIP, Gone::Unattended);
        scene.seen(GOSSIP);
    }
    assert_eq!(scene.catalog.timers.values().filter(|timer| matches!(timer, Timer::Expire(..))).count(), 1);
}

#[test]
fn a_suspicion_that_is_the_first_word_about_a_node_is_one_and_no_death() {
    for record_first in [true, false] {
        let mut scene = Scene::new();
        if record_first {
            scene.record(GOSSIP, running(1));
        }
        assert_eq!(scene.tell(GOSSIP, PeerEvent::Suspect(origin())), Outcome::Applied);
        scene.record(GOSSIP, running(1));
        assert_eq!((scene.state(), scene.hosts().as_str()), (Some(NodeState::Suspect), "a own"));
        scene.gone(GOSSIP, Gone::Failed);
        assert_eq!(scene.state(), Some(NodeState::Failed));
        assert_eq!(scene.tell(GOSSIP, PeerEvent::Suspect(origin())), Outcome::Stale, "the dead are not suspected");
    }
}

// === Stale ===

fn cold(records: &[Arc<Record>]) -> Scene {
    let spec = ExchangeSpec { name: "gossip".into(), liveness: Liveness::Reported };
    let own = record(0, 1, "own", &["own:1"]);
    let mut catalog = Catalog::new(Revision(1), [spec], own, true, Duration::from_secs(60), at(0));
    let wall = WallSecond(at(0).wall.0 - 300);
    catalog.restore(records.iter().map(|record| (record.clone(), wall)), at(0));
    let last = catalog.poll_snapshot().unwrap();
    Scene { catalog, now: at(0), last }
}

#[test]
fn nodes_from_disk_are_listed_until_warm_and_only_the_living_stay() {
    let mut scene = cold(&[running(1), record(2, 1, "b", &[]), record(3, 1, "c", &[])]);
    assert_eq!((scene.hosts().as_str(), scene.last.warm), ("a b c own", false));
    assert_eq!(scene.state(), Some(NodeState::Stale));
    assert_eq!(scene.last.hosts["a"].last_check(scene.now).0, at(0).wall.0 - 300);
    scene.hear(GOSSIP, &running(1));
    assert_eq!(scene.state(), Some(NodeState::Alive));
    scene.tell(GOSSIP, PeerEvent::Record(record(2, 5, "b", &["new"])));
    assert_eq!(scene.hosts(), "a b c own");
    scene.tell(GOSSIP, PeerEvent::Warm);
    assert_eq!((scene.hosts().as_str(), scene.last.nodes.len()), ("a own", 3));
    assert_eq!(scene.last.nodes[&Origin::Node(id(2))].state, NodeState::Failed, "told, but not to be alive");
}

#[test]
fn a_record_told_before_warm_is_there_when_the_news_of_life_comes_after_it() {
    // As on disk, or newer.
    for version in [1, 5] {
        let mut scene = cold(&[record(2, 1, "b", &[])]);
        scene.tell(GOSSIP, PeerEvent::Record(record(2, version, "b", &[])));
        scene.tell(GOSSIP, PeerEvent::Warm);
        assert_eq!(scene.hosts(), "own");
        scene.tell(GOSSIP, PeerEvent::Seen(Origin::Node(id(2)), Duration::ZERO));
        assert_eq!(scene.hosts(), "b own", "version {version}");
    }
}

#[test]
fn what_is_known_to_be_dead_is_stale_no_more() {
    let mut scene = cold(&[running(1), record(2, 1, "b", &[])]);
    let mut left = (*record(2, 7, "b", &[])).clone();
    left.phase = Phase::Left;
    scene.tell(GOSSIP, PeerEvent::Record(Arc::new(left)));
    assert_eq!(scene.hosts(), "a own");
    scene.gone(GOSSIP, Gone::Failed);
    assert_eq!((scene.state(), scene.hosts().as_str()), (Some(NodeState::Failed), "own"));
    scene.seen(GOSSIP);
    assert_eq!(scene.state(), Some(NodeState::Alive));
}

#[test]
fn nodes_from_disk_go_when_warm_max_is_over_too() {
    let mut scene = cold(&[running(1), restarting(1)]);
    assert_eq!(scene.state(), Some(NodeState::Stale));
    scene.wait(60_000);
    assert_eq!((scene.hosts().as_str(), scene.last.warm), ("own", true));
}

#[test]
fn a_warm_catalog_takes_nothing_from_disk_nor_does_any_take_ourselves() {
    let mut scene = Scene::new();
    scene.catalog.restore([(running(1), scene.now.wall)], scene.now);
    scene.refresh();
    assert_eq!(scene.hosts(), "own");
    let scene = cold(&[record(0, 99, "forged", &[]), bare("go", &[])]);
    assert_eq!(scene.hosts(), "own");
}

#[test]
fn a_node_from_disk_that_was_restarting_is_stale_until_its_next_process_tells_its_record() {
    let mut scene = cold(&[restarting(1)]);
    assert_eq!(scene.state(), Some(NodeState::Stale));
    scene.seen(GOSSIP);
    scene.record(GOSSIP, running(2));
    assert_eq!(scene.state(), Some(NodeState::Alive));
}
