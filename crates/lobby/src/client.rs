//! The HTTP client of a running lobbyd: every route of Lobby's REST API, and a watch over its list.
//!
//! What goes by gossip has files of its own: members and where they are (`member`), keys (`keys`), user events
//! (`event`) and queries to the fleet (`ask`). So have services: reading them (`service`), changing what the daemon's own
//! node offers (`registration`, `hold`), following one (`follow`), the local proxy and its deploys (`local`).
//!
//! ```no_run
//! use lobby::client::{Client, Filter};
//!
//! # async fn demo() -> Result<(), lobby::client::ClientError> {
//! let client = Client::new("http://127.0.0.1:1313")?;
//! for packet in client.list(Filter::Labels(&["service:smtp"])).await?.value {
//!     println!("{} was heard of at {}", packet.hostname, packet.last_check);
//! }
//! # Ok(())
//! # }
//! ```
//! Asks one daemon and believes it; never tries again by itself, since the daemon on this machine either answers from
//! memory or is not there. Answers of the Go daemon are read as well; they carry no revision.
//! Not here: how answers are shown to people (`lobbyctl`), nor the server side (`lobby-http`).

use std::{path::Path, time::Duration};

pub use lobby_core::{
    label::{Label, ParseLabelError},
    wire::rest::Packet,
};
use reqwest::{ClientBuilder, Method, Response, StatusCode, Url, header, redirect};
use serde::de::DeserializeOwned;

mod answer;
mod ask;
mod error;
mod event;
mod follow;
mod hold;
mod keys;
mod local;
mod member;
mod raw;
mod registration;
mod service;
mod tls;
mod watch;

pub use self::{
    answer::{Answer, Health, Link, Node, Presence, TargetGroup},
    ask::{Asking, News, Query},
    error::ClientError,
    event::{Audience, Event, EventWatch},
    follow::ServiceWatch,
    hold::Holding,
    keys::{KeyCount, KeyOutcome, Keys, NodeKeys, NodeName, Refusal},
    member::{Agent, Coord, EventInfo, GossipInfo, Info, Joined, Member, NotReached, Place},
    raw::Raw,
    registration::{Applied, OwnCheck, OwnInstance, Status},
    service::{Check, Evidence, Instance, Owner, Service, Weights, Why},
    tls::Tls,
    watch::{Change, Watch},
};

/// How long a connection may take. The daemon is on this machine or one network away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a whole exchange may take where the daemon answers from memory; `leave` takes up to two seconds.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long it may take where the daemon asks the fleet first. Longer than the half minute that it gives itself.
const FLEET_TIMEOUT: Duration = Duration::from_secs(35);

/// The longest answer that is read: a list of 10 000 servers with 200 labels each stays below it.
const BODY_BYTES: usize = 128 << 20;

/// Talks to one lobbyd. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    /// How it is shown to people.
    shown: String,
    token: Option<header::HeaderValue>,
    /// Instead of the token's, where Consul's form of that goes along.
    authorization: Option<header::HeaderValue>,
}

/// Which servers a list shows. A label with a comma in it cannot be asked for: the comma separates labels.
#[derive(Clone, Copy, Debug)]
pub enum Filter<'a> {
    /// Every server.
    All,
    /// Servers that carry any of these labels. An empty list does not filter.
    Labels(&'a [&'a str]),
    /// Servers that carry a label beginning with any of these texts. An empty list does not filter.
    Prefixes(&'a [&'a str]),
}

impl Client {
    /// A client of the daemon at this address, such as `http://127.0.0.1:1313`.
    ///
    /// For `https` the system's certificates are trusted, and the process's rustls provider is used; ring is installed
    /// if there is none yet.
    ///
    /// # Errors
    /// [`ClientError::BadUrl`] if the text is not an `http` or `https` address, or TLS cannot be set up.
    pub fn new(url: &str) -> Result<Self, ClientError> {
        Self::with_tls(url, Tls::default())
    }

    /// The same, that trusts whom `tls` says and shows its certificate. For `http` it means nothing.
    ///
    /// ```no_run
    /// # fn demo() -> Result<(), Box<dyn std::error::Error>> {
    /// use lobby::client::{Client, Tls};
    ///
    /// let tls = Tls::default().trusting(&std::fs::read("ca.pem")?)?;
    /// let tls = tls.showing(&std::fs::read("client.pem")?, &std::fs::read("client.key")?)?;
    /// let client = Client::with_tls("https://localhost:1313", tls)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::BadUrl`] as above; [`ClientError::BadTls`] if what is to be trusted or shown cannot be.
    pub fn with_tls(url: &str, tls: Tls) -> Result<Self, ClientError> {
        let bad = |why: String| ClientError::BadUrl { url: url.to_owned(), why };
        let base: Url = url.parse().map_err(|err| bad(format!("{err}")))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(bad("expected http://HOST:PORT or https://HOST:PORT".into()));
        }
        let http = match base.scheme() {
            "https" => tls.apply(builder()).build().map_err(|err| ClientError::BadTls { why: error::innermost(&err) }),
            _ => plain().build().map_err(|err| bad(error::innermost(&err))),
        };
        Ok(Self { http: http?, shown: base.to_string(), base, token: None, authorization: None })
    }

    /// A client of the daemon at this unix socket, its SOCKET.
    ///
    /// # Errors
    /// [`ClientError::BadUrl`] if no client can be made. That nobody listens there is found by a request.
    pub fn at_socket(path: &Path) -> Result<Self, ClientError> {
        // A `Host` that no daemon refuses.
        let mut client = Self::new("http://localhost")?;
        client.shown = format!("unix:{}", path.display());
        let bad = |err: reqwest::Error| ClientError::BadUrl { url: client.shown.clone(), why: error::innermost(&err) };
        client.http = plain().unix_socket(path).build().map_err(bad)?;
        Ok(client)
    }

    /// The same client, authenticated with the daemon's TOKEN.
    ///
    /// # Errors
    /// [`ClientError::BadToken`] if the token has characters that a header cannot carry.
    pub fn with_token(mut self, token: &str) -> Result<Self, ClientError> {
        let mut value = header::HeaderValue::try_from(format!("Token {token}")).map_err(|_| ClientError::BadToken)?;
        value.set_sensitive(true);
        self.token = Some(value);
        Ok(self)
    }

    /// The address of the daemon, or `unix:` and its socket.
    pub fn url(&self) -> &str {
        &self.shown
    }

    /// `GET /`: the whole packet of each server that the filter lets through.
    ///
    /// # Errors
    /// See [`ClientError`]; the same holds for every request below.
    pub async fn list(&self, filter: Filter<'_>) -> Result<Answer<Vec<Packet>>, ClientError> {
        self.get(self.filtered(&[], filter)).await
    }

    /// `GET /v1/discoveries`: the same list, but with a filter each packet shows only its matching labels.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn discoveries(&self, filter: Filter<'_>) -> Result<Answer<Vec<Packet>>, ClientError> {
        self.get(self.filtered(&["v1", "discoveries"], filter)).await
    }

    /// `GET /v1/discovery`: the daemon's own packet.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn discovery(&self) -> Result<Answer<Packet>, ClientError> {
        self.get(self.route(&["v1", "discovery"])).await
    }

    /// `GET /v1/resolve`: the names of the hosts that carry exactly this label.
    ///
    /// ```no_run
    /// # async fn demo() -> Result<(), lobby::client::ClientError> {
    /// # let client = lobby::client::Client::new("http://127.0.0.1:1313")?;
    /// let names = client.resolve("service:smtp").await?;
    /// if names.warm == Some(false) && names.value.is_empty() {
    ///     println!("the daemon has just started and does not know yet");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn resolve(&self, label: &str) -> Result<Answer<Vec<String>>, ClientError> {
        let mut url = self.route(&["v1", "resolve"]);
        url.query_pairs_mut().append_pair("label", label);
        self.get(url).await
    }

    /// `GET /v1/prometheus/:name`: the scrape targets of one kind, as Prometheus reads them.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 503 while the daemon is not warm and knows no target.
    pub async fn prometheus(&self, name: &str) -> Result<Answer<Vec<TargetGroup>>, ClientError> {
        self.get(self.route(&["v1", "prometheus", name])).await
    }

    /// `POST /v1/labels`: adds runtime labels to the daemon's server. They are announced when this returns.
    ///
    /// ```no_run
    /// # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = lobby::client::Client::new("http://127.0.0.1:1313")?;
    /// client.add_labels(&["service:smtp".parse()?]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Refused`] if a limit is exceeded or the labels cannot be saved; none was added then.
    pub async fn add_labels(&self, labels: &[Label]) -> Result<(), ClientError> {
        self.send_labels(Method::POST, labels).await
    }

    /// `DELETE /v1/labels`: removes runtime labels. Labels of other sources stay; unknown ones are no error.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the change cannot be saved; none was removed then.
    pub async fn remove_labels(&self, labels: &[Label]) -> Result<(), ClientError> {
        self.send_labels(Method::DELETE, labels).await
    }

    /// `GET /v1/nodes`: every node the daemon knows, failed ones too, those of one host name apart.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn nodes(&self) -> Result<Answer<Vec<Node>>, ClientError> {
        self.get(self.route(&["v1", "nodes"])).await
    }

    /// `GET /v1/nodes?near=`: the same, nearest to this node (its name, its id, or `_agent`) first.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the node or where it is is not known (404), several have its name (409), or the daemon
    /// does not gossip (501).
    pub async fn nodes_near(&self, node: &str) -> Result<Answer<Vec<Node>>, ClientError> {
        let mut url = self.route(&["v1", "nodes"]);
        url.query_pairs_mut().append_pair("near", node);
        self.get_of_fleet(url).await
    }

    /// `GET /v1/nodes?where=`: the nodes that the selector takes, also nearest to a node first.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with status 400 if the selector is none; with `near` see [`Client::nodes_near`].
    pub async fn nodes_where(&self, selector: &str, near: Option<&str>) -> Result<Answer<Vec<Node>>, ClientError> {
        let mut url = self.chosen(&["v1", "nodes"], Some(selector));
        if let Some(near) = near {
            url.query_pairs_mut().append_pair("near", near);
        }
        self.get_of_fleet(url).await
    }

    /// `GET /v1/health`: whether the daemon serves, whether it is warm, and the state of its links.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn health(&self) -> Result<Answer<Health>, ClientError> {
        self.get(self.route(&["v1", "health"])).await
    }

    /// `PUT /v1/agent/reload`: the daemon reads its label sources again.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn reload(&self) -> Result<(), ClientError> {
        self.put(self.route(&["v1", "agent", "reload"]), Vec::new(), TIMEOUT).await.map(drop)
    }

    /// `PUT /v1/agent/leave`: the daemon says goodbye to the fleet and ends.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn leave(&self) -> Result<(), ClientError> {
        self.put(self.route(&["v1", "agent", "leave"]), Vec::new(), TIMEOUT).await.map(drop)
    }

    /// Follows the list; see [`Watch`].
    pub fn watch(&self) -> Watch {
        Watch::new(self.clone())
    }

    /// The address of a route. Segments are escaped.
    fn route(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("`new` refuses addresses without a path").pop_if_empty().extend(segments);
        url
    }

    fn filtered(&self, segments: &[&str], filter: Filter<'_>) -> Url {
        let mut url = self.route(segments);
        match filter {
            Filter::All | Filter::Labels([]) | Filter::Prefixes([]) => {}
            Filter::Labels(labels) => drop(url.query_pairs_mut().append_pair("labels", &labels.join(","))),
            Filter::Prefixes(texts) => drop(url.query_pairs_mut().append_pair("prefixes", &texts.join(","))),
        }
        url
    }

    async fn send_labels(&self, method: Method, labels: &[Label]) -> Result<(), ClientError> {
        let body: String = labels.iter().map(|label| format!("{label}\n")).collect();
        self.send(method, self.route(&["v1", "labels"]), body.into(), TIMEOUT).await.map(drop)
    }

    async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<Answer<T>, ClientError> {
        self.send(Method::GET, url.clone(), Vec::new(), TIMEOUT).await?.json(&url)
    }

    /// The same where the daemon asks its gossip first.
    async fn get_of_fleet<T: DeserializeOwned>(&self, url: Url) -> Result<Answer<T>, ClientError> {
        self.send(Method::GET, url.clone(), Vec::new(), FLEET_TIMEOUT).await?.json(&url)
    }

    async fn put(&self, url: Url, body: Vec<u8>, within: Duration) -> Result<Answer<Vec<u8>>, ClientError> {
        self.send(Method::PUT, url, body, within).await
    }

    /// One request; the whole body of a good answer, or the error that a bad one stands for.
    async fn send(&self, method: Method, url: Url, body: Vec<u8>, within: Duration) -> Result<Answer<Vec<u8>>, ClientError> {
        let response = self.open(method, url, body, within).await?;
        self.read(response).await
    }

    /// One request; a good answer whose body is still to be read, or the error that a bad one stands for.
    async fn open(&self, method: Method, url: Url, body: Vec<u8>, within: Duration) -> Result<Response, ClientError> {
        let mut request = self.http.request(method, url).timeout(within).body(body);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        let response = request.send().await.map_err(|err| self.lost(err))?;
        match response.status() {
            StatusCode::OK => Ok(response),
            StatusCode::FORBIDDEN => Err(ClientError::Denied { message: error::message(&self.read(response).await?.value) }),
            status => {
                let message = error::message(&self.read(response).await?.value);
                Err(ClientError::Refused { status: status.as_u16(), message })
            }
        }
    }

    async fn read(&self, mut response: Response) -> Result<Answer<Vec<u8>>, ClientError> {
        let mut answer = Answer::from_headers(response.headers());
        while let Some(chunk) = response.chunk().await.map_err(|err| self.lost(err))? {
            if answer.value.len() + chunk.len() > BODY_BYTES {
                return Err(ClientError::Unexpected {
                    url: response.url().to_string(),
                    why: format!("more than {BODY_BYTES} bytes"),
                });
            }
            answer.value.extend_from_slice(&chunk);
        }
        Ok(answer)
    }

    fn lost(&self, err: reqwest::Error) -> ClientError {
        // The library says that a socket that is not there refused the connection.
        let missing = self.shown.strip_prefix("unix:").and_then(|path| std::fs::metadata(path).err());
        let missing = missing.filter(|_| err.is_connect());
        let source = missing.map_or_else(|| err.without_url().into(), Into::into);
        ClientError::NotReachable { url: self.shown.clone(), source }
    }
}

/// What all clients have in common.
fn builder() -> ClientBuilder {
    crate::fetch::tls_provider();
    // A redirect would carry the token elsewhere; no daemon sends one.
    reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT).redirect(redirect::Policy::none())
}

/// Machines without root certificates can still talk to their own daemon.
fn plain() -> ClientBuilder {
    builder().tls_certs_only([])
}

#[cfg(test)]
mod tests;
