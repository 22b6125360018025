//! The unit file of the README: its environment verbatim, as a system user without a home, with a read-only /etc.

use std::{os::unix::process::CommandExt, time::Duration};

use lobby_testkit::{TempDir, eventually, expect, http, port, process::Process, server::nats};

use crate::fleet::SOON;

/// `nobody`, on every Debian.
const NOBODY: u32 = 65_534;

fn readme_environment() -> Vec<(String, String)> {
    let readme = include_str!("../../../../README.md");
    let lines = readme.lines().filter_map(|line| line.trim().strip_prefix("Environment=\"")?.strip_suffix('"'));
    lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_unit_of_the_readme_runs_as_a_user_without_a_home() {
    assert!(rustix::process::geteuid().is_root(), "this test changes its user: run it as root");
    let environment = readme_environment();
    assert_eq!(environment.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["NATS_URL", "LABELS"]);
    let server = nats::start("");
    // The binary alone, where a unit would have it.
    let folder = TempDir::new().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let program = folder.path().join("lobbyd");
    std::fs::copy(env!("CARGO_BIN_EXE_lobbyd"), &program).unwrap();

    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port::free()));
    let mut command = std::process::Command::new(&program);
    command.env_clear().envs(environment).env("NATS_URL", nats::url(&server));
    // Not in the unit: two daemons of one test machine cannot share a port, nor may the default folder be written.
    command.env("PORT", address.port().to_string()).env("LOBBY_TEST_UNIT", "1").current_dir("/");
    command.uid(NOBODY).gid(NOBODY);
    let mut agent = Process::start("lobbyd of the unit", command);
    let list =
        eventually(SOON, || http::get(address, "/").map_err(|err| format!("{err}\n{}", agent.log())).map(|answer| answer.json()));
    let want = "2 3 4 location:prague ns:primary public_ip4:1 public_ip6:2a03::1 service:ns";
    let labels: Vec<_> = list[0]["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap()).collect();
    assert_eq!(labels.join(" "), want);
    agent.wait_for_log(SOON, "no data folder can be written");

    // /etc cannot be written by this user, nor any data folder: a label that would be lost is refused, not taken.
    let answer = http::post(address, "/v1/labels", "added:1").unwrap();
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert!(answer.text().contains("LABELS_PATH") && answer.text().contains("DATA_DIR"), "{}", answer.text());
    eventually(SOON, || {
        let health = http::get(address, "/v1/health").unwrap().json();
        expect(health["warm"] == true, health)
    });
    assert_eq!(agent.terminate(Duration::from_secs(2)).code(), Some(0));
}
