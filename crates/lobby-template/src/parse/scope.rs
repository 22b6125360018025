//! The variables that can be seen from here, so that each use finds its declaration or is an error.
//!
//! Not here: their values (`exec`).

use std::collections::BTreeMap;

/// Variables by their names with the `$`, newest last. `$` itself is always there.
#[derive(Default)]
pub(super) struct Scope<'t> {
    declared: Vec<&'t str>,
    /// How often each name is among them, so that a use costs the same however many there are.
    counts: BTreeMap<&'t str, usize>,
}

impl<'t> Scope<'t> {
    pub(super) fn declare(&mut self, name: &'t str) {
        self.declared.push(name);
        *self.counts.entry(name).or_default() += 1;
    }

    pub(super) fn sees(&self, name: &str) -> bool {
        name == "$" || self.counts.contains_key(name)
    }

    pub(super) fn len(&self) -> usize {
        self.declared.len()
    }

    /// Forgets what was declared since there were so many.
    pub(super) fn truncate(&mut self, len: usize) {
        for name in self.declared.drain(len..) {
            if let Some(count) = self.counts.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(name);
                }
            }
        }
    }
}
