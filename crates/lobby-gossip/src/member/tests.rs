//! The bound of members, with a small one.

use std::net::SocketAddr;

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
