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
}

/// What one exchange makes of the node.
#[derive(Clone, Copy, Debug)]
struct View {
    exchange: ExchangeId,
    state: NodeState,
    last: Moment,
    /// The number of the `Expire` timer on its way. Others are left over from an earlier life of the node.
    armed: Option<u64>,
}

impl Peer {
    fn state(&self) -> NodeState {
        // Failed first: nobody has told that a peer without views is alive.
        self.views.iter().map(|view| view.state).min().unwrap_or(NodeState::Failed)
    }

    fn view(&mut self, exchange: ExchangeId) -> &mut View {
        let idx = self.views.iter().position(|view| view.exchange == exchange).unwrap_or_else(|| {
            self.views.push(View { exchange, state: NodeState::Failed, last: Moment::ZERO, armed: None });
            self.views.len() - 1
        });
        &mut self.views[idx]
    }
}

impl Catalog {
    pub(super) fn set_record(&mut self, record: Arc<Record>, now: Moment) -> Outcome {
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
        if record.has_left() {
            self.departed.insert(origin.clone(), record.stamp, now);
            self.remove(&origin);
            return Outcome::Applied;
        }
        let Some(peer) = self.peer(&origin, now) else { return Outcome::Refused };
        peer.record = Some(record);
        self.departed.remove(&origin);
        self.show(&origin);
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
            self.failed.remove(&origin);
            self.show(&origin);
        }
        Outcome::Applied
    }

    /// An exchange suspects or has lost a node.
    pub(super) fn judge(&mut self, exchange: ExchangeId, origin: Origin, state: NodeState, now: Now) -> Outcome {
        let liveness = self.links[usize::from(exchange.0)].liveness;
        let Some(peer) = self.peers.get_mut(&origin) else { return Outcome::Stale };
        let view = peer.view(exchange);
        if view.state == state || (state == NodeState::Suspect && view.state == NodeState::Failed) {
            return Outcome::Stale;
        }
        let was_alive = std::mem::replace(&mut view.state, state) == NodeState::Alive;
        if was_alive && liveness == Liveness::Reported {
            // Until this moment it counted as heard of all the time.
            peer.heard.at(now);
        }
        if state == NodeState::Failed {
            self.question_or_fail(&origin, exchange, now.moment);
        }
        self.show(&origin);
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
        self.failed.insert(origin.clone(), (), now);
        self.show(origin);
    }

    fn arm_expiry(&mut self, at: Moment, origin: &Origin, exchange: ExchangeId) {
        let number = self.arm(at, Timer::Expire(origin.clone(), exchange));
        if let Some(peer) = self.peers.get_mut(origin) {
            peer.view(exchange).armed = Some(number);
        }
    }

    pub(super) fn expire(&mut self, origin: Origin, exchange: ExchangeId, number: u64, now: Moment) {
        let info = &self.links[usize::from(exchange.0)];
        let Liveness::Ttl(ttl) = info.liveness else { return };
        let Some(peer) = self.peers.get_mut(&origin) else { return };
        let view = peer.view(exchange);
        if view.armed != Some(number) {
            return;
        }
        view.armed = None;
        if !view.state.is_listed() {
            return;
        }
        let due = match info.up_since {
            // After a return of the link everybody gets a whole TTL to be heard of again.
            Some(up) => view.last.max(up) + ttl,
            None => now + ttl,
        };
        if due > now {
            self.arm_expiry(due, &origin, exchange);
            return;
        }
        view.state = NodeState::Failed;
        self.question_or_fail(&origin, exchange, now);
        self.show(&origin);
    }

    pub(super) fn remove(&mut self, origin: &Origin) -> Outcome {
        let Some(peer) = self.peers.remove(origin) else { return Outcome::Stale };
        self.failed.remove(origin);
        self.nodes.remove(origin);
        self.rename(origin, peer.record.as_ref().map(|record| &record.name), None);
        self.touch(Dirty::Aside);
        Outcome::Applied
    }

    /// The peer, made if there is room. A full catalog gives up the node that has been dead for longest, if any.
    fn peer(&mut self, origin: &Origin, now: Moment) -> Option<&mut Peer> {
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

    /// Brings the maps that snapshots share up to date with one peer.
    fn show(&mut self, origin: &Origin) {
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
        let old = self.nodes.insert(origin.clone(), node);
        self.rename(origin, old.as_ref().map(|old| &old.record.name), Some(&name));
        self.touch(Dirty::Aside);
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

    /// Makes the host of this name anew. It is a change only if lists show it differently.
    fn merge(&mut self, name: &Name) {
        let origins = self.names.get(name).into_iter().flatten();
        let mut nodes: Vec<_> =
            origins.filter_map(|origin| self.nodes.get(origin)).filter(|node| node.state.is_listed()).cloned().collect();
        if nodes.iter().any(|node| node.record.origin.node_id().is_some()) {
            nodes.retain(|node| node.record.origin.node_id().is_some());
        }
        let n_before = self.hosts.get(name).map_or(0, |host| host.nodes.len());
        let new = (!nodes.is_empty()).then(|| Arc::new(Host::new(name.clone(), nodes)));
        if let Some(host) = new.as_ref().filter(|host| host.nodes.len() > n_before.max(1)) {
            self.conflicts.push(host.clone());
        }
        let shown = new.as_ref().map(|host| host.rendered.clone());
        let old = match new {
            Some(host) => self.hosts.insert(name.clone(), host),
            None => self.hosts.remove(name),
        };
        if old.as_ref().map(|host| &host.rendered) != shown.as_ref() {
            self.touch(Dirty::Lists);
        }
    }
}
