//! Masters of ours by what the system says of its processes. Decides which process is one when no note tells: a lost pid file
//! and another master socket must not end in two HAProxys on the same ports.
//!
//! Not here: notes, and what a master says of itself (`place`).

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use super::place::MODE;

/// Each master that was started with this file as its arguments tell, and where it listens; the youngest first.
pub(super) fn masters(file: &Path) -> Vec<(u32, PathBuf)> {
    let mut found: Vec<_> = pids().filter_map(|pid| Some((started(pid)?, pid, listens(pid, file)?))).collect();
    found.sort();
    found.into_iter().rev().map(|(_, pid, socket)| (pid, socket)).collect()
}

fn pids() -> impl Iterator<Item = u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok())
}

/// Characters of a command line that are shown.
const SHOWN: usize = 200;

/// Who has told this process to finish, and so has its listeners, with its command line.
pub(super) fn successor(pid: u32) -> Option<(u32, String)> {
    pids().find_map(|other| {
        let line = std::fs::read(format!("/proc/{other}/cmdline")).ok()?;
        let text = || String::from_utf8_lossy(&line).replace('\0', " ");
        has_taken(&line, pid).then(|| (other, text().trim_end().chars().take(SHOWN).collect()))
    })
}

/// Whether these are the arguments of `haproxy … -sf PID PID …`, or `-st`.
fn has_taken(line: &[u8], pid: u32) -> bool {
    let mut words = line.split(|byte| *byte == 0);
    let pid = pid.to_string();
    words.any(|word| word == b"-sf" || word == b"-st")
        && words.take_while(|word| !word.starts_with(b"-")).any(|word| word == pid.as_bytes())
}

/// Where it listens; None: it is none.
fn listens(pid: u32, file: &Path) -> Option<PathBuf> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<&OsStr> = line.split(|byte| *byte == 0).map(OsStr::from_bytes).collect();
    let is_at = |words: &&[&OsStr]| words[0] == "-S" && words[2] == "-f" && words[3] == file;
    let socket = words.windows(4).find(is_at)?[1].as_bytes().strip_suffix(MODE.as_bytes())?;
    is_same_folder(pid, file.parent()?).then(|| PathBuf::from(OsStr::from_bytes(socket)))
}

/// A process of a container may have another file of the same name.
fn is_same_folder(pid: u32, folder: &Path) -> bool {
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let theirs = std::fs::metadata(root.join(folder.strip_prefix("/").unwrap_or(folder)));
    let (Ok(ours), Ok(theirs)) = (std::fs::metadata(folder), theirs) else { return false };
    (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino())
}

/// When it was started, in ticks since boot. None: it leads no group of processes, as masters do; workers have the same
/// arguments, and outlive a killed master for a moment.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything.
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let group: u32 = fields.get(2)?.parse().ok()?;
    (group == pid).then(|| fields.get(19)?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::has_taken;

    #[test]
    fn who_takes_over_is_told_by_its_arguments() {
        let taken = |line: &str| has_taken(line.replace(' ', "\0").as_bytes(), 12);
        for line in ["haproxy -f f -sf 12", "haproxy -D -st 11 12 -x s", "haproxy -sf 12 "] {
            assert!(taken(line), "{line}");
        }
        for line in ["", "haproxy -f 12", "haproxy -sf 123", "haproxy -sf 1 -n 12", "haproxy 12 -sf"] {
            assert!(!taken(line), "{line}");
        }
    }
}
