//! Files as Consul's documents show them, in both formats, and files that are refused.

use std::time::Duration;

use lobby_core::check::kind::Kind;
use proptest::prelude::*;

use super::*;

fn of_json(text: &str) -> Result<File, FileError> {
    decode(Format::Json, text.as_bytes(), &"a.json".into())
}

fn of_toml(text: &str) -> Result<File, FileError> {
    decode(Format::Toml, text.as_bytes(), &"a.json".into())
}

fn refusal(result: Result<File, FileError>) -> String {
    result.expect_err("it is refused").to_string()
}

/// Ids of instances with those of their checks, and of the checks that are left.
fn ids(file: &File) -> (Vec<(&str, Vec<&str>)>, Vec<&str>) {
    let of = |checks: &'_ [_]| {
        checks.iter().map(|check: &lobby_core::port::registry::NewCheck| check.id.to_string()).collect::<Vec<_>>()
    };
    let leak = |texts: Vec<String>| texts.into_iter().map(|text| &*text.leak()).collect::<Vec<&str>>();
    let registrations = &file.registrations;
    let instances = registrations.iter().map(|one| (one.instance.id.as_str(), leak(of(&one.checks)))).collect();
    (instances, leak(of(&file.checks)))
}

const JSON: &str = r#"{
    "service": {
        "id": "web-1", "name": "web", "port": 80, "tags": ["a"],
        "checks": [{"http": "http://127.0.0.1:80/", "interval": "100ms"}, {"id": "ttl", "ttl": "10s"}]
    },
    "services": [{"name": "db", "port": 5432}, {"Name": "cache"}],
    "check": {"id": "disk", "name": "disk", "args": ["df"], "interval": "30s"},
    "checks": [{"id": "db:more", "name": "more", "service_id": "db", "tcp": "127.0.0.1:5432", "interval": "5s"},
               {"id": "far", "name": "far", "service_id": "elsewhere", "ttl": "5s"}]
}"#;

const TOML: &str = r#"
[service]
id = "web-1"
name = "web"
port = 80
tags = ["a"]
[[service.checks]]
http = "http://127.0.0.1:80/"
interval = "100ms"
[[service.checks]]
id = "ttl"
ttl = "10s"

[[services]]
name = "db"
port = 5432
[[services]]
Name = "cache"

[check]
id = "disk"
name = "disk"
args = ["df"]
interval = "30s"

[[checks]]
id = "db:more"
name = "more"
service_id = "db"
tcp = "127.0.0.1:5432"
interval = "5s"
[[checks]]
id = "far"
name = "far"
service_id = "elsewhere"
ttl = "5s"
"#;

#[test]
fn json_and_toml_say_the_same() {
    let file = of_json(JSON).unwrap();
    assert_eq!(file, of_toml(TOML).unwrap());
    let (mut instances, mut checks) = ids(&file);
    instances.sort();
    checks.sort();
    let web = ("web-1", vec!["service:web-1:1", "ttl"]);
    assert_eq!(instances, [("cache", vec![]), ("db", vec!["db:more"]), web]);
    assert_eq!(checks, ["disk", "far"]);
    let web = file.registrations.iter().find(|one| one.instance.id.as_str() == "web-1").unwrap();
    assert!(matches!(web.checks[0].spec.kind(), Kind::Http(http) if http.url == "http://127.0.0.1:80/"));
    assert_eq!(web.checks[0].spec.interval(), Some(Duration::from_millis(100)), "a file of ours may ask for less than a second");
    assert!(file.registrations.iter().all(|one| one.replace_checks));
}

#[test]
fn a_sidecar_comes_along() {
    let file = of_json(r#"{"service": {"name": "web", "port": 80, "connect": {"sidecar_service": {}}}}"#).unwrap();
    assert_eq!(file.registrations.len(), 2);
    assert!(file.registrations.iter().all(|one| one.replace_checks));
}

#[test]
fn nothing_is_something_when_it_is_said() {
    for text in ["{}", r#"{"services": []}"#, r#"{"service": null, "checks": []}"#] {
        let file = of_json(text).unwrap();
        assert_eq!((file.registrations.len(), file.checks.len()), (0, 0), "{text}");
    }
    for result in [of_json(""), of_json(" \n"), of_toml(""), of_toml("\n\n")] {
        assert!(matches!(result, Err(FileError::Empty)));
    }
}

#[test]
fn what_is_wrong_is_named() {
    let cases = [
        (r#"{"servce": {}}"#, "servce: expected service, services, check or checks"),
        (r#"{"services": 3}"#, "services: expected service"),
        (r#"{"services": [{"name": "a"}, {"port": 1}]}"#, "services[1]: "),
        (r#"{"service": {"name": "a", "port": 70000}}"#, "service: "),
        (r#"{"check": {"name": "a"}}"#, "check: "),
        (r#"{"checks": [7]}"#, "checks[0]: "),
        ("[]", "expected a table"),
        (r#"{"service": {"name": "a""#, "line 1"),
        (r#"{"services": [{"name": "a"}, {"name": "a"}]}"#, "the id a is defined twice"),
        (
            r#"{"service": {"name": "a", "check": {"id": "x", "ttl": "1s"}}, "check": {"id": "x", "name": "x", "ttl": "1s"}}"#,
            "the id x",
        ),
        (r#"{"checks": [{"id": "x", "name": "x", "ttl": "1s"}, {"id": "x", "name": "y", "ttl": "1s"}]}"#, "the id x"),
        (r#"{"check": {"name": "a", "PID": "self"}}"#, "check: "),
    ];
    for (text, why) in cases {
        let refusal = refusal(of_json(text));
        assert!(refusal.contains(why), "{text}: {refusal}");
    }
    let refusal = refusal(of_toml("[service]\nname = 'web'\ntoken = 'secret\n"));
    assert!(refusal.contains("line 3") && !refusal.contains("secret"), "{refusal}");
    assert!(matches!(of_toml("a = '\u{0}'"), Err(FileError::Syntax(_))));
}

#[test]
fn there_are_bounds() {
    let many = |n: usize| format!(r#"{{"checks": [{}]}}"#, vec!["7"; n].join(","));
    assert!(matches!(of_json(&many(ITEMS)), Err(FileError::Definition { at, .. }) if at == "checks[0]"));
    assert!(matches!(of_json(&many(ITEMS + 1)), Err(FileError::Top { key }) if key == "checks"));
    let checks = |n| {
        (0..n).map(|n| format!(r#"{{"id": "{n}", "name": "x", "service_id": "a", "ttl": "1s"}}"#)).collect::<Vec<_>>().join(",")
    };
    let full = |n| of_json(&format!(r#"{{"service": {{"name": "a"}}, "checks": [{}]}}"#, checks(n)));
    assert_eq!(full(CHECKS).unwrap().registrations[0].checks.len(), CHECKS);
    assert!(matches!(full(CHECKS + 1), Err(FileError::TooManyChecks(_))));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    for (bytes, is_good) in [(FILE_BYTES, true), (FILE_BYTES + 1, false)] {
        fs::write(&path, format!("{{}}{}", " ".repeat(bytes as usize - 2))).unwrap();
        let result = read(&path, &"a.json".into());
        assert_eq!(result.is_ok(), is_good);
        assert!(is_good || matches!(result, Err(FileError::TooLarge)));
    }
}

#[test]
fn deep_nesting_is_refused() {
    let deep = "[".repeat(100_000);
    assert!(matches!(of_json(&format!(r#"{{"service": {deep}"#)), Err(FileError::Syntax(_))));
    assert!(matches!(of_toml(&format!("service = {deep}")), Err(FileError::Syntax(_))));
    let dotted = vec!["a"; 100_000].join(".");
    assert!(of_toml(&format!("{dotted} = 1")).is_err());
    let inline = format!("service = {}", "{a=".repeat(100_000));
    assert!(of_toml(&inline).is_err());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>(), cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let name: Arc<str> = "a.json".into();
        let _ = (decode(Format::Json, &bytes, &name), decode(Format::Toml, &bytes, &name));
        for (format, text) in [(Format::Json, JSON), (Format::Toml, TOML)] {
            let mut changed = text.as_bytes().to_vec();
            changed[cut.index(text.len())] = byte;
            let _ = decode(format, &changed, &name);
            let _ = decode(format, &changed[..cut.index(text.len())], &name);
        }
    }
}
