//! Asks an agent over Consul's HTTP API with blocking queries. Decides when a question is asked again, what counts as news, and
//! when one is given up.
//!
//! ```text
//! ask ─► cold or an error: wait, ask from the start ─► index seen before: nothing new ─► read ─► equal: nothing new ─► News
//!  ▲                                                                                                                  │
//!  └──────────────────────────────── 100 ms later, with the index: held until it moves ◄──────────────────────────────┘
//! ```
//! A lobbyd that is not warm does not know who is missing: what it says is no answer, and the one before stays.
//! Lobby's own questions have routes that cannot be waited on: for those one waits on the catalog's revision.
//! Not here: which route a question has (`route`), reading bodies (`decode`), HTTP (`transport`).

mod route;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::decode::{self, Instances};
use super::transport::{BODY_BYTES, Reply, Transport, TransportError};
use super::{News, Source};
use crate::query::Wanted;
use crate::{Answer, Query};
use route::Route;

/// How long a question rests that nothing can be waited on for: an agent without indexes, a selector.
const POLL: Duration = Duration::from_secs(2);

/// Data centres cannot be waited on, and hardly ever change.
const DATACENTERS_POLL: Duration = Duration::from_secs(15);

/// A lobbyd that starts is warm after a second or two.
const COLD_POLL: Duration = Duration::from_millis(250);

/// Lobby's own questions are answered from several requests, and anything in the fleet may be news to them.
const OWN_PAUSE: Duration = Duration::from_millis(500);

/// States of nodes and their labels may change without a revision; they are looked at after this.
const OWN_WAIT: Duration = Duration::from_secs(10);

/// Added to the time that an agent may hold a request before it counts as lost.
const GRACE: Duration = Duration::from_secs(30);

/// How an agent is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How long the agent holds a question without news.
    pub wait: Duration,
    /// Between two requests of one question.
    pub pause: Duration,
    /// What happens after an error.
    pub retry: Retry,
    /// How old an answer of a follower may be: such a one is asked for (`stale`), and once more without if it was too old.
    /// Zero: followers pass the question on. A lobbyd answers from its own memory in any case.
    pub max_stale: Duration,
}

/// How often, and how soon, a question is repeated that was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Whether there are any repetitions.
    pub enabled: bool,
    /// So many repetitions, then it has failed. 0: for ever.
    pub attempts: u32,
    /// Before the first one; twice as long before each further one.
    pub backoff: Duration,
    /// But never longer.
    pub max_backoff: Duration,
}

impl Default for Options {
    /// As consul-template: held for a minute, 100 ms in between.
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(60),
            pause: Duration::from_millis(100),
            retry: Retry::default(),
            max_stale: Duration::ZERO,
        }
    }
}

impl Default for Retry {
    /// As consul-template: 12 attempts, from 250 ms to a minute.
    fn default() -> Self {
        Self { enabled: true, attempts: 12, backoff: Duration::from_millis(250), max_backoff: Duration::from_secs(60) }
    }
}

impl Retry {
    /// How long to wait after so many failures in a row; None: no more.
    fn pause(&self, failures: u32) -> Option<Duration> {
        if !self.enabled || self.attempts > 0 && failures > self.attempts {
            return None;
        }
        let doubled = 2u32.checked_pow(failures.saturating_sub(1)).and_then(|times| self.backoff.checked_mul(times));
        Some(doubled.map_or(self.max_backoff, |pause| pause.min(self.max_backoff)))
    }
}

/// An agent that speaks Consul's HTTP API.
#[derive(Debug)]
pub struct Consul<T> {
    transport: T,
    options: Options,
}

impl<T: Transport> Consul<T> {
    /// The agent behind this transport.
    pub fn new(transport: T, options: Options) -> Self {
        Self { transport, options }
    }
}

impl<T: Transport> Source for Consul<T> {
    async fn watch(&self, query: Query, news: mpsc::Sender<News>) {
        let watch =
            Watch { of: self, query, news: news.clone(), index: None, own: None, told: None, failures: 0, is_cold: false };
        tokio::select! {
            () = news.closed() => {}
            () = watch.run() => {}
        }
    }

    fn is_doubtful(&self) -> bool {
        self.transport.is_doubtful()
    }
}

/// Why there is no answer.
#[derive(Debug)]
enum Trouble {
    /// The agent does not know yet.
    Cold,
    /// It may be better soon.
    Passing(String),
    /// It never will be.
    Lasting(String),
}

/// One question with what is known of it.
struct Watch<'a, T> {
    of: &'a Consul<T>,
    query: Query,
    news: mpsc::Sender<News>,
    /// What is waited to be passed. None: the next request is answered at once.
    index: Option<u64>,
    /// The name of the agent's own node, once it was asked for.
    own: Option<String>,
    told: Option<Answer>,
    /// In a row.
    failures: u32,
    /// It was told that the agent is not warm.
    is_cold: bool,
}

impl<T: Transport> Watch<'_, T> {
    /// Until the question has failed or nobody listens.
    async fn run(mut self) {
        loop {
            let pause = match self.look().await {
                Ok((answer, pause)) => {
                    (self.failures, self.is_cold) = (0, false);
                    if let Some(answer) = answer.filter(|answer| self.told.as_ref() != Some(answer)) {
                        self.told = Some(answer.clone());
                        self.tell(News::Answer(self.query.clone(), answer)).await;
                    }
                    Some(pause)
                }
                Err(trouble) => self.suffer(trouble).await,
            };
            match pause {
                Some(pause) if !self.news.is_closed() => sleep(pause).await,
                _ => return,
            }
        }
    }

    /// Tells of trouble, and how long to wait then; None: it is over.
    async fn suffer(&mut self, trouble: Trouble) -> Option<Duration> {
        // Whoever answers next may be another one, or have started anew.
        (self.index, self.own) = (None, None);
        let query = self.query.clone();
        match trouble {
            Trouble::Cold => {
                self.failures = 0;
                if !std::mem::replace(&mut self.is_cold, true) {
                    let message = "lobbyd is not warm yet: it does not know the whole fleet".into();
                    self.tell(News::Trouble { query, message, attempts: 0 }).await;
                }
                Some(COLD_POLL)
            }
            Trouble::Passing(message) => {
                self.failures = self.failures.saturating_add(1);
                let pause = self.of.options.retry.pause(self.failures);
                let attempts = self.failures;
                self.tell(match pause {
                    Some(_) => News::Trouble { query, message, attempts },
                    None => News::Failed { query, message },
                })
                .await;
                pause
            }
            Trouble::Lasting(message) => {
                self.tell(News::Failed { query, message }).await;
                None
            }
        }
    }

    /// That nobody listens shows in `run`.
    async fn tell(&self, news: News) {
        let _ = self.news.send(news).await;
    }

    /// Asks once. The answer, unless its index says that it is as before; and how long to wait before it is asked again.
    async fn look(&mut self) -> Result<(Option<Answer>, Duration), Trouble> {
        let query = self.query.clone();
        match &query {
            Query::Selected { selector } => {
                self.turn(OWN_WAIT).await?;
                let reply = self.fetch(&route::selected(selector), None, Duration::ZERO).await?;
                Ok((Some(Answer::Selected(read(decode::labelled(&reply.body))?)), OWN_PAUSE))
            }
            Query::Instances { service: Some(name), selector } if selector.is_empty() => {
                let route = route::instances(name).map_err(Trouble::Lasting)?;
                let (reply, pause) = self.blocked(&route).await?;
                let Some(reply) = reply else { return Ok((None, pause)) };
                lobby_only(&reply)?;
                let instances = read(decode::health(&reply.body, &[Wanted::Any], false))?;
                Ok((Some(Answer::Instances(instances.into())), pause))
            }
            Query::Instances { service, selector } => {
                self.turn(OWN_WAIT).await?;
                let instances = self.instances(service.as_deref(), selector).await?;
                Ok((Some(Answer::Instances(instances.into())), OWN_PAUSE))
            }
            Query::Datacenters => {
                let reply = self.fetch(&Route::plain("/v1/catalog/datacenters"), None, Duration::ZERO).await?;
                Ok((Some(Answer::Datacenters(read(decode::datacenters(&reply.body))?)), DATACENTERS_POLL))
            }
            query => {
                let own = if matches!(query, Query::Node { name: None, .. }) { Some(self.own().await?) } else { None };
                let route = Route::of(query, own.as_deref()).map_err(Trouble::Lasting)?;
                let (reply, pause) = self.blocked(&route).await?;
                let Some(reply) = reply else { return Ok((None, pause)) };
                Ok((Some(read(answer(query, &reply))?), pause))
            }
        }
    }

    /// Asks a route that can be waited on. No reply: its index is as before.
    async fn blocked(&mut self, route: &Route) -> Result<(Option<Reply>, Duration), Trouble> {
        let reply = self.fetch(route, self.index, self.of.options.wait).await?;
        let seen = self.index;
        self.index = next_index(seen, reply.index);
        let is_old = self.told.is_some() && seen.is_some() && seen == reply.index;
        let pause = if reply.index.unwrap_or(0) == 0 { POLL } else { self.of.options.pause };
        Ok(((!is_old).then_some(reply), pause))
    }

    /// Waits until the revision of lobbyd's catalog is another one, or for so long.
    async fn turn(&mut self, wait: Duration) -> Result<(), Trouble> {
        let reply = self.fetch(&Route::plain(route::REVISION), self.index, wait).await?;
        lobby_only(&reply)?;
        self.index = next_index(self.index, reply.index);
        Ok(())
    }

    /// The instances of one service, or of all, that a selector takes; by service, node and id.
    async fn instances(&self, service: Option<&str>, selector: &str) -> Result<Instances, Trouble> {
        let names = match service {
            Some(name) => vec![name.to_owned()],
            None => {
                let reply = self.fetch(&route::services(selector), None, Duration::ZERO).await?;
                read(decode::service_names(&reply.body))?
            }
        };
        let mut instances = Instances::new();
        for name in names {
            let chosen = self.fetch(&route::chosen(&name, selector).map_err(Trouble::Lasting)?, None, Duration::ZERO).await?;
            if chosen.status == 404 {
                continue;
            }
            let health = self.fetch(&route::instances(&name).map_err(Trouble::Lasting)?, None, Duration::ZERO).await?;
            let health = read(decode::health(&health.body, &[Wanted::Any], false))?;
            instances.extend(read(decode::chosen(&chosen.body, &health))?);
        }
        Ok(instances)
    }

    /// The name of the agent's own node.
    async fn own(&mut self) -> Result<String, Trouble> {
        if let Some(own) = &self.own {
            return Ok(own.clone());
        }
        let reply = self.fetch(&Route::plain("/v1/agent/self"), None, Duration::ZERO).await?;
        let own = read(decode::own_name(&reply.body))?;
        Ok(self.own.insert(own).clone())
    }

    /// An answer of one request that is not too old; only replies with an answer in them, from an agent that knows.
    async fn fetch(&self, route: &Route, index: Option<u64>, wait: Duration) -> Result<Reply, Trouble> {
        let most = self.of.options.max_stale;
        if most.is_zero() || !route.may_be_stale() {
            return self.request(route, index, wait).await;
        }
        let reply = self.request(&route.stale(), index, wait).await?;
        match reply.last_contact.is_some_and(|age| age > most) {
            true => self.request(route, index, wait).await,
            false => Ok(reply),
        }
    }

    async fn request(&self, route: &Route, index: Option<u64>, wait: Duration) -> Result<Reply, Trouble> {
        let (path, wait) = match index {
            Some(index) => (route.since(index, wait), wait),
            None => (route.path.clone(), Duration::ZERO),
        };
        let within = wait + wait / 16 + GRACE;
        let reply = match timeout(within, self.of.transport.get(&path, wait)).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(TransportError { message, is_retryable: true })) => return Err(Trouble::Passing(message)),
            Ok(Err(TransportError { message, is_retryable: false })) => return Err(Trouble::Lasting(message)),
            Err(_) => return Err(Trouble::Passing(format!("no answer within {} s", within.as_secs()))),
        };
        route.judge(reply)
    }
}

/// What the next request waits to be passed. One that fell, and 0, are those of a store that began anew.
fn next_index(seen: Option<u64>, got: Option<u64>) -> Option<u64> {
    got.filter(|got| *got > 0 && seen.is_none_or(|seen| *got >= seen))
}

fn answer(query: &Query, reply: &Reply) -> Result<Answer, String> {
    let (body, is_there) = (&*reply.body, reply.status != 404);
    Ok(match query {
        Query::Service(of) => Answer::Service(decode::health(body, &of.statuses, of.near.is_some())?.into()),
        Query::Services { .. } => Answer::Services(decode::services(body)?),
        Query::Nodes { near, .. } => Answer::Nodes(decode::nodes(body, near.is_some())?),
        Query::Node { .. } => Answer::Node(decode::node_services(body)?),
        Query::Key { .. } => Answer::Key(if is_there { decode::key(body)? } else { None }),
        Query::Keys { .. } if !is_there => Answer::Keys(Arc::new([])),
        Query::Keys { prefix, .. } => Answer::Keys(decode::keys(body, prefix)?),
        Query::Datacenters | Query::File(_) | Query::Selected { .. } | Query::Instances { .. } => {
            return Err("this question has no route of its own".into());
        }
    })
}

/// What cannot be read may be cut off, or of an agent that is being replaced.
fn read<A>(answer: Result<A, String>) -> Result<A, Trouble> {
    answer.map_err(Trouble::Passing)
}

fn lobby_only(reply: &Reply) -> Result<(), Trouble> {
    match reply.warm {
        Some(_) => Ok(()),
        None => Err(Trouble::Lasting("`where`, `labels` and `instances` need a lobbyd; this agent is none".into())),
    }
}
