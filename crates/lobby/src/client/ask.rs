//! Queries to the fleet: one question, and its acknowledgements and answers as they come.
//!
//! Not here: who answers (handlers of the daemons), nor events, which nobody answers (`event`).

use std::{error::Error, io, time::Duration};

use reqwest::{Method, Response, Url};
use serde::{Deserialize, Serialize};

use super::{Audience, Client, ClientError, FLEET_TIMEOUT, NodeName, answer, event};

/// The longest line that is read: the largest answer, 64 KiB, both as escaped text and in base64, stays below it.
const LINE_BYTES: usize = 1 << 20;

/// A query that is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Its name, at most 64 bytes.
    pub name: String,
    /// What it says, at most 1 KiB.
    pub payload: Vec<u8>,
    /// Whom it is for.
    pub audience: Audience,
    /// How long answers are waited for: a minute at most.
    pub timeout: Duration,
    /// Whether everybody who got the query says so.
    pub ack: bool,
    /// Through how many other members each answer travels as well: 8 at most.
    pub relays: u8,
}

/// What comes back for a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[non_exhaustive]
pub enum News {
    /// The query is on its way. Comes first.
    Asked {
        /// Its name.
        name: String,
        /// How many nodes it is for, as far as the daemon knows.
        asked: u64,
    },
    /// A node got the query.
    Ack {
        /// Its id.
        id: String,
        /// Its name; none if it publishes no record.
        name: Option<String>,
    },
    /// A node answered.
    Answer {
        /// Its id.
        id: String,
        /// Its name; none if it publishes no record.
        name: Option<String>,
        /// The answer, if it is text.
        text: Option<String>,
        /// The answer.
        #[serde(rename = "base64", serialize_with = "event::to_base64", deserialize_with = "event::from_base64")]
        payload: Vec<u8>,
    },
    /// Nothing more comes. Comes last.
    End {
        /// `complete`: the time is over or everybody has answered; `stopping`: the daemon stops.
        end: String,
        /// How many nodes got the query.
        acks: u64,
        /// How many answered.
        answers: u64,
        /// Who should have acknowledged it and did not; `None` when nobody was asked to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        missing: Option<Vec<NodeName>>,
    },
    /// Something that this version does not know.
    #[serde(other)]
    Other,
}

/// A query under way. Dropping it ends the waiting, here and at the daemon.
#[derive(Debug)]
pub struct Asking {
    client: Client,
    url: Url,
    response: Response,
    /// What was received of lines that were not returned yet.
    received: Vec<u8>,
    ended: bool,
}

impl Query {
    /// A query to everybody, with the usual times: acknowledged, two seconds, no relays.
    pub fn new(name: &str, payload: &[u8]) -> Self {
        let (name, payload, audience) = (name.to_owned(), payload.to_owned(), Audience::default());
        Self { name, payload, audience, timeout: Duration::from_secs(2), ack: true, relays: 0 }
    }
}

impl Client {
    /// `PUT /v1/ask/:name`: asks the fleet. News come until the time is over or everybody has answered.
    ///
    /// ```no_run
    /// # async fn demo() -> Result<(), lobby::client::ClientError> {
    /// # use lobby::client::{Client, News, Query};
    /// # let client = Client::new("http://127.0.0.1:1313")?;
    /// let mut asking = client.ask(&Query::new("load", b"")).await?;
    /// while let Some(news) = asking.next().await? {
    ///     if let News::Answer { name, text, .. } = news {
    ///         println!("{name:?} says {text:?}");
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Refused`] when a bound is exceeded or a pattern is none (400), too many queries are under way (429), or
    /// the daemon does not gossip (501). Nobody was asked then.
    pub async fn ask(&self, query: &Query) -> Result<Asking, ClientError> {
        let mut url = self.route(&["v1", "ask", &query.name]);
        query.audience.append_to(&mut url);
        url.query_pairs_mut()
            .append_pair("timeout", &format!("{}ms", query.timeout.as_millis()))
            .append_pair("ack", if query.ack { "true" } else { "false" })
            .append_pair("relay", &query.relays.to_string())
            .append_pair("stream", "true");
        let within = query.timeout.saturating_add(FLEET_TIMEOUT);
        let response = self.open(Method::PUT, url.clone(), query.payload.clone(), within).await?;
        Ok(Asking { client: self.clone(), url, response, received: Vec::new(), ended: false })
    }
}

impl Asking {
    /// The next news; `None` after [`News::End`]. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ClientError::NotReachable`] if the daemon goes away before the end; what was returned so far holds.
    pub async fn next(&mut self) -> Result<Option<News>, ClientError> {
        while !self.ended {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<_> = self.received.drain(..=end).collect();
                let news = serde_json::from_slice(&line).map_err(|err| answer::unexpected(&self.url, &err))?;
                self.ended = matches!(news, News::End { .. });
                return Ok(Some(news));
            }
            match self.response.chunk().await.map_err(|err| self.client.lost(err))? {
                None => return Err(self.cut_off()),
                Some(_) if self.received.len() > LINE_BYTES => {
                    let why = format!("a line of more than {LINE_BYTES} bytes");
                    return Err(ClientError::Unexpected { url: self.url.to_string(), why });
                }
                Some(chunk) => self.received.extend_from_slice(&chunk),
            }
        }
        Ok(None)
    }

    fn cut_off(&self) -> ClientError {
        let source: Box<dyn Error + Send + Sync> = Box::new(io::Error::from(io::ErrorKind::UnexpectedEof));
        ClientError::NotReachable { url: self.client.shown.clone(), source }
    }
}
