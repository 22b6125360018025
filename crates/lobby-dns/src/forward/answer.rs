//! An answer of another server: read to its last byte, without what was meant for us alone, and how long it may be kept.
//!
//! EDNS goes from one server to the next only (RFC 6891 §6.2.6): cookies and sizes in it are ours. Each client gets its own.
//! Not here: who is asked (`forward`), keeping it (`forward::cache`).

use crate::{
    encode::{OPT_BYTES, Room, encode_again, encode_reply, opt},
    message::{HEADER, Rcode, Reader, Request, kind},
};

/// An answer for everybody who asks the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    bytes: Vec<u8>,
    /// Where times to live stand.
    ttls: Vec<usize>,
    /// How long it may be kept, in seconds; 0: not at all.
    pub(super) ttl: u32,
}

impl Answer {
    /// Reads an answer that has one question. `None` when it is broken, or is about EDNS itself.
    pub(super) fn read(mut bytes: Vec<u8>) -> Option<Self> {
        let mut reader = Reader { bytes: &bytes, at: 4 };
        let mut counts = [0; 4];
        for count in &mut counts {
            *count = reader.word()?;
        }
        let (question, _) = reader.question()?;
        let (mut ttls, mut least, mut minimum, mut found) = (Vec::new(), None, None, false);
        let mut opt = None;
        for (section, n_records) in counts.into_iter().enumerate().skip(1) {
            for nth in 0..n_records {
                let start = reader.at;
                let record = reader.record()?;
                if record.kind == kind::OPT {
                    // Its first byte is the high part of how the answer ends: our EDNS was not understood.
                    let is_first = section == 3 && record.ttl >> 24 == 0 && opt.is_none();
                    opt = Some(is_first.then_some((start, nth))?);
                }
                if opt.is_some() {
                    continue;
                }
                ttls.push(record.ttl_at);
                least = Some(least.map_or(record.ttl, |least: u32| least.min(record.ttl)));
                if section == 2 && record.kind == kind::SOA {
                    minimum = bytes[..reader.at].last_chunk().map(|bytes| u32::from_be_bytes(*bytes));
                }
                found |= section == 1 && (record.kind == question.kind || question.kind == kind::ANY);
            }
        }
        if reader.at != bytes.len() {
            return None;
        }
        let rcode = bytes[3] & 0xf;
        let ttl = match (rcode == Rcode::NoError.number(), rcode == Rcode::NxDomain.number()) {
            _ if bytes[2] & 0x02 != 0 => None,
            (true, _) if found => least,
            // That there is nothing may be kept as long as the zone says, and not at all if it says nothing (RFC 2308 §5).
            (true, _) | (_, true) => least.zip(minimum).map(|(least, minimum)| least.min(minimum)),
            _ => None,
        };
        if let Some((start, nth)) = opt {
            // Usually the last record, and whatever follows is no answer.
            bytes.truncate(start);
            bytes[10..HEADER].copy_from_slice(&nth.to_be_bytes());
        }
        // Not the word of a server that knows the name itself, but with recursion.
        bytes[2] &= !0x04;
        bytes[3] |= 0x80;
        Some(Self { bytes, ttls, ttl: ttl.unwrap_or_default() })
    }

    /// Whether it says something: other servers need not be asked.
    pub(super) fn is_final(&self) -> bool {
        let rcode = self.bytes[3] & 0xf;
        rcode != Rcode::ServFail.number() && rcode != Rcode::Refused.number()
    }

    /// The same after so many seconds.
    pub(super) fn after(&self, seconds: u32) -> Self {
        let mut answer = self.clone();
        for at in &self.ttls {
            if let Some(word) = answer.bytes[*at..].first_chunk_mut() {
                *word = u32::from_be_bytes(*word).saturating_sub(seconds).to_be_bytes();
            }
        }
        answer
    }

    /// About as many bytes as it takes in memory.
    pub(super) fn weight(&self) -> usize {
        self.bytes.len() + 8 * self.ttls.len() + 256
    }

    /// As this client gets it: with its id, its spelling of the question, its EDNS, and not more than it takes.
    pub(super) fn told(self, request: &Request<'_>, stream: bool) -> Vec<u8> {
        let mut out = self.bytes;
        let room = if stream { Room::STREAM } else { Room::datagram(request.edns) };
        if out.len() + if request.edns.is_some() { OPT_BYTES } else { 0 } > room.limit {
            match stream {
                true => encode_reply(&request.reply(Rcode::ServFail), true, &mut out),
                false => encode_again(request, true, &mut out),
            }
            return out;
        }
        out[..2].copy_from_slice(&request.id.to_be_bytes());
        if !request.authentic_desired && request.edns.is_none_or(|edns| !edns.dnssec_ok) {
            // Only for those who asked whether the data are authentic (RFC 6840 §5.8).
            out[3] &= !0x20;
        }
        out[HEADER..HEADER + request.raw_question.len()].copy_from_slice(request.raw_question);
        if let Some(edns) = request.edns {
            let n_additional = u16::from_be_bytes([out[10], out[11]]) + 1;
            out[10..HEADER].copy_from_slice(&n_additional.to_be_bytes());
            opt(&mut out, edns, Rcode::NoError);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 10, 0, 4, 192, 0, 2, 1];
    const ALIAS: &[u8] = &[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 10, 0, 3, 1, b'b', 0];
    const OPT: &[u8] = &[0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 12, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];

    /// That there is nothing, for this long by one and by the other number.
    fn soa(ttl: u8, minimum: u8) -> Vec<u8> {
        let mut record = vec![0, 0, 6, 0, 1, 0, 0, 0, ttl, 0, 22];
        record.extend([0; 21]);
        record.push(minimum);
        record
    }

    fn answer(flags: u8, rcode: u8, sections: [&[&[u8]]; 3]) -> Vec<u8> {
        let count = |section: &[&[u8]]| u8::try_from(section.len()).unwrap();
        let [a, b, c] = sections.map(count);
        let mut bytes = vec![0, 0, 0x80 | flags, rcode, 0, 1, 0, a, 0, b, 0, c, 1, b'a', 0, 0, 1, 0, 1];
        sections.into_iter().flatten().for_each(|record| bytes.extend_from_slice(record));
        bytes
    }

    #[test]
    fn how_long_an_answer_may_be_kept() {
        let (short, long) = (soa(5, 200), soa(200, 7));
        for (why, bytes, want) in [
            ("an address", answer(0, 0, [&[ADDRESS], &[], &[OPT]]), 10),
            ("cut", answer(2, 0, [&[ADDRESS], &[], &[]]), 0),
            ("servfail", answer(0, 2, [&[ADDRESS], &[], &[]]), 0),
            ("no such name", answer(0, 3, [&[], &[&short], &[OPT]]), 5),
            ("no such name, by the zone's number", answer(0, 3, [&[], &[&long], &[]]), 7),
            ("no such name, and no word on it", answer(0, 3, [&[], &[], &[]]), 0),
            ("nothing of this type", answer(0, 0, [&[ALIAS], &[&long], &[]]), 7),
            ("an alias alone", answer(0, 0, [&[ALIAS], &[], &[]]), 0),
        ] {
            assert_eq!(Answer::read(bytes).map(|answer| answer.ttl), Some(want), "{why}");
        }
    }

    #[test]
    fn what_is_broken_or_about_edns_is_no_answer() {
        let whole = answer(0, 0, [&[ADDRESS], &[], &[OPT]]);
        for len in HEADER..whole.len() {
            assert_eq!(Answer::read(whole[..len].to_vec()), None, "{len}");
        }
        assert_eq!(Answer::read([&whole[..], &[0]].concat()), None, "something follows");
        assert_eq!(Answer::read(answer(0, 0, [&[OPT], &[], &[]])), None, "in the wrong place");
        assert_eq!(Answer::read(answer(0, 0, [&[], &[], &[OPT, OPT]])), None, "twice");
        let mut badvers = OPT.to_vec();
        badvers[5] = 1;
        assert_eq!(Answer::read(answer(0, 0, [&[], &[], &[&badvers]])), None);
    }

    #[test]
    fn the_edns_of_others_goes_no_further() {
        let read = Answer::read(answer(4, 0, [&[ADDRESS], &[], &[OPT]])).unwrap();
        let plain = answer(0, 0x80, [&[ADDRESS], &[], &[]]);
        assert_eq!(read.bytes, plain);
        let mut later = plain;
        later[28] = 7;
        assert_eq!(read.after(3).bytes, later);
    }
}
