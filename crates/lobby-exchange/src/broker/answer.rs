//! Answering newcomers, and being answered: the part of the broker that deals in whole catalogs.

use super::*;

/// Questions that wait for their turn at most; further ones are refused, and asked again.
const WAITING: usize = 64;

/// Answers per second at most, those included that others claim: a whole catalog is large, and a question costs its asker
/// nothing.
const PER_SECOND: u32 = 10;

/// Longest random wait before claiming a question, for each node that may claim it: long against a round trip to the
/// broker, so that few claim at once.
const CLAIM_PER_NODE: Duration = Duration::from_millis(50);

/// Longest random wait of all: the answer should be there before the asker asks again.
const CLAIM_MOST: Duration = Duration::from_millis(300);
const _: () = assert!(CLAIM_MOST.as_millis() < ASK_AGAIN.as_millis());

/// A node not heard of for so many KEEP_ALIVEs is not told about: it is dead, or will be heard of by the newcomer itself.
const FRESH: u32 = 4;

/// Questions that wait for our answer.
#[derive(Debug, Default)]
pub(super) struct Answers {
    waiting: Vec<Waiting>,
    second: Moment,
    /// Answers of this second, ours and those that others claimed.
    given: u32,
    /// Whose questions we claimed in this second and have not heard back yet: the bus brings us our own claims too.
    /// At most PER_SECOND.
    claimed: Vec<NodeId>,
}

#[derive(Debug)]
struct Waiting {
    due: Moment,
    asker: NodeId,
    reply: Option<String>,
}

impl Answers {
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.waiting.iter().map(|waiting| waiting.due).min()
    }

    pub(super) fn poll_due(&mut self, now: Moment) -> Option<(NodeId, Option<String>)> {
        let idx = self.waiting.iter().position(|waiting| waiting.due <= now)?;
        let waiting = self.waiting.swap_remove(idx);
        Some((waiting.asker, waiting.reply))
    }

    pub(super) fn forget(&mut self) {
        self.waiting.clear();
    }

    fn settle(&mut self, asker: NodeId) {
        self.waiting.retain(|waiting| waiting.asker != asker);
    }

    fn hear_claim(&mut self, now: Moment, asker: NodeId) {
        self.settle(asker);
        if let Some(idx) = self.claimed.iter().position(|claimed| *claimed == asker) {
            self.claimed.swap_remove(idx);
        } else {
            self.may_answer(now);
        }
    }

    fn wait(&mut self, due: Moment, asker: NodeId, reply: Option<String>) -> Verdict {
        if self.waiting.iter().any(|waiting| waiting.asker == asker) {
            return Verdict::Stale;
        }
        if self.waiting.len() >= WAITING {
            return Verdict::Refused;
        }
        self.waiting.push(Waiting { due, asker, reply });
        Verdict::Ok
    }

    /// Counts one more answer; false when it is beyond what this second allows.
    fn may_answer(&mut self, now: Moment) -> bool {
        if now.since(self.second) >= Duration::from_secs(1) {
            (self.second, self.given) = (now, 0);
            self.claimed.clear();
        }
        self.given += 1;
        self.given <= PER_SECOND
    }
}

impl Broker {
    pub(super) fn handle_ask(&mut self, payload: &[u8], reply: Option<String>, now: Moment, random: u64) -> Verdict {
        let ask = match packet::decode_ask(payload) {
            Err(_) => return Verdict::Garbage,
            Ok(ask) if ask.cluster != self.setup.cluster => return Verdict::Foreign,
            Ok(ask) if ask.asker == self.own => return Verdict::Own,
            Ok(ask) => ask,
        };
        if ask.taken {
            self.answers.hear_claim(now, ask.asker);
            return Verdict::Ok;
        }
        // The node task must have taken in all that made the picture complete, or we would hand on half of it.
        let snapshot = self.reader.snapshot();
        let warm = snapshot.links.get(usize::from(self.exchange.0)).is_some_and(|link| link.warm);
        if !(self.complete && warm && self.announced.listed) {
            return Verdict::Stale;
        }
        let due = match self.setup.answering {
            Answering::Queue => now,
            Answering::Claim => {
                let n_nodes = u32::try_from(snapshot.nodes.len()).unwrap_or(u32::MAX);
                let most = CLAIM_PER_NODE.saturating_mul(n_nodes).min(CLAIM_MOST);
                now + most.mul_f64((random >> 32) as f64 / f64::from(u32::MAX))
            }
        };
        self.answers.wait(due, ask.asker, reply)
    }

    pub(super) fn answer(&mut self, asker: NodeId, reply: Option<String>, now: Now) {
        if !self.answers.may_answer(now.moment) {
            self.stats.sent(PacketKind::Answer, Verdict::Refused, 0);
            return;
        }
        if self.setup.answering == Answering::Claim {
            self.answers.claimed.push(asker);
            let claim = Ask { asker, cluster: self.setup.cluster.clone(), taken: true };
            self.outputs.push_back(Output::Send(Address::Asks, PacketKind::Ask, packet::encode_ask(&claim)));
        }
        for part in self.answer_parts(now) {
            self.outputs.push_back(Output::Send(Address::Answer(asker, reply.clone()), PacketKind::Answer, part));
        }
    }

    /// Our own record, and those this exchange itself holds alive; what only other exchanges know stays with them.
    fn answer_parts(&self, now: Now) -> Vec<Vec<u8>> {
        let snapshot = self.reader.snapshot();
        let alive_here = |presence: &Presence| presence.exchange == self.exchange && presence.state == NodeState::Alive;
        let oldest = self.setup.keep_alive * FRESH;
        let peers = snapshot.nodes.values().filter(|node| node.presences.iter().any(alive_here) && node.age(now) <= oldest);
        let peers = peers.map(|node| (&*node.record, u64::try_from(node.age(now).as_millis()).unwrap_or(u64::MAX)));
        let own = std::iter::once((&*self.announced.record, 0)).filter(|(record, _)| !record.is_last());
        let externals = snapshot.externals.values().map(|record| (&**record, 0));
        packet::encode_answer(own.chain(peers).chain(externals), &self.setup.cluster, now.wall, self.max_bytes)
    }

    pub(super) fn handle_answer(&mut self, payload: &[u8], now: Moment) -> Verdict {
        if self.complete {
            return Verdict::Stale;
        }
        let Ok((answer, dropped)) = packet::decode_answer(payload, self.exchange) else { return Verdict::Garbage };
        if answer.cluster != self.setup.cluster {
            return Verdict::Foreign;
        }
        let mut trimmed = dropped > 0;
        for answered in answer.records {
            match self.verdict(&answered.packet) {
                Verdict::Ok if answered.packet.record.is_external() => {
                    self.outputs.push_back(Output::Tell(PeerEvent::Record(answered.packet.record)));
                }
                Verdict::Ok if !answered.packet.record.is_last() => {
                    self.tell_alive(answered.packet.record, Duration::from_millis(answered.age_ms));
                }
                Verdict::Own => {}
                _ => trimmed = true,
            }
        }
        if answer.more {
            self.next_ask = Some(now + ASK_AGAIN * 2);
        } else {
            self.become_complete();
        }
        if trimmed { Verdict::Trimmed } else { Verdict::Ok }
    }
}
