//! Tests of Synapse's files: the seed as it stands, one configuration for each spelling, one for each error.

mod errors;
mod spellings;

use std::{path::PathBuf, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::settings::{Bind, Discovery, Ec2Watch, Haproxy, HaproxyService};

/// As it was published, with its comments.
const SEED: &str = include_str!("../../tests/fixtures/synapse-seed.conf.json");

fn no_folder(folder: &Path) -> Result<Vec<ServiceFile>, ConfigError> {
    panic!("{} is read", folder.display())
}

fn parsed(text: &str) -> (Settings, Vec<String>) {
    parse(text, false, no_folder).unwrap_or_else(|err| panic!("{err}: {text}"))
}

/// A whole file around what stands under `services`.
fn around(services: &str) -> String {
    format!(
        "haproxy:\n  global: []\n  defaults: []\n  do_writes: false\n  do_reloads: false\n  do_socket: false\nservices:\n{services}"
    )
}

/// The one service of a file, and the warnings.
fn service(service: &str) -> (crate::settings::Service, Vec<String>) {
    let indented: String = service.lines().map(|line| format!("    {line}\n")).collect();
    let (mut settings, warnings) = parsed(&around(&format!("  web:\n{indented}")));
    assert_eq!(settings.services.len(), 1, "{service}");
    (settings.services.remove(0), warnings)
}

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn the_seed_is_read_as_it_stands() {
    let (settings, warnings) = parsed(SEED);
    assert_eq!(warnings, Vec::<String>::new());
    let service = crate::settings::Service {
        name: "myservice".into(),
        discovery: Discovery::Ec2Tag(Ec2Watch {
            tag_name: "servicename".into(),
            tag_value: "true".into(),
            region: None,
            credentials: None,
            endpoint: None,
            interval: Duration::from_secs(120),
            port: 50001,
        }),
        use_previous_backends: true,
        backend_port_override: Some(50001),
        backup_port: Some(50002),
        haproxy: Some(HaproxyService {
            bind: Bind::Port(50003),
            listen: lines(&["mode http"]),
            server_options: "check".into(),
            ..HaproxyService::default()
        }),
        ..crate::settings::Service::default()
    };
    let haproxy = Haproxy {
        global: lines(&[
            "daemon",
            "user haproxy",
            "group haproxy",
            "chroot /var/lib/haproxy",
            "maxconn 4096",
            "log 127.0.0.1 local0",
            "log 127.0.0.1 local1 notice",
        ]),
        defaults: lines(&[
            "log global",
            "mode http",
            "maxconn 2000",
            "retries 3",
            "timeout connect 5s",
            "timeout client 1m",
            "timeout server 1m",
            "option redispatch",
            "balance roundrobin",
            "default-server inter 2s rise 3 fall 2",
            "option dontlognull",
            "option dontlog-normal",
        ]),
        extra_sections: vec![(
            "listen stats :1937".into(),
            lines(&["stats enable", "stats uri /", "stats realm Haproxy Statistics"]),
        )],
        reload_command: Some("echo noop".into()),
        config_file_path: Some("/etc/haproxy/haproxy.cfg".into()),
        sockets: vec![PathBuf::from("/var/haproxy/stats.sock")],
        do_socket: false,
        bind_address: "0.0.0.0".into(),
        ..Haproxy::default()
    };
    assert_eq!(settings, Settings { services: vec![service], haproxy: Some(haproxy), ..Settings::default() });
}

#[test]
fn two_at_one_address_are_told() {
    let haproxy = |port: &str| format!("discovery: {{method: base}}, haproxy: {{port: {port}, bind_address: 0.0.0.0}}");
    let all = |b: &str| around(&format!("  a: {{{}}}\n  b: {{{}}}\n", haproxy("80"), haproxy(b)));
    let (settings, warnings) = parsed(&all("80"));
    assert_eq!(settings.services.len(), 2, "Synapse takes them");
    let want = "service b: 0.0.0.0:80 is taken: service a listens at 0.0.0.0:80, and gets some or all of the connections";
    assert_eq!(warnings, [want]);
    assert_eq!(parsed(&all("81")).1, [""; 0]);
}

#[test]
fn a_file_is_read_with_the_files_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (main, services) = (folder.path().join("synapse.yaml"), folder.path().join("services"));
    std::fs::create_dir(&services).unwrap();
    let own = "  web: {discovery: {method: base}}\n  api: {discovery: {method: base}}\n";
    std::fs::write(&main, format!("{}service_conf_dir: {}\n", around(own), services.display())).unwrap();
    std::fs::write(services.join("db.json"), "{\"discovery\": {\"method\": \"base\"}} // last").unwrap();
    std::fs::write(services.join("cache.yaml"), "discovery: {method: base}\n").unwrap();
    std::fs::write(services.join("web.yaml"), "discovery: {method: base}\nleader_election: true\n").unwrap();
    std::fs::write(services.join("README.md"), "{").unwrap();
    std::fs::write(services.join(".web.yaml"), "{").unwrap();
    let (settings, warnings) = read(&main).unwrap();
    let names: Vec<_> = settings.services.iter().map(|service| (service.name.as_str(), service.leader_election)).collect();
    assert_eq!(names, [("web", true), ("api", false), ("cache", false), ("db", false)]);
    assert_eq!(warnings, Vec::<String>::new());
    std::fs::write(services.join("bad.json"), "{\n\"discovery\": ]}").unwrap();
    let message = read(&main).unwrap_err().to_string();
    assert!(message.contains("bad.json: line 2") && message.starts_with(main.to_str().unwrap()), "{message}");
    std::fs::remove_dir_all(&services).unwrap();
    let message = read(&main).unwrap_err().to_string();
    assert!(message.contains("cannot read") && message.contains("services"), "{message}");
    std::fs::write(&main, b"a: 1\n\xff").unwrap();
    assert!(read(&main).unwrap_err().to_string().contains("line 2"), "not UTF-8");
    let err = read(&folder.path().join("gone")).unwrap_err();
    assert_eq!(err.exit_code(), 64);
    assert!(err.to_string().contains("gone"), "{err}");
}

proptest! {
    #[test]
    fn no_text_is_too_much(text in ".{0,300}") {
        drop(parse(&text, false, |_| Ok(Vec::new())));
    }

    /// The seed with one value of another type, or a piece that is gone, is read or refused with words.
    #[test]
    fn nor_is_a_seed_with_a_mistake(
        at in 0..SEED.len(),
        length in 0_usize..40,
        piece in prop::sample::select(vec!["", "null", "1", "-1", "[]", "{}", "\"x\"", "true", "1.5", ",", "<%", "*/", "\u{0}", "99999999999"]),
    ) {
        let end = (at + length).min(SEED.len());
        prop_assume!(SEED.is_char_boundary(at) && SEED.is_char_boundary(end));
        let text = format!("{}{piece}{}", &SEED[..at], &SEED[end..]);
        if let Err(err) = parse(&text, false, |_| Ok(Vec::new())) {
            prop_assert!(!err.to_string().is_empty());
        }
    }
}
