//! The desk: what people ask of gossip, and who still waits for an answer.
//!
//! ```text
//! GossipCommand ─► Desk ─► Engine      Engine ─► Desk ─► whoever asked, the event log, the queue of queries
//! ```
//! Every list here has a bound: beyond it a command is refused ([`GossipError::Busy`]), a query of somebody else is
//! dropped and counted, as is news that its asker does not take in time. Whoever waits when the loop ends finds the
//! channel closed, which the handle says as [`GossipError::Stopping`].
//! Not here: `join` (`join`), what becomes of anything (`lobby_gossip::Engine`).

use std::{collections::HashMap, future::pending, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use lobby_core::{
    coordinate::Coordinate,
    filter::Matcher,
    port::gossip::{
        Answer, EVENTS, EventId, EventLog, Filter, GossipCommand, GossipError, IncomingQuery, JoinOutcome, KeyChange, KeyOutcome,
        NewEvent, NewQuery, QueryNews, UserEvent,
    },
    record::Record,
    stats::{PacketKind, Queue, Stats, Verdict},
    time::Moment,
};
use lobby_gossip::{Asked, Engine};
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot, watch,
    },
    time::timeout,
};

use super::run::Wake;

#[cfg(test)]
mod tests;

/// Queries of others that wait for an answer of ours: those in the queue and those that a handler works on.
const MAX_ASKED: usize = 256;

/// Commands of one kind that wait for their end.
const MAX_WAITING: usize = 64;

/// The other ends of the handle.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) commands: mpsc::Receiver<GossipCommand>,
    pub(super) events: watch::Sender<EventLog>,
    pub(super) queries: mpsc::Sender<IncomingQuery>,
}

/// Our answer to a query of somebody else; `None` when there will be none.
type Answering = Pin<Box<dyn Future<Output = (EventId, Option<Bytes>)> + Send>>;

/// Who waits for what.
pub(super) struct Desk {
    ends: Ends,
    stats: Arc<Stats>,
    asked: FuturesUnordered<Answering>,
    /// Our own queries and who takes their news.
    asking: HashMap<EventId, mpsc::Sender<QueryNews>>,
    keys: HashMap<u64, Answer<KeyOutcome>>,
    located: HashMap<u64, Answer<Vec<Option<Coordinate>>>>,
    /// The event that was fired in this turn: our own log has it in a moment, if it is for us.
    fired: Option<(UserEvent, Answer<Arc<UserEvent>>)>,
}

impl Desk {
    pub(super) fn new(ends: Ends, stats: Arc<Stats>) -> Self {
        Self {
            ends,
            stats,
            asked: FuturesUnordered::new(),
            asking: HashMap::new(),
            keys: HashMap::new(),
            located: HashMap::new(),
            fired: None,
        }
    }

    /// Waits for a command, or an answer to somebody else's query. May be dropped and called again without loss.
    pub(super) async fn next(&mut self) -> Wake {
        tokio::select! {
            Some(command) = self.ends.commands.recv() => Wake::Command(command),
            Some((id, payload)) = self.asked.next() => Wake::Answered(id, payload),
            else => pending().await,
        }
    }

    /// Carries out a command, or gives back a `join`.
    pub(super) fn serve(
        &mut self,
        command: GossipCommand,
        engine: &mut Engine,
        now: Moment,
    ) -> Option<(Vec<String>, Answer<JoinOutcome>)> {
        match command {
            GossipCommand::View(answer) => {
                let mut view = engine.view(now);
                view.numbers.extend(self.numbers());
                tell(answer, Ok(view));
            }
            GossipCommand::Join(seeds, answer) => return Some((seeds, answer)),
            GossipCommand::ForceLeave { id, prune, answer } => tell(answer, engine.force_leave(id, prune, now)),
            GossipCommand::Keys(answer) => tell(answer, Ok(engine.keys())),
            GossipCommand::ChangeKeys(change, answer) => self.change_keys(change, answer, engine, now),
            GossipCommand::Fire(event, answer) => self.fire(event, answer, engine, now),
            GossipCommand::Ask(query, news, answer) => self.ask(query, news, answer, engine, now),
            GossipCommand::Coordinates(nodes, answer) => match has_room(&mut self.located, "searches for coordinates") {
                Ok(()) => _ = self.located.insert(engine.locate(nodes, now), answer),
                Err(err) => tell(answer, Err(err)),
            },
        }
        None
    }

    fn change_keys(&mut self, change: KeyChange, answer: Answer<KeyOutcome>, engine: &mut Engine, now: Moment) {
        match has_room(&mut self.keys, "changes of keys").and_then(|()| engine.change_keys(change, now)) {
            Ok(number) => _ = self.keys.insert(number, answer),
            Err(err) => tell(answer, Err(err)),
        }
    }

    fn fire(&mut self, event: NewEvent, answer: Answer<Arc<UserEvent>>, engine: &mut Engine, now: Moment) {
        match Matcher::compile(&event.filter).and_then(|_| engine.fire(event, now)) {
            Ok(event) => self.fired = Some((event, answer)),
            Err(err) => tell(answer, Err(err)),
        }
    }

    fn ask(&mut self, query: NewQuery, news: mpsc::Sender<QueryNews>, answer: Answer<usize>, engine: &mut Engine, now: Moment) {
        self.asking.retain(|id, news| {
            if news.is_closed() {
                engine.abandon_query(*id);
            }
            !news.is_closed()
        });
        let room = if self.asking.len() < MAX_WAITING { Ok(()) } else { Err(GossipError::Busy("queries")) };
        let sound = room.and_then(|()| Matcher::compile(&query.event.filter));
        match sound.and_then(|_| engine.ask_query(query, now)) {
            Ok((id, n_asked)) => {
                self.asking.insert(id, news);
                tell(answer, Ok(n_asked));
            }
            Err(err) => tell(answer, Err(err)),
        }
    }

    /// Takes no more commands, and lets everybody go who waits.
    pub(super) fn close(&mut self) {
        self.ends.commands.close();
        while self.ends.commands.try_recv().is_ok() {}
        self.asked.clear();
        self.asking.clear();
        self.keys.clear();
        self.located.clear();
        self.fired = None;
    }

    /// Notes how full the queues are.
    pub(super) fn note_depths(&self) {
        let (commands, queries) = (&self.ends.commands, &self.ends.queries);
        self.stats.depth(Queue::Commands, commands.len(), commands.max_capacity());
        self.stats.depth(Queue::Queries, queries.max_capacity() - queries.capacity(), queries.max_capacity());
        self.stats.depth(Queue::Unanswered, self.asked.len(), MAX_ASKED);
    }

    fn numbers(&self) -> [(&'static str, u64); 4] {
        [
            ("queries_asked", self.asking.len() as u64),
            ("queries_unanswered", self.asked.len() as u64),
            ("key_changes", self.keys.len() as u64),
            ("events_logged", self.ends.events.borrow().n_seen),
        ]
    }
}

// === What the engine says ===

impl Desk {
    /// Logs a user event, if it is for us.
    pub(super) fn hear(&mut self, mut event: UserEvent, own: &Record) {
        if !is_meant(own, &event.event.filter) {
            return;
        }
        let (name, from) = (&event.event.name, event.origin);
        tracing::info!(event = %name, %from, replayed = event.replayed, "user event");
        let fired = self.fired.take_if(|(fired, _)| fired.id == event.id);
        self.ends.events.send_modify(|log| {
            log.n_seen += 1;
            event.number = log.n_seen;
            let event = Arc::new(event);
            log.events.push_back(event.clone());
            while log.events.len() > EVENTS {
                log.events.pop_front();
            }
            if let Some((_, answer)) = fired {
                tell(answer, Ok(event));
            }
        });
    }

    /// Nothing more comes of this turn: a fired event that is not in our log is not for us.
    pub(super) fn end_turn(&mut self) {
        if let Some((event, answer)) = self.fired.take() {
            tell(answer, Ok(Arc::new(event)));
        }
    }

    /// Puts a query before whoever answers it, if it is for us and somebody does.
    pub(super) fn be_asked(&mut self, asked: Asked, own: &Record, engine: &mut Engine, now: Moment) {
        let Asked { id, ltime, origin, event, timeout } = asked;
        if !is_meant(own, &event.filter) {
            return engine.pass(id, now);
        }
        engine.ack(id, now);
        let (answer, answered) = oneshot::channel();
        let query = IncomingQuery { id, ltime, origin, event, timeout, answer };
        let put = if self.asked.len() < MAX_ASKED { self.ends.queries.try_send(query) } else { Err(TrySendError::Full(query)) };
        match put {
            Ok(()) => return self.asked.push(Box::pin(await_answer(id, answered, timeout))),
            Err(TrySendError::Full(_)) => self.stats.received(PacketKind::Query, Verdict::Refused, 0),
            // Nobody answers queries here.
            Err(TrySendError::Closed(_)) => {}
        }
        engine.pass(id, now);
    }

    /// What was put before somebody is answered, or will not be.
    pub(super) fn answer(&self, id: EventId, payload: Option<Bytes>, engine: &mut Engine, now: Moment) {
        let Some(payload) = payload else { return engine.pass(id, now) };
        if let Err(err) = engine.answer(id, payload, now) {
            tracing::warn!("the answer to query {id} is not sent: {err}");
            engine.pass(id, now);
        }
    }

    /// News of a query of ours.
    pub(super) fn tell_news(&mut self, id: EventId, news: QueryNews, engine: &mut Engine) {
        let Some(asker) = self.asking.get(&id) else { return };
        match asker.try_send(news) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.stats.received(PacketKind::Answer, Verdict::Refused, 0),
            Err(TrySendError::Closed(_)) => {
                self.asking.remove(&id);
                engine.abandon_query(id);
            }
        }
    }

    /// A query of ours is over: its channel closes.
    pub(super) fn end_query(&mut self, id: EventId) {
        self.asking.remove(&id);
    }

    /// What became of a change of keys.
    pub(super) fn end_change(&mut self, number: u64, outcome: KeyOutcome) {
        if let Some(answer) = self.keys.remove(&number) {
            tell(answer, Ok(outcome));
        }
    }

    /// Where the nodes are that somebody asked for.
    pub(super) fn locate(&mut self, number: u64, coordinates: Vec<Option<Coordinate>>) {
        if let Some(answer) = self.located.remove(&number) {
            tell(answer, Ok(coordinates));
        }
    }
}

/// Whether the node with this record is meant. A filter that does not compile means nobody.
fn is_meant(own: &Record, filter: &Filter) -> bool {
    *filter == Filter::default() || Matcher::compile(filter).is_ok_and(|matcher| matcher.matches(own))
}

async fn await_answer(id: EventId, answered: oneshot::Receiver<Bytes>, most: Duration) -> (EventId, Option<Bytes>) {
    (id, timeout(most, answered).await.ok().and_then(Result::ok))
}

/// Whoever asked may be gone, and then nobody minds.
pub(super) fn tell<T>(answer: Answer<T>, result: Result<T, GossipError>) {
    let _ = answer.send(result);
}

/// Whether one more may wait, after those have been let go who no longer do.
fn has_room<T>(waiting: &mut HashMap<u64, Answer<T>>, what: &'static str) -> Result<(), GossipError> {
    waiting.retain(|_, answer| !answer.is_closed());
    if waiting.len() < MAX_WAITING { Ok(()) } else { Err(GossipError::Busy(what)) }
}
