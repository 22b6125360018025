//! Clients and tools of others, unmodified, against the real daemon. Their scripts are in `tests/clients`.
//!
//! What they need is installed by the test command. Here is what its files share: where scripts and packages are, running
//! a script to its end, and a small web server that can be killed.

mod http_sd;
mod scripts;
mod seed;
mod traefik;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use lobby_testkit::process::{Process, find, installed};

use crate::fleet::SOON;

/// Longer than all deadlines inside of any one script that does not fail.
const SCRIPT: Duration = Duration::from_secs(120);

/// A file of `tests/clients`.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// The packages of node's that were installed into this folder.
fn modules(folder: &str) -> PathBuf {
    installed("LOBBY_TEST_NODE", &format!("{folder}/node_modules"))
}

/// Empties the environment but for PATH: what is set there, clients would take for the address of a Consul.
fn alone(command: &mut Command) -> &mut Command {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default())
}

/// Runs a script to its end; panics with what it wrote unless it succeeds.
#[track_caller]
fn run(name: &str, command: Command) {
    let mut script = Process::start(name, command);
    let status = script.wait(SCRIPT);
    assert!(status.success(), "{name} ended with {status}\n{}", script.log());
}

/// A web server that answers with its name.
pub(crate) struct Backend {
    pub(crate) name: String,
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Backend {
    #[track_caller]
    pub(crate) fn start(name: &str) -> Self {
        let mut command = Command::new(find("python3"));
        command.arg(file("backend.py")).arg(name);
        let (process, lines) = Process::start_with_lines(name, command);
        let line = lines.recv_timeout(SOON).unwrap_or_else(|err| panic!("{name} does not listen: {err}\n{}", process.log()));
        let port: u16 = line.parse().unwrap_or_else(|_| panic!("{name} names no port: {line}"));
        Self { name: name.into(), process, address: ([127, 0, 0, 1], port).into() }
    }
}
