//! What a job comes to: steps that cannot fail, what must be on disk first, and the room that they need. Or why not.
//!
//! ```text
//! What, State ─► Plan { steps, entries for the journal, changes to reserve room for }
//! ```
//! Changes nothing. A registration replaces what was registered under its id; one that says the same again has no entries.
//! Not here: the difference that steps make on disk (`entries`), carrying a plan out (`task`).

use std::{collections::BTreeMap, sync::Arc};

use lobby_core::{
    check::{kind::Kind, spec::Spec, state::Check, view::short},
    instance::{Id, Instance, Invalid},
    limits,
    local::{RecordChange, SetError},
    port::registry::{
        CHECKS, NODE_MAINTENANCE, NewCheck, Registration, RegistryError, SERF_HEALTH, SERVICE_MAINTENANCE, Source, Target,
    },
    record::Record,
    service,
    time::Moment,
};

use super::{
    entries::{Entry, entries},
    job::{Cause, What},
    process::{self, Watched},
    saved::Definition,
    show,
    state::State,
};

/// What an operator who gave no reason is shown to have said.
const NO_REASON: &str = "Maintenance was switched on without a reason.";

/// One change of the state.
#[derive(Clone, Debug)]
pub(super) enum Step {
    PutInstance(Arc<Instance>, Source),
    /// With its checks.
    RemoveInstance(Id),
    PutCheck(Definition),
    RemoveCheck(Id),
    /// An instance, or (`None`) the node.
    Drain(Option<Id>, bool),
}

/// What a job comes to.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// What must be on disk before.
    pub(super) entries: Vec<Entry>,
    /// What needs room in the record.
    pub(super) reserve: Vec<RecordChange>,
    /// Processes to watch from then on, by check.
    pub(super) watches: Vec<(Id, Watched)>,
    /// It has happened already: the disk comes after.
    pub(super) is_fact: bool,
    /// The instance that is taken away unasked, and why.
    pub(super) taken: Option<(Id, Cause)>,
}

/// What a plan is made from beside the state.
pub(super) struct Facts<'a> {
    /// Our own record, as everybody sees it.
    pub(super) own: &'a Record,
    pub(super) now: Moment,
}

impl State {
    /// Plans a job.
    pub(super) fn plan(&self, what: What, facts: &Facts<'_>) -> Result<Plan, RegistryError> {
        let mut plan = Plan::default();
        let is_of_file = matches!(&what, What::Register(_, Source::File(_)) | What::SetCheck(_, Source::File(_)));
        match what {
            What::Register(registration, source) => self.register(*registration, source, &mut plan)?,
            What::Deregister(id, cause) => self.deregister(id, &cause, facts, &mut plan)?,
            What::SetCheck(check, source) => {
                let owner = check.instance.as_ref();
                if let Some(id) = owner {
                    self.known(id, facts).map_err(|err| match err {
                        RegistryError::FromLabel { id, label } => RegistryError::LabelTakesNoChecks { id, label },
                        err => err,
                    })?;
                }
                self.put_checks(vec![*check], &source, &mut plan)?;
            }
            What::RemoveCheck(id, cause) => self.remove(id, &cause, &mut plan)?,
            What::Maintain(target, reason) => self.maintain(target, reason, facts, &mut plan)?,
            What::Drain(Target::Node, drain) if drain == self.view.is_draining => {}
            What::Drain(Target::Node, drain) => plan.steps.push(Step::Drain(None, drain)),
            What::Drain(Target::Instance(id), drain) => {
                self.known(&id, facts)?;
                if self.drained.contains(&id) != drain {
                    plan.steps.push(Step::Drain(Some(id), drain));
                }
            }
        }
        plan.entries = entries(self, &plan.steps);
        if is_of_file && plan.entries.is_empty() {
            // Files are read again whenever one of them changes; that proves nothing about what the others define.
            return Ok(Plan::default());
        }
        // What stands in the journal as it is stands in the record too, and takes no more room there.
        let is_kept = |step: &Step| match step {
            Step::PutInstance(_, source) => *source != Source::Hold,
            Step::PutCheck(definition) => definition.source != Source::Hold,
            _ => true,
        };
        if !plan.entries.is_empty() || !plan.steps.iter().all(is_kept) {
            plan.reserve = reserve(&plan.steps, facts.now);
        }
        Ok(plan)
    }

    fn register(&self, registration: Registration, source: Source, plan: &mut Plan) -> Result<(), RegistryError> {
        let Registration { mut instance, checks, replace_checks } = registration;
        instance.port = self.view.port(&instance)?;
        let id = instance.id.clone();
        let checks: Vec<_> = checks.into_iter().map(|check| NewCheck { instance: Some(id.clone()), ..check }).collect();
        // A file is all that it says; what programs added to it stays.
        let is_replaced = |definition: &Definition| match &source {
            Source::File(_) => definition.source == source,
            _ => replace_checks && *definition.spec.kind() != Kind::Maintenance,
        };
        let old = self.owned.get(&Some(id.clone())).into_iter().flatten().filter_map(|id| self.guards.get(id));
        let gone = old.filter(|guard| is_replaced(&guard.definition) && checks.iter().all(|new| new.id != guard.definition.id));
        let gone: Vec<_> = gone.map(|guard| Step::RemoveCheck(guard.definition.id.clone())).collect();
        if instance.drain && !self.drained.contains(&id) {
            plan.steps.push(Step::Drain(Some(id), true));
        }
        plan.steps.push(Step::PutInstance(Arc::new(instance), source.clone()));
        plan.steps.extend(gone);
        self.put_checks(checks, &source, plan)
    }

    fn put_checks(&self, checks: Vec<NewCheck>, source: &Source, plan: &mut Plan) -> Result<(), RegistryError> {
        if checks.len() > CHECKS {
            return Err(RegistryError::TooMany { what: "checks of one registration", most: CHECKS });
        }
        // Of several with one id the last counts.
        let checks: BTreeMap<_, _> = checks.into_iter().map(|check| (check.id.clone(), check)).collect();
        for (id, check) in checks {
            if is_reserved(&id) {
                return Err(RegistryError::Reserved(id));
            }
            let kind = check.spec.kind().clone();
            if matches!(kind, Kind::Script { .. } | Kind::Docker { .. }) && !self.scripts {
                return Err(RegistryError::ScriptsDisabled);
            }
            let mut definition = Definition::new(check, source.clone());
            if let Kind::Process { pid } = kind {
                let watched = process::open(pid).map_err(|err| RegistryError::Process { pid, why: err.to_string().into() })?;
                definition.process = Some(watched.identity().clone());
                plan.watches.push((id, watched));
            }
            plan.steps.push(Step::PutCheck(definition));
        }
        Ok(())
    }

    fn deregister(&self, id: Id, cause: &Cause, facts: &Facts<'_>, plan: &mut Plan) -> Result<(), RegistryError> {
        let known = self.view.instances.get(&id);
        let is_so = match cause {
            Cause::Asked => {
                self.known(&id, facts)?;
                refuse_of_file(&id, known.map(|known| &known.source))?;
                true
            }
            Cause::File(file) => known.is_some_and(|known| known.source == Source::File(file.clone())),
            Cause::Critical(check) => {
                let guard = self.guards.get(check).filter(|guard| guard.definition.instance.as_ref() == Some(&id));
                guard.is_some_and(|guard| guard.check.deregister_due(facts.now))
            }
            Cause::Exited(check, watch) => {
                let guard = self.guards.get(check).filter(|guard| guard.definition.instance.as_ref() == Some(&id));
                guard.is_some_and(|guard| guard.watch.as_ref().is_some_and(|(number, _)| number == watch))
            }
            Cause::Closed(hold) => self.holds.get(&id).is_some_and(|(number, _)| number == hold),
        };
        if !is_so {
            return Ok(());
        }
        plan.is_fact = matches!(cause, Cause::Exited(..) | Cause::Closed(_));
        plan.taken = (!matches!(cause, Cause::Asked | Cause::File(_))).then(|| (id.clone(), cause.clone()));
        // A file that made the proxy would make it again; only what ends here of itself takes it along.
        let stays = |source: &Source| plan.taken.is_none() && matches!(source, Source::File(_));
        let with_it = self.view.sidecar(&id).filter(|proxy| !stays(&proxy.source));
        plan.steps.extend(with_it.map(|proxy| Step::RemoveInstance(proxy.instance.id.clone())));
        plan.steps.push(Step::RemoveInstance(id));
        Ok(())
    }

    fn remove(&self, id: Id, cause: &Cause, plan: &mut Plan) -> Result<(), RegistryError> {
        let guard = self.guards.get(&id);
        match (guard, cause) {
            (None, Cause::Asked) => return Err(RegistryError::UnknownCheck(id.as_str().into())),
            (Some(guard), Cause::Asked) => {
                refuse_of_file(&id, Some(&guard.definition.source))?;
                plan.steps.push(Step::RemoveCheck(id));
            }
            (Some(guard), Cause::File(file)) if guard.definition.source != Source::File(file.clone()) => {}
            (Some(_), _) => plan.steps.push(Step::RemoveCheck(id)),
            (None, _) => {}
        }
        Ok(())
    }

    fn maintain(&self, target: Target, reason: Option<String>, facts: &Facts<'_>, plan: &mut Plan) -> Result<(), RegistryError> {
        let (id, name, instance) = match target {
            Target::Node => (NODE_MAINTENANCE.to_owned(), "Node Maintenance Mode", None),
            Target::Instance(id) => {
                self.known(&id, facts)?;
                (format!("{SERVICE_MAINTENANCE}{id}"), "Service Maintenance Mode", Some(id))
            }
        };
        let too_long = Invalid::TooLong { field: "id", value: id.clone(), bytes: id.len(), most: limits::ID_BYTES };
        let id: Id = id.parse().map_err(|_| SetError::Invalid(too_long))?;
        let Some(reason) = reason else {
            plan.steps.extend(self.guards.contains_key(&id).then_some(Step::RemoveCheck(id)));
            return Ok(());
        };
        let notes = match (reason.trim().is_empty(), self.guards.get(&id)) {
            // Whoever switches it on once more without a word does not take the word of the first.
            (true, Some(first)) => first.definition.notes.clone(),
            (true, None) => NO_REASON.into(),
            (false, _) => short(&reason, limits::NOTES_BYTES).into(),
        };
        let spec = Arc::new(Spec::maintenance());
        let definition = Definition { id, name: name.into(), notes, instance, spec, process: None, source: Source::Api };
        plan.steps.push(Step::PutCheck(definition));
        Ok(())
    }

    /// That it is registered.
    fn known(&self, id: &Id, facts: &Facts<'_>) -> Result<(), RegistryError> {
        if self.view.instances.contains_key(id) {
            return Ok(());
        }
        let made = service::instances(facts.own.labels()).into_iter().find(|instance| instance.id == *id);
        let family = made.and_then(|instance| service::services(facts.own).remove(instance.service.as_str()));
        Err(match family.and_then(|family| family.labels.first().map(|label| (**label).clone())) {
            Some(label) => RegistryError::FromLabel { id: id.clone(), label },
            None => RegistryError::UnknownInstance(id.as_str().into()),
        })
    }
}

/// What a file makes comes back when that is read again, whole or in part.
fn refuse_of_file(id: &Id, source: Option<&Source>) -> Result<(), RegistryError> {
    match source {
        Some(Source::File(file)) => Err(RegistryError::FromFile { id: id.clone(), file: file.clone() }),
        _ => Ok(()),
    }
}

fn is_reserved(id: &Id) -> bool {
    [SERF_HEALTH, NODE_MAINTENANCE].contains(&id.as_str()) || id.as_str().starts_with(SERVICE_MAINTENANCE)
}

/// What the record will have to take. A status needs no room, and an output gives way.
fn reserve(steps: &[Step], now: Moment) -> Vec<RecordChange> {
    let change = |step: &Step| match step {
        Step::PutInstance(instance, _) => Some(RecordChange::SetInstance(instance.clone())),
        Step::PutCheck(definition) => {
            let check = Check::new(definition.spec.clone(), now);
            Some(RecordChange::SetCheck(Box::new(show::view(definition, &check))))
        }
        _ => None,
    };
    steps.iter().filter_map(change).collect()
}
