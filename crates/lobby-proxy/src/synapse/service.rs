//! One service of Synapse: everything under `services.NAME` but how its backends are found (`discovery`).

use super::{discovery, haproxy, nginx};
use crate::{
    config::{
        ConfigError,
        part::{self, SERVICES, backends},
        section::Section,
        tree::{Cost, cost},
    },
    settings::{LabelFilter, Service, Settings},
};

/// All of them, in order.
pub(super) fn all(section: &Section<'_>, settings: &mut Settings) -> Result<(), ConfigError> {
    let too_many = || ConfigError::TooMuch { limit: SERVICES, what: "services, with their clones" };
    if section.map.len() > SERVICES {
        return Err(too_many());
    }
    let mut copies = Cost::default();
    for (name, value) in section.map {
        let path = section.path_of(name);
        part::service_name(&path, name)?;
        let section = Section::of(path, value, section.notes)?;
        let service = one(&section, name, settings)?;
        let clones = section.whole("load_test_concurrency", 1..=SERVICES as u64)?;
        section.done()?;
        if settings.services.len() + clones.unwrap_or(1) as usize > SERVICES {
            return Err(too_many());
        }
        match clones {
            None => settings.services.push(service),
            Some(clones) => {
                copies.add(cost(value).saturating_mul(clones as usize))?;
                let clone = |number| Service { name: format!("{name}_{number}"), ..service.clone() };
                settings.services.extend((0..clones).map(clone));
            }
        }
    }
    let mut names: Vec<_> = settings.services.iter().map(|service| service.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let why = "a clone of load_test_concurrency has the name of another service".into();
        return Err(ConfigError::Text { key: section.path_of(pair[0]), found: "there twice".into(), why });
    }
    Ok(())
}

fn one(section: &Section<'_>, name: &str, settings: &mut Settings) -> Result<Service, ConfigError> {
    let haproxy = inner(section, "haproxy", haproxy::of_service)?;
    let nginx = inner(section, "nginx", nginx::of_service)?;
    let is_disabled = inner(section, "file_output", |section| {
        let is_disabled = section.flag("disabled", false)?;
        section.done().map(|()| is_disabled)
    })?;
    if let (true, Some(all)) = (haproxy.has_weights, &mut settings.haproxy) {
        if !all.use_nerve_weights {
            section.warn("haproxy.use_nerve_weights", "counts for every service");
        }
        all.use_nerve_weights = true;
    }
    // The older spelling counts while the newer one is not there.
    let port_override = section.port("backend_port_override")?.or(haproxy.port_override);
    if haproxy.backup_port.is_some() && haproxy.backup_port == port_override {
        let accepted = "another port than that of the service itself".into();
        let found = port_override.unwrap_or_default().to_string();
        return Err(ConfigError::Value { key: section.path_of("haproxy.server_backup_port"), found, accepted });
    }
    let found = discovery::of_service(section, name, port_override)?;
    let mut label_filters: Vec<LabelFilter> = found.label_filters;
    label_filters.dedup();
    Ok(Service {
        name: name.to_owned(),
        discovery: found.discovery,
        default_servers: backends(section, "default_servers", port_override)?,
        keep_default_servers: section.flag("keep_default_servers", false)?,
        use_previous_backends: section.flag("use_previous_backends", true)?,
        backend_port_override: port_override,
        backup_port: haproxy.backup_port,
        leader_election: section.flag("leader_election", false)?,
        label_filters,
        haproxy: haproxy.service.filter(|_| settings.haproxy.is_some()),
        nginx: nginx.filter(|_| settings.nginx.is_some()),
        file_output: settings.file_output.is_some() && !is_disabled,
    })
}

/// What a generator's section says; one that is absent is an empty one, for Synapse has every service in every generator.
fn inner<T>(
    section: &Section<'_>,
    key: &'static str,
    read: impl FnOnce(Section<'_>) -> Result<T, ConfigError>,
) -> Result<T, ConfigError> {
    read(section.section(key)?.unwrap_or_else(|| Section::new(section.path_of(key), &[], section.notes)))
}
