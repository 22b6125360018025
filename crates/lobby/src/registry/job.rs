//! What is to be done with the registrations, who waits for it, and what it must not happen beside.
//!
//! ```text
//! commands, files, ends of processes and connections, deadlines ─► Job ─► plan ─► on disk ─► done
//! ```
//! Jobs whose locks have nothing in common are under way at the same time; the others follow each other in their order.
//! Not here: what a job comes to (`plan`), carrying it out (`task`).

use std::{collections::BTreeSet, sync::Arc};

use lobby_core::{
    instance::Id,
    port::registry::{
        Answer, Held, May, NODE_MAINTENANCE, NewCheck, PROXY, PROXY_PORTS, Registration, RegistryCommand, RegistryError, SIDECAR,
        Source, Target,
    },
};

use super::state::State;

/// One thing to do.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) what: What,
    /// What whoever asks may change; `None`: everything.
    pub(super) may: Option<May>,
    pub(super) tell: Tell,
}

/// What.
#[derive(Clone, Debug)]
pub(super) enum What {
    Register(Box<Registration>, Source),
    Deregister(Id, Cause),
    SetCheck(Box<NewCheck>, Source),
    RemoveCheck(Id, Cause),
    Maintain(Target, Option<String>),
    Drain(Target, bool),
}

/// Why something is taken away; unless it is asked for, it counts only while the reason is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A program says so.
    Asked,
    /// This file no longer has it.
    File(Arc<str>),
    /// This check has been critical for too long.
    Critical(Id),
    /// The process has ended that this check watched by this number.
    Exited(Id, u64),
    /// The connection of this number is closed.
    Closed(u64),
}

/// Who waits.
#[derive(Debug)]
pub(super) enum Tell {
    Done(Answer<()>),
    Held(Answer<Held>),
    /// Nobody: an error is logged.
    Nobody,
}

/// Something that two jobs must not change at the same time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lock {
    Node,
    Instance(Id),
    Check(Id),
    /// Which port a proxy gets.
    ProxyPorts,
}

impl Job {
    /// What nobody is asked for.
    pub(super) fn own(what: What) -> Self {
        Self { what, may: None, tell: Tell::Nobody }
    }

    /// The job that a command is; a report of a program is none.
    pub(super) fn of(command: RegistryCommand) -> Result<Self, RegistryCommand> {
        let (what, tell) = match command {
            RegistryCommand::Register(registration, answer) => (What::Register(registration, Source::Api), Tell::Done(answer)),
            RegistryCommand::Hold(registration, answer) => (What::Register(registration, Source::Hold), Tell::Held(answer)),
            RegistryCommand::Deregister(id, answer) => (What::Deregister(id, Cause::Asked), Tell::Done(answer)),
            RegistryCommand::SetCheck(check, answer) => (What::SetCheck(check, Source::Api), Tell::Done(answer)),
            RegistryCommand::RemoveCheck(id, answer) => (What::RemoveCheck(id, Cause::Asked), Tell::Done(answer)),
            RegistryCommand::Maintain(target, reason, answer) => (What::Maintain(target, reason), Tell::Done(answer)),
            RegistryCommand::Drain(target, drain, answer) => (What::Drain(target, drain), Tell::Done(answer)),
            RegistryCommand::Guarded(may, command) => return Ok(Self { may: Some(may), ..Self::of(*command)? }),
            beat @ RegistryCommand::Beat { .. } => return Err(beat),
        };
        Ok(Self { what, may: None, tell })
    }

    /// Refuses to change what whoever asks may not change as it is now.
    pub(super) fn judge(&self, state: &State) -> Result<(), RegistryError> {
        let Some(may) = &self.may else { return Ok(()) };
        let instance = |id: &&Id| {
            let known = state.view.instances.get(*id);
            known.is_some_and(|known| !may.change(Some(known.instance.service.as_str())))
        };
        let check = |id: &&Id| match state.guards.get(*id).map(|guard| &guard.definition.instance) {
            Some(Some(owner)) => instance(&owner),
            Some(None) => !may.change(None),
            None => false,
        };
        let refused = match &self.what {
            What::Register(new, _) => {
                let own = Some(&new.instance.id).filter(instance);
                own.or_else(|| new.checks.iter().map(|check| &check.id).find(check))
            }
            What::Deregister(id, _) => {
                let sidecar = state.view.sidecar(id).map(|proxy| &proxy.instance.id);
                [Some(id), sidecar].into_iter().flatten().find(instance)
            }
            What::SetCheck(new, _) => new.instance.as_ref().filter(instance).or_else(|| Some(&new.id).filter(check)),
            What::RemoveCheck(id, _) => Some(id).filter(check),
            What::Maintain(Target::Instance(id), _) | What::Drain(Target::Instance(id), _) => Some(id).filter(instance),
            // For operators, who may change everything.
            What::Maintain(Target::Node, _) | What::Drain(Target::Node, _) => None,
        };
        refused.map_or(Ok(()), |id| Err(RegistryError::Changed(id.clone())))
    }

    /// What it changes.
    pub(super) fn locks(&self, state: &State) -> BTreeSet<Lock> {
        let mut locks = BTreeSet::new();
        match &self.what {
            What::Register(registration, _) => {
                let instance = &registration.instance;
                locks.insert(Lock::Instance(instance.id.clone()));
                let is_of_proxies = PROXY_PORTS.contains(&instance.port) || (instance.kind == PROXY && instance.port == 0);
                locks.extend(is_of_proxies.then_some(Lock::ProxyPorts));
                registration.checks.iter().for_each(|check| lock_check(&mut locks, state, &check.id));
            }
            What::Deregister(id, _) => {
                locks.extend(sidecar(id).map(Lock::Instance));
                locks.insert(Lock::Instance(id.clone()));
            }
            What::SetCheck(check, _) => {
                locks.extend(check.instance.clone().map(Lock::Instance));
                lock_check(&mut locks, state, &check.id);
            }
            What::RemoveCheck(id, _) => lock_check(&mut locks, state, id),
            What::Maintain(Target::Node, _) => locks.extend(NODE_MAINTENANCE.parse().map(Lock::Check)),
            What::Maintain(Target::Instance(id), _) | What::Drain(Target::Instance(id), _) => {
                locks.insert(Lock::Instance(id.clone()));
            }
            What::Drain(Target::Node, _) => {
                locks.insert(Lock::Node);
            }
        }
        locks
    }
}

impl Tell {
    /// It is not done.
    pub(super) fn refuse(self, err: RegistryError) {
        // Who no longer waits has gone away.
        match self {
            Self::Done(answer) => _ = answer.send(Err(err)),
            Self::Held(answer) => _ = answer.send(Err(err)),
            Self::Nobody => tracing::warn!("registry: {err}"),
        }
    }
}

/// The check, and the instance that has it now.
fn lock_check(locks: &mut BTreeSet<Lock>, state: &State, id: &Id) {
    let owner = state.guards.get(id).and_then(|guard| guard.definition.instance.clone());
    locks.extend(owner.map(Lock::Instance));
    locks.insert(Lock::Check(id.clone()));
}

/// The id of the proxy that may have been registered with an instance.
fn sidecar(id: &Id) -> Option<Id> {
    format!("{id}{SIDECAR}").parse().ok()
}
