//! HAProxy as a whole and one service in it. Not here: its file (`haproxy::text`).

use std::{ffi::OsString, path::PathBuf, time::Duration};

use crate::haproxy::version::Version;

/// HAProxy as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Haproxy {
    /// Lines of its section.
    pub global: Vec<String>,
    /// These lines are Lobby's own: what the version that reads them does not know is left out of them.
    pub is_global_ours: bool,
    /// Lines of its section.
    pub defaults: Vec<String>,
    /// Titles with their lines, in order.
    pub extra_sections: Vec<(String, Vec<String>)>,
    /// Lines of `frontend shared-frontend`; None: there is none.
    pub shared_frontend: Option<Vec<String>>,
    /// Write the file.
    pub do_writes: bool,
    /// Reload when it takes that.
    pub do_reloads: bool,
    /// Use the runtime API.
    pub do_socket: bool,
    /// Run `check_command` on the candidate before it is put in place.
    pub do_checks: bool,
    /// The file. Needed for `do_writes`.
    pub config_file_path: Option<PathBuf>,
    /// None: beside the file.
    pub candidate_config_file_path: Option<PathBuf>,
    /// Stats sockets of level admin: one, or one a process.
    pub sockets: Vec<PathBuf>,
    /// Socket of a master (`-S`).
    pub master_socket: Option<PathBuf>,
    /// For the shell. None: by the master's socket.
    pub reload_command: Option<String>,
    /// For the shell, with the candidate's path in `{{.Path}}`. None: `PROGRAM -c -f {{.Path}}` if the program is known.
    pub check_command: Option<String>,
    /// The program itself, for `-v`, `-c` and `manage`. None: not known, it runs elsewhere.
    pub program: Option<PathBuf>,
    /// Start and supervise it.
    pub manage: bool,
    /// Of the HAProxy that reads the file. None: from the socket or the program, else unknown, and only what 1.5 knows is written.
    pub version: Option<Version>,
    /// Where frontends listen.
    pub bind_address: String,
    /// At least this between two reloads.
    pub restart_interval: Duration,
    /// Up to this share of the interval more, by chance.
    pub restart_jitter: f64,
    /// How long a server that is gone finishes what it has before it is removed.
    pub drain: Duration,
    /// Where ids and vanished servers are remembered, in Synapse's form.
    pub state_file_path: Option<PathBuf>,
    /// How long they are.
    pub state_file_ttl: Duration,
    /// Of the shuffled order; None: by the host's name, so that hosts differ and restarts do not.
    pub server_order_seed: Option<u64>,
    /// Ids begin again after this.
    pub max_server_id: u32,
    /// Weights of backends are written.
    pub use_nerve_weights: bool,
    /// Without a state file and a socket: a folder for what the running process was started with, as nothing else may lie
    /// beside a file that others watch. None: that is not remembered, and each start is a reload.
    pub memory_folder: Option<PathBuf>,
}

impl Default for Haproxy {
    fn default() -> Self {
        Self {
            global: Vec::new(),
            is_global_ours: false,
            defaults: Vec::new(),
            extra_sections: Vec::new(),
            shared_frontend: None,
            do_writes: true,
            do_reloads: true,
            do_socket: true,
            do_checks: false,
            config_file_path: None,
            candidate_config_file_path: None,
            sockets: Vec::new(),
            master_socket: None,
            reload_command: None,
            check_command: None,
            program: None,
            manage: false,
            version: None,
            bind_address: "localhost".into(),
            restart_interval: Duration::from_secs(2),
            restart_jitter: 0.0,
            drain: Duration::from_secs(5),
            state_file_path: None,
            state_file_ttl: Duration::from_secs(86_400),
            server_order_seed: None,
            max_server_id: 65_535,
            use_nerve_weights: false,
            memory_folder: None,
        }
    }
}

impl Haproxy {
    /// Where programs of this user remember things: systemd's `STATE_DIRECTORY`, else below `XDG_STATE_HOME` or `HOME`.
    pub fn remember_in(&mut self, variable: impl Fn(&str) -> Option<OsString>) {
        let folder = |name: &str| variable(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
        let own = || folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
        // It may be several, with colons between them.
        let given = variable("STATE_DIRECTORY").and_then(|all| std::env::split_paths(&all).next());
        self.memory_folder = given.filter(|folder| folder.is_absolute()).or_else(|| Some(own()?.join("lobby")));
    }
}

/// One service in HAProxy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HaproxyService {
    /// Where its frontend listens.
    pub bind: Bind,
    /// None: the one of HAProxy as a whole.
    pub bind_address: Option<String>,
    /// Words at the end of the bind line.
    pub bind_options: String,
    /// Lines of the frontend.
    pub frontend: Vec<String>,
    /// Lines of the backend.
    pub backend: Vec<String>,
    /// Lines that go where they are valid.
    pub listen: Vec<String>,
    /// Lines for the shared frontend.
    pub shared_frontend: Vec<String>,
    /// None: the service's name.
    pub backend_name: Option<String>,
    /// Words at the end of each server line; `%{host}`, `%{port}` and `%{name}` are replaced, `%%` is a percent sign.
    pub server_options: String,
    /// In which order servers stand.
    pub backend_order: Order,
    /// What stands in a server's cookie.
    pub cookie_value_method: Cookie,
}

/// Where a frontend listens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Bind {
    /// There is no frontend.
    #[default]
    Nowhere,
    /// At the address on this port.
    Port(u16),
    /// At the address, which says all (a unix socket, or with its port).
    Address,
}

/// The order of servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// By chance, the same on this host each time: not every host prefers the same server.
    #[default]
    Shuffled,
    /// By name.
    Ascending,
    /// By name, from the end.
    Descending,
    /// As found (nearest first).
    Found,
}

/// What stands in a server's cookie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cookie {
    /// Its name.
    #[default]
    Name,
    /// SHA-1 of its name, in hexadecimal digits.
    Hash,
}
