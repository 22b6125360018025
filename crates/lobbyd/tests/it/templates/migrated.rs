//! A folder of consul-template's as people have them: HCL and JSON configurations, templates that use most of its functions and
//! that do what its own examples do (the folder's README says which), a plugin. Only the program behind the name
//! `consul-template` is another one, Consul's address is the agent's, and keys come from a folder. What the examples write for
//! HAProxy and nginx, these take.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use lobby_testkit::{
    TempDir,
    daemon::Daemon,
    eventually, expect,
    process::{self, Process},
};
use serde_json::json;

use crate::{
    catalog::{deregister, register},
    fleet::{SOON, daemon, lobbyctl},
};

/// The files that an instance of web is in.
const FOLLOW_WEB: [&str; 12] = [
    "backends.vcl",
    "balancer.conf",
    "catalog.json",
    "conf.d/upstreams.conf",
    "define.txt",
    "examples/all.txt",
    "examples/apache.conf",
    "examples/functions.txt",
    "examples/haproxy.cfg",
    "examples/nginx.conf",
    "haproxy.cfg",
    "hosts",
];

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
    let weighted = json!({ "Meta": { "zone": "eu", "rank": "7" }, "Weights": { "Passing": 5, "Warning": 1 } });
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

/// The program under its new name, in the folder.
fn consul_template(folder: &Path) -> Command {
    let mut command = Command::new("consul-template");
    let path = std::env::join_paths([folder.join("bin"), "/usr/bin".into(), "/bin".into()]).unwrap();
    command.env_clear().env("PATH", path).env("DEPLOYMENT", "production").current_dir(folder);
    command
}

/// Runs it once in the folder, and returns what it logged.
#[track_caller]
fn once(folder: &Path) -> String {
    let mut command = consul_template(folder);
    command.args(["-config", "config", "-keys-dir", "keys", "-once"]);
    let mut process = Process::start("consul-template", command);
    assert_eq!(process.wait(SOON).code(), Some(0), "{}", process.log());
    process.log()
}

/// What `exec` started got the variables that its lists leave, and its own.
fn child_was_given_its_variables(folder: &Path) {
    let child = fs::read_to_string(folder.join("child")).unwrap();
    assert!(child.lines().any(|line| line == "PATH=$PATH:/etc/myapp/bin"), "as it is written: {child}");
    let names: Vec<_> = child.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    assert!(["APP", "CONSUL_HTTP_ADDR", "DEPLOYMENT", "PATH"].iter().all(|name| names.contains(name)), "{child}");
}

/// Both files for HAProxy are good for it.
fn haproxy_takes(folder: &Path) {
    for name in ["out/haproxy.cfg", "out/examples/haproxy.cfg"] {
        let output = Command::new(process::find("haproxy")).args(["-c", "-f"]).arg(folder.join(name)).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Both files for nginx are good for it, each included by a main file as a package brings one.
fn nginx_takes(folder: &Path) {
    for name in ["out/conf.d/upstreams.conf", "out/examples/nginx.conf"] {
        let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|what| format!("{what}_temp_path tmp-{what};"));
        let http = format!("access_log off; {} include {name};", places.concat());
        let main = format!("pid nginx.pid; error_log stderr; events {{}} http {{ {http} }}\n");
        fs::write(folder.join("nginx-main.conf"), main).unwrap();
        let mut nginx = Command::new(process::find("nginx"));
        nginx.args(["-t", "-e", "stderr", "-p"]).arg(folder).arg("-c").arg(folder.join("nginx-main.conf"));
        let output = nginx.output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
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
    assert!(want.len() >= 20, "{want:?}");
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>(), "{log}");
    for (name, want) in &want {
        assert_eq!(&got[name], want, "{}", name.display());
    }
    let warned: Vec<_> = log.lines().filter_map(|line| line.split_once("(cli) ")).map(|(_, what)| what).collect();
    let idle = |block: &str| format!("{block} is accepted, but does nothing here");
    assert_eq!(warned, ["deduplicate", "vault", "syslog", "consul.transport", "telemetry"].map(idle), "nothing else is wrong");
    let mode = |name: &str| fs::metadata(folder.join("out").join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("haproxy.cfg"), mode("app.env"), mode("hosts")), (0o600, 0o640, 0o644));
    assert!(!folder.join("consul-template.pid").exists());
    haproxy_takes(&folder);
    nginx_takes(&folder);
    child_was_given_its_variables(&folder);
    let reloads = || {
        let text = fs::read_to_string(folder.join("reloads")).unwrap();
        text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(reloads().iter().collect::<Vec<_>>(), ["apache", "haproxy", "nginx", "reference"]);

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
    assert_eq!(changed, FOLLOW_WEB);
    assert!(!after[Path::new("haproxy.cfg")].contains("10.0.0.2"));
    assert_eq!(reloads().iter().collect::<Vec<_>>(), ["apache", "haproxy", "nginx"]);
}

/// The examples with HAProxy and nginx as ways into Consul's mesh.
#[test]
fn what_needs_the_mesh_is_refused_by_name() {
    let agent = daemon("here").start();
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("bin")).unwrap();
    symlink(lobbyctl(), path("bin/consul-template")).unwrap();
    let block = |text: &str, file: &str| format!("template {{\n contents = \"{text}\"\n destination = \"{file}\"\n}}\n");
    let asked = [
        ("caRoots", "{{range caRoots}}{{.RootCertPEM}}{{end}}"),
        ("caLeaf", "{{with caLeaf \\\"shop\\\"}}{{.PrivateKeyPEM}}{{end}}"),
        ("connect", "{{range connect \\\"shop\\\"}}server {{.Address}}:{{.Port}}{{end}}"),
    ];
    for (function, text) in asked {
        fs::write(path("mesh.hcl"), format!("exec {{\n command = \"touch started\"\n}}\n{}", block(text, "file"))).unwrap();
        let mut command = consul_template(folder.path());
        command.args(["-consul-addr", &agent.http.to_string(), "-config", "mesh.hcl"]);
        let mut process = Process::start("consul-template", command);
        assert_eq!(process.wait(SOON).code(), Some(14), "{}", process.log());
        assert!(process.log().contains(&format!("error calling {function}: ")), "{}", process.log());
        assert!(!path("file").exists() && !path("started").exists(), "{}", process.log());
    }
}
