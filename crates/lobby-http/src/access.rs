//! The doors: who may ask what. Web pages of others, rebound names, tokens, operator verbs.
//!
//! ```text
//! doors ─► rights (once per request) ─► token: what the method and path need at least ─► handler: need(service it writes)
//!                                   └─► operator
//! ```
//! [`doors`] stands before every route, [`token`] before all but health and the operator verbs, [`operator`] before those:
//! whatever changes something beyond our own labels, or costs the whole fleet.
//! Handlers that write services take `Extension<Rights>` and call [`need`] with the name of each.
//! A web page must not drive the API of an agent on its reader's machine, so pages of other sites and origins are
//! refused; nor may it rebind its own name to a loopback address, so from there the Host must be a name of ours.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{
    extract::Request,
    http::{Method, Version, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    App, View,
    counters::Route,
    error::{ApiError, shown},
};

mod files;
mod given;
mod mode;
mod rights;
mod tokens;

pub(crate) use files::read as read_file;
pub use files::{Access, FileError};
pub(crate) use given::Digest;
use given::Given;
pub use mode::exposure;
pub(crate) use rights::{Need, Rights, need};

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
        /// The process that connected, when it has a number in our namespace.
        pid: Option<u32>,
        /// Its user.
        uid: Option<u32>,
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

/// What the caller of a request may do.
pub(crate) fn rights(app: &App, request: &Request) -> Rights {
    let (door, tokens) = (caller(request).door, app.config().access.tokens());
    let is_open = app.state.token.is_none() && tokens.is_none();
    let mut rights = if is_open {
        let loopback = matches!(door, Door::Tcp { peer, .. } if peer.ip().to_canonical().is_loopback());
        Rights { operate: loopback && app.config().operator_loopback, ..Rights::ANYONE }
    } else {
        let given = Given::find(request.uri(), request.headers());
        let known = given.and_then(|given| {
            let owner = app.state.token.is_some_and(|token| given.is(&token));
            let named = tokens.as_ref().and_then(|tokens| tokens.find(&given).cloned());
            if owner { Some(Rights::OWNER) } else { named }
        });
        known.unwrap_or(Rights::STRANGER)
    };
    rights.operate |= matches!(door, Door::Unix { trusted: true, .. });
    rights
}

/// What a request to a route without a door of its own needs at least. The handler knows which service it writes.
fn least(request: &Request) -> Need<'static> {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, _) => Need::Read,
        (_, "/v1/labels") => Need::Labels,
        _ => Need::WriteAny,
    }
}

/// The door of everything but health and the operator verbs.
pub(crate) async fn token(request: Request, next: Next) -> Response {
    let least = least(&request);
    pass(least, request, next).await
}

/// The door of the operator verbs.
pub(crate) async fn operator(request: Request, next: Next) -> Response {
    pass(Need::Operate, request, next).await
}

async fn pass(least: Need<'static>, request: Request, next: Next) -> Response {
    // The outermost layer has put them there; whoever came around it may nothing.
    let enough = request.extensions().get().map_or(Err(ApiError::AccessDenied), |rights| need(rights, least));
    match enough {
        Ok(()) => next.run(request).await,
        Err(err) => err.into_response(),
    }
}
