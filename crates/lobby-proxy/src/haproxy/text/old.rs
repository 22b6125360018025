//! What an old file of ours says of the servers of each service. Decides which of a line's words are the server's own, so that
//! the same line is made of it again while nobody else knows of it.
//!
//! Not here: when an old file is asked (`output::warm`).

use std::collections::BTreeSet;

use super::{
    Builder,
    document::Warnings,
    lines::{self, Facts},
    server::Place,
};
use crate::{
    Backend,
    haproxy::{version::Version, words},
    settings::{HaproxyService, Service, Settings},
};

/// What is written if a name may lack an address, unless options say something else.
const INIT_ADDR: [&str; 2] = ["init-addr", "last,libc,none"];

/// One service in an old file.
#[derive(Debug, Default)]
pub(in crate::haproxy) struct Old {
    /// Its backend in the file that the settings make.
    pub(in crate::haproxy) backend: String,
    /// What HAProxy calls each, and as it was found; those that are disabled were gone.
    pub(in crate::haproxy) servers: Vec<(String, Backend)>,
    /// Servers that lines of the settings bring.
    pub(in crate::haproxy) foreign: BTreeSet<String>,
}

/// Each service in the text of an old file, in the order of the settings; `target` reads the new one.
pub(in crate::haproxy) fn old(settings: &Settings, target: Option<Version>, text: &str) -> Vec<Old> {
    let Some(haproxy) = &settings.haproxy else { return Vec::new() };
    let builder = Builder::new(haproxy, settings, target);
    let old = |(service, backend): (&Service, &Option<String>)| match (&service.haproxy, backend) {
        (Some(stanza), Some(backend)) => builder.old(service, stanza, backend, text),
        _ => Old::default(),
    };
    settings.services.iter().zip(&builder.backend_titles).map(old).collect()
}

impl Builder<'_> {
    fn old(&self, service: &Service, stanza: &HaproxyService, backend: &str, text: &str) -> Old {
        let lines =
            lines::lines(&service.name, &stanza.backend, &stanza.listen, false, self.is_synapse, &mut Warnings::default());
        let facts = Facts::of(&lines, &self.defaults, self.is_synapse);
        let around = self.around(stanza, &facts);
        let place = self.place(service, stanza, &facts, &around);
        let servers = in_file(text, backend).filter_map(|words| place.old(words)).collect();
        Old { backend: backend.to_owned(), servers, foreign: facts.foreign.into_keys().collect() }
    }
}

/// The words after `server` of each such line of a backend.
fn in_file<'a>(text: &'a str, backend: &'a str) -> impl Iterator<Item = Vec<String>> + 'a {
    let mut is_inside = false;
    text.lines().filter_map(move |line| {
        let mut words = words::split(line);
        if !line.starts_with([' ', '\t']) && !words.is_empty() {
            is_inside = words[0] == "backend" && words.get(1).is_some_and(|name| name == backend);
        }
        let is_server = is_inside && words.first().is_some_and(|word| word == "server");
        is_server.then(|| words.split_off(1))
    })
}

impl Place<'_> {
    /// None: it is none of those that were found, or it was gone.
    fn old(&self, mut words: Vec<String>) -> Option<(String, Backend)> {
        let mut options = words.split_off(words.len().min(2));
        let [name, address] = words.try_into().ok()?;
        let (host, port) = address.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let mut take = |key| words::take(&mut options, key);
        if self.facts.foreign.contains_key(&name) || !take("disabled").is_empty() {
            return None;
        }
        let (id, is_backup, cookie, weight) =
            (take("id"), !take("backup").is_empty(), take("cookie").pop(), take("weight").pop());
        let mut backend = Backend { name: own_name(&name, &host, port), host, port, is_backup, ..Backend::default() };
        backend.id = id.last().and_then(|id| id.parse().ok());
        if options.ends_with(&INIT_ADDR.map(str::to_owned)) {
            options.truncate(options.len() - INIT_ADDR.len());
        }
        let [mut settings, _] = self.options(&backend).map(|text| words::split(&text));
        let mut said = |key| words::take(&mut settings, key).pop();
        let (_, _, _, _) = (said("id"), said("backup"), said("enabled"), said("disabled"));
        let (said_cookie, said_weight) = (said("cookie"), said("weight"));
        let mut own = without(options, &settings);
        own.extend(
            cookie
                .filter(|cookie| Some(cookie) != said_cookie.as_ref() && *cookie != self.cookie(&name))
                .map(|cookie| format!("cookie {cookie}")),
        );
        let weight = weight.filter(|weight| Some(weight) != said_weight.as_ref());
        match self.haproxy.use_nerve_weights {
            true => backend.weight = weight.and_then(|weight| weight.parse().ok()),
            false => own.extend(weight.map(|weight| format!("weight {weight}"))),
        }
        backend.haproxy_server_options = own.join(" ").replace('%', "%%");
        if self.entry(&backend).is_err() {
            // Of settings that are no more: with them it would be left out.
            backend.haproxy_server_options = String::new();
        }
        Some((name, backend))
    }
}

/// The words that are not those of the settings, which come first; of other settings, those that say something else.
fn without(mut words: Vec<String>, settings: &[String]) -> Vec<String> {
    if words.starts_with(settings) {
        return words.split_off(settings.len());
    }
    for key in settings {
        words::take(&mut words, key);
    }
    words
}

/// The part of a server's name that its source gave.
pub(in crate::haproxy) fn own_name(server: &str, host: &str, port: u16) -> String {
    let place = format!("{host}:{port}");
    if server == place {
        return String::new();
    }
    server.strip_suffix(&format!("_{place}")).unwrap_or(server).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::Known,
        haproxy::{ids::Ids, text::layout},
        settings::{Bind, Compat, Haproxy},
    };

    fn settings(server_options: &str) -> Settings {
        let lines = ["server x 9.9.9.9:9 check", "cookie S insert", "mode http"].map(str::to_owned).to_vec();
        let stanza = |name: &str| HaproxyService {
            bind: Bind::Port(1),
            backend: lines.clone(),
            server_options: server_options.into(),
            backend_name: Some(name.into()),
            ..HaproxyService::default()
        };
        let service = |name: &str| Service { name: name.into(), haproxy: Some(stanza("web")), ..Service::default() };
        Settings {
            services: vec![service("a"), service("b")],
            haproxy: Some(Haproxy { use_nerve_weights: true, ..Haproxy::default() }),
            ..Settings::default()
        }
    }

    fn backend(name: &str, host: &str, port: u16, options: &str) -> Backend {
        Backend { name: name.into(), host: host.into(), port, haproxy_server_options: options.into(), ..Backend::default() }
    }

    fn known(backends: &[Backend]) -> Known {
        Known { backends: Some(backends.into()), ..Known::default() }
    }

    fn backends(old: Old) -> Vec<Backend> {
        old.servers.into_iter().map(|(_, backend)| backend).collect()
    }

    #[test]
    fn what_is_made_of_an_old_file_is_that_file() {
        let picture = [
            known(&[
                Backend { weight: Some(7), ..backend("w", "10.0.0.1", 80, "check inter 2s fall 2 maxconn 50 send-proxy") },
                Backend { is_backup: true, ..backend("", "fe80::1", 81, "inter 1s cookie own") },
                backend("n", "host.example", 82, "maxconn 5"),
                Backend { is_draining: true, ..backend("d", "10.0.0.4", 80, "") },
            ]),
            known(&[backend("o", "10.0.0.5", 80, "check-sni 5%%{port} slowstart 5s")]),
        ];
        for (compat, options) in [
            (Compat::Lobby, "check inter 5s"),
            (Compat::Lobby, ""),
            (Compat::Lobby, "check weight 3 backup"),
            (Compat::Synapse, "check inter 5s"),
        ] {
            for weights in [true, false] {
                let mut settings = Settings { compat, ..settings(options) };
                settings.haproxy.as_mut().unwrap().use_nerve_weights = weights;
                let (target, text) = (Some(Version::new(2, 6)), |picture: &[Known]| {
                    layout(&settings, picture, Some(Version::new(2, 6)), &mut Ids::default()).text
                });
                let first = text(&picture);
                let again: Vec<_> = old(&settings, target, &first).into_iter().map(|old| known(&backends(old))).collect();
                assert_eq!(text(&again), first, "{options}");
            }
        }
    }

    #[test]
    fn words_of_other_settings_are_not_a_server_s_own() {
        let picture = [known(&[backend("w", "10.0.0.1", 80, "maxconn 50")])];
        let first = |options| layout(&settings(options), &picture, None, &mut Ids::default()).text;
        let own = |old_options, options| {
            let old = old(&settings(options), None, &first(old_options)).remove(0);
            assert_eq!(old.servers.len(), 1, "the settings' own one is none");
            old.servers[0].1.haproxy_server_options.clone()
        };
        assert_eq!(own("check inter 2s", "check inter 5s"), "maxconn 50");
        assert_eq!(own("check inter 2s", ""), "check inter 2s maxconn 50", "nobody can tell");
        assert_eq!(own("ssl ca-file /x", ""), "", "it would be left out with them");
    }

    #[test]
    fn servers_of_an_old_file_are_found_again() {
        let text = "global\n\tdaemon\n\nbackend other\n\tserver x 9.9.9.9:9\n\nbackend web\n\tbalance roundrobin\n\
            \tserver a_10.0.0.1:80 10.0.0.1:80 id 3 check weight 7\n\tserver 10.0.0.2:80 10.0.0.2:80 backup\n\
            \tserver v_fe80::1:81 [fe80::1]:81\n\tserver gone 10.0.0.3:80 disabled\n\tserver odd 10.0.0.4\n\tserver\n\nlisten web\n\tserver y 1.1.1.1:1\n";
        let found = old(&settings(""), None, text);
        assert_eq!([&found[0].backend, &found[1].backend], ["web", "web-2"], "each its own");
        assert!(found[1].servers.is_empty());
        let found = backends(found.into_iter().next().unwrap());
        let seen: Vec<_> = found.iter().map(|found| (found.name.as_str(), found.host.as_str(), found.port)).collect();
        assert_eq!(seen, [("a", "10.0.0.1", 80), ("", "10.0.0.2", 80), ("v", "fe80::1", 81)]);
        assert_eq!((found[0].id, found[0].weight, found[1].is_backup), (Some(3), Some(7), true));
    }
}
