//! `watch --service`: what is printed of the changes of a service, and when a command is run for them.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver},
    },
    time::Duration,
};

use crate::{
    canned::Canned,
    program::{CLOSED, lobbyctl, run},
};

/// What the service is at each turn; a fourth turn does not come.
const STATES: [&str; 3] = [
    r#"[{"id":"w1","node":"a","status":"passing","address":"h","port":1},{"id":"w2","node":"b","status":"critical","address":"i"}]"#,
    r#"[{"id":"w1","node":"a","status":"critical","address":"h","port":1}]"#,
    r#"[{"id":"w1","node":"a","status":"passing","address":"h","port":1,"age_ms":7}]"#,
];

/// A daemon whose service is as the turn says, and which tells when the state of a turn was asked for.
fn daemon(turn: &Arc<AtomicU32>) -> (Canned, Receiver<u32>) {
    let (sender, seen) = mpsc::channel();
    let (sender, turn) = (Mutex::new(sender), turn.clone());
    let daemon = Canned::start(move |request, _| {
        let now = turn.load(Ordering::Relaxed);
        let head = format!("200 OK\r\nX-Consul-Index: {}\r\nX-Lobby-Warm: true", now + 1);
        if request.starts_with("GET /v1/health/service/web") {
            return (head, "[]".into());
        }
        // Nobody listens any more at the end of a test.
        let _ = sender.lock().unwrap().send(now);
        (head, STATES[now as usize].into())
    });
    (daemon, seen)
}

/// Waits until the state of this turn was asked for twice: what the first answer changed was told by then.
fn wait_for(seen: &Receiver<u32>, turn: u32) {
    for _ in 0..2 {
        while seen.recv_timeout(Duration::from_secs(20)).unwrap() != turn {}
    }
}

#[test]
fn changes_of_a_service_are_lines() {
    let turn = Arc::new(AtomicU32::new(0));
    let (daemon, _seen) = daemon(&turn);
    let mut command = lobbyctl(daemon.address.port(), &["watch", "--service", "web", "--passing", "--where", "tag=x"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    assert_eq!([line(), line()], ["+ w1  a  passing  h:1", "+ w2  b  critical  i"]);
    turn.store(1, Ordering::Relaxed);
    assert_eq!([line(), line()], ["~ w1  a  critical  h:1", "- w2  b"]);
    let asked = daemon.asked();
    assert!(asked[0].starts_with("GET /v1/health/service/web HTTP"), "{asked:?}");
    assert!(asked[1].starts_with("GET /v1/services/web?where=%28tag%3Dx%29+and+status%3Dpassing HTTP"), "{asked:?}");
    assert!(asked[2].starts_with("GET /v1/health/service/web?index=1&wait=60s HTTP"), "{asked:?}");
    drop(daemon);
    let told = BufReader::new(child.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(told.ends_with("does not answer any more; waiting for it"), "{told}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(run(CLOSED, &["watch", "--service", "web"]).status.code(), Some(69));
}

#[test]
fn changes_as_json_have_one_instance_each() {
    let (daemon, _seen) = daemon(&Arc::new(AtomicU32::new(1)));
    let mut command = lobbyctl(daemon.address.port(), &["watch", "--service", "web", "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let line = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(line.starts_with(r#"{"change":"added","instance":{"id":"w1","service":"","node":"a","#), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_command_runs_once_at_a_time_and_always_for_the_newest_state() {
    let go = std::env::temp_dir().join(format!("lobbyctl-watch-{}", std::process::id()));
    let turn = Arc::new(AtomicU32::new(0));
    let (daemon, seen) = daemon(&turn);
    // Reads nothing in its first run, in which it waits; fails in each.
    let script = format!(
        "echo start $LOBBY_SERVICE $LOBBY_INSTANCES $LOBBY_PASSING; while ! test -e {}; do sleep 0.02; done; cat; exit 4",
        go.display()
    );
    let args = ["watch", "--service", "web", "--cooldown", "10ms", "--", "sh", "-c", &script];
    let mut command = lobbyctl(daemon.address.port(), &args);
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    assert_eq!(line(), "start web 2 1");
    for next in [1, 2] {
        turn.store(next, Ordering::Relaxed);
        wait_for(&seen, next);
    }
    std::fs::write(&go, "").unwrap();
    let state = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(state(&line())[1]["id"], "w2");
    assert_eq!(line(), "start web 1 1");
    let last = state(&line());
    assert_eq!((&last[0]["status"], &last[0]["age_ms"]), (&"passing".into(), &serde_json::Value::Null));
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(stderr.next().unwrap().unwrap(), "lobbyctl: sh: exit status: 4");
    // Twice more, after what is running now.
    wait_for(&seen, 2);
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_file(&go).unwrap();
    assert!(lines.next().is_none(), "what has not changed runs nothing");
}

#[test]
fn a_command_that_cannot_be_started_ends_the_watch() {
    let (daemon, _seen) = daemon(&Arc::new(AtomicU32::new(0)));
    let output = run(daemon.address.port(), &["watch", "--service", "web", "--", "/no/such/program"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("lobbyctl: cannot start /no/such/program: "));
}
