//! What an earlier run left behind, as sources would have found it. Decides which servers of an old file were found, and which
//! came from settings.
//!
//! ```text
//! servers of the old file ─► without default servers ─► each pair once, with a label if it was swapped ─► Keeper::remember
//! ```
//! Not here: reading files (`haproxy::remembered`), what becomes of them (`Keeper`).

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    backend::Backend,
    settings::{Discovery, Service},
};

/// Where a server is, however its address is written.
pub(super) type Place = (String, u16);

pub(super) fn place(host: &str, port: u16) -> Place {
    (host.parse::<IpAddr>().map_or_else(|_| host.to_owned(), |host| host.to_string()), port)
}

/// Of the servers that an old file has, those that the agent's catalog may have told. None of a service with a leader: who was
/// the leader by which number is in no file, and one without a number would leave nobody.
pub(super) fn found(service: &Service, filed: Vec<Backend>) -> Vec<Backend> {
    if service.leader_election || !asks_agent(&service.discovery) {
        return Vec::new();
    }
    let defaults: BTreeSet<Place> = service
        .default_servers
        .iter()
        .flat_map(|server| {
            [server.port, service.backend_port_override.unwrap_or(server.port)].map(|port| place(&server.host, port))
        })
        .collect();
    let filed = filed.into_iter().filter(|server| !defaults.contains(&place(&server.host, server.port)));
    let Some(backup_port) = service.backup_port else { return filed.collect() };
    let filed: Vec<_> = filed.collect();
    let is_partner = |one: &Backend, other: &Backend| {
        (&one.host, &one.name) == (&other.host, &other.name) && one.port != other.port && other.port != backup_port
    };
    let own = filed.iter().filter(|one| one.port != backup_port || !filed.iter().any(|other| is_partner(one, other)));
    own.map(|one| {
        let mut found = Backend { is_backup: false, ..one.clone() };
        if one.is_backup {
            found.labels.insert(super::pair::label(service), backup_port.to_string());
        }
        found
    })
    .collect()
}

fn asks_agent(discovery: &Discovery) -> bool {
    match discovery {
        Discovery::Lobby(_) => true,
        Discovery::Multi(watch) => watch.watchers.values().any(asks_agent),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_one_and_what_settings_bring_was_not_found() {
        let backend = |host: &str, port, is_backup| Backend { host: host.into(), port, is_backup, ..Backend::default() };
        let filed = vec![
            backend("a", 1, false),
            backend("a", 2, true),
            backend("b", 1, true),
            backend("b", 2, false),
            backend("d", 9, true),
        ];
        let service = Service {
            name: "web".into(),
            backup_port: Some(2),
            default_servers: vec![backend("d", 9, true)],
            discovery: Discovery::Lobby(crate::settings::LobbyWatch::default()),
            ..Service::default()
        };
        let swapped = Backend { labels: [("deploy:web:primary".into(), "2".into())].into(), ..backend("b", 1, false) };
        assert_eq!(found(&service, filed.clone()), [backend("a", 1, false), swapped]);
        let leader = Service { leader_election: true, ..service.clone() };
        assert_eq!(found(&leader, filed.clone()), []);
        let elsewhere = Service { discovery: Discovery::Base, ..service };
        assert_eq!(found(&elsewhere, filed), []);
    }

    #[test]
    fn an_address_is_one_however_it_is_written() {
        assert_eq!(place("fe80:0::1", 1), place("fe80::1", 1));
        assert_ne!(place("a", 1), place("b", 1));
    }
}
