//! What files define, as whole sets: what has to be done so that exactly that is registered.
//!
//! Each time definitions come, what they say counts, also for an id that a program has registered in between; until then a
//! program may register over it. What no file defines any more goes, unless a program has taken it over. What programs and
//! operators added to an instance of a file (checks, maintenance, drain) stays. A file that cannot be read keeps what it had.
//! Not here: reading files and their words (`files`).

use std::{collections::BTreeSet, sync::Arc};

use lobby_core::{instance::Id, port::registry::Source};

use super::{
    files::{Definitions, File},
    job::{Cause, What},
    state::State,
};

impl State {
    /// What must be done so that exactly this is registered by files.
    pub(super) fn of_files(&self, definitions: &Definitions) -> Vec<What> {
        let (mut instances, mut checks) = (BTreeSet::<&Id>::new(), BTreeSet::<&Id>::new());
        for file in &definitions.files {
            instances.extend(file.registrations.iter().map(|new| &new.instance.id));
            let of_instances = file.registrations.iter().flat_map(|new| &new.checks);
            checks.extend(of_instances.chain(&file.checks).map(|check| &check.id));
        }
        let is_over = |file: &Arc<str>| !definitions.is_unreadable && !definitions.unread.contains(file);
        let mut whats = Vec::new();
        for (id, known) in &self.view.instances {
            if let (Source::File(file), false) = (&known.source, instances.contains(id)) {
                whats.extend(is_over(file).then(|| What::Deregister(id.clone(), Cause::File(file.clone()))));
            }
        }
        for (id, guard) in &self.guards {
            if let (Source::File(file), false) = (&guard.definition.source, checks.contains(id)) {
                whats.extend(is_over(file).then(|| What::RemoveCheck(id.clone(), Cause::File(file.clone()))));
            }
        }
        for File { name, registrations, checks } in &definitions.files {
            let source = Source::File(name.clone());
            whats.extend(registrations.iter().map(|new| What::Register(Box::new(new.clone()), source.clone())));
            whats.extend(checks.iter().map(|check| What::SetCheck(Box::new(check.clone()), source.clone())));
        }
        whats
    }
}
