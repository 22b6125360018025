//! The keys of the gossip of the whole cluster: who has which, and changing them on all nodes.
//!
//! A rotation is `install`, `use`, `remove`, each when the list shows that the step before has reached everybody. Keys
//! travel to the daemon only; what comes back are fingerprints.

use serde::{Deserialize, Serialize};

use super::{Answer, Client, ClientError, FLEET_TIMEOUT};

/// The keys of the cluster, as fingerprints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Keys {
    /// Those of the daemon's node: the first seals, all open. Empty: nothing is sealed.
    pub own: Vec<String>,
    /// Every key that any live node has.
    pub keys: Vec<KeyCount>,
    /// Those of each live node, as far as the daemon knows.
    pub nodes: Vec<NodeKeys>,
}

/// How many nodes have one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyCount {
    /// Its fingerprint.
    pub key: String,
    /// How many nodes accept it.
    pub nodes: usize,
    /// How many of them seal with it.
    pub primary: usize,
}

/// The keys of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeKeys {
    /// Its id.
    pub id: String,
    /// Its name, if it tells one.
    pub name: Option<String>,
    /// Fingerprints, primary first; none if it told none.
    pub keys: Vec<String>,
}

/// What became of a change of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyOutcome {
    /// Nodes that did it.
    pub done: Vec<NodeName>,
    /// Nodes that refused.
    pub refused: Vec<Refusal>,
    /// Live nodes that did not answer in time. An installation is repeated by itself until they have it.
    pub silent: Vec<NodeName>,
}

/// Which node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeName {
    /// Its id.
    pub id: String,
    /// Its name, if it tells one.
    pub name: Option<String>,
}

/// Which node refused, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refusal {
    /// Which one.
    #[serde(flatten)]
    pub node: NodeName,
    /// Why.
    pub why: String,
}

impl Client {
    /// `GET /v1/keys`: which node has which keys.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 501 if the daemon does not gossip.
    pub async fn keys(&self) -> Result<Answer<Keys>, ClientError> {
        self.get_of_fleet(self.route(&["v1", "keys"])).await
    }

    /// `PUT /v1/keys/install`: every node accepts this key, base64 of 32 bytes, beside those it has.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the text is no key (400) or there are too many already (409). That single nodes refused
    /// or were silent is no error but in the outcome; the same holds for the two changes below.
    pub async fn install_key(&self, key: &str) -> Result<KeyOutcome, ClientError> {
        self.change_keys("install", key).await
    }

    /// `PUT /v1/keys/use`: every node seals with this key, given as key or fingerprint.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 409 unless every live node has it; nothing was changed then.
    pub async fn use_key(&self, key: &str) -> Result<KeyOutcome, ClientError> {
        self.change_keys("use", key).await
    }

    /// `PUT /v1/keys/remove`: every node forgets this key, given as key or fingerprint.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 409 while any live node seals with it; nothing was changed then.
    pub async fn remove_key(&self, key: &str) -> Result<KeyOutcome, ClientError> {
        self.change_keys("remove", key).await
    }

    async fn change_keys(&self, change: &str, key: &str) -> Result<KeyOutcome, ClientError> {
        let url = self.route(&["v1", "keys", change]);
        Ok(self.put(url.clone(), key.into(), FLEET_TIMEOUT).await?.json(&url)?.value)
    }
}
