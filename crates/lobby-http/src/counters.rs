//! What the HTTP side counts: requests by route and status, connections, refusals and missed deadlines.
//!
//! Plain atomics. Handlers and connections count, `/metrics` reads.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use lobby_core::named;

use crate::not_available;

named! {
    /// A class of routes.
    pub(crate) Route {
        /// `/`, `/v1`, `/v1/`, `/v1/discoveries`.
        List = "list",
        /// `/v1/discovery`.
        Discovery = "discovery",
        /// `/v1/resolve`.
        Resolve = "resolve",
        /// `/v1/prometheus/:name`.
        Prometheus = "prometheus",
        /// `/v1/labels`.
        Labels = "labels",
        /// `/v1/nodes`.
        Nodes = "nodes",
        /// `/v1/health`.
        Health = "health",
        /// `/metrics`.
        Metrics = "metrics",
        /// `/v1/txn`, and what Consul has and we have not.
        Consul = "consul",
        /// `/v1/members`, `/v1/agent/members`, `/v1/agent/info`.
        Members = "members",
        /// `/v1/catalog/…`.
        Catalog = "catalog",
        /// `/v1/health/…`.
        HealthLists = "health_lists",
        /// `/v1/coordinate/…`.
        Coordinate = "coordinate",
        /// `/v1/event/…`.
        Event = "event",
        /// `/v1/events`.
        Events = "events",
        /// `/v1/why/…`.
        Why = "why",
        /// `/v1/http_sd`.
        HttpSd = "http_sd",
        /// `/v1/ask/…`.
        Ask = "ask",
        /// `/v1/keys…`.
        Keys = "keys",
        /// `/v1/proxy`.
        Proxy = "proxy",
        /// `/v1/services…`, `/v1/drain`, `/v1/hold`, `/v1/openapi.json`.
        Services = "services",
        /// `/v1/agent/service…`, `/v1/agent/check…`, `/v1/agent/self` and what else Consul's clients ask their agent, `/v1/status/…`.
        Agent = "agent",
        /// The rest of `/v1/agent/…`.
        Operator = "operator",
        /// Everything else.
        Other = "other",
    }
}

named! {
    /// Why a request or a connection was refused or cut off.
    pub(crate) Refusal {
        /// 90 % of the connections were taken.
        Crowded = "crowded",
        /// All places for blocking requests, for event streams or for queries were taken, here or in gossip.
        Busy = "busy",
        /// All connections were taken.
        Full = "full",
        /// As many connections were taken as one client address may have.
        Address = "address",
        /// Too many refusals were being told already, so that not even an answer was given.
        Dropped = "dropped",
        /// A TLS handshake failed or was not done in time.
        Handshake = "handshake",
        /// Too many TLS handshakes were under way.
        Handshakes = "handshakes",
        /// Plain HTTP where TLS is spoken.
        PlainHttp = "plain_http",
        /// The request head was too large.
        HeaderTooLarge = "header_too_large",
        /// The request head did not arrive in time.
        HeaderTimeout = "header_timeout",
        /// Not HTTP/1.
        Malformed = "malformed",
        /// The body was too large.
        BodyTooLarge = "body_too_large",
        /// The body did not arrive in time.
        BodyTimeout = "body_timeout",
        /// The client took nothing of its answer for too long.
        WriteStall = "write_stall",
        /// The token was missing or wrong.
        Token = "token",
        /// The token is known, but not for this.
        Rights = "rights",
        /// An operator verb by somebody who is not one.
        Operator = "operator",
        /// A request by a page of another site.
        CrossSite = "cross_site",
        /// A request by a page of another origin.
        Origin = "origin",
        /// A Host name that is not ours.
        Host = "host",
    }
}

/// Status classes 1xx to 5xx.
const CLASSES: usize = 5;

/// The counters of one [`crate::App`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: [[AtomicU64; CLASSES]; Route::ALL.len()],
    refusals: [AtomicU64; Refusal::ALL.len()],
    /// Connections closed because no further request came.
    pub(crate) idle_closed: AtomicU64,
    /// Connections accepted.
    pub(crate) accepted: AtomicU64,
    /// Failed calls of accept.
    pub(crate) accept_errors: AtomicU64,
    /// Blocking requests that wait now.
    pub(crate) waits: AtomicUsize,
    /// Holds (`/v1/hold`) open now.
    pub(crate) holds: AtomicUsize,
    /// Event streams open now.
    pub(crate) streams: AtomicUsize,
    /// Bodies of Consul's read routes that were made.
    pub(crate) renderings: AtomicU64,
}

impl Route {
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/" | "/v1" | "/v1/" | "/v1/discoveries" => Self::List,
            "/v1/discovery" => Self::Discovery,
            "/v1/resolve" => Self::Resolve,
            "/v1/labels" => Self::Labels,
            "/v1/nodes" => Self::Nodes,
            "/v1/health" => Self::Health,
            "/metrics" => Self::Metrics,
            "/v1/members" | "/v1/agent/members" | "/v1/agent/info" => Self::Members,
            "/v1/keys" => Self::Keys,
            "/v1/events" => Self::Events,
            "/v1/http_sd" => Self::HttpSd,
            "/v1/proxy" => Self::Proxy,
            _ if path.starts_with("/v1/prometheus/") => Self::Prometheus,
            _ if path.starts_with("/v1/catalog/") => Self::Catalog,
            _ if path.starts_with("/v1/health/") => Self::HealthLists,
            _ if path.starts_with("/v1/coordinate/") => Self::Coordinate,
            _ if path.starts_with("/v1/event/") => Self::Event,
            _ if path.starts_with("/v1/why/") => Self::Why,
            _ if path.starts_with("/v1/ask/") => Self::Ask,
            _ if path.starts_with("/v1/keys/") => Self::Keys,
            "/v1/services" | "/v1/drain" | "/v1/hold" | "/v1/openapi.json" => Self::Services,
            _ if path.starts_with("/v1/services/") => Self::Services,
            _ if path.starts_with("/v1/status/") => Self::Agent,
            "/v1/txn" => Self::Consul,
            _ if not_available::is_below(path) => Self::Consul,
            _ => path.strip_prefix("/v1/agent/").map_or(Self::Other, Self::of_agent),
        }
    }

    /// Whether the path, which is of this class, has answers in Consul's form.
    pub(crate) fn is_consul(self, path: &str) -> bool {
        match self {
            Self::Catalog | Self::HealthLists | Self::Coordinate | Self::Event => true,
            Self::Agent | Self::Operator | Self::Consul => true,
            Self::Members => path == "/v1/agent/members",
            _ => false,
        }
    }

    /// The rest of a path below `/v1/agent/`.
    fn of_agent(rest: &str) -> Self {
        match rest.split('/').next().unwrap_or_default() {
            "services" | "service" | "checks" | "check" | "health" => Self::Agent,
            "self" | "version" | "host" | "metrics" | "monitor" | "token" | "connect" => Self::Agent,
            _ => Self::Operator,
        }
    }
}

impl Counters {
    pub(crate) fn answered(&self, route: Route, status: u16) {
        let class = usize::from(status / 100).clamp(1, CLASSES) - 1;
        self.requests[route as usize][class].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        self.refusals[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Answers that are not zero in number: route, hundreds of the status, count.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (Route, usize, u64)> {
        let read = |route: &Route| {
            let route = *route;
            let row = self.requests[route as usize].iter().enumerate();
            row.map(move |(class, count)| (route, class + 1, count.load(Ordering::Relaxed)))
        };
        Route::ALL.iter().flat_map(read).filter(|(_, _, count)| *count > 0)
    }

    pub(crate) fn refusals(&self) -> impl Iterator<Item = (Refusal, u64)> {
        Refusal::ALL.iter().map(|refusal| (*refusal, self.refusals[*refusal as usize].load(Ordering::Relaxed)))
    }
}
