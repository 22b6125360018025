//! Names looked up again and again. Decides what is an answer: addresses, or that there are none (no such name, no such
//! record); all else is trouble, and that name keeps what it had.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{RData, RecordType},
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{parts::Parts, told::Told};
use crate::{Backend, settings::DnsWatch};

/// How long one name server may take for one of two attempts.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the system may take for a name: what glibc needs for two servers and two attempts of 5 s each.
const SYSTEM_TIMEOUT: Duration = Duration::from_secs(20);

/// Names that are looked up at once; each may hold a thread of the runtime.
const AT_ONCE: usize = 16;

/// Shortest time between two lookups, whatever is configured.
const SHORTEST: Duration = Duration::from_millis(100);

/// What glibc says when there is no such name, or it has no address (EAI_NONAME, EAI_NODATA); Rust hands on only the text.
const NO_ADDRESS: [&str; 2] = ["Name or service not known", "No address associated with hostname"];

/// One lookup.
#[derive(Debug, Clone)]
enum Lookup {
    /// It is an address.
    Given(IpAddr),
    /// As the system resolves.
    System(String),
    /// Records of one type from the name server.
    Records(Arc<TokioResolver>, String, RecordType),
}

/// Looks up all names of a watch until the join ends.
pub(super) async fn watch(watch: DnsWatch, at: usize, told: mpsc::Sender<(usize, Told)>) {
    let lookups = match lookups(&watch) {
        Ok(lookups) => lookups,
        Err(err) => {
            let _ = told.send((at, Told::trouble(format!("no resolver for {:?}: {err}", watch.nameserver)))).await;
            return told.closed().await;
        }
    };
    let mut parts = Parts::new(lookups.len(), Instant::now());
    loop {
        let mut running = JoinSet::new();
        for (part, (server, lookup)) in lookups.iter().enumerate() {
            if running.len() == AT_ONCE
                && let Some(Ok((part, answer))) = running.join_next().await
            {
                parts.put(part, answer);
            }
            let (server, lookup) = (server.clone(), lookup.clone());
            running.spawn(async move { (part, backends(&server, lookup).await) });
        }
        while let Some(done) = running.join_next().await {
            let Ok((part, answer)) = done else { continue };
            if parts.put(part, answer) && told.send((at, parts.told(Instant::now()))).await.is_err() {
                return;
            }
        }
        if told.send((at, parts.told(Instant::now()))).await.is_err() {
            return;
        }
        sleep(watch.interval.max(SHORTEST)).await;
    }
}

/// Each with the server it is for. A name server is asked for both types apart: one may fail alone.
fn lookups(watch: &DnsWatch) -> Result<Vec<(Backend, Lookup)>, NetError> {
    let resolver = watch.nameserver.map(resolver).transpose()?.map(Arc::new);
    let mut all = Vec::new();
    for server in &watch.servers {
        match (server.host.parse(), &resolver) {
            (Ok(ip), _) => all.push((server.clone(), Lookup::Given(ip))),
            (Err(_), None) => all.push((server.clone(), Lookup::System(server.host.clone()))),
            (Err(_), Some(resolver)) => all.extend([RecordType::A, RecordType::AAAA].map(|kind| {
                let lookup = Lookup::Records(resolver.clone(), server.host.clone(), kind);
                (server.clone(), lookup)
            })),
        }
    }
    Ok(all)
}

fn resolver(server: SocketAddr) -> Result<TokioResolver, NetError> {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    connections.iter_mut().for_each(|connection| connection.port = server.port());
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![NameServerConfig::new(server.ip(), true, connections)]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    (options.cache_size, options.timeout, options.attempts) = (0, SERVER_TIMEOUT, 2);
    builder.build()
}

/// One backend for each address, sorted.
async fn backends(server: &Backend, lookup: Lookup) -> Result<Vec<Backend>, String> {
    let mut addresses = match lookup {
        Lookup::Given(ip) => vec![ip],
        Lookup::System(name) => system(&name).await?,
        Lookup::Records(resolver, name, kind) => records(&resolver, &name, kind).await?,
    };
    addresses.sort();
    addresses.dedup();
    Ok(addresses.into_iter().map(|ip| Backend { host: ip.to_string(), ..server.clone() }).collect())
}

async fn system(name: &str) -> Result<Vec<IpAddr>, String> {
    let found = match timeout(SYSTEM_TIMEOUT, tokio::net::lookup_host((name, 0))).await {
        Ok(Ok(found)) => Ok(found.map(|address| address.ip()).collect()),
        Ok(Err(err)) => Err(err),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the system does not answer")),
    };
    found.or_else(|err| if is_no_address(&err) { Ok(Vec::new()) } else { Err(format!("{name}: {err}")) })
}

fn is_no_address(err: &io::Error) -> bool {
    let text = err.to_string();
    NO_ADDRESS.iter().any(|known| text.ends_with(known))
}

async fn records(resolver: &TokioResolver, name: &str, kind: RecordType) -> Result<Vec<IpAddr>, String> {
    match resolver.lookup(name, kind).await {
        Ok(found) => Ok(found.answers().iter().filter_map(|record| address(&record.data)).collect()),
        Err(err) if err.is_no_records_found() => Ok(Vec::new()),
        Err(err) => Err(format!("{name} {kind}: {err}")),
    }
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(ip) => Some(ip.0.into()),
        RData::AAAA(ip) => Some(ip.0.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_taken_as_they_are_and_names_from_the_system() {
        let server = |host: &str| Backend { name: "n".into(), host: host.into(), port: 80, ..Backend::default() };
        let found = backends(&server("::1"), Lookup::Given("::1".parse().unwrap())).await.unwrap();
        assert_eq!(found, [server("::1")]);
        let found = backends(&server("localhost"), Lookup::System("localhost".into())).await.unwrap();
        assert!(found.contains(&server("127.0.0.1")), "{found:?}");
    }

    #[test]
    fn only_what_says_that_there_is_none_is_an_answer() {
        for (text, want) in [
            ("failed to lookup address information: Name or service not known", true),
            ("failed to lookup address information: No address associated with hostname", true),
            ("failed to lookup address information: Temporary failure in name resolution", false),
            ("failed to lookup address information: Non-recoverable failure in name resolution", false),
            ("the system does not answer", false),
        ] {
            assert_eq!(is_no_address(&io::Error::other(text)), want, "{text}");
        }
    }
}
