//! One request to its answer, from bytes to bytes: what every worker and every connection does.
//!
//! ```text
//! bytes ─► Request ─► cache ─ miss ─► zone, encode ─► cache ─► Send
//!     └ malformed: an error, or nothing  └ no domain of ours ─► Forward, or REFUSED
//! ```
//! Needs no socket, so tests and fuzzers call it as it is.
//! Not here: sockets (`serve`), asking others (`forward`).

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::Arc,
};

use lobby_core::{port::CatalogReader, time};

use crate::{
    cache::{self, Cache, Entry, Key, Now},
    counters::{Counters, Event},
    encode::{Room, encode, encode_again, encode_reply},
    limit::{Limiter, Verdict},
    message::Request,
    near::Distances,
    settings::Settings,
    zone::{Basis, Index, Outcome, Zone, in_doubt},
};

/// What is to be done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The answer is to be sent.
    Send,
    /// There is no answer.
    Nothing,
    /// Another server is to be asked.
    Forward,
}

/// What answers depend on, shared by all who answer.
#[derive(Clone)]
pub struct Shared {
    /// How to answer.
    pub settings: Arc<Settings>,
    /// The catalog.
    pub reader: CatalogReader,
    /// Both clocks.
    pub clock: Arc<dyn Fn() -> time::Now + Send + Sync>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// For the nearest first.
    pub distances: Arc<Distances>,
}

/// Answers requests, one after the other.
pub struct Responder {
    shared: Shared,
    /// Answers about what is there.
    cache: Cache,
    /// All others, for everybody can make up names of nothing, and of addresses.
    nothing: Cache,
    key: Key,
    limiter: Arc<Limiter>,
    /// Rises with each answer that is made: the order of the next one is another.
    made: u64,
    hasher: RandomState,
    index: Index,
}

impl Responder {
    /// One that answers alone.
    pub fn new(shared: Shared) -> Self {
        let limiter = Arc::new(Limiter::new(shared.settings.rate));
        Self::with_limiter(shared, limiter)
    }

    /// One of several that share the datagrams of all clients, and so their rates.
    pub(crate) fn with_limiter(shared: Shared, limiter: Arc<Limiter>) -> Self {
        Self {
            shared,
            cache: Cache::new(cache::ENTRIES, cache::BYTES),
            nothing: Cache::new(cache::ENTRIES / 4, cache::BYTES / 8),
            key: Key::default(),
            limiter,
            made: 0,
            hasher: RandomState::new(),
            index: Index::default(),
        }
    }

    /// Answers a datagram from there.
    pub fn datagram(&mut self, bytes: &[u8], from: IpAddr, out: &mut Vec<u8>) -> Action {
        self.shared.counters.event(Event::Udp);
        let now = (self.shared.clock)();
        match self.limiter.judge(from, now.moment) {
            Verdict::Answer => self.respond(bytes, (from, false), now, out),
            Verdict::Again => match Request::read(bytes) {
                Ok(request) => {
                    self.shared.counters.event(Event::LimitedAgain);
                    encode_again(&request, self.shared.settings.forwards, out);
                    Action::Send
                }
                Err(_) => self.limited(),
            },
            Verdict::Drop => self.limited(),
        }
    }

    /// Answers a message of a stream from there.
    pub fn stream(&mut self, bytes: &[u8], from: IpAddr, out: &mut Vec<u8>) -> Action {
        self.shared.counters.event(Event::Tcp);
        let now = (self.shared.clock)();
        self.respond(bytes, (from, true), now, out)
    }

    /// How many answers were not at hand.
    pub(crate) const fn made(&self) -> u64 {
        self.made
    }

    fn limited(&self) -> Action {
        self.shared.counters.event(Event::LimitedDrop);
        Action::Nothing
    }

    fn respond(&mut self, bytes: &[u8], (from, stream): (IpAddr, bool), now: time::Now, out: &mut Vec<u8>) -> Action {
        let counters = self.shared.counters.clone();
        let request = match Request::read(bytes) {
            Ok(request) => request,
            Err(refusal) => {
                counters.malformed(refusal.malformed);
                let Some(reply) = refusal.reply else { return Action::Nothing };
                counters.answer(reply.rcode);
                encode_reply(&reply, self.shared.settings.forwards, out);
                return Action::Send;
            }
        };
        let room = if stream { Room::STREAM } else { Room::datagram(request.edns) };
        let snapshot = self.shared.reader.snapshot();
        let now = Now { snapshot: &snapshot, in_doubt: in_doubt(&snapshot), moment: now.moment, wall: now.wall };
        let measured = if self.shared.settings.near { self.shared.distances.read() } else { None };
        let near = measured.as_ref().and_then(|measured| measured.near(from));
        let key = self.key.set(&request, room, near.map(|near| near.from));
        for cache in [&mut self.cache, &mut self.nothing] {
            if let Some((encoded, turn)) = cache.find(key, &now) {
                counters.event(Event::Hit);
                count(&counters, encoded);
                encoded.write(&request, turn, out);
                return Action::Send;
            }
        }
        self.made = self.made.wrapping_add(1);
        let seed = self.hasher.hash_one(self.made);
        self.index.renew(&snapshot);
        let zone = Zone {
            snapshot: &snapshot,
            settings: &self.shared.settings,
            near,
            wall: now.wall,
            seed,
            index: &self.index,
            room: room.limit,
        };
        let answer = match zone.answer(&request.question) {
            Outcome::Answer(answer) => answer,
            // Who does not ask for recursion is a server that looks for us, not for others.
            Outcome::Outside(_) if self.shared.settings.forwards && request.recursion_desired => return Action::Forward,
            Outcome::Outside(rcode) => {
                counters.answer(rcode);
                encode_reply(&request.reply(rcode), self.shared.settings.forwards, out);
                return Action::Send;
            }
        };
        counters.event(Event::Made);
        let encoded = encode(&request, &answer, room, &self.shared.settings);
        count(&counters, &encoded);
        encoded.write(&request, 0, out);
        // Of an answer that is cut and does not say so, everybody gets another part.
        if stream || !encoded.is_cut || encoded.truncated {
            let entry = Entry::new(encoded, &answer, &now);
            let is_there = !answer.answers.is_empty() && answer.basis != Basis::Nothing;
            let cache = if is_there { &mut self.cache } else { &mut self.nothing };
            cache.insert(key.into(), entry);
        }
        Action::Send
    }
}

fn count(counters: &Counters, encoded: &crate::encode::Encoded) {
    counters.answer(encoded.rcode);
    if encoded.is_cut {
        counters.event(if encoded.truncated { Event::Truncated } else { Event::Cut });
    }
}
