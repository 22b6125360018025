//! Verbs that steer the agent itself. Each answers `OK` when it is done.
//!
//! ```text
//! PUT /v1/agent/reload    reads label sources and configuration again
//! PUT /v1/agent/leave     says goodbye and stops the agent
//! ```
//! Who may: `access::operator`, which stands before these routes.

use axum::{Router, extract::State, response::Response, routing::put};

use crate::{App, answer, error::ApiError};

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/agent/reload", put(reload)).route("/v1/agent/leave", put(leave))
}

async fn reload(State(app): State<App>) -> Result<Response, ApiError> {
    app.state.handles.commands.reload().await?;
    Ok(answer::ok())
}

async fn leave(State(app): State<App>) -> Result<Response, ApiError> {
    app.state.handles.commands.leave().await?;
    Ok(answer::ok())
}
