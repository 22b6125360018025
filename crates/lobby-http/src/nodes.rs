//! The full view: every node as the agent knows it, failed ones too, those of one name apart.
//!
//! ```text
//! GET /v1/nodes    [{id, name, state, addresses, generation, version, exchanges, age_ms, labels, …}]
//! ```
//! With `?where=SELECTOR` only those it takes. With `?near=NODE` the nearest come first, each with `distance_ms`, the estimated round trip; others in the order of ids.
//! `id` is null for daemons that tell only their host name. `conflict` marks live nodes that share a name, `drain` those that take nothing new,
//! `held` failed ones whose services are shown as before.
//! The tag holds the second and a hash of all but the ages: much of what is shown here changes without a revision.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use lobby_core::{
    catalog::{Node, Presence, Snapshot, subject::NodeSubject},
    id::NodeId,
    name::Name,
    record::meta,
    selector::Selector,
    service,
};
use serde::Serialize;

use crate::{
    App, View, answer,
    body::{self, Body},
    coordinate,
    error::ApiError,
    members, query,
};

/// Above this many nodes the body is made on a thread of its own: about 2 ms of work.
const ASIDE: usize = 1000;

#[derive(Hash, Serialize)]
struct NodeBody<'a> {
    id: Option<String>,
    name: &'a str,
    state: &'static str,
    addresses: Vec<&'a str>,
    generation: u64,
    version: u64,
    exchanges: Vec<PresenceBody<'a>>,
    age_ms: Millis<u64>,
    labels: BTreeSet<Cow<'a, str>>,
    own: bool,
    signed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    external: bool,
    conflict: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    held: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    drain: bool,
    lobbyd: Option<&'a str>,
    datacenter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    distance_ms: Option<Millis<Option<f64>>>,
}

/// Milliseconds. Equal to all others where the tag is made; the order that distances make is part of it.
#[derive(Serialize)]
#[serde(transparent)]
struct Millis<T>(T);

impl<T> Hash for Millis<T> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// The estimated round trips from the node that the request names.
type Distances = HashMap<NodeId, Duration>;

#[derive(Hash, Serialize)]
struct PresenceBody<'a> {
    name: &'a str,
    state: &'static str,
}

pub(crate) async fn nodes(
    State(app): State<App>,
    Extension(view): Extension<View>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = query::parse(uri.query().unwrap_or_default())?;
    let distances = match query.get("near").filter(|near| !near.is_empty()) {
        Some(near) => Some(coordinate::distances(&app, &view.snapshot, near).await?),
        None => None,
    };
    let selector = query.selector()?;
    let second = view.now.wall.0;
    let aside = view.snapshot.nodes.len() > ASIDE;
    let render = move || render(&view, selector.as_ref(), distances.as_ref());
    // The task only fails when the agent stops, and then nobody waits for the body.
    let (hash, plain) = if aside { tokio::task::spawn_blocking(render).await.unwrap_or_default() } else { render() };
    Ok(Body::new(plain).answer(&headers, body::etag([second, hash])).await)
}

/// The body and the hash of all but the ages in it.
fn render(view: &View, selector: Option<&Selector>, distances: Option<&Distances>) -> (u64, Vec<u8>) {
    let mut live: HashMap<&Name, usize> = HashMap::new();
    for node in view.snapshot.nodes.values().filter(|node| node.state.is_listed()) {
        *live.entry(&node.record.name).or_default() += 1;
    }
    let conflict = |node: &Node| node.state.is_listed() && live.get(&node.record.name).is_some_and(|count| *count > 1);
    let taken = |node: &&Node| selector.is_none_or(|selector| selector.takes(&NodeSubject::new(&view.snapshot, node)));
    let mut nodes: Vec<_> = view.snapshot.nodes.values().map(|node| &**node).filter(taken).collect();
    if let Some(distances) = distances {
        nodes.sort_by(|a, b| coordinate::nearest_first(distance(distances, a), distance(distances, b)));
    }
    let body = |node| node_body(view, node, conflict(node), distances);
    let bodies: Vec<_> = nodes.into_iter().map(body).collect();
    let mut hasher = DefaultHasher::new();
    bodies.hash(&mut hasher);
    (hasher.finish(), answer::pretty(&bodies))
}

fn distance(distances: &Distances, node: &Node) -> Option<Duration> {
    distances.get(&node.record.origin.node_id()?).copied()
}

fn node_body<'a>(view: &'a View, node: &'a Node, conflict: bool, distances: Option<&Distances>) -> NodeBody<'a> {
    let record = &*node.record;
    let addresses = record.meta(meta::ADDRESSES).unwrap_or_default();
    NodeBody {
        id: record.origin.node_id().map(|id| id.to_string()),
        name: record.name.as_str(),
        state: node.state.as_str(),
        addresses: addresses.split(',').map(str::trim).filter(|address| !address.is_empty()).collect(),
        generation: record.stamp.generation.0,
        version: record.stamp.version.0,
        exchanges: node.presences.iter().filter_map(|presence| presence_body(&view.snapshot, presence)).collect(),
        age_ms: Millis(u64::try_from(node.age(view.now).as_millis()).unwrap_or(u64::MAX)),
        labels: labels(view, node),
        own: node.own,
        signed: record.is_signed(),
        external: node.external,
        conflict,
        held: node.held.is_some(),
        drain: view.snapshot.offers.get(&record.origin).is_some_and(|offers| offers.node.drain),
        lobbyd: record.meta(meta::VERSION),
        datacenter: record.meta(meta::DATACENTER),
        distance_ms: distances.map(|distances| Millis(distance(distances, node).map(members::millis))),
    }
}

/// Its own labels, and the form that its registered instances have among them, as lists show them.
fn labels<'a>(view: &'a View, node: &'a Node) -> BTreeSet<Cow<'a, str>> {
    let offers = view.snapshot.offers.get(&node.record.origin);
    let instances = offers.into_iter().flat_map(|offers| offers.instances.values()).map(|stamped| &*stamped.value);
    // What labels make has its labels in the record.
    let registered = instances.filter(|instance| !instance.from_label);
    let shown = registered.flat_map(|view| service::labels(&view.instance)).map(|label| Cow::Owned(label.as_str().to_owned()));
    shown.chain(node.record.labels().map(|label| Cow::Borrowed(label.as_str()))).collect()
}

fn presence_body<'a>(snapshot: &'a Snapshot, presence: &Presence) -> Option<PresenceBody<'a>> {
    let link = snapshot.links.get(usize::from(presence.exchange.0))?;
    Some(PresenceBody { name: &link.name, state: presence.state.as_str() })
}
