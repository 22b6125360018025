//! The desk against an engine that knows nobody: routing, bounds, and the end.

use lobby_core::port::gossip::{GossipHandle, QUERIES};
use tokio::sync::mpsc::{Receiver, channel};

use super::{super::lab, *};

/// A desk, and whoever is served by it.
struct Office {
    desk: Desk,
    handle: GossipHandle,
    queries: Receiver<IncomingQuery>,
    stats: Arc<Stats>,
    engine: Engine,
}

impl Office {
    fn new() -> Self {
        let (commands_in, commands) = channel(64);
        let (events, seen) = watch::channel(EventLog::default());
        let (queries_in, queries) = channel(QUERIES);
        let stats = Arc::new(Stats::default());
        let desk = Desk::new(Ends { commands, events, queries: queries_in }, stats.clone());
        Self { desk, handle: GossipHandle::new(commands_in, seen), queries, stats, engine: lab::engine() }
    }

    fn refused(&self, kind: PacketKind) -> u64 {
        self.stats.received_count(kind, Verdict::Refused)
    }

    fn hear(&mut self, event: UserEvent) {
        self.desk.hear(event, &lab::own_record());
    }

    fn be_asked(&mut self, asked: Asked) {
        self.desk.be_asked(asked, &lab::own_record(), &mut self.engine, lab::NOW);
    }
}

fn id(number: u16) -> EventId {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    EventId(bytes)
}

fn new_event(filter: Filter) -> NewEvent {
    NewEvent { name: "deploy".into(), payload: Bytes::from_static(b"1.2"), filter }
}

fn event(number: u16, filter: Filter) -> UserEvent {
    UserEvent {
        id: id(number),
        ltime: number.into(),
        origin: lab::own_id(),
        event: new_event(filter),
        number: 0,
        replayed: false,
    }
}

fn asked(number: u16) -> Asked {
    let timeout = Duration::from_secs(2);
    Asked { id: id(number), ltime: 1, origin: lab::own_id(), event: new_event(Filter::default()), timeout }
}

fn for_others() -> Filter {
    Filter { node: Some("somebody-else".into()), ..Filter::default() }
}

#[test]
fn events_are_numbered_and_the_newest_256_are_kept() {
    let mut office = Office::new();
    for number in 1..=300 {
        office.hear(event(number, Filter::default()));
        office.hear(event(number + 1000, for_others()));
    }
    let log = office.handle.events();
    let numbers: Vec<_> = log.events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (45..=300).collect::<Vec<_>>());
    assert_eq!((log.n_seen, log.events.len()), (300, EVENTS));
    assert!(log.events.iter().all(|event| event.number == event.ltime), "in the order in which they came");
}

#[test]
fn events_for_a_label_of_ours_are_logged() {
    let mut office = Office::new();
    for (number, labels) in
        [(1, vec!["role:db"]), (2, vec!["role:web"]), (3, vec!["role:db:main", "role:db"]), (4, vec!["role:db", "x:1"])]
    {
        let labels = labels.into_iter().map(str::to_owned).collect();
        office.hear(event(number, Filter { labels, ..Filter::default() }));
    }
    let logged: Vec<_> = office.handle.events().events.iter().map(|event| event.ltime).collect();
    assert_eq!(logged, [1, 3]);
}

#[test]
fn who_fires_hears_the_number_or_that_it_is_for_others() {
    let mut office = Office::new();
    for (number, filter, logged) in [(1, Filter::default(), 1), (2, for_others(), 0)] {
        let (answer, mut fired) = oneshot::channel();
        office.desk.fired = Some((event(number, filter.clone()), answer));
        office.hear(event(number, filter));
        office.desk.end_turn();
        assert_eq!(fired.try_recv().unwrap().unwrap().number, logged);
    }
}

#[tokio::test]
async fn a_query_is_put_before_its_taker_and_the_answer_comes_back() {
    let mut office = Office::new();
    office.be_asked(Asked { event: new_event(for_others()), ..asked(1) });
    office.be_asked(asked(2));
    let query = office.queries.recv().await.unwrap();
    assert_eq!((query.id, &query.event.payload[..]), (id(2), &b"1.2"[..]));
    assert!(office.queries.try_recv().is_err(), "the other is not for us");
    query.answer.send(Bytes::from_static(b"yes")).unwrap();
    let Wake::Answered(answered, payload) = office.desk.next().await else { panic!("no answer") };
    assert_eq!((answered, payload.as_deref()), (id(2), Some(&b"yes"[..])));
}

#[tokio::test(start_paused = true)]
async fn a_query_that_nobody_answers_ends_with_its_time() {
    let mut office = Office::new();
    office.be_asked(asked(1));
    office.be_asked(asked(2));
    let kept = office.queries.recv().await.unwrap();
    drop(office.queries.recv().await.unwrap());
    // The dropped one at once, the other when its asker waits no longer.
    for expected in [id(2), id(1)] {
        let Wake::Answered(answered, payload) = office.desk.next().await else { panic!("no answer") };
        assert_eq!((answered, payload), (expected, None));
    }
    assert!(kept.answer.is_closed());
}

#[test]
fn queries_beyond_the_queue_are_dropped_and_counted() {
    let mut office = Office::new();
    let queued = u16::try_from(QUERIES).unwrap();
    for number in 0..queued + 3 {
        office.be_asked(asked(number));
    }
    assert_eq!((office.queries.len(), office.refused(PacketKind::Query)), (QUERIES, 3));
    office.desk.note_depths();
    let depth = |queue| office.stats.depths().find(|(other, ..)| *other == queue).map(|(_, depth, bound)| (depth, bound));
    assert_eq!(depth(Queue::Commands), Some((0, 64)));
    assert_eq!(depth(Queue::Queries), Some((QUERIES as u64, QUERIES as u64)));
    assert_eq!(depth(Queue::Unanswered), Some((QUERIES as u64, MAX_ASKED as u64)));
    // A taker that takes and never answers has a bound too.
    let mut taken = Vec::new();
    for number in 0..u16::try_from(MAX_ASKED).unwrap() {
        while let Ok(query) = office.queries.try_recv() {
            taken.push(query);
        }
        office.be_asked(asked(number));
    }
    assert_eq!((office.desk.asked.len(), office.refused(PacketKind::Query)), (MAX_ASKED, 3 + u64::from(queued)));
}

#[test]
fn queries_that_nobody_takes_are_no_loss() {
    let mut office = Office::new();
    office.queries.close();
    office.be_asked(asked(1));
    assert_eq!((office.desk.asked.len(), office.refused(PacketKind::Query)), (0, 0));
}

#[test]
fn news_goes_to_its_asker_until_the_query_is_over() {
    let mut office = Office::new();
    let (sender, mut news) = channel(2);
    office.desk.asking.insert(id(1), sender);
    let ack = QueryNews::Ack(lab::own_id());
    for _ in 0..3 {
        office.desk.tell_news(id(1), ack.clone(), &mut office.engine);
        office.desk.tell_news(id(9), ack.clone(), &mut office.engine);
    }
    assert_eq!(office.refused(PacketKind::Answer), 1, "its asker was too slow for the third");
    office.desk.end_query(id(1));
    assert_eq!((news.try_recv().unwrap(), news.try_recv().unwrap()), (ack.clone(), ack.clone()));
    assert_eq!(news.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
    let (sender, news) = channel(2);
    office.desk.asking.insert(id(2), sender);
    drop(news);
    office.desk.tell_news(id(2), ack, &mut office.engine);
    assert!(office.desk.asking.is_empty(), "an asker that is gone is forgotten");
}

#[test]
fn a_query_whose_asker_hung_up_makes_room_for_the_next() {
    let mut office = Office::new();
    let number = |office: &Office| {
        let numbers = office.engine.user_numbers();
        numbers.into_iter().find(|(name, _)| *name == "queries_open").expect("it is counted").1
    };
    for n_open in [1, 1] {
        let (news_in, news) = channel(2);
        let (answer, mut asked) = oneshot::channel();
        let query = NewQuery { event: new_event(Filter::default()), timeout: Duration::from_secs(600), ack: false, relays: 0 };
        office.desk.ask(query, news_in, answer, &mut office.engine, Moment::from_micros(1_000_000));
        assert_eq!(asked.try_recv().unwrap(), Ok(1));
        assert_eq!(number(&office), n_open);
        drop(news);
    }
}

#[test]
fn ends_of_commands_go_to_whoever_waits() {
    let mut office = Office::new();
    let (answer, mut changed) = oneshot::channel();
    office.desk.keys.insert(7, answer);
    let (answer, mut located) = oneshot::channel();
    office.desk.located.insert(7, answer);
    office.desk.end_change(8, KeyOutcome::default());
    assert!(changed.try_recv().is_err());
    office.desk.end_change(7, KeyOutcome { done: vec![lab::own_id()], ..KeyOutcome::default() });
    assert_eq!(changed.try_recv().unwrap().unwrap().done, [lab::own_id()]);
    office.desk.locate(7, vec![None]);
    assert_eq!(located.try_recv().unwrap().unwrap(), [None]);
    assert!(office.desk.keys.is_empty() && office.desk.located.is_empty());
}

#[test]
fn too_many_who_wait_are_refused_and_those_who_gave_up_are_not_counted() {
    let mut office = Office::new();
    let mut waiting = Vec::new();
    for number in 0..MAX_WAITING as u64 {
        let (answer, located) = oneshot::channel();
        office.desk.located.insert(number + 1000, answer);
        waiting.push(located);
    }
    let mut locate = || {
        let (answer, located) = oneshot::channel();
        assert!(office.desk.serve(GossipCommand::Coordinates(Vec::new(), answer), &mut office.engine, lab::NOW).is_none());
        located
    };
    assert_eq!(locate().try_recv().unwrap().unwrap_err().to_string(), "too many searches for coordinates at a time");
    waiting.pop();
    assert!(locate().try_recv().is_err(), "it waits");
}

#[tokio::test]
async fn whoever_waits_at_the_end_hears_that_the_agent_stops() {
    let mut office = Office::new();
    let waits = tokio::spawn({
        let handle = office.handle.clone();
        async move { handle.ask(|answer| GossipCommand::ChangeKeys(KeyChange::Use("x".into()), answer)).await }
    });
    let Wake::Command(GossipCommand::ChangeKeys(_, answer)) = office.desk.next().await else { panic!("no command") };
    office.desk.keys.insert(1, answer);
    let queued = tokio::spawn({
        let handle = office.handle.clone();
        async move { handle.ask(GossipCommand::View).await }
    });
    tokio::task::yield_now().await;
    office.desk.close();
    assert_eq!(waits.await.unwrap(), Err(GossipError::Stopping));
    assert_eq!(queued.await.unwrap(), Err(GossipError::Stopping));
    assert_eq!(office.handle.ask(GossipCommand::Keys).await, Err(GossipError::Stopping));
}
