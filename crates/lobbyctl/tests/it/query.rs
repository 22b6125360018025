//! `query`: what it asks a daemon, what is shown of the answers, and how it ends.

use expect_test::expect;

use crate::{
    canned::Canned,
    gossip::begins,
    program::{check, run, stderr},
};

const ANSWERS: &str = r#"{"type":"asked","name":"load","asked":3}
{"type":"ack","id":"00ff","name":"a"}
{"type":"answer","id":"00ff","name":"a","text":"0.5\n1.5\n","base64":"MC41CjEuNQo="}
{"type":"later","x":1}
{"type":"ack","id":"11ff","name":null}
{"type":"end","end":"complete","acks":2,"answers":1}
"#;

#[test]
fn a_query_prints_acks_and_answers_and_how_many() {
    let args =
        ["query", "load", "now", "--node", "a", "--node", "b.*", "--label", "x", "--timeout", "1.5s", "--relay-factor", "2"];
    let asked = check(
        ANSWERS,
        &args,
        expect![[r#"
            ack     a
            answer  a  0.5
            answer  a  1.5
            ack     11ff
            2 of 3 acknowledged, 1 answered
        "#]],
    );
    begins(&asked, "PUT /v1/ask/load?node=a%7C%28%3F%3Ab.*%29&label=x&timeout=1500ms&ack=true&relay=2&stream=true");
    assert!(asked[0].ends_with("\nnow"), "{asked:?}");
    let asked = check(
        ANSWERS,
        &["query", "load", "--no-ack", "--json"],
        expect![[r#"
            {"type":"asked","name":"load","asked":3}
            {"type":"ack","id":"00ff","name":"a"}
            {"type":"answer","id":"00ff","name":"a","text":"0.5\n1.5\n","base64":"MC41CjEuNQo="}
            {"type":"ack","id":"11ff","name":null}
            {"type":"end","end":"complete","acks":2,"answers":1}
        "#]],
    );
    begins(&asked, "PUT /v1/ask/load?timeout=2000ms&ack=false&relay=0&stream=true");
}

#[test]
fn who_does_not_acknowledge_a_query_is_named() {
    let daemon = Canned::start(|_, _| {
        let news = "{\"type\":\"asked\",\"name\":\"x\",\"asked\":2}\n\
                    {\"type\":\"ack\",\"id\":\"00112233445566778899aabbccddeeff\",\"name\":\"a\"}\n\
                    {\"type\":\"end\",\"end\":\"complete\",\"acks\":1,\"answers\":0,\"missing\":[{\"id\":\"11ff\",\"name\":\"b\"},\
                    {\"id\":\"22ff\",\"name\":null}]}\n";
        ("200 OK".into(), news.into())
    });
    let text = |args: &[&str]| String::from_utf8(run(daemon.address.port(), args).stdout).unwrap();
    let want = "ack     a\n1 of 2 acknowledged, 0 answered\nno ack  b\nno ack  22ff\n";
    assert_eq!(text(&["query", "x"]), want);
    assert_eq!(text(&["query", "x", "--node", "."]), want);
    let json = text(&["query", "x", "--json"]);
    assert!(json.ends_with("\"missing\":[{\"id\":\"11ff\",\"name\":\"b\"},{\"id\":\"22ff\",\"name\":null}]}\n"), "{json}");
}

#[test]
fn a_query_for_nobody_says_so_and_is_no_failure() {
    let news = |asked: u8, acks: u8| {
        format!(
            "{{\"type\":\"asked\",\"name\":\"x\",\"asked\":{asked}}}\n\
             {{\"type\":\"end\",\"end\":\"complete\",\"acks\":{acks},\"answers\":0,\"missing\":[]}}\n"
        )
    };
    for (asked, acks, want) in [
        (0, 0, "no node matches\n"),
        (1, 1, "1 of 1 acknowledged, 0 answered\n"),
        // Of a node that the daemon did not know.
        (0, 1, "1 of 1 acknowledged, 0 answered\n"),
    ] {
        let daemon = Canned::start(move |_, _| ("200 OK".into(), news(asked, acks)));
        let output = run(daemon.address.port(), &["query", "x", "-node", "nobody"]);
        assert_eq!((output.status.code(), String::from_utf8(output.stdout).unwrap().as_str()), (Some(0), want));
    }
}

#[test]
fn a_query_that_is_cut_off_is_a_failure() {
    let daemon = Canned::with_body("{\"type\":\"asked\",\"name\":\"x\",\"asked\":3}\n");
    let output = run(daemon.address.port(), &["query", "x"]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let daemon = Canned::with_body("{\"type\":\"end\",\"end\":\"stopping\",\"acks\":0,\"answers\":0}\n");
    let output = run(daemon.address.port(), &["query", "x"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("the query ended early: the daemon is stopping\nhint: "), "{}", stderr(&output));
    let daemon = Canned::start(|_, _| ("501 Not Implemented".into(), "this agent does not gossip\n".into()));
    let output = run(daemon.address.port(), &["query", "x"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("\nhint: add gossip"), "{}", stderr(&output));
}
