//! `[[template]]` blocks of the real daemon: files on all agents follow one registration, and nothing bad happens to a file,
//! whatever happens to checks, commands and configurations.

use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

use lobby_testkit::{
    TempDir,
    daemon::{Builder, Daemon},
    eventually, expect,
    process::Process,
};
use serde_json::json;

use crate::fleet::{SOON, all_list, daemon, metric, throughout};

/// A line for each instance of `www`.
pub(super) const LINES: &str = "{{range service \"www\"}}{{.ID}} {{.Port}}\n{{end}}end\n";

/// A daemon with this configuration file.
pub(super) fn with_file(name: &str, folder: &Path, text: &str) -> Builder {
    let path = folder.join(format!("{name}.toml"));
    fs::write(&path, text).unwrap();
    daemon(name).arg("--config").arg(path.display().to_string())
}

/// A block that writes [`LINES`] or another text to `destination`, and more keys.
pub(super) fn block(contents: &str, destination: &Path, more: &str) -> String {
    format!("[[template]]\ncontents = '''\n{contents}'''\ndestination = \"{}\"\n{more}\n", destination.display())
}

#[track_caller]
pub(super) fn register(agent: &Daemon, name: &str, id: &str, port: u16) {
    let body = json!({ "Name": name, "ID": id, "Port": port, "Address": "10.0.0.1" }).to_string();
    let answer = agent.request("PUT", "/v1/agent/service/register", &[], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[track_caller]
pub(super) fn holds(path: &Path, agent: &Daemon, want: &str) {
    eventually(SOON, || {
        let text = fs::read_to_string(path).unwrap_or_default();
        expect(text == want, format!("{text:?}\n{}", agent.process.log()))
    });
}

/// What changes when a file is written anew.
pub(super) fn stamp(path: &Path) -> (u64, i64, i64) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
}

pub(super) fn n_lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[test]
fn one_registration_changes_the_file_of_every_agent() {
    let folder = TempDir::new().unwrap();
    let path = |idx: usize| folder.path().join(format!("out{idx}"));
    let start = |idx: usize| with_file(&format!("n{idx}"), folder.path(), &block(LINES, &path(idx), ""));
    let first = start(0).start();
    let join = first.gossip();
    let fleet = [first, start(1).env("GOSSIP_JOIN", join).start(), start(2).env("GOSSIP_JOIN", join).start()];
    let all = |want: &str| fleet.iter().enumerate().for_each(|(idx, agent)| holds(&path(idx), agent, want));
    all("end\n");
    register(&fleet[0], "www", "a", 1);
    all("a 1\nend\n");
    register(&fleet[2], "www", "b", 2);
    all("a 1\nb 2\nend\n");
    fleet[0].request("PUT", "/v1/agent/service/deregister/a", &[], "");
    all("b 2\nend\n");
    let agent = &fleet[1];
    assert_eq!(metric(agent, "lobby_templates"), 1.0);
    assert_eq!(metric(agent, "lobby_templates_waiting"), 0.0);
    assert!(metric(agent, "lobby_template_writes_total") >= 4.0);
    let (writes, stamps) = (metric(agent, "lobby_template_writes_total"), stamp(&path(1)));
    // Another service is no news to this file.
    register(agent, "other", "o", 3);
    throughout(Duration::from_secs(1), || assert_eq!(stamp(&path(1)), stamps));
    assert_eq!(metric(agent, "lobby_template_writes_total"), writes);
}

#[test]
fn with_turns_every_agent_runs_its_command_but_not_at_the_same_time() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    // Begins, and ends half a second later: two at once would leave two lines that begin one after the other.
    let command = |name: &str| {
        let runs = path("runs").display().to_string();
        format!("command = \"echo begin {name} >> {runs}; sleep 0.5; echo end {name} >> {runs}\"")
    };
    let start = |name: &str| {
        let text = block("{{range service \"www\"}}{{.ID}}{{end}}.\n", &path(name), &command(name));
        with_file(name, folder.path(), &format!("[templates]\nstagger = \"1:2s\"\n{text}"))
    };
    let first = start("n0").start();
    let join = first.gossip();
    let second = start("n1").env("GOSSIP_JOIN", join).start();
    let fleet = [first, second];
    all_list(&fleet, &["n0", "n1"]);
    for (idx, agent) in fleet.iter().enumerate() {
        holds(&path(&format!("n{idx}")), agent, ".\n");
    }
    eventually(SOON, || expect(n_lines(&path("runs")) >= 4, n_lines(&path("runs"))));
    let before = n_lines(&path("runs"));
    register(&fleet[0], "www", "a", 1);
    eventually(SOON, || expect(n_lines(&path("runs")) == before + 4, fs::read_to_string(path("runs"))));
    let text = fs::read_to_string(path("runs")).unwrap();
    let lines: Vec<_> = text.lines().skip(before).collect();
    assert!(lines[0].starts_with("begin") && lines[1] == lines[0].replace("begin", "end"), "{text}");
    assert!(lines[2].starts_with("begin") && lines[3] == lines[2].replace("begin", "end"), "{text}");
}

#[test]
fn nothing_is_written_before_the_picture_is_complete() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out");
    // The broker is not there, so the agent is not warm until it gives up waiting for it.
    let agent =
        with_file("a", folder.path(), &block(LINES, &path, "")).env("NATS_URL", "nats://127.0.0.1:9").env("WARM_MAX", 3).start();
    register(&agent, "www", "a", 1);
    eventually(SOON, || {
        let seen = path.exists();
        let health = agent.get("/v1/health").json();
        // Read in this order: a file that is there now was written before.
        assert!(!seen || health["warm"] == true, "{health}\n{}", agent.process.log());
        expect(seen, health)
    });
    holds(&path, &agent, "a 1\nend\n");
    agent.process.wait_for_log(SOON, "rendered");
    assert_eq!(metric(&agent, "lobby_template_writes_total"), 1.0, "it was not written without the service first");
}

#[test]
fn a_check_that_fails_keeps_the_old_file() {
    let folder = TempDir::new().unwrap();
    let (path, runs) = (folder.path().join("out"), folder.path().join("runs"));
    let more = format!("check = \"! grep -q bad {{{{.Path}}}}\"\ncommand = \"echo run >> {}\"", runs.display());
    let agent = with_file("a", folder.path(), &block(LINES, &path, &more)).start();
    holds(&path, &agent, "end\n");
    eventually(SOON, || expect(n_lines(&runs) == 1, n_lines(&runs)));
    let before = stamp(&path);
    register(&agent, "www", "bad", 1);
    eventually(SOON, || expect(metric(&agent, "lobby_template_failures_total") >= 1.0, agent.process.log()));
    throughout(Duration::from_millis(500), || assert_eq!(stamp(&path), before));
    assert_eq!(n_lines(&runs), 1, "a file that did not change needs no command");
    agent.request("PUT", "/v1/agent/service/deregister/bad", &[], "");
    register(&agent, "www", "good", 2);
    holds(&path, &agent, "good 2\nend\n");
    eventually(SOON, || expect(n_lines(&runs) == 2, n_lines(&runs)));
}

#[test]
fn a_command_finds_us_and_none_of_our_secrets() {
    let folder = TempDir::new().unwrap();
    let (path, out) = (folder.path().join("out"), folder.path().join("env"));
    let more = format!("command = \"(ulimit -n; env) > {0}.new && mv {0}.new {0}\"", out.display());
    let secrets = "{{env \"REDIS_PASSWORD\"}}{{env \"PLAIN\"}}{{env \"CONSUL_HTTP_ADDR\"}}\n";
    let agent = with_file("a", folder.path(), &block(secrets, &path, &more))
        .env("REDIS_PASSWORD", "s3cret")
        .env("LOBBY_NATS_TOKEN", "s3cret")
        .env("PLAIN", "plain ")
        .start();
    let env = eventually(SOON, || fs::read_to_string(&out).map_err(|err| format!("{err}\n{}", agent.process.log())));
    assert!(!env.contains("s3cret") && env.contains("PLAIN=plain"), "{env}");
    assert!(env.contains(&format!("CONSUL_HTTP_ADDR=http://{}\n", agent.http)), "{env}");
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("plain http://{}\n", agent.http));
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let ours = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()).unwrap();
    assert_eq!(env.lines().next(), Some(ours), "commands get the limit that the daemon was started with");
}

#[test]
fn a_reload_adds_a_template_and_touches_no_other() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = path("text.tpl");
    fs::write(&text, "{{range service \"www\"}}{{.Port}}{{end}}.\n").unwrap();
    let from_file =
        || format!("[[template]]\nsource = \"{}\"\ndestination = \"{}\"\n", text.display(), path("from_file").display());
    let first = block(LINES, &path("first"), &format!("command = \"echo run >> {}\"", path("runs").display()));
    let config = |blocks: &str| fs::write(path("a.toml"), blocks).unwrap();
    let mut agent = with_file("a", folder.path(), &first).start();
    holds(&path("first"), &agent, "end\n");
    eventually(SOON, || expect(n_lines(&path("runs")) == 1, n_lines(&path("runs"))));
    let before = stamp(&path("first"));

    config(&format!("{first}{}", from_file()));
    agent.process.signal(lobby_testkit::process::Signal::HUP);
    holds(&path("from_file"), &agent, ".\n");
    eventually(SOON, || expect(metric(&agent, "lobby_templates_waiting") == 0.0, agent.process.log()));
    assert_eq!((stamp(&path("first")), n_lines(&path("runs"))), (before, 1));
    assert_eq!(metric(&agent, "lobby_templates"), 2.0);
    assert_eq!(metric(&agent, "lobby_template_writes_total"), 2.0, "what was counted before counts");

    // The text of a template is read again, too.
    fs::write(&text, "{{range service \"www\"}}{{.Port}}{{end}}!\n").unwrap();
    assert_eq!(agent.request("PUT", "/v1/agent/reload", &[], "").status, 200);
    holds(&path("from_file"), &agent, "!\n");

    // What is bad is told, and what was there before goes on.
    fs::write(&text, "{{range}}\n").unwrap();
    let answer = agent.request("PUT", "/v1/agent/reload", &[], "");
    assert!(answer.status == 409 && answer.text().contains("[[template]] 2"), "{} {}", answer.status, answer.text());
    config(&format!("{first}[[template]]\ndestination = 1\n"));
    agent.process.signal(lobby_testkit::process::Signal::HUP);
    agent.process.wait_for_log(SOON, "cannot reload");
    register(&agent, "www", "a", 7);
    holds(&path("from_file"), &agent, "7!\n");
    holds(&path("first"), &agent, "a 7\nend\n");

    // One that is gone is no longer written, and its file stays.
    config(&first);
    assert_eq!(agent.request("PUT", "/v1/agent/reload", &[], "").status, 200);
    register(&agent, "www", "a", 8);
    holds(&path("first"), &agent, "a 8\nend\n");
    assert_eq!(fs::read_to_string(path("from_file")).unwrap(), "7!\n");
    assert_eq!(metric(&agent, "lobby_templates"), 1.0);
}

#[test]
fn a_bad_text_is_told_and_keeps_no_agent_from_starting() {
    let folder = TempDir::new().unwrap();
    let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
    let text = format!("{}{}", block("{{nonsense}}\n", &bad, ""), block(LINES, &good, ""));
    let agent = with_file("a", folder.path(), &text).start();
    agent.process.wait_for_log(SOON, "[[template]] 1");
    holds(&good, &agent, "end\n");
    assert!(!bad.exists());
    let (code, log) = with_file("b", folder.path(), &text).arg("--check-config").run(SOON);
    assert!(code == Some(64) && log.contains("b.toml: [[template]] 1") && log.contains("nonsense"), "{code:?} {log}");
    let (code, log) = with_file("c", folder.path(), &block(LINES, &good, "perm = 1")).arg("--check-config").run(SOON);
    assert!(code == Some(64) && log.contains("[[template]] 1") && log.contains("perms"), "{code:?} {log}");
    let (code, log) = with_file("d", folder.path(), &block(LINES, &good, "")).arg("--print-config").run(SOON);
    assert!(code == Some(0) && log.contains("[[template]]") && log.contains(&good.display().to_string()), "{code:?} {log}");
}

/// Waits until all commands have been run to their end: until then a later process would run them again.
#[track_caller]
pub(super) fn settled(folder: &Path, runner: &Process) {
    let is_left_over = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().to_string_lossy().starts_with('.');
    eventually(SOON, || expect(!fs::read_dir(folder).unwrap().any(is_left_over), runner.log()));
}
