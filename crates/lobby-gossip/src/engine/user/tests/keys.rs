//! Changes of keys in whole fleets, with traffic, losses and deaths.

use lobby_core::{
    port::gossip::KeyChange,
    stats::{PacketKind, Verdict},
};

use super::*;

fn change(fleet: &mut Fleet, idx: usize, change: KeyChange) -> Result<KeyOutcome, GossipError> {
    let number = fleet.with(idx, |engine, now| engine.change_keys(change, now))?;
    fleet.until(4 * SEC, |fleet| fleet.outcome(idx, number).is_some());
    Ok(fleet.outcome(idx, number).unwrap())
}

/// A change that one node does not hear of, although it stays a member.
fn missed_by(fleet: &mut Fleet, deaf: usize, change: KeyChange) -> KeyOutcome {
    fleet.lose = Box::new(move |_, to| to == deaf);
    let number = fleet.with(0, |engine, now| engine.change_keys(change, now)).unwrap();
    fleet.run(1500 * MS);
    assert_eq!(fleet.number(0, "posts_queued"), 0, "all copies are out");
    fleet.lose = Box::new(|_, _| false);
    fleet.until(4 * SEC, |fleet| fleet.outcome(0, number).is_some());
    fleet.outcome(0, number).unwrap()
}

fn install(n: u8) -> KeyChange {
    KeyChange::Install(key(n).to_base64())
}

fn use_(n: u8) -> KeyChange {
    KeyChange::Use(key(n).fingerprint())
}

fn remove(n: u8) -> KeyChange {
    KeyChange::Remove(key(n).to_base64())
}

fn all(n: usize) -> Vec<NodeId> {
    (0..n).map(id).collect()
}

/// The keys of a node as everybody else sees them.
fn seen_by_all(fleet: &Fleet, idx: usize, keys: &[u8]) -> bool {
    let expected: Vec<_> = keys.iter().map(|n| key(*n).fingerprint()).collect();
    let running = (0..fleet.nodes.len()).filter(|other| fleet.nodes[*other].engine.is_some());
    running.into_iter().all(|other| {
        let listed = fleet.engine(other).keys();
        listed.nodes.iter().find(|(node, _)| *node == id(idx)).is_some_and(|(_, names)| *names == expected)
    })
}

#[test]
fn a_rotation_loses_no_change_and_everybody_ends_with_the_new_key() {
    let mut fleet = Fleet::formed(5, &[key(1)]);
    let mut stamps = HashMap::new();
    // Traffic all the time: changes of records, and events, at each step of the rotation.
    let mut n_events = 0;
    let mut work = |fleet: &mut Fleet| {
        for idx in 0..5 {
            stamps.insert(idx, fleet.relabel(idx, &format!("n:{n_events}-{idx}")));
        }
        fleet.with(n_events % 5, |engine, now| engine.fire(event(&format!("n{n_events}"), b""), now)).unwrap();
        n_events += 1;
        fleet.run(30 * MS);
    };
    for step in [install(2), use_(2), remove(1)] {
        (0..5).for_each(|_| work(&mut fleet));
        let number = fleet.with(3, |engine, now| engine.change_keys(step.clone(), now)).unwrap();
        (0..10).for_each(|_| work(&mut fleet));
        let outcome = fleet.outcome(3, number).expect("all have answered by now");
        assert_eq!(outcome, KeyOutcome { done: all(5), ..KeyOutcome::default() }, "{step:?}");
        fleet.run(500 * MS);
    }
    for idx in 0..5 {
        assert!(seen_by_all(&fleet, idx, &[2]), "node {idx}");
        assert_eq!(fleet.heard(idx).len(), n_events);
        for (other, stamp) in &stamps {
            // The record that lists the last keys is newer than the last label.
            assert!(fleet.engine(idx).record(id(*other)).is_some_and(|record| record.stamp >= *stamp));
        }
        assert_eq!(fleet.nodes[idx].stats.received_count(PacketKind::Datagram, Verdict::WrongKey), 0);
    }
    assert_eq!(fleet.engine(0).keys().own, [key(2).fingerprint()]);
    // The keyring that the shell has opens streams too: exchanges go on.
    fleet.restart(4, &[key(2)]);
    fleet.run(5 * SEC);
    assert_eq!(fleet.engine(4).n_members(), 4);
}

#[test]
fn changes_that_would_cut_somebody_off_are_refused() {
    let mut fleet = Fleet::formed(3, &[key(1)]);
    let why = |fleet: &mut Fleet, what| change(fleet, 0, what).unwrap_err().to_string();
    let name = |n: u8| key(n).fingerprint();
    assert_eq!(why(&mut fleet, use_(2)), format!("this node does not have key {}: install it first", name(2)));
    assert_eq!(why(&mut fleet, remove(2)), format!("nobody has key {}", name(2)));
    assert_eq!(why(&mut fleet, remove(1)), format!("this node seals with key {}: take another one into use first", name(1)));
    let no_key = why(&mut fleet, KeyChange::Install("c2VjcmV0".to_owned()));
    assert_eq!(no_key, "key: not a key: the base64 of 32 bytes is accepted, as lobbyctl keygen prints it");
    let no_name = why(&mut fleet, KeyChange::Use("c2VjcmV0".to_owned()));
    assert_eq!(no_name, "key: neither a key (base64 of 32 bytes) nor the fingerprint of one (16 hexadecimal digits)");
    // One of them was deaf during the installation.
    let outcome = missed_by(&mut fleet, 2, install(2));
    assert_eq!((outcome.done, outcome.silent), (vec![id(0), id(1)], vec![id(2)]));
    let early = why(&mut fleet, use_(2));
    assert_eq!(early, format!("key {} is not reported by node-2: everybody must have it first", name(2)));
    fleet.run(30 * SEC);
    assert_eq!(change(&mut fleet, 0, use_(2)).unwrap().done, all(3));
    fleet.run(SEC);
    // Two changes at a time are one too many.
    fleet.lose = Box::new(|_, _| true);
    fleet.with(0, |engine, now| engine.change_keys(install(3), now)).unwrap();
    assert_eq!(fleet.with(0, |engine, now| engine.change_keys(install(4), now)), Err(GossipError::Busy("key changes")));
}

#[test]
fn a_fifth_key_is_the_last_and_no_keys_none_at_all() {
    let mut fleet = Fleet::formed(2, &[key(1), key(2), key(3), key(4), key(5)]);
    let err = change(&mut fleet, 0, install(6)).unwrap_err();
    assert_eq!(err.to_string(), "there are 5 keys already: remove one first");
    let mut fleet = Fleet::formed(2, &[]);
    let err = change(&mut fleet, 0, install(1)).unwrap_err();
    assert_eq!(err.to_string(), "this cluster has no keys: start its agents with GOSSIP_KEY");
    // A node whose own keyring is full says so.
    let mut fleet = Fleet::new(2);
    fleet.boot(0, &[key(1)]);
    fleet.boot(1, &[key(1), key(2), key(3), key(4), key(5)]);
    fleet.run(4 * SEC);
    let outcome = change(&mut fleet, 0, install(6)).unwrap();
    assert_eq!(outcome.done, [id(0)]);
    assert_eq!(outcome.refused, [(id(1), "at most 5 keys can be in use at a time".to_owned())]);
}

#[test]
fn who_was_down_during_an_installation_gets_the_key_though_the_installer_is_dead() {
    let mut fleet = Fleet::formed(4, &[key(1)]);
    fleet.kill(3);
    fleet.run(10 * SEC);
    let outcome = change(&mut fleet, 0, install(2)).unwrap();
    assert_eq!(outcome, KeyOutcome { done: all(3), ..KeyOutcome::default() }, "a dead node is not waited for");
    fleet.kill(0);
    fleet.run(10 * SEC);
    fleet.restart(3, &[key(1)]);
    fleet.run(30 * SEC);
    assert!(seen_by_all(&fleet, 3, &[1, 2]));
    assert!(fleet.number(1, "keys_resent") + fleet.number(2, "keys_resent") >= 1);
    // Once it reports the key nobody speaks to it any more.
    let n_resent = fleet.number(1, "keys_resent") + fleet.number(2, "keys_resent");
    fleet.run(60 * SEC);
    assert_eq!(fleet.number(1, "keys_resent") + fleet.number(2, "keys_resent"), n_resent);
}

#[test]
fn who_was_away_during_a_whole_rotation_joins_with_the_old_key_and_gets_the_new_one() {
    let mut fleet = Fleet::formed(4, &[key(1)]);
    fleet.kill(3);
    fleet.run(10 * SEC);
    change(&mut fleet, 0, install(2)).unwrap();
    fleet.run(SEC);
    fleet.with(0, |engine, now| engine.force_leave(id(3), true, now)).unwrap();
    fleet.run(SEC);
    assert_eq!(change(&mut fleet, 0, use_(2)).unwrap().done, all(3));
    fleet.run(SEC);
    fleet.restart(3, &[key(1)]);
    fleet.until(SEC, |fleet| fleet.engine(0).record(id(3)).is_some());
    // Streams to it are opened with what it has, those to others with what is in use.
    let mark = |fleet: &Fleet, to| fleet.engine(0).keyring_for(super::addr(to)).preamble()[1];
    assert_eq!((mark(&fleet, 3), mark(&fleet, 1)), (key(1).mark(), key(2).mark()));
    fleet.until(60 * SEC, |fleet| (0..4).all(|idx| seen_by_all(fleet, idx, &[2, 1])));
    assert!((0..4).all(|idx| fleet.engine(idx).user.keys.behind.is_empty()));
    assert_eq!(mark(&fleet, 3), key(2).mark());
    assert_eq!(change(&mut fleet, 3, remove(1)).unwrap().done, all(4));
}

#[test]
fn who_was_cut_off_during_a_rotation_is_found_again_and_gets_the_new_key() {
    let mut fleet = Fleet::formed(4, &[key(1)]);
    fleet.lose = Box::new(|from, to| (from == 3) != (to == 3));
    fleet.run(60 * SEC);
    change(&mut fleet, 0, install(2)).unwrap();
    fleet.run(SEC);
    // Without prune it is enough too.
    fleet.with(0, |engine, now| engine.force_leave(id(3), false, now)).unwrap();
    fleet.run(SEC);
    assert_eq!(change(&mut fleet, 1, use_(2)).unwrap().done, all(3));
    fleet.run(SEC);
    fleet.lose = Box::new(|_, _| false);
    fleet.until(120 * SEC, |fleet| (0..4).all(|idx| seen_by_all(fleet, idx, &[2, 1])));
}

#[test]
fn members_that_are_away_stand_in_the_way_until_they_are_made_to_leave() {
    let mut fleet = Fleet::new(4);
    (0..4).for_each(|idx| fleet.boot(idx, &[key(1), key(2)][..if idx == 0 { 2 } else { 1 }]));
    fleet.run(5 * SEC);
    fleet.kill(3);
    fleet.run(10 * SEC);
    let why = |fleet: &mut Fleet, what| change(fleet, 0, what).unwrap_err().to_string();
    let name = |n: u8| key(n).fingerprint();
    let hint = "; `lobbyctl force-leave NODE --prune` is the way past a machine that never comes back";
    let text = format!("key {} is not reported by node-1, node-2, node-3 (failed): everybody must have it first{hint}", name(2));
    assert_eq!(why(&mut fleet, use_(2)), text);
    change(&mut fleet, 1, install(2)).unwrap();
    fleet.run(SEC);
    let text = format!("key {} is not reported by node-3 (failed): everybody must have it first{hint}", name(2));
    assert_eq!(why(&mut fleet, use_(2)), text);
    fleet.with(1, |engine, now| engine.force_leave(id(3), true, now)).unwrap();
    fleet.run(SEC);
    assert_eq!(change(&mut fleet, 0, use_(2)).unwrap().done, all(3));
    fleet.run(SEC);
    // One that fails with the old key as its first stands in the way of its removal.
    fleet.restart(3, &[key(1), key(2)]);
    fleet.until(SEC, |fleet| seen_by_all(fleet, 3, &[1, 2]));
    fleet.kill(3);
    fleet.run(10 * SEC);
    let text = why(&mut fleet, remove(1));
    assert!(text.starts_with("node-3 (failed) may still seal with key") && text.ends_with(hint), "{text}");
    fleet.with(2, |engine, now| engine.force_leave(id(3), true, now)).unwrap();
    fleet.run(SEC);
    assert_eq!(change(&mut fleet, 0, remove(1)).unwrap().done, all(3));
}

#[test]
fn who_brings_a_missed_key_unproven_is_asked_and_repeats_it() {
    let mut fleet = Fleet::formed(3, &[key(1)]);
    missed_by(&mut fleet, 2, install(2));
    let start = fleet.now;
    while !seen_by_all(&fleet, 2, &[1, 2]) {
        // As in a cluster of thousands, hardly anybody has spoken to node 2 when somebody brings the key.
        fleet.nodes[2].engine.as_mut().expect("it runs").replay = crate::replay::Replay::default();
        fleet.run(MS);
        assert!(fleet.now.since(start) < 60 * SEC);
    }
    assert!(fleet.number(2, "posts_unproven") > 0);
}

#[test]
fn a_missed_use_and_a_missed_removal_are_made_up_for() {
    let mut fleet = Fleet::formed(4, &[key(1), key(2)]);
    assert_eq!(missed_by(&mut fleet, 3, use_(2)).silent, [id(3)]);
    let early = change(&mut fleet, 0, remove(1)).unwrap_err().to_string();
    assert!(early.starts_with("node-3 may still seal with key"), "{early}");
    fleet.until(40 * SEC, |fleet| (0..4).all(|idx| seen_by_all(fleet, idx, &[2, 1])));
    assert_eq!(missed_by(&mut fleet, 3, remove(1)).silent, [id(3)]);
    fleet.until(40 * SEC, |fleet| (0..4).all(|idx| seen_by_all(fleet, idx, &[2])));
}

#[test]
fn a_removed_key_does_not_come_back_with_an_old_holder_but_with_an_operator() {
    let mut fleet = Fleet::formed(4, &[key(1), key(2)]);
    fleet.kill(3);
    fleet.run(10 * SEC);
    change(&mut fleet, 0, remove(2)).unwrap();
    fleet.run(SEC);
    fleet.restart(3, &[key(1), key(2)]);
    fleet.until(40 * SEC, |fleet| (0..4).all(|idx| seen_by_all(fleet, idx, &[1])));
    fleet.run(60 * SEC);
    assert!((0..4).all(|idx| seen_by_all(&fleet, idx, &[1])));
    // Somebody who has it still and says so is not believed.
    let item = UserItem::Key(crate::item::KeyOp::Install(key(2)), 0).encode();
    fleet.with(3, |engine, _| engine.send(super::addr(1), &[], &[item]));
    fleet.run(SEC);
    assert!(seen_by_all(&fleet, 1, &[1]));
    assert_eq!(fleet.number(1, "keys_refused"), 1);
    assert_eq!(change(&mut fleet, 3, install(2)).unwrap().done, all(4));
    fleet.run(60 * SEC);
    assert!((0..4).all(|idx| seen_by_all(&fleet, idx, &[1, 2])));
}

#[test]
fn a_key_in_the_configuration_of_one_node_does_not_spread() {
    let mut fleet = Fleet::new(4);
    for idx in 0..4 {
        fleet.boot(idx, &[key(1), key(2)][..if idx == 2 { 2 } else { 1 }]);
    }
    fleet.run(60 * SEC);
    assert!(seen_by_all(&fleet, 2, &[1, 2]) && seen_by_all(&fleet, 0, &[1]));
    assert_eq!(fleet.number(2, "keys_resent"), 0);
}

#[test]
fn what_does_not_open_is_counted_by_cause() {
    let mut fleet = Fleet::formed(2, &[key(1), key(2)]);
    change(&mut fleet, 0, remove(2)).unwrap();
    let seal = |keys: &[Key]| Keyring::new("test", keys).unwrap().seal(b"hello", || [7; 24]);
    let good = seal(&[key(1)]);
    let foreign = Keyring::new("other", &[key(1)]).unwrap().seal(b"hello", || [7; 24]);
    for datagram in [&seal(&[key(2)]), &seal(&[key(9)]), &seal(&[]), &good[..good.len() - 1], &good[..20], &foreign] {
        fleet.with(0, |engine, now| engine.handle(Input::Datagram(super::addr(1), datagram), now));
    }
    for cause in ["datagrams_old_key", "datagrams_unknown_key", "datagrams_unsealed", "datagrams_damaged"] {
        assert_eq!(fleet.number(0, cause), 1, "{cause}");
    }
    let count = |verdict| fleet.nodes[0].stats.received_count(PacketKind::Datagram, verdict);
    assert_eq!((count(Verdict::NoKey), count(Verdict::OldKey), count(Verdict::WrongKey)), (1, 1, 2));
    assert_eq!((count(Verdict::Truncated), count(Verdict::Garbage), count(Verdict::Foreign)), (1, 0, 1));
    assert_eq!(count(Verdict::Replayed), 0);
    // A real datagram twice.
    let packet = crate::packet::PacketWriter::new(id(1), Generation(5), 1_000_000, &[], 100);
    let datagram = fleet.nodes[1].keyring.seal(packet.as_bytes(), || [8; 24]);
    for _ in 0..2 {
        fleet.with(0, |engine, now| engine.handle(Input::Datagram(super::addr(1), &datagram), now));
    }
    assert_eq!(fleet.nodes[0].stats.received_count(PacketKind::Datagram, Verdict::Replayed), 1);
}

#[test]
fn no_key_stands_in_what_people_may_log() {
    let mut fleet = Fleet::formed(2, &[key(1)]);
    change(&mut fleet, 0, install(2)).unwrap();
    let bytes = format!("{:?}", [2_u8; 32]);
    let inner = bytes.trim_matches(['[', ']']).to_owned();
    for node in &fleet.nodes {
        let log = format!("{:?} {:?}", node.told, node.keyring);
        assert!(!log.contains(&key(2).to_base64()) && !log.contains(&inner) && !log.contains("\\x02\\x02"));
    }
}

/// Says what its shell says when it is about to restart, and never comes back.
fn restart_for_ever(fleet: &mut Fleet, idx: usize) {
    fleet.nodes[idx].local.restart();
    fleet.publish(idx);
    fleet.with(idx, |engine, now| engine.handle(Input::Leave, now));
    fleet.run(SEC);
    fleet.kill(idx);
}

#[test]
fn who_meant_to_be_back_is_in_the_way_until_it_is_made_to_leave_with_or_without_prune() {
    for prune in [false, true] {
        let mut fleet = Fleet::formed(4, &[key(1)]);
        restart_for_ever(&mut fleet, 3);
        change(&mut fleet, 1, install(2)).unwrap();
        fleet.run(SEC);
        let why = |fleet: &mut Fleet| change(fleet, 0, use_(2)).unwrap_err().to_string();
        let text = why(&mut fleet);
        assert!(text.contains("not reported by node-3 (restarting): "), "{text}");
        fleet.run(lobby_core::catalog::AGENT_GRACE);
        let text = why(&mut fleet);
        assert!(text.contains("not reported by node-3 (failed): "), "as the catalog calls it: {text}");
        fleet.with(1, |engine, now| engine.force_leave(id(3), prune, now)).unwrap();
        fleet.run(SEC);
        assert_eq!(change(&mut fleet, 0, use_(2)).unwrap().done, all(3), "prune {prune}");
    }
}

#[test]
fn a_member_in_the_way_whose_agent_alone_is_gone_is_called_unattended_for_the_grace() {
    let mut fleet = Fleet::formed(4, &[key(1)]);
    let number = fleet.with(1, |engine, now| engine.change_keys(install(2), now)).unwrap();
    fleet.kill(3);
    fleet.until(SEC, |fleet| fleet.engine(0).keyring.has(key(2).name()));
    let proven = |fleet: &mut Fleet| fleet.with(0, |engine, _| engine.roster.set_unattended(id(3), true));
    assert!(proven(&mut fleet).is_some(), "it is still up for foca");
    let hint = "; `lobbyctl force-leave NODE --prune` is the way past a machine that never comes back";
    let why = |fleet: &mut Fleet, state: &str| {
        let text = change(fleet, 0, use_(2)).unwrap_err().to_string();
        assert!(text.contains(&format!("not reported by node-3 ({state}): ")) && text.ends_with(hint), "{text}");
    };
    why(&mut fleet, "unattended");
    fleet.until(10 * SEC, |fleet| fleet.engine(0).roster.down_since(id(3)).is_some());
    why(&mut fleet, "unattended");
    fleet.run(lobby_core::catalog::AGENT_GRACE);
    why(&mut fleet, "failed");
    assert_eq!(fleet.outcome(1, number).map(|outcome| outcome.silent), Some(vec![id(3)]));
}
