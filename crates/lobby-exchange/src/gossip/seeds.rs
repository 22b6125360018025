//! Seeds as people write them, and the addresses they have at this moment.

use std::net::{IpAddr, SocketAddr};

use super::DEFAULT_PORT;

/// All addresses of all seeds; those that do not resolve are left out and logged.
pub(super) async fn resolve(seeds: impl IntoIterator<Item = String>) -> Vec<SocketAddr> {
    let mut addrs = Vec::new();
    for seed in seeds {
        match tokio::net::lookup_host(with_port(&seed)).await {
            Ok(found) => addrs.extend(found),
            Err(err) => tracing::debug!("seed {seed} does not resolve: {err}"),
        }
    }
    addrs
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
