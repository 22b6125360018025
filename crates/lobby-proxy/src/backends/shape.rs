//! From found records to those of a proxy: ports, filters, doubles, the leader. Not here: the second port of a deploy (`pair`).

use std::collections::BTreeMap;

use super::{key, pair::Pairs};
use crate::{
    backend::Backend,
    settings::{LabelFilter, Service},
};

/// The port of the service, only those that all filters take, each once.
pub(super) fn prepare(service: &Service, found: &[Backend]) -> Vec<Backend> {
    let ported =
        found.iter().cloned().map(|backend| Backend { port: service.backend_port_override.unwrap_or(backend.port), ..backend });
    distinct(ported.filter(|backend| service.label_filters.iter().all(|filter| takes(filter, backend))).collect())
}

/// A missing label equals nothing.
fn takes(filter: &LabelFilter, backend: &Backend) -> bool {
    (backend.labels.get(&filter.label) == Some(&filter.value)) == filter.is_equal
}

/// Without doubles: of several with one host, port and name the smallest record counts, whatever order they came in.
pub(super) fn distinct(backends: Vec<Backend>) -> Vec<Backend> {
    let mut places = BTreeMap::new();
    let mut kept: Vec<Backend> = Vec::with_capacity(backends.len());
    for backend in backends {
        let at = *places.entry(key(&backend)).or_insert(kept.len());
        match kept.get_mut(at) {
            Some(known) if backend < *known => *known = backend,
            Some(_) => {}
            None => kept.push(backend),
        }
    }
    kept
}

/// What the proxy gets of those that were found (prepared, held ones too).
pub(super) fn compose(service: &Service, mut base: Vec<Backend>, pairs: &mut Pairs) -> Vec<Backend> {
    if service.keep_default_servers {
        base.extend(prepare(service, &service.default_servers));
    }
    let all = match service.backup_port {
        Some(port) => pairs.with_backups(service, base, port),
        None => base,
    };
    let all = distinct(all);
    if service.leader_election { leader(all) } else { all }
}

/// What the proxy gets while nothing is found: the default servers as they are, but no more than one leader.
pub(super) fn stand_in(service: &Service) -> Vec<Backend> {
    let all = distinct(service.default_servers.clone());
    if service.leader_election { leader(all) } else { all }
}

/// Only the one with the smallest id, with its backup; nobody if an id is missing: two leaders are worse than none.
fn leader(mut all: Vec<Backend>) -> Vec<Backend> {
    if all.iter().any(|backend| backend.id.is_none()) {
        return Vec::new();
    }
    let rank = |backend: &Backend| (backend.id, backend.name.clone(), backend.host.clone());
    if let Some(first) = all.iter().map(rank).min() {
        // Several on one host differ in their ports.
        let port = all.iter().filter(|backend| rank(backend) == first && !backend.is_backup).map(|backend| backend.port).min();
        all.retain(|backend| rank(backend) == first && (backend.is_backup || Some(backend.port) == port));
    }
    all
}
