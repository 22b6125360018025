//! User events in Consul's shape: firing one, and the list of the newest, which can be waited on.
//!
//! ```text
//! PUT /v1/event/fire/:name    ?node, service, tag (regular expressions), label; the body is the payload
//! GET /v1/event/list          ?name; oldest first; blocking with ?index and ?wait
//! ```
//! Firing may also be POSTed, by operators only. The index of the list is made of the newest event's id, so one waits
//! while it is equal; clients compute the same number from the id.

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderMap, Uri},
    response::Response,
    routing::{get, put},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use lobby_core::port::gossip::{
    EVENT_NAME_BYTES, EVENT_PAYLOAD_BYTES, EventId, EventLog, FILTER_BYTES, Filter, GossipCommand, GossipError, NewEvent,
    UserEvent,
};
use serde::Serialize;

use crate::{
    App, View,
    catalog_api::param::{self, Asked},
    consul::{self, Block, Stop},
    error::{ApiError, shown},
    query::{self, Query},
    receive::{self, Segment},
    who,
};

/// Names that begin so are lobbyd's own.
const RESERVED: &str = "_lobby:";

/// What a request for a user event or a query may say: whom it is for.
const FILTER: &[&str] = &["node", "service", "tag", "label"];

/// What Consul's clients send along. All but `dc` and `pretty` changes nothing here.
const CONSULS: &[&str] = &["dc", "ns", "partition", "token", "pretty", "stale", "consistent"];

/// What Consul's clients say of a request that writes: through how many others the answer travels.
const RELAY_FACTOR: &str = "relay-factor";

/// What everybody with access may ask.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/event/list", get(list))
}

/// What only operators may do. Without a name it is refused with a reason, not unknown.
pub(crate) fn verbs() -> Router<App> {
    Router::new().route("/v1/event/fire/{name}", put(fire).post(fire)).route("/v1/event/fire/", put(fire).post(fire))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EventBody<'a> {
    #[serde(rename = "ID")]
    id: String,
    name: &'a str,
    payload: Option<String>,
    node_filter: &'a str,
    service_filter: &'a str,
    tag_filter: &'a str,
    version: u8,
    #[serde(rename = "LTime")]
    ltime: u64,
}

fn event_body(user: &UserEvent, ltime: u64) -> EventBody<'_> {
    let event = &user.event;
    EventBody {
        id: user.id.to_string(),
        name: &event.name,
        payload: (!event.payload.is_empty()).then(|| STANDARD.encode(&event.payload)),
        node_filter: event.filter.node.as_deref().unwrap_or_default(),
        service_filter: event.filter.service.as_deref().unwrap_or_default(),
        tag_filter: event.filter.tag.as_deref().unwrap_or_default(),
        version: 1,
        ltime,
    }
}

async fn fire(
    State(app): State<App>,
    Extension(view): Extension<View>,
    Segment(name): Segment,
    uri: Uri,
    request: Request,
) -> Result<Response, ApiError> {
    let query = query::parse(uri.query().unwrap_or_default())?;
    only(&query, &[RELAY_FACTOR])?;
    consul::check_datacenter(&query, &view)?;
    who::gossips(&app)?;
    let event = new_event(&app, name, &query, request).await?;
    let fired = who::ask(&app, |answer| GossipCommand::Fire(event, answer)).await?;
    // Consul tells the Lamport time only in the list.
    Ok(consul::json(&query, &event_body(&fired, 0)))
}

/// Refuses what is neither a filter nor Consul's nor among `more`: a filter with a slip in its name would tell everybody.
pub(crate) fn only(query: &Query<'_>, more: &[&str]) -> Result<(), ApiError> {
    let accepted = || FILTER.iter().chain(more).chain(CONSULS).copied();
    match query.keys().find(|key| !accepted().any(|name| name == *key)) {
        None => Ok(()),
        Some(key) => Err(ApiError::Parameter { name: shown(key), accepted: accepted().collect::<Vec<_>>().join(", ") }),
    }
}

/// A user event or query as a request names it, within the bounds of both. Patterns are compiled by gossip.
pub(crate) async fn new_event(app: &App, name: String, query: &Query<'_>, request: Request) -> Result<NewEvent, ApiError> {
    let bad = |field, why| ApiError::Gossip(GossipError::Invalid { field, why });
    if name.is_empty() || name.len() > EVENT_NAME_BYTES {
        return Err(bad("name", format!("{} bytes given; 1 to {EVENT_NAME_BYTES} are accepted", name.len())));
    }
    if name.starts_with(RESERVED) {
        return Err(bad("name", format!("names that begin with {RESERVED} are lobbyd's own")));
    }
    let pattern = |field| query.get(field).filter(|pattern| !pattern.is_empty()).map(str::to_owned);
    let filter = Filter {
        node: pattern("node"),
        service: pattern("service"),
        tag: pattern("tag"),
        labels: query.all("label").filter(|label| !label.is_empty()).map(str::to_owned).collect(),
    };
    let patterns = [&filter.node, &filter.service, &filter.tag].into_iter().flatten().chain(&filter.labels);
    let bytes: usize = patterns.map(String::len).sum();
    if bytes > FILTER_BYTES {
        return Err(bad("filter", format!("{bytes} bytes in all patterns together; at most {FILTER_BYTES} are accepted")));
    }
    let payload = receive::body(app, request.into_body(), EVENT_PAYLOAD_BYTES).await?;
    // A copy, because the body may be a small part of a large buffer and events are kept for long.
    Ok(NewEvent { name, payload: Bytes::copy_from_slice(&payload), filter })
}

async fn list(
    State(app): State<App>,
    Extension(view): Extension<View>,
    stop: Stop,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = query::parse(uri.query().unwrap_or_default())?;
    let asked = Asked::from_request(&query, &headers)?;
    consul::check_datacenter(&query, &view)?;
    who::gossips(&app)?;
    let name = query.get("name").filter(|name| !name.is_empty());
    let mut log = app.state.handles.gossip.watch_events();
    if let Some(block) = Block::from_query(&query)? {
        let news = async {
            while index(&log.borrow_and_update(), name) == block.index {
                consul::changed(&mut log).await;
            }
        };
        block.hold(&app, stop, news).await?;
    }
    let log = log.borrow().clone();
    let bodies: Vec<_> = matching(&log, name).map(|event| event_body(event, event.ltime)).collect();
    let response = consul::indexed(consul::json(&query, &bodies), index(&log, name));
    Ok(param::told(response, asked.consistency))
}

fn matching<'a>(log: &'a EventLog, name: Option<&'a str>) -> impl DoubleEndedIterator<Item = &'a UserEvent> {
    log.events.iter().map(|event| &**event).filter(move |event| name.is_none_or(|name| event.event.name == name))
}

/// The index of the list of these events: 1 when there is none.
fn index(log: &EventLog, name: Option<&str>) -> u64 {
    matching(log, name).next_back().map_or(1, |event| id_index(event.id).max(1))
}

/// The two halves of the id, one laid over the other.
fn id_index(id: EventId) -> u64 {
    let id = u128::from_be_bytes(id.0);
    ((id >> 64) ^ (id & u128::from(u64::MAX))) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_an_event_is_consuls() {
        let id = u128::from_str_radix("cb9a81adfff652ac92a75f70687805ec", 16).unwrap();
        assert_eq!(id_index(EventId(id.to_be_bytes())), 6_430_540_886_266_763_072);
    }
}
