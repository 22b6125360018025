//! When enough is known to act. Decides what stands in for a service whose source has not answered: never nothing.
//!
//! ```text
//! all services of HAProxy answered ─► act
//!  └ else after WARM_MAX ─► state file, else the running process, else the old file, else the default servers
//! ```
//! A service that is empty from the start, and keeps its previous backends (`use_previous_backends`), keeps those that HAProxy
//! or its file has: an earlier run knew them.
//! What a process does not tell of its servers (their options) is taken from the file, if they are in there.
//! Of a service that none of them knows nobody has servers that could be lost: only that one is written without any.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use tokio::time::Instant;

use super::{Parts, Task, WARM_MAX};
use crate::{
    Backend, Settings,
    backend::Known,
    haproxy::{
        plan::is_slot,
        statefile::{Saved, SavedServer},
        text::old::old,
        version::Version,
    },
    settings::{Haproxy, Service},
};

impl<P: Parts> Task<P> {
    /// What to act on; None: it is too early.
    pub(super) async fn answered(&mut self) -> Option<Vec<Known>> {
        let picture = self.picture.borrow_and_update().clone();
        let mut known: Vec<Known> = picture.iter().cloned().collect();
        known.resize(self.settings.services.len(), Known::default());
        let settings = Arc::clone(&self.settings);
        let services = settings.services.iter().zip(&known).filter(|(service, _)| service.haproxy.is_some());
        let missing: Vec<_> = services.filter(|(_, known)| known.backends.is_none()).collect();
        let names: Vec<_> = missing.iter().map(|(service, _)| service.name.clone()).collect();
        self.stats.update(|status| status.unanswered.clone_from(&names));
        if !missing.is_empty() && !self.is_warm && self.began + WARM_MAX > Instant::now() {
            return None;
        }
        self.is_warm = true;
        instead(&mut self.parts, &self.haproxy, &settings, self.version, &mut known, &mut self.instead).await;
        Some(known)
    }
}

/// Puts what stands in where nothing is known, or nothing is left; `before`: what stood in before, which goes on.
pub(super) async fn instead<P: Parts>(
    parts: &mut P,
    haproxy: &Haproxy,
    settings: &Settings,
    version: Option<Version>,
    known: &mut [Known],
    before: &mut BTreeMap<String, Arc<[Backend]>>,
) {
    let services = settings.services.iter().zip(known).enumerate().filter(|(_, (service, _))| service.haproxy.is_some());
    let mut lacking: Vec<_> = services.filter(|(_, (service, known))| lacks(service, known)).collect();
    if lacking.iter().any(|(_, (service, _))| !before.contains_key(&service.name)) {
        let mut running = if haproxy.do_socket { parts.servers().await } else { BTreeMap::new() };
        let text = haproxy.config_file_path.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        // Without a state file it is the old file that was read for ids; of that, the process knows more.
        let saved = if haproxy.state_file_path.is_some() { parts.saved() } else { Saved::default() };
        let mut olds = old(settings, version, &text.unwrap_or_default());
        for (idx, (service, known)) in &lacking {
            if before.contains_key(&service.name) {
                continue;
            }
            let remembered = saved.services.get(&service.name);
            let newest = remembered.and_then(|servers| servers.values().map(|server| server.seen).max());
            let remembered = remembered.into_iter().flat_map(BTreeMap::values);
            let remembered = remembered.filter(|server| Some(server.seen) == newest).map(|server| server.backend.clone());
            let old = std::mem::take(&mut olds[*idx]);
            let running = running.remove(&old.backend).unwrap_or_default();
            let filed: Vec<_> = old.servers.into_iter().map(|(_, backend)| backend).collect();
            let running = joined(running, &filed, &old.foreign, haproxy.use_nerve_weights);
            let remembered = remembered.collect();
            let is_empty = known.backends.is_some();
            let sources = match is_empty {
                // What was seen days ago is no previous one; what is there is.
                true => [running, filed, Vec::new(), Vec::new()],
                false => [remembered, running, filed, service.default_servers.clone()],
            };
            let found = sources.into_iter().find(|backends| !backends.is_empty()).unwrap_or_default();
            match (is_empty, found.len()) {
                (true, 0) => {}
                (true, n) => tracing::warn!(service = service.name, n, "haproxy: nothing is found: its previous servers stay"),
                (false, n) => {
                    tracing::warn!(service = service.name, n, "haproxy: its source does not answer: last known servers stay");
                }
            }
            before.insert(service.name.clone(), found.into());
        }
    }
    for (_, (service, known)) in &mut lacking {
        known.backends = before.get(&service.name).cloned();
    }
}

/// Neither its source nor this run knows servers of it; with `use_previous_backends` one is empty only before it had any.
fn lacks(service: &Service, known: &Known) -> bool {
    known.backends.as_ref().is_none_or(|backends| service.use_previous_backends && backends.is_empty())
}

/// What a file that was written before tells of the services: servers with their ids, so that they are not numbered anew.
pub(super) fn of_file(text: &[u8], settings: &Settings, now: u64) -> Saved {
    let olds = old(settings, None, &String::from_utf8_lossy(text));
    let services = settings.services.iter().zip(olds).filter(|(_, old)| !old.servers.is_empty()).map(|(service, old)| {
        let servers = old.servers.into_iter().map(|(name, mut backend)| {
            let haproxy_id = backend.id.take().and_then(|id| u32::try_from(id).ok());
            (name, SavedServer { backend, haproxy_id, seen: now, is_listed: Some(true) })
        });
        (service.name.clone(), servers.collect())
    });
    Saved { services: services.collect() }
}

/// What a process has, with what it does not tell of it: that is in the file.
fn joined(running: BTreeMap<String, Backend>, filed: &[Backend], foreign: &BTreeSet<String>, has_weights: bool) -> Vec<Backend> {
    let place = |backend: &Backend| {
        let host = backend.host.parse::<IpAddr>().map_or_else(|_| backend.host.clone(), |host| host.to_string());
        (host, backend.port)
    };
    let mut found: BTreeMap<(_, String), Backend> = BTreeMap::new();
    for (server, backend) in running {
        let is_slot = is_slot(&server);
        if foreign.contains(&server) && !is_slot {
            continue;
        }
        let is_same = |old: &&Backend| place(old) == place(&backend) && (is_slot || old.name == backend.name);
        let joined = match filed.iter().find(is_same) {
            Some(old) => Backend { is_draining: backend.is_draining, ..old.clone() },
            // It was on its way out.
            None if backend.is_draining && !filed.is_empty() => continue,
            None => {
                let name = if is_slot { String::new() } else { backend.name };
                let weight = backend.weight.filter(|_| !has_weights).map(|weight| format!("weight {weight}"));
                Backend { name, haproxy_server_options: weight.unwrap_or_default(), ..backend }
            }
        };
        found.entry((place(&joined), joined.name.clone())).or_insert(joined);
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::HaproxyService;

    #[test]
    fn what_a_process_does_not_tell_is_in_the_file() {
        let backend = |name: &str, host: &str| Backend { name: name.into(), host: host.into(), port: 80, ..Backend::default() };
        let options = |options: &str, backend| Backend { haproxy_server_options: options.into(), ..backend };
        let drains = |backend| Backend { is_draining: true, ..backend };
        let filed = [options("maxconn 5", backend("a", "10.0.0.1")), options("maxconn 6", backend("b", "fe80:0::1"))];
        let running = [
            ("a_10.0.0.1:80", drains(backend("a", "10.0.0.1"))),
            ("slot1", backend("slot1", "fe80::1")),
            ("slot2", backend("slot2", "10.0.0.9")),
            ("gone_10.0.0.2:80", drains(backend("gone", "10.0.0.2"))),
            ("static", backend("static", "10.0.0.3")),
            ("new_10.0.0.4:80", Backend { weight: Some(3), ..backend("new", "10.0.0.4") }),
        ];
        let running: BTreeMap<_, _> = running.into_iter().map(|(name, backend)| (name.to_owned(), backend)).collect();
        let foreign = ["static", "slot1", "slot2"].map(str::to_owned).into();
        let found = joined(running.clone(), &filed, &foreign, false);
        let new = Backend { weight: Some(3), ..options("weight 3", backend("new", "10.0.0.4")) };
        let want = [drains(filed[0].clone()), new, backend("", "10.0.0.9"), filed[1].clone()];
        assert_eq!(found, want);
        let found = joined(running, &[], &foreign, true);
        assert_eq!(found.iter().filter(|found| found.is_draining).count(), 2, "nobody knows better");
    }

    #[test]
    fn ids_are_those_of_the_file_and_servers_of_the_settings_are_none() {
        let haproxy = |backend: &str| {
            Some(HaproxyService {
                backend: vec!["server mine 9.9.9.9:9 id 1".into()],
                backend_name: Some(backend.into()),
                ..Default::default()
            })
        };
        let service = Service { name: "web".into(), haproxy: haproxy("the web"), ..Service::default() };
        let other = Service { name: "other".into(), haproxy: haproxy("other"), ..Service::default() };
        let haproxy = Some(Haproxy::default());
        let settings = Settings { services: vec![service, other], haproxy, ..Settings::default() };
        let text = b"backend the_web\n\tserver mine 9.9.9.9:9 id 1\n\tserver a_10.0.0.1:80 10.0.0.1:80 id 7 check\n\
            \tserver b_10.0.0.2:80 10.0.0.2:80\n\xff\n";
        let saved = of_file(text, &settings, 5);
        let ids = |(name, server): (&String, &SavedServer)| (name.clone(), server.haproxy_id, server.seen, server.backend.id);
        let seen: Vec<_> = saved.services["web"].iter().map(ids).collect();
        assert_eq!(seen, [("a_10.0.0.1:80".into(), Some(7), 5, None), ("b_10.0.0.2:80".into(), None, 5, None)]);
        assert_eq!(saved.services.len(), 1);
    }
}
