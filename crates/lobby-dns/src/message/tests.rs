//! Requests that are questions, and many that are not.

use hickory_proto::{
    op::{Edns as HickoryEdns, Message, MessageType, OpCode, Query},
    rr::{Name, RecordType},
};
use proptest::prelude::*;

use super::*;

/// A question for the addresses of `a.b` with recursion desired, and what is behind it.
fn request(header: [u16; 6], rest: &[&[u8]]) -> Vec<u8> {
    let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
    rest.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

const QUESTION: &[u8] = &[1, b'a', 1, b'B', 0, 0, 1, 0, 1];
const OPT: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
const PLAIN: [u16; 6] = [7, 0x0100, 1, 0, 0, 0];
const WITH_OPT: [u16; 6] = [7, 0x0100, 1, 0, 0, 1];

#[test]
fn a_question_is_read() {
    let bytes = request(PLAIN, &[QUESTION]);
    let read = Request::read(&bytes).unwrap();
    assert_eq!((read.id, read.recursion_desired, read.edns, read.raw_question), (7, true, None, QUESTION));
    assert_eq!(read.question, Question { name: &QUESTION[..5], kind: kind::A });
    assert_eq!(read.question.labels().collect::<Vec<_>>(), [b"a", b"B"]);
    let bytes = request([7, 0, 1, 0, 0, 1], &[QUESTION, &[0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 4, 0, 10, 0, 0]]);
    let read = Request::read(&bytes).unwrap();
    assert_eq!((read.recursion_desired, read.edns), (false, Some(Edns { size: 4096, dnssec_ok: true })));
    // The root, and records that nobody understands.
    let bytes = request(
        [7, 0, 1, 1, 1, 2],
        &[
            &[0, 0, 1, 0, 1],
            &[0xc0, 12, 0, 99, 0, 1, 0, 0, 0, 0, 0, 1, 5],
            &[0, 0, 99, 0, 1, 0, 0, 0, 0, 0, 0],
            OPT,
            &[1, b'x', 0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0],
        ],
    );
    assert_eq!(Request::read(&bytes).unwrap().question.labels().count(), 0);
}

#[test]
fn what_is_no_question_is_refused_by_its_kind() {
    let long = |n: usize| -> Vec<u8> { [&[63][..], &[b'x'; 63]].concat().repeat(n) };
    let opt_of = |version: u8| [&[0, 0, 41, 4, 208, 0, version, 0, 0, 0, 0][..]].concat();
    let asks = |kind: u8, class: u8| vec![1, b'a', 0, 0, kind, 0, class];
    use Malformed::{Class, Name, Opcode, Opt, Questions, Records, Response, Short, Type, Version};
    use Rcode::{BadVers, FormErr, NotImp, Refused};
    let cases: Vec<(&str, Vec<u8>, Malformed, Option<Rcode>)> = vec![
        ("nothing", vec![], Short, None),
        ("eleven bytes", request(PLAIN, &[])[..11].to_vec(), Short, None),
        ("an answer", request([7, 0x8000, 1, 0, 0, 0], &[QUESTION]), Response, None),
        ("a header alone", request(PLAIN, &[]), Name, Some(FormErr)),
        ("inverse query", request([7, 0x0800, 1, 0, 0, 0], &[QUESTION]), Opcode, Some(NotImp)),
        ("notify", request([7, 0x2000, 1, 0, 0, 0], &[QUESTION]), Opcode, Some(NotImp)),
        ("update", request([7, 0x2800, 1, 0, 0, 0], &[QUESTION]), Opcode, Some(NotImp)),
        ("no question", request([7, 0, 0, 0, 0, 0], &[]), Questions, Some(FormErr)),
        ("two questions", request([7, 0, 2, 0, 0, 0], &[QUESTION, QUESTION]), Questions, Some(FormErr)),
        ("a name without end", request(PLAIN, &[&[1, b'a']]), Name, Some(FormErr)),
        ("no type", request(PLAIN, &[&[1, b'a', 0, 0]]), Name, Some(FormErr)),
        ("a pointer", request(PLAIN, &[&[0xc0, 12, 0, 1, 0, 1]]), Name, Some(FormErr)),
        ("a label of 64", request(PLAIN, &[&[64], &[b'x'; 64], &[0, 0, 1, 0, 1]]), Name, Some(FormErr)),
        ("a name of 257", request(PLAIN, &[&long(4), &[0, 0, 1, 0, 1]]), Name, Some(FormErr)),
        ("bytes behind", request(PLAIN, &[QUESTION, &[0]]), Records, Some(FormErr)),
        ("a record that is not there", request(WITH_OPT, &[QUESTION]), Records, Some(FormErr)),
        ("half an OPT", request(WITH_OPT, &[QUESTION, &OPT[..9]]), Records, Some(FormErr)),
        ("65535 records", request([7, 0, 1, 65535, 65535, 65535], &[QUESTION, OPT]), Opt, Some(FormErr)),
        ("two OPT", request([7, 0, 1, 0, 0, 2], &[QUESTION, OPT, OPT]), Opt, Some(FormErr)),
        ("OPT as an answer", request([7, 0, 1, 1, 0, 0], &[QUESTION, OPT]), Opt, Some(FormErr)),
        ("OPT of a name", request(WITH_OPT, &[QUESTION, &[1, b'a'], OPT]), Opt, Some(FormErr)),
        ("EDNS 1", request(WITH_OPT, &[QUESTION, &opt_of(1)]), Version, Some(BadVers)),
        ("chaos", request(PLAIN, &[&asks(16, 3)]), Class, Some(Refused)),
        ("any class", request(PLAIN, &[&asks(1, 255)]), Class, Some(Refused)),
        ("class 0", request(PLAIN, &[&asks(1, 0)]), Class, Some(Refused)),
        ("transfer", request(PLAIN, &[&asks(252, 1)]), Type, Some(Refused)),
        ("incremental transfer", request(PLAIN, &[&asks(251, 1)]), Type, Some(Refused)),
        ("TKEY", request(PLAIN, &[&asks(249, 1)]), Type, Some(NotImp)),
        ("MAILA", request(PLAIN, &[&asks(254, 1)]), Type, Some(NotImp)),
        ("a question for OPT", request(PLAIN, &[&asks(41, 1)]), Type, Some(FormErr)),
    ];
    for (what, bytes, malformed, rcode) in cases {
        let refusal = Request::read(&bytes).expect_err(what);
        assert_eq!((refusal.malformed, refusal.reply.map(|reply| reply.rcode)), (malformed, rcode), "{what}");
    }
}

#[test]
fn the_longest_name_is_read() {
    let label = |len: u8| [&[len][..], &vec![b'x'; usize::from(len)]].concat();
    for (last, fits) in [(61, true), (62, false)] {
        let name = [label(63), label(63), label(63), label(last), vec![0]].concat();
        let bytes = request(PLAIN, &[&name, &[0, 1, 0, 1]]);
        assert_eq!(Request::read(&bytes).is_ok(), fits);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Request::read(&bytes);
    }

    #[test]
    fn no_change_of_a_good_request_makes_it_panic(
        at in 0_usize..64, byte in any::<u8>(), cut in 0_usize..64, text in "[a-z]{1,20}(\\.[a-z_]{1,20}){0,4}",
    ) {
        let mut bytes = made(&text, 33, Some(1232));
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len() - cut % bytes.len());
        let _ = Request::read(&bytes);
    }

    #[test]
    fn what_hickory_writes_is_read(
        text in "[A-Za-z0-9_][A-Za-z0-9_-]{0,62}(\\.[a-z]{1,20}){0,5}", kind in 1_u16..249, size in proptest::option::of(any::<u16>()),
    ) {
        prop_assume!(kind != 41);
        let bytes = made(&text, kind, size);
        let read = Request::read(&bytes).unwrap();
        let labels: Vec<_> = read.question.labels().map(|label| String::from_utf8(label.to_vec()).unwrap()).collect();
        prop_assert_eq!(labels.join("."), text);
        prop_assert_eq!(read.question.kind, kind);
        // hickory raises sizes that are too small.
        prop_assert_eq!(read.edns.map(|edns| edns.size), size.map(|size| size.max(512)));
    }
}

fn made(name: &str, kind: u16, edns: Option<u16>) -> Vec<u8> {
    let mut message = Message::new(1, MessageType::Query, OpCode::Query);
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    message.add_query(Query::query(name, RecordType::from(kind)));
    if let Some(size) = edns {
        let mut edns = HickoryEdns::new();
        edns.set_max_payload(size);
        message.set_edns(edns);
    }
    message.to_vec().unwrap()
}
