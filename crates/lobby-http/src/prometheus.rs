//! Targets for Prometheus' HTTP service discovery, made of `prometheus:NAME:KEY:VALUE` labels.
//!
//! ```text
//! GET /v1/prometheus/:name    [{"Labels": {…}, "Targets": […]}], one group per host
//! ```
//! With `?where=SELECTOR` only hosts with a node that it takes. Bodies hold no seconds, so they are kept per revision and name. While the catalog is not warm an empty answer
//! is 503, because Prometheus keeps its old targets on an error.
//! Not here: the rules of the labels themselves, which are a pure function in [`target`].

use std::{collections::HashMap, sync::Arc};

use axum::{
    Extension, Router,
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
    routing::get,
};
use lobby_core::{
    catalog::{Host, subject::NodeSubject},
    id::Revision,
    selector::Selector,
};

use crate::{
    App, View, answer,
    body::{self, Body},
    error::ApiError,
    query,
    receive::Segment,
};

pub mod target;

/// Names whose bodies are kept. Empty answers are not, so asking for made-up names drives no real one out.
const NAMES: usize = 64;

/// The rendered bodies of one revision.
#[derive(Default)]
pub(crate) struct Bodies {
    revision: Revision,
    bodies: HashMap<String, Arc<Body>>,
}

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/prometheus/{name}", get(targets))
}

async fn targets(
    State(app): State<App>,
    Extension(view): Extension<View>,
    Segment(name): Segment,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let revision = view.snapshot.revision;
    if let Some(selector) = query::parse(uri.query().unwrap_or_default())?.selector()? {
        // Whoever asks about some hosts asks about few: their body is not kept.
        let body = Body::new(answer::pretty(&groups(&app, &view, &name, Some(&selector))?));
        return Ok(body.answer(&headers, body::etag([revision.0])).await);
    }
    let kept = app.state.targets.load();
    let body = match kept.bodies.get(&name).filter(|_| kept.revision == revision) {
        Some(body) => body.clone(),
        None => {
            let groups = groups(&app, &view, &name, None)?;
            let body = Arc::new(Body::new(answer::pretty(&groups)));
            if !groups.is_empty() {
                keep(&app, revision, name, body.clone());
            }
            body
        }
    };
    Ok(body.answer(&headers, body::etag([revision.0])).await)
}

/// The groups of the hosts that the selector takes.
fn groups(app: &App, view: &View, name: &str, selector: Option<&Selector>) -> Result<Vec<target::Group>, ApiError> {
    let snapshot = &view.snapshot;
    let taken = |host: &&Arc<Host>| {
        let mut nodes = host.nodes.iter();
        selector.is_none_or(|selector| nodes.any(|node| selector.takes(&NodeSubject::new(snapshot, node))))
    };
    let groups = target::groups(snapshot.hosts.values().filter(taken), name, app.config().node_exporter_port);
    if groups.is_empty() && !snapshot.warm { Err(ApiError::NotWarm) } else { Ok(groups) }
}

/// Keeps a body for later requests. Of two requests that keep at the same time both win, by trying again.
fn keep(app: &App, revision: Revision, name: String, body: Arc<Body>) {
    app.state.targets.rcu(|kept| {
        let mut bodies = if kept.revision == revision { kept.bodies.clone() } else { HashMap::new() };
        if kept.revision > revision || bodies.len() >= NAMES {
            return kept.clone();
        }
        bodies.insert(name.clone(), body.clone());
        Arc::new(Bodies { revision, bodies })
    });
}
