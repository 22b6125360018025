//! Verbs that steer the agent itself and its membership.
//!
//! ```text
//! PUT /v1/agent/reload               reads label sources and configuration again
//! PUT /v1/agent/leave                says goodbye and stops the agent
//! PUT /v1/agent/join/:addresses      contacts these, a comma list, and keeps them as seeds
//! PUT /v1/agent/force-leave/:node    makes everybody forget a failed node, ?prune without a trace
//! ```
//! The last two may also be POSTed. Who may: `access::operator`, which stands before these routes.

use std::{
    collections::BTreeSet,
    fmt::Write,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use axum::{Extension, Router, extract::State, http::Uri, response::Response, routing::put};
use lobby_core::port::gossip::{GossipCommand, GossipError, JoinOutcome};
use serde::Serialize;

use crate::{
    App, View, answer, consul,
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
        .route("/v1/agent/reload", put(reload))
        .route("/v1/agent/leave", put(leave))
        .route("/v1/agent/join/{name}", put(join).post(join))
        .route("/v1/agent/force-leave/{name}", put(force_leave).post(force_leave))
}

async fn reload(State(app): State<App>) -> Result<Response, ApiError> {
    app.state.handles.commands.reload().await?;
    Ok(answer::ok())
}

async fn leave(State(app): State<App>) -> Result<Response, ApiError> {
    app.state.handles.commands.leave().await?;
    Ok(answer::ok())
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

async fn join(State(app): State<App>, Segment(text): Segment) -> Result<Response, ApiError> {
    let addresses: Vec<_> = text.split(',').map(str::trim).filter(|address| !address.is_empty()).map(str::to_owned).collect();
    let bad = |why| ApiError::Gossip(GossipError::Invalid { field: "address", why });
    if addresses.is_empty() || addresses.len() > ADDRESSES {
        return Err(bad(format!("{} given; 1 to {ADDRESSES} are accepted", addresses.len())));
    }
    if let Some(long) = addresses.iter().find(|address| address.len() > ADDRESS_BYTES) {
        return Err(bad(format!("{:?}… is too long; at most {ADDRESS_BYTES} bytes are accepted", shown(long))));
    }
    if let Some(wrong) = addresses.iter().find(|address| !is_address(address)) {
        let want = "expected host, host:port, an IP address with or without a port, or _name._tcp.domain";
        return Err(bad(format!("{:?}: {want}", shown(wrong))));
    }
    let outcome = who::ask(&app, |answer| GossipCommand::Join(addresses, answer)).await?;
    if outcome.reached.is_empty() {
        return Err(ApiError::NotJoined(reasons(&outcome)));
    }
    Ok(answer::json(&Joined {
        reached: outcome.reached.iter().map(ToString::to_string).collect(),
        failed: outcome.failed.into_iter().map(|(address, why)| NotReached { address, why }).collect(),
    }))
}

/// Whether it may be a seed as GOSSIP_JOIN takes it. Whether there is such a host is for the resolver to say.
fn is_address(text: &str) -> bool {
    if text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok_and(|addr| addr.port() != 0) {
        return true;
    }
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Some(ip) = bracketed {
        return ip.parse::<Ipv6Addr>().is_ok();
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let in_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0);
    !host.is_empty() && host.chars().all(in_host) && port.is_none_or(is_port)
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
    who::ask(&app, |answer| GossipCommand::ForceLeave { id, prune: query.has("prune"), answer }).await?;
    Ok(answer::ok())
}
