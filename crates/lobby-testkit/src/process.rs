//! A child process whose output is kept, that dies with its owner, and whose log is printed when the test fails.

use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
    time::Duration,
};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use crate::wait::{eventually, expect, now, pause};

/// Most of a log that is kept; above it the older half goes.
const LOG_BYTES: usize = 4 << 20;

/// How long the rest of an ended child's output may take to be read.
const REST: Duration = Duration::from_millis(500);

/// A running child.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Arc<Mutex<String>>,
    readers: [JoinHandle<()>; 2],
}

impl Process {
    /// Starts `command`, keeping both of its outputs.
    pub fn start(name: &str, mut command: Command) -> Self {
        Self::spawn(name, &mut command, None)
    }

    /// Starts `command`; the lines of its standard output come out of the receiver (and go to the log as well).
    pub fn start_with_lines(name: &str, mut command: Command) -> (Self, mpsc::Receiver<String>) {
        let (sender, receiver) = mpsc::channel();
        (Self::spawn(name, &mut command, Some(sender)), receiver)
    }

    fn spawn(name: &str, command: &mut Command, lines: Option<mpsc::Sender<String>>) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|err| panic!("cannot start {name}: {err}"));
        let log = Arc::new(Mutex::new(String::new()));
        // The readers end when the child (and whoever inherited its pipes) has closed its ends.
        let stdout = keep(child.stdout.take().expect("standard output is a pipe"), log.clone(), lines);
        let stderr = keep(child.stderr.take().expect("standard error is a pipe"), log.clone(), None);
        Self { name: name.into(), child, log, readers: [stdout, stderr] }
    }

    /// Everything it has written so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the log contains `text`.
    #[track_caller]
    pub fn wait_for_log(&self, within: Duration, text: &str) {
        eventually(within, || expect(self.log().contains(text), self.log()));
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse().unwrap_or(0) * 1024
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Sends a signal; nothing happens when it has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child has a process id");
            kill_process(pid, signal).unwrap_or_else(|err| panic!("cannot signal {}: {err}", self.name));
        }
    }

    /// Kills it as `kill -9` does and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.read_to_the_end();
    }

    /// After the child's end: waits until the log holds all it wrote, but not for those who inherited its pipes.
    fn read_to_the_end(&self) {
        let start = now();
        while !self.readers.iter().all(JoinHandle::is_finished) && start.elapsed() < REST {
            pause();
        }
    }

    /// Waits for its end; panics with its log at the deadline.
    #[track_caller]
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let start = now();
        loop {
            if let Some(status) = self.ended() {
                self.read_to_the_end();
                return status;
            }
            assert!(start.elapsed() < within, "{} has not ended within {within:?}\n{}", self.name, self.log());
            pause();
        }
    }

    /// Sends SIGTERM and waits for the end.
    #[track_caller]
    pub fn terminate(&mut self, within: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(within)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of {} ---\n{}--- end of {} ---", self.name, self.log(), self.name);
        }
    }
}

fn keep(pipe: impl Read + Send + 'static, log: Arc<Mutex<String>>, lines: Option<mpsc::Sender<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line);
            if let Some(lines) = &lines {
                let _ = lines.send(text.trim_end().to_owned());
            }
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            if log.len() + text.len() > LOG_BYTES {
                let half = log.char_indices().map(|(at, _)| at).find(|at| *at >= LOG_BYTES / 2).unwrap_or(log.len());
                log.drain(..half);
            }
            log.push_str(&text);
            drop(log);
            line.clear();
        }
    })
}

/// The path of an installed program: on PATH, then /usr/sbin, then `$LOBBY_TEST_VENV/bin`.
pub fn find(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<_> = std::env::split_paths(&path).collect();
    places.push("/usr/sbin".into());
    places.extend(std::env::var_os("LOBBY_TEST_VENV").map(|venv| PathBuf::from(venv).join("bin")));
    let found = places.iter().map(|place| place.join(program)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{program} is not installed: run ./test, which installs it"))
}

/// What the test command installs outside of the tree: a file or folder below the folder that `variable` names.
#[track_caller]
pub fn installed(variable: &str, below: &str) -> PathBuf {
    let folder = std::env::var_os(variable);
    let folder = folder.unwrap_or_else(|| panic!("{variable} is not set, {below} is looked for below it: run ./test"));
    let path = PathBuf::from(folder).join(below);
    assert!(path.exists(), "{} is not installed: run ./test, which installs it", path.display());
    path
}
