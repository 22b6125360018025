//! A network namespace of a test's own: loopback only, where packets may be dropped without touching the machine's network.
//!
//! Needs root. A daemon inside is reached through its unix socket, because files are shared and addresses are not.

use std::{
    fs::File,
    io::{Read, Write},
    os::{
        fd::AsFd,
        unix::{fs::MetadataExt, net::UnixStream},
    },
    path::Path,
    process::Command,
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::{
    http::{self, Response},
    process::find,
};

/// What the names of all begin with; then come the process that made one, and a number.
fn prefix() -> String {
    // Another container may share the names but not the numbers of processes.
    let pids = std::fs::metadata("/proc/self/ns/pid").map_or(0, |pids| pids.ino());
    format!("lobby-test-{pids}-")
}

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
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep);
        let name = format!("{}{}-{}", prefix(), std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
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

    /// Does something inside, on a thread of its own. Sockets that are made there stay there, whoever uses them later.
    #[track_caller]
    pub fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        // Where iproute2 keeps them.
        let ns = File::open(Path::new("/run/netns").join(&self.name)).expect("the namespace was made by us");
        let inside = || {
            move_into_link_name_space(ns.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter it");
            act()
        };
        std::thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
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

/// Deletes the namespaces of tests that were killed, and ends what still runs in them: only what such a test had started.
fn sweep() {
    let list = Command::new(find("ip")).args(["netns", "list"]).output();
    let list = list.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let prefix = prefix();
    for name in list.lines().filter_map(|line| line.split_whitespace().next()) {
        let maker = name.strip_prefix(&prefix).and_then(|rest| rest.split('-').next()).and_then(|pid| pid.parse::<u32>().ok());
        if maker.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // Another test may do the same at the same time.
            let left = Command::new(find("ip")).args(["netns", "pids", name]).output();
            let left = left.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
            for pid in left.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
                let _ = kill_process(pid, Signal::KILL);
            }
            let _ = Command::new(find("ip")).args(["netns", "del", name]).output();
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{eventually, expect};

    #[test]
    fn what_a_killed_test_left_behind_is_swept_up() {
        // From now on nobody else in this process sweeps.
        drop(Netns::new());
        // No process has such a number: the kernel's are below 2^22.
        let orphan = Netns { name: format!("{}{}-0", prefix(), u32::MAX - std::process::id()) };
        run(Command::new(find("ip")).args(["netns", "add", &orphan.name]));
        let mut left = orphan.command(&find("sleep")).arg("1000").spawn().unwrap();
        let list = || String::from_utf8(Command::new(find("ip")).args(["netns", "list"]).output().unwrap().stdout).unwrap();
        let inside = || Command::new(find("ip")).args(["netns", "pids", &orphan.name]).output().unwrap().stdout;
        eventually(Duration::from_secs(20), || expect(!inside().is_empty(), "nothing runs inside"));
        sweep();
        assert!(!list().contains(&orphan.name));
        assert!(!left.wait().unwrap().success());
        std::mem::forget(orphan);
    }
}
