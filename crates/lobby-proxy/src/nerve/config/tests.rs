//! Tests of Nerve's files: one with every key, one with none but those that must be there, one for each error.

use crate::nerve::settings::{Check, CheckKind, Http};

use super::*;

fn parsed(text: &str) -> (Settings, Vec<String>) {
    parse(text, None).unwrap_or_else(|err| panic!("{err}: {text}"))
}

/// A whole file around the keys of one service.
fn around(keys: &str) -> String {
    format!("{{\"instance_id\": \"i-1\", \"services\": {{\"web\": {{\"host\": \"10.0.0.1\", \"port\": 80{keys}}}}}}}")
}

fn service(keys: &str) -> Service {
    let (mut settings, warnings) = parsed(&around(keys));
    assert_eq!(warnings, Vec::<String>::new(), "{keys}");
    settings.services.remove(0)
}

fn refused(text: &str) -> String {
    let err = parse(text, None).map(|(settings, _)| settings).expect_err(text);
    assert_eq!(err.exit_code(), 64);
    err.to_string()
}

const FULL: &str = r#"{
  // As in the documents of Nerve, with our reporter.
  "instance_id": "mymachine",
  "heartbeat_path": "/var/run/nerve/heartbeat",
  "max_repeated_report_failures": 3,
  "services": {
    "your_http_service": {
      "host": "1.2.3.4",
      "port": "3000",
      "reporter_type": "lobby",
      "check_interval": 2,
      "check_mocked": false,
      "weight": "7",
      "haproxy_server_options": "backup",
      "labels": {"az": "us-east-1b", "n": 5},
      "rate_limiting": {"shadow_mode": false, "average_rate": 0.1, "max_burst": 10},
      "checks": [
        {"type": "http", "uri": "/health", "timeout": 0.2, "rise": 3, "fall": 2, "headers": {"X-A": "b"}, "expect": "OK"},
        {"type": "http", "name": "tls", "uri": "h", "ssl": true, "host": "::1", "port": 443,
         "open_timeout": 1, "read_timeout": 2, "ssl_timeout": 3},
        {"type": "rabbitmq", "username": "u", "password": "p"},
      ]
    },
    "your_tcp_service": {"host": "1.2.3.4", "port": 6379, "reporter_type": "noop", "load_test_concurrency": 2,
      "checks": [{"type": "tcp"}, {"type": "redis", "port": 1}, {"type": "noop"}, {"type": "rabbitmq"}]}
  }
}"#;

#[test]
fn every_key_is_read() {
    let (settings, warnings) = parsed(&FULL.replace("},\n      ]", "}\n      ]"));
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(settings.heartbeat_path.as_deref(), Some(Path::new("/var/run/nerve/heartbeat")));
    let names: Vec<_> = settings.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["your_http_service", "your_tcp_service_0", "your_tcp_service_1"]);
    let web = &settings.services[0];
    assert_eq!(web.payload.id, "your_http_service_mymachine");
    assert_eq!(
        web.payload.json(),
        r#"{"host":"1.2.3.4","port":3000,"name":"mymachine","weight":7,"haproxy_server_options":"backup","labels":{"az":"us-east-1b","n":"5"}}"#
    );
    assert_eq!((web.reporter, web.check_interval), (Reporter::Lobby, Duration::from_secs(2)));
    assert_eq!(web.rate, Rate { average: 0.1, burst: 10.0, is_shadow: false });
    assert_eq!((web.is_mocked, web.max_repeated_report_failures), (false, 3));
    let http = Http {
        uri: "/health".into(),
        is_tls: false,
        headers: [("X-A".into(), "b".into())].into(),
        expect: Some("OK".into()),
        timeout: Duration::from_millis(400),
    };
    let want = Check {
        name: "http 1.2.3.4:3000".into(),
        host: "1.2.3.4".into(),
        port: 3000,
        timeout: Duration::from_millis(200),
        rise: 3,
        fall: 2,
        kind: CheckKind::Http(http),
    };
    assert_eq!(web.checks[0], want);
    let CheckKind::Http(tls) = &web.checks[1].kind else { panic!("{:?}", web.checks[1]) };
    assert_eq!((tls.uri.as_str(), tls.is_tls, tls.timeout), ("/h", true, Duration::from_secs(6)));
    assert_eq!((web.checks[1].host.as_str(), web.checks[1].port, web.checks[1].name.as_str()), ("::1", 443, "tls"));
    let (tcp, clone) = (&settings.services[1], &settings.services[2]);
    let kinds: Vec<_> = tcp.checks.iter().map(|check| (check.kind.clone(), check.port)).collect();
    let guest = CheckKind::Rabbitmq { username: "guest".into(), password: crate::settings::Secret("guest".into()) };
    assert_eq!(kinds, [(CheckKind::Tcp, 6379), (CheckKind::Redis, 1), (CheckKind::Noop, 6379), (guest, 6379)]);
    assert_eq!((clone.payload.service.as_str(), clone.payload.id.as_str()), ("your_tcp_service", "your_tcp_service_1_mymachine"));
    assert_eq!(tcp.reporter, Reporter::Noop);
}

#[test]
fn what_is_absent_is_as_with_nerve() {
    let web = service("");
    assert_eq!(web.checks, []);
    assert_eq!((web.check_interval, web.max_repeated_report_failures), (Duration::from_millis(500), 10));
    assert_eq!((web.rate, web.reporter), (Rate::default(), Reporter::Lobby));
    assert_eq!(web.payload.json(), r#"{"host":"10.0.0.1","port":80,"name":"i-1"}"#);
    let tcp = service(r#", "checks": [{"type": "tcp"}]"#).checks.remove(0);
    assert_eq!((tcp.timeout, tcp.rise, tcp.fall), (Duration::from_millis(100), 1, 1));
    let http = service(r#", "checks": [{"type": "http", "uri": "/"}]"#).checks.remove(0);
    assert!(matches!(&http.kind, CheckKind::Http(http) if http.timeout == Duration::from_millis(300)), "{http:?}");
}

#[test]
fn yaml_is_the_same_and_the_command_line_counts_before_the_file() {
    let yaml = "instance_id: i-1\nservices:\n  web:\n    host: 10.0.0.1\n    port: 80\n";
    assert_eq!(parsed(yaml), parsed(&around("")));
    let (settings, _) = parse(yaml, Some("i-2")).unwrap();
    assert_eq!(settings.services[0].payload.id, "web_i-2");
    let (settings, _) = parse("services: {}", Some("i-2")).unwrap();
    assert_eq!(settings.services, []);
}

#[test]
fn a_folder_has_one_service_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let services = folder.path().join("services");
    std::fs::create_dir(&services).unwrap();
    std::fs::write(services.join("db.json"), r#"{"host": "10.0.0.2", "port": 5432}"#).unwrap();
    std::fs::write(services.join("web.yaml"), "host: 10.0.0.3\nport: 81\n").unwrap();
    std::fs::write(services.join("README"), "nothing").unwrap();
    let path = folder.path().join("nerve.conf.json");
    let text = around("").replacen('{', &format!("{{\"service_conf_dir\": {:?}, ", services.display().to_string()), 1);
    std::fs::write(&path, text).unwrap();
    let (settings, warnings) = read(&path, None).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let places: Vec<_> = settings.services.iter().map(|service| (service.name.as_str(), service.payload.host.as_str())).collect();
    assert_eq!(places, [("db", "10.0.0.2"), ("web", "10.0.0.3")]);
    std::fs::write(services.join("bad.yaml"), "host: [").unwrap();
    let err = read(&path, None).unwrap_err().to_string();
    assert!(err.contains("nerve.conf.json") && err.contains("bad.yaml"), "{err}");
}

#[test]
fn what_nobody_reads_is_told_with_the_nearest_key() {
    for (keys, told) in [
        (r#", "check_intervall": 1"#, "unknown key services.web.\"check_intervall\" is ignored: did you mean `check_interval`?"),
        (
            r#", "checks": [{"type": "tcp", "raise": 1}]"#,
            "unknown key services.web.checks[0].\"raise\" is ignored: did you mean `rise`?",
        ),
        (
            r#", "rate_limiting": {"max_bursts": 1}"#,
            "unknown key services.web.rate_limiting.\"max_bursts\" is ignored: did you mean `max_burst`?",
        ),
        (r#", "labels": {"a.b": "c"}"#, "services.web.labels: \"a.b\" is \"a_b\" in the catalog"),
    ] {
        assert_eq!(parsed(&around(keys)).1, [told], "{keys}");
    }
    let (_, warnings) = parsed(&around("").replacen('{', "{\"statsd\": {\"host\": \"localhost\"}, \"servicess\": 1, ", 1));
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].starts_with("statsd: accepted") && warnings[1].contains("did you mean `services`"), "{warnings:?}");
    // One file for Lobby and ZooKeeper.
    service(r#", "reporter_type": "lobby", "zk_hosts": ["a:1"], "zk_path": "/a", "node_type": "ephemeral""#);
}

#[test]
fn errors_name_the_key_the_value_and_what_is_accepted() {
    for (keys, words) in [
        (r#", "port": 0"#, ["services.web.port", "0", "1 to 65535"]),
        (r#", "host": "a b""#, ["services.web.host", "\"a b\"", "the name of a host"]),
        (r#", "check_interval": "1""#, ["services.web.check_interval", "\"1\"", "a number"]),
        (r#", "check_interval": 0"#, ["services.web.check_interval", "0", "0.01"]),
        (r#", "check_mocked": 1"#, ["services.web.check_mocked", "1", "true or false"]),
        (r#", "checks": {}"#, ["services.web.checks", "a map", "a list"]),
        (r#", "checks": ["tcp"]"#, ["services.web.checks[0]", "\"tcp\"", "a map"]),
        (r#", "checks": [{}]"#, ["services.web.checks[0].type", "missing", "one of tcp, http"]),
        (r#", "checks": [{"type": "icmp"}]"#, ["services.web.checks[0].type", "\"icmp\"", "one of tcp, http"]),
        (r#", "checks": [{"type": "tcp", "rise": 0}]"#, ["services.web.checks[0].rise", "0", "1 to 1000"]),
        (r#", "checks": [{"type": "tcp", "fall": 1001}]"#, ["services.web.checks[0].fall", "1001", "1 to 1000"]),
        (r#", "checks": [{"type": "tcp", "timeout": 0}]"#, ["services.web.checks[0].timeout", "0", "0.001"]),
        (r#", "checks": [{"type": "tcp", "module": "m"}]"#, ["services.web.checks[0].module", "\"m\"", "Ruby"]),
        (r#", "checks": [{"type": "http"}]"#, ["services.web.checks[0].uri", "missing", "/health"]),
        (r#", "checks": [{"type": "http", "uri": "/a b"}]"#, ["services.web.checks[0].uri", "\"/a b\"", "/health"]),
        (r#", "weight": -1"#, ["services.web.weight", "-1", "0 to 65535"]),
        (r#", "weight": "many""#, ["services.web.weight", "\"many\"", "0 to 65535"]),
        (r#", "weight": 65536"#, ["services.web.weight", "65536", "0 to 65535"]),
        (r#", "labels": {"a": []}"#, ["services.web.labels.a", "a list", "a text"]),
        (r#", "labels": {"": "a"}"#, ["services.web", "web_i-1", "meta key"]),
        (r#", "rate_limiting": {"max_burst": 0.5}"#, ["services.web.rate_limiting.max_burst", "0.5", "1"]),
        (r#", "rate_limiting": {"average_rate": 0}"#, ["services.web.rate_limiting.average_rate", "0", "0.00001"]),
        (r#", "load_test_concurrency": 0"#, ["services.web.load_test_concurrency", "0", "1 to 4096"]),
        (r#", "reporter_type": "zookeeper""#, ["service web", "\"zookeeper\" is not built yet", "lobby, noop"]),
        (r#", "reporter_type": "etcd""#, ["service web", "\"etcd\" is not built yet", "lobby, noop"]),
        (r#", "zk_hosts": ["a:1"]"#, ["service web", "\"zookeeper\" is not built yet", "lobby, noop"]),
        (r#", "reporter_type": "dns""#, ["service web", "\"dns\" is unknown", "lobby, noop"]),
    ] {
        let err = refused(&around(keys));
        assert!(words.iter().all(|word| err.contains(word)), "{keys}: {err}");
    }
    let no_port = r#"{"instance_id": "i", "services": {"a": {"host": "b"}}}"#;
    for (text, words) in [
        (r#"{"services": {}}"#, ["instance_id", "missing", "-i"]),
        (r#"{"instance_id": 5, "services": {}}"#, ["instance_id", "5", "a text"]),
        (r#"{"instance_id": "i"}"#, ["services", "missing", "service_conf_dir"]),
        (r#"{"instance_id": "i", "services": []}"#, ["services", "a list", "a map"]),
        (r#"{"instance_id": "i", "services": {"a/b": {}}}"#, ["services.a/b", "\"a/b\"", "slashes"]),
        (r#"{"instance_id": "i", "max_repeated_report_failures": 0}"#, ["max_repeated_report_failures", "0", "1 to"]),
        (no_port, ["services.a.port", "missing", "65535"]),
        ("[]", ["the file", "a list", "a map"]),
    ] {
        let err = refused(text);
        assert!(words.iter().all(|word| err.contains(word)), "{text}: {err}");
    }
}

#[test]
fn a_password_is_not_shown() {
    let (settings, _) = parsed(&around(r#", "checks": [{"type": "rabbitmq", "password": "hush"}]"#));
    assert!(!format!("{settings:?}").contains("hush"));
    let err = refused(&around(r#", "checks": [{"type": "rabbitmq", "password": ["hush"]}]"#));
    assert!(!err.contains("hush") && err.contains("services.web.checks[0].password"), "{err}");
}

#[test]
fn there_are_bounds() {
    let checks = |n: usize| format!(", \"checks\": [{}]", vec!["{\"type\": \"tcp\"}"; n].join(","));
    assert_eq!(service(&checks(64)).checks.len(), 64);
    assert!(refused(&around(&checks(65))).contains("more than 64 checks"));
    assert_eq!(parsed(&around(", \"load_test_concurrency\": 4096")).0.services.len(), 4096);
    let one_more = around(", \"load_test_concurrency\": 4096")
        .replace("\"services\": {", "\"services\": {\"a\": {\"host\": \"b\", \"port\": 1}, ");
    assert!(refused(&one_more).contains("more than 4096 services"));
    let twice = around(", \"load_test_concurrency\": 1")
        .replace("\"services\": {", "\"services\": {\"web_0\": {\"host\": \"b\", \"port\": 1}, ");
    assert!(refused(&twice).contains("web_0 is there twice"));
}
