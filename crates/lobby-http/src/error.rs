//! Every refusal: its status and its one line of plain text, in one place.
//!
//! A message names the field, its value and what would be accepted. Values are cut, since they come from outside; keys
//! are never repeated.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use lobby_core::{
    expr::FilterError,
    instance::ParseIdError,
    label::ParseLabelError,
    port::{CommandError, external::ExternalError, gossip::GossipError, registry::RegistryError},
    wire::definition::DefinitionError,
};

use crate::{answer, counters::Refusal, external, query::ParseQueryError, registry, txn::MOST_OPS};

/// Most characters of a foreign value that a message repeats.
const SHOWN: usize = 128;

/// Why a request was not answered as asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The query string cannot be decoded.
    #[error("query: {0}; expected percent-encoded UTF-8")]
    Query(#[from] ParseQueryError),
    /// A line of the body is not a label.
    #[error("label {line:?}: {source}; expected one label a line")]
    Label { line: String, source: ParseLabelError },
    /// A segment of the path cannot be decoded.
    #[error("path: {0}; expected percent-encoded UTF-8")]
    Path(ParseQueryError),
    /// A segment of the path holds a control character.
    #[error("path: {0:?} holds a control character")]
    PathControl(String),
    /// The path ends before the name that it should end with.
    #[error("missing {0}")]
    Missing(&'static str),
    /// The filter is no expression, or none over what is listed.
    #[error("filter: {0}")]
    Filter(#[from] FilterError),
    /// The selector is none.
    #[error("where: {0}")]
    Where(#[from] lobby_core::expr::SyntaxError),
    /// A field of the query string is not what it should be.
    #[error("{field} {value:?}: expected {want}")]
    Field { field: &'static str, value: String, want: &'static str },
    /// The query string has a parameter that is not known where a slip would reach the wrong nodes.
    #[error("query: unknown parameter {name:?}; accepted are {accepted}")]
    Parameter { name: String, accepted: String },
    /// The body is not text, but should be this.
    #[error("body: not UTF-8; expected {0}")]
    NotText(&'static str),
    /// A transaction is no list, or an operation is none.
    #[error("Failed to parse body: {0}")]
    Transaction(String),
    /// A transaction has more operations than it may have.
    #[error("Transaction contains too many operations ({0} > {MOST_OPS})")]
    TooManyOps(usize),
    /// Only a connection holds an instance.
    #[error("check {0:?}: Hold is accepted by POST /v1/hold only, whose connection is what holds")]
    HoldOnly(String),
    /// The body is larger than it may be.
    #[error("body: too large; at most {0} bytes are accepted")]
    BodyTooLarge(usize),
    /// The body did not arrive in time.
    #[error("body: not received in time")]
    BodyTimeout,
    /// The body ended early.
    #[error("body: could not be read to its end")]
    BodyBroken,
    /// The node task refused.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Gossip refused.
    #[error(transparent)]
    Gossip(#[from] GossipError),
    /// Gossip said nothing for too long.
    #[error("gossip did not answer in time, try again")]
    NoAnswer,
    /// The registry refused.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A node without an agent could not be written.
    #[error(transparent)]
    External(#[from] ExternalError),
    /// The registry said nothing for too long; whether the change was made is not known.
    #[error("the registry did not answer in time; whether the change was made is not known, try again")]
    RegistryStuck,
    /// The end of a path is no id.
    #[error("path: {0}")]
    Id(#[from] ParseIdError),
    /// The body is no registration or no check.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// The body is another one than the path says.
    #[error("body: {field} {value:?}: expected {want:?}, as in the path, or nothing")]
    Contradiction { field: &'static str, value: String, want: String },
    /// The agent has nothing of this id or name.
    #[error("{field} {value:?}: nothing of that is registered at this agent")]
    NotHere { field: &'static str, value: String },
    /// Consul has it, and a later version will.
    #[error("{0}: not available in this version of lobbyd")]
    Later(&'static str),
    /// Consul's servers have it.
    #[error("{0}: not available in lobbyd")]
    Never(&'static str),
    /// There are no ACLs. Consul's clients look for the words.
    #[error("ACL support disabled")]
    AclDisabled,
    /// No `[proxy]` is configured.
    #[error("proxy: none is configured at this agent; add [proxy.haproxy] and [proxy.service.NAME] to its configuration")]
    NoProxy,
    /// There is no mesh.
    #[error("the service mesh (Connect) is not enabled: lobbyd has none")]
    NoMesh,
    /// Several nodes have this name.
    #[error("several nodes are called {name}: use an id: {}", ids.join(", "))]
    Ambiguous { name: String, ids: Vec<String> },
    /// Several ids begin so.
    #[error("several ids begin with {prefix}: use more of one: {}", ids.join(", "))]
    AmbiguousId { prefix: String, ids: Vec<String> },
    /// None of the addresses to join answered.
    #[error("join: nobody of this cluster answered: {0}")]
    NotJoined(String),
    /// The node exists, but where it is in the space of round trip times is not known.
    #[error("the coordinate of node {0} is not known")]
    NoCoordinate(String),
    /// A Consul client asks for another data centre.
    #[error("No path to datacenter {0:?}")]
    OtherDatacenter(String),
    /// All places for blocking requests are taken.
    #[error("too many blocking requests at a time, try again")]
    TooManyWaits,
    /// All places for event streams are taken.
    #[error("too many event streams at a time, try again")]
    TooManyStreams,
    /// All places for holds are taken.
    #[error("too many instances are held by connections at a time, try again")]
    TooManyHolds,
    /// All places for monitors of the log are taken.
    #[error("too many monitors listen at a time, try again")]
    TooManyMonitors,
    /// Nobody offers such a service.
    #[error("service {0:?}: nobody offers it")]
    NoService(String),
    /// Somebody offers the service, but no instance of it has this id.
    #[error("service {service:?}: no instance of it has the id {id:?}")]
    NoInstance { service: String, id: String },
    /// The catalog is not complete and the answer would be empty.
    #[error("not warm: the first complete picture has not arrived yet, try again")]
    NotWarm,
    /// The token is missing or wrong.
    #[error("{{\"message\": \"access denied\"}}")]
    AccessDenied,
    /// The token is a good one, but not for this.
    #[error("token {token:?} may not {what}")]
    NotAllowed { token: String, what: String },
    /// The caller may not use operator verbs.
    #[error("operator verbs need TOKEN, the unix socket as root or the agent's user, or, without TOKEN, a loopback peer")]
    NotOperator,
    /// A web page of another site sent the request.
    #[error("Sec-Fetch-Site: cross-site requests are refused")]
    CrossSite,
    /// A web page of another origin sent the request.
    #[error("Origin {0:?}: only pages served under the request's own Host may send requests")]
    ForeignOrigin(String),
    /// The name under which we were called is not ours.
    #[error("Host {0:?}: expected an IP address, localhost, the node's name, or a name in ALLOWED_HOSTS")]
    UnknownHost(String),
    /// No Host header, or several.
    #[error("Host: expected exactly one such header")]
    BadHost,
    /// Nearly all connections are taken.
    #[error("nearly all connections are taken, try again")]
    Crowded,
    /// No such route.
    #[error("no route {0:?}")]
    NotFound(String),
    /// The route exists, but not with this method.
    #[error("method {0} is not accepted here, see the header Allow")]
    WrongMethod(String),
}

/// The text of a refusal beside its answer, for whoever writes it in another form (`answer::around`).
#[derive(Clone, Debug)]
pub(crate) struct ErrorLine(pub(crate) String);

/// A foreign value, cut to what a message repeats.
pub(crate) fn shown(value: &str) -> String {
    value.chars().take(SHOWN).collect()
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Query(_) | Self::Label { .. } | Self::NotText(_) | Self::BodyBroken | Self::BadHost => StatusCode::BAD_REQUEST,
            Self::Missing(_) => StatusCode::BAD_REQUEST,
            Self::Path(_) | Self::PathControl(_) | Self::Field { .. } | Self::Parameter { .. } => StatusCode::BAD_REQUEST,
            Self::Transaction(_) | Self::HoldOnly(_) => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge(_) | Self::TooManyOps(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Command(CommandError::TooManyLabels) => StatusCode::BAD_REQUEST,
            Self::Command(CommandError::NotSaved(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            // Somebody has to mend a file first; nothing here is broken.
            Self::Command(CommandError::NotReloaded(_)) => StatusCode::CONFLICT,
            Self::Command(CommandError::Stopping) | Self::NotWarm => StatusCode::SERVICE_UNAVAILABLE,
            Self::Gossip(err) => gossip_status(err),
            Self::NoAnswer | Self::RegistryStuck => StatusCode::GATEWAY_TIMEOUT,
            Self::Registry(err) => registry::status(err),
            Self::External(err) => external::status(err),
            Self::Id(_) | Self::Definition(_) | Self::Contradiction { .. } | Self::Filter(_) | Self::Where(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Later(_) => StatusCode::NOT_IMPLEMENTED,
            Self::AclDisabled => StatusCode::UNAUTHORIZED,
            Self::NoMesh => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Ambiguous { .. } | Self::AmbiguousId { .. } => StatusCode::CONFLICT,
            // The addresses are good; whoever is there did not answer. To Consul's clients any status but 200 is a failure.
            Self::NotJoined(_) => StatusCode::BAD_GATEWAY,
            // What Consul's clients expect of a foreign data centre.
            Self::OtherDatacenter(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::AccessDenied | Self::NotAllowed { .. } | Self::NotOperator => StatusCode::FORBIDDEN,
            Self::CrossSite | Self::ForeignOrigin(_) | Self::UnknownHost(_) => StatusCode::FORBIDDEN,
            Self::Crowded | Self::TooManyWaits | Self::TooManyStreams | Self::TooManyHolds => StatusCode::TOO_MANY_REQUESTS,
            Self::TooManyMonitors => StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound(_) | Self::NoCoordinate(_) | Self::NotHere { .. } | Self::NoService(_) | Self::Never(_) => {
                StatusCode::NOT_FOUND
            }
            Self::NoInstance { .. } | Self::NoProxy => StatusCode::NOT_FOUND,
            Self::WrongMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// What `/metrics` counts it as, beside its status.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        Some(match self {
            Self::BodyTooLarge(_) => Refusal::BodyTooLarge,
            Self::BodyTimeout => Refusal::BodyTimeout,
            Self::AccessDenied => Refusal::Token,
            Self::NotAllowed { .. } => Refusal::Rights,
            Self::NotOperator => Refusal::Operator,
            Self::CrossSite => Refusal::CrossSite,
            Self::ForeignOrigin(_) => Refusal::Origin,
            Self::UnknownHost(_) | Self::BadHost => Refusal::Host,
            Self::Crowded => Refusal::Crowded,
            Self::TooManyMonitors => Refusal::Busy,
            Self::TooManyWaits | Self::TooManyStreams | Self::TooManyHolds | Self::Gossip(GossipError::Busy(_)) => Refusal::Busy,
            _ => return None,
        })
    }

    /// Whether the same request may succeed a moment later.
    const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Crowded
                | Self::TooManyWaits
                | Self::TooManyStreams
                | Self::TooManyHolds
                | Self::TooManyMonitors
                | Self::NotWarm
                | Self::NoAnswer
                | Self::RegistryStuck
                | Self::Registry(RegistryError::Stopping)
                | Self::External(ExternalError::Stopping | ExternalError::Stuck)
                | Self::Command(CommandError::Stopping)
                | Self::Gossip(GossipError::Stopping | GossipError::Busy(_))
        )
    }
}

const fn gossip_status(err: &GossipError) -> StatusCode {
    match err {
        GossipError::NoGossip => StatusCode::NOT_IMPLEMENTED,
        GossipError::Invalid { .. } => StatusCode::BAD_REQUEST,
        GossipError::UnknownNode(_) => StatusCode::NOT_FOUND,
        GossipError::Alive(_) | GossipError::Keys(_) => StatusCode::CONFLICT,
        GossipError::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
        GossipError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let line = ErrorLine(self.to_string());
        let content_type = match self {
            Self::AccessDenied => answer::JSON,
            _ => answer::TEXT,
        };
        let text = format!("{}\n", line.0);
        let mut response = (self.status(), [(header::CONTENT_TYPE, content_type)], text).into_response();
        response.extensions_mut().insert(line);
        let headers = response.headers_mut();
        if self.is_passing() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        match self {
            Self::Crowded | Self::BodyTooLarge(_) | Self::BodyTimeout | Self::BodyBroken => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        if let Some(refusal) = self.refusal() {
            response.extensions_mut().insert(refusal);
        }
        response
    }
}
