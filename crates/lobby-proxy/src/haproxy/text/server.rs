//! Backends as servers of HAProxy. Decides which of them can be written at all, what each is called, and what its line says.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    super::{
        Server,
        ids::{Ids, Wanted},
        name, order,
        version::Version,
        words,
    },
    document::{Warnings, clean, shown},
    lines::Facts,
};
use crate::{
    Backend,
    settings::{Cookie, Haproxy, HaproxyService, Service},
};

/// Where servers stand.
pub(super) struct Place<'a> {
    pub(super) haproxy: &'a Haproxy,
    pub(super) service: &'a Service,
    pub(super) stanza: &'a HaproxyService,
    pub(super) facts: &'a Facts,
    /// The settings' words for the same servers, wherever they stand.
    pub(super) around: &'a str,
    pub(super) is_synapse: bool,
    /// The HAProxy that reads the lines.
    pub(super) target: Option<Version>,
}

/// A backend that can be written.
pub(super) struct Entry {
    name: String,
    backend: Backend,
    /// Of the settings, then of the catalog; templates are filled.
    options: [String; 2],
    id: Option<u32>,
    is_gone: bool,
}

/// The servers of a backend with their lines, in order.
pub(super) fn servers(
    place: &Place<'_>,
    backends: Option<&[Backend]>,
    ids: &mut Ids,
    warnings: &mut Warnings,
) -> Vec<(Server, String)> {
    let backends = match backends {
        Some(backends) => Cow::Borrowed(backends),
        None => match ids.last(&place.service.name) {
            last if last.is_empty() => Cow::Borrowed(place.service.default_servers.as_slice()),
            last => Cow::Owned(last),
        },
    };
    let mut entries = place.entries(&backends, warnings);
    place.number(&mut entries, ids, warnings);
    // Ours are deleted at run time; Synapse only disables them, and keeps their lines over reloads.
    if place.is_synapse && place.haproxy.state_file_path.is_some() {
        place.add_gone(&mut entries, ids);
    }
    let seed = place.haproxy.server_order_seed.unwrap_or_default();
    order::sort(&mut entries, place.stanza.backend_order, seed, |entry| &entry.name);
    entries.iter().map(|entry| place.server(entry, warnings)).collect()
}

impl Place<'_> {
    /// What can be written, each under its own name.
    fn entries(&self, backends: &[Backend], warnings: &mut Warnings) -> Vec<Entry> {
        let mut places = BTreeMap::new();
        let mut entries = Vec::new();
        for backend in backends {
            let mut left_out = |why: &str| {
                let place = format!("{} at {}:{}", shown(&backend.name), shown(&backend.host), backend.port);
                warnings.push(format!("service {}: backend {place} left out: {why}", shown(&self.service.name)));
            };
            let mut entry = match self.entry(backend) {
                Ok(entry) => entry,
                Err(why) => {
                    left_out(&why);
                    continue;
                }
            };
            let end = (backend.host.as_str(), backend.port);
            // The same name for another place: a name and a host can be cut apart in two ways. Or the settings have it.
            let is_foreign = self.facts.foreign.contains_key(&entry.name);
            if is_foreign || places.get(&entry.name).is_some_and(|other| *other != end) {
                entry.name = name::distinct(&entry.name, backend);
            }
            if places.insert(entry.name.clone(), end).is_some() {
                left_out("another has its name and place");
                continue;
            }
            entries.push(entry);
        }
        entries
    }

    /// Of the settings, then its own; templates are filled.
    pub(super) fn options(&self, backend: &Backend) -> [String; 2] {
        let fill = |text: &str| words::fill(&clean(text), &backend.host, backend.port, &name::own(backend));
        [fill(&self.stanza.server_options), fill(&backend.haproxy_server_options)]
    }

    pub(super) fn entry(&self, backend: &Backend) -> Result<Entry, String> {
        if backend.port == 0 || !name::is_host(&backend.host) {
            return Err("it has no address that HAProxy could use".into());
        }
        if backend.haproxy_server_options.contains(char::is_control) {
            return Err("its options hold a sign that is not allowed there".into());
        }
        let options = self.options(backend);
        // Synapse writes what it is told.
        let around = words::Around { words: self.around, target: self.target };
        words::check(&options[1], Some(around).filter(|_| !self.is_synapse))?;
        Ok(Entry { name: name::server(backend), backend: backend.clone(), options, id: None, is_gone: false })
    }

    /// Ids, and no other ones in options.
    fn number(&self, entries: &mut [Entry], ids: &mut Ids, warnings: &mut Warnings) {
        let wanted: Vec<_> = entries.iter().map(|entry| entry.option("id").and_then(|id| id.parse().ok())).collect();
        let listed: Vec<_> = std::iter::zip(&*entries, &wanted)
            .map(|(entry, id)| Wanted { name: &entry.name, backend: &entry.backend, id: id.or(entry.backend.id) })
            .collect();
        let assigned = ids.assign(&self.service.name, &listed, self.haproxy.max_server_id);
        for ((entry, wanted), id) in std::iter::zip(&mut *entries, wanted).zip(assigned) {
            // A server of the settings has it: HAProxy finds another one.
            let id = id.filter(|id| !self.facts.foreign.values().any(|foreign| *foreign == Some(*id)));
            entry.id = id;
            let said = wanted.or(entry.backend.id);
            if said.is_some_and(|said| id.map(u64::from) != Some(said)) {
                let (service, name) = (shown(&self.service.name), &entry.name);
                warnings.push(format!("service {service}: server {name} cannot have the id {}", said.unwrap_or_default()));
            }
        }
    }

    /// What is remembered and not there, as lines for a fast return.
    fn add_gone(&self, entries: &mut Vec<Entry>, ids: &Ids) {
        let foreign = &self.facts.foreign;
        let mut names: BTreeSet<_> = entries.iter().map(|entry| &entry.name).chain(foreign.keys()).cloned().collect();
        let mut taken: BTreeSet<_> = entries.iter().map(|entry| entry.id).chain(foreign.values().copied()).flatten().collect();
        for (_, remembered) in ids.gone(&self.service.name, &names) {
            // A state file may hold anything.
            let Ok(mut entry) = self.entry(&remembered.backend) else { continue };
            if names.insert(entry.name.clone()) {
                let is_free = |id: &u32| (1..=self.haproxy.max_server_id).contains(id) && taken.insert(*id);
                entry.id = remembered.id.filter(is_free);
                entry.is_gone = true;
                entries.push(entry);
            }
        }
    }

    fn server(&self, entry: &Entry, warnings: &mut Warnings) -> (Server, String) {
        let mut words = entry.options.iter().flat_map(|text| words::split(text)).collect();
        let mut take = |key| words::take(&mut words, key);
        take("id");
        take("enabled");
        let (is_backup, is_disabled) = (!take("backup").is_empty(), !take("disabled").is_empty());
        let (cookies, weights) = (take("cookie"), take("weight"));
        let cookie = cookies.into_iter().next_back().unwrap_or_else(|| self.cookie(&entry.name));
        let own = entry.backend.weight.filter(|_| self.haproxy.use_nerve_weights);
        let mut weight = own.or_else(|| weights.last().map(|weight| weight.parse().unwrap_or(u32::MAX)));
        if let Some(weight) = weight.as_mut().filter(|weight| **weight > words::HEAVIEST) {
            let (service, name) = (shown(&self.service.name), &entry.name);
            warnings.push(format!("service {service}: server {name} has the weight {}, which is more than 256", *weight));
            *weight = words::HEAVIEST;
        }
        let server = Server {
            name: entry.name.clone(),
            host: entry.backend.host.clone(),
            port: entry.backend.port,
            id: entry.id,
            cookie: Some(cookie).filter(|_| self.facts.has_cookies),
            options: words.join(" "),
            weight,
            is_backup: is_backup || entry.backend.is_backup,
            is_draining: entry.backend.is_draining,
            is_disabled: is_disabled || entry.is_gone,
        };
        let line = if self.is_synapse { self.synapse_line(entry, &server) } else { self.line(&server) };
        (server, line)
    }

    pub(super) fn cookie(&self, name: &str) -> String {
        match self.stanza.cookie_value_method {
            Cookie::Name => name.to_owned(),
            Cookie::Hash => name::hash(name),
        }
    }

    fn line(&self, server: &Server) -> String {
        let mut line = head(server);
        let mut push = |word: &str| line.extend([" ", word]);
        if let Some(id) = server.id {
            push(&format!("id {id}"));
        }
        if let Some(cookie) = &server.cookie {
            push(&format!("cookie {cookie}"));
        }
        if !server.options.is_empty() {
            push(&server.options);
        }
        let says_so =
            [&server.options, &self.facts.server_defaults].iter().any(|text| text.split(' ').any(|word| word == "init-addr"));
        if self.target.is_some_and(Version::has_init_addr) && !says_so && server.host.parse::<IpAddr>().is_err() {
            // A name that does not resolve is no reason to refuse the file.
            push("init-addr last,libc,none");
        }
        if let Some(weight) = written_weight(server) {
            push(&format!("weight {weight}"));
        }
        if server.is_backup {
            push("backup");
        }
        if server.is_disabled {
            push("disabled");
        }
        line
    }

    /// The words in the order and with the blanks of Synapse 0.18.9.
    fn synapse_line(&self, entry: &Entry, server: &Server) -> String {
        let own_weight = entry.backend.weight.filter(|_| self.haproxy.use_nerve_weights).is_some();
        let has_own_id = server.id.is_some_and(|id| entry.option("id") == Some(id.to_string()));
        let mut line = head(server);
        if let Some(id) = server.id.filter(|_| !has_own_id) {
            line += &format!(" id {id}");
        }
        if self.facts.writes_cookies {
            line += &format!(" cookie {}", self.cookie(&server.name));
        }
        for (idx, text) in entry.options.iter().enumerate() {
            let mut words = words::split(text);
            let is_changed = (own_weight && !words::take(&mut words, "weight").is_empty())
                | (!has_own_id && !words::take(&mut words, "id").is_empty())
                | text.contains('#');
            // Empty options of the settings leave a blank, those of a catalog are not there.
            if idx == 0 || !text.is_empty() {
                line.push(' ');
                line += &if is_changed || own_weight { words.join(" ") } else { text.clone() };
            }
        }
        if server.is_backup && !entry.options.iter().any(|text| words::split(text).iter().any(|word| word == "backup")) {
            line = format!("{} backup", line.trim_end());
        }
        if let Some(weight) = written_weight(server).filter(|_| own_weight || server.is_draining) {
            line = format!("{} weight {weight}", line.trim_end());
        }
        if entry.is_gone {
            line += " disabled";
        }
        line
    }
}

impl Entry {
    /// The value of a word of its options that holds: the last.
    fn option(&self, key: &str) -> Option<String> {
        let mut words = self.options.iter().flat_map(|text| words::split(text)).collect();
        words::take(&mut words, key).pop()
    }
}

fn head(server: &Server) -> String {
    format!("server {} {}", server.name, name::address(&server.host, server.port))
}

/// HAProxy's file has no word for draining; a server without weight takes nothing new either.
fn written_weight(server: &Server) -> Option<u32> {
    if server.is_draining { Some(0) } else { server.weight }
}
