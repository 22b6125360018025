//! Seeds as people write them, and the addresses they have at this moment.
//!
//! `host`, `host:port`, `address`, `address:port` go to the system's resolver, `_name._tcp.domain` to [`srv`].

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{net::lookup_host, task::JoinSet, time::timeout};

use super::{
    DEFAULT_PORT,
    srv::{self, NameServers},
};

/// What the seeds resolve to.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) addrs: Vec<SocketAddr>,
    /// Whether every seed has an address.
    pub(super) all: bool,
}

/// All addresses of all seeds, each of which may take `most`; those that do not resolve are left out and logged.
pub(super) async fn resolve(seeds: impl IntoIterator<Item = String>, servers: &NameServers, most: Duration) -> Resolved {
    let look_up = |seed: String| {
        let servers = servers.clone();
        async move {
            look_up(&seed, &servers, most).await.unwrap_or_else(|why| {
                tracing::debug!("seed {seed} does not resolve: {why}");
                Vec::new()
            })
        }
    };
    // One task per seed: a name server that is silent about one name holds up no other.
    let found = seeds.into_iter().map(look_up).collect::<JoinSet<_>>().join_all().await;
    Resolved { all: found.iter().all(|addrs| !addrs.is_empty()), addrs: found.concat() }
}

/// The addresses of one seed: at least one, or why there is none.
pub(super) async fn look_up(seed: &str, servers: &NameServers, most: Duration) -> Result<Vec<SocketAddr>, String> {
    let found = async {
        if srv::is_srv(seed) {
            srv::look_up(seed, servers).await.map_err(|err| err.to_string())
        } else {
            lookup_host(with_port(seed)).await.map(Iterator::collect).map_err(|err| err.to_string())
        }
    };
    match timeout(most, found).await {
        Err(_) => Err(format!("no name server has answered within {} s", most.as_secs())),
        Ok(Ok(addrs)) if addrs.is_empty() => Err("the name has no address".to_owned()),
        Ok(found) => found,
    }
}

/// `host:port` for `host:port`, `host`, `1.2.3.4`, `2001:db8::1` and `[2001:db8::1]:port`.
fn with_port(seed: &str) -> String {
    if let Ok(ip) = seed.parse::<IpAddr>() {
        return SocketAddr::new(ip, DEFAULT_PORT).to_string();
    }
    match seed.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => seed.to_owned(),
        _ => format!("{seed}:{DEFAULT_PORT}"),
    }
}

#[cfg(test)]
mod name_server;
#[cfg(test)]
mod tests;
