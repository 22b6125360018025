//! What can be typed behind `--check`, what the daemon is told of it, and what is asked first.

use serde_json::json;

use super::*;

#[track_caller]
fn body(text: &str) -> Value {
    text.parse::<Check>().unwrap().body(Some(8080)).unwrap()
}

#[test]
fn checks_as_the_daemon_is_told_them() {
    for (text, want) in [
        ("tcp", json!({"TCP": "127.0.0.1:8080", "Interval": "1s"})),
        ("tcp:db:5432", json!({"TCP": "db:5432", "Interval": "1s"})),
        ("tcp:[::1]:1,interval=100ms", json!({"TCP": "[::1]:1", "Interval": "100ms"})),
        ("udp", json!({"UDP": "127.0.0.1:8080", "Interval": "1s"})),
        ("http", json!({"HTTP": "http://127.0.0.1:8080/", "Interval": "1s"})),
        ("http:/a?b=c,timeout=2", json!({"HTTP": "http://127.0.0.1:8080/a?b=c", "Interval": "1s", "Timeout": "2s"})),
        ("https://h/x,failures=3", json!({"HTTP": "https://h/x", "Interval": "1s", "FailuresBeforeCritical": 3})),
        ("grpc", json!({"GRPC": "127.0.0.1:8080", "Interval": "1s"})),
        ("grpc:/svc", json!({"GRPC": "127.0.0.1:8080/svc", "Interval": "1s"})),
        ("grpc:h:1/svc", json!({"GRPC": "h:1/svc", "Interval": "1s"})),
        ("ttl:10s,status=passing", json!({"TTL": "10s", "Status": "passing"})),
        ("ttl:90,deregister=10m", json!({"TTL": "90s", "DeregisterCriticalServiceAfter": "10m"})),
        ("alias:db-1,name=the db,id=x", json!({"AliasService": "db-1", "Name": "the db", "CheckID": "x"})),
        ("script:a b,c x=1,interval=5s", json!({"Args": ["/bin/sh", "-c", "a b,c x=1"], "Interval": "5s"})),
        ("script:test 1,x=2", json!({"Args": ["/bin/sh", "-c", "test 1,x=2"], "Interval": "1s"})),
    ] {
        assert_eq!(body(text), want, "{text}");
    }
}

#[test]
fn what_is_no_check_is_refused_with_what_would_be_one() {
    for (text, want) in [
        ("", "expected tcp[:HOST:PORT]"),
        ("tpc", "kind \"tpc\""),
        ("tcp:", "tcp \"\": expected HOST:PORT"),
        ("tcp:8080", "expected HOST:PORT"),
        ("tcp:h:0", "expected HOST:PORT"),
        ("tcp:h:65536", "expected HOST:PORT"),
        ("http:health", "expected /PATH"),
        ("https", "whole URL"),
        ("grpc:h", "expected HOST:PORT"),
        ("ttl", "a time such as 10s"),
        ("ttl:0", "a time such as 10s"),
        ("ttl:10s,interval=1s", "\"interval=1s\" is no option of this check: expected deregister, id, name, status"),
        ("alias:a,status=passing", "is no option of this check"),
        ("tcp,intervall=1s", "\"intervall=1s\" is no option"),
        ("http:/a,b", "%2C"),
        ("tcp,interval=soon", "interval \"soon\": expected a time"),
        ("tcp,failures=x", "failures \"x\": expected a number"),
        ("tcp,status=ok", "expected passing, warning or critical"),
        ("tcp,id=", "id \"\": expected a text"),
        ("tcp,interval=1s,interval=2s", "given twice"),
        ("script:", "a command for the shell"),
        ("alias:", "the id of an instance"),
    ] {
        let err = text.parse::<Check>().unwrap_err();
        assert!(err.contains(want), "{text}: {err}");
    }
    let err = "http:/x".parse::<Check>().unwrap().body(None).unwrap_err();
    assert!(err.contains("--check \"http:/x\"") && err.contains("--port"), "{err}");
    assert!("tcp:h:1".parse::<Check>().unwrap().body(None).is_ok());
}
