//! An answer as bytes: what fits is written, what does not fit is left out in order, and what differs from one request to the
//! next is patched later.
//!
//! ```text
//! header, question │ answers … │ authority │ additional … │ OPT
//!                  └─ records that may change places; pointers into them are moved along
//! ```
//! Additional records are dropped before answers. Targets of SRV are written in full (RFC 2782), and names after them point
//! there; what points into the question has the case of the asker then too (0x20).
//! Records are written by hickory-proto. Two things it cannot know: the owner of an answer is always the question (it would stop
//! to shorten names after 120 of them), and where records and pointers into those that turn stand.
//! Not here: what is answered (`zone`), what is kept (`cache`).

use std::{collections::HashSet, ops::Range};

use hickory_proto::{
    ProtoError, op,
    rr::{DNSClass, RData},
    serialize::binary::{BinEncodable, BinEncoder},
};

use crate::{
    message::{Edns, HEADER, Rcode, Reply, Request},
    name::Name,
    settings::{CUT_ANSWERS, Settings, Truncate, UDP_BYTES},
    zone::{Answer, Record},
};

/// Bytes of an OPT record without options.
pub(crate) const OPT_BYTES: usize = 11;

/// Largest message over a stream (RFC 1035 §4.2.2).
pub const STREAM_BYTES: usize = 65_535;

/// The first byte that a pointer cannot reach (RFC 1035 §4.1.4).
const POINTERS_END: usize = 0x4000;

/// Largest datagram for a client without EDNS (RFC 1035 §4.2.1).
const PLAIN_BYTES: u16 = 512;

/// How large an answer may be, and how it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// In bytes.
    pub limit: usize,
    /// Over TCP, where nothing is told of what does not fit: there is nowhere else to ask.
    pub stream: bool,
}

impl Room {
    /// That of a stream.
    pub const STREAM: Self = Self { limit: STREAM_BYTES, stream: true };

    /// That of a datagram for this client: what it takes, and we send. Odd sizes are rounded down, so that a client that
    /// tries all of them does not fill the cache.
    pub fn datagram(edns: Option<Edns>) -> Self {
        let limit = edns.map_or(PLAIN_BYTES, |edns| edns.size.clamp(PLAIN_BYTES, UDP_BYTES));
        let limit = if limit == UDP_BYTES { limit } else { limit - limit % 64 };
        Self { limit: usize::from(limit), stream: false }
    }
}

/// The bytes of an answer for everybody who asks the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    bytes: Vec<u8>,
    /// Where each answer begins, if they may change places; else nothing.
    starts: Vec<u16>,
    /// Where the last answer ends.
    end: u16,
    /// Where pointers into the answers stand.
    pointers: Vec<u16>,
    /// How it ends.
    pub rcode: Rcode,
    /// Not all answers fit.
    pub is_cut: bool,
    /// The client is told so.
    pub truncated: bool,
}

/// Writes an answer.
pub fn encode(request: &Request<'_>, answer: &Answer, room: Room, settings: &Settings) -> Encoded {
    let mut bytes = Vec::with_capacity(512);
    let limit = room.limit - if request.edns.is_some() { OPT_BYTES } else { 0 };
    let mut writer = Writer::new(&mut bytes, request, limit);
    let plain_cut = settings.truncate == Truncate::Cut && !room.stream && request.edns.is_none();
    let most = if plain_cut { CUT_ANSWERS } else { usize::MAX };
    let begin = writer.at();
    let mut starts = Vec::with_capacity(answer.answers.len());
    for record in answer.answers.iter().take(most) {
        let start = writer.at();
        if !writer.record(record) {
            break;
        }
        starts.push(offset(start));
    }
    let n_answers = starts.len();
    let is_cut = n_answers < answer.answers.len();
    let truncated = is_cut && !room.stream && settings.truncate == Truncate::Tell;
    let end = writer.at();
    writer.answers = begin..end;
    let n_authority = answer.authority.iter().take_while(|record| writer.record(record)).count();
    let mut n_additional = 0;
    if !truncated {
        // What belongs to an answer that did not fit is of no use.
        let told: HashSet<_> = answer.answers[..n_answers].iter().filter_map(target).collect();
        let belongs = |record: &&Record| !is_cut || record.owner.as_ref().is_some_and(|owner| told.contains(owner));
        n_additional = answer.additional.iter().filter(belongs).filter(|record| writer.record(record)).count();
    }
    let pointers = writer.pointers;
    if let Some(edns) = request.edns {
        opt(&mut bytes, edns, answer.rcode);
        n_additional += 1;
    }
    let mut flags = 0x8000 | u16::from(answer.rcode.number() & 0xf);
    for (is_set, bit) in [(answer.authoritative, 0x0400), (truncated, 0x0200), (settings.forwards, 0x0080)] {
        flags |= if is_set { bit } else { 0 };
    }
    for (at, word) in [(2, flags), (4, 1), (6, offset(n_answers)), (8, offset(n_authority)), (10, offset(n_additional))] {
        bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
    }
    let in_reach = pointers.is_empty() || end < POINTERS_END;
    if !answer.rotates || n_answers < 2 || !in_reach || !answer.authority.iter().chain(&answer.additional).all(is_plain) {
        starts.clear();
    }
    Encoded { bytes, starts, end: offset(end), pointers, rcode: answer.rcode, is_cut, truncated }
}

/// A place in a message, or a number of records, each of which has some bytes.
fn offset(n: usize) -> u16 {
    u16::try_from(n).expect("a message has at most 65535 bytes")
}

/// The name that an answer leads to.
fn target(record: &Record) -> Option<&Name> {
    if let RData::SRV(srv) = &record.data { Some(&srv.target) } else { None }
}

/// Whether a record has no name but that of its owner.
fn is_plain(record: &Record) -> bool {
    matches!(record.data, RData::A(_) | RData::AAAA(_) | RData::TXT(_))
}

/// Writes an answer that says only what is wrong, and whether we recurse.
pub fn encode_reply(reply: &Reply<'_>, forwards: bool, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&reply.id.to_be_bytes());
    // Kind of request, the wish for recursion and for no checks are told back.
    let flags = 0x8000 | (reply.flags & 0x7910) | if forwards { 0x0080 } else { 0 } | u16::from(reply.rcode.number() & 0xf);
    let n_questions = u16::from(!reply.raw_question.is_empty());
    for word in [flags, n_questions, 0, 0, u16::from(reply.edns.is_some())] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(reply.raw_question);
    if let Some(edns) = reply.edns {
        opt(out, edns, reply.rcode);
    }
}

/// Writes that the client should ask again over TCP, and nothing else.
pub fn encode_again(request: &Request<'_>, forwards: bool, out: &mut Vec<u8>) {
    encode_reply(&request.reply(Rcode::NoError), forwards, out);
    out[2] |= 0x02;
}

/// Writes our EDNS record at the end.
pub(crate) fn opt(out: &mut Vec<u8>, edns: Edns, rcode: Rcode) {
    let mut record = op::Edns::new();
    record.set_max_payload(UDP_BYTES).set_rcode_high(rcode.number() >> 4).set_dnssec_ok(edns.dnssec_ok);
    let end = u32::from(offset(out.len()));
    record.emit(&mut BinEncoder::with_offset(out, end)).expect("room was left for it");
}

impl Encoded {
    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has none, which no message has.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether the answer that comes first is another one with each turn.
    pub fn turns(&self) -> bool {
        !self.starts.is_empty()
    }

    /// About as many bytes it takes in memory.
    pub fn weight(&self) -> usize {
        self.bytes.capacity() + 2 * (self.starts.capacity() + self.pointers.capacity())
    }

    /// Writes it for this request, which asks the same as the one it was made for. The answer that comes first is another one
    /// with each `turn`.
    pub fn write(&self, request: &Request<'_>, turn: usize, out: &mut Vec<u8>) {
        out.clear();
        match self.starts.len() {
            0 => out.extend_from_slice(&self.bytes),
            n_answers => self.write_turned(turn % n_answers, out),
        }
        out[..2].copy_from_slice(&request.id.to_be_bytes());
        out[2] |= u8::from(request.recursion_desired);
        out[3] |= u8::from(request.checking_disabled) << 4;
        out[HEADER..HEADER + request.raw_question.len()].copy_from_slice(request.raw_question);
    }

    fn write_turned(&self, first: usize, out: &mut Vec<u8>) {
        let (begin, middle, end) = (usize::from(self.starts[0]), usize::from(self.starts[first]), usize::from(self.end));
        for part in [0..begin, middle..end, begin..middle, end..self.bytes.len()] {
            out.extend_from_slice(&self.bytes[part]);
        }
        for at in &self.pointers {
            let at = usize::from(*at);
            let target = usize::from(u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])) & (POINTERS_END - 1);
            let moved = if target < middle { target + (end - middle) } else { target - (middle - begin) };
            let pointer = u16::try_from(moved | 0xc000).expect("answers that turn end where pointers reach");
            out[at..at + 2].copy_from_slice(&pointer.to_be_bytes());
        }
    }
}

struct Writer<'a> {
    encoder: BinEncoder<'a>,
    answers: Range<usize>,
    pointers: Vec<u16>,
}

impl<'a> Writer<'a> {
    /// Begins with the question in lower case, so that it does not depend on who asks first which names can point there.
    fn new(bytes: &'a mut Vec<u8>, request: &Request<'_>, limit: usize) -> Self {
        bytes.resize(HEADER, 0);
        bytes.extend_from_slice(&request.raw_question.to_ascii_lowercase());
        let mut encoder = BinEncoder::with_offset(bytes, u32::from(offset(HEADER + request.raw_question.len())));
        let end = HEADER + request.question.name.len() - 1;
        let mut start = HEADER;
        for label in request.question.labels() {
            encoder.store_label_pointer(start, end);
            start += label.len() + 1;
        }
        encoder.set_max_size(offset(limit));
        Self { encoder, answers: 0..0, pointers: Vec::new() }
    }

    fn at(&self) -> usize {
        self.encoder.offset()
    }

    /// Writes a record, or nothing of it if it does not fit; whether it does.
    fn record(&mut self, record: &Record) -> bool {
        let start = self.at();
        if self.try_record(record).is_err() {
            self.encoder.set_offset(start);
            self.encoder.trim();
            return false;
        }
        if let Some((at, target)) = self.pointer(start)
            && self.answers.contains(&target)
        {
            self.pointers.push(offset(at));
        }
        true
    }

    fn try_record(&mut self, record: &Record) -> Result<(), ProtoError> {
        let encoder = &mut self.encoder;
        match &record.owner {
            None => encoder.emit_u16(0xc000 | 12)?,
            Some(name) => name.emit(encoder)?,
        }
        record.data.record_type().emit(encoder)?;
        DNSClass::IN.emit(encoder)?;
        encoder.emit_u32(record.ttl)?;
        let place = encoder.place()?;
        record.data.emit(encoder)?;
        let len = encoder.len_since_place(&place);
        place.replace(encoder, offset(len))
    }

    /// Where the pointer stands that ends the name which begins here, and where it points to.
    fn pointer(&self, start: usize) -> Option<(usize, usize)> {
        let bytes = self.encoder.slice_of(start, self.at());
        let mut at = 0;
        loop {
            match bytes[at] {
                0 => return None,
                high @ 0xc0.. => return Some((start + at, usize::from(high & 0x3f) << 8 | usize::from(bytes[at + 1]))),
                len => at += usize::from(len) + 1,
            }
        }
    }
}
