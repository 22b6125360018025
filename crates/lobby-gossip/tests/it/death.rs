//! Proof of death: a process that is gone while its host lives is known to all within 200 ms, and nobody else is.
//!
//! ```text
//! process killed            refused, no answer      ─► Unattended
//! host dead, port reused    no refusal              ─► silence, Failed
//! firewall rejects TCP      refused, but answers    ─► nothing
//! ```

use std::{collections::BTreeSet, time::Duration};

use crate::{
    seeds::for_each_seed,
    sim::{MS, NEVER, Note, Port, SEC, Sim, Times, first, quantile, victims},
};

/// What every test here starts from: watches are open.
fn watched(n: usize, seed: u64) -> Sim {
    let sim = Sim::formed(n, seed, false);
    let n_watches: u64 = sim.nodes.iter().map(|node| node.n_watches).sum();
    assert!(n_watches >= n as u64, "{n_watches} watch streams in a cluster of {n}");
    sim
}

/// Processes die one after the other; when 99 % knew.
fn unattended(sim: &mut Sim, kills: usize) -> Times {
    let mut times = Times::default();
    for _ in 0..kills {
        let victim = sim.random_up();
        let (start, others) = (sim.now, sim.up().len() - 1);
        sim.log.clear();
        sim.kill(victim);
        sim.run(SEC);
        times.0.push(quantile(&first(sim, start, |note| *note == Note::Unattended(victim)), 0.99, others));
        assert!(victims(sim).is_empty(), "nodes that run were called dead");
        // Back again, so that the cluster keeps its size.
        sim.restart(victim, 4 * SEC);
        sim.run(5 * SEC);
        sim.run_until_true(60 * SEC, Sim::all_see_all).expect("all see all after the restart");
        sim.run(10 * SEC);
    }
    times
}

fn kills(n: usize, kills: usize, seeds: u64) {
    let mut all = Times::default();
    for_each_seed(seeds, |seed| {
        let times = unattended(&mut watched(n, seed), kills);
        println!("process death: N={n} seed={seed}: unattended at 99 % {times}");
        assert!(times.worst() < NEVER, "somebody never knew");
        all.0.extend(times.0);
    });
    assert!(quantile(&all.0, 0.99, all.0.len()) <= 200 * MS, "{all}");
}

#[test]
fn a_killed_process_is_unattended_within_200_ms_for_2_and_3() {
    kills(2, 5, 5);
    kills(3, 5, 5);
}

#[test]
fn a_killed_process_is_unattended_within_200_ms_for_30() {
    kills(30, 5, 5);
}

#[test]
fn a_killed_process_is_unattended_within_200_ms_for_200() {
    kills(200, 5, 2);
}

/// Nobody is told anything but that a node was seen or suspected.
fn nobody_is_dead(sim: &Sim) {
    assert!(victims(sim).is_empty(), "called dead: {:?}", victims(sim));
    assert!(sim.all_see_all());
}

#[test]
fn a_firewall_that_rejects_tcp_kills_nobody() {
    for n in [2, 3, 30] {
        for_each_seed(5, |seed| {
            let mut sim = watched(n, seed);
            let idx = sim.random_up();
            sim.reject(idx, true, false);
            sim.run(60 * SEC);
            nobody_is_dead(&sim);
            sim.reject(idx, false, false);
            sim.run(60 * SEC);
            nobody_is_dead(&sim);
        });
    }
}

/// Questions and answers get lost: nobody may decide on one datagram.
#[test]
fn a_firewall_that_rejects_tcp_kills_nobody_where_one_datagram_in_twenty_is_lost() {
    for n in [12, 30] {
        for_each_seed(5, |seed| {
            let mut sim = watched(n, seed);
            sim.loss = 0.05;
            // Each time all its streams end and its watchers are refused.
            for _ in 0..10 {
                let idx = sim.random_up();
                sim.reject(idx, true, false);
                sim.run(3 * SEC);
                sim.reject(idx, false, false);
                sim.run(3 * SEC);
            }
            nobody_is_dead(&sim);
        });
    }
}

#[test]
fn a_firewall_that_rejects_everything_means_unattended_and_later_failed() {
    for n in [3, 30] {
        for_each_seed(5, |seed| {
            let mut sim = watched(n, seed);
            let idx = sim.random_up();
            let others = sim.up().len() - 1;
            let start = sim.now;
            sim.reject(idx, true, true);
            let count = |sim: &Sim, note: Note| {
                let noted = sim.log.iter().filter(|entry| entry.2 == note && entry.1 != idx);
                noted.map(|entry| entry.1).collect::<BTreeSet<_>>().len()
            };
            let unattended = sim.run_until_true(SEC, |sim| count(sim, Note::Unattended(idx)) == others);
            assert!(unattended.is_some(), "{} of {others} know", count(&sim, Note::Unattended(idx)));
            let failed = sim.run_until_true(20 * SEC, |sim| count(sim, Note::Gone(idx)) == others);
            println!("rejects everything: N={n} seed={seed}: unattended {unattended:?}, failed {:?}", sim.now.since(start));
            assert!(failed.is_some(), "not failed: {} of {others}", count(&sim, Note::Gone(idx)));
            sim.reject(idx, false, false);
            sim.run_until_true(60 * SEC, Sim::all_see_all).expect("back");
        });
    }
}

/// Some cannot reach a node any more, and are told so; everybody else hears it well.
#[test]
fn a_firewall_that_rejects_between_some_and_a_node_is_no_news_to_the_others() {
    let mut flaps = 0;
    for (n, n_cut_off) in [(4, 2), (30, 2), (30, 10)] {
        for_each_seed(3, |seed| {
            let mut sim = watched(n, seed);
            let idx = sim.random_up();
            let cut_off: Vec<_> = sim.up().into_iter().filter(|other| *other != idx).take(n_cut_off).collect();
            sim.log.clear();
            for other in &cut_off {
                sim.reject_between(*other, idx);
            }
            sim.run(60 * SEC);
            let wrong = |entry: &&crate::sim::Entry| [Note::Unattended(idx), Note::Gone(idx)].contains(&entry.2);
            let (theirs, others): (Vec<&crate::sim::Entry>, Vec<_>) =
                sim.log.iter().filter(wrong).partition(|entry| cut_off.contains(&entry.1));
            println!("rejected between {n_cut_off} of {n} and one: seed={seed}: {} verdicts of theirs", theirs.len());
            flaps += theirs.len();
            assert!(others.is_empty(), "who hears it well: {others:?}");
            assert!(sim.up().iter().filter(|other| **other != idx).all(|other| sim.holds_up(*other, idx)));
        });
    }
    println!("rejected between some and one: {flaps} verdicts of those who are cut off");
}

#[test]
fn a_port_that_another_program_took_falls_back_to_silence() {
    for n in [2, 3, 30] {
        for_each_seed(5, |seed| {
            let mut sim = watched(n, seed);
            let idx = sim.random_up();
            let (start, others) = (sim.now, sim.up().len() - 1);
            sim.kill(idx);
            sim.nodes[idx].port = Port::Taken;
            let gone = |sim: &Sim| first(sim, start, |note| *note == Note::Gone(idx)).len() == others;
            let time = sim.run_until_true(30 * SEC, gone);
            println!("port taken: N={n} seed={seed}: failed after {time:?}");
            assert!(time.is_some_and(|time| time <= 7 * SEC), "{time:?}");
            assert!(first(&sim, start, |note| *note == Note::Unattended(idx)).is_empty(), "nobody was refused");
        });
    }
}

#[test]
fn a_process_that_is_stopped_for_2_s_is_not_dead() {
    for n in [2, 3, 30] {
        for_each_seed(5, |seed| {
            let mut sim = watched(n, seed);
            for _ in 0..5 {
                let idx = sim.random_up();
                sim.pause(idx, 2 * SEC);
                sim.run(10 * SEC);
                nobody_is_dead(&sim);
            }
        });
    }
}

#[test]
fn a_polite_goodbye_and_an_announced_restart_are_no_death() {
    for n in [3, 30] {
        for_each_seed(5, |seed| {
            let mut sim = watched(n, seed);
            let (back, gone) = (1, 2);
            sim.announce_restart(back, 2 * SEC);
            sim.leave(gone);
            sim.run(SEC);
            sim.run_until_true(20 * SEC, |sim| sim.nodes[back].engine.is_some() && sim.all_see_all()).expect("it is back");
            sim.run(20 * SEC);
            let dead = |note: &Note| [back, gone].iter().any(|idx| [Note::Gone(*idx), Note::Unattended(*idx)].contains(note));
            let wrong: Vec<_> = sim.log.iter().filter(|note| dead(&note.2)).collect();
            assert!(wrong.is_empty(), "{wrong:?}");
            crate::gates::come_and_go::judge_restart(&sim, back);
        });
    }
}

#[test]
fn a_third_of_200_processes_killed_at_once_are_known_to_all() {
    for_each_seed(2, |seed| {
        let mut sim = watched(200, seed);
        let start = sim.now;
        (0..60).for_each(|idx| sim.kill(idx));
        let mut known = vec![0; 60];
        let knows =
            |sim: &Sim, idx: usize| first(sim, start, |note| [Note::Unattended(idx), Note::Gone(idx)].contains(note)).len();
        let mut after: Option<Duration> = None;
        for _ in 0..200 {
            sim.run(50 * MS);
            (0..60).for_each(|idx| known[idx] = knows(&sim, idx));
            if known.iter().all(|known| *known == 140) {
                after = Some(sim.now.since(start));
                break;
            }
        }
        println!("60 of 200 processes killed seed={seed}: known to all after {after:?}");
        assert!(victims(&sim).is_empty(), "called dead: {:?}", victims(&sim));
        assert!(after.is_some(), "{known:?}");
        sim.run(20 * SEC);
        assert!(victims(&sim).is_empty(), "called dead: {:?}", victims(&sim));
    });
}
