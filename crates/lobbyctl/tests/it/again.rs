//! `run` after its instance was lost, and before it is there: against prepared answers.
//!
//! Not here: the rest of `run` (`run`), the same against a real agent (lobbyd's tests).

use std::{
    io::{BufRead, BufReader},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    canned::Canned,
    run::{Running, WAIT, begins, daemon, daemon_that, next},
};

#[test]
fn what_was_taken_away_comes_back_with_a_word_about_it_once_its_check_passes() {
    let (is_up, is_lost) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let up = is_up.clone();
    let program = Canned::start(move |_, _| {
        let status = if up.load(Ordering::Relaxed) { "200 OK" } else { "503 Service Unavailable" };
        (status.into(), String::new())
    });
    let lost = is_lost.clone();
    let (daemon, asked) = daemon_that(move |request| match request.starts_with("GET ") && lost.swap(false, Ordering::Relaxed) {
        true => "404 Not Found",
        false => "200 OK",
    });
    let url = format!("http://{}/", program.address);
    let script = format!("trap 'kill $!; exit 0' TERM; echo up; {WAIT}");
    let mut running = Running::start(daemon.address.port(), &["--check", &url], &script);
    running.line();
    begins(&next(&asked), "PUT /v1/services/web/web");
    let mut said = BufReader::new(running.child.stderr.take().unwrap()).lines();
    is_up.store(false, Ordering::Relaxed);
    is_lost.store(true, Ordering::Relaxed);
    let want = "lobbyctl: web is registered no more, but its program runs: it will be registered again";
    assert_eq!(said.next().unwrap().unwrap(), want);
    // Longer than the pause.
    assert!(asked.recv_timeout(Duration::from_secs(1)).is_err(), "not before its check passes");
    is_up.store(true, Ordering::Relaxed);
    begins(&next(&asked), "PUT /v1/services/web/web");
    running.send(Signal::TERM);
    begins(&next(&asked), "PUT /v1/agent/service/deregister/web");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    assert!(said.next().is_none());
}

#[test]
fn an_alias_waits_for_the_other_instance() {
    let statuses = Mutex::new(vec!["passing", "critical", "warning"]);
    let (started, db) = std::sync::mpsc::channel();
    let started = Mutex::new(started);
    let daemon = Canned::start(move |request, body| {
        if request.starts_with("GET /v1/agent/checks ") {
            let mut statuses = statuses.lock().unwrap();
            let status = if statuses.len() > 1 { statuses.pop().unwrap() } else { statuses[0] };
            return ("200 OK".into(), format!(r#"{{"c": {{"CheckID": "c", "ServiceID": "db", "Status": "{status}"}}}}"#));
        }
        let _ = started.lock().unwrap().send((request.to_owned(), body.to_owned()));
        ("200 OK".into(), "{}".into())
    });
    let mut running = Running::start(daemon.address.port(), &["--check", "alias:db"], "read x");
    for _ in 0..3 {
        let (request, _) = db.recv().unwrap();
        assert!(request.starts_with("GET /v1/agent/service/db "), "{request}");
    }
    let (request, body) = db.recv().unwrap();
    assert!(request.starts_with("PUT /v1/services/web/web "), "{request}: {body}");
    drop(running.child.stdin.take());
    assert_eq!(running.end().0, Some(1));
}

#[test]
fn a_program_that_ends_before_its_first_pass_is_never_registered() {
    let (daemon, asked) = daemon();
    for check in ["script:exit 2", "udp:127.0.0.1:1", "grpc:127.0.0.1:1", "https://127.0.0.1:1/", "tcp:127.0.0.1:1"] {
        let running = Running::start(daemon.address.port(), &["--check", check], "sleep 0.3; exit 7");
        assert_eq!(running.end(), (Some(7), String::new()), "{check}");
        assert!(asked.try_recv().is_err(), "{check}");
    }
}

#[test]
fn a_check_of_any_kind_has_passed_when_the_daemon_hears_of_it() {
    let (daemon, asked) = daemon();
    let file = std::env::temp_dir().join(format!("lobbyctl-first-{}", std::process::id()));
    let script = format!("script:test -e {}", file.display());
    let mut running = Running::start(daemon.address.port(), &["--check", &script], &format!("touch {}; read x", file.display()));
    let registered = next(&asked);
    assert!(file.exists());
    let body: Value = serde_json::from_str(registered.lines().last().unwrap()).unwrap();
    assert_eq!(body["Checks"][0]["Status"], "passing", "{body}");
    drop(running.child.stdin.take());
    begins(&next(&asked), "PUT /v1/agent/service/deregister/web");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(running.end().0, Some(1));
}
