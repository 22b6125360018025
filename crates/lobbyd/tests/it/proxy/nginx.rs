//! `[proxy.nginx]` of the real daemon with a real nginx: its backends come, go and drain under requests, and none fails.
//!
//! nginx has no way to change servers but a reload, so each change is one. Not here: what the files say, and what a check that
//! fails does (lobby-proxy's tests).

use std::{collections::BTreeSet, fs, process::Command};

use lobby_testkit::{
    TempDir,
    daemon::Daemon,
    eventually, expect, http,
    load::{Connections, Load},
    port,
    process::find,
};

use super::stage::Server;
use crate::fleet::{SOON, daemon};

/// Requests a second of each load.
const RATE: u32 = 200;

/// An nginx that lobbyd starts; it ends with this.
struct Place {
    folder: TempDir,
    front: std::net::SocketAddr,
}

impl Place {
    fn new() -> Self {
        let this = Self { folder: TempDir::with_prefix("nginx-").unwrap(), front: port::free_address() };
        let dir = this.folder.path().display();
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|what| format!("\"{what}_temp_path {dir}/{what}\""));
        let text = format!(
            "[proxy.nginx]\nconfig = \"{dir}/nginx.conf\"\n\
             main = [\"worker_processes 2\", \"pid {dir}/nginx.pid\", \"error_log {dir}/error.log\", \"worker_shutdown_timeout 10s\"]\n\
             events = [\"worker_connections 512\"]\nhttp = [\"access_log off\", {}]\n\
             check_command = {:?}\nreload_command = {:?}\nstart_command = {:?}\nreload_interval = \"1s\"\n\
             [proxy.service.web]\nnginx = {{ port = {} }}\n",
            paths.join(", "),
            this.command("-t"),
            this.command("-s reload"),
            this.command(""),
            this.front.port(),
        );
        fs::write(this.folder.path().join("lobbyd.toml"), text).unwrap();
        this
    }

    fn command(&self, arguments: &str) -> String {
        let dir = self.folder.path().display();
        format!("{} -p {dir} -e {dir}/error.log -c {dir}/nginx.conf {arguments}", find("nginx").display())
    }

    /// Waits until these answer, and nobody else.
    #[track_caller]
    fn serves(&self, agent: &Daemon, servers: &[&Server]) {
        let want: BTreeSet<_> = servers.iter().map(|server| Ok(server.name.clone())).collect();
        eventually(SOON, || {
            let ask = |_| http::get(self.front, "/").map(|answer| answer.text()).map_err(|err| err.kind());
            // Two workers, each with a turn of its own.
            let seen: BTreeSet<_> = (0..6 * servers.len()).map(ask).collect();
            let errors = fs::read_to_string(self.folder.path().join("error.log"));
            expect(seen == want, (seen, errors, agent.process.log()))
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A check alone leaves an empty file.
        let runs = || fs::read_to_string(self.folder.path().join("nginx.pid")).is_ok_and(|pid| !pid.is_empty());
        if runs() {
            // The master ends its workers; it removes the file last.
            let _ = Command::new("sh").args(["-c", &self.command("-s stop")]).output();
            eventually(SOON, || expect(!runs(), "nginx still runs"));
        }
    }
}

#[test]
fn twenty_changes_behind_nginx_fail_no_request() {
    let place = Place::new();
    let agent = daemon("n0").arg("--config").arg(place.folder.path().join("lobbyd.toml").display().to_string()).start();
    let servers: Vec<_> = (0..4).map(|idx| Server::start(&format!("s{idx}"))).collect();
    servers.iter().for_each(|server| server.register(&agent, 1));
    let all: Vec<_> = servers.iter().collect();
    place.serves(&agent, &all);
    let status = || agent.get("/v1/proxy").json()["nginx"].clone();
    eventually(SOON, || expect(status()["is_in_step"] == true, status()));
    let before = status()["reloads"].as_u64().unwrap();
    // What is served does not tell: requests of the load take turns too, so that ours may miss a server that still takes them.
    let reloaded = |n: usize| eventually(SOON, || expect(status()["reloads"] == before + n as u64, (n, status())));
    let loads = [Connections::New, Connections::Kept].map(|connections| Load::start(place.front, connections, RATE));
    for round in 0..10 {
        let (server, drains) = (&servers[round % servers.len()], round % 2 == 0);
        if drains {
            server.drain(&agent, true);
        } else {
            server.deregister(&agent);
        }
        place.serves(&agent, &all.iter().copied().filter(|it| it.name != server.name).collect::<Vec<_>>());
        reloaded(2 * round + 1);
        if drains {
            server.drain(&agent, false);
        } else {
            server.register(&agent, 1);
        }
        place.serves(&agent, &all);
        reloaded(2 * round + 2);
    }
    for load in loads {
        let report = load.stop();
        assert_eq!(report.n_failed(), 0, "{:?} {:?}\n{}", report.failed, report.answered, agent.process.log());
        assert!(servers.iter().all(|server| report.answered.contains_key(&server.name)), "{:?}", report.answered);
    }
    eventually(SOON, || expect(status()["is_in_step"] == true, status()));
    let status = status();
    assert_eq!((status["reloads"].as_u64(), status["reloads_failed"].as_u64()), (Some(before + 20), Some(0)), "{status}");
}
