//! A network namespace of a test's own: loopback only, where packets may be dropped without touching the machine's network.
//!
//! Needs root. A daemon inside is reached through its unix socket, because files are shared and addresses are not.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::{
    http::{self, Response},
    process::find,
};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A namespace; it is deleted on drop, after what runs in it has ended.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes one with loopback up.
    #[track_caller]
    pub fn new() -> Self {
        let name = format!("lobby-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let ns = Self { name };
        run(Command::new(find("ip")).args(["netns", "add", &ns.name]));
        ns.run("ip", &["link", "set", "lo", "up"]);
        ns
    }

    /// Its name, for `ip -n`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(find("ip"));
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a command inside to its end; panics when it fails.
    #[track_caller]
    pub fn run(&self, program: &str, args: &[&str]) {
        run(self.command(&find(program)).args(args));
    }

    /// Drops every packet to these ports, UDP and TCP, until [`Self::heal`].
    #[track_caller]
    pub fn drop_ports(&self, ports: &[u16]) {
        let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
        let ports = ports.join(",");
        let rules = format!(
            "table inet cut {{ chain input {{ type filter hook input priority 0; \
             udp dport {{ {ports} }} drop; tcp dport {{ {ports} }} drop; tcp sport {{ {ports} }} drop; }}; }}"
        );
        self.run("nft", &[&rules]);
    }

    /// Lets every packet through again.
    #[track_caller]
    pub fn heal(&self) {
        self.run("nft", &["delete", "table", "inet", "cut"]);
    }
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // Nothing else can be done at the end of a test.
        let _ = Command::new(find("ip")).args(["netns", "del", &self.name]).status();
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|err| panic!("cannot start {command:?}: {err}"));
    assert!(output.status.success(), "{command:?} (it needs root): {}", String::from_utf8_lossy(&output.stderr));
}

/// Any request over a unix socket.
pub fn request(socket: &Path, method: &str, path: &str, body: &str) -> std::io::Result<Response> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    http::parse(&answer)
}
