//! Whether a real HAProxy takes the files that are made: `haproxy -c` on the seed's, and on everything that a catalog or a
//! state file may say.

use std::process::Command;

use lobby_proxy::{
    Backend, Settings,
    backend::Known,
    haproxy::{
        ids::{Ids, Remembered},
        text::layout,
        version::Version,
    },
    settings::{Bind, Compat, Cookie, Haproxy, HaproxyService, Service},
};
use lobby_testkit::process::find;
use proptest::{prelude::*, sample::select};

/// What it is: `HAProxy version 2.6.12-1…`.
fn version() -> Version {
    let out = Command::new(find("haproxy")).arg("-v").output().expect("haproxy -v");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.split_whitespace().nth(2).and_then(|word| word.parse().ok()).expect("a version")
}

/// Makes the file with and without a known version, in both forms, and asks HAProxy. Returns the last text, in our form.
fn check(settings: &Settings, picture: &[Known]) -> String {
    check_with(settings, picture, &Ids::default())
}

fn check_with(settings: &Settings, picture: &[Known], ids: &Ids) -> String {
    check_forms(settings, picture, ids, &[Compat::Synapse, Compat::Lobby])
}

fn check_forms(settings: &Settings, picture: &[Known], ids: &Ids, forms: &[Compat]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut last = String::new();
    for (compat, target) in forms.iter().flat_map(|compat| [(*compat, None), (*compat, Some(version()))]) {
        let settings = Settings { compat, ..settings.clone() };
        let layout = layout(&settings, picture, target, &mut ids.clone());
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, &layout.text).expect("written");
        let out = Command::new(find("haproxy")).arg("-c").arg("-f").arg(&file).output().expect("haproxy -c");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{compat:?}: {said}\n{}", layout.text);
        assert!(compat == Compat::Synapse || forms.len() == 1 || !said.contains("[WARNING]"), "{said}\n{}", layout.text);
        last = layout.text;
    }
    last
}

fn list(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn settings(services: Vec<Service>) -> Settings {
    let defaults = ["mode http", "timeout connect 5s", "timeout client 1m", "timeout server 1m"];
    let haproxy = Haproxy { defaults: list(&defaults), bind_address: "127.0.0.1".into(), ..Haproxy::default() };
    Settings { services, haproxy: Some(haproxy), ..Settings::default() }
}

fn service(name: &str, port: u16, listen: &[&str], server_options: &str) -> Service {
    let stanza = HaproxyService {
        bind: Bind::Port(port),
        listen: list(listen),
        server_options: server_options.into(),
        ..HaproxyService::default()
    };
    Service { name: name.into(), haproxy: Some(stanza), ..Service::default() }
}

fn backend(name: &str, host: &str, port: u16) -> Backend {
    Backend { name: name.into(), host: host.into(), port, ..Backend::default() }
}

fn known(backends: &[Backend]) -> Known {
    Known { backends: Some(backends.into()), ..Known::default() }
}

fn two() -> Known {
    known(&[backend("a", "10.0.0.1", 80), Backend { is_backup: true, ..backend("b", "10.0.0.2", 80) }])
}

#[test]
fn the_seed_is_taken() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/synapse-seed.conf.json");
    let (settings, _) = lobby_proxy::synapse::read(std::path::Path::new(file)).expect("the seed");
    // `stats realm Haproxy Statistics` has a word too many, which HAProxy 2.6 takes.
    let name = "ip-10-0-1-10.ec2.internal";
    let picture = known(&[backend(name, "10.0.1.10", 50001), Backend { is_backup: true, ..backend(name, "10.0.1.10", 50002) }]);
    let text = check(&settings, &[picture]);
    assert!(text.contains("_10.0.1.10:50002 10.0.1.10:50002 id") && text.contains("check backup\n"), "{text}");
}

#[test]
fn all_kinds_of_services_are_taken() {
    let mut hashed = service("hashed", 50001, &["mode http", "cookie SRV insert indirect nocache"], "check cookie x");
    if let Some(stanza) = &mut hashed.haproxy {
        stanza.cookie_value_method = Cookie::Hash;
        stanza.server_options = "check inter 1s".into();
    }
    let mut socket = service("socket", 0, &["mode http", "option httplog", "log-tag x"], "");
    if let Some(stanza) = &mut socket.haproxy {
        (stanza.bind, stanza.bind_address, stanza.bind_options) =
            (Bind::Address, Some("/tmp/lobby-never-bound.sock".into()), "mode 666".into());
    }
    let mut shared = service("my shared app", 0, &["mode http"], "");
    if let Some(stanza) = &mut shared.haproxy {
        stanza.bind = Bind::Nowhere;
        stanza.shared_frontend = list(&["acl is_app hdr(host) app", "use_backend my_shared_app if is_app"]);
    }
    let services = vec![
        hashed,
        service("tcp", 50002, &["mode tcp", "option tcplog", "timeout client 1h", "timeout server 1h"], "check"),
        service("balanced", 50003, &["balance hdr(X-User)", "hash-type consistent", "http-reuse safe"], "check"),
        service("empty", 50004, &["option httpchk GET /health", "id 77"], "check"),
        socket,
        shared,
    ];
    let mut settings = settings(services);
    if let Some(haproxy) = &mut settings.haproxy {
        haproxy.shared_frontend = Some(list(&["bind 127.0.0.1:50009"]));
        haproxy.global = list(&["log 127.0.0.1 local0"]);
        haproxy.defaults.push("log global".into());
        haproxy.use_nerve_weights = true;
    }
    let heavy = Backend { weight: Some(1000), ..backend("heavy", "2001:db8::1", 80) };
    let draining = Backend { is_draining: true, ..backend("draining", "2001:db8::2", 80) };
    let picture = [two(), two(), known(&[heavy, draining]), known(&[]), two(), Known::default()];
    check(&settings, &picture);
}

#[test]
fn hostile_names_and_options_are_taken() {
    let settings = settings(vec![service("web", 50001, &["cookie SRV insert"], "check"), service("we b\n\"", 50002, &[], "")]);
    let with = |name: &str, options: &str| Backend { haproxy_server_options: options.into(), ..backend(name, "10.0.0.1", 80) };
    let options = [
        "weight 3 backup",
        "id 1",
        "id 1 weight 0",
        "disabled",
        "inter 24d",
        "slowstart 500ms rise 2 fall 3",
        "on-error mark-down",
        "maxconn 0 send-proxy",
        "cookie %{name}",
        "inter 0",
        "weight 257",
        "check\nglobal",
        "nonsense",
        "#",
        "'",
        "\\",
    ];
    let mut backends: Vec<_> = options.iter().enumerate().map(|(n, options)| with(&format!("n{n}"), options)).collect();
    let names = ["", "a b", "#x", "\"", "ü\n\tserver y 1.1.1.1:1", "$HOME", "[x]", &"long".repeat(500)];
    backends.extend(names.iter().map(|name| backend(name, "10.0.0.2", 80)));
    backends.push(backend("bad host", "10.0.0.3 check\nlisten x", 80));
    let text = check(&settings, &[known(&backends), known(&backends)]);
    assert_eq!(text.matches("\tserver ").count(), 2 * (9 + names.len()), "{text}");
}

/// One option with a value that may or may not fit.
fn option() -> impl Strategy<Value = String> {
    const ALONE: &[&str] = &[
        "backup",
        "check",
        "disabled",
        "enabled",
        "no-check",
        "send-proxy",
        "ssl",
        "check-ssl",
        "agent-check",
        "stick",
        "tfo",
        "ssl verify none force-sslv3",
        "ssl verify none no-sslv3 no-tlsv10 no-tlsv11 no-tlsv12 no-tlsv13",
    ];
    const NUMBERS: &[&str] =
        &["weight", "id", "maxconn", "minconn", "rise", "fall", "error-limit", "port", "pool-max-conn", "max-reuse"];
    const TIMES: &[&str] = &["inter", "fastinter", "downinter", "slowstart", "agent-inter", "tcp-ut"];
    const WORDS: &[&str] = &[
        "cookie",
        "observe",
        "on-error",
        "on-marked-down",
        "verify",
        "addr",
        "redir",
        "init-addr",
        "ws",
        "alpn",
        "track",
        "sni",
    ];
    const VALUES: &[&str] =
        &["none", "required", "layer7", "mark-down", "10.0.0.9", "last,none", "h2", "%{host}", "[x]", "a:b", "x%%", "~!@"];
    prop_oneof![
        select(ALONE).prop_map(str::to_owned),
        (select(NUMBERS), 0u32..300).prop_map(|(word, n)| format!("{word} {n}")),
        (select(TIMES), 0u32..100, select(&["", "ms", "s", "m", "h", "d", "w"][..]))
            .prop_map(|(word, n, unit)| format!("{word} {n}{unit}")),
        (select(WORDS), select(VALUES)).prop_map(|(word, value)| format!("{word} {value}")),
        "[ #\"'\\\\$%{}a-z\n]{0,6}",
    ]
}

fn any_backend() -> impl Strategy<Value = Backend> {
    let host = select(&["10.0.0.1", "10.0.0.2", "::1", "2001:db8::1", "localhost", "a b", "-", "x\ny"][..]);
    let numbers = (0u16..3, prop::option::of(0u64..9), prop::option::of(0u32..300), any::<bool>(), any::<bool>());
    let options = prop::collection::vec(option(), 0..4);
    ("\\PC{0,6}", host, options, numbers).prop_map(|(name, host, options, (port, id, weight, is_backup, is_draining))| Backend {
        id,
        weight,
        is_backup,
        is_draining,
        haproxy_server_options: options.join(" "),
        ..backend(&name, host, port)
    })
}

proptest! {
    // Each case runs HAProxy three times, some 20 ms each.
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_catalog_says_is_taken(
        backends in prop::collection::vec(any_backend(), 0..8),
        name in "\\PC{0,6}",
        mode in select(&["mode http", "mode tcp"][..]),
        weights in any::<bool>(),
    ) {
        let mut settings = settings(vec![service(&name, 50001, &[mode, "balance leastconn"], "")]);
        if let Some(haproxy) = &mut settings.haproxy {
            haproxy.use_nerve_weights = weights;
        }
        // Synapse's form lets a catalog refer to what is not there.
        check_forms(&settings, &[known(&backends)], &Ids::default(), &[Compat::Lobby]);
    }
}

#[test]
fn names_that_do_not_resolve_are_taken_when_the_version_is_known() {
    let settings = settings(vec![service("web", 50001, &[], "check")]);
    let picture = [known(&[backend("a", "no-such-host.invalid", 80)])];
    let layout = layout(&settings, &picture, Some(version()), &mut Ids::default());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("haproxy.cfg");
    std::fs::write(&file, &layout.text).expect("written");
    let out = Command::new(find("haproxy")).arg("-c").arg("-f").arg(&file).output().expect("haproxy -c");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_state_file_with_anything_in_it_is_taken() {
    let mut settings = settings(vec![service("web", 50001, &[], "check")]);
    if let Some(haproxy) = &mut settings.haproxy {
        haproxy.state_file_path = Some("/state".into());
    }
    let mut ids = Ids::default();
    let gone = [backend("x", "10.0.0.8", 80), backend("y", "10.0.0.9", 80), backend("z", "evil\nglobal", 80)];
    for (n, backend) in gone.into_iter().enumerate() {
        ids.restore("web", &format!("s{n}\n"), Remembered { backend, id: Some(1), seen: 5, is_listed: None });
    }
    let text = check_forms(&settings, &[two()], &ids, &[Compat::Synapse]);
    assert_eq!((text.matches("\tserver ").count(), text.matches(" disabled\n").count()), (4, 2), "{text}");
}
