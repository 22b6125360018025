//! Queries to the fleet: everybody whom the filter takes is asked, answers come back until the time is over.
//!
//! ```text
//! PUT /v1/ask/:name    ?node, service, tag, label, timeout, ack, relay; the body is the payload
//! ```
//! All at the end as one object, or with `?stream` one line of JSON for each as it comes (`ask::lines`). May also be
//! POSTed; for operators only. An agent that stops ends its queries before the API; they are told as such.
//! At most [`crate::Limits::asks`] are under way. A client that goes away ends the wait: its
//! connection drops the handler, or the body, and with it the channel that gossip watches.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    http::Uri,
    response::Response,
    routing::put,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use lobby_core::{
    duration,
    id::NodeId,
    port::gossip::{GossipCommand, GossipError, NewQuery, QUERY_TIME, QueryNews, RELAYS},
    record::Phase,
};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, sleep_until},
};

use crate::{
    App, answer,
    consul::Stop,
    error::{ApiError, shown},
    event,
    query::{self, Query},
    receive::Segment,
    who,
};

pub(crate) mod applied;
mod lines;
mod silent;

use silent::Silent;

/// How long answers are waited for unless the request says otherwise, as Serf does on small fleets, and at most.
const TIMEOUT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// What a request may say beside its filter.
const PARAMETERS: &[&str] = &["timeout", "ack", "relay", "stream"];

/// Answers that wait for a slow client. Gossip drops what finds no room.
const NEWS: usize = 1024;

/// Bytes of answers that one object holds; further answers are counted in `dropped`. A stream has no such bound.
const HELD_BYTES: usize = 8 << 20;

/// Gossip ends a query itself; this long after its time we no longer believe that it will.
const GRACE: Duration = Duration::from_secs(1);

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/ask/{name}", put(ask).post(ask)).route("/v1/ask/", put(ask).post(ask))
}

/// A query under way.
struct Asked {
    app: App,
    name: String,
    news: mpsc::Receiver<QueryNews>,
    /// Whether nodes were asked to acknowledge.
    ack: bool,
    silent: Silent,
    give_up: Instant,
    stop: Stop,
    permit: OwnedSemaphorePermit,
}

/// Why no more news come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum End {
    /// The time is over, or everybody has answered.
    Complete,
    /// The agent stops.
    Stopping,
}

#[derive(Serialize)]
struct Outcome {
    name: String,
    asked: usize,
    end: End,
    acks: Vec<Who>,
    answers: Vec<NodeAnswer>,
    /// Who did not acknowledge; null when nobody was asked to.
    missing: Option<Vec<Who>>,
    dropped: usize,
}

#[derive(Serialize)]
struct Who {
    id: String,
    name: Option<String>,
}

impl End {
    /// Why gossip has closed the channel. Whoever stops was marked before, or has said so in its last record.
    fn of(app: &App) -> Self {
        let handles = &app.state.handles;
        let said = handles.reader.snapshot().local.record.phase != Phase::Running;
        let gone = handles.gossip.watch_events().has_changed().is_err();
        if said || gone || app.state.stopping.load(Ordering::Relaxed) { Self::Stopping } else { Self::Complete }
    }
}

/// One answer. Scripts read `text`, or `base64` when it need not be text.
#[derive(Serialize)]
struct NodeAnswer {
    #[serde(flatten)]
    who: Who,
    text: Option<String>,
    base64: String,
}

async fn ask(
    State(app): State<App>,
    Segment(name): Segment,
    stop: Stop,
    uri: Uri,
    request: Request,
) -> Result<Response, ApiError> {
    let query = query::parse(uri.query().unwrap_or_default())?;
    event::only(&query, PARAMETERS)?;
    who::gossips(&app)?;
    let timeout = timeout(&query)?;
    let (ack, relays) = (flag(&query, "ack", true)?, relays(&query)?);
    let stream = flag(&query, "stream", false)?;
    let permit = Arc::clone(&app.state.asks).try_acquire_owned().map_err(|_| GossipError::Busy("queries"))?;
    let event = event::new_event(&app, name.clone(), &query, request).await?;
    let (sender, news) = mpsc::channel(NEWS);
    let silent = Silent::new(&app.state.handles.reader.snapshot(), &event.filter, ack);
    let new = NewQuery { event, timeout, ack, relays };
    // Gossip counts everybody, whom the filter does not take too.
    let _everybody = who::ask(&app, |answer| GossipCommand::Ask(new, sender, answer)).await?;
    let give_up = Instant::now() + timeout + GRACE;
    let asked = Asked { app, name, news, ack, silent, give_up, stop, permit };
    if stream { Ok(lines::stream(asked)) } else { Ok(answer::json(&asked.collect().await)) }
}

impl Asked {
    /// Waits for the end and holds what came.
    async fn collect(self) -> Outcome {
        let Self { app, name, mut news, ack, mut silent, give_up, stop, permit } = self;
        let (end, asked, acks, answers) = (End::Complete, silent.n_asked(), Vec::new(), Vec::new());
        let mut outcome = Outcome { name, asked, end, acks, answers, missing: None, dropped: 0 };
        let mut bytes = 0;
        let (mut stop, mut late) = (std::pin::pin!(stop.stopped()), std::pin::pin!(sleep_until(give_up)));
        loop {
            let next = tokio::select! {
                biased;
                next = news.recv() => {
                    if next.is_none() {
                        outcome.end = End::of(&app);
                    }
                    next
                }
                () = &mut stop => {
                    outcome.end = End::Stopping;
                    None
                }
                () = &mut late => None,
            };
            if let Some(QueryNews::Ack(id) | QueryNews::Answer(id, _)) = &next {
                silent.heard(*id);
            }
            match next {
                // Ourselves: nobody else was asked to.
                Some(QueryNews::Ack(_)) if !ack => {}
                Some(QueryNews::Ack(id)) => outcome.acks.push(Who::new(&app, id)),
                Some(QueryNews::Answer(_, payload)) if bytes + payload.len() > HELD_BYTES => outcome.dropped += 1,
                Some(QueryNews::Answer(id, payload)) => {
                    bytes += payload.len();
                    outcome.answers.push(NodeAnswer::new(&app, id, &payload));
                }
                None => break,
            }
        }
        outcome.missing = silent.names(&app);
        drop(permit);
        outcome
    }
}

impl Who {
    fn new(app: &App, id: NodeId) -> Self {
        let snapshot = app.state.handles.reader.snapshot();
        Self { id: id.to_string(), name: who::name(&snapshot, id).map(str::to_owned) }
    }
}

impl NodeAnswer {
    fn new(app: &App, id: NodeId, payload: &Bytes) -> Self {
        let text = std::str::from_utf8(payload).ok().map(str::to_owned);
        Self { who: Who::new(app, id), text, base64: STANDARD.encode(payload) }
    }
}

fn timeout(query: &Query<'_>) -> Result<Duration, ApiError> {
    let Some(text) = query.get("timeout").filter(|text| !text.is_empty()) else { return Ok(TIMEOUT.0) };
    let timeout = duration::parse(text).filter(|timeout| (*QUERY_TIME.start()..=TIMEOUT.1).contains(timeout));
    let want = "a duration such as 500ms or 2s, 50ms to 1m";
    timeout.ok_or_else(|| ApiError::Field { field: "timeout", value: shown(text), want })
}

fn relays(query: &Query<'_>) -> Result<u8, ApiError> {
    let Some(text) = query.get("relay").filter(|text| !text.is_empty()) else { return Ok(0) };
    let relays = text.parse().ok().filter(|relays| *relays <= RELAYS);
    relays.ok_or_else(|| ApiError::Field { field: "relay", value: shown(text), want: "a number from 0 to 5" })
}

/// A flag is set by its name alone.
fn flag(query: &Query<'_>, field: &'static str, absent: bool) -> Result<bool, ApiError> {
    match query.get(field) {
        None => Ok(absent),
        Some("0" | "false") => Ok(false),
        Some("" | "1" | "true") => Ok(true),
        Some(value) => Err(ApiError::Field { field, value: shown(value), want: "no value, true or false" }),
    }
}
