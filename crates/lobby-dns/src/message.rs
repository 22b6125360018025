//! A request as it arrives: header, one question, perhaps EDNS(0). Hostile until it was read to its last byte.
//!
//! ```text
//! datagram or TCP message ─► Request ─► zone
//!                        └─► Refusal: nothing at all, or an error without an answer
//! ```
//! Nothing is allocated and no byte is looked at twice, so the longest message costs its length. What claims to be an answer
//! gets none: two servers would talk for ever.
//! Not here: what is answered (`zone`), the bytes of an answer (`encode`).

use lobby_core::named;

use crate::name::{LABEL_BYTES, Labels, NAME_BYTES};

/// Bytes of the header (RFC 1035 §4.1.1).
pub const HEADER: usize = 12;

/// Types of records and questions that mean something here (IANA, DNS parameters).
pub mod kind {
    /// IPv4 address.
    pub const A: u16 = 1;
    /// Name server.
    pub const NS: u16 = 2;
    /// Another name for it.
    pub const CNAME: u16 = 5;
    /// Start of a zone.
    pub const SOA: u16 = 6;
    /// The name of an address.
    pub const PTR: u16 = 12;
    /// Text.
    pub const TXT: u16 = 16;
    /// IPv6 address.
    pub const AAAA: u16 = 28;
    /// Target, port and weight.
    pub const SRV: u16 = 33;
    /// EDNS(0).
    pub const OPT: u16 = 41;
    /// The first of those that are no types of data: TKEY, TSIG, transfers, mail.
    pub const META_FIRST: u16 = 249;
    /// Incremental transfer.
    pub const IXFR: u16 = 251;
    /// Transfer.
    pub const AXFR: u16 = 252;
    /// The last of those that are no types of data.
    pub const META_LAST: u16 = 254;
    /// All there is, or some of it (RFC 8482).
    pub const ANY: u16 = 255;
}

/// The class of everything here.
pub const IN: u16 = 1;

named! {
    /// How an answer ends, as RFC 1035 §4.1.1 and RFC 6891 §9 number it.
    pub Rcode {
        /// An answer, empty or not.
        NoError = "noerror",
        /// The request cannot be read.
        FormErr = "formerr",
        /// We cannot say.
        ServFail = "servfail",
        /// There is no such name.
        NxDomain = "nxdomain",
        /// We do not do this.
        NotImp = "notimp",
        /// We do not do this for you.
        Refused = "refused",
        /// A version of EDNS that we do not know.
        BadVers = "badvers",
    }
}

impl Rcode {
    /// Its number.
    pub const fn number(self) -> u8 {
        match self {
            Self::NoError => 0,
            Self::FormErr => 1,
            Self::ServFail => 2,
            Self::NxDomain => 3,
            Self::NotImp => 4,
            Self::Refused => 5,
            Self::BadVers => 16,
        }
    }
}

named! {
    /// What is wrong with a request that is not asked of the zone.
    pub Malformed {
        /// Shorter than a header. It gets no answer.
        Short = "short",
        /// It says that it is an answer. It gets none.
        Response = "response",
        /// Its kind of request is not a question.
        Opcode = "opcode",
        /// Not exactly one question.
        Questions = "questions",
        /// The name of the question is broken off, too long, or points elsewhere.
        Name = "name",
        /// A record behind the question is broken off, or something follows the last one.
        Records = "records",
        /// More than one OPT record, or one in the wrong place.
        Opt = "opt",
        /// A version of EDNS other than 0.
        Version = "version",
        /// A class other than IN.
        Class = "class",
        /// A type that cannot be asked for, or a transfer.
        Type = "type",
    }
}

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// The name in wire form, as it was written.
    pub name: &'a [u8],
    /// The type that is wanted.
    pub kind: u16,
}

impl<'a> Question<'a> {
    /// The labels of the name.
    pub fn labels(&self) -> Labels<'a> {
        Labels(self.name)
    }
}

/// What EDNS(0) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// The largest datagram that the client takes.
    pub size: u16,
    /// It wants DNSSEC records, of which we have none; told back to it.
    pub dnssec_ok: bool,
}

/// A request that can be asked of the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Told back.
    pub id: u16,
    /// Told back: the client would like recursion.
    pub recursion_desired: bool,
    /// Told back: the client checks DNSSEC by itself.
    pub checking_disabled: bool,
    /// The client wants to know whether the data are authentic (RFC 6840 §5.7).
    pub authentic_desired: bool,
    /// What is asked.
    pub question: Question<'a>,
    /// The bytes of the question, told back as they are.
    pub raw_question: &'a [u8],
    /// EDNS(0), if the client speaks it.
    pub edns: Option<Edns>,
}

/// A request that the zone is not asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// What is wrong, to be counted.
    pub malformed: Malformed,
    /// What is answered, if anything is.
    pub reply: Option<Reply<'a>>,
}

/// An answer that says only what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// Of the request.
    pub id: u16,
    /// The two bytes of flags of the request.
    pub flags: u16,
    /// What is wrong.
    pub rcode: Rcode,
    /// The bytes of the question as far as it could be read.
    pub raw_question: &'a [u8],
    /// EDNS(0), if it got that far.
    pub edns: Option<Edns>,
}

impl<'a> Request<'a> {
    /// Reads a request, to its last byte.
    ///
    /// # Errors
    /// When it is no question that can be answered from a zone.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Refusal<'a>> {
        let silent = |malformed| Refusal { malformed, reply: None };
        let mut reader = Reader { bytes, at: 0 };
        let header = reader.header().ok_or_else(|| silent(Malformed::Short))?;
        let [id, flags, questions, answers, authorities, additionals] = header;
        if flags & 0x8000 != 0 {
            return Err(silent(Malformed::Response));
        }
        let refuse = |malformed, rcode, raw_question, edns| Refusal {
            malformed,
            reply: Some(Reply { id, flags, rcode, raw_question, edns }),
        };
        if flags & 0x7800 != 0 {
            return Err(refuse(Malformed::Opcode, Rcode::NotImp, &[], None));
        }
        if questions != 1 {
            return Err(refuse(Malformed::Questions, Rcode::FormErr, &[], None));
        }
        let (question, class) = reader.question().ok_or_else(|| refuse(Malformed::Name, Rcode::FormErr, &[], None))?;
        let raw_question = &bytes[HEADER..reader.at];
        let wrong = |malformed, rcode| refuse(malformed, rcode, raw_question, None);
        for _ in 0..u32::from(answers) + u32::from(authorities) {
            let record = reader.record().ok_or_else(|| wrong(Malformed::Records, Rcode::FormErr))?;
            if record.kind == kind::OPT {
                return Err(wrong(Malformed::Opt, Rcode::FormErr));
            }
        }
        let (mut edns, mut version) = (None, 0);
        for _ in 0..additionals {
            let record = reader.record().ok_or_else(|| wrong(Malformed::Records, Rcode::FormErr))?;
            if record.kind == kind::OPT {
                if edns.is_some() || !record.of_root {
                    return Err(wrong(Malformed::Opt, Rcode::FormErr));
                }
                let [_, of_edns, flags, _] = record.ttl.to_be_bytes();
                version = of_edns;
                edns = Some(Edns { size: record.class, dnssec_ok: flags & 0x80 != 0 });
            }
        }
        let wrong = |malformed, rcode| refuse(malformed, rcode, raw_question, edns);
        if reader.at != bytes.len() {
            return Err(wrong(Malformed::Records, Rcode::FormErr));
        }
        if version != 0 {
            return Err(wrong(Malformed::Version, Rcode::BadVers));
        }
        match (class, question.kind) {
            (_, kind::OPT) => Err(wrong(Malformed::Type, Rcode::FormErr)),
            (IN, kind::AXFR | kind::IXFR) => Err(wrong(Malformed::Type, Rcode::Refused)),
            (IN, kind::META_FIRST..=kind::META_LAST) => Err(wrong(Malformed::Type, Rcode::NotImp)),
            (IN, _) => {
                let [recursion_desired, authentic_desired, checking_disabled] =
                    [0x0100, 0x0020, 0x0010].map(|bit| flags & bit != 0);
                Ok(Self { id, recursion_desired, checking_disabled, authentic_desired, question, raw_question, edns })
            }
            _ => Err(wrong(Malformed::Class, Rcode::Refused)),
        }
    }
}

impl<'a> Request<'a> {
    /// An answer that says only how it ends.
    pub(crate) fn reply(&self, rcode: Rcode) -> Reply<'a> {
        let Self { id, raw_question, edns, .. } = *self;
        let flags = u16::from(self.recursion_desired) << 8 | u16::from(self.checking_disabled) << 4;
        Reply { id, flags, rcode, raw_question, edns }
    }
}

/// What of a record has to be known to pass over it.
pub(crate) struct Passed {
    pub(crate) of_root: bool,
    pub(crate) kind: u16,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    /// Where its TTL stands.
    pub(crate) ttl_at: usize,
}

/// Reads a message from its beginning.
pub(crate) struct Reader<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..)?.get(..len)?;
        self.at += len;
        Some(taken)
    }

    pub(crate) fn word(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn header(&mut self) -> Option<[u16; 6]> {
        let mut words = [0; 6];
        for word in &mut words {
            *word = self.word()?;
        }
        Some(words)
    }

    /// A question and its class. Nothing stands before it that its name could point to.
    pub(crate) fn question(&mut self) -> Option<(Question<'a>, u16)> {
        let start = self.at;
        loop {
            let len = usize::from(self.take(1)?[0]);
            if len > LABEL_BYTES || self.at - start + len > NAME_BYTES {
                return None;
            }
            if len == 0 {
                break;
            }
            self.take(len)?;
        }
        let name = &self.bytes[start..self.at];
        let (kind, class) = (self.word()?, self.word()?);
        Some((Question { name, kind }, class))
    }

    /// Passes over a record. Its name may end with a pointer, which is not followed.
    pub(crate) fn record(&mut self) -> Option<Passed> {
        let start = self.at;
        loop {
            match usize::from(self.take(1)?[0]) {
                0 => break,
                len @ 1..=LABEL_BYTES => _ = self.take(len)?,
                0xc0..=0xff => {
                    self.take(1)?;
                    break;
                }
                _ => return None,
            }
            if self.at - start > NAME_BYTES {
                return None;
            }
        }
        let of_root = self.at == start + 1;
        let (kind, class) = (self.word()?, self.word()?);
        let ttl_at = self.at;
        let ttl = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        let len = self.word()?;
        self.take(usize::from(len))?;
        Some(Passed { of_root, kind, class, ttl, ttl_at })
    }
}

#[cfg(test)]
mod tests;
