//! Stories beyond the gates of this stage: partition, restart, a storm of newcomers, large records, odd members.

use std::time::Duration;

use lobby_core::id::{Generation, NodeId};
use lobby_gossip::Input;

use crate::{
    seeds::for_each_seed,
    sim::{MS, Note, SEC, Sim},
};

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut sim = Sim::formed(20, seed, true);
        sim.loss = 0.1;
        sim.relabel(3, &["a:b".to_owned()]);
        sim.kill(7);
        sim.run(20 * SEC);
        (sim.log.clone(), sim.traffic())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn halves_that_were_cut_for_a_minute_find_each_other() {
    for_each_seed(2, |seed| {
        let mut sim = Sim::formed(50, seed, false);
        sim.split = 25;
        sim.run(60 * SEC);
        assert!(sim.nodes.iter().all(|node| node.engine.as_ref().unwrap().n_members() == 24), "a half does not know itself");
        // A change on each side meanwhile: both must arrive.
        sim.relabel(3, &["side:left".to_owned()]);
        sim.relabel(40, &["side:right".to_owned()]);
        sim.run(5 * SEC);
        sim.split = 0;
        let healed = sim.run_until_true(60 * SEC, Sim::all_see_all).expect("the halves never met");
        println!("partition: N=50 seed={seed}: healed after {} ms", healed.as_millis());
        assert!(healed <= 20 * SEC, "{healed:?}");
    });
}

#[test]
fn a_restart_within_three_seconds_is_no_failure() {
    for_each_seed(3, |seed| {
        let mut sim = Sim::formed(50, seed, false);
        sim.kill(20);
        sim.restart(20, 1500 * MS);
        let start = sim.now;
        let seen = sim.run_until_true(20 * SEC, |sim| sim.nodes[20].engine.is_some() && sim.all_see_all());
        assert!(seen.is_some(), "the new process is not known everywhere");
        println!("restart: N=50 seed={seed}: new generation at all after {} ms", sim.now.since(start).as_millis());
        sim.run(20 * SEC);
        assert!(!sim.log.iter().any(|note| note.2 == Note::Gone(20)), "somebody saw it fail");
        let generation = sim.nodes[20].local.record().stamp.generation;
        let restarted = |note: &&(_, usize, Note)| matches!(note.2, Note::Record(20, stamp, _) if stamp.generation == generation);
        let mut observers: Vec<_> = sim.log.iter().filter(restarted).map(|note| note.1).collect();
        observers.sort();
        observers.dedup();
        assert_eq!(observers.len(), 49);
        assert!(generation > Generation(0));
    });
}

#[test]
fn fifty_newcomers_at_once_join_through_one_seed() {
    for_each_seed(3, |seed| {
        let mut sim = Sim::new(51, seed, true);
        sim.boot(0, Duration::ZERO);
        sim.run(SEC);
        for idx in 1..51 {
            sim.boot(idx, Duration::ZERO);
        }
        let joined = sim.run_until_true(60 * SEC, |sim| sim.up().len() == 51 && sim.all_see_all()).expect("somebody is missing");
        let warm = sim.log.iter().filter(|note| note.2 == Note::Warm).count();
        println!("storm: 50 newcomers seed={seed}: all see all after {} ms", joined.as_millis());
        assert!(joined <= 5 * SEC, "{joined:?}");
        assert_eq!(warm, 51);
    });
}

#[test]
fn a_change_of_8_kilobytes_travels_by_hint_and_stream() {
    for_each_seed(1, |seed| {
        let mut sim = Sim::formed(200, seed, false);
        let start = sim.now;
        // Digits of a generator: nothing that lz4 could shrink into a datagram.
        let digits = |n: u64| format!("{:020}", (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(5);
        let stamp = sim.relabel(9, &(0..80).map(|n| format!("large:{n}:{}", digits(n))).collect::<Vec<_>>());
        sim.run(5 * SEC);
        let mut times: Vec<_> =
            sim.log.iter().filter(|note| note.2 == Note::Record(9, stamp, false)).map(|note| note.0.since(start)).collect();
        times.sort();
        let served = sim.nodes[9].pulls_served;
        println!(
            "8 KB: N=200 seed={seed}: 99 % after {:?}, all after {:?}, {served} pulls at the origin",
            times.get(197),
            times.last()
        );
        assert_eq!(times.len(), 199);
        assert!(times[197] <= 300 * MS, "{:?}", times[197]);
        assert!(served <= 10, "{served} pulls");
    });
}

#[test]
fn a_member_that_is_not_listed_is_seen_and_has_no_record() {
    let mut sim = Sim::new(5, 1, true);
    sim.nodes[3].listed = false;
    for idx in 0..5 {
        sim.boot(idx, Duration::ZERO);
    }
    sim.run(10 * SEC);
    let observers = |what: &dyn Fn(&Note) -> bool| sim.log.iter().filter(|note| what(&note.2)).count();
    assert_eq!(observers(&|note| *note == Note::Seen(3)), 4);
    assert_eq!(observers(&|note| matches!(note, Note::Record(3, ..))), 0);
}

#[test]
fn members_without_seeds_in_common_never_meet_and_one_alone_is_warm() {
    let mut sim = Sim::new(2, 1, true);
    sim.boot(0, Duration::ZERO);
    sim.run(5 * SEC);
    assert_eq!(sim.log, [(sim.log[0].0, 0, Note::Warm)], "its only seed is itself");
    sim.seeds = vec![1];
    sim.boot(1, Duration::ZERO);
    sim.run(SEC);
    assert_eq!(sim.log.iter().filter(|note| note.2 == Note::Warm).count(), 2);
}

#[test]
fn the_dead_are_known_to_all_when_a_third_dies_at_once() {
    for_each_seed(1, |seed| {
        let mut sim = Sim::formed(50, seed, false);
        for idx in 0..15 {
            sim.kill(idx);
        }
        let known = sim.run_until_true(60 * SEC, |sim| {
            sim.up().iter().all(|idx| sim.nodes[*idx].engine.as_ref().unwrap().n_members() == 34)
        });
        println!("mass death: 15 of 50 seed={seed}: known to all survivors after {known:?}");
        assert!(known.is_some_and(|known| known <= 20 * SEC), "{known:?}");
        assert!(!sim.log.iter().any(|note| matches!(note.2, Note::Gone(idx) if idx >= 15)), "a survivor was called dead");
    });
}

#[test]
fn questions_to_nobody_do_not_use_up_the_questions() {
    let mut sim = Sim::formed(10, 1, true);
    sim.kill(9);
    let dead = sim.id(9);
    for byte in 0..=255 {
        sim.input(0, Input::Question(NodeId::from_bytes([byte; 16])));
        sim.input(0, Input::Question(dead));
    }
    let live = sim.id(1);
    sim.input(0, Input::Question(live));
    sim.run(100 * MS);
    assert!(sim.log.iter().any(|note| (note.1, note.2) == (0, Note::Seen(1))), "no answer");
}

#[test]
fn a_question_whose_first_answers_are_lost_is_asked_again() {
    let mut sim = Sim::formed(30, 1, true);
    sim.split = 1;
    let other = sim.id(1);
    sim.input(0, Input::Question(other));
    sim.run(700 * MS);
    sim.split = 0;
    sim.run(6 * SEC);
    let about: Vec<_> = sim.log.iter().filter(|note| note.1 == 0).map(|note| note.2).collect();
    assert!(!about.contains(&Note::Suspect(1)), "a suspicion hides the answer: take another seed");
    assert!(about.contains(&Note::Seen(1)), "{about:?}");
}
