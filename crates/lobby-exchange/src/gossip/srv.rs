//! SRV names: `_lobby._tcp.example.com` stands for the hosts and ports that the domain lists under it.
//!
//! The system's resolver cannot look these up, so a small one of our own does; with the system's name servers, read anew
//! each time and without a cache, because a seed is looked up again only when it was of no use.
//! Targets come lowest priority first, then highest weight. All of them are used: a seed that answers is as good as any.

use std::{cmp::Reverse, net::SocketAddr, time::Duration};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{RData, RecordType, rdata::SRV},
};
use tokio::task::JoinSet;

/// How long one name server may take before the next one is asked.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);

/// Targets of one name that are used. A domain with more has more members than anybody needs as seeds.
const MAX_TARGETS: usize = 64;

/// Whom to ask.
#[derive(Clone, Debug, Default)]
pub(super) struct NameServers {
    /// Instead of the system's, when there are any.
    pub(super) instead: Vec<SocketAddr>,
}

/// Whether a seed is written as an SRV name.
pub(super) fn is_srv(seed: &str) -> bool {
    let mut labels = seed.split('.');
    let (service, protocol) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
    service.starts_with('_') && ["_tcp", "_udp"].iter().any(|known| protocol.eq_ignore_ascii_case(known))
}

/// The addresses of all targets, best first. One that has no address is left out, unless none has any.
pub(super) async fn look_up(name: &str, servers: &NameServers) -> Result<Vec<SocketAddr>, NetError> {
    let resolver = servers.resolver()?;
    let found = resolver.lookup(name, RecordType::SRV).await?;
    let targets = found.answers().iter().filter_map(|record| match &record.data {
        RData::SRV(target) => Some(target.clone()),
        _ => None,
    });
    let mut resolving = JoinSet::new();
    for (rank, target) in ranked(targets.collect()).into_iter().enumerate() {
        let resolver = resolver.clone();
        resolving.spawn(async move {
            let ips = resolver.lookup_ip(target.target).await;
            (rank, ips.map(|ips| ips.iter().map(|ip| SocketAddr::new(ip, target.port)).collect::<Vec<_>>()))
        });
    }
    let mut resolved = resolving.join_all().await;
    resolved.sort_by_key(|(rank, _)| *rank);
    let mut addrs = Vec::new();
    let mut failed = None;
    for (_, target) in resolved {
        match target {
            Ok(found) => addrs.extend(found),
            Err(err) => failed = Some(err),
        }
    }
    match failed {
        Some(err) if addrs.is_empty() => Err(err),
        _ => Ok(addrs),
    }
}

/// In the order in which they are worth trying. The root as target says that there is no such service.
fn ranked(mut targets: Vec<SRV>) -> Vec<SRV> {
    targets.retain(|target| !target.target.is_root() && target.port != 0);
    targets.sort_by_key(|target| (target.priority, Reverse(target.weight)));
    targets.truncate(MAX_TARGETS);
    targets
}

impl NameServers {
    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let mut builder = if self.instead.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = self.instead.iter().map(|addr| {
                let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
                connections.iter_mut().for_each(|connection| connection.port = addr.port());
                NameServerConfig::new(addr.ip(), true, connections)
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        (options.cache_size, options.timeout, options.attempts) = (0, SERVER_TIMEOUT, 2);
        builder.build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srv_names_are_told_from_host_names() {
        for seed in ["_lobby._tcp.example.com", "_lobby._UDP.example.com.", "_a._tcp"] {
            assert!(is_srv(seed), "{seed}");
        }
        for seed in ["example.com", "_lobby.example.com", "lobby._tcp.example.com", "_tcp", "", "_a._sctp.example.com", "_a"] {
            assert!(!is_srv(seed), "{seed}");
        }
    }

    #[test]
    fn lower_priorities_and_higher_weights_come_first() {
        let target = |priority, weight, name: &str| SRV::new(priority, weight, 1, name.parse().unwrap());
        let targets =
            vec![target(20, 99, "c."), target(10, 1, "b."), target(10, 5, "a."), target(0, 0, "."), target(20, 0, "d.")];
        let order: Vec<_> = ranked(targets).iter().map(|target| target.target.to_string()).collect();
        assert_eq!(order, ["a.", "b.", "c.", "d."]);
        assert_eq!(ranked(vec![target(1, 1, "a."); 100]).len(), MAX_TARGETS);
    }
}
