//! One other node in the catalog: its record, what each exchange makes of it, and the verdict on it.
//!
//! Timers are values that may be stale: each handler looks at the peer's present state and does nothing, or arms
//! itself again, when that says so. Nothing is ever cancelled, and none is armed while one is on its way.
//! Not here: restarts and nodes from disk (`grace`), the maps that snapshots share (`show`).

use super::*;
use crate::record::Phase;

/// A node other than ourselves.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) record: Option<Arc<Record>>,
    pub(super) heard: Arc<Heard>,
    pub(super) views: Vec<View>,
    /// Until when the other exchanges may contradict one that lost the node.
    pub(super) asked_since: Option<Moment>,
    /// Since when we know that it restarts. Over when its next process is alive, or after AGENT_GRACE.
    pub(super) restarting: Option<Moment>,
    /// The number of the `Return` timer on its way.
    pub(super) returning: Option<u64>,
    /// Known from disk, and nobody has heard of it since.
    pub(super) stale: bool,
    /// Its record was told in this run too, so the disk is not all that we know it from.
    pub(super) told: bool,
    /// It has no agent, so it is there until its record says otherwise.
    pub(super) external: bool,
}

/// What one exchange makes of the node.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) exchange: ExchangeId,
    /// Alive, suspect, unattended or failed.
    pub(super) state: NodeState,
    last: Moment,
    /// Since when it is unattended.
    since: Moment,
    /// The number of the `Expire` timer on its way. Others are left over from an earlier life of the node.
    armed: Option<u64>,
}

impl Peer {
    pub(super) fn state(&self) -> NodeState {
        if self.external {
            return NodeState::Alive;
        }
        let fallback = if self.stale { NodeState::Stale } else { NodeState::Failed };
        // Failed first: nobody has told that a peer without views is alive.
        let best = self.views.iter().map(|view| view.state).min().unwrap_or(NodeState::Failed);
        match best {
            _ if self.is_between_lives() => self.restarting.map_or(fallback, |_| NodeState::Restarting),
            NodeState::Alive | NodeState::Suspect => best,
            // The record of its next process is here; the news that it is alive follows.
            _ if self.restarting.is_some() => NodeState::Restarting,
            NodeState::Unattended => best,
            _ => fallback,
        }
    }

    /// Its record is the last word of a process, so whatever is heard of it is old or is of a process that has not
    /// told its record yet.
    fn is_between_lives(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.phase == Phase::Restarting)
    }

    /// Whether some exchange holds it alive.
    pub(super) fn is_held(&self) -> bool {
        !self.is_between_lives() && self.views.iter().any(|view| view.state.is_held())
    }

    fn view(&mut self, exchange: ExchangeId) -> &mut View {
        let idx = self.views.iter().position(|view| view.exchange == exchange).unwrap_or_else(|| {
            let never = Moment::ZERO;
            self.views.push(View { exchange, state: NodeState::Failed, last: never, since: never, armed: None });
            self.views.len() - 1
        });
        &mut self.views[idx]
    }
}

impl View {
    /// Whether it is what this exchange makes of the node: that it lives.
    pub(super) fn is_alive_in(&self, exchange: ExchangeId) -> bool {
        self.exchange == exchange && self.state.is_held()
    }
}

impl Catalog {
    pub(super) fn set_record(&mut self, record: Arc<Record>, now: Now) -> Outcome {
        let origin = record.origin.clone();
        if origin == Origin::Node(self.own_id) {
            return Outcome::Ours;
        }
        if record.is_external() {
            return self.put_external(record, now);
        }
        // Nobody's process, whoever claims to be it.
        if self.is_external(&origin) {
            return Outcome::Refused;
        }
        if self.departed.get(&origin).is_some_and(|stamp| record.stamp <= *stamp) {
            return Outcome::Stale;
        }
        if let Some(peer) = self.peers.get_mut(&origin) {
            peer.told = true;
        }
        let known = self.peers.get(&origin).and_then(|peer| peer.record.as_ref());
        let newer = match (known, &origin) {
            (None, _) => true,
            (Some(old), Origin::Node(_)) => record.stamp > old.stamp,
            // Bare packets are not numbered: the one that came last counts.
            (Some(old), Origin::Bare(..)) => record != *old,
        };
        if !newer {
            return Outcome::Stale;
        }
        if record.has_left() {
            self.departed.insert(origin.clone(), record.stamp, now.moment);
            self.remove(&origin);
            return Outcome::Applied;
        }
        if self.peer(&origin, now.moment).is_none() {
            return Outcome::Refused;
        }
        if record.phase == Phase::Restarting {
            self.await_return(&origin, now);
            self.hold.explained(&origin);
        }
        if let Some(peer) = self.peers.get_mut(&origin) {
            peer.record = Some(record);
        }
        self.departed.remove(&origin);
        self.settle(&origin, now.moment);
        Outcome::Applied
    }

    pub(super) fn seen(&mut self, exchange: ExchangeId, origin: Origin, age: Duration, now: Now) -> Outcome {
        if origin == Origin::Node(self.own_id) {
            return Outcome::Ours;
        }
        if self.is_external(&origin) {
            return Outcome::Stale;
        }
        let liveness = self.links[usize::from(exchange.0)].liveness;
        let last = now.moment - age;
        if matches!(liveness, Liveness::Ttl(ttl) if age >= ttl) {
            return Outcome::Stale;
        }
        let Some(peer) = self.peer(&origin, now.moment) else { return Outcome::Refused };
        let view = peer.view(exchange);
        let changed = view.state != NodeState::Alive;
        view.state = NodeState::Alive;
        view.last = view.last.max(last);
        let (unarmed, last) = (view.armed.is_none(), view.last);
        peer.heard.at(Now { moment: last, wall: crate::time::WallSecond(now.wall.0.saturating_sub(age.as_secs())) });
        if let (true, Liveness::Ttl(ttl)) = (unarmed, liveness) {
            self.arm_expiry(last + ttl, &origin, exchange);
        }
        if changed {
            self.hold.seen(exchange, &origin);
            self.settle(&origin, now.moment);
        }
        Outcome::Applied
    }

    /// An exchange suspects or has lost a node, or has proof that its agent is gone.
    pub(super) fn judge(&mut self, exchange: ExchangeId, origin: Origin, state: NodeState, now: Now) -> Outcome {
        if self.is_external(&origin) {
            return Outcome::Stale;
        }
        let liveness = self.links[usize::from(exchange.0)].liveness;
        let grace = self.grace;
        // Who joins late may hear of a suspicion first: the suspected is not dead.
        if state == NodeState::Suspect && origin != Origin::Node(self.own_id) && self.peer(&origin, now.moment).is_none() {
            return Outcome::Refused;
        }
        let Some(peer) = self.peers.get_mut(&origin) else { return Outcome::Stale };
        let is_first_word = peer.views.iter().all(|view| view.exchange != exchange);
        let (restarting, was_stale) = (peer.restarting.is_some(), peer.stale);
        let view = peer.view(exchange);
        let takes = match state {
            NodeState::Suspect => view.state == NodeState::Alive || is_first_word,
            // Silence says no more about a node than proof of its agent's death did.
            _ => view.state.is_held() || (was_stale && view.state == NodeState::Failed),
        };
        if !takes {
            let explains = state == NodeState::Unattended && self.explain(&origin);
            return if explains { Outcome::Applied } else { Outcome::Stale };
        }
        let was_held = view.state.is_held();
        let was_alive = std::mem::replace(&mut view.state, state) == NodeState::Alive;
        if was_alive && liveness == Liveness::Reported {
            // Until this moment it counted as heard of all the time.
            peer.heard.at(now);
        }
        if state != NodeState::Suspect {
            peer.stale = false;
            let view = peer.view(exchange);
            match (state, restarting) {
                // It said itself that it would be away.
                (_, true) => view.state = NodeState::Failed,
                (NodeState::Unattended, false) => {
                    self.hold.explained(&origin);
                    view.since = now.moment;
                    // A TTL's timer may come too late. One of an earlier absence does not: it arms itself again.
                    if view.armed.is_none() || liveness != Liveness::Reported {
                        self.arm_expiry(now.moment + grace, &origin, exchange);
                    }
                    self.question(&origin, exchange, now.moment);
                }
                (_, false) => {
                    if was_held {
                        self.hold.fell_silent(exchange, origin.clone(), now.moment);
                    }
                    self.question(&origin, exchange, now.moment);
                }
            }
        }
        self.settle(&origin, now.moment);
        Outcome::Applied
    }

    /// One exchange lost the node: those that still hold it alive and could hear of it are asked. Without any, it is
    /// lost to all.
    fn question(&mut self, origin: &Origin, lost_by: ExchangeId, now: Moment) {
        let Some(peer) = self.peers.get_mut(origin) else { return };
        let up = |view: &&View| self.links[usize::from(view.exchange.0)].up_since.is_some();
        let holding = |view: &&View| view.exchange != lost_by && view.state.is_held();
        let witnesses: Vec<_> = peer.views.iter().filter(holding).filter(up).map(|view| view.exchange).collect();
        match origin.node_id() {
            Some(id) if !witnesses.is_empty() => {
                peer.asked_since.get_or_insert(now);
                self.questions.extend(witnesses.into_iter().map(|exchange| (exchange, id)));
                self.arm(now + QUESTION, Timer::Verdict(origin.clone()));
            }
            _ => peer.lose(),
        }
    }

    /// The time to contradict is over: views that have not heard of the node since it was asked for are wrong.
    pub(super) fn verdict(&mut self, origin: &Origin, now: Moment) {
        let Some(peer) = self.peers.get_mut(origin) else { return };
        let Some(asked) = peer.asked_since.take() else { return };
        if peer.views.iter().any(|view| view.state.is_held() && view.last >= asked) {
            return;
        }
        // Gossip that holds a member alive was asked too and would have said `Seen`. What asked was silence or proof.
        let silent = self.hold.is_silent(origin);
        for view in peer.views.iter().filter(|view| silent && view.state.is_held()) {
            self.hold.fell_silent(view.exchange, origin.clone(), now);
        }
        peer.lose();
        self.settle(origin, now);
    }

    fn arm_expiry(&mut self, at: Moment, origin: &Origin, exchange: ExchangeId) {
        let number = self.arm(at, Timer::Expire(origin.clone(), exchange));
        if let Some(peer) = self.peers.get_mut(origin) {
            peer.view(exchange).armed = Some(number);
        }
    }

    pub(super) fn expire(&mut self, origin: &Origin, exchange: ExchangeId, number: u64, now: Moment) {
        let info = &self.links[usize::from(exchange.0)];
        let Some(peer) = self.peers.get_mut(origin) else { return };
        let restarting = peer.restarting.is_some();
        let view = peer.view(exchange);
        if view.armed != Some(number) {
            return;
        }
        view.armed = None;
        let (from, period) = match (view.state, info.liveness) {
            (NodeState::Unattended, _) => (view.since, self.grace),
            (NodeState::Alive | NodeState::Suspect, Liveness::Ttl(ttl)) => (view.last, ttl),
            _ => return,
        };
        let due = due(info.up_since, from, period, now);
        if due > now {
            self.arm_expiry(due, origin, exchange);
            return;
        }
        // The others were asked when its agent's death was proved.
        let ask = view.state.is_held() && !restarting;
        view.state = NodeState::Failed;
        if ask {
            self.hold.fell_silent(exchange, origin.clone(), now);
            self.question(origin, exchange, now);
        }
        self.settle(origin, now);
    }

    pub(super) fn remove(&mut self, origin: &Origin) -> Outcome {
        let Some(peer) = self.peers.remove(origin) else { return Outcome::Stale };
        self.failed.remove(origin);
        self.hold.explained(origin);
        self.nodes.remove(origin);
        self.rename(origin, peer.record.as_ref().map(|record| &record.name), None);
        self.touch(Dirty::Aside);
        Outcome::Applied
    }

    /// The peer, made if there is room. A full catalog gives up the node that has been dead for longest, if any.
    pub(super) fn peer(&mut self, origin: &Origin, now: Moment) -> Option<&mut Peer> {
        if !self.peers.contains_key(origin) {
            if self.peers.len() >= limits::NODES {
                let oldest = self.failed.pop_oldest()?;
                self.remove(&oldest);
            }
            // Until somebody has heard of it, it is as good as dead and forgotten like the dead.
            self.failed.insert(origin.clone(), (), now);
        }
        Some(self.peers.entry(origin.clone()).or_default())
    }
}

impl Peer {
    /// No exchange holds it alive any more.
    pub(super) fn lose(&mut self) {
        for view in self.views.iter_mut().filter(|view| view.state.is_held()) {
            view.state = NodeState::Failed;
        }
        self.asked_since = None;
    }
}

/// When something is over that lasts `period`. While the link is down it does not end, and after a return of the link
/// everybody gets the whole period again.
pub(super) fn due(up_since: Option<Moment>, from: Moment, period: Duration, now: Moment) -> Moment {
    up_since.map_or(now, |up| from.max(up)) + period
}
