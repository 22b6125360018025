//! nginx with one worker and any configuration.

use std::{net::SocketAddr, path::Path};

use super::Server;
use crate::port;

/// Starts one. `http` makes the text inside `http { … }` from the address to listen at and nginx' own folder.
pub fn start(http: impl FnOnce(SocketAddr, &Path) -> String) -> Server {
    let address = port::free_address();
    let folder = super::folder("nginx");
    let dir = folder.path().display().to_string();
    // One process, so that killing it leaves no worker behind.
    let text = format!(
        "daemon off; master_process off; pid {dir}/nginx.pid; error_log stderr;\nevents {{ worker_connections 1024; }}\n\
         http {{\naccess_log off;\nclient_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;\n\
         fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n{}\n}}\n",
        http(address, folder.path())
    );
    let config = super::write(&folder, "nginx.conf", &text);
    Server::start("nginx", address, folder, vec!["-p".into(), dir, "-e".into(), "stderr".into(), "-c".into(), config])
}
