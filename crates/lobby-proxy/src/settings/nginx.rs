//! nginx as a whole and one service in it. Not here: its files (`nginx`).

use std::{path::PathBuf, time::Duration};

use super::Order;

/// nginx as a whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Nginx {
    /// Whole-file form: directives of `main` without `;`. None: only upstream files are written.
    pub contexts: Option<Contexts>,
    /// Whole-file form: the file.
    pub config_file_path: Option<PathBuf>,
    /// Upstream form: one file a service goes here.
    pub upstreams: Option<PathBuf>,
    /// Write files.
    pub do_writes: bool,
    /// Reload.
    pub do_reloads: bool,
    /// For the shell. None: `nginx -t`.
    pub check_command: Option<String>,
    /// For the shell. None: `nginx -s reload`.
    pub reload_command: Option<String>,
    /// For the shell: run once before the first reload. None: not started.
    pub start_command: Option<String>,
    /// At least this between two reloads.
    pub restart_interval: Duration,
    /// Up to this share of the interval more, by chance.
    pub restart_jitter: f64,
    /// Where servers listen.
    pub listen_address: String,
}

/// Directives of nginx's whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contexts {
    /// At top level.
    pub main: Vec<String>,
    /// In `events`.
    pub events: Vec<String>,
    /// In `http`.
    pub http: Vec<String>,
    /// In `stream`.
    pub stream: Vec<String>,
}

/// One service in nginx.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NginxService {
    /// Of its server; None: only the upstream.
    pub port: Option<u16>,
    /// `stream` instead of `http`.
    pub is_tcp: bool,
    /// Directives of the upstream.
    pub upstream: Vec<String>,
    /// Directives of the server.
    pub server: Vec<String>,
    /// None: that of nginx as a whole.
    pub listen_address: Option<String>,
    /// Words after `listen`.
    pub listen_options: String,
    /// In which order servers stand.
    pub upstream_order: Order,
    /// None: the service's name.
    pub upstream_name: Option<String>,
    /// Words on each server line.
    pub server_options: String,
}
