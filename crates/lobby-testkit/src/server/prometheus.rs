//! Prometheus with any configuration.

use std::time::Duration;

use serde_json::Value;

use super::Server;
use crate::{
    http, port,
    wait::{eventually, expect},
};

/// Starts one with this configuration file and waits until it is ready.
pub fn start(config: &str) -> Server {
    let address = port::free_address();
    let folder = super::folder("prometheus");
    let config = super::write(&folder, "prometheus.yml", config);
    let args = vec![
        format!("--config.file={config}"),
        format!("--storage.tsdb.path={}", folder.path().join("data").display()),
        format!("--web.listen-address={address}"),
    ];
    let server = Server::start("prometheus", address, folder, args);
    eventually(Duration::from_secs(20), || match http::get(address, "/-/ready") {
        Ok(answer) => expect(answer.status == 200, answer.text()),
        Err(err) => Err(err.to_string()),
    });
    server
}

/// Its active targets, as its API shows them.
#[track_caller]
pub fn targets(server: &Server) -> Vec<Value> {
    let answer = http::get(server.address, "/api/v1/targets?state=active").expect("Prometheus answers");
    answer.json()["data"]["activeTargets"].as_array().cloned().unwrap_or_default()
}
