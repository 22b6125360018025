//! The checks that are registered here.
//!
//! ```text
//! GET /v1/agent/checks?filter=    {id: check}; maintenance is among them, `serfHealth` never
//! ```
//! Outputs are whole here; others are told a part. Not here: the selectors of a filter (`filter`).

use std::collections::BTreeMap;

use axum::{
    Extension, Router,
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
    routing::get,
};

use super::{Own, takes};
use crate::{App, View, consul, error::ApiError, scope, shape::Check};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/v1/agent/checks", get(checks))
}

async fn checks(
    State(app): State<App>,
    Extension(view): Extension<View>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = scope::query(&uri, &headers, &view)?;
    let filter = super::filter::<Check<'_>>(&query)?;
    let own = Own::new(&app, &view);
    let node = view.snapshot.local.record.name.as_str();
    let checks = own.local().checks.values().map(|check| (check.id.as_str(), own.check(node, check)));
    let checks: BTreeMap<_, _> = checks.filter(|(_, check)| takes(&filter, check)).collect();
    Ok(consul::json(&query, &checks))
}
