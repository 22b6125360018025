//! HAProxy in the foreground, with one front end that hands everything to a back end.

use super::Server;
use crate::port;

/// Starts one. `rest` is what stands behind the defaults: resolvers, and the back end `s`.
pub fn start(rest: &str) -> Server {
    let address = port::free_address();
    let folder = super::folder("haproxy");
    let text = format!(
        "global\n  log stdout format raw local0\ndefaults\n  mode http\n  log global\n  timeout connect 2s\n  timeout client 5s\n  \
         timeout server 5s\n  retries 0\nfrontend f\n  bind {address}\n  default_backend s\n{rest}"
    );
    let config = super::write(&folder, "haproxy.cfg", &text);
    Server::start("haproxy", address, folder, vec!["-db".into(), "-f".into(), config])
}
