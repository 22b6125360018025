//! What is refused, and what the text says: the field, what stands there, what would be accepted.

use super::*;
use crate::limits;

/// The error for a service with these fields besides its name.
#[track_caller]
fn service_error(mut body: Value) -> String {
    let map = body.as_object_mut().unwrap();
    map.entry("Name").or_insert_with(|| "web".into());
    registration(&body, &CONTEXT).unwrap_err().to_string()
}

#[track_caller]
fn check_error(body: Value) -> String {
    service_error(json!({"Check": body}))
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    assert!(parts.iter().all(|part| text.contains(part)), "{text}\ndoes not say all of {parts:?}");
}

#[test]
fn bytes_that_are_no_json() {
    for bad in ["", " \n", "{", "{}}", "nope", "{\"a\":}", "\u{0}", &format!("{}{}", "[".repeat(200), "]".repeat(200))] {
        let text = parse(bad.as_bytes()).unwrap_err().to_string();
        assert!(text.starts_with("Request decode failed"), "{bad:?}: {text}");
    }
    assert!(parse(b"\xff\xfe").unwrap_err().to_string().starts_with("Request decode failed"));
    for bad in [json!([]), json!(1), json!("a"), json!(null)] {
        says(&registration(&bad, &CONTEXT).unwrap_err().to_string(), &["the body", "a JSON object"]);
        says(&check(&bad, &CONTEXT).unwrap_err().to_string(), &["the body", "a JSON object"]);
    }
}

#[test]
fn what_must_be_given() {
    says(&registration(&json!({"ID": "a"}), &CONTEXT).unwrap_err().to_string(), &["Missing service name", "Name"]);
    says(&service_error(json!({"Name": ""})), &["Missing service name"]);
    says(&check(&json!({"ID": "a", "TTL": "1s"}), &CONTEXT).unwrap_err().to_string(), &["Missing check name", "Name"]);
}

#[test]
fn values_of_a_wrong_type_or_range() {
    for (body, parts) in [
        (json!({"Name": 1}), ["Name", "1", "a text"]),
        (json!({"Port": "80"}), ["Port", "\"80\"", "0 to 65535"]),
        (json!({"Port": 65536}), ["Port", "65536", "0 to 65535"]),
        (json!({"Port": -1}), ["Port", "-1", "0 to 65535"]),
        (json!({"Port": 1.5}), ["Port", "1.5", "0 to 65535"]),
        (json!({"Tags": "a"}), ["Tags", "\"a\"", "a list"]),
        (json!({"Tags": ["a", 7]}), ["Tags[1]", "7", "a text"]),
        (json!({"Meta": {"a": 1}}), ["Meta.a", "1", "a text"]),
        (json!({"Meta": []}), ["Meta", "a list", "a JSON object"]),
        (json!({"Meta": {"a b": ""}}), ["meta key", "a b", "A-Z"]),
        (json!({"EnableTagOverride": "yes"}), ["EnableTagOverride", "yes", "true or false"]),
        (json!({"Weights": {"passing": -1}}), ["Weights.Passing", "-1", "0 to 65535"]),
        (json!({"Weights": {"Warning": 65536}}), ["Weights.Warning", "65536", "0 to 65535"]),
        (json!({"TaggedAddresses": {"lan": "a"}}), ["TaggedAddresses.lan", "\"a\"", "a JSON object"]),
        (json!({"TaggedAddresses": {"lan": {"Port": "1"}}}), ["TaggedAddresses.lan.Port", "\"1\"", "0 to 65535"]),
        (json!({"Proxy": "a"}), ["Proxy", "\"a\"", "a JSON object"]),
        (json!({"Kind": "a b"}), ["kind", "a b", "A-Z"]),
        (json!({"ID": "a\n"}), ["ID", "a\\n", "control character"]),
        (json!({"Check": "a"}), ["Check", "\"a\"", "a JSON object"]),
        (json!({"Checks": {}}), ["Checks", "an object", "a list"]),
        (json!({"Checks": [null]}), ["Checks[0]", "null", "a JSON object"]),
        (json!({"Checks": [{"TTL": "1s"}, {}]}), ["Checks[1]: ", "needs one of", "TTL, HTTP"]),
    ] {
        says(&service_error(body), &parts);
    }
}

#[test]
fn addresses_to_which_nobody_can_connect() {
    for bad in ["0.0.0.0", "::", "[::]", "0:0::0", "a b"] {
        says(&service_error(json!({"Address": bad})), &["Invalid service address", bad, "an IP address or a host name"]);
    }
    says(&service_error(json!({"TaggedAddresses": {"lan": {"Address": "0.0.0.0"}}})), &["taggedaddresses", "0.0.0.0"]);
}

#[test]
fn durations_that_are_none() {
    for field in ["TTL", "Interval", "timeout", "deregister_critical_service_after"] {
        for bad in [json!("10"), json!("abc"), json!("-1s"), json!(-1), json!(1.5), json!(true), json!([])] {
            let text = check_error(json!({"HTTP": "http://a", "Interval": "1s", field: bad}));
            says(&text, &["Check.", "invalid duration", "10s"]);
        }
    }
}

#[test]
fn checks_that_make_no_sense() {
    says(&check_error(json!({"Interval": "1s"})), &["Check: ", "none given"]);
    says(&check_error(json!({"TTL": "1s", "TCP": "a:1"})), &["exactly one kind", "tcp", "ttl"]);
    says(&check_error(json!({"TCP": "a:1"})), &["Interval", "0ns"]);
    says(&check_error(json!({"TTL": "1s", "Interval": "1s"})), &["Interval", "ttl", "1s"]);
    says(&check_error(json!({"TTL": "0s"})), &["TTL must be above zero"]);
    says(&check_error(json!({"TCP": "a", "Interval": "1s"})), &["TCP", "host:port", "\"a\""]);
    says(&check_error(json!({"TTL": "1s", "Status": "ok"})), &["Check.Status", "\"ok\"", "passing, warning, critical"]);
    says(&check_error(json!({"TTL": "1s", "FailuresBeforeWarning": 2})), &["FailuresBeforeWarning", "2"]);
    says(&check_error(json!({"TTL": "1s", "OutputMaxSize": -1})), &["Check.OutputMaxSize", "-1", "0 to"]);
    says(&check_error(json!({"Args": "true", "Interval": "1s"})), &["Check.Args", "\"true\"", "a list"]);
    says(&check_error(json!({"HTTP": "http://a", "Interval": "1s", "Header": {"A": "b"}})), &["Check.Header.A", "\"b\"", "list"]);
    says(&check_error(json!({"DockerContainerID": "c", "Interval": "1s"})), &["Args"]);
    says(&check_error(json!({"PID": "me"})), &["Check.PID", "\"me\"", "\"self\""]);
    says(&check_error(json!({"PID": 0})), &["PID", "\"0\"", "1 to"]);
    says(&check_error(json!({"PID": 1_u64 << 40})), &["Check.PID", "1099511627776"]);
    let stranger = Context { peer_pid: None, ..CONTEXT };
    let text = check(&json!({"Name": "a", "PID": "self"}), &stranger).unwrap_err().to_string();
    says(&text, &["PID", "\"self\"", "unix socket"]);
    let long = "x".repeat(limits::CHECK_NAME_BYTES + 1);
    says(&check_error(json!({"TTL": "1s", "Name": long})), &["name", "513", "512"]);
    says(&check_error(json!({"TTL": "1s", "Notes": "x".repeat(4097)})), &["notes", "4097", "4096"]);
    assert!(checked(json!({"TTL": "1s", "Notes": "x".repeat(4096)})).notes.len() == 4096);
}

#[test]
fn one_more_than_the_bounds() {
    let body = |count: usize| json!({"Name": "web", "Check": {"TTL": "1s"}, "Checks": vec![json!({"TTL": "1s"}); count - 1]});
    assert_eq!(registered(&body(CHECKS)).checks.len(), CHECKS);
    says(&registration(&body(CHECKS + 1), &CONTEXT).unwrap_err().to_string(), &["Checks", "65", "64"]);
    // The id of the check has a prefix and so less room than that of its instance.
    let name = "x".repeat(limits::ID_BYTES);
    assert!(registration(&json!({"Name": name}), &CONTEXT).is_ok());
    says(&service_error(json!({"Name": name, "Check": {"TTL": "1s"}})), &["Check.CheckID", "at most 256 bytes"]);
    says(&service_error(json!({"Name": name, "Connect": {"SidecarService": {}}})), &["SidecarService.ID", "at most 256 bytes"]);
    let meta = |count: usize| (0..count).map(|n| (n.to_string(), json!(""))).collect::<serde_json::Map<_, _>>();
    assert!(registration(&json!({"Name": "a", "Meta": meta(64)}), &CONTEXT).is_ok());
    says(&service_error(json!({"Meta": meta(65)})), &["meta", "65", "64"]);
    let long = service_error(json!({"Port": "x".repeat(10_000)}));
    assert!(long.len() < 200, "{long}");
}

#[test]
fn an_error_is_short_however_long_and_odd_the_value_is() {
    let odd = "\u{7f}".repeat(10_000);
    for field in ["HTTP", "TCP", "UDP", "GRPC", "H2PING", "Interval", "TTL", "CheckID", "Name", "Status", "no such field"] {
        let checks = [json!({ field: &odd, "Interval": "1s" }), json!({ field: [&odd] }), json!({ "TTL": "1s", field: &odd })];
        for body in checks.into_iter().map(|check| json!({"Name": "web", "Checks": [check]})) {
            let Err(error) = registration(&body, &CONTEXT) else { continue };
            assert!(error.to_string().len() < 1000, "{field}: {error}");
        }
    }
    says(&check_error(json!({"GRPC": odd, "Interval": "1s"})), &["GRPC", "host:port", "\\u{7f}"]);
}
