//! nats-server: alone, with any further settings (users, TLS, max_payload), or as a cluster.

use std::{net::SocketAddr, time::Duration};

use super::Server;
use crate::{
    http, port,
    tls::Ca,
    wait::{eventually, expect},
};

/// Starts one; `settings` is further text of its configuration file.
pub fn start(settings: &str) -> Server {
    start_at(port::free_address(), settings)
}

/// Starts one that speaks TLS only, with a certificate of `ca` for localhost and 127.0.0.1.
pub fn start_tls(ca: &Ca, settings: &str) -> Server {
    let (cert, key) = (ca.cert.display(), ca.key.display());
    start(&format!("tls {{ cert_file: \"{cert}\", key_file: \"{key}\", ca_file: \"{}\" }}\n{settings}", ca.root.display()))
}

/// Starts `size` servers that know each other and waits until they do.
pub fn cluster(size: usize) -> Vec<Server> {
    let routes: Vec<_> = (0..size).map(|_| port::free_address()).collect();
    let monitors: Vec<_> = (0..size).map(|_| port::free_address()).collect();
    let all: Vec<_> = routes.iter().map(|address| format!("\"nats-route://{address}\"")).collect();
    let start_one = |(idx, (route, monitor)): (usize, (&SocketAddr, &SocketAddr))| {
        let cluster = format!("cluster {{ name: lobby, listen: \"{route}\", routes: [{}] }}", all.join(", "));
        start(&format!("server_name: n{idx}\nhttp: \"{monitor}\"\n{cluster}\n"))
    };
    let servers = routes.iter().zip(&monitors).enumerate().map(start_one).collect();
    for monitor in monitors {
        eventually(Duration::from_secs(20), || {
            let peers = known_peers(monitor);
            expect(peers == size - 1, format!("{peers} routes at {monitor}"))
        });
    }
    servers
}

/// The URL of a server without users.
pub fn url(server: &Server) -> String {
    format!("nats://{}", server.address)
}

fn start_at(address: SocketAddr, settings: &str) -> Server {
    let folder = super::folder("nats");
    let config = super::write(&folder, "nats.conf", &format!("listen: \"{address}\"\n{settings}\n"));
    Server::start("nats-server", address, folder, vec!["-c".into(), config])
}

fn known_peers(monitor: SocketAddr) -> usize {
    let Ok(answer) = http::get(monitor, "/routez") else { return 0 };
    let routes = answer.json();
    let ids = routes["routes"].as_array().into_iter().flatten().filter_map(|route| route["remote_id"].as_str());
    ids.collect::<std::collections::BTreeSet<_>>().len()
}
