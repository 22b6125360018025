//! The catalog's view of services is what all records together tell, its indexes move with it and only with it, and what does
//! not change stays the same value.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use lobby_core::{
    catalog::{Catalog, ExchangeSpec, InstanceNode, InstanceView, Liveness, Node, Place, Snapshot},
    check::{Status, view::CheckView},
    id::{ExchangeId, Generation, NodeId, Origin, Revision},
    instance::{Id, Instance},
    local::LocalRecord,
    name::Name,
    port::{Gone, LinkState, PeerEvent},
    record::{Entry, Key, Phase, Record, Stamp, meta},
    service,
    time::{Moment, Now},
};
use proptest::{collection::vec, prelude::*, sample::select};

const NET: ExchangeId = ExchangeId(0);
const LABELS: &[&str] = &["service:web", "service:web:port:80", "service:web:port:81", "service:Web:tag:x", "service:db", "x"];
const IDS: &[&str] = &["a", "b", "web", "web:80"];
const METAS: &[(&str, &str)] = &[
    (meta::ADDRESSES, "192.0.2.1"),
    (meta::ADDRESSES, "192.0.2.2"),
    (meta::DRAIN, "true"),
    (meta::DRAIN, ""),
    (meta::VERSION, "1"),
    (meta::DATACENTER, "dc1"),
    (meta::GOSSIP_KEYS, "k"),
];
const SERVICES: &[&str] = &["web", "Web", "db", "a"];

/// What the agents of the two nodes do, and what is heard of them.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Labels(Vec<&'static str>),
    Instance(&'static str, &'static str, u16),
    Check(&'static str, Option<&'static str>, Status, bool),
    Remove(&'static str),
    Rename(&'static str),
    Meta(&'static str, &'static str),
    /// A new process that wants the same, or nothing.
    Restart(bool),
    Hear,
    Gone(Gone),
    Suspect,
    /// A packet of a Lobby without ids that calls itself like this.
    Bare(&'static str, Vec<&'static str>),
    BareGone(&'static str),
    Look,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let status = || select(Status::ALL.as_slice());
    let labels = || vec(select(LABELS), 0..4);
    let name = || select(["n0", "n1"].as_slice());
    prop_oneof![
        3 => labels().prop_map(Step::Labels),
        4 => (select(IDS), select(SERVICES), 0..2_u16).prop_map(|(id, service, port)| Step::Instance(id, service, port)),
        4 => (select(IDS), prop::option::of(select(IDS)), status(), any::<bool>())
            .prop_map(|(id, instance, status, output)| Step::Check(id, instance, status, output)),
        4 => select(IDS).prop_map(Step::Remove),
        1 => name().prop_map(Step::Rename),
        2 => select(METAS).prop_map(|(name, value)| Step::Meta(name, value)),
        1 => any::<bool>().prop_map(Step::Restart),
        4 => Just(Step::Hear),
        2 => select([Gone::Failed, Gone::Unattended, Gone::Left].as_slice()).prop_map(Step::Gone),
        1 => Just(Step::Suspect),
        1 => (name(), labels()).prop_map(|(name, labels)| Step::Bare(name, labels)),
        1 => name().prop_map(Step::BareGone),
        8 => Just(Step::Look),
    ]
}

/// Two nodes, the first of them ourselves, and what is known of them.
pub(crate) struct Run {
    pub(crate) catalog: Catalog,
    nodes: [LocalRecord; 2],
    pub(crate) last: Arc<Snapshot>,
}

fn origin(n: usize) -> Origin {
    Origin::Node(NodeId::from_bytes([n as u8; 16]))
}

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

impl Run {
    pub(crate) fn start() -> Self {
        let node = |n: u8| LocalRecord::new(NodeId::from_bytes([n; 16]), Generation(1), format!("n{n}").parse().unwrap());
        let nodes = [node(0), node(1)];
        let spec = ExchangeSpec { name: "net".into(), liveness: Liveness::Reported };
        let own = nodes[0].record().clone();
        let mut catalog = Catalog::new(Revision(1), [spec], own, true, Duration::from_secs(60), Now::default());
        catalog.apply(NET, PeerEvent::Link(LinkState::Up), Now::default());
        catalog.apply(NET, PeerEvent::Warm, Now::default());
        let last = catalog.poll_snapshot().unwrap();
        Self { catalog, nodes, last }
    }

    fn apply(&mut self, event: PeerEvent) {
        self.catalog.apply(NET, event, Now::default());
    }

    fn publish(&mut self, n: usize) {
        let Some(record) = self.nodes[n].commit(Moment::ZERO) else { return };
        if n == 0 { self.catalog.set_local(record) } else { self.apply(PeerEvent::Record(record)) }
    }

    fn restart(&mut self, n: usize, keep: bool) {
        let old = self.nodes[n].record().clone();
        let Origin::Node(node) = old.origin else { return };
        let mut new = LocalRecord::new(node, Generation(old.stamp.generation.0 + 1), old.name.clone());
        if keep {
            new.set_labels(old.labels().cloned());
            old.metas().for_each(|(name, value)| new.set_meta(name.as_str(), value));
            old.instances().for_each(|instance| new.set_instance(&instance).unwrap());
            old.checks().for_each(|check| new.set_check(&check).unwrap());
        }
        self.nodes[n] = new;
    }

    pub(crate) fn take(&mut self, n: usize, step: &Step) {
        let local = &mut self.nodes[n];
        match step {
            Step::Labels(labels) => _ = local.set_labels(labels.iter().map(|label| label.parse().unwrap())),
            Step::Instance(name, service, port) => {
                local.set_instance(&Instance { port: *port, ..Instance::new(id(name), id(service)) }).unwrap();
            }
            Step::Check(name, instance, status, output) => {
                let check = CheckView::new(id(name), *name, instance.map(id));
                local.set_check(&CheckView { status: *status, output: output.to_string(), ..check }).unwrap();
            }
            Step::Remove(name) => _ = (local.remove_instance(&id(name)), local.remove_check(&id(name))),
            Step::Rename(name) => local.set_name(name.parse().unwrap()),
            Step::Meta(name, value) => local.set_meta(name, value),
            Step::Restart(keep) => self.restart(n, *keep),
            Step::Hear => self.apply(PeerEvent::Seen(origin(1), Duration::ZERO)),
            Step::Gone(gone) => self.apply(PeerEvent::Gone(origin(1), *gone)),
            Step::Suspect => self.apply(PeerEvent::Suspect(origin(1))),
            Step::Bare(name, labels) => {
                let name: Name = name.parse().unwrap();
                let record = bare(&name, labels);
                self.apply(PeerEvent::Record(record));
                self.apply(PeerEvent::Seen(Origin::Bare(NET, name), Duration::ZERO));
            }
            Step::BareGone(name) => self.apply(PeerEvent::Gone(Origin::Bare(NET, name.parse().unwrap()), Gone::Left)),
            Step::Look => {}
        }
        self.publish(n);
    }
}

fn bare(name: &Name, labels: &[&str]) -> Arc<Record> {
    let labels: BTreeSet<_> = labels.iter().collect();
    let entries = labels.into_iter().map(|label| {
        let entry = Entry { version: Default::default(), value: Some(Arc::default()) };
        (Key::Label(label.parse().unwrap()), entry)
    });
    let origin = Origin::Bare(NET, name.clone());
    Arc::new(Record::from_parts(origin, name.clone(), Stamp::default(), Default::default(), Phase::Running, entries).unwrap())
}

/// What one instance shows, without any sharing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plain {
    pub(crate) instance: Instance,
    checks: Vec<CheckView>,
    node_checks: Vec<CheckView>,
    status: Status,
    pub(crate) from_label: bool,
    node: NodeItself,
}

/// What a node shows of itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NodeItself {
    pub(crate) name: Name,
    pub(crate) failed: bool,
    drain: bool,
    texts: [Option<String>; 3],
}

impl NodeItself {
    pub(crate) fn of(node: &Node) -> Self {
        let texts = [meta::ADDRESSES, meta::DATACENTER, meta::VERSION].map(|name| node.record.meta(name).map(Into::into));
        let drain = node.record.meta(meta::DRAIN) == Some("true");
        Self { name: node.record.name.clone(), failed: !node.state.is_listed(), drain, texts }
    }

    pub(crate) fn shown(node: &InstanceNode) -> Self {
        let texts = [&node.addresses, &node.datacenter, &node.version].map(|text| text.as_deref().map(Into::into));
        Self { name: node.name.clone(), failed: node.failed, drain: node.drain, texts }
    }
}

pub(crate) type Plains = BTreeMap<String, BTreeMap<Place, Plain>>;

/// The nodes that show: bare records hide behind living nodes of their name.
pub(crate) fn shown(snapshot: &Snapshot) -> impl Iterator<Item = (&Origin, &Arc<Node>)> {
    let living = |name: &Name| {
        let with_id = |origin: &Origin| matches!(origin, Origin::Node(_));
        snapshot.nodes.iter().any(|(origin, node)| with_id(origin) && node.state.is_listed() && node.record.name == *name)
    };
    snapshot.nodes.iter().filter(move |(origin, node)| !matches!(origin, Origin::Bare(..)) || !living(&node.record.name))
}

/// All services as the records tell them, from scratch.
pub(crate) fn naive(snapshot: &Snapshot) -> Plains {
    let mut services = Plains::new();
    for (origin, node) in shown(snapshot) {
        let (record, failed) = (&node.record, !node.state.is_listed());
        let made = service::instances(record.labels()).into_iter();
        let made = made.filter(|made| record.instance(&made.id).is_none()).map(|made| (made, true));
        for (instance, from_label) in record.instances().map(|instance| (instance, false)).chain(made) {
            let about = |judged: Option<&Id>| -> Vec<_> { record.checks().filter(|c| c.instance.as_ref() == judged).collect() };
            let (checks, node_checks) = (about(Some(&instance.id)), about(None));
            let worst = checks.iter().chain(&node_checks).map(|check| check.status).max().unwrap_or(Status::Passing);
            let status = if failed { Status::Critical } else { worst };
            let place = Place { node: record.name.clone(), id: instance.id.clone(), origin: origin.clone() };
            let name = instance.service.as_str().to_lowercase();
            let plain = Plain { instance, checks, node_checks, status, from_label, node: NodeItself::of(node) };
            assert!(services.entry(name).or_default().insert(place, plain).is_none());
        }
    }
    services
}

pub(crate) fn plain(place: &Place, view: &InstanceView) -> Plain {
    assert_eq!((&view.node.name, &view.instance.id, &view.node.origin), (&place.node, &place.id, &place.origin));
    Plain {
        instance: (*view.instance).clone(),
        checks: view.checks.iter().map(|check| (**check).clone()).collect(),
        node_checks: view.node.checks.iter().map(|check| (**check).clone()).collect(),
        status: view.status,
        from_label: view.from_label,
        node: NodeItself::shown(&view.node),
    }
}

/// That the snapshot shows what its records tell, and differs from the one before as it should.
fn check(before: &Snapshot, now: &Snapshot) -> Result<(), TestCaseError> {
    let (old, new) = (naive(before), naive(now));
    let shown = |instances: &imbl::OrdMap<Place, Arc<InstanceView>>| -> BTreeMap<Place, Plain> {
        instances.iter().map(|(place, view)| (place.clone(), plain(place, view))).collect()
    };
    let all: Plains = now.services.iter().map(|(name, view)| (name.to_string(), shown(&view.instances))).collect();
    prop_assert_eq!(&all, &new);
    for name in ["web", "db", "a"] {
        let (was, is) = (before.service_index(name), now.service_index(name));
        if old.get(name) == new.get(name) {
            prop_assert_eq!(was, is, "{}", name);
        } else {
            prop_assert!(was < is && is == now.revision, "{} {:?} {:?}", name, was, is);
        }
        let (Some(old), Some(new)) = (before.service(name), now.service(name)) else { continue };
        prop_assert_eq!(&new.name, &new.instances.values().next().unwrap().instance.service);
        let kept = old.instances.iter().filter_map(|(place, view)| Some((view, new.instances.get(place)?)));
        kept.for_each(|(old, new)| assert!(Arc::ptr_eq(old, new) || old != new, "{old:?}"));
    }
    let same_lists = before.hosts.len() == now.hosts.len()
        && before.hosts.values().zip(now.hosts.values()).all(|(a, b)| (&a.name, &a.labels) == (&b.name, &b.labels));
    prop_assert!(before.revision < now.revision || (old == new && same_lists));
    prop_assert!(before.revision <= now.revision);
    Ok(())
}

proptest! {
    #[test]
    fn the_view_of_services_is_what_the_records_tell(steps in vec((0..2_usize, step()), 1..60)) {
        let mut run = Run::start();
        for (n, step) in steps.iter().chain([&(0, Step::Look)]) {
            run.take(*n, step);
            if matches!(step, Step::Look) && let Some(snapshot) = run.catalog.poll_snapshot() {
                check(&run.last, &snapshot)?;
                run.last = snapshot;
            }
        }
    }
}
