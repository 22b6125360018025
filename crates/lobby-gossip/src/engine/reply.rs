//! Queries of others: our acknowledgements and answers, sent until they are confirmed; and answers handed on.
//!
//! An answer, a receipt: by datagram, again after 200, 400 and 800 ms unless the asker confirms it, never after the
//! query's deadline. The first time also through as many random members as the query says. A large answer: one stream,
//! tried three times.
//! Not here: whether a query is for us and what the answer is (the shell), the asker's side (`engine/query`).

use std::time::Duration;

use bytes::Bytes;
use lobby_core::{
    id::NodeId,
    port::gossip::{ANSWER_BYTES, EventId, GossipError},
    time::Moment,
};

use super::{
    Engine, StreamId,
    query::Queries,
    talk::{Purpose, Talk},
    user::{Count, UserTimer},
};
use crate::{
    frame::Frame,
    item::{Receipt, UserItem, What},
    post::Reply,
};

/// Largest answer that goes by datagram.
const DATAGRAM_ANSWER: usize = 1024;

/// How often a datagram is sent, and the first wait; each wait doubles.
const SENDS: u32 = 4;
const AGAIN: Duration = Duration::from_millis(200);

/// Large answers under way: 4 MiB.
const MOST_LARGE: usize = 64;

/// How often a large answer is tried.
const LARGE_TRIES: u8 = 3;

/// A query of somebody else.
#[derive(Debug)]
pub(super) struct Theirs {
    pub(super) asker: NodeId,
    pub(super) until: Moment,
    pub(super) ack: bool,
    pub(super) relays: u8,
    /// Of agents among themselves, not of people.
    pub(super) is_agents: bool,
    /// It was answered, or will not be.
    pub(super) done: bool,
}

/// An answer or receipt that the asker has not confirmed.
#[derive(Debug)]
pub(super) struct Pending {
    item: UserItem,
    n_sent: u32,
}

/// A large answer that is not delivered.
#[derive(Debug)]
pub(super) struct Large {
    payload: Bytes,
    tries: u8,
}

impl Queries {
    /// Frees the room of somebody's query that was answered, or will not be, once nothing is left to be sent.
    pub(super) fn settle(&mut self, id: EventId) {
        let is_pending = |what| self.replies.contains_key(&(id, what));
        let is_pending = [What::Got, What::Pass, What::Answer].into_iter().any(is_pending) || self.large.contains_key(&id);
        if !is_pending && self.theirs.get(&id).is_some_and(|theirs| theirs.done) {
            self.theirs.remove(&id);
        }
    }

    /// The time of somebody's query is over.
    pub(super) fn forget(&mut self, id: EventId) {
        self.theirs.remove(&id);
        self.large.remove(&id);
        for what in [What::Got, What::Pass, What::Answer] {
            self.replies.remove(&(id, what));
        }
    }
}

impl Engine {
    /// Says that a query reached us and is for us. Nothing is sent unless the asker wants to know.
    pub fn ack(&mut self, query: EventId, now: Moment) {
        self.step(query, What::Got, now);
    }

    /// Says that no answer to a query will come from here, so that its asker need not wait for it: it is not for us, or
    /// nothing here answers it. Nothing is sent unless the asker wants acknowledgements.
    pub fn pass(&mut self, query: EventId, now: Moment) {
        self.step(query, What::Pass, now);
    }

    fn step(&mut self, query: EventId, what: What, now: Moment) {
        self.user.now = now;
        if self.user.queries.is_ours(query) {
            return self.note_step(query, self.own, what);
        }
        let Some(theirs) = self.user.queries.theirs.get_mut(&query).filter(|theirs| !theirs.done) else { return };
        theirs.done = what == What::Pass;
        if theirs.ack {
            let receipt = Receipt { query, node: self.own, what, confirms: false };
            self.reply(query, what, UserItem::Receipt(receipt), now);
        }
        self.user.queries.settle(query);
    }

    /// Answers a query.
    ///
    /// # Errors
    /// When the answer is too large, the query's time is over, or too many large answers are under way.
    pub fn answer(&mut self, query: EventId, payload: Bytes, now: Moment) -> Result<(), GossipError> {
        self.user.now = now;
        if payload.len() > ANSWER_BYTES {
            let why = format!("{} bytes: at most {ANSWER_BYTES} are accepted", payload.len());
            return Err(GossipError::Invalid { field: "answer", why });
        }
        let reply = Reply { query, node: self.own, payload };
        let queries = &mut self.user.queries;
        if queries.is_ours(query) {
            self.take_answer(reply);
            return Ok(());
        }
        let n_large = queries.large.len();
        let Some(theirs) = queries.theirs.get_mut(&query).filter(|theirs| !theirs.done) else {
            self.user.count(Count::AnswersRefused);
            let why = format!("{query} is not open: its time is over, or it was answered");
            return Err(GossipError::Invalid { field: "query", why });
        };
        if reply.payload.len() <= DATAGRAM_ANSWER {
            theirs.done = true;
            self.reply(query, What::Answer, UserItem::Answer(reply), now);
        } else if n_large < MOST_LARGE {
            theirs.done = true;
            queries.large.insert(query, Large { payload: reply.payload, tries: 0 });
            self.open_large(query, now);
        } else {
            self.user.count(Count::AnswersRefused);
            return Err(GossipError::Busy("large answers"));
        }
        Ok(())
    }

    fn reply(&mut self, query: EventId, what: What, item: UserItem, now: Moment) {
        self.user.queries.replies.insert((query, what), Pending { item, n_sent: 0 });
        self.send_reply(query, what, now);
    }

    /// Sends an answer or receipt, again if it was not confirmed.
    pub(super) fn send_reply(&mut self, query: EventId, what: What, now: Moment) {
        let queries = &mut self.user.queries;
        let Some(theirs) = queries.theirs.get(&query) else { return };
        let (asker, relays) = (theirs.asker, theirs.relays);
        let Some(pending) = queries.replies.get_mut(&(query, what)) else { return };
        pending.n_sent += 1;
        let (n_sent, item) = (pending.n_sent, pending.item.clone());
        if n_sent >= SENDS {
            queries.replies.remove(&(query, what));
        } else {
            self.arm_user(now, AGAIN * (1 << (n_sent - 1)), UserTimer::Reply(query, what));
        }
        // An asker that is not known yet may be so the next time.
        if let Some(addr) = self.roster.member(asker).map(|member| member.id().addr) {
            self.send_alone(addr, &item.encode());
        }
        if n_sent == 1 && relays > 0 {
            let relay = UserItem::Relay(asker, Box::new(item)).encode();
            for target in self.roster.choose(relays.into(), &[asker], &mut self.rng) {
                self.send_alone(target.addr, &relay);
            }
        }
        self.user.queries.settle(query);
    }

    /// Hands somebody's answer or receipt on.
    pub(super) fn relay(&mut self, to: NodeId, inner: &UserItem) {
        if let Some(identity) = self.roster.live_member(to).filter(|_| !self.leaving) {
            self.user.count(Count::Relayed);
            self.send_alone(identity.addr, &inner.encode());
        }
    }

    /// Opens the stream of a large answer.
    pub(super) fn open_large(&mut self, query: EventId, now: Moment) {
        let queries = &mut self.user.queries;
        let Some(asker) = queries.theirs.get(&query).filter(|theirs| now < theirs.until).map(|theirs| theirs.asker) else {
            return;
        };
        let Some(large) = queries.large.get_mut(&query) else { return };
        large.tries += 1;
        match self.roster.member(asker).map(|member| member.id().addr) {
            Some(addr) => {
                self.open(addr, Purpose::Answer(query));
            }
            None => self.end_large(query, now),
        }
    }

    /// What a stream that was opened for a large answer says.
    pub(super) fn large_frame(&self, query: EventId) -> Frame {
        match self.user.queries.large.get(&query) {
            Some(large) => Frame::Answer(Reply { query, node: self.own, payload: large.payload.clone() }),
            None => Frame::Done,
        }
    }

    /// A large answer came: thanks for it.
    pub(super) fn take_large(&mut self, stream: StreamId, reply: Reply) -> Talk {
        self.take_answer(reply);
        self.say(stream, Frame::Done);
        Talk::Given
    }

    /// The asker has a large answer, and the talk is over.
    pub(super) fn large_arrived(&mut self, query: EventId) -> Option<Talk> {
        self.user.queries.large.remove(&query);
        self.user.queries.settle(query);
        None
    }

    /// The stream of a large answer ended: if it did not arrive, once more.
    pub(super) fn end_large(&mut self, query: EventId, now: Moment) {
        let Some(large) = self.user.queries.large.get(&query) else { return };
        if large.tries < LARGE_TRIES {
            self.arm_user(now, AGAIN, UserTimer::Large(query));
        } else {
            self.user.queries.large.remove(&query);
            self.user.queries.settle(query);
        }
    }
}
