//! One engine by itself: its connections step by step, and what happens at the bounds.

use std::time::Duration;

use foca::Member;
use lobby_core::{
    id::{Generation, NodeId},
    port::{Gone, PeerEvent},
    time::Moment,
};

use super::super::{
    super::{
        CONNECT_TIMEOUT, Engine, Input, Output, Reach,
        testnet::{MS, Net, addr},
    },
    ANSWER_TIME, CONNECT_AGAIN, Identity, MOST_CONNECTS, MOST_INQUESTS, Stage, Why,
};
use crate::frame::Frame;

/// An engine that knows one other, which is silent from now on, and that other's id.
fn one() -> (Engine, NodeId, Moment) {
    let mut net = Net::formed(2, 1);
    let mut engine = net.hosts[0].engine.take().unwrap();
    while engine.poll_output().is_some() {}
    (engine, net.id(1), net.now)
}

/// Runs its timers up to and with `end`; returns all outputs.
fn run(engine: &mut Engine, end: Moment) -> Vec<Output> {
    while let Some(at) = engine.next_deadline().filter(|at| *at <= end) {
        engine.handle_deadline(at);
    }
    std::iter::from_fn(|| engine.poll_output()).collect()
}

fn connects(outputs: &[Output]) -> Vec<NodeId> {
    outputs.iter().filter_map(|output| if let Output::Connect(id, _) = output { Some(*id) } else { None }).collect()
}

fn is_unattended(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Event(PeerEvent::Gone(_, Gone::Unattended))))
}

#[test]
fn an_accepted_connection_after_the_end_of_a_stream_is_tried_again_and_proves_nothing() {
    let (mut engine, id, now) = one();
    engine.inquire(id, Why::Ended, now);
    assert_eq!(connects(&run(&mut engine, now)), [id]);
    engine.handle(Input::Reached(id, Reach::Open), now);
    let outputs = run(&mut engine, now + CONNECT_AGAIN);
    assert_eq!(connects(&outputs), [id], "the listener may have been closed after the stream");
    let now = now + CONNECT_AGAIN;
    engine.handle(Input::Reached(id, Reach::Refused), now);
    assert!(!is_unattended(&run(&mut engine, now + ANSWER_TIME - MS)));
    assert!(is_unattended(&run(&mut engine, now + ANSWER_TIME)));
}

#[test]
fn an_answer_that_comes_after_its_time_acquits_at_once() {
    let (mut engine, id, now) = one();
    engine.inquire(id, Why::Ended, now);
    run(&mut engine, now);
    engine.handle(Input::Reached(id, Reach::Refused), now);
    let late = now + ANSWER_TIME;
    assert!(is_unattended(&run(&mut engine, late)));
    let Stage::Refused(_, number) = engine.deaths.inquests[&id].stage else { panic!("not refused") };
    engine.note_answer(id, number + 1, late);
    assert!(engine.roster.is_unattended(id), "the answer to another question");
    engine.note_answer(id, number, late);
    let is_seen = |output: &Output| matches!(output, Output::Event(PeerEvent::Seen(..)));
    assert!(run(&mut engine, late).iter().any(is_seen));
    assert_eq!(engine.deaths.n_refusals(), 0);
}

#[test]
fn silence_and_acceptance_lead_nowhere() {
    for reach in [Reach::Open, Reach::Silent] {
        let (mut engine, id, mut now) = one();
        engine.inquire(id, Why::Ended, now);
        let mut n_connects = 0;
        for _ in 0..20 {
            let outputs = run(&mut engine, now);
            assert!(!is_unattended(&outputs));
            n_connects += connects(&outputs).len();
            engine.handle(Input::Reached(id, reach), now);
            now = now + CONNECT_AGAIN;
        }
        assert_eq!(n_connects, if reach == Reach::Open { 3 } else { 1 });
    }
}

#[test]
fn connections_and_questions_of_many_are_bounded_and_lost_ones_are_given_up() {
    let (mut engine, _, now) = one();
    let identity = |n: u16| {
        let mut bytes = [9; 16];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        Identity { id: NodeId::from_bytes(bytes), generation: Generation(1), renewal: 0, addr: addr(300 + usize::from(n)) }
    };
    let members = (0..400).map(|n| Member::alive(identity(n)));
    engine.with_membership(now, |membership, effects| membership.apply(members, true, now, effects));
    run(&mut engine, now);
    for n in 0..400 {
        engine.inquire(identity(n).id, Why::Probe, now);
    }
    let under_way = connects(&run(&mut engine, now));
    assert_eq!((under_way.len(), engine.deaths.inquests.len()), (MOST_CONNECTS, MOST_INQUESTS));
    // One that is over makes room for one more.
    engine.handle(Input::Reached(under_way[0], Reach::Silent), now);
    assert_eq!(connects(&run(&mut engine, now)).len(), 1);
    // A shell that never answers does not block it for ever.
    let later = now + CONNECT_TIMEOUT * 2 + Duration::from_millis(1);
    assert!(connects(&run(&mut engine, later)).len() >= MOST_CONNECTS);
}

#[test]
fn who_leaves_says_so_on_every_watch_stream() {
    let (mut engine, _, now) = one();
    assert_eq!((engine.deaths.watches.n_open(), engine.kept_streams().len()), (1, 1));
    engine.handle(Input::Leave, now);
    let outputs = run(&mut engine, now);
    let is_bye = |output: &&Output| matches!(output, Output::Frame(_, bytes) if *bytes == Frame::Bye.encode());
    let n_closed = outputs.iter().filter(|output| matches!(output, Output::Close(_))).count();
    assert_eq!((outputs.iter().filter(is_bye).count(), n_closed), (2, 2));
}
