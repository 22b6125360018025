//! What the running process was started with. Decides whether that is known, also after a restart of this program and of
//! HAProxy.
//!
//! It is a small file beside the state file, else (with the socket) beside HAProxy's own, else in a folder of this program:
//! ```text
//! PID STARTED            of the process, or - -
//! TEXT                   the skeleton; with do_socket = false the whole file
//! ```
//! A process that is not the one remembered loaded the file that was there when it started: that is known as long as the
//! file was not changed since. What is unknown costs one reload, even if that does nothing.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use lobby_render::{
    apply::{ApplyError, Target},
    command::Surroundings,
};
use tokio::time::Instant;

use super::Process;
use crate::{haproxy::name, settings::Haproxy};

/// Until then the old process may answer after a reload: measured were 60 to 120 ms, files with many certificates take
/// seconds. One that answers still was not reloaded at all.
const TAKES_OVER: Duration = Duration::from_secs(5);

/// Characters of a path that people recognise it by, far below the 255 bytes of a file name.
const NAME_END: usize = 64;

/// What clocks in whole seconds, one of them computed from an age, may differ.
pub(super) const SAME: u64 = 3;

#[derive(Debug, Default)]
pub(super) struct Memory {
    path: Option<PathBuf>,
    loaded: Option<Loaded>,
    pending: Option<Pending>,
    /// The last one that answered.
    seen: Option<Process>,
    is_unsaved: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Loaded {
    process: Option<Process>,
    text: String,
}

/// A reload whose process has not answered yet.
#[derive(Debug)]
struct Pending {
    since: Instant,
    before: Option<Process>,
    loaded: Option<Loaded>,
}

/// Where it is kept. None: nowhere, as folders that others watch see only their own file; then each start is a reload.
pub(super) fn path(haproxy: &Haproxy) -> Option<PathBuf> {
    let beside = haproxy.state_file_path.clone();
    let file = || haproxy.config_file_path.as_ref().filter(|_| haproxy.do_writes);
    let Some(beside) = beside.or_else(|| file().filter(|_| haproxy.do_socket).cloned()) else {
        return Some(haproxy.memory_folder.as_ref()?.join(flat(file()?)));
    };
    let mut name = std::ffi::OsString::from(".");
    name.push(beside.file_name()?);
    name.push(".lobby-running");
    Some(beside.with_file_name(name))
}

/// One name for each file, of the length that names may have: its end, and a hash of all.
fn flat(file: &Path) -> String {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let text = file.to_string_lossy();
    let end: String = text.chars().rev().take(NAME_END).collect::<Vec<_>>().into_iter().rev().collect();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let end: String = end.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    format!("{end}-{}.lobby-running", name::hash(&text))
}

impl Memory {
    pub(super) async fn read(path: Option<PathBuf>) -> Self {
        let text = match &path {
            Some(path) => tokio::fs::read_to_string(path).await.unwrap_or_default(),
            None => String::new(),
        };
        Self { path, loaded: parse(&text), ..Self::default() }
    }

    /// What the running process was started with, if that is known.
    pub(super) fn text(&self) -> Option<&str> {
        self.loaded.as_ref().map(|loaded| loaded.text.as_str())
    }

    /// The process that answered last, now or before a restart of this program.
    pub(super) fn pid(&self) -> Option<u32> {
        let process = self.seen.or_else(|| self.loaded.as_ref()?.process);
        process.map(|process| process.pid)
    }

    /// A process answered. `file`: when the file was changed last before, and what a process that started later has of it.
    /// False: it is the one before a reload, and says nothing.
    pub(super) fn see(&mut self, process: Option<Process>, file: Option<(u64, &str)>, now: Instant) -> bool {
        self.seen = process;
        if let Some(pending) = &mut self.pending {
            let is_before = is_same(process, pending.before) == Some(true);
            if is_before && now < pending.since + TAKES_OVER {
                return false;
            }
            if let (true, Some(loaded)) = (is_before, pending.loaded.take()) {
                self.loaded = Some(loaded);
            }
            self.is_unsaved = true;
            self.pending = None;
        }
        match &mut self.loaded {
            Some(loaded) if is_same(process, loaded.process) != Some(false) => {
                self.is_unsaved |= process.is_some() && loaded.process.is_none();
                loaded.process = loaded.process.or(process);
            }
            loaded => {
                // In the same second both orders are possible.
                let file = file.filter(|(changed, _)| process.is_some_and(|process| *changed < process.started));
                *loaded = file.map(|(_, text)| Loaded { process, text: text.to_owned() });
                self.is_unsaved |= loaded.is_some();
            }
        }
        true
    }

    /// A reload was done with this.
    pub(super) fn reloaded(&mut self, text: &str, now: Instant) {
        let before = self.loaded.replace(Loaded { process: None, text: text.to_owned() });
        let before = before.or_else(|| self.pending.take()?.loaded);
        self.pending = self.seen.map(|process| Pending { since: now, before: Some(process), loaded: before });
        self.is_unsaved = true;
    }

    /// Writes it if it is another one.
    pub(super) async fn save(&mut self, around: &Surroundings) -> Result<(), ApplyError> {
        let (Some(path), Some(loaded), true) = (&self.path, &self.loaded, self.is_unsaved) else { return Ok(()) };
        self.is_unsaved = false;
        if let Some(folder) = path.parent() {
            // What is wrong with it is told by the write.
            let _ = tokio::fs::create_dir_all(folder).await;
        }
        // Secrets of HAProxy's file are in it.
        let target = Target::plain(path.clone(), None, Some(0o600));
        target.apply(print(loaded).into_bytes().into(), around).await.map(drop)
    }
}

/// None: one of them is not known.
fn is_same(one: Option<Process>, other: Option<Process>) -> Option<bool> {
    let (one, other) = (one?, other?);
    Some(one.pid == other.pid && one.started.abs_diff(other.started) <= SAME)
}

fn print(Loaded { process, text }: &Loaded) -> String {
    match process {
        Some(Process { pid, started }) => format!("{pid} {started}\n{text}"),
        None => format!("- -\n{text}"),
    }
}

fn parse(text: &str) -> Option<Loaded> {
    let (head, text) = text.split_once('\n')?;
    let (pid, started) = head.split_once(' ')?;
    let process = match (pid, started) {
        ("-", "-") => None,
        _ => Some(Process { pid: pid.parse().ok()?, started: started.parse().ok()? }),
    };
    Some(Loaded { process, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Option<Process> = Some(Process { pid: 7, started: 100 });
    const NEW: Option<Process> = Some(Process { pid: 9, started: 200 });

    #[tokio::test(start_paused = true)]
    async fn after_a_reload_the_old_process_says_nothing_until_it_should_be_gone() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        assert!(memory.see(OLD, Some((99, "a")), now));
        assert_eq!(memory.text(), Some("a"), "the file was older than the process");
        memory.reloaded("b", now);
        assert!(!memory.see(OLD, None, now + TAKES_OVER / 2));
        assert!(memory.see(NEW, None, now + TAKES_OVER / 2));
        assert_eq!(memory.text(), Some("b"));
        memory.reloaded("c", now);
        assert!(memory.see(NEW, None, now + TAKES_OVER));
        assert_eq!(memory.text(), Some("b"), "that reload did nothing: `echo noop`");
        let mut unknown = Memory::default();
        assert!(unknown.see(OLD, None, now));
        assert_eq!(unknown.text(), None);
        unknown.reloaded("b", now);
        assert!(unknown.see(OLD, None, now + TAKES_OVER));
        assert_eq!(unknown.text(), Some("b"), "more than one reload is not to be had");
        memory.reloaded("d", now);
        assert!(memory.see(None, None, now), "a process that does not say who it is");
        assert_eq!(memory.text(), Some("d"));
    }

    #[tokio::test(start_paused = true)]
    async fn another_process_has_the_file_if_it_is_older() {
        let cases = [(None, None), (Some(201), None), (Some(200), None), (Some(199), Some("x"))];
        for (changed, want) in cases {
            let file = changed.map(|changed| (changed, "x"));
            let mut memory = Memory { loaded: parse("7 100\na"), ..Memory::default() };
            assert!(memory.see(Some(Process { pid: 7, started: 102 }), file, Instant::now()));
            assert_eq!(memory.text(), Some("a"), "the same");
            assert!(memory.see(NEW, file, Instant::now()));
            assert_eq!(memory.text(), want, "{file:?}");
        }
    }

    #[tokio::test]
    async fn it_is_kept_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = Some(folder.path().join("m"));
        let mut memory = Memory::read(path.clone()).await;
        assert_eq!(memory.text(), None);
        memory.reloaded("global\n\nlast\n", Instant::now());
        memory.save(&Surroundings::default()).await.unwrap();
        assert_eq!(Memory::read(path.clone()).await.text(), Some("global\n\nlast\n"));
        memory.see(OLD, None, Instant::now());
        memory.save(&Surroundings::default()).await.unwrap();
        assert_eq!(Memory::read(path).await.loaded.unwrap().process, OLD);
        for nonsense in ["", "7", "7 x\na", "x 7\na", "- 7\na"] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }
}
