//! Queries between whole engines.

use super::*;
use crate::engine::query::{MOST_THEIRS, Room};

/// Everybody who was asked answers with its own index.
fn answer_all(fleet: &mut Fleet, query: EventId) -> usize {
    let mut n_answered = 0;
    for idx in 0..fleet.nodes.len() {
        if fleet.nodes[idx].engine.is_some() && fleet.asked(idx).iter().any(|asked| asked.id == query) {
            let answer = Bytes::from(vec![idx as u8]);
            n_answered += usize::from(fleet.with(idx, |engine, now| engine.answer(query, answer, now)).is_ok());
        }
    }
    n_answered
}

fn answers(fleet: &Fleet, asker: usize, query: EventId) -> Vec<u8> {
    let answer = |news| if let QueryNews::Answer(_, payload) = news { payload.first().copied() } else { None };
    let mut answers: Vec<_> = fleet.news(asker, query).into_iter().filter_map(answer).collect();
    answers.sort();
    answers
}

#[test]
fn everybody_is_asked_and_the_query_is_over_when_all_have_answered() {
    let mut fleet = Fleet::formed(5, &[key(1)]);
    let (id_, n_asked) = fleet.with(1, |engine, now| engine.ask_query(query("load", 5 * SEC, false), now)).unwrap();
    assert_eq!(n_asked, 5);
    fleet.run(200 * MS);
    let asked = fleet.asked(3).pop().unwrap();
    assert!(asked.origin == id(1) && asked.event == event("load", b"?"));
    assert!(asked.timeout <= 5 * SEC && asked.timeout > 4900 * MS, "{:?}", asked.timeout);
    assert_eq!(answer_all(&mut fleet, id_), 5);
    assert!(!fleet.is_over(1, id_));
    fleet.run(20 * MS);
    assert!(fleet.is_over(1, id_), "all have answered");
    assert_eq!(answers(&fleet, 1, id_), [0, 1, 2, 3, 4]);
    fleet.run(10 * SEC);
    assert_eq!((answers(&fleet, 1, id_).len(), fleet.number(1, "queries_open"), fleet.number(3, "queries_of_others")), (5, 0, 0));
    assert!((0..5).all(|idx| fleet.asked(idx).len() == 1));
}

#[test]
fn with_acknowledgements_it_is_over_when_the_others_have_passed() {
    let mut fleet = Fleet::formed(4, &[]);
    let (id_, _) = fleet.with(0, |engine, now| engine.ask_query(query("load", 5 * SEC, true), now)).unwrap();
    fleet.run(200 * MS);
    for idx in 0..4 {
        fleet.with(idx, |engine, now| if idx == 3 { engine.pass(id_, now) } else { engine.ack(id_, now) });
    }
    fleet.run(50 * MS);
    let mut acks = fleet.news(0, id_);
    acks.sort_by_key(|news| if let QueryNews::Ack(node) = news { *node } else { panic!("{news:?}") });
    assert_eq!(acks, [0, 1, 2].map(|idx| QueryNews::Ack(id(idx))));
    assert!(!fleet.is_over(0, id_));
    for idx in 0..3 {
        fleet.with(idx, |engine, now| engine.answer(id_, Bytes::from_static(b"a"), now)).unwrap();
    }
    fleet.run(50 * MS);
    assert!(fleet.is_over(0, id_) && answers(&fleet, 0, id_).len() == 3);
}

#[test]
fn without_acknowledgements_nothing_is_sent_and_the_deadline_ends_it() {
    let mut fleet = Fleet::formed(3, &[]);
    let (id_, _) = fleet.with(0, |engine, now| engine.ask_query(query("load", SEC, false), now)).unwrap();
    fleet.run(200 * MS);
    for idx in 1..3 {
        fleet.with(idx, |engine, now| (engine.ack(id_, now), engine.pass(id_, now)));
        assert!(fleet.engine(idx).user.queries.replies.is_empty());
    }
    fleet.run(700 * MS);
    assert!(!fleet.is_over(0, id_));
    fleet.run(200 * MS);
    assert!(fleet.is_over(0, id_) && fleet.news(0, id_).is_empty());
}

#[test]
fn a_member_that_dies_is_not_waited_for() {
    let mut fleet = Fleet::formed(3, &[]);
    let (id_, _) = fleet.with(0, |engine, now| engine.ask_query(query("load", 60 * SEC, false), now)).unwrap();
    fleet.run(200 * MS);
    fleet.kill(2);
    fleet.run(20 * SEC);
    answer_all(&mut fleet, id_);
    fleet.run(50 * MS);
    assert!(fleet.is_over(0, id_));
}

#[test]
fn lost_answers_are_sent_again_and_doubled_ones_count_once() {
    let mut fleet = Fleet::formed(4, &[]);
    let (id_, _) = fleet.with(0, |engine, now| engine.ask_query(query("load", 3 * SEC, true), now)).unwrap();
    fleet.run(200 * MS);
    // The answers are lost, then all confirmations.
    fleet.lose = Box::new(|_, to| to == 0);
    answer_all(&mut fleet, id_);
    fleet.run(100 * MS);
    assert_eq!(answers(&fleet, 0, id_), [0]);
    fleet.lose = Box::new(|from, _| from == 0);
    fleet.run(250 * MS);
    assert_eq!(answers(&fleet, 0, id_), [0, 1, 2, 3]);
    assert!(!fleet.engine(1).user.queries.replies.is_empty(), "not confirmed");
    fleet.lose = Box::new(|_, _| false);
    fleet.run(500 * MS);
    assert!(fleet.engine(1).user.queries.replies.is_empty(), "confirmed");
    assert_eq!(answers(&fleet, 0, id_), [0, 1, 2, 3]);
    assert_eq!(fleet.number(0, "answers_late"), 3, "the query was over by then");
}

#[test]
fn a_large_answer_comes_by_stream_and_a_larger_one_is_refused() {
    let mut fleet = Fleet::formed(3, &[key(1)]);
    let (id_, _) = fleet.with(0, |engine, now| engine.ask_query(query("dump", 5 * SEC, false), now)).unwrap();
    fleet.run(200 * MS);
    let err = fleet.with(1, |engine, now| engine.answer(id_, vec![0; 65_537].into(), now)).unwrap_err();
    assert_eq!(err.to_string(), "answer: 65537 bytes: at most 65536 are accepted");
    let random: Bytes = (0..65_536_u32).map(|n| ((n * 7919) >> 3) as u8).collect();
    fleet.with(1, |engine, now| engine.answer(id_, random.clone(), now)).unwrap();
    // The way to the asker is closed for a moment: the second try arrives.
    fleet.lose = Box::new(|from, to| from == 2 && to == 0);
    fleet.with(2, |engine, now| engine.answer(id_, vec![9; 1025].into(), now)).unwrap();
    fleet.run(100 * MS);
    assert_eq!(fleet.news(0, id_), [QueryNews::Answer(id(1), random)]);
    fleet.lose = Box::new(|_, _| false);
    fleet.run(500 * MS);
    assert_eq!(fleet.news(0, id_).last(), Some(&QueryNews::Answer(id(2), vec![9; 1025].into())));
    assert!(fleet.engine(2).user.queries.large.is_empty());
}

#[test]
fn relays_find_a_way_where_the_direct_one_is_closed() {
    let mut fleet = Fleet::formed(5, &[]);
    let relayed = NewQuery { relays: 2, ..query("load", 2 * SEC, false) };
    let (id_, _) = fleet.with(0, |engine, now| engine.ask_query(relayed, now)).unwrap();
    fleet.run(200 * MS);
    fleet.lose = Box::new(|from, to| from == 4 && to == 0);
    fleet.with(4, |engine, now| engine.answer(id_, Bytes::from_static(&[4]), now)).unwrap();
    fleet.run(100 * MS);
    assert_eq!(answers(&fleet, 0, id_), [4], "two relays, one answer");
    assert_eq!((1..4).map(|idx| fleet.number(idx, "answers_relayed")).sum::<u64>(), 2);
    assert_eq!(fleet.number(0, "answers_twice"), 1);
}

#[test]
fn late_answers_are_refused_here_and_dropped_there() {
    let mut fleet = Fleet::formed(2, &[]);
    let (id_, _) = fleet.with(0, |engine, now| engine.ask_query(query("load", SEC, false), now)).unwrap();
    fleet.run(1100 * MS);
    assert!(fleet.is_over(0, id_));
    let err = fleet.with(1, |engine, now| engine.answer(id_, Bytes::new(), now)).unwrap_err();
    assert_eq!(err.to_string(), format!("query: {id_} is not open: its time is over, or it was answered"));
    assert_eq!(fleet.number(1, "answers_refused"), 1);
    let reply = crate::post::Reply { query: id_, node: id(1), payload: Bytes::new() };
    fleet.with(1, |engine, _| engine.send(super::addr(0), &[], &[UserItem::Answer(reply).encode()]));
    fleet.run(100 * MS);
    assert_eq!((fleet.news(0, id_).len(), fleet.number(0, "answers_late")), (0, 1));
}

#[test]
fn open_queries_are_bounded_on_both_sides() {
    let mut fleet = Fleet::formed(2, &[]);
    let ask = |fleet: &mut Fleet| {
        fleet.run(100 * MS);
        fleet.with(0, |engine, now| engine.ask_query(query("load", 600 * SEC, false), now))
    };
    assert_eq!((0..80).filter(|_| ask(&mut fleet).is_ok()).count(), 56);
    assert_eq!(ask(&mut fleet), Err(GossipError::Busy("queries")));
    let Room { people, .. } = MOST_THEIRS;
    for n in 0..people as u64 {
        ask_from_afar(&mut fleet, 100 + n, "load");
    }
    assert_eq!(fleet.number(1, "queries_of_others"), people as u64);
    assert_eq!(fleet.number(1, "queries_over_bound"), 56);
    assert_eq!(fleet.asked(1).len(), people);
    fleet.run(700 * SEC);
    assert_eq!((fleet.number(1, "queries_of_others"), fleet.number(0, "queries_open")), (0, 0));
}

/// A query of its own origin, which nobody knows, reaches node 1; slowly enough for the rate.
fn ask_from_afar(fleet: &mut Fleet, n: u64, name: &str) -> EventId {
    let post = crate::post::Post {
        id: EventId(std::array::from_fn(|i| n.to_le_bytes()[i % 8])),
        origin: NodeId::from_bytes(std::array::from_fn(|i| n.to_le_bytes()[i % 8])),
        ltime: n,
        event: event(name, b""),
    };
    let (id, terms) = (post.id, crate::post::Terms { ack: false, relays: 0, left: 300 * SEC });
    let raw = UserItem::Query(post.clone(), terms).encode();
    fleet.with(1, |engine, now| engine.take_query(post, terms, raw, now));
    fleet.run(20 * MS);
    id
}

#[test]
fn an_abandoned_query_makes_room_and_is_told_of_no_more() {
    let mut fleet = Fleet::formed(2, &[]);
    let ask = |fleet: &mut Fleet| {
        fleet.run(100 * MS);
        fleet.with(0, |engine, now| engine.ask_query(query("load", 600 * SEC, false), now))
    };
    let open: Vec<_> = (0..56).map(|_| ask(&mut fleet).unwrap().0).collect();
    assert_eq!(ask(&mut fleet), Err(GossipError::Busy("queries")));
    fleet.with(0, |engine, _| engine.abandon_query(open[7]));
    assert_eq!(fleet.number(0, "queries_open"), 55);
    assert!(ask(&mut fleet).is_ok());
    fleet.with(1, |engine, now| engine.answer(open[7], Bytes::from_static(b"late"), now)).unwrap();
    fleet.run(700 * SEC);
    assert!(fleet.news(0, open[7]).is_empty() && !fleet.is_over(0, open[7]));
    // A change of keys is not given up that way.
    let mut fleet = Fleet::formed(2, &[key(1)]);
    fleet.lose = Box::new(|_, _| true);
    let install = lobby_core::port::gossip::KeyChange::Install(key(2).to_base64());
    let number = fleet.with(0, |engine, now| engine.change_keys(install, now)).unwrap();
    let asked: Vec<_> = fleet.engine(0).user.queries.open().collect();
    asked.into_iter().for_each(|id| fleet.with(0, |engine, _| engine.abandon_query(id)));
    fleet.run(4 * SEC);
    assert!(fleet.outcome(0, number).is_some());
}

#[test]
fn a_query_of_somebody_else_is_let_go_once_it_is_answered_and_that_is_confirmed() {
    let mut fleet = Fleet::formed(3, &[]);
    let (id_, _) = fleet.with(0, |engine, now| engine.ask_query(query("load", 60 * SEC, false), now)).unwrap();
    fleet.run(200 * MS);
    assert_eq!(fleet.number(1, "queries_of_others"), 1);
    fleet.with(2, |engine, now| engine.pass(id_, now));
    assert_eq!(fleet.number(2, "queries_of_others"), 0, "nothing is left to say");
    fleet.with(1, |engine, now| engine.answer(id_, Bytes::from_static(b"a"), now)).unwrap();
    assert_eq!(fleet.number(1, "queries_of_others"), 1);
    fleet.run(10 * MS);
    assert_eq!(fleet.number(1, "queries_of_others"), 0, "confirmed");
    // A large one, and one that is never confirmed.
    let (large, _) = fleet.with(0, |engine, now| engine.ask_query(query("dump", 60 * SEC, true), now)).unwrap();
    fleet.run(200 * MS);
    fleet.with(1, |engine, now| engine.answer(large, vec![7; 5000].into(), now)).unwrap();
    fleet.lose = Box::new(|from, _| from == 2);
    fleet.with(2, |engine, now| engine.answer(large, Bytes::from_static(b"b"), now)).unwrap();
    fleet.run(500 * MS);
    assert_eq!((fleet.number(1, "queries_of_others"), fleet.number(2, "queries_of_others")), (0, 1));
    fleet.run(1500 * MS);
    assert_eq!(fleet.number(2, "queries_of_others"), 0, "said four times");
    assert_eq!(answers(&fleet, 0, large), [7]);
    // A copy that comes now is no new query.
    assert_eq!(fleet.asked(1).len(), 2);
}

#[test]
fn an_answered_query_gives_way_to_a_new_one() {
    let mut fleet = Fleet::formed(2, &[]);
    let people = MOST_THEIRS.people as u64;
    let open: Vec<_> = (0..people).map(|n| ask_from_afar(&mut fleet, 1 + n, "load")).collect();
    ask_from_afar(&mut fleet, 1 + people, "load");
    assert_eq!((fleet.asked(1).len() as u64, fleet.number(1, "queries_over_bound")), (people, 1));
    // Its asker, whom nobody knows, will never confirm this.
    fleet.with(1, |engine, now| engine.answer(open[3], Bytes::from_static(b"a"), now)).unwrap();
    assert_eq!(fleet.number(1, "queries_of_others"), people);
    ask_from_afar(&mut fleet, 2 + people, "load");
    assert_eq!((fleet.asked(1).len() as u64, fleet.number(1, "queries_of_others")), (people + 1, people));
    assert!(!fleet.engine(1).user.queries.theirs.contains_key(&open[3]));
}

#[test]
fn people_cannot_ask_so_much_that_keys_can_no_longer_be_changed() {
    let mut fleet = Fleet::formed(2, &[key(1)]);
    for n in 0..MOST_THEIRS.people as u64 + 5 {
        ask_from_afar(&mut fleet, 1 + n, "load");
    }
    let ask = |fleet: &mut Fleet| fleet.with(0, |engine, now| engine.ask_query(query("load", 600 * SEC, false), now));
    // Their rate is used up too: the last 32 come at once.
    for n in 0..56 {
        fleet.run(if n < 24 { 100 * MS } else { Duration::ZERO });
        ask(&mut fleet).unwrap();
        fleet.run(if n == 23 { 5 * SEC } else { Duration::ZERO });
    }
    assert_eq!(ask(&mut fleet), Err(GossipError::Busy("queries")));
    let install = lobby_core::port::gossip::KeyChange::Install(key(2).to_base64());
    let number = fleet.with(0, |engine, now| engine.change_keys(install, now)).unwrap();
    fleet.run(SEC);
    assert_eq!(fleet.outcome(0, number).expect("all have answered").done, [id(0), id(1)]);
}

#[test]
fn queries_of_later_versions_take_no_room() {
    let mut fleet = Fleet::formed(2, &[key(1)]);
    for n in 0..MOST_THEIRS.agents as u64 + 5 {
        ask_from_afar(&mut fleet, 1 + n, "_lobby:from-the-future");
        fleet.run(SEC);
    }
    assert_eq!((fleet.number(1, "queries_of_others"), fleet.number(1, "queries_over_bound")), (0, 0));
    let install = lobby_core::port::gossip::KeyChange::Install(key(2).to_base64());
    let number = fleet.with(0, |engine, now| engine.change_keys(install, now)).unwrap();
    fleet.run(SEC);
    assert_eq!(fleet.outcome(0, number).expect("all have answered").done, [id(0), id(1)]);
}

/// Agents ask it, but the shell answers it, from the catalog.
#[test]
fn whether_a_change_is_applied_is_for_the_shell_to_answer() {
    let mut fleet = Fleet::formed(2, &[]);
    let ask = query(lobby_core::wire::applied::QUERY, 5 * SEC, true);
    let (id, n_asked) = fleet.with(0, |engine, now| engine.ask_query(ask, now)).unwrap();
    assert_eq!(n_asked, 2);
    fleet.run(100 * MS);
    assert_eq!((fleet.asked(0).len(), fleet.asked(1).len()), (1, 1));
    answer_all(&mut fleet, id);
    fleet.run(100 * MS);
    assert!(fleet.is_over(0, id));
    assert_eq!(answers(&fleet, 0, id), [0, 1]);
    let event = lobby_core::port::gossip::NewEvent {
        name: lobby_core::wire::applied::QUERY.to_owned(),
        payload: Default::default(),
        filter: Default::default(),
    };
    assert!(fleet.with(0, |engine, now| engine.fire(event, now)).is_err(), "it is no event");
}

#[test]
fn bad_queries_are_refused_by_name() {
    let mut fleet = Fleet::new(1);
    fleet.boot(0, &[]);
    let mut why = |query: NewQuery| fleet.with(0, |engine, now| engine.ask_query(query, now)).unwrap_err().to_string();
    assert_eq!(why(query("x", 10 * MS, false)), "timeout: 10 ms: 50 ms to 600 s are accepted");
    assert_eq!(why(query("x", 601 * SEC, false)), "timeout: 601000 ms: 50 ms to 600 s are accepted");
    assert_eq!(why(NewQuery { relays: 6, ..query("x", SEC, false) }), "relays: 6: 0 to 5 are accepted");
    assert_eq!(
        why(query("_lobby:key-use", SEC, false)),
        "name: \"_lobby:key-use\": names that begin with _lobby: are the agents' own"
    );
}

#[test]
fn alone_one_asks_oneself() {
    let mut fleet = Fleet::new(1);
    fleet.boot(0, &[]);
    let (id_, n_asked) = fleet.with(0, |engine, now| engine.ask_query(query("load", SEC, false), now)).unwrap();
    assert_eq!((n_asked, fleet.asked(0).len()), (1, 1));
    answer_all(&mut fleet, id_);
    assert!(fleet.is_over(0, id_));
    assert_eq!(answers(&fleet, 0, id_), [0]);
}
