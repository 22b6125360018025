//! What was surely said while this process runs: recordings of datagrams are no news.
//!
//! Datagrams are known by their counters (`replay`), but a process that has just started has seen none. Somebody who
//! recorded some could play them to it, and fire events, ask queries and change keys once more. So these items count
//! only if one of these holds:
//!
//! | what | proves |
//! |---|---|
//! | a foca packet for our identity, generation included; the answer to a question of ours | that datagram and all after it from this process of its sender |
//! | a Lamport time above those of the first exchanges that we asked for (`lamport`) | that event or query: whoever was there had not heard of it |
//!
//! The second lets a newcomer among thousands hear events at once, though few of them have spoken to it. Events that are
//! dropped here come with the exchanges. Keys have no time of their own: whoever brings one unproven is asked, and repeats
//! it in its answer (`engine/rekey`). What nobody heard before our start is not protected: whoever starts a cluster anew
//! has nothing to compare with, until somebody speaks to it.

use lobby_core::{id::NodeId, time::Moment, wire::binary::Reader};

use super::{Engine, user::Count};
use crate::{codec::Codec, item::UserItem};

impl Engine {
    /// The datagram at hand was made while we run.
    pub(super) fn prove(&mut self, sender: NodeId) {
        let (generation, counter) = self.user.packet;
        self.replay.prove(sender, generation, counter);
    }

    /// The same, if this foca packet in it is for us.
    pub(super) fn prove_by(&mut self, sender: NodeId, foca: &[u8]) {
        let own = self.identity();
        let header = Codec::new(own).header(&mut Reader::new(foca));
        if header.is_ok_and(|header| (header.dst.id, header.dst.generation) == (own.id, own.generation)) {
            self.prove(sender);
        }
    }

    /// An exchange that we asked for is over: what is later than its clocks is later than our start.
    pub(super) fn note_clocks(&mut self) {
        let was_warm = self.is_warm();
        self.user.events.lamport.end_exchange(was_warm);
        self.user.queries.lamport.end_exchange(was_warm);
    }

    /// Whether an item may be a recording from before our start. It is counted, and asked for again if nothing else
    /// brings it.
    pub(super) fn may_be_recorded(&mut self, sender: NodeId, item: &UserItem, now: Moment) -> bool {
        let (generation, counter) = self.user.packet;
        let is_new = match item {
            UserItem::Event(post, _) => self.user.events.lamport.is_since_start(post.ltime),
            UserItem::Query(post, _) => self.user.queries.lamport.is_since_start(post.ltime),
            UserItem::Key(..) => false,
            _ => true,
        };
        if is_new || self.replay.is_proven(sender, generation, counter) {
            return false;
        }
        self.user.count(Count::Unproven);
        if matches!(item, UserItem::Key(..)) && !self.asks.contains_key(&sender) {
            self.ask(sender, now);
        }
        true
    }
}
