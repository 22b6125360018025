//! Members of the gossip: who they are, making them join and leave, and where they are in the space of round trip times.
//!
//! Not here: nodes as the catalog has them, over whichever exchange ([`Client::nodes`]).

use std::{collections::BTreeMap, time::Duration};

use lobby_core::coordinate::{Coordinate, DIMENSIONS};
use serde::{Deserialize, Serialize};

use super::{Answer, Client, ClientError, FLEET_TIMEOUT, Link};

/// A member as the daemon's gossip sees it, with what its catalog knows of the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Member {
    /// Its id in 32 hexadecimal digits.
    pub id: String,
    /// Its name; none if it publishes no record.
    pub name: Option<String>,
    /// Where gossip reaches it.
    pub address: String,
    /// `alive`, `suspect`, `unattended`, `failed`, `restarting` or `left`.
    pub state: String,
    /// Rises at each start of its daemon.
    pub generation: u64,
    /// Rises with each change of its record within one generation.
    pub version: Option<u64>,
    /// The version of its lobbyd.
    pub lobbyd: Option<String>,
    /// Its data centre.
    pub datacenter: Option<String>,
    /// Milliseconds since it was last heard of.
    pub age_ms: Option<u64>,
    /// Milliseconds of the last round trip that the daemon measured.
    pub rtt_ms: Option<f64>,
    /// Milliseconds of a round trip from the daemon, estimated from coordinates.
    pub distance_ms: Option<f64>,
    /// Its labels, sorted.
    pub labels: Vec<String>,
    /// It is the answering daemon itself.
    pub own: bool,
}

/// The daemon, as `/v1/agent/info` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// Who it is.
    pub agent: Agent,
    /// Its labels, sorted.
    pub labels: Vec<String>,
    /// Its exchanges and their links.
    pub exchanges: Vec<Link>,
    /// How many nodes of its catalog are in each state.
    pub nodes: BTreeMap<String, u64>,
    /// Its gossip, if it does.
    pub gossip: Option<GossipInfo>,
    /// Its user events, if it gossips.
    pub events: Option<EventInfo>,
}

/// Who a daemon is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Agent {
    /// Its host name.
    pub name: String,
    /// Its node id.
    pub id: String,
    /// Rises at each of its starts.
    pub generation: u64,
    /// Rises with each change of its record.
    pub version: u64,
    /// The version of lobbyd.
    pub lobbyd: String,
    /// The name of its cluster.
    pub cluster: String,
    /// Its data centre.
    pub datacenter: Option<String>,
    /// Where others reach it, separated by commas.
    pub addresses: Option<String>,
    /// The revision of its list.
    pub revision: u64,
    /// Its first complete picture of the fleet has arrived.
    pub warm: bool,
    /// Seconds since it last held a complete picture; 0 while warm with all links up.
    pub age: u64,
}

/// What a daemon's gossip counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GossipInfo {
    /// Where it is reached.
    pub address: Option<String>,
    /// How many members are in each state, in the words of the catalog.
    pub members: BTreeMap<String, u64>,
    /// Named numbers: queue lengths, health score, open streams, …
    pub numbers: BTreeMap<String, u64>,
}

/// What a daemon knows of user events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventInfo {
    /// How many it holds.
    pub held: u64,
    /// How many it has taken in since its start.
    pub seen: u64,
    /// The Lamport time of the newest.
    pub ltime: u64,
}

/// What became of a join.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Joined {
    /// Addresses at which a member of the cluster answered.
    pub reached: Vec<String>,
    /// The others.
    pub failed: Vec<NotReached>,
}

/// A node and where it is in the space of round trip times. The form is Consul's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Place {
    /// Its name; its id if it has none.
    pub node: String,
    /// Always empty.
    #[serde(default)]
    pub segment: String,
    /// Where it is.
    pub coord: Coord,
}

/// A point in the space of round trip times. All numbers but the error are seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Coord {
    /// The Euclidean part.
    pub vec: [f32; DIMENSIONS],
    /// How unsure the node is of all this.
    #[serde(default)]
    pub error: f32,
    /// Correction of the estimate by recent errors.
    #[serde(default)]
    pub adjustment: f32,
    /// How far the access link puts the node above the plane.
    #[serde(default)]
    pub height: f32,
}

/// An address at which no member answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NotReached {
    /// As it was given.
    pub address: String,
    /// Why.
    pub why: String,
}

impl Client {
    /// `GET /v1/members`: every member that gossip knows, failed ones too.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 501 if the daemon does not gossip.
    pub async fn members(&self) -> Result<Answer<Vec<Member>>, ClientError> {
        self.get_of_fleet(self.route(&["v1", "members"])).await
    }

    /// `GET /v1/agent/info`: the daemon and the numbers of its gossip.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn info(&self) -> Result<Answer<Info>, ClientError> {
        self.get_of_fleet(self.route(&["v1", "agent", "info"])).await
    }

    /// `PUT /v1/agent/join/:addresses`: the daemon contacts these now, and again for as long as it runs. They are written as
    /// in GOSSIP_JOIN, without commas; 64 at most.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 400 if one of them is no address, which changes nothing; with 502 if nobody of the
    /// cluster answered at any of them: they are tried again all the same.
    pub async fn join(&self, addresses: &[&str]) -> Result<Joined, ClientError> {
        let mut url = self.route(&["v1", "agent", "join", &addresses.join(",")]);
        url.set_query(Some("verbose"));
        Ok(self.put(url.clone(), Vec::new(), FLEET_TIMEOUT).await?.json(&url)?.value)
    }

    /// `PUT /v1/agent/force-leave/:node`: everybody forgets this failed node, given as name or id. With `prune` also that it
    /// was ever there.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the node is not known (404), is alive, or shares its name with others (409).
    pub async fn force_leave(&self, node: &str, prune: bool) -> Result<(), ClientError> {
        let mut url = self.route(&["v1", "agent", "force-leave", node]);
        url.set_query(Some(if prune { "strict&prune" } else { "strict" }));
        self.put(url, Vec::new(), FLEET_TIMEOUT).await.map(drop)
    }

    /// `GET /v1/coordinate/nodes`: every member that told where it is.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 501 if the daemon does not gossip.
    pub async fn coordinates(&self) -> Result<Answer<Vec<Place>>, ClientError> {
        self.get_of_fleet(self.route(&["v1", "coordinate", "nodes"])).await
    }

    /// `GET /v1/coordinate/node/:node`: where the nodes of this name are, or the one of this id, or (`_agent`) the daemon's
    /// own. A node that has not told yet is asked.
    ///
    /// ```no_run
    /// # async fn demo() -> Result<(), lobby::client::ClientError> {
    /// # let client = lobby::client::Client::new("http://127.0.0.1:1313")?;
    /// let (here, there) = (client.coordinate("_agent").await?.value, client.coordinate("web-1").await?.value);
    /// println!("about {:?} there and back", here[0].coord.distance(&there[0].coord));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 404 if the node or its coordinate is not known. Never an empty list.
    pub async fn coordinate(&self, node: &str) -> Result<Answer<Vec<Place>>, ClientError> {
        let url = self.route(&["v1", "coordinate", "node", node]);
        let places: Answer<Vec<Place>> = self.get_of_fleet(url.clone()).await?;
        match places.value.is_empty() {
            true => Err(ClientError::Unexpected { url: url.into(), why: "an empty list".into() }),
            false => Ok(places),
        }
    }
}

impl Coord {
    /// The estimated round trip between two nodes.
    pub fn distance(&self, other: &Self) -> Duration {
        self.to_core().distance(&other.to_core())
    }

    const fn to_core(&self) -> Coordinate {
        Coordinate { vec: self.vec, height: self.height, adjustment: self.adjustment, error: self.error }
    }
}
