//! What `proxy plan`, `diff` and `apply` know before they look at what is there: the settings, and what the sources of all services
//! say.
//!
//! ```text
//! --config, --synapse ─► Settings ─► each source asked until it has answered once ─► picture
//! ```
//! A service whose source does not answer ends them all: nothing is planned for servers that nobody knows.
//! Not here: the comparison with HAProxy (`lobby_proxy::haproxy`), how it is shown (`show`).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use lobby_proxy::{
    Picture, Settings,
    fetch::{BODY_BYTES, Fetch, FetchError, Request, Response},
    settings::Service,
    synapse, watcher,
};
use lobby_render::{
    command::Surroundings,
    source::{Consul, Options},
};

use crate::{
    cli::{door::Door, proxy::Source},
    failure::{say, usage},
    template::agent::Agent,
};

pub(crate) mod show;

/// What names a configuration of lobbyd, also for lobbyd itself.
const CONFIG: &str = "LOBBY_CONFIG";

/// HTTP for sources.
#[derive(Debug, Clone, Copy)]
struct Http;

impl Fetch for Http {
    async fn fetch(&self, request: Request) -> Result<Response, FetchError> {
        let Request { method, url, headers, body, unix_socket, timeout, is_insecure } = request;
        let request = lobby::fetch::Request { method, url, headers, body, unix_socket, is_insecure, timeout, most: BODY_BYTES };
        let lobby::fetch::Response { status, headers, body } = lobby::fetch::fetch(request).await.map_err(FetchError)?;
        Ok(Response { status, headers, body })
    }
}

/// What was written, with something to keep in step; what people should know of it is said.
pub(crate) fn settings(source: &Source) -> anyhow::Result<Settings> {
    if source.timeout.is_zero() {
        return Err(usage("--timeout must be more than 0".into()));
    }
    let (path, read) = match (&source.synapse, config(source)) {
        // Synapse's reader names the file itself.
        (Some(path), _) => (path.clone(), synapse::read(path).map_err(|err| usage(err.to_string()))),
        (None, path) => {
            let path = path.ok_or_else(|| usage(format!("--config or --synapse must name a file, or {CONFIG}")))?;
            let table = table(&path)?;
            let read = lobby_proxy::config::from_toml(&table).map_err(|err| usage(format!("{}: {err}", path.display())));
            (path, read)
        }
    };
    let (mut settings, warnings) = read?;
    if let Some(haproxy) = &mut settings.haproxy {
        haproxy.remember_in(|name| std::env::var_os(name));
    }
    warnings.iter().for_each(say);
    if settings.haproxy.is_none() && settings.nginx.is_none() && settings.file_output.is_none() {
        bail!("{}: nothing is configured that is kept in step", path.display());
    }
    Ok(settings)
}

/// The door to the daemon whose configuration is read; a file of Synapse does not name one.
pub(crate) fn door(source: &Source, door: &Door) -> anyhow::Result<Door> {
    match config(source).filter(|_| source.synapse.is_none()) {
        Some(path) => door.following(&whole(&path)?),
        None => Ok(door.clone()),
    }
}

/// What names a configuration of lobbyd.
fn config(source: &Source) -> Option<PathBuf> {
    let from_variable = || std::env::var_os(CONFIG).filter(|path| !path.is_empty()).map(PathBuf::from);
    source.config.clone().or_else(from_variable)
}

fn whole(path: &Path) -> anyhow::Result<toml::Table> {
    let text = std::fs::read_to_string(path).map_err(|err| usage(format!("cannot read {}: {err}", path.display())))?;
    text.parse().map_err(|err| usage(format!("{}: {err}", path.display())))
}

/// The `[proxy]` table of lobbyd's configuration.
fn table(path: &Path) -> anyhow::Result<toml::Table> {
    match whole(path)?.remove("proxy") {
        Some(toml::Value::Table(table)) => Ok(table),
        _ => Err(usage(format!("{} has no [proxy] table", path.display()))),
    }
}

/// What all sources say, once those of all services have answered.
pub(crate) async fn picture(settings: &Settings, door: &Door, within: Duration) -> anyhow::Result<Picture> {
    let variables = std::env::vars_os();
    let variables = variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let environment: BTreeMap<String, String> = variables.collect();
    let source = Consul::new(Agent::local(door)?, Options::default());
    let (mut picture, mut watching) = watcher::start(settings, Http, source, &environment);
    let is_whole = |picture: &Picture| missing(settings, picture).next().is_none();
    let answered = async {
        tokio::select! {
            answered = picture.wait_for(is_whole) => answered.map(|picture| picture.clone()).context("the watchers have ended"),
            why = watching.ended() => bail!(why),
        }
    };
    if let Ok(answered) = tokio::time::timeout(within, answered).await {
        return answered;
    }
    let picture = picture.borrow().clone();
    let silent = missing(settings, &picture).map(|(name, trouble)| match trouble {
        Some(trouble) => format!("{name} ({trouble})"),
        None => name.to_owned(),
    });
    let silent = silent.collect::<Vec<_>>().join(", ");
    bail!("no answer within {within:?} about: {silent}; nothing was done")
}

/// Services that nothing is known of though something is made of them, and why.
fn missing<'a>(settings: &'a Settings, picture: &'a Picture) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
    let services = settings.services.iter().zip(picture.iter());
    let is_used = |service: &Service| service.haproxy.is_some() || service.nginx.is_some() || service.file_output;
    let silent = services.filter(move |(service, known)| is_used(service) && known.backends.is_none());
    silent.map(|(service, known)| (service.name.as_str(), known.trouble.as_deref()))
}

/// What commands get of our environment: nothing that is a secret of lobbyd.
pub(crate) fn surroundings() -> Surroundings {
    Surroundings { set: Vec::new(), unset: lobby::secret_variables().collect(), started: None }
}

/// Whether both name one file, by whatever way.
pub(crate) fn is_same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    one == other || real(one) == real(other)
}
