//! dnsmasq that answers for `lobby.test` from a list, over UDP and TCP, and asks nobody.

use super::Server;
use crate::port;

/// Starts one with these lines of `ADDRESS NAME`.
pub fn start(hosts: &str) -> Server {
    let address = port::free_address();
    let folder = super::folder("dnsmasq");
    let hosts = super::write(&folder, "hosts", hosts);
    let mut args: Vec<_> = [
        "-k",
        "--no-resolv",
        "--no-hosts",
        "--conf-file=/dev/null",
        "--bind-interfaces",
        "--local=/lobby.test/",
        "--log-facility=-",
    ]
    .map(str::to_owned)
    .into();
    // It keeps who started it: no other user is needed for a port above 1024.
    let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
    args.extend([format!("--addn-hosts={hosts}"), format!("--user={user}"), "--pid-file=".into()]);
    args.extend([format!("--listen-address={}", address.ip()), format!("--port={}", address.port())]);
    Server::start("dnsmasq", address, folder, args)
}

/// Other lines; they count after a restart.
pub fn write(server: &Server, hosts: &str) {
    std::fs::write(server.folder().join("hosts"), hosts).expect("a file of ours can be written");
}
