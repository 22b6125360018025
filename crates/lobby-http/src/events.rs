//! Changes of nodes and services as server-sent events: the whole picture first, then each difference.
//!
//! ```text
//! GET /v1/events?kind=K&service=S&label=L&where=SELECTOR        Last-Event-ID: AGENT:REVISION
//!
//! snapshots ─► Hub: the last of them; for each distinct filter one Group, which renders a difference once
//!                └─► streams (one for each client): snapshot or what was missed, differences, heartbeats
//! ```
//! Level-triggered: a stream remembers the last state that it told. A slow client skips what came and went meanwhile and has
//! no queue. At most [`crate::Limits::streams`] are open. A client that comes back with the id of what it saw last gets the
//! difference, or `reset` and the whole picture if nobody remembers that state.
//! Not here: user events (`event`), blocking requests (`watch`), events of members for handlers (`lobby_core::change`).

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;

use crate::{App, answer::Streamed, body, consul::Stop, error::ApiError, query};

mod delta;
mod filter;
mod hub;
mod shape;
mod stream;

use filter::Filter;
pub(crate) use hub::Hub;
use hub::{Joined, Start};
use stream::Stream;

/// What a request may say. A slip in a name would tell everything.
const PARAMETERS: &[&str] = &["kind", "service", "label", "where", "last_event_id"];

/// Above this many nodes and instances the first picture is made on a thread of its own: about 2 ms of work.
const ASIDE: usize = 1000;

/// What a client sends that comes back.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Asks reverse proxies not to gather what is to be read at once.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A line that means nothing, so that whoever comes back and has missed nothing sees that it is heard.
const NOTHING: &[u8] = b":\n\n";

/// One of the places for streams.
struct Place(App);

impl Place {
    fn take(app: &App) -> Result<Self, ApiError> {
        let before = app.counters().streams.fetch_add(1, Ordering::Relaxed);
        let place = Self(app.clone());
        if before < app.config().limits.streams { Ok(place) } else { Err(ApiError::TooManyStreams) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.counters().streams.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) async fn events(State(app): State<App>, stop: Stop, headers: HeaderMap, uri: Uri) -> Result<Response, ApiError> {
    let query = query::parse(uri.query().unwrap_or_default())?;
    query.only(PARAMETERS)?;
    let filter = Filter::from_query(&query)?;
    // What is no text is no id of ours.
    let sent = headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?"));
    let last = sent.or_else(|| query.get("last_event_id")).filter(|id| !id.is_empty());
    let place = Place::take(&app)?;
    let joined = app.state.events.join(&app.state.handles.reader, filter, last);
    let first = first(&app, &joined).await;
    let mut response = Body::new(Stream::new(joined, first, stop, place)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(BUFFERING, HeaderValue::from_static("no"));
    response.extensions_mut().insert(Streamed);
    Ok(response)
}

/// What a stream begins with.
async fn first(app: &App, joined: &Joined) -> VecDeque<Bytes> {
    match &joined.start {
        Start::Resume(from) => {
            let missed = joined.group.between(&app.state.events, from, &joined.at);
            [missed.unwrap_or(Bytes::from_static(NOTHING))].into()
        }
        Start::Anew => [snapshot(app, joined).await].into(),
        Start::Reset(why) => [delta::reset(why), snapshot(app, joined).await].into(),
    }
}

/// The whole picture, made once for all who come to the same state with the same filter.
async fn snapshot(app: &App, joined: &Joined) -> Bytes {
    let (group, at) = (&joined.group, &joined.at.snapshot);
    let make = async || {
        app.state.events.made.fetch_add(1, Ordering::Relaxed);
        let (group, at) = (group.clone(), Arc::clone(at));
        let instances = at.services.values().map(|service| service.instances.len());
        let aside = at.offers.len() + instances.sum::<usize>() > ASIDE;
        let make = move || body::Body::new(delta::snapshot(&group.filter, &at));
        // The task only fails when the agent stops, and then nobody waits for it.
        if aside { tokio::task::spawn_blocking(make).await.unwrap_or_else(|_| body::Body::new(Vec::new())) } else { make() }
    };
    app.state.events.wholes.load_full().body(at, group.filter.key(), make).await.plain()
}
