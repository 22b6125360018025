//! How an HAProxy is reloaded. Decides which way a configuration means: its own command, else the command line of its master,
//! else a new process that takes over the listeners of the old one.
//!
//! Not here: when (`reload`); what a process serves afterwards is read back by `output`.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use lobby_render::{
    command::{CommandError, Surroundings, run_captured},
    settings::{CommandSettings, Env},
};

use crate::{
    haproxy::{
        manage,
        master::{self, MasterError},
        socket::{Ask as _, Socket},
        write::COMMAND_TIMEOUT,
    },
    settings::Haproxy,
};

/// What an HAProxy says, and ends, to which the old one does not give its listeners.
const NO_LISTENERS: &str = "Failed to get the sockets from the old process";

/// One way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// For the shell.
    Command(String),
    /// The socket of a master.
    Master(PathBuf),
    /// `PROGRAM -D -f FILE -p PIDS [-x SOCKET] -sf …`
    HandOver {
        /// HAProxy itself.
        program: PathBuf,
        /// What it loads.
        file: PathBuf,
        /// Where it writes its process ids.
        pid_file: PathBuf,
        /// From which the listeners are taken, if it is there: it needs `expose-fd listeners`.
        socket: Option<PathBuf>,
    },
}

/// Why a reload failed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The command did not end well, or not in time.
    #[error("reload failed: {0}")]
    Command(#[source] CommandError),
    /// The master did not do it.
    #[error("reload failed: {err}{}", cause(.err))]
    Master {
        /// What it said.
        err: MasterError,
    },
    /// The process that answers is not one that a new process would take over from: both would have the ports.
    #[error(
        "no reload: the HAProxy that answers is process {pid}, and {pid_file:?} names none of this file that is; start it with \
         -f FILE -p {pid_file:?}, or give reload_command or master_socket"
    )]
    Stranger {
        /// Who answers.
        pid: u32,
        /// Where process ids are looked for.
        pid_file: PathBuf,
    },
}

fn cause(err: &MasterError) -> String {
    std::error::Error::source(err).map(|err| format!(": {err}")).unwrap_or_default()
}

impl Way {
    /// None: a reload is impossible, as nothing tells how.
    pub fn of(haproxy: &Haproxy) -> Option<Self> {
        if let Some(command) = &haproxy.reload_command {
            return Some(Self::Command(command.clone()));
        }
        let managed = || haproxy.manage.then(|| manage::master_socket(haproxy)).flatten();
        if let Some(socket) = haproxy.master_socket.clone().or_else(managed) {
            return Some(Self::Master(socket));
        }
        let (Some(program), Some(file)) = (haproxy.program.clone(), haproxy.config_file_path.clone()) else { return None };
        let pid_file = pid_file(haproxy, &file);
        let socket = haproxy.sockets.first().cloned().filter(|_| haproxy.do_socket);
        Some(Self::HandOver { program, file, pid_file, socket })
    }

    /// Reloads once.
    pub async fn go(&self, around: &Surroundings) -> Result<(), ReloadError> {
        let argv = match self {
            Self::Command(text) => vec!["sh".into(), "-c".into(), text.clone()],
            Self::Master(socket) => return master::reload(socket).await.map_err(|err| ReloadError::Master { err }),
            Self::HandOver { program, file, pid_file, socket } => {
                let pids = std::fs::read_to_string(pid_file).unwrap_or_default();
                // A number of an earlier boot may be anybody's by now.
                let pids: Vec<&str> = pids.split_ascii_whitespace().filter(|pid| is_haproxy(pid, program, file)).collect();
                let socket = socket.as_deref().filter(|socket| socket.exists());
                if let Some(pid) = who_answers(socket).await.filter(|pid| !is_of(*pid, &pids)) {
                    return Err(ReloadError::Stranger { pid, pid_file: pid_file.clone() });
                }
                let argv = |socket| hand_over(program, file, pid_file, socket, &pids);
                match run(argv(socket), around).await {
                    // The old one was started without `expose-fd listeners`. The new one binds beside it then.
                    Err(err) if socket.is_some() && err.to_string().contains(NO_LISTENERS) => argv(None),
                    done => return done,
                }
            }
        };
        run(argv, around).await
    }
}

async fn run(argv: Vec<String>, around: &Surroundings) -> Result<(), ReloadError> {
    let command = CommandSettings { argv, timeout: COMMAND_TIMEOUT, env: Env::default() };
    let printed = run_captured(&command, around).await.map_err(ReloadError::Command)?;
    tracing::debug!("haproxy: reload: {}", printed.trim_end());
    Ok(())
}

/// The one that the global section names, else beside the file.
fn pid_file(haproxy: &Haproxy, file: &Path) -> PathBuf {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".pid");
    global(haproxy, "pidfile").map_or(beside.into(), PathBuf::from)
}

/// The word after a keyword of the global section.
pub(in crate::haproxy) fn global<'a>(haproxy: &'a Haproxy, keyword: &str) -> Option<&'a str> {
    haproxy.global.iter().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some(keyword)).then(|| words.next()).flatten()
    })
}

fn hand_over(program: &Path, file: &Path, pid_file: &Path, socket: Option<&Path>, pids: &[&str]) -> Vec<String> {
    let text = |path: &Path| path.display().to_string();
    let mut argv = vec![text(program), "-D".into(), "-f".into(), text(file), "-p".into(), text(pid_file)];
    if let (Some(socket), false) = (socket, pids.is_empty()) {
        argv.extend(["-x".into(), text(socket)]);
    }
    if !pids.is_empty() {
        // Takes all that follow, so it is the last.
        argv.push("-sf".into());
        argv.extend(pids.iter().map(|pid| (*pid).to_owned()));
    }
    argv
}

/// The process behind a socket. None: nobody answers there.
async fn who_answers(socket: Option<&Path>) -> Option<u32> {
    let info = Socket::new(socket?).ask("show info").await.ok()?;
    info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())
}

/// Whether it is one of these, or the worker of one.
fn is_of(pid: u32, pids: &[&str]) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap_or_default().trim();
    pids.iter().any(|one| *one == pid.to_string() || *one == parent)
}

/// Whether it is an HAProxy with our file: another one must not be told to end.
fn is_haproxy(pid: &str, program: &Path, file: &Path) -> bool {
    let Ok(pid) = pid.parse::<u32>() else { return false };
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let folder = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    is_with_file(&line, &folder, program, file)
}

fn is_with_file(line: &[u8], folder: &Path, program: &Path, file: &Path) -> bool {
    let words: Vec<&Path> = line.split(|byte| *byte == 0).map(|word| Path::new(OsStr::from_bytes(word))).collect();
    let Some((first, rest)) = words.split_first() else { return false };
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let file = real(file);
    // The folder of a file can be given as well.
    let has_file = rest
        .windows(2)
        .any(|two| two[0] == Path::new("-f") && !two[1].as_os_str().is_empty() && file.starts_with(real(&folder.join(two[1]))));
    first.file_name().is_some() && first.file_name() == program.file_name() && has_file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_given_command_is_first_then_the_master_then_a_hand_over() {
        let file = Some(PathBuf::from("/c/haproxy.cfg"));
        let settings = Haproxy { config_file_path: file, sockets: vec!["/s".into()], ..Haproxy::default() };
        assert_eq!(Way::of(&settings), None);
        let settings = Haproxy { program: Some("/sbin/haproxy".into()), ..settings };
        let (program, file) = (PathBuf::from("/sbin/haproxy"), PathBuf::from("/c/haproxy.cfg"));
        let want = |pid_file: &str, socket| Way::HandOver {
            program: program.clone(),
            file: file.clone(),
            pid_file: pid_file.into(),
            socket,
        };
        assert_eq!(Way::of(&settings), Some(want("/c/haproxy.cfg.pid", Some("/s".into()))));
        let global = Haproxy { global: vec![" pidfile  /run/h.pid".into()], do_socket: false, ..settings.clone() };
        assert_eq!(Way::of(&global), Some(want("/run/h.pid", None)), "do_socket = false opens none");
        let managed = Haproxy { manage: true, ..settings.clone() };
        assert!(matches!(Way::of(&managed), Some(Way::Master(socket)) if socket == Path::new("/c/haproxy-master.sock")));
        let mastered = Haproxy { master_socket: Some("/m".into()), ..settings.clone() };
        assert_eq!(Way::of(&mastered), Some(Way::Master("/m".into())));
        let commanded = Haproxy { reload_command: Some("echo noop".into()), ..mastered };
        assert_eq!(Way::of(&commanded), Some(Way::Command("echo noop".into())));
    }

    #[test]
    fn a_hand_over_names_the_old_processes_last_and_their_socket_only_with_them() {
        let argv = |pids: &[&str]| {
            let socket = Some(Path::new("/s"));
            hand_over(Path::new("haproxy"), Path::new("/c"), Path::new("/p"), socket, pids).join(" ")
        };
        assert_eq!(argv(&["7", "8"]), "haproxy -D -f /c -p /p -x /s -sf 7 8");
        assert_eq!(argv(&[]), "haproxy -D -f /c -p /p");
        let (program, file) = (Path::new("/usr/sbin/haproxy"), Path::new("/nowhere/c/h.cfg"));
        for pid in [std::process::id().to_string().as_str(), "../1", ""] {
            assert!(!is_haproxy(pid, program, file), "{pid}");
        }
        let cases = [
            ("haproxy\0-D\0-f\0/nowhere/c/h.cfg\0-p\0/p\0", true),
            ("/sbin/haproxy\0-f\0c/h.cfg\0", true),
            ("haproxy\0-f\0/nowhere/c\0", true),
            ("haproxy\0-f\0/nowhere/c/other.cfg\0", false),
            ("haproxy\0-f\0", false),
            ("haproxy\0-p\0/nowhere/c/h.cfg\0", false),
            ("nginx\0-f\0/nowhere/c/h.cfg\0", false),
            ("", false),
        ];
        for (line, want) in cases {
            assert_eq!(is_with_file(line.as_bytes(), Path::new("/nowhere"), program, file), want, "{line:?}");
        }
    }

    #[test]
    fn a_worker_belongs_to_its_master() {
        let own = std::process::id();
        let parent = std::os::unix::process::parent_id().to_string();
        assert!(is_of(own, &["1", &own.to_string()]) && is_of(own, &[&parent]));
        assert!(!is_of(own, &[]) && !is_of(own, &["0"]) && !is_of(u32::MAX, &[&parent]));
    }

    #[tokio::test]
    async fn a_command_that_fails_is_told_with_what_it_printed() {
        let around = Surroundings::default();
        Way::Command("echo noop".into()).go(&around).await.unwrap();
        let err = Way::Command("echo no such service >&2; exit 5".into()).go(&around).await.unwrap_err();
        assert!(err.to_string().contains("no such service"), "{err}");
        let err = Way::Master("/nowhere/at/all".into()).go(&around).await.unwrap_err();
        assert!(err.to_string().contains("does not answer: No such file"), "{err}");
    }
}
