//! Why instances are shown as they are: the evidence, piece by piece, and the verdict.
//!
//! ```text
//! GET /v1/why/:name        every instance of a service
//! GET /v1/why/:name/:id    those with this id, one for each node that has it
//! ```
//! Everything comes from the catalog: it is the same at every agent, and of each check it has the beginning of the output.
//! Not here: the rules of the verdict (`lobby_core::catalog::why`).

use std::time::Duration;

use axum::{Extension, http::Uri, response::Response};
use lobby_core::{
    catalog::{
        Presence, Snapshot,
        why::{Evidence, Reason, Why},
    },
    hold::Held,
    id::Origin,
    time::Now,
};
use serde::Serialize;

use crate::{
    View, answer,
    error::{ApiError, shown},
    health::{self, ExchangeHealth},
    query,
};

/// What every path here begins with.
const PATH: &str = "/v1/why/";

#[derive(Serialize)]
struct WhyBody<'a> {
    service: &'a str,
    id: &'a str,
    verdict: &'static str,
    reason: Option<ReasonBody<'a>>,
    from_label: bool,
    drain: DrainBody,
    /// Shown as before by outputs of services, although its node is failed.
    hold: Option<HoldBody<'a>>,
    owner: OwnerBody<'a>,
    checks: Vec<EvidenceBody<'a>>,
    conflict: Vec<NodeBody<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum ReasonBody<'a> {
    Node { state: &'static str },
    Check { id: &'a str, output: &'a str },
    Drain,
}

#[derive(Serialize)]
struct DrainBody {
    instance: bool,
    node: bool,
}

/// Seconds are Unix time.
#[derive(Serialize)]
struct HoldBody<'a> {
    since: u64,
    until: u64,
    exchange: &'a str,
    reason: String,
}

#[derive(Serialize)]
struct OwnerBody<'a> {
    id: Option<String>,
    name: &'a str,
    own: bool,
    signed: bool,
    state: &'static str,
    age_ms: u64,
    exchanges: Vec<PresenceBody<'a>>,
}

/// Another node of the same name.
#[derive(Serialize)]
struct NodeBody<'a> {
    id: Option<String>,
    name: Option<&'a str>,
}

/// What an exchange makes of the node, and how the exchange itself is.
#[derive(Serialize)]
struct PresenceBody<'a> {
    node: &'static str,
    link: ExchangeHealth<'a>,
}

#[derive(Serialize)]
struct EvidenceBody<'a> {
    id: &'a str,
    name: &'a str,
    of: &'static str,
    kind: &'static str,
    status: &'static str,
    verdict: &'static str,
    interval_ms: u64,
    timeout_ms: u64,
    notes: &'a str,
    output: &'a str,
}

pub(crate) async fn why(Extension(view): Extension<View>, uri: Uri) -> Result<Response, ApiError> {
    let (name, id) = names(uri.path())?;
    let snapshot = &*view.snapshot;
    let service = snapshot.service(&name).ok_or_else(|| ApiError::NoService(shown(&name)))?;
    let wanted = service.instances.values().filter(|view| id.as_deref().is_none_or(|id| view.instance.id.as_str() == id));
    let found: Vec<_> = wanted.filter_map(|instance| Why::of(snapshot, instance, view.now)).collect();
    match id {
        Some(id) if found.is_empty() => Err(ApiError::NoInstance { service: shown(&name), id: shown(&id) }),
        _ => Ok(answer::json(&found.iter().map(|why| body(snapshot, why, view.now)).collect::<Vec<_>>())),
    }
}

/// The service and, if it is there, the id. A slash inside of one is written `%2F`.
fn names(path: &str) -> Result<(String, Option<String>), ApiError> {
    let mut parts = path.strip_prefix(PATH).unwrap_or_default().splitn(2, '/').map(|part| {
        let text = query::segment(part).map_err(ApiError::Path)?;
        if text.chars().any(char::is_control) { Err(ApiError::PathControl(shown(&text))) } else { Ok(text.into_owned()) }
    });
    Ok((parts.next().transpose()?.unwrap_or_default(), parts.next().transpose()?))
}

fn body<'a>(snapshot: &'a Snapshot, why: &'a Why, now: Now) -> WhyBody<'a> {
    let owner = &why.owner;
    let presence = |presence: &Presence| {
        let link = snapshot.links.get(usize::from(presence.exchange.0))?;
        Some(PresenceBody { node: presence.state.as_str(), link: health::exchange_health(link) })
    };
    let namesake = |origin: &Origin| {
        let name = snapshot.nodes.get(origin).map(|node| node.record.name.as_str());
        NodeBody { id: id(origin), name }
    };
    WhyBody {
        service: why.instance.service.as_str(),
        id: why.instance.id.as_str(),
        verdict: why.verdict.as_str(),
        reason: why.reason.as_ref().map(reason),
        from_label: why.from_label,
        drain: DrainBody { instance: why.instance_drains, node: why.node_drains },
        hold: why.hold.and_then(|held| hold(snapshot, held, now)),
        owner: OwnerBody {
            id: id(&owner.origin),
            name: owner.name.as_str(),
            own: owner.own,
            signed: owner.signed,
            state: owner.state.as_str(),
            age_ms: millis(owner.age),
            exchanges: owner.presences.iter().filter_map(presence).collect(),
        },
        checks: why.checks.iter().map(evidence).collect(),
        conflict: why.namesakes.iter().map(namesake).collect(),
    }
}

fn hold(snapshot: &Snapshot, held: Held, now: Now) -> Option<HoldBody<'_>> {
    let exchange = &*snapshot.links.get(usize::from(held.exchange.0))?.name;
    let reason = format!("{} of the {} nodes of {exchange} fell silent at once", held.silent, held.of);
    let since = now.wall.0.saturating_sub(now.moment.since(held.since).as_secs());
    Some(HoldBody { since, until: since + held.until.since(held.since).as_secs(), exchange, reason })
}

fn id(origin: &Origin) -> Option<String> {
    origin.node_id().map(|id| id.to_string())
}

fn reason(reason: &Reason) -> ReasonBody<'_> {
    match reason {
        Reason::Node(state) => ReasonBody::Node { state: state.as_str() },
        Reason::Check(check) => ReasonBody::Check { id: check.id.as_str(), output: &check.output },
        Reason::Drain => ReasonBody::Drain,
    }
}

fn evidence(evidence: &Evidence) -> EvidenceBody<'_> {
    let check = &*evidence.check;
    EvidenceBody {
        id: check.id.as_str(),
        name: &check.name,
        of: if evidence.of_node { "node" } else { "instance" },
        kind: check.kind.as_str(),
        status: check.status.as_str(),
        verdict: evidence.verdict.as_str(),
        interval_ms: millis(check.interval),
        timeout_ms: millis(check.timeout),
        notes: &check.notes,
        output: &check.output,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_paths() {
        for (path, name, id) in [
            ("/v1/why/web", "web", None),
            ("/v1/why/a%2Fb/..", "a/b", Some("..")),
            ("/v1/why/web/a%2Fb", "web", Some("a/b")),
            ("/v1/why/a+b/c%20d", "a+b", Some("c d")),
        ] {
            assert_eq!(names(path).unwrap(), (name.to_owned(), id.map(str::to_owned)), "{path}");
        }
        for path in ["/v1/why/%", "/v1/why/web/%ff", "/v1/why/web/%0a", "/v1/why/%00"] {
            assert!(names(path).is_err(), "{path}");
        }
    }
}
