//! A made-up fleet, questions to it, and answers as text. hickory writes the questions and reads the answers.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query},
    rr::{Name, Record as Answered, RecordType},
};
use lobby_core::{
    catalog::{Catalog, ExchangeSpec, Liveness, Snapshot},
    check::{Status, view::CheckView},
    coordinate::Coordinate,
    external::{self, Change, NodeData},
    id::{ExchangeId, Generation, NodeId, Origin, Revision},
    instance::Instance,
    local::LocalRecord,
    port::{CatalogReader, Gone, LinkState, PeerEvent, gossip::Member},
    record::meta,
    time::{Moment, Now, WallSecond},
};
use lobby_dns::{Action, Counters, Responder, Settings, Shared};
use tokio::sync::watch;

const GOSSIP: ExchangeId = ExchangeId(0);

pub(crate) const NOW: Now = Now { moment: Moment::from_micros(100_000_000), wall: WallSecond(1_700_000_000) };

/// Whom tests ask from: not our own machine.
pub(crate) const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

pub(crate) struct Fleet {
    catalog: Catalog,
    written: BTreeMap<u8, LocalRecord>,
}

/// A responder over a fleet.
pub(crate) struct Asked {
    pub(crate) responder: Responder,
    pub(crate) shared: Shared,
    pub(crate) snapshots: watch::Sender<Arc<Snapshot>>,
    pub(crate) clock: Arc<Mutex<Now>>,
}

/// An instance in the making.
pub(crate) fn instance(id: &str, service: &str, address: &str, port: u16) -> Instance {
    let plain = Instance::new(id.parse().unwrap(), service.parse().unwrap());
    Instance { address: address.into(), port, ..plain }
}

pub(crate) fn check(id: &str, instance: Option<&str>, status: Status) -> CheckView {
    let view = CheckView::new(id.parse().unwrap(), id, instance.map(|id| id.parse().unwrap()));
    CheckView { status, ..view }
}

fn node_id(n: u8) -> NodeId {
    NodeId::from_bytes([n; 16])
}

/// A member of gossip that is so many seconds to the east.
pub(crate) fn member(n: u8, ip: IpAddr, east: f32) -> Member {
    let coordinate = Coordinate {
        vec: std::array::from_fn(|axis| if axis == 0 { east } else { 0.0 }),
        height: 0.0,
        adjustment: 0.0,
        error: 1.0,
    };
    Member {
        id: NodeId::from_bytes([n; 16]),
        name: None,
        generation: Generation(1),
        addr: (ip, 1).into(),
        state: "alive",
        coordinate: Some(coordinate),
        rtt: None,
        own: n == 1,
    }
}

impl Fleet {
    /// Only ourselves, `here` at 10.0.0.1, not warm.
    pub(crate) fn cold() -> Self {
        let mut own = LocalRecord::new(node_id(1), Generation(1), "here".parse().unwrap());
        own.set_meta(meta::ADDRESSES, "10.0.0.1,2001:db8::1");
        own.set_meta(meta::DATACENTER, "dc1");
        own.commit(NOW.moment);
        let spec = ExchangeSpec { name: "gossip".into(), liveness: Liveness::Reported };
        let catalog = Catalog::new(Revision(100), [spec], own.record().clone(), true, Duration::from_secs(60), NOW);
        Self { catalog, written: BTreeMap::from([(1, own)]) }
    }

    pub(crate) fn new() -> Self {
        Self::cold().event(PeerEvent::Link(LinkState::Up)).event(PeerEvent::Warm)
    }

    pub(crate) fn event(mut self, event: PeerEvent) -> Self {
        self.catalog.apply(GOSSIP, event, NOW);
        self
    }

    /// One of very many live nodes, as the test writes it.
    pub(crate) fn many(self, n: u16, name: &str, write: impl FnOnce(&mut LocalRecord)) -> Self {
        let [high, low] = n.to_be_bytes();
        let id = NodeId::from_bytes([0xff, high, low, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let mut local = LocalRecord::new(id, Generation(1), name.parse().unwrap());
        write(&mut local);
        local.commit(NOW.moment);
        let record = local.record().clone();
        self.event(PeerEvent::Record(record)).event(PeerEvent::Seen(Origin::Node(id), Duration::ZERO))
    }

    /// A live node of data centre dc1, as the test writes it.
    pub(crate) fn node(mut self, n: u8, name: &str, write: impl FnOnce(&mut LocalRecord)) -> Self {
        let anew = || {
            let mut local = LocalRecord::new(node_id(n), Generation(1), name.parse().unwrap());
            local.set_meta(meta::DATACENTER, "dc1");
            local.set_meta(meta::ADDRESSES, &format!("10.0.0.{n}"));
            local
        };
        let local = self.written.entry(n).or_insert_with(anew);
        write(local);
        local.commit(NOW.moment);
        let record = local.record().clone();
        self.event(PeerEvent::Record(record)).event(PeerEvent::Seen(Origin::Node(node_id(n)), Duration::ZERO))
    }

    pub(crate) fn failed(self, n: u8) -> Self {
        self.event(PeerEvent::Gone(Origin::Node(node_id(n)), Gone::Failed))
    }

    pub(crate) fn external(mut self, name: &str, data: NodeData, instances: Vec<Instance>) -> Self {
        let mut changes = vec![Change::Node(data)];
        changes.extend(instances.into_iter().map(|instance| Change::Instance(Box::new(instance))));
        let record = external::next(None, &name.parse().unwrap(), node_id(1), 1, &changes).unwrap().unwrap();
        self.catalog.put_external(Arc::new(record), NOW);
        self
    }

    pub(crate) fn snapshot(&mut self) -> Arc<Snapshot> {
        self.catalog.poll_snapshot().unwrap()
    }

    pub(crate) fn asked(mut self, settings: Settings) -> Asked {
        Asked::new(self.snapshot(), settings)
    }
}

impl Asked {
    pub(crate) fn new(snapshot: Arc<Snapshot>, settings: Settings) -> Self {
        let (snapshots, receiver) = watch::channel(snapshot);
        let clock = Arc::new(Mutex::new(NOW));
        let read = clock.clone();
        let shared = Shared {
            settings: Arc::new(settings),
            reader: CatalogReader::new(receiver),
            clock: Arc::new(move || *read.lock().unwrap()),
            counters: Arc::new(Counters::default()),
            distances: Arc::default(),
        };
        Self { responder: Responder::new(shared.clone()), shared, snapshots, clock }
    }

    /// The answer to `NAME TYPE` over UDP with EDNS.
    pub(crate) fn ask(&mut self, question: &str) -> Message {
        read(&self.bytes(&asking(question, Some(1232)), false))
    }

    /// The bytes that answer these.
    pub(crate) fn bytes(&mut self, request: &[u8], stream: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let action = match stream {
            true => self.responder.stream(request, CLIENT, &mut out),
            false => self.responder.datagram(request, CLIENT, &mut out),
        };
        assert_eq!(action, Action::Send);
        out
    }

    /// The answer in short: how it ends, and the answers sorted, or its authority in brackets.
    pub(crate) fn short(&mut self, question: &str) -> String {
        short(&self.ask(question))
    }

    /// Asks all of a table twice: what the cache has is the same.
    #[track_caller]
    pub(crate) fn check(&mut self, cases: &[(&str, &str)]) {
        for (question, want) in cases.iter().chain(cases) {
            assert_eq!(self.short(question), *want, "{question}");
        }
    }
}

/// A request: `NAME TYPE`, with this EDNS size.
pub(crate) fn asking(question: &str, edns: Option<u16>) -> Vec<u8> {
    let (name, kind) = question.split_once(' ').unwrap();
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    message.add_query(Query::query(name, kind.parse::<RecordType>().unwrap()));
    if let Some(size) = edns {
        let mut edns = Edns::new();
        edns.set_max_payload(size);
        message.set_edns(edns);
    }
    message.to_vec().unwrap()
}

pub(crate) fn read(bytes: &[u8]) -> Message {
    Message::from_vec(bytes).unwrap_or_else(|err| panic!("{err}: {bytes:02x?}"))
}

pub(crate) fn record(record: &Answered) -> String {
    format!("{} {}", record.record_type(), record.data)
}

pub(crate) fn short(message: &Message) -> String {
    let mut answers: Vec<_> = message.answers.iter().map(record).collect();
    answers.sort();
    let authority = message.authorities.iter().map(|soa| format!("[{} {}]", soa.record_type(), soa.name));
    let aa = if message.metadata.authoritative { "" } else { " not ours" };
    let mut text = format!("{:?}{aa}", message.metadata.response_code);
    for part in answers.into_iter().chain(authority) {
        text.push_str(" | ");
        text.push_str(&part);
    }
    text
}
