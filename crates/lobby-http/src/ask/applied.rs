//! Waiting, after a change, until the agents that answer have applied it.
//!
//! ```text
//! ?wait=10s    on changes of drains and labels ─► {"applied":30,"asked":31,"missing":["host-7"]}
//! ```
//! Asked are those whom a query reaches (`silent`), ourselves too; the answer comes when all have applied the change, or the
//! time is over, and who is missing is for the client to judge. Nobody is asked where there is no gossip, and by a node that
//! is not listed, which others do not show. Not here: who answers (`lobby`, by `lobby_core::wire::applied`).

use std::{pin::pin, sync::Arc, time::Duration};

use axum::response::Response;
use lobby_core::{
    duration,
    port::gossip::{Filter, GossipCommand, GossipError, NewEvent, NewQuery, QUERY_TIME, QueryNews},
    wire::applied::{QUERY, Question, YES},
};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, sleep_until},
};

use super::{GRACE, NEWS, Silent, TIMEOUT, Who};
use crate::{
    App, answer,
    consul::Stop,
    error::{ApiError, shown},
    query, who,
};

/// How long is waited unless the request says. A member that has just died is found out in less.
const WAIT: Duration = Duration::from_secs(10);

/// A request that waits, and its place among the queries under way.
pub(crate) struct Wait {
    time: Duration,
    permit: OwnedSemaphorePermit,
}

#[derive(Default, Serialize)]
struct Outcome {
    applied: usize,
    asked: usize,
    missing: Vec<String>,
}

impl Wait {
    /// What the request wants. To be read before anything is changed: it may be refused.
    pub(crate) fn from_query(app: &App, query: &str) -> Result<Option<Self>, ApiError> {
        let query = query::parse(query)?;
        let Some(text) = query.get("wait") else { return Ok(None) };
        let time = if text.is_empty() { Some(WAIT) } else { duration::parse(text) };
        let time = time.filter(|time| (*QUERY_TIME.start()..=TIMEOUT.1).contains(time));
        let want = "a duration such as 500ms or 10s, 50ms to 1m";
        let time = time.ok_or_else(|| ApiError::Field { field: "wait", value: shown(text), want })?;
        let permit = Arc::clone(&app.state.asks).try_acquire_owned().map_err(|_| GossipError::Busy("queries"))?;
        Ok(Some(Self { time, permit }))
    }

    /// Waits until what our record says now is applied.
    pub(crate) async fn answer(self, app: &App, stop: Stop) -> Result<Response, ApiError> {
        let Self { time, permit } = self;
        let snapshot = app.state.handles.reader.snapshot();
        let own = &snapshot.local.record;
        let Some(id) = own.origin.node_id().filter(|id| who::gossips(app).is_ok() && snapshot.node(*id).is_some()) else {
            return Ok(answer::json(&Outcome::default()));
        };
        let payload = Question { id, stamp: own.stamp }.encode().into();
        let event = NewEvent { name: QUERY.to_owned(), payload, filter: Filter::default() };
        let mut silent = Silent::new(&snapshot, &event.filter, true);
        let (sender, mut news) = mpsc::channel(NEWS);
        // Acknowledged, so that an agent that does not know the question says so at once.
        let new = NewQuery { event, timeout: time, ack: true, relays: 0 };
        // Gossip counts members too that tell nobody who they are.
        let _everybody = who::ask(app, |answer| GossipCommand::Ask(new, sender, answer)).await?;
        let (mut stop, mut late) = (pin!(stop.stopped()), pin!(sleep_until(Instant::now() + time + GRACE)));
        let mut applied = 0;
        while silent.is_anybody() {
            let next = tokio::select! {
                biased;
                next = news.recv() => next,
                () = &mut stop => None,
                () = &mut late => None,
            };
            match next {
                Some(QueryNews::Answer(id, payload)) if payload == YES => applied += usize::from(silent.heard(id)),
                Some(_) => {}
                None => break,
            }
        }
        let name = |who: Who| who.name.unwrap_or(who.id);
        let mut missing: Vec<_> = silent.names(app).into_iter().flatten().map(name).collect();
        missing.sort_unstable();
        drop(permit);
        Ok(answer::json(&Outcome { applied, asked: applied + missing.len(), missing }))
    }
}
