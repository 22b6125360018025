//! User events: firing one, the newest that the daemon holds, and a watch over them.
//!
//! The routes and bodies are Consul's (`/v1/event/…`), so an event looks as Consul's clients know it.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{Method, Url};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Answer, Client, ClientError, FLEET_TIMEOUT, TIMEOUT};

/// How long one question of a watch waits at the daemon before it is asked anew.
const WAIT: Duration = Duration::from_secs(60);

/// Time until the next question to a daemon that answers at once instead of waiting.
const TURN: Duration = Duration::from_millis(250);

/// Events that a watch knows again: four times what a daemon holds. One that starts anew is told its old events by the
/// others, a part at a time.
const KNOWN: usize = 1024;

/// Whom a user event or a query is for: everybody, or who matches all that is given. Together at most 128 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    /// A regular expression found in the node's name, or the node's whole id.
    pub node: Option<String>,
    /// A regular expression found in the name of one of its services.
    pub service: Option<String>,
    /// A regular expression found in one of the tags of that service.
    pub tag: Option<String>,
    /// Each a label, or the beginning of one up to a colon.
    pub labels: Vec<String>,
}

/// A user event as a daemon holds it. Its JSON form is Consul's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Event {
    /// Its identity, a UUID.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it says.
    #[serde(serialize_with = "to_base64_or_null", deserialize_with = "from_base64")]
    pub payload: Vec<u8>,
    /// For which nodes it is; empty: all.
    pub node_filter: String,
    /// For nodes with which service it is.
    pub service_filter: String,
    /// With which tag of that service.
    pub tag_filter: String,
    /// The version of the form.
    pub version: u64,
    /// Lamport time: an event that was fired after another one had been seen has a higher one. 0 in the answer to
    /// [`Client::fire`].
    #[serde(rename = "LTime")]
    pub ltime: u64,
}

/// The events that a daemon takes in, beginning with those it holds already.
#[derive(Debug)]
pub struct EventWatch {
    client: Client,
    url: Url,
    /// The events that were returned, oldest first, at most [`KNOWN`].
    order: VecDeque<String>,
    known: BTreeSet<String>,
    /// The `X-Consul-Index` of the last answer.
    index: Option<String>,
}

impl Client {
    /// `PUT /v1/event/fire/:name`: tells the fleet that something happens. Name and payload are bounded: 64 bytes and 1 KiB.
    ///
    /// ```no_run
    /// # async fn demo() -> Result<(), lobby::client::ClientError> {
    /// # use lobby::client::{Audience, Client};
    /// # let client = Client::new("http://127.0.0.1:1313")?;
    /// let web = Audience { labels: vec!["service:web".into()], ..Audience::default() };
    /// client.fire("deploy", b"v1.2", &web).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Refused`] when a bound is exceeded or a pattern is none (400), or the daemon does not gossip (501).
    pub async fn fire(&self, name: &str, payload: &[u8], audience: &Audience) -> Result<Event, ClientError> {
        let mut url = self.route(&["v1", "event", "fire", name]);
        audience.append_to(&mut url);
        Ok(self.put(url.clone(), payload.to_vec(), FLEET_TIMEOUT).await?.json(&url)?.value)
    }

    /// `GET /v1/event/list`: the newest events for the daemon's node, at most 256, oldest first. With a name, those only.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(&self, name: Option<&str>) -> Result<Answer<Vec<Event>>, ClientError> {
        self.get(self.event_list(name)).await
    }

    /// Follows the events; see [`EventWatch`].
    pub fn watch_events(&self, name: Option<&str>) -> EventWatch {
        EventWatch {
            client: self.clone(),
            url: self.event_list(name),
            order: VecDeque::new(),
            known: BTreeSet::new(),
            index: None,
        }
    }

    fn event_list(&self, name: Option<&str>) -> Url {
        let mut url = self.route(&["v1", "event", "list"]);
        if let Some(name) = name {
            url.query_pairs_mut().append_pair("name", name);
        }
        url
    }
}

impl EventWatch {
    /// Waits for events that were not returned yet, and returns them, oldest first; never an empty list, and none twice,
    /// also when the daemon starts anew and is told its old events by others.
    ///
    /// # Errors
    /// See [`ClientError`]. The watch stays usable: the next call asks again and returns what came meanwhile.
    pub async fn next(&mut self) -> Result<Vec<Event>, ClientError> {
        loop {
            let mut url = self.url.clone();
            if let Some(index) = &self.index {
                let wait = format!("{}s", WAIT.as_secs());
                url.query_pairs_mut().append_pair("index", index).append_pair("wait", &wait);
            }
            // The daemon adds up to a sixteenth to the wait.
            let within = WAIT + WAIT / 16 + TIMEOUT;
            let response = self.client.open(Method::GET, url.clone(), Vec::new(), within).await?;
            let index = response.headers().get("x-consul-index").and_then(|value| value.to_str().ok()).map(str::to_owned);
            let events = self.client.read(response).await?.json::<Vec<Event>>(&url)?.value;
            let waited = self.index.is_some() && index != self.index;
            self.index = index;
            let news: Vec<_> = events.into_iter().filter(|event| self.note(&event.id)).collect();
            if !news.is_empty() {
                return Ok(news);
            }
            if !waited {
                tokio::time::sleep(TURN).await;
            }
        }
    }

    /// Whether this event is new; it is known from now on.
    fn note(&mut self, id: &str) -> bool {
        let is_new = self.known.insert(id.to_owned());
        if is_new {
            self.order.push_back(id.to_owned());
        }
        if self.order.len() > KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        is_new
    }
}

impl Audience {
    /// Adds what is given to the query string.
    pub(super) fn append_to(&self, url: &mut Url) {
        let labels = self.labels.iter().map(|label| ("label", Some(label)));
        let rest = [("node", &self.node), ("service", &self.service), ("tag", &self.tag)];
        for (key, value) in rest.map(|(key, value)| (key, value.as_ref())).into_iter().chain(labels) {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(key, value);
            }
        }
    }
}

/// Consul shows an empty payload as null.
fn to_base64_or_null<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    if bytes.is_empty() { serializer.serialize_none() } else { to_base64(bytes, serializer) }
}

pub(super) fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
}

pub(super) fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    BASE64_STANDARD.decode(text).map_err(serde::de::Error::custom)
}
