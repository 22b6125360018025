//! What NATS and Redis have in common: when to send what, and what an arriving payload means. A machine without IO.
//!
//! ```text
//!              Up/Down, messages              events for the node task
//! bus ───────────────────────────► Broker ───────────────────────────►
//!      ◄───────────────────────────   ▲  announcement, questions, time
//!              packets to send        └──────────────────────────────
//! ```
//! The picture is *complete* when a peer whose own picture is complete has answered, or when KEEP_ALIVE + 1 s have
//! passed since the link came up: by then everybody has spoken, unless all of it was refused because of its seal. A lost link
//! makes it incomplete again. Only who is complete answers, so nobody takes half a picture for the whole.
//! Not here: subjects and connections (`nats`, `redis`), the loop around both (`run`), liveness (`lobby_core::catalog`).

use std::{collections::VecDeque, sync::Arc, time::Duration};

use lobby_core::{
    catalog::{NodeState, Presence},
    id::{ExchangeId, NodeId, Origin},
    limits,
    port::{Announcement, CatalogReader, Gone, LinkState, PeerEvent, PeerLink},
    proof::Check,
    record::Record,
    stats::{PacketKind, Stats, Verdict},
    time::{Moment, Now},
    wire::packet::{self, Ask, Incoming, Message},
};
use tokio::sync::watch;

use crate::seal::{Keys, Opened, SEAL_BYTES, Sealer, Tag};

mod answer;
mod external;
mod forged;
mod refused;
mod run;
mod sealed;
#[cfg(test)]
mod tests;
mod twin;
mod words;

use answer::Answers;
use external::Riders;
use forged::Forgeries;
use refused::Refusals;
pub(crate) use run::{Bus, run};
use sealed::Greeting;
use twin::Twin;
pub(crate) use words::{Address, Answering, BusEvent, Output, Topic};

/// Largest payload that is read: a record of the largest kind, written as JSON.
const MAX_RECEIVED: usize = 8 * limits::RECORD_BYTES;

/// Shortest time between two packets of ours, however often we change or are asked.
const MIN_GAP: Duration = Duration::from_millis(20);

/// First wait for an answer before asking again; each further one is twice as long.
const ASK_AGAIN: Duration = Duration::from_millis(400);

/// How long after KEEP_ALIVE the slowest packet may arrive.
const SLACK: Duration = Duration::from_secs(1);

/// Everything both brokers need to know.
#[derive(Clone)]
pub(crate) struct Setup {
    /// The name in logs.
    pub(crate) broker: &'static str,
    pub(crate) cluster: String,
    pub(crate) keep_alive: Duration,
    pub(crate) answering: Answering,
    pub(crate) keys: watch::Receiver<Keys>,
    /// Says whether a record is its owner's.
    pub(crate) check: Check,
}

/// The machine.
pub(crate) struct Broker {
    exchange: ExchangeId,
    own: NodeId,
    setup: Setup,
    reader: CatalogReader,
    stats: Arc<Stats>,
    sealer: Sealer,
    greeting: Greeting,
    announced: Announcement,
    /// The last record that was sent, to say goodbye for its name when the name changes.
    sent: Option<Arc<Record>>,
    sent_at: Moment,
    /// A packet of ours was too large and nobody has been told yet that it fits again.
    oversize: bool,
    up: bool,
    max_bytes: usize,
    complete: bool,
    next_hi: Option<Moment>,
    next_ask: Option<Moment>,
    ask_gap: Duration,
    complete_at: Option<Moment>,
    answers: Answers,
    /// Nodes without an agent that we wrote, on their way.
    riders: Riders,
    forgeries: Forgeries,
    refusals: Refusals,
    twin: Twin,
    outputs: VecDeque<Output>,
}

impl Broker {
    pub(crate) fn new(setup: Setup, link: &PeerLink) -> Self {
        let announced = link.announcement.borrow().clone();
        let own = announced.record.origin.node_id().expect("our own record has a node id");
        let sealer = Sealer::new(setup.broker, own, announced.record.stamp.generation, &setup.keys.borrow());
        Self {
            exchange: link.exchange,
            own,
            sealer,
            greeting: Greeting::default(),
            answers: Answers::default(),
            riders: Riders::default(),
            forgeries: Forgeries::default(),
            refusals: Refusals::default(),
            twin: Twin::default(),
            setup,
            reader: link.reader.clone(),
            stats: link.stats.clone(),
            announced,
            sent: None,
            sent_at: Moment::ZERO,
            oversize: false,
            up: false,
            max_bytes: 0,
            complete: false,
            next_hi: None,
            next_ask: None,
            ask_gap: ASK_AGAIN,
            complete_at: None,
            outputs: VecDeque::new(),
        }
    }

    /// What is to be done next. Holds at most what one input brings about: the events of one payload.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_deadline`] wants to be called next.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        [self.next_hi, self.next_ask, self.complete_at, self.answers.next_due(), self.greeting.next_due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what is due.
    pub(crate) fn handle_deadline(&mut self, now: Now) {
        let due = |at: Option<Moment>| at.is_some_and(|at| at <= now.moment);
        if due(self.greeting.next_due()) {
            self.greet(now.moment);
        }
        if due(self.next_hi) {
            self.say_hi(now);
        }
        if due(self.next_ask) {
            self.ask(Address::Asks, false);
            self.next_ask = Some(now.moment + self.ask_gap);
            self.ask_gap *= 2;
        }
        if due(self.complete_at) {
            if self.refusals.are_all(now.moment, self.setup.keep_alive) {
                self.complete_at = Some(now.moment + self.setup.keep_alive + SLACK);
            } else {
                self.become_complete();
            }
        }
        while let Some(question) = self.answers.poll_due(now.moment) {
            self.answer(question, now);
        }
    }

    /// The bus says something. `random` is for jitter.
    pub(crate) fn handle_bus(&mut self, event: BusEvent, now: Now, random: u64) {
        match event {
            BusEvent::Up { max_bytes } => {
                self.up = true;
                self.refusals.begin(now.moment);
                self.max_bytes = max_bytes.saturating_sub(if self.sealer.is_on() { SEAL_BYTES } else { 0 });
                self.outputs.push_back(Output::Tell(PeerEvent::Link(LinkState::Up)));
                self.next_hi = Some(now.moment);
                self.next_ask = Some(now.moment);
                self.ask_gap = ASK_AGAIN;
                self.complete_at = Some(now.moment + self.setup.keep_alive + SLACK);
                self.handle_deadline(now);
            }
            BusEvent::Down { why } => {
                self.up = false;
                self.complete = false;
                self.riders = Riders::default();
                self.greeting.forget();
                (self.next_hi, self.next_ask, self.complete_at) = (None, None, None);
                self.answers.forget();
                self.outputs.push_back(Output::Tell(PeerEvent::Link(LinkState::Down { why })));
                self.outputs.push_back(Output::Serve(false));
            }
            BusEvent::Message { topic, payload, .. } if payload.len() > MAX_RECEIVED => {
                self.stats.received(kind(topic), Verdict::Oversize, payload.len());
            }
            BusEvent::Message { topic, reply, payload } => {
                let opened = self.open(topic, &payload, now.moment, random);
                self.note_seal(&opened, now.moment);
                let opened = match opened {
                    Ok(opened) => opened,
                    Err(verdict) => return self.stats.received(kind(topic), verdict, payload.len()),
                };
                let verdict = match topic {
                    Topic::Packets => return self.handle_packet(&payload, &opened, now.moment),
                    Topic::Asks => self.handle_ask(&payload, &opened, reply, now.moment, random),
                    Topic::OwnAsks => self.handle_own_ask(&payload, now.moment),
                    Topic::Answers => self.handle_answer(&payload, now.moment),
                };
                self.stats.received(kind(topic), verdict, payload.len());
            }
        }
    }

    /// Our record has changed.
    pub(crate) fn handle_announcement(&mut self, announced: Announcement, now: Now) {
        self.announced = announced;
        if !self.up || !self.announced.listed {
            return;
        }
        if self.announced.record.is_last() {
            self.say_last(now);
        } else {
            self.hurry_hi(now.moment);
        }
    }

    /// Another exchange believes this node failed.
    pub(crate) fn handle_question(&mut self, node: NodeId) {
        if self.up {
            self.ask(Address::Node(node), false);
        }
    }
}

// === Our own packets ===

impl Broker {
    /// A packet of ours soon: at once, unless the last one has only just left.
    fn hurry_hi(&mut self, now: Moment) {
        let at = now.max(self.sent_at + MIN_GAP);
        self.next_hi = Some(self.next_hi.map_or(at, |next| next.min(at)));
    }

    fn say_hi(&mut self, now: Now) {
        self.next_hi = Some(now.moment + self.setup.keep_alive);
        if self.announced.listed && !self.announced.record.is_last() {
            self.send_hi(now);
        }
    }

    /// Our last word, once: a goodbye when we leave; when we restart, our record, which says so, and no goodbye.
    fn say_last(&mut self, now: Now) {
        let record = self.announced.record.clone();
        if self.sent.as_ref().is_some_and(|sent| sent.is_last()) {
            return;
        }
        if record.has_left() {
            self.send_goodbye(&record, now);
            self.sent = Some(record);
        } else {
            self.send_hi(now);
        }
        self.next_hi = None;
    }

    fn send_hi(&mut self, now: Now) {
        let record = self.announced.record.clone();
        if let Some(old) = self.sent.take_if(|sent| sent.name != record.name) {
            self.send_goodbye(&old, now);
        }
        let (bytes, riders) = self.hi_with_riders(&record, now);
        if bytes.len() > self.max_bytes {
            self.stats.sent(PacketKind::Hi, Verdict::Oversize, 0);
            if !std::mem::replace(&mut self.oversize, true) {
                tracing::warn!(
                    bytes = bytes.len(),
                    limit = self.max_bytes,
                    "our packet is too large for the broker and is not sent"
                );
            }
            return;
        }
        self.oversize = false;
        self.sent = Some(record);
        self.sent_at = now.moment;
        self.send(Address::Packets, PacketKind::Hi, None, bytes);
        self.riders.sent(riders);
        if self.riders.are_left(&self.announced, self.own) {
            self.hurry_hi(now.moment);
        }
    }

    /// However large the record is: a goodbye names it and holds none of its entries.
    fn send_goodbye(&mut self, record: &Record, now: Now) {
        let bytes = packet::encode(record, Message::Goodbye, &self.setup.cluster, now.wall);
        self.send(Address::Packets, PacketKind::Goodbye, None, bytes);
    }

    fn ask(&mut self, to: Address, taken: bool) {
        let ask = Ask { asker: self.own, cluster: self.setup.cluster.clone(), taken };
        self.send(to, PacketKind::Ask, None, packet::encode_ask(&ask));
    }

    fn become_complete(&mut self) {
        (self.next_ask, self.complete_at) = (None, None);
        self.complete = true;
        self.outputs.push_back(Output::Tell(PeerEvent::Warm));
        self.outputs.push_back(Output::Serve(self.announced.listed));
    }
}

// === Packets of others ===

impl Broker {
    fn handle_packet(&mut self, payload: &[u8], opened: &Opened, now: Moment) {
        let stats = self.stats.clone();
        let count = |kind, verdict| stats.received(kind, verdict, payload.len());
        let Ok(mut incoming) = packet::decode(payload, self.exchange) else {
            return count(PacketKind::Hi, Verdict::Garbage);
        };
        // Who seals tells of itself only.
        if opened.sender.is_some_and(|sender| incoming.record.origin != Origin::Node(sender)) {
            return count(PacketKind::Hi, Verdict::Garbage);
        }
        let kind = match incoming.message {
            Message::Hi => PacketKind::Hi,
            Message::Goodbye => PacketKind::Goodbye,
        };
        if let Some(verdict) = self.misdirected(&incoming) {
            if verdict == Verdict::Own {
                self.look_for_twin(&incoming, now);
            }
            return count(kind, verdict);
        }
        // The old name of a node that told its new one, or will: its id is what counts, and nothing follows.
        if incoming.message == Message::Goodbye && incoming.record.origin.node_id().is_some() && !incoming.record.is_last() {
            return count(kind, Verdict::Ok);
        }
        match self.verdict(&mut incoming, now) {
            verdict @ (Verdict::Ok | Verdict::Trimmed) => count(kind, verdict),
            refused => return count(kind, refused),
        }
        for record in incoming.externals {
            self.tell_external(record, now);
        }
        let record = incoming.record;
        match (incoming.message, &record.origin) {
            (Message::Hi, _) if !record.is_last() => self.tell_alive(record, Duration::ZERO),
            // It left, or restarts, or we know a newer version: the catalog knows what follows.
            (_, Origin::Node(_)) => self.outputs.push_back(Output::Tell(PeerEvent::Record(record))),
            (_, origin) => self.outputs.push_back(Output::Tell(PeerEvent::Gone(origin.clone(), Gone::Left))),
        }
    }

    fn tell_alive(&mut self, record: Arc<Record>, age: Duration) {
        let origin = record.origin.clone();
        self.outputs.push_back(Output::Tell(PeerEvent::Record(record)));
        self.outputs.push_back(Output::Tell(PeerEvent::Seen(origin, age)));
    }

    fn handle_own_ask(&mut self, payload: &[u8], now: Moment) -> Verdict {
        match packet::decode_ask(payload) {
            Err(_) => Verdict::Garbage,
            Ok(ask) if ask.cluster != self.setup.cluster => Verdict::Foreign,
            Ok(_) => {
                self.hurry_hi(now);
                Verdict::Ok
            }
        }
    }
}

const fn kind(topic: Topic) -> PacketKind {
    match topic {
        Topic::Packets => PacketKind::Hi,
        Topic::Asks | Topic::OwnAsks => PacketKind::Ask,
        Topic::Answers => PacketKind::Answer,
    }
}
