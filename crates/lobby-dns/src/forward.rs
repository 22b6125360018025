//! Names that are not ours, asked of other servers: DNS_FORWARD.
//!
//! ```text
//! question ─► cache ─ miss ─► place ─► each server in turn, 2 s each: UDP, and TCP if it says so ─► cache ─► answer
//! ```
//! A question goes out from a port of its own with an id of its own; what comes back counts only from that server, with that
//! id and that question. Without any answer: SERVFAIL.
//! Not here: names of ours (`zone`), what is kept of others' answers (`forward::cache`), reading them (`forward::answer`).

use std::{
    future::Future,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::Semaphore,
    time::timeout,
};

use crate::{
    counters::Event,
    encode::{encode_reply, opt},
    message::{Edns, HEADER, Rcode, Reader, Request},
    respond::Shared,
    settings::UDP_BYTES,
};

mod answer;
mod cache;

use answer::Answer;
use cache::Cache;

/// Questions to others at the same time: each has a socket and waits for some seconds at most.
const PLACES: usize = 256;

/// How long one server has for its answer, as Consul's recursors.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longest datagram that is taken from a server: it was told not to send that much.
const DATAGRAM: usize = 4096;

/// The servers that are asked, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolvers(pub Vec<SocketAddr>);

/// Asks others.
pub(crate) struct Forward {
    resolvers: Resolvers,
    shared: Shared,
    places: Arc<Semaphore>,
    /// Held for a look.
    cache: Mutex<Cache>,
}

/// What a question came to.
pub(crate) enum Asked {
    /// The answer was kept, or too many questions are under way.
    Now(Vec<u8>),
    /// The answer, when it comes; there always is one.
    Later(Pin<Box<dyn Future<Output = Vec<u8>> + Send>>),
}

impl Forward {
    pub(crate) fn new(resolvers: Resolvers, shared: Shared) -> Self {
        Self { resolvers, shared, places: Arc::new(Semaphore::new(PLACES)), cache: Mutex::default() }
    }

    /// Asks what these bytes ask, which can be read as a request.
    pub(crate) fn ask(self: &Arc<Self>, bytes: &[u8], stream: bool) -> Asked {
        let counters = &self.shared.counters;
        let Ok(request) = Request::read(bytes) else { return Asked::Now(Vec::new()) };
        let now = (self.shared.clock)().moment;
        let key = cache::key(&request);
        let known = self.cache.lock().unwrap_or_else(PoisonError::into_inner).find(&key, now);
        if let Some(known) = known {
            counters.event(Event::ForwardHit);
            return Asked::Now(known.told(&request, stream));
        }
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            counters.event(Event::ForwardFull);
            return Asked::Now(failed(&request));
        };
        counters.event(Event::Forwarded);
        let (forward, bytes, question) = (self.clone(), bytes.to_vec(), question(&request));
        Asked::Later(Box::pin(async move {
            let answer = forward.ask_all(&question, stream).await;
            drop(place);
            let Ok(request) = Request::read(&bytes) else { return Vec::new() };
            match answer {
                Some(answer) => {
                    let now = (forward.shared.clock)().moment;
                    forward.cache.lock().unwrap_or_else(PoisonError::into_inner).insert(key, answer.clone(), now);
                    answer.told(&request, stream)
                }
                None => {
                    forward.shared.counters.event(Event::ForwardFailed);
                    failed(&request)
                }
            }
        }))
    }

    /// The first answer that says something, or else the last one.
    async fn ask_all(&self, question: &[u8], stream: bool) -> Option<Answer> {
        let mut last = None;
        for server in &self.resolvers.0 {
            match timeout(PATIENCE, ask_one(*server, question, stream)).await {
                Ok(Ok(answer)) if answer.is_final() => return Some(answer),
                Ok(Ok(answer)) => last = Some(answer),
                Ok(Err(err)) => tracing::debug!("{server} does not answer: {err}"),
                Err(_) => tracing::debug!("{server} does not answer in time"),
            }
        }
        last
    }
}

/// The question as we ask it: what else the client sent is between it and us.
fn question(request: &Request<'_>) -> Vec<u8> {
    // Whether the data are authentic we want to know for all who may ask (RFC 6840 §5.7).
    let checks = 0x20 | if request.checking_disabled { 0x10 } else { 0 };
    let mut bytes = vec![0, 0, 0x01, checks, 0, 1, 0, 0, 0, 0, 0, 1];
    bytes.extend_from_slice(request.raw_question);
    let dnssec_ok = request.edns.is_some_and(|edns| edns.dnssec_ok);
    opt(&mut bytes, Edns { size: UDP_BYTES, dnssec_ok }, Rcode::NoError);
    bytes
}

fn failed(request: &Request<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode_reply(&request.reply(Rcode::ServFail), true, &mut out);
    out
}

async fn ask_one(server: SocketAddr, question: &[u8], stream: bool) -> io::Result<Answer> {
    let mut question = question.to_vec();
    getrandom::fill(&mut question[..2]).map_err(|_| io::Error::other("the system has no random numbers"))?;
    let any: SocketAddr = if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(&question).await?;
    let mut answer = vec![0; DATAGRAM];
    loop {
        let len = socket.recv(&mut answer).await?;
        if is_answer(&answer[..len], &question) {
            answer.truncate(len);
            break;
        }
    }
    let truncated = answer[2] & 0x02 != 0;
    let answer = if truncated && stream { ask_by_stream(server, &question).await? } else { answer };
    Answer::read(answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

async fn ask_by_stream(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let len = u16::try_from(question.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut message = len.to_be_bytes().to_vec();
    message.extend_from_slice(question);
    stream.write_all(&message).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    if is_answer(&answer, question) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Whether this answers that question: its id, and the same question in whatever case.
fn is_answer(answer: &[u8], question: &[u8]) -> bool {
    let asked = |bytes| {
        let mut reader = Reader { bytes, at: HEADER };
        reader.question().map(|_| reader.at)
    };
    let (Some(end), Some(asked)) = (asked(answer), asked(question)) else { return false };
    answer[..2] == question[..2]
        && answer[2] & 0xf8 == 0x80
        && answer[4..6] == [0, 1]
        && answer[HEADER..end].eq_ignore_ascii_case(&question[HEADER..asked])
}
