//! NATS as an exchange: one subject that everybody publishes to and listens on, as the Go daemon does.
//!
//! ```text
//! CHANNEL             hi, goodbye (the Go daemon's packets)        everybody listens
//! CHANNEL.ask         who answers newcomers; reply is an inbox     queue group of all whose picture is complete
//! CHANNEL.ask.NODE    a question to one node, answered by its hi   that node listens
//! ```
//! The client library keeps the connection and the subscriptions for ever; what it reports about the connection becomes
//! our link state. Not here: what is sent when (`broker`), settings into options (`options`).

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_nats::{Client, Event, ServerAddr, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use lobby_core::{
    port::PeerLink,
    stats::{PacketKind, Stats, Verdict},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    Exchange, ExchangeError,
    backoff::Backoff,
    broker::{self, Address, Answering, Bus, BusEvent, Setup, Topic},
    clock::Clock,
};

mod options;

/// Name of the queue group of those who answer newcomers.
const QUEUE: &str = "lobby";

/// How to reach NATS and what to say there.
#[derive(Clone, Debug)]
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
            keep_alive: Duration::from_secs(5),
            backoff: Backoff::default(),
        }
    }
}

/// The NATS exchange.
#[derive(Debug)]
pub struct Nats {
    config: Config,
    servers: Vec<ServerAddr>,
    options: async_nats::ConnectOptions,
    clock: Clock,
}

impl Nats {
    /// Checks the settings and reads the files they name. Does not connect.
    pub fn try_new(config: Config, clock: Clock) -> Result<Self, ExchangeError> {
        let servers = options::servers(&config)?;
        let options = options::options(&config, &servers)?;
        Ok(Self { config, servers, options, clock })
    }
}

impl Exchange for Nats {
    async fn run(self, link: PeerLink, stop: CancellationToken) -> Result<(), ExchangeError> {
        let node = link.announcement.borrow().record.origin.node_id().expect("our own record has a node id");
        let bus = NatsBus::open(self.options, self.servers, &self.config.channel, node, link.stats.clone()).await?;
        let Config { cluster, keep_alive, .. } = self.config;
        let setup = Setup { broker: "nats", cluster, keep_alive, answering: Answering::Queue };
        Box::pin(broker::run(bus, setup, link, self.clock, stop)).await;
        Ok(())
    }
}

/// What the client library last said about the connection.
#[derive(Clone, Debug, Default)]
struct Status {
    /// How often it has connected.
    connects: u64,
    up: bool,
    /// Somebody was told that there is no connection; once is enough until there is one.
    failing: bool,
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
    status: watch::Receiver<Status>,
    /// The last status that was reported.
    reported: Status,
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
        let (sender, status) = watch::channel(Status::default());
        let sender = Arc::new(sender);
        let options = options.event_callback(move |event| note(sender.clone(), stats.clone(), event));
        let unusable = |err: &dyn std::fmt::Display| ExchangeError::Setting { setting: "NATS_URL", why: err.to_string() };
        let client = options.connect(&servers[..]).await.map_err(|err| unusable(&err))?;
        let bad_channel =
            |err: async_nats::SubscribeError| ExchangeError::Setting { setting: "NATS_DISCOVERY_CHANNEL", why: err.to_string() };
        let inbox = client.new_inbox();
        Ok(Self {
            packets: client.subscribe(channel.to_owned()).await.map_err(bad_channel)?,
            own_asks: client.subscribe(format!("{channel}.ask.{node}")).await.map_err(bad_channel)?,
            answers: client.subscribe(inbox.clone()).await.map_err(bad_channel)?,
            asks: None,
            channel: channel.to_owned(),
            client,
            inbox,
            status,
            reported: Status::default(),
        })
    }

    /// The change of the connection that was not reported yet. A return that came too fast to be seen as one is still two
    /// reports: what was sent in between is lost.
    fn status_change(&mut self) -> Option<BusEvent> {
        let status = self.status.borrow_and_update().clone();
        match (self.reported.up, status.up) {
            (true, false) => {
                self.reported.up = false;
                Some(BusEvent::Down { why: "connection lost".into() })
            }
            (true, true) if status.connects != self.reported.connects => {
                self.reported.up = false;
                Some(BusEvent::Down { why: "connection lost and restored".into() })
            }
            (false, true) => {
                self.reported = status;
                Some(BusEvent::Up { max_bytes: self.client.max_payload() })
            }
            _ => None,
        }
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
                changed = self.status.changed() => match changed {
                    Ok(()) => continue,
                    // The client's task has ended, which it does only with its last handle: ours.
                    Err(_) => return std::future::pending().await,
                },
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
        if !self.reported.up || !self.status.borrow().up {
            return false;
        }
        let payload = Bytes::from(payload);
        let sent = match to {
            Address::Packets => self.client.publish(self.channel.clone(), payload).await,
            Address::Asks => self.client.publish_with_reply(format!("{}.ask", self.channel), self.inbox.clone(), payload).await,
            Address::Node(node) => self.client.publish(format!("{}.ask.{node}", self.channel), payload).await,
            // Only to inboxes: a question must not make us write to any other subject.
            Address::Answer(_, Some(inbox)) if inbox.starts_with("_INBOX.") => self.client.publish(inbox, payload).await,
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
        if self.status.borrow().up {
            let _ = self.client.flush().await;
        }
    }
}

async fn note(sender: Arc<watch::Sender<Status>>, stats: Arc<Stats>, event: Event) {
    match event {
        Event::Connected => sender.send_modify(|status| {
            status.connects += 1;
            (status.up, status.failing) = (true, false);
        }),
        Event::Disconnected | Event::Closed => sender.send_modify(|status| status.up = false),
        Event::ServerError(err) => tracing::warn!(error = %err, "nats: the server reports an error"),
        Event::ClientError(err) => sender.send_modify(|status| {
            if !std::mem::replace(&mut status.failing, true) {
                tracing::warn!(error = %err, "nats: no connection; trying again for ever");
            }
        }),
        // Told for each packet that is lost.
        Event::SlowConsumer(_) => {
            stats.received(PacketKind::Hi, Verdict::Refused, 0);
            let lost = stats.received_count(PacketKind::Hi, Verdict::Refused);
            if lost.is_power_of_two() {
                tracing::warn!(lost, "nats: packets are lost because we read too slowly");
            }
        }
        Event::LameDuckMode | Event::Draining => {}
    }
}
