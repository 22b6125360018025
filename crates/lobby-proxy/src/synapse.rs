//! Synapse's files: those of 0.11, 0.18 and a fork, to [`Settings`]. Decides what of them is taken, in which spellings, and
//! what is only warned of: keys that Synapse does not know either.
//!
//! JSON, JSON with comments, or YAML; templates (ERB) in them are refused. Not here: Lobby's own `[proxy]` (`crate::config`).

mod discovery;
mod haproxy;
mod nginx;
mod service;
#[cfg(test)]
mod tests;

use std::{fs::File, io::Read as _, path::Path};

use crate::{
    config::{
        ConfigError,
        part::SERVICES,
        place,
        section::{Notes, Section, value_error},
        text,
        tree::{Map, TEXT_BYTES, Value, once},
    },
    settings::{FileOutput, Settings},
};

/// Entries of `service_conf_dir` that are looked at: each service may have a few other files beside it.
const FOLDER_ENTRIES: usize = 4 * SERVICES;

/// One file of `service_conf_dir`.
#[derive(Debug, Clone)]
pub(crate) struct ServiceFile {
    /// Its name without the extension is that of the service.
    name: String,
    /// For errors.
    path: String,
    text: String,
}

/// Reads a file and what it names, and says what people should know about it.
pub fn read(path: &Path) -> Result<(Settings, Vec<String>), ConfigError> {
    read_for(path, false)
}

/// The same where something else may say how HAProxy is reloaded: then a `reload_command` is not needed.
pub(crate) fn read_for(path: &Path, is_reloaded: bool) -> Result<(Settings, Vec<String>), ConfigError> {
    let text = read_text(path).map_err(|err| err.within(path.display().to_string()))?;
    parse(&text, is_reloaded, read_folder).map_err(|err| err.within(path.display().to_string()))
}

/// The same of a text; `folder` brings the files of `service_conf_dir`.
fn parse(
    text: &str,
    is_reloaded: bool,
    folder: impl FnOnce(&Path) -> Result<Vec<ServiceFile>, ConfigError>,
) -> Result<(Settings, Vec<String>), ConfigError> {
    let mut warnings = Vec::new();
    let tree = text::parse(text, &mut warnings)?;
    let notes = Notes::new(false);
    warnings.into_iter().for_each(|warning| notes.warn(warning));
    let map = match tree {
        Value::Map(map) => map,
        other => return Err(value_error("the file", &other, "a map with services, and haproxy, nginx or file_output")),
    };
    let top = Section::new("", &map, &notes);
    let mut settings = Settings {
        haproxy: top.section("haproxy")?.map(|section| haproxy::read(section, is_reloaded)).transpose()?,
        nginx: top.section("nginx")?.map(nginx::read).transpose()?,
        file_output: top.section("file_output")?.map(file_output).transpose()?,
        ..Settings::default()
    };
    if settings.haproxy.is_none() && settings.nginx.is_none() && settings.file_output.is_none() {
        return Err(top.missing("haproxy", "at least one of haproxy, nginx and file_output"));
    }
    if top.get("statsd").is_some() {
        top.warn("statsd", "accepted, but nothing is sent there: counters are served by Lobby itself");
    }
    let own = top.section("services")?.map(|section| section.map.to_vec()).unwrap_or_default();
    let files = top.file("service_conf_dir")?.map(|path| folder(&path)).transpose()?.unwrap_or_default();
    let services = with_files(own, files, &notes)?;
    service::all(&Section::new("services", &services, &notes), &mut settings)?;
    if let Some(haproxy) = &settings.haproxy {
        // Synapse takes them.
        let clashes = place::clashes(haproxy, &settings.services);
        clashes.iter().for_each(|clash| notes.warn(format!("{}: {clash}, and gets some or all of the connections", clash.who)));
    }
    top.done()?;
    Ok((settings, notes.into_warnings()))
}

fn file_output(section: Section<'_>) -> Result<FileOutput, ConfigError> {
    let output_directory = section.needed("output_directory", "a folder for one JSON file a service")?.into();
    section.done()?;
    Ok(FileOutput { output_directory })
}

/// A file's service replaces the one of its name, or comes after all others.
pub(crate) fn with_files(mut services: Map, files: Vec<ServiceFile>, notes: &Notes) -> Result<Map, ConfigError> {
    let mut bytes = 0_usize;
    for file in files {
        bytes += file.text.len();
        if bytes > TEXT_BYTES {
            return Err(ConfigError::TooMuch { limit: TEXT_BYTES, what: "bytes in service_conf_dir" });
        }
        let mut warnings = Vec::new();
        let value = text::parse(&file.text, &mut warnings).map_err(|err| err.within(&file.path))?;
        if !matches!(value, Value::Map(_)) {
            return Err(value_error("the file", &value, "a map with the keys of one service").within(&file.path));
        }
        warnings.into_iter().for_each(|warning| notes.warn(format!("{}: {warning}", file.path)));
        services.push((file.name, value));
    }
    Ok(once(services))
}

pub(crate) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |cause| ConfigError::Unreadable { path: path.into(), cause };
    let mut bytes = Vec::new();
    File::open(path).map_err(unreadable)?.take(TEXT_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > TEXT_BYTES {
        return Err(ConfigError::TooMuch { limit: TEXT_BYTES, what: "bytes in the file" });
    }
    let problem = "bytes that are no text (UTF-8)";
    String::from_utf8(bytes).map_err(|err| {
        let line = err.as_bytes()[..err.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        ConfigError::Syntax { line, column: 1, problem: problem.into() }
    })
}

/// `*.json` and `*.yaml`, by name.
pub(crate) fn read_folder(folder: &Path) -> Result<Vec<ServiceFile>, ConfigError> {
    let unreadable = |cause| ConfigError::Unreadable { path: folder.into(), cause };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        if paths.len() == FOLDER_ENTRIES {
            return Err(ConfigError::TooMuch { limit: FOLDER_ENTRIES, what: "entries in service_conf_dir" });
        }
        paths.push(entry.map_err(unreadable)?.path());
    }
    paths.sort();
    let is_service = |path: &Path| path.extension().is_some_and(|end| end == "json" || end == "yaml");
    // As a shell's `*` has it.
    let is_hidden = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let mut total = 0;
    let mut files = Vec::new();
    for path in paths.into_iter().filter(|path| is_service(path) && !is_hidden(path)) {
        let text = read_text(&path).map_err(|err| err.within(path.display().to_string()))?;
        total += text.len();
        if total > TEXT_BYTES {
            return Err(ConfigError::TooMuch { limit: TEXT_BYTES, what: "bytes in service_conf_dir" });
        }
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        files.push(ServiceFile { name, path: path.display().to_string(), text });
    }
    Ok(files)
}
