//! A folder of consul-template's as people have them, taken over as it stands: HCL and JSON configurations, templates that use
//! most of its functions, a plugin. Only the program behind the name `consul-template` is another one, Consul's address is the
//! agent's, and keys come from a folder.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use lobby_testkit::{TempDir, daemon::Daemon, eventually, expect, process::Process};
use serde_json::json;

use crate::{
    catalog::{deregister, register},
    fleet::{SOON, daemon, lobbyctl},
};

fn setup() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates-migrated")
}

/// Copies a folder, with modes.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The texts of all files below a folder, by their paths in it.
fn texts(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = PathBuf::from(path.file_name().unwrap());
        if path.is_dir() {
            found.extend(texts(&path).into_iter().map(|(below, text)| (name.join(below), text)));
        } else {
            found.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    found
}

/// An agent with what the templates ask for.
fn with_services() -> Daemon {
    let agent = daemon("here").start();
    let check = |status: &str| json!({ "TTL": "1h", "Status": status });
    let port = |address: &str, port: u16, tags: &[&str]| json!({ "Address": address, "Port": port, "Tags": tags });
    let offer = |name: &str, id: &str, mut body: serde_json::Value, more: serde_json::Value| {
        for (key, value) in [("Name", json!(name)), ("ID", json!(id))] {
            body[key] = value;
        }
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        register(&agent, &body);
    };
    let weighted = json!({ "Meta": { "zone": "eu" }, "Weights": { "Passing": 5, "Warning": 1 } });
    offer("web", "web-1", port("10.0.0.1", 8080, &["http", "v1"]), weighted);
    offer("web", "web-2", port("10.0.0.2", 8080, &["http", "v2"]), json!({}));
    offer("web", "web-3", port("10.0.0.3", 8081, &["http"]), json!({ "Check": check("warning") }));
    offer("web", "web-4", port("10.0.0.4", 8081, &["v1"]), json!({ "Check": check("critical") }));
    offer("admin-ui", "admin-1", port("10.0.0.5", 9000, &["http"]), json!({ "Check": check("critical") }));
    offer("redis", "redis-1", port("10.0.0.6", 6379, &[]), json!({}));
    offer("redis", "redis-2", port("10.0.0.7", 6379, &[]), json!({}));
    offer("batch", "batch-1", port("10.0.0.8", 1, &["hidden"]), json!({}));
    eventually(SOON, || {
        let entries = agent.get("/v1/health/service/web").json();
        expect(entries.as_array().is_some_and(|entries| entries.len() == 4), entries)
    });
    agent
}

/// Runs it once in the folder, and returns what it logged.
#[track_caller]
fn once(folder: &Path) -> String {
    let mut command = Command::new("consul-template");
    let path = std::env::join_paths([folder.join("bin"), "/usr/bin".into(), "/bin".into()]).unwrap();
    command.env_clear().env("PATH", path).env("DEPLOYMENT", "production").current_dir(folder);
    command.args(["-config", "config", "-keys-dir", "keys", "-once"]);
    let mut process = Process::start("consul-template", command);
    assert_eq!(process.wait(SOON).code(), Some(0), "{}", process.log());
    process.log()
}

#[test]
fn a_folder_of_consul_template_works_as_it_stands() {
    let agent = with_services();
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("setup");
    copy(&setup(), &folder);
    symlink(lobbyctl(), folder.join("bin/consul-template")).unwrap();
    let base = folder.join("config/00-base.hcl");
    let text = fs::read_to_string(&base).unwrap();
    fs::write(&base, text.replace("127.0.0.1:8500", &agent.http.to_string())).unwrap();

    let log = once(&folder);
    let want = texts(&setup().join("expected"));
    let got = texts(&folder.join("out"));
    assert!(want.len() >= 11, "{want:?}");
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>(), "{log}");
    for (name, want) in &want {
        assert_eq!(&got[name], want, "{}", name.display());
    }
    let warned: Vec<_> = log.lines().filter_map(|line| line.split_once("(cli) ")).map(|(_, what)| what).collect();
    let idle = |block: &str| format!("{block} is accepted, but does nothing here");
    assert_eq!(warned, ["deduplicate", "vault", "syslog"].map(idle), "nothing else is wrong");
    let mode = |name: &str| fs::metadata(folder.join("out").join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("haproxy.cfg"), mode("app.env"), mode("hosts")), (0o600, 0o640, 0o644));
    assert!(!folder.join("consul-template.pid").exists());
    let reloads = || {
        let text = fs::read_to_string(folder.join("reloads")).unwrap();
        text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(reloads().iter().collect::<Vec<_>>(), ["apache", "haproxy", "nginx"]);

    // Once more: nothing changed, nothing is run.
    fs::remove_file(folder.join("reloads")).unwrap();
    once(&folder);
    assert_eq!(texts(&folder.join("out")), got);
    assert!(!folder.join("reloads").exists());

    // One instance less.
    deregister(&agent, "web-2");
    once(&folder);
    let after = texts(&folder.join("out"));
    assert_eq!(after[Path::new("haproxy.cfg.bak")], want[Path::new("haproxy.cfg")]);
    let changed: Vec<_> = want.keys().filter(|name| after[*name] != want[*name]).map(|name| name.display().to_string()).collect();
    assert_eq!(
        changed,
        ["backends.vcl", "balancer.conf", "catalog.json", "conf.d/upstreams.conf", "define.txt", "haproxy.cfg", "hosts"]
    );
    assert!(!after[Path::new("haproxy.cfg")].contains("10.0.0.2"));
    assert_eq!(reloads().iter().collect::<Vec<_>>(), ["apache", "haproxy", "nginx"]);
}
