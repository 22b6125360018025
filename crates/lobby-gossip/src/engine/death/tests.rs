//! Deaths of processes among engines in memory: how fast, how many connections, and who is not taken for dead.

use lobby_core::{
    id::{Generation, NodeId},
    port::gossip::GossipError,
    record::Phase,
};

use super::{
    super::{
        Input, Output, Reach,
        testnet::{MS, Net, Told, addr},
        watch::MOST_KEPT,
    },
    Identity, MOST_CONNECTS,
};
use crate::frame::Frame;

mod single;

/// How long each of the others took to hear that it is unattended.
fn kill_and_time(net: &mut Net, victim: usize) -> Vec<std::time::Duration> {
    let (id, start) = (net.id(victim), net.now);
    net.kill(victim);
    net.run(1000 * MS);
    net.told_about(id, Told::Unattended, start)
}

#[test]
fn thirty_agents_know_of_a_killed_process_within_200_ms() {
    let mut all = Vec::new();
    for seed in 0..10 {
        let mut net = Net::formed(30, seed);
        let times = kill_and_time(&mut net, 7);
        assert_eq!(times.len(), 29, "seed {seed}");
        all.extend(times);
        assert_eq!(net.n_told(Told::Failed) + net.n_told(Told::Suspect), 0);
        // Silence goes on being silence.
        net.run(8000 * MS);
        assert_eq!(net.n_told(Told::Failed), 29);
        assert_eq!(net.n_told(Told::Seen), 0);
    }
    all.sort();
    let p99 = all[all.len() * 99 / 100];
    println!("kill -9 of one of 30: mean {:?}, p99 {p99:?}, worst {:?}", all[all.len() / 2], all[all.len() - 1]);
    assert!(p99 <= 200 * MS, "{p99:?}");
}

#[test]
fn of_two_members_one_observer_is_enough_and_of_three_two_are_needed() {
    let mut net = Net::formed(2, 1);
    assert_eq!(kill_and_time(&mut net, 1).len(), 1);
    let mut net = Net::formed(3, 1);
    // The third cannot connect to anybody, nor answer: nobody confirms.
    net.hosts[2].stopped = true;
    assert_eq!(kill_and_time(&mut net, 1).len(), 0);
    net.resume(2);
    net.run(1000 * MS);
    assert_eq!(net.n_told(Told::Unattended), 2);
}

#[test]
fn silence_between_two_takes_four_seconds_and_not_six() {
    for seed in 0..10 {
        let mut net = Net::formed(2, seed);
        let (id, start) = (net.id(1), net.now);
        net.hosts[1].stopped = true;
        net.run(10_000 * MS);
        let times = net.told_about(id, Told::Failed, start);
        assert!(times.len() == 1 && times[0] <= 4500 * MS, "{times:?}");
        assert_eq!(net.n_told(Told::Unattended), 0);
    }
}

#[test]
fn a_process_that_never_had_a_stream_is_found_by_a_failed_probe() {
    let mut net = Net::formed(8, 3);
    for idx in 0..8 {
        net.with(idx, |engine, _| engine.close_watches());
    }
    net.run(20 * MS);
    let times = kill_and_time(&mut net, 4);
    assert!(times.len() < 7, "there was no stream");
    net.run(1500 * MS);
    assert_eq!((net.n_told(Told::Unattended), net.n_told(Told::Failed)), (7, 0));
}

#[test]
fn a_stopped_process_is_not_dead() {
    let mut net = Net::formed(12, 5);
    net.hosts[3].stopped = true;
    net.run(2000 * MS);
    net.resume(3);
    net.run(5000 * MS);
    assert_eq!(net.n_told(Told::Unattended) + net.n_told(Told::Failed), 0);
}

#[test]
fn a_port_that_somebody_else_took_proves_nothing() {
    let mut net = Net::formed(12, 5);
    net.hosts[3].taken = true;
    assert_eq!(kill_and_time(&mut net, 3).len(), 0);
    net.run(6000 * MS);
    assert_eq!((net.n_told(Told::Unattended), net.n_told(Told::Failed)), (0, 11));
}

#[test]
fn a_firewall_that_rejects_streams_kills_nobody_who_answers() {
    let mut net = Net::formed(12, 5);
    net.hosts[3].rejects = true;
    // Every stream to it ends without a goodbye, as with a firewall that resets what is open.
    let id = net.id(3);
    for idx in (0..12).filter(|idx| *idx != 3) {
        net.with(idx, |engine, now| engine.watch_ended(id, now));
    }
    net.run(5000 * MS);
    assert!(net.connects.iter().any(|(_, about, reach)| *about == id && *reach == Reach::Refused));
    assert_eq!(net.log, []);
}

#[test]
fn the_subject_refutes_and_everybody_sees_it_again() {
    let mut net = Net::formed(12, 5);
    let id = net.id(3);
    // Refused everywhere, and it does not get the questions either: only what is passed on reaches it later.
    (net.hosts[3].rejects, net.hosts[3].deaf) = (true, true);
    for idx in (0..12).filter(|idx| *idx != 3) {
        net.with(idx, |engine, now| engine.watch_ended(id, now));
    }
    net.run(150 * MS);
    net.hosts[3].deaf = false;
    let start = net.now;
    net.run(1500 * MS);
    assert_eq!(net.told_about(id, Told::Unattended, start).len() + 11, net.n_told(Told::Unattended) + 11);
    assert_eq!(net.n_told(Told::Unattended), 11);
    let seen = net.told_about(id, Told::Seen, start);
    assert_eq!(seen.len(), 11, "{:?}", net.log);
    assert!(seen.iter().all(|time| *time < 1000 * MS), "{seen:?}");
    assert_eq!(net.n_told(Told::Failed), 0);
    assert!((0..12).filter(|idx| *idx != 3).all(|idx| net.engine(idx).deaths.n_refusals() <= 1));
}

#[test]
fn many_deaths_at_once_stay_within_the_bounds_and_nobody_alive_is_meant() {
    let mut net = Net::formed(40, 2);
    for idx in 0..25 {
        net.kill(idx);
    }
    let dead: Vec<_> = (0..25).map(|idx| net.id(idx)).collect();
    net.run(1500 * MS);
    assert!(net.most_connecting <= MOST_CONNECTS, "{} connections at a time", net.most_connecting);
    assert!(net.log.iter().all(|(_, _, about, _)| dead.contains(about)), "somebody alive is meant");
    let n_known = net.n_told(Told::Unattended);
    println!("25 of 40 killed: {n_known} of {} verdicts after 1.5 s, {} connects", 25 * 15, net.connects.len());
    net.run(30_000 * MS);
    assert!((25..40).all(|idx| net.engine(idx).n_members() == 14));
    assert!(net.log.iter().all(|(_, _, about, _)| dead.contains(about)), "somebody alive is meant");
    for idx in 25..40 {
        let deaths = &net.engine(idx).deaths;
        assert_eq!((deaths.inquests.len(), deaths.n_refusals()), (0, 0), "something is left");
    }
}

#[test]
fn a_goodbye_is_no_death_and_a_restart_is_one_return() {
    let mut net = Net::formed(12, 4);
    let (id, generation) = (net.id(3), net.hosts[3].local.record().stamp.generation);
    net.leave(3, true);
    net.run(1500 * MS);
    let phase = Phase::Restarting;
    assert_eq!(net.n_told(Told::Record(generation, phase)), 11);
    assert_eq!(net.log.len(), 11, "more than the record was told: {:?}", net.log);
    assert!((0..12).filter(|idx| *idx != 3).all(|idx| net.engine(idx).n_members() == 10));
    let state = |net: &Net| {
        let view = net.engine(0).view(net.now);
        view.members.iter().find(|member| member.id == id).map(|member| member.state)
    };
    assert_eq!(state(&net), Some("restarting"));
    assert_eq!(net.connects, [], "somebody doubted a goodbye");
    net.restart(3, generation.0 + 1);
    net.run(3000 * MS);
    assert_eq!(net.n_told(Told::Seen), 11 + 11, "each of the others once, and the new process sees eleven");
    assert_eq!(net.n_told(Told::Failed) + net.n_told(Told::Unattended) + net.n_told(Told::Left), 0);
    assert_eq!(state(&net), Some("alive"));
}

#[test]
fn a_killed_process_that_comes_back_is_seen_at_once() {
    let mut net = Net::formed(12, 4);
    assert_eq!(kill_and_time(&mut net, 3).len(), 11);
    let (id, start) = (net.id(3), net.now);
    net.restart(3, 200);
    net.run(1000 * MS);
    let seen = net.told_about(id, Told::Seen, start);
    assert_eq!(seen.len(), 11);
    assert!((0..12).all(|idx| net.engine(idx).n_members() == 11));
    // And it is watched again.
    assert_eq!(kill_and_time(&mut net, 3).len(), 11);
}

#[test]
fn more_watchers_than_the_bound_are_dismissed_politely() {
    let mut net = Net::formed(2, 1);
    let (own, generation) = (net.id(0), Generation(1));
    let mut engine = net.hosts[0].engine.take().unwrap();
    let mut outputs = Vec::new();
    for byte in 0..40 {
        let peer = Identity { id: NodeId::from_bytes([byte; 16]), generation, renewal: 0, addr: addr(100 + usize::from(byte)) };
        let stream = engine.accept().expect("streams that are kept take no slot");
        engine.handle(Input::Frame(stream, &Frame::Watch(peer, own).encode()), net.now);
        outputs.extend(std::iter::from_fn(|| engine.poll_output()));
    }
    let n_kept = outputs.iter().filter(|output| matches!(output, Output::Keep(_))).count();
    let is_bye = |output: &&Output| matches!(output, Output::Frame(_, bytes) if *bytes == Frame::Bye.encode());
    let n_closed = outputs.iter().filter(|output| matches!(output, Output::Close(_))).count();
    // The real watcher holds one already.
    assert_eq!((n_kept, engine.kept_streams().len()), (MOST_KEPT - 1, MOST_KEPT));
    assert_eq!((outputs.iter().filter(is_bye).count(), n_closed), (40 - n_kept, 40 - n_kept));
}

#[test]
fn the_view_names_states_and_forced_leaves_are_refused_for_the_living() {
    let mut net = Net::formed(6, 9);
    let (killed, live) = (net.id(5), net.id(1));
    assert!(matches!(net.with(0, |engine, now| engine.force_leave(live, false, now)), Err(GossipError::Alive(_))));
    let own = net.id(0);
    assert!(matches!(net.with(0, |engine, now| engine.force_leave(own, false, now)), Err(GossipError::Alive(_))));
    let nobody = NodeId::from_bytes([9; 16]);
    let unknown = net.with(0, |engine, now| engine.force_leave(nobody, false, now));
    assert!(matches!(unknown, Err(GossipError::UnknownNode(_))));
    kill_and_time(&mut net, 5);
    let state = |net: &Net| {
        let view = net.engine(0).view(net.now);
        assert_eq!(view.members.len(), 6);
        assert_eq!(view.members.iter().filter(|member| member.own).count(), 1);
        view.members.iter().find(|member| member.id == killed).map(|member| member.state)
    };
    assert_eq!(state(&net), Some("unattended"));
    net.with(0, |engine, now| engine.force_leave(killed, false, now)).unwrap();
    net.run(500 * MS);
    assert_eq!(state(&net), Some("left"));
    assert_eq!(net.n_told(Told::Left), 5);
    net.run(8000 * MS);
    assert_eq!(net.n_told(Told::Failed), 0, "after it left there is nothing to add");
    // A newer process undoes it.
    net.restart(5, 300);
    net.run(2000 * MS);
    assert_eq!(state(&net), Some("alive"));
    assert_eq!(net.told_about(killed, Told::Seen, net.now).len(), 5);
}
