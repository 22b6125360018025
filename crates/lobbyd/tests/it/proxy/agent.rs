//! `[proxy]` of the real daemon with a real HAProxy that it manages: requests follow registrations, and nothing that happens
//! to lobbyd or its configuration costs a reload too many.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use lobby_testkit::{
    TempDir,
    daemon::{Builder, Daemon},
    eventually, expect, http, load, port,
    process::{Signal, find},
};
use rustix::process::{Pid, kill_process};
use serde_json::json;

use crate::fleet::{SOON, daemon, throughout};

/// What a lobbyd and its HAProxy share. HAProxy outlives lobbyd, so it is ended here.
struct Place {
    folder: TempDir,
    web: SocketAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pid) = self.pid().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
            eventually(SOON, || expect(!Path::new(&format!("/proc/{}", pid.as_raw_nonzero())).exists(), pid));
        }
    }
}

impl Place {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), web: port::free_address() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration with one service, and more lines.
    fn write(&self, more: &str) {
        let (file, program, port) = (self.path("haproxy.cfg"), find("haproxy"), self.web.port());
        let text = format!(
            "[proxy.haproxy]\nconfig = \"{}\"\nprogram = \"{}\"\nmanage = true\n[proxy.service.web]\nport = {port}\n{more}",
            file.display(),
            program.display()
        );
        fs::write(self.path("lobby.toml"), text).unwrap();
    }

    fn builder(&self) -> Builder {
        self.write("");
        daemon("n0").arg("--config").arg(self.path("lobby.toml").display().to_string())
    }

    /// Of the master.
    fn pid(&self) -> Option<i32> {
        fs::read_to_string(self.path(".haproxy.cfg.lobby-pid")).ok()?.lines().next()?.parse().ok()
    }

    /// How often HAProxy's master was reloaded, as it says itself.
    fn reloads(&self) -> u32 {
        let mut stream = UnixStream::connect(self.path("haproxy-master.sock")).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(b"show proc\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let master = text.lines().find(|line| line.contains("master")).unwrap_or_else(|| panic!("{text}"));
        master.split_whitespace().nth(2).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{text}"))
    }

    fn answer(&self) -> Result<String, String> {
        get(self.web)
    }

    /// Waits until requests reach exactly these.
    #[track_caller]
    fn reaches(&self, agent: &Daemon, names: &[&str]) {
        eventually(SOON, || {
            // Round robin: so many requests reach each of them.
            let seen: BTreeSet<_> = (0..2 * names.len() + 2).map(|_| self.answer()).collect();
            let want: BTreeSet<_> = names.iter().map(|name| Ok((*name).to_owned())).collect();
            expect(seen == want, format!("{seen:?}\n{}", agent.process.log()))
        });
    }
}

fn get(address: SocketAddr) -> Result<String, String> {
    let answer = http::get(address, "/").map_err(|err| err.to_string())?;
    if answer.status == 200 { Ok(answer.text()) } else { Err(answer.status.to_string()) }
}

/// A server that says its name, registered under it.
#[track_caller]
fn serve(agent: &Daemon, service: &str, name: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = name.to_owned();
    std::thread::spawn(move || load::serve(listener, &said, Duration::ZERO));
    let body = json!({ "Name": service, "ID": name, "Port": port, "Address": "127.0.0.1" }).to_string();
    let answer = agent.request("PUT", "/v1/agent/service/register", &[], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[track_caller]
fn take_away(agent: &Daemon, name: &str) {
    assert_eq!(agent.request("PUT", &format!("/v1/agent/service/deregister/{name}"), &[], "").status, 200);
}

/// A number of its metrics.
fn counted(agent: &Daemon, name: &str) -> u64 {
    let text = agent.get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("lobby_proxy_{name} ")));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{name}: {text}"))
}

#[test]
fn requests_follow_registrations_without_a_reload() {
    let place = Place::new();
    let agent = place.builder().start();
    serve(&agent, "web", "a");
    place.reaches(&agent, &["a"]);
    serve(&agent, "web", "b");
    serve(&agent, "other", "o");
    place.reaches(&agent, &["a", "b"]);
    take_away(&agent, "a");
    place.reaches(&agent, &["b"]);
    serve(&agent, "web", "c");
    place.reaches(&agent, &["b", "c"]);
    throughout(Duration::from_millis(300), || assert!(place.answer().is_ok(), "{:?}", place.answer()));
    assert_eq!(place.reloads(), 0, "{}", agent.process.log());
    // What is written is what a restart of HAProxy would serve.
    let text = fs::read_to_string(place.path("haproxy.cfg")).unwrap();
    assert_eq!(text.lines().filter(|line| line.trim_start().starts_with("server ")).count(), 2, "{text}");
}

#[test]
fn haproxy_serves_on_without_lobbyd_and_is_found_by_the_next() {
    let place = Place::new();
    let mut agent = place.builder().start();
    serve(&agent, "web", "a");
    place.reaches(&agent, &["a"]);
    let master = place.pid();
    assert!(master.is_some());
    // One that is killed before it has seen what HAProxy started with cannot tell the next.
    eventually(SOON, || expect(agent.get("/v1/proxy").json()["haproxy"]["is_in_step"] == true, agent.process.log()));
    agent.kill();
    throughout(Duration::from_millis(300), || assert_eq!(place.answer().as_deref(), Ok("a")));
    let mut agent = agent.start_again();
    serve(&agent, "web", "b");
    place.reaches(&agent, &["a", "b"]);
    assert_eq!(place.reloads(), 0, "{}", agent.process.log());
    agent.stop(SOON);
    assert_eq!(place.reloads(), 0, "{}", agent.process.log());
    throughout(Duration::from_millis(300), || assert!(place.answer().is_ok(), "{:?}", place.answer()));
    let agent = agent.start_again();
    take_away(&agent, "a");
    place.reaches(&agent, &["b"]);
    assert_eq!((place.pid(), place.reloads()), (master, 0), "{}", agent.process.log());
}

#[test]
fn a_new_service_is_one_reload_and_a_bad_file_none() {
    let place = Place::new();
    let mut agent = place.builder().start();
    serve(&agent, "web", "a");
    serve(&agent, "db", "d");
    place.reaches(&agent, &["a"]);
    let read_again = "labels were read again";
    let n_read = |agent: &Daemon| agent.process.log().matches(read_again).count();
    // The same file, and a bad one: nothing happens to HAProxy.
    agent.process.signal(Signal::HUP);
    eventually(SOON, || expect(n_read(&agent) == 1, agent.process.log()));
    place.write("prt = 1\n");
    agent.process.signal(Signal::HUP);
    agent.process.wait_for_log(SOON, "did you mean `port`?");
    // Nor is one half good: with a template that cannot be read, the service in front of it waits too.
    let db = port::free_address();
    let with_db = format!("[proxy.service.db]\nport = {}\n", db.port());
    place.write(&format!("{with_db}[[template]]\ncontents = \"{{{{range}}}}\"\ndestination = \"x\"\n"));
    agent.process.signal(Signal::HUP);
    agent.process.wait_for_log(SOON, "the configuration of before stays in use");
    throughout(Duration::from_millis(500), || assert_eq!(place.answer().as_deref(), Ok("a")));
    assert_eq!(agent.process.log().matches("a proxy follows").count(), 1, "{}", agent.process.log());
    assert_eq!(place.reloads(), 0);
    assert_eq!((counted(&agent, "managed_starts_total"), counted(&agent, "reloads_total{output=\"haproxy\"}")), (1, 0));
    let n_written = counted(&agent, "writes_total{output=\"haproxy\"}");
    // A new service, a change of structure.
    place.write(&with_db);
    agent.process.signal(Signal::HUP);
    eventually(SOON, || match get(db) {
        Ok(name) if name == "d" => Ok(()),
        other => Err(format!("{other:?}\n{}", agent.process.log())),
    });
    throughout(Duration::from_secs(3), || assert_eq!(place.answer().as_deref(), Ok("a"), "{}", agent.process.log()));
    assert_eq!(place.reloads(), 1, "{}", agent.process.log());
    let written = "writes_total{output=\"haproxy\"}";
    assert!(n_written >= 1 && counted(&agent, written) > n_written, "counts go on: {n_written}");
    assert_eq!(counted(&agent, "managed_starts_total"), 1);
    // Without [proxy], an HAProxy that is ours ends.
    let master = place.pid();
    fs::write(place.path("lobby.toml"), "").unwrap();
    agent.process.signal(Signal::HUP);
    eventually(SOON, || expect(place.answer().is_err(), agent.process.log()));
    eventually(SOON, || expect(master.is_some() && place.pid().is_none(), agent.process.log()));
    assert_eq!(agent.get("/v1/health").status, 200, "the agent goes on");
    eventually(SOON, || expect(counted(&agent, "services") == 0, agent.process.log()));
    assert_eq!(counted(&agent, "managed_starts_total"), 1, "what was counted stays");
}

#[test]
fn nothing_is_touched_before_the_picture_is_complete() {
    let place = Place::new();
    // The broker is not there, so the agent is not warm until it gives up waiting for it.
    let agent = place.builder().env("NATS_URL", "nats://127.0.0.1:9").env("WARM_MAX", 3).start();
    serve(&agent, "web", "a");
    let file = place.path("haproxy.cfg");
    eventually(SOON, || {
        let seen = file.exists();
        let health = agent.get("/v1/health").json();
        // Read in this order: a file that is there now was written before.
        assert!(!seen || health["warm"] == true, "{health}\n{}", agent.process.log());
        expect(seen, health)
    });
    place.reaches(&agent, &["a"]);
}

#[test]
fn a_bad_table_is_told_before_anything_starts() {
    let place = Place::new();
    let check = |more: &str| {
        let builder = place.builder();
        place.write(more);
        builder.arg("--check-config").run(SOON)
    };
    let (status, said) = check("");
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = check("discovery = { method = \"zookeeper\", hosts = [\"zk:2181\"], path = \"/web\" }\n");
    assert_eq!(status, Some(64), "{said}");
    for word in ["lobby.toml", "web", "zookeeper", "ec2tag"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}
