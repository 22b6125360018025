//! An HAProxy that others start: what its sockets say, and its end when a test is over.
//!
//! One that lobbyd manages outlives lobbyd, so nobody else ends it. It is known by its arguments, which name a file in a
//! folder that no other test has.

use std::{
    fs,
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// For one answer of a socket.
const ANSWER: Duration = Duration::from_secs(5);

/// Ends every HAProxy with a file in this folder, on drop. To be declared after (so: dropped before) what starts them.
#[derive(Debug)]
pub struct Leftovers(PathBuf);

impl Leftovers {
    /// Of the HAProxys that have a file below `folder`, which is the test's own.
    pub fn of(folder: &Path) -> Self {
        Self(folder.to_owned())
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        // One that is just being started, or is another program for a moment, is found by the next look.
        for _ in 0..2 {
            processes(&self.0).into_iter().for_each(kill);
            crate::wait::pause();
        }
    }
}

/// The ids of all processes of HAProxy that have a file below `folder` in their arguments; masters and workers.
pub fn processes(folder: &Path) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|pid| is_haproxy_in(*pid, folder)).collect()
}

fn is_haproxy_in(pid: u32, folder: &Path) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let program = words.next().unwrap_or_default();
    Path::new(&program).file_name().is_some_and(|name| name == "haproxy")
        && words.any(|word| Path::new(&word).starts_with(folder))
}

/// Ends a process as `kill -9` does, if it is there.
pub fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// What a stats socket, or a master's, answers to one command.
pub fn ask(socket: &Path, command: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(format!("{command}\n").as_bytes())?;
    // A master answers only then.
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// How often a master was reloaded; None while it does not answer.
pub fn reloads(master: &Path) -> Option<u64> {
    let answer = ask(master, "show proc").ok()?;
    let words = answer.lines().find_map(|line| line.split_once(" master ").map(|(_, rest)| rest.trim()))?;
    words.split_whitespace().next()?.parse().ok()
}

/// The servers of a backend, `HOST:PORT` with its administrative state (0 is ready) and weight, in order.
pub fn servers(socket: &Path, backend: &str) -> std::io::Result<Vec<(String, u32, u32)>> {
    let answer = ask(socket, &format!("show servers state {backend}"))?;
    let lines = answer.lines().filter(|line| !line.starts_with('#'));
    let mut servers: Vec<_> = lines.filter_map(server).collect();
    servers.sort();
    Ok(servers)
}

/// `be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight … srv_fqdn srv_port …`
fn server(line: &str) -> Option<(String, u32, u32)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [address, admin, weight, port] = [4, 6, 7, 18].map(|at| words.get(at).copied().unwrap_or_default());
    Some((format!("{address}:{port}"), admin.parse().ok()?, weight.parse().ok()?))
}
