//! What a proxy run is told to do. Decides the model that Lobby's `[proxy]`, Synapse's files and the command line have in
//! common, and its defaults; reading them is in `config` and `synapse`.

use std::{path::PathBuf, time::Duration};

use crate::Backend;

mod discovery;
mod haproxy;
mod nginx;

pub use discovery::{
    ConsulWatch, Discovery, DnsWatch, DockerServer, DockerWatch, Ec2Watch, LobbyWatch, MultiWatch, Resolver, Secret,
};
pub use haproxy::{Bind, Cookie, Haproxy, HaproxyService, Order};
pub use nginx::{Contexts, Nginx, NginxService};

/// Everything that a proxy run does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// In the order of their stanzas.
    pub services: Vec<Service>,
    /// Keep an HAProxy in step.
    pub haproxy: Option<Haproxy>,
    /// Keep an nginx in step.
    pub nginx: Option<Nginx>,
    /// Write one JSON file a service.
    pub file_output: Option<FileOutput>,
    /// How many may go at once without proof.
    pub guard: Guard,
    /// Text exactly as Synapse writes it.
    pub compat: Compat,
    /// Nerve's file, which another part reads.
    pub nerve: Option<PathBuf>,
}

impl Settings {
    /// Whether anything is asked from our own agent.
    pub fn asks_agent(&self) -> bool {
        fn asks(discovery: &Discovery) -> bool {
            match discovery {
                Discovery::Lobby(_) => true,
                Discovery::Multi(multi) => multi.watchers.values().any(asks),
                _ => false,
            }
        }
        self.services.iter().any(|service| asks(&service.discovery))
    }
}

/// Whose form the written text has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compat {
    /// Ours: the defects of Synapse mended.
    #[default]
    Lobby,
    /// Synapse's 0.18, but for what HAProxy refuses today.
    Synapse,
}

/// At most this share of a service's backends is taken out within the window because contact with their nodes was lost; the
/// rest waits. What is proved (deregistered, critical, left) goes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// 0 to 100; one backend may always go.
    pub percent: u8,
    /// A minute.
    pub window: Duration,
}

impl Default for Guard {
    fn default() -> Self {
        Self { percent: 50, window: Duration::from_secs(60) }
    }
}

/// One service that programs here reach through a local port.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Service {
    /// The name of its stanzas and files.
    pub name: String,
    /// Where its backends come from.
    pub discovery: Discovery,
    /// Used while nothing is found.
    pub default_servers: Vec<Backend>,
    /// Added to everything that is found.
    pub keep_default_servers: bool,
    /// When nothing is found and there are no defaults, the last ones stay; else it becomes empty.
    pub use_previous_backends: bool,
    /// Replaces the port of each backend.
    pub backend_port_override: Option<u16>,
    /// Each backend a second time with this port, as backup: the next version of a zero-downtime deploy. A node whose label
    /// `deploy:SERVICE:primary:PORT` names this port has the two the other way round.
    pub backup_port: Option<u16>,
    /// Only the backend with the smallest id; none if any lacks one.
    pub leader_election: bool,
    /// All must hold.
    pub label_filters: Vec<LabelFilter>,
    /// None: not in HAProxy.
    pub haproxy: Option<HaproxyService>,
    /// None: not in nginx.
    pub nginx: Option<NginxService>,
    /// Write its file.
    pub file_output: bool,
}

/// What a label of a backend must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFilter {
    /// Its name.
    pub label: String,
    /// What it is compared with; a missing label equals nothing.
    pub value: String,
    /// `equals`, else `not-equals`.
    pub is_equal: bool,
}

/// One JSON file a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileOutput {
    /// Made if it is missing.
    pub output_directory: PathBuf,
}
