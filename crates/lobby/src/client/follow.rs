//! Follows one service and tells its instances whenever they are others.
//!
//! ```text
//! GET /v1/health/service/:name?index=N   waits at the daemon until something about the service moved
//! GET /v1/services/:name?where=…         then tells its instances
//! ```
//! The index is read before the instances, so that nothing is missed in between: at worst one look is in vain. An index that
//! falls is that of another start of the daemon, and begins anew.
//! Not here: the list of all servers (`watch`).

use std::{collections::BTreeMap, time::Duration};

use reqwest::Method;

use super::{Client, ClientError, Instance, TIMEOUT};

/// How long one question waits at the daemon before it is asked anew.
const WAIT: Duration = Duration::from_secs(60);

/// Time until the next question to a daemon that answers at once instead of waiting, or is not warm.
const TURN: Duration = Duration::from_millis(250);

/// How long a daemon that does not answer is left alone: first, and at most. A local daemon is back within a second or two,
/// and many may watch it.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The instances of a service, again whenever they are others.
///
/// ```no_run
/// # async fn demo() {
/// # let client = lobby::client::Client::new("http://127.0.0.1:1313").unwrap();
/// let mut web = client.service_changes("web", Some("status=passing"));
/// loop {
///     match web.next().await {
///         Ok(instances) => println!("{} can be used", instances.len()),
///         Err(err) => eprintln!("{err}; asking again"),
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct ServiceWatch {
    client: Client,
    name: String,
    selector: Option<String>,
    /// The `X-Consul-Index` up to which the instances were looked at.
    index: Option<u64>,
    /// What was told last.
    told: Option<Vec<Instance>>,
    /// How long the next question waits.
    pause: Duration,
    /// The same after the next failure.
    backoff: Duration,
}

impl Client {
    /// Follows a service, or those of its instances that the selector takes; see [`ServiceWatch`].
    pub fn service_changes(&self, name: &str, selector: Option<&str>) -> ServiceWatch {
        ServiceWatch {
            client: self.clone(),
            name: name.to_owned(),
            selector: selector.map(str::to_owned),
            index: None,
            told: None,
            pause: Duration::ZERO,
            backoff: BACKOFF.0,
        }
    }
}

impl ServiceWatch {
    /// Waits until the instances are others than those told last, and tells all of them; the first time at once. A service
    /// that nobody offers has none.
    ///
    /// How long ago a node was heard of, and what a check says beside its status, is no change; the former is not told. A
    /// daemon that is not warm does not know who is missing, so whoever was told stays. Dropping the future loses nothing.
    ///
    /// # Errors
    /// See [`ClientError`]. The watch stays usable: the next call waits a little, longer after each failure, and asks again.
    pub async fn next(&mut self) -> Result<Vec<Instance>, ClientError> {
        loop {
            tokio::time::sleep(self.pause).await;
            let looked = self.look().await;
            match &looked {
                Ok(_) => self.backoff = BACKOFF.0,
                Err(_) => (self.pause, self.backoff) = (self.backoff, BACKOFF.1.min(self.backoff * 2)),
            }
            let now = looked?;
            let is_same = self.told.as_ref().is_some_and(|told| judged(told).eq(judged(&now)));
            if !is_same {
                self.told = Some(now.clone());
                return Ok(now);
            }
        }
    }

    /// Waits until something may have moved, and looks.
    async fn look(&mut self) -> Result<Vec<Instance>, ClientError> {
        let (index, was_warm) = self.moved().await?;
        let instances = match self.client.service(&self.name, self.selector.as_deref()).await {
            Ok(answer) => answer.value,
            Err(ClientError::Refused { status: 404, message }) if !message.starts_with("no route") => Vec::new(),
            Err(err) => return Err(err),
        };
        let is_warm = was_warm.unwrap_or(true);
        let stood_still = index.is_none() || index == self.index;
        // Before it is warm nothing says when it will be.
        self.pause = if is_warm && !stood_still { Duration::ZERO } else { TURN };
        self.index = if is_warm { index } else { None };
        Ok(joined(self.told.as_deref().filter(|_| !is_warm), instances))
    }

    /// Waits for the next index of the service, and says whether the daemon is warm. No index: it gives none, or begins anew.
    async fn moved(&self) -> Result<(Option<u64>, Option<bool>), ClientError> {
        let mut url = self.client.route(&["v1", "health", "service", &self.name]);
        if let Some(index) = self.index {
            let wait = format!("{}s", WAIT.as_secs());
            url.query_pairs_mut().append_pair("index", &index.to_string()).append_pair("wait", &wait);
        }
        // The daemon adds up to a sixteenth to the wait.
        let response = self.client.open(Method::GET, url, Vec::new(), WAIT + WAIT / 16 + TIMEOUT).await?;
        let index = response.headers().get("x-consul-index").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        // Read to its end, so that the connection can be used again.
        let warm = self.client.read(response).await?.warm;
        Ok((index.filter(|index| *index > 0 && self.index.is_none_or(|seen| *index >= seen)), warm))
    }
}

/// The instances with those that an incomplete picture lacks.
fn joined(told: Option<&[Instance]>, mut now: Vec<Instance>) -> Vec<Instance> {
    for instance in &mut now {
        instance.age_ms = None;
    }
    let key = |instance: &Instance| (instance.node.clone(), instance.node_id.clone(), instance.id.clone());
    let mut all: BTreeMap<_, _> = now.into_iter().map(|instance| (key(&instance), instance)).collect();
    for instance in told.unwrap_or_default() {
        all.entry(key(instance)).or_insert_with(|| instance.clone());
    }
    all.into_values().collect()
}

/// What counts as a change.
fn judged(instances: &[Instance]) -> impl Iterator<Item = Instance> {
    instances.iter().cloned().map(|mut instance| {
        for check in &mut instance.checks {
            check.output.clear();
        }
        instance
    })
}
