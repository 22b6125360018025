//! Lobby's own `[proxy]`: from lobbyd's TOML to [`Settings`]. Decides its keys and their defaults, such that six lines are a
//! proxy that serves. Unknown keys are errors that name the nearest known one.
//!
//! ```toml
//! [proxy.haproxy]
//! config = "/run/lobby/haproxy.cfg"
//! manage = true
//! [proxy.service.web]
//! port = 8080
//! ```
//! ```text
//! toml::Table ─────────────┐
//! JSON, YAML (`text`) ─────┴─► tree ─► Section (typed, notes what it was asked for) ─► Settings
//! ```
//! Not here: Synapse's keys (`crate::synapse`), which uses the same parts.

pub(crate) mod discovery;
pub mod error;
pub(crate) mod haproxy;
pub(crate) mod nginx;
pub(crate) mod part;
pub(crate) mod place;
pub(crate) mod section;
mod service;
#[cfg(test)]
mod tests;
pub(crate) mod text;
pub(crate) mod tree;

pub use self::error::ConfigError;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use self::{
    error::quoted,
    place::{Clash, Who},
    section::{Notes, Section},
};
use crate::settings::{Bind, Compat, FileOutput, Guard, Service, Settings};

/// The `[proxy]` table: what to do, and what people should know about it. Reads one file, if `synapse` names it.
pub fn from_toml(table: &toml::Table) -> Result<(Settings, Vec<String>), ConfigError> {
    let (settings, mut warnings) = read(table)?;
    let managed = settings.haproxy.as_ref().filter(|haproxy| haproxy.manage).and_then(|haproxy| haproxy.program.as_deref());
    if let Some(program) = managed.filter(|program| !is_there(program, std::env::var_os("PATH").as_deref())) {
        // It may be installed later.
        warnings.push(format!("proxy.haproxy.program: {} is not there: nothing is started until it is", program.display()));
    }
    Ok((settings, warnings))
}

/// Whether a program is where it says, or in one of the folders of PATH, or of that of root: who reads the file need not be who
/// runs the program.
fn is_there(program: &Path, path: Option<&OsStr>) -> bool {
    if program.is_absolute() {
        return program.is_file();
    }
    let of_root = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    path.into_iter().flat_map(std::env::split_paths).chain(of_root).any(|folder| folder.join(program).is_file())
}

/// The same, whatever is installed on this machine.
fn read(table: &toml::Table) -> Result<(Settings, Vec<String>), ConfigError> {
    let notes = Notes::new(true);
    let map = tree::map_of(table);
    let proxy = Section::new("proxy", &map, &notes);
    let mut settings = match proxy.file("synapse")? {
        None => own(&proxy)?,
        Some(path) => {
            if let Some(key) = ["service", "nginx", "files"].into_iter().find(|key| proxy.raw(key).is_some()) {
                return Err(proxy.refuse(key, "nothing beside `synapse`, whose file stands for it"));
            }
            let beside = proxy.section("haproxy")?;
            let (mut settings, warnings) = crate::synapse::read_for(&path, beside.as_ref().is_some_and(haproxy::is_reloaded))?;
            warnings.into_iter().for_each(|warning| notes.warn(format!("{}: {warning}", path.display())));
            if let Some(section) = beside {
                let place = settings.haproxy.as_mut();
                let place =
                    place.ok_or_else(|| proxy.refuse("haproxy", "nothing, for the Synapse file has no haproxy section"))?;
                haproxy::runtime(&section, place)?;
                if place.manage && place.reload_command.take().is_some() {
                    section.warn(
                        "manage",
                        "reload_command of the Synapse file is not used: a managed HAProxy is reloaded by its master",
                    );
                }
                section.done()?;
            }
            settings
        }
    };
    settings.nerve = proxy.file("nerve")?;
    settings.guard = guard(&proxy)?;
    let compat = proxy.choice("compat", &[("lobby", Compat::Lobby), ("synapse", Compat::Synapse)])?;
    settings.compat = compat.unwrap_or_default();
    proxy.done()?;
    Ok((settings, notes.into_warnings()))
}

/// Everything but what goes with a Synapse file as well.
fn own(proxy: &Section<'_>) -> Result<Settings, ConfigError> {
    let mut settings = Settings {
        haproxy: proxy.section("haproxy")?.map(haproxy::read).transpose()?,
        nginx: proxy.section("nginx")?.map(nginx::read).transpose()?,
        file_output: proxy.section("files")?.map(files).transpose()?,
        ..Settings::default()
    };
    if let Some(services) = proxy.section("service")? {
        let is_anywhere = settings.haproxy.is_some() || settings.nginx.is_some() || settings.file_output.is_some();
        if !is_anywhere && !services.map.is_empty() {
            return Err(proxy.missing("haproxy", "at least one of [proxy.haproxy], [proxy.nginx] and [proxy.files]"));
        }
        settings.services = service::all(&services, &settings)?;
    }
    if let Some(haproxy) = &settings.haproxy
        && let Some(clash) = place::clashes(haproxy, &settings.services).first()
    {
        return Err(taken(proxy, clash, &settings.services));
    }
    redispatches(proxy, &settings);
    Ok(settings)
}

/// Two that listen at one address: the kernel would give each of them some of the connections.
fn taken(proxy: &Section<'_>, clash: &Clash<'_>, services: &[Service]) -> ConfigError {
    let (key, found) = match clash.who {
        Who::Stats => ("haproxy.global".to_owned(), quoted(&clash.address)),
        Who::Extra(title) => ("haproxy.extra".to_owned(), quoted(title)),
        Who::Shared => ("haproxy.shared_frontend".to_owned(), quoted(&clash.address)),
        Who::Service(name) => {
            let stanza = services.iter().find(|service| service.name == name).and_then(|service| service.haproxy.as_ref());
            let bind = stanza.map(|stanza| (stanza.bind, stanza.bind_address.as_deref()));
            let (key, found) = match bind {
                Some((Bind::Port(port), _)) if clash.address.ends_with(&format!(":{port}")) => ("port", port.to_string()),
                Some((Bind::Address, Some(address))) if address.contains(&clash.address) => ("bind", quoted(address)),
                _ => ("frontend", quoted(&clash.address)),
            };
            (format!("service.{name}.{key}"), found)
        }
    };
    ConfigError::Text { key: proxy.path_of(&key), found, why: clash.to_string() }
}

/// Without it, a client whose server was killed waits for all retries at that one, some seconds, and gets a 503.
fn redispatches(proxy: &Section<'_>, settings: &Settings) {
    let does = |lines: &[String]| lines.iter().any(|line| line.trim_start().starts_with("option redispatch"));
    let Some(haproxy) = settings.haproxy.as_ref().filter(|haproxy| !does(&haproxy.defaults)) else { return };
    let mut services =
        settings.services.iter().filter_map(|service| service.haproxy.as_ref().map(|lines| (&service.name, lines)));
    if !haproxy.defaults.is_empty()
        && let Some((name, _)) = services.find(|(_, lines)| !does(&lines.listen) && !does(&lines.backend))
    {
        let what = "no `option redispatch`, nor in the lines of";
        proxy.warn(
            "haproxy.defaults",
            &format!("{what} {name}: after a server is killed, its clients wait seconds and get a 503"),
        );
    }
}

fn files(section: Section<'_>) -> Result<FileOutput, ConfigError> {
    let accepted = "a folder for one JSON file a service";
    let output_directory = section.absolute("directory")?.ok_or_else(|| section.missing("directory", accepted))?;
    section.done()?;
    Ok(FileOutput { output_directory })
}

fn guard(proxy: &Section<'_>) -> Result<Guard, ConfigError> {
    const ACCEPTED: &str = "a share such as \"50%\", 0% to 100%";
    let text = match proxy.get("max_lost") {
        None => return Ok(Guard::default()),
        Some(tree::Value::Text(text)) => text,
        Some(_) => return Err(proxy.refuse("max_lost", ACCEPTED)),
    };
    let percent = text.trim().strip_suffix('%').and_then(|number| number.trim().parse().ok()).filter(|percent| *percent <= 100);
    Ok(Guard { percent: percent.ok_or_else(|| proxy.refuse("max_lost", ACCEPTED))?, ..Guard::default() })
}
