//! Consul's read API: the health and catalog routes, each a question that can be waited on.
//!
//! ```text
//! GET /v1/health/{service,connect,ingress,checks,node,state}/:name
//! GET /v1/catalog/{datacenters,nodes,services}
//! GET /v1/catalog/{service,connect,node,node-services,gateway-services}/:name
//!
//! request ─► Question ─► index of the snapshot; not yet beyond `?index=`: wait (`watch`) ─► body of that snapshot (`cache`)
//! ```
//! A name is the rest of the path, decoded and not normalised. All that can be wrong with a request is refused first. Equal
//! questions to one snapshot share one body, whoever asks and however long they waited.
//! Not here: what the lists hold (`list`), the parameters (`param`), who is woken (`watch`).

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Uri, header},
    response::Response,
    routing::get,
};
use lobby_core::{
    catalog::Snapshot,
    check::Status,
    expr::{Filter, FilterError},
    id::Origin,
};

use crate::{
    App, View,
    body::Body,
    consul::{self, Block, Place, Stop},
    coordinate,
    error::{ApiError, shown},
    parking::Parking,
    query::{self, Query},
    shape::{CatalogService, Check, HealthEntry, Node, Service},
    watch::Topic,
};

pub(crate) mod cache;
mod list;
pub(crate) mod node;
pub(crate) mod param;

use list::{Distances, List};
use node::Fleet;
use param::{Asked, Params};

const CACHE: HeaderName = HeaderName::from_static("x-cache");

/// Above this many instances, checks and nodes a body is made on a thread of its own: about 2 ms of work.
const ASIDE: usize = 1000;

/// What is asked, beside the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    HealthService,
    HealthConnect,
    HealthIngress,
    HealthChecks,
    HealthNode,
    HealthState,
    Datacenters,
    Nodes,
    Services,
    Service,
    Connect,
    Node,
    NodeServices,
    GatewayServices,
}

/// Routes that end with a name, and what the name is called where it is missing.
const NAMED: &[(&str, Kind, &str)] = &[
    ("/v1/health/service", Kind::HealthService, "service name"),
    ("/v1/health/connect", Kind::HealthConnect, "service name"),
    ("/v1/health/ingress", Kind::HealthIngress, "service name"),
    ("/v1/health/checks", Kind::HealthChecks, "service name"),
    ("/v1/health/node", Kind::HealthNode, "node name"),
    ("/v1/health/state", Kind::HealthState, "state"),
    ("/v1/catalog/service", Kind::Service, "service name"),
    ("/v1/catalog/connect", Kind::Connect, "service name"),
    ("/v1/catalog/node", Kind::Node, "node name"),
    ("/v1/catalog/node-services", Kind::NodeServices, "node name"),
    ("/v1/catalog/gateway-services", Kind::GatewayServices, "gateway name"),
];

const PLAIN: &[(&str, Kind)] = &[
    ("/v1/catalog/datacenters", Kind::Datacenters),
    ("/v1/catalog/nodes", Kind::Nodes),
    ("/v1/catalog/services", Kind::Services),
];

/// Parameters that no body depends on.
const ASIDE_FROM_THE_BODY: &[&str] =
    &["index", "wait", "hash", "token", "dc", "stale", "consistent", "leader", "cached", "max_stale", "merge-central-config"];

/// What is looked at, which is all that who waits has to know.
#[derive(Clone, Debug)]
struct Subject {
    kind: Kind,
    name: Box<str>,
}

/// All that a body depends on, but for the snapshot.
#[derive(Debug)]
struct Question {
    subject: Subject,
    states: Vec<Status>,
    params: Params,
    /// Equal questions have equal keys.
    key: String,
}

pub(crate) fn routes() -> Router<App> {
    let mut router = Router::new();
    for &(path, kind) in PLAIN {
        let handler = async move |State(app): State<App>, (stop, parking): (Stop, Parking), headers: HeaderMap, uri: Uri| {
            read(app, (stop, parking), &headers, &uri, kind, String::new()).await
        };
        router = router.route(path, get(handler));
    }
    for &(path, kind, what) in NAMED {
        let handler = async move |State(app): State<App>, (stop, parking): (Stop, Parking), headers: HeaderMap, uri: Uri| {
            let name = rest(&uri, path)?;
            if name.is_empty() {
                return Err(ApiError::Missing(what));
            }
            read(app, (stop, parking), &headers, &uri, kind, name).await
        };
        router = router.route(path, get(handler)).route(&format!("{path}/"), get(handler));
        router = router.route(&format!("{path}/{{*name}}"), get(handler));
    }
    router
}

/// The rest of the path, decoded and otherwise as it is.
fn rest(uri: &Uri, path: &str) -> Result<String, ApiError> {
    let text = uri.path().strip_prefix(path).unwrap_or_default();
    let name = query::segment(text.strip_prefix('/').unwrap_or_default()).map_err(ApiError::Path)?;
    if name.chars().any(char::is_control) { Err(ApiError::PathControl(shown(&name))) } else { Ok(name.into_owned()) }
}

async fn read(
    app: App,
    (stop, parking): (Stop, Parking),
    headers: &HeaderMap,
    uri: &Uri,
    kind: Kind,
    name: String,
) -> Result<Response, ApiError> {
    let text = uri.query().unwrap_or_default();
    let query = query::parse(text)?;
    consul::check_datacenter(&query, &app.view())?;
    param::check_tenancy(&query, headers)?;
    let asked = Asked::from_request(&query, headers)?;
    let block = Block::from_query(&query)?;
    let (question, mut filter) = Question::new(kind, name, &query, uri)?;
    let question = Arc::new(question);
    let waits =
        |block: &Block| parking != Parking::Over && kind != Kind::Datacenters && !question.subject.is_news(&app, block.index);
    if let Some(block) = block.filter(waits) {
        app.state.watches.run(&app.state.handles.reader);
        let news = news(Place::take(&app)?, app.clone(), question.subject.clone(), block.index);
        if parking == Parking::Free {
            return Ok(block.park(news));
        }
        // Who waits keeps the text alone; it is compiled again for the answer, once for all who ask the same.
        filter = None;
        block.until(stop, news).await;
    }
    let view = app.view();
    let body = body(&app, &view, &question, filter).await;
    let response = body.encoded(headers, HeaderValue::from_static("application/json")).await;
    let response = match kind {
        Kind::Datacenters => response,
        _ => consul::indexed(response, question.subject.index(&view.snapshot)),
    };
    let mut response = param::told(response, asked.consistency);
    if asked.cached {
        let headers = response.headers_mut();
        headers.insert(CACHE, HeaderValue::from_static("HIT"));
        headers.insert(header::AGE, HeaderValue::from_static("0"));
    }
    Ok(response)
}

/// Waits until the index of what is looked at is beyond the one that the client has seen.
async fn news(_place: Place, app: App, subject: Subject, seen: u64) {
    let waiting = app.state.watches.wait_for(subject.topics());
    waiting.news(|| subject.is_news(&app, seen)).await;
}

/// The body of a question, made once for all who ask the same of the same snapshot. `filter` is that of the question, if it
/// is still there from when the request was read.
async fn body(app: &App, view: &View, question: &Arc<Question>, filter: Option<Filter>) -> Arc<Body> {
    let make = async || {
        let distances = match &question.params.near {
            // Who is near whom is a wish; whoever cannot be placed comes last, and if nobody can, nothing is moved.
            Some(near) => coordinate::distances(app, &view.snapshot, near).await.unwrap_or_default(),
            None => Distances::new(),
        };
        let (snapshot, question, app) = (view.snapshot.clone(), question.clone(), app.clone());
        app.counters().renderings.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let aside = question.size(&snapshot) > ASIDE;
        let make = move || {
            let filter = filter.or_else(|| question.bound());
            Body::new(question.render(&Fleet::new(&snapshot, &app.config().cluster), &distances, filter.as_ref()))
        };
        // The task only fails when the agent stops, and then nobody waits for the body.
        if aside { tokio::task::spawn_blocking(make).await.unwrap_or_else(|_| Body::new(Vec::new())) } else { make() }
    };
    match &question.params.near {
        // Distances move without a snapshot: what is near is true for a second.
        Some(_) => app.state.bodies.body(&view.snapshot, &format!("{} {}", view.now.wall.0, question.key), make).await,
        None => app.state.bodies.body(&view.snapshot, &question.key, make).await,
    }
}

impl Kind {
    /// Reads a filter over what is listed.
    fn bind(self, text: &str) -> Result<Option<Filter>, FilterError> {
        match self {
            Self::HealthService | Self::HealthConnect | Self::HealthIngress => Filter::parse::<HealthEntry<'_>>(text),
            Self::HealthChecks | Self::HealthNode | Self::HealthState => Filter::parse::<Check<'_>>(text),
            Self::Nodes => Filter::parse::<Node<'_>>(text),
            Self::Services | Self::Service | Self::Connect => Filter::parse::<CatalogService<'_>>(text),
            Self::Node | Self::NodeServices => Filter::parse::<Service<'_>>(text),
            Self::Datacenters | Self::GatewayServices => return Ok(None),
        }
        .map(Some)
    }
}

impl Subject {
    /// Whether the newest index is beyond this one.
    fn is_news(&self, app: &App, seen: u64) -> bool {
        self.index(&app.state.handles.reader.snapshot()) > seen
    }

    /// The revision at which the answer last changed. What a request leaves out of a list does not matter.
    fn index(&self, snapshot: &Snapshot) -> u64 {
        let (tables, name) = (snapshot.tables, &*self.name);
        let index = match self.kind {
            Kind::HealthService | Kind::HealthChecks | Kind::Service if self.is_server() => {
                snapshot.service_index(name).max(tables.nodes)
            }
            Kind::HealthService | Kind::HealthChecks | Kind::Service => snapshot.service_index(name),
            // Of gateways there are none; the index of the name stands still then.
            Kind::HealthIngress | Kind::GatewayServices => snapshot.service_index(name),
            // A proxy may be called anything, and what it is a proxy for is in no table.
            Kind::HealthConnect | Kind::Connect => snapshot.revision,
            // Where the service `consul` is raises no node's index: it would wake all who look at any node.
            Kind::HealthNode | Kind::Node | Kind::NodeServices => match node::parse_id(name) {
                Some(id) if snapshot.offers_by_name(name).next().is_none() => {
                    snapshot.offers.get(&Origin::Node(id)).map_or(tables.nodes, |offers| offers.index)
                }
                _ => snapshot.node_index(name),
            },
            // The indexes of `serfHealth` are those of its node.
            Kind::HealthState => tables.checks.max(tables.nodes),
            Kind::Nodes | Kind::Datacenters => tables.nodes,
            Kind::Services => tables.services,
        };
        index.0
    }

    /// What moves when the index rises.
    fn topics(&self) -> (Topic, Option<Topic>) {
        let name = || self.name.to_ascii_lowercase().into_boxed_str();
        match self.kind {
            Kind::HealthService | Kind::HealthChecks | Kind::Service if self.is_server() => {
                (Topic::Service(name()), Some(Topic::Nodes))
            }
            Kind::HealthService | Kind::HealthChecks | Kind::Service | Kind::HealthIngress | Kind::GatewayServices => {
                (Topic::Service(name()), None)
            }
            Kind::HealthConnect | Kind::Connect => (Topic::All, None),
            Kind::HealthNode | Kind::Node | Kind::NodeServices => {
                (Topic::Node(name()), node::parse_id(&self.name).map(Topic::Id))
            }
            Kind::HealthState => (Topic::Checks, Some(Topic::Nodes)),
            Kind::Nodes | Kind::Datacenters => (Topic::Nodes, None),
            Kind::Services => (Topic::Services, None),
        }
    }

    /// Asked for the service that stands for Consul's servers, which moves with the nodes.
    fn is_server(&self) -> bool {
        self.name.eq_ignore_ascii_case(node::CONSUL)
    }
}

impl Question {
    /// With its filter, bound to what the route lists.
    fn new(kind: Kind, name: String, query: &Query<'_>, uri: &Uri) -> Result<(Self, Option<Filter>), ApiError> {
        let states = if kind == Kind::HealthState { param::state(&name)?.unwrap_or_default() } else { Vec::new() };
        let params = Params::from_query(query)?;
        let filter = params.filter.as_deref().map_or(Ok(None), |text| kind.bind(text))?;
        let pairs = uri.query().unwrap_or_default().split('&');
        let of_body = pairs.filter(|pair| !ASIDE_FROM_THE_BODY.contains(&pair.split('=').next().unwrap_or_default()));
        // Two spellings of one question are two questions, which costs a body and nothing else.
        let key = of_body.fold(uri.path().to_owned(), |key, pair| key + "&" + pair);
        Ok((Self { subject: Subject { kind, name: name.into() }, states, params, key }, filter))
    }

    /// Its filter, bound once more. What was bound before is never refused.
    fn bound(&self) -> Option<Filter> {
        self.params.filter.as_deref().and_then(|text| self.subject.kind.bind(text).ok().flatten())
    }

    /// About how many instances, checks and nodes have to be looked at.
    fn size(&self, snapshot: &Snapshot) -> usize {
        match self.subject.kind {
            Kind::HealthService | Kind::HealthChecks | Kind::Service => {
                snapshot.service(&self.subject.name).map_or(0, |view| view.instances.len())
            }
            Kind::HealthNode | Kind::Node | Kind::NodeServices => {
                snapshot.offers_by_name(&self.subject.name).map(|offers| offers.instances.len() + offers.checks.len()).sum()
            }
            Kind::HealthIngress | Kind::GatewayServices | Kind::Datacenters => 0,
            _ => snapshot.offers.values().map(|offers| 1 + offers.instances.len() + offers.checks.len()).sum(),
        }
    }

    fn render(&self, fleet: &Fleet<'_>, distances: &Distances, filter: Option<&Filter>) -> Vec<u8> {
        let list = List { fleet: *fleet, params: &self.params, filter, distances };
        let name = &*self.subject.name;
        match self.subject.kind {
            Kind::HealthService => list.health(name, false),
            Kind::HealthConnect => list.health(name, true),
            Kind::HealthIngress | Kind::GatewayServices => list.nothing(),
            Kind::HealthChecks => list.checks(name),
            Kind::HealthNode => list.node_checks(name),
            Kind::HealthState => list.state(&self.states),
            Kind::Datacenters => list.datacenters(),
            Kind::Nodes => list.nodes(),
            Kind::Services => list.services(),
            Kind::Service => list.catalog(name, false),
            Kind::Connect => list.catalog(name, true),
            Kind::Node => list.node(name),
            Kind::NodeServices => list.node_services(name),
        }
    }
}
