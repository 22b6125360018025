//! Traefik with one entry point and any providers. It asks nobody for new versions and reports to nobody.

use super::Server;
use crate::port;

/// Starts one. `providers` is the indented text below `providers:`; a change of theirs counts at once.
pub fn start(providers: &str) -> Server {
    let address = port::free_address();
    let folder = super::folder("traefik");
    let text = format!(
        "global:\n  checkNewVersion: false\n  sendAnonymousUsage: false\nlog:\n  level: DEBUG\n\
         entryPoints:\n  web:\n    address: \"{address}\"\n\
         providers:\n  providersThrottleDuration: 10ms\n{providers}"
    );
    let config = super::write(&folder, "traefik.yml", &text);
    Server::start("traefik", address, folder, vec![format!("--configFile={config}")])
}
