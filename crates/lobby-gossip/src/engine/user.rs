//! What people ask of gossip: the common ground of user events, queries, keys and coordinates.
//!
//! ```text
//! fire, ask ─┐
//! datagram ──┴─► seen before? allowed? ─► out to the shell
//!                        └─► queue ─► 5 members at once, 5 after 20 ms, then 3 every 200 ms, and on every datagram,
//!                                     until 12 copies are out
//! ```
//! The queue shares each datagram with that of records; they take turns in going first, so neither starves the other.
//! Parts: `engine/event`, `engine/query`, `engine/reply`, `engine/keys`, `engine/rekey`, `engine/seal`, `engine/proof`,
//! `engine/locate`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use lobby_core::{
    id::{Generation, NodeId},
    named,
    port::gossip::{EventId, GossipError, NewEvent},
    stats::Stats,
    time::Moment,
    wire::applied,
};
use rand::RngExt;

use super::{Engine, Timer, event::Events, keys::KeyChanges, locate::Locate, query::Queries};
use crate::{
    item::{UserItem, What},
    keyring::SEAL_BYTES,
    packet::put_item,
    post,
    spread::{SpreadQueue, Tail},
};

#[cfg(test)]
mod tests;

/// Names of posts between agents begin with this. People may not use them.
const RESERVED: &str = "_lobby:";

/// An event that old is not pushed any more: all copies are long out, and exchanges repair the rest.
pub(super) const PUSHED_FOR: Duration = Duration::from_secs(10);

/// What stands before the items of a datagram at most: sender, counter, an empty foca packet.
const HEAD_BYTES: usize = 16 + 8 + 10 + 1;

named! {
    /// Something that is counted.
    pub(crate) Count {
        /// Events taken in, our own and replayed ones too.
        EventsHeard = "events_heard",
        /// Copies of events that were here already.
        EventsSeen = "events_seen_before",
        /// Events too far behind in Lamport time, or with too many others at one time.
        EventsOutOfTime = "events_out_of_time",
        /// Events above the rate of their origin or of all.
        EventsRefused = "events_over_rate",
        /// Events that an exchange brought.
        EventsRepaired = "events_by_exchange",
        /// Queries of others taken in.
        QueriesHeard = "queries_heard",
        /// Copies of queries that were here already.
        QueriesSeen = "queries_seen_before",
        /// Queries out of Lamport time, or over when they came.
        QueriesOutOfTime = "queries_out_of_time",
        /// Queries above the rate, or above the number that may be open.
        QueriesRefused = "queries_over_bound",
        /// Events, queries and clocks of exchanges absurdly far ahead in Lamport time.
        TooFarAhead = "posts_too_far_ahead",
        /// Events, queries and keys that may be recordings from before our start.
        Unproven = "posts_unproven",
        /// Posts that gave way to newer ones before all their copies were sent.
        PostsEvicted = "posts_evicted",
        /// Posts that do not fit into our datagrams and were not passed on.
        PostsOversize = "posts_oversize",
        /// Answers to our queries.
        Answers = "answers",
        /// Answers and acknowledgements to queries that were over.
        AnswersLate = "answers_late",
        /// Answers and acknowledgements that came twice.
        AnswersTwice = "answers_twice",
        /// Answers and acknowledgements in the name of nodes that nobody knows.
        AnswersStrange = "answers_strange",
        /// Answers of our own that came after the time of the query, or were too many at once.
        AnswersRefused = "answers_refused",
        /// Answers of others handed on.
        Relayed = "answers_relayed",
        /// Changes of keys carried out here.
        KeysChanged = "keys_changed",
        /// Changes of keys refused here.
        KeysRefused = "keys_refused",
        /// Members told of a change of keys that they had missed.
        KeysResent = "keys_resent",
        /// Datagrams that are not sealed although they should be.
        Unsealed = "datagrams_unsealed",
        /// Datagrams sealed with a key that was removed here.
        OldKey = "datagrams_old_key",
        /// Datagrams sealed with a key that was never here.
        UnknownKey = "datagrams_unknown_key",
        /// Datagrams under a key of ours that do not open: cut short or forged.
        Damaged = "datagrams_damaged",
        /// Coordinates that moved ours.
        RoundTrips = "round_trips",
    }
}

/// Whether a query of this name is answered in here. All others are the shell's, that of agents whether a change is applied
/// too: it waits for the catalog, and keeps to the bounds of people's.
pub(super) fn is_agents(name: &str) -> bool {
    name.starts_with(RESERVED) && name != applied::QUERY
}

/// A timer of these parts.
#[derive(Clone, Copy, Debug)]
pub(super) enum UserTimer {
    /// Push what is fresh.
    Flush,
    /// Send another round.
    Gossip,
    /// The time of a query of ours is over.
    Over(EventId),
    /// Ask the last few directly.
    Remind(EventId),
    /// The time of somebody else's query is over.
    Forget(EventId),
    /// Send an answer or receipt again, if it was not confirmed.
    Reply(EventId, What),
    /// Try a large answer again.
    Large(EventId),
    /// See who missed a change of keys.
    Keys,
    /// Ask for coordinates again, or give up.
    Locate(u64),
}

/// The state of these parts.
#[derive(Debug)]
pub(super) struct User {
    /// When the engine was last called: datagrams tell ages.
    pub(super) now: Moment,
    pub(super) started: Moment,
    pub(super) spread: SpreadQueue,
    pub(super) events: Events,
    pub(super) queries: Queries,
    pub(super) keys: KeyChanges,
    pub(super) locate: Locate,
    /// Generation and counter of the datagram at hand.
    pub(super) packet: (Generation, u64),
    counts: [u64; Count::ALL.len()],
    stats: Arc<Stats>,
    flush_armed: bool,
    gossip_armed: bool,
    last_flush: Moment,
}

impl User {
    pub(super) fn new(stats: Arc<Stats>, now: Moment) -> Self {
        Self {
            now,
            started: now,
            spread: SpreadQueue::default(),
            events: Events::default(),
            queries: Queries::default(),
            keys: KeyChanges::default(),
            locate: Locate::default(),
            packet: (Generation(0), 0),
            counts: [0; Count::ALL.len()],
            stats,
            flush_armed: false,
            gossip_armed: false,
            last_flush: now,
        }
    }

    pub(super) fn count(&mut self, count: Count) {
        self.counts[count as usize] += 1;
        if let Some((kind, verdict)) = count.packet() {
            self.stats.received(kind, verdict, 0);
        }
    }
}

impl Engine {
    /// Counters and depths of events, queries, keys and coordinates, for people and metrics.
    pub fn user_numbers(&self) -> Vec<(&'static str, u64)> {
        let counts = Count::ALL.iter().map(|count| (count.as_str(), self.user.counts[*count as usize]));
        let depths = [
            ("event_time", self.user.events.lamport.now()),
            ("query_time", self.user.queries.lamport.now()),
            ("posts_queued", self.user.spread.len() as u64),
            ("queries_open", self.user.queries.n_ours() as u64),
            ("queries_of_others", self.user.queries.n_theirs() as u64),
        ];
        counts.chain(depths).collect()
    }

    pub(super) fn handle_user_timer(&mut self, timer: UserTimer, now: Moment) {
        match timer {
            UserTimer::Flush => self.flush_posts(now),
            UserTimer::Gossip => self.gossip_posts(now),
            UserTimer::Over(id) => self.close_query(id),
            UserTimer::Remind(id) => self.remind(id, now),
            UserTimer::Forget(id) => self.user.queries.forget(id),
            UserTimer::Reply(id, what) => self.send_reply(id, what, now),
            UserTimer::Large(id) => self.open_large(id, now),
            UserTimer::Keys => self.resend_keys(now),
            UserTimer::Locate(number) => self.locate_again(number, now),
        }
    }

    pub(super) fn handle_user_item(&mut self, sender: NodeId, (kind, body): (u8, &[u8]), item: UserItem, now: Moment) {
        if self.may_be_recorded(sender, &item, now) {
            return;
        }
        let raw = || {
            let mut out = Vec::with_capacity(body.len() + 4);
            put_item(kind, body, &mut out);
            Bytes::from(out)
        };
        match item {
            UserItem::Event(post, age) => self.take_event(post, age, Some(raw()), now),
            UserItem::Query(post, terms) => self.take_query(post, terms, raw(), now),
            UserItem::Answer(reply) => {
                self.confirm(reply.query, reply.node, What::Answer);
                self.take_answer(reply);
            }
            UserItem::Receipt(receipt) => self.take_receipt(receipt),
            UserItem::Coordinate(coordinate) => self.take_coordinate(sender, coordinate, now),
            UserItem::Relay(to, inner) => self.relay(to, &inner),
            UserItem::Key(op, ltime) => self.take_missed_key(&op, ltime, now),
        }
    }

    /// Drops what is too old, once a minute.
    pub(super) fn forget_user(&mut self, now: Moment) {
        self.user.spread.expire(now);
        self.user.events.forget(now);
        self.user.queries.allowance.rest(now);
        self.user.queries.agents.rest(now);
        self.user.keys.forget(now);
        let roster = &self.roster;
        self.user.locate.forget(|id| roster.knows(id));
    }

    pub(super) fn arm_user(&mut self, now: Moment, after: Duration, timer: UserTimer) {
        self.timers.arm(now, after, Timer::User(timer));
    }

    /// What a query must be like that is asked from outside.
    pub(super) fn check_query(&self, event: &NewEvent) -> Result<(), GossipError> {
        if event.name == applied::QUERY { post::check(event) } else { self.check_post(event) }
    }

    /// What an event or query of people must be like.
    pub(super) fn check_post(&self, event: &NewEvent) -> Result<(), GossipError> {
        post::check(event)?;
        if event.name.starts_with(RESERVED) {
            let why = format!("{:?}: names that begin with {RESERVED} are the agents' own", event.name);
            return Err(GossipError::Invalid { field: "name", why });
        }
        Ok(())
    }

    /// How long an item may be that is pushed by itself.
    fn post_room(&self) -> usize {
        self.config.datagram_bytes - SEAL_BYTES - HEAD_BYTES
    }

    /// Whether a post of our own fits into a datagram: small ones of a profile with a small MTU hold less than the bounds.
    pub(super) fn check_size(&self, item: &Bytes, payload: usize) -> Result<(), GossipError> {
        let Some(over) = item.len().checked_sub(self.post_room()).filter(|over| *over > 0) else { return Ok(()) };
        let most = payload.saturating_sub(over);
        let why = format!("{payload} bytes: at most {most} are accepted with this name and filter in this GOSSIP_PROFILE");
        Err(GossipError::Invalid { field: "payload", why })
    }

    /// Sends an item to everybody.
    pub(super) fn spread(&mut self, id: EventId, item: Bytes, tail: Tail, ends: Moment, now: Moment) {
        if item.len() > self.post_room() {
            return self.user.count(Count::PostsOversize);
        }
        if !self.user.spread.push(id, item, tail, ends) {
            self.user.count(Count::PostsEvicted);
        }
        if !std::mem::replace(&mut self.user.flush_armed, true) {
            let wait = (self.user.last_flush + self.config.push_period).since(now);
            self.arm_user(now, wait, UserTimer::Flush);
        }
    }

    fn flush_posts(&mut self, now: Moment) {
        self.user.flush_armed = false;
        self.user.last_flush = now;
        self.send_posts(self.config.fanout);
        // Twice: five copies leave out one of 150 members, ten one of 20 000, and a copy sent early is worth more than later.
        if self.user.spread.has_fresh(2 * self.config.fanout.min(self.roster.n_live())) {
            self.user.flush_armed = true;
            self.arm_user(now, self.config.push_period, UserTimer::Flush);
        }
        self.arm_post_gossip(now);
    }

    fn gossip_posts(&mut self, now: Moment) {
        self.user.gossip_armed = false;
        self.send_posts(self.config.gossip_fanout);
        self.arm_post_gossip(now);
    }

    fn send_posts(&mut self, fanout: usize) {
        self.user.spread.expire(self.user.now);
        for target in self.roster.choose(fanout, &[], &mut self.rng) {
            if self.user.spread.is_empty() {
                break;
            }
            self.send(target.addr, &[], &[]);
        }
    }

    fn arm_post_gossip(&mut self, now: Moment) {
        let idle = self.user.spread.is_empty() || self.roster.n_live() == 0;
        if !idle && !std::mem::replace(&mut self.user.gossip_armed, true) {
            // Anywhere within the period, as for records: members that heard together must not go on in step.
            let wait = self.rng.random_range(self.config.push_period..self.config.gossip_period);
            self.arm_user(now, wait, UserTimer::Gossip);
        }
    }
}
