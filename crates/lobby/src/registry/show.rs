//! What is shown of a check: everything to this host, enough to judge it to the others.
//!
//! Not here: when it is shown (`state`).

use std::{sync::Arc, time::Duration};

use lobby_core::{
    check::{
        state::Check,
        view::{CheckKind, CheckView, short},
    },
    limits,
    port::registry::LocalCheck,
    time::Moment,
};

use super::{guard::Guard, saved::Definition};

/// As outputs of this agent see it.
pub(super) fn local(guard: &Guard, now: Moment) -> LocalCheck {
    let (definition, check) = (&guard.definition, &guard.check);
    LocalCheck {
        id: definition.id.clone(),
        name: definition.name.clone(),
        notes: definition.notes.clone(),
        instance: definition.instance.clone(),
        spec: definition.spec.clone(),
        status: check.status(),
        own_status: check.own_status(),
        is_flapping: check.is_flapping(),
        output: output(check),
        since: check.since(),
        critical_for: check.critical_for(now),
        deregister_at: check.deregister_at().filter(|_| definition.instance.is_some()),
    }
}

/// Whether two of them differ in nothing but how long something has lasted.
pub(super) fn is_same(old: &Arc<LocalCheck>, new: &LocalCheck) -> bool {
    old.critical_for.is_some() == new.critical_for.is_some()
        && **old == LocalCheck { critical_for: old.critical_for, ..new.clone() }
}

/// As everybody sees it.
pub(super) fn view(definition: &Definition, check: &Check) -> CheckView {
    let spec = &definition.spec;
    let kind = CheckKind::ALL.into_iter().find(|kind| kind.as_str() == spec.kind().as_str());
    let interval = spec.interval().unwrap_or_default();
    CheckView {
        id: definition.id.clone(),
        name: definition.name.to_string(),
        instance: definition.instance.clone(),
        status: check.status(),
        kind: kind.unwrap_or_default(),
        interval,
        timeout: if interval.is_zero() { Duration::ZERO } else { spec.timeout() },
        notes: short(&definition.notes, limits::NOTES_BYTES),
        output: short(&output(check), limits::OUTPUT_BYTES),
        // What runs here is asked of here.
        definition: String::new(),
    }
}

/// What it said last; before it, that its status is held because it changed too often.
fn output(check: &Check) -> Arc<str> {
    match check.is_flapping() {
        false => check.output().clone(),
        true => format!("flapping: held at {}, {} by itself: {}", check.status(), check.own_status(), check.output()).into(),
    }
}
