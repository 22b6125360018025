//! Caddy with a configuration of its own, without its administration.

use super::Server;
use crate::port;

/// Starts one that listens somewhere and does there what this text says.
pub fn start(site: &str) -> Server {
    let address = port::free_address();
    let folder = super::folder("caddy");
    let text = format!(
        "{{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n\tstorage file_system {}\n}}\nhttp://{address} {{\n{site}\n}}\n",
        folder.path().display()
    );
    let config = super::write(&folder, "Caddyfile", &text);
    Server::start("caddy", address, folder, ["run", "--adapter", "caddyfile", "--config", &config].map(str::to_owned).into())
}
