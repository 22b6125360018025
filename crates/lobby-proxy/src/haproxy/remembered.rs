//! The servers that an earlier run left in HAProxy's file, or in the state file if no file is kept. Nothing at all if neither
//! can be read: then nobody knows better than the sources.

use std::fs;

use super::{statefile::Saved, text::old::old};
use crate::{Backend, Settings};

/// Of each service, in the order of the settings. Those that were gone already are not among them.
pub(crate) fn remembered(settings: &Settings) -> Vec<Vec<Backend>> {
    let Some(haproxy) = &settings.haproxy else { return Vec::new() };
    if let Some(text) = haproxy.config_file_path.as_ref().and_then(|path| fs::read(path).ok()) {
        let olds = old(settings, None, &String::from_utf8_lossy(&text));
        return olds.into_iter().map(|old| old.servers.into_iter().map(|(_, backend)| backend).collect()).collect();
    }
    let saved = haproxy.state_file_path.as_ref().and_then(|path| Saved::parse(&fs::read(path).ok()?)).unwrap_or_default();
    let of = |service: &crate::settings::Service| {
        let servers = saved.services.get(&service.name)?;
        let listed = servers.values().filter(|server| server.is_listed != Some(false));
        let newest = listed.clone().map(|server| server.seen).max()?;
        Some(listed.filter(|server| server.seen == newest).map(|server| server.backend.clone()).collect())
    };
    settings.services.iter().map(|service| of(service).unwrap_or_default()).collect()
}
