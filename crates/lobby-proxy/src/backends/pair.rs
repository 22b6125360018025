//! The second port of a deploy. Decides which of the two takes the requests: what a label of the node says, and where it names
//! neither of them, whichever did before.
//!
//! ```text
//! label deploy:SERVICE:primary:PORT ─┬─ the backup port ─► swapped
//!                                    ├─ the own port, none ─► not swapped
//!                                    └─ any other ─► as before, one warning
//! ```

use std::collections::BTreeSet;

use super::{Key, key};
use crate::{backend::Backend, settings::Service};

/// What is known of the pairs of one service. Never more than it has backends.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// Whose backup port is the primary one.
    swapped: BTreeSet<Key>,
    /// Whose label names neither port, so that it is logged once.
    warned: BTreeSet<Key>,
}

impl Pairs {
    /// Each a second time on the other port, as backup; primaries first.
    pub(super) fn with_backups(&mut self, service: &Service, base: Vec<Backend>, backup_port: u16) -> Vec<Backend> {
        let label = label(service);
        let mut backups = Vec::with_capacity(base.len());
        let mut all = base;
        let (mut swapped, mut warned) = (BTreeSet::new(), BTreeSet::new());
        for primary in &mut all {
            let key = key(primary);
            let said = primary.labels.get(&label).map(|port| (port, port.trim().parse::<u16>()));
            let is_swapped = match said {
                None => false,
                Some((_, Ok(port))) if port == backup_port => true,
                Some((_, Ok(port))) if port == primary.port => false,
                Some((port, _)) => {
                    if !self.warned.contains(&key) {
                        let (service, node, pair) = (&service.name, &primary.name, (primary.port, backup_port));
                        tracing::warn!(
                            service,
                            ?node,
                            ?port,
                            ?pair,
                            "a label names a port outside of the pair: the primary stays"
                        );
                    }
                    warned.insert(key.clone());
                    self.swapped.contains(&key)
                }
            };
            let mut backup = Backend { port: backup_port, is_backup: true, ..primary.clone() };
            if is_swapped {
                swapped.insert(key);
                std::mem::swap(&mut primary.port, &mut backup.port);
            }
            if backup.port != primary.port {
                backups.push(backup);
            }
        }
        (self.swapped, self.warned) = (swapped, warned);
        all.extend(backups);
        all
    }
}

/// The name of the label that says which port is the primary one.
pub(super) fn label(service: &Service) -> String {
    format!("deploy:{}:primary", service.name)
}
