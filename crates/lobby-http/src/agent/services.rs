//! The instances of the own node: those that are registered here, and those that its labels make.
//!
//! ```text
//! GET /v1/agent/services?filter=             {id: instance}
//! GET /v1/agent/service/:id?hash=&wait=      one, with a hash that can be waited on
//! ```
//! Neither has an index. Not here: instances of others (Consul's catalog), the selectors of a filter (`filter`).

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use axum::{
    Extension, Router,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Uri},
    response::Response,
    routing::get,
};
use lobby_core::{instance::Id, port::registry::LocalInstance};

use super::{Own, datacenter, takes};
use crate::{
    App, View,
    consul::{self, Block, Stop},
    error::{ApiError, shown},
    path::{RestId, below},
    scope,
    shape::AgentService,
};

const CONTENT_HASH: HeaderName = HeaderName::from_static("x-consul-contenthash");

pub(super) fn routes() -> Router<App> {
    below(Router::new().route("/v1/agent/services", get(services)), "/v1/agent/service/", get(service))
}

async fn services(
    State(app): State<App>,
    Extension(view): Extension<View>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = scope::query(&uri, &headers, &view)?;
    let own = Own::new(&app, &view);
    let datacenter = datacenter(&view);
    let filter = super::filter::<AgentService<'_>>(&query)?;
    let services = own.instances().into_iter().map(|(id, instance)| (id.as_str(), own.service(instance, datacenter)));
    let services: BTreeMap<_, _> = services.filter(|(_, service)| takes(&filter, service)).collect();
    Ok(consul::json(&query, &services))
}

async fn service(
    State(app): State<App>,
    Extension(mut view): Extension<View>,
    stop: Stop,
    RestId(id): RestId<3>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = scope::query(&uri, &headers, &view)?;
    if let Some((seen, block)) = Block::from_hash(&query)? {
        block.hold(&app, stop, other(&app, &id, seen)).await?;
        view = app.view();
    }
    let own = Own::new(&app, &view);
    let unknown = || ApiError::NotHere { field: "unknown service ID", value: shown(id.as_str()) };
    let instance = own.instance(&id).ok_or_else(unknown)?;
    let mut service = own.service(instance, datacenter(&view));
    let hash = hash(&service);
    service.content_hash = Some(hash.clone());
    let mut response = consul::json(&query, &service);
    let value = HeaderValue::try_from(hash).expect("hexadecimal digits are a header value");
    response.headers_mut().insert(CONTENT_HASH, value);
    response.extensions_mut().insert(consul::Waited);
    Ok(response)
}

/// What a registered instance is shown from, beside the node: itself, and whether all of the node takes nothing new.
type Shown = (Arc<LocalInstance>, bool);

/// Waits until the instance has another hash than the one that was seen, or is not there.
async fn other(app: &App, id: &Id, seen: &str) {
    let mut registered = app.state.handles.registry.watch();
    let mut reader = app.state.handles.reader.clone();
    let mut last: Option<Shown> = None;
    loop {
        let local = {
            let local = registered.borrow_and_update();
            local.instances.get(id).map(|instance| (instance.clone(), local.is_draining))
        };
        let is_same = |(last, now): (&Shown, &Shown)| Arc::ptr_eq(&last.0, &now.0) && last.1 == now.1;
        // Most changes are of others, and keep this one as it is.
        if !last.as_ref().zip(local.as_ref()).is_some_and(is_same) {
            let view = app.view();
            let own = Own::new(app, &view);
            let now = own.instance(id).map(|instance| hash(&own.service(instance, datacenter(&view))));
            if now.as_deref() != Some(seen) {
                return;
            }
        }
        last = local;
        tokio::select! {
            () = consul::changed(&mut registered) => {}
            // Labels make it, and may change it.
            changed = reader.changed(), if last.is_none() => if changed.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The same for the same instance, as long as the agent runs.
fn hash(service: &AgentService<'_>) -> String {
    let bytes = serde_json::to_vec(service).expect("maps with text keys, lists, texts and numbers always serialise");
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
