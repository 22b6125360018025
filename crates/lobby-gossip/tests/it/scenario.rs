//! Stories beyond the gates of this stage: partition, restart, a storm of newcomers, large records, odd members.

use std::time::Duration;

use lobby_core::id::NodeId;
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
        sim.power_off(7);
        sim.run(20 * SEC);
        (sim.log.clone(), sim.traffic())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
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
fn questions_to_nobody_do_not_use_up_the_questions() {
    let mut sim = Sim::formed(10, 1, true);
    sim.power_off(9);
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
