//! One JSON file a service, for programs that read where others are. Decides what stands in it, when it is written, and
//! which files are removed.
//!
//! ```text
//! picture │ tick │ stop ─► each service that answered: records differ from those in DIR/SERVICE.json? ─► one rename
//!                       └─► files of the list whose service is gone are removed; others' files are left alone
//! ```
//! The form is Synapse's: an array of records with the fields that are set. What was written differently but says the same
//! stays. A service that has not answered keeps its old file.
//! Not here: where backends come from (`watcher`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lobby_core::stats::{ProxyCounts, ProxyOutput};
use lobby_render::{
    apply::{Outcome, Target},
    command::Surroundings,
    manifest::Manifest,
};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::sleep};

use crate::{
    Backend, Picture, Settings,
    backend::Known,
    change::Change,
    settings::Service,
    shared::{Output, Shared},
};

#[cfg(test)]
mod tests;

/// Files that somebody changed or removed are there again within this.
const REPAIR: Duration = Duration::from_secs(5);

/// Changes come in bursts: what comes within this is one change.
const GATHER: Duration = Duration::from_millis(20);

/// An old file above this is none of ours (100 000 records are about 10 MiB): it is replaced without being read.
const OLD_BYTES: u64 = 32 << 20;

/// Of a service's name: with `.json` and what is put around it while a file is replaced, below the 255 of a file name.
const NAME_BYTES: usize = 200;

/// Which files are ours. It is no `*.json`, so that readers of the folder do not take it.
const LIST: &str = ".lobby.files";

/// Shared between the task and whoever shows it.
pub type Stats = Shared<Status>;

/// The files at one moment; counters are since the first task of this program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// All files of services that answered are as they should be.
    pub is_in_step: bool,
    /// Services whose source has not answered yet.
    pub unanswered: Vec<String>,
    /// Files put in place.
    pub writes: u64,
    /// Files that could not be written or removed, each time it was tried.
    pub writes_failed: u64,
    /// Files of services that are gone.
    pub removed: u64,
    /// What went wrong last, for people; None once all is in step.
    pub last_error: Option<String>,
}

impl Status {
    /// Adds its numbers to those of the whole proxy, for metrics.
    pub fn count(&self, counts: &mut ProxyCounts) {
        let output = ProxyOutput {
            is_in_step: self.is_in_step && self.unanswered.is_empty(),
            writes: self.writes,
            writes_failed: self.writes_failed,
            ..ProxyOutput::default()
        };
        counts.outputs.push(("files", output));
    }
}

impl Output for Status {
    const NAME: &'static str = "file_output";

    fn last_error(&mut self) -> &mut Option<String> {
        &mut self.last_error
    }

    fn counted(&self) -> Self {
        Self { is_in_step: false, unanswered: Vec::new(), last_error: None, ..self.clone() }
    }
}

fn note(stats: &Stats, unanswered: Vec<String>, n_written: u64, n_removed: u64, errors: &[String]) {
    stats.fail_all(errors);
    stats.update(|status| {
        status.unanswered = unanswered;
        status.writes += n_written;
        status.removed += n_removed;
        status.writes_failed += errors.len() as u64;
        status.is_in_step = errors.is_empty();
    });
}

/// One backend, in Synapse's words and order.
#[derive(Serialize)]
struct Record<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    host: &'a str,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    #[serde(skip_serializing_if = "str::is_empty")]
    haproxy_server_options: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    /// It takes requests only when no other does; Synapse has no word for it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    backup: bool,
    /// It finishes what it has; Synapse has no word for it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    draining: bool,
}

/// Compact JSON of these backends, as they are found.
pub fn records(backends: &[Backend]) -> String {
    let record = |backend: &'_ Backend| {
        let Backend { name, host, port, id, weight, haproxy_server_options, labels, is_backup, is_draining, .. } = backend;
        let (port, id, weight, backup, draining) = (*port, *id, *weight, *is_backup, *is_draining);
        let record = Record { name, host, port, id, weight, haproxy_server_options, labels, backup, draining };
        // Texts and numbers always have a JSON form.
        serde_json::to_string(&record).unwrap_or_default()
    };
    let records: Vec<_> = backends.iter().map(record).collect();
    format!("[{}]", records.join(","))
}

/// Keeps the files of `settings` in step until `stop` is there. They stay.
pub async fn run(
    settings: Arc<Settings>,
    mut picture: watch::Receiver<Picture>,
    around: Surroundings,
    stats: Arc<Stats>,
    stop: impl Future<Output = ()> + Send,
) {
    let Some(output) = &settings.file_output else { return };
    let folder = &output.output_directory;
    warn_of_names(&settings);
    tokio::pin!(stop);
    let mut is_closed = false;
    loop {
        let now = picture.borrow_and_update().clone();
        turn(&settings, folder, &now, &around, &stats).await;
        tokio::select! {
            biased;
            () = &mut stop => return,
            () = woken(&mut picture, &mut is_closed) => {}
        }
    }
}

/// Waits for a reason to look again.
async fn woken(picture: &mut watch::Receiver<Picture>, is_closed: &mut bool) {
    tokio::select! {
        changed = picture.changed(), if !*is_closed => match changed {
            Ok(()) => sleep(GATHER).await,
            Err(_) => *is_closed = true,
        },
        () = sleep(REPAIR) => {}
    }
}

/// What a turn would change; services without an answer keep their files.
pub fn changes(settings: &Settings, picture: &[Known]) -> Result<Vec<Change>, String> {
    let Some(output) = &settings.file_output else { return Ok(Vec::new()) };
    let wanted = wanted(settings, &output.output_directory, picture);
    let list = Manifest::open(&output.output_directory.join(LIST)).map_err(|err| err.to_string())?;
    let gone = list.files().filter(|file| !wanted.contains_key(*file)).filter_map(|file| Change::of(file, None));
    let texts = wanted.iter().filter_map(|(path, backends)| Some((path, records((*backends)?))));
    let files = texts.filter(|(path, text)| !says(path, text));
    Ok(files.filter_map(|(path, text)| Change::of(path, Some(&text))).chain(gone).collect())
}

/// The files of all services, and what is known for each.
fn wanted<'a>(settings: &Settings, folder: &Path, picture: &'a [Known]) -> BTreeMap<PathBuf, Option<&'a [Backend]>> {
    let services = settings.services.iter().enumerate().filter(|(_, service)| service.file_output);
    let file = |(idx, service): (usize, &Service)| {
        Some((folder.join(file_name(&service.name)?), picture.get(idx).and_then(|known| known.backends.as_deref())))
    };
    services.filter_map(file).collect()
}

/// Compares and mends every file once.
async fn turn(settings: &Settings, folder: &Path, picture: &Picture, around: &Surroundings, stats: &Stats) {
    let (mut errors, mut n_written) = (Vec::new(), 0);
    let wanted = wanted(settings, folder, picture);
    let is_unanswered = |(idx, service): &(usize, &Service)| {
        let is_known = picture.get(*idx).is_some_and(|known| known.backends.is_some());
        service.file_output && file_name(&service.name).is_some() && !is_known
    };
    let unanswered =
        settings.services.iter().enumerate().filter(is_unanswered).map(|(_, service)| service.name.clone()).collect();
    let paths: BTreeSet<PathBuf> = wanted.keys().cloned().collect();
    let list = std::fs::create_dir_all(folder).map_err(|err| format!("cannot make {folder:?}: {err}"));
    let list = list.and_then(|()| Manifest::open(&folder.join(LIST)).map_err(|err| err.to_string()));
    // Without a list, a file that is made would never be removed.
    let listed = list.and_then(|mut list| {
        // Not those of services without an answer: what is there may be somebody else's.
        let texts = wanted.iter().filter_map(|(path, backends)| Some((path.clone(), records((*backends)?))));
        let texts: Vec<_> = texts.collect();
        let made = texts.iter().map(|(path, text)| (path.clone(), text.as_bytes()));
        list.list(made).map_err(|err| err.to_string())?;
        list.remove_all_but(&paths, &BTreeSet::new()).map_err(|err| err.to_string())
    });
    let removed = match listed {
        Ok(removed) => removed,
        Err(err) => return note(stats, unanswered, 0, 0, &[err]),
    };
    errors.extend(removed.failed.into_iter().map(|(file, err)| format!("cannot remove {file:?}: {err}")));
    for (path, backends) in wanted {
        let Some(backends) = backends else { continue };
        match put(path, backends, around).await {
            Ok(is_written) => n_written += u64::from(is_written),
            Err(err) => errors.push(err),
        }
    }
    note(stats, unanswered, n_written, removed.files.len() as u64, &errors);
}

/// Whether it was another one.
async fn put(path: PathBuf, backends: &[Backend], around: &Surroundings) -> Result<bool, String> {
    let text = records(backends);
    if says(&path, &text) {
        return Ok(false);
    }
    let target = Target::plain(path, None, None);
    let outcome = target.apply(text.into_bytes().into(), around).await.map_err(|err| err.to_string())?;
    Ok(matches!(outcome, Outcome::Changed(_)))
}

/// Whether it says the same already, however it is written.
fn says(path: &Path, text: &str) -> bool {
    old(path).is_some_and(|old| serde_json::from_str(text).is_ok_and(|new: serde_json::Value| old == new))
}

fn old(path: &Path) -> Option<serde_json::Value> {
    // A pipe would never end.
    std::fs::metadata(path).ok().filter(|there| there.is_file() && there.len() <= OLD_BYTES)?;
    let mut text = Vec::new();
    File::open(path).ok()?.take(OLD_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn warn_of_names(settings: &Settings) {
    for service in settings.services.iter().filter(|service| service.file_output && file_name(&service.name).is_none()) {
        tracing::warn!(service = service.name, "file_output: its name is no file's name, so it gets none");
    }
}

/// None: it would be no file of the folder, or a hidden one.
fn file_name(service: &str) -> Option<String> {
    let is_plain = !service.is_empty() && !service.starts_with('.') && service.len() <= NAME_BYTES;
    let is_plain = is_plain && !service.contains(|c: char| c == '/' || c.is_control());
    is_plain.then(|| format!("{service}.json"))
}
