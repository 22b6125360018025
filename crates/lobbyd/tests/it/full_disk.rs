//! A disk that is really full: lobbyd says what it cannot write, refuses what it cannot keep, and loses nothing that it took.
//!
//! The disk is a small tmpfs in a mount namespace of its own, so these tests want root. Not here: single steps that fail
//! (the journal's own tests in the crate `lobby`).

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    net::SocketAddr,
    path::PathBuf,
    process::Command,
};

use lobby_testkit::{
    TempDir,
    daemon::Builder,
    http::{self, Response},
    process::Process,
};
use serde_json::{Value, json};

use crate::fleet::{SOON, daemon};

const NO_SPACE: &str = "No space left on device";

/// A data folder on a disk of this size, for as long as this is there.
struct Disk {
    folder: TempDir,
    holder: Process,
}

/// An agent with its data there.
struct Agent {
    process: Process,
    http: SocketAddr,
}

impl Disk {
    fn of_kib(size: u32) -> Self {
        assert!(rustix::process::geteuid().is_root(), "this test mounts a disk: run it as root");
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let mut command = Command::new("unshare");
        let script = "mount -t tmpfs -o size=\"$1\"k,mode=700 tmpfs \"$0\" && echo mounted && exec sleep 1000";
        command.args(["--mount", "sh", "-c", script]).arg(folder.path().join("data")).arg(size.to_string());
        let holder = Process::start("the disk", command);
        holder.wait_for_log(SOON, "mounted");
        Self { folder, holder }
    }

    /// What takes all the room, as it is seen from here.
    fn filler(&self) -> PathBuf {
        let data = self.folder.path().join("data/filler");
        PathBuf::from(format!("/proc/{}/root{}", self.holder.pid(), data.display()))
    }

    fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        let end = (0..10_000).find_map(|_| filler.write_all(&[1; 512]).err());
        assert_eq!(end.map(|err| err.kind()), Some(ErrorKind::StorageFull));
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn command(&self) -> Command {
        let lobbyd: Builder = daemon("full");
        let inner = lobbyd.command(self.folder.path());
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.pid())).arg(inner.get_program()).args(inner.get_args());
        command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }

    #[track_caller]
    fn start(&self) -> Agent {
        let (process, lines) = Process::start_with_lines("lobbyd on a full disk", self.command());
        let line = lines.recv_timeout(SOON).unwrap_or_else(|_| panic!("it does not start: {}", process.log()));
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|err| panic!("{line}: {err}"));
        Agent { process, http: ready["http"].as_str().unwrap().parse().unwrap() }
    }
}

impl Agent {
    fn put(&self, path: &str, body: &Value) -> Response {
        http::request(self.http, "PUT", path, &[], body.to_string().as_bytes()).unwrap()
    }

    fn register(&self, id: &str) -> Response {
        let body = json!({"Name": "web", "ID": id, "Tags": ["x".repeat(400)], "Check": {"TTL": "1h", "Status": "passing"}});
        self.put("/v1/agent/service/register", &body)
    }

    fn write(&self, node: &str) -> Response {
        let body = json!({"Node": node, "Address": "10.0.0.1", "NodeMeta": {"x": "x".repeat(400)}});
        self.put("/v1/catalog/register", &body)
    }

    /// The ids of what is registered, in their order.
    fn services(&self) -> Vec<String> {
        let services = http::get(self.http, "/v1/agent/services").unwrap().json();
        services.as_object().unwrap().keys().cloned().collect()
    }

    /// The names of nodes without an agent, in their order.
    fn nodes(&self) -> Vec<String> {
        let nodes = http::get(self.http, "/v1/catalog/nodes").unwrap().json();
        let names = nodes.as_array().unwrap().iter().map(|node| node["Node"].as_str().unwrap().to_owned());
        names.filter(|name| name.starts_with('e')).collect()
    }
}

/// Does it again and again until it is refused because the disk is full; what was taken until then.
#[track_caller]
fn until_refused(prefix: &str, act: impl Fn(&str) -> Response) -> Vec<String> {
    let mut taken = Vec::new();
    // A page that is begun has room for some of them.
    for n in 10..99 {
        let name = format!("{prefix}-{n}");
        let answer = act(&name);
        if answer.status != 200 {
            assert_eq!(answer.status, 500, "{}", answer.text());
            assert!(answer.text().starts_with("not saved: ") && answer.text().contains(NO_SPACE), "{}", answer.text());
            return taken;
        }
        taken.push(name);
    }
    panic!("all of {taken:?} had room");
}

#[test]
fn an_agent_that_cannot_write_its_first_file_says_which_and_why() {
    let disk = Disk::of_kib(64);
    disk.fill();
    let mut process = Process::start("lobbyd without room", disk.command());
    let status = process.wait(SOON);
    assert_eq!(status.code(), Some(1));
    let log = process.log();
    assert!(log.contains("data/") && log.contains(NO_SPACE) && log.lines().count() == 1, "{log}");
    disk.make_room();
    let agent = disk.start();
    assert_eq!(agent.register("web-1").status, 200);
}

#[test]
fn what_has_no_room_is_refused_and_what_was_acknowledged_stays() {
    let disk = Disk::of_kib(256);
    let mut agent = disk.start();
    let (mut services, mut nodes) = (vec!["web-00".to_owned()], vec!["e-00".to_owned()]);
    assert_eq!((agent.register("web-00").status, agent.write("e-00").status), (200, 200));
    disk.fill();
    services.extend(until_refused("web", |id| agent.register(id)));
    nodes.extend(until_refused("e", |name| agent.write(name)));
    assert_eq!((agent.services(), agent.nodes()), (services.clone(), nodes.clone()), "what was refused does not count");
    assert_eq!(agent.put("/v1/agent/check/pass/service:web-00", &Value::Null).status, 200, "a report needs no disk");
    agent.process.wait_for_log(SOON, "the journal cannot be written, and tries again");

    // Neither does a restart, with the disk as full as it was.
    agent.process.kill();
    let mut agent = disk.start();
    assert_eq!((agent.services(), agent.nodes()), (services.clone(), nodes.clone()), "{}", agent.process.log());
    until_refused("late", |id| agent.register(&id.repeat(20)));

    disk.make_room();
    assert_eq!((agent.register("web-99").status, agent.write("e-99").status), (200, 200));
    services.push("web-99".into());
    nodes.push("e-99".into());
    agent.process.kill();
    let agent = disk.start();
    assert_eq!(agent.nodes(), nodes);
    let now = agent.services();
    assert!(services.iter().all(|id| now.contains(id)), "{now:?}");
}
