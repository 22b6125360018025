//! Tests of `[proxy]`: six lines, every key, one configuration for each error, and a key too many in every table.

use std::time::Duration;

use super::*;
use crate::Backend;
use crate::haproxy::reload::way::Way;
use crate::settings::{
    Bind, ConsulWatch, Cookie, Discovery, DnsWatch, DockerServer, DockerWatch, Ec2Watch, Haproxy, HaproxyService, LabelFilter,
    LobbyWatch, MultiWatch, Nginx, NginxService, Order, Resolver, Secret, Service,
};

mod compose;
mod errors;
mod odd;

/// Every key.
const ALL: &str = include_str!("../../tests/fixtures/proxy.toml");

fn table(text: &str) -> toml::Table {
    let table: toml::Table = text.parse().unwrap_or_else(|err| panic!("{err}: {text}"));
    table["proxy"].as_table().unwrap().clone()
}

fn parsed(text: &str) -> (Settings, Vec<String>) {
    read(&table(text)).unwrap_or_else(|err| panic!("{err}: {text}"))
}

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn reloads_have_a_second_between_them() {
    let of = |interval: &str| {
        let keys = format!("reload_interval = \"{interval}\"\n");
        let text = format!("[proxy.haproxy]\nconfig = \"/h\"\nmanage = true\n{keys}[proxy.nginx]\nupstreams = \"/u\"\n{keys}");
        let (settings, warnings) = parsed(&text);
        let (haproxy, nginx) = (settings.haproxy.unwrap(), settings.nginx.unwrap());
        assert_eq!(haproxy.restart_interval, nginx.restart_interval);
        (haproxy.restart_interval, warnings)
    };
    let told = "reload_interval: less than 1s between two reloads is taken for 1s";
    let warnings = vec![format!("proxy.haproxy.{told}"), format!("proxy.nginx.{told}")];
    for interval in ["0s", "999ms"] {
        assert_eq!(of(interval), (Duration::from_secs(1), warnings.clone()));
    }
    assert_eq!(of("1s"), (Duration::from_secs(1), Vec::new()));
}

#[test]
fn six_lines_are_a_proxy() {
    let text = "[proxy.haproxy]\nconfig = \"/run/lobby/haproxy.cfg\"\nmanage = true\n[proxy.service.web]\nport = 8080\n";
    let (settings, warnings) = parsed(text);
    assert_eq!(warnings, Vec::<String>::new());
    let haproxy = settings.haproxy.unwrap();
    let socket = "stats socket /run/lobby/haproxy.sock mode 660 level admin expose-fd listeners";
    assert_eq!(haproxy.global, ["maxconn 2000", "hard-stop-after 30m", socket]);
    assert_eq!((haproxy.defaults[0].as_str(), haproxy.defaults.len()), ("mode http", 9));
    assert_eq!(haproxy.sockets, ["/run/lobby/haproxy.sock".into()] as [std::path::PathBuf; 1]);
    assert_eq!(haproxy.master_socket, Some("/run/lobby/haproxy-master.sock".into()));
    assert_eq!(haproxy.program, Some("haproxy".into()));
    assert_eq!((haproxy.do_writes, haproxy.do_reloads, haproxy.do_socket, haproxy.do_checks), (true, true, true, true));
    assert_eq!((haproxy.bind_address.as_str(), haproxy.drain), ("127.0.0.1", Duration::from_secs(5)));
    let [web] = &settings.services[..] else { panic!("{:?}", settings.services) };
    assert_eq!(web.discovery, Discovery::Lobby(LobbyWatch { service: "web".into(), ..LobbyWatch::default() }));
    let want = HaproxyService { bind: Bind::Port(8080), server_options: "check".into(), ..HaproxyService::default() };
    assert_eq!((web.haproxy.as_ref(), web.use_previous_backends, &web.nginx), (Some(&want), true, &None));
    assert_eq!((settings.guard, settings.compat, web.file_output), (Guard::default(), Compat::Lobby, false));
    assert_eq!(parsed("[proxy]\n").0, Settings::default());
}

#[test]
fn every_key_of_the_outputs() {
    let (settings, warnings) = parsed(ALL);
    let [socket, reload] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(socket.starts_with("proxy.haproxy.socket: no `stats socket` line of `global`"), "{socket}");
    assert_eq!(reload, "proxy.haproxy.reload_command: not used: a managed HAProxy is reloaded by its master");
    let want = Haproxy {
        global: lines(&["maxconn 100"]),
        defaults: lines(&["mode tcp", "option redispatch"]),
        extra_sections: vec![("listen stats :1937".into(), lines(&["stats enable", "stats uri /"]))],
        shared_frontend: Some(lines(&["bind :80"])),
        do_checks: true,
        config_file_path: Some("/run/lobby/haproxy.cfg".into()),
        candidate_config_file_path: Some("/run/lobby/haproxy.new".into()),
        sockets: vec!["/run/lobby/haproxy.sock".into()],
        master_socket: Some("/run/lobby/master.sock".into()),
        check_command: Some("haproxy -c -f {{.Path}}".into()),
        program: Some("/usr/sbin/haproxy".into()),
        manage: true,
        version: "2.6".parse().ok(),
        bind_address: "0.0.0.0".into(),
        restart_interval: Duration::from_secs(5),
        restart_jitter: 0.1,
        drain: Duration::from_secs(10),
        state_file_path: Some("/var/lib/lobby/haproxy.json".into()),
        state_file_ttl: Duration::from_secs(12 * 3600),
        server_order_seed: Some(7),
        max_server_id: 1000,
        use_nerve_weights: false,
        ..Haproxy::default()
    };
    assert_eq!(settings.haproxy, Some(want));
    let want = Nginx {
        upstreams: Some("/etc/nginx/upstreams".into()),
        do_writes: true,
        do_reloads: true,
        check_command: Some("nginx -t".into()),
        reload_command: Some("nginx -s reload".into()),
        start_command: Some("nginx".into()),
        restart_interval: Duration::from_secs(3),
        restart_jitter: 0.5,
        listen_address: "0.0.0.0".into(),
        ..Nginx::default()
    };
    assert_eq!(settings.nginx, Some(want));
    assert_eq!(settings.file_output, Some(FileOutput { output_directory: "/run/lobby/services".into() }));
    assert_eq!((settings.guard.percent, settings.nerve), (30, Some("/etc/nerve.conf.json".into())));
    let (whole, _) = parsed("[proxy.nginx]\nconfig = \"/n\"\nmain = [\"a\"]\nhttp = [\"b\"]\n");
    let nginx = whole.nginx.unwrap();
    let contexts = nginx.contexts.unwrap();
    assert_eq!((contexts.main, contexts.http, nginx.upstreams), (lines(&["a"]), lines(&["b"]), None));
}

#[test]
fn every_key_of_a_service() {
    let (settings, _) = parsed(ALL);
    let web = settings.services.iter().find(|service| service.name == "web").unwrap();
    let filter = |label: &str, value: &str, is_equal| LabelFilter { label: label.into(), value: value.into(), is_equal };
    let want = Service {
        name: "web".into(),
        discovery: Discovery::Lobby(LobbyWatch {
            service: "website".into(),
            selector: "label=zone:eu".into(),
            tag: Some("v2".into()),
            datacenter: Some("dc1".into()),
            near: Some("_agent".into()),
            warning: true,
        }),
        default_servers: vec![
            Backend { host: "10.0.0.1".into(), port: 80, ..Backend::default() },
            Backend {
                name: "b".into(),
                host: "::1".into(),
                port: 81,
                id: Some(2),
                weight: Some(9),
                haproxy_server_options: "backup".into(),
                labels: [("rack".to_owned(), "a".to_owned())].into(),
                is_backup: true,
                is_draining: false,
            },
        ],
        keep_default_servers: true,
        use_previous_backends: false,
        backend_port_override: Some(50001),
        backup_port: Some(50002),
        leader_election: true,
        label_filters: vec![filter("rack", "a", true), filter("canary", "yes", false)],
        haproxy: Some(HaproxyService {
            bind: Bind::Port(8080),
            bind_address: Some("127.0.0.2".into()),
            bind_options: "maxconn 10".into(),
            frontend: lines(&["option httplog"]),
            backend: lines(&["balance leastconn", "cookie SERVERID insert indirect nocache"]),
            listen: lines(&["mode http", "timeout client 5s"]),
            shared_frontend: lines(&["use_backend web if TRUE"]),
            backend_name: Some("web-be".into()),
            server_options: "check inter 1s".into(),
            backend_order: Order::Ascending,
            cookie_value_method: Cookie::Hash,
        }),
        nginx: Some(NginxService {
            port: Some(81),
            is_tcp: false,
            upstream: lines(&["zone web 64k"]),
            server: lines(&["a"]),
            listen_address: Some("::1".into()),
            listen_options: "ssl".into(),
            upstream_order: Order::Found,
            upstream_name: Some("web-up".into()),
            server_options: "max_fails=1".into(),
        }),
        file_output: false,
    };
    assert_eq!(*web, want);
}

#[test]
fn every_discovery() {
    let (settings, _) = parsed(ALL);
    let found = |name: &str| settings.services.iter().find(|service| service.name == name).unwrap().discovery.clone();
    let host = |host: &str, port| Backend { host: host.into(), port, ..Backend::default() };
    let servers = vec![host("db.example.com", 5432), host("h", 1)];
    let want = DnsWatch { servers, nameserver: "10.0.0.2:53".parse().ok(), interval: Duration::from_secs(5) };
    assert_eq!(found("names"), Discovery::Dns(want));
    let want = Ec2Watch {
        tag_name: "a".into(),
        tag_value: "b".into(),
        region: Some("eu-west-1".into()),
        credentials: Some(("id".into(), Secret("key".into()))),
        endpoint: Some("http://127.0.0.1:5000".into()),
        interval: Duration::from_secs(60),
        port: 50001,
    };
    assert_eq!(found("cloud"), Discovery::Ec2Tag(want));
    let server =
        |name: &str, host: &str, endpoint: &str| DockerServer { name: name.into(), host: host.into(), endpoint: endpoint.into() };
    let servers = vec![
        server("", "127.0.0.1", "unix:/run/docker.sock"),
        server("", "10.0.0.1", "http://10.0.0.1:2375"),
        server("d", "10.0.0.9", "unix:/d.sock"),
    ];
    let interval = Duration::from_secs(2);
    let want = DockerWatch { servers, image_name: "shop/web:2".into(), container_port: 80, interval };
    assert_eq!(found("containers"), Discovery::Docker(want));
    let query = LobbyWatch {
        service: "web".into(),
        selector: "tag=v2".into(),
        tag: Some("x".into()),
        datacenter: Some("dc2".into()),
        near: Some("_agent".into()),
        warning: false,
    };
    let want = ConsulWatch { address: "http://consul:8500".into(), token: Some("t".into()), query };
    assert_eq!(found("elsewhere"), Discovery::Consul(want));
    let ours = Discovery::Lobby(LobbyWatch { service: "web".into(), ..LobbyWatch::default() });
    let watchers = [("ours".to_owned(), ours), ("old".to_owned(), Discovery::Base)].into();
    let want = MultiWatch { watchers, resolver: Resolver::Sequential(lines(&["ours", "old"])) };
    assert_eq!(found("both"), Discovery::Multi(want));
    let order = |name: &str| {
        let service = settings.services.iter().find(|service| service.name == name).unwrap();
        service.haproxy.clone().unwrap().backend_order
    };
    assert_eq!((order("elsewhere"), order("names")), (Order::Found, Order::Shuffled), "nearest first is not shuffled");
}

#[test]
fn sockets_and_reloads() {
    let read = |keys: &str| {
        let (settings, warnings) = parsed(&format!("[proxy.haproxy]\nconfig = \"/a/b.cfg\"\n{keys}\n"));
        (settings.haproxy.unwrap(), warnings)
    };
    let (plain, warnings) = read("");
    assert!(!plain.do_reloads && warnings.len() == 1 && warnings[0].contains("proxy.haproxy.reload_command"), "{warnings:?}");
    let (handed_over, warnings) = read("program = \"/sbin/haproxy\"");
    assert!(handed_over.do_reloads && handed_over.reload_command.is_none() && warnings.is_empty(), "{warnings:?}");
    assert!(matches!(Way::of(&handed_over), Some(Way::HandOver { .. })), "{handed_over:?}");
    assert_eq!((plain.program, plain.do_checks, plain.state_file_path), (None, false, Some("/a/haproxy-state.json".into())));
    let (own, warnings) =
        read("reload_command = \"r\"\nglobal = [\"stats socket /s mode 600 level admin\", \"stats socket /t\"]");
    assert_eq!((own.sockets, own.do_socket, own.do_reloads, warnings.len()), (vec!["/s".into()], true, true, 0));
    let (none, warnings) = read("reload_command = \"r\"\nglobal = [\"maxconn 1\"]");
    assert!(!none.do_socket && warnings.len() == 1 && warnings[0].contains("proxy.haproxy.global"), "{warnings:?}");
    let (off, warnings) = read("reload_command = \"r\"\nsocket = false");
    assert!(!off.do_socket && off.sockets.is_empty() && warnings.is_empty(), "{warnings:?}");
    assert!(off.is_global_ours && !own.is_global_ours);
    assert!(!off.global.iter().any(|line| line.contains("socket")), "{:?}", off.global);
    let (master, _) = read("master_socket = \"/m\"\nsocket = [\"/1\", \"/2\"]");
    assert!(master.do_reloads && master.sockets.len() == 2 && master.global.len() == 4, "{master:?}");
}

#[test]
fn a_synapse_file_instead() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("synapse.json");
    std::fs::write(&path, include_str!("../../tests/fixtures/synapse-seed.conf.json")).unwrap();
    let proxy = format!("[proxy]\nsynapse = \"{}\"\n", path.display());
    let more = "nerve = \"/n\"\nmax_lost = \"0%\"\ncompat = \"synapse\"\n[proxy.haproxy]\nversion = \"2.6\"\ndrain = \"1s\"\n";
    let (settings, warnings) = parsed(&format!("{proxy}{more}"));
    assert_eq!((warnings.len(), settings.services.len(), settings.compat), (0, 1, Compat::Synapse));
    let haproxy = settings.haproxy.unwrap();
    assert_eq!((haproxy.version, haproxy.drain, haproxy.manage), ("2.6".parse().ok(), Duration::from_secs(1), false));
    assert_eq!((settings.nerve, settings.guard.percent), (Some("/n".into()), 0));
    let (settings, warnings) = parsed(&format!("{proxy}[proxy.haproxy]\nmanage = true\n"));
    let haproxy = settings.haproxy.unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("reload_command"), "{warnings:?}");
    assert_eq!((haproxy.program, haproxy.reload_command), (Some("haproxy".into()), None));
    assert_eq!(haproxy.master_socket, Some("/etc/haproxy/haproxy-master.sock".into()));
    for (keys, words) in [
        ("[proxy.haproxy]\nconfig = \"/x\"\n", "unknown key proxy.haproxy.\"config\""),
        ("[proxy.service.web]\nport = 1\n", "proxy.service is a map: expected nothing beside `synapse`"),
    ] {
        let message = from_toml(&table(&format!("{proxy}{keys}"))).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
    let text = include_str!("../../tests/fixtures/synapse-seed.conf.json");
    let without = text.replace("\"reload_command\"", "\"reload_comand\"");
    assert_ne!(without, text);
    std::fs::write(&path, without).unwrap();
    for (keys, is_taken) in [
        ("", false),
        ("[proxy.haproxy]\ndrain = \"1s\"\n", false),
        ("[proxy.haproxy]\nmanage = false\n", false),
        ("[proxy.haproxy]\nmanage = true\n", true),
        ("[proxy.haproxy]\nmaster_socket = \"/m\"\n", true),
        ("[proxy.haproxy]\nprogram = \"/sbin/haproxy\"\n", true),
    ] {
        let read = from_toml(&table(&format!("{proxy}{keys}"))).map(|(settings, _)| settings.haproxy.unwrap());
        let way = read.map(|haproxy| Way::of(&haproxy).filter(|_| haproxy.do_reloads)).map_err(|err| err.to_string());
        assert_eq!(matches!(way, Ok(Some(_))), is_taken, "{keys}: {way:?}");
        assert!(is_taken || way.is_err_and(|err| err.contains("haproxy.reload_command is missing")), "{keys}");
    }
    std::fs::write(&path, "{\"services\": 5}").unwrap();
    let message = from_toml(&table(&proxy)).unwrap_err().to_string();
    assert!(message.contains("synapse.json: "), "{message}");
}
