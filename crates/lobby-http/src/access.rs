//! The doors: who may ask what. Web pages of others, rebound names, the token, operator verbs.
//!
//! [`doors`] stands before every route, [`token`] before all but health and the operator verbs, [`operator`] before those:
//! whatever changes something beyond our own labels, or costs the whole fleet.
//! A web page must not drive the API of an agent on its reader's machine, so pages of other sites and origins are
//! refused; nor may it rebind its own name to a loopback address, so from there the Host must be a name of ours.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Version, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    App, View,
    counters::Route,
    error::{ApiError, shown},
};

/// Who sent a request. The serving loop puts it among the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The way it came.
    pub door: Door,
    /// Nearly all connections are taken: only health and metrics are answered.
    pub crowded: bool,
}

/// The way a request came.
#[derive(Clone, Copy, Debug)]
pub enum Door {
    /// Over TCP.
    Tcp {
        /// The other end.
        peer: SocketAddr,
        /// Our listener is bound to a loopback address.
        loopback_only: bool,
    },
    /// Over the unix socket.
    Unix {
        /// The peer runs as root or as our own user.
        trusted: bool,
    },
}

/// A request that does not say where it came from gets the fewest rights there are.
const STRANGER: Caller = Caller {
    door: Door::Tcp { peer: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0), loopback_only: true },
    crowded: false,
};

fn caller(request: &Request) -> Caller {
    request.extensions().get().copied().unwrap_or(STRANGER)
}

/// What holds for every request, whatever its route.
pub(crate) fn doors(app: &App, view: &View, route: Route, request: &Request) -> Result<(), ApiError> {
    let caller = caller(request);
    let headers = request.headers();
    if headers.get("sec-fetch-site").is_some_and(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site")) {
        return Err(ApiError::CrossSite);
    }
    let host = host(request)?;
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let page = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        if host.is_none() || !page.zip(host).is_some_and(|(page, host)| page.eq_ignore_ascii_case(host)) {
            return Err(ApiError::ForeignOrigin(shown(&origin)));
        }
    }
    if let (Door::Tcp { peer, loopback_only }, Some(host)) = (caller.door, host)
        && (loopback_only || peer.ip().to_canonical().is_loopback())
        && !is_our_host(app, view, host)
    {
        return Err(ApiError::UnknownHost(shown(host)));
    }
    if caller.crowded && !matches!(route, Route::Health | Route::Metrics) {
        return Err(ApiError::Crowded);
    }
    Ok(())
}

/// The one name under which the client called us. Only HTTP/1.0 may leave it out, which no browser speaks.
fn host(request: &Request) -> Result<Option<&str>, ApiError> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (None, _) if request.version() <= Version::HTTP_10 => None,
        (Some(host), None) => Some(host.to_str().map_err(|_| ApiError::BadHost)?),
        _ => return Err(ApiError::BadHost),
    };
    // The absolute form of a request line wins over the header, so both must agree.
    match (request.uri().authority(), host) {
        (Some(authority), Some(host)) if !authority.as_str().eq_ignore_ascii_case(host) => Err(ApiError::BadHost),
        (Some(authority), None) => Ok(Some(authority.as_str())),
        _ => Ok(host),
    }
}

fn is_our_host(app: &App, view: &View, host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    if name.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let ours = ["localhost", view.snapshot.local.record.name.as_str()];
    let allowed = app.config().allowed_hosts.iter().map(String::as_str);
    ours.into_iter().chain(allowed).any(|ours| ours.eq_ignore_ascii_case(name))
}

/// The door of everything but health and the operator verbs.
pub(crate) async fn token(State(app): State<App>, request: Request, next: Next) -> Response {
    if has_token(&app, request.headers()) { next.run(request).await } else { ApiError::AccessDenied.into_response() }
}

/// The door of the operator verbs.
pub(crate) async fn operator(State(app): State<App>, request: Request, next: Next) -> Response {
    let allowed = match (caller(&request).door, &app.config().token) {
        (Door::Unix { trusted: true }, _) => Ok(()),
        (_, Some(_)) if has_token(&app, request.headers()) => Ok(()),
        (_, Some(_)) => Err(ApiError::AccessDenied),
        (Door::Tcp { peer, .. }, None) if app.config().operator_loopback && peer.ip().to_canonical().is_loopback() => Ok(()),
        (_, None) => Err(ApiError::NotOperator),
    };
    match allowed {
        Ok(()) => next.run(request).await,
        Err(err) => err.into_response(),
    }
}

/// Whether the request carries the token, or none is set.
pub(crate) fn has_token(app: &App, headers: &HeaderMap) -> bool {
    let Some(token) = &app.config().token else { return true };
    let Some(given) = headers.get(header::AUTHORIZATION) else { return false };
    let given = given.as_bytes().trim_ascii();
    let worded = given.split_at_checked(6).filter(|(word, _)| word.eq_ignore_ascii_case(b"token ")).map(|(_, rest)| rest);
    // Both are compared, so that a token that itself begins with the word still works.
    same(given, token.as_bytes()) | worded.is_some_and(|given| same(given.trim_ascii(), token.as_bytes()))
}

/// Compares in a time that depends on the lengths only.
fn same(given: &[u8], token: &[u8]) -> bool {
    let differences = given.iter().zip(token).fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
    given.len() == token.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn equal_tokens_only() {
        assert!(same(b"secret", b"secret"));
        for other in [&b"secre"[..], b"secrets", b"Secret", b""] {
            assert!(!same(other, b"secret"), "{other:?}");
        }
    }
}
