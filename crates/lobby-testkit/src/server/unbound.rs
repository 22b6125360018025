//! unbound that asks one server for some domains, and nobody for anything else.

use std::net::SocketAddr;

use super::Server;
use crate::port;

/// Starts one with this text as the end of its configuration, such as forward zones, and lets nothing of it go unasked
/// because a name is reserved for tests.
pub fn start(zones: &str) -> Server {
    let address = port::free_address();
    let folder = super::folder("unbound");
    let text = format!(
        "server:\n  interface: {ip}\n  port: {port}\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  directory: \"{folder}\"\n  \
         use-syslog: no\n  logfile: \"\"\n  do-daemonize: no\n  verbosity: 1\n  module-config: \"iterator\"\n  \
         do-not-query-localhost: no\n{zones}remote-control:\n  control-enable: no\n",
        ip = address.ip(),
        port = address.port(),
        folder = folder.path().display(),
    );
    let config = super::write(&folder, "unbound.conf", &text);
    Server::start("unbound", address, folder, vec!["-d".into(), "-c".into(), config])
}

/// An address as unbound writes it.
pub fn at(address: SocketAddr) -> String {
    format!("{}@{}", address.ip(), address.port())
}
