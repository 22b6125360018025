//! Laws of the decoders: what is written is read back; no bytes make a decoder panic.

use std::{net::SocketAddr, time::Duration};

use foca::{Header, Member, Message, State};
use lobby_core::{
    coordinate::Coordinate,
    id::{Generation, NodeId, Version},
    label::Label,
    local::LocalRecord,
    port::gossip::{EventId, Filter, NewEvent},
    record::Stamp,
    time::Moment,
    wire::binary::Reader,
};
use proptest::{collection::vec, prelude::*};

use crate::{
    codec::{self, Codec, Probe, put_member, read_member},
    frame::{Frame, Gift, give_frames},
    identity::{Identity, is_reachable},
    item::{self, Item, KeyOp, Receipt, UserItem, What},
    keyring::{Key, KeyName},
    notice::{ForceLeave, Notice, Refusal},
    packet::{Packet, PacketWriter},
    post::{EventExchange, Post, Reply, Terms},
    roster::{BUCKETS, Entry, Mask, WIDE_BUCKETS},
};

prop_compose! {
    fn identity()(id: [u8; 16], generation: u64, renewal: u16, v6: bool, ip: [u8; 16], port: u16) -> Identity {
        let ip = if v6 { std::net::IpAddr::from(ip) } else { std::net::IpAddr::from([ip[0], ip[1], ip[2], ip[3]]) };
        let addr = SocketAddr::new(ip, port);
        // No other is taken from peers.
        let addr = if is_reachable(addr) { addr } else { SocketAddr::from(([10, 0, 0, 1], 1)) };
        Identity { id: NodeId::from_bytes(id), generation: Generation(generation), renewal, addr }
    }
}

prop_compose! {
    fn record()(id: [u8; 16], generation: u64, labels in vec("[a-z]{1,20}:[a-z0-9]{0,60}", 0..40), leaving: bool)
        -> std::sync::Arc<lobby_core::record::Record> {
        let mut local = LocalRecord::new(NodeId::from_bytes(id), Generation(generation), "node".parse().unwrap());
        local.set_labels(labels.iter().map(|label| label.parse::<Label>().unwrap()));
        if leaving {
            local.leave();
        }
        local.commit(Moment::ZERO);
        local.record().clone()
    }
}

fn member() -> impl Strategy<Value = Member<Identity>> {
    let state = prop_oneof![Just(State::Alive), Just(State::Suspect), Just(State::Down)];
    (identity(), any::<u16>(), state).prop_map(|(identity, incarnation, state)| Member::new(identity, incarnation, state))
}

fn message() -> impl Strategy<Value = Message<Identity>> {
    prop_oneof![
        any::<u8>().prop_map(Message::Ping),
        any::<u8>().prop_map(Message::Ack),
        (identity(), any::<u8>()).prop_map(|(target, probe_number)| Message::PingReq { target, probe_number }),
        (identity(), any::<u8>()).prop_map(|(origin, probe_number)| Message::IndirectPing { origin, probe_number }),
        (identity(), any::<u8>()).prop_map(|(target, probe_number)| Message::IndirectAck { target, probe_number }),
        (identity(), any::<u8>()).prop_map(|(origin, probe_number)| Message::ForwardedAck { origin, probe_number }),
        Just(Message::Announce),
        Just(Message::Feed),
        Just(Message::Gossip),
        Just(Message::TurnUndead),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    (identity(), any::<u64>()).prop_map(|(identity, version)| Entry {
        id: identity.id,
        generation: identity.generation,
        renewal: identity.renewal,
        stamp: Stamp { generation: identity.generation, version: Version(version) },
    })
}

fn gift() -> impl Strategy<Value = Gift> {
    (proptest::option::of(member()), proptest::option::of(record())).prop_map(|(member, record)| Gift {
        member,
        record,
        spoilt: false,
    })
}

fn n_buckets() -> impl Strategy<Value = usize> {
    prop_oneof![Just(BUCKETS), Just(WIDE_BUCKETS)]
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        (identity(), any::<u64>()).prop_map(|(identity, root)| Frame::Hello(identity, root)),
        identity().prop_map(Frame::Same),
        (identity(), any::<u64>(), n_buckets()).prop_map(|(identity, sum, n)| Frame::Buckets(identity, vec![sum; n].into())),
        (any::<u8>(), n_buckets(), vec(entry(), 0..20))
            .prop_map(|(byte, n, entries)| Frame::Entries(Mask(vec![byte; n / 8].into()), entries)),
        vec(gift(), 0..8).prop_map(Frame::Give),
        (vec(any::<[u8; 16]>(), 0..20), any::<bool>())
            .prop_map(|(ids, complete)| Frame::Want(ids.into_iter().map(NodeId::from_bytes).collect(), complete)),
        Just(Frame::Done),
        entry().prop_map(|entry| Frame::Pull(entry.id, entry.stamp)),
        (identity(), any::<[u8; 16]>()).prop_map(|(identity, id)| Frame::Watch(identity, NodeId::from_bytes(id))),
        Just(Frame::Bye),
        event_exchange().prop_map(Frame::Events),
        reply(2000).prop_map(Frame::Answer),
    ]
}

fn notice() -> impl Strategy<Value = Notice> {
    prop_oneof![
        (identity(), any::<[u8; 16]>(), any::<u64>()).prop_map(|(Identity { id: subject, generation, .. }, observer, number)| {
            Notice::Refusal(Refusal { subject, generation, observer: NodeId::from_bytes(observer), number })
        }),
        identity().prop_map(Notice::Check),
        (identity(), any::<u64>()).prop_map(|(Identity { id: subject, generation, .. }, number)| Notice::Alive {
            subject,
            generation,
            number
        }),
        (identity(), any::<[bool; 3]>()).prop_map(|(Identity { id: subject, generation, .. }, [prune, own_word, shared])| {
            Notice::ForceLeave(ForceLeave { subject, generation, prune, own_word, shared })
        }),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    let text = || proptest::option::of("[a-zé.*]{1,9}");
    (text(), text(), text(), vec("[a-z:]{1,9}", 0..4)).prop_map(|(node, service, tag, labels)| Filter {
        node,
        service,
        tag,
        labels,
    })
}

prop_compose! {
    fn post()(id: [u8; 16], origin: [u8; 16], ltime: u64, name in "[a-zé_:-]{1,30}", payload in vec(any::<u8>(), 0..1024),
        filter in filter()) -> Post {
        let event = NewEvent { name, payload: payload.into(), filter };
        Post { id: EventId(id), origin: NodeId::from_bytes(origin), ltime, event }
    }
}

prop_compose! {
    fn reply(most: usize)(query: [u8; 16], node: [u8; 16], payload in vec(any::<u8>(), 0..most)) -> Reply {
        Reply { query: EventId(query), node: NodeId::from_bytes(node), payload: payload.into() }
    }
}

fn event_exchange() -> impl Strategy<Value = EventExchange> {
    let id = || any::<[u8; 16]>().prop_map(EventId);
    let give = (post(), any::<u32>()).prop_map(|(post, ms)| (post, Duration::from_millis(ms.into())));
    (any::<u64>(), any::<u64>(), vec(id(), 0..9), vec((id(), any::<u64>()), 0..9), vec(give, 0..4))
        .prop_map(|(event_time, query_time, want, have, give)| EventExchange { event_time, query_time, want, have, give })
}

prop_compose! {
    fn coordinate()(vec: [f32; 8], height: f32, adjustment: f32, error: f32) -> Coordinate {
        let tame = |number: f32| if number.is_finite() { number % 3600.0 } else { 0.0 };
        Coordinate { vec: vec.map(tame), height: tame(height).abs(), adjustment: tame(adjustment), error: tame(error).abs() }
    }
}

fn receipt() -> impl Strategy<Value = Receipt> {
    let what = prop_oneof![Just((What::Got, false)), Just((What::Pass, true)), Just((What::Answer, true))];
    (any::<[u8; 16]>(), any::<[u8; 16]>(), what).prop_map(|(query, node, (what, confirms))| Receipt {
        query: EventId(query),
        node: NodeId::from_bytes(node),
        what,
        confirms,
    })
}

fn user_item() -> impl Strategy<Value = UserItem> {
    let terms = (any::<bool>(), any::<u8>(), any::<u32>());
    let terms = terms.prop_map(|(ack, relays, ms)| Terms { ack, relays, left: Duration::from_millis(ms.into()) });
    let plain = prop_oneof![reply(1024).prop_map(UserItem::Answer), receipt().prop_map(UserItem::Receipt)];
    let relayed = prop_oneof![reply(1024).prop_map(UserItem::Answer), receipt().prop_map(UserItem::Receipt)];
    let op = prop_oneof![
        any::<[u8; 32]>().prop_map(|bytes| KeyOp::Install(Key::from_bytes(bytes))),
        any::<[u8; 8]>().prop_map(|name| KeyOp::Use(KeyName(name))),
        any::<[u8; 8]>().prop_map(|name| KeyOp::Remove(KeyName(name))),
    ];
    prop_oneof![
        (post(), any::<u16>()).prop_map(|(post, age)| UserItem::Event(post, Duration::from_millis(10 * u64::from(age)))),
        (post(), terms).prop_map(|(post, terms)| UserItem::Query(post, terms)),
        plain,
        coordinate().prop_map(UserItem::Coordinate),
        (any::<[u8; 16]>(), relayed).prop_map(|(to, item)| UserItem::Relay(NodeId::from_bytes(to), Box::new(item))),
        (op, any::<u64>()).prop_map(|(op, ltime)| UserItem::Key(op, ltime)),
    ]
}

/// The one item in a packet's items.
fn decode_item(bytes: &[u8]) -> Option<Item> {
    let sender = identity_of(1);
    let mut writer = PacketWriter::new(sender.id, sender.generation, 7, &[], 70_000);
    writer.push(bytes);
    let mut packet = Packet::decode(writer.as_bytes()).ok()?;
    let (kind, body) = packet.next_item().ok()??;
    Item::decode(kind, body).ok()
}

fn identity_of(byte: u8) -> Identity {
    let addr = SocketAddr::from(([10, 0, 0, byte], 1314));
    Identity { id: NodeId::from_bytes([byte; 16]), generation: Generation(5), renewal: 0, addr }
}

proptest! {
    #[test]
    fn headers_round_trip_for_the_receiver(src in identity(), dst in identity(), incarnation: u16, message in message()) {
        use foca::Codec as _;
        let header = Header { src, src_incarnation: incarnation, dst, message };
        let mut bytes = Vec::new();
        Codec::new(src).encode_header(&header, &mut bytes).unwrap();
        let probe = match header.message {
            Message::Ping(number) => Some(Probe::Ping(number)),
            Message::Ack(number) => Some(Probe::Ack(number)),
            _ => None,
        };
        prop_assert_eq!(codec::probe(&bytes), probe);
        let receiver = Codec::new(Identity { renewal: 0, ..dst });
        prop_assert_eq!(receiver.header(&mut Reader::new(&bytes)), Ok(header.clone()));
        // Somebody else reads everything but himself as the receiver.
        let other = Codec::new(identity_of(9)).header(&mut Reader::new(&bytes)).unwrap();
        prop_assert_ne!(other.dst, identity_of(9));
        let moved = receiver.readdress(&bytes, identity_of(9)).unwrap();
        prop_assert_eq!(Codec::new(identity_of(9)).header(&mut Reader::new(&moved)).unwrap().dst, identity_of(9));
    }

    #[test]
    fn members_round_trip(member in member()) {
        let mut bytes = Vec::new();
        put_member(&member, &mut bytes);
        prop_assert_eq!(read_member(&mut Reader::new(&bytes)), Ok(member));
    }

    #[test]
    fn frames_round_trip(frame in frame()) {
        prop_assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
    }

    #[test]
    fn gifts_survive_being_cut_into_frames(gifts in vec(gift(), 0..20)) {
        let (frames, complete) = give_frames(gifts.clone(), usize::MAX);
        let back = frames.iter().flat_map(|bytes| match Frame::decode(bytes) {
            Ok(Frame::Give(gifts)) => gifts,
            other => panic!("{other:?}"),
        });
        prop_assert_eq!(back.collect::<Vec<_>>(), gifts);
        prop_assert!(complete);
    }

    #[test]
    fn changes_round_trip_in_their_smallest_form(record in record(), base in 0..3_u64) {
        let (id, stamp) = (record.origin.node_id().unwrap(), record.stamp);
        let form = item::change(&record, [Version(base)]);
        prop_assert!(form.len() <= item::PUSH_BYTES);
        match decode_item(&form) {
            Some(Item::Full(back)) => prop_assert_eq!(back, record),
            Some(Item::Delta(delta)) => prop_assert_eq!((delta.origin, delta.stamp), (id, stamp)),
            Some(Item::Hint(origin, hinted)) => prop_assert_eq!((origin, hinted), (id, stamp)),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn numbers_round_trip(number: u64) {
        for item in [Item::Root(number), Item::Question(number), Item::Answer(number), Item::Proven(number, [number as u8; 64])] {
            prop_assert_eq!(decode_item(&item.encode()), Some(item));
        }
    }

    #[test]
    fn notices_round_trip(notice in notice()) {
        let item = Item::Notice(notice);
        prop_assert_eq!(decode_item(&item.encode()), Some(item));
    }

    #[test]
    fn user_items_round_trip_and_fit_into_a_datagram(item in user_item()) {
        let bytes = item.encode();
        prop_assert!(bytes.len() <= 1300);
        prop_assert_eq!(decode_item(&bytes), Some(Item::User(item)));
    }

    #[test]
    fn no_mutated_user_item_makes_a_decoder_panic(item in user_item(), at: proptest::sample::Index, flip: u8) {
        let mut bytes = item.encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let _ = decode_item(&bytes);
        let _ = decode_item(&bytes[..at]);
    }

    #[test]
    fn beacons_round_trip(identity in identity()) {
        prop_assert_eq!(decode_item(&Item::Beacon(identity).encode()), Some(Item::Beacon(identity)));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..600), kind: u8) {
        let _ = Frame::decode(&bytes);
        let _ = Item::decode(kind % 32, &bytes);
        let _ = codec::probe(&bytes);
        let _ = Codec::new(identity_of(1)).header(&mut Reader::new(&bytes));
        let _ = read_member(&mut Reader::new(&bytes));
        if let Ok(mut packet) = Packet::decode(&bytes) {
            while let Ok(Some((kind, body))) = packet.next_item() {
                let _ = Item::decode(kind, body);
            }
        }
    }

    #[test]
    fn no_mutated_frame_makes_a_decoder_panic(frame in frame(), at: proptest::sample::Index, flip: u8) {
        let mut bytes = frame.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let _ = Frame::decode(&bytes);
    }
}
