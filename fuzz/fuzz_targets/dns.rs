//! Any bytes as a datagram and as a message of a stream: what is answered fits, is an answer to just that, and is the same
//! from the cache; a good request is answered.
//!
//! Not here: sockets, answers of other servers.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use lobby_dns::{Action, Responder, message::Request};

thread_local! {
    static RESPONDER: RefCell<Responder> = RefCell::new(lobby_fuzz::responder());
}

fuzz_target!(|bytes: &[u8]| {
    RESPONDER.with_borrow_mut(|responder| {
        for (stream, most) in [(false, 1232), (true, 65_535)] {
            let mut answers = [Vec::new(), Vec::new()];
            for answer in &mut answers {
                let action = match stream {
                    true => responder.stream(bytes, [192, 0, 2, 1].into(), answer),
                    false => responder.datagram(bytes, [192, 0, 2, 1].into(), answer),
                };
                assert_eq!(action == Action::Send, bytes.len() >= 12 && bytes[2] & 0x80 == 0);
                if action == Action::Send {
                    assert!(answer.len() <= most && answer.len() >= 12);
                    assert_eq!((&answer[..2], answer[2] & 0x80), (&bytes[..2], 0x80));
                }
            }
            let [first, second] = answers;
            // Of what is cut, others come to be shown after a while.
            let is_cut = first.get(2).is_some_and(|flags| flags & 0x02 != 0);
            assert!(is_cut || first.len() == second.len(), "records take turns, nothing else changes");
            if let Ok(request) = Request::read(bytes) {
                let room = request.edns.map_or(512, |edns| usize::from(edns.size.clamp(512, 1232)));
                assert!(stream || first.len() <= room);
                assert_eq!(&first[12..12 + request.raw_question.len()], request.raw_question);
            }
        }
    });
});
