//! What signals do to a `template` that goes on: stop, reload, and those for the program; and its pid file.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{Folder, WWW, agent};
use crate::program::CLOSED;

/// Far more than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

/// A `template` whose lines of both outputs can be waited for.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(folder: &Folder, port: u16, flags: &[&str]) -> Self {
        let mut command = folder.command(port, flags);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let outputs: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    // Nobody listens any more at the end of a test.
                    let _ = sender.send(line);
                }
            });
        }
        Self { child, lines }
    }

    /// Waits for a line with this text.
    #[track_caller]
    fn says(&self, text: &str) -> String {
        let mut others = Vec::new();
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => others.push(line),
                Err(err) => panic!("{text:?}: {err}; instead {others:#?}"),
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().try_into().unwrap()).unwrap(), signal).unwrap();
    }

    /// Its exit status, and what it still had said.
    fn ends(mut self) -> (Option<i32>, Vec<String>) {
        let mut lines = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(DEADLINE) {
            lines.push(line);
        }
        (self.child.wait().unwrap().code(), lines)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn sigterm_and_sigint_stop_it_with_12_and_the_pid_file_goes() {
    let (folder, agent) = (Folder::new(), agent());
    folder.write("a.tmpl", WWW);
    for signal in [Signal::TERM, Signal::INT] {
        let flags = ["-pid-file=pid", "-template", "a.tmpl:a:echo ran it"];
        let running = Running::start(&folder, agent.address.port(), &flags);
        running.says("ran it");
        assert_eq!(folder.read("pid"), running.child.id().to_string());
        running.signal(signal);
        assert_eq!(running.ends().0, Some(12));
        assert!(!folder.path("pid").exists());
        std::fs::remove_file(folder.path("a")).unwrap();
    }
}

#[test]
fn it_stops_while_no_agent_answers_and_when_its_command_hangs() {
    let (folder, agent) = (Folder::new(), agent());
    folder.write("a.tmpl", WWW);
    let running = Running::start(&folder, CLOSED, &["-template", "a.tmpl:a"]);
    running.says("no lobbyd answers at");
    running.signal(Signal::TERM);
    assert_eq!(running.ends().0, Some(12));
    let running = Running::start(&folder, agent.address.port(), &["-template", "a.tmpl:a:echo hangs; exec sleep 1000"]);
    running.says("hangs");
    running.signal(Signal::TERM);
    assert_eq!(running.ends().0, Some(12));
}

#[test]
fn a_pid_file_that_cannot_be_written_ends_it_before_anything_is_done() {
    let folder = Folder::new();
    folder.write("a.tmpl", "text\n");
    let running = Running::start(&folder, CLOSED, &["-once", "-pid-file=no/such/pid", "-template", "a.tmpl:a"]);
    running.says("[ERR] (cli) cannot write the pid file no/such/pid: No such file or directory");
    assert_eq!(running.ends().0, Some(14));
    assert!(!folder.path("a").exists());
}

#[test]
fn a_second_signal_to_stop_does_not_wait_for_the_program() {
    let (folder, agent) = (Folder::new(), agent());
    folder.write("a.tmpl", WWW);
    let script = "trap 'echo not yet' TERM; echo begins; while :; do sleep 0.05; done";
    let flags = ["-template", "a.tmpl:a", "-exec", script, "-exec-kill-signal=SIGTERM", "-exec-kill-timeout=1h"];
    let running = Running::start(&folder, agent.address.port(), &flags);
    running.says("begins");
    running.signal(Signal::TERM);
    running.says("not yet");
    running.signal(Signal::HUP);
    running.signal(Signal::INT);
    assert_eq!(running.ends().0, Some(12));
}

#[test]
fn a_second_interrupt_kills_a_program_that_takes_none() {
    let (folder, agent) = (Folder::new(), agent());
    folder.write("a.tmpl", WWW);
    let script = "trap 'echo not yet' INT; echo id $$; while :; do sleep 0.05; done";
    let running = Running::start(&folder, agent.address.port(), &["-template", "a.tmpl:a", "-exec", script]);
    let id = running.says("id ")["id ".len()..].to_owned();
    running.signal(Signal::INT);
    running.says("not yet");
    running.signal(Signal::INT);
    assert_eq!(running.ends().0, Some(12));
    is_gone(&id);
}

#[test]
fn what_a_function_runs_ends_with_us() {
    let (folder, agent) = (Folder::new(), agent());
    folder.write("a.tmpl", "{{plugin \"sh\" \"-c\" \"echo id $$ >&2; sleep 1000 & echo $! > id.new; mv id.new id; wait\"}}\n");
    let running = Running::start(&folder, agent.address.port(), &["-template", "a.tmpl:a"]);
    until("it is started", || folder.path("id").exists());
    running.signal(Signal::TERM);
    assert_eq!(running.ends().0, Some(12));
    is_gone(folder.read("id").trim());
}

/// Killed processes may wait for whoever adopts them.
#[track_caller]
fn is_gone(id: &str) {
    until(id, || {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    });
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    // Nobody sends on it: it only waits.
    let (_open, pause) = mpsc::channel::<()>();
    let looks = std::iter::repeat_with(|| pause.recv_timeout(DEADLINE / 1000)).take(1000);
    assert!(holds() || looks.into_iter().any(|_| holds()), "not in time: {what}");
}

#[test]
fn a_pid_file_is_left_to_the_process_that_has_it() {
    let (folder, agent) = (Folder::new(), agent());
    folder.write("a.tmpl", WWW);
    // That of a process that has nothing to do with it is replaced.
    folder.write("pid", &std::process::id().to_string());
    let port = agent.address.port();
    let first = Running::start(&folder, port, &["-pid-file=pid", "-template", "a.tmpl:a:echo ran it"]);
    first.says("ran it");
    let second = Running::start(&folder, port, &["-pid-file=pid", "-template", "a.tmpl:b"]);
    second.says(&format!("[ERR] (cli) cannot write the pid file pid: process {} has it and runs", first.child.id()));
    assert_eq!(second.ends().0, Some(14));
    assert_eq!(folder.read("pid"), first.child.id().to_string());
}

#[test]
fn it_stops_while_it_looks_for_its_place_in_the_fleet() {
    let folder = Folder::new();
    folder.write("a.tmpl", WWW);
    let running = Running::start(&folder, CLOSED, &["-stagger-at-once=1", "-template", "a.tmpl:a"]);
    running.says("stagger needs to know which node of the fleet this is: no lobbyd answers at");
    running.signal(Signal::HUP);
    running.signal(Signal::TERM);
    assert_eq!(running.ends().0, Some(12));
}

#[test]
fn the_program_is_told_of_other_signals_and_ended_with_us() {
    let (folder, agent) = (Folder::new(), agent());
    folder.write("a.tmpl", WWW);
    let script = "trap 'echo usr1' USR1; trap 'echo ends; exit 0' TERM; echo begins; while :; do sleep 0.05; done";
    let flags = ["-template", "a.tmpl:a", "-exec", script, "-exec-kill-signal=SIGTERM"];
    let running = Running::start(&folder, agent.address.port(), &flags);
    running.says("begins");
    running.signal(Signal::USR1);
    running.says("usr1");
    running.signal(Signal::INT);
    running.says("ends");
    assert_eq!(running.ends().0, Some(12));
}

#[test]
fn a_reload_reads_all_again_and_a_wrong_configuration_changes_nothing() {
    let (folder, agent) = (Folder::new(), agent());
    let config = |text: &str, pid: &str| {
        let template = format!("template {{ contents = \"{text}\\n\" destination = \"a\" command = \"echo wrote {text}\" }}");
        folder.write("c.hcl", &format!("pid_file = \"{pid}\"\n{template}\n"));
    };
    config("one", "pid1");
    let running = Running::start(&folder, agent.address.port(), &["-config", "c.hcl"]);
    running.says("wrote one");
    folder.write("c.hcl", "nonsense = 1");
    running.signal(Signal::HUP);
    let line = running.says("nonsense");
    assert!(line.contains("[ERR] (cli) reload: c.hcl: line 1: unknown key \"nonsense\""), "{line}");
    assert!(line.ends_with("what was there before goes on"), "{line}");
    config("{{", "pid2");
    running.signal(Signal::HUP);
    running.says("(dynamic): parse: template: :");
    assert!(folder.path("pid1").exists() && !folder.path("pid2").exists());
    config("two", "pid2");
    running.signal(Signal::HUP);
    running.says("wrote two");
    assert_eq!(folder.read("a"), "two\n");
    assert!(!folder.path("pid1").exists() && folder.path("pid2").exists());
    running.signal(Signal::TERM);
    let (code, lines) = running.ends();
    assert_eq!((code, lines), (Some(12), Vec::<String>::new()));
    assert!(!folder.path("pid2").exists());
}

#[test]
fn a_program_is_started_afresh_by_a_reload() {
    let (folder, agent) = (Folder::new(), agent());
    folder.write("a.tmpl", WWW);
    let script = "trap 'echo ends; exit 0' INT; echo begins; while :; do sleep 0.05; done";
    let running = Running::start(&folder, agent.address.port(), &["-template", "a.tmpl:a", "-exec", script]);
    running.says("begins");
    running.signal(Signal::HUP);
    running.says("ends");
    running.says("begins");
    running.signal(Signal::TERM);
    running.says("ends");
    assert_eq!(running.ends().0, Some(12));
}
