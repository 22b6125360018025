//! `run`: real programs under a lobbyctl that talks to prepared answers. In which order who is told what, and how it ends.

use std::{
    io::{BufRead, BufReader, ErrorKind, Lines, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    canned::Canned,
    program::{CLOSED, lobbyctl},
};

/// Far more than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

/// A daemon that tells each request when it answers it.
pub(crate) fn daemon() -> (Canned, Receiver<String>) {
    daemon_that(|_| "200 OK")
}

/// One that answers so, by the request's line. It has the checks of what was registered last, sees our processes, and does not
/// tell who asks for either.
pub(crate) fn daemon_that(status: impl Fn(&str) -> &'static str + Send + Sync + 'static) -> (Canned, Receiver<String>) {
    let (sender, receiver) = mpsc::channel();
    let sender = Mutex::new(sender);
    let checks = Mutex::new(Value::Null);
    let daemon = Canned::start(move |request, body| {
        if request.starts_with("GET /v1/agent/checks ") {
            return ("200 OK".into(), checks.lock().unwrap().to_string());
        }
        if request.starts_with("GET /v1/agent/service/") {
            return (status(request).into(), "{}".into());
        }
        if let Some(refusal) = watching(body) {
            return refusal;
        }
        if request.starts_with("PUT /v1/services/") && body.starts_with('{') {
            *checks.lock().unwrap() = own_checks(&serde_json::from_str(body).unwrap());
        }
        // Nobody listens any more at the end of a test.
        let _ = sender.lock().unwrap().send(format!("{}\n{body}", request.trim_end_matches(" HTTP/1.1")));
        (status(request).into(), "said the daemon".into())
    });
    (daemon, receiver)
}

/// What a daemon that sees our processes says when it is asked to watch one that cannot be.
fn watching(body: &str) -> Option<(String, String)> {
    let body: Value = serde_json::from_str(body).ok()?;
    let pid = |idx: usize| body["Checks"][idx]["PID"].as_i64();
    let first = pid(0).filter(|_| pid(1) == Some(i32::MAX.into()))?;
    let is_there = Path::new(&format!("/proc/{first}")).exists();
    Some(("400 Bad Request".into(), format!("PID {first}: {}", if is_there { "a thread" } else { "no such process" })))
}

/// The checks of a definition as the daemon lists its own.
fn own_checks(definition: &Value) -> Value {
    let of = |check: &Value| {
        let id = check["CheckID"].as_str().unwrap_or("some").to_owned();
        (id.clone(), serde_json::json!({ "CheckID": id, "ServiceID": definition["ID"] }))
    };
    definition["Checks"].as_array().unwrap().iter().map(of).collect::<serde_json::Map<_, _>>().into()
}

/// `lobbyctl run` with these options and this script of the shell.
fn command(port: u16, options: &[&str], script: &str) -> Command {
    let mut command = lobbyctl(port, &["run", "--name", "web"]);
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").args(options).args(["--", "sh", "-c", script]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) struct Running {
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn start(port: u16, options: &[&str], script: &str) -> Self {
        let mut child = command(port, options, script).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub(crate) fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit status and what it wrote to stderr.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        (self.child.wait().unwrap().code(), text)
    }
}

pub(crate) fn next(asked: &Receiver<String>) -> String {
    asked.recv_timeout(DEADLINE).unwrap()
}

#[track_caller]
pub(crate) fn begins(asked: &str, want: &str) {
    assert_eq!(asked.lines().next(), Some(want));
}

/// Waits in the background of the script, so that a trap runs at once; who is left behind holds nothing open.
pub(crate) const WAIT: &str = "sleep 60 >/dev/null 2>&1 & wait $!; kill $!";

#[test]
fn a_program_is_registered_drained_and_deregistered_before_it_is_told_to_stop() {
    let (daemon, asked) = daemon();
    let script = format!("trap 'kill $!; echo told; exit 7' TERM; echo $$; {WAIT}");
    let mut running = Running::start(daemon.address.port(), &["--id", "w", "--port", "80", "--drain", "10ms"], &script);
    let pid: i32 = running.line().parse().unwrap();
    let registered = next(&asked);
    begins(&registered, "PUT /v1/services/web/w");
    let body: Value = serde_json::from_str(registered.lines().last().unwrap()).unwrap();
    let want = serde_json::json!({"Name": "web", "ID": "w", "Port": 80,
        "Checks": [{"CheckID": format!("service:w:process:{pid}"), "Name": "process", "PID": pid}]});
    assert_eq!(body, want);
    running.send(Signal::TERM);
    begins(&next(&asked), "PUT /v1/services/web/w/drain");
    begins(&next(&asked), "PUT /v1/agent/service/deregister/w");
    assert_eq!(running.line(), "told");
    assert_eq!(running.end(), (Some(7), String::new()));
    assert!(asked.try_recv().is_err(), "nothing more is asked");
}

#[test]
fn the_program_is_not_told_before_the_daemon_has_answered() {
    let dir = std::env::temp_dir().join(format!("lobbyctl-run-{}", std::process::id()));
    let told = dir.clone();
    let (sender, was_told) = mpsc::channel();
    let sender = Mutex::new(sender);
    let (daemon, asked) = daemon_that(move |request| {
        if request.contains("deregister") {
            let _ = sender.lock().unwrap().send(told.exists());
        }
        "200 OK"
    });
    let script = format!("trap 'kill $!; echo > {}; echo told; exit 0' INT; echo up; {WAIT}", dir.display());
    let mut running = Running::start(daemon.address.port(), &[], &script);
    assert_eq!(running.line(), "up");
    begins(&next(&asked), "PUT /v1/services/web/web");
    running.send(Signal::INT);
    assert!(!was_told.recv_timeout(DEADLINE).unwrap());
    assert_eq!(running.line(), "told");
    assert!(dir.exists());
    std::fs::remove_file(&dir).unwrap();
    assert_eq!(running.end(), (Some(0), String::new()));
}

#[test]
fn the_old_one_leaves_the_registration_of_the_new_one_alone() {
    let (daemon, asked) = daemon();
    let script = format!("trap 'kill $!; exit 0' TERM; echo up; {WAIT}");
    let start = || Running::start(daemon.address.port(), &["--id", "web", "--drain", "10ms"], &script);
    let mut old = start();
    old.line();
    begins(&next(&asked), "PUT /v1/services/web/web");
    let mut new = start();
    new.line();
    begins(&next(&asked), "PUT /v1/services/web/web");
    old.send(Signal::TERM);
    let said = "lobbyctl: web is left alone: somebody else has registered it meanwhile\n";
    assert_eq!(old.end(), (Some(0), said.into()));
    assert!(asked.try_recv().is_err(), "neither drained nor deregistered");
    new.send(Signal::TERM);
    begins(&next(&asked), "PUT /v1/services/web/web/drain");
    begins(&next(&asked), "PUT /v1/agent/service/deregister/web");
    assert_eq!(new.end(), (Some(0), String::new()));
}

#[test]
fn with_a_port_the_id_has_it() {
    let (daemon, asked) = daemon();
    let mut running = Running::start(daemon.address.port(), &["--port", "8080"], "read x");
    begins(&next(&asked), "PUT /v1/services/web/web-8080");
    drop(running.child.stdin.take());
    begins(&next(&asked), "PUT /v1/agent/service/deregister/web-8080");
    assert_eq!(running.end().0, Some(1));
}

/// The text of a request with a body of JSON.
fn request(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        let mut some = [0; 1024];
        let n_bytes = stream.read(&mut some).unwrap();
        assert_ne!(n_bytes, 0);
        request.extend_from_slice(&some[..n_bytes]);
    }
    String::from_utf8(request).unwrap()
}

#[test]
fn where_our_processes_are_not_seen_it_is_registered_while_the_connection_is_open() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut running = Running::start(listener.local_addr().unwrap().port(), &["--port", "80"], "echo $$; read x");
    let pid: i32 = running.line().parse().unwrap();
    for _ in 0..2 {
        let (mut stream, _) = listener.accept().unwrap();
        begins(&request(&mut stream), "PUT /v1/services/web/web-80 HTTP/1.1");
        let same = "HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\nConnection: close\r\n\r\nsame";
        stream.write_all(same.as_bytes()).unwrap();
    }
    let (mut stream, _) = listener.accept().unwrap();
    let request = request(&mut stream);
    begins(&request, "POST /v1/hold HTTP/1.1");
    let body: Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let check = serde_json::json!({"CheckID": format!("service:web-80:process:{pid}"), "Name": "process", "Hold": true});
    assert_eq!(body, serde_json::json!({"Name": "web", "ID": "web-80", "Port": 80, "Checks": [check]}));
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n").unwrap();
    let mut said = BufReader::new(running.child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("does not see our processes: web-80 is registered there while our connection to it is open"), "{line}");
    running.send(Signal::KILL);
    // The end of lobbyctl is the end of the connection, and of the registration.
    match stream.read(&mut [0]) {
        Ok(n_bytes) => assert_eq!(n_bytes, 0),
        // It had not read all of the answer.
        Err(err) => assert_eq!(err.kind(), ErrorKind::ConnectionReset),
    }
    drop(running.child.stdin.take());
    running.child.wait().unwrap();
}

#[test]
fn whoever_cannot_wait_for_the_drain_says_so_again() {
    let (daemon, asked) = daemon();
    let mut running = Running::start(daemon.address.port(), &["--drain", "1h"], "echo up; exec sleep 60");
    running.line();
    begins(&next(&asked), "PUT /v1/services/web/web");
    running.send(Signal::TERM);
    begins(&next(&asked), "PUT /v1/services/web/web/drain");
    running.send(Signal::TERM);
    begins(&next(&asked), "PUT /v1/agent/service/deregister/web");
    assert_eq!(running.end().0, Some(128 + 15));
}

#[test]
fn other_signals_are_passed_on_and_end_nothing() {
    let (daemon, asked) = daemon();
    let traps = "for s in HUP USR1 USR2; do trap \"echo $s\" $s; done; trap 'kill $!; exit 0' TERM";
    let script = format!("{traps}; echo up; while :; do {WAIT}; done");
    let mut running = Running::start(daemon.address.port(), &[], &script);
    running.line();
    begins(&next(&asked), "PUT /v1/services/web/web");
    for (signal, want) in [(Signal::HUP, "HUP"), (Signal::USR1, "USR1"), (Signal::USR2, "USR2")] {
        running.send(signal);
        assert_eq!(running.line(), want);
    }
    assert!(asked.try_recv().is_err(), "still registered");
    running.send(Signal::TERM);
    begins(&next(&asked), "PUT /v1/agent/service/deregister/web");
    assert_eq!(running.end().0, Some(0));
}

#[test]
fn a_program_that_is_killed_is_deregistered_and_its_status_tells() {
    let (daemon, asked) = daemon();
    let mut running = Running::start(daemon.address.port(), &["--drain", "1h"], &format!("echo $$; {WAIT}"));
    let pid: i32 = running.line().parse().unwrap();
    begins(&next(&asked), "PUT /v1/services/web/web");
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    begins(&next(&asked), "PUT /v1/agent/service/deregister/web");
    assert_eq!(running.end(), (Some(137), String::new()));
}

#[test]
fn the_program_has_a_process_group_of_its_own() {
    let (daemon, _asked) = daemon();
    let mut running = Running::start(daemon.address.port(), &[], "echo $$; cut -d ' ' -f 5 /proc/$$/stat");
    assert_eq!(running.line(), running.line());
    assert_eq!(running.end().0, Some(0));
}

#[test]
fn without_a_daemon_it_runs_all_the_same_and_that_is_said_once() {
    let mut child = command(CLOSED, &[], "read x; echo $x; exit 3").spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.starts_with("lobbyctl: no lobbyd answers at ") && line.contains("web will be registered"), "{line}");
    // The program reads what we are given.
    child.stdin.take().unwrap().write_all(b"in\n").unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stdout, &*rest), (Some(3), &b"in\n"[..], ""));
}

#[test]
fn a_busy_daemon_is_asked_again_and_a_refusal_is_said() {
    let tries = AtomicU32::new(0);
    let (daemon, asked) = daemon_that(move |request| match request.contains("deregister") {
        false if tries.fetch_add(1, Ordering::Relaxed) < 2 => "503 Service Unavailable",
        _ => "200 OK",
    });
    let script = format!("trap 'kill $!; exit 0' TERM; echo up; {WAIT}");
    let mut running = Running::start(daemon.address.port(), &[], &script);
    running.line();
    for _ in 0..3 {
        begins(&next(&asked), "PUT /v1/services/web/web");
    }
    running.send(Signal::TERM);
    begins(&next(&asked), "PUT /v1/agent/service/deregister/web");
    let (status, text) = running.end();
    assert_eq!(status, Some(0));
    assert_eq!(text.matches("will be registered as soon as it can be").count(), 1, "{text}");

    let (daemon, asked) = daemon_that(|_| "400 Bad Request");
    let mut running = Running::start(daemon.address.port(), &[], "read x; exit 5");
    begins(&next(&asked), "PUT /v1/services/web/web");
    let mut said = BufReader::new(running.child.stderr.take().unwrap()).lines();
    let want = "lobbyctl: web runs, but is not registered: refused with status 400: said the daemon";
    assert_eq!(said.next().unwrap().unwrap(), want);
    drop(running.child.stdin.take());
    assert_eq!(running.child.wait().unwrap().code(), Some(5));
    assert!(said.next().is_none());
    assert!(asked.try_recv().is_err(), "what was refused is not tried again");
}

#[test]
fn nobody_hears_of_a_program_before_it_answers() {
    let asked_program = AtomicU32::new(0);
    let program = Canned::start(move |_, _| {
        let is_up = asked_program.fetch_add(1, Ordering::Relaxed) > 2;
        (if is_up { "200 OK" } else { "503 Service Unavailable" }.into(), String::new())
    });
    let (daemon, asked) = daemon();
    let (url, tcp) = (format!("http://{}/up", program.address), format!("tcp:{},status=warning", program.address));
    let options = ["--check", url.as_str(), "--check", "ttl:10s", "--check", tcp.as_str()];
    let mut running = Running::start(daemon.address.port(), &options, "read x");
    let registered = next(&asked);
    assert!(program.asked().len() > 3, "{:?}", program.asked());
    let body: Value = serde_json::from_str(registered.lines().last().unwrap()).unwrap();
    let statuses: Vec<_> = body["Checks"].as_array().unwrap().iter().map(|check| check["Status"].as_str()).collect();
    assert_eq!(statuses, [Some("passing"), None, Some("warning"), None]);
    drop(running.child.stdin.take());
    begins(&next(&asked), "PUT /v1/agent/service/deregister/web");
    assert_eq!(running.end().0, Some(1));
}

#[test]
fn a_program_that_does_not_start_is_never_registered() {
    let (daemon, asked) = daemon();
    for (program, want) in [("/no/such/program", 127), ("/etc", 126)] {
        let output = lobbyctl(daemon.address.port(), &["run", "--name", "web", "--", program]).output().unwrap();
        assert_eq!(output.status.code(), Some(want));
        assert!(String::from_utf8(output.stderr).unwrap().starts_with(&format!("lobbyctl: cannot start {program}: ")));
    }
    assert!(asked.try_recv().is_err());
}
