//! What sources answer. Decides the shape of the data; how templates see it (fields, order, printing) is in `object`.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The answer to a [`Query`](crate::Query). Equal answers cause no rendering.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To `Service`, in the order asked for.
    Service(Arc<[Arc<HealthService>]>),
    /// To `Services`, by name.
    Services(Arc<[CatalogService]>),
    /// To `Nodes`, by name and address or by distance.
    Nodes(Arc<[Node]>),
    /// To `Node`; None: there is no such node.
    Node(Option<Arc<NodeServices>>),
    /// To `Datacenters`, sorted.
    Datacenters(Arc<[String]>),
    /// To `Key`; None: there is no such key.
    Key(Option<Arc<[u8]>>),
    /// To `Keys`, by path.
    Keys(Arc<[KeyPair]>),
    /// To `File`.
    File(Arc<[u8]>),
    /// To `Selected`.
    Selected(Arc<[LabelledNode]>),
    /// To `Instances`.
    Instances(Arc<[Arc<HealthService>]>),
}

/// An instance with its node and its checks, as consul-template's `service` gives it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HealthService {
    /// The node's name.
    pub node: String,
    /// The node's id.
    pub node_id: String,
    /// The node's address.
    pub node_address: String,
    /// The node's addresses by what they are for.
    pub node_tagged_addresses: BTreeMap<String, String>,
    /// The node's labels as metadata.
    pub node_meta: BTreeMap<String, String>,
    /// The instance's metadata.
    pub service_meta: BTreeMap<String, String>,
    /// The instance's address, else the node's.
    pub address: String,
    /// The instance's addresses by what they are for.
    pub service_tagged_addresses: BTreeMap<String, (String, u16)>,
    /// Unique on its node.
    pub id: String,
    /// The service.
    pub name: String,
    /// Sorted.
    pub tags: Vec<String>,
    /// Those of the node, then those of the instance.
    pub checks: Vec<HealthCheck>,
    /// The worst of the checks: `passing`, `warning`, `critical` or `maintenance`.
    pub status: String,
    /// 0: none.
    pub port: u16,
    /// Its share while all checks pass.
    pub weight_passing: u16,
    /// Its share while a check warns.
    pub weight_warning: u16,
    /// It takes nothing new (Lobby only).
    pub draining: bool,
}

/// A check of an instance or of a node.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "Consul's names")]
pub struct HealthCheck {
    pub node: String,
    pub check_id: String,
    pub name: String,
    pub status: String,
    pub notes: String,
    pub output: String,
    pub service_id: String,
    pub service_name: String,
    pub service_tags: Vec<String>,
    pub kind: String,
}

/// A service by name.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogService {
    /// The service.
    pub name: String,
    /// All tags of all its instances, sorted.
    pub tags: Vec<String>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "Consul's names")]
pub struct Node {
    pub id: String,
    pub name: String,
    pub address: String,
    pub datacenter: String,
    pub tagged_addresses: BTreeMap<String, String>,
    pub meta: BTreeMap<String, String>,
}

/// A node with what it offers, by service and id.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeServices {
    /// The node.
    pub node: Node,
    /// What it offers.
    pub services: Vec<NodeService>,
}

/// An instance as `node` shows it.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "Consul's names")]
pub struct NodeService {
    pub id: String,
    pub service: String,
    pub tags: Vec<String>,
    pub meta: BTreeMap<String, String>,
    pub port: u16,
    pub address: String,
    pub enable_tag_override: bool,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "Consul's names")]
pub struct KeyPair {
    /// The whole path.
    pub path: String,
    /// The path below the prefix that was asked for.
    pub key: String,
    pub value: Arc<[u8]>,
    pub create_index: u64,
    pub modify_index: u64,
    pub lock_index: u64,
    pub flags: u64,
    pub session: String,
}

/// A node as Lobby knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledNode {
    /// The node's id.
    pub id: String,
    /// The host name.
    pub name: String,
    /// `alive`, `suspect` …
    pub state: String,
    /// Where others reach it, best first.
    pub addresses: Vec<String>,
    /// `NAME:VALUE`, sorted.
    pub labels: Vec<String>,
}
