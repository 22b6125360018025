//! Laws of the bytes: whatever the answer, it fits, can be read, says what it should, and stays so however often it turns.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use hickory_proto::{
    op::Message,
    rr::{
        RData,
        rdata::{CNAME, NS, PTR, SRV, TXT},
    },
};
use lobby_core::catalog::Snapshot;
use lobby_dns::{
    Settings, Truncate,
    encode::{Room, encode},
    message::{Rcode, Request},
    name::{self, Name},
    zone::{Answer, Basis, Record},
};
use proptest::{collection::vec, prelude::*};

use crate::fleet::{Asked, Fleet, asking, instance, read, record};

fn name() -> impl Strategy<Value = Name> {
    "[a-z0-9-]{1,30}(\\.[a-z]{1,12}){0,4}\\.(consul|lobby|x\\.consul)".prop_map(|text| name::parse(&text).unwrap())
}

fn srv() -> impl Strategy<Value = RData> {
    (any::<u16>(), any::<u16>(), name()).prop_map(|(weight, port, target)| RData::SRV(SRV::new(1, weight, port, target)))
}

fn plain() -> impl Strategy<Value = RData> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| RData::A(Ipv4Addr::from(ip).into())),
        any::<[u8; 16]>().prop_map(|ip| RData::AAAA(Ipv6Addr::from(ip).into())),
        vec(any::<u8>(), 0..200).prop_map(|text| RData::TXT(TXT::from_bytes(vec![&text]))),
    ]
}

fn data() -> impl Strategy<Value = RData> {
    prop_oneof![
        plain(),
        srv(),
        name().prop_map(|name| RData::PTR(PTR(name))),
        name().prop_map(|name| RData::CNAME(CNAME(name))),
        name().prop_map(|name| RData::NS(NS(name))),
    ]
}

fn answers() -> impl Strategy<Value = Vec<RData>> {
    prop_oneof![
        vec(srv(), 0..60),
        vec(any::<[u8; 4]>().prop_map(|ip| RData::A(Ipv4Addr::from(ip).into())), 0..120),
        vec(data(), 0..20)
    ]
}

fn answer(answers: Vec<RData>, extras: Vec<(Name, RData)>) -> Answer {
    let targets: Vec<_> =
        answers.iter().filter_map(|data| if let RData::SRV(srv) = data { Some(srv.target.clone()) } else { None }).collect();
    let own = |data| Record { owner: None, ttl: 5, data };
    let glue =
        targets.into_iter().map(|name| Record { owner: Some(name), ttl: 5, data: RData::A(Ipv4Addr::new(10, 0, 0, 1).into()) });
    let extra = extras.into_iter().map(|(name, data)| Record { owner: Some(name), ttl: 5, data });
    let rotates = answers.iter().all(|data| matches!(data, RData::A(_) | RData::SRV(_)));
    Answer {
        rcode: Rcode::NoError,
        authoritative: true,
        answers: answers.into_iter().map(own).collect(),
        authority: Vec::new(),
        additional: glue.chain(extra).collect(),
        rotates,
        chosen: false,
        basis: Basis::Nothing,
    }
}

fn texts(records: &[hickory_proto::rr::Record]) -> BTreeSet<String> {
    records.iter().map(|it| format!("{} {}", it.name.to_ascii(), record(it))).collect()
}

fn written(asked: &str, edns: Option<u16>, answer: &Answer, room: Room, truncate: Truncate, turn: usize) -> (Vec<u8>, Message) {
    let bytes = asking(asked, edns);
    let request = Request::read(&bytes).unwrap();
    let encoded = encode(&request, answer, room, &Settings { truncate, ..Settings::default() });
    let mut out = Vec::new();
    encoded.write(&request, turn, &mut out);
    let message = read(&out);
    (out, message)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_answer_fits_and_says_when_it_is_cut(
        answers in answers(), extras in vec((name(), data()), 0..10), edns in proptest::option::of(any::<u16>()), stream in any::<bool>(),
        cut in any::<bool>(),
    ) {
        let answer = answer(answers, extras);
        let bytes = asking("Some.service.Consul SRV", edns);
        let request = Request::read(&bytes).unwrap();
        let room = if stream { Room::STREAM } else { Room::datagram(request.edns) };
        let truncate = if cut { Truncate::Cut } else { Truncate::Tell };
        let (out, message) = written("Some.service.Consul SRV", edns, &answer, room, truncate, 0);
        let limit = match (stream, edns) {
            (true, _) => 65_535,
            (false, None) => 512,
            (false, Some(size)) => usize::from(size.clamp(512, 1232)),
        };
        prop_assert!(out.len() <= limit);
        let complete = message.answers.len() == answer.answers.len();
        prop_assert_eq!(message.metadata.truncation, !complete && !cut && !stream);
        prop_assert!(complete || !message.metadata.truncation || message.additionals.is_empty());
        prop_assert_eq!(message.edns.is_some(), edns.is_some());
        if stream {
            prop_assert!(complete && message.additionals.len() == answer.additional.len());
        }
    }

    #[test]
    fn turning_changes_the_order_and_nothing_else(answers in answers(), extras in vec((name(), prop_oneof![4 => plain(), 1 => data()]), 0..10), turn in any::<usize>()) {
        let answer = answer(answers, extras);
        let question = "some.service.consul SRV";
        let (_, first) = written(question, Some(1232), &answer, Room::STREAM, Truncate::Tell, 0);
        let (_, turned) = written(question, Some(1232), &answer, Room::STREAM, Truncate::Tell, turn);
        prop_assert_eq!(texts(&first.answers), texts(&turned.answers));
        prop_assert_eq!(texts(&first.additionals), texts(&turned.additionals));
        // A name within a record may point to where another one was.
        let plain = |record: &Record| !matches!(record.data, RData::PTR(_) | RData::CNAME(_) | RData::NS(_) | RData::SRV(_));
        if answer.rotates && !answer.answers.is_empty() && answer.additional.iter().all(plain) {
            let n = turn % answer.answers.len();
            prop_assert_eq!(record(&first.answers[n]), record(&turned.answers[0]));
        }
    }

    #[test]
    fn whatever_comes_is_answered_in_its_bounds_or_not_at_all(
        bytes in prop_oneof![
            vec(any::<u8>(), 0..300),
            ("[a-z_.]{0,40}", 1_u16..300, proptest::option::of(any::<u16>()), vec((any::<usize>(), any::<u8>()), 0..4)).prop_map(mangled),
        ],
        stream in any::<bool>(),
    ) {
        ASKED.with_borrow_mut(|asked| {
            let mut out = Vec::new();
            let action = match stream {
                true => asked.responder.stream(&bytes, crate::fleet::CLIENT, &mut out),
                false => asked.responder.datagram(&bytes, crate::fleet::CLIENT, &mut out),
            };
            if action == lobby_dns::Action::Send {
                assert!(out.len() <= if stream { 65_535 } else { 1232 });
                assert_eq!(out[..2], bytes[..2]);
                assert_eq!(out[2] & 0x80, 0x80);
                // hickory does not read questions of names that are broken off, which we then do not repeat.
                Message::from_vec(&out).unwrap();
            }
        });
    }
}

fn mangled((text, kind, edns, changes): (String, u16, Option<u16>, Vec<(usize, u8)>)) -> Vec<u8> {
    let name = name::parse(&format!("{text}.consul")).or_else(|| name::parse("web.service.consul")).unwrap();
    let mut bytes = vec![9, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    for label in &name {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    if let Some(size) = edns {
        bytes.extend_from_slice(&[0, 0, 41]);
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes.extend_from_slice(&[0; 6]);
    }
    for (at, byte) in changes {
        let at = at % bytes.len();
        bytes[at] = byte;
    }
    bytes
}

std::thread_local! {
    static ASKED: std::cell::RefCell<Asked> = std::cell::RefCell::new(Asked::new(fleet(), Settings { node_txt: true, ..Settings::default() }));
}

fn fleet() -> std::sync::Arc<Snapshot> {
    let fleet = Fleet::new().node(2, "n2", |local| {
        for n in 0..40 {
            local.set_instance(&instance(&format!("i{n}"), "web", &format!("10.1.0.{n}"), 80)).unwrap();
        }
    });
    let mut fleet = fleet;
    fleet.snapshot()
}
