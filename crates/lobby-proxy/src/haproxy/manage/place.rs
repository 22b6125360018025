//! What is started and where its notes are: the pid file that the next lobbyd reads, the lock of whoever looks and starts, and
//! whether a process is ours.
//!
//! Not here: when it is started or ended (`manage`).

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use lobby_render::command::Surroundings;
use tokio::{
    process::{Child, Command},
    task::spawn_blocking,
    time::sleep,
};

use super::{EXEC, TRY, master_socket, seek};
use crate::{haproxy::master, settings::Haproxy};

/// A file of ours beside HAProxy's.
pub(super) fn beside(file: &Path, suffix: &str) -> Option<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(file.file_name()?);
    name.push(suffix);
    Some(file.with_file_name(name))
}

/// The master's commands stop the proxy: its socket is for its user alone.
pub(super) const MODE: &str = ",mode,600";

/// What the pid file tells.
/// ```text
/// PID            the master's process id, or -
/// SOCKET         its
/// file S N       when the file that it was started with had been changed last: seconds of Unix time, and nanoseconds
/// leaving PID    one that was told to end; any number of these
/// ```
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Written {
    pub(super) pid: Option<u32>,
    pub(super) socket: Option<PathBuf>,
    pub(super) file_changed: Option<SystemTime>,
    pub(super) leaving: Vec<u32>,
}

impl Written {
    pub(super) fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let pid = lines.next().and_then(|line| line.trim().parse().ok());
        let socket = lines.next().filter(|socket| !socket.is_empty()).map(PathBuf::from);
        let (mut file_changed, mut leaving) = (None, Vec::new());
        for line in lines {
            match line.split_ascii_whitespace().collect::<Vec<_>>().as_slice() {
                ["leaving", pid] => leaving.extend(pid.parse::<u32>()),
                ["file", seconds, nanos] => file_changed = time(seconds, nanos),
                _ => {}
            }
        }
        Self { pid, socket, file_changed, leaving }
    }

    pub(super) fn print(&self) -> String {
        let pid = self.pid.map_or("-".into(), |pid| pid.to_string());
        let socket = self.socket.as_ref().map(|socket| socket.display().to_string()).unwrap_or_default();
        let leaving: String = self.leaving.iter().map(|pid| format!("leaving {pid}\n")).collect();
        let since = self.file_changed.and_then(|changed| changed.duration_since(SystemTime::UNIX_EPOCH).ok());
        let file = since.map(|since| format!("file {} {}\n", since.as_secs(), since.subsec_nanos())).unwrap_or_default();
        format!("{pid}\n{socket}\n{file}{leaving}")
    }
}

fn time(seconds: &str, nanos: &str) -> Option<SystemTime> {
    let (seconds, nanos) = (seconds.parse().ok()?, nanos.parse().ok().filter(|nanos| *nanos < 1_000_000_000)?);
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

/// One that runs, and was not told to end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) pid: u32,
    /// Its master does not listen where it is to.
    pub(super) is_elsewhere: bool,
    /// Of the file that it was started with, if one of us did that.
    pub(super) file_changed: Option<SystemTime>,
}

/// What is started.
#[derive(Debug, Clone)]
pub(super) struct Managing {
    pub(super) program: PathBuf,
    pub(super) file: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) pid_file: PathBuf,
    pub(super) lock_file: PathBuf,
    pub(super) around: Surroundings,
    /// The last warning: each is given once.
    pub(super) warned: Arc<Mutex<String>>,
}

impl Managing {
    pub(super) fn of(haproxy: &Haproxy, around: &Surroundings) -> Option<Self> {
        let file = haproxy.config_file_path.clone()?;
        let socket = master_socket(haproxy)?;
        let (pid_file, lock_file) = (beside(&file, ".lobby-pid")?, beside(&file, ".lobby-lock")?);
        let program = haproxy.program.clone().unwrap_or_else(|| "haproxy".into());
        Some(Self { program, file, socket, pid_file, lock_file, around: around.clone(), warned: Arc::default() })
    }

    pub(super) fn warn(&self, text: String) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if *warned != text {
            tracing::warn!("haproxy: {text}");
            *warned = text;
        }
    }

    pub(super) fn arguments(&self, socket: &Path) -> [PathBuf; 6] {
        let mut socket = socket.to_owned().into_os_string();
        socket.push(MODE);
        // In the foreground: with `daemon` in the file it would seem to have ended, and another one would be started.
        ["-W".into(), "-db".into(), "-S".into(), socket.into(), "-f".into(), self.file.clone()]
    }

    /// Held while one is looked for and started, by this program or another one of ours. None: it cannot be had, which was
    /// told.
    pub(super) async fn lock(&self) -> Option<File> {
        let trouble = loop {
            let file = match open_lock(&self.lock_file) {
                Ok(file) => file,
                // Then there is no file to start with either.
                Err(err) if err.kind() == io::ErrorKind::NotFound => return None,
                Err(err) => break err,
            };
            match file.try_lock() {
                Ok(()) => return Some(file),
                Err(TryLockError::WouldBlock) => sleep(TRY).await,
                Err(TryLockError::Error(err)) => break err,
            }
        };
        self.warn(format!("cannot lock {:?}: {trouble}", self.lock_file));
        None
    }

    /// Whether this process was started with our file and this socket; after a reload it has other arguments as well.
    pub(super) fn is_ours(&self, pid: u32, socket: &Path) -> bool {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let has = |path: &Path| line.split(|byte| *byte == 0).any(|word| word == path.as_os_str().as_encoded_bytes());
        let [_, _, _, socket, _, file] = self.arguments(socket);
        has(&socket) && has(&file)
    }

    /// As [`Self::is_ours`]; a master that just becomes another program (a reload) has no arguments for a moment.
    pub(super) async fn is_still_ours(&self, pid: u32, socket: &Path) -> bool {
        if !self.is_ours(pid, socket) {
            sleep(EXEC).await;
        }
        self.is_ours(pid, socket)
    }

    pub(super) fn written(&self) -> Written {
        Written::parse(&std::fs::read_to_string(&self.pid_file).unwrap_or_default())
    }

    /// For the next lobbyd. Not by HAProxy's own `-p`: that file is missing or empty while it starts, when a lobbyd that
    /// comes after a killed one would start a second. Nothing may come between a start and this: whoever runs it may be
    /// cut off at an await. `ours`: its process id, and when the file that it was started with had been changed last; None:
    /// none is ours. `leaves`: was told to end.
    pub(super) fn write(&self, ours: Option<(u32, Option<SystemTime>)>, leaves: Option<u32>) {
        let (pid, file_changed) = ours.unzip();
        let before = self.written();
        let mut leaving = before.leaving.clone();
        leaving.extend(leaves);
        // Of one that has ended the number may be another's soon.
        leaving.retain(|old| Some(*old) != pid && is_there(*old));
        leaving.dedup();
        let written = Written { pid, socket: Some(self.socket.clone()), file_changed: file_changed.flatten(), leaving };
        if written != before
            && let Err(err) = put(&self.pid_file, &written.print())
        {
            self.warn(format!("cannot write {:?}: {err}", self.pid_file));
        }
    }

    /// One that runs: its master says so, or its file of process ids and the system do, or the system alone.
    pub(super) async fn find(&self) -> Option<Found> {
        let told = master::processes(&self.socket).await.ok().map(|processes| (processes.master, self.socket.clone()));
        let Written { pid: noted_pid, socket, leaving, file_changed } = self.written();
        let noted = noted_pid.map(|pid| (pid, socket.unwrap_or_else(|| self.socket.clone())));
        let file = self.file.clone();
        // Many processes are many files to read.
        let seek = async { spawn_blocking(move || seek::masters(&file)).await.unwrap_or_default() };
        let found = match self.first_ours(told.into_iter().chain(noted), &leaving).await {
            Some(found) => found,
            None => self.first_ours(seek.await.into_iter(), &leaving).await?,
        };
        let (pid, socket) = found;
        let file_changed = file_changed.filter(|_| noted_pid == Some(pid));
        Some(Found { pid, is_elsewhere: socket != self.socket, file_changed })
    }

    async fn first_ours(&self, known: impl Iterator<Item = (u32, PathBuf)>, leaving: &[u32]) -> Option<(u32, PathBuf)> {
        for (pid, socket) in known {
            if !leaving.contains(&pid) && self.is_still_ours(pid, &socket).await {
                return Some((pid, socket));
            }
        }
        None
    }

    /// `old`: whose listeners it takes over.
    pub(super) fn start(&self, old: Option<u32>) -> std::io::Result<Child> {
        let mut command = Command::new(&self.program);
        // Takes all that follow, so it is the last.
        let old = old.map(|old| ["-sf".to_owned(), old.to_string()]);
        command
            .args(self.arguments(&self.socket))
            .args(old.into_iter().flatten())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in &self.around.unset {
            command.env_remove(name);
        }
        command.envs(self.around.set.iter().map(|(name, value)| (name, value)));
        // A Ctrl-C that ends lobbyd in a terminal is not for it.
        let child = command.process_group(0).kill_on_drop(false).spawn()?;
        if let (Some(started), Some(pid)) = (self.around.started, child.id()) {
            started(pid);
        }
        Ok(child)
    }
}

/// Never by a link.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
        opened => return opened,
    }
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    OpenOptions::new().write(true).open(path)
}

/// The old or the new text, whole; a link that is there is replaced, not followed. For a holder of the lock.
pub(super) fn put(path: &Path, text: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push("-new");
    let _ = std::fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(&new, path)
}

pub(super) fn is_there(pid: u32) -> bool {
    !std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default().is_empty()
}
