//! What waits for one handler: states, user events, queries.
//!
//! Queries first among equals, because somebody waits for their answer; then in turn, so that no flood of one sort keeps
//! the others from their run.

use std::sync::{Arc, atomic::Ordering};

use lobby_core::{
    change::{Batch, Watch},
    port::{CatalogReader, gossip::UserEvent},
    stats::AgentStats,
};
use lobby_exchange::clock::Clock;
use tokio::sync::mpsc;

use super::{Asked, Context, Specs};
use crate::user_event::UserEvents;

/// One run.
#[derive(Debug)]
pub(super) enum Work {
    States(Batch),
    User(Arc<UserEvent>),
    Query(Arc<Asked>),
}

/// The sorts of work, in the order of their turns.
#[derive(Clone, Copy)]
enum Sort {
    Query,
    States,
    User,
}

pub(super) struct Inbox<'a> {
    specs: &'a Specs,
    stats: &'a AgentStats,
    clock: Clock,
    reader: CatalogReader,
    watch: Watch,
    users: UserEvents,
    /// Whether more user events can come, and we want any.
    users_open: bool,
    queries: mpsc::Receiver<Arc<Asked>>,
    queries_open: bool,
    /// Taken from the queue while waiting.
    query: Option<Arc<Asked>>,
    turns: [Sort; 3],
}

impl<'a> Inbox<'a> {
    /// An inbox that takes everything from the start of the agent on.
    pub(super) fn new(specs: &'a Specs, context: &'a Context, queries: mpsc::Receiver<Arc<Asked>>) -> Self {
        Self {
            specs,
            stats: &context.stats,
            clock: context.clock,
            reader: context.reader.clone(),
            watch: Watch::new(specs.kinds.iter().copied()),
            users: UserEvents::from_start(context.log.clone()),
            users_open: !specs.users.is_none(),
            queries,
            queries_open: true,
            query: None,
            turns: [Sort::Query, Sort::States, Sort::User],
        }
    }

    /// The next work; `None` when the agent has ended.
    pub(super) async fn next(&mut self) -> Option<Work> {
        loop {
            if let Some(work) = self.take() {
                return Some(work);
            }
            tokio::select! {
                changed = self.reader.changed() => drop(changed.ok()?),
                changed = self.users.changed(), if self.users_open => self.users_open = changed.is_some(),
                query = self.queries.recv(), if self.queries_open => {
                    self.queries_open = query.is_some();
                    self.query = query;
                }
            }
        }
    }

    /// Whoever has had a turn comes last the next time.
    fn take(&mut self) -> Option<Work> {
        for idx in 0..self.turns.len() {
            let work = match self.turns[idx] {
                Sort::Query => self.take_query(),
                Sort::States => self.take_states(),
                Sort::User => self.take_user(),
            };
            if work.is_some() {
                self.turns[idx..].rotate_left(1);
                return work;
            }
        }
        None
    }

    fn take_states(&mut self) -> Option<Work> {
        if self.specs.kinds.is_empty() {
            return None;
        }
        let snapshot = self.reader.snapshot();
        if snapshot.warm {
            self.watch.look(&snapshot);
        }
        self.watch.take().map(Work::States)
    }

    fn take_user(&mut self) -> Option<Work> {
        if self.specs.users.is_none() {
            return None;
        }
        let missed = self.users.missed();
        let event = loop {
            match self.users.take() {
                Some(event) if !self.specs.users.takes(&event.event.name) => {}
                event => break event,
            }
        };
        self.stats.handlers_events_dropped.fetch_add(self.users.missed() - missed, Ordering::Relaxed);
        event.map(Work::User)
    }

    fn take_query(&mut self) -> Option<Work> {
        loop {
            let query = self.query.take().or_else(|| self.queries.try_recv().ok())?;
            if self.clock.moment() < query.until {
                return Some(Work::Query(query));
            }
            self.stats.handlers_queries_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
