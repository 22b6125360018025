//! What answers consist of, read leniently: a field that this version does not know is ignored, one that is missing
//! takes its default, so that client and daemon may be of different versions.
//!
//! Not here: packets, which client and server share (`lobby_core::wire::rest`).

use std::{collections::BTreeMap, time::Duration};

use reqwest::{Url, header::HeaderMap};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::ClientError;

/// An answer together with what the daemon says about its picture of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The answer itself.
    pub value: T,
    /// `X-Lobby-Revision`: differs when the list differs. Comparable only between answers of one daemon.
    /// `None` for a Go daemon.
    pub revision: Option<u64>,
    /// `X-Lobby-Warm`: the daemon's first complete picture has arrived. Do not act on what is missing before.
    pub warm: Option<bool>,
    /// `X-Lobby-Age`: how long ago the daemon last held a complete picture; zero while all its links are up.
    pub age: Option<Duration>,
}

impl Answer<Vec<u8>> {
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        fn read<T: std::str::FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
            headers.get(name)?.to_str().ok()?.parse().ok()
        }
        Self {
            value: Vec::new(),
            revision: read(headers, "x-lobby-revision"),
            warm: read(headers, "x-lobby-warm"),
            age: read(headers, "x-lobby-age").and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        }
    }
}

impl Answer<Vec<u8>> {
    /// The body as the JSON that it is.
    pub(super) fn json<T: DeserializeOwned>(self, url: &Url) -> Result<Answer<T>, ClientError> {
        let Self { value: body, revision, warm, age } = self;
        let value = serde_json::from_slice(&body).map_err(|err| unexpected(url, &err))?;
        Ok(Answer { value, revision, warm, age })
    }
}

/// An answer that is not the JSON of a lobbyd.
pub(super) fn unexpected(url: &Url, err: &serde_json::Error) -> ClientError {
    ClientError::Unexpected { url: url.to_string(), why: format!("not the JSON of a lobbyd: {err}") }
}

/// One group of Prometheus targets: one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetGroup {
    /// Extra labels of its targets.
    #[serde(rename = "Labels")]
    pub labels: BTreeMap<String, String>,
    /// `HOST:PORT`, or `HOST` where the port is omitted.
    #[serde(rename = "Targets")]
    pub targets: Vec<String>,
}

/// A node as `/v1/nodes` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Its id in 32 hexadecimal digits; none for a Go daemon.
    pub id: Option<String>,
    /// Its host name.
    pub name: String,
    /// `alive`, `suspect`, `failed`, … Anything but `alive` means that its silence was noticed.
    pub state: String,
    /// Where other nodes reach it.
    pub addresses: Vec<String>,
    /// Rises at each start of its daemon.
    pub generation: u64,
    /// Rises with each change of its record within one generation.
    pub version: u64,
    /// What each exchange that knows it makes of it.
    pub exchanges: Vec<Presence>,
    /// Milliseconds since it was last heard of.
    pub age_ms: u64,
    /// Its labels, sorted.
    pub labels: Vec<String>,
    /// It is the answering daemon itself.
    pub own: bool,
    /// Its record is proven to be its own word; a Go daemon signs nothing.
    pub signed: bool,
    /// Another live node has the same name.
    pub conflict: bool,
    /// The version of its lobbyd.
    pub lobbyd: Option<String>,
    /// Its data centre.
    pub datacenter: Option<String>,
    /// Milliseconds of a round trip, estimated, from the node that [`Client::nodes_near`](super::Client::nodes_near) names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance_ms: Option<f64>,
}

/// What one exchange makes of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Presence {
    /// The exchange.
    pub name: String,
    /// The node's state as this exchange sees it.
    pub state: String,
}

/// The daemon's own state, as `/v1/health` shows it. With TOKEN set and no token sent, only `ok` and `warm` are filled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// The daemon serves.
    pub ok: bool,
    /// Its first complete picture of the fleet has arrived.
    pub warm: bool,
    /// The revision of its list.
    pub revision: u64,
    /// Seconds since it last held a complete picture; 0 while warm with all links up.
    pub age: u64,
    /// Its node id.
    pub id: String,
    /// Its host name.
    pub node: String,
    /// Its exchanges and their links.
    pub exchanges: Vec<Link>,
}

/// The link of one exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Link {
    /// The exchange: `gossip`, `nats`, `redis`.
    pub name: String,
    /// `connecting`, `up` or `down`.
    pub state: String,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its first complete picture has arrived.
    pub warm: bool,
    /// It was not warm in time and no longer counts.
    pub given_up: bool,
}
