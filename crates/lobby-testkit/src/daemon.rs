//! The real `lobbyd`: started with its own folders and free ports, ready when its ready line says so.
//!
//! The environment is empty but for PATH, so that a test depends on nothing of the machine. Not here: the HTTP
//! requests themselves (`http`).

use std::{collections::BTreeMap, net::SocketAddr, path::Path, process::Command, sync::mpsc, time::Duration};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    http::{self, Response},
    process::Process,
};

/// How long lobbyd may take until it is ready.
const READY: Duration = Duration::from_secs(20);

/// How a daemon is to be started. `Daemon::build(env!("CARGO_BIN_EXE_lobbyd"), "name")` makes one.
#[derive(Clone, Debug)]
pub struct Builder {
    program: String,
    name: String,
    env: BTreeMap<String, Option<String>>,
    args: Vec<String>,
}

/// A running lobbyd with a temporary folder of its own.
#[derive(Debug)]
pub struct Daemon {
    /// The process, for signals and its log.
    pub process: Process,
    /// The ready line.
    pub ready: Value,
    /// Where the REST API listens.
    pub http: SocketAddr,
    builder: Builder,
    folder: TempDir,
}

impl Builder {
    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.insert(name.into(), Some(value.to_string()));
        self
    }

    /// Removes a variable that would be set otherwise: PORT, DATA_DIR, LABELS_PATH, SERVICES_PATH, GOSSIP_ADDR, DNS_ADDR, HOSTNAME.
    #[must_use]
    pub fn without_env(mut self, name: &str) -> Self {
        self.env.insert(name.into(), None);
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Starts it and waits for its ready line; panics with its log when there is none.
    #[track_caller]
    pub fn start(self) -> Daemon {
        let folder = TempDir::with_prefix("lobbyd-").expect("a temporary folder");
        self.start_in(folder)
    }

    /// Runs it to its end, for configurations that are refused: exit code and log.
    #[track_caller]
    pub fn run(self, within: Duration) -> (Option<i32>, String) {
        let folder = TempDir::with_prefix("lobbyd-").expect("a temporary folder");
        let (mut process, lines) = Process::start_with_lines(&self.name, self.command(folder.path()));
        let status = process.wait(within);
        // The line channel closes when the whole of standard output has been read.
        while lines.recv_timeout(READY).is_ok() {}
        (status.code(), process.log())
    }

    /// The command as `start` would run it below `folder`.
    pub fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        let below = |name: &str| folder.join(name).display().to_string();
        let defaults = [
            ("HOSTNAME", self.name.clone()),
            ("HOST", "127.0.0.1".into()),
            ("PORT", "0".into()),
            ("GOSSIP_ADDR", "127.0.0.1:0".into()),
            ("DNS_ADDR", "off".into()),
            ("DATA_DIR", below("data")),
            ("LABELS_PATH", below("labels")),
            ("SERVICES_PATH", below("services.d")),
        ];
        command.env_clear().envs(defaults).current_dir(folder);
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        for (name, value) in &self.env {
            match value {
                None => command.env_remove(name),
                Some(value) => command.env(name, value),
            };
        }
        command.args(&self.args);
        command
    }

    #[track_caller]
    fn start_in(self, folder: TempDir) -> Daemon {
        let (mut process, lines) = Process::start_with_lines(&self.name, self.command(folder.path()));
        let ready = ready_line(&mut process, &lines);
        let http = ready["http"].as_str().and_then(|text| text.parse().ok());
        let http = http.unwrap_or_else(|| panic!("the ready line has no address of the API: {ready}"));
        Daemon { process, ready, http, builder: self, folder }
    }
}

#[track_caller]
fn ready_line(process: &mut Process, lines: &mpsc::Receiver<String>) -> Value {
    let line = lines.recv_timeout(READY).unwrap_or_else(|_| format!("nothing within {READY:?}"));
    match serde_json::from_str::<Value>(&line) {
        Ok(ready) if ready["ready"] == true => ready,
        _ => {
            process.kill();
            panic!("not a ready line: {line}\n{}", process.log());
        }
    }
}

impl Daemon {
    /// A daemon of this name and program (`env!("CARGO_BIN_EXE_lobbyd")`), not yet started.
    pub fn build(program: &str, name: &str) -> Builder {
        Builder { program: program.into(), name: name.into(), env: BTreeMap::new(), args: Vec::new() }
    }

    /// Its folder: `data` and `labels` are in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where its gossip listens; panics when it does not.
    #[track_caller]
    pub fn gossip(&self) -> SocketAddr {
        let text = self.ready["gossip"].as_str();
        text.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no gossip address: {}", self.ready))
    }

    /// The node name of its ready line.
    #[track_caller]
    pub fn node(&self) -> String {
        self.ready["node"].as_str().expect("the ready line names the node").to_owned()
    }

    /// GET; panics when there is no answer.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        http::get(self.http, path).unwrap_or_else(|err| panic!("GET {path}: {err}\n{}", self.process.log()))
    }

    /// Any request; panics when there is no answer.
    #[track_caller]
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let answer = http::request(self.http, method, path, headers, body.as_bytes());
        answer.unwrap_or_else(|err| panic!("{method} {path}: {err}\n{}", self.process.log()))
    }

    /// The host names that `GET /` lists.
    #[track_caller]
    pub fn hosts(&self) -> Vec<String> {
        let list = self.get("/").json();
        let packets = list.as_array().unwrap_or_else(|| panic!("not a list: {list}"));
        packets.iter().map(|packet| packet["hostname"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops it by SIGTERM; panics unless it exits with status 0 in time.
    #[track_caller]
    pub fn stop(&mut self, within: Duration) {
        let status = self.process.terminate(within);
        assert!(status.success(), "lobbyd ended with {status}\n{}", self.process.log());
    }

    /// Starts it again in the same folder, with the same settings, after it was killed or stopped.
    #[track_caller]
    pub fn start_again(mut self) -> Self {
        self.process.kill();
        self.builder.start_in(self.folder)
    }
}
