//! Puts HAProxy's file in place. Decides where the candidate is checked, with which command, and what is done for a file
//! that cannot be replaced.
//!
//! ```text
//! same bytes ─► nothing     else ─► candidate ─► check ─► fsync ─► rename over the file: one a change
//!                                                                   └ refused: the file is a mount ─► written in place
//! ```
//! A configured candidate is written where it is configured, as its check command may name it; it is removed afterwards.
//! Not here: when it is written (`output`); the steps of a safe replacement (`lobby_render::apply`).

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lobby_render::{
    apply::{ApplyError, Outcome, Target},
    command::{CommandError, Surroundings, run_captured},
    settings::{CommandSettings, Env},
};

use super::ports::Taken;
use crate::settings::Haproxy;

#[cfg(test)]
mod tests;

/// For a check or a reload: consul-template's for commands. A check resolves host names, so it may take seconds.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// `Device or resource busy`: a mount point cannot be replaced. And `Invalid cross-device link`, where the mount is of a
/// folder of another kind.
const CANNOT_REPLACE: [rustix::io::Errno; 2] = [rustix::io::Errno::BUSY, rustix::io::Errno::XDEV];

/// One file, put in place again and again.
#[derive(Debug)]
pub struct Writer {
    target: Target,
    candidate: Option<Candidate>,
    has_warned: bool,
}

/// The mode of a candidate of a file that is not there yet: it may hold passwords, and a refused one stays.
const CANDIDATE_MODE: u32 = 0o600;

/// A candidate of its own path, and what looks at it.
#[derive(Debug)]
struct Candidate {
    path: PathBuf,
    check: CommandSettings,
}

/// What became of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// It has these bytes already.
    Unchanged,
    /// By one rename.
    Replaced,
    /// As it is a mount point.
    InPlace,
}

/// Why the old file stays.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The check did not take the new one.
    #[error("{} the new {path:?}, the old one stays: {source}", if is_run(.source) { "the check refuses" } else { "nobody can check" })]
    Check {
        /// The file.
        path: PathBuf,
        /// With what the command printed.
        source: CommandError,
    },
    /// It would have HAProxy listen where somebody else does.
    #[error("{0}: the new file is not put in place, the old one stays")]
    Taken(Taken),
    /// The system refused a step.
    #[error("{}{}", .0, cause(.0))]
    Apply(#[from] ApplyError),
    /// It cannot be replaced, and writing it in place failed as well; it may be torn now, and is written again.
    #[error("cannot write {path:?} in place: {source}")]
    InPlace {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Whether the check had its say.
fn is_run(err: &CommandError) -> bool {
    matches!(err, CommandError::Exit { .. } | CommandError::Timeout { .. })
}

/// What the system said, which an `ApplyError` leaves to its source.
fn cause(err: &ApplyError) -> String {
    std::error::Error::source(err).map(|err| format!(": {err}")).unwrap_or_default()
}

/// The command that looks at a candidate, if one is to.
pub fn check_command(haproxy: &Haproxy) -> Option<CommandSettings> {
    let argv = match (&haproxy.check_command, &haproxy.program) {
        _ if !haproxy.do_checks => return None,
        (Some(command), _) => shell(command),
        (None, Some(program)) => vec![program.display().to_string(), "-c".into(), "-f".into(), "{{.Path}}".into()],
        (None, None) => return None,
    };
    Some(CommandSettings { argv, timeout: COMMAND_TIMEOUT, env: Env::default() })
}

/// A text for `sh -c`: one word is a program, which is the same.
pub(super) fn shell(text: &str) -> Vec<String> {
    if text.contains(char::is_whitespace) { vec![text.to_owned()] } else { vec!["sh".into(), "-c".into(), text.to_owned()] }
}

impl Writer {
    /// None: nothing is to be written.
    pub fn new(haproxy: &Haproxy) -> Option<Self> {
        let file = haproxy.config_file_path.clone().filter(|_| haproxy.do_writes)?;
        let check = check_command(haproxy);
        let elsewhere = haproxy.candidate_config_file_path.clone().filter(|candidate| *candidate != file);
        Some(match (elsewhere, check) {
            (Some(path), Some(check)) => {
                // The target puts the path of its own new file in; here it is known.
                let argv = check.argv.iter().map(|word| word.replace("{{ .Path }}", "{{.Path}}")).collect();
                let check = CommandSettings { argv, ..check };
                let target = Target::plain(file, None, None);
                Self { target, candidate: Some(Candidate { path, check }), has_warned: false }
            }
            (_, check) => Self { target: Target::plain(file, check, None), candidate: None, has_warned: false },
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.target.destination()
    }

    /// Puts the text in place if it is another one.
    pub async fn put(&mut self, text: &str, around: &Surroundings) -> Result<Written, WriteError> {
        if let Some(candidate) = &self.candidate {
            if !self.target.compare(text.as_bytes())?.text {
                return Ok(Written::Unchanged);
            }
            candidate.check(text, around, self.target.destination()).await?;
        }
        match self.target.apply(text.as_bytes().into(), around).await {
            Ok(Outcome::Unchanged) => Ok(Written::Unchanged),
            Ok(Outcome::Changed(_)) => Ok(Written::Replaced),
            Err(ApplyError::Check { path, source }) => Err(WriteError::Check { path, source }),
            Err(ApplyError::Io { source, .. }) if cannot_replace(&source) => self.put_in_place(text.as_bytes().into()).await,
            Err(err) => Err(err.into()),
        }
    }

    /// Somebody who reads it meanwhile may find a part: there is no better way to a file that is mounted alone.
    async fn put_in_place(&mut self, text: Arc<[u8]>) -> Result<Written, WriteError> {
        let path = self.target.destination().to_owned();
        if !self.has_warned {
            tracing::warn!(file = ?path, "it is a mount point and cannot be replaced by a rename, so it is written in place: \
                mount its folder instead, or readers may find half a file");
            self.has_warned = true;
        }
        let file = path.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut file = OpenOptions::new().write(true).truncate(true).open(file)?;
            file.write_all(&text)?;
            file.sync_all()
        });
        let written = written.await.unwrap_or_else(|err| Err(io::Error::other(err)));
        written.map_err(|source| WriteError::InPlace { path, source })?;
        Ok(Written::InPlace)
    }
}

fn cannot_replace(err: &io::Error) -> bool {
    CANNOT_REPLACE.iter().any(|errno| err.raw_os_error() == Some(errno.raw_os_error()))
}

impl Candidate {
    async fn check(&self, text: &str, around: &Surroundings, file: &Path) -> Result<(), WriteError> {
        let mode = std::fs::metadata(file).map_or(CANDIDATE_MODE, |file| file.mode() & 0o777);
        let target = Target::plain(self.path.clone(), None, Some(mode));
        // Nobody follows the candidate: that it changed is told to none.
        let _ = target.apply(text.as_bytes().into(), around).await?;
        let path = quoted(&self.path);
        let argv = self.check.argv.iter().map(|word| match word.contains(char::is_whitespace) {
            true => word.replace("{{.Path}}", &path),
            false => word.replace("{{.Path}}", &self.path.to_string_lossy()),
        });
        let check = CommandSettings { argv: argv.collect(), ..self.check.clone() };
        let checked = run_captured(&check, around).await;
        if checked.is_ok() {
            // One that was refused stays, to be looked at.
            let _ = std::fs::remove_file(&self.path);
        }
        checked.map(drop).map_err(|source| WriteError::Check { path: file.to_owned(), source })
    }
}

/// As a word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}
