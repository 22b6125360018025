//! Runs the real binary against prepared answers and looks at what people and scripts see.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use expect_test::{Expect, expect};

use crate::canned::Canned;

const LIST: &str = r#"[{"hostname":"web-1","labels":["rack:1","service:web"],"last_check":1630612478},
    {"hostname":"smtp","labels":["service:smtp"],"last_check":1630612470}]"#;

pub(crate) fn lobbyctl(port: u16, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lobbyctl"));
    command.env_clear().env("PORT", port.to_string()).args(args);
    command
}

pub(crate) fn run(port: u16, args: &[&str]) -> Output {
    lobbyctl(port, args).output().unwrap()
}

#[track_caller]
pub(crate) fn check(body: &'static str, args: &[&str], want: Expect) -> Vec<String> {
    let daemon = Canned::with_body(body);
    let output = run(daemon.address.port(), args);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    want.assert_eq(&text.replace(&daemon.address.to_string(), "ADDRESS"));
    daemon.asked()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A port on which nobody listens, on any machine of this century (tcpmux).
pub(crate) const CLOSED: u16 = 1;

#[test]
fn lists_are_tables() {
    let asked = check(
        LIST,
        &["discoveries"],
        expect![[r#"
        HOSTNAME  LABELS
        web-1     rack:1  service:web
        smtp      service:smtp
    "#]],
    );
    assert!(asked[0].starts_with("GET /v1/discoveries HTTP"), "{asked:?}");
    let asked = check("[]", &["discoveries", "labels", "a:1", "b"], expect!["HOSTNAME  LABELS\n"]);
    assert!(asked[0].starts_with("GET /v1/discoveries?labels=a%3A1%2Cb HTTP"), "{asked:?}");
    let asked = check("[]", &["discoveries", "search", "service:"], expect!["HOSTNAME  LABELS\n"]);
    assert!(asked[0].starts_with("GET /v1/discoveries?prefixes=service%3A HTTP"), "{asked:?}");
}

#[test]
fn resolve_prints_one_name_a_line() {
    let asked = check(r#"["a","b"]"#, &["resolve", "service:web"], expect!["a\nb\n"]);
    assert!(asked[0].starts_with("GET /v1/resolve?label=service%3Aweb HTTP"), "{asked:?}");
    check("[]", &["resolve", "service:none"], expect![""]);
}

#[test]
fn json_is_what_the_daemon_said() {
    check(
        r#"{"hostname":"a","labels":[],"last_check":1}"#,
        &["-json", "discovery"],
        expect![[r#"
        {
          "hostname": "a",
          "labels": [],
          "last_check": 1
        }
    "#]],
    );
    check(
        "OK",
        &["labels", "add", "x", "--json"],
        expect![[r#"
        {
          "ok": true
        }
    "#]],
    );
}

#[test]
fn labels_are_added_and_deleted() {
    let asked = check("OK", &["-token", "t", "labels", "add", "a:1", "b"], expect!["OK\n"]);
    assert_eq!(asked, ["POST /v1/labels HTTP/1.1\nauthorization: Token t\na:1\nb\n"]);
    let asked = check("OK", &["labels", "del", "a:1"], expect!["OK\n"]);
    assert_eq!(asked, ["DELETE /v1/labels HTTP/1.1\n\na:1\n"]);
}

#[test]
fn status_shows_links() {
    check(
        r#"{"ok":true,"warm":false,"revision":7,"age":3,"id":"00ff","node":"a","exchanges":[{"name":"nats","state":"down","why":"refused","warm":true,"given_up":false}]}"#,
        &["status"],
        expect![[r#"
            daemon    http://ADDRESS/
            serving   yes
            warm      no
            node      a (00ff)
            age       3 s since the picture was complete
            revision  7

            EXCHANGE  LINK  WARM  WHY
            nats      down  yes   refused
        "#]],
    );
}

#[test]
fn status_before_the_first_complete_picture_claims_none() {
    let body = |age: u32, warm: bool| {
        format!(
            r#"{{"ok":true,"warm":{warm},"age":{age},"id":"00ff","node":"a","exchanges":[{{"name":"gossip","state":"up","warm":{warm}}}]}}"#
        )
    };
    for (age, warm, want) in [
        (3, false, "age       no complete picture yet, 3 s after the start\n"),
        (3, true, "age       3 s since the picture was complete\n"),
        (0, true, "age       0 s since the picture was complete\n"),
    ] {
        let daemon = Canned::start(move |_, _| ("200 OK".into(), body(age, warm)));
        let text = String::from_utf8(run(daemon.address.port(), &["status"]).stdout).unwrap();
        assert!(text.contains(want), "{text}");
    }
}

#[test]
fn nodes_show_their_state() {
    let body = r#"[{"id":"00112233445566778899aabbccddeeff","name":"a","state":"alive","addresses":["127.0.0.1:1314"],
        "generation":1,"version":2,"exchanges":[{"name":"gossip","state":"alive"}],"age_ms":0,"labels":["x","y"],"own":true},
        {"id":null,"name":"b","state":"failed","age_ms":61000}]"#;
    check(
        body,
        &["nodes"],
        expect![[r#"
        NAME      STATE   HEARD     EXCHANGES     ID        ADDRESSES       LABELS
        a (this)  alive   now       gossip:alive  00112233  127.0.0.1:1314  x  y
        b         failed  61 s ago  -             -         -
    "#]],
    );
}

#[test]
fn verbs_of_the_operator() {
    assert!(check("", &["reload"], expect!["reloaded\n"])[0].starts_with("PUT /v1/agent/reload HTTP"));
    assert!(check("", &["leave"], expect!["left\n"])[0].starts_with("PUT /v1/agent/leave HTTP"));
}

#[test]
fn nobody_there_is_one_clear_line() {
    let output = run(CLOSED, &["discoveries"]);
    assert_eq!(output.status.code(), Some(69));
    let text = stderr(&output);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with(&format!("lobbyctl: no lobbyd answers at http://127.0.0.1:{CLOSED}/: ")), "{text}");
    assert!(lines[1].starts_with("hint: "), "{text}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_missing_token_is_one_clear_line() {
    let daemon = Canned::start(|_, _| ("403 Forbidden".into(), r#"{"message": "access denied"}"#.into()));
    let output = run(daemon.address.port(), &["nodes"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("lobbyctl: access denied"), "{}", stderr(&output));
    assert!(stderr(&output).contains("\nhint: "), "{}", stderr(&output));
}

#[test]
fn something_else_listens_there() {
    let daemon = Canned::with_body("<html></html>");
    let output = run(daemon.address.port(), &["discovery"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("unexpected answer"), "{}", stderr(&output));
}

#[test]
fn wrong_usage_ends_with_64() {
    let cases: &[&[&str]] = &[
        &[],
        &["resolv", "x"],
        &["resolve"],
        &["resolve", " "],
        &["labels", "add"],
        &["--port", "x", "nodes"],
        &["--proto", "ftp", "nodes"],
        &["--host", "a b", "nodes"],
        &["--nosuch", "nodes"],
        &["members", "--state", "dead"],
        &["join"],
        &["join", "a,b"],
        &["rtt"],
        &["event"],
        &["event", "x", "--tag", "t"],
        &["query", "x", "--timeout", "1h"],
        &["query", "x", "--relay-factor", "9"],
        &["keys"],
        &["keys", "install"],
        &["force-leave"],
    ];
    for args in cases {
        let output = run(CLOSED, args);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn help_and_version_are_no_failure() {
    for args in [&["--help"][..], &["-help"], &["-h"], &["--version"], &["labels", "--help"]] {
        let output = run(CLOSED, args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        assert!(!output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn keys_are_32_random_bytes() {
    let key = || String::from_utf8(run(CLOSED, &["keygen"]).stdout).unwrap();
    let (one, other) = (key(), key());
    assert_eq!(one.len(), 45, "{one:?}");
    assert!(one.ends_with("=\n"));
    assert_ne!(one, other);
}

#[test]
fn watch_asks_for_a_list_once_per_revision_and_waits_for_a_lost_daemon() {
    let turn = Arc::new(AtomicU64::new(1));
    let daemon = Canned::start({
        let turn = turn.clone();
        move |request, _| {
            let turn = turn.load(Ordering::Relaxed);
            let head = format!("200 OK\r\nX-Lobby-Revision: {turn}\r\nX-Lobby-Warm: true");
            let own = r#"{"hostname":"a","labels":[],"last_check":1}"#;
            let body = match (request.starts_with("GET / "), turn) {
                (false, _) => own.to_owned(),
                (true, 1) => format!("[{own}]"),
                (true, _) => r#"[{"hostname":"a","labels":["x"],"last_check":2}]"#.to_owned(),
            };
            (head, body)
        }
    });
    let mut child =
        lobbyctl(daemon.address.port(), &["watch", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), r#"{"change":"added","hostname":"a","labels":[]}"#);
    turn.store(2, Ordering::Relaxed);
    let want = r#"{"change":"relabelled","hostname":"a","added":["x"],"removed":[]}"#;
    assert_eq!(lines.next().unwrap().unwrap(), want);
    let lists = daemon.asked().iter().filter(|request| request.starts_with("GET / ")).count();
    assert_eq!(lists, 2);
    drop(daemon);
    let told = BufReader::new(child.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(told.ends_with("does not answer any more; waiting for it"), "{told}");
    assert!(child.try_wait().unwrap().is_none(), "watch waits for the daemon");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_reader_that_has_had_enough_is_not_a_failure() {
    let daemon = Canned::with_body(LIST);
    let mut child =
        lobbyctl(daemon.address.port(), &["discoveries"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
