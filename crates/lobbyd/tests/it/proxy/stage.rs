//! What tests of the proxy under load and faults share: a folder with an HAProxy in it, and servers that say their names.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    thread,
    time::Duration,
};

use lobby_testkit::{
    TempDir,
    daemon::{Builder, Daemon},
    eventually, expect,
    haproxy::{Leftovers, ask, processes, reloads, servers},
    http, load, port,
    process::find,
};
use serde_json::json;

use crate::fleet::{SOON, daemon};

/// How long a server works on a request, so that some are under way whenever something happens.
const WORK: Duration = Duration::from_millis(5);

/// What a lobbyd and its HAProxy share.
pub(super) struct Place {
    pub(super) front: SocketAddr,
    _leftovers: Leftovers,
    folder: TempDir,
}

/// A server behind the proxy, until the test program ends.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) port: u16,
}

impl Server {
    pub(super) fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = name.to_owned();
        thread::spawn(move || load::serve(listener, &own, WORK));
        Self { name: name.to_owned(), port }
    }

    #[track_caller]
    pub(super) fn register(&self, agent: &Daemon, weight: u32) {
        let body = json!({ "address": "127.0.0.1", "port": self.port, "weights": { "passing": weight, "warning": 1 } });
        put(agent, "PUT", &format!("/v1/services/web/{}", self.name), &body.to_string());
    }

    #[track_caller]
    pub(super) fn deregister(&self, agent: &Daemon) {
        put(agent, "DELETE", &format!("/v1/services/web/{}", self.name), "");
    }

    #[track_caller]
    pub(super) fn drain(&self, agent: &Daemon, drains: bool) {
        put(agent, if drains { "PUT" } else { "DELETE" }, &format!("/v1/services/web/{}/drain", self.name), "");
    }

    /// As HAProxy shows it while it takes requests.
    pub(super) fn line(&self, weight: u32) -> (String, u32, u32) {
        (format!("127.0.0.1:{}", self.port), 0, weight)
    }
}

#[track_caller]
fn put(agent: &Daemon, method: &str, path: &str, body: &str) {
    let answer = agent.request(method, path, &[], body);
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
}

impl Place {
    pub(super) fn new() -> Self {
        let folder = TempDir::with_prefix("proxy-").unwrap();
        Self { front: port::free_address(), _leftovers: Leftovers::of(folder.path()), folder }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// lobbyd's configuration: one service, whose HAProxy is managed, and more lines of both sections.
    pub(super) fn write(&self, haproxy: &str, service: &str) {
        let folder = self.folder.path().display();
        let text = format!(
            "[proxy.haproxy]\nconfig = \"{folder}/haproxy.cfg\"\n{haproxy}\n[proxy.service.web]\nport = {}\n\
             server_options = \"\"\n{service}\n",
            self.front.port()
        );
        fs::write(self.path("lobbyd.toml"), text).unwrap();
    }

    /// The line that has `program` managed, and reloads soon after one another.
    pub(super) fn managed(program: &str) -> String {
        format!("manage = true\nprogram = \"{program}\"\nreload_interval = \"100ms\"")
    }

    pub(super) fn write_managed(&self, service: &str) {
        self.write(&Self::managed(&find("haproxy").display().to_string()), service);
    }

    pub(super) fn builder(&self, name: &str) -> Builder {
        daemon(name).arg("--config").arg(self.path("lobbyd.toml").display().to_string())
    }

    /// The servers that take requests.
    pub(super) fn ready(&self) -> Result<Vec<(String, u32, u32)>, String> {
        let servers = servers(&self.path("haproxy.sock"), "web").map_err(|err| err.to_string())?;
        Ok(servers.into_iter().filter(|(_, admin, _)| *admin == 0).collect())
    }

    /// Waits until exactly these take requests.
    #[track_caller]
    pub(super) fn has(&self, agent: &Daemon, within: Duration, wanted: &[(&Server, u32)]) {
        let mut want: Vec<_> = wanted.iter().map(|(server, weight)| server.line(*weight)).collect();
        want.sort();
        eventually(within, || {
            let ready = self.ready();
            expect(ready.as_ref() == Ok(&want), (ready, agent.process.log()))
        });
    }

    /// Waits until HAProxy answers clients.
    #[track_caller]
    pub(super) fn answers(&self, agent: &Daemon, within: Duration) {
        eventually(within, || {
            let status = http::get(self.front, "/").map(|answer| answer.status);
            expect(matches!(status, Ok(200)), (status, agent.process.log()))
        });
    }

    /// Waits until lobbyd knows, for its next start as well, what the process that runs was started with.
    #[track_caller]
    pub(super) fn is_known(&self, agent: &Daemon) {
        eventually(SOON, || {
            let text = fs::read_to_string(self.path(".haproxy-state.json.lobby-running")).unwrap_or_default();
            let known = text.split_whitespace().next().unwrap_or_default().to_owned();
            expect(known == self.worker().unwrap_or_default(), (known, agent.process.log()))
        });
    }

    /// The process that serves, as it says itself.
    pub(super) fn worker(&self) -> Option<String> {
        let info = ask(&self.path("haproxy.sock"), "show info").ok()?;
        info.lines().find_map(|line| line.strip_prefix("Pid: ").map(str::to_owned))
    }

    #[track_caller]
    pub(super) fn reloads(&self) -> u64 {
        eventually(SOON, || reloads(&self.path("haproxy-master.sock")).ok_or("its master does not answer"))
    }

    /// Masters and workers.
    pub(super) fn processes(&self) -> Vec<u32> {
        processes(self.folder.path())
    }

    /// One command, by hand.
    #[track_caller]
    pub(super) fn ask(&self, command: &str) -> String {
        self.try_ask(command).unwrap()
    }

    pub(super) fn try_ask(&self, command: &str) -> Result<String, String> {
        ask(&self.path("haproxy.sock"), command).map_err(|err| err.to_string())
    }
}
