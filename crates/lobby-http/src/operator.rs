//! Verbs that steer the agent itself and its membership.
//!
//! ```text
//! PUT /v1/agent/reload               reads label sources and configuration again
//! PUT /v1/agent/leave                says goodbye and stops the agent
//! PUT /v1/agent/join/:addresses      contacts these, a comma list, and keeps them as seeds; ?verbose tells what came of it
//! PUT /v1/agent/force-leave/:node    makes everybody forget a failed node, ?prune without a trace; ?strict refuses a live one
//! ```
//! Without more they answer as Consul: an empty body, and 200 also for a node that is alive, which would only contradict.
//! All may also be POSTed. Who may: `access::operator`, which stands before these routes.

use std::{collections::BTreeSet, fmt::Write};

use axum::{Extension, Router, extract::State, http::Uri, response::Response, routing::put};
use lobby_core::port::gossip::{self, GossipCommand, GossipError, JoinOutcome};
use serde::Serialize;

use crate::{
    App, View, agent, answer, consul,
    error::{ApiError, shown},
    query,
    receive::Segment,
    who,
};

/// Addresses of one join.
const ADDRESSES: usize = 64;

/// Longest address: the longest DNS name and a port.
const ADDRESS_BYTES: usize = 253 + 6;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/agent/reload", put(reload).post(reload))
        .route("/v1/agent/leave", put(leave).post(leave))
        .route("/v1/agent/join/{name}", put(join).post(join))
        .route("/v1/agent/force-leave/{name}", put(force_leave).post(force_leave))
}

async fn reload(State(app): State<App>) -> Result<Response, ApiError> {
    app.state.handles.commands.reload().await?;
    Ok(agent::done())
}

async fn leave(State(app): State<App>) -> Result<Response, ApiError> {
    app.state.handles.commands.leave().await?;
    Ok(agent::done())
}

#[derive(Serialize)]
struct Joined {
    reached: BTreeSet<String>,
    failed: Vec<NotReached>,
}

#[derive(Serialize)]
struct NotReached {
    address: String,
    why: String,
}

async fn join(State(app): State<App>, Segment(text): Segment, uri: Uri) -> Result<Response, ApiError> {
    let query = query::parse(uri.query().unwrap_or_default())?;
    let addresses: Vec<_> = text.split(',').map(str::trim).filter(|address| !address.is_empty()).map(str::to_owned).collect();
    let bad = |why| ApiError::Gossip(GossipError::Invalid { field: "address", why });
    if addresses.is_empty() || addresses.len() > ADDRESSES {
        return Err(bad(format!("{} given; 1 to {ADDRESSES} are accepted", addresses.len())));
    }
    if let Some(long) = addresses.iter().find(|address| address.len() > ADDRESS_BYTES) {
        return Err(bad(format!("{:?}… is too long; at most {ADDRESS_BYTES} bytes are accepted", shown(long))));
    }
    if let Some(wrong) = addresses.iter().find(|address| !gossip::is_seed(address)) {
        return Err(bad(format!("{:?}: expected {}", shown(wrong), gossip::SEED)));
    }
    let outcome = who::ask(&app, |answer| GossipCommand::Join(addresses, answer)).await?;
    if outcome.reached.is_empty() {
        return Err(ApiError::NotJoined(reasons(&outcome)));
    }
    if !query.has("verbose") {
        return Ok(agent::done());
    }
    Ok(answer::json(&Joined {
        reached: outcome.reached.iter().map(ToString::to_string).collect(),
        failed: outcome.failed.into_iter().map(|(address, why)| NotReached { address, why }).collect(),
    }))
}

/// Why nobody was reached, in one line.
fn reasons(outcome: &JoinOutcome) -> String {
    let mut text = String::new();
    for (address, why) in &outcome.failed {
        let between = if text.is_empty() { "" } else { "; " };
        write!(text, "{between}{}: {}", shown(address), shown(why)).expect("writing to a text does not fail");
    }
    if text.is_empty() { "no address was tried".to_owned() } else { text }
}

async fn force_leave(
    State(app): State<App>,
    Extension(view): Extension<View>,
    Segment(node): Segment,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = query::parse(uri.query().unwrap_or_default())?;
    consul::check_datacenter(&query, &view)?;
    who::gossips(&app)?;
    let id = who::one(&view.snapshot, &node)?;
    match who::ask(&app, |answer| GossipCommand::ForceLeave { id, prune: query.has("prune"), answer }).await {
        Err(ApiError::Gossip(GossipError::Alive(name))) if !query.has("strict") => {
            tracing::info!(node = %name, "not made to leave: it is alive");
            Ok(agent::done())
        }
        done => done.map(|()| agent::done()),
    }
}
