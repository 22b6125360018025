//! What a question is answered: a pure function of the question, one snapshot and the settings.
//!
//! ```text
//! question ─► domain? ─ no ─► an address backwards? ─ no ─► Outside: others are asked, or it is refused
//!               └ yes ─► Form (`form`) ─► service │ node │ label │ instance ─► Answer
//! ```
//! Only what is well is told. A name that nobody offers is NXDOMAIN; while we do not know better (not warm yet, or holding)
//! it is SERVFAIL, for a name that is wrongly said not to exist is believed and kept. A name below which there may be others
//! exists: resolvers that ask label by label would stop there (RFC 8020).
//! Not here: bytes (`encode`), what of it is kept how long (`cache`).

use std::net::IpAddr;

use hickory_proto::rr::{
    RData,
    rdata::{CNAME, NS, SOA},
};
use lobby_core::{catalog::Snapshot, id::Revision, time::WallSecond};

use crate::{
    message::{Question, Rcode, kind},
    name::{self, Name},
    near::Near,
    settings::Settings,
};

mod form;
mod index;
mod instance;
mod label;
mod node;
mod place;
mod reverse;
mod service;
mod txt;

use form::Form;
pub use index::Index;

/// Names that stand for one another are followed so far.
const MOST_ALIASES: usize = 8;

/// What is told while not all is known may be kept so long.
const DOUBT_SECONDS: u32 = 1;

/// Bytes of the smallest answer, an IPv4 address.
const LEAST_BYTES: usize = 16;

/// Everything an answer depends on beside the question.
#[derive(Clone, Copy, Debug)]
pub struct Zone<'a> {
    /// The catalog.
    pub snapshot: &'a Snapshot,
    /// How to answer.
    pub settings: &'a Settings,
    /// Round trips between the asker and nodes, for the nearest first; `None`: in no order.
    pub near: Option<Near<'a>>,
    /// The number in SOA records.
    pub wall: WallSecond,
    /// Whatever the order of answers is drawn from.
    pub seed: u64,
    /// What was looked up in this snapshot before.
    pub index: &'a Index,
    /// Bytes that there is room for: more answers than that need not be made.
    pub room: usize,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose it is; `None`: of the name that was asked about, in its spelling.
    pub owner: Option<Name>,
    /// How long it may be kept, in seconds.
    pub ttl: u32,
    /// What it says.
    pub data: RData,
}

/// What of the catalog an answer was made from: while that is the same, so is the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Nothing of it.
    Nothing,
    /// One service, by its name.
    Service(Box<str>),
    /// The nodes of one name.
    Node(Box<str>),
    /// All of it.
    All,
}

/// An answer that is not yet bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it ends.
    pub rcode: Rcode,
    /// It is about one of our domains.
    pub authoritative: bool,
    /// The answers.
    pub answers: Vec<Record>,
    /// SOA of what is not there.
    pub authority: Vec<Record>,
    /// What is asked for next.
    pub additional: Vec<Record>,
    /// The order of the answers means nothing.
    pub rotates: bool,
    /// One of several was chosen by chance.
    pub chosen: bool,
    /// What it was made from.
    pub basis: Basis,
}

/// What becomes of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is answered.
    Answer(Answer),
    /// It is about no name of ours; answered so if nobody else can be asked.
    Outside(Rcode),
}

impl Answer {
    pub(crate) fn empty(rcode: Rcode, authoritative: bool, basis: Basis) -> Self {
        let none = Vec::new;
        Self {
            rcode,
            authoritative,
            answers: none(),
            authority: none(),
            additional: none(),
            rotates: false,
            chosen: false,
            basis,
        }
    }
}

impl Basis {
    /// The revision at which it last changed.
    pub fn index(&self, snapshot: &Snapshot) -> Revision {
        match self {
            Self::Nothing => Revision(0),
            Self::Service(name) => snapshot.service_index(name),
            Self::Node(name) => snapshot.node_index(name),
            Self::All => snapshot.revision,
        }
    }
}

/// Whether a text ends with a dot and this.
fn ends_with_label(text: &str, end: &str) -> bool {
    let begin = text.len().checked_sub(end.len() + 1).and_then(|len| text.split_at_checked(len));
    begin.is_some_and(|(_, rest)| rest.starts_with('.') && rest[1..].eq_ignore_ascii_case(end))
}

/// Whether what is not in a snapshot may be there all the same: not all was heard of yet, or most fell silent at once.
pub fn in_doubt(snapshot: &Snapshot) -> bool {
    !snapshot.warm || snapshot.links.iter().any(|link| link.held > 0)
}

impl<'a> Zone<'a> {
    /// Answers a question.
    pub fn answer(&self, question: &Question<'_>) -> Outcome {
        let is_text = question.labels().all(|label| std::str::from_utf8(label).is_ok());
        let labels: Vec<String> = question.labels().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect();
        let Some((domain, n_before)) = self.domain(&labels) else {
            return reverse::answer(self, &labels, question.kind);
        };
        if !is_text {
            // Names in the catalog are text.
            return Outcome::Answer(self.no_such_name(domain, Basis::Nothing));
        }
        let form = Form::read(&labels[..n_before]);
        let mut answer = self.in_domain(domain, form, question.kind);
        if question.kind != kind::CNAME {
            self.follow(&mut answer, &labels, question.kind);
        }
        self.limit(&mut answer);
        if in_doubt(self.snapshot) {
            // More is about to be known.
            answer.answers.iter_mut().chain(&mut answer.additional).for_each(|record| record.ttl = record.ttl.min(DOUBT_SECONDS));
        }
        Outcome::Answer(answer)
    }

    /// When the answer is another name of ours, its answer is told along (RFC 1034 §4.3.2). Those of others the client asks for.
    fn follow(&self, answer: &mut Answer, labels: &[String], kind: u16) {
        // In a circle each name is told once, the one that was asked about as well.
        let mut seen = Vec::from_iter(name::of(labels));
        while let Some(Record { data: RData::CNAME(CNAME(target)), .. }) = answer.answers.last()
            && seen.len() <= MOST_ALIASES
            && !seen.contains(target)
        {
            let target = target.clone();
            let Some(next) = self.own(&target, kind) else { return };
            let own = |record: Record| Record { owner: record.owner.or_else(|| Some(target.clone())), ..record };
            answer.answers.extend(next.answers.into_iter().map(own));
            (answer.rcode, answer.authority, answer.basis) = (next.rcode, next.authority, Basis::All);
            seen.push(target);
        }
    }

    /// Leaves out addresses above the limit. The nearest come first, or as chance has it: others in another answer.
    fn limit(&self, answer: &mut Answer) {
        let (mut n_addresses, n_all) = (0, answer.answers.len());
        answer.answers.retain(|record| {
            n_addresses += u32::from(matches!(record.data, RData::A(_) | RData::AAAA(_)));
            self.settings.a_record_limit == 0 || n_addresses <= self.settings.a_record_limit
        });
        answer.chosen |= answer.answers.len() < n_all;
    }

    /// The answer about a name, if it is one of ours.
    fn own(&self, name: &Name, kind: u16) -> Option<Answer> {
        let labels: Vec<String> = name.iter().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect();
        let (domain, n_before) = self.domain(&labels)?;
        Some(self.in_domain(domain, Form::read(&labels[..n_before]), kind))
    }

    /// The addresses of a name, if it is one of ours. Where it stands for another one there are none (RFC 2782).
    fn own_addresses(&self, name: &Name) -> Option<Vec<Record>> {
        let answers = [self.own(name, kind::A)?.answers, self.own(name, kind::AAAA)?.answers];
        let addresses = answers.into_iter().flatten().filter(|record| matches!(record.data, RData::A(_) | RData::AAAA(_)));
        Some(addresses.map(|record| Record { owner: Some(name.clone()), ..record }).collect())
    }

    fn in_domain(&self, domain: &Name, form: Form<'_>, kind: u16) -> Answer {
        let Form { what, dc } = form;
        if dc.is_some_and(|dc| !self.knows_datacenter(dc)) {
            return self.nothing(domain, true, Basis::All);
        }
        match what {
            form::What::Apex => self.apex(domain, kind),
            form::What::NameServer => node::own(self, domain, kind),
            form::What::Between => self.nothing(domain, false, Basis::Nothing),
            // It would be a data centre.
            form::What::Word(word) if self.knows_datacenter(word) => self.nothing(domain, false, Basis::All),
            form::What::Word(_) => self.nothing(domain, true, Basis::All),
            form::What::Never => self.no_such_name(domain, Basis::Nothing),
            form::What::Service { name, tag } => service::answer(self, domain, dc, (name, tag.as_deref()), kind),
            form::What::Node(name) => node::answer(self, domain, dc, &name, kind),
            form::What::Address(ip) => self.address(domain, ip, kind),
            form::What::Label(text) => label::answer(self, domain, dc, &text, kind),
            form::What::Instance { id, service } => instance::answer(self, domain, dc, (id.as_deref(), service), kind),
        }
    }

    /// The longest of our domains that the name is in, and how many labels stand before it.
    fn domain(&self, labels: &[String]) -> Option<(&'a Name, usize)> {
        let before = |domain: &Name| {
            let n_before = labels.len().checked_sub(domain.iter().count())?;
            let same = labels[n_before..].iter().zip(domain).all(|(a, b)| a.as_bytes().eq_ignore_ascii_case(b));
            same.then_some(n_before)
        };
        let found = self.settings.domains.iter().filter_map(|domain| Some((domain, before(domain)?)));
        found.min_by_key(|(_, n_before)| *n_before)
    }

    fn knows_datacenter(&self, name: &str) -> bool {
        place::own_datacenter(self.snapshot).eq_ignore_ascii_case(name) || self.index.datacenters(self.snapshot).contains(name)
    }

    fn apex(&self, domain: &Name, kind: u16) -> Answer {
        let mut answer = Answer::empty(Rcode::NoError, true, Basis::All);
        let own = |data| Record { owner: None, ttl: self.settings.ttl, data };
        match kind {
            kind::SOA | kind::ANY => answer.answers.push(own(self.soa(domain))),
            kind::NS => {
                let (server, addresses) = node::server(self, domain);
                answer.answers.push(own(RData::NS(NS(server.clone()))));
                answer.additional = self.glue(&server, addresses, self.settings.ttl);
            }
            _ => return self.nothing(domain, false, Basis::Nothing),
        }
        answer
    }

    /// An address that is written in the name.
    fn address(&self, domain: &Name, ip: IpAddr, kind: u16) -> Answer {
        let mut answer = Answer::empty(Rcode::NoError, true, Basis::Nothing);
        answer.answers = self.addresses([ip], kind, self.settings.ttl);
        if answer.answers.is_empty() { self.nothing(domain, false, Basis::Nothing) } else { answer }
    }

    /// There is nothing of this type (`absent`: not even the name), with the SOA that says how long that may be kept.
    fn nothing(&self, domain: &Name, absent: bool, basis: Basis) -> Answer {
        if absent && in_doubt(self.snapshot) {
            return Answer::empty(Rcode::ServFail, false, Basis::All);
        }
        let rcode = if absent { Rcode::NxDomain } else { Rcode::NoError };
        let mut answer = Answer::empty(rcode, true, basis);
        let owner = Some(domain.clone());
        answer.authority.push(Record { owner, ttl: self.negative_ttl(), data: self.soa(domain) });
        answer
    }

    /// There is no such name, whatever the catalog holds.
    fn no_such_name(&self, domain: &Name, basis: Basis) -> Answer {
        Answer { rcode: Rcode::NxDomain, ..self.nothing(domain, false, basis) }
    }

    /// How long it may be kept that there is nothing: not at all while somebody may be about to tell of something.
    fn negative_ttl(&self) -> u32 {
        if in_doubt(self.snapshot) { 0 } else { self.settings.negative_ttl }
    }

    fn soa(&self, domain: &Name) -> RData {
        // The number of a zone is compared in a circle (RFC 1982).
        let serial = u32::try_from(self.wall.0 & u64::from(u32::MAX)).unwrap_or_default();
        // A domain so long that nothing fits before it stands for itself.
        let [server, mailbox] = ["ns", "postmaster"].map(|word| name::above(&[word], domain).unwrap_or_else(|| domain.clone()));
        RData::SOA(SOA::new(server, mailbox, serial, 3600, 600, 86_400, self.negative_ttl()))
    }

    /// The addresses of the wanted family, as records of the name that was asked about. Who asks for all gets one family.
    fn addresses(&self, ips: impl IntoIterator<Item = IpAddr>, kind: u16, ttl: u32) -> Vec<Record> {
        let mut records: Vec<Record> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for ip in ips {
            let data = match ip {
                IpAddr::V4(ip) if matches!(kind, kind::A | kind::ANY) => RData::A(ip.into()),
                IpAddr::V6(ip) if matches!(kind, kind::AAAA | kind::ANY) => RData::AAAA(ip.into()),
                _ => continue,
            };
            if seen.insert(ip) {
                records.push(Record { owner: None, ttl, data });
            }
            if records.len() > self.room / LEAST_BYTES {
                break;
            }
        }
        if kind == kind::ANY && records.iter().any(|record| matches!(record.data, RData::A(_))) {
            records.retain(|record| matches!(record.data, RData::A(_)));
        }
        records
    }

    /// Addresses of another name.
    fn glue(&self, name: &Name, ips: impl IntoIterator<Item = IpAddr>, ttl: u32) -> Vec<Record> {
        let data = |ip| match ip {
            IpAddr::V4(ip) => RData::A(ip.into()),
            IpAddr::V6(ip) => RData::AAAA(ip.into()),
        };
        ips.into_iter().map(|ip| Record { owner: Some(name.clone()), ttl, data: data(ip) }).collect()
    }

    /// Brings things into an order that means nothing, another one for each seed: as many of them as there may be room for,
    /// chosen from all.
    fn shuffle<T>(&self, items: &mut [T]) {
        let mut state = self.seed;
        let most = if self.near.is_some() { items.len() } else { self.room / LEAST_BYTES + 1 };
        for first in 0..items.len().saturating_sub(1).min(most) {
            // SplitMix64: cheap, and good enough to spread clients.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut bits = state;
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            bits ^= bits >> 31;
            let bound = (items.len() - first) as u64;
            items.swap(first, first + usize::try_from(bits % bound).unwrap_or_default());
        }
    }
}
