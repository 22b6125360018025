//! The verbs of services: what they ask a daemon, and what people and scripts see of its answers.
//!
//! Not here: programs that run under lobbyctl (`run`, `watch`).

use std::io::Write;

use expect_test::expect;

use crate::{
    canned::Canned,
    gossip::begins,
    program::{CLOSED, check, lobbyctl, run, stderr},
};

const INSTANCES: &str = r#"[
    {"id":"web-1","service":"web","node":"a","node_id":"00ff","address":"10.0.0.1","port":8080,"tags":["v2","eu"],
     "status":"passing","age_ms":61000,"checks":[{"id":"service:web-1","status":"passing","later":1},{"id":"serfHealth","status":"passing"}]},
    {"id":"web-2","service":"web","node":"b","node_failed":true,"address":"fe80::1","port":80,"status":"critical","drain":true,
     "checks":[{"id":"c1","kind":"tcp","status":"critical","output":"refused"}]},
    {"id":"web-3","service":"web","node":"c","status":"critical","maintenance":true}]"#;

#[test]
fn services_and_their_instances_are_tables() {
    let asked = check(
        r#"[{"name":"web","instances":3,"passing":1,"critical":2,"draining":1,"tags":["eu","v2"],"later":{}},{"name":"db"}]"#,
        &["services", "--where", "tag=v2 or status=critical"],
        expect![[r#"
            NAME  INSTANCES  PASSING  WARNING  CRITICAL  DRAINING  TAGS
            web   3          1        0        2         1         eu  v2
            db    0          0        0        0         0
        "#]],
    );
    begins(&asked, "GET /v1/services?where=tag%3Dv2+or+status%3Dcritical");
    let asked = check(
        INSTANCES,
        &["service", "web"],
        expect![[r#"
            ID     NODE        STATUS              ADDRESS        HEARD     CHECKS          TAGS
            web-1  a           passing             10.0.0.1:8080  61 s ago  2 of 2          v2  eu
            web-2  b (failed)  critical, draining  [fe80::1]:80   -         0 of 1, not c1
            web-3  c           maintenance         -              -         -
        "#]],
    );
    begins(&asked, "GET /v1/services/web");
    begins(
        &check("[]", &["services"], expect!["NAME  INSTANCES  PASSING  WARNING  CRITICAL  DRAINING  TAGS\n"]),
        "GET /v1/services",
    );
    begins(&check("[]", &["nodes", "--where", "service=web", "--json"], expect!["[]\n"]), "GET /v1/nodes?where=service%3Dweb");
}

/// The bytes of the server, as its own test has them.
const WHY: &str = include_str!("../../../lobby-http/tests/it/why.json");

#[test]
fn why_prints_the_evidence() {
    let asked = check(
        WHY,
        &["why", "web", "web-1"],
        expect![[r#"
            web-1                         maintenance  on ONE, alive, heard of now
              unsigned                                 nothing proves that the node itself says so
              conflict                                 one has the same name
              _service_maintenance:web-1  maintenance  new disk
            web-1                         critical     on one, suspect, heard of now
              unsigned                                 nothing proves that the node itself says so
              conflict                                 ONE has the same name
              http                        critical     connection refused
              disk                        passing
        "#]],
    );
    begins(&asked, "GET /v1/why/web/web-1");
    let daemon = Canned::with_body(WHY);
    let output = run(daemon.address.port(), &["why", "web", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let sent: serde_json::Value = serde_json::from_str(WHY).unwrap();
    assert_eq!((&shown[1]["reason"], &shown[1]["owner"]), (&sent[1]["reason"], &sent[1]["owner"]));
    begins(&daemon.asked(), "GET /v1/why/web");
}

/// What follows the head in the one request.
fn body(asked: &[String]) -> serde_json::Value {
    serde_json::from_str(asked[0].rsplit('\n').next().unwrap()).unwrap()
}

#[test]
fn an_instance_is_registered_as_typed_or_of_a_file() {
    let args =
        ["--port", "1", "register", "--name", "web", "--id", "a/b", "--port", "80", "--tag", "x", "--check", "tcp", "--check"];
    let daemon = Canned::with_body("OK");
    let port = daemon.address.port().to_string();
    let mut args = args.map(str::to_owned).to_vec();
    (args[1], _) = (port, args.push("ttl:10s".into()));
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let output = run(CLOSED, &args);
    assert_eq!(String::from_utf8(output.stdout.clone()).unwrap(), "registered a/b\n", "{output:?}");
    let asked = daemon.asked();
    begins(&asked, "PUT /v1/services/web/a%2Fb");
    let want = serde_json::json!({"Name": "web", "ID": "a/b", "Port": 80, "Tags": ["x"],
        "Checks": [{"TCP": "127.0.0.1:80", "Interval": "1s"}, {"TTL": "10s"}]});
    assert_eq!(body(&asked), want);

    let daemon = Canned::with_body("OK");
    let mut child = lobbyctl(daemon.address.port(), &["register", "--file", "-", "--json"]);
    let mut child = child.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"[[services]]\nName = 'web'\nport = 80\n[[services]]\nname = 'db'\nid = 'd'\n")
        .unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let asked = daemon.asked();
    begins(&asked, "PUT /v1/services/web/web");
    assert_eq!(body(&asked), serde_json::json!({"Name": "web", "port": 80}));
    assert!(asked[1].starts_with("PUT /v1/services/db/d HTTP"), "{asked:?}");
}

#[test]
fn changes_of_one_instance_or_of_the_node() {
    for (args, want, request) in [
        (&["deregister", "w"][..], "deregistered w\n", "PUT /v1/agent/service/deregister/w"),
        (
            &["maint", "on", "w", "--reason", "a b"],
            "w: maintenance on\n",
            "PUT /v1/agent/service/maintenance/w?enable=true&reason=a+b",
        ),
        (&["maint", "off"], "this node: maintenance off\n", "PUT /v1/agent/maintenance?enable=false"),
        (&["drain"], "this node takes nothing new\n", "PUT /v1/drain"),
        (&["drain", "--undo"], "this node takes work again\n", "DELETE /v1/drain"),
    ] {
        let daemon = Canned::with_body("OK");
        let output = run(daemon.address.port(), args);
        assert_eq!(String::from_utf8(output.stdout.clone()).unwrap(), want, "{output:?}");
        begins(&daemon.asked(), request);
    }
}

#[test]
fn draining_can_wait_until_all_have_applied_it() {
    let all = r#"{"applied":31,"asked":31,"missing":[]}"#;
    let some = r#"{"applied":29,"asked":31,"missing":["host-3","host-\u001b7"]}"#;
    for (args, answer, code, want, request) in [
        (&["drain", "w", "--wait"][..], all, 0, "applied by 31 of 31\n", "PUT /v1/services/web/w/drain?wait=10000ms HTTP"),
        (
            &["drain", "--wait=1.5s"],
            some,
            1,
            "applied by 29 of 31; not by: host-3, host-\u{fffd}7\n",
            "PUT /v1/drain?wait=1500ms HTTP",
        ),
        (&["drain", "--undo", "--wait"], all, 0, "applied by 31 of 31\n", "DELETE /v1/drain?wait=10000ms HTTP"),
        (
            &["drain", "--wait"],
            r#"{"applied":0,"asked":0,"missing":[]}"#,
            1,
            "nobody was asked whether it is applied: the daemon does not gossip, or is not listed\n",
            "PUT /v1/drain?wait=10000ms HTTP",
        ),
    ] {
        let daemon = Canned::start(move |request, _| {
            let own = request.starts_with("GET /v1/agent/service/w ");
            ("200 OK".into(), if own { r#"{"ID":"w","Service":"web"}"# } else { answer }.into())
        });
        let output = run(daemon.address.port(), args);
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(code), want), "{output:?}");
        let asked = daemon.asked();
        assert!(asked.last().unwrap().starts_with(request), "{asked:?}");
        let output = run(daemon.address.port(), &[&["--json"], args].concat());
        let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        assert_eq!((output.status.code(), json(&output.stdout)), (Some(code), json(answer.as_bytes())), "{output:?}");
    }
    let daemon = Canned::with_body("OK");
    let refused = run(daemon.address.port(), &["drain", "--wait=2h"]);
    assert_eq!((refused.status.code(), daemon.asked().len()), (Some(64), 0), "{}", stderr(&refused));
    // A daemon that does not know how to wait.
    let output = run(daemon.address.port(), &["drain", "--wait"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}

#[test]
fn a_report_goes_to_a_check_or_to_the_only_one_of_an_instance() {
    let daemon = Canned::start(|request, _| {
        let checks = r#"{"t":{"CheckID":"t","ServiceID":"web","Type":"ttl"},"u":{"CheckID":"u","ServiceID":"web","Type":"tcp"},
            "v":{"CheckID":"v","ServiceID":"two","Type":"ttl"},"w":{"CheckID":"w","ServiceID":"two","Type":"ttl"}}"#;
        match request.split(' ').nth(1).unwrap() {
            "/v1/agent/checks" => ("200 OK".into(), checks.into()),
            "/v1/agent/check/update/t" => ("200 OK".into(), String::new()),
            _ => ("404 Not Found".into(), "unknown check ID \"x\": ensure that the id of a check is given".into()),
        }
    });
    let ctl = |args: &[&str]| run(daemon.address.port(), args);
    let text = |args: &[&str]| String::from_utf8(ctl(args).stdout).unwrap();
    assert_eq!(text(&["check", "warn", "t", "slow"]), "warning\n");
    assert_eq!(daemon.asked(), ["PUT /v1/agent/check/update/t HTTP/1.1\n\n{\"Output\":\"slow\",\"Status\":\"warning\"}"]);
    assert_eq!(text(&["check", "pass", "web"]), "passing\n");
    let last = daemon.asked().pop().unwrap();
    assert!(last.starts_with("PUT /v1/agent/check/update/t HTTP") && last.contains("\"passing\""), "{last}");
    let two = ctl(&["check", "fail", "two"]);
    assert_eq!(two.status.code(), Some(1));
    assert!(stderr(&two).contains("two has 2 checks with a TTL: v, w\nhint: "), "{}", stderr(&two));
    assert!(stderr(&ctl(&["check", "fail", "none"])).contains("no check of this id"), "a name that nobody has");
}

#[test]
fn what_is_not_there_comes_with_a_hint_that_helps() {
    for (args, message, hint) in [
        (&["service", "web"][..], "service \"web\": nobody offers it", "lobbyctl services"),
        (&["deregister", "w"], "unknown service ID \"w\": ensure", "only the daemon on the machine"),
        (&["drain", "w"], "unknown service ID \"w\": nothing of that is registered at this agent", "only the daemon"),
    ] {
        let daemon = Canned::start(move |_, _| ("404 Not Found".into(), message.into()));
        let output = run(daemon.address.port(), args);
        assert_eq!(output.status.code(), Some(1));
        let (said, hinted) = stderr(&output).split_once("\nhint: ").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert!(said.contains(message) && hinted.contains(hint), "{said} {hinted}");
    }
}

#[test]
fn wrong_usage_of_services_ends_with_64() {
    let cases: &[&[&str]] = &[
        &["register"],
        &["register", "--name", "w", "--file", "f"],
        &["register", "--name", "w", "--port", "0"],
        &["register", "--name", "w", "--meta", "k"],
        &["register", "--name", "w", "--check", "tpc"],
        &["register", "--name", "w", "--check", "tcp"],
        &["run", "--name", "w"],
        &["run", "--name", "w", "true"],
        &["run", "--name", "w", "--check", "http:/up", "--", "true"],
        &["run", "--", "true"],
        &["watch", "--", "true"],
        &["watch", "--passing"],
        &["watch", "--service", "w", "--cooldown", "soon"],
        &["check", "ok", "c"],
        &["maint", "w"],
        &["service"],
    ];
    for args in cases {
        let output = run(CLOSED, args);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}
