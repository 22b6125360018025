//! Where nodes are in the space of round trip times, in Consul's shape, and sorting by distance.
//!
//! ```text
//! GET /v1/coordinate/nodes         of every member that told its coordinate, by name; blocking
//! GET /v1/coordinate/node/:node    of the nodes with this name or id; asks them if need be
//! GET /v1/coordinate/datacenters   of every member that told its coordinate, as those of the one data centre there is
//! ```
//! The index is the catalog's revision: coordinates themselves move all the time.
//! Not here: how they move (`lobby-gossip`), what a distance is (`lobby_core::coordinate`).

use std::{cmp::Ordering, collections::HashMap, time::Duration};

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
    id::NodeId,
    port::gossip::GossipCommand,
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

pub(crate) fn routes() -> Router<App> {
    let router = Router::new().route("/v1/coordinate/nodes", get(nodes)).route("/v1/coordinate/node/{name}", get(node));
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
    let known = known(&app).await?;
    let mut bodies: Vec<_> = known.iter().map(|(id, coordinate)| body(&snapshot, *id, coordinate)).collect();
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
        known(&app).await?.iter().map(|(id, coordinate)| body(&view.snapshot, *id, coordinate)).collect();
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
    let found = locate(&app, who::all(&snapshot, &node)?).await?;
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

/// The coordinates that gossip knows without asking anybody.
async fn known(app: &App) -> Result<Vec<(NodeId, Coordinate)>, ApiError> {
    let gossip = who::ask(app, GossipCommand::View).await?;
    Ok(gossip.members.iter().filter_map(|member| Some((member.id, member.coordinate?))).collect())
}

/// The coordinates of these nodes; those that are not known are asked for.
async fn locate(app: &App, ids: Vec<NodeId>) -> Result<Vec<(NodeId, Coordinate)>, ApiError> {
    let found = who::ask(app, |answer| GossipCommand::Coordinates(ids.clone(), answer)).await?;
    Ok(ids.into_iter().zip(found).filter_map(|(id, coordinate)| Some((id, coordinate?))).collect())
}

/// The estimated round trips from one node to all whose coordinate is known.
pub(crate) async fn distances(app: &App, snapshot: &Snapshot, near: &str) -> Result<HashMap<NodeId, Duration>, ApiError> {
    who::gossips(app)?;
    let center = who::one(snapshot, near)?;
    let at = locate(app, vec![center]).await?;
    let [(_, here)] = at[..] else { return Err(ApiError::NoCoordinate(format!("{:?}", shown(near)))) };
    let from_here = |(id, there): (NodeId, Coordinate)| {
        // A node is at no distance from itself, whatever its height.
        (id, if id == center { Duration::ZERO } else { here.distance(&there) })
    };
    let mut distances: HashMap<_, _> = known(app).await?.into_iter().map(from_here).collect();
    distances.insert(center, Duration::ZERO);
    Ok(distances)
}

/// Nearest first, those without a distance last.
pub(crate) fn nearest_first(a: Option<Duration>, b: Option<Duration>) -> Ordering {
    a.unwrap_or(Duration::MAX).cmp(&b.unwrap_or(Duration::MAX))
}
