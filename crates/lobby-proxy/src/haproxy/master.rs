//! The command line of an HAProxy master (`-S`). Decides how a reload is asked for there, and whether it took effect.
//!
//! ```text
//! ─► show proc      master 1 [failed: 0] …         how often it was reloaded so far
//! ─► reload         2.7+: Success=0|1 and the log; before, the connection just closes, as the master becomes a new one
//! ─► show proc …    until the number has grown: [failed: 0] and a worker is there, else the old worker goes on
//! ```
//! One connection a command: our side is shut after it, or the master would not close its own.

use std::{io, path::Path, path::PathBuf, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::{Instant, sleep, timeout, timeout_at},
};

/// For one command: it is answered at once, or after the load of a big file (2.7 and later).
const ANSWER: Duration = Duration::from_secs(30);

/// How long a master that becomes a new one may take to answer: a start took 60 to 120 ms where it was measured.
const AGAIN: Duration = Duration::from_secs(10);

/// Between two looks at a master that is not back yet.
const LOOK: Duration = Duration::from_millis(20);

/// Most bytes of an answer: logs of a load are long, but not that long.
const ANSWER_BYTES: u64 = 1 << 20;

/// Why a master did not do it.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// It does not answer; whether it did anything is not known.
    #[error("the master at {path:?} does not answer")]
    Silent {
        /// Its socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The new file was not taken; the old worker goes on.
    #[error("the master at {path:?} could not load the new file, the old worker goes on{}", told(.log))]
    Refused {
        /// Its socket.
        path: PathBuf,
        /// What it said.
        log: String,
    },
    /// It answered something else.
    #[error("the master at {path:?} answered what is not known: {answer:?}")]
    Unknown {
        /// Its socket.
        path: PathBuf,
        /// The beginning of it.
        answer: String,
    },
}

fn told(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!(": {}", log.trim_end()) }
}

/// What `show proc` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processes {
    /// The master's process id.
    pub master: u32,
    /// How often it was reloaded.
    pub n_reloads: u64,
    /// How many of these failed since the last that did not.
    pub n_failed: u64,
    /// Workers of the newest load.
    pub n_workers: usize,
}

impl Processes {
    /// From the text of `show proc`; None: it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut found: Option<Self> = None;
        // Up to 2.4 there is a column before it.
        let before = usize::from(text.contains("<relative PID>"));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_ascii_whitespace();
            let (Some(pid), Some(kind), Some(n_reloads)) = (words.next(), words.next(), words.nth(before)) else { continue };
            let (Ok(pid), Ok(n_reloads)) = (pid.parse(), n_reloads.parse()) else { continue };
            match (kind, &mut found) {
                ("master", None) => {
                    let failed = line.split_once("[failed:").and_then(|(_, rest)| rest.split_once(']')?.0.trim().parse().ok());
                    found = Some(Self { master: pid, n_reloads, n_failed: failed.unwrap_or(0), n_workers: 0 });
                }
                // Others are of an earlier load.
                ("worker", Some(found)) if n_reloads == 0 => found.n_workers += 1,
                _ => {}
            }
        }
        found
    }
}

/// Sends one command, reads all of its answer.
async fn ask(path: &Path, command: &str, within: Duration) -> Result<String, MasterError> {
    let asked = async {
        let mut stream = UnixStream::connect(path).await?;
        stream.write_all(format!("{command}\n").as_bytes()).await?;
        stream.shutdown().await?;
        let mut answer = Vec::new();
        // A master that becomes a new one may also cut the connection.
        match stream.take(ANSWER_BYTES).read_to_end(&mut answer).await {
            Err(err) if err.kind() != io::ErrorKind::ConnectionReset => Err(err),
            _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
        }
    };
    let asked = timeout(within, asked).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    asked.map_err(|source| MasterError::Silent { path: path.to_owned(), source })
}

/// Which processes there are.
pub async fn processes(path: &Path) -> Result<Processes, MasterError> {
    let answer = ask(path, "show proc", Duration::from_secs(1)).await?;
    let unknown = || MasterError::Unknown { path: path.to_owned(), answer: answer.chars().take(200).collect() };
    Processes::parse(&answer).ok_or_else(unknown)
}

/// Has the file loaded again by new workers, and waits until they are there.
pub async fn reload(path: &Path) -> Result<(), MasterError> {
    let before = processes(path).await?;
    let answer = ask(path, "reload", ANSWER).await?;
    let refused = |log: &str| MasterError::Refused { path: path.to_owned(), log: log.to_owned() };
    if let Some((_, rest)) = answer.split_once("Success=") {
        return if rest.starts_with('1') { Ok(()) } else { Err(refused(rest.trim_start_matches(['0', '\n', '-']))) };
    }
    let until = Instant::now() + AGAIN;
    loop {
        let now = timeout_at(until, processes(path)).await;
        match now {
            Ok(Ok(now)) if now.n_reloads > before.n_reloads && now.n_failed > 0 => return Err(refused("")),
            Ok(Ok(now)) if now.n_reloads > before.n_reloads && now.n_workers > 0 => return Ok(()),
            Ok(Err(err)) if Instant::now() + LOOK >= until => return Err(err),
            Err(_) => return Err(MasterError::Silent { path: path.to_owned(), source: io::ErrorKind::TimedOut.into() }),
            Ok(Ok(_) | Err(_)) => sleep(LOOK).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_show_proc_prints_is_read() {
        let of_2_6 = "#<PID>          <type>          <reloads>       <uptime>        <version>      \n\
            22671           master          2 [failed: 1]   0d00h00m01s     2.6.12-1+deb12u4\n# workers\n\
            22774           worker          1               0d00h00m01s     2.6.12-1+deb12u4\n# programs\n\n\n";
        let want = Processes { master: 22671, n_reloads: 2, n_failed: 1, n_workers: 0 };
        assert_eq!(Processes::parse(of_2_6), Some(want));
        let old = "#<PID> <type> <relative PID> <reloads> <uptime> <version>\n1 master 0 2 0d00h00m01s 2.0\n# workers\n\
            9 worker 1 0 0d\n# old workers\n7 worker [was: 1] 3 0d\n";
        assert_eq!(Processes::parse(old), Some(Processes { master: 1, n_reloads: 2, n_failed: 0, n_workers: 1 }));
        for nonsense in ["", "Unknown command", "x master 0", "9 worker 0", "1 master x\n9 worker 0"] {
            assert_eq!(Processes::parse(nonsense), None, "{nonsense}");
        }
    }
}
