//! Templates, their commands and the life of processes: one that hangs, a daemon that is killed, a server that outlives it.

use std::{fs, path::Path, time::Duration};

use lobby_testkit::{TempDir, eventually, expect, port, process};
use rustix::process::{Pid, Signal, kill_process};

use super::blocks::{LINES, block, holds, n_lines, register, settled, stamp, with_file};
use crate::fleet::{SOON, metric};

fn pid(path: &Path) -> Option<i32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Whether a process of this id runs.
fn is_alive(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat"));
    status.is_ok_and(|text| !text.contains(") Z "))
}

#[test]
fn a_command_that_hangs_is_killed_at_its_time() {
    let folder = TempDir::new().unwrap();
    let (path, hung, flag) = (folder.path().join("out"), folder.path().join("pid"), folder.path().join("flag"));
    let script = format!("test -e {0} || {{ touch {0}; echo $$ > {1}; exec sleep 1000; }}", flag.display(), hung.display());
    let more = format!("command = \"{script}\"\ncommand_timeout = \"1s\"");
    let agent = with_file("a", folder.path(), &block(LINES, &path, &more)).start();
    let child = eventually(SOON, || pid(&hung).ok_or_else(|| agent.process.log()));
    eventually(SOON, || expect(!is_alive(child), agent.process.log()));
    eventually(SOON, || expect(metric(&agent, "lobby_template_failures_total") >= 1.0, agent.process.log()));
    register(&agent, "www", "a", 1);
    holds(&path, &agent, "a 1\nend\n");
    assert_eq!(agent.get("/v1/health").status, 200);
}

#[test]
fn a_running_command_ends_with_the_agent_and_is_run_again_by_the_next() {
    let folder = TempDir::new().unwrap();
    let (path, hung) = (folder.path().join("out"), folder.path().join("pid"));
    let more = format!("command = \"echo $$ > {}; exec sleep 1000\"", hung.display());
    let mut agent = with_file("a", folder.path(), &block(LINES, &path, &more)).start();
    let child = eventually(SOON, || pid(&hung).ok_or_else(|| agent.process.log()));
    agent.stop(Duration::from_secs(5));
    eventually(SOON, || expect(!is_alive(child), child));
    let before = stamp(&path);
    agent = agent.start_again();
    let next = eventually(SOON, || pid(&hung).filter(|next| *next != child).ok_or_else(|| agent.process.log()));
    assert!(is_alive(next));
    assert_eq!(fs::read_to_string(&path).unwrap(), "end\n");
    assert_eq!(stamp(&path).0, before.0, "the file was good; only its command was not run to its end");
}

#[test]
fn a_daemon_that_was_killed_or_stopped_leaves_equal_files_alone() {
    let folder = TempDir::new().unwrap();
    let (path, runs) = (folder.path().join("out"), folder.path().join("runs"));
    let more = format!("command = \"echo run >> {}\"", runs.display());
    let mut agent = with_file("a", folder.path(), &block(LINES, &path, &more)).start();
    register(&agent, "www", "a", 1);
    holds(&path, &agent, "a 1\nend\n");
    settled(folder.path(), &agent.process);
    let before = (stamp(&path), n_lines(&runs));
    for is_killed in [true, false] {
        if is_killed {
            agent.kill();
        } else {
            agent.stop(Duration::from_secs(5));
            assert_eq!((stamp(&path), n_lines(&runs)), before, "our own end is no news to our files");
        }
        agent = agent.start_again();
        let is_rendered = |agent: &lobby_testkit::daemon::Daemon| {
            metric(agent, "lobby_templates") == 1.0
                && metric(agent, "lobby_templates_waiting") == 0.0
                && metric(agent, "lobby_template_evaluations_total") >= 1.0
        };
        eventually(SOON, || expect(is_rendered(&agent), agent.process.log()));
        assert_eq!(fs::read_to_string(&path).unwrap(), "a 1\nend\n");
        assert_eq!((stamp(&path), n_lines(&runs)), before, "{}", agent.process.log());
        assert_eq!(metric(&agent, "lobby_template_commands_total"), 0.0);
    }
}

/// As systemd leaves it with `KillMode=process`: only lobbyd is told to end.
#[test]
fn haproxy_that_a_command_has_started_outlives_the_daemon() {
    let haproxy = process::find("haproxy");
    let folder = TempDir::new().unwrap();
    let (config, pid_file) = (folder.path().join("haproxy.cfg"), folder.path().join("haproxy.pid"));
    let contents = format!(
        "defaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\n\
         frontend www\n  bind 127.0.0.1:{}\n  default_backend www\nbackend www\n\
         {{{{range service \"www\"}}}}  server {{{{.ID}}}} {{{{.Address}}}}:{{{{.Port}}}}\n{{{{end}}}}",
        port::free()
    );
    let (program, pids) = (haproxy.display(), pid_file.display());
    // As the script of the slides: soft-stops the one before, if there is one.
    let run = format!("{program} -D -p {pids} -f {} -sf $(cat {pids} 2>/dev/null)", config.display());
    let more = format!("check = \"{program} -c -q -f {{{{.Path}}}}\"\ncommand = \"{run}\"");
    let mut agent = with_file("a", folder.path(), &block(&contents, &config, &more)).start();
    let first = eventually(SOON, || pid(&pid_file).filter(|pid| is_alive(*pid)).ok_or_else(|| agent.process.log()));
    register(&agent, "www", "a", 1);
    let second = eventually(SOON, || {
        let second = pid(&pid_file).filter(|pid| *pid != first && is_alive(*pid));
        second.ok_or_else(|| agent.process.log())
    });
    let end = Ended(second);
    eventually(SOON, || expect(!is_alive(first), agent.process.log()));
    settled(folder.path(), &agent.process);
    agent.stop(Duration::from_secs(5));
    assert!(is_alive(second), "lobbyd's end is not haproxy's: {}", agent.process.log());
    agent = agent.start_again();
    eventually(SOON, || {
        let is_rendered =
            metric(&agent, "lobby_template_evaluations_total") >= 1.0 && metric(&agent, "lobby_templates_waiting") == 0.0;
        expect(is_rendered, agent.process.log())
    });
    assert_eq!(pid(&pid_file), Some(second));
    assert!(is_alive(second));
    agent.kill();
    assert!(is_alive(second), "nor is a kill -9");
    drop(end);
}

/// Ends what the daemon left behind on purpose.
struct Ended(i32);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.0) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
