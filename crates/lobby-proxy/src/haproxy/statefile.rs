//! What is remembered of servers over restarts, in the form of Synapse's state file. Decides what is read of it, what is too
//! old, and how it is written.
//!
//! ```text
//! {SERVICE: {SERVER: {"name", "host", "port", …, "timestamp": SECONDS, "haproxy_server_id": N, "listed": BOOL}, "watcher_config_for_generator": {…}}}
//! ```
//! A file that cannot be read is an empty one. Not here: which ids and lines come of it (`ids`).

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::Path,
    time::Duration,
};

use lobby_render::{
    apply::{ApplyError, Target},
    command::Surroundings,
};
use serde_json::{Map, Value, json};

use crate::Backend;

#[cfg(test)]
mod tests;

/// The longest file: 100 000 servers at some 300 bytes. A longer one is not read.
const FILE_BYTES: u64 = 32 << 20;

/// Where Synapse keeps the section of a service, among its servers.
const SECTION: &str = "watcher_config_for_generator";

/// Servers of each service, by their names in HAProxy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Saved {
    /// By service, then by server.
    pub services: BTreeMap<String, BTreeMap<String, SavedServer>>,
}

/// One server that is or was there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SavedServer {
    /// As it was found.
    pub backend: Backend,
    /// Its `id` in HAProxy.
    pub haproxy_id: Option<u32>,
    /// When it was last there, in seconds of Unix time.
    pub seen: u64,
    /// Whether it was there when this was saved; None: Synapse does not say.
    pub is_listed: Option<bool>,
}

impl Saved {
    /// Drops what was last there longer ago than `ttl`, and services of which nothing is left.
    pub fn expire(&mut self, ttl: Duration, now: u64) {
        for servers in self.services.values_mut() {
            servers.retain(|_, server| server.seen.saturating_add(ttl.as_secs()) >= now);
        }
        self.services.retain(|_, servers| !servers.is_empty());
    }

    /// From the text of a file; servers without a host and a port are left out. None: it is no such file.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let Value::Object(file) = serde_json::from_slice(text).ok()? else { return None };
        let services = file.into_iter().filter_map(|(service, servers)| {
            let Value::Object(servers) = servers else { return None };
            let servers = servers.into_iter().filter(|(name, _)| name != SECTION);
            Some((service, servers.filter_map(|(name, server)| Some((name, parse_server(&server)?))).collect()))
        });
        Some(Self { services: services.collect() })
    }

    /// The text of a file.
    pub fn print(&self) -> String {
        let servers = |servers: &BTreeMap<String, SavedServer>| {
            servers.iter().map(|(name, server)| (name.clone(), print_server(server))).collect::<Map<_, _>>()
        };
        let file: Map<_, _> = self.services.iter().map(|(name, of)| (name.clone(), servers(of).into())).collect();
        format!("{:#}\n", Value::from(file))
    }
}

fn parse_server(server: &Value) -> Option<SavedServer> {
    let text = |key: &str| server.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    // Ruby's records have numbers as texts here and there.
    let number = |key: &str| server.get(key).and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    let port = number("port").and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)?;
    let labels = server.get("labels").and_then(Value::as_object).into_iter().flatten();
    let backend = Backend {
        name: text("name"),
        host: Some(text("host")).filter(|host| !host.is_empty())?,
        port,
        id: number("id"),
        weight: number("weight").and_then(|weight| weight.try_into().ok()),
        haproxy_server_options: text("haproxy_server_options"),
        labels: labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
        is_backup: server.get("backup").and_then(Value::as_bool).unwrap_or(false),
        is_draining: false,
    };
    let haproxy_id = number("haproxy_server_id").and_then(|id| id.try_into().ok());
    // A float in files of some releases.
    let seen = server.get("timestamp").and_then(|at| at.as_u64().or_else(|| Some(at.as_f64()? as u64))).unwrap_or(0);
    Some(SavedServer { backend, haproxy_id, seen, is_listed: server.get("listed").and_then(Value::as_bool) })
}

fn print_server(server: &SavedServer) -> Value {
    let SavedServer { backend, haproxy_id, seen, is_listed } = server;
    let mut record = json!({ "name": backend.name, "host": backend.host, "port": backend.port, "timestamp": seen });
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            record[key] = value;
        }
    };
    let options = Some(&backend.haproxy_server_options).filter(|options| !options.is_empty());
    put("id", backend.id.map(Value::from));
    put("weight", backend.weight.map(Value::from));
    put("haproxy_server_options", options.map(|options| options.as_str().into()));
    put("labels", (!backend.labels.is_empty()).then(|| json!(backend.labels)));
    put("backup", backend.is_backup.then_some(Value::Bool(true)));
    put("haproxy_server_id", haproxy_id.map(Value::from));
    put("listed", is_listed.map(Value::from));
    record
}

/// Reads a file; one that is not there, or cannot be read, is empty.
pub async fn read(path: &Path, ttl: Duration, now: u64) -> Saved {
    let file = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        File::open(file)?.take(FILE_BYTES + 1).read_to_end(&mut text)?;
        let is_whole = text.len() as u64 <= FILE_BYTES;
        is_whole.then(|| Saved::parse(&text)).flatten().ok_or(io::Error::from(io::ErrorKind::InvalidData))
    });
    let mut saved = match read.await.unwrap_or_else(|err| Err(io::Error::other(err))) {
        Ok(saved) => saved,
        Err(err) if err.kind() == io::ErrorKind::NotFound => Saved::default(),
        Err(err) => {
            tracing::warn!(file = ?path, "the state file is taken for an empty one: {err}");
            Saved::default()
        }
    };
    saved.expire(ttl, now);
    saved
}

/// Writes a file, by a rename, if it is another one.
pub async fn write(path: &Path, saved: &Saved, around: &Surroundings) -> Result<(), ApplyError> {
    let target = Target::plain(path.to_owned(), None, None);
    // Nobody follows it: that it changed is told to none.
    target.apply(saved.print().into_bytes().into(), around).await.map(drop)
}
