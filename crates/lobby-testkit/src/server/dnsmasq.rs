//! dnsmasq: one that answers for `lobby.test` from a list, over UDP and TCP, and asks nobody; one that asks as it is told.

use super::Server;
use crate::port;

/// Starts one with these lines of `ADDRESS NAME`.
pub fn start(hosts: &str) -> Server {
    let folder = super::folder("dnsmasq");
    let hosts = super::write(&folder, "hosts", hosts);
    let own = vec!["--conf-file=/dev/null".into(), "--local=/lobby.test/".into(), format!("--addn-hosts={hosts}")];
    run(folder, own)
}

/// Starts one with these lines of configuration, which asks nobody else.
pub fn configured(lines: &str) -> Server {
    let folder = super::folder("dnsmasq");
    let config = super::write(&folder, "dnsmasq.conf", lines);
    run(folder, vec![format!("--conf-file={config}")])
}

fn run(folder: tempfile::TempDir, own: Vec<String>) -> Server {
    let address = port::free_address();
    let mut args: Vec<_> = ["-k", "--no-resolv", "--no-hosts", "--bind-interfaces", "--log-facility=-"].map(str::to_owned).into();
    args.extend(own);
    // It keeps who started it: no other user is needed for a port above 1024.
    let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
    args.extend([format!("--user={user}"), "--pid-file=".into()]);
    args.extend([format!("--listen-address={}", address.ip()), format!("--port={}", address.port())]);
    Server::start("dnsmasq", address, folder, args)
}

/// Other lines; they count after a restart.
pub fn write(server: &Server, hosts: &str) {
    std::fs::write(server.folder().join("hosts"), hosts).expect("a file of ours can be written");
}
