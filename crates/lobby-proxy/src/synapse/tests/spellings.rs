//! What each key of Synapse's files becomes, in the spellings of all its ages.

use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::{
    Backend,
    settings::{
        ConsulWatch, Contexts, Cookie, DnsWatch, DockerServer, DockerWatch, LabelFilter, LobbyWatch, MultiWatch, Nginx,
        NginxService, Order, Resolver, Secret,
    },
};

/// How backends of this `discovery` are found.
fn found(discovery: &str) -> Discovery {
    let (service, warnings) = service(&format!("discovery: {discovery}\nbackend_port_override: 1\n"));
    assert_eq!(warnings, Vec::<String>::new(), "{discovery}");
    service.discovery
}

fn ec2(region: Option<&str>, credentials: Option<(&str, &str)>, seconds: u64) -> Discovery {
    Discovery::Ec2Tag(Ec2Watch {
        tag_name: "a".into(),
        tag_value: "b".into(),
        region: region.map(str::to_owned),
        credentials: credentials.map(|(id, secret)| (id.into(), Secret(secret.into()))),
        endpoint: None,
        interval: Duration::from_secs(seconds),
        port: 1,
    })
}

#[test]
fn methods() {
    assert_eq!(found("{method: base}"), Discovery::Base);
    assert_eq!(found("{method: ec2tag, tag_name: a, tag_value: b}"), ec2(None, None, 15));
    let keys = "aws_region: eu, aws_access_key_id: id, aws_secret_access_key: key, check_interval: 5.0";
    assert_eq!(found(&format!("{{method: awstag, tag_name: a, tag_value: b, {keys}}}")), ec2(Some("eu"), Some(("id", "key")), 5));
    let docker =
        "{method: docker, servers: [{name: d, host: 10.0.0.1}, {host: h, port: 1}], image_name: x/y, container_port: 80}";
    let server =
        |name: &str, host: &str, endpoint: &str| DockerServer { name: name.into(), host: host.into(), endpoint: endpoint.into() };
    let servers = vec![server("d", "10.0.0.1", "http://10.0.0.1:4243"), server("", "h", "http://h:1")];
    let interval = Duration::from_secs(15);
    let want = DockerWatch { servers, image_name: "x/y".into(), container_port: 80, interval };
    assert_eq!(found(docker), Discovery::Docker(want));
    let dns = "{method: dns, nameserver: 10.0.0.2, servers: [{name: n, host: db.example.com, port: 5, labels: {a: 1}}, {host: '[::1]'}]}";
    let servers = vec![
        Backend {
            name: "n".into(),
            host: "db.example.com".into(),
            port: 5,
            labels: BTreeMap::from([("a".into(), "1".into())]),
            ..Backend::default()
        },
        Backend { host: "::1".into(), port: 1, ..Backend::default() },
    ];
    let want = DnsWatch { servers, nameserver: "10.0.0.2:53".parse().ok(), interval: Duration::from_secs(30) };
    assert_eq!(found(dns), Discovery::Dns(want));
    let query = LobbyWatch { service: "web".into(), selector: "label=a".into(), warning: true, ..LobbyWatch::default() };
    assert_eq!(found("{method: lobby, where: label=a, warning: true}"), Discovery::Lobby(query.clone()));
    let consul = ConsulWatch { address: "http://c:8500".into(), token: Some("t".into()), query };
    assert_eq!(found("{method: consul, address: 'c:8500', token: t, where: label=a, warning: true}"), Discovery::Consul(consul));
}

#[test]
fn several_watchers() {
    let base = |name: &str| (name.to_owned(), Discovery::Base);
    let multi = |names: &[&str], resolver| {
        Discovery::Multi(MultiWatch { watchers: names.iter().map(|name| base(name)).collect(), resolver })
    };
    let watchers = "watchers: {a: {method: base}, b: {method: base}}";
    let two = |resolver: &str| found(&format!("{{method: multi, {watchers}, resolver: {resolver}}}"));
    assert_eq!(two("{method: union}"), multi(&["a", "b"], Resolver::Union));
    let order = Resolver::Sequential(lines(&["b", "a"]));
    assert_eq!(two("{method: sequential, sequential_order: [b, a]}"), multi(&["a", "b"], order));
    let beside = |resolver: &str| {
        let text = format!("discovery: {{method: base}}\ndiscovery_multi: {{{watchers}, resolver: {resolver}}}\n");
        service(&text).0.discovery
    };
    assert_eq!(beside("{method: fallback}"), multi(&["primary", "a", "b"], Resolver::Fallback));
}

#[test]
fn ports_in_every_age() {
    let ports = |text: &str| {
        let (service, _) = service(&format!("discovery: {{method: base}}\n{text}"));
        (service.backend_port_override, service.backup_port, service.haproxy.unwrap().bind)
    };
    for (text, want) in [
        ("", (None, None, Bind::Nowhere)),
        ("haproxy: {port: 80}", (None, None, Bind::Port(80))),
        ("haproxy: {port: '80'}", (None, None, Bind::Port(80))),
        ("haproxy: {port: null, bind_address: /run/x.sock}", (None, None, Bind::Address)),
        ("haproxy: {server_port_override: '1', server_backup_port: '2'}", (Some(1), Some(2), Bind::Nowhere)),
        ("haproxy: {server_port_override: 1, server_backup_port: 2}", (Some(1), Some(2), Bind::Nowhere)),
        ("backend_port_override: 3\nhaproxy: {server_port_override: 1}", (Some(3), None, Bind::Nowhere)),
        ("backend_port_override: '3'", (Some(3), None, Bind::Nowhere)),
    ] {
        assert_eq!(ports(text), want, "{text}");
    }
}

#[test]
fn keys_of_a_service() {
    let text = "discovery:\n  method: base\n  label_filter: {label: a, value: x, condition: equals}\n  label_filters:\n  \
                - {label: b, value: 1, condition: not-equals}\ndefault_servers:\n- {name: n, host: h, port: 1, weight: 7, id: 3, \
                haproxy_server_options: backup}\nkeep_default_servers: true\nuse_previous_backends: false\nleader_election: true\n\
                haproxy:\n  bind_address: 0.0.0.0\n  bind_options: ssl\n  frontend: [a]\n  backend: [b]\n  listen: [c]\n  \
                shared_frontend: [d]\n  backend_name: e\n  server_options: f\n  backend_order: asc\n  cookie_value_method: hash\n";
    let (service, warnings) = service(text);
    assert_eq!(warnings, Vec::<String>::new());
    let filter = |label: &str, value: &str, is_equal| LabelFilter { label: label.into(), value: value.into(), is_equal };
    assert_eq!(service.label_filters, [filter("a", "x", true), filter("b", "1", false)]);
    let haproxy_server_options = "backup".into();
    let server = Backend { name: "n".into(), host: "h".into(), port: 1, weight: Some(7), id: Some(3), ..Backend::default() };
    assert_eq!(service.default_servers, [Backend { haproxy_server_options, ..server }]);
    assert!(service.keep_default_servers && !service.use_previous_backends && service.leader_election);
    let want = HaproxyService {
        bind: Bind::Nowhere,
        bind_address: Some("0.0.0.0".into()),
        bind_options: "ssl".into(),
        frontend: lines(&["a"]),
        backend: lines(&["b"]),
        listen: lines(&["c"]),
        shared_frontend: lines(&["d"]),
        backend_name: Some("e".into()),
        server_options: "f".into(),
        backend_order: Order::Ascending,
        cookie_value_method: Cookie::Hash,
    };
    assert_eq!(service.haproxy, Some(want));
    for (word, want) in [("desc", Order::Descending), ("no_shuffle", Order::Found), ("shuffle", Order::Shuffled)] {
        let (service, _) = super::service(&format!("discovery: {{method: base}}\nhaproxy: {{backend_order: {word}}}\n"));
        assert_eq!(service.haproxy.unwrap().backend_order, want);
    }
    let (service, _) = super::service("discovery: {method: base}\nhaproxy: {disabled: true, port: 1}\n");
    assert_eq!(service.haproxy, None);
}

#[test]
fn keys_of_haproxy() {
    let text = "haproxy:\n  global: ['a b', \"c\\nd\"]\n  defaults: []\n  extra_sections: {z: [1z], a: []}\n  shared_frontend: [s]\n  \
                do_checks: true\n  check_command: haproxy -c -f /f.tmp\n  candidate_config_file_path: /f.tmp\n  config_file_path: /f\n  \
                socket_file_path: [/1, /2]\n  reload_command: r\n  bind_address: ::1\n  restart_interval: 10\n  restart_jitter: 0.5\n  \
                state_file_path: /s\n  state_file_ttl: 60\n  server_order_seed: 4\n  max_server_id: 99\n  use_nerve_weights: true\n  \
                haproxy_version: 2.6.12\n";
    let (settings, warnings) = parsed(text);
    assert_eq!(warnings, Vec::<String>::new());
    let want = Haproxy {
        global: lines(&["a b", "c", "d"]),
        extra_sections: vec![("z".into(), lines(&["1z"])), ("a".into(), Vec::new())],
        shared_frontend: Some(lines(&["s"])),
        do_checks: true,
        check_command: Some("haproxy -c -f /f.tmp".into()),
        candidate_config_file_path: Some("/f.tmp".into()),
        config_file_path: Some("/f".into()),
        sockets: vec!["/1".into(), "/2".into()],
        reload_command: Some("r".into()),
        bind_address: "::1".into(),
        restart_interval: Duration::from_secs(10),
        restart_jitter: 0.5,
        state_file_path: Some("/s".into()),
        state_file_ttl: Duration::from_secs(60),
        server_order_seed: Some(4),
        max_server_id: 99,
        use_nerve_weights: true,
        version: "2.6.12".parse().ok(),
        ..Haproxy::default()
    };
    assert_eq!(settings.haproxy, Some(want));
    let (settings, warnings) = parsed(&text.replace("restart_interval: 10", "restart_interval: 0"));
    assert_eq!(settings.haproxy.map(|haproxy| haproxy.restart_interval), Some(Duration::from_secs(1)));
    assert!(warnings.join("").contains("haproxy.restart_interval: less than 1s"), "{warnings:?}");
}

#[test]
fn nginx_and_files() {
    let text = "file_output: {output_directory: /o}\nnginx:\n  contexts: {main: [m], events: [e], http: [h], stream: [s]}\n  \
                config_file_path: /n\n  check_command: c\n  reload_command: r\n  start_command: s\n  restart_interval: 3\n  \
                listen_address: 0.0.0.0\nservices:\n  a:\n    discovery: {method: base}\n    nginx: {port: 80, mode: tcp, upstream: [u], \
                server: [v], listen_address: l, listen_options: o, upstream_order: desc, upstream_name: n, server_options: w}\n    \
                file_output: {disabled: true}\n  b: {discovery: {method: base}, nginx: {disabled: true}}\n";
    let (settings, warnings) = parsed(text);
    assert_eq!(warnings, Vec::<String>::new());
    let contexts = Contexts { main: lines(&["m"]), events: lines(&["e"]), http: lines(&["h"]), stream: lines(&["s"]) };
    let nginx = Nginx {
        contexts: Some(contexts),
        config_file_path: Some("/n".into()),
        upstreams: None,
        do_writes: true,
        do_reloads: true,
        check_command: Some("c".into()),
        reload_command: Some("r".into()),
        start_command: Some("s".into()),
        restart_interval: Duration::from_secs(3),
        restart_jitter: 0.0,
        listen_address: "0.0.0.0".into(),
    };
    let service = NginxService {
        port: Some(80),
        is_tcp: true,
        upstream: lines(&["u"]),
        server: lines(&["v"]),
        listen_address: Some("l".into()),
        listen_options: "o".into(),
        upstream_order: Order::Descending,
        upstream_name: Some("n".into()),
        server_options: "w".into(),
    };
    assert_eq!((settings.haproxy, settings.nginx), (None, Some(nginx)));
    assert_eq!(settings.file_output, Some(FileOutput { output_directory: "/o".into() }));
    let [a, b] = &settings.services[..] else { panic!("{:?}", settings.services) };
    assert_eq!((&a.nginx, &a.haproxy, a.file_output), (&Some(service), &None, false));
    assert_eq!((&b.nginx, b.file_output), (&None, true));
}

#[test]
fn clones() {
    let (settings, _) =
        parsed(&around("  z: {discovery: {method: base}}\n  a: {discovery: {method: base}, load_test_concurrency: 3}\n"));
    let names: Vec<_> = settings.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["z", "a_0", "a_1", "a_2"]);
}

#[test]
fn warnings_name_the_key_and_the_nearest() {
    for (text, words) in [
        ("statsd: {host: x}\n", &["statsd", "nothing is sent"][..]),
        ("statdd: {host: x}\n", &["\"statdd\"", "statsd"]),
        ("zk: {}\n", &["unknown key \"zk\" is ignored"]),
    ] {
        let (_, warnings) = parsed(&format!("{}{text}", around("  web: {discovery: {method: base}}\n")));
        assert!(warnings.len() == 1 && words.iter().all(|word| warnings[0].contains(word)), "{text}: {warnings:?}");
    }
    let (_, warnings) = parsed(&around("  web: {discovery: {method: base, check_interval: 1}}\n"));
    assert!(warnings.len() == 1 && warnings[0].ends_with("\"check_interval\" is ignored"), "no hint: {warnings:?}");
    for (text, words) in [
        ("discovery: {method: base}\ndefalt_servers: []\n", &["services.web.\"defalt_servers\"", "default_servers"][..]),
        ("discovery: {method: base}\nhaproxy: {prot: 1}\n", &["services.web.haproxy.\"prot\"", "`port`"]),
        ("discovery: {method: base, hosts: []}\n", &["services.web.discovery.\"hosts\""]),
        ("discovery: {method: base}\ndefault_servers: [{host: h, port: 1, nam: x}]\n", &["default_servers[0].\"nam\"", "`name`"]),
        ("discovery: {method: base}\nhaproxy: {backend_order: random}\n", &["backend_order", "shuffled"]),
        ("discovery: {method: base}\nhaproxy: {use_nerve_weights: true}\n", &["use_nerve_weights", "every service"]),
    ] {
        let (_, warnings) = service(text);
        assert!(warnings.len() == 1 && words.iter().all(|word| warnings[0].contains(word)), "{text}: {warnings:?}");
    }
    let many: String = (0..100).map(|n| format!("  w{n}: {{discovery: {{method: base}}, x: 1}}\n")).collect();
    assert_eq!(parsed(&around(&many)).1.len(), 65);
}
