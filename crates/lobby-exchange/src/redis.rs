//! Redis pub/sub as an exchange, compatible with the Go daemon.
//!
//! ```text
//! CHANNEL               hi, goodbye (the Go daemon's packets)                    everybody listens
//! CHANNEL:ask           questions of newcomers, and who has taken one            everybody listens
//! CHANNEL:ask:NODE      a question to one node, answered by its hi               that node listens
//! CHANNEL:answer:NODE   the answer to a newcomer                                 that newcomer listens
//! ```
//! One connection in protocol 3 (Redis 6 or newer) both publishes and listens. A ping with a deadline finds out when its
//! other end is dead. Not here: what is sent when (`broker`), settings into options (`options`).

use std::{fmt, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use lobby_core::{
    id::NodeId,
    limits,
    port::PeerLink,
    proof::Checker,
    stats::{PacketKind, Stats, Verdict},
};
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, RedisResult, Value, aio::MultiplexedConnection};
use tokio::{
    sync::{mpsc, watch},
    time::{Sleep, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Exchange, ExchangeError,
    backoff::{Backoff, random},
    broker::{self, Address, Answering, Bus, BusEvent, Setup, Topic},
    clock::Clock,
    seal::{self, Keys},
};

mod options;

/// Largest payload we publish. Redis has no limit worth the name; this is the default one of NATS.
const MAX_BYTES: usize = limits::RECORD_BYTES;

/// Payloads that wait for us to read them. Further ones are dropped and counted, and repeated with the next hi.
const UNREAD: usize = 4096;

/// How often the connection is probed, and how long anything may take to be acknowledged.
const PING: Duration = Duration::from_secs(3);
const RESPONSE: Duration = Duration::from_secs(2);

/// How long one attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How to reach Redis and what to say there. Its debug form hides the password.
#[derive(Clone)]
pub struct Config {
    /// REDIS_HOST.
    pub host: String,
    /// REDIS_PORT.
    pub port: u16,
    /// REDIS_DB. Channels are shared by all databases; the number only has to exist.
    pub db: i64,
    /// REDIS_CHANNEL.
    pub channel: String,
    /// REDIS_USER.
    pub user: Option<String>,
    /// REDIS_PASSWORD.
    pub password: Option<String>,
    /// REDIS_TLS.
    pub tls: bool,
    /// PEM file of authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// REDIS_CERT: PEM file of the client certificate; needs `key`. Makes TLS required.
    pub cert: Option<PathBuf>,
    /// REDIS_KEY: PEM file of the client certificate's key.
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
            host: "127.0.0.1".into(),
            port: 6379,
            db: 0,
            channel: "lobby:discovery".into(),
            user: None,
            password: None,
            tls: false,
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
        f.debug_struct("Config")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("db", &self.db)
            .field("channel", &self.channel)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("tls", &self.tls)
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

/// The Redis exchange.
pub struct Redis {
    config: Config,
    client: Client,
    clock: Clock,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Redis {
    /// Checks the settings and reads the file they name. Does not connect.
    pub fn try_new(config: Config, clock: Clock) -> Result<Self, ExchangeError> {
        let client = options::client(&config)?;
        Ok(Self { config, client, clock })
    }
}

impl Exchange for Redis {
    async fn run(self, link: PeerLink, stop: CancellationToken) -> Result<(), ExchangeError> {
        let Config { channel, cluster, keys, keep_alive, backoff, .. } = self.config;
        let node = link.announcement.borrow().record.origin.node_id().expect("our own record has a node id");
        let door = Arc::new(Door { client: self.client, channels: Channels::new(&channel, node), stats: link.stats.clone() });
        let state = State::Connecting(connect(door.clone()));
        let bus = RedisBus { door, backoff, attempts: 0, state };
        let check = Checker::new(&cluster).into_check();
        let setup = Setup { broker: "redis", cluster, keep_alive, answering: Answering::Claim, keys, check };
        Box::pin(broker::run(bus, setup, link, self.clock, stop)).await;
        Ok(())
    }
}

/// The names of the channels.
#[derive(Debug)]
struct Channels {
    packets: String,
    asks: String,
    own_asks: String,
    own_answers: String,
}

impl Channels {
    fn new(channel: &str, node: NodeId) -> Self {
        Self {
            packets: channel.to_owned(),
            asks: format!("{channel}:ask"),
            own_asks: format!("{channel}:ask:{node}"),
            own_answers: format!("{channel}:answer:{node}"),
        }
    }

    fn topic(&self, channel: &[u8]) -> Option<Topic> {
        let topics = [
            (&self.packets, Topic::Packets),
            (&self.asks, Topic::Asks),
            (&self.own_asks, Topic::OwnAsks),
            (&self.own_answers, Topic::Answers),
        ];
        topics.into_iter().find(|(name, _)| name.as_bytes() == channel).map(|(_, topic)| topic)
    }

    fn name(&self, to: &Address) -> String {
        match to {
            Address::Packets => self.packets.clone(),
            Address::Asks => self.asks.clone(),
            Address::Node(node) => format!("{}:ask:{node}", self.packets),
            Address::Answer(node, _) => format!("{}:answer:{node}", self.packets),
        }
    }
}

/// Everything an attempt to connect needs.
struct Door {
    client: Client,
    channels: Channels,
    stats: Arc<Stats>,
}

type Attempt<T> = Pin<Box<dyn Future<Output = RedisResult<T>> + Send>>;

/// A connection that is subscribed to all of our channels.
struct Live {
    connection: MultiplexedConnection,
    pushes: mpsc::Receiver<PushInfo>,
    next_ping: Pin<Box<Sleep>>,
    ping: Option<Attempt<()>>,
}

/// Kept between calls of `next`, so that dropping that future loses nothing.
enum State {
    Waiting(Pin<Box<Sleep>>),
    Connecting(Attempt<Live>),
    Up(Live),
    /// A send failed; nobody was told yet.
    Broken(Arc<str>),
}

struct RedisBus {
    door: Arc<Door>,
    backoff: Backoff,
    attempts: u32,
    state: State,
}

impl RedisBus {
    fn wait(&mut self) {
        let delay = self.backoff.delay(self.attempts, random());
        self.attempts = self.attempts.saturating_add(1);
        self.state = State::Waiting(Box::pin(sleep(delay)));
    }

    fn down(&mut self, why: Arc<str>) -> BusEvent {
        self.wait();
        BusEvent::Down { why }
    }
}

impl Bus for RedisBus {
    async fn next(&mut self) -> BusEvent {
        loop {
            match &mut self.state {
                State::Waiting(sleep) => {
                    sleep.await;
                    self.state = State::Connecting(connect(self.door.clone()));
                }
                State::Connecting(attempt) => match attempt.await {
                    Ok(live) => {
                        self.attempts = 0;
                        self.state = State::Up(live);
                        return BusEvent::Up { max_bytes: MAX_BYTES };
                    }
                    Err(err) => {
                        if self.attempts == 0 {
                            tracing::warn!(error = %err, "redis: no connection; trying again for ever");
                        }
                        self.wait();
                    }
                },
                State::Up(live) => match live.next(&self.door.channels).await {
                    Ok(message) => return message,
                    Err(why) => return self.down(why),
                },
                State::Broken(why) => {
                    let why = why.clone();
                    return self.down(why);
                }
            }
        }
    }

    async fn send(&mut self, to: Address, payload: Vec<u8>) -> bool {
        let State::Up(live) = &mut self.state else { return false };
        let publish = redis::cmd("PUBLISH").arg(self.door.channels.name(&to)).arg(payload).exec_async(&mut live.connection).await;
        if let Err(err) = &publish {
            // A refusal (say, of the ACL) concerns this packet; anything else the connection.
            if err.is_io_error() || err.is_timeout() || err.is_unrecoverable_error() {
                self.state = State::Broken(err.to_string().into());
            } else {
                tracing::warn!(error = %err, "redis: the server refuses a packet");
            }
        }
        publish.is_ok()
    }

    async fn serve(&mut self, _willing: bool) {
        // Everybody hears every question: claims of others must be seen.
    }

    async fn flush(&mut self) {
        // Every publish was acknowledged.
    }
}

impl Live {
    async fn next(&mut self, channels: &Channels) -> Result<BusEvent, Arc<str>> {
        loop {
            let idle = self.ping.is_none();
            let ping = async {
                match &mut self.ping {
                    Some(ping) => ping.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                push = self.pushes.recv() => match push {
                    Some(PushInfo { kind: PushKind::Message, data }) => {
                        if let Some(message) = message(data, channels) {
                            return Ok(message);
                        }
                    }
                    Some(PushInfo { kind: PushKind::Disconnection, .. }) | None => return Err("connection lost".into()),
                    Some(_) => {}
                },
                pong = ping => {
                    pong.map_err(|err| Arc::from(err.to_string()))?;
                    self.ping = None;
                    self.next_ping = Box::pin(sleep(PING));
                }
                () = &mut self.next_ping, if idle => {
                    let mut connection = self.connection.clone();
                    self.ping = Some(Box::pin(async move { redis::cmd("PING").exec_async(&mut connection).await }));
                }
            }
        }
    }
}

fn message(data: Vec<Value>, channels: &Channels) -> Option<BusEvent> {
    let [Value::BulkString(channel), Value::BulkString(payload)] = <[Value; 2]>::try_from(data).ok()? else { return None };
    Some(BusEvent::Message { topic: channels.topic(&channel)?, reply: None, payload: Bytes::from(payload) })
}

/// Connects and subscribes. The library's own task reads the connection and must not wait: what does not fit the queue is
/// dropped and counted.
fn connect(door: Arc<Door>) -> Attempt<Live> {
    Box::pin(async move {
        let (sender, pushes) = mpsc::channel(UNREAD);
        let stats = door.stats.clone();
        let keep = move |push: PushInfo| {
            let kept = sender.try_send(push);
            if matches!(kept, Err(mpsc::error::TrySendError::Full(_))) {
                stats.received(PacketKind::Hi, Verdict::Refused, 0);
            }
            kept.map_err(drop)
        };
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(RESPONSE));
        let mut connection = door.client.get_multiplexed_async_connection_with_config(&config.set_push_sender(keep)).await?;
        let Channels { packets, asks, own_asks, own_answers } = &door.channels;
        connection.subscribe(&[packets, asks, own_asks, own_answers][..]).await?;
        Ok(Live { connection, pushes, next_ping: Box::pin(sleep(PING)), ping: None })
    })
}
