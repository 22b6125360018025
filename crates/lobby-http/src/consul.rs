//! What the routes in Consul's shape have in common: the JSON form, the index headers, `dc`, blocking queries.
//!
//! ```text
//! ?index=N&wait=5m    the answer comes when the index is no longer N, the time is over, or the agent stops
//! ```
//! Waiting requests are counted and bounded ([`crate::Limits::waits`]). A client that goes away frees its place at once,
//! because the connection then drops the handler, or the wait of a request that was put aside (`parking`).

use std::{
    convert::Infallible,
    future::{Future, pending},
    hash::{BuildHasher, Hasher, RandomState},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use lobby_core::duration;
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use tokio::sync::watch;

use crate::{
    App, View,
    catalog_api::node,
    error::{ApiError, shown},
    parking,
    query::Query,
};

/// How long a blocking request waits that names no time, and the longest it may name. Both are Consul's.
const WAIT: (Duration, Duration) = (Duration::from_secs(5 * 60), Duration::from_secs(10 * 60));

/// Up to this part of the time is added at random, so that many clients do not return at the same moment.
const JITTER: u32 = 16;

const INDEX: HeaderName = HeaderName::from_static("x-consul-index");
const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-consul-knownleader");
const LAST_CONTACT: HeaderName = HeaderName::from_static("x-consul-lastcontact");

/// How fresh an answer is, in Consul's words: stale, leader or consistent.
pub(crate) const CONSISTENCY: HeaderName = HeaderName::from_static("x-consul-effective-consistency");

/// Completes when the listener of the request ends. Of a request without a listener: never. Each connection has one,
/// behind a count of its own, so that requests of many connections do not meet at one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(pub(crate) Option<Arc<watch::Receiver<()>>>);

/// Marks an answer that was made long after its request came: it is described by the newest view.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waited;

/// What a request says about blocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The index that the client has seen.
    pub(crate) index: u64,
    /// How long it waits for another one.
    wait: Duration,
}

/// One of the places for waiting requests, until it is dropped.
pub(crate) struct Place(App);

impl<S: Sync> FromRequestParts<S> for Stop {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

impl Stop {
    pub(crate) async fn stopped(self) {
        let Some(stopped) = self.0 else { return pending().await };
        let mut stopped = (*stopped).clone();
        // The other end says nothing until it is dropped.
        while stopped.changed().await.is_ok() {}
    }
}

impl Block {
    /// `None`: the answer is wanted at once.
    pub(crate) fn from_query(query: &Query<'_>) -> Result<Option<Self>, ApiError> {
        let index = match given(query, "index") {
            Some(text) => text.parse().map_err(|_| bad("index", text, "a whole number"))?,
            None => 0,
        };
        let wait = wait(query)?;
        Ok((index > 0).then_some(Self { index, wait }))
    }

    /// The same of a request that waits for another hash than the one it names, which is told too.
    pub(crate) fn from_hash<'a>(query: &'a Query<'_>) -> Result<Option<(&'a str, Self)>, ApiError> {
        let wait = wait(query)?;
        Ok(given(query, "hash").map(|hash| (hash, Self { index: 0, wait })))
    }

    /// Waits until there is news, the time is over, or the agent stops.
    pub(crate) async fn hold(self, app: &App, stop: Stop, news: impl Future<Output = ()>) -> Result<(), ApiError> {
        let place = Place::take(app)?;
        self.until(stop, news).await;
        drop(place);
        Ok(())
    }

    /// The same by somebody who has a place.
    pub(crate) async fn until(self, stop: Stop, news: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = news => {}
            () = stop.stopped() => {}
            () = tokio::time::sleep(self.wait + jitter(self.wait)) => {}
        }
    }

    /// The same for a request that is put aside: it is asked again then. The stop is looked after by its connection.
    pub(crate) fn park(self, news: impl Future<Output = ()> + Send + 'static) -> Response {
        parking::parked(tokio::time::timeout(self.wait + jitter(self.wait), news))
    }
}

fn given<'a>(query: &'a Query<'_>, field: &str) -> Option<&'a str> {
    query.get(field).filter(|value| !value.is_empty())
}

fn bad(field: &'static str, value: &str, want: &'static str) -> ApiError {
    ApiError::Field { field, value: shown(value), want }
}

/// How long a request waits, if it does.
fn wait(query: &Query<'_>) -> Result<Duration, ApiError> {
    let wait = match given(query, "wait") {
        Some(text) => duration::parse(text).ok_or_else(|| bad("wait", text, "a duration such as 30s or 5m"))?,
        None => Duration::ZERO,
    };
    Ok(if wait.is_zero() { WAIT.0 } else { wait.min(WAIT.1) })
}

impl Place {
    /// Refused when all are taken.
    pub(crate) fn take(app: &App) -> Result<Self, ApiError> {
        let before = app.counters().waits.fetch_add(1, Ordering::Relaxed);
        let place = Self(app.clone());
        if before < app.config().limits.waits { Ok(place) } else { Err(ApiError::TooManyWaits) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.counters().waits.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Between nothing and a sixteenth of the time. The seeds of the standard library's maps are random enough for it.
fn jitter(wait: Duration) -> Duration {
    let most = u64::try_from((wait / JITTER).as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(RandomState::new().build_hasher().finish() % most.saturating_add(1))
}

/// Waits for ever when the one that tells news has ended: nothing new will come.
pub(crate) async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        pending().await
    }
}

/// Refuses requests that are meant for another data centre.
pub(crate) fn check_datacenter(query: &Query<'_>, view: &View) -> Result<(), ApiError> {
    match query.get("dc").filter(|dc| !dc.is_empty()) {
        Some(dc) if !is_own_datacenter(view, dc) => Err(ApiError::OtherDatacenter(shown(dc))),
        _ => Ok(()),
    }
}

/// Whether this is the name of our data centre.
pub(crate) fn is_own_datacenter(view: &View, name: &str) -> bool {
    name.eq_ignore_ascii_case(node::datacenter(&view.snapshot))
}

/// A JSON answer as Consul gives it: without blanks, or with four of them for `?pretty`.
pub(crate) fn json(query: &Query<'_>, value: &impl Serialize) -> Response {
    let bytes = bytes(query.has("pretty"), value);
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response()
}

/// The body of such an answer.
pub(crate) fn bytes(pretty: bool, value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    let bytes = if pretty {
        let mut bytes = Vec::new();
        let mut serializer = Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    "));
        value.serialize(&mut serializer).map(|()| {
            bytes.push(b'\n');
            bytes
        })
    } else {
        serde_json::to_vec(value)
    };
    bytes.expect("maps with text keys, lists, texts and finite numbers always serialise")
}

/// Adds the headers that say that the answer is as good as that of a leader. Clients read both or neither.
pub(crate) fn led(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(KNOWN_LEADER, HeaderValue::from_static("true"));
    headers.insert(LAST_CONTACT, HeaderValue::from_static("0"));
    response
}

/// Adds the headers of an answer that can be blocked on. An index is never 0, which clients take as none.
pub(crate) fn indexed(response: Response, index: u64) -> Response {
    let mut response = led(response);
    let headers = response.headers_mut();
    headers.insert(INDEX, index.max(1).into());
    headers.insert(CONSISTENCY, HeaderValue::from_static("leader"));
    response.extensions_mut().insert(Waited);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query;

    fn block(text: &str) -> Result<Option<Block>, ApiError> {
        Block::from_query(&query::parse(text).unwrap())
    }

    #[test]
    fn what_blocks_and_for_how_long() {
        let seconds = |index, seconds| Some(Block { index, wait: Duration::from_secs(seconds) });
        for (text, want) in [
            ("", None),
            ("index=", None),
            ("index=0&wait=1s", None),
            ("wait=10s", None),
            ("index=7", seconds(7, 300)),
            ("index=7&wait=", seconds(7, 300)),
            ("index=7&wait=0", seconds(7, 300)),
            ("index=7&wait=1m30s", seconds(7, 90)),
            ("index=7&wait=99h", seconds(7, 600)),
            ("index=18446744073709551615", seconds(u64::MAX, 300)),
        ] {
            assert_eq!(block(text).unwrap(), want, "{text:?}");
        }
        for text in ["index=x", "index=-1", "index=18446744073709551616", "index=1&wait=5", "wait=soon"] {
            assert!(matches!(block(text), Err(ApiError::Field { .. })), "{text:?}");
        }
    }

    #[test]
    fn jitter_is_at_most_a_sixteenth() {
        let some: Vec<_> = (0..100).map(|_| jitter(Duration::from_secs(160))).collect();
        assert!(some.iter().all(|jitter| *jitter <= Duration::from_secs(10)));
        assert!(some.iter().any(|jitter| *jitter != some[0]), "all the same: {:?}", some[0]);
        assert_eq!(jitter(Duration::ZERO), Duration::ZERO);
    }
}
