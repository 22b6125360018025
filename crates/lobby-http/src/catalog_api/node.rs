//! A node as Consul's views show it: its id, the address that stands for it, its check `serfHealth`, the service `consul`.
//!
//! The last two are made for the answer and are nowhere else.
//! Not here: which nodes show (`lobby_core::catalog`), which one carries `consul` (`leader`), the written form (`shape`).

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr},
    sync::LazyLock,
};

use lobby_core::{
    catalog::{InstanceNode, NodeOffers, Snapshot},
    check::{Status, view::CheckView},
    external::NodeData,
    id::{NodeId, Origin},
    instance::Instance,
    port::registry::SERF_HEALTH,
    record::meta,
};

use crate::{
    leader,
    shape::{Check, Node, Pairs},
};

/// The Consul whose API this is: clients read it as a version and turn features on by it.
pub(crate) const CONSUL_VERSION: &str = "1.22.0";

/// What Consul's own servers are called, as a service.
pub(crate) const CONSUL: &str = "consul";

/// The instance of [`CONSUL`].
static SERVER: LazyLock<Instance> = LazyLock::new(|| {
    let id: lobby_core::instance::Id = CONSUL.parse().expect("the word is an id");
    Instance { port: leader::PORT, ..Instance::new(id.clone(), id) }
});

/// The instance that stands for Consul's servers.
pub(crate) fn server() -> &'static Instance {
    &SERVER
}

/// One snapshot and what of the configuration is shown of nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fleet<'a> {
    pub(crate) snapshot: &'a Snapshot,
    /// The name of the cluster.
    pub(crate) cluster: &'a str,
    /// Our own data centre.
    pub(crate) datacenter: &'a str,
}

/// Nodes that were made for an answer, each once.
pub(crate) type Nodes<'a> = HashMap<&'a Origin, Node<'a>>;

impl<'a> Fleet<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, cluster: &'a str) -> Self {
        Self { snapshot, cluster, datacenter: datacenter(snapshot) }
    }

    /// The node that offers this.
    pub(crate) fn node(&self, offers: &'a NodeOffers) -> Node<'a> {
        let node = &*offers.node;
        if let Some(data) = &node.external {
            return self.external(offers, data);
        }
        let address = self.address(offers);
        let listed = addresses(offers).find(|address| address.parse::<Ipv4Addr>().is_ok()).map(Cow::Borrowed);
        let ipv4 = listed.or_else(|| address.parse::<Ipv4Addr>().is_ok().then(|| address.clone()));
        let tagged = [("lan", Some(&address)), ("lan_ipv4", ipv4.as_ref()), ("wan", Some(&address)), ("wan_ipv4", ipv4.as_ref())];
        let tagged = tagged.into_iter().filter_map(|(key, address)| Some((key, address?.clone()))).collect();
        let mut meta = vec![("consul-network-segment", "".into()), ("consul-version", CONSUL_VERSION.into())];
        meta.extend(node.version.as_deref().map(|version| ("lobby-version", version.into())));
        Node {
            id: self.id(&node.origin).into(),
            node: node.name.as_str(),
            address,
            datacenter: node.datacenter.as_deref().unwrap_or(self.datacenter),
            tagged_addresses: Pairs(tagged),
            meta: Pairs(meta),
            create_index: offers.created.0,
            modify_index: offers.modified.0,
        }
    }

    /// A node without an agent, as it was registered.
    fn external(&self, offers: &'a NodeOffers, data: &'a NodeData) -> Node<'a> {
        let pairs = |pairs: &'a BTreeMap<String, String>| {
            Pairs(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str().into())).collect())
        };
        let id = if data.consul_id.is_empty() { self.id(&offers.node.origin).into() } else { data.consul_id.as_str().into() };
        Node {
            id,
            node: offers.node.name.as_str(),
            address: data.address.as_str().into(),
            datacenter: self.datacenter,
            tagged_addresses: pairs(&data.tagged_addresses),
            meta: pairs(&data.pairs),
            create_index: offers.created.0,
            modify_index: offers.modified.0,
        }
    }

    /// All nodes that offer these, each once.
    pub(crate) fn nodes(&self, offers: impl IntoIterator<Item = &'a NodeOffers>) -> Nodes<'a> {
        let mut nodes = Nodes::new();
        for offers in offers {
            nodes.entry(&offers.node.origin).or_insert_with(|| self.node(offers));
        }
        nodes
    }

    /// All nodes that show, by name.
    pub(crate) fn by_name(&self) -> Vec<&'a NodeOffers> {
        let mut all: Vec<_> = self.snapshot.offers.values().map(|offers| &**offers).collect();
        // Those of one name stay in the order of their ids.
        all.sort_by(|a, b| a.node.name.cmp(&b.node.name));
        all
    }

    /// The id that a node has in Consul's views.
    fn id(&self, origin: &Origin) -> String {
        match origin {
            Origin::Node(id) => uuid(*id.as_bytes()),
            Origin::Bare(_, name) => {
                // A blank byte between the parts keeps one from running into the next.
                let text = ["go", self.cluster, name.as_str()].join("\0");
                let hash = blake3::hash(text.as_bytes());
                uuid(std::array::from_fn(|i| hash.as_bytes()[i]))
            }
        }
    }

    fn address(&self, offers: &'a NodeOffers) -> Cow<'a, str> {
        address(self.snapshot, &offers.node).into()
    }
}

/// The first of its addresses; of a node that tells none, a label that daemons of old have, or its name.
pub(crate) fn address<'a>(snapshot: &'a Snapshot, node: &'a InstanceNode) -> &'a str {
    if let Some(first) = split(node).next() {
        return first;
    }
    let record = snapshot.nodes.get(&node.origin).map(|node| &*node.record);
    let label = |prefix| record?.labels().find_map(|label| label.as_str().strip_prefix(prefix));
    let labelled = ["public_ip4:", "public_ip6:"].into_iter().find_map(label).filter(|ip| ip.parse::<IpAddr>().is_ok());
    labelled.unwrap_or(node.name.as_str())
}

/// Our own data centre.
pub(crate) fn datacenter(snapshot: &Snapshot) -> &str {
    snapshot.local.record.meta(meta::DATACENTER).filter(|name| !name.is_empty()).unwrap_or("dc1")
}

/// The id that a text names, as Consul writes ids or as we do.
pub(crate) fn parse_id(text: &str) -> Option<NodeId> {
    match text.len() {
        36 => text.replace('-', "").parse().ok(),
        _ => text.parse().ok(),
    }
}

/// The check that Consul gives every member. A node without an agent is none.
pub(crate) fn serf_health(offers: &NodeOffers) -> Option<Check<'_>> {
    if offers.node.external.is_some() {
        return None;
    }
    let (status, output) = match offers.node.failed {
        false => (Status::Passing, "The agent is alive as far as its peers know."),
        true => (Status::Critical, "The agent was lost: no peer holds it alive any more."),
    };
    Some(Check {
        output,
        create_index: offers.created.0,
        modify_index: offers.modified.0,
        ..Check::of_node(offers.node.name.as_str(), SERF_HEALTH, "Serf Health Status", status)
    })
}

/// A check of a node, or of one of its instances.
pub(crate) fn check<'a>(offers: &'a NodeOffers, view: &'a CheckView, instance: Option<&'a Instance>) -> Check<'a> {
    let stamps = offers.checks.get(&view.id).map(|stamped| (stamped.created.0, stamped.modified.0));
    // Views and stamps of one snapshot show the same checks.
    let (created, modified) = stamps.unwrap_or((offers.index.0, offers.index.0));
    Check::new(offers.node.name.as_str(), view, instance, created, modified)
}

fn addresses(offers: &NodeOffers) -> impl Iterator<Item = &str> {
    split(&offers.node)
}

/// The addresses that a node tells, best first.
pub(crate) fn split(node: &InstanceNode) -> impl Iterator<Item = &str> {
    let list = node.addresses.as_deref().unwrap_or_default();
    list.split(',').map(str::trim).filter(|address| !address.is_empty())
}

/// Sixteen bytes as a UUID is written.
pub(crate) fn uuid(bytes: [u8; 16]) -> String {
    let hex: String = NodeId::from_bytes(bytes).to_string();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = NodeId::from_bytes(std::array::from_fn(|i| u8::try_from(i).unwrap() * 17));
        let text = uuid(*id.as_bytes());
        assert_eq!(text, "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!((parse_id(&text), parse_id(&id.to_string())), (Some(id), Some(id)));
        assert_eq!((parse_id("web"), parse_id("00112233-4455-6677-8899-aabbccddeefg")), (None, None));
    }
}
