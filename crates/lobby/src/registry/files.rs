//! Services of files: the folder `services.d`, read at start and followed while the agent runs.
//!
//! ```text
//! *.toml, *.json ─► decode, each file by itself ─► Definitions: all files, whenever one has changed
//! ```
//! Whole states are sent, never differences. A file that is broken counts as what it was when it was last good; a file
//! that is gone takes its services with it. All of that counts when the folder has looked the same for [`SETTLED`], so
//! that a file which is just being written is not taken for whole, nor one that is being replaced for gone.
//! Not here: what a file may say (`decode`), when to look (`source::watch`), what becomes of it all (the registry).

mod decode;

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lobby_core::{
    instance::Id,
    port::registry::{NewCheck, Registration},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::source::{
    blocking,
    scan::{self, Scan},
    watch::{Hint, Watch},
};

/// Most files, in sorted order.
const FILES: usize = 1024;

/// How long a change must be over. Editors and package managers write a file within milliseconds.
const SETTLED: Duration = Duration::from_millis(50);

/// How often that is waited for: whoever never stops writing does not hold up the others for ever.
const SETTLES: usize = 40;

/// Most problems of one reading that are told in words.
const PROBLEMS: usize = 10;

/// What the folder says. No instance is in two files, and no check that stands alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Definitions {
    /// The files that are good or were, sorted by name.
    pub(crate) files: Vec<File>,
    /// Names of files that are there and were never good: what an earlier run had of them is still to be kept.
    pub(crate) unread: Vec<Arc<str>>,
    /// The folder itself could not be read so far: what an earlier run had of any file is still to be kept.
    pub(crate) is_unreadable: bool,
    /// What is not used as it stands now: broken files, those above the most, and second definitions of an id.
    pub(crate) refused: usize,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// Its name in the folder.
    pub(crate) name: Arc<str>,
    /// Its instances, with all checks of this file that are about them.
    pub(crate) registrations: Vec<Registration>,
    /// Its checks of the node, and of instances of others.
    pub(crate) checks: Vec<NewCheck>,
}

/// Reads the folder once, for the start. Problems are not logged here: [`follow`] reads again, and logs them.
pub(crate) fn load(folder: &Path) -> Definitions {
    let mut known = Known::default();
    known.read(look(folder));
    known.definitions
}

/// Follows the folder until `stop` or until nobody listens: sends what it says at the start, and after every change.
pub(crate) async fn follow(folder: PathBuf, sender: mpsc::Sender<Definitions>, stop: CancellationToken) {
    let work = async {
        let mut watch = Watch::start("service files");
        let mut known = Known::default();
        let mut sent = None;
        loop {
            let hint = watch.hint(Some(&folder)).await;
            let scan = look_settled(&folder, &known.scan).await;
            let is_same = scan.as_ref().is_ok_and(|scan| scan.looks_like(&known.scan)) && !known.scan.fresh;
            if is_same && hint == Hint::Look && sent.is_some() {
                continue;
            }
            let (read, problems) = blocking(move || {
                let problems = known.read(scan);
                (known, problems)
            })
            .await;
            known = read;
            for problem in problems {
                tracing::warn!("{problem}");
            }
            if sent.as_ref() != Some(&known.definitions) {
                if sender.send(known.definitions.clone()).await.is_err() {
                    return;
                }
                sent = Some(known.definitions.clone());
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

fn look(folder: &Path) -> io::Result<Scan> {
    scan::scan(folder, FILES, |name| decode::Format::of(name).is_some())
}

/// How the folder looks when nobody has written into it for [`SETTLED`], nor removed what may be back at once.
async fn look_settled(folder: &Path, known: &Scan) -> io::Result<Scan> {
    let look = || {
        let folder = folder.to_owned();
        blocking(move || look(&folder))
    };
    let mut scan = look().await?;
    for _ in 0..SETTLES {
        if !scan.fresh && scan.looks_like(known) {
            break;
        }
        tokio::time::sleep(SETTLED).await;
        let before = std::mem::replace(&mut scan, look().await?);
        if scan.looks_like(&before) {
            break;
        }
    }
    Ok(scan)
}

/// What is known of one file.
#[derive(Default)]
struct Entry {
    /// What it said when it was good.
    good: Option<File>,
    /// What is wrong with it now.
    trouble: Option<String>,
}

/// What is known of the folder.
#[derive(Default)]
struct Known {
    scan: Scan,
    /// The folder could be read once.
    is_read: bool,
    files: BTreeMap<Arc<str>, Entry>,
    definitions: Definitions,
    /// What is wrong with the folder as a whole, as far as it was told.
    trouble: Vec<String>,
}

impl Known {
    /// Reads all files of a scan. What is wrong and was not told before, for the log.
    fn read(&mut self, scan: io::Result<Scan>) -> Vec<String> {
        let mut news = Vec::new();
        let mut trouble = Vec::new();
        match scan {
            Ok(scan) => {
                self.read_files(&scan, &mut news);
                self.scan = scan;
                self.is_read = true;
            }
            // It may be back in a moment; without it nothing is known to be gone.
            Err(err) => trouble.push(format!("the folder of service files cannot be read, what it said stays: {err}")),
        }
        if self.scan.left_out > 0 {
            trouble.push(format!("only the first {FILES} service files in sorted order are read"));
        }
        trouble.extend(self.collect());
        if trouble != self.trouble {
            news.extend_from_slice(&trouble);
            self.trouble = trouble;
        }
        if news.len() > PROBLEMS {
            let n_more = news.len() - PROBLEMS;
            news.truncate(PROBLEMS);
            news.push(format!("service files: {n_more} more problems"));
        }
        news
    }

    fn read_files(&mut self, scan: &Scan, news: &mut Vec<String>) {
        let mut old_files = std::mem::take(&mut self.files);
        for path in scan.paths() {
            let name: Arc<str> = path.file_name().unwrap_or_default().to_string_lossy().into();
            let old = old_files.remove(&name).unwrap_or_default();
            let entry = match decode::read(path, &name) {
                // Written since the scan, or gone: the next scan will say so.
                _ if !scan.still_shows(path) => old,
                Ok(file) => Entry { good: Some(file), trouble: None },
                Err(err) => {
                    let kept = if old.good.is_some() {
                        "what it said before stays"
                    } else {
                        "nothing of it is read; what an earlier run had of it stays"
                    };
                    let trouble = format!("service file {name}: {err}; {kept}");
                    if old.trouble.as_ref() != Some(&trouble) {
                        news.push(trouble.clone());
                    }
                    Entry { good: old.good, trouble: Some(trouble) }
                }
            };
            self.files.insert(name, entry);
        }
    }

    /// Puts all files together. Of two definitions of one id that of the first file counts; the others, in words.
    fn collect(&mut self) -> Vec<String> {
        let mut trouble = Vec::new();
        let mut definitions = Definitions { refused: self.scan.left_out, is_unreadable: !self.is_read, ..Definitions::default() };
        let (mut instances, mut checks) = (HashMap::new(), HashMap::new());
        for (name, entry) in &self.files {
            definitions.refused += usize::from(entry.trouble.is_some());
            let Some(mut file) = entry.good.clone() else {
                definitions.unread.push(name.clone());
                continue;
            };
            let mut is_first = |owners: &mut HashMap<Id, Arc<str>>, id: &Id| {
                let owner = owners.entry(id.clone()).or_insert_with(|| name.clone());
                if owner != name {
                    trouble.push(format!("service file {name}: {id} is defined in {owner} already; that counts"));
                }
                owner == name
            };
            file.registrations.retain(|registration| is_first(&mut instances, &registration.instance.id));
            file.checks.retain(|check| is_first(&mut checks, &check.id));
            definitions.files.push(file);
        }
        definitions.refused += trouble.len();
        self.definitions = definitions;
        trouble
    }
}

#[cfg(test)]
mod tests;
