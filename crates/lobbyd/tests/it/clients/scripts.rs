//! Client libraries whose script asserts by itself: npm consul 2, and py-consul.

use std::process::Command;

use lobby_testkit::process::{find, installed};

use super::{alone, file, modules, run};
use crate::fleet::{daemon, is_warm};

/// Runs a script of py-consul's against an agent alone.
#[track_caller]
fn python(script: &str) {
    let agent = daemon("alone").start();
    is_warm(&agent);
    let mut command = Command::new(installed("LOBBY_TEST_VENV", "bin/python"));
    // Python would leave its compiled files in the tree.
    alone(&mut command).env("PYTHONDONTWRITEBYTECODE", "1").arg(file(script)).arg(agent.http.port().to_string());
    run(script, command);
}

#[test]
fn npm_consul_2_with_promises() {
    let agent = daemon("alone").start();
    is_warm(&agent);
    let mut command = Command::new(find("node"));
    alone(&mut command).env("NODE_PATH", modules("promises"));
    command.arg(file("promises.js")).arg(agent.http.port().to_string());
    run("promises.js", command);
}

#[test]
fn py_consul_reads_and_drives_an_agent() {
    python("pyconsul_agent.py");
}

#[test]
fn py_consul_writes_to_the_catalog() {
    python("pyconsul_catalog.py");
}
