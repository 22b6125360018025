//! The unit file of the README: its text's environment, as a system user without a home, with a read-only /etc.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{PermissionsExt, chown},
    process::Command,
    time::Duration,
};

use lobby_testkit::{TempDir, eventually, expect, http, port, process::Process, server::nats};
use serde_json::Value;

use crate::fleet::SOON;

/// `nobody`, on every Debian.
const NOBODY: u32 = 65_534;

/// `lobbyd` alone in a folder that everybody can read, as that user, with /etc mounted read-only and an empty environment.
fn as_nobody(folder: &TempDir) -> Command {
    assert!(rustix::process::geteuid().is_root(), "this test changes its user: run it as root");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("lobbyd");
    if !program.exists() {
        fs::copy(env!("CARGO_BIN_EXE_lobbyd"), &program).unwrap();
    }
    let mut command = Command::new("unshare");
    let script = "mount -o bind,ro /etc /etc && exec setpriv --reuid \"$1\" --regid \"$1\" --clear-groups \"$0\"";
    command.args(["--mount", "sh", "-c", script]).arg(&program).arg(NOBODY.to_string());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir("/");
    command
}

fn readme_environment() -> Vec<(String, String)> {
    let readme = include_str!("../../../../README.md");
    let lines = readme.lines().filter_map(|line| line.trim().strip_prefix("Environment=\"")?.strip_suffix('"'));
    lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_unit_of_the_readme_runs_as_a_user_without_a_home() {
    let environment = readme_environment();
    assert_eq!(environment.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["NATS_URL", "LABELS"]);
    // Servers that commands of templates have started go on while the daemon restarts.
    assert!(include_str!("../../../../README.md").lines().any(|line| line == "KillMode=process"));
    let server = nats::start("");
    let folder = TempDir::new().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port::free()));
    let mut command = as_nobody(&folder);
    // In place of the server that the README names, one that is here; two daemons of one machine cannot share a port.
    command.envs(environment).env("NATS_URL", nats::url(&server)).env("PORT", address.port().to_string());
    let mut agent = Process::start("lobbyd of the unit", command);
    let list =
        eventually(SOON, || http::get(address, "/").map_err(|err| format!("{err}\n{}", agent.log())).map(|answer| answer.json()));
    let want = "2 3 4 location:prague ns:primary public_ip4:1 public_ip6:2a03::1 service:ns";
    let labels: Vec<_> = list[0]["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap()).collect();
    assert_eq!(labels.join(" "), want);
    agent.wait_for_log(SOON, "no data folder can be written");

    // Neither /etc nor any data folder can be written: a label that would be lost is refused, not taken.
    let answer = http::post(address, "/v1/labels", "added:1").unwrap();
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert!(answer.text().contains("LABELS_PATH") && answer.text().contains("DATA_DIR"), "{}", answer.text());
    eventually(SOON, || {
        let health = http::get(address, "/v1/health").unwrap().json();
        expect(health["warm"] == true, health)
    });
    assert_eq!(agent.terminate(Duration::from_secs(2)).code(), Some(0));
}

#[test]
fn daemons_that_differ_only_in_port_all_start() {
    let (folder, state) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    chown(state.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let start = |name: &str| {
        let mut command = as_nobody(&folder);
        // Default data folder (below this one, as /var/lib/lobby is not this user's) and default gossip address.
        command.env("XDG_STATE_HOME", state.path()).env("PORT", "0").env("HOSTNAME", name).env("LABELS_PATH", "/nonexistent");
        let (process, lines) = Process::start_with_lines(name, command);
        let line = lines.recv_timeout(SOON).unwrap_or_else(|err| panic!("{err}: {}", process.log()));
        (process, serde_json::from_str::<Value>(&line).unwrap())
    };
    let ((_a, first), (_b, second)) = (start("a"), start("b"));
    for key in ["http", "gossip", "id"] {
        assert_ne!(first[key], second[key]);
    }
    let mut folders: Vec<_> = fs::read_dir(state.path().join("lobby")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    folders.sort();
    assert_eq!(folders, ["0", "1"]);
}
