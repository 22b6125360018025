//! A registry that does the least of what the real one does, in place of it: it keeps what it is told and shows it.
//!
//! Every command is noted as text. A refusal can be planted, and carrying out never fails by itself but for what is unknown.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use lobby_core::{
    check::{Status, spec::Spec, state::NotTtlError},
    instance::{Id, Instance},
    port::registry::{
        Held, LocalCheck, LocalInstance, LocalView, May, NODE_MAINTENANCE, NewCheck, Registration, RegistryCommand,
        RegistryError, RegistryHandle, SERVICE_MAINTENANCE, Source, Target,
    },
    stats::{JournalCounts, RegistryCounts},
    time::Moment,
};
use tokio::sync::{mpsc, watch};

/// What the registry counts.
const COUNTS: RegistryCounts = RegistryCounts {
    runs: 11,
    late_runs: 2,
    taken_away: 3,
    refused: 4,
    jobs: 5,
    journal: Some(JournalCounts {
        appended: 12,
        refused: 1,
        commits: 6,
        commits_failed: 7,
        compactions_failed: 8,
        file_bytes: 900,
        live_bytes: 800,
    }),
};

type Done = Result<(), RegistryError>;

/// What was asked and what is shown.
#[derive(Clone)]
pub(crate) struct Registry {
    pub(crate) handle: RegistryHandle,
    view: Arc<watch::Sender<Arc<LocalView>>>,
    asked: Arc<Mutex<Vec<String>>>,
    refusal: Arc<Mutex<Option<RegistryError>>>,
    pause: Arc<Mutex<Duration>>,
    meanwhile: Arc<Mutex<Option<LocalInstance>>>,
}

impl Registry {
    /// Runs until the app, and with it the sender, is gone.
    pub(crate) fn start() -> Self {
        let (commands, mut received) = mpsc::channel(8);
        let (view, shown) = watch::channel(Arc::default());
        let handle = RegistryHandle::new(commands, shown).counting(|| COUNTS);
        let registry = Self {
            handle,
            view: Arc::new(view),
            asked: Arc::default(),
            refusal: Arc::default(),
            pause: Arc::default(),
            meanwhile: Arc::default(),
        };
        // Without the handle: it would keep the queue open.
        let (view, asked, refusal) = (registry.view.clone(), registry.asked.clone(), registry.refusal.clone());
        let (pause, meanwhile) = (registry.pause.clone(), registry.meanwhile.clone());
        tokio::spawn(async move {
            while let Some(command) = received.recv().await {
                asked.lock().unwrap().push(note(&command));
                let other = meanwhile.lock().unwrap().take();
                if let Some(other) = other {
                    view.send_modify(|view| {
                        drop(Arc::make_mut(view).instances.insert(other.instance.id.clone(), Arc::new(other)))
                    });
                }
                let pause = *pause.lock().unwrap();
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                let refusal = refusal.lock().unwrap().clone();
                carry_out(&view, command, refusal);
            }
        });
        registry
    }

    /// What was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// From now on everything is refused like this, or nothing.
    pub(crate) fn refuse(&self, refusal: Option<RegistryError>) {
        *self.refusal.lock().unwrap() = refusal;
    }

    /// Before the next command is carried out, somebody else registers this.
    pub(crate) fn meanwhile(&self, other: Instance) {
        *self.meanwhile.lock().unwrap() = Some(LocalInstance { instance: Arc::new(other), source: Source::Api });
    }

    /// From now on each answer takes this long.
    pub(crate) fn pause(&self, pause: Duration) {
        *self.pause.lock().unwrap() = pause;
    }

    pub(crate) fn view(&self) -> Arc<LocalView> {
        self.view.borrow().clone()
    }

    /// Changes what is shown, as checks that run do.
    pub(crate) fn change(&self, change: impl FnOnce(&mut LocalView)) {
        self.view.send_modify(|view| change(Arc::make_mut(view)));
    }

    /// Sets a status.
    pub(crate) fn judge(&self, check: &str, status: Status) {
        self.change(|view| {
            let id: Id = check.parse().unwrap();
            let old = LocalCheck::clone(&view.checks[&id]);
            view.checks.insert(id, Arc::new(LocalCheck { status, ..old }));
        });
    }
}

fn note(command: &RegistryCommand) -> String {
    let checks = |registration: &Registration| {
        let checks = registration.checks.iter();
        checks.map(|check| format!(" {}={}", check.id, check.spec.kind().as_str())).collect::<String>()
    };
    match command {
        RegistryCommand::Register(new, _) => {
            let replace = if new.replace_checks { " replace" } else { "" };
            format!("register {} of {}{}{replace}", new.instance.id, new.instance.service, checks(new))
        }
        RegistryCommand::Hold(new, _) => format!("hold {} of {}{}", new.instance.id, new.instance.service, checks(new)),
        RegistryCommand::Deregister(id, _) => format!("deregister {id}"),
        RegistryCommand::SetCheck(check, _) => format!("check {} {}={}", check.id, check.name, check.spec.kind().as_str()),
        RegistryCommand::RemoveCheck(id, _) => format!("remove check {id}"),
        RegistryCommand::Beat { check, status, note, .. } => format!("{status} {check} {note:?}"),
        RegistryCommand::Maintain(target, reason, _) => format!("maintain {target:?} {reason:?}"),
        RegistryCommand::Drain(target, drain, _) => format!("drain {target:?} {drain}"),
        RegistryCommand::Guarded(_, command) => note(command),
    }
}

fn carry_out(view: &Arc<watch::Sender<Arc<LocalView>>>, command: RegistryCommand, refusal: Option<RegistryError>) {
    let change = |change: &dyn Fn(&mut LocalView) -> Done| match &refusal {
        Some(refusal) => Err(refusal.clone()),
        None => {
            let mut done = Ok(());
            view.send_modify(|view| done = change(Arc::make_mut(view)));
            done
        }
    };
    // Whoever has gone does not want the answer.
    let _ = match command {
        RegistryCommand::Register(new, answer) => answer.send(change(&|view| register(view, &new, Source::Api))),
        RegistryCommand::Hold(new, answer) => {
            let (held, holder) = Held::new();
            let done = change(&|view| register(view, &new, Source::Hold));
            let (view, id) = (view.clone(), new.instance.id.clone());
            let end = async move {
                let mut seen = view.subscribe();
                let is_over = |view: &Arc<LocalView>| view.instances.get(&id).is_none_or(|known| known.source != Source::Hold);
                tokio::select! {
                    // What has taken its place is not its own to take away.
                    biased;
                    _ = seen.wait_for(is_over) => {}
                    () = holder.dropped() => view.send_modify(|view| drop(deregister(Arc::make_mut(view), &id))),
                }
            };
            if done.is_ok() {
                // Ends with the registration.
                tokio::spawn(end);
            }
            let _ = answer.send(done.map(|()| held));
            Ok(())
        }
        RegistryCommand::Deregister(id, answer) => answer.send(change(&|view| deregister(view, &id))),
        RegistryCommand::SetCheck(check, answer) => answer.send(change(&|view| set_check(view, &check))),
        RegistryCommand::RemoveCheck(id, answer) => answer.send(change(&|view| {
            let found = view.checks.remove(&id);
            found.map(drop).ok_or_else(|| RegistryError::UnknownCheck(id.to_string()))
        })),
        RegistryCommand::Beat { check, status, note, answer } => answer.send(change(&|view| beat(view, &check, status, &note))),
        RegistryCommand::Maintain(target, reason, answer) => {
            answer.send(change(&|view| maintain(view, &target, reason.as_deref())))
        }
        RegistryCommand::Drain(target, drain, answer) => answer.send(change(&|view| set_drain(view, &target, drain))),
        RegistryCommand::Guarded(may, command) => {
            let refusal = refusal.clone().or_else(|| judge(&view.borrow(), &may, &command));
            carry_out(view, *command, refusal);
            Ok(())
        }
    };
}

/// The least of what the real one judges: the instance of the id that is put or taken.
fn judge(view: &LocalView, may: &May, command: &RegistryCommand) -> Option<RegistryError> {
    let id = match command {
        RegistryCommand::Register(new, _) | RegistryCommand::Hold(new, _) => &new.instance.id,
        RegistryCommand::Deregister(id, _) => id,
        RegistryCommand::SetCheck(check, _) => view.checks.get(&check.id)?.instance.as_ref()?,
        RegistryCommand::RemoveCheck(id, _) => view.checks.get(id)?.instance.as_ref()?,
        _ => return None,
    };
    let service = &view.instances.get(id)?.instance.service;
    (!may.change(Some(service.as_str()))).then(|| RegistryError::Changed(id.clone()))
}

fn register(view: &mut LocalView, new: &Registration, source: Source) -> Done {
    let local = LocalInstance { instance: Arc::new(new.instance.clone()), source };
    view.instances.insert(new.instance.id.clone(), Arc::new(local));
    new.checks.iter().try_for_each(|check| set_check(view, check))
}

fn deregister(view: &mut LocalView, id: &Id) -> Done {
    let sidecar = view.sidecar(id).map(|sidecar| sidecar.instance.id.clone());
    view.instances.remove(id).ok_or_else(|| RegistryError::UnknownInstance(id.to_string()))?;
    let gone: Vec<Id> = view.checks_of(id).map(|check| check.id.clone()).collect();
    gone.iter().for_each(|id| drop(view.checks.remove(id)));
    sidecar.map_or(Ok(()), |sidecar| deregister(view, &sidecar))
}

fn local(check: &NewCheck) -> LocalCheck {
    LocalCheck {
        id: check.id.clone(),
        name: check.name.as_str().into(),
        notes: check.notes.as_str().into(),
        instance: check.instance.clone(),
        spec: Arc::new(check.spec.clone()),
        status: check.spec.initial(),
        own_status: check.spec.initial(),
        is_flapping: false,
        output: "".into(),
        since: Moment::ZERO,
        critical_for: None,
        deregister_at: None,
    }
}

fn set_check(view: &mut LocalView, check: &NewCheck) -> Done {
    if let Some(id) = check.instance.as_ref().filter(|id| !view.instances.contains_key(*id)) {
        return Err(RegistryError::UnknownInstance(id.to_string()));
    }
    let old = view.checks.get(&check.id).cloned();
    let new = local(check);
    let kept = old.map_or(new.clone(), |old| LocalCheck { status: old.status, output: old.output.clone(), ..new });
    view.checks.insert(check.id.clone(), Arc::new(kept));
    Ok(())
}

fn beat(view: &mut LocalView, check: &Id, status: Status, note: &str) -> Done {
    let old = view.checks.get(check).ok_or_else(|| RegistryError::UnknownCheck(check.to_string()))?;
    if old.spec.ttl().is_none() {
        return Err(NotTtlError(old.spec.kind().as_str()).into());
    }
    let new = LocalCheck { status, output: note.into(), ..LocalCheck::clone(old) };
    view.checks.insert(check.clone(), Arc::new(new));
    Ok(())
}

fn maintain(view: &mut LocalView, target: &Target, reason: Option<&str>) -> Done {
    let (id, name, instance) = match target {
        Target::Node => (NODE_MAINTENANCE.to_owned(), "Node Maintenance Mode", None),
        Target::Instance(id) if !view.instances.contains_key(id) => {
            return Err(RegistryError::UnknownInstance(id.to_string()));
        }
        Target::Instance(id) => (format!("{SERVICE_MAINTENANCE}{id}"), "Service Maintenance Mode", Some(id.clone())),
    };
    let id: Id = id.parse().unwrap();
    let Some(reason) = reason else {
        view.checks.remove(&id);
        return Ok(());
    };
    set_check(view, &NewCheck { id, name: name.to_owned(), notes: reason.to_owned(), instance, spec: Spec::maintenance() })
}

fn set_drain(view: &mut LocalView, target: &Target, drain: bool) -> Done {
    let Target::Instance(id) = target else {
        view.is_draining = drain;
        return Ok(());
    };
    let old = view.instances.get(id).ok_or_else(|| RegistryError::UnknownInstance(id.to_string()))?;
    let mut new = LocalInstance::clone(old);
    Arc::make_mut(&mut new.instance).drain = drain;
    view.instances.insert(id.clone(), Arc::new(new));
    Ok(())
}
