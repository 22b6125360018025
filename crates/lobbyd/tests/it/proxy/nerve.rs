//! Nerve's file in an agent, and with the program under the name `nerve`: a service is in the catalog while its check passes.

use std::{fs, net::TcpListener, path::Path, process::Command, time::Duration};

use lobby_testkit::{TempDir, daemon::Daemon, eventually, expect, port, process::Process};

use crate::fleet::{SOON, daemon, throughout};

fn file(folder: &Path, port: u16) -> String {
    let path = folder.join("nerve.json").display().to_string();
    let text = format!(
        "{{\"instance_id\": \"me\", \"services\": {{\"web\": {{\"host\": \"127.0.0.1\", \"port\": {port}, \
         \"reporter_type\": \"lobby\", \"check_interval\": 0.05, \"checks\": [{{\"type\": \"tcp\"}}]}}}}}}"
    );
    fs::write(&path, text).unwrap();
    path
}

fn n_instances(agent: &Daemon) -> usize {
    agent.get("/v1/catalog/service/web").json().as_array().map_or(0, Vec::len)
}

#[track_caller]
fn lists(agent: &Daemon, n: usize) {
    eventually(SOON, || {
        let seen = n_instances(agent);
        expect(seen == n, format!("{seen}\n{}", agent.process.log()))
    });
}

/// Down, up, and down.
#[track_caller]
fn follows(agent: &Daemon, port: u16) {
    throughout(Duration::from_millis(300), || assert_eq!(n_instances(agent), 0));
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    lists(agent, 1);
    drop(listener);
    lists(agent, 0);
}

#[test]
fn an_agent_checks_what_nerves_file_says() {
    let (folder, port) = (TempDir::new().unwrap(), port::free_address().port());
    let config = folder.path().join("lobby.toml");
    fs::write(&config, format!("[proxy]\nnerve = \"{}\"\n", file(folder.path(), port))).unwrap();
    let agent = daemon("n0").arg("--config").arg(config.display().to_string()).start();
    follows(&agent, port);
}

#[test]
fn that_no_agent_is_there_is_said_once() {
    let (folder, link) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (port, link) = (port::free_address().port(), link.path().join("nerve"));
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_lobbyd"), &link).unwrap();
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut command = Command::new(&link);
    let nobody = port::free_address().port().to_string();
    command.env_clear().env("PORT", nobody).args(["-c", &file(folder.path(), port)]);
    let nerve = Process::start("nerve", command);
    let is_over = || expect(nerve.log().contains("10 reports in a row failed"), nerve.log());
    eventually(SOON, is_over);
    assert_eq!(nerve.log().matches("cannot be reported up").count(), 1, "{}", nerve.log());
}

#[test]
fn the_program_nerve_reports_to_an_agent_while_it_runs() {
    let (folder, port) = (TempDir::new().unwrap(), port::free_address().port());
    let (link, path) = (folder.path().join("nerve"), file(folder.path(), port));
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_lobbyd"), &link).unwrap();
    let agent = daemon("n0").start();
    let start = |more: &[&str]| {
        let mut command = Command::new(&link);
        command.env_clear().env("PORT", agent.http.port().to_string()).args(["-c", &path]).args(more);
        Process::start("nerve", command)
    };
    assert!(start(&["-k"]).wait(SOON).success());
    let mut nerve = start(&["-i", "you"]);
    follows(&agent, port);
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    lists(&agent, 1);
    assert!(nerve.terminate(SOON).success(), "{}", nerve.log());
    lists(&agent, 0);
    fs::write(&path, "{\"instance_id\": \"me\", \"services\": {\"web\": {\"host\": \"h\", \"port\": \"none\"}}}").unwrap();
    let mut bad = start(&[]);
    assert_eq!(bad.wait(SOON).code(), Some(64), "{}", bad.log());
    assert!(bad.log().contains("web"), "{}", bad.log());
}

#[test]
fn variables_stand_for_flags() {
    let (folder, port) = (TempDir::new().unwrap(), port::free_address().port());
    let path = file(folder.path(), port);
    let agent = daemon("n0").start();
    let start = |name: &str, variables: &[(&str, &str)]| {
        let link = folder.path().join(name);
        let _ = std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_lobbyd"), &link);
        let mut command = Command::new(&link);
        command.env_clear().env("PORT", agent.http.port().to_string()).envs(variables.iter().copied());
        Process::start(name, command)
    };
    for yes in ["1", "yes", "true"] {
        let mut nerve = start("nerve", &[("NERVE_CONFIG", &path), ("NERVE_CHECK_CONFIG", yes)]);
        assert!(nerve.wait(SOON).success(), "{yes}: {}", nerve.log());
    }
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    for no in ["", "0", "no"] {
        let variables = [("NERVE_CONFIG", &*path), ("NERVE_CHECK_CONFIG", no), ("NERVE_INSTANCE_ID", "you")];
        let mut nerve = start("nerve", &variables);
        lists(&agent, 1);
        let listed = agent.get("/v1/catalog/service/web").text();
        assert!(listed.contains("web_you"), "{listed}");
        assert!(nerve.terminate(SOON).success(), "{no}: {}", nerve.log());
        lists(&agent, 0);
    }
    let away = folder.path().join("away.json").display().to_string();
    let mut synapse = start("synapse", &[("SYNAPSE_CONFIG", &away)]);
    assert_eq!(synapse.wait(SOON).code(), Some(64), "{}", synapse.log());
    assert!(synapse.log().contains(&away), "{}", synapse.log());
}
