//! The `server` lines of one upstream. Decides which backends get one, with which words, and what stands there when there
//! are none: never what nginx refuses (no server at all, only backups, weight 0, a backup where the balancing knows none).

use std::collections::BTreeSet;

use crate::{
    Backend,
    nginx::host::{self, Host},
    settings::{NginxService, Order},
};

/// Most of a weight, as HAProxy has it. nginx takes any number, but `hash … consistent` takes memory for each unit, and
/// weights are what a catalog says: 5 servers of Consul's largest (65 535) would be 800 MiB.
const WEIGHT: u64 = 256;

/// An upstream needs one; nobody is ever sent there.
const PLACEHOLDER: &str = "server 127.0.0.1:1 down;";

/// Balancing that knows no `backup`: nginx's manual for `server`, and `nginx -t` of 1.22.1.
const WITHOUT_BACKUP: [&str; 3] = ["ip_hash", "hash", "random"];

/// All lines, in order.
#[derive(Debug, Default)]
pub(super) struct Servers {
    /// At least one.
    pub(super) lines: Vec<String>,
    /// Servers that take requests, backups among them.
    pub(super) n_up: usize,
    /// What was left out or changed.
    pub(super) warnings: Vec<String>,
}

/// The lines of these backends.
pub(super) fn servers(of: &NginxService, backends: &[Backend]) -> Servers {
    let mut servers = Servers::default();
    let is_up = |backend: &Backend| !backend.is_draining && backend.weight != Some(0);
    let mut usable: Vec<(String, &Backend)> = Vec::new();
    for backend in sorted(of, backends) {
        match place(of, backend) {
            Ok(place) => usable.push((place, backend)),
            Err(why) => servers.warnings.push(format!("server {:?} is left out: {why}", shortened(&backend.host))),
        }
    }
    let has_backup = !of.upstream.iter().any(|line| {
        let first = line.split(|c: char| c.is_ascii_whitespace() || c == ';').find(|word| !word.is_empty());
        first.is_some_and(|word| WITHOUT_BACKUP.contains(&word))
    });
    let is_primary = |(_, backend): &(String, &Backend)| !backend.is_backup;
    if !has_backup && usable.iter().any(|server| is_primary(server) && is_up(server.1)) {
        usable.retain(is_primary);
    }
    // The only ones take the traffic anyway.
    let may_be_backup = has_backup && usable.iter().any(is_primary);
    let most = usable.iter().filter_map(|(_, backend)| backend.weight).max().map_or(0, u64::from);
    let mut seen = BTreeSet::new();
    for (place, backend) in usable {
        let mut line = format!("server {place}");
        let options = of.server_options.trim();
        if !options.is_empty() {
            line = line + " " + options;
        }
        if let Some(weight) = backend.weight.filter(|weight| *weight > 0) {
            let weight = u64::from(weight);
            // In proportion: what counts is what they are to one another.
            let weight = if most > WEIGHT { (weight * WEIGHT / most).max(1) } else { weight };
            line += &format!(" weight={weight}");
        }
        line += if backend.is_backup && may_be_backup { " backup" } else { "" };
        line += if is_up(backend) { ";" } else { " down;" };
        if seen.insert(line.clone()) {
            servers.n_up += usize::from(is_up(backend));
            servers.lines.push(line);
        }
    }
    if servers.lines.is_empty() {
        servers.lines.push(PLACEHOLDER.into());
    }
    servers
}

/// Shuffled is by name: other hosts' nginx choose for themselves, and the order is no reason for a reload.
fn sorted<'a>(of: &NginxService, backends: &'a [Backend]) -> Vec<&'a Backend> {
    let mut sorted: Vec<_> = backends.iter().collect();
    if of.upstream_order != Order::Found {
        sorted.sort();
    }
    if of.upstream_order == Order::Descending {
        sorted.reverse();
    }
    sorted
}

/// `ADDRESS:PORT`, or why there is none.
fn place(of: &NginxService, backend: &Backend) -> Result<String, &'static str> {
    let host = match host::host(&backend.host) {
        Some(Host::Address(address)) => address,
        Some(Host::Name(name)) if of.server_options.split_ascii_whitespace().any(|word| word == "resolve") => name,
        Some(Host::Name(_)) => {
            return Err("nginx refuses its whole configuration when a name has no address: give addresses \
                (method dns looks names up), or the server option `resolve` (nginx 1.27.3)");
        }
        None => return Err("it is neither an address nor a host name"),
    };
    if backend.port == 0 { Err("port 0") } else { Ok(format!("{host}:{}", backend.port)) }
}

/// For the log: a name of others may be of any length.
fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}
