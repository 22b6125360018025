//! Lists whose template is no longer configured, or has another destination now. Decides which they are, and that their files are
//! removed if nobody has touched them since.
//!
//! A list is beside the files. So it is looked for where the templates of today have theirs, and where those of before a reload
//! had: nobody remembers other folders over a restart. Lists of other configurations are left alone, as their files are not ours.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf, absolute},
};

use super::{Manifest, hash, remove};
use crate::{settings::TemplateSettings, unit};

/// Ends the name of every list.
const ENDS: &str = ".lobby-files";

/// Most bytes of a file that is looked at: more than a template makes.
const MAX_BYTES: u64 = 256 << 20;

/// The lists of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    /// Tells configurations apart, such as the path of the file; empty: lists are never taken for abandoned.
    pub owner: String,
    /// Those of all templates, also of those that cannot be used now.
    pub known: BTreeSet<PathBuf>,
    /// Those that this process had before.
    pub before: BTreeSet<PathBuf>,
}

/// Where account is kept of the files of these templates.
pub fn lists<'a>(templates: impl IntoIterator<Item = &'a TemplateSettings>) -> BTreeSet<PathBuf> {
    templates.into_iter().filter_map(unit::list).filter_map(|list| absolute(list).ok()).collect()
}

impl Lists {
    /// Removes the files of abandoned lists, but not those that others have (paths without links), and says so in the log.
    /// Blocks. How many were removed.
    pub fn clear(&self, others: &BTreeSet<PathBuf>) -> usize {
        if self.owner.is_empty() {
            return 0;
        }
        let mut found: BTreeSet<_> = self.before.iter().filter(|list| list.exists()).cloned().collect();
        for folder in self.known.iter().filter_map(|list| list.parent()).collect::<BTreeSet<_>>() {
            // One that is not there (yet) has no lists.
            let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
            found.extend(entries.filter(|path| is_list(path)));
        }
        found.difference(&self.known).map(|list| self.clear_one(list, others)).sum()
    }

    fn clear_one(&self, list: &Path, others: &BTreeSet<PathBuf>) -> usize {
        let manifest = match Manifest::open(list) {
            Ok(manifest) if manifest.owner != hash(self.owner.as_bytes()) => return 0,
            Ok(manifest) => manifest,
            Err(err) => {
                tracing::warn!("no template has this list of files, and it is left alone: {err}");
                return 0;
            }
        };
        let (mut n_removed, mut is_done) = (0, true);
        for (file, hash) in &manifest.files {
            let is_ours = || is_unchanged(file, *hash);
            match is_ours().and_then(|is_ours| if is_ours { remove(file, others).map(Some) } else { Ok(None) }) {
                Ok(Some(true)) => {
                    n_removed += 1;
                    tracing::info!(file = %file.display(), "removed: the template that made it is no longer configured");
                }
                Ok(Some(false)) => {}
                Ok(None) => tracing::warn!(
                    file = %file.display(),
                    "left alone: the template that made it is no longer configured, but somebody has changed the file"
                ),
                Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                Err(err) => {
                    is_done = false;
                    tracing::error!(file = %file.display(), "cannot remove the file of a template that is no longer configured: {err}");
                }
            }
        }
        if is_done {
            // A mark beside it belongs to the template that is gone, with its command.
            for path in [list.with_extension("lobby-gone"), list.to_owned()] {
                if let Err(err) = fs::remove_file(&path)
                    && err.kind() != io::ErrorKind::NotFound
                {
                    tracing::warn!(file = %path.display(), "cannot remove it: {err}");
                }
            }
        }
        n_removed
    }
}

fn is_list(path: &Path) -> bool {
    path.file_name().is_some_and(|name| {
        let name = name.to_string_lossy();
        name.starts_with('.') && name.ends_with(ENDS)
    })
}

/// Whether a file holds what was last made for it.
fn is_unchanged(file: &Path, was: u64) -> io::Result<bool> {
    let there = fs::symlink_metadata(file)?;
    Ok(there.is_file() && there.len() <= MAX_BYTES && hash(&fs::read(file)?) == was)
}
