//! Where nodes are in the space of round trip times, in Consul's shape, and sorting by distance.
//!
//! ```text
//! GET /v1/coordinate/nodes         of every node whose coordinate is known, by name; blocking
//! GET /v1/coordinate/node/:node    of the nodes with this name or id; asks them if need be
//! GET /v1/coordinate/datacenters   of every node whose coordinate is known, as those of the one data centre there is
//! PUT /v1/coordinate/update        somebody else says where a node is (`update`)
//! ```
//! The index is the catalog's revision: coordinates themselves move all the time. Members tell their coordinates by gossip;
//! of nodes without an agent somebody must say it.
//! Not here: how they move (`lobby-gossip`), what a distance is (`lobby_core::coordinate`).

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use axum::{
    Extension, Router,
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
    routing::get,
};
use lobby_core::{
    catalog::Snapshot,
    coordinate::{Coordinate, DIMENSIONS},
    external,
    id::NodeId,
    name::Name,
    port::gossip::{GossipCommand, GossipError},
    record::meta,
};
use serde::Serialize;

use crate::{
    App, View,
    catalog_api::param::{self, Asked},
    consul::{self, Block, Stop},
    error::{ApiError, shown},
    query::{self, Query},
    receive::Segment,
    who,
};

mod update;

pub(crate) use update::Told;

pub(crate) fn routes() -> Router<App> {
    let router = update::routes().route("/v1/coordinate/nodes", get(nodes)).route("/v1/coordinate/node/{name}", get(node));
    router.route("/v1/coordinate/datacenters", get(datacenters))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NodeCoordinate {
    node: String,
    segment: &'static str,
    coord: Coord,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Datacenter<'a> {
    datacenter: &'a str,
    #[serde(rename = "AreaID")]
    area_id: &'static str,
    coordinates: Vec<NodeCoordinate>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Coord {
    vec: [f32; DIMENSIONS],
    error: f32,
    adjustment: f32,
    height: f32,
}

fn body(snapshot: &Snapshot, id: NodeId, coordinate: &Coordinate) -> NodeCoordinate {
    let Coordinate { vec, height, adjustment, error } = *coordinate;
    let node = who::name(snapshot, id).map_or_else(|| id.to_string(), str::to_owned);
    NodeCoordinate { node, segment: "", coord: Coord { vec, error, adjustment, height } }
}

async fn nodes(
    State(app): State<App>,
    Extension(view): Extension<View>,
    stop: Stop,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = query::parse(uri.query().unwrap_or_default())?;
    let asked = Asked::from_request(&query, &headers)?;
    let snapshot = held(&app, &view, &query, stop).await?;
    let known = known(&app, &snapshot).await?;
    let mut bodies: Vec<_> = known.iter().map(|(id, place)| body(&snapshot, *id, place)).collect();
    bodies.sort_by(|a, b| a.node.cmp(&b.node));
    Ok(param::told(consul::indexed(consul::json(&query, &bodies), snapshot.revision.0), asked.consistency))
}

async fn datacenters(
    State(app): State<App>,
    Extension(view): Extension<View>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = query::parse(uri.query().unwrap_or_default())?;
    let asked = Asked::from_request(&query, &headers)?;
    consul::check_datacenter(&query, &view)?;
    who::gossips(&app)?;
    let mut coordinates: Vec<_> =
        known(&app, &view.snapshot).await?.iter().map(|(id, coordinate)| body(&view.snapshot, *id, coordinate)).collect();
    coordinates.sort_by(|a, b| a.node.cmp(&b.node));
    let datacenter = view.snapshot.local.record.meta(meta::DATACENTER).unwrap_or_default();
    let response = consul::json(&query, &[Datacenter { datacenter, area_id: "WAN", coordinates }]);
    Ok(param::told(response, asked.consistency))
}

async fn node(
    State(app): State<App>,
    Extension(view): Extension<View>,
    Segment(node): Segment,
    stop: Stop,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = query::parse(uri.query().unwrap_or_default())?;
    let asked = Asked::from_request(&query, &headers)?;
    let snapshot = held(&app, &view, &query, stop).await?;
    let found = locate(&app, &snapshot, named(&snapshot, &node)?).await?;
    if found.is_empty() {
        return Err(ApiError::NoCoordinate(format!("{:?}", shown(&node))));
    }
    let bodies: Vec<_> = found.iter().map(|(id, coordinate)| body(&snapshot, *id, coordinate)).collect();
    Ok(param::told(consul::indexed(consul::json(&query, &bodies), snapshot.revision.0), asked.consistency))
}

/// The snapshot that is answered from: the request's own, or that after the wait that it asks for.
async fn held(app: &App, view: &View, query: &Query<'_>, stop: Stop) -> Result<std::sync::Arc<Snapshot>, ApiError> {
    consul::check_datacenter(query, view)?;
    who::gossips(app)?;
    let Some(block) = Block::from_query(query)? else { return Ok(view.snapshot.clone()) };
    let mut reader = app.state.handles.reader.clone();
    let news = async {
        while reader.snapshot().revision.0 <= block.index {
            if reader.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    block.hold(app, stop, news).await?;
    Ok(app.state.handles.reader.snapshot())
}

/// The ids that a text names: of members, or else of a node without an agent.
fn named(snapshot: &Snapshot, text: &str) -> Result<Vec<NodeId>, ApiError> {
    match who::all(snapshot, text) {
        Err(ApiError::Gossip(GossipError::UnknownNode(name))) => {
            let external = text.parse::<Name>().map(|name| NodeId::external(&name)).ok();
            let external = external.filter(|id| snapshot.externals.get(id).is_some_and(|record| !record.has_left()));
            external.map(|id| vec![id]).ok_or(ApiError::Gossip(GossipError::UnknownNode(name)))
        }
        named => named,
    }
}

/// The one id that a text names.
fn named_one(snapshot: &Snapshot, text: &str) -> Result<NodeId, ApiError> {
    match *named(snapshot, text)? {
        [id] => Ok(id),
        // Says which there are.
        _ => who::one(snapshot, text),
    }
}

/// Where a node without an agent was said to be.
fn of_external(snapshot: &Snapshot, id: NodeId) -> Option<Coordinate> {
    external::coordinate(snapshot.externals.get(&id)?)
}

/// The coordinates that are known without asking anybody.
async fn known(app: &App, snapshot: &Snapshot) -> Result<BTreeMap<NodeId, Coordinate>, ApiError> {
    let gossip = who::ask(app, GossipCommand::View).await?;
    let externals = snapshot.externals.keys().filter_map(|id| Some((*id, of_external(snapshot, *id)?)));
    let mut known: BTreeMap<_, _> = externals.collect();
    known.extend(gossip.members.iter().filter_map(|member| Some((member.id, member.coordinate?))));
    known.extend(app.state.told.all(app.view().now.moment));
    Ok(known)
}

/// The coordinates of these nodes; those that are not known are asked for.
async fn locate(app: &App, snapshot: &Snapshot, ids: Vec<NodeId>) -> Result<Vec<(NodeId, Coordinate)>, ApiError> {
    let told: HashMap<_, _> = app.state.told.all(app.view().now.moment).into_iter().collect();
    let said = |id: NodeId| told.get(&id).copied().or_else(|| of_external(snapshot, id));
    let mut found: Vec<_> = ids.iter().filter_map(|id| Some((*id, said(*id)?))).collect();
    let open: Vec<_> = ids.into_iter().filter(|id| said(*id).is_none()).collect();
    if !open.is_empty() {
        let asked = who::ask(app, |answer| GossipCommand::Coordinates(open.clone(), answer)).await?;
        found.extend(open.into_iter().zip(asked).filter_map(|(id, coordinate)| Some((id, coordinate?))));
    }
    Ok(found)
}

/// The estimated round trips from one node to all whose coordinate is known.
pub(crate) async fn distances(app: &App, snapshot: &Snapshot, near: &str) -> Result<HashMap<NodeId, Duration>, ApiError> {
    who::gossips(app)?;
    let center = named_one(snapshot, near)?;
    let at = locate(app, snapshot, vec![center]).await?;
    let [(_, here)] = at[..] else { return Err(ApiError::NoCoordinate(format!("{:?}", shown(near)))) };
    let from_here = |(id, there): (NodeId, Coordinate)| {
        // A node is at no distance from itself, whatever its height.
        (id, if id == center { Duration::ZERO } else { here.distance(&there) })
    };
    let mut distances: HashMap<_, _> = known(app, snapshot).await?.into_iter().map(from_here).collect();
    distances.insert(center, Duration::ZERO);
    Ok(distances)
}

/// Nearest first, those without a distance last.
pub(crate) fn nearest_first(a: Option<Duration>, b: Option<Duration>) -> Ordering {
    a.unwrap_or(Duration::MAX).cmp(&b.unwrap_or(Duration::MAX))
}
