//! Real servers of others, each in its own temporary folder, on a loopback port that it keeps across restarts.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    port,
    process::{Process, find},
    wait::eventually,
};

pub mod caddy;
pub mod dnsmasq;
pub mod haproxy;
pub mod moto;
pub mod nats;
pub mod nginx;
pub mod prometheus;
pub mod redis;
pub mod traefik;
pub mod unbound;

/// How long a server may take until it accepts connections.
const READY: Duration = Duration::from_secs(20);

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    name: &'static str,
    program: PathBuf,
    args: Vec<String>,
    process: Process,
    folder: TempDir,
}

impl Server {
    fn start(name: &'static str, address: SocketAddr, folder: TempDir, args: Vec<String>) -> Self {
        let program = find(name);
        let process = Process::start(name, command(&program, &args));
        let mut server = Self { address, name, program, args, process, folder };
        server.wait_until_open();
        server
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything it has written.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its process, for signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, killing it first if it runs, with the same arguments on the same port.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = Process::start(self.name, command(&self.program, &self.args));
        self.wait_until_open();
    }

    fn wait_until_open(&mut self) {
        eventually(READY, || match self.process.ended() {
            Some(status) => panic!("{} ended with {status}\n{}", self.name, self.process.log()),
            None if port::is_open(self.address) => Ok(()),
            None => Err(format!("{} does not listen at {}\n{}", self.name, self.address, self.process.log())),
        });
    }
}

fn command(program: &Path, args: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

fn folder(name: &str) -> TempDir {
    TempDir::with_prefix(format!("{name}-")).expect("a temporary folder")
}

fn write(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("a file in a fresh folder can be written");
    path.display().to_string()
}
