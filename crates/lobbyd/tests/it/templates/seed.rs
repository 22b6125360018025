//! HAProxy as in the slides "Service Discovery With Node.js and Consul": template, script and command line as they stand there,
//! in an empty folder, with a link to lobbyctl for `consul-template`. Only the port is another one.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use lobby_testkit::{
    TempDir,
    daemon::Daemon,
    eventually, expect, http, port,
    process::{Process, Signal, find},
};
use rustix::process::{Pid, kill_process};
use serde_json::json;

use super::blocks::settled;
use crate::{
    catalog::{deregister, register},
    clients::Backend,
    fleet::{SOON, all_list, gossiping, is_warm, lobbyctl, throughout},
};

/// What the script says at each run.
const RUN: &str = "DEBUG: restarting haproxy";

/// The answers of so many requests in turn are those of all servers.
const ROUND: usize = 9;

/// A text of the slides.
fn slide(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates").join(name);
    fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

/// The folder of the slides; ends the haproxy that was started in it.
struct Folder {
    folder: TempDir,
    front: SocketAddr,
}

impl Folder {
    fn new() -> Self {
        let folder = TempDir::with_prefix("slides-").unwrap();
        let front = port::free_address();
        let this = Self { folder, front };
        let text = slide("advanced.cfg.template");
        assert!(text.contains("bind 0.0.0.0:80\n"), "{text}");
        fs::write(this.path("advanced.cfg.template"), text.replace(":80\n", &format!(":{}\n", front.port()))).unwrap();
        let script = this.path("haproxy-restart.sh");
        fs::write(&script, slide("haproxy-restart.sh")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(this.path("bin")).unwrap();
        symlink(lobbyctl(), this.path("bin/consul-template")).unwrap();
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The text of the configuration with these servers in it.
    fn config(&self, servers: &[&Backend]) -> String {
        let line = |server: &&Backend| format!("\n  server {} {}", server.name, server.address);
        let servers: String = servers.iter().map(line).collect();
        format!("frontend http-in\n  bind 0.0.0.0:{}\n  default_backend www\nbackend www{servers}\n", self.front.port())
    }

    /// A shell with a command line of the slides, beside this agent.
    fn shell(&self, agent: &Daemon, line: &str) -> Command {
        let haproxy = find("haproxy");
        let bins = [self.path("bin"), haproxy.parent().unwrap().to_owned(), "/usr/bin".into(), "/bin".into()];
        let mut command = Command::new("sh");
        command.env_clear().env("PATH", std::env::join_paths(bins).unwrap()).env("PORT", agent.http.port().to_string());
        command.current_dir(self.folder.path()).args(["-c", &format!("exec {line}")]);
        command
    }

    /// Who answers behind haproxy.
    fn served(&self) -> Vec<String> {
        let ask = |_| http::get(self.front, "/").map(|answer| answer.text());
        let mut names: Vec<_> = (0..ROUND).filter_map(|idx| ask(idx).ok()).collect();
        names.sort();
        names.dedup();
        names
    }

    fn haproxy(&self) -> Option<Pid> {
        fs::read_to_string(self.path("haproxy.pid")).ok()?.trim().parse().ok().and_then(Pid::from_raw)
    }
}

impl Drop for Folder {
    /// Ends whoever works in the folder: a haproxy that is about to start has not written its pid file yet.
    fn drop(&mut self) {
        let is_here = |pid: &Pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == self.folder.path());
        let processes = || fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = || processes().filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
        while let Some(pid) = ids().find(is_here) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Waits until the file, haproxy, and the number of runs of the script are these.
#[track_caller]
fn follows(folder: &Folder, template: &Process, servers: &[&Backend], runs: usize) {
    let want = (folder.config(servers), runs, true, servers.iter().map(|server| server.name.clone()).collect::<Vec<_>>());
    eventually(SOON, || {
        let file = fs::read_to_string(folder.path("advanced.cfg")).unwrap_or_default();
        // Asked only where it can be right: a connection that waits for a server takes long.
        let served = if file == want.0 { folder.served() } else { Vec::new() };
        let is_open = port::is_open(folder.front);
        let seen = (file, template.log().matches(RUN).count(), is_open, served);
        expect(seen == want, (seen, template.log()))
    });
}

#[test]
fn the_slides_haproxy_follows_the_instances() {
    let fleet = gossiping(3);
    all_list(&fleet, &["n0", "n1", "n2"]);
    fleet.iter().for_each(is_warm);
    let folder = Folder::new();
    assert!(!folder.path("haproxy.pid").exists());
    let mut template = Process::start("consul-template", folder.shell(&fleet[0], slide("command-line").trim_end()));
    follows(&folder, &template, &[], 1);
    template.wait_for_log(SOON, "haproxy.pid: No such file or directory");
    let first = eventually(SOON, || folder.haproxy().ok_or_else(|| template.log()));

    let servers = ["www0", "www1", "www2"].map(Backend::start);
    let [www0, www1, www2] = &servers;
    let offer = |at: usize, meta: &str| {
        let (address, port) = (servers[at].address.ip(), servers[at].address.port());
        let body = json!({"Name": "www", "ID": servers[at].name, "Address": address, "Port": port, "Meta": {"x": meta}});
        register(&fleet[at], &body);
    };
    offer(0, "");
    follows(&folder, &template, &[www0], 2);
    eventually(SOON, || expect(folder.haproxy().is_some_and(|pid| pid != first), first));
    offer(1, "");
    follows(&folder, &template, &[www0, www1], 3);
    offer(2, "");
    follows(&folder, &template, &[www0, www1, www2], 4);

    // Changes that the file does not show.
    register(&fleet[1], &json!({"Name": "data", "ID": "data1"}));
    offer(2, "another");
    throughout(Duration::from_secs(2), || assert_eq!(template.log().matches(RUN).count(), 4, "{}", template.log()));

    for (at, left) in [(0, &[www1, www2][..]), (1, &[www2]), (2, &[])] {
        deregister(&fleet[at], &servers[at].name);
        follows(&folder, &template, left, 5 + at);
    }
    settled(folder.folder.path(), &template);
    assert_eq!(template.terminate(SOON).code(), Some(12), "{}", template.log());
    assert!(!template.log().contains("[ERR]"), "{}", template.log());
    assert!(port::is_open(folder.front), "haproxy goes on");

    // Started again, it finds everything as it should be.
    let mut again = Process::start("again", folder.shell(&fleet[1], &format!("{} -once", slide("command-line").trim_end())));
    assert_eq!(again.wait(SOON).code(), Some(0), "{}", again.log());
    assert_eq!(again.log(), "", "no run, no warning");
}

#[test]
fn a_template_without_a_last_end_of_line_is_warned_about() {
    let fleet = gossiping(1);
    let folder = Folder::new();
    let text = fs::read_to_string(folder.path("advanced.cfg.template")).unwrap();
    fs::write(folder.path("advanced.cfg.template"), text.trim_end()).unwrap();
    let line = "consul-template -once -template ./advanced.cfg.template:./advanced.cfg";
    let mut template = Process::start("consul-template", folder.shell(&fleet[0], line));
    assert_eq!(template.wait(SOON).code(), Some(0), "{}", template.log());
    let log = template.log();
    assert!(log.contains("[WARN]") && log.contains("does not end with a new line"), "{log}");
    assert!(log.contains("./advanced.cfg.template"), "{log}");
    assert_eq!(fs::read_to_string(folder.path("advanced.cfg")).unwrap(), folder.config(&[]).trim_end());
}
