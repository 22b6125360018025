//! `deploy`: what it asks a daemon, in which order, and when it changes nothing.
//!
//! Not here: what proxies make of the labels (lobby-proxy's tests).

use std::net::TcpListener;

use expect_test::expect;

use crate::{
    canned::Canned,
    program::{run, stderr},
};

const ID: &str = "000102030405060708090a0b0c0d0e0f";

/// A daemon whose node offers `web` at 127.0.0.1:50001 and carries these labels at first; what is taken away stays if `is_fixed`.
fn daemon(labels: &'static [&'static str], is_fixed: bool) -> Canned {
    daemon_with(labels, is_fixed, NO_PROXY)
}

const NO_PROXY: (&str, &str) = ("404 Not Found", "proxy: none is configured at this agent\n");

/// The same, with this answer about its proxy.
fn daemon_with(labels: &'static [&'static str], is_fixed: bool, proxy: (&'static str, &'static str)) -> Canned {
    let carried =
        std::sync::Mutex::new(labels.iter().map(|label| (*label).to_owned()).collect::<std::collections::BTreeSet<_>>());
    Canned::start(move |request, body| {
        let applied = r#"{"applied":2,"asked":2,"missing":[]}"#;
        let mut carried = carried.lock().unwrap();
        let answer = match request.split(' ').take(2).collect::<Vec<_>>()[..] {
            ["GET", "/v1/nodes"] => {
                serde_json::json!([{ "id": ID, "name": "a", "own": true, "labels": &*carried }, { "id": "ff", "name": "b" }])
                    .to_string()
            }
            ["GET", "/v1/services/web"] => serde_json::json!([
                { "id": "web-1", "node": "a", "node_id": ID, "address": "127.0.0.1", "port": 50001 },
                { "id": "web-2", "node": "b", "node_id": "ff", "address": "192.0.2.1", "port": 50001 },
            ])
            .to_string(),
            ["GET", "/v1/services/db"] => "[]".into(),
            ["GET", "/v1/proxy"] => return (proxy.0.into(), proxy.1.into()),
            ["POST", path] => {
                carried.extend(body.lines().map(str::to_owned));
                if path.contains("wait") { applied.into() } else { "OK".into() }
            }
            ["DELETE", path] => {
                carried.retain(|label| is_fixed || body.lines().all(|line| line != label));
                if path.contains("wait") { applied.into() } else { "OK".into() }
            }
            ref other => panic!("{other:?}"),
        };
        ("200 OK".into(), answer)
    })
}

/// What changed labels, in order.
fn changes(daemon: &Canned) -> Vec<String> {
    let asked = daemon.asked();
    let changes = asked.iter().filter(|asked| !asked.starts_with("GET"));
    changes.map(|asked| asked.replace(" HTTP/1.1\n\n", " ").trim().to_owned()).collect()
}

#[test]
fn a_swap_adds_the_new_label_before_the_old_one_goes_and_waits() {
    let next = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = next.local_addr().unwrap().port().to_string();
    let daemon = daemon(&["deploy:web:primary:50001", "deploy:other:primary:1"], false);
    let output = run(daemon.address.port(), &["deploy", "swap", "web", "--to", &port, "--wait", "5s"]);
    assert!(output.status.success(), "{output:?}");
    let want = format!("web on a: port {port} is primary\napplied by 2 of 2\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), want);
    let add = format!("POST /v1/labels deploy:web:primary:{port}");
    assert_eq!(changes(&daemon), [add, "DELETE /v1/labels?wait=5000ms deploy:web:primary:50001".into()]);
    let unchecked = format!("lobbyctl: not checked whether any proxy swaps web to port {port}: a has no proxy\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), unchecked);
    // Again: nothing goes, and all are waited for all the same.
    let output = run(daemon.address.port(), &["deploy", "swap", "web", "--to", &port, "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&shown["primary"], &shown["applied"]["asked"]), (&port.parse::<u16>().unwrap().into(), &2.into()));
    assert_eq!(changes(&daemon)[2], format!("POST /v1/labels?wait=10000ms deploy:web:primary:{port}"));
}

#[test]
fn nothing_changes_while_nobody_listens_there() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let daemon = daemon(&[], false);
    let output = run(daemon.address.port(), &["deploy", "swap", "web", "--to", &free]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.starts_with(&format!("lobbyctl: nobody listens on port {free} of 127.0.0.1: ")), "{said}");
    assert!(said.ends_with("hint: --force does it all the same\n"), "{said}");
    let output = run(daemon.address.port(), &["deploy", "swap", "db", "--to", "1"]);
    assert_eq!(stderr(&output), "lobbyctl: a does not offer db\nhint: --force does it all the same\n");
    assert_eq!(changes(&daemon), [""; 0]);
    let output = run(daemon.address.port(), &["deploy", "swap", "web", "--to", &free, "--force", "--wait", "0"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(changes(&daemon), [format!("POST /v1/labels deploy:web:primary:{free}")]);
    assert_eq!(run(daemon.address.port(), &["deploy", "swap", "web", "--to", "0"]).status.code(), Some(64));
    assert_eq!(run(daemon.address.port(), &["deploy", "swap", "web"]).status.code(), Some(64));
}

#[test]
fn a_label_that_does_not_go_is_told() {
    let daemon = daemon(&["deploy:web:primary:50001"], true);
    let output = run(daemon.address.port(), &["deploy", "swap", "web", "--to", "50002", "--force"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("lobbyctl: the label deploy:web:primary:50001 is still there\nhint: "), "{output:?}");
}

#[test]
fn a_port_that_the_daemons_own_proxy_does_not_swap_is_refused() {
    let with = |services: &str| {
        let services = format!("{{\"services\":[{services}],\"haproxy\":null}}").leak();
        daemon_with(&[], false, ("200 OK", services))
    };
    let next = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = next.local_addr().unwrap().port().to_string();
    let pair = format!(r#"{{"name":"web","port_override":null,"backup_port":{port}}}"#);
    for (services, to, said) in [
        (
            pair.clone(),
            "1",
            format!("the proxy of a swaps web between 50001 and {port}, not to 1; nothing was changed\nhint: the pair"),
        ),
        (
            r#"{"name":"web","port_override":50001,"backup_port":null}"#.into(),
            "50001",
            "the proxy of a has no backup_port for web: it does not swap; nothing was changed\nhint: set `backup_port`".into(),
        ),
        (
            r#"{"name":"shop","port_override":null,"backup_port":2}"#.into(),
            "50001",
            "the proxy of a has no service web, of those that swap: shop; nothing was changed\nhint: SERVICE is".into(),
        ),
    ] {
        let daemon = with(&services);
        let swap = |more: &[&str]| run(daemon.address.port(), &[&["deploy", "swap", "web", "--to", to], more].concat());
        let output = swap(&[]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{output:?}");
        assert!(stderr(&output).starts_with(&format!("lobbyctl: {said}")), "{output:?}");
        assert_eq!(changes(&daemon), [""; 0]);
        let output = swap(&["--force"]);
        assert!(output.status.success() && stderr(&output).contains("all the same, for proxies of other machines"), "{output:?}");
        assert_eq!(changes(&daemon).len(), 1);
    }
    let daemon = with(&pair);
    let output = run(daemon.address.port(), &["deploy", "swap", "web", "--to", &port, "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&shown["pair"], stderr(&output)), (&serde_json::json!([50001, port.parse::<u16>().unwrap()]), String::new()));
    // One that does not tell yet, and one that must not tell us.
    let daemon = with(r#"{"name":"web","backends":1}"#);
    let output = run(daemon.address.port(), &["deploy", "swap", "web", "--to", &port]);
    assert!(output.status.success() && stderr(&output).contains("is older and does not tell"), "{output:?}");
    let daemon = daemon_with(&[], false, ("403 Forbidden", "no\n"));
    assert_eq!(run(daemon.address.port(), &["deploy", "swap", "web", "--to", &port]).status.code(), Some(1));
    assert_eq!(changes(&daemon), [""; 0]);
}

#[test]
fn a_swap_of_which_nobody_was_asked_is_no_success() {
    let daemon = Canned::start(|request, _| {
        let answer = match request.split(' ').nth(1) {
            Some("/v1/nodes") => format!(r#"[{{"id":"{ID}","name":"a","own":true,"labels":[]}}]"#),
            Some("/v1/services/web") => "[]".into(),
            Some("/v1/proxy") => return (NO_PROXY.0.into(), NO_PROXY.1.into()),
            _ => r#"{"applied":0,"asked":0,"missing":[]}"#.into(),
        };
        ("200 OK".into(), answer)
    });
    let output = run(daemon.address.port(), &["deploy", "swap", "web", "--to", "50001", "--force"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("nobody was asked whether it is applied"));
}

#[test]
fn the_status_tells_which_port_is_primary_where() {
    let daemon = daemon(&["deploy:web:primary:50002"], false);
    let output = run(daemon.address.port(), &["deploy", "status", "web"]);
    expect![[r#"
        NODE  ID     ADDRESS          PRIMARY
        a     web-1  127.0.0.1:50001  50002
        b     web-2  192.0.2.1:50001  as configured
    "#]]
    .assert_eq(&String::from_utf8(output.stdout).unwrap());
}
