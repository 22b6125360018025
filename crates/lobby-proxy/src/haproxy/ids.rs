//! What is remembered of servers: their ids, and those that are gone. Decides which id a server gets: unique in its backend,
//! and the same as before as long as it is listed or remembered.
//!
//! Not here: the file that keeps it over restarts (`statefile`); it restores and shows what is here, and drops what is old.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::Backend;

/// How many gone servers of one service are remembered: one that is rolled out anew every minute all day has 1 440.
const GONE: usize = 2048;

/// One server that is or was there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Remembered {
    /// As it was found last.
    pub backend: Backend,
    /// Its id.
    pub id: Option<u32>,
    /// When it was listed last, in seconds since 1970.
    pub seen: u64,
    /// Whether the last layout listed it; None: a state file does not say.
    pub is_listed: Option<bool>,
}

/// Servers of all services, by the service's name and the server's.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ids {
    services: BTreeMap<String, BTreeMap<String, Remembered>>,
    /// The servers that the last layout listed, by service.
    listed: BTreeMap<String, BTreeSet<String>>,
    now: u64,
}

/// A server that needs an id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) backend: &'a Backend,
    /// What its source or its options say.
    pub(crate) id: Option<u64>,
}

impl Ids {
    /// Says what time it is (seconds since 1970) and forgets what was not listed for `ttl`. What the last layout listed is
    /// there until now. To be called before each layout, and before it is saved.
    pub fn forget(&mut self, now: u64, ttl: Duration) {
        self.now = now;
        let oldest = now.saturating_sub(ttl.as_secs());
        for (service, servers) in &mut self.services {
            let listed = self.listed.get(service);
            servers.retain(|name, server| {
                if listed.is_some_and(|listed| listed.contains(name)) {
                    server.seen = now;
                }
                server.seen >= oldest
            });
        }
        self.services.retain(|_, servers| !servers.is_empty());
    }

    /// Puts one back, as a state file has it.
    pub fn restore(&mut self, service: &str, server: &str, remembered: Remembered) {
        self.services.entry(service.into()).or_default().insert(server.into(), remembered);
    }

    /// Everything, for a state file.
    pub fn services(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, Remembered>)> {
        self.services.iter().map(|(name, servers)| (name.as_str(), servers))
    }

    /// Those of a service that were there when it was known last.
    pub(crate) fn last(&self, service: &str) -> Vec<Backend> {
        let servers = || self.services.get(service).into_iter().flatten();
        let newest = servers().map(|(_, server)| server.seen).max();
        let listed = self.listed.get(service);
        // Before the first layout there is only what a state file says. Synapse's has one time for all that are there; we do
        // not go by times if we need not, as clocks are set back.
        let says_so = servers().any(|(_, server)| server.is_listed.is_some());
        let is_last = |name: &String, server: &Remembered| match listed {
            Some(listed) => listed.contains(name),
            None if says_so => server.is_listed == Some(true),
            None => Some(server.seen) == newest,
        };
        servers().filter(|(name, server)| is_last(name, server)).map(|(_, server)| server.backend.clone()).collect()
    }

    /// Services that are no longer in the settings have no servers that are there.
    pub(crate) fn keep(&mut self, services: &BTreeSet<&str>) {
        self.listed.retain(|service, _| services.contains(service.as_str()));
    }

    /// Those of a service besides `listed`.
    pub(crate) fn gone(&self, service: &str, listed: &BTreeSet<String>) -> Vec<(String, Remembered)> {
        let servers = self.services.get(service).into_iter().flatten();
        servers.filter(|(name, _)| !listed.contains(*name)).map(|(name, server)| (name.clone(), server.clone())).collect()
    }

    /// Gives each of `listed` (names are unique) its id, in the same order, and remembers them. First come those that want
    /// one, then those that had one, then the smallest that is free and not remembered; when there is none up to `max`, the
    /// longest gone server loses its own. None: HAProxy has to number it.
    pub(crate) fn assign(&mut self, service: &str, listed: &[Wanted<'_>], max: u32) -> Vec<Option<u32>> {
        let servers = self.services.entry(service.into()).or_default();
        let mut taken = BTreeSet::new();
        let mut ids = vec![None; listed.len()];
        let mut claim = |id: Option<u32>| id.filter(|id| (1..=max).contains(id) && taken.insert(*id));
        for (id, server) in ids.iter_mut().zip(listed) {
            *id = claim(server.id.and_then(|id| u32::try_from(id).ok()));
        }
        for (id, server) in ids.iter_mut().zip(listed) {
            *id = id.or_else(|| claim(servers.get(server.name).and_then(|server| server.id)));
        }
        let names: BTreeSet<_> = listed.iter().map(|server| server.name).collect();
        for (name, server) in servers.iter_mut() {
            server.is_listed = Some(names.contains(name.as_str()));
        }
        let mut gone: Vec<_> =
            servers.iter_mut().filter(|(name, _)| !names.contains(name.as_str())).map(|(_, server)| server).collect();
        gone.sort_by_key(|server| server.seen);
        for server in &mut gone {
            server.id = server.id.filter(|id| !taken.contains(id));
        }
        let reserved: BTreeSet<_> = gone.iter().filter_map(|server| server.id).collect();
        let mut free = (1..=max).filter(|id| !taken.contains(id) && !reserved.contains(id));
        let mut oldest = gone.into_iter().filter_map(|server| server.id.take_if(|id| *id <= max));
        for id in ids.iter_mut().filter(|id| id.is_none()) {
            *id = free.next().or_else(|| oldest.next());
        }
        for (id, server) in ids.iter().zip(listed) {
            let remembered = Remembered { backend: server.backend.clone(), id: *id, seen: self.now, is_listed: Some(true) };
            servers.insert(server.name.into(), remembered);
        }
        self.listed.insert(service.into(), names.iter().map(|name| (*name).to_owned()).collect());
        self.trim(service, &names);
        ids
    }

    /// Keeps the bound, and no service without servers.
    fn trim(&mut self, service: &str, listed: &BTreeSet<&str>) {
        let Some(servers) = self.services.get_mut(service) else { return };
        let mut gone: Vec<_> = servers
            .iter()
            .filter(|(name, _)| !listed.contains(name.as_str()))
            .map(|(name, server)| (server.seen, name.clone()))
            .collect();
        gone.sort_unstable();
        let n = gone.len().saturating_sub(GONE);
        for (_, name) in gone.into_iter().take(n) {
            servers.remove(&name);
        }
        if servers.is_empty() {
            self.services.remove(service);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assign(ids: &mut Ids, names: &[(&str, Option<u64>)], max: u32) -> Vec<Option<u32>> {
        let backend = Backend { host: "h".into(), port: 1, ..Default::default() };
        let listed: Vec<_> = names.iter().map(|&(name, id)| Wanted { name, backend: &backend, id }).collect();
        ids.assign("s", &listed, max)
    }

    #[test]
    fn a_name_keeps_its_id_while_it_is_remembered() {
        let mut ids = Ids::default();
        ids.forget(100, Duration::from_secs(60));
        assert_eq!(assign(&mut ids, &[("a", None), ("b", None)], 9), [Some(1), Some(2)]);
        ids.forget(110, Duration::from_secs(60));
        assert_eq!(assign(&mut ids, &[("b", None), ("c", None)], 9), [Some(2), Some(3)], "1 is remembered");
        assert_eq!(ids.last("s").len(), 2);
        assert_eq!(assign(&mut ids, &[("a", None)], 9), [Some(1)]);
        ids.forget(165, Duration::from_secs(50));
        assert_eq!(assign(&mut ids, &[("d", None)], 9), [Some(2)], "b and c are forgotten, a was there until now");
        ids.keep(&BTreeSet::new());
        ids.forget(1_000, Duration::from_secs(50));
        assert_eq!(ids.services().count(), 0, "the service is gone");
    }

    #[test]
    fn what_a_state_file_says_was_there_if_it_is_the_newest() {
        let mut ids = Ids::default();
        for (name, seen) in [("old", 100), ("new", 110), ("newer", 110)] {
            let backend = Backend { name: name.into(), ..Default::default() };
            ids.restore("s", name, Remembered { backend, id: None, seen, is_listed: None });
        }
        assert_eq!(ids.last("s").iter().map(|backend| backend.name.as_str()).collect::<Vec<_>>(), ["new", "newer"]);
        assign(&mut ids, &[("old", None)], 9);
        assert_eq!(ids.last("s").len(), 1);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_bring_servers_back() {
        let (mut ids, ttl) = (Ids::default(), Duration::from_secs(600));
        ids.forget(1_100, ttl);
        assign(&mut ids, &[("a", None), ("b", None)], 9);
        ids.forget(1_000, ttl);
        assign(&mut ids, &[("a", None)], 9);
        let mut restarted = Ids::default();
        for (name, server) in ids.services().next().unwrap().1 {
            restarted.restore(
                "s",
                name,
                Remembered { backend: Backend { name: name.clone(), ..server.backend.clone() }, ..server.clone() },
            );
        }
        assert_eq!(restarted.last("s").iter().map(|backend| backend.name.as_str()).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn what_a_source_says_comes_first_but_only_once() {
        let mut ids = Ids::default();
        assert_eq!(
            assign(&mut ids, &[("a", None), ("b", Some(1)), ("c", Some(1)), ("d", Some(0))], 9),
            [Some(2), Some(1), Some(3), Some(4)]
        );
        assert_eq!(assign(&mut ids, &[("a", None), ("e", Some(2))], 9), [Some(5), Some(2)], "taken by another");
        assert_eq!(assign(&mut Ids::default(), &[("a", Some(u64::MAX))], 9), [Some(1)]);
    }

    #[test]
    fn ids_begin_again_at_the_end() {
        let mut ids = Ids::default();
        ids.forget(1, Duration::from_secs(60));
        assign(&mut ids, &[("a", None)], 2);
        ids.forget(2, Duration::from_secs(60));
        assign(&mut ids, &[("b", None)], 2);
        ids.forget(3, Duration::from_secs(60));
        assert_eq!(assign(&mut ids, &[("c", None)], 2), [Some(1)], "that of the longest gone");
        assert_eq!(assign(&mut ids, &[("c", None), ("d", None), ("e", None)], 2), [Some(1), Some(2), None]);
    }

    #[test]
    fn few_of_the_gone_are_remembered() {
        let mut ids = Ids::default();
        for n in 0..GONE + 10 {
            assign(&mut ids, &[(&n.to_string(), None)], 65_535);
        }
        assert_eq!(ids.services().map(|(_, servers)| servers.len()).sum::<usize>(), GONE + 1);
        assert_eq!(ids.gone("s", &BTreeSet::new()).len(), GONE + 1);
    }

    #[test]
    fn a_service_with_nobody_is_not_kept() {
        let mut ids = Ids::default();
        assign(&mut ids, &[], 9);
        assert_eq!(ids.services().count(), 0);
    }
}
