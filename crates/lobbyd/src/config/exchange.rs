//! DRIVER and the settings of each exchange.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
};

use lobby::{
    ExchangeError,
    clock::Clock,
    core::port::gossip::{SEED, is_seed},
    gossip, nats, redis,
    seal::Keys,
};
use tokio::sync::watch;

use super::{ConfigError, Driver, Gossip, Read};

/// Most keys a node accepts: one primary and four that are coming or going.
const KEYS: usize = 5;

/// The exchanges that DRIVER names, or the default.
pub(super) fn drivers(
    read: &Read<'_>,
    keys: &watch::Receiver<Keys>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Driver>, ConfigError> {
    let mut names: Vec<_> = read.list("DRIVER").iter().map(|name| name.to_ascii_lowercase()).collect();
    if names.is_empty() {
        names.push(read.raw.default_driver().into());
    }
    // Checked whether used or not: a mistake in an idle setting is a mistake that waits.
    let redis = redis(read, keys)?;
    redis::Redis::try_new(redis.clone(), Clock::start()).map_err(|err| unusable(&err))?;
    let mut drivers = Vec::new();
    for (idx, name) in names.iter().enumerate() {
        if names[..idx].contains(name) {
            return Err(read.refuse("DRIVER", "each exchange once"));
        }
        drivers.push(match name.as_str() {
            "gossip" => Driver::Gossip(Box::new(gossip(read)?)),
            "nats" => {
                warnings.extend(unused_nats(read));
                Driver::Nats(Box::new(nats(read, keys)?))
            }
            "redis" => {
                warnings.extend(unused_redis(read));
                Driver::Redis(Box::new(redis.clone()))
            }
            _ => return Err(read.refuse("DRIVER", "a comma list of gossip, nats and redis")),
        });
    }
    if !keys.borrow().list.is_empty() && !drivers.iter().any(|driver| matches!(driver, Driver::Nats(_) | Driver::Redis(_))) {
        warnings.push(format!(
            "EXCHANGE_KEY is set, but seals packets to NATS and Redis only, and DRIVER is {}: set DRIVER, or GOSSIP_KEY for gossip",
            names.join(",")
        ));
    }
    Ok(drivers)
}

fn gossip(read: &Read<'_>) -> Result<Gossip, ConfigError> {
    let bind: SocketAddr = read.parse("GOSSIP_ADDR", "IP:PORT, such as 0.0.0.0:1314")?;
    let join = read.list("GOSSIP_JOIN");
    if join.iter().any(|seed| !is_seed(seed)) {
        return Err(read.refuse("GOSSIP_JOIN", format!("a comma list, each {SEED}")));
    }
    let keys = keys(read)?;
    let (is_loopback, insecure) = (bind.ip().is_loopback(), read.truth("GOSSIP_INSECURE")?);
    if !is_loopback && keys.is_empty() && !insecure {
        return Err(ConfigError::Together(format!(
            "GOSSIP_ADDR = {bind} is not a loopback address: set GOSSIP_KEY (lobbyctl keygen makes one), or GOSSIP_INSECURE=true \
             in a network where nobody else can send packets"
        )));
    }
    if let Some(seed) = join.iter().find(|seed| is_loopback && is_off_host(seed)) {
        return Err(ConfigError::Together(format!(
            "GOSSIP_JOIN names {seed:?}, which is another machine, but GOSSIP_ADDR = {bind} can only be reached from this one: \
             set GOSSIP_ADDR, for example to 0.0.0.0:{}",
            bind.port()
        )));
    }
    let config = gossip::Config {
        bind,
        advertise: advertise(read)?,
        join,
        keys,
        cluster: read.text("CLUSTER").to_owned(),
        profile: read.parse("GOSSIP_PROFILE", "lan, wan or fast")?,
        beacon: beacon(read)?,
        // The agent keeps them in the folder of its store.
        folder: None,
    };
    Ok(Gossip { config, insecure, default_addr: read.is_default("GOSSIP_ADDR") })
}

/// A multicast group and a port.
fn beacon(read: &Read<'_>) -> Result<Option<SocketAddr>, ConfigError> {
    match read.text("GOSSIP_BEACON") {
        "" | "off" => Ok(None),
        text => match text.parse().ok().filter(|addr: &SocketAddr| addr.ip().is_multicast() && addr.port() != 0) {
            Some(addr) => Ok(Some(addr)),
            None => Err(read.refuse(
                "GOSSIP_BEACON",
                "off, or a multicast address (224.0.0.0/4 or ff00::/8) and a port, such as 239.255.13.14:1315 or [ff02::1314]:1315",
            )),
        },
    }
}

fn keys(read: &Read<'_>) -> Result<Vec<gossip::Key>, ConfigError> {
    let refuse = || read.refuse("GOSSIP_KEY", format!("up to {KEYS} keys, each base64 of 32 bytes, as lobbyctl keygen prints"));
    let list = read.list("GOSSIP_KEY");
    if list.len() > KEYS {
        return Err(refuse());
    }
    list.iter().map(|key| key.parse().map_err(|_| refuse())).collect()
}

/// `IP` or `IP:PORT`; port 0 stands for the one we listen on.
fn advertise(read: &Read<'_>) -> Result<Option<SocketAddr>, ConfigError> {
    let text = read.text("GOSSIP_ADVERTISE");
    if text.is_empty() {
        return Ok(None);
    }
    let with_port = text.parse().ok();
    let addr = with_port.or_else(|| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0)));
    match addr.filter(|addr| !addr.ip().is_unspecified()) {
        Some(addr) => Ok(Some(addr)),
        None => Err(read.refuse("GOSSIP_ADVERTISE", "an IP address that others reach, with or without a port")),
    }
}

/// Whether a seed is on another machine: everything but a loopback address and localhost.
fn is_off_host(seed: &str) -> bool {
    let ip = seed.parse::<SocketAddr>().map(|addr| addr.ip()).or_else(|_| seed.parse::<IpAddr>());
    let name = seed.rsplit_once(':').map_or(seed, |(name, _)| name);
    ip.map_or(!name.eq_ignore_ascii_case("localhost"), |ip| !ip.is_loopback())
}

fn nats(read: &Read<'_>, keys: &watch::Receiver<Keys>) -> Result<nats::Config, ConfigError> {
    let urls = read.list("NATS_URL");
    if urls.is_empty() {
        return Err(ConfigError::Together("DRIVER names nats: set NATS_URL, for example to nats://127.0.0.1:4222".into()));
    }
    let config = nats::Config {
        urls,
        channel: read.text("NATS_DISCOVERY_CHANNEL").to_owned(),
        cluster: read.text("CLUSTER").to_owned(),
        keys: keys.clone(),
        keep_alive: read.positive_seconds("KEEP_ALIVE")?,
        user: read.some_text("NATS_USER"),
        password: read.some_text("NATS_PASSWORD"),
        token: read.some_text("NATS_TOKEN"),
        creds: read.path("NATS_CREDS"),
        nkey: read.some_text("NATS_NKEY"),
        ca: read.path("NATS_CA"),
        cert: read.path("NATS_CERT"),
        key: read.path("NATS_KEY"),
        ..nats::Config::default()
    };
    // Reads the files that it names, does not connect.
    nats::Nats::try_new(config.clone(), Clock::start()).map_err(|err| unusable(&err))?;
    Ok(config)
}

/// Warnings about ways to log in of which another one counts, and about a user without a password.
fn unused_nats(read: &Read<'_>) -> Vec<String> {
    // In the order in which the exchange looks for them.
    let ways = ["NATS_CREDS", "NATS_NKEY", "NATS_TOKEN", "NATS_USER"].into_iter();
    let mut ways = ways.filter(|name| !read.text(name).is_empty());
    let Some(counts) = ways.next() else { return Vec::new() };
    let of_user = |name| if name == "NATS_USER" { format!("{name} = {:?}", read.text(name)) } else { name.to_owned() };
    let unused = |name| format!("{} is not used, because {counts} counts: leave one of them out", of_user(name));
    let mut warnings: Vec<_> = ways.map(unused).collect();
    // The password may stand in the URL.
    if counts == "NATS_USER" && read.text("NATS_PASSWORD").is_empty() && !read.text("NATS_URL").contains('@') {
        warnings.push(format!("{} has no NATS_PASSWORD: an empty one is used", of_user(counts)));
    }
    warnings
}

fn unused_redis(read: &Read<'_>) -> Option<String> {
    let (user, password) = (read.text("REDIS_USER"), read.text("REDIS_PASSWORD"));
    (!user.is_empty() && password.is_empty())
        .then(|| format!("REDIS_USER = {user:?} is not used without REDIS_PASSWORD (any will do for a user with nopass)"))
}

fn unusable(err: &ExchangeError) -> ConfigError {
    ConfigError::Together(err.to_string())
}

fn redis(read: &Read<'_>, keys: &watch::Receiver<Keys>) -> Result<redis::Config, ConfigError> {
    let port: NonZeroU16 = read.parse("REDIS_PORT", "a port from 1 to 65535")?;
    let db: u32 = read.parse("REDIS_DB", "the number of a database, from 0")?;
    Ok(redis::Config {
        host: read.text("REDIS_HOST").to_owned(),
        port: port.get(),
        db: db.into(),
        channel: read.text("REDIS_CHANNEL").to_owned(),
        cluster: read.text("CLUSTER").to_owned(),
        keys: keys.clone(),
        keep_alive: read.positive_seconds("KEEP_ALIVE")?,
        user: read.some_text("REDIS_USER"),
        password: read.some_text("REDIS_PASSWORD"),
        tls: read.truth("REDIS_TLS")?,
        ca: read.path("REDIS_CA"),
        cert: read.path("REDIS_CERT"),
        key: read.path("REDIS_KEY"),
        ..redis::Config::default()
    })
}
