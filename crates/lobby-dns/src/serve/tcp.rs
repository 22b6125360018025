//! DNS over TCP (RFC 7766): each message with its length before it, several under way on one connection.
//!
//! ```text
//! accept (bounds) ─► connection: reader ─► answers (64 KiB) ─► writer
//!                                  └ names of others: a task each ─┘
//! ```
//! One question of each connection is answered at a time, each connection in turn. Of those that have to be made anew a network
//! gets as many as DNS_RATE says; its connections wait above that.
//! Answers to names of ours come in the order of the questions. A client that takes nothing makes its reader wait, and is
//! cut off after a while; one that asks nothing, too, and at once when others need its place.
//! Not here: what is answered (`respond`).

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    time::{Instant, sleep, timeout},
};

use crate::{
    counters::Event,
    encode::STREAM_BYTES,
    forward::{Asked, Forward},
    limit::{Limiter, Verdict, network},
    respond::{Action, Responder, Shared},
    settings::Limits,
};

/// Answers that may wait for their writer; the reader waits then.
const ANSWERS: usize = 64;

/// Bytes of those answers: as many as the largest one has.
const ANSWER_BYTES: usize = STREAM_BYTES;

/// Questions to others that a connection may have under way; the reader waits then. Each answer may have 64 KiB, and waits
/// beside the others.
const FORWARDED: usize = 8;

/// A network above its rate of answers that have to be made waits so long for each: 64 connections get 640 more a second.
const PAUSE: Duration = Duration::from_millis(100);

/// Questions that wait for the thread which answers them; readers wait then.
const WAITING: usize = 64;

/// The largest buffer that a connection keeps between questions.
const KEPT_BYTES: usize = 4096;

/// What all connections share.
struct Common {
    shared: Shared,
    limits: Limits,
    forward: Option<Arc<Forward>>,
    answering: mpsc::Sender<Job>,
    /// Of answers that have to be made.
    rate: Limiter,
    /// Held for a look.
    places: Mutex<Places>,
}

/// A question to the thread that makes the answers.
pub(super) struct Job {
    message: Vec<u8>,
    client: IpAddr,
    done: oneshot::Sender<Done>,
}

/// What became of it, and its memory to be used again.
struct Done {
    action: Action,
    /// It was not at hand.
    made: bool,
    answer: Vec<u8>,
    message: Vec<u8>,
}

/// The way of answers to their writer.
#[derive(Clone)]
struct Answers {
    waiting: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
}

/// An answer that waits, and the room that it has.
struct Waiting {
    bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

fn answers() -> (Answers, mpsc::Receiver<Waiting>) {
    let (waiting, receiver) = mpsc::channel(ANSWERS);
    (Answers { waiting, room: Arc::new(Semaphore::new(ANSWER_BYTES)) }, receiver)
}

impl Answers {
    /// Waits for room.
    async fn send(&self, bytes: Vec<u8>) -> io::Result<()> {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        // Never more than there is in all.
        let len = u32::try_from(bytes.len().min(ANSWER_BYTES)).map_err(|_| closed())?;
        let room = self.room.clone().acquire_many_owned(len).await.map_err(|_| closed())?;
        self.waiting.send(Waiting { bytes, _room: room }).await.map_err(|_| closed())
    }
}

/// Starts the thread that makes the answers, so that no question keeps the tasks of the agent waiting. One question of each
/// connection waits for it at a time. It ends when nobody can ask it any more.
pub(super) fn answering(shared: Shared) -> io::Result<mpsc::Sender<Job>> {
    let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING);
    let mut responder = Responder::new(shared);
    let work = move || {
        while let Some(Job { message, client, done }) = waiting.blocking_recv() {
            let mut answer = Vec::new();
            let before = responder.made();
            let action = responder.stream(&message, client, &mut answer);
            let made = responder.made() != before;
            // The client may be gone.
            let _ = done.send(Done { action, made, answer, message });
        }
    };
    std::thread::Builder::new().name("dns-tcp".into()).spawn(work)?;
    Ok(jobs)
}

/// The connections that are open.
#[derive(Default)]
struct Places {
    next: u64,
    open: HashMap<u64, Open>,
}

struct Open {
    network: u128,
    /// When it last asked something.
    since: Instant,
    /// Dropped when another one needs the place.
    _close: oneshot::Sender<()>,
}

impl Places {
    /// A place for a client, and what ends when it must go: when all are taken, whoever asked nothing for the longest time goes.
    fn take(&mut self, client: IpAddr, limits: &Limits) -> Option<(u64, oneshot::Receiver<()>)> {
        let network = match client.to_canonical() {
            // Programs of our own machine are no network.
            IpAddr::V4(ip) if ip.is_loopback() => u128::from(u32::from(ip)),
            client => u128::from(network(client)) << 64,
        };
        if self.open.values().filter(|open| open.network == network).count() >= limits.per_network {
            return None;
        }
        if self.open.len() >= limits.connections {
            let (id, open) = self.open.iter().min_by_key(|(_, open)| open.since)?;
            if open.since.elapsed() < limits.quiet {
                return None;
            }
            let id = *id;
            self.open.remove(&id);
        }
        let (close, closed) = oneshot::channel();
        self.next += 1;
        self.open.insert(self.next, Open { network, since: Instant::now(), _close: close });
        Some((self.next, closed))
    }
}

/// A connection's place, until it is dropped.
struct Place {
    common: Arc<Common>,
    client: IpAddr,
    id: u64,
}

impl Place {
    fn take(common: &Arc<Common>, client: IpAddr) -> Option<(Self, oneshot::Receiver<()>)> {
        let (id, closed) = common.places.lock().unwrap_or_else(PoisonError::into_inner).take(client, &common.limits)?;
        common.shared.counters.connections.fetch_add(1, Relaxed);
        Some((Self { common: common.clone(), client, id }, closed))
    }

    /// Something is asked.
    fn used(&self) {
        let mut places = self.common.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = places.open.get_mut(&self.id) {
            open.since = Instant::now();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.common.shared.counters.connections.fetch_sub(1, Relaxed);
        self.common.places.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&self.id);
    }
}

/// Accepts connections until the end.
pub(super) async fn accept(
    listener: TcpListener,
    answering: mpsc::Sender<Job>,
    shared: Shared,
    limits: Limits,
    forward: Option<Arc<Forward>>,
    mut stop: watch::Receiver<bool>,
) {
    let rate = Limiter::new(shared.settings.rate);
    let common = Arc::new(Common { shared, limits, forward, answering, rate, places: Mutex::default() });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        let Ok((stream, from)) = accepted else {
            // Most likely without a free descriptor: others need the time to close some.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let counters = &common.shared.counters;
        match Place::take(&common, from.ip()) {
            Some((place, closed)) => {
                counters.event(Event::Connected);
                tokio::spawn(serve(stream, place, closed, stop.clone()));
            }
            None => counters.event(Event::ConnectionRefused),
        }
    }
}

async fn serve(stream: TcpStream, place: Place, closed: oneshot::Receiver<()>, mut stop: watch::Receiver<bool>) {
    // Without it answers only come later.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let (answers, waiting) = answers();
    let mut writing = tokio::spawn(write(writer, waiting, place.common.limits));
    tokio::select! {
        // Broken or closed, there is nobody to tell.
        _ = read(reader, &place, answers) => {
            let _ = writing.await;
            return;
        }
        // Whoever cannot write need not read.
        _ = &mut writing => return,
        _ = closed => {}
        _ = stop.changed() => {}
    }
    writing.abort();
}

async fn read(mut reader: OwnedReadHalf, place: &Place, answers: Answers) -> io::Result<()> {
    let common = &place.common;
    let forwarded = Arc::new(Semaphore::new(FORWARDED));
    let mut message = Vec::new();
    loop {
        let mut len = [0; 2];
        timeout(common.limits.idle, reader.read_exact(&mut len)).await??;
        message.resize(usize::from(u16::from_be_bytes(len)), 0);
        timeout(common.limits.idle, reader.read_exact(&mut message)).await??;
        place.used();
        let (done, answered) = oneshot::channel();
        if common.answering.send(Job { message, client: place.client, done }).await.is_err() {
            return Ok(());
        }
        let Ok(Done { action, made, answer, message: memory }) = answered.await else { return Ok(()) };
        message = memory;
        if made && common.rate.judge(place.client, (common.shared.clock)().moment) != Verdict::Answer {
            common.shared.counters.event(Event::LimitedWait);
            sleep(PAUSE).await;
        }
        match (action, &common.forward) {
            (Action::Send, _) => answers.send(answer).await?,
            (Action::Forward, Some(forward)) => {
                let Ok(turn) = forwarded.clone().acquire_owned().await else { return Ok(()) };
                match forward.ask(&message, true) {
                    Asked::Now(answer) => answers.send(answer).await?,
                    Asked::Later(answer) => {
                        let answers = answers.clone();
                        // The client may be gone by then. Until its answer is on its way, its turn is not over.
                        tokio::spawn(async move {
                            let _ = answers.send(answer.await).await;
                            drop(turn);
                        });
                    }
                }
            }
            (Action::Nothing, _) | (Action::Forward, None) => return Ok(()),
        }
        if message.capacity() > KEPT_BYTES {
            message = Vec::new();
        }
    }
}

/// Writes answers in the order in which they come, until no more can come.
async fn write(mut writer: OwnedWriteHalf, mut answers: mpsc::Receiver<Waiting>, limits: Limits) -> io::Result<()> {
    let mut out = Vec::new();
    while let Some(mut answer) = answers.recv().await {
        out.clear();
        frame(&answer.bytes, &mut out);
        // What waits goes along.
        while out.len() < KEPT_BYTES
            && let Ok(next) = answers.try_recv()
        {
            answer = next;
            frame(&answer.bytes, &mut out);
        }
        // What is being written is one more, and gives its room to the next ones.
        drop(answer);
        timeout(limits.write, writer.write_all(&out)).await??;
        if out.capacity() > 2 * KEPT_BYTES {
            out = Vec::new();
        }
    }
    writer.shutdown().await
}

fn frame(answer: &[u8], out: &mut Vec<u8>) {
    let len = u16::try_from(answer.len()).expect("a message has at most 65535 bytes");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(answer);
}

#[cfg(test)]
mod tests;
