//! Expected texts, what nginx would refuse, and that no text of a catalog becomes a directive.

use std::{path::PathBuf, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{Backend, settings::Order};

fn at(host: &str, port: u16) -> Backend {
    Backend { host: host.into(), port, ..Backend::default() }
}

fn known(backends: Vec<Backend>) -> Known {
    Known { backends: Some(backends.into()), ..Known::default() }
}

fn service(name: &str, nginx: NginxService) -> Service {
    Service { name: name.into(), nginx: Some(nginx), ..Service::default() }
}

fn folder(services: Vec<Service>) -> Settings {
    let nginx = Nginx { upstreams: Some("/u".into()), listen_address: "127.0.0.1".into(), ..Nginx::default() };
    Settings { services, nginx: Some(nginx), ..Settings::default() }
}

/// The lines between `upstream … {` and `}` of the only service.
#[track_caller]
fn servers(of: NginxService, backends: Vec<Backend>) -> (Vec<String>, Vec<String>) {
    let layout = layout(&folder(vec![service("web", of)]), &[known(backends)]);
    let text = &layout.files[0].text;
    let inside = text.lines().skip_while(|line| !line.starts_with("upstream")).skip(1).take_while(|line| *line != "}");
    (inside.map(|line| line.trim().to_owned()).collect(), layout.warnings)
}

fn upstream(line: &str) -> NginxService {
    NginxService { upstream: vec![line.into()], ..NginxService::default() }
}

#[test]
fn a_directive_may_go_over_several_lines() {
    let several = "log_format x 'a'\n'b'";
    for (line, want) in [
        (several, Some("log_format x 'a'\n'b';")),
        ("map $a $b {\n\tc d;\n}", Some("map $a $b {\n\tc d;\n}")),
        ("# of x\ngzip on", Some("# of x\ngzip on;")),
        ("gzip on;\n# of x", Some("gzip on;\n# of x")),
        (" \n", None),
    ] {
        assert_eq!(directive(line).as_deref(), want);
    }
    let of = NginxService { server: vec!["a b\nlocation / { c d; }".into()], port: Some(80), ..NginxService::default() };
    let text = &layout(&folder(vec![service("web", of)]), &[known(vec![at("10.0.0.1", 80)])]).files[0].text;
    assert_eq!(text.matches("location").count(), 1, "{text}");
}

#[test]
fn a_file_for_each_service() {
    let web = NginxService {
        port: Some(3212),
        upstream: vec!["least_conn".into(), " keepalive 16; ".into(), String::new(), "# ours".into()],
        server: vec!["proxy_http_version 1.1".into()],
        listen_options: "reuseport".into(),
        server_options: "max_fails=2".into(),
        ..NginxService::default()
    };
    let db = NginxService { port: Some(5432), is_tcp: true, listen_address: Some("::1".into()), ..NginxService::default() };
    let settings = folder(vec![service("web", web), service("db", db), service("only", NginxService::default())]);
    let backends =
        vec![Backend { weight: Some(3), is_backup: true, ..at("fe80::2", 81) }, at("10.0.0.9", 80), at("10.0.0.1", 80)];
    let layout = layout(&settings, &[known(backends), known(vec![at("10.0.0.1", 5432)]), known(vec![at("10.0.0.3", 1)])]);
    assert_eq!(layout.warnings, [""; 0]);
    let want = [
        ("/u/only.conf", "upstream only {\n\tserver 10.0.0.3:1;\n}\n"),
        (
            "/u/stream/db.conf",
            "upstream db {\n\tserver 10.0.0.1:5432;\n}\n\nserver {\n\tlisten [::1]:5432;\n\tproxy_pass db;\n}\n",
        ),
        (
            "/u/web.conf",
            "upstream web {\n\tleast_conn;\n\tkeepalive 16;\n\t# ours\n\tserver 10.0.0.1:80 max_fails=2;\n\
             \tserver 10.0.0.9:80 max_fails=2;\n\tserver [fe80::2]:81 max_fails=2 weight=3 backup;\n}\n\n\
             server {\n\tlisten 127.0.0.1:3212 reuseport;\n\tproxy_http_version 1.1;\n\tproxy_next_upstream error timeout;\n\
             \tlocation / {\n\t\tproxy_pass http://web;\n\t}\n}\n",
        ),
    ];
    let seen: Vec<_> = layout.files.iter().map(|file| (file.path.to_str().unwrap(), file.text.as_str())).collect();
    assert_eq!(
        seen,
        want.map(|(path, text)| (path, HEAD.to_owned() + text)).each_ref().map(|(path, text)| (*path, text.as_str()))
    );
}

#[test]
fn the_file_of_a_service_without_an_answer_is_kept() {
    let settings = folder(vec![service("web", NginxService::default()), service("db", NginxService::default())]);
    let layout = layout(&settings, &[Known::default(), known(vec![])]);
    assert_eq!((layout.files.len(), layout.kept), (1, vec![PathBuf::from("/u/web.conf")]));
}

#[test]
fn the_whole_file_has_its_contexts_in_order_and_no_empty_ones() {
    let web = NginxService { port: Some(80), ..NginxService::default() };
    let db = NginxService { port: Some(81), is_tcp: true, upstream_name: Some("pg".into()), ..NginxService::default() };
    let contexts = Contexts {
        main: vec!["worker_processes 1".into(), "include /etc/nginx/modules-enabled/*.conf;".into()],
        events: vec!["worker_connections 64".into()],
        http: vec!["access_log off".into()],
        stream: Vec::new(),
    };
    let nginx = Nginx {
        contexts: Some(contexts),
        config_file_path: Some("/n.conf".into()),
        listen_address: "localhost".into(),
        ..Nginx::default()
    };
    let mut settings =
        Settings { services: vec![service("web", web), service("db", db)], nginx: Some(nginx), ..Settings::default() };
    let text = layout(&settings, &[known(vec![]), known(vec![at("10.0.0.1", 5432)])]);
    let head = "worker_processes 1;\ninclude /etc/nginx/modules-enabled/*.conf;\n\nevents {\n\tworker_connections 64;\n}\n\n";
    let want = "http {\n\taccess_log off;\n\n\tupstream web {\n\t\tserver 127.0.0.1:1 down;\n\t}\n\n\tserver {\n\t\tlisten localhost:80;\n\
        \t\tproxy_next_upstream error timeout;\n\t\tlocation / {\n\t\t\treturn 503;\n\t\t}\n\t}\n}\n\n\
        stream {\n\n\tupstream pg {\n\t\tserver 10.0.0.1:5432;\n\t}\n\n\tserver {\n\t\tlisten localhost:81;\n\t\tproxy_pass pg;\n\t}\n}\n";
    assert_eq!(text.files, [File { path: "/n.conf".into(), text: format!("{HEAD}{head}{want}") }]);
    let unknown = layout(&settings, &[]);
    assert!(unknown.kept.is_empty() && unknown.files.len() == 1);
    settings.services.clear();
    let text = &layout(&settings, &[]).files[0].text;
    assert!(text.contains("http {") && !text.contains("stream"), "{text}");
}

#[test]
fn an_upstream_is_never_one_that_nginx_refuses() {
    let primary = at("10.0.0.1", 80);
    let backup = Backend { is_backup: true, ..at("10.0.0.2", 80) };
    let away = Backend { is_draining: true, ..primary.clone() };
    let light = Backend { weight: Some(0), ..primary.clone() };
    let plain = NginxService::default();
    assert_eq!(servers(plain.clone(), vec![]).0, ["server 127.0.0.1:1 down;"]);
    assert_eq!(servers(plain.clone(), vec![backup.clone()]).0, ["server 10.0.0.2:80;"]);
    let both = ["server 10.0.0.1:80;", "server 10.0.0.2:80 backup;"];
    assert_eq!(servers(plain.clone(), vec![backup.clone(), primary.clone()]).0, both);
    let down = ["server 10.0.0.1:80 down;", "server 10.0.0.2:80 backup;"];
    assert_eq!(servers(plain.clone(), vec![light.clone(), backup.clone()]).0, down);
    assert_eq!(servers(plain.clone(), vec![away.clone(), backup.clone()]).0, down);
    for method in ["ip_hash", "hash $remote_addr consistent", "random", "random;"] {
        let of = || upstream(method);
        assert_eq!(servers(of(), vec![primary.clone(), backup.clone()]).0[1..], ["server 10.0.0.1:80;"], "{method}");
        assert_eq!(servers(of(), vec![away.clone(), backup.clone()]).0[1..], ["server 10.0.0.1:80 down;", "server 10.0.0.2:80;"]);
        assert_eq!(servers(of(), vec![backup.clone()]).0[1..], ["server 10.0.0.2:80;"]);
    }
    let weighted = |weights: &[u32]| {
        let server = |weight: &u32| Backend { weight: Some(*weight), name: "x".into(), ..at("10.0.0.1", 80) };
        let of = NginxService { upstream_order: Order::Found, ..NginxService::default() };
        servers(of, weights.iter().map(server).collect()).0.join(" ").replace("server 10.0.0.1:80 ", "")
    };
    assert_eq!(weighted(&[256, 1]), "weight=256; weight=1;");
    assert_eq!(weighted(&[257, 128, 1]), "weight=256; weight=127; weight=1;");
    assert_eq!(weighted(&[65_535, u32::MAX, 2_147_483_648]), "weight=1; weight=256; weight=128;");
    let again = Backend { name: "other".into(), ..primary.clone() };
    assert_eq!(servers(plain, vec![again, primary]).0, ["server 10.0.0.1:80;"]);
}

#[test]
fn hosts_that_nginx_would_look_up_are_left_out_with_a_warning() {
    let backends = vec![at("db.example.com", 80), at("a;b", 80), at("10.0.0.1", 0), at("localhost", 80)];
    let (lines, warnings) = servers(NginxService::default(), backends.clone());
    assert_eq!((lines.as_slice(), warnings.len()), (["server 127.0.0.1:80;".to_owned()].as_slice(), 3));
    assert!(warnings.iter().any(|warning| warning.contains("db.example.com") && warning.contains("resolve")), "{warnings:?}");
    let of = NginxService { server_options: "resolve".into(), ..NginxService::default() };
    assert_eq!(servers(of, backends).0, ["server db.example.com:80 resolve;", "server 127.0.0.1:80 resolve;"]);
}

#[test]
fn orders() {
    let backends = || ["3", "1", "2"].map(|n| Backend { name: n.into(), ..at(&format!("10.0.0.{n}"), 80) }).to_vec();
    let order = |order| {
        let of = NginxService { upstream_order: order, ..NginxService::default() };
        servers(of, backends()).0.iter().map(|line| line[14..15].to_owned()).collect::<String>()
    };
    let seen = [Order::Ascending, Order::Shuffled, Order::Descending, Order::Found].map(order);
    assert_eq!(seen, ["123", "123", "321", "312"]);
}

#[test]
fn names_that_mean_the_same_to_nginx_are_there_once_and_bad_ones_not_at_all() {
    let named = |name: &str| NginxService { upstream_name: Some(name.into()), ..NginxService::default() };
    let tcp = NginxService { is_tcp: true, ..NginxService::default() };
    let services = vec![
        service("a b", NginxService::default()),
        service("A_b", NginxService::default()),
        service("c", named("A_B")),
        service("a_b", tcp),
        service(&"x".repeat(201), NginxService::default()),
        Service { name: "not".into(), ..Service::default() },
    ];
    let layout = layout(&folder(services), &[(); 6].map(|()| known(vec![])));
    let paths: Vec<_> = layout.files.iter().map(|file| file.path.clone()).collect();
    assert_eq!(paths, ["/u/a_b.conf", "/u/stream/a_b.conf"].map(PathBuf::from));
    assert_eq!(layout.warnings.len(), 3, "{:?}", layout.warnings);
}

#[test]
fn what_its_owner_wrote_is_not_written_twice() {
    let file =
        |of: NginxService| layout(&folder(vec![service("w", of)]), &[known(vec![at("10.0.0.1", 1)])]).files[0].text.clone();
    let server = |lines: &[&str], is_tcp| NginxService {
        port: Some(80),
        is_tcp,
        server: lines.iter().map(|line| (*line).into()).collect(),
        ..NginxService::default()
    };
    let text = file(server(&["location /{ proxy_pass http://w/x; }", "proxy_next_upstream off"], false));
    assert!(text.ends_with("\tlocation /{ proxy_pass http://w/x; }\n\tproxy_next_upstream off;\n}\n"), "{text}");
    let text = file(server(&["location /x { return 204; }"], false));
    assert_eq!(text.matches("location").count(), 2, "{text}");
    let text = file(server(&["proxy_pass $other"], true));
    assert_eq!(text.matches("proxy_pass").count(), 1, "{text}");
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9a-fA-F.:]{0,20}",
        "[a-z0-9.;{}\"'$#\\\\\n\r\t %/=_-]{0,20}",
        any::<String>(),
        Just("10.0.0.1; } server { listen 1".to_owned()),
        Just("10.0.0.1:80 down;\n\tserver 6.6.6.6".to_owned()),
    ]
}

fn backend() -> impl Strategy<Value = Backend> {
    let flags = (any::<bool>(), any::<bool>(), proptest::option::of(any::<u32>()));
    (hostile(), hostile(), hostile(), any::<u16>(), flags).prop_map(
        |(name, host, options, port, (is_backup, is_draining, weight))| Backend {
            labels: [(name.clone(), options.clone())].into(),
            name,
            host,
            port,
            weight,
            haproxy_server_options: options,
            is_backup,
            is_draining,
            ..Backend::default()
        },
    )
}

/// `server PLACE[ weight=N][ backup][ down];`, read back without the code above.
fn is_expected(line: &str) -> bool {
    let Some(line) = line.strip_prefix("\tserver ").and_then(|line| line.strip_suffix(';')) else { return false };
    let mut words = line.split(' ');
    let is_place = words.next().is_some_and(|place| place.parse::<std::net::SocketAddr>().is_ok_and(|place| place.port() != 0));
    let is_option = |word: &str| {
        let weight = word.strip_prefix("weight=").and_then(|weight| weight.parse::<u32>().ok());
        word == "backup" || word == "down" || weight.is_some_and(|weight| (1..=256).contains(&weight))
    };
    is_place && words.all(is_option)
}

proptest! {
    #[test]
    fn no_text_of_a_catalog_becomes_a_directive(backends in proptest::collection::vec(backend(), 0..8), port in proptest::option::of(1..u16::MAX), is_tcp: bool) {
        let of = NginxService { port, is_tcp, ..NginxService::default() };
        let settings = folder(vec![service("web", of)]);
        let picture = [known(backends)];
        let seen = layout(&settings, &picture);
        prop_assert_eq!(&layout(&settings, &picture), &seen);
        let text = seen.files[0].text.clone();
        let lines: Vec<&str> = text.split('\n').collect();
        prop_assert_eq!((lines[0], lines[1]), (HEAD.trim_end(), "upstream web {"));
        let end = lines.iter().position(|line| *line == "}").unwrap();
        prop_assert!(end > 2 && lines[2..end].iter().all(|line| is_expected(line)), "{}", text);
        prop_assert!(lines[2..end].iter().any(|line| !line.contains(" backup")), "{}", text);
        // The rest does not depend on backends but for one word.
        let rest = lines[end + 1..].join("\n");
        let empty = layout(&settings, &[known(vec![])]).files[0].text.clone();
        let (_, want) = empty.split_once("down;\n}\n").unwrap();
        prop_assert!(rest == want || rest == want.replace("return 503;", "proxy_pass http://web;"), "{}", text);
    }

    #[test]
    fn the_order_of_what_is_found_changes_no_byte(backends in proptest::collection::vec(backend(), 0..8).prop_shuffle()) {
        let settings = folder(vec![service("web", NginxService::default())]);
        let text = |backends: Vec<Backend>| layout(&settings, &[Known { backends: Some(Arc::from(backends)), ..Known::default() }]).files;
        let mut reversed = backends.clone();
        reversed.reverse();
        prop_assert_eq!(text(backends), text(reversed));
    }
}
