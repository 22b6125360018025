//! Laws of seals: what is sealed opens once and at its place; nothing else opens; recordings prove nothing.

use proptest::prelude::*;

use super::*;

fn key(number: u8) -> Key {
    Key::from_bytes([number; 32])
}

fn keys(numbers: &[u8]) -> Keys {
    Keys { list: numbers.iter().copied().map(key).collect(), takes_unsigned: false }
}

fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 16])
}

fn sealer(number: u8, generation: u64, with: &[u8]) -> Sealer {
    Sealer::new("test", node(number), Generation(generation), &keys(with))
}

const HI: &[u8] = br#"{"message":"hi"}"#;

fn hi(from: &mut Sealer) -> Vec<u8> {
    from.seal(Place::Packets, None, HI.to_vec())
}

fn is_proven(to: &mut Sealer, packet: &[u8]) -> bool {
    to.open(Place::Packets, packet).unwrap().is_proven
}

#[test]
fn a_sealed_packet_is_the_same_json_with_one_field_more() {
    let mut a = sealer(1, u64::MAX, &[1]);
    for number in 2..12 {
        let mut other = sealer(number, 1, &[1]);
        let packet = hi(&mut other);
        a.open(Place::Packets, &packet).unwrap();
    }
    let sealed = a.seal(Place::Packets, Some(7), HI.to_vec());
    assert!(sealed.len() <= HI.len() + SEAL_BYTES);
    assert_eq!(*without_seal(&sealed), *HI);
    let read: serde_json::Value = serde_json::from_slice(&sealed).unwrap();
    assert_eq!((read["message"].as_str(), read.as_object().unwrap().len()), (Some("hi"), 2));
}

#[test]
fn without_a_key_nothing_is_sealed_and_everything_is_taken() {
    let (mut none, mut keyed) = (sealer(1, 1, &[]), sealer(2, 1, &[1]));
    assert_eq!(hi(&mut none), HI);
    let sealed = hi(&mut keyed);
    for packet in [HI, &sealed, b"garbage"] {
        assert!(is_proven(&mut none, packet));
    }
    assert_eq!(keyed.open(Place::Packets, HI), Err(OpenError::Unsigned));
    keyed.set_keys(&Keys { takes_unsigned: true, ..keys(&[1]) });
    assert_eq!(keyed.open(Place::Packets, HI).unwrap().sender, None);
}

#[test]
fn each_place_broker_and_key_is_its_own() {
    let (mut a, mut b) = (sealer(1, 1, &[1]), sealer(2, 1, &[1]));
    let places = [Place::Packets, Place::Asks, Place::Node(node(2)), Place::Node(node(3)), Place::Answer(node(2))];
    for sent in places {
        let packet = a.seal(sent, None, HI.to_vec());
        for heard in places.into_iter().filter(|heard| *heard != sent) {
            assert_eq!(b.open(heard, &packet), Err(OpenError::WrongKey));
        }
        assert_eq!(b.open(sent, &packet).unwrap().sender, Some(node(1)));
    }
    let packet = hi(&mut a);
    let mut elsewhere = Sealer::new("other", node(3), Generation(1), &keys(&[1]));
    assert_eq!(elsewhere.open(Place::Packets, &packet), Err(OpenError::WrongKey));
    assert_eq!(sealer(3, 1, &[2]).open(Place::Packets, &packet), Err(OpenError::WrongKey));
}

#[test]
fn a_rotation_loses_nobody() {
    let (mut a, mut b) = (sealer(1, 1, &[1]), sealer(2, 1, &[1]));
    let talk = |a: &mut Sealer, b: &mut Sealer| {
        let (from_a, from_b) = (hi(a), hi(b));
        (a.open(Place::Packets, &from_b).is_ok(), b.open(Place::Packets, &from_a).is_ok())
    };
    for step in [&[1, 2][..], &[2, 1], &[2]] {
        a.set_keys(&keys(step));
        assert_eq!(talk(&mut a, &mut b), (true, true));
        b.set_keys(&keys(step));
        assert_eq!(talk(&mut a, &mut b), (true, true));
    }
    let old = hi(&mut sealer(3, 1, &[1]));
    assert_eq!(a.open(Place::Packets, &old), Err(OpenError::WrongKey));
}

#[test]
fn strangers_prove_themselves_by_what_they_heard() {
    let (mut a, mut b) = (sealer(1, 1, &[1]), sealer(2, 1, &[1]));
    let first = hi(&mut a);
    assert!(!is_proven(&mut b, &first), "it may be a recording");
    let second = hi(&mut b);
    assert!(is_proven(&mut a, &second), "it names our first one");
    let third = hi(&mut a);
    assert!(is_proven(&mut b, &third));
    // Somebody who starts now, hears all of that again, and then something new.
    let mut late = sealer(3, 1, &[1]);
    let own = hi(&mut late);
    for old in [&first, &second, &third] {
        assert!(!is_proven(&mut late, old));
    }
    assert!(!is_proven(&mut a, &own));
    let new = hi(&mut a);
    assert!(is_proven(&mut late, &new));
    is_proven(&mut b, &new);
    let chained = hi(&mut b);
    assert!(is_proven(&mut late, &chained), "it never heard ours, but one that names it");
}

#[test]
fn who_is_proven_stays_so_in_the_next_life_and_an_old_life_is_over() {
    let (mut a, mut b) = (sealer(1, 1, &[1]), sealer(2, 5, &[1]));
    let recorded: Vec<_> = (0..3).map(|_| hi(&mut b)).collect();
    let ask = b.seal(Place::Asks, None, HI.to_vec());
    let ours = hi(&mut a);
    b.open(Place::Packets, &ours).unwrap();
    assert!(is_proven(&mut a, &hi(&mut b)));
    for old in &recorded {
        assert_eq!(a.open(Place::Packets, old), Err(OpenError::Replayed));
    }
    assert!(!a.open(Place::Asks, &ask).unwrap().is_proven, "from before the proof, although the place has a counter of its own");
    let mut reborn = sealer(2, 6, &[1]);
    assert!(is_proven(&mut a, &hi(&mut reborn)));
    assert_eq!(a.open(Place::Packets, &hi(&mut b)), Err(OpenError::Replayed));
}

#[test]
fn our_own_come_back_those_of_an_earlier_life_do_not() {
    let (mut before, mut now) = (sealer(1, 1, &[1]), sealer(1, 2, &[1]));
    let (old, new) = (hi(&mut before), hi(&mut now));
    assert!(is_proven(&mut now, &new));
    assert_eq!(now.open(Place::Packets, &old), Err(OpenError::Replayed));
    assert_eq!(now.open(Place::Packets, &new), Err(OpenError::Replayed), "each once");
    let (ask, next) = (now.seal(Place::Asks, None, b"{}".to_vec()), hi(&mut now));
    assert!(is_proven(&mut now, &next));
    assert!(now.open(Place::Asks, &ask).is_ok(), "each place by itself");
}

#[test]
fn senders_are_bounded_and_recordings_keep_nobody_out() {
    let mut a = sealer(1, 1, &[1]);
    hi(&mut a);
    let stranger = |number: u32| {
        let mut id = [9; 16];
        id[..4].copy_from_slice(&number.to_le_bytes());
        Sealer::new("test", NodeId::from_bytes(id), Generation(1), &keys(&[1]))
    };
    let most = u32::try_from(lobby_core::limits::NODES).unwrap();
    let mut friend = sealer(2, 1, &[1]);
    friend.open(Place::Packets, &hi(&mut a)).unwrap();
    let first = hi(&mut friend);
    assert!(is_proven(&mut a, &first));
    for number in 1..2 * most {
        assert!(!is_proven(&mut a, &hi(&mut stranger(number))));
        assert!(a.freshness.n_senders() <= lobby_core::limits::NODES);
    }
    assert_eq!(a.open(Place::Packets, &first), Err(OpenError::Replayed), "who was proven is not forgotten for those");
    assert!(is_proven(&mut a, &hi(&mut friend)));
}

proptest! {
    #[test]
    fn what_is_sealed_opens_once(text in "[ -~]{0,60}", order in prop::collection::vec(0_usize..20, 1..60)) {
        let (mut a, mut b) = (sealer(1, 1, &[1]), sealer(2, 1, &[2, 1]));
        let json = serde_json::to_vec(&serde_json::json!({ "x": text })).unwrap();
        let packets: Vec<_> = (0..20).map(|_| a.seal(Place::Packets, None, json.clone())).collect();
        let mut newest = None;
        for idx in order {
            let is_new = newest.is_none_or(|newest| idx > newest);
            let opened = b.open(Place::Packets, &packets[idx]);
            prop_assert_eq!(opened.is_ok(), is_new);
            prop_assert!(is_new || opened == Err(OpenError::Replayed));
            newest = newest.max(Some(idx));
            prop_assert_eq!(&*without_seal(&packets[idx]), &json[..]);
        }
    }

    #[test]
    fn no_byte_can_be_changed(place: prop::sample::Index, change in 1_u8..) {
        let (mut a, mut b) = (sealer(1, 1, &[1]), sealer(2, 1, &[1]));
        let mut packet = hi(&mut a);
        let at = place.index(packet.len());
        packet[at] ^= change;
        // Only the upper case of the MAC's digits says the same.
        let same = packet[at].is_ascii_uppercase() && packet.len() - at <= 66;
        prop_assert!(same || b.open(Place::Packets, &packet).is_err());
    }

    #[test]
    fn no_bytes_break_anything(bytes in prop::collection::vec(any::<u8>(), 0..400), seal in "[0-9a-f.]{0,400}") {
        let mut a = sealer(1, 1, &[1]);
        prop_assert!(a.open(Place::Packets, &bytes).is_err());
        let text = format!("{{\"a\":1,\"seal\":\"{seal}\"}}");
        prop_assert!(a.open(Place::Packets, text.as_bytes()).is_err());
    }

    /// However agents talk: what was said before somebody started never counts for it.
    #[test]
    fn no_recording_is_ever_proven(steps in prop::collection::vec((0_usize..4, 0_usize..40), 1..80), start in 0_usize..40) {
        let mut fleet: Vec<_> = (1..5).map(|number| sealer(number, 1, &[1])).collect();
        let mut late = None;
        let mut said: Vec<(Vec<u8>, bool)> = Vec::new();
        for (step, (who, replayed)) in steps.into_iter().enumerate() {
            if step == start {
                late = Some(sealer(9, 1, &[1]));
            }
            let packet = hi(&mut fleet[who]);
            for other in &mut fleet {
                let _ = other.open(Place::Packets, &packet);
            }
            said.push((packet.clone(), late.is_some()));
            let Some(late) = &mut late else { continue };
            let (old, is_new) = &said[replayed % said.len()];
            if let Ok(opened) = late.open(Place::Packets, old) {
                prop_assert!(*is_new || !opened.is_proven);
            }
            let _ = late.open(Place::Packets, &packet);
            let own = hi(late);
            for other in &mut fleet {
                let _ = other.open(Place::Packets, &own);
            }
        }
    }
}
