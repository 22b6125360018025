//! The recipes of docs/templates.md, from examples/templates: each is run as it stands, in a folder instead of `/etc`, with a
//! `systemctl` that only notes what it was told, and has to write the expected file. The page shows them as they are.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use lobby_testkit::{TempDir, daemon::Daemon, eventually, expect, process};
use serde_json::json;

use super::blocks::holds;
use crate::fleet::{SOON, daemon};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/templates")
}

/// A running recipe.
struct Recipe {
    folder: TempDir,
    agent: Daemon,
}

impl Recipe {
    /// Starts the recipe of this name.
    fn start(name: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let text = fs::read_to_string(examples().join(format!("{name}.toml"))).unwrap();
        let text = text.replace("/etc/lobby/templates", &examples().display().to_string());
        fs::write(path("lobby.toml"), text.replace("\"/etc", &format!("\"{}", path("etc").display()))).unwrap();
        fs::create_dir_all(path("etc/lobby/keys/app")).unwrap();
        fs::create_dir(path("bin")).unwrap();
        let systemctl = format!("#!/bin/sh\necho \"$@\" >> {}\n", path("told").display());
        fs::write(path("bin/systemctl"), systemctl).unwrap();
        fs::set_permissions(path("bin/systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
        let programs = format!("{}:/usr/sbin:{}", path("bin").display(), std::env::var("PATH").unwrap());
        let agent = daemon("here").env("PATH", programs).arg("--config").arg(path("lobby.toml").display().to_string()).start();
        Self { folder, agent }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn register(&self, name: &str, id: &str, port: u16) {
        let body =
            json!({ "Name": name, "ID": id, "Port": port, "Address": "10.0.0.1", "Weights": { "Passing": 3, "Warning": 1 } });
        let answer = self.agent.request("PUT", "/v1/agent/service/register", &[], &body.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    #[track_caller]
    fn holds(&self, below: &str, want: &str) {
        holds(&self.path(below), &self.agent, want);
    }

    /// Waits until systemctl was last told this.
    #[track_caller]
    fn told(&self, want: &str) {
        let told = || fs::read_to_string(self.path("told")).unwrap_or_default();
        eventually(SOON, || expect(told().lines().last() == Some(want), format!("{}\n{}", told(), self.agent.process.log())));
    }
}

/// The last lines of a file whose first ones are as in the template.
fn tail(path: &Path, n: usize) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(n)..].join("\n")
}

#[test]
fn haproxy() {
    process::find("haproxy");
    let recipe = Recipe::start("haproxy");
    recipe.register("www", "a", 81);
    recipe.register("www", "b", 82);
    let want = "    balance roundrobin\n    server here-a 10.0.0.1:81 weight 3\n    server here-b 10.0.0.1:82 weight 3";
    let path = recipe.path("etc/haproxy/haproxy.cfg");
    eventually(SOON, || expect(tail(&path, 3) == want, format!("{}\n{}", tail(&path, 9), recipe.agent.process.log())));
    recipe.told("reload haproxy");
}

#[test]
fn nginx() {
    process::find("nginx");
    let recipe = Recipe::start("nginx");
    let path = recipe.path("etc/nginx/nginx.conf");
    let servers = |n: usize| fs::read_to_string(&path).unwrap_or_default().lines().skip(3).take(n).collect::<Vec<_>>().join("\n");
    let none = "    upstream www {\n        server 127.0.0.1:9 down;\n    }";
    eventually(SOON, || expect(servers(3) == none, format!("{}\n{}", servers(9), recipe.agent.process.log())));
    recipe.told("reload nginx");
    recipe.register("www", "a", 81);
    let one = "    upstream www {\n        server 10.0.0.1:81 weight=3;\n    }";
    eventually(SOON, || expect(servers(3) == one, format!("{}\n{}", servers(9), recipe.agent.process.log())));
}

#[test]
fn hosts() {
    let recipe = Recipe::start("hosts");
    let nodes = recipe.agent.get("/v1/catalog/nodes").json();
    let address = nodes[0]["Address"].as_str().unwrap();
    let want = format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n\n{address} here\n");
    recipe.holds("etc/hosts", &want);
}

#[test]
fn file_sd() {
    let recipe = Recipe::start("file_sd");
    let path = recipe.path("etc/prometheus/targets/www.json");
    let read = || serde_json::from_str::<serde_json::Value>(&fs::read_to_string(&path).unwrap_or_default());
    eventually(SOON, || expect(read().is_ok_and(|targets| targets == json!([])), read()));
    recipe.register("www", "a", 81);
    recipe.register("www", "b", 82);
    let target = |port: u16| json!({ "targets": [format!("10.0.0.1:{port}")], "labels": { "node": "here" } });
    let want = json!([target(81), target(82)]);
    eventually(SOON, || expect(read().is_ok_and(|targets| targets == want), read()));
}

#[test]
fn environment() {
    let recipe = Recipe::start("environment");
    recipe.holds("etc/app.env", "LOG_LEVEL=info\n");
    recipe.register("db", "a", 5432);
    recipe.holds("etc/app.env", "DB_HOST=10.0.0.1\nDB_PORT=5432\nLOG_LEVEL=info\n");
    fs::write(recipe.path("etc/lobby/keys/app/log_level"), "debug").unwrap();
    recipe.holds("etc/app.env", "DB_HOST=10.0.0.1\nDB_PORT=5432\nLOG_LEVEL=debug\n");
    recipe.told("restart app");
    assert_eq!(fs::metadata(recipe.path("etc/app.env")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn per_service() {
    let recipe = Recipe::start("per_service");
    recipe.register("www", "a", 81);
    recipe.register("db", "d", 5432);
    recipe.holds("etc/upstreams/www.list", "10.0.0.1:81\n");
    recipe.holds("etc/upstreams/db.list", "10.0.0.1:5432\n");
}

/// Every file of the folder is shown on the page, between fences.
#[test]
fn the_page_shows_every_recipe() {
    let page = fs::read_to_string(examples().join("../../docs/templates.md")).unwrap();
    let mut n_files = 0;
    for entry in fs::read_dir(examples()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        assert!(page.contains(&format!("\n{text}```\n")), "docs/templates.md does not show {}", path.display());
        n_files += 1;
    }
    assert!(n_files >= 12, "{n_files}");
}
