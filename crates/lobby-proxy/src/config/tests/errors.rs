//! Tests of `[proxy]`: one configuration for each error.

use super::*;

#[test]
fn errors_name_the_key_the_value_and_what_is_accepted() {
    for (text, words) in [
        ("[proxy]\nmax_lost = \"half\"", &["proxy.max_lost is \"half\"", "50%"][..]),
        ("[proxy]\nmax_lost = \"101%\"", &["proxy.max_lost"]),
        ("[proxy]\nhaproksy = 1", &["unknown key proxy.\"haproksy\"", "`haproxy`"]),
        ("[proxy]\ncompat = \"x\"", &["proxy.compat is \"x\"", "lobby, synapse"]),
        ("[proxy.service.web]\nport = 1", &["proxy.haproxy is missing", "[proxy.nginx]"]),
        ("[proxy.haproxy]\nmanage = true", &["proxy.haproxy.config is missing"]),
        ("[proxy.haproxy]\nconfig = \"/a b/c\"", &["proxy.haproxy.socket", "without blanks"]),
        ("[proxy.haproxy]\nconfig = \"/h\"\ndrain = 5", &["proxy.haproxy.drain is 5", "a duration in quotes"]),
        ("[proxy.haproxy]\nconfig = \"/h\"\ndrain = \"900000h\"", &["proxy.haproxy.drain", "8784h0m0s"]),
        ("[proxy.haproxy]\nconfig = \"/h\"\nversion = \"x\"", &["proxy.haproxy.version is \"x\""]),
        ("[proxy.nginx]\ncheck_command = \"x\"", &["proxy.nginx.upstreams is missing", "config"]),
        ("[proxy]\nmax_lost = 0.5", &["proxy.max_lost is 0.5: expected a share such as \"50%\""]),
        ("[proxy.haproxy]\nconfig = \"h.cfg\"", &["proxy.haproxy.config is \"h.cfg\"", "an absolute path"]),
        ("[proxy.haproxy]\nconfig = \"/h\"\nstate_file = \"s\"", &["proxy.haproxy.state_file", "absolute"]),
        ("[proxy.haproxy]\nconfig = \"/h\"\nprogram = \"./haproxy\"", &["proxy.haproxy.program", "absolute"]),
        ("[proxy.haproxy]\nconfig = \"/h\"\nsocket = []", &["proxy.haproxy.socket is a list", "one at least"]),
        ("[proxy.haproxy]\nconfig = \"/h\"\nsocket = \"s\"", &["proxy.haproxy.socket is \"s\"", "absolute"]),
        ("[proxy.haproxy]\nconfig = \"/h\"\nmanage = true\nsocket = false", &["proxy.haproxy.socket is false", "`manage`"]),
        ("[proxy.haproxy]\nconfig = \"/h\"\nbind = \"a b\"", &["proxy.haproxy.bind is \"a b\"", "without blanks"]),
        ("[proxy.haproxy]\nconfig = \"/h\"\ncheck_command = \"x {{.File}}\"", &["proxy.haproxy.check_command", "{{.Path}}"]),
        ("[proxy.haproxy]\nconfig = \"/h\"\nglobal = [\"a\", \"b\\nc\"]", &["proxy.haproxy.global[1]", "one line"]),
        ("[proxy.haproxy]\nconfig = \"/h\"\n[proxy.haproxy.extra]\nx = [\"b\\nc\"]", &["haproxy.extra.x[0]", "one line"]),
        ("[proxy.nginx]\nupstreams = \"/u\"\nconfig = \"/c\"", &["proxy.nginx.config is \"/c\"", "nothing beside `upstreams`"]),
        ("[proxy.nginx]\nupstreams = \"u\"", &["proxy.nginx.upstreams is \"u\"", "absolute"]),
        ("[proxy.nginx]\nconfig = \"/c\"\nhttp = [\"a\", \"b\\nc\"]", &["proxy.nginx.http[1] is \"b\\nc\"", "one line"]),
        ("[proxy.nginx]\nconfig = \"/c\"\nmain = [\"a\\u0007\"]", &["proxy.nginx.main[0] is \"a\\u{7}\"", "a line of text"]),
        ("[proxy.files]\ndirectory = \"d\"", &["proxy.files.directory is \"d\"", "absolute"]),
        ("[proxy.nginx]\nupstreams = \"/u\"\nhttp = [\"a\"]", &["proxy.nginx.config is missing"]),
        ("[proxy.files]\n", &["proxy.files.directory is missing"]),
    ] {
        let message = from_toml(&table(text)).err().unwrap_or_else(|| panic!("taken: {text}")).to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{text}: {message}");
    }
}

#[test]
fn what_haproxy_could_not_open_is_refused_or_told() {
    let long = format!("/{}/h", "x".repeat(96));
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().display().to_string();
    for (keys, words) in [
        (format!("config = \"{here}\""), "haproxy.config is \"/"),
        (format!("config = \"{long}\""), "haproxy.config is \"/xx"),
        (format!("config = \"/h\"\nsocket = \"{long}\""), "haproxy.socket is \"/xx"),
        (format!("config = \"/h\"\nmanage = true\nmaster_socket = \"{long}\""), "haproxy.master_socket is \"/xx"),
        (format!("config = \"/h\"\nglobal = [\"stats socket {long} level admin\"]"), "haproxy.global is a list"),
        ("config = \"/h\"\nbind = \"999.1.1.1\"".into(), "haproxy.bind is \"999.1.1.1\": expected an address"),
        (
            "config = \"/h\"\n[proxy.service.a]\nport = 1\nbind = \"10.0.0\"".into(),
            "service.a.bind is \"10.0.0\": expected an IP",
        ),
        (
            "config = \"/h\"\n[proxy.service.a]\nbind = \"10.0.0.1\"".into(),
            "service.a.bind is \"10.0.0.1\": expected ADDRESS:PORT",
        ),
    ] {
        let err = from_toml(&table(&format!("[proxy.haproxy]\n{keys}\n"))).err().unwrap_or_else(|| panic!("taken: {keys}"));
        assert!(err.to_string().starts_with(&format!("proxy.{words}")), "{keys}: {err}");
    }
    let fits = format!("/{}/h", "x".repeat(94));
    for keys in [format!("socket = \"{fits}\""), "bind = \"*\"".into(), "bind = \"::\"".into(), "bind = \"h.example\"".into()] {
        parsed(&format!("[proxy.haproxy]\nconfig = \"/h\"\n{keys}\n"));
    }
    let warned = |global: &str| {
        let text = format!("[proxy.haproxy]\nconfig = \"/h\"\nreload_command = \"r\"\nsocket = \"/s\"\n{global}\n");
        parsed(&text).1.len()
    };
    let counts = ["", "global = [\"stats socket /s level admin\"]", "global = [\"stats socket /t level admin\"]"].map(warned);
    assert_eq!(counts, [0, 0, 1]);
    let program = folder.path().join("haproxy");
    let managed = format!("[proxy.haproxy]\nconfig = \"/h\"\nmanage = true\nprogram = \"{}\"\n", program.display());
    let warnings = from_toml(&table(&managed)).unwrap().1;
    assert!(matches!(&warnings[..], [one] if one.starts_with("proxy.haproxy.program: /")), "{warnings:?}");
    std::fs::write(&program, "").unwrap();
    assert_eq!(from_toml(&table(&managed)).unwrap().1, [""; 0]);
    // A name that no folder of root has.
    std::fs::write(folder.path().join("haproxy-of-nobody"), "").unwrap();
    let is_there = |path| is_there(Path::new("haproxy-of-nobody"), path);
    assert!(is_there(Some(folder.path().as_os_str())) && !is_there(None));
}

#[test]
fn two_at_one_address_are_refused_in_whichever_spelling() {
    let haproxy = "[proxy.haproxy]\nconfig = \"/h\"\nmanage = true\n";
    let (a, b) = ("[proxy.service.a]\n", "[proxy.service.b]\n");
    let (whole, port) = ("bind = \"127.0.0.1:80\"\n", "port = 80\n");
    for (text, words) in [
        (format!("{a}{port}{b}{whole}"), "service.b.bind is \"127.0.0.1:80\": 127.0.0.1:80 is taken: service a listens at"),
        (format!("{a}{whole}{b}{port}"), "service.b.port is 80: 127.0.0.1:80 is taken: service a listens at 127.0.0.1:80"),
        (format!("{a}{port}{b}bind = \"*:80\"\n"), "*:80 is taken: service a listens at 127.0.0.1:80"),
        (format!("{a}{port}{b}{port}bind = \"0.0.0.0\"\n"), "0.0.0.0:80 is taken: service a"),
        (format!("{a}{port}{b}{port}bind = \"::\"\n"), "service.b.port is 80: [::]:80 is taken: service a"),
        (format!("{a}{port}{b}port = 81\nfrontend = [\"bind :80\"]\n"), "service.b.frontend is \":80\": :80 is taken: service a"),
        (
            format!("[proxy.haproxy.extra]\n\"listen stats :80\" = []\n{a}{port}"),
            "service.a.port is 80: 127.0.0.1:80 is taken: the extra section \"listen stats :80\" listens at :80",
        ),
        (
            "[proxy.haproxy.extra]\n\"listen x :80\" = []\n\"listen y\" = [\"bind *:80\"]\n".into(),
            "haproxy.extra is \"listen y\": *:80 is taken: the extra section \"listen x :80\"",
        ),
        (format!("{a}bind = \"/haproxy.sock\""), "service.a.bind is \"/haproxy.sock\": /haproxy.sock is taken: a stats socket"),
    ] {
        let text = format!("{haproxy}{text}");
        let err = from_toml(&table(&text)).err().unwrap_or_else(|| panic!("taken: {text}"));
        assert!(err.to_string().contains(&format!("proxy.{words}")) || err.to_string().contains(words), "{text}: {err}");
    }
    for other in ["bind = \"127.0.0.2:80\"", "bind = \"[::1]:80\"", "port = 81", "port = 80\nhaproxy = false"] {
        parsed(&format!("{haproxy}{a}{port}{b}{other}\n"));
    }
}

#[test]
fn so_do_errors_of_a_service() {
    let haproxy = "[proxy.haproxy]\nconfig = \"/h\"\nmanage = true\n";
    for (keys, words) in [
        ("port = 0", &["proxy.service.web.port is 0", "1 to 65535"][..]),
        ("prot = 1", &["proxy.service.web.\"prot\"", "`port`"]),
        ("port = 1\nbind = \"/run/x\"", &["proxy.service.web.bind is \"/run/x\"", "`port` says it"]),
        ("port = 1\nbind = \"[::1]:80\"", &["proxy.service.web.bind"]),
        ("where = \"label\"", &["proxy.service.web.where is \"label\""]),
        ("near = \"a b\"", &["proxy.service.web.near is \"a b\": a name must not contain"]),
        ("service = \"\"", &["proxy.service.web.service is \"\""]),
        ("mode = \"udp\"", &["proxy.service.web.mode is \"udp\"", "http, tcp"]),
        ("order = \"asc\"", &["proxy.service.web.order", "shuffled, ascending, descending, found"]),
        ("labels = [\"a=b\", \"rack\"]", &["proxy.service.web.labels[1] is \"rack\"", "LABEL!=VALUE"]),
        ("port = 1\nbind = \"a b\"", &["proxy.service.web.bind is \"a b\"", "without blanks"]),
        ("frontend = [\"a\\nb\"]", &["proxy.service.web.frontend[0]", "one line"]),
        ("backend = [\"a\\nb\"]", &["proxy.service.web.backend[0]", "one line"]),
        ("discovery = \"lobby\"", &["web.discovery is \"lobby\": expected a table such as { method ="]),
        (
            "discovery = { method = \"ec2tag\", tag_name = \"a\", tag_value = \"b\", port = 1, endpoint = \"nonsense\" }",
            &["web.discovery.endpoint is \"nonsense\"", "http://HOST"],
        ),
        (
            "[proxy.nginx]\nupstreams = \"/u\"\n[proxy.service.web]\nnginx = { server = [\"a\\nb\"] }",
            &["proxy.service.web.nginx.server[0] is \"a\\nb\"", "one line"],
        ),
        (
            "[proxy.nginx]\nupstreams = \"/u\"\n[proxy.service.web]\nnginx = { listen_options = \"ssl;\" }",
            &["proxy.service.web.nginx.listen_options is \"ssl;\"", "without ;"],
        ),
        ("nginx = true", &["proxy.service.web.nginx is true", "[proxy.nginx]"]),
        ("files = true", &["proxy.service.web.files is true", "[proxy.files]"]),
        ("default_servers = [\"10.0.0.1\"]", &["default_servers[0] is \"10.0.0.1\"", "HOST:PORT"]),
        ("default_servers = [\"::1:80\"]", &["default_servers[0]"]),
        ("default_servers = [{ host = \"h\", port = 1, prot = 2 }]", &["default_servers[0].\"prot\"", "`port`"]),
        ("backup_port = 2\nport_override = 2", &["proxy.service.web.backup_port is 2", "another port"]),
        ("tag = \"a\"\ndiscovery = { method = \"base\" }", &["proxy.service.web.tag is \"a\"", "beside `discovery`"]),
        ("discovery = { method = \"etcd\" }", &["service web", "\"etcd\" is not built yet", "lobby, consul"]),
        ("discovery = { method = \"ec2\" }", &["\"ec2\" is unknown", "ec2tag"]),
        ("discovery = { method = \"ec2tag\", tag_name = \"a\", tag_value = \"b\" }", &["web.discovery.port is missing"]),
        ("discovery = { method = \"dns\", servers = [\"a:1\"], interval = \"1ms\" }", &["web.discovery.interval", "100ms to"]),
        (
            "discovery = { method = \"docker\", servers = [\"ssh://x\"] , port = 1, image = \"a\" }",
            &["servers[0] is \"ssh://x\""],
        ),
        ("discovery = { method = \"multi\", watchers = { a = { method = \"multi\" } } }", &["watchers.a.method"]),
        (
            "discovery = { method = \"multi\", watchers = { a = { method = \"base\" } }, resolver = \"x\" }",
            &["resolver is \"x\""],
        ),
    ] {
        let stanza = if keys.starts_with('[') { "" } else { "[proxy.service.web]\n" };
        let text = format!("{haproxy}{stanza}{keys}\n");
        let err = from_toml(&table(&text)).err().unwrap_or_else(|| panic!("taken: {text}"));
        let message = err.to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{text}: {message}");
        assert_eq!(err.exit_code(), 64);
    }
    let twice = format!("{haproxy}[proxy.service.a]\nport = 1\n[proxy.service.b]\nport = 1\n");
    let message = from_toml(&table(&twice)).unwrap_err().to_string();
    assert!(message.contains("proxy.service.b.port is 1: 127.0.0.1:1 is taken: service a listens at 127.0.0.1:1"), "{message}");
}
