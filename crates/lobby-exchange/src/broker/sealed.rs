//! Seals on a broker: what we send is sealed, what others send is opened, and strangers are helped to prove themselves.
//!
//! A packet counts once its sender has shown that it heard something which was said since we started (`seal`). Whoever is
//! heard for the first time has shown nothing yet: one of us says something soon that names its packet, it says
//! something again, and by that all of us know it. Questions are answered without: the answer is of use only to who asked.
//! Not here: seals themselves (`seal`).

use super::*;
use crate::seal::{OpenError, Place};

/// Longest random wait before we greet, for each node that may greet as well: one of them does.
const PER_NODE: Duration = Duration::from_millis(50);

/// Longest random wait of all.
const MOST: Duration = Duration::from_millis(300);

/// We greet at most so often: recordings cost nothing to send.
const GREET_GAP: Duration = Duration::from_secs(1);

/// What is owed to those whose packets are not proven.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    /// When we greet the last of them, unless somebody else does before.
    due: Option<(Moment, NodeId, Tag)>,
    last: Option<Moment>,
    /// We have heard somebody who lives now, and said something since.
    is_known: bool,
}

impl Greeting {
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.due.map(|(at, ..)| at)
    }

    pub(super) fn forget(&mut self) {
        self.due = None;
    }
}

impl Broker {
    /// Other keys from now on.
    pub(super) fn handle_keys(&mut self, keys: &Keys) {
        self.sealer.set_keys(keys);
    }

    /// Sends a packet, sealed if we have a key; it may answer the packet of this tag.
    pub(super) fn send(&mut self, to: Address, kind: PacketKind, answered: Option<Tag>, bytes: Vec<u8>) {
        let place = match &to {
            Address::Packets => Place::Packets,
            Address::Asks => Place::Asks,
            Address::Node(node) => Place::Node(*node),
            Address::Answer(asker, _) => Place::Answer(*asker),
        };
        let bytes = self.sealer.seal(place, answered, bytes);
        self.outputs.push_back(Output::Send(to, kind, bytes));
    }

    /// Whether a payload is to be read, and what its seal says; otherwise what is to be counted.
    pub(super) fn open(&mut self, topic: Topic, payload: &[u8], now: Moment, random: u64) -> Result<Opened, Verdict> {
        let place = match topic {
            Topic::Packets => Place::Packets,
            Topic::Asks => Place::Asks,
            Topic::OwnAsks => Place::Node(self.own),
            Topic::Answers => Place::Answer(self.own),
        };
        let opened = self.sealer.open(place, payload).map_err(|err| match err {
            OpenError::Unsigned => Verdict::NoKey,
            OpenError::Malformed => Verdict::Garbage,
            OpenError::WrongKey => Verdict::WrongKey,
            OpenError::Replayed => Verdict::Replayed,
            OpenError::Full => Verdict::Refused,
        })?;
        let Opened { sender: Some(sender), tag: Some(tag), is_proven, refs } = &opened else { return Ok(opened) };
        if *sender == self.own {
            // One that we never made is looked at for who did (`twin`), and counts for nothing else.
            return if *is_proven || topic == Topic::Packets { Ok(opened) } else { Err(Verdict::Replayed) };
        }
        if *is_proven {
            self.greeting.due.take_if(|(_, _, owed)| topic == Topic::Packets && refs.contains(owed));
            if !std::mem::replace(&mut self.greeting.is_known, true) {
                self.hurry_hi(now);
            }
            return Ok(opened);
        }
        match topic {
            // Whatever is asked of us is no news of anybody.
            Topic::Asks | Topic::OwnAsks => Ok(opened),
            Topic::Answers => Err(Verdict::Unproven),
            Topic::Packets => {
                self.owe_greeting(*sender, *tag, now, random);
                Err(Verdict::Unproven)
            }
        }
    }

    fn owe_greeting(&mut self, sender: NodeId, tag: Tag, now: Moment, random: u64) {
        let n_nodes = u32::try_from(self.reader.snapshot().nodes.len()).unwrap_or(u32::MAX);
        let most = PER_NODE.saturating_mul(n_nodes).min(MOST);
        let wait = most.mul_f64((random >> 32) as f64 / f64::from(u32::MAX));
        let earliest = self.greeting.last.map_or(now, |last| last + GREET_GAP);
        let at = self.greeting.next_due().unwrap_or_else(|| earliest.max(now + wait));
        self.greeting.due = Some((at, sender, tag));
    }

    /// Whoever was heard for the first time hears something of us that names its packet. Who is not listed and says nothing
    /// asks it instead.
    pub(super) fn greet(&mut self, now: Moment) {
        let Some((_, sender, _)) = self.greeting.due.take() else { return };
        self.greeting.last = Some(now);
        if self.announced.listed {
            self.hurry_hi(now);
        } else {
            self.ask(Address::Node(sender), false);
        }
    }

    /// We answer a newcomer's question, so it is us who greet.
    pub(super) fn greet_at_once(&mut self, now: Moment) {
        if self.greeting.last.is_none_or(|last| now.since(last) >= GREET_GAP) {
            self.greet(now);
        }
    }
}
