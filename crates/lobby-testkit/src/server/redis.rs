//! redis-server without persistence: plain, with a password, or with TLS.

use super::Server;
use crate::{port, tls::Ca};

/// Starts one; `settings` are further arguments, such as `["--requirepass", "secret"]`.
pub fn start(settings: &[&str]) -> Server {
    let address = port::free_address();
    start_with(address, ["--port".into(), address.port().to_string()], settings)
}

/// Starts one that speaks TLS only, with a certificate of `ca` for localhost and 127.0.0.1.
pub fn start_tls(ca: &Ca, settings: &[&str]) -> Server {
    let address = port::free_address();
    let file = |path: &std::path::Path| path.display().to_string();
    let tls = [
        ("--port", "0".into()),
        ("--tls-port", address.port().to_string()),
        ("--tls-cert-file", file(&ca.cert)),
        ("--tls-key-file", file(&ca.key)),
        ("--tls-ca-cert-file", file(&ca.root)),
        ("--tls-auth-clients", "no".into()),
    ];
    start_with(address, tls.into_iter().flat_map(|(name, value)| [name.to_owned(), value]), settings)
}

fn start_with(address: std::net::SocketAddr, own: impl IntoIterator<Item = String>, settings: &[&str]) -> Server {
    let folder = super::folder("redis");
    let dir = folder.path().display().to_string();
    let fixed = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", &dir].map(str::to_owned);
    let args = own.into_iter().chain(fixed).chain(settings.iter().map(|text| (*text).to_owned()));
    Server::start("redis-server", address, folder, args.collect())
}
