//! Forced leaves among engines in memory.

use lobby_core::{id::Generation, record::Stamp};

use super::super::testnet::{MS, Net, Told};
use super::*;

#[test]
fn a_pruned_node_is_forgotten_everywhere_and_may_come_back() {
    let mut net = Net::formed(8, 2);
    let id = net.id(5);
    net.kill(5);
    net.run(8000 * MS);
    assert_eq!(net.n_told(Told::Failed), 7);
    net.with(0, |engine, now| engine.force_leave(id, true, now)).unwrap();
    net.run(15_000 * MS);
    let others = [0, 1, 2, 3, 4, 6, 7];
    assert_eq!(net.n_told(Told::Left), 7);
    for idx in others {
        assert!(net.engine(idx).record(id).is_none());
        assert!(net.engine(idx).view(net.now).members.iter().all(|member| member.id != id));
    }
    net.log.clear();
    // Even with an older generation: its state was lost.
    net.restart(5, 50);
    net.run(5000 * MS);
    assert!(others.iter().all(|idx| net.engine(*idx).record(id).is_some_and(|record| record.stamp.generation == Generation(50))));
    assert_eq!(net.told_about(id, Told::Seen, net.now).len(), 7);
}

#[test]
fn a_node_that_was_made_to_leave_and_lives_comes_back_with_its_record() {
    let mut net = Net::formed(8, 2);
    let id = net.id(5);
    net.hosts[5].stopped = true;
    net.run(8000 * MS);
    assert_eq!(net.n_told(Told::Failed), 7);
    net.with(0, |engine, now| engine.force_leave(id, false, now)).unwrap();
    net.run(1000 * MS);
    assert_eq!(net.n_told(Told::Left), 7);
    net.log.clear();
    net.resume(5);
    net.run(20_000 * MS);
    assert_eq!(net.told_about(id, Told::Seen, net.now).len(), 7);
    let record = Told::Record(Generation(100), lobby_core::record::Phase::Running);
    assert_eq!(net.told_about(id, record, net.now).len(), 7);
}

#[test]
fn a_pruned_node_that_lives_is_a_member_again_and_its_next_end_is_noticed() {
    let mut net = Net::formed(8, 2);
    let id = net.id(5);
    net.hosts[5].stopped = true;
    net.run(8000 * MS);
    net.with(0, |engine, now| engine.force_leave(id, true, now)).unwrap();
    net.run(1000 * MS);
    net.resume(5);
    net.run(20_000 * MS);
    net.log.clear();
    net.hosts[5].stopped = true;
    net.run(8000 * MS);
    assert_eq!(net.n_told(Told::Failed), 7);
}

#[test]
fn an_order_about_a_live_node_changes_nothing_wherever_it_comes_from() {
    let mut net = Net::formed(4, 2);
    let leave = ForceLeave { subject: net.id(1), generation: Generation(100), prune: true, own_word: false, shared: false };
    for idx in [0, 1, 2] {
        net.with(idx, |engine, now| engine.take_force_leave(leave, now));
    }
    net.run(2000 * MS);
    assert_eq!(net.log, []);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut net = Net::formed(2, 2);
    let mut engine = net.hosts[0].engine.take().unwrap();
    for n in 0..1000_u64 {
        let mut bytes = [7; 16];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        let subject = NodeId::from_bytes(bytes);
        let leave = ForceLeave { subject, generation: Generation(1), prune: true, own_word: true, shared: false };
        engine.take_force_leave(leave, net.now);
    }
    let forgotten = &engine.deaths.forgotten;
    assert_eq!((forgotten.pruned.len(), forgotten.heard.len()), (MOST_PRUNED, MOST_HEARD));
    assert!(!engine.is_barred(net.id(1), Stamp::default()));
}

/// Who has the key of the cluster can say anything in anybody's name.
#[test]
fn a_leave_that_a_live_process_never_said_shuts_nobody_out() {
    for (seed, shared) in (0..8).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut net = Net::formed(8, seed);
        let id = net.id(5);
        let leave = ForceLeave { subject: id, generation: Generation(100), prune: true, own_word: true, shared };
        for from in [0, 3] {
            net.with(from, |engine, now| engine.take_force_leave(leave, now));
        }
        net.run(2000 * MS);
        assert_eq!(net.log, [], "seed {seed}, shared {shared}");
        for idx in (0..8).filter(|idx| *idx != 5) {
            let engine = net.engine(idx);
            assert!(engine.members().any(|member| member.id == id) && engine.deaths.forgotten.pruned.is_empty());
            assert!(engine.deaths.forgotten.disputes.is_empty());
        }
        assert_eq!(net.with(5, |engine, now| engine.take_force_leave(leave, now)), Verdict::Stale, "it heard it");
        // And it is a member like any other: its end is noticed.
        let start = net.now;
        net.hosts[5].stopped = true;
        net.run(8000 * MS);
        assert_eq!(net.told_about(id, Told::Failed, start).len(), 7);
    }
}

#[test]
fn a_leave_by_a_process_that_does_not_answer_counts_after_three_questions() {
    let mut net = Net::formed(4, 2);
    let id = net.id(1);
    net.hosts[1].stopped = true;
    let leave = ForceLeave { subject: id, generation: Generation(100), prune: true, own_word: true, shared: false };
    let start = net.now;
    net.with(0, |engine, now| engine.take_force_leave(leave, now));
    net.run(250 * MS);
    assert_eq!(net.n_told(Told::Left), 0);
    net.run(250 * MS);
    let times = net.told_about(id, Told::Left, start);
    assert!(times.len() == 3 && times.iter().all(|time| (300..500).contains(&time.as_millis())), "{times:?}");
    assert!(net.engine(0).is_barred(id, Stamp { generation: Generation(100), ..Stamp::default() }));
}

#[test]
fn leaves_in_question_are_bounded() {
    let mut net = Net::formed(dispute::MOST + 8, 2);
    let ids: Vec<_> = (1..dispute::MOST + 8).map(|idx| net.id(idx)).collect();
    let leave = |subject| ForceLeave { subject, generation: Generation(100), prune: true, own_word: true, shared: false };
    let verdicts = net.with(0, |engine, now| ids.iter().map(|id| engine.take_force_leave(leave(*id), now)).collect::<Vec<_>>());
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Refused).count(), 7);
    assert_eq!(net.engine(0).deaths.forgotten.disputes.len(), dispute::MOST);
    net.run(2000 * MS);
    assert_eq!((net.n_told(Told::Left), net.n_told(Told::Failed)), (0, 0));
    // One that was refused has not been heard: a later copy gets in.
    let copies = net.with(0, |engine, now| [0, ids.len() - 1].map(|idx| engine.take_force_leave(leave(ids[idx]), now)));
    assert_eq!(copies, [Verdict::Stale, Verdict::Ok]);
}

#[test]
fn who_announced_a_restart_and_never_came_back_has_left_once_it_is_made_to() {
    for prune in [false, true] {
        let mut net = Net::formed(6, 2);
        let id = net.id(5);
        let state = |net: &Net, idx: usize| {
            let view = net.engine(idx).view(net.now);
            view.members.iter().find(|member| member.id == id).map(|member| member.state)
        };
        net.leave(5, true);
        net.run(12_000 * MS);
        assert!((0..5).all(|idx| state(&net, idx) == Some("restarting")));
        net.with(0, |engine, now| engine.force_leave(id, prune, now)).unwrap();
        net.run(15_000 * MS);
        let expected = (!prune).then_some("left");
        assert!((0..5).all(|idx| state(&net, idx) == expected), "prune {prune}: {:?}", state(&net, 0));
        assert_eq!(net.told_about(id, Told::Left, net.now).len(), 5);
        // Its next process is a member like any other.
        net.log.clear();
        net.restart(5, 101);
        net.run(5000 * MS);
        assert!((0..5).all(|idx| state(&net, idx) == Some("alive")));
        let record = Told::Record(Generation(101), lobby_core::record::Phase::Running);
        assert_eq!([Told::Seen, record].map(|told| net.told_about(id, told, net.now).len()), [5, 5]);
    }
}
