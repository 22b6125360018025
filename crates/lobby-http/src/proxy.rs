//! The local proxy of this agent, as it is now.
//!
//! ```text
//! GET /v1/proxy    {services: [{name, backends, held, trouble}], haproxy, nginx, files, nerve}    404 where there is none
//! ```
//! Not here: what it does, and the shape of what it says (the proxy, which this crate does not know); its numbers for alarms
//! (`metrics::proxy`).

use axum::{extract::State, response::Response};

use crate::{App, answer, error::ApiError};

pub(crate) async fn status(State(app): State<App>) -> Result<Response, ApiError> {
    let status = app.state.handles.proxy.as_ref().map(|read| read()).filter(|status| !status.is_null());
    Ok(answer::json(&status.ok_or(ApiError::NoProxy)?))
}
