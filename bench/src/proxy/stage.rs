//! Where changes are made: an agent with its HAProxy, kept in step by `[proxy]`, or by a template and `haproxy -sf`; backends
//! that are processes of their own, registered at the agent and bound to their process.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use lobby_testkit::{
    TempDir,
    daemon::Daemon,
    eventually, expect,
    haproxy::{Leftovers, ask, reloads},
    http, load,
    port::{free, free_address},
    process::{Process, Signal, find},
};
use serde_json::json;

use crate::{
    agents::{SOON, put},
    host::{metric, now, sleep_until},
};

/// How long each backend works on a request, so that there are some under way whenever something changes: five at 1 000 a
/// second.
const WORK: Duration = Duration::from_millis(5);

/// Who keeps HAProxy in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// lobbyd's `[proxy]`.
    Proxy,
    /// lobbyd's `[[template]]` and a new HAProxy for each change.
    Template,
    /// lobbyd's `[proxy]` with nginx, which is reloaded at most each second.
    Nginx,
}

/// What the file says apart from servers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Structure {
    /// A number in a line of the frontend.
    pub(crate) mark: u32,
    /// There is another service.
    pub(crate) has_more: bool,
    pub(crate) redispatch: bool,
    /// Of the next version, in the proxy alone.
    pub(crate) backup: Option<u16>,
}

pub(crate) struct Stage {
    pub(crate) way: Way,
    pub(crate) front: SocketAddr,
    pub(crate) agent: Daemon,
    more: SocketAddr,
    backup: Option<u16>,
    _leftovers: Leftovers,
    folder: TempDir,
}

/// A server behind the proxy, in a process of its own.
pub(crate) struct Backend {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    process: Process,
}

impl Stage {
    pub(crate) fn start(program: &str, way: Way, structure: Structure) -> Self {
        let folder = TempDir::with_prefix("bench-proxy-").expect("a temporary folder");
        let leftovers = Leftovers::of(folder.path());
        let (front, more) = (free_address(), free_address());
        let file = folder.path().join("lobbyd.toml");
        fs::write(&file, text(way, structure, folder.path(), front, more)).expect("a file");
        let agent = Daemon::build(program, "bench").env("LOG", "info").arg("--config").arg(file.display().to_string()).start();
        Self { way, front, agent, more, backup: structure.backup, _leftovers: leftovers, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Another structure, by a reload of the agent; waits until clients see it.
    pub(crate) fn restructure(&self, structure: Structure) {
        let file = self.path("lobbyd.toml");
        fs::write(&file, text(self.way, structure, self.folder.path(), self.front, self.more)).expect("a file");
        let mut hup = Command::new(find("kill"));
        let told = hup.args(["-HUP", &self.agent.process.pid().to_string()]).status();
        assert!(told.expect("kill can be started").success(), "the agent cannot be told to reload");
        let want = structure.mark.to_string();
        eventually(SOON, || {
            let seen = http::get(self.front, "/").map(|answer| answer.header("x-mark").unwrap_or_default().to_owned());
            let is_open = lobby_testkit::port::is_open(self.more);
            expect(
                seen.as_ref().is_ok_and(|seen| *seen == want) && is_open == structure.has_more,
                (seen, self.agent.process.log()),
            )
        });
    }

    /// The port of the next version.
    pub(crate) fn backup(&self) -> u16 {
        self.backup.expect("a stage for swaps has one")
    }

    /// How often HAProxy was started anew or reloaded so far, as it says itself, or as the commands of the template do.
    pub(crate) fn reloads(&self) -> u64 {
        match self.way {
            Way::Proxy => eventually(SOON, || reloads(&self.path("haproxy-master.sock")).ok_or("the master does not answer")),
            Way::Template => metric(&self.agent, "lobby_template_commands_total", &[]),
            Way::Nginx => metric(&self.agent, "lobby_proxy_reloads_total", &["output=\"nginx\""]),
        }
    }

    /// Registers it, bound to its process; where versions are swapped under one registration, not bound.
    pub(crate) fn register(&self, backend: &Backend, weight: u32) {
        let mut body = json!({
            "address": "127.0.0.1", "port": backend.address.port(), "weights": {"passing": weight, "warning": 1},
        });
        if self.backup.is_none() {
            body["check"] = json!({"pid": backend.process.pid()});
        }
        put(&self.agent, &(format!("/v1/services/web/{}", backend.name), body.to_string()));
    }

    pub(crate) fn deregister(&self, backend: &Backend) {
        self.ask("DELETE", &format!("/v1/services/web/{}", backend.name));
    }

    pub(crate) fn drain(&self, backend: &Backend, drains: bool) {
        self.ask(if drains { "PUT" } else { "DELETE" }, &format!("/v1/services/web/{}/drain", backend.name));
    }

    pub(crate) fn ask(&self, method: &str, path: &str) {
        let answer = self.agent.request(method, path, &[], "");
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    }

    pub(crate) fn label(&self, method: &str, label: &str) {
        let answer = self.agent.request(method, "/v1/labels", &[], label);
        assert!(answer.status < 300, "{method} {label}: {}", answer.text());
    }

    /// Waits until exactly these answer.
    pub(crate) fn serves(&self, names: &[&str]) {
        let mut want = names.to_vec();
        want.sort_unstable();
        eventually(SOON, || {
            let ask = |_| http::get(self.front, "/").map_or_else(|err| err.to_string(), |answer| answer.text());
            // A round of weights up to 3, several times.
            let mut seen: Vec<_> = (0..names.len() * 12).map(ask).collect();
            seen.sort_unstable();
            seen.dedup();
            let stats = || ask_stats(&self.path("haproxy.sock"));
            expect(seen == want, (seen, self.agent.process.log(), stats()))
        });
    }
}

fn ask_stats(socket: &Path) -> String {
    ask(socket, "show servers state").unwrap_or_default()
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.way != Way::Nginx {
            return;
        }
        // What it does for the backends that end comes to nothing. A check alone leaves an empty file.
        self.agent.kill();
        let runs = || fs::read_to_string(self.path("nginx.pid")).is_ok_and(|pid| !pid.is_empty());
        if runs() {
            let _ = Command::new("sh").args(["-c", &nginx_command(self.folder.path(), "-s stop")]).status();
            eventually(SOON, || expect(!runs(), "nginx still runs"));
        }
    }
}

impl Backend {
    pub(crate) fn start(name: &str) -> Self {
        Self::start_at(name, free())
    }

    pub(crate) fn start_at(name: &str, port: u16) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["backend", &port.to_string(), name]);
        let process = Process::start(name, command);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        eventually(SOON, || expect(lobby_testkit::port::is_open(address), process.log()));
        Self { name: name.to_owned(), address, process }
    }

    pub(crate) fn kill(&mut self) {
        self.process.signal(Signal::KILL);
    }

    /// Answers in the place of one that was killed, until this program ends.
    pub(crate) fn haunt(&self, name: String) {
        let address = self.address;
        thread::spawn(move || {
            // The kernel may take a moment to give the port back.
            while lobby_testkit::port::is_open(address) {}
            let listener = eventually(SOON, || TcpListener::bind(address));
            load::serve(listener, &name, WORK);
        });
    }
}

/// `bench backend PORT NAME`: such a process. It ends with the one that has started it.
pub(crate) fn backend(args: &[String]) {
    let [port, name] = args else { panic!("backend PORT NAME") };
    let port: u16 = port.parse().expect("a port");
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let parent = rustix::process::getppid();
    thread::spawn(move || {
        while rustix::process::getppid() == parent {
            sleep_until(now() + Duration::from_secs(1));
        }
        std::process::exit(0);
    });
    load::serve(listener, name, WORK);
}

fn text(way: Way, structure: Structure, folder: &Path, front: SocketAddr, more: SocketAddr) -> String {
    match way {
        Way::Proxy => proxy(structure, folder, front, more),
        Way::Template => template(structure, folder, front, more),
        Way::Nginx => nginx(folder, front),
    }
}

fn nginx_command(folder: &Path, arguments: &str) -> String {
    let (program, folder) = (find("nginx").display().to_string(), folder.display());
    format!("{program} -p {folder} -e {folder}/error.log -c {folder}/nginx.conf {arguments}")
}

fn nginx(folder: &Path, front: SocketAddr) -> String {
    let [check, reload, start] = ["-t", "-s reload", ""].map(|arguments| nginx_command(folder, arguments));
    let (port, folder) = (front.port(), folder.display());
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|what| format!("\"{what}_temp_path {folder}/{what}\""));
    format!(
        "[proxy.nginx]\nconfig = \"{folder}/nginx.conf\"\nmain = [\"pid {folder}/nginx.pid\"]\n\
         events = [\"worker_connections 1024\"]\nhttp = [\"access_log off\", {}]\n\
         check_command = {check:?}\nreload_command = {reload:?}\nstart_command = {start:?}\nreload_interval = \"1s\"\n\
         [proxy.service.web]\nnginx = {{ port = {port} }}\n",
        paths.join(", "),
    )
}

fn defaults(structure: Structure) -> Vec<&'static str> {
    let mut lines = vec!["mode http", "timeout connect 2s", "timeout client 1m", "timeout server 1m", "retries 3"];
    if structure.redispatch {
        lines.push("option redispatch");
    }
    lines
}

fn proxy(structure: Structure, folder: &Path, front: SocketAddr, more: SocketAddr) -> String {
    let (program, folder) = (find("haproxy"), folder.display());
    let defaults: Vec<_> = defaults(structure).iter().map(|line| format!("{line:?}")).collect();
    let mut text = format!(
        "[proxy.haproxy]\nconfig = \"{folder}/haproxy.cfg\"\nmanage = true\nprogram = {program:?}\nreload_interval = \"100ms\"\n\
         defaults = [{}]\n[proxy.service.web]\nport = {}\nserver_options = \"{}\"\n\
         frontend = [\"http-response set-header X-Mark {}\"]\n",
        defaults.join(", "),
        front.port(),
        if structure.backup.is_some() { "check inter 100ms fall 1 rise 1" } else { "" },
        structure.mark,
    );
    if let Some(port) = structure.backup {
        text += &format!("backup_port = {port}\n");
    }
    if structure.has_more {
        text += &format!("[proxy.service.more]\nservice = \"web\"\nport = {}\n", more.port());
    }
    text
}

fn template(structure: Structure, folder: &Path, front: SocketAddr, more: SocketAddr) -> String {
    let (program, folder) = (find("haproxy").display().to_string(), folder.display());
    let mut contents =
        format!("global\n  maxconn 2000\n  hard-stop-after 30m\n  stats socket {folder}/haproxy.sock level admin\ndefaults\n");
    defaults(structure).iter().for_each(|line| contents += &format!("  {line}\n"));
    let mut service = |name: &str, port: u16| {
        contents += &format!(
            "frontend {name}\n  bind 127.0.0.1:{port}\n  option idle-close-on-response\n  http-response set-header X-Mark {}\n  \
             default_backend {name}\nbackend {name}\n{{{{range service \"web\"}}}}  server {{{{.ID}}}} {{{{.Address}}}}:{{{{.Port}}}} \
             weight {{{{.Weights.Passing}}}}\n{{{{end}}}}",
            structure.mark
        );
    };
    service("web", front.port());
    if structure.has_more {
        service("more", more.port());
    }
    format!(
        "[[template]]\ncontents = '''\n{contents}'''\ndestination = \"{folder}/haproxy.cfg\"\n\
         command = \"{program} -D -f {folder}/haproxy.cfg -p {folder}/pid -sf $(cat {folder}/pid 2>/dev/null)\"\n"
    )
}
