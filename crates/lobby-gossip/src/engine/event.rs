//! User events: fired, passed on, remembered for those who come late.
//!
//! ```text
//! an exchange, beside its other frames            ► who opened it
//!   ◄ have                     (unless there is nothing)
//!   ► want have                (unless neither lacks anything; have alone when the other said nothing)
//!   ◄ give want
//!   ► give                     (if anything was wanted)
//! ```
//! So a newcomer, and whoever was cut off or lost all copies, gets the last 64 events of an hour. An event from before our
//! start, or that comes more than a minute late, is marked as replayed: shown, but nothing acts on it.
//! Not here: filters, which the shell evaluates; everybody passes everything on.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use lobby_core::{
    port::gossip::{EventId, GossipError, NewEvent, UserEvent},
    stats::Verdict,
    time::Moment,
};
use rand::RngExt;

use super::{
    Engine, Output, StreamId,
    talk::{Purpose, Talk},
    user::{Count, PUSHED_FOR},
};
use crate::{
    allowance::Allowance,
    frame::Frame,
    item::UserItem,
    lamport::{Lamport, Sight},
    post::{EventExchange, OFFERED, Post},
    spread::Tail,
};

/// How long events are offered to late joiners.
const OFFERED_FOR: Duration = Duration::from_secs(3600);

/// An event that was lost on all its ways is repaired by the next exchanges, well within this time; what comes later was
/// cut off from us.
const LIVE_FOR: Duration = Duration::from_secs(60);

/// Notices that whoever opened an exchange may send in it.
const MOST_NOTICES: u8 = 2;

/// An event that is remembered.
#[derive(Debug)]
struct Logged {
    post: Post,
    came: Moment,
    /// How old it was when it came.
    age: Duration,
}

impl Logged {
    fn age(&self, now: Moment) -> Duration {
        self.age + now.since(self.came)
    }
}

/// Where the talk about events on one stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// We opened the stream and said what we want and have.
    Waiting,
    /// We opened it and all is said.
    Done,
    /// They opened it and sent so many notices.
    Answered(u8),
}

/// What is known of events.
#[derive(Debug, Default)]
pub(super) struct Events {
    pub(super) lamport: Lamport,
    allowance: Allowance,
    /// Oldest first, [`OFFERED`] at most.
    log: VecDeque<Logged>,
    stages: HashMap<StreamId, Stage>,
}

impl Events {
    pub(super) fn forget(&mut self, now: Moment) {
        self.allowance.rest(now);
        self.log.retain(|logged| logged.age(now) < OFFERED_FOR);
    }

    /// The stream is over.
    pub(super) fn forget_stream(&mut self, stream: StreamId) {
        self.stages.remove(&stream);
    }

    #[cfg(test)]
    pub(super) fn n_talks(&self) -> usize {
        self.stages.len()
    }

    fn have(&self, now: Moment) -> impl Iterator<Item = &Logged> {
        self.log.iter().filter(move |logged| logged.age(now) < OFFERED_FOR)
    }
}

impl Engine {
    /// Fires a user event. It is told to our own log too ([`super::Output::Heard`]).
    ///
    /// # Errors
    /// When a field breaks its rules, or more events are fired than allowed: 32 at once, 10 per second.
    pub fn fire(&mut self, event: NewEvent, now: Moment) -> Result<UserEvent, GossipError> {
        self.user.now = now;
        if self.leaving {
            return Err(GossipError::Stopping);
        }
        self.check_post(&event)?;
        let ltime = self.user.events.lamport.now().saturating_add(1);
        let post = Post { id: EventId(self.rng.random()), origin: self.own, ltime, event };
        let item = UserItem::Event(post.clone(), Duration::ZERO).encode();
        self.check_size(&item, post.event.payload.len())?;
        if !self.user.events.allowance.take_own(now) {
            return Err(GossipError::Busy("events"));
        }
        self.user.events.lamport.next();
        let id = post.id;
        let heard = self.hear(post, Duration::ZERO, now);
        self.spread(id, item, Tail::Age(now, Duration::ZERO), now + PUSHED_FOR, now);
        Ok(heard)
    }

    /// An event came: by datagram with the bytes to pass on, or in an exchange.
    pub(super) fn take_event(&mut self, post: Post, age: Duration, raw: Option<Bytes>, now: Moment) {
        let events = &mut self.user.events;
        let refusal = match events.lamport.look(post.ltime, post.id) {
            Sight::New if events.allowance.take(post.origin, now) => None,
            Sight::New => Some(Count::EventsRefused),
            Sight::Seen => Some(Count::EventsSeen),
            Sight::OutOfTime | Sight::Crowded => Some(Count::EventsOutOfTime),
            Sight::TooFar => Some(Count::TooFarAhead),
        };
        if let Some(refusal) = refusal {
            return self.refuse_post(refusal);
        }
        let id = post.id;
        self.hear(post, age, now);
        match raw {
            Some(raw) => {
                let ends = now + PUSHED_FOR.saturating_sub(age);
                self.spread(id, raw, Tail::Age(now, age), ends, now);
            }
            None => self.user.count(Count::EventsRepaired),
        }
    }

    /// Remembers an event and tells the shell.
    fn hear(&mut self, post: Post, age: Duration, now: Moment) -> UserEvent {
        let replayed = age > now.since(self.user.started) || age > LIVE_FOR;
        let heard =
            UserEvent { id: post.id, ltime: post.ltime, origin: post.origin, event: post.event.clone(), number: 0, replayed };
        self.user.count(Count::EventsHeard);
        let events = &mut self.user.events;
        events.lamport.note(post.ltime, post.id);
        if events.log.len() >= OFFERED {
            events.log.pop_front();
        }
        events.log.push_back(Logged { post, came: now, age });
        self.outputs.push_back(Output::Heard(heard.clone()));
        heard
    }

    fn notice(&self) -> EventExchange {
        let (event_time, query_time) = (self.user.events.lamport.now(), self.user.queries.lamport.now());
        EventExchange { event_time, query_time, ..EventExchange::default() }
    }

    /// Somebody opened an exchange: says what we have, if anything.
    pub(super) fn offer_events(&mut self, stream: StreamId, now: Moment) {
        let have: Vec<_> = self.user.events.have(now).map(|logged| (logged.post.id, logged.post.ltime)).collect();
        let notice = EventExchange { have, ..self.notice() };
        // Clocks alone are worth it too: a newcomer that fires with an old clock is not heard.
        if !notice.have.is_empty() || notice.event_time > 0 || notice.query_time > 0 {
            self.say(stream, Frame::Events(notice));
        }
    }

    /// The other had nothing to say about events before its answer to our hello.
    pub(super) fn begin_events(&mut self, stream: StreamId, now: Moment) {
        if !self.user.events.stages.contains_key(&stream) {
            self.compare_events(stream, &[], now);
        }
    }

    /// The other has these: says what we want of them and what it seems to lack.
    fn compare_events(&mut self, stream: StreamId, theirs: &[(EventId, u64)], now: Moment) {
        let events = &self.user.events;
        let known: HashSet<_> = theirs.iter().map(|(id, _)| *id).collect();
        let have = events.have(now).filter(|logged| !known.contains(&logged.post.id));
        let have: Vec<_> = have.map(|logged| (logged.post.id, logged.post.ltime)).collect();
        let notice = EventExchange { want: self.wanted(theirs), have, ..self.notice() };
        let is_done = notice.want.is_empty() && notice.have.is_empty();
        self.user.events.stages.insert(stream, if is_done { Stage::Done } else { Stage::Waiting });
        if !is_done {
            self.say(stream, Frame::Events(notice));
        }
    }

    /// The sums are equal. Whether the talk about events still goes on; otherwise the exchange is over.
    pub(super) fn part(&mut self, stream: StreamId, purpose: Purpose, now: Moment) -> Option<Talk> {
        self.begin_events(stream, now);
        let goes_on = self.user.events.stages.get(&stream) == Some(&Stage::Waiting);
        goes_on.then_some(Talk::Parting(purpose))
    }

    /// A frame about events, between the others.
    pub(super) fn converse_events(
        &mut self,
        stream: StreamId,
        talk: Talk,
        notice: EventExchange,
        now: Moment,
    ) -> Result<Option<Talk>, Verdict> {
        let asked = matches!(talk, Talk::Asked(_) | Talk::Compared(..) | Talk::Parting(_));
        let all_heard = [
            self.user.events.lamport.hear_clock(notice.event_time, asked),
            self.user.queries.lamport.hear_clock(notice.query_time, asked),
        ];
        all_heard.into_iter().filter(|heard| !heard).for_each(|_| self.user.count(Count::TooFarAhead));
        let stage = self.user.events.stages.get(&stream).copied();
        match (&talk, stage) {
            (Talk::Asked(Purpose::Exchange | Purpose::Seed(_)), None) => self.compare_events(stream, &notice.have, now),
            (Talk::Asked(_) | Talk::Compared(..) | Talk::Parting(_), Some(Stage::Waiting)) => {
                self.user.events.stages.insert(stream, Stage::Done);
                self.take_given(notice.give, now);
                if !notice.want.is_empty() {
                    let give = self.given(&notice.want, now);
                    let notice = EventExchange { give, ..self.notice() };
                    self.say(stream, Frame::Events(notice));
                }
                if matches!(talk, Talk::Parting(_)) {
                    return Ok(None);
                }
            }
            (Talk::Summed | Talk::Given, stage) => {
                let n_before = if let Some(Stage::Answered(n)) = stage { n } else { 0 };
                if n_before >= MOST_NOTICES {
                    return Err(Verdict::Garbage);
                }
                self.user.events.stages.insert(stream, Stage::Answered(n_before + 1));
                self.take_given(notice.give, now);
                if !notice.want.is_empty() || !notice.have.is_empty() {
                    let (give, want) = (self.given(&notice.want, now), self.wanted(&notice.have));
                    let notice = EventExchange { give, want, ..self.notice() };
                    self.say(stream, Frame::Events(notice));
                }
            }
            _ => return Err(Verdict::Garbage),
        }
        Ok(Some(talk))
    }

    fn wanted(&self, theirs: &[(EventId, u64)]) -> Vec<EventId> {
        let lamport = &self.user.events.lamport;
        theirs.iter().filter(|(id, ltime)| lamport.look(*ltime, *id) == Sight::New).map(|(id, _)| *id).collect()
    }

    fn given(&self, want: &[EventId], now: Moment) -> Vec<(Post, Duration)> {
        let wanted = self.user.events.have(now).filter(|logged| want.contains(&logged.post.id));
        wanted.map(|logged| (logged.post.clone(), logged.age(now))).collect()
    }

    fn take_given(&mut self, give: Vec<(Post, Duration)>, now: Moment) {
        for (post, age) in give {
            if age < OFFERED_FOR {
                self.take_event(post, age, None, now);
            }
        }
    }
}
