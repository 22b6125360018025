//! Lobby's own REST, with exactly the old daemon's bodies.
//!
//! ```text
//! GET    /                 GET /v1   GET /v1/    whole packets, ?labels=a,b or ?prefixes=a,b
//! GET    /v1/discoveries                         the same, but only matching labels are shown
//! GET    /v1/discovery                           the local packet
//! GET    /v1/resolve?label=L                     names of the hosts that carry L
//! POST   /v1/labels                              adds runtime labels, one a line; ?wait=10s: until they are applied
//! DELETE /v1/labels                              removes runtime labels, one a line; the same
//! ```
//! The unfiltered list is rendered once per revision and second and shared by all answers.
//! Not here: how a packet is rendered (`lobby_core::wire::rest`), which hosts a filter takes (`lobby_core::select`).

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderMap, Uri},
    response::Response,
    routing::{get, post},
};
use lobby_core::{
    catalog::Host,
    id::Revision,
    label::Label,
    select::Selector,
    time::WallSecond,
    wire::rest::{self, Packet},
};

use crate::{
    App, View, answer,
    ask::applied::Wait,
    body::{self, Body},
    consul::Stop,
    error::{ApiError, shown},
    query, receive,
};

/// The rendered list of everybody.
pub(crate) struct ListBody {
    revision: Revision,
    second: WallSecond,
    body: Body,
}

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(packets))
        .route("/v1", get(packets))
        .route("/v1/", get(packets))
        .route("/v1/discoveries", get(discoveries))
        .route("/v1/discovery", get(discovery))
        .route("/v1/resolve", get(resolve))
        .route("/v1/labels", post(add_labels).delete(remove_labels))
}

/// Which labels of a host that a filter took are shown.
#[derive(Clone, Copy)]
enum Shown {
    All,
    Matching,
}

async fn packets(app: State<App>, view: Extension<View>, uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    list(&app, &view, &uri, &headers, Shown::All).await
}

async fn discoveries(app: State<App>, view: Extension<View>, uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    list(&app, &view, &uri, &headers, Shown::Matching).await
}

async fn list(app: &App, view: &View, uri: &Uri, headers: &HeaderMap, shown: Shown) -> Result<Response, ApiError> {
    let query = query::parse(uri.query().unwrap_or_default())?;
    let selector = Selector::from_query(query.get("labels"), query.get("prefixes"));
    let etag = body::etag([view.snapshot.revision.0, view.now.wall.0]);
    if selector == Selector::All {
        return Ok(everybody(app, view).body.answer(headers, etag).await);
    }
    let hosts = view.snapshot.hosts.values().map(|host| &**host).filter(|host| selector.takes(host));
    let plain = match shown {
        Shown::All => rest::list(hosts, view.now),
        Shown::Matching => rest::list_of_matches(hosts.map(|host| (host, selector.matching(host))), view.now),
    };
    Ok(Body::new(plain).answer(headers, etag).await)
}

/// The list of everybody. Several requests at the start of a second may each render it; the last one stays.
fn everybody(app: &App, view: &View) -> Arc<ListBody> {
    let (revision, second) = (view.snapshot.revision, view.now.wall);
    if let Some(list) = &*app.state.lists.load()
        && list.revision == revision
        && list.second == second
    {
        return list.clone();
    }
    let body = Body::new(rest::list(view.snapshot.hosts.values().map(|host| &**host), view.now));
    let list = Arc::new(ListBody { revision, second, body });
    app.state.lists.store(Some(list.clone()));
    list
}

async fn discovery(Extension(view): Extension<View>, headers: HeaderMap) -> Response {
    let record = &view.snapshot.local.record;
    let packet = Packet {
        hostname: record.name.as_str().to_owned(),
        labels: record.labels().map(|label| label.as_str().to_owned()).collect(),
        last_check: view.snapshot.local.last_check(view.now).0,
    };
    // Not the revision: an agent that is not listed changes without one.
    let etag = body::etag([record.stamp.generation.0, record.stamp.version.0, packet.last_check]);
    Body::new(answer::pretty(&packet)).answer(&headers, etag).await
}

async fn resolve(Extension(view): Extension<View>, uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    let query = query::parse(uri.query().unwrap_or_default())?;
    let label = query.get("label").unwrap_or_default();
    let carries = |host: &&Arc<Host>| host.labels.binary_search_by(|other| other.as_str().cmp(label)).is_ok();
    let names: Vec<_> = view.snapshot.hosts.values().filter(carries).map(|host| host.name.as_str()).collect();
    Ok(Body::new(answer::pretty(&names)).answer(&headers, body::etag([view.snapshot.revision.0])).await)
}

async fn add_labels(State(app): State<App>, stop: Stop, request: Request) -> Result<Response, ApiError> {
    change_labels(&app, stop, request, true).await
}

async fn remove_labels(State(app): State<App>, stop: Stop, request: Request) -> Result<Response, ApiError> {
    change_labels(&app, stop, request, false).await
}

async fn change_labels(app: &App, stop: Stop, request: Request, adds: bool) -> Result<Response, ApiError> {
    let query = request.uri().query().unwrap_or_default();
    // What the old daemon did not read is not judged.
    let wait = if query.contains("wait=") { Wait::from_query(app, query)? } else { None };
    let labels = labels(app, request).await?;
    match (labels.is_empty(), adds) {
        (true, _) => {}
        (false, true) => app.state.handles.commands.add_labels(labels).await?,
        (false, false) => app.state.handles.commands.remove_labels(labels).await?,
    }
    match wait {
        Some(wait) => wait.answer(app, stop).await,
        None => Ok(answer::ok()),
    }
}

/// The labels of a body, sorted, each once. One bad line refuses them all.
async fn labels(app: &App, request: Request) -> Result<Vec<Label>, ApiError> {
    let bytes = receive::body(app, request.into_body(), app.config().limits.body_bytes).await?;
    let text = std::str::from_utf8(&bytes).map_err(|_| ApiError::NotText("one label a line"))?;
    let lines = Label::split_lines(text);
    let bad = |(line, source)| ApiError::Label { line: shown(line), source };
    let mut labels = lines.map(|line| line.map_err(bad)).collect::<Result<Vec<_>, _>>()?;
    labels.sort();
    labels.dedup();
    Ok(labels)
}
