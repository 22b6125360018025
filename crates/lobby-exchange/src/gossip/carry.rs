//! What the engine wants is carried out: datagrams, streams, names, knocks, files, and answers to whoever waits.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use lobby_core::{
    id::NodeId,
    port::{
        NodeEnded,
        gossip::{Answer, JoinOutcome},
    },
    stats::{PacketKind, Verdict},
    time::Moment,
};
use lobby_gossip::{Input, Key, Keyring, Output, Reach, StreamId};
use tokio::sync::mpsc;

use super::{
    join::{Found, MAX_SEEDS},
    keys, peers, reach,
    run::Loop,
    saver::Saver,
    seeds,
    stream::{End, Order},
};

/// Resolving a seed may take this long.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Resolving a seed that somebody waits for: two seconds remain of those that a join may take.
const JOIN_RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Knocks at a time. Of more than that at once the rest counts as silent, which proves nothing.
pub(super) const MAX_KNOCKS: usize = 32;

/// How often the peers are written, if they have changed.
const PEERS_PERIOD: Duration = Duration::from_secs(60);

impl Loop {
    /// Does what the engine wants.
    pub(super) async fn carry_out(&mut self) -> Result<(), NodeEnded> {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Datagram(to, bytes) => self.send(to, &bytes),
                Output::Event(event) => self.link.tell(event).await?,
                Output::Resolve => self.resolve(),
                Output::Open(stream, to) => self.start_stream(stream, End::Ours(to)),
                Output::Watch(stream, to) => self.start_stream(stream, End::Watch(to)),
                Output::Keep(stream) => self.order(stream, Order::Keep),
                Output::Frame(stream, frame) => self.order(stream, Order::Frame(frame)),
                Output::Close(stream) => {
                    self.order(stream, Order::Close);
                    self.orders.remove(&stream);
                }
                Output::Connect(id, to) => self.knock(id, to),
                Output::Left => self.left = true,
                Output::Joined(addr, result) => self.joins.joined(addr, result),
                Output::Heard(event) => self.desk.hear(event, &self.link.announcement.borrow().record),
                Output::Asked(asked) => {
                    let own = self.link.announcement.borrow().record.clone();
                    let now = self.now();
                    self.desk.be_asked(asked, &own, &mut self.engine, now);
                }
                Output::News(id, news) => self.desk.tell_news(id, news, &mut self.engine),
                Output::QueryOver(id) => self.desk.end_query(id),
                Output::Keyring(keyring) => self.use_keyring(keyring),
                Output::KeysChanged(number, outcome) => self.desk.end_change(number, outcome),
                Output::Forged { origin, from, why, more } => {
                    let from = from.map(|id| id.to_string()).unwrap_or_default();
                    tracing::warn!(%origin, from, more, "a forged record is dropped: {why}");
                }
                Output::Located(number, coordinates) => self.desk.locate(number, coordinates),
            }
        }
        self.desk.end_turn();
        Ok(())
    }

    pub(super) fn send(&self, to: SocketAddr, datagram: &[u8]) {
        // A full send buffer loses the datagram, as any other queue on its way might.
        if self.udp.try_send_to(datagram, to).is_err() {
            self.link.stats.sent(PacketKind::Datagram, Verdict::Failed, 0);
        }
    }

    fn resolve(&self) {
        let (seeds, servers, answer) = (self.seeds.clone(), self.servers.clone(), self.resolved.0.clone());
        self.spawn(async move {
            let seeds = seeds::resolve(seeds, &servers, RESOLVE_TIMEOUT).await;
            let _ = answer.send(seeds).await;
        });
    }

    /// Resolves what somebody wants to join; `join_found` goes on.
    pub(super) fn begin_join(&mut self, seeds: &[String], answer: Answer<JoinOutcome>) {
        let Some(join) = self.joins.begin(seeds, answer, self.clock.moment()) else { return };
        for seed in seeds {
            let (seed, servers, found) = (seed.clone(), self.servers.clone(), self.found.0.clone());
            self.spawn(async move {
                let addrs = seeds::look_up(&seed, &servers, JOIN_RESOLVE_TIMEOUT).await;
                let _ = found.send(Found { join, seed, addrs }).await;
            });
        }
    }

    /// Joins the addresses of a seed, which is a seed from now on: names are resolved anew at each try.
    pub(super) fn join_found(&mut self, found: Found, now: Moment) {
        if found.addrs.is_ok() && !self.seeds.contains(&found.seed) && self.seeds.len() < MAX_SEEDS {
            self.seeds.push(found.seed.clone());
        }
        for addr in self.joins.resolve(found) {
            self.engine.join(addr, now);
        }
    }

    fn knock(&mut self, id: NodeId, to: SocketAddr) {
        let Ok(permit) = self.knocking.clone().try_acquire_owned() else {
            let now = self.now();
            return self.engine.handle(Input::Reached(id, Reach::Silent), now);
        };
        let answer = self.knocked.0.clone();
        self.spawn(async move {
            let reach = reach::knock(to).await;
            let _ = answer.send((id, reach)).await;
            drop(permit);
        });
    }

    pub(super) fn start_stream(&mut self, stream: StreamId, end: End) {
        let (orders, receiver) = mpsc::unbounded_channel();
        self.orders.insert(stream, orders);
        let mut context = self.context.clone();
        // Who missed a change of keys does not open with our newest one.
        if let End::Ours(addr) | End::Watch(addr) = &end {
            context.keyring = self.engine.keyring_for(*addr);
        }
        self.spawn(context.run(stream, end, receiver));
    }

    fn order(&self, stream: StreamId, order: Order) {
        // A stream that has ended tells so by itself.
        if let Some(orders) = self.orders.get(&stream) {
            let _ = orders.send(order);
        }
    }

    fn use_keyring(&mut self, keyring: Arc<Keyring>) {
        let names = self.engine.keys().own;
        // The names only: no key stands in a log.
        tracing::info!(seals = names.first().map_or("", |name| name), accepted = %names.join(" "), "the gossip keys changed");
        if let Some(folder) = &self.folder {
            folder.save_keys(&keyring);
        }
        self.context.keyring = keyring;
        self.fingerprints.send_replace(names);
    }

    /// A helper task, which ends with the loop at the latest.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.abort.clone().run_until_cancelled_owned(task));
    }
}

/// What is kept from one start to the next.
#[derive(Debug)]
pub(super) struct Folder {
    configured: Vec<Key>,
    keys: Saver,
    peers: Saver,
    /// As they stand in the file.
    saved: Vec<SocketAddr>,
    due: Moment,
}

impl Folder {
    pub(super) fn new(path: &Path, configured: Vec<Key>, saved: &[SocketAddr], now: Moment) -> Self {
        Self {
            configured,
            keys: Saver::start(path.join(keys::FILE), keys::MODE),
            peers: Saver::start(path.join(peers::FILE), peers::MODE),
            saved: saved.to_vec(),
            due: now + PEERS_PERIOD,
        }
    }

    pub(super) const fn next_deadline(&self) -> Moment {
        self.due
    }

    pub(super) fn handle_deadline(&mut self, peers: &[SocketAddr], now: Moment) {
        self.due = now + PEERS_PERIOD;
        self.save_peers(peers);
    }

    /// Writes the peers if there are any and they are not those of the file: who is alone for a while keeps its way back.
    pub(super) fn save_peers(&mut self, peers: &[SocketAddr]) {
        if !peers.is_empty() && *peers != self.saved {
            self.saved = peers.to_vec();
            self.peers.save(peers::content(peers));
        }
    }

    fn save_keys(&self, keyring: &Keyring) {
        if let Some(content) = keys::content(&self.configured, keyring.keys()) {
            self.keys.save(content);
        }
    }

    /// Waits until everything is written.
    pub(super) async fn finish(self) {
        self.keys.finish().await;
        self.peers.finish().await;
    }
}
