//! One other node in the catalog: its record, what each exchange makes of it, and the verdict on it.
//!
//! Timers are values that may be stale: each handler looks at the peer's present state and does nothing, or arms
//! itself again, when that says so. Nothing is ever cancelled.

use super::*;

/// A node other than ourselves.
#[derive(Debug, Default)]
pub(super) struct Peer {
    record: Option<Arc<Record>>,
    heard: Arc<Heard>,
    views: Vec<View>,
    /// Until when the other exchanges may contradict one that lost the node.
    asked_since: Option<Moment>,
    failed_since: Option<Moment>,
}

/// What one exchange makes of the node.
#[derive(Clone, Copy, Debug)]
struct View {
    exchange: ExchangeId,
    state: NodeState,
    last: Moment,
    /// An `Expire` timer is on its way.
    armed: bool,
}

impl Peer {
    fn state(&self) -> NodeState {
        // Failed first: nobody has told that a peer without views is alive.
        self.views.iter().map(|view| view.state).min().unwrap_or(NodeState::Failed)
    }

    fn view(&mut self, exchange: ExchangeId) -> &mut View {
        let idx = self.views.iter().position(|view| view.exchange == exchange).unwrap_or_else(|| {
            self.views.push(View { exchange, state: NodeState::Failed, last: Moment::ZERO, armed: false });
            self.views.len() - 1
        });
        &mut self.views[idx]
    }
}

impl Catalog {
    pub(super) fn set_record(&mut self, record: Arc<Record>) -> Outcome {
        let origin = record.origin.clone();
        if origin == Origin::Node(self.own_id) {
            return Outcome::Ours;
        }
        if self.departed.get(&origin).is_some_and(|stamp| record.stamp <= *stamp) {
            return Outcome::Stale;
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
        if record.leaving {
            self.note_departure(&origin, record.stamp);
            self.remove(&origin);
            return Outcome::Applied;
        }
        if !self.has_room_for(&origin) {
            return Outcome::Refused;
        }
        self.departed.remove(&origin);
        self.peers.entry(origin.clone()).or_default().record = Some(record);
        self.show(&origin, Dirty::Lists);
        Outcome::Applied
    }

    pub(super) fn seen(&mut self, exchange: ExchangeId, origin: Origin, age: Duration, now: Now) -> Outcome {
        if origin == Origin::Node(self.own_id) {
            return Outcome::Ours;
        }
        let liveness = self.links[usize::from(exchange.0)].liveness;
        let last = now.moment - age;
        if matches!(liveness, Liveness::Ttl(ttl) if age >= ttl) {
            return Outcome::Stale;
        }
        if !self.has_room_for(&origin) {
            return Outcome::Refused;
        }
        let peer = self.peers.entry(origin.clone()).or_default();
        let old = peer.state();
        let view = peer.view(exchange);
        let changed = view.state != NodeState::Alive;
        view.state = NodeState::Alive;
        view.last = view.last.max(last);
        let (arm, last) = (!view.armed, view.last);
        view.armed = view.armed || matches!(liveness, Liveness::Ttl(_));
        peer.failed_since = None;
        peer.heard.at(Now { moment: last, wall: crate::time::WallSecond(now.wall.0.saturating_sub(age.as_secs())) });
        if let (true, Liveness::Ttl(ttl)) = (arm, liveness) {
            self.arm(last + ttl, Timer::Expire(origin.clone(), exchange));
        }
        if changed {
            self.show(&origin, if old.is_listed() { Dirty::Aside } else { Dirty::Lists });
        }
        Outcome::Applied
    }

    /// An exchange suspects or has lost a node.
    pub(super) fn judge(&mut self, exchange: ExchangeId, origin: Origin, state: NodeState, now: Moment) -> Outcome {
        let Some(peer) = self.peers.get_mut(&origin) else { return Outcome::Stale };
        let view = peer.view(exchange);
        if view.state == state || (state == NodeState::Suspect && view.state == NodeState::Failed) {
            return Outcome::Stale;
        }
        view.state = state;
        if state == NodeState::Failed {
            self.question_or_fail(&origin, exchange, now);
        }
        self.show(&origin, Dirty::Aside);
        Outcome::Applied
    }

    /// One exchange lost the node: those that still hold it alive and could hear of it are asked.
    fn question_or_fail(&mut self, origin: &Origin, lost_by: ExchangeId, now: Moment) {
        let Some(peer) = self.peers.get_mut(origin) else { return };
        let up = |view: &&View| self.links[usize::from(view.exchange.0)].up_since.is_some();
        let holding = |view: &&View| view.exchange != lost_by && view.state.is_listed();
        let witnesses: Vec<_> = peer.views.iter().filter(holding).filter(up).map(|view| view.exchange).collect();
        match origin.node_id() {
            Some(id) if !witnesses.is_empty() => {
                peer.asked_since.get_or_insert(now);
                self.questions.extend(witnesses.into_iter().map(|exchange| (exchange, id)));
                self.arm(now + QUESTION, Timer::Verdict(origin.clone()));
            }
            _ => self.fail(origin, now),
        }
    }

    /// The time to contradict is over: views that have not heard of the node since it was asked for are wrong.
    pub(super) fn verdict(&mut self, origin: &Origin, now: Moment) {
        let Some(peer) = self.peers.get_mut(origin) else { return };
        let Some(asked) = peer.asked_since.take() else { return };
        if peer.views.iter().any(|view| view.state.is_listed() && view.last >= asked) {
            return;
        }
        // Gossip that holds a member alive was asked too and would have said `Seen`.
        self.fail(origin, now);
    }

    fn fail(&mut self, origin: &Origin, now: Moment) {
        let Some(peer) = self.peers.get_mut(origin) else { return };
        for view in &mut peer.views {
            view.state = NodeState::Failed;
        }
        peer.asked_since = None;
        peer.failed_since = Some(now);
        self.arm(now + REMEMBER, Timer::Reap(origin.clone()));
        self.show(origin, Dirty::Lists);
    }

    pub(super) fn expire(&mut self, origin: Origin, exchange: ExchangeId, now: Moment) {
        let info = &self.links[usize::from(exchange.0)];
        let Liveness::Ttl(ttl) = info.liveness else { return };
        let Some(peer) = self.peers.get_mut(&origin) else { return };
        let view = peer.view(exchange);
        if !view.state.is_listed() {
            view.armed = false;
            return;
        }
        let due = match info.up_since {
            // After a return of the link everybody gets a whole TTL to be heard of again.
            Some(up) => view.last.max(up) + ttl,
            None => now + ttl,
        };
        if due > now {
            self.arm(due, Timer::Expire(origin, exchange));
            return;
        }
        view.armed = false;
        view.state = NodeState::Failed;
        self.question_or_fail(&origin, exchange, now);
        self.show(&origin, Dirty::Aside);
    }

    pub(super) fn reap(&mut self, origin: &Origin, now: Moment) {
        let Some(peer) = self.peers.get(origin) else {
            self.departed.remove(origin);
            return;
        };
        if peer.failed_since.is_some_and(|since| since + REMEMBER <= now) {
            self.remove(origin);
        }
    }

    pub(super) fn remove(&mut self, origin: &Origin) -> Outcome {
        let Some(peer) = self.peers.remove(origin) else { return Outcome::Stale };
        let name = peer.record.map(|record| record.name.clone());
        let listed = self.nodes.remove(origin).is_some_and(|node| node.state.is_listed());
        self.rename(origin, name.as_ref(), None);
        self.touch(if listed { Dirty::Lists } else { Dirty::Aside });
        Outcome::Applied
    }

    fn note_departure(&mut self, origin: &Origin, stamp: Stamp) {
        if self.departed.len() < limits::NODES {
            self.departed.insert(origin.clone(), stamp);
        }
    }

    fn has_room_for(&self, origin: &Origin) -> bool {
        self.peers.len() < limits::NODES || self.peers.contains_key(origin)
    }

    /// Brings the maps that snapshots share up to date with one peer.
    fn show(&mut self, origin: &Origin, dirty: Dirty) {
        let Some(peer) = self.peers.get(origin) else { return };
        let Some(record) = &peer.record else { return };
        let alive = |view: &View| view.state == NodeState::Alive;
        let reported = |view: &View| self.links[usize::from(view.exchange.0)].liveness == Liveness::Reported;
        let node = Arc::new(Node {
            record: record.clone(),
            state: peer.state(),
            presences: peer.views.iter().map(|view| Presence { exchange: view.exchange, state: view.state }).collect(),
            heard: peer.heard.clone(),
            own: false,
            watched: peer.views.iter().any(|view| alive(view) && reported(view)),
        });
        let name = record.name.clone();
        let listed = node.state.is_listed();
        let old = self.nodes.insert(origin.clone(), node);
        let was_listed = old.as_ref().is_some_and(|old| old.state.is_listed());
        self.rename(origin, old.as_ref().map(|old| &old.record.name), Some(&name));
        self.touch(if listed || was_listed { dirty } else { Dirty::Aside });
    }

    /// Moves a node from one host name to another and merges both names anew.
    pub(super) fn rename(&mut self, origin: &Origin, old: Option<&Name>, new: Option<&Name>) {
        if let Some(old) = old
            && Some(old) != new
            && let Some(origins) = self.names.get_mut(old)
        {
            origins.remove(origin);
            if origins.is_empty() {
                self.names.remove(old);
            }
            self.merge(old);
        }
        if let Some(new) = new {
            self.names.entry(new.clone()).or_default().insert(origin.clone());
            self.merge(new);
        }
    }

    fn merge(&mut self, name: &Name) {
        let origins = self.names.get(name).into_iter().flatten();
        let mut nodes: Vec<_> =
            origins.filter_map(|origin| self.nodes.get(origin)).filter(|node| node.state.is_listed()).cloned().collect();
        if nodes.iter().any(|node| node.record.origin.node_id().is_some()) {
            nodes.retain(|node| node.record.origin.node_id().is_some());
        }
        if nodes.is_empty() {
            self.hosts.remove(name);
        } else {
            self.hosts.insert(name.clone(), Arc::new(Host::new(name.clone(), nodes)));
        }
    }
}
