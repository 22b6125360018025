//! The broker machine without a broker: what it sends, tells and answers, on a clock made of numbers.

use lobby_core::{
    catalog::{Catalog, ExchangeSpec, Liveness, Snapshot},
    id::{Generation, Revision},
    local::LocalRecord,
    proof::{Checker, Signer, unchecked},
    time::WallSecond,
};
use proptest::prelude::*;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::seal::fixed;

#[path = "../../tests/gossip/captured.rs"]
mod captured;
mod external;
mod forged;
mod last;
mod refused;
mod sealed;
mod size;
mod twin;

const KEEP_ALIVE: Duration = Duration::from_secs(5);
const OWN: NodeId = NodeId::from_bytes([1; 16]);
const PEER: NodeId = NodeId::from_bytes([2; 16]);

struct Bench {
    broker: Broker,
    local: LocalRecord,
    catalog: Catalog,
    snapshots: watch::Sender<Arc<Snapshot>>,
    now: Now,
}

/// Long after the start of the clock, so that ages have a moment.
const START: u64 = 3_600_000_000;

fn at(millis: u64) -> Now {
    Now { moment: Moment::from_micros(START + millis * 1000), wall: WallSecond(1 + millis / 1000) }
}

fn signer(byte: u8) -> Arc<Signer> {
    Arc::new(Signer::new(&[byte; 32], "lobby"))
}

fn record(id: NodeId, name: &str) -> LocalRecord {
    LocalRecord::new(id, Generation(1), name.parse().unwrap())
}

impl Bench {
    fn new(answering: Answering, listed: bool) -> Self {
        Self::of(record(OWN, "own"), answering, listed)
    }

    fn of(local: LocalRecord, answering: Answering, listed: bool) -> Self {
        let liveness = Liveness::Ttl(Duration::from_secs(30));
        let specs = ["test", "other"].map(|name| ExchangeSpec { name: name.into(), liveness });
        let own = local.record().clone();
        let mut catalog = Catalog::new(Revision(0), specs, own.clone(), listed, Duration::from_secs(60), at(0));
        let (snapshots, shown) = watch::channel(catalog.poll_snapshot().unwrap());
        let (_, announcement) = watch::channel(Announcement::new(own, listed));
        let (events, _) = mpsc::channel(1);
        let (_, questions) = mpsc::channel(1);
        let reader = CatalogReader::new(shown);
        let link = PeerLink::new(ExchangeId(0), announcement, questions, reader, Arc::default(), signer(1), events);
        let (keys, check) = (fixed(Keys::default()), unchecked());
        let setup = Setup { broker: "test", cluster: "lobby".into(), keep_alive: KEEP_ALIVE, answering, keys, check };
        Self { broker: Broker::new(setup, &link), local, catalog, snapshots, now: at(0) }
    }

    fn up(answering: Answering) -> Self {
        let mut bench = Self::new(answering, true);
        bench.bus(BusEvent::Up { max_bytes: 1 << 20 });
        bench
    }

    fn complete(answering: Answering) -> Self {
        let mut bench = Self::up(answering);
        bench.run_until(6_000);
        bench.drain();
        bench
    }

    fn bus(&mut self, event: BusEvent) {
        self.broker.handle_bus(event, self.now, u64::MAX / 2);
    }

    fn hear(&mut self, topic: Topic, payload: Vec<u8>) {
        self.bus(BusEvent::Message { topic, reply: Some("_INBOX.x".into()), payload: payload.into() });
    }

    fn ask(&mut self, asker: NodeId, taken: bool) {
        self.hear(Topic::Asks, packet::encode_ask(&Ask { asker, cluster: "lobby".into(), taken }));
    }

    /// Lets time pass, meeting every deadline.
    fn run_until(&mut self, millis: u64) {
        while let Some(due) = self.broker.next_deadline()
            && due <= at(millis).moment
        {
            let millis = (due.as_micros() - START).div_ceil(1000);
            self.now = at(millis);
            self.broker.handle_deadline(self.now);
        }
        self.now = at(millis);
    }

    /// Everything it wants done; what it tells goes to the catalog.
    fn drain(&mut self) -> Vec<Output> {
        let outputs: Vec<_> = std::iter::from_fn(|| self.broker.poll_output()).collect();
        for output in &outputs {
            if let Output::Tell(event) = output {
                self.catalog.apply(ExchangeId(0), event.clone(), self.now);
            }
        }
        if let Some(snapshot) = self.catalog.poll_snapshot() {
            self.snapshots.send_replace(snapshot);
        }
        outputs
    }

    fn sent(&mut self) -> Vec<(Address, PacketKind)> {
        let sent = self.drain().into_iter().filter_map(|output| match output {
            Output::Send(to, kind, _) => Some((to, kind)),
            Output::Tell(_) | Output::Serve(_) => None,
        });
        sent.collect()
    }

    fn answers(&mut self) -> Vec<packet::Answer> {
        let parts = self.drain().into_iter().filter_map(|output| match output {
            Output::Send(Address::Answer(..), PacketKind::Answer, part) => Some(part),
            _ => None,
        });
        parts.map(|part| packet::decode_answer(&part, ExchangeId(0)).unwrap().0).collect()
    }

    fn is_warm(&self) -> bool {
        self.snapshots.borrow().links[0].warm
    }
}

fn hi(record: &LocalRecord, message: Message) -> Vec<u8> {
    packet::encode(record.record(), message, "lobby", WallSecond(1))
}

#[test]
fn says_hi_when_the_link_comes_up_and_every_keep_alive() {
    let mut bench = Bench::up(Answering::Queue);
    assert_eq!(bench.sent(), [(Address::Packets, PacketKind::Hi), (Address::Asks, PacketKind::Ask)]);
    bench.run_until(14_999);
    let his = bench.sent().into_iter().filter(|(_, kind)| *kind == PacketKind::Hi).count();
    assert_eq!(his, 2);
}

#[test]
fn a_change_is_sent_at_once_but_a_flood_of_changes_is_not() {
    let mut bench = Bench::complete(Answering::Queue);
    let before = bench.now;
    for idx in 0..1000 {
        bench.local.set_labels([format!("n:{idx}").parse().unwrap()]);
        let record = bench.local.commit(Moment::ZERO).unwrap();
        bench.broker.handle_announcement(Announcement::new(record, true), bench.now);
        bench.run_until(6_000 + idx / 10);
    }
    assert_eq!(before, at(6_000));
    let sent = bench.sent().len();
    assert!((4..=6).contains(&sent), "{sent} packets in 100 ms");
}

#[test]
fn asks_rarer_and_rarer_and_gives_up_after_keep_alive() {
    let mut bench = Bench::up(Answering::Queue);
    bench.run_until(5_999);
    let asks = bench.sent().into_iter().filter(|(_, kind)| *kind == PacketKind::Ask).count();
    assert_eq!(asks, 4);
    assert!(!bench.is_warm());
    bench.run_until(6_000);
    let outputs = bench.drain();
    assert!(bench.is_warm());
    assert!(outputs.iter().any(|output| matches!(output, Output::Serve(true))));
    bench.run_until(60_000);
    assert!(bench.sent().iter().all(|(_, kind)| *kind == PacketKind::Hi));
}

#[test]
fn the_last_part_of_an_answer_makes_warm_and_its_ages_count() {
    let mut bench = Bench::up(Answering::Queue);
    let peers = [record(PEER, "a"), record(NodeId::from_bytes([3; 16]), "b")];
    let told = peers.iter().map(|peer| (&**peer.record(), 29_000));
    let size = packet::encode_answer(told.clone().take(1), "lobby", WallSecond(1), 1 << 20)[0].len();
    let parts = packet::encode_answer(told, "lobby", WallSecond(1), size + 100);
    assert_eq!(parts.len(), 2);
    for (idx, part) in parts.into_iter().enumerate() {
        assert!(!bench.is_warm());
        bench.hear(Topic::Answers, part);
        bench.drain();
        assert_eq!(bench.snapshots.borrow().nodes.len(), idx + 2);
    }
    assert!(bench.is_warm());
    let snapshot = bench.snapshots.borrow().clone();
    assert_eq!(snapshot.node(PEER).unwrap().age(bench.now), Duration::from_secs(29));
}

#[test]
fn only_who_is_complete_answers() {
    let mut bench = Bench::up(Answering::Queue);
    bench.ask(PEER, false);
    assert!(bench.answers().is_empty());
    bench.run_until(6_000);
    bench.drain();
    bench.ask(PEER, false);
    bench.run_until(6_000);
    let answers = bench.answers();
    assert_eq!((answers.len(), answers[0].records.len(), answers[0].more), (1, 1, false));
    bench.bus(BusEvent::Down { why: "test".into() });
    bench.bus(BusEvent::Up { max_bytes: 1 << 20 });
    bench.ask(PEER, false);
    assert!(bench.answers().is_empty());
}

#[test]
fn an_answer_holds_what_this_exchange_holds_alive_and_nothing_else() {
    let mut bench = Bench::complete(Answering::Queue);
    let tell = |bench: &mut Bench, exchange: u8, id: u8, name: &str, seen: bool| {
        let peer = record(NodeId::from_bytes([id; 16]), name);
        let origin = peer.record().origin.clone();
        bench.catalog.apply(ExchangeId(exchange), PeerEvent::Record(peer.record().clone()), bench.now);
        if seen {
            bench.catalog.apply(ExchangeId(exchange), PeerEvent::Seen(origin, Duration::ZERO), bench.now);
        }
    };
    tell(&mut bench, 0, 10, "here", true);
    tell(&mut bench, 1, 11, "elsewhere", true);
    tell(&mut bench, 0, 12, "never-seen", false);
    let old = br#"{"discovery":{"hostname":"go","labels":["x"]},"message":"hi"}"#;
    bench.hear(Topic::Packets, old.to_vec());
    bench.drain();
    bench.now = at(7_000);
    bench.ask(PEER, false);
    bench.run_until(7_000);
    let answer = bench.answers().remove(0);
    let told: Vec<_> = answer.records.iter().map(|told| (told.packet.record.name.to_string(), told.age_ms)).collect();
    assert_eq!(told, [("own".into(), 0), ("here".into(), 1000), ("go".into(), 1000)]);
}

#[test]
fn a_claimed_question_is_left_alone() {
    let mut bench = Bench::complete(Answering::Claim);
    bench.ask(PEER, false);
    assert!(bench.sent().is_empty(), "it waits first");
    bench.ask(PEER, true);
    bench.run_until(7_000);
    assert!(bench.sent().is_empty());
    bench.ask(PEER, false);
    bench.run_until(8_000);
    let sent = bench.sent();
    assert_eq!(sent[0], (Address::Asks, PacketKind::Ask), "the claim comes first");
    assert_eq!(sent[1], (Address::Answer(PEER, Some("_INBOX.x".into())), PacketKind::Answer));
}

#[test]
fn a_flood_of_questions_costs_ten_answers_a_second() {
    let mut bench = Bench::complete(Answering::Queue);
    for idx in 0..1000_u32 {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&idx.to_le_bytes());
        bench.ask(NodeId::from_bytes(id), false);
        bench.run_until(6_000);
    }
    assert_eq!(bench.answers().len(), 10);
    bench.run_until(7_000);
    bench.drain();
    for idx in 0..1000_u32 {
        let mut id = [9; 16];
        id[..4].copy_from_slice(&idx.to_le_bytes());
        bench.ask(NodeId::from_bytes(id), false);
    }
    assert!(bench.broker.stats.received_count(PacketKind::Ask, Verdict::Refused) > 900);
}

#[test]
fn claims_of_others_use_up_the_second_and_our_own_count_once() {
    let mut bench = Bench::complete(Answering::Claim);
    let ids: Vec<_> = (10..30).map(|id| NodeId::from_bytes([id; 16])).collect();
    for asker in &ids[..9] {
        bench.ask(*asker, true);
    }
    bench.ask(ids[9], false);
    bench.run_until(6_200);
    assert_eq!(bench.answers().len(), 1);
    bench.ask(ids[9], true);
    bench.ask(ids[10], false);
    bench.run_until(6_400);
    assert!(bench.answers().is_empty(), "ten of this second are given");
    bench.run_until(7_100);
    for (asker, millis) in ids[11..].iter().zip((7_150..).step_by(50)) {
        bench.ask(*asker, false);
        bench.run_until(millis);
        bench.ask(*asker, true);
    }
    assert_eq!(bench.answers().len(), 9, "the echoes of our claims cost nothing");
}

#[test]
fn a_goodbye_for_an_old_name_does_not_remove_the_node() {
    let mut bench = Bench::complete(Answering::Queue);
    let mut peer = record(PEER, "peer");
    bench.hear(Topic::Packets, hi(&peer, Message::Hi));
    bench.hear(Topic::Packets, hi(&peer, Message::Goodbye));
    bench.drain();
    assert_eq!(bench.snapshots.borrow().hosts.len(), 2);
    peer.leave();
    peer.commit(Moment::ZERO).unwrap();
    bench.hear(Topic::Packets, hi(&peer, Message::Goodbye));
    bench.drain();
    assert_eq!(bench.snapshots.borrow().hosts.len(), 1);
}

#[test]
fn an_unlisted_node_only_asks() {
    let mut bench = Bench::new(Answering::Queue, false);
    bench.bus(BusEvent::Up { max_bytes: 1 << 20 });
    bench.hear(Topic::OwnAsks, packet::encode_ask(&Ask { asker: PEER, cluster: "lobby".into(), taken: false }));
    bench.run_until(20_000);
    bench.ask(PEER, false);
    bench.run_until(30_000);
    assert!(bench.sent().iter().all(|(to, _)| *to == Address::Asks));
    assert!(bench.is_warm());
}

#[test]
fn a_payload_beyond_all_bounds_is_not_even_read() {
    let mut bench = Bench::complete(Answering::Queue);
    bench.hear(Topic::Packets, vec![b' '; MAX_RECEIVED + 1]);
    assert_eq!(bench.broker.stats.received_count(PacketKind::Hi, Verdict::Oversize), 1);
}

proptest! {
    #[test]
    fn no_payload_on_any_topic_breaks_anything(payloads in prop::collection::vec((0_usize..4, prop::collection::vec(any::<u8>(), 0..200)), 0..20)) {
        let mut bench = Bench::up(Answering::Claim);
        for (topic, payload) in payloads {
            let topic = [Topic::Packets, Topic::Asks, Topic::OwnAsks, Topic::Answers][topic];
            bench.hear(topic, payload);
            bench.drain();
        }
        bench.run_until(10_000);
        bench.drain();
        prop_assert_eq!(bench.snapshots.borrow().hosts.len(), 1);
    }

    #[test]
    fn no_mutation_of_a_packet_breaks_anything(place: prop::sample::Index, byte: u8) {
        let mut bench = Bench::up(Answering::Queue);
        let mut bytes = hi(&record(PEER, "peer"), Message::Hi);
        let at = place.index(bytes.len());
        bytes[at] = byte;
        bench.hear(Topic::Packets, bytes);
        bench.drain();
        prop_assert!(bench.snapshots.borrow().hosts.len() <= 2);
    }
}
