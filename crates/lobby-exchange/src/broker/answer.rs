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
pub(super) const FRESH: u32 = 4;

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
    question: Question,
}

/// Who asked, and how it knows that an answer is to this question.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) asker: NodeId,
    pub(super) reply: Option<String>,
    pub(super) tag: Option<Tag>,
}

impl Answers {
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.waiting.iter().map(|waiting| waiting.due).min()
    }

    pub(super) fn poll_due(&mut self, now: Moment) -> Option<Question> {
        let idx = self.waiting.iter().position(|waiting| waiting.due <= now)?;
        Some(self.waiting.swap_remove(idx).question)
    }

    pub(super) fn forget(&mut self) {
        self.waiting.clear();
    }

    fn settle(&mut self, asker: NodeId) {
        self.waiting.retain(|waiting| waiting.question.asker != asker);
    }

    fn hear_claim(&mut self, now: Moment, asker: NodeId) {
        self.settle(asker);
        if let Some(idx) = self.claimed.iter().position(|claimed| *claimed == asker) {
            self.claimed.swap_remove(idx);
        } else {
            self.may_answer(now);
        }
    }

    fn wait(&mut self, due: Moment, question: Question) -> Verdict {
        if self.waiting.iter().any(|waiting| waiting.question.asker == question.asker) {
            return Verdict::Stale;
        }
        if self.waiting.len() >= WAITING {
            return Verdict::Refused;
        }
        self.waiting.push(Waiting { due, question });
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
    pub(super) fn handle_ask(
        &mut self,
        payload: &[u8],
        opened: &Opened,
        reply: Option<String>,
        now: Moment,
        random: u64,
    ) -> Verdict {
        let ask = match packet::decode_ask(payload) {
            Err(_) => return Verdict::Garbage,
            Ok(ask) if ask.cluster != self.setup.cluster => return Verdict::Foreign,
            Ok(ask) if ask.asker == self.own => return Verdict::Own,
            Ok(ask) => ask,
        };
        // A recorded claim must not keep us from answering.
        if ask.taken && !opened.is_proven {
            return Verdict::Unproven;
        }
        if !ask.taken && opened.sender.is_some_and(|sender| sender != ask.asker) {
            return Verdict::Garbage;
        }
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
        self.answers.wait(due, Question { asker: ask.asker, reply, tag: opened.tag })
    }

    pub(super) fn answer(&mut self, question: Question, now: Now) {
        let Question { asker, reply, tag } = question;
        if !self.answers.may_answer(now.moment) {
            self.stats.sent(PacketKind::Answer, Verdict::Refused, 0);
            return;
        }
        if self.setup.answering == Answering::Claim {
            self.answers.claimed.push(asker);
            let claim = Ask { asker, cluster: self.setup.cluster.clone(), taken: true };
            self.send(Address::Asks, PacketKind::Ask, None, packet::encode_ask(&claim));
        }
        for part in self.answer_parts(now) {
            self.send(Address::Answer(asker, reply.clone()), PacketKind::Answer, tag, part);
        }
        self.greet_at_once(now.moment);
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
        for mut answered in answer.records {
            // Nobody is told of who is gone.
            if answered.packet.message != Message::Hi {
                trimmed = true;
                continue;
            }
            match self.verdict(&mut answered.packet, now) {
                forged @ (Verdict::Unsigned | Verdict::Forged) => {
                    self.stats.received(PacketKind::Record, forged, 0);
                    trimmed = true;
                }
                // Something is left out of a trimmed one that is not of what its owner signed.
                verdict @ (Verdict::Ok | Verdict::Trimmed) => {
                    trimmed |= verdict == Verdict::Trimmed;
                    let record = answered.packet.record;
                    if record.is_external() {
                        self.outputs.push_back(Output::Tell(PeerEvent::Record(record)));
                    } else if record.is_last() {
                        trimmed = true;
                    } else {
                        self.tell_alive(record, Duration::from_millis(answered.age_ms));
                    }
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
