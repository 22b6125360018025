//! Every layer, every refusal, and every example.
//!
//! Not here: the reference in docs/ (`reference`), EXCHANGE_KEY (`seal`), warnings (`doubtful`).

mod doubtful;
mod reference;
mod seal;

use std::path::Path;

use super::{raw::Raw, setting::SETTINGS, *};

fn environment(variables: &[(&str, &str)]) -> Raw {
    let mut raw = Raw::default();
    raw.read_environment(variables.iter().map(|(name, value)| (name.to_string(), value.to_string())));
    raw
}

fn config(variables: &[(&str, &str)]) -> Config {
    Config::from_raw(environment(variables), false).unwrap()
}

fn refused(variables: &[(&str, &str)]) -> String {
    Config::from_raw(environment(variables), false).err().unwrap().to_string()
}

fn file(text: &str) -> Result<Config, ConfigError> {
    let mut raw = Raw::default();
    raw.read_file(Path::new("lobby.toml"), text)?;
    Config::from_raw(raw, false)
}

#[test]
fn nothing_set_gives_gossip_on_loopback() {
    let config = config(&[]);
    assert_eq!(config.http.addr, "127.0.0.1:1313".parse().unwrap());
    assert!(matches!(&config.drivers[..], [Driver::Gossip(gossip)] if gossip.default_addr));
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn a_nats_url_alone_gives_nats_as_in_the_old_daemon() {
    let config = config(&[("NATS_URL", "tls://nats.example.com:4222"), ("LABELS", "service:ns, ,ns:primary")]);
    assert!(matches!(&config.drivers[..], [Driver::Nats(_)]));
    assert_eq!(config.labels.fixed.len(), 2);
}

#[test]
fn drivers_are_named_in_any_case_and_several_at_once() {
    let config = config(&[("DRIVER", "Gossip,NATS, redis"), ("NATS_URL", "nats://127.0.0.1:4222")]);
    assert!(matches!(&config.drivers[..], [Driver::Gossip(_), Driver::Nats(_), Driver::Redis(_)]));
}

#[test]
fn file_then_environment_then_flags() {
    let mut raw = Raw::default();
    raw.read_file(Path::new("f"), "[http]\nport = 1\nhost = \"127.0.0.2\"\ntoken = \"f\"\n").unwrap();
    raw.read_environment([("PORT".to_owned(), "2".to_owned()), ("HOST".to_owned(), "127.0.0.3".to_owned())].into_iter());
    raw.set(setting::by_name("PORT").unwrap(), "3", Origin::Flag);
    let config = Config::from_raw(raw, false).unwrap();
    assert_eq!(config.http.addr, "127.0.0.3:3".parse().unwrap());
    assert_eq!(config.http.token.as_deref(), Some("f"));
}

#[test]
fn an_empty_value_wins_over_nothing() {
    let mut raw = Raw::default();
    raw.read_file(Path::new("f"), "[http]\ntoken = \"s3cret\"\n").unwrap();
    raw.read_environment([("TOKEN".to_owned(), " ".to_owned()), ("LOBBY_TOKEN".to_owned(), String::new())].into_iter());
    raw.set(setting::by_name("TOKEN").unwrap(), "", Origin::Flag);
    assert_eq!(Config::from_raw(raw, false).unwrap().http.token.as_deref(), Some("s3cret"));
}

#[test]
fn a_file_that_is_no_toml_is_refused_without_showing_its_secrets() {
    let message = file("[http]\nport = 1\ntoken = \"s3cret\n").err().unwrap().to_string();
    assert!(message.contains("line 3") && !message.contains("s3cret"), "{message}");
}

#[test]
fn a_reload_tells_what_needs_a_restart() {
    let (old, new) = (environment(&[("PORT", "1"), ("LABELS", "a")]), environment(&[("PORT", "2"), ("LABELS", "b")]));
    assert_eq!(new.differences(&old), ["LABELS", "PORT"]);
}

#[test]
fn the_prefixed_variable_wins_and_a_misspelt_one_is_a_warning() {
    let config = config(&[("LOBBY_PORT", "7"), ("PORT", "8"), ("LOBBY_GOSIP_ADDR", "x")]);
    assert_eq!(config.http.addr.port(), 7);
    assert_eq!(config.warnings, ["LOBBY_GOSIP_ADDR is no setting; did you mean LOBBY_GOSSIP_ADDR?"]);
}

#[test]
fn refusals_name_the_setting_its_value_and_what_is_accepted() {
    for (variables, words) in [
        (&[("PORT", "99999")][..], &["PORT", "99999", "0 to 65535"][..]),
        (&[("HOST", "example")], &["HOST", "example", "IP address"]),
        (&[("REGISTER", "maybe")], &["REGISTER", "maybe", "true or false"]),
        (&[("TTL", "0")], &["TTL", "at least"]),
        (&[("KEEP_ALIVE", "-1")], &["KEEP_ALIVE", "-1", "seconds"]),
        (&[("WARM_MAX", "NaN")], &["WARM_MAX", "NaN", "seconds"]),
        (&[("DRIVER", "etcd")], &["DRIVER", "etcd", "gossip"]),
        (&[("DRIVER", "nats")], &["NATS_URL"]),
        (&[("HOSTNAME", "a b")], &["HOSTNAME", "a b", "without blanks"]),
        (&[("LOG", "a=b=c")], &["LOG", "a=b=c"]),
        (&[("CLEAN_EVERY", "abc")], &["CLEAN_EVERY", "abc", "seconds"]),
        (&[("NATS_URL", "nats://[bad")], &["NATS_URL"]),
        (&[("NATS_URL", "tls://h"), ("NATS_CA", "/nonexistent.pem")], &["NATS_CA"]),
        (&[("LOG_FORMAT", "xml")], &["LOG_FORMAT", "xml", "text or json"]),
        (&[("GOSSIP_PROFILE", "moon")], &["GOSSIP_PROFILE", "moon", "lan, wan or fast"]),
        (&[("GOSSIP_ADDR", "here")], &["GOSSIP_ADDR", "here", "IP:PORT"]),
        (&[("GOSSIP_ADDR", "0.0.0.0:1314")], &["GOSSIP_ADDR", "GOSSIP_KEY", "GOSSIP_INSECURE"]),
        (&[("GOSSIP_JOIN", "a,127.0.0.1:99999")], &["GOSSIP_JOIN", "99999", "host:port"]),
        (&[("GOSSIP_JOIN", "192.0.2.7:1314")], &["GOSSIP_JOIN", "192.0.2.7", "GOSSIP_ADDR"]),
        (&[("GOSSIP_KEY", "c2hvcnQ=")], &["GOSSIP_KEY", "<hidden>", "32 bytes"]),
        (&[("CONSUL_ADDR", "8500")], &["CONSUL_ADDR", "8500", "127.0.0.1:8500"]),
        (&[("TOKENS_FILE", "/nonexistent.toml")], &["TOKENS_FILE", "/nonexistent.toml"]),
        (&[("TLS_CERT", "/nonexistent.pem")], &["TLS_CERT", "TLS_KEY"]),
        (&[("TLS_KEY", "/nonexistent.pem")], &["TLS_CERT", "TLS_KEY"]),
        (&[("TLS_CLIENT_CA", "/nonexistent.pem")], &["TLS_CLIENT_CA", "TLS_CERT"]),
        (&[("TLS_CERT", "/nonexistent.pem"), ("TLS_KEY", "/dev/null")], &["TLS_CERT", "/nonexistent.pem"]),
        (&[("ENABLE_SCRIPT_CHECKS", "perhaps")], &["ENABLE_SCRIPT_CHECKS", "perhaps", "true or false"]),
        (&[("SOCKET", "/run/lobby.sock:9z")], &["SOCKET", "octal"]),
        (&[("AGENT_GRACE", "soon")], &["AGENT_GRACE", "soon", "seconds"]),
        (&[("HOLD_THRESHOLD", "half")], &["HOLD_THRESHOLD", "half", "1 to 100", "off"]),
        (&[("HOLD_THRESHOLD", "0")], &["HOLD_THRESHOLD", "\"0\"", "1 to 100"]),
        (&[("HOLD_THRESHOLD", "101")], &["HOLD_THRESHOLD", "101", "1 to 100"]),
        (&[("HOLD_WINDOW", "0.9")], &["HOLD_WINDOW", "0.9", "1 to 3600"]),
        (&[("HOLD_MAX", "3601")], &["HOLD_MAX", "3601", "1 to 3600"]),
        (&[("HOLD_MAX", "NaN")], &["HOLD_MAX", "NaN", "1 to 3600"]),
        (&[("GOSSIP_BEACON", "10.0.0.1:1315")], &["GOSSIP_BEACON", "10.0.0.1:1315", "multicast"]),
        (&[("GOSSIP_BEACON", "[fe80::1]:1315")], &["GOSSIP_BEACON", "[fe80::1]:1315", "multicast"]),
        (&[("GOSSIP_BEACON", "239.255.13.14")], &["GOSSIP_BEACON", "239.255.13.14", "a port"]),
        (&[("GOSSIP_BEACON", "239.255.13.14:0")], &["GOSSIP_BEACON", "239.255.13.14:0", "a port"]),
        (&[("REDIS_PORT", "0")], &["REDIS_PORT", "\"0\"", "1 to 65535"]),
        (&[("REDIS_DB", "-1")], &["REDIS_DB", "-1", "from 0"]),
        (&[("RUNTIME_LABELS_FILENAME", "../x")], &["RUNTIME_LABELS_FILENAME", "../x"]),
    ] {
        let message = refused(variables);
        for word in words {
            assert!(message.contains(word), "{variables:?}: {message}");
        }
    }
}

#[test]
fn a_refused_secret_is_not_shown() {
    let message = refused(&[("GOSSIP_KEY", "supersecret")]);
    assert!(!message.contains("supersecret"), "{message}");
}

#[test]
fn when_silence_is_not_believed() {
    let default = config(&[]);
    assert_eq!(default.hold, lobby_core::hold::Rule::default());
    for (threshold, want) in [("off", 100), ("100", 100), ("1", 1)] {
        let config = config(&[("HOLD_THRESHOLD", threshold), ("HOLD_WINDOW", "2.5"), ("HOLD_MAX", "3600")]);
        assert_eq!((config.hold.threshold, config.warnings.len()), (want, 0));
        assert_eq!((config.hold.window.as_millis(), config.hold.max.as_secs()), (2_500, 3600));
    }
}

#[test]
fn dns_is_on_by_default_and_its_settings_are_checked() {
    let dns = config(&[]).dns.unwrap();
    assert_eq!((dns.addr.to_string().as_str(), dns.default_addr, dns.settings.rate), ("127.0.0.1:8600", true, 5000));
    assert_eq!(lobby_dns::Settings { rate: 0, ..dns.settings }, lobby_dns::Settings::default());
    assert!(config(&[("DNS_ADDR", "off")]).dns.is_none());
    let dns = config(&[
        ("DNS_FORWARD", "192.0.2.1, [2001:db8::1]:5353"),
        ("DNS_SERVICE_TTL", "web*=5"),
        ("DNS_TRUNCATE", "cut"),
        ("DNS_A_RECORD_LIMIT", "4096"),
    ])
    .dns;
    let dns = dns.unwrap();
    let servers: Vec<_> = dns.resolvers.unwrap().0.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["192.0.2.1:53", "[2001:db8::1]:5353"]);
    assert!(dns.settings.forwards && dns.settings.service_ttl("web-1") == 5 && dns.settings.a_record_limit == 4096);
    for (name, value) in [
        ("DNS_ADDR", "localhost:53"),
        ("DNS_DOMAINS", ","),
        ("DNS_DOMAINS", "a..b"),
        ("DNS_DOMAINS", "a b"),
        ("DNS_DOMAINS", "x,X"),
        ("DNS_DOMAINS", "10.in-addr.arpa"),
        ("DNS_FORWARD", "dns.example.com"),
        ("DNS_FORWARD", "192.0.2.1:0"),
        ("DNS_FORWARD", "127.0.0.1:8600"),
        ("DNS_TTL", "86401"),
        ("DNS_NEGATIVE_TTL", "-1"),
        ("DNS_SERVICE_TTL", "web"),
        ("DNS_TRUNCATE", "yes"),
        ("DNS_RATE", "many"),
        ("DNS_A_RECORD_LIMIT", "4097"),
    ] {
        let message = refused(&[(name, value)]);
        assert!(message.contains(name), "{message}");
    }
    let open = config(&[("DNS_FORWARD", "192.0.2.1"), ("DNS_ADDR", "192.0.2.7:53")]);
    assert!(open.warnings.iter().any(|warning| warning.contains("DNS_FORWARD")), "{:?}", open.warnings);
}

#[test]
fn an_unknown_key_is_refused_at_every_level_and_the_nearest_is_named() {
    for (text, nearest) in [
        ("[htp]\nport = 1\n", "`http`"),
        ("[http]\nprot = 1\n", "`http.port`"),
        ("port = 1\n", "`http.port`"),
        ("[[hook]]\ncommand = \"x\"\ncoldown = 1\n", "`hook.cooldown`"),
        ("[[handler]]\ncommand = \"x\"\nof = \"*\"\n", "`handler.on`"),
        ("[handlr]\nx = 1\n", "`handler`"),
    ] {
        let message = file(text).err().unwrap().to_string();
        assert!(message.contains("is no setting") && message.contains(nearest), "{message}");
    }
    for setting in SETTINGS {
        let misspelt = format!("[{}]\n{}x = \"1\"\n", setting.group(), setting.key());
        assert!(matches!(file(&misspelt), Err(ConfigError::UnknownKey { .. })), "{}", setting.name);
    }
}

#[test]
fn hooks_of_the_file_have_their_own_times_and_filter() {
    let text = "[[hook]]\ncommand = [\"a\", \"b c\"]\ncooldown = 0.5\nlabels = [\"x\", \"y\"]\n[[hook]]\nname = \"n\"\ncommand = \"d e\"\n";
    let hooks = file(text).unwrap().hooks;
    assert_eq!(hooks[0].command, ["a", "b c"]);
    assert_eq!(hooks[0].cooldown, Duration::from_millis(500));
    assert_eq!(hooks[1].command, ["d", "e"]);
    assert_eq!(hooks[1].first_delay, Duration::from_secs(30));
    for bad in [
        "[[hook]]\n",
        "[[hook]]\ncommand = [\"x\", 5]\n",
        "[[hook]]\ncommand = \"x\"\ntimeout = 0\n",
        "[hook]\ncommand = \"x\"\n",
    ] {
        assert!(file(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_beacon_takes_groups_of_both_families_and_is_off_otherwise() {
    let beacon = |value| match &config(&[("GOSSIP_BEACON", value)]).drivers[..] {
        [Driver::Gossip(gossip)] => gossip.config.beacon,
        other => panic!("{other:?}"),
    };
    for group in ["239.255.13.14:1315", "[ff02::1314]:1315"] {
        assert_eq!(beacon(group), Some(group.parse().unwrap()));
    }
    assert_eq!((beacon(""), beacon("off")), (None, None));
}

#[test]
fn the_second_listener_is_off_unless_an_address_is_given() {
    let addr = |value| config(&[("CONSUL_ADDR", value)]).http.consul_addr;
    assert_eq!((addr(""), addr("off"), config(&[]).http.consul_addr), (None, None, None));
    assert_eq!(addr("[::1]:8500"), Some("[::1]:8500".parse().unwrap()));
}

#[test]
fn checks_run_no_programs_and_services_have_their_folder_unless_told_otherwise() {
    let default = config(&[]);
    assert_eq!((default.script_checks, default.services_path), (false, Some("/etc/lobby/services.d".into())));
    let given = config(&[("ENABLE_SCRIPT_CHECKS", "yes"), ("SERVICES_PATH", "/srv/x")]);
    assert_eq!((given.script_checks, given.services_path), (true, Some("/srv/x".into())));
    let dev = |variables| Config::from_raw(environment(variables), true).unwrap().services_path;
    assert_eq!((dev(&[]), dev(&[("SERVICES_PATH", "/srv/x")])), (None, Some("/srv/x".into())));
}

#[test]
fn a_bad_file_of_tokens_is_refused_without_its_secrets_and_an_open_one_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.toml");
    let variables = [("TOKENS_FILE", path.to_str().unwrap())];
    std::fs::write(&path, "[[token]]\nname = \"n\"\nsecret = \"s3cret\"\nwrite = \"web\"\n").unwrap();
    let message = refused(&variables);
    assert!(message.contains("TOKENS_FILE") && message.contains("write") && !message.contains("s3cret"), "{message}");
    std::fs::write(&path, "[[token]]\nname = \"n\"\nsecret = \"s3cret\"\n").unwrap();
    for (mode, n_warnings) in [(0o644, 1), (0o600, 0)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(config(&variables).warnings.len(), n_warnings, "{mode:o}");
    }
}

#[test]
fn a_secret_that_others_can_read_is_a_warning_that_does_not_show_it() {
    use std::os::unix::fs::PermissionsExt;
    let mut raw = environment(&[("TOKEN", "s3cret")]);
    assert_eq!(raw.exposed(), Vec::<String>::new(), "the environment is for us and root");
    for (name, value) in [("GOSSIP_KEY", "s3cret"), ("NATS_URL", "nats://u:s3cret@h"), ("REDIS_HOST", "h")] {
        raw.set(super::setting::by_name(name).unwrap(), value, super::raw::Origin::Flag);
    }
    let warnings = raw.exposed();
    assert!(
        warnings.len() == 2 && warnings[0].starts_with("GOSSIP_KEY ") && warnings[1].starts_with("NATS_URL "),
        "{warnings:?}"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lobbyd.toml");
    let aws = "[proxy.service.x]\nport = 1\ndiscovery = { method = \"ec2tag\", secret_key = \"s3cret\" }\n";
    for (text, mode, n_warnings) in [
        ("[http]\ntoken = \"s3cret\"\n", 0o640, 1),
        ("[http]\ntoken = \"s3cret\"\n", 0o600, 0),
        (aws, 0o644, 1),
        ("[http]\nport = 1\n", 0o644, 0),
    ] {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut raw = Raw::default();
        raw.read_file(&path, text).unwrap();
        let warnings = raw.exposed();
        assert_eq!(warnings.len(), n_warnings, "{text} {mode:o} {warnings:?}");
        assert!(!warnings.concat().contains("s3cret"));
    }
}

#[test]
fn dev_takes_free_ports_where_none_is_given() {
    let config = Config::from_raw(environment(&[("PORT", "1400")]), true).unwrap();
    assert_eq!(config.http.addr.port(), 1400);
    assert_eq!(config.labels.folder, None, "labels of the machine are none of its own");
    assert!(matches!(&config.drivers[..], [Driver::Gossip(gossip)] if gossip.config.bind.port() == 0));
}

#[test]
fn what_is_printed_is_a_file_that_gives_the_same_and_hides_secrets() {
    let variables =
        [("TOKEN", "s3cret"), ("NATS_URL", "nats://user:pa55@h:4222,h2"), ("NATS_NKEY", "SUSEED"), ("LABELS", "a:1,b:\"2\"")];
    let printed = environment(&variables).print();
    assert!(!printed.contains("s3cret") && !printed.contains("pa55") && !printed.contains("SUSEED"), "{printed}");
    assert!(printed.contains("nats://<hidden>@h:4222,h2"), "{printed}");
    let mut raw = Raw::default();
    raw.read_file(Path::new("printed"), &printed).unwrap();
    assert_eq!(raw.value("LABELS").0, "a:1,b:\"2\"");
}

#[test]
fn every_example_is_a_good_configuration() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut n_examples = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            file(&text).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
            n_examples += 1;
        }
    }
    assert!(n_examples >= 3);
}

#[test]
fn the_examples_of_access_are_good_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/access");
    lobby_http::Access::read(Some(folder.join("tokens.toml")), None).unwrap_or_else(|err| panic!("{err}"));
    // The certificates that it names are not there, so it is read and not used.
    let path = folder.join("lobbyd.toml");
    Raw::default().read_file(&path, &std::fs::read_to_string(&path).unwrap()).unwrap_or_else(|err| panic!("{err}"));
}
