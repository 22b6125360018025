//! The bound of members, with a small one; and that a suspect learns that it is one.

use std::{collections::BTreeSet, net::SocketAddr};

use foca::State;
use lobby_core::id::Generation;

use super::*;
use crate::config::Profile;

fn identity(byte: u8, renewal: u16) -> Identity {
    let addr = SocketAddr::from(([10, 0, 0, byte], 1314));
    Identity { id: NodeId::from_bytes([byte; 16]), generation: Generation(5), renewal, addr }
}

fn membership(byte: u8, bound: usize) -> Membership {
    let mut membership = Membership::new(identity(byte, 0), &Profile::Lan.config(), u64::from(byte), Moment::ZERO);
    membership.bound = bound;
    membership
}

fn apply(membership: &mut Membership, members: impl IntoIterator<Item = Member<Identity>>) -> Effects {
    let mut effects = Effects::default();
    membership.apply(members, true, Moment::ZERO, &mut effects);
    effects
}

fn known(membership: &Membership) -> Vec<(u8, u16, State)> {
    let seen = |member: &Member<Identity>| (member.id().id.as_bytes()[0], member.id().renewal, member.state());
    let mut known: Vec<_> = membership.states().map(seen).collect();
    known.sort_by_key(|(byte, ..)| *byte);
    known
}

#[test]
fn a_full_membership_takes_news_of_those_it_knows_and_refuses_strangers() {
    let mut one = membership(1, 3);
    assert_eq!(apply(&mut one, (2..=6).map(|byte| Member::alive(identity(byte, 0)))).n_refused, 2);
    // Its room is filled by the first, whatever comes after.
    let effects = apply(&mut one, [identity(7, 0), identity(3, 1)].map(Member::alive));
    assert_eq!(effects.n_refused, 1);
    assert_eq!(known(&one), [(2, 0, State::Alive), (3, 1, State::Alive), (4, 0, State::Alive)]);
    apply(&mut one, [Member::new(identity(4, 0), 0, State::Down)]);
    assert_eq!(known(&one)[2], (4, 0, State::Down));
    // Once the one that is down is forgotten, there is room for one, and not more.
    one.handle_timer(Timer::RemoveDown(identity(4, 0)), Moment::ZERO, &mut Effects::default());
    assert_eq!(apply(&mut one, [identity(8, 0), identity(9, 0)].map(Member::alive)).n_refused, 1);
    assert_eq!(known(&one).iter().map(|(byte, ..)| *byte).collect::<Vec<_>>(), [2, 3, 8]);
}

#[test]
fn a_full_membership_reads_rumours_about_those_it_knows() {
    // The sender knows a newer identity of the third, and a stranger.
    let mut two = membership(2, 100);
    apply(&mut two, [identity(1, 0), identity(3, 1), identity(9, 0)].map(Member::alive));
    let mut gossip = Effects::default();
    let _ = two.foca.gossip(&mut gossip);
    let packet = gossip.sends.iter().find(|(to, _)| to.id == identity(1, 0).id).map(|(_, packet)| packet.clone());
    let packet = packet.expect("one of three members, of whom three are chosen");

    let mut one = membership(1, 2);
    apply(&mut one, [identity(2, 0), identity(3, 0)].map(Member::alive));
    let mut effects = Effects::default();
    one.handle_data(&packet, Moment::ZERO, &mut effects).unwrap();
    assert_eq!(known(&one), [(2, 0, State::Alive), (3, 1, State::Alive)]);
    assert_eq!(effects.n_refused, 1);

    // From a stranger nothing is taken.
    let mut full = membership(1, 1);
    apply(&mut full, [Member::alive(identity(3, 0))]);
    let mut effects = Effects::default();
    full.handle_data(&packet, Moment::ZERO, &mut effects).unwrap();
    assert_eq!((known(&full), effects.n_refused), (vec![(3, 0, State::Alive)], 1));
}

/// The rumour of it missed the suspect, and nobody would repeat it.
#[test]
fn whoever_asks_a_suspect_tells_it_so_and_is_refuted_at_once() {
    let (mut one, mut two) = (membership(1, 100), membership(2, 100));
    apply(&mut one, [identity(2, 0), identity(3, 0)].map(Member::alive));
    apply(&mut two, [identity(1, 0), identity(3, 0)].map(Member::alive));
    apply(&mut one, [Member::new(identity(2, 0), 0, State::Suspect)]);
    assert_eq!(known(&one)[0], (2, 0, State::Suspect));

    let suspicion = Timer::ChangeSuspectToDown { member_id: identity(2, 0), incarnation: 0, token: 0 };
    let mut asked = Effects::default();
    one.handle_timer(suspicion, Moment::from_micros(500_000), &mut asked);
    assert_eq!(asked.sends.len(), 2, "what it is suspected of, and the question");
    let mut answers = Effects::default();
    for (to, packet) in asked.sends {
        assert_eq!(to, identity(2, 0));
        two.handle_data(&packet, Moment::ZERO, &mut answers).unwrap();
    }
    let to_one = answers.sends.iter().filter(|(to, _)| *to == identity(1, 0));
    for (_, packet) in to_one {
        one.handle_data(packet, Moment::from_micros(505_000), &mut Effects::default()).unwrap();
    }
    let refuted = one.states().find(|member| *member.id() == identity(2, 0)).map(|member| (member.incarnation(), member.state()));
    assert_eq!(refuted, Some((1, State::Alive)));

    // Whoever is no suspect is asked only.
    let mut asked = Effects::default();
    one.accuse(identity(3, 0).id, &mut asked);
    assert!(asked.sends.is_empty());
}

/// A packet of the second member for the first.
fn told(about: Member<Identity>) -> Vec<u8> {
    told_to(identity(1, 0), about)
}

fn told_to(dst: Identity, about: Member<Identity>) -> Vec<u8> {
    use foca::Codec as _;
    let header = foca::Header { src: identity(2, 0), src_incarnation: 0, dst, message: foca::Message::Gossip };
    let mut packet = Vec::new();
    Codec::new(identity(2, 0)).encode_header(&header, &mut packet).unwrap();
    packet.extend([0, 1]);
    crate::codec::put_member(&about, &mut packet);
    packet
}

#[test]
fn of_few_nobody_is_down_because_another_says_so() {
    let state = |n_members: u8, about: Member<Identity>| {
        let mut one = membership(1, 100);
        apply(&mut one, (2..n_members + 2).map(|byte| Member::alive(identity(byte, 0))));
        one.handle_data(&told(about.clone()), Moment::ZERO, &mut Effects::default()).unwrap();
        known(&one).into_iter().find(|(byte, ..)| *byte == about.id().id.as_bytes()[0])
    };
    let newer = Identity { generation: Generation(99), ..identity(3, 0) };
    assert_eq!(state(5, Member::down(identity(3, 0))), Some((3, 0, State::Suspect)));
    assert_eq!(state(5, Member::down(identity(3, 7))), Some((3, 0, State::Suspect)), "of a life that nobody has seen");
    assert_eq!(state(5, Member::down(newer)), Some((3, 0, State::Suspect)), "of a process that nobody has seen");
    assert_eq!(state(5, Member::alive(identity(3, 1))), Some((3, 1, State::Alive)), "it has come back");
    assert_eq!(state(5, Member::down(identity(2, 0))), Some((2, 0, State::Down)), "its own word");
    assert_eq!(state(80, Member::down(identity(3, 0))), Some((3, 0, State::Down)), "of many, without an answer of its own");
}

#[test]
fn of_few_whoever_hears_a_verdict_asks_and_tells_five_others_at_once_and_once() {
    let mut one = membership(1, 100);
    apply(&mut one, (2..20).map(|byte| Member::alive(identity(byte, 0))));
    let mut hear = || {
        let mut effects = Effects::default();
        one.handle_data(&told(Member::down(identity(3, 0))), Moment::ZERO, &mut effects).unwrap();
        (effects.judgements.len(), effects.sends)
    };
    let (n_judgements, sends) = hear();
    let receivers: BTreeSet<_> = sends.iter().map(|(to, _)| to.id).collect();
    assert_eq!((n_judgements, sends.len(), receivers.len()), (1, 5, 5));
    assert!(!receivers.contains(&identity(3, 0).id) && !receivers.contains(&identity(1, 0).id));
    assert_eq!(hear(), (0, vec![]), "it is being judged");
    // The others hear of a verdict, and do the same.
    let (to, packet) = &sends[0];
    let mut two = membership(to.id.as_bytes()[0], 100);
    apply(&mut two, (1..20).filter(|byte| identity(*byte, 0).id != to.id).map(|byte| Member::alive(identity(byte, 0))));
    let mut effects = Effects::default();
    two.handle_data(packet, Moment::ZERO, &mut effects).unwrap();
    assert_eq!((effects.judgements.len(), effects.sends.len()), (1, 5));
    assert!(known(&two).contains(&(3, 0, State::Suspect)));
}

#[test]
fn a_life_of_ours_that_we_never_had_is_nothing() {
    let newer = Identity { generation: Generation(99), ..identity(1, 0) };
    for about in [Member::down(newer), Member::alive(newer), Member::down(identity(1, 9))] {
        let mut one = membership(1, 100);
        apply(&mut one, [Member::alive(identity(2, 0)), about.clone()]);
        one.handle_data(&told(about), Moment::ZERO, &mut Effects::default()).unwrap();
        assert_eq!((one.identity(), known(&one)), (identity(1, 0), vec![(2, 0, State::Alive)]));
    }
}

#[test]
fn we_return_now_and_then_only_whatever_is_said_of_us() {
    let at = |secs: u64| Moment::from_micros(secs * 1_000_000);
    let lies: [fn(Identity) -> Member<Identity>; 2] = [Member::down, |own| Member::new(own, u16::MAX, State::Suspect)];
    for lie in lies {
        let mut one = membership(1, 100);
        apply(&mut one, [Member::alive(identity(2, 0))]);
        let mut say = |now| {
            let about = lie(one.identity());
            let header_to = one.identity();
            one.handle_data(&told_to(header_to, about), now, &mut Effects::default()).unwrap();
            one.identity().renewal
        };
        assert_eq!((0..100).map(|_| say(at(100))).last(), Some(16));
        assert_eq!((100..200).map(|secs| say(at(secs))).last(), Some(16 + 19));
    }
}
