//! Why an instance is shown as it is: the evidence, piece by piece, and the verdict that follows from it.
//!
//! ```text
//! failed node (held or not) > maintenance > critical check > draining > warning check > passing
//! ```
//! The first of these that the evidence shows is the verdict; [`Why::reason`] is the piece that decided. Pure: the outputs
//! (`/v1/why`) put it into words and bodies.
//! That a failed node is held changes no verdict: outputs of services show it otherwise, and here stands why.
//! Not here: flap detection, which only the agent that runs a check knows (`port::registry`).

use std::{sync::Arc, time::Duration};

use super::{InstanceView, Node, NodeState, Presence, Snapshot};
use crate::{
    check::{
        Status,
        view::{CheckKind, CheckView},
    },
    hold::Held,
    id::Origin,
    instance::Instance,
    name::Name,
    port::registry::{NODE_MAINTENANCE, SERVICE_MAINTENANCE},
    time::Now,
};

crate::named! {
    /// What is made of an instance, from best to worst.
    #[derive(PartialOrd, Ord)]
    pub Verdict {
        /// Nothing speaks against it.
        Passing = "passing",
        /// A check warns.
        Warning = "warning",
        /// It is well, or warns, but takes nothing new.
        Draining = "draining",
        /// A check is critical.
        Critical = "critical",
        /// Somebody took it or its node out.
        Maintenance = "maintenance",
        /// No exchange holds its node alive.
        Failed = "failed",
    }
}

/// One instance, the evidence and the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// What follows from the evidence.
    pub verdict: Verdict,
    /// The piece of evidence that decided; `None` when nothing speaks against the instance.
    pub reason: Option<Reason>,
    /// What its owner tells of it.
    pub instance: Arc<Instance>,
    /// Labels made it.
    pub from_label: bool,
    /// It takes nothing new: the word is about the instance itself.
    pub instance_drains: bool,
    /// It takes nothing new: the word is about all of its node.
    pub node_drains: bool,
    /// Its node is failed, and outputs of services show it as before all the same.
    pub hold: Option<Held>,
    /// Who offers it, and who says that this node lives.
    pub owner: Owner,
    /// Its checks and those of its node, the worst first, then by id.
    pub checks: Vec<Evidence>,
    /// Other nodes that go by the name of its node, in whatever case. Anybody here is a conflict of names.
    pub namesakes: Vec<Origin>,
}

/// The node of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Which node.
    pub origin: Origin,
    /// Its name.
    pub name: Name,
    /// It is the agent that answers.
    pub own: bool,
    /// The record is proven to be its word.
    pub signed: bool,
    /// What the catalog makes of it.
    pub state: NodeState,
    /// What each exchange that knows it makes of it.
    pub presences: Vec<Presence>,
    /// How long ago it was last heard of.
    pub age: Duration,
}

/// One check and what it adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The check as its owner tells of it, with the beginning of its last output.
    pub check: Arc<CheckView>,
    /// It judges all of the node.
    pub of_node: bool,
    /// What this check alone would make of the instance.
    pub verdict: Verdict,
}

/// What decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The state of its node.
    Node(NodeState),
    /// This check; when several are as bad, the first by id.
    Check(Arc<CheckView>),
    /// It drains, or all of its node does.
    Drain,
}

impl Why {
    /// The evidence for one instance of a snapshot. `None` when its node is not in there.
    pub fn of(snapshot: &Snapshot, view: &InstanceView, now: Now) -> Option<Self> {
        let node = snapshot.nodes.get(&view.node.origin)?;
        let namesakes = snapshot.offers_by_name(view.node.name.as_str()).map(|offers| offers.node.origin.clone());
        Some(Self::new(view, node, namesakes, now))
    }

    /// The evidence for one instance of this node; the nodes of its name may be given with or without it.
    pub fn new(view: &InstanceView, node: &Node, namesakes: impl IntoIterator<Item = Origin>, now: Now) -> Self {
        let own = view.checks.iter().map(|check| Evidence::new(check, false));
        let mut checks: Vec<_> = own.chain(view.node.checks.iter().map(|check| Evidence::new(check, true))).collect();
        checks.sort_by(|a, b| b.verdict.cmp(&a.verdict).then_with(|| a.check.id.cmp(&b.check.id)));
        let worst = checks.first().filter(|worst| worst.verdict > Verdict::Passing);
        let (verdict, reason) = match worst {
            _ if !node.state.is_listed() => (Verdict::Failed, Some(Reason::Node(node.state))),
            Some(worst) if worst.verdict > Verdict::Draining => (worst.verdict, Some(Reason::Check(worst.check.clone()))),
            _ if view.is_draining() => (Verdict::Draining, Some(Reason::Drain)),
            Some(worst) => (worst.verdict, Some(Reason::Check(worst.check.clone()))),
            None => (Verdict::Passing, None),
        };
        let owner = Owner {
            origin: view.node.origin.clone(),
            name: view.node.name.clone(),
            own: node.own,
            signed: node.record.is_signed(),
            state: node.state,
            presences: node.presences.clone(),
            age: node.age(now),
        };
        Self {
            verdict,
            reason,
            instance: view.instance.clone(),
            from_label: view.from_label,
            instance_drains: view.instance.drain,
            node_drains: view.node.drain,
            hold: node.held,
            namesakes: namesakes.into_iter().filter(|origin| *origin != owner.origin).collect(),
            owner,
            checks,
        }
    }
}

impl Evidence {
    fn new(check: &Arc<CheckView>, of_node: bool) -> Self {
        let verdict = match check.status {
            Status::Critical if is_maintenance(check) => Verdict::Maintenance,
            Status::Critical => Verdict::Critical,
            Status::Warning => Verdict::Warning,
            Status::Passing => Verdict::Passing,
        };
        Self { check: check.clone(), of_node, verdict }
    }
}

/// Whether the check is an operator's word. Older agents and Consul's clients tell it by the id.
fn is_maintenance(check: &CheckView) -> bool {
    let id = check.id.as_str();
    check.kind == CheckKind::Maintenance || id == NODE_MAINTENANCE || id.starts_with(SERVICE_MAINTENANCE)
}
