//! The verbs of gossip: what they ask a daemon, what people and scripts see, and how they end. Not here: queries (`query`).

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use expect_test::expect;

use crate::{
    canned::Canned,
    program::{CLOSED, check, lobbyctl, run, stderr},
};

const MEMBERS: &str = r#"[
    {"id":"00112233445566778899aabbccddeeff","name":"a","address":"10.0.0.1:1314","state":"alive","generation":1,"version":2,
     "lobbyd":"0.1.0","age_ms":0,"labels":["rack:7","x"],"own":true},
    {"id":"11112233445566778899aabbccddeeff","name":"b","address":"10.0.0.2:1314","state":"failed","generation":1,
     "age_ms":61000,"rtt_ms":0.156,"labels":["rack:77"]},
    {"id":"22112233445566778899aabbccddeeff","name":null,"address":"10.0.0.3:1314","state":"suspect","distance_ms":12.345}]"#;

#[track_caller]
pub(crate) fn begins(asked: &[String], want: &str) {
    assert!(asked[0].starts_with(&format!("{want} HTTP")), "wanted {want}: {asked:?}");
}

#[test]
fn members_show_state_round_trip_version_and_age() {
    let asked = check(
        MEMBERS,
        &["members"],
        expect![[r#"
            NAME      STATE    RTT       HEARD     VERSION  ADDRESS        ID        LABELS
            a (this)  alive    -         now       0.1.0    10.0.0.1:1314  00112233  rack:7  x
            b         failed   0.16 ms   61 s ago  -        10.0.0.2:1314  11112233  rack:77
            -         suspect  ~12.3 ms  -         -        10.0.0.3:1314  22112233
        "#]],
    );
    begins(&asked, "GET /v1/members");
    let head = "NAME      STATE  RTT  HEARD  VERSION  ADDRESS        ID        LABELS\n";
    let own = "a (this)  alive  -    now    0.1.0    10.0.0.1:1314  00112233  rack:7  x\n";
    for only in [&["--label", "rack:7"][..], &["--label", "rack", "--label", "x"], &["--state", "alive", "--state", "left"]] {
        let args: Vec<_> = ["members"].iter().chain(only).copied().collect();
        check_text(MEMBERS, &args, &format!("{head}{own}"));
    }
    let json = r#"[{"id":"x","state":"alive"}]"#;
    check_text(json, &["members", "--state", "left", "--json"], "[]\n");
}

#[track_caller]
fn check_text(body: &'static str, args: &[&str], want: &str) {
    let daemon = Canned::with_body(body);
    let output = run(daemon.address.port(), args);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), want, "{args:?}: {:?}", output.stderr);
}

#[test]
fn nodes_near_somebody_show_distances() {
    let asked = check(
        r#"[{"name":"b","state":"alive","distance_ms":0},{"name":"c","state":"alive","distance_ms":null}]"#,
        &["nodes", "--near", "b c"],
        expect![[r#"
            NAME  STATE  DISTANCE  HEARD  EXCHANGES  ID  ADDRESSES  LABELS
            b     alive  0.00 ms   now    -          -   -
            c     alive  -         now    -          -   -
        "#]],
    );
    begins(&asked, "GET /v1/nodes?near=b+c");
}

#[test]
fn info_shows_the_daemon_and_the_numbers_of_its_gossip() {
    let asked = check(
        r#"{"agent":{"name":"a","id":"00ff","generation":7,"version":2,"lobbyd":"0.1.0","cluster":"lobby","addresses":"10.0.0.1"},
            "labels":["x"],"exchanges":[{"name":"gossip","state":"up","warm":true}],"nodes":{"alive":2,"failed":1},
            "gossip":{"address":"10.0.0.1:1314","members":{"alive":2},"numbers":{"health":0,"streams":3}},
            "events":{"held":1,"seen":4,"ltime":9}}"#,
        &["info"],
        expect![[r#"
            node        a (00ff)
            lobbyd      0.1.0
            cluster     lobby
            datacenter  -
            addresses   10.0.0.1
            record      generation 7, version 2
            labels      x
            nodes       2 alive, 1 failed
            gossip      10.0.0.1:1314
            members     2 alive
            events      1 held, 4 since the start, Lamport time 9

            EXCHANGE    LINK  WARM  WHY
            gossip      up    yes

            GOSSIP      NUMBER
            health      0
            streams     3
        "#]],
    );
    begins(&asked, "GET /v1/agent/info");
}

#[test]
fn join_says_how_many_were_reached() {
    let asked = check(
        r#"{"reached":["10.0.0.1:1314"],"failed":[{"address":"nosuch","why":"no such name"}]}"#,
        &["join", "10.0.0.1", "nosuch", "[::1]:1314"],
        expect![[r#"
            joined 1 agent
            nosuch  no such name
        "#]],
    );
    begins(&asked, "PUT /v1/agent/join/10.0.0.1,nosuch,[::1]:1314?verbose");
    let daemon = Canned::start(|_, _| ("502 Bad Gateway".into(), "join: nobody of this cluster answered: x: refused\n".into()));
    let output = run(daemon.address.port(), &["join", "x"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("nobody of this cluster answered: x: refused\nhint: "), "{}", stderr(&output));
    assert!(stderr(&output).ends_with("hint: the daemon goes on trying; `lobbyctl members` shows when it has joined\n"));
    for (why, hints) in [
        ("x: that is ourselves", false),
        ("x: that is ourselves; y: refused", true),
        ("x: that is ourselves; y: that is ourselves", false),
    ] {
        let text = format!("join: nobody of this cluster answered: {why}\n");
        let daemon = Canned::start(move |_, _| ("502 Bad Gateway".into(), text.clone()));
        assert_eq!(stderr(&run(daemon.address.port(), &["join", "x"])).contains("hint:"), hints, "{why}");
    }
    let daemon = Canned::start(|_, _| ("400 Bad Request".into(), "address: \"x:0\": expected host:port\n".into()));
    assert_eq!(run(daemon.address.port(), &["join", "x:0"]).status.code(), Some(64));
}

#[test]
fn force_leave_names_the_node_and_is_refused_for_a_live_one() {
    begins(&check("OK\n", &["force-leave", "a/b"], expect!["a/b has left\n"]), "PUT /v1/agent/force-leave/a%2Fb?strict");
    begins(&check("OK\n", &["force-leave", "a", "--prune"], expect!["a has left\n"]), "PUT /v1/agent/force-leave/a?strict&prune");
    let daemon = Canned::start(|_, _| ("409 Conflict".into(), "node a is alive: only a failed node is made to leave\n".into()));
    let output = run(daemon.address.port(), &["force-leave", "a"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("node a is alive"), "{}", stderr(&output));
    let daemon = Canned::start(|_, _| ("404 Not Found".into(), "no node \"a\"\n".into()));
    let output = run(daemon.address.port(), &["force-leave", "a"]);
    assert!(stderr(&output).contains("no node \"a\"\nhint: `lobbyctl nodes`"), "{}", stderr(&output));
}

const FIRED: &str = r#"{"ID":"cb9a81ad-fff6-52ac-92a7-5f70687805ec","Name":"deploy","Payload":"djE=","NodeFilter":"",
    "ServiceFilter":"","TagFilter":"","Version":1,"LTime":0}"#;

#[test]
fn events_carry_what_was_typed_or_piped() {
    let args = ["event", "deploy", "v1", "--node", "web.*", "--service", "s", "--tag", "t", "--label", "a:1", "--label", "b"];
    let asked = check(FIRED, &args, expect!["fired deploy (cb9a81ad-fff6-52ac-92a7-5f70687805ec)\n"]);
    begins(&asked, "PUT /v1/event/fire/deploy?node=web.*&service=s&tag=t&label=a%3A1&label=b");
    assert!(asked[0].ends_with("\nv1"), "{asked:?}");

    let daemon = Canned::with_body(FIRED);
    let mut command = lobbyctl(daemon.address.port(), &["event", "deploy", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // More than any daemon takes: read as far as it takes to be refused.
    child.stdin.take().unwrap().write_all(&[b'x'; 2000]).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert!(daemon.asked()[0].ends_with(&format!("\n{}", "x".repeat(1025))), "{:?}", daemon.asked());
}

const TWO_EVENTS: &str = r#"[{"ID":"cb9a81ad","Name":"deploy","Payload":"djEK","Version":1,"LTime":3},
    {"ID":"11","Name":"other","Payload":null,"Version":1,"LTime":4}]"#;

#[test]
fn events_are_listed_as_consul_shows_them() {
    let asked = check(
        TWO_EVENTS,
        &["events", "--name", "a b"],
        expect![[r#"
            TIME  NAME    ID        PAYLOAD
            3     deploy  cb9a81ad  v1
            4     other   11
        "#]],
    );
    begins(&asked, "GET /v1/event/list?name=a+b");
    let daemon = Canned::with_body(TWO_EVENTS);
    let text = String::from_utf8(run(daemon.address.port(), &["events", "--json"]).stdout).unwrap();
    assert!(text.contains("\"Payload\": \"djEK\"") && text.contains("\"Payload\": null"), "{text}");
}

/// A daemon that was started anew holds no events, then those that others replay, and has numbers of its own.
#[test]
fn watched_events_of_before_a_new_start_are_not_shown_again() {
    let n_asked = AtomicUsize::new(0);
    let daemon = Canned::start(move |_, _| {
        let (index, body) = match n_asked.fetch_add(1, Ordering::Relaxed) {
            0 => (7, format!("[{FIRED}]")),
            1 => (1, "[]".into()),
            2 => (7, format!("[{FIRED}]")),
            _ => (8, format!("[{FIRED},{}]", FIRED.replace("cb9a81ad", "00000000"))),
        };
        (format!("200 OK\r\nX-Consul-Index: {index}"), body)
    });
    let mut command = lobbyctl(daemon.address.port(), &["events", "--watch", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().starts_with(r#"{"ID":"cb9a81ad-fff6"#));
    assert!(next().starts_with(r#"{"ID":"00000000-fff6"#));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn watched_events_are_shown_once_and_waited_for() {
    let more = Arc::new(AtomicBool::new(false));
    let daemon = Canned::start({
        let more = more.clone();
        move |request, _| match (request.contains("index=7"), more.load(Ordering::Relaxed)) {
            (true, true) => ("200 OK\r\nX-Consul-Index: 8".into(), TWO_EVENTS.into()),
            _ => ("200 OK\r\nX-Consul-Index: 7".into(), format!("[{FIRED}]")),
        }
    });
    let mut command = lobbyctl(daemon.address.port(), &["events", "--watch", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().starts_with(r#"{"ID":"cb9a81ad-fff6"#));
    more.store(true, Ordering::Relaxed);
    assert!(next().starts_with(r#"{"ID":"cb9a81ad","#));
    assert!(next().starts_with(r#"{"ID":"11","#));
    assert!(daemon.asked().iter().skip(1).all(|request| request.contains("wait=60s")), "{:?}", daemon.asked());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_round_trip_is_the_distance_of_two_coordinates() {
    let place = |name: &str, x: f32| {
        format!(
            r#"{{"Node":"{name}","Segment":"","Coord":{{"Vec":[{x},0,0,0,0,0,0,0],"Error":0.1,"Adjustment":0,"Height":0.001}}}}"#
        )
    };
    let daemon = Canned::start(move |request, _| {
        let places = match request.split(' ').nth(1).unwrap().rsplit('/').next().unwrap() {
            "_agent" => vec![place("here", 0.0)],
            "web" => vec![place("web", 0.01)],
            "far" => vec![place("far", 0.25)],
            _ => vec![place("two", 0.0), place("two", 1.0)],
        };
        ("200 OK".into(), format!("[{}]", places.join(",")))
    });
    let port = daemon.address.port();
    let text = |args: &[&str]| String::from_utf8(run(port, args).stdout).unwrap();
    assert_eq!(text(&["rtt", "web"]), "web – here  12.0 ms\n");
    assert_eq!(text(&["rtt", "web", "far"]), "web – far  242.0 ms\n");
    assert_eq!(text(&["rtt", "web", "web"]), "web – web  0.00 ms\n");
    assert!(text(&["rtt", "far", "--json"]).contains("\"rtt_ms\": 252."), "{}", text(&["rtt", "far", "--json"]));
    let output = run(port, &["rtt", "two"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("lobbyctl: 2 nodes are called two\nhint: "), "{}", stderr(&output));
}

#[test]
fn a_flag_of_serfs_is_wrong_and_ours_is_named() {
    let output = run(CLOSED, &["members", "-tag", "role=web"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).ends_with("hint: Serf's -tag is --label KEY:VALUE here\n"), "{}", stderr(&output));
}

#[test]
fn keys_are_listed_with_who_lacks_them() {
    let asked = check(
        r#"{"own":["aa","bb"],"keys":[{"key":"aa","nodes":3,"primary":3},{"key":"bb","nodes":1,"primary":0}],
            "nodes":[{"id":"01","name":"a","keys":["aa","bb"]},{"id":"02","name":"b","keys":["aa"]},{"id":"03","name":null,"keys":["aa"]}]}"#,
        &["keys", "list"],
        expect![[r#"
            KEY  NODES   SEAL WITH IT  MISSING ON
            aa   3 of 3  3 of 3        -
            bb   1 of 3  0 of 3        03 b
        "#]],
    );
    begins(&asked, "GET /v1/keys");
    check(r#"{"own":[],"keys":[],"nodes":[]}"#, &["keys", "list"], expect!["no keys: nothing is sealed\n"]);
}

#[test]
fn a_key_comes_from_the_command_line_a_file_or_stdin() {
    const DONE: &str = r#"{"done":[{"id":"01","name":"a"},{"id":"02","name":"b"}],"refused":[],"silent":[]}"#;
    let asked = check(DONE, &["keys", "install", "KEY="], expect!["installed on 2 nodes\n"]);
    begins(&asked, "PUT /v1/keys/install");
    assert!(asked[0].ends_with("\nKEY="), "{asked:?}");
    let folder = std::env::temp_dir().join(format!("lobbyctl-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("key");
    std::fs::write(&file, "FILE=\n").unwrap();
    let asked = check(DONE, &["keys", "use", &format!("@{}", file.display())], expect!["in use on 2 nodes\n"]);
    begins(&asked, "PUT /v1/keys/use");
    assert!(asked[0].ends_with("\nFILE="), "{asked:?}");
    std::fs::remove_dir_all(&folder).unwrap();

    let daemon = Canned::with_body(DONE);
    let mut command = lobbyctl(daemon.address.port(), &["keys", "remove", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b" STDIN= \n").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"removed on 2 nodes\n");
    assert!(
        daemon.asked()[0].starts_with("PUT /v1/keys/remove") && daemon.asked()[0].ends_with("\nSTDIN="),
        "{:?}",
        daemon.asked()
    );

    let output = run(CLOSED, &["keys", "use", "@/nonexistent/key"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("reading the key from /nonexistent/key"), "{}", stderr(&output));
}

#[test]
fn a_change_of_keys_that_missed_somebody_is_a_failure_that_names_him() {
    let body = r#"{"done":[{"id":"01","name":"a"}],"refused":[{"id":"02","name":"b","why":"too many keys"}],"silent":[{"id":"03","name":null}]}"#;
    let daemon = Canned::with_body(body);
    let output = run(daemon.address.port(), &["keys", "install", "KEY="]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"installed on 1 node\n");
    let text = stderr(&output);
    assert!(text.starts_with("lobbyctl: 2 of 3 nodes did not do it: b: too many keys; 03: no answer\nhint: "), "{text}");
}
