//! CALLBACK and hooks: when they run, what they get, and that a bad one harms nobody.

use std::{fs, path::Path, time::Duration};

use lobby_testkit::{TempDir, eventually, expect};
use serde_json::Value;

use crate::fleet::{SOON, daemon, metric, throughout};

/// A script that appends one line to `out` at each run: the packets it got.
fn script(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path.display().to_string()
}

fn runs(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("one line of JSON a run")).collect()
}

#[test]
fn the_callback_runs_at_the_start_and_for_the_latest_state() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let command = script(folder.path(), "callback", &format!("read packets\necho \"$packets\" >> {}\n", out.display()));
    let agent = daemon("a")
        .env("LABELS", "env:1")
        .env("CALLBACK", format!("{command} with arguments"))
        .env("CALLBACK_FIRST_RUN_DELAY", 1)
        .env("CALLBACK_COOLDOWN", 1)
        .start();
    eventually(SOON, || expect(runs(&out).len() == 1, runs(&out)));
    assert_eq!(runs(&out)[0][0]["hostname"], "a");
    assert_eq!(runs(&out)[0][0]["labels"], serde_json::json!(["env:1"]));
    for n in 0..20 {
        agent.request("POST", "/v1/labels", &[], &format!("n:{n}"));
    }
    eventually(SOON, || {
        let last = runs(&out).last().cloned().unwrap_or_default();
        expect(last[0]["labels"].as_array().is_some_and(|labels| labels.len() == 21), last)
    });
    let n_runs = runs(&out).len();
    assert!(n_runs <= 4, "twenty changes within a cooldown are few runs, not {n_runs}");
    throughout(Duration::from_secs(2), || assert_eq!(runs(&out).len(), n_runs, "nothing changed, nothing runs"));
}

#[test]
fn a_hanging_and_a_failing_hook_do_not_stop_the_others() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let (out, pid) = (path.join("out"), path.join("pid"));
    let hanging = script(path, "hanging", &format!("sleep 1000 & echo $! > {}; wait", pid.display()));
    let failing = script(path, "failing", "exit 3");
    let good = script(path, "good", &format!("cat >> {0}; echo >> {0}", out.display()));
    let config = format!(
        "[[hook]]\ncommand = \"{hanging}\"\nfirst_run_delay = 0\ntimeout = 1\n\
         [[hook]]\ncommand = \"{failing}\"\nfirst_run_delay = 0\n\
         [[hook]]\ncommand = \"/nonexistent/program\"\nfirst_run_delay = 0\n\
         [[hook]]\nname = \"good\"\ncommand = [\"{good}\"]\nfirst_run_delay = 0\ncooldown = 0.1\nlabels = \"wanted:1\"\n"
    );
    let file = path.join("lobby.toml");
    fs::write(&file, config).unwrap();
    let agent = daemon("a").arg("--config").arg(file.display().to_string()).start();
    eventually(SOON, || expect(runs(&out) == [serde_json::json!([])], runs(&out)));
    agent.request("POST", "/v1/labels", &[], "other:1");
    agent.request("POST", "/v1/labels", &[], "wanted:1");
    eventually(SOON, || expect(runs(&out).len() == 2 && runs(&out)[1][0]["hostname"] == "a", runs(&out)));
    eventually(SOON, || {
        let timed_out = metric(&agent, "lobby_hook_runs_total{result=\"timed_out\"}");
        let failed = metric(&agent, "lobby_hook_runs_total{result=\"failed\"}");
        expect(timed_out >= 1.0 && failed >= 2.0, agent.get("/metrics").text())
    });
    let child = fs::read_to_string(&pid).unwrap();
    let status = || fs::read_to_string(format!("/proc/{}/stat", child.trim()));
    eventually(SOON, || expect(status().map_or(true, |text| text.contains(") Z ")), status()));
}

#[test]
fn a_running_hook_ends_with_the_agent() {
    let folder = TempDir::new().unwrap();
    let pid = folder.path().join("pid");
    let hanging = script(folder.path(), "hanging", &format!("echo $$ > {}; exec sleep 1000", pid.display()));
    let mut agent = daemon("a").env("CALLBACK", hanging).env("CALLBACK_FIRST_RUN_DELAY", 0).start();
    let child = eventually(SOON, || {
        let text = fs::read_to_string(&pid).unwrap_or_default();
        expect(text.ends_with('\n'), text.clone()).map(|()| text.trim().to_owned())
    });
    agent.stop(Duration::from_secs(3));
    let status = || fs::read_to_string(format!("/proc/{child}/stat"));
    eventually(SOON, || expect(status().map_or(true, |text| text.contains(") Z ")), status()));
}
