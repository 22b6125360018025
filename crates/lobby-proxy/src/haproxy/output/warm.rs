//! When enough is known to act. Decides what stands in for a service whose source has not answered: never nothing.
//!
//! ```text
//! all services of HAProxy answered ─► act
//!  └ else after WARM_MAX ─► state file, else the running process, else the old file, else the default servers
//! ```
//! A service that is empty from the start, and keeps its previous backends (`use_previous_backends`), keeps those that HAProxy
//! or its file has: an earlier run knew them.
//! Of a service that none of them knows nobody has servers that could be lost: only that one is written without any.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;

use super::{Parts, Task, WARM_MAX};
use crate::{
    Backend, Settings,
    backend::Known,
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
        instead(&mut self.parts, &self.haproxy, &settings, &mut known, &mut self.instead).await;
        Some(known)
    }
}

/// Puts what stands in where nothing is known, or nothing is left; `before`: what stood in before, which goes on.
pub(super) async fn instead<P: Parts>(
    parts: &mut P,
    haproxy: &Haproxy,
    settings: &Settings,
    known: &mut [Known],
    before: &mut BTreeMap<String, Arc<[Backend]>>,
) {
    let services = settings.services.iter().zip(known).filter(|(service, _)| service.haproxy.is_some());
    let mut lacking: Vec<_> = services.filter(|(service, known)| lacks(service, known)).collect();
    if lacking.iter().any(|(service, _)| !before.contains_key(&service.name)) {
        let running = if haproxy.do_socket { parts.servers().await } else { BTreeMap::new() };
        let old = haproxy.config_file_path.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let (saved, old) = (parts.saved(), old.unwrap_or_default());
        for (service, known) in &lacking {
            if before.contains_key(&service.name) {
                continue;
            }
            let remembered = saved.services.get(&service.name);
            let newest = remembered.and_then(|servers| servers.values().map(|server| server.seen).max());
            let remembered = remembered.into_iter().flat_map(BTreeMap::values);
            let remembered = remembered.filter(|server| Some(server.seen) == newest).map(|server| server.backend.clone());
            let running = running.get(&backend_name(service)).cloned().unwrap_or_default();
            let (remembered, filed) = (remembered.collect(), in_file(&old, &backend_name(service)));
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
    for (service, known) in &mut lacking {
        known.backends = before.get(&service.name).cloned();
    }
}

/// Neither its source nor this run knows servers of it; with `use_previous_backends` one is empty only before it had any.
fn lacks(service: &Service, known: &Known) -> bool {
    known.backends.as_ref().is_none_or(|backends| service.use_previous_backends && backends.is_empty())
}

/// What its section is called; other characters than HAProxy allows are `_`.
pub(super) fn backend_name(service: &Service) -> String {
    let named = service.haproxy.as_ref().and_then(|haproxy| haproxy.backend_name.as_ref());
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_:.-".contains(c);
    named.unwrap_or(&service.name).chars().map(|c| if is_allowed(c) { c } else { '_' }).collect()
}

/// The servers of a backend in the text of a file; those that are disabled were gone.
fn in_file(text: &str, backend: &str) -> Vec<Backend> {
    let mut is_inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if !line.starts_with([' ', '\t']) && !words.is_empty() {
            is_inside = words.first() == Some(&"backend") && words.get(1) == Some(&backend);
        }
        if let (true, ["server", name, address, options @ ..]) = (is_inside, words.as_slice())
            && !options.contains(&"disabled")
            && let Some((host, port)) = address.rsplit_once(':')
            && let Ok(port @ 1..) = port.parse()
        {
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let after = |keyword: &str| options.iter().skip_while(|word| **word != keyword).nth(1);
            found.push(Backend {
                name: own_name(name, &host, port),
                port,
                id: after("id").and_then(|id| id.parse().ok()),
                weight: after("weight").and_then(|weight| weight.parse().ok()),
                is_backup: options.contains(&"backup"),
                host,
                ..Backend::default()
            });
        }
    }
    found
}

/// The part of a server's name that its source gave.
pub(super) fn own_name(server: &str, host: &str, port: u16) -> String {
    let place = format!("{host}:{port}");
    if server == place {
        return String::new();
    }
    server.strip_suffix(&format!("_{place}")).unwrap_or(server).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_an_old_file_are_found_again() {
        let text = "global\n\tdaemon\n\nbackend other\n\tserver x 9.9.9.9:9\n\nbackend web\n\tbalance roundrobin\n\
            \tserver a_10.0.0.1:80 10.0.0.1:80 id 3 check weight 7\n\tserver 10.0.0.2:80 10.0.0.2:80 backup\n\
            \tserver v_fe80::1:81 [fe80::1]:81\n\tserver gone 10.0.0.3:80 disabled\n\tserver odd 10.0.0.4\n\nlisten web\n\tserver y 1.1.1.1:1\n";
        let found = in_file(text, "web");
        let seen: Vec<_> = found.iter().map(|found| (found.name.as_str(), found.host.as_str(), found.port)).collect();
        assert_eq!(seen, [("a", "10.0.0.1", 80), ("", "10.0.0.2", 80), ("v", "fe80::1", 81)]);
        assert_eq!((found[0].id, found[0].weight, found[1].is_backup), (Some(3), Some(7), true));
        assert_eq!(in_file(text, "none"), []);
    }
}
