//! An HAProxy in a container that shares only a folder, or only the file: a program there follows the file with inotify and
//! starts a new HAProxy for each change (`-sf`), as the image that the seed's text names.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use lobby_testkit::{
    TempDir,
    daemon::Daemon,
    eventually, expect,
    haproxy::{Leftovers, processes, reloads},
    http,
    load::{Connections, Load},
    port,
    process::{Process, Signal, find},
};

use super::stage::Server;
use crate::fleet::{SOON, daemon};

/// Follows FOLDER/haproxy.cfg; says each event with `whole` or `torn`, as HAProxy's own check finds the file.
pub(super) const FOLLOWER: &str = r#"
import ctypes, os, struct, subprocess, sys
folder, haproxy = sys.argv[1], sys.argv[2]
file, pids = folder + "/haproxy.cfg", folder + "/pids"
libc = ctypes.CDLL(None, use_errno=True)
events = libc.inotify_init1(0)
NAMES = {0x8: "close_write", 0x80: "moved_to", 0x100: "create"}
assert libc.inotify_add_watch(events, folder.encode(), 0x8 | 0x80 | 0x100) >= 0

def follow(event):
    whole = subprocess.run([haproxy, "-c", "-q", "-f", file]).returncode == 0
    print(event, "whole" if whole else "torn", flush=True)
    old = open(pids).read().split() if os.path.exists(pids) else []
    subprocess.run([haproxy, "-D", "-f", file, "-p", pids] + (["-sf"] + old if old else []))

if os.path.exists(file) and os.path.getsize(file):
    follow("start")
print("follows", flush=True)
while True:
    data, at = os.read(events, 65536), 0
    while at < len(data):
        _, mask, _, length = struct.unpack_from("iIII", data, at)
        name = data[at + 16:at + 16 + length].rstrip(b"\0").decode()
        at += 16 + length
        if name == "haproxy.cfg":
            follow(NAMES[mask & 0x188])
"#;

/// `inotifyd - .:y`, as busybox has it: a line for each rename into this folder.
const INOTIFYD: &str = r#"#!/usr/bin/python3
import ctypes, os, struct, sys
assert sys.argv[1:] == ["-", ".:y"]
libc = ctypes.CDLL(None, use_errno=True)
events = libc.inotify_init1(0)
assert libc.inotify_add_watch(events, b".", 0x80 | 0x200) >= 0
while True:
    data, at = os.read(events, 65536), 0
    while at < len(data):
        _, mask, _, length = struct.unpack_from("iIII", data, at)
        name = data[at + 16:at + 16 + length].rstrip(b"\0").decode()
        at += 16 + length
        if mask & 0x80:
            print("y", ".", name, sep="\t", flush=True)
        elif name == "haproxy.cfg":
            sys.exit()  # the test is over
"#;

/// Of docs/proxy.md, the section about containers.
fn manual() -> String {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/proxy.md")).unwrap();
    page.split("\n### A container\n").nth(1).unwrap().split("\n## ").next().unwrap().to_owned()
}

struct Container {
    front: SocketAddr,
    statistics: SocketAddr,
    follower: Process,
    _leftovers: Leftovers,
    folder: TempDir,
}

impl Container {
    /// The follower at work in an empty folder, or one whose file is there and empty, as a mount needs it.
    fn start(has_file: bool) -> Self {
        let folder = TempDir::with_prefix("container-").unwrap();
        if has_file {
            fs::write(folder.path().join("haproxy.cfg"), "").unwrap();
        }
        let mut command = Command::new(find("python3"));
        command.args(["-c", FOLLOWER]).arg(folder.path()).arg(find("haproxy"));
        let this = Self::start_in(folder, command);
        this.follower.wait_for_log(SOON, "follows");
        this
    }

    fn start_in(folder: TempDir, command: Command) -> Self {
        let leftovers = Leftovers::of(folder.path());
        let follower = Process::start("follower", command);
        Self { front: port::free_address(), statistics: port::free_address(), follower, _leftovers: leftovers, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("haproxy.cfg")
    }

    /// lobbyd's configuration for a file at `config`: no socket, the seed's command.
    fn write(&self, folder: &Path, config: &Path) -> PathBuf {
        let text = format!(
            "[proxy.haproxy]\nconfig = \"{}\"\nstate_file = \"{}\"\nsocket = false\nreload_command = \"echo noop\"\n\
             global = [\"maxconn 4096\"]\n\
             defaults = [\"mode http\", \"retries 3\", \"timeout connect 5s\", \"timeout client 1m\", \"timeout server 1m\"]\n\
             [proxy.haproxy.extra]\n\"listen stats :{}\" = [\"stats enable\", \"stats uri /\"]\n\
             [proxy.service.web]\nport = {}\nserver_options = \"\"\n",
            config.display(),
            folder.join("state.json").display(),
            self.statistics.port(),
            self.front.port()
        );
        let path = folder.join("lobbyd.toml");
        fs::write(&path, text).unwrap();
        path
    }

    /// Waits until these answer, and nobody else.
    #[track_caller]
    fn serves(&self, agent: &Daemon, servers: &[&Server]) {
        let mut want: Vec<_> = servers.iter().map(|server| Ok(server.name.clone())).collect();
        want.sort();
        eventually(SOON, || {
            let ask = |_| http::get(self.front, "/").map(|answer| answer.text()).map_err(|err| err.kind());
            let mut seen: Vec<_> = (0..3 * servers.len()).map(ask).collect();
            seen.sort();
            seen.dedup();
            expect(seen == want, (seen, self.follower.log(), agent.process.log()))
        });
    }

    /// Ten changes, each of which is served.
    fn changes(&self, agent: &Daemon) {
        let servers: Vec<_> = (0..5).map(|idx| Server::start(&format!("s{idx}"))).collect();
        for n in 1..=servers.len() {
            servers[n - 1].register(agent, 1);
            self.serves(agent, &servers[..n].iter().collect::<Vec<_>>());
        }
        for n in 1..servers.len() {
            servers[n - 1].deregister(agent);
            self.serves(agent, &servers[n..].iter().collect::<Vec<_>>());
        }
        let page = http::get(self.statistics, "/").unwrap();
        assert!(page.text().contains("Statistics Report for HAProxy"), "{}", page.text());
        assert!(!self.follower.log().contains("torn"), "{}", self.follower.log());
    }

    fn events(&self) -> Vec<String> {
        let log = self.follower.log();
        let words = log.lines().filter_map(|line| line.strip_suffix(" whole"));
        words.map(str::to_owned).collect()
    }
}

#[test]
fn a_container_follows_the_file_by_one_rename_a_change() {
    let (container, own) = (Container::start(false), TempDir::new().unwrap());
    let config = container.write(own.path(), &container.file());
    let agent = daemon("n0").arg("--config").arg(config.display().to_string()).start();
    container.follower.wait_for_log(SOON, "moved_to whole");
    container.changes(&agent);
    let events = container.events();
    assert!(events.iter().all(|event| event == "moved_to"), "{events:?}");
    // The empty one at first, and nine changes of servers.
    assert_eq!(events.len(), 10, "{events:?}\n{}", agent.process.log());
}

#[test]
fn a_file_that_is_mounted_alone_is_written_in_place_with_a_warning() {
    let (container, own) = (Container::start(true), TempDir::new().unwrap());
    let mounted = own.path().join("haproxy.cfg");
    fs::write(&mounted, "").unwrap();
    let before = fs::metadata(container.file()).unwrap().ino();
    let config = container.write(own.path(), &mounted);
    let script = "mount --bind \"$1\" \"$2\" && exec \"$3\" --config \"$4\"";
    let mut builder = Daemon::build(&find("unshare").display().to_string(), "n0");
    let arguments =
        [&container.file(), &mounted, Path::new(env!("CARGO_BIN_EXE_lobbyd")), &config].map(|path| path.display().to_string());
    for argument in ["--mount", "sh", "-c", script, "sh"].map(str::to_owned).into_iter().chain(arguments) {
        builder = builder.arg(argument);
    }
    let agent = builder.start();
    container.changes(&agent);
    let events = container.events();
    assert!(events.iter().all(|event| event == "close_write"), "{events:?}");
    assert_eq!(fs::metadata(container.file()).unwrap().ino(), before, "it is the same file");
    assert_eq!(fs::read_to_string(&mounted).unwrap(), "", "outside of the mount there is another one");
    let log = agent.process.log();
    assert_eq!(log.matches("written in place").count(), 1, "{log}");
}

/// What is YAML in it, and whether it fits, is tested in lobby-proxy.
#[test]
fn the_shell_of_the_compose_file_follows_the_file() {
    let manual = manual();
    let script = manual.split("      - |\n").nth(1).unwrap().split("\nvolumes:").next().unwrap();
    let folder = TempDir::with_prefix("container-").unwrap();
    let (bin, file) = (folder.path().join("bin"), folder.path().join("haproxy.cfg"));
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("inotifyd"), INOTIFYD).unwrap();
    fs::set_permissions(bin.join("inotifyd"), fs::Permissions::from_mode(0o755)).unwrap();
    // Compose makes one `$` of two. The whole path, so that what is left over is found.
    assert!(script.contains(" -f haproxy.cfg ") && script.contains("/run/haproxy.pid") && script.contains("$$name"), "{script}");
    let script = script.replace("$$", "$").replace("-f haproxy.cfg", &format!("-f {}", file.display()));
    let script = script.replace("/run/", &format!("{}/", bin.display()));
    let mut command = Command::new("/bin/sh");
    let path = format!("{}:/usr/sbin:/usr/bin:/bin", bin.display());
    command.args(["-c", &script]).current_dir(folder.path()).env_clear().env("PATH", path);
    let (container, own) = (Container::start_in(folder, command), TempDir::new().unwrap());
    let config = container.write(own.path(), &container.file());
    let agent = daemon("n0").arg("--config").arg(config.display().to_string()).start();
    container.changes(&agent);
    // Those of before have nothing left to do.
    eventually(SOON, || {
        let all = processes(container.folder.path());
        expect(all.len() == 1, (all, container.follower.log()))
    });
}

#[test]
fn lobbyd_takes_the_stanzas_of_the_manual() {
    let (manual, folder) = (manual(), TempDir::new().unwrap());
    let stanzas: Vec<_> = manual.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(stanzas.len(), 2);
    for stanza in stanzas {
        let file = folder.path().join("lobby.toml");
        fs::write(&file, stanza).unwrap();
        let (status, said) = daemon("n0").arg("--config").arg(file.display().to_string()).arg("--check-config").run(SOON);
        assert!(status == Some(0) && !said.contains("WARN"), "{said}");
    }
}

/// The second one of the manual: servers come and go over the sockets in the shared folder, structure takes a reload by the
/// container's master.
#[test]
fn a_container_that_shows_its_sockets_is_reloaded_for_structure_alone() {
    let (manual, own) = (manual(), TempDir::new().unwrap());
    let folder = TempDir::with_prefix("container-").unwrap();
    let here = folder.path().display().to_string();
    let arguments = manual.rsplit("command: [").next().unwrap().split(']').next().unwrap();
    assert!(arguments.starts_with("haproxy, -W, -db, -S, /etc/haproxy/"), "{arguments}");
    let arguments = arguments.replace(", ", " ").replace("/etc/haproxy", &here);
    let mut command = Command::new("/bin/sh");
    // `restart: always`
    command.args(["-c", &format!("while [ -d {here} ]; do {arguments}; sleep 0.2; done")]);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin"));
    let container = Container::start_in(folder, command);
    let stanza = manual.rsplit("```toml\n").next().unwrap().split("```").next().unwrap();
    let port = container.front.port().to_string();
    let replaced = [("/etc/haproxy", &*here), ("/var/lib/lobby", &own.path().display().to_string()), ("50003", &port)];
    let stanza = replaced.into_iter().fold(stanza.to_owned(), |text, (from, to)| text.replace(from, to));
    let config = own.path().join("lobbyd.toml");
    fs::write(&config, &stanza).unwrap();
    let mut agent = daemon("n0").arg("--config").arg(config.display().to_string()).start();
    let servers = ["a", "b", "c"].map(Server::start);
    servers[0].register(&agent, 1);
    container.serves(&agent, &[&servers[0]]);
    eventually(SOON, || {
        let status = agent.get("/v1/proxy").json()["haproxy"].clone();
        expect(status["is_in_step"] == true, (status, agent.process.log()))
    });
    let n_reloads = || reloads(&container.folder.path().join("master.sock"));
    let before = n_reloads().unwrap();
    let load = Load::start(container.front, Connections::New, 100);
    for _ in 0..2 {
        servers[1..].iter().for_each(|server| server.register(&agent, 1));
        container.serves(&agent, &servers.iter().collect::<Vec<_>>());
        servers[1..].iter().for_each(|server| server.deregister(&agent));
        container.serves(&agent, &[&servers[0]]);
    }
    assert_eq!(n_reloads(), Some(before), "{}", agent.process.log());
    fs::write(&config, format!("{stanza}frontend = [\"http-response set-header X-Mark 1\"]\n")).unwrap();
    agent.process.signal(Signal::HUP);
    eventually(SOON, || {
        let mark = http::get(container.front, "/").map(|answer| answer.header("x-mark").map(str::to_owned));
        expect(matches!(&mark, Ok(Some(mark)) if mark == "1"), (mark, agent.process.log()))
    });
    let report = load.stop();
    assert_eq!((report.n_failed(), n_reloads()), (0, Some(before + 1)), "{report:?}\n{}", agent.process.log());
}
