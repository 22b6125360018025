//! Targets for Prometheus' HTTP service discovery, made of `prometheus:NAME:KEY:VALUE` labels.
//!
//! ```text
//! GET /v1/prometheus/:name    [{"Labels": {…}, "Targets": […]}], one group per host
//! ```
//! Bodies hold no seconds, so they are kept per revision and name. While the catalog is not warm an empty answer
//! is 503, because Prometheus keeps its old targets on an error.
//! Not here: the rules of the labels themselves, which are a pure function in [`target`].

use std::{collections::HashMap, sync::Arc};

use axum::{Extension, Router, extract::State, http::HeaderMap, response::Response, routing::get};
use lobby_core::id::Revision;

use crate::{
    App, View, answer,
    body::{self, Body},
    error::ApiError,
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
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let revision = view.snapshot.revision;
    let kept = app.state.targets.load();
    let body = match kept.bodies.get(&name).filter(|_| kept.revision == revision) {
        Some(body) => body.clone(),
        None => {
            let groups = target::groups(view.snapshot.hosts.values(), &name, app.config().node_exporter_port);
            if groups.is_empty() && !view.snapshot.warm {
                return Err(ApiError::NotWarm);
            }
            let body = Arc::new(Body::new(answer::pretty(&groups)));
            if !groups.is_empty() {
                keep(&app, revision, name, body.clone());
            }
            body
        }
    };
    Ok(body.answer(&headers, body::etag([revision.0])).await)
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
