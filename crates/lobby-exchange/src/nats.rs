//! NATS as an exchange: one subject that everybody publishes to and listens on, as the Go daemon does.
//!
//! ```text
//! CHANNEL             hi, goodbye (the Go daemon's packets)        everybody listens
//! CHANNEL.ask         who answers newcomers; reply is an inbox     queue group of all whose picture is complete
//! CHANNEL.ask.NODE    a question to one node, answered by its hi   that node listens
//! ```
//! The client library keeps the connection and the subscriptions for ever; the state of its connection becomes our link
//! state. Not here: what is sent when (`broker`), settings into options (`options`).

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, Event, ServerAddr, StatusCode, Subscriber, connection::State};
use bytes::Bytes;
use futures_util::StreamExt;
use lobby_core::{
    port::PeerLink,
    proof::Checker,
    stats::{PacketKind, Stats, Verdict},
};
use tokio::{
    sync::{Notify, watch},
    time::{Interval, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Exchange, ExchangeError,
    backoff::Backoff,
    broker::{self, Address, Answering, Bus, BusEvent, Setup, Topic},
    clock::Clock,
    seal::{self, Keys},
};

mod options;

/// Name of the queue group of those who answer newcomers.
const QUEUE: &str = "lobby";

/// How often the state of the connection is looked at. The client's events wake us sooner, but it drops those that find
/// its queue full, and sends each a moment before the state changes.
const CHECK: Duration = Duration::from_millis(500);

/// How to reach NATS and what to say there. Its debug form hides all secrets.
#[derive(Clone)]
pub struct Config {
    /// NATS_URL: servers, each `nats://` or `tls://` with an optional `user:password@` or `token@`.
    pub urls: Vec<String>,
    /// NATS_DISCOVERY_CHANNEL.
    pub channel: String,
    /// NATS_USER; wins over the URL's.
    pub user: Option<String>,
    /// NATS_PASSWORD.
    pub password: Option<String>,
    /// NATS_TOKEN; wins over the URL's.
    pub token: Option<String>,
    /// NATS_CREDS: a credentials file (JWT and seed).
    pub creds: Option<PathBuf>,
    /// NATS_NKEY: an nkey seed, or a file that contains one.
    pub nkey: Option<String>,
    /// NATS_CA: PEM file of authorities to trust instead of the system's. Makes TLS required.
    pub ca: Option<PathBuf>,
    /// NATS_CERT: PEM file of the client certificate; needs `key`.
    pub cert: Option<PathBuf>,
    /// NATS_KEY: PEM file of the client certificate's key.
    pub key: Option<PathBuf>,
    /// CLUSTER.
    pub cluster: String,
    /// EXCHANGE_KEY, and how strict it is; may change while we run. See [`seal::fixed`].
    pub keys: watch::Receiver<Keys>,
    /// KEEP_ALIVE.
    pub keep_alive: Duration,
    /// How long to wait between attempts to connect.
    pub backoff: Backoff,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            channel: "lobby.discovery".into(),
            user: None,
            password: None,
            token: None,
            creds: None,
            nkey: None,
            ca: None,
            cert: None,
            key: None,
            cluster: "lobby".into(),
            keys: seal::fixed(Keys::default()),
            keep_alive: Duration::from_secs(5),
            backoff: Backoff::default(),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "***");
        f.debug_struct("Config")
            .field("urls", &self.urls.iter().map(|urls| options::without_identity(urls)).collect::<Vec<_>>())
            .field("channel", &self.channel)
            .field("user", &self.user)
            .field("password", &hidden(&self.password))
            .field("token", &hidden(&self.token))
            .field("creds", &self.creds)
            .field("nkey", &hidden(&self.nkey))
            .field("ca", &self.ca)
            .field("cert", &self.cert)
            .field("key", &self.key)
            .field("cluster", &self.cluster)
            .field("keys", &self.keys.borrow().list.len())
            .field("keep_alive", &self.keep_alive)
            .field("backoff", &self.backoff)
            .finish()
    }
}

/// The NATS exchange.
pub struct Nats {
    config: Config,
    servers: Vec<ServerAddr>,
    options: async_nats::ConnectOptions,
    clock: Clock,
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Nats {
    /// Checks the settings and reads the files they name. Does not connect.
    pub fn try_new(config: Config, clock: Clock) -> Result<Self, ExchangeError> {
        options::check_channel(&config.channel)?;
        let servers = options::servers(&config)?;
        let options = options::options(&config, &servers)?;
        Ok(Self { config, servers, options, clock })
    }
}

impl Exchange for Nats {
    async fn run(self, link: PeerLink, stop: CancellationToken) -> Result<(), ExchangeError> {
        let node = link.announcement.borrow().record.origin.node_id().expect("our own record has a node id");
        let bus = NatsBus::open(self.options, self.servers, &self.config.channel, node, link.stats.clone()).await?;
        let Config { cluster, keys, keep_alive, .. } = self.config;
        let check = Checker::new(&cluster).into_check();
        let setup = Setup { broker: "nats", cluster, keep_alive, answering: Answering::Queue, keys, check };
        Box::pin(broker::run(bus, setup, link, self.clock, stop)).await;
        Ok(())
    }
}

struct NatsBus {
    client: Client,
    channel: String,
    inbox: String,
    packets: Subscriber,
    own_asks: Subscriber,
    answers: Subscriber,
    /// Only while our picture is complete.
    asks: Option<Subscriber>,
    /// The client had an event: its state may be another.
    woken: Arc<Notify>,
    check: Interval,
    /// Whether we last reported that the link is up, and at which of the client's connects.
    reported_up: bool,
    reported_connects: u64,
}

impl NatsBus {
    /// Starts the client. Its own task ends with this value; if there is no connection then, when there is one again.
    async fn open(
        options: async_nats::ConnectOptions,
        servers: Vec<ServerAddr>,
        channel: &str,
        node: lobby_core::id::NodeId,
        stats: Arc<Stats>,
    ) -> Result<Self, ExchangeError> {
        let events = Arc::new(Events { woken: Arc::default(), failing: AtomicBool::new(false), stats });
        let woken = events.woken.clone();
        let options = options.event_callback(move |event| {
            events.note(event);
            std::future::ready(())
        });
        let unusable = |err: &dyn std::fmt::Display| ExchangeError::Setting { setting: "NATS_URL", why: err.to_string() };
        let client = options.connect(&servers[..]).await.map_err(|err| unusable(&err))?;
        let bad_channel =
            |err: async_nats::SubscribeError| ExchangeError::Setting { setting: "NATS_DISCOVERY_CHANNEL", why: err.to_string() };
        let inbox = client.new_inbox();
        let mut check = interval(CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            packets: client.subscribe(channel.to_owned()).await.map_err(bad_channel)?,
            own_asks: client.subscribe(format!("{channel}.ask.{node}")).await.map_err(bad_channel)?,
            answers: client.subscribe(inbox.clone()).await.map_err(bad_channel)?,
            asks: None,
            channel: channel.to_owned(),
            client,
            inbox,
            woken,
            check,
            reported_up: false,
            reported_connects: 0,
        })
    }

    /// The change of the connection that was not reported yet. A return that came too fast to be seen as one is still two
    /// reports: what was sent in between is lost.
    fn status_change(&mut self) -> Option<BusEvent> {
        let up = self.is_connected();
        // After the state: the client counts a connect before it says that it is connected.
        let connects = self.client.statistics().connects.load(Ordering::Relaxed);
        match (self.reported_up, up) {
            (true, false) => {
                self.reported_up = false;
                Some(BusEvent::Down { why: "connection lost".into() })
            }
            (true, true) if connects != self.reported_connects => {
                self.reported_up = false;
                Some(BusEvent::Down { why: "connection lost and restored".into() })
            }
            (false, true) => {
                (self.reported_up, self.reported_connects) = (true, connects);
                Some(BusEvent::Up { max_bytes: self.client.max_payload() })
            }
            _ => None,
        }
    }

    fn is_connected(&self) -> bool {
        matches!(self.client.connection_state(), State::Connected)
    }
}

impl Bus for NatsBus {
    async fn next(&mut self) -> BusEvent {
        loop {
            if let Some(event) = self.status_change() {
                return event;
            }
            let asks = async {
                match &mut self.asks {
                    Some(asks) => asks.next().await,
                    None => std::future::pending().await,
                }
            };
            let (topic, message) = tokio::select! {
                () = self.woken.notified() => continue,
                _ = self.check.tick() => continue,
                message = self.packets.next() => (Topic::Packets, message),
                message = self.own_asks.next() => (Topic::OwnAsks, message),
                message = self.answers.next() => (Topic::Answers, message),
                message = asks => (Topic::Asks, message),
            };
            match message {
                // "Nobody listens there": a newcomer among newcomers, or among old daemons.
                Some(message) if message.status == Some(StatusCode::NO_RESPONDERS) => {}
                Some(message) => {
                    let reply = message.reply.map(|reply| reply.to_string());
                    return BusEvent::Message { topic, reply, payload: message.payload };
                }
                None => return std::future::pending().await,
            }
        }
    }

    async fn send(&mut self, to: Address, payload: Vec<u8>) -> bool {
        // While there is no connection the client would keep packets and send them when they are old.
        if !self.reported_up || !self.is_connected() {
            return false;
        }
        let payload = Bytes::from(payload);
        let sent = match to {
            Address::Packets => self.client.publish(self.channel.clone(), payload).await,
            Address::Asks => self.client.publish_with_reply(format!("{}.ask", self.channel), self.inbox.clone(), payload).await,
            Address::Node(node) => self.client.publish(format!("{}.ask.{node}", self.channel), payload).await,
            Address::Answer(_, Some(inbox)) if is_inbox(&inbox) => self.client.publish(inbox, payload).await,
            Address::Answer(..) => return false,
        };
        sent.is_ok()
    }

    async fn serve(&mut self, willing: bool) {
        self.asks = None;
        if willing {
            self.asks = self.client.queue_subscribe(format!("{}.ask", self.channel), QUEUE.into()).await.ok();
        }
    }

    async fn flush(&mut self) {
        if self.is_connected() {
            let _ = self.client.flush().await;
        }
    }
}

/// Whether a question may have its answer there: it must not make us write to any other subject, nor to several.
fn is_inbox(subject: &str) -> bool {
    subject.starts_with("_INBOX.") && subject.split('.').all(|token| !matches!(token, "" | "*" | ">"))
}

/// Where the client's events go.
struct Events {
    woken: Arc<Notify>,
    /// Somebody was told that there is no connection; once is enough until there is one.
    failing: AtomicBool,
    stats: Arc<Stats>,
}

impl Events {
    fn note(&self, event: Event) {
        self.woken.notify_one();
        match event {
            Event::Connected => self.failing.store(false, Ordering::Relaxed),
            Event::ServerError(err) => tracing::warn!(error = %err, "nats: the server reports an error"),
            Event::ClientError(err) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(error = %err, "nats: no connection; trying again for ever");
                }
            }
            // Told for each packet that is lost.
            Event::SlowConsumer(_) => {
                self.stats.received(PacketKind::Hi, Verdict::Refused, 0);
                let lost = self.stats.received_count(PacketKind::Hi, Verdict::Refused);
                if lost.is_power_of_two() {
                    tracing::warn!(lost, "nats: packets are lost because we read too slowly");
                }
            }
            Event::Disconnected | Event::Closed | Event::LameDuckMode | Event::Draining => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_inbox;

    #[test]
    fn answers_go_to_one_inbox_and_nowhere_else() {
        assert!(is_inbox("_INBOX.abc") && is_inbox("_INBOX.abc.1"));
        for other in [
            "",
            "_INBOX",
            "_INBOX.",
            "_INBOXES.a",
            "_INBOX.>",
            "_INBOX.*",
            "_INBOX.a.>",
            "lobby.discovery",
            "$JS.API.INFO",
            "$SYS.REQ",
        ] {
            assert!(!is_inbox(other), "{other}");
        }
    }
}
