//! Where backends come from: each source with what it needs to know. Not here: asking them (`watcher`).

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use crate::Backend;

/// Where backends come from.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Discovery {
    /// Only the default servers.
    #[default]
    Base,
    /// The catalog of our own agent (or of the agent at `agent`).
    Lobby(LobbyWatch),
    /// A Consul at any address.
    Consul(ConsulWatch),
    /// Names, looked up again and again.
    Dns(DnsWatch),
    /// EC2 instances by tag.
    Ec2Tag(Ec2Watch),
    /// Containers by image.
    Docker(DockerWatch),
    /// Several of these, and a rule.
    Multi(MultiWatch),
}

/// Instances of the catalog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LobbyWatch {
    /// The service in the catalog.
    pub service: String,
    /// As in `/v1/services?where=`; empty: all.
    pub selector: String,
    /// Only instances with it.
    pub tag: Option<String>,
    /// None: our own.
    pub datacenter: Option<String>,
    /// A node's name or `_agent`: nearest first.
    pub near: Option<String>,
    /// Instances that are only warning count as well.
    pub warning: bool,
}

/// Instances of a service in a Consul.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsulWatch {
    /// `http://HOST:PORT`
    pub address: String,
    /// Sent as `X-Consul-Token`.
    pub token: Option<String>,
    /// What is asked there.
    pub query: LobbyWatch,
}

/// Names whose A and AAAA records are the backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsWatch {
    /// `host` is a name or an address; each address of it is a backend with that name, port and labels.
    pub servers: Vec<Backend>,
    /// None: as the system resolves.
    pub nameserver: Option<SocketAddr>,
    /// Between two lookups.
    pub interval: Duration,
}

/// Running EC2 instances with a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ec2Watch {
    /// The tag's name.
    pub tag_name: String,
    /// The tag's value.
    pub tag_value: String,
    /// None: AWS_REGION, AWS_DEFAULT_REGION, or that of the instance.
    pub region: Option<String>,
    /// None: from the environment, the credentials file, or the instance's role.
    pub credentials: Option<(String, Secret)>,
    /// None: AWS_ENDPOINT_URL_EC2, AWS_ENDPOINT_URL, else Amazon's for the region.
    pub endpoint: Option<String>,
    /// Between two polls; one poll serves all tags of a region and credentials.
    pub interval: Duration,
    /// The port of every backend.
    pub port: u16,
}

/// Containers of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerWatch {
    /// Daemons to ask.
    pub servers: Vec<DockerServer>,
    /// Name of the image; a tag in it must match, else every tag does.
    pub image_name: String,
    /// The port inside the container, which must be published.
    pub container_port: u16,
    /// Between two polls.
    pub interval: Duration,
}

/// One Docker daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerServer {
    /// Of its backends.
    pub name: String,
    /// Where its published ports are reached.
    pub host: String,
    /// `http://HOST:PORT`, or `unix:PATH`.
    pub endpoint: String,
}

/// Several sources of one service.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiWatch {
    /// By name; in Synapse's files the service's own is called `primary`.
    pub watchers: BTreeMap<String, Discovery>,
    /// Which of them counts.
    pub resolver: Resolver,
}

/// Which of several sources counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolver {
    /// All.
    Union,
    /// The first that answers and is not empty, in this order of names.
    Sequential(Vec<String>),
    /// `primary`, unless it is empty or does not answer; then all others.
    Fallback,
}

/// A text that is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}
