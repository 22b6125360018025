//! Consul's `status`: who leads. Nobody does; see `leader`.
//!
//! ```text
//! GET /v1/status/leader    "10.0.0.7:8300"
//! GET /v1/status/peers     ["10.0.0.7:8300"]
//! ```
//! Not here: who stands for a leader (`leader`).

use axum::{
    Extension, Router,
    http::{HeaderMap, Uri},
    response::Response,
    routing::get,
};

use crate::{App, View, consul, error::ApiError, leader, scope};

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/status/leader", get(leader_address)).route("/v1/status/peers", get(peers))
}

async fn leader_address(Extension(view): Extension<View>, uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    let query = scope::query(&uri, &headers, &view)?;
    Ok(consul::json(&query, &leader::leader(&view.snapshot).address()))
}

async fn peers(Extension(view): Extension<View>, uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    let query = scope::query(&uri, &headers, &view)?;
    Ok(consul::json(&query, &[leader::leader(&view.snapshot).address()]))
}
