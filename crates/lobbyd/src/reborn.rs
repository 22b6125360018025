//! A new start in the same process, for the one case in which only that helps: another machine lives under our node id.
//!
//! The id and everything made from it live as long as the agent; the store has drawn and saved a new one already. Same
//! arguments, same environment, same process id, so that whoever supervises us sees nothing but the log.
//! Guarded against going in circles: the number of new starts travels in a variable.

use std::{ffi::OsString, os::unix::process::CommandExt, path::PathBuf, process::Command};

use lobby::rlimit::Limits;

/// How often this process has started anew.
const VARIABLE: &str = "LOBBY_REBORN";

/// New starts of one process. A disk that is cloned again and again needs somebody who looks at it.
const MOST: u8 = 3;

/// What a new start needs of the first one. Taken before anything is changed.
pub(crate) struct Reborn {
    limits: Limits,
}

impl Reborn {
    /// Remembers the limits that we were started with.
    pub(crate) fn remember() -> Self {
        Self { limits: Limits::current() }
    }

    /// Becomes a new start of this program. Returns only why it did not.
    pub(crate) fn start(self) -> anyhow::Error {
        let before = std::env::var(VARIABLE).ok();
        let Some(number) = next(before.as_deref()) else {
            return anyhow::anyhow!(
                "the node id was taken again after {MOST} new starts: is the data folder copied while we run?"
            );
        };
        // Commands of the new agent are to get the limits that this one was given.
        self.limits.restore();
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_else(|| "lobbyd".into());
        let err = Command::new(program(&name)).arg0(name).args(arguments).env(VARIABLE, number.to_string()).exec();
        anyhow::Error::from(err).context("cannot start anew")
    }
}

/// Our own file; when it was replaced meanwhile, whatever has its name now.
fn program(name: &OsString) -> PathBuf {
    std::env::current_exe().ok().filter(|path| path.is_file()).unwrap_or_else(|| name.into())
}

/// The number of the next start, unless there were too many.
fn next(before: Option<&str>) -> Option<u8> {
    let before = before.and_then(|text| text.parse::<u8>().ok()).unwrap_or(0);
    (before < MOST).then(|| before + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_starts_are_counted_and_end() {
        for (before, want) in
            [(None, Some(1)), (Some("1"), Some(2)), (Some("2"), Some(3)), (Some("3"), None), (Some("255"), None)]
        {
            assert_eq!(next(before), want, "{before:?}");
        }
        assert_eq!(next(Some("x")), Some(1), "not ours: begins anew");
    }
}
