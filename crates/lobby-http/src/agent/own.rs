//! Who the agent is, for Consul's clients, which ask at their start.
//!
//! ```text
//! GET /v1/agent/self       name, data centre, version, its member, its coordinate
//! GET /v1/agent/version    the version of Consul whose API we speak
//! GET /v1/agent/host       the machine, in few words
//! GET /v1/agent/metrics    an empty list; ?format=prometheus is ours (`metrics`)
//! ```
//! Not here: members (`members`), its log (`agent::monitor`), what Lobby itself says of the agent (`/v1/agent/info`).

use axum::{
    Extension, Router,
    extract::State,
    http::{HeaderMap, Uri, header},
    response::Response,
    routing::get,
};
use lobby_core::{coordinate::Coordinate, time::WallSecond};
use serde_json::{Value, json};

use super::{Own, datacenter};
use crate::{
    App, View,
    catalog_api::node::{CONSUL_VERSION, uuid},
    consul,
    error::ApiError,
    leader, members, metrics, scope,
};

/// The date that goes with the version; clients parse it.
const BUILD_DATE: &str = "2025-01-01T00:00:00Z";

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/agent/self", get(own))
        .route("/v1/agent/version", get(version))
        .route("/v1/agent/host", get(host))
        .route("/v1/agent/metrics", get(metrics))
}

type Asked = (State<App>, Extension<View>, Uri, HeaderMap);

async fn own((State(app), Extension(view), uri, headers): Asked) -> Result<Response, ApiError> {
    let query = scope::query(&uri, &headers, &view)?;
    let snapshot = &view.snapshot;
    let (member, coordinate) = members::own(&app, &view).await?;
    let datacenter = datacenter(&view);
    let own = Own::new(&app, &view);
    let leader = leader::leader(snapshot);
    let leads = leader.node.record.origin == snapshot.local.record.origin;
    let body = json!({
        "Config": {
            "Datacenter": datacenter,
            "PrimaryDatacenter": datacenter,
            "NodeName": snapshot.local.record.name.as_str(),
            "NodeID": snapshot.local.record.origin.node_id().map(|id| uuid(*id.as_bytes())).unwrap_or_default(),
            "Revision": "00000000",
            "Server": true,
            "Version": CONSUL_VERSION,
            "BuildDate": BUILD_DATE,
        },
        "DebugConfig": {},
        "Coord": coord(coordinate.as_ref()),
        "Member": member,
        "Stats": {
            "agent": {
                "checks": own.local().checks.len().to_string(),
                "services": own.instances().len().to_string(),
            },
            "build": { "version": CONSUL_VERSION, "lobbyd": app.config().version },
            "consul": { "leader": leads.to_string(), "leader_addr": leader.address(), "server": "true" },
            "raft": {},
            "runtime": {},
            "serf_lan": {},
            "serf_wan": {},
        },
        "Meta": { "consul-network-segment": "", "consul-version": CONSUL_VERSION },
        "xDS": { "SupportedProxies": {}, "Port": -1, "Ports": { "Plaintext": -1, "TLS": -1 } },
    });
    Ok(consul::json(&query, &body))
}

/// A coordinate in Consul's shape; of an agent that does not gossip, that of one that has just started.
fn coord(coordinate: Option<&Coordinate>) -> Value {
    match coordinate {
        Some(Coordinate { vec, height, adjustment, error }) => {
            json!({ "Vec": vec, "Error": error, "Adjustment": adjustment, "Height": height })
        }
        None => json!({ "Vec": [0, 0, 0, 0, 0, 0, 0, 0], "Error": 1.5, "Adjustment": 0, "Height": 0.00001 }),
    }
}

async fn version((_, Extension(view), uri, headers): Asked) -> Result<Response, ApiError> {
    let query = scope::query(&uri, &headers, &view)?;
    let body = json!({ "SHA": "", "BuildDate": BUILD_DATE, "HumanVersion": CONSUL_VERSION, "FIPS": "" });
    Ok(consul::json(&query, &body))
}

async fn host((_, Extension(view), uri, headers): Asked) -> Result<Response, ApiError> {
    let query = scope::query(&uri, &headers, &view)?;
    let body = json!({
        "Memory": {},
        "CPU": [],
        "Host": {
            "hostname": view.snapshot.local.record.name.as_str(),
            "os": std::env::consts::OS,
            "kernelArch": std::env::consts::ARCH,
        },
        "Disk": {},
        "CollectionTime": view.now.wall.0.saturating_mul(1_000_000_000),
        "Errors": null,
    });
    Ok(consul::json(&query, &body))
}

async fn metrics((State(app), Extension(view), uri, headers): Asked) -> Result<Response, ApiError> {
    let query = scope::query(&uri, &headers, &view)?;
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if query.get("format") == Some("prometheus") || accept.contains("openmetrics") {
        return Ok(metrics::metrics(State(app), Extension(view)).await);
    }
    let body = json!({
        "Timestamp": utc(view.now.wall),
        "Gauges": [],
        "Points": [],
        "Counters": [],
        "Samples": [],
    });
    Ok(consul::json(&query, &body))
}

/// A second as Go prints it.
fn utc(second: WallSecond) -> String {
    let (days, rest) = (second.0 / 86_400, second.0 % 86_400);
    // The civil date of a day since 1970: eras of 400 years that begin on a first of March.
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march = (5 * of_year + 2) / 153;
    let date = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{date:02} {:02}:{:02}:{:02} +0000 UTC", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_as_go_prints_them() {
        for (second, want) in [
            (0, "1970-01-01 00:00:00 +0000 UTC"),
            (951_782_399, "2000-02-28 23:59:59 +0000 UTC"),
            (951_782_400, "2000-02-29 00:00:00 +0000 UTC"),
            (1_630_612_478, "2021-09-02 19:54:38 +0000 UTC"),
            (4_102_444_800, "2100-01-01 00:00:00 +0000 UTC"),
        ] {
            assert_eq!(utc(WallSecond(second)), want);
        }
    }
}
