//! Queries: asked of everybody, answered by those they concern. Here the asker's side, and how they get round.
//!
//! ```text
//! asker ──query──► everybody (as events go) ──► shell: for us? ── no ──► pass
//!   ▲                                                     └─ yes ─► ack, then answer or pass
//!   └── receipt, answer (by datagram until confirmed; above 1 KiB by stream; also through relays) ──┘
//! ```
//! The last few that are silent are asked directly, twice. A query is over at its deadline, or when everybody who was up when it was asked has answered, has passed (said only if
//! the query wants acknowledgements), or is up no more.
//! Bounds: 64 queries of ours, 256 of others at a time. 8 and 16 of these are for queries among agents alone, which have
//! a rate of their own too: people cannot ask so much that keys can no longer be changed. Not here: the answering side (`engine/reply`).

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use lobby_core::{
    id::NodeId,
    port::gossip::{EventId, GossipError, NewEvent, NewQuery, QUERY_TIME, QueryNews, RELAYS},
    time::Moment,
};
use rand::RngExt;

use super::{
    Asked, Engine, Output,
    reply::{Large, Pending, Theirs},
    user::{Count, PUSHED_FOR, UserTimer, is_agents},
};
use crate::{
    allowance::Allowance,
    item::{Receipt, UserItem, What},
    lamport::{Lamport, Sight},
    post::{Post, Reply, Terms},
    spread::Tail,
};

/// Queries that we may have open: people's, and agents'.
const MOST_OURS: Room = Room { people: 56, agents: 8 };

/// Queries of others that may wait for our answer, or our answers to be confirmed.
pub(super) const MOST_THEIRS: Room = Room { people: 240, agents: 16 };

/// How many queries there may be of each kind: neither takes the other's room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) people: usize,
    pub(super) agents: usize,
}

impl Room {
    const fn of(self, is_agents: bool) -> usize {
        if is_agents { self.agents } else { self.people }
    }
}

/// With more than so many still to be heard nobody looks whether they have died meanwhile: a look at them all for each
/// answer would cost the square of the cluster. And only so few are asked a second time.
const FEW: usize = 16;

/// The last few are asked directly after a fourth and after half of the time.
const REMIND: [u32; 2] = [4, 2];

/// A query of ours.
#[derive(Debug)]
struct Ours {
    post: Post,
    terms: Terms,
    until: Moment,
    /// The change of keys that it carries out; `None` when people asked.
    change: Option<u64>,
    /// Those that were up when it was asked and may still answer.
    waiting: HashSet<NodeId>,
    acked: HashSet<NodeId>,
    answered: HashSet<NodeId>,
}

/// What is known of queries.
#[derive(Debug, Default)]
pub(super) struct Queries {
    pub(super) lamport: Lamport,
    pub(super) allowance: Allowance,
    /// What agents may ask among themselves.
    pub(super) agents: Allowance,
    ours: HashMap<EventId, Ours>,
    pub(super) theirs: HashMap<EventId, Theirs>,
    pub(super) replies: HashMap<(EventId, What), Pending>,
    pub(super) large: HashMap<EventId, Large>,
}

impl Queries {
    pub(super) fn n_ours(&self) -> usize {
        self.ours.len()
    }

    pub(super) fn n_theirs(&self) -> usize {
        self.theirs.len()
    }

    pub(super) fn is_ours(&self, id: EventId) -> bool {
        self.ours.contains_key(&id)
    }

    #[cfg(test)]
    pub(super) fn open(&self) -> impl Iterator<Item = EventId> {
        self.ours.keys().copied()
    }

    fn allowance(&mut self, is_agents: bool) -> &mut Allowance {
        if is_agents { &mut self.agents } else { &mut self.allowance }
    }

    fn has_room_for_ours(&self, is_agents: bool) -> bool {
        self.ours.values().filter(|ours| ours.change.is_some() == is_agents).count() < MOST_OURS.of(is_agents)
    }

    /// Whether one more query of others may be taken in. One that was answered gives way, although its asker has not
    /// confirmed that: the one that ends first.
    fn make_room_for_theirs(&mut self, is_agents: bool) -> bool {
        let alike = || self.theirs.iter().filter(|(_, theirs)| theirs.is_agents == is_agents);
        if alike().count() < MOST_THEIRS.of(is_agents) {
            return true;
        }
        let done = alike().filter(|(_, theirs)| theirs.done).min_by_key(|(id, theirs)| (theirs.until, id.0));
        let Some(done) = done.map(|(id, _)| *id) else { return false };
        self.forget(done);
        true
    }
}

impl Engine {
    /// Asks a query: its id, and how many nodes were asked, ourselves too. Everybody's answers come as [`Output::News`].
    ///
    /// # Errors
    /// When a field breaks its rules, or too many are open or asked per second (32 at once, 10 per second).
    pub fn ask_query(&mut self, query: NewQuery, now: Moment) -> Result<(EventId, usize), GossipError> {
        self.user.now = now;
        if self.leaving {
            return Err(GossipError::Stopping);
        }
        let NewQuery { event, timeout, ack, relays } = query;
        self.check_query(&event)?;
        if !QUERY_TIME.contains(&timeout) {
            let why = format!("{} ms: 50 ms to 600 s are accepted", timeout.as_millis());
            return Err(GossipError::Invalid { field: "timeout", why });
        }
        if relays > RELAYS {
            return Err(GossipError::Invalid { field: "relays", why: format!("{relays}: 0 to {RELAYS} are accepted") });
        }
        let (id, ltime) = self.start_query(event.clone(), Terms { ack, relays, left: timeout }, None, now)?;
        self.outputs.push_back(Output::Asked(Asked { id, ltime, origin: self.own, event, timeout }));
        Ok((id, self.roster.n_live() + 1))
    }

    /// Sends a query to everybody: its id and Lamport time.
    pub(super) fn start_query(
        &mut self,
        event: NewEvent,
        terms: Terms,
        change: Option<u64>,
        now: Moment,
    ) -> Result<(EventId, u64), GossipError> {
        let ltime = self.user.queries.lamport.now().saturating_add(1);
        let post = Post { id: EventId(self.rng.random()), origin: self.own, ltime, event };
        let id = post.id;
        let item = UserItem::Query(post.clone(), terms).encode();
        self.check_size(&item, post.event.payload.len())?;
        let (queries, is_agents) = (&mut self.user.queries, change.is_some());
        if !queries.has_room_for_ours(is_agents) || !queries.allowance(is_agents).take_own(now) {
            return Err(GossipError::Busy("queries"));
        }
        queries.lamport.next();
        queries.lamport.note(ltime, id);
        let waiting = self.roster.live().map(|identity| identity.id).chain([self.own]).collect();
        let (acked, answered) = (HashSet::new(), HashSet::new());
        queries.ours.insert(id, Ours { post, terms, until: now + terms.left, change, waiting, acked, answered });
        self.spread(id, item, Tail::Until(now + terms.left), now + terms.left.min(PUSHED_FOR), now);
        self.arm_user(now, terms.left, UserTimer::Over(id));
        REMIND.iter().for_each(|part| self.arm_user(now, terms.left / *part, UserTimer::Remind(id)));
        Ok((id, ltime))
    }

    /// A query came by datagram.
    pub(super) fn take_query(&mut self, post: Post, terms: Terms, raw: Bytes, now: Moment) {
        let is_agents = is_agents(&post.event.name);
        let queries = &mut self.user.queries;
        let refusal = match queries.lamport.look(post.ltime, post.id) {
            // Our former process asked it.
            _ if post.origin == self.own => Some(Count::QueriesSeen),
            Sight::Seen => Some(Count::QueriesSeen),
            Sight::OutOfTime | Sight::Crowded => Some(Count::QueriesOutOfTime),
            Sight::TooFar => Some(Count::TooFarAhead),
            Sight::New if terms.left.is_zero() => Some(Count::QueriesOutOfTime),
            Sight::New if !queries.allowance(is_agents).take(post.origin, now) => Some(Count::QueriesRefused),
            Sight::New => None,
        };
        if let Some(refusal) = refusal {
            return self.refuse_post(refusal);
        }
        queries.lamport.note(post.ltime, post.id);
        let Post { id, origin, ltime, event } = post;
        let timeout = terms.left.min(*QUERY_TIME.end());
        self.spread(id, raw, Tail::Until(now + timeout), now + timeout.min(PUSHED_FOR), now);
        if self.leaving {
            return;
        }
        if !self.user.queries.make_room_for_theirs(is_agents) {
            return self.user.count(Count::QueriesRefused);
        }
        self.user.count(Count::QueriesHeard);
        let (until, relays) = (now + timeout, terms.relays.min(RELAYS));
        let theirs = Theirs { asker: origin, until, ack: terms.ack, relays, is_agents, done: false };
        self.user.queries.theirs.insert(id, theirs);
        self.arm_user(now, timeout, UserTimer::Forget(id));
        if is_agents {
            self.answer_agent(id, ltime, &event, now);
        } else {
            self.outputs.push_back(Output::Asked(Asked { id, ltime, origin, event, timeout }));
        }
    }

    /// Somebody answered.
    pub(super) fn take_answer(&mut self, reply: Reply) {
        let Reply { query, node, payload } = reply;
        let is_known = node == self.own || self.roster.knows(node);
        let Some(ours) = self.user.queries.ours.get_mut(&query) else { return self.user.count(Count::AnswersLate) };
        if !is_known {
            return self.user.count(Count::AnswersStrange);
        }
        if !ours.answered.insert(node) {
            return self.user.count(Count::AnswersTwice);
        }
        ours.waiting.remove(&node);
        match ours.change {
            Some(_) => self.take_key_answer(node, &payload),
            None => self.outputs.push_back(Output::News(query, QueryNews::Answer(node, payload))),
        }
        self.user.count(Count::Answers);
        self.close_if_done(query);
    }

    /// Somebody got a query of ours, or passes, or confirms what we told.
    pub(super) fn take_receipt(&mut self, receipt: Receipt) {
        let Receipt { query, node, what, confirms } = receipt;
        if confirms {
            if node == self.own {
                self.user.queries.replies.remove(&(query, what));
                self.user.queries.settle(query);
            }
            return;
        }
        self.confirm(query, node, what);
        self.note_step(query, node, what);
    }

    /// A node got a query of ours, or passes.
    pub(super) fn note_step(&mut self, query: EventId, node: NodeId, what: What) {
        let is_known = node == self.own || self.roster.knows(node);
        let Some(ours) = self.user.queries.ours.get_mut(&query) else { return self.user.count(Count::AnswersLate) };
        if !is_known {
            return self.user.count(Count::AnswersStrange);
        }
        match what {
            What::Got if ours.acked.insert(node) => {
                self.outputs.push_back(Output::News(query, QueryNews::Ack(node)));
            }
            What::Pass if ours.waiting.remove(&node) => self.close_if_done(query),
            _ => self.user.count(Count::AnswersTwice),
        }
    }

    /// Tells a node that its answer or receipt arrived. Late ones too: it stops repeating them.
    pub(super) fn confirm(&mut self, query: EventId, node: NodeId, what: What) {
        if let Some(addr) = self.roster.member(node).map(|member| member.id().addr).filter(|_| node != self.own) {
            let receipt = UserItem::Receipt(Receipt { query, node, what, confirms: true });
            self.send_alone(addr, &receipt.encode());
        }
    }

    /// Asks the last few directly, in case all copies to them were lost.
    pub(super) fn remind(&mut self, id: EventId, now: Moment) {
        let Some(ours) = self.user.queries.ours.get(&id).filter(|ours| ours.waiting.len() <= FEW) else { return };
        let terms = Terms { left: ours.until.since(now), ..ours.terms };
        let item = UserItem::Query(ours.post.clone(), terms).encode();
        let mut silent: Vec<_> = ours.waiting.iter().filter_map(|id| self.roster.live_member(*id)).collect();
        silent.sort_by_key(|identity| identity.id);
        for identity in silent {
            self.send_alone(identity.addr, &item);
        }
    }

    fn close_if_done(&mut self, id: EventId) {
        let Some(ours) = self.user.queries.ours.get(&id) else { return };
        let is_up = |id: &NodeId| *id == self.own || self.roster.live_member(*id).is_some();
        if ours.waiting.len() <= FEW && !ours.waiting.iter().any(is_up) {
            self.close_query(id);
        }
    }

    /// Nobody waits any more for the answers to a query of ours: its room is free at once, and nothing more is told of it.
    pub fn abandon_query(&mut self, id: EventId) {
        if self.user.queries.ours.get(&id).is_some_and(|ours| ours.change.is_none()) {
            self.user.queries.ours.remove(&id);
            self.user.spread.remove(id);
        }
    }

    /// The time of a query of ours is over, or nobody is left to answer.
    pub(super) fn close_query(&mut self, id: EventId) {
        let Some(ours) = self.user.queries.ours.remove(&id) else { return };
        self.user.spread.remove(id);
        match ours.change {
            // Those that died meanwhile too: they were up when they were told.
            Some(number) => self.end_change(number, ours.waiting.into_iter().collect()),
            None => self.outputs.push_back(Output::QueryOver(id)),
        }
    }
}
