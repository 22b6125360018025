//! `proxy`: its status against prepared answers, and plan, diff and apply against a real HAProxy.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use expect_test::expect;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};

use crate::{
    canned::Canned,
    program::{CLOSED, check, lobbyctl, run, stderr},
};

const STATUS: &str = r#"{"services":[{"name":"web","backends":2,"held":1,"trouble":null},
    {"name":"db","backends":null,"held":0,"trouble":"connection refused"}],
    "haproxy":{"is_in_step":false,"config_file":"/run/h.cfg","version":"2.6.12","unanswered":["db"],
    "backends":{"web":{"wanted":2,"up":1,"draining":1,"held":1}},"writes":2,"commands":{"add server":3},"reloads":2,
    "reload_reasons":{"structure":2},"reload_due":["more than servers changed"],"last_error":"no","later":1},
    "nginx":{"is_in_step":true,"writes":7,"last_error":null},"files":null}"#;

#[test]
fn its_status_is_a_table() {
    let asked = check(
        STATUS,
        &["proxy", "status"],
        expect![[r#"
            SERVICE     BACKENDS       HELD  TROUBLE
            web         2              1
            db          no answer yet  0     connection refused

            BACKEND     WANTED         UP    DRAINING  HELD
            web         2              1     1         1

            haproxy     not in step yet
            version     2.6.12
            file        /run/h.cfg
            waits for   db
            reload due  more than servers changed
            done        2 files, 3 × add server, 2 reloads (2 × structure)
            error       no

            nginx       in step
              writes    7
        "#]],
    );
    assert!(asked[0].starts_with("GET /v1/proxy HTTP"), "{asked:?}");
    let daemon = Canned::with_body(STATUS);
    let shown: Value = serde_json::from_slice(&run(daemon.address.port(), &["proxy", "status", "--json"]).stdout).unwrap();
    assert_eq!(shown, serde_json::from_str::<Value>(STATUS).unwrap());
    let daemon = Canned::start(|_, _| ("404 Not Found".into(), "proxy: none is configured at this agent\n".into()));
    let output = run(daemon.address.port(), &["proxy", "status"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "lobbyctl: refused with status 404: proxy: none is configured at this agent\n");
}

/// A folder with an HAProxy that `apply` starts, and that ends with it.
struct Managed {
    folder: tempfile::TempDir,
    ports: [u16; 2],
    pid: Option<Pid>,
}

impl Managed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        Self { folder, ports: free.map(|listener| listener.local_addr().unwrap().port()), pid: None }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("haproxy.cfg")
    }

    /// Services with one server for each of these ports.
    fn configure(&self, services: &[(&str, &[u16])]) -> PathBuf {
        let mut text = format!("[proxy.haproxy]\nconfig = {:?}\nmanage = true\n", self.file());
        for ((name, servers), port) in services.iter().zip(self.ports) {
            let servers: Vec<_> = servers.iter().map(|port| format!("127.0.0.1:{port}")).collect();
            text += &format!(
                "[proxy.service.{name}]\nport = {port}\ndiscovery = {{ method = \"base\" }}\ndefault_servers = {servers:?}\n\
                 server_options = \"weight 1\"\n"
            );
        }
        let path = self.folder.path().join("lobby.toml");
        fs::write(&path, text).unwrap();
        path
    }

    fn run(&mut self, verb: &str, config: &Path, more: &[&str]) -> Output {
        let mut command = lobbyctl(CLOSED, &["proxy", verb, "--config"]);
        let output = command.arg(config).args(more).env("PATH", path()).output().unwrap();
        if let Ok(shown) = serde_json::from_slice::<Value>(&output.stdout)
            && let Some(pid) = shown["haproxy"]["managed_pid"].as_i64()
        {
            self.pid = Pid::from_raw(pid.try_into().unwrap());
        }
        output
    }

    #[track_caller]
    fn says(&mut self, verb: &str, config: &Path) -> String {
        let output = self.run(verb, config, &[]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.replace(self.folder.path().to_str().unwrap(), "FOLDER")
    }

    #[track_caller]
    fn apply(&mut self, config: &Path) -> Value {
        self.applied(config).0
    }

    /// And what was said before it was done.
    #[track_caller]
    fn applied(&mut self, config: &Path) -> (Value, String) {
        let output = self.run("apply", config, &["--json"]);
        assert!(output.status.success(), "{output:?}");
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&shown["by"], &shown["haproxy"]["is_in_step"]), (&json!("lobbyctl"), &json!(true)));
        (shown["haproxy"].clone(), stderr(&output))
    }
}

impl Drop for Managed {
    #[expect(clippy::disallowed_methods, reason = "it waits for a condition: that a process which is no child has gone")]
    fn drop(&mut self) {
        let Some(pid) = self.pid else { return };
        let _ = kill_process(pid, Signal::TERM);
        // Its folder goes next.
        for _ in 0..1000 {
            if test_kill_process(pid).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Where haproxy is on this machine; Debian has it where only root looks.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap())
}

#[test]
fn a_plan_is_shown_and_applied_without_a_daemon() {
    let version = Command::new("haproxy").arg("-v").env("PATH", path()).output();
    assert!(version.is_ok_and(|output| output.status.success()), "haproxy must be installed");
    let mut managed = Managed::new();
    let config = managed.configure(&[("web", &[7001])]);
    let said = managed.says("plan", &config);
    assert!(said.starts_with("file: new (") && said.contains("\nsocket FOLDER/haproxy.sock: No such file"), "{said}");
    assert!(!managed.file().exists(), "a plan writes nothing");
    let done = managed.apply(&config);
    assert_eq!((&done["writes"], &done["starts"], &done["reloads"]), (&json!(1), &json!(1), &json!(0)), "{done}");
    assert_eq!(managed.says("plan", &config), "file: unchanged\nsocket: 0 reloads\n");
    assert_eq!(managed.says("diff", &config), "");

    // Servers only: commands.
    let config = managed.configure(&[("web", &[7001, 7002])]);
    let said = managed.says("plan", &config);
    assert!(
        said.starts_with("file: changed (1 line added, 0 removed)\nsocket: 1 × add server, 0 reloads\n  add server web/"),
        "{said}"
    );
    let diff = managed.says("diff", &config);
    assert!(diff.starts_with("--- FOLDER/haproxy.cfg\n+++ FOLDER/haproxy.cfg\n@@ "), "{diff}");
    assert_eq!(diff.lines().filter(|line| line.starts_with("+\t")).count(), 1, "{diff}");
    let before = fs::read(managed.file()).unwrap();
    let (done, planned) = managed.applied(&config);
    assert!(planned.contains("lobbyctl: socket: 1 × add server, 0 reloads\n"), "{planned}");
    assert_eq!((&done["commands"], &done["reloads"]), (&json!({ "add server": 1 }), &json!(0)), "{done}");
    assert_ne!(fs::read(managed.file()).unwrap(), before);

    // More than servers: one reload.
    let config = managed.configure(&[("web", &[7001, 7002]), ("db", &[7003])]);
    let said = managed.says("plan", &config);
    assert!(
        said.contains("\nsocket: 1 reload\n  reload: db: ") && said.ends_with("\nreload needed: more than servers changed\n"),
        "{said}"
    );
    let (done, planned) = managed.applied(&config);
    assert!(planned.contains("lobbyctl: socket: 1 reload\n"), "{planned}");
    assert_eq!(done["reloads"], 1);
    let output = managed.run("plan", &config, &["--json"]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&shown["in_step"], &shown["file"]["changed"]), (&json!(true), &json!(false)), "{shown}");
}

#[test]
fn files_of_nginx_and_others_are_shown_before_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let config = at("lobby.toml");
    let text = format!(
        "[proxy.nginx]\nupstreams = {:?}\n[proxy.files]\ndirectory = {:?}\n[proxy.service.web]\ndefault_servers = [\"10.0.0.1:80\"]\n\
         discovery = {{ method = \"base\" }}\n[proxy.service.api]\ndiscovery = {{ method = \"base\" }}\nfiles = false\n",
        at("up"),
        at("json")
    );
    fs::write(&config, text).unwrap();
    let says = |verb: &str, more: &[&str]| {
        let output = run(CLOSED, &[&["proxy", verb, "--config", config.to_str().unwrap()], more].concat());
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        said.replace(&folder.path().display().to_string(), "FOLDER")
    };
    // The same in other words, and a file of ours whose service is gone.
    fs::create_dir_all(at("json")).unwrap();
    fs::write(at("json/web.json"), "[ {\"port\": 80, \"host\": \"10.0.0.1\"} ]").unwrap();
    fs::create_dir_all(at("up")).unwrap();
    fs::write(at("up/web.conf"), "upstream web {\n}\n").unwrap();
    let plan = "nginx: 2 files changed, 1 reload\n  make FOLDER/up/api.conf\n  change FOLDER/up/web.conf\nfiles: unchanged\n";
    assert_eq!(says("plan", &[]), plan);
    let diff = says("diff", &[]);
    assert!(diff.contains("+++ FOLDER/up/web.conf\n") && diff.contains("\n+\tserver 10.0.0.1:80;\n"), "{diff}");
    assert_eq!(diff.matches("--- ").count(), 2, "{diff}");
    fs::write(at("json/web.json"), "[]").unwrap();
    let shown: Value = serde_json::from_str(&says("plan", &["--json"])).unwrap();
    let changed = json!([{ "path": "FOLDER/json/web.json", "action": "change" }]);
    assert_eq!((&shown["in_step"], &shown["nginx"]["reload"], &shown["files"]), (&json!(false), &json!(true), &changed));
    let shown: Value = serde_json::from_str(&says("diff", &["--json"])).unwrap();
    assert_eq!((&shown["path"], shown["others"].as_array().map(Vec::len)), (&Value::Null, Some(3)), "{shown}");
    assert!(says("apply", &[]).starts_with("lobbyctl: no haproxy is configured"));
    assert!(!at("up/api.conf").exists(), "nothing is written");
}

#[test]
fn who_keeps_the_file_already_is_let_do_it() {
    let managed = Managed::new();
    let config = managed.configure(&[("web", &[7001])]);
    let status = json!({ "services": [], "haproxy": { "is_in_step": true, "config_file": managed.file() } }).to_string();
    let daemon = Canned::start(move |_, _| ("200 OK".into(), status.clone()));
    let output = run(daemon.address.port(), &["proxy", "apply", "--config", config.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let want = format!("the lobbyd at http://{}/ keeps this file: nothing was done here\nin step\n", daemon.address);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), want);
    assert!(!managed.file().exists());
    // Who may not know does nothing either.
    let daemon = Canned::start(|_, _| ("403 Forbidden".into(), "no".into()));
    let output = run(daemon.address.port(), &["proxy", "apply", "--config", config.to_str().unwrap()]);
    assert_eq!((output.status.code(), managed.file().exists()), (Some(1), false), "{output:?}");
}

#[test]
fn the_daemon_of_the_configuration_is_asked_unless_another_is_named() {
    let managed = Managed::new();
    let config = managed.configure(&[("web", &[7001])]);
    let status = json!({ "services": [], "haproxy": { "is_in_step": true, "config_file": managed.file() } }).to_string();
    let daemon = Canned::start(move |_, _| ("200 OK".into(), status.clone()));
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\n[http]\nport = {}\n", daemon.address.port())).unwrap();
    let asks = |env: Option<&str>, more: &[&str]| {
        let arguments = [&["proxy", "apply", "--config", config.to_str().unwrap()], more].concat();
        let mut command = lobbyctl(CLOSED, &arguments);
        match env {
            Some(port) => command.env("PORT", port),
            None => command.env_remove("PORT"),
        };
        // What is asked first, and only if that is it.
        let before = daemon.asked().len();
        let output = command.env("PATH", "").output().unwrap();
        (daemon.asked().len() > before, output.status.success())
    };
    assert_eq!(asks(None, &[]), (true, true));
    assert!(!asks(Some("1"), &[]).0, "a variable counts before the file, as in lobbyd");
    assert!(!asks(None, &["--port", "1"]).0);
    let closed = managed.folder.path().join("no.sock");
    assert!(!asks(None, &["--unix-socket", closed.to_str().unwrap()]).0);
}

#[test]
fn nothing_is_done_for_a_service_of_which_nothing_is_known() {
    let managed = Managed::new();
    let config = managed.folder.path().join("lobby.toml");
    let text = format!("[proxy.haproxy]\nconfig = {:?}\nmanage = true\n", managed.file());
    fs::write(&config, text + "program = \"/bin/true\"\n[proxy.service.web]\nport = 1\n").unwrap();
    for verb in ["plan", "diff", "apply"] {
        let output = run(CLOSED, &["proxy", verb, "--timeout", "300ms", "--config", config.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = stderr(&output);
        assert!(
            said.starts_with("lobbyctl: no answer within 300ms about: web") && said.ends_with("nothing was done\n"),
            "{said}"
        );
    }
    assert!(!managed.file().exists());
    assert_eq!(run(CLOSED, &["proxy", "plan"]).status.code(), Some(64));
    fs::write(&config, "port = 1\n").unwrap();
    let output = run(CLOSED, &["proxy", "plan", "--config", config.to_str().unwrap()]);
    assert_eq!(stderr(&output), format!("lobbyctl: {} has no [proxy] table\n", config.display()));
}
