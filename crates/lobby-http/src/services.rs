//! Our own REST for nodes and services: small and regular. One table says which routes there are, to the router and to the description.
//!
//! ```text
//! ROUTES ─► router                      services/list       what is offered, by whom, and how it is
//!        └► GET /v1/openapi.json        services/change     registering, reports, draining
//!                                       hold                registered while the connection is open
//!                                       nodes, events, why, http_sd, proxy    each of them one level up
//! ```
//! Ids in a path are one segment: a slash inside of one is written `%2F`. Changes answer `OK`, errors are a line of text.
//! Not here: Consul's routes for the same (`agent`), the routes of old and of gossip, what is done with it (the registry).

use axum::{
    Router,
    routing::{MethodFilter, MethodRouter, on},
};

use crate::{App, events, hold, http_sd, nodes, proxy, why};

mod change;
mod list;
mod openapi;
mod schema;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Whoever has the token, if one is set.
    Anybody,
    /// Operators (`access::operator`).
    Operator,
}

/// The method of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Get,
    Put,
    Post,
    Delete,
}

/// What an answer with status 200 has as its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// `OK`.
    Done,
    /// A list of things of this schema.
    List(&'static str),
    /// One thing of this schema.
    One(&'static str),
    /// A line end now and then, for as long as it lasts.
    Stream,
    /// Server-sent events.
    Events,
    /// The description itself.
    Description,
}

/// One route: how it is reached, what it means, who answers it.
struct Route {
    path: &'static str,
    verb: Verb,
    who: Who,
    summary: &'static str,
    /// Parameters of the query string, all of them optional.
    parameters: &'static [(&'static str, &'static str)],
    /// The schema of the body.
    body: Option<&'static str>,
    answer: Answer,
    /// Statuses of refusals beside those that every route has.
    refusals: &'static [u16],
    handler: fn(MethodFilter) -> MethodRouter<App>,
}

const WAIT: &[(&str, &str)] = &[(
    "wait",
    "50ms to 1m: answers when the agents that answer have applied it, with an object of how many have (applied), how many were \
     asked, and the names of those that did not answer (missing)",
)];

const WHERE: &[(&str, &str)] = &[("where", "a selector: only instances that it takes")];

/// What most routes are, to be filled in.
const PLAIN: Route = Route {
    path: "",
    verb: Verb::Get,
    who: Who::Anybody,
    summary: "",
    parameters: &[],
    body: None,
    answer: Answer::Done,
    refusals: &[],
    handler: |filter| on(filter, openapi::description),
};

static ROUTES: [Route; 17] = [
    Route {
        path: "/v1/services",
        summary: "All services: how many instances each has, and how they are",
        parameters: WHERE,
        answer: Answer::List("Service"),
        refusals: &[400],
        handler: |filter| on(filter, list::services),
        ..PLAIN
    },
    Route {
        path: "/v1/services/{name}",
        summary: "The instances of a service",
        parameters: WHERE,
        answer: Answer::List("Instance"),
        refusals: &[400, 404],
        handler: |filter| on(filter, list::instances),
        ..PLAIN
    },
    Route {
        path: "/v1/services/{name}/{id}",
        verb: Verb::Put,
        summary: "Registers an instance at this agent, or replaces it and its checks",
        body: Some("Definition"),
        refusals: &[400, 409, 413, 500, 503],
        handler: |filter| on(filter, change::register),
        ..PLAIN
    },
    Route {
        path: "/v1/services/{name}/{id}",
        verb: Verb::Delete,
        summary: "Takes an instance of this agent away, with its checks",
        refusals: &[400, 404, 409, 500, 503],
        handler: |filter| on(filter, change::deregister),
        ..PLAIN
    },
    Route {
        path: "/v1/services/{name}/{id}/drain",
        verb: Verb::Put,
        summary: "An instance of this agent takes nothing new",
        parameters: WAIT,
        refusals: &[400, 404, 429, 500, 503],
        handler: |filter| on(filter, change::drain),
        ..PLAIN
    },
    Route {
        path: "/v1/services/{name}/{id}/drain",
        verb: Verb::Delete,
        summary: "An instance of this agent takes work again",
        parameters: WAIT,
        refusals: &[400, 404, 429, 500, 503],
        handler: |filter| on(filter, change::undrain),
        ..PLAIN
    },
    Route {
        path: "/v1/services/{name}/{id}/checks/{check}",
        verb: Verb::Put,
        summary: "Reports to a check with a TTL",
        body: Some("Report"),
        refusals: &[400, 404, 413, 500, 503],
        handler: |filter| on(filter, change::report),
        ..PLAIN
    },
    Route {
        path: "/v1/drain",
        verb: Verb::Put,
        who: Who::Operator,
        summary: "All of this node takes nothing new",
        parameters: WAIT,
        refusals: &[400, 429, 500, 503],
        handler: |filter| on(filter, change::drain_node),
        ..PLAIN
    },
    Route {
        path: "/v1/drain",
        verb: Verb::Delete,
        who: Who::Operator,
        summary: "This node takes work again",
        parameters: WAIT,
        refusals: &[400, 429, 500, 503],
        handler: |filter| on(filter, change::undrain_node),
        ..PLAIN
    },
    Route {
        path: "/v1/hold",
        verb: Verb::Post,
        summary: "Registers an instance for as long as the connection is open",
        body: Some("Definition"),
        answer: Answer::Stream,
        refusals: &[400, 409, 413, 500, 503],
        handler: |filter| on(filter, hold::hold),
        ..PLAIN
    },
    Route {
        path: "/v1/nodes",
        summary: "Every node as this agent knows it, failed ones too",
        parameters: &[
            ("where", "a selector: only nodes that it takes"),
            ("near", "a node, by name or id, or _agent: the nearest to it come first, each with its distance"),
        ],
        answer: Answer::List("Node"),
        refusals: &[400, 404, 409],
        handler: |filter| on(filter, nodes::nodes),
        ..PLAIN
    },
    Route {
        path: "/v1/events",
        summary: "Changes of nodes and services as they happen: server-sent events",
        parameters: &[
            ("kind", "member, service, or the name of an event; may be repeated"),
            ("service", "only instances of this service; may be repeated"),
            ("label", "only what carries this label, or one that goes on after it with a colon; may be repeated"),
            ("where", "a selector: only what it takes"),
            ("last_event_id", "the id of the event that the client saw last, as the header Last-Event-ID"),
        ],
        answer: Answer::Events,
        refusals: &[400, 429],
        handler: |filter| on(filter, events::events),
        ..PLAIN
    },
    Route {
        path: "/v1/why/{name}",
        summary: "Why the instances of a service are shown as they are",
        answer: Answer::List("Why"),
        refusals: &[400, 404],
        handler: |filter| on(filter, why::why),
        ..PLAIN
    },
    Route {
        path: "/v1/why/{name}/{id}",
        summary: "Why the instances of this id are shown as they are: one for each node that has it",
        answer: Answer::List("Why"),
        refusals: &[400, 404],
        handler: |filter| on(filter, why::why),
        ..PLAIN
    },
    Route {
        path: "/v1/http_sd",
        summary: "The instances of services as targets for Prometheus",
        parameters: &[
            ("service", "only instances of this service; may be repeated"),
            ("tag", "only instances with this tag; may be repeated"),
            ("passing", "only instances whose checks all pass"),
            ("where", "a selector: only instances that it takes"),
        ],
        answer: Answer::List("TargetGroup"),
        refusals: &[400, 503],
        handler: |filter| on(filter, http_sd::targets),
        ..PLAIN
    },
    Route {
        path: "/v1/proxy",
        summary: "The local proxy: its services, and whether HAProxy and nginx are in step",
        answer: Answer::One("Proxy"),
        refusals: &[404],
        handler: |filter| on(filter, proxy::status),
        ..PLAIN
    },
    Route { path: "/v1/openapi.json", summary: "This description", answer: Answer::Description, ..PLAIN },
];

impl Verb {
    /// As OpenAPI writes it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Post => "post",
            Self::Delete => "delete",
        }
    }

    const fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Put => MethodFilter::PUT,
            Self::Post => MethodFilter::POST,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// The routes of the table for these callers.
pub(crate) fn routes(who: Who) -> Router<App> {
    let routes = ROUTES.iter().filter(|route| route.who == who);
    routes.fold(Router::new(), |router, route| router.route(route.path, (route.handler)(route.verb.filter())))
}
