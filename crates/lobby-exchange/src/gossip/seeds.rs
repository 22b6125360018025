//! Seeds as people write them, and the addresses they have at this moment.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{net::lookup_host, task::JoinSet, time::timeout};

use super::DEFAULT_PORT;

/// What the seeds resolve to.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) addrs: Vec<SocketAddr>,
    /// Whether every seed has an address.
    pub(super) all: bool,
}

/// All addresses of all seeds, each of which may take `most`; those that do not resolve are left out and logged.
pub(super) async fn resolve(seeds: impl IntoIterator<Item = String>, most: Duration) -> Resolved {
    let look_up = |seed: String| async move {
        let found = timeout(most, lookup_host(with_port(&seed))).await.map_err(std::io::Error::from).flatten();
        match found {
            Ok(found) => found.collect(),
            Err(err) => {
                tracing::debug!("seed {seed} does not resolve: {err}");
                Vec::new()
            }
        }
    };
    // One task per seed: a name server that is silent about one name holds up no other.
    let found = seeds.into_iter().map(look_up).collect::<JoinSet<_>>().join_all().await;
    Resolved { all: found.iter().all(|addrs| !addrs.is_empty()), addrs: found.concat() }
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
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_seed_that_does_not_resolve_leaves_the_others() {
        let resolve =
            |names: &[&str]| resolve(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), Duration::from_secs(5));
        let local = SocketAddr::from(([127, 0, 0, 1], 7));
        let partly = resolve(&["no such host", "127.0.0.1:7"]).await;
        assert_eq!((partly.addrs, partly.all), (vec![local], false));
        let wholly = resolve(&["127.0.0.1:7"]).await;
        assert_eq!((wholly.addrs, wholly.all), (vec![local], true));
    }

    #[test]
    fn a_missing_port_is_1314() {
        const CASES: &[(&str, &str)] = &[
            ("seed.example.com", "seed.example.com:1314"),
            ("seed.example.com:7", "seed.example.com:7"),
            ("10.0.0.1", "10.0.0.1:1314"),
            ("10.0.0.1:9", "10.0.0.1:9"),
            ("2001:db8::1", "[2001:db8::1]:1314"),
            ("[2001:db8::1]:9", "[2001:db8::1]:9"),
            ("[2001:db8::1]", "[2001:db8::1]:1314"),
        ];
        for (seed, want) in CASES {
            assert_eq!(with_port(seed), *want);
        }
    }
}
