//! Members as gossip sees them, with what the catalog knows of each.
//!
//! ```text
//! GET /v1/members          [{id, name, address, state, …}], failed and departed ones too, by name
//! GET /v1/agent/members    the same in Consul's shape; without gossip only ourselves
//! GET /v1/agent/info       the agent itself: who it is, its links, what gossip counts
//! ```
//! Not here: nodes that came over other exchanges (`nodes`), verbs (`operator`).

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
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
    catalog::Node,
    coordinate::Coordinate,
    id::NodeId,
    name::Name,
    port::gossip::{GossipCommand, Member},
    record::meta,
};
use serde::{Serialize, Serializer};

use crate::{
    App, View, answer,
    catalog_api::node::{self, CONSUL_VERSION},
    consul,
    error::ApiError,
    health, leader, scope, who,
};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/members", get(members))
        .route("/v1/agent/members", get(consul_members))
        .route("/v1/agent/info", get(info))
}

#[derive(Serialize)]
struct MemberBody<'a> {
    id: String,
    name: Option<&'a str>,
    address: String,
    state: &'static str,
    generation: u64,
    version: Option<u64>,
    lobbyd: Option<&'a str>,
    datacenter: Option<&'a str>,
    age_ms: Option<u64>,
    rtt_ms: Option<f64>,
    distance_ms: Option<f64>,
    labels: Vec<&'a str>,
    own: bool,
}

async fn members(State(app): State<App>, Extension(view): Extension<View>) -> Result<Response, ApiError> {
    let gossip = who::ask(&app, GossipCommand::View).await?;
    let here = gossip.members.iter().find(|member| member.own).and_then(|member| member.coordinate);
    let members = gossip.members.iter().filter(|member| is_known(&view, member));
    let mut bodies: Vec<_> = members.map(|member| member_body(&view, member, here.as_ref())).collect();
    bodies.sort_by(|a, b| (a.name, &a.id).cmp(&(b.name, &b.id)));
    Ok(answer::json(&bodies))
}

/// Who has left is nobody's member any more; gossip remembers it for a while.
fn is_known(view: &View, member: &Member) -> bool {
    member.state != "left" || who::node(&view.snapshot, member.id).is_some()
}

/// The catalog's word, which knows of AGENT_GRACE and of other exchanges.
fn state(view: &View, member: &Member) -> &'static str {
    who::node(&view.snapshot, member.id).map_or(member.state, |node| node.state.as_str())
}

fn member_body<'a>(view: &'a View, member: &'a Member, here: Option<&Coordinate>) -> MemberBody<'a> {
    let node = who::node(&view.snapshot, member.id);
    let record = node.map(|node| &*node.record);
    let distance = here.zip(member.coordinate.as_ref()).map(|(here, there)| here.distance(there));
    MemberBody {
        id: member.id.to_string(),
        name: record.map(|record| &record.name).or(member.name.as_ref()).map(Name::as_str),
        address: member.addr.to_string(),
        state: state(view, member),
        generation: member.generation.0,
        version: record.map(|record| record.stamp.version.0),
        lobbyd: record.and_then(|record| record.meta(meta::VERSION)),
        datacenter: record.and_then(|record| record.meta(meta::DATACENTER)),
        age_ms: node.map(|node| u64::try_from(node.age(view.now).as_millis()).unwrap_or(u64::MAX)),
        rtt_ms: member.rtt.map(millis),
        distance_ms: distance.filter(|_| !member.own).map(millis),
        labels: record.map(|record| record.labels().map(|label| label.as_str()).collect()).unwrap_or_default(),
        own: member.own,
    }
}

/// Milliseconds with three digits, which is as exact as anything here was measured.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The port of Consul's members of other data centres, and the one that stands for gossip where there is none.
const WAN_PORT: u16 = 8302;
const LAN_PORT: u16 = 8301;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConsulMember {
    name: String,
    addr: String,
    port: u16,
    tags: BTreeMap<&'static str, String>,
    status: u8,
    // What the present Consul tells; clients only check that they are there.
    protocol_min: u8,
    protocol_max: u8,
    protocol_cur: u8,
    delegate_min: u8,
    delegate_max: u8,
    delegate_cur: u8,
}

async fn consul_members(
    State(app): State<App>,
    Extension(view): Extension<View>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = scope::query(&uri, &headers, &view)?;
    let mut members = if app.state.handles.gossip.is_some() {
        let gossip = who::ask(&app, GossipCommand::View).await?;
        gossip.members.iter().map(|member| consul_member(&view, member)).collect()
    } else {
        vec![alone(&view)]
    };
    if query.has("wan") {
        for member in &mut members {
            let datacenter = member.tags.get("dc").map(|dc| format!(".{dc}")).unwrap_or_default();
            member.name += &datacenter;
            member.port = WAN_PORT;
        }
    }
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(consul::json(&query, &members))
}

/// The answering agent as it is among `/v1/agent/members`, and where it is.
pub(crate) async fn own(app: &App, view: &View) -> Result<(impl Serialize + use<>, Option<Coordinate>), ApiError> {
    if !app.state.handles.gossip.is_some() {
        return Ok((alone(view), None));
    }
    let gossip = who::ask(app, GossipCommand::View).await?;
    let own = gossip.members.iter().find(|member| member.own);
    Ok((own.map_or_else(|| alone(view), |own| consul_member(view, own)), own.and_then(|own| own.coordinate)))
}

/// The answering agent where there is no gossip.
fn alone(view: &View) -> ConsulMember {
    let node = &view.snapshot.local;
    let addr = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), LAN_PORT);
    shape(view, Some(node), node.record.origin.node_id(), None, addr, "alive")
}

fn consul_member(view: &View, member: &Member) -> ConsulMember {
    let node = who::node(&view.snapshot, member.id);
    shape(view, node, Some(member.id), member.name.as_ref(), member.addr, state(view, member))
}

/// `called` is its name where the catalog does not know it any more. `addr` is where it is where its record tells no address:
/// what stands for a leader is among these by its address.
fn shape(
    view: &View,
    node: Option<&Node>,
    id: Option<NodeId>,
    called: Option<&Name>,
    addr: SocketAddr,
    state: &str,
) -> ConsulMember {
    let record = node.map(|node| &*node.record);
    // Who is known by no name is found by the id that the other routes take.
    let nameless = || id.map(|id| id.to_string()).unwrap_or_default();
    let name = record.map(|record| &record.name).or(called).map_or_else(nameless, Name::to_string);
    // What Consul's tools take for the tags of a server.
    let fixed = [("role", "consul"), ("port", "8300"), ("vsn", "2"), ("vsn_min", "2"), ("vsn_max", "3")];
    let mut tags: BTreeMap<_, _> = fixed.into_iter().map(|(key, value)| (key, value.to_owned())).collect();
    tags.insert("id", id.map(|id| node::uuid(*id.as_bytes())).unwrap_or_default());
    let datacenter = record.and_then(|record| record.meta(meta::DATACENTER)).filter(|name| !name.is_empty());
    tags.insert("dc", datacenter.unwrap_or_else(|| node::datacenter(&view.snapshot)).to_owned());
    let build = record.and_then(|record| record.meta(meta::VERSION));
    tags.extend(build.map(|version| ("build", format!("{CONSUL_VERSION}:lobbyd-{version}"))));
    ConsulMember {
        name,
        addr: node.and_then(leader::address).unwrap_or(addr.ip()).to_string(),
        port: addr.port(),
        tags,
        status: consul_status(state),
        protocol_min: 1,
        protocol_max: 5,
        protocol_cur: 2,
        delegate_min: 2,
        delegate_max: 5,
        delegate_cur: 4,
    }
}

/// Consul's number of a member's state: 0 none, 1 alive, 2 leaving, 3 left, 4 failed.
fn consul_status(state: &str) -> u8 {
    match state {
        // Whom the catalog lists it does not call failed: AGENT_GRACE is for the agent to come back.
        "alive" | "suspect" | "unattended" | "stale" => 1,
        // It will be back in a moment, but it has said goodbye for now.
        "restarting" => 2,
        "left" => 3,
        "failed" => 4,
        _ => 0,
    }
}

#[derive(Serialize)]
struct Info<'a> {
    agent: AgentInfo<'a>,
    labels: Vec<&'a str>,
    exchanges: Vec<health::ExchangeHealth<'a>>,
    nodes: BTreeMap<&'static str, usize>,
    gossip: Option<GossipInfo>,
    events: Option<EventInfo>,
}

#[derive(Serialize)]
struct AgentInfo<'a> {
    name: &'a str,
    id: String,
    generation: u64,
    version: u64,
    lobbyd: &'a str,
    cluster: &'a str,
    datacenter: Option<&'a str>,
    addresses: Option<&'a str>,
    revision: u64,
    warm: bool,
    age: u64,
}

#[derive(Serialize)]
struct GossipInfo {
    address: Option<String>,
    members: BTreeMap<&'static str, usize>,
    #[serde(serialize_with = "numbers")]
    numbers: Vec<(&'static str, u64)>,
}

#[derive(Serialize)]
struct EventInfo {
    held: usize,
    seen: u64,
    ltime: u64,
}

fn numbers<S: Serializer>(numbers: &[(&'static str, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(numbers.iter().copied())
}

/// How often each state occurs.
fn count(states: impl Iterator<Item = &'static str>) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for state in states {
        *counts.entry(state).or_default() += 1;
    }
    counts
}

async fn info(State(app): State<App>, Extension(view): Extension<View>) -> Result<Response, ApiError> {
    let handle = &app.state.handles.gossip;
    let gossip = if handle.is_some() { Some(who::ask(&app, GossipCommand::View).await?) } else { None };
    let snapshot = &view.snapshot;
    let record = &*snapshot.local.record;
    let log = handle.events();
    let body = Info {
        agent: AgentInfo {
            name: record.name.as_str(),
            id: record.origin.node_id().map(|id| id.to_string()).unwrap_or_default(),
            generation: record.stamp.generation.0,
            version: record.stamp.version.0,
            lobbyd: &app.config().version,
            cluster: &app.config().cluster,
            datacenter: record.meta(meta::DATACENTER),
            addresses: record.meta(meta::ADDRESSES),
            revision: snapshot.revision.0,
            warm: snapshot.warm,
            age: snapshot.age(view.now).as_secs(),
        },
        labels: record.labels().map(|label| label.as_str()).collect(),
        exchanges: snapshot.links.iter().map(health::exchange_health).collect(),
        nodes: count(snapshot.nodes.values().map(|node| node.state.as_str())),
        events: gossip.as_ref().map(|_| EventInfo {
            held: log.events.len(),
            seen: log.n_seen,
            ltime: log.events.last().map_or(0, |event| event.ltime),
        }),
        gossip: gossip.map(|gossip| GossipInfo {
            address: gossip.members.iter().find(|member| member.own).map(|member| member.addr.to_string()),
            members: count(gossip.members.iter().filter(|member| is_known(&view, member)).map(|member| state(&view, member))),
            numbers: gossip.numbers,
        }),
    };
    Ok(answer::json(&body))
}
