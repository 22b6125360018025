//! A member that has the key and says what it likes: datagrams written by hand, byte by byte as the engine's own are.
//!
//! Not here: what it says when. Also used by the tests of `lobbyd`, against real processes.

use std::net::{IpAddr, SocketAddr};

use lobby_core::{
    id::{Generation, NodeId},
    record::Record,
    wire::binary::{Reader, encode_record, put_bytes, put_varint},
};
use lobby_gossip::{Identity, Keyring};

/// What foca says of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Alive,
    Suspect,
    Down,
}

/// The kinds of foca's packets that are written here.
pub(crate) const PING: u8 = 0;
pub(crate) const ACK: u8 = 1;
pub(crate) const GOSSIP: u8 = 8;
/// That whoever reads it is held for dead.
pub(crate) const TURN_UNDEAD: u8 = 10;

/// What it takes to be heard.
pub(crate) struct Liar {
    pub(crate) keyring: Keyring,
    pub(crate) own: Identity,
    counter: u64,
}

/// The front of a foca packet that was received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) from: Identity,
    pub(crate) kind: u8,
    pub(crate) number: u8,
}

impl Liar {
    pub(crate) fn new(keyring: Keyring, own: Identity, counter: u64) -> Self {
        Self { keyring, own, counter }
    }

    /// A datagram with this foca packet, which may be empty, and these items.
    pub(crate) fn datagram(&mut self, foca: &[u8], items: &[Vec<u8>]) -> Vec<u8> {
        let mut rest = Vec::new();
        put_bytes(&mut rest, foca);
        rest.extend(items.concat());
        self.seal(&rest)
    }

    /// The engine's datagram with our next counter, for both speak for one process.
    pub(crate) fn renumber(&mut self, datagram: &[u8]) -> Vec<u8> {
        let plaintext = self.keyring.open(datagram).expect("its engine has the same key");
        let mut reader = Reader::new(&plaintext[24..]);
        reader.varint().expect("it is numbered");
        let rest = plaintext[plaintext.len() - reader.remaining()..].to_vec();
        self.seal(&rest)
    }

    fn seal(&mut self, rest: &[u8]) -> Vec<u8> {
        self.counter += 1;
        let mut plaintext = self.own.id.as_bytes().to_vec();
        plaintext.extend(self.own.generation.0.to_le_bytes());
        put_varint(&mut plaintext, self.counter);
        plaintext.extend(rest);
        let mut nonce = [0; 24];
        nonce[..8].copy_from_slice(&self.counter.to_le_bytes());
        nonce[8..].copy_from_slice(self.own.id.as_bytes());
        self.keyring.seal(&plaintext, || nonce)
    }

    /// A foca packet for this member that says this of others.
    pub(crate) fn foca(&self, kind: &[u8], to: Identity, rumours: &[(Identity, u16, State)]) -> Vec<u8> {
        let mut out = identity(self.own)[24..].to_vec();
        out.extend([0, 0]);
        out.extend(&to.id.as_bytes()[..4]);
        out.extend((to.generation.0 as u16).to_le_bytes());
        out.extend(to.renewal.to_le_bytes());
        out.extend(kind);
        out.extend((rumours.len() as u16).to_be_bytes());
        for (about, incarnation, state) in rumours {
            out.extend(identity(*about));
            out.extend(incarnation.to_le_bytes());
            out.push(*state as u8);
        }
        out
    }

    /// Who sent a datagram, and which foca packet is in it.
    pub(crate) fn hear(&self, datagram: &[u8]) -> Option<Heard> {
        let plaintext = self.keyring.open(datagram).ok()?;
        let mut reader = Reader::new(&plaintext);
        let id = reader.node_id().ok()?;
        let generation = Generation(u64::from_le_bytes(reader.array().ok()?));
        reader.varint().ok()?;
        let mut foca = Reader::new(reader.bytes(2048).ok()?);
        let renewal = u16::from_le_bytes(foca.array().ok()?);
        let ip = match foca.u8().ok()? {
            4 => IpAddr::from(foca.array::<4>().ok()?),
            _ => IpAddr::from(foca.array::<16>().ok()?),
        };
        let addr = SocketAddr::new(ip, u16::from_le_bytes(foca.array().ok()?));
        // Incarnation and receiver.
        foca.take(2 + 8).ok()?;
        let (kind, number) = (foca.u8().ok()?, foca.u8().unwrap_or_default());
        Some(Heard { from: Identity { id, generation, renewal, addr }, kind, number })
    }
}

fn identity(told: Identity) -> Vec<u8> {
    let mut out = told.id.as_bytes().to_vec();
    out.extend(told.generation.0.to_le_bytes());
    out.extend(told.renewal.to_le_bytes());
    match told.addr.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend(ip.octets());
        }
    }
    out.extend(told.addr.port().to_le_bytes());
    out
}

fn item(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    put_bytes(&mut out, body);
    out
}

fn process(of: Identity) -> Vec<u8> {
    let mut body = of.id.as_bytes().to_vec();
    put_varint(&mut body, of.generation.0);
    body
}

/// A whole record.
pub(crate) fn full(record: &Record) -> Vec<u8> {
    let mut body = Vec::new();
    encode_record(record, &mut body);
    item(2, &body)
}

/// That the sender has this version of a record.
pub(crate) fn hint(of: Identity, version: u64) -> Vec<u8> {
    let mut body = process(of);
    put_varint(&mut body, version);
    item(4, &body)
}

/// The sum of all that the sender knows.
pub(crate) fn root(sum: u64) -> Vec<u8> {
    item(5, &sum.to_le_bytes())
}

/// That this observer was refused by the subject.
pub(crate) fn refusal(subject: Identity, observer: NodeId, number: u64) -> Vec<u8> {
    let mut body = process(subject);
    body.extend(observer.as_bytes());
    body.extend(number.to_le_bytes());
    item(8, &body)
}

/// That everybody is to forget this process; flags: prune 1, its own word 2, shared 4.
pub(crate) fn force_leave(subject: Identity, flags: u8) -> Vec<u8> {
    let mut body = process(subject);
    body.push(flags);
    item(11, &body)
}

/// A user event of a kilobyte.
pub(crate) fn event(id: u128, origin: NodeId, ltime: u64) -> Vec<u8> {
    let mut body = id.to_le_bytes().to_vec();
    body.extend(origin.as_bytes());
    put_varint(&mut body, ltime);
    put_bytes(&mut body, b"lie");
    put_bytes(&mut body, &[b'x'; 900]);
    // No filter, and fired just now.
    body.extend([0, 0, 0]);
    item(12, &body)
}
