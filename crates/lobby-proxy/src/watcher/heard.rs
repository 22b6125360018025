//! What one source has told until now, and several of them as one. Decides when a source counts as answering, and the rules of
//! `multi`. Pure.
//!
//! A source in trouble keeps what it told. Early, who has never answered is waited for, whether it fails or is silent: what it
//! has may be in use since before a restart, and a first poll that fails moves no traffic either. Later the others are used
//! without it; what is empty only because one of them never answered is no answer even then.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    backend::{Backend, Found},
    settings::Resolver,
};

/// So many troubles in a row until another source of a `multi` takes over: one failed poll moves no traffic.
const PATIENCE: u32 = 3;

/// The source that [`Resolver::Fallback`] prefers.
const PRIMARY: &str = "primary";

/// A definite answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sets {
    pub(super) well: Arc<[Backend]>,
    pub(super) lost: Arc<[Backend]>,
    /// Named, and proved not to be well.
    pub(super) gone: Arc<[Backend]>,
}

/// All that a source has told.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Heard {
    /// None: it has not answered yet.
    pub(super) sets: Option<Sets>,
    /// Why it does not answer now.
    pub(super) trouble: Option<String>,
    /// Troubles in a row.
    pub(super) failures: u32,
}

impl Sets {
    fn is_empty(&self) -> bool {
        self.well.is_empty() && self.lost.is_empty()
    }
}

impl Heard {
    pub(super) fn hear(&mut self, found: Found) {
        match found {
            Found::Backends { backends, lost } => {
                *self = Self {
                    sets: Some(Sets { well: backends.into(), lost: lost.into(), gone: Arc::default() }),
                    trouble: None,
                    failures: 0,
                };
            }
            Found::Trouble(text) => self.fail(text),
        }
    }

    pub(super) fn fail(&mut self, text: String) {
        self.trouble = Some(text);
        self.failures = self.failures.saturating_add(1);
    }

    /// Neither an answer nor a failure yet.
    fn is_pending(&self) -> bool {
        self.sets.is_none() && self.trouble.is_none()
    }

    fn has_backends(&self) -> bool {
        self.sets.as_ref().is_some_and(|sets| !sets.is_empty())
    }

    fn is_proved_empty(&self) -> bool {
        self.trouble.is_none() && self.sets.as_ref().is_some_and(Sets::is_empty)
    }

    fn answers(&self) -> bool {
        self.sets.is_some() && self.failures < PATIENCE
    }
}

/// Several sources as one. `is_early`: one that never answered may have what is in use since before a restart.
pub(super) fn resolve(mut children: BTreeMap<String, Heard>, resolver: &Resolver, is_early: bool) -> Heard {
    for (name, heard) in children.iter_mut().filter(|(_, heard)| !is_early && heard.is_pending()) {
        heard.trouble = Some(format!("watcher {name} has never answered"));
    }
    match resolver {
        Resolver::Union => union(children.values(), is_early),
        Resolver::Sequential(order) => {
            first(&order.iter().filter_map(|name| children.get(name)).cloned().collect::<Vec<_>>(), is_early)
        }
        Resolver::Fallback => {
            let others = || children.iter().filter(|(name, _)| *name != PRIMARY).map(|(_, heard)| heard);
            let backup = (others().next().is_some()).then(|| union(others(), is_early));
            first(&children.get(PRIMARY).cloned().into_iter().chain(backup).collect::<Vec<_>>(), is_early)
        }
    }
}

/// All that all have; nothing early while one has never answered.
fn union<'a>(children: impl Iterator<Item = &'a Heard> + Clone, is_early: bool) -> Heard {
    if children.clone().any(Heard::is_pending) {
        return Heard::default();
    }
    let trouble = children.clone().find_map(|heard| heard.trouble.clone());
    let failures = children.clone().map(|heard| heard.failures).min().unwrap_or(0);
    let is_whole = children.clone().all(|heard| heard.sets.is_some());
    let known = children.filter_map(|heard| heard.sets.as_ref());
    let sets = Sets {
        well: known.clone().flat_map(|sets| sets.well.iter().cloned()).collect(),
        lost: known.clone().flat_map(|sets| sets.lost.iter().cloned()).collect(),
        gone: known.flat_map(|sets| sets.gone.iter().cloned()).collect(),
    };
    Heard { sets: (is_whole || (!is_early && !sets.is_empty())).then_some(sets), trouble, failures }
}

/// The first that answers and is not empty; early, one that has never answered is waited for.
fn first(children: &[Heard], is_early: bool) -> Heard {
    for heard in children {
        if is_early && heard.sets.is_none() {
            return heard.clone();
        }
        if heard.has_backends() && heard.answers() {
            return heard.clone();
        }
    }
    // What somebody in trouble had is better than nothing.
    if let Some(heard) = children.iter().find(|heard| heard.has_backends()) {
        return heard.clone();
    }
    Heard {
        sets: children.iter().all(Heard::is_proved_empty).then(Sets::default),
        trouble: children.iter().find_map(|heard| heard.trouble.clone()),
        failures: children.iter().map(|heard| heard.failures).min().unwrap_or(0),
    }
}
