//! What is refused, and that the message names the key, what was found and what is accepted.

use super::*;

fn refused(text: &str) -> String {
    let err = parse(text, false, |_| Ok(Vec::new())).err().unwrap_or_else(|| panic!("taken: {text}"));
    assert_eq!(err.exit_code(), 64);
    err.to_string()
}

#[track_caller]
fn check(text: &str, words: &[&str]) {
    let message = refused(text);
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?} for {text}");
    }
}

#[test]
fn whole_files() {
    check("[]", &["the file is a list", "a map with services"]);
    check("", &["the file is null"]);
    check("services: {}\n", &["haproxy is missing", "file_output"]);
    check("haproxy: 1\n", &["haproxy is 1", "a map"]);
    check("haproxy: {global: []}\n", &["haproxy.defaults is missing"]);
    check("haproxy: {defaults: []}\n", &["haproxy.global is missing"]);
    check("file_output: {}\n", &["file_output.output_directory is missing"]);
    check(&format!("{}service_conf_dir: 5\n", around("")), &["service_conf_dir is 5"]);
    check("services: <%= x %>\n", &["line 1", "ERB"]);
}

#[test]
fn haproxy() {
    for (keys, words) in [
        ("", &["haproxy.config_file_path is missing", "do_writes is true"][..]),
        ("config_file_path: /f", &["haproxy.reload_command is missing", "do_reloads is true"]),
        ("config_file_path: /f, reload_command: r", &["haproxy.socket_file_path is missing"]),
        ("config_file_path: /f, do_reloads: false, socket_file_path: /s, do_checks: true", &["haproxy.check_command"]),
        (
            "config_file_path: /f, do_reloads: false, socket_file_path: /s, do_checks: true, check_command: c",
            &["haproxy.candidate_config_file_path"],
        ),
        ("do_writes: 'yes'", &["haproxy.do_writes is \"yes\"", "true or false"]),
        ("restart_interval: -1", &["haproxy.restart_interval is -1", "0 to"]),
        ("restart_jitter: x", &["haproxy.restart_jitter is \"x\""]),
        ("socket_file_path: [1]", &["haproxy.socket_file_path is a list", "list of paths"]),
        ("extra_sections: [a]", &["haproxy.extra_sections is a list"]),
        ("extra_sections: {a: b}", &["haproxy.extra_sections.a is \"b\"", "list of lines"]),
        ("haproxy_version: new", &["haproxy.haproxy_version is \"new\"", "2.6"]),
        ("max_server_id: 0", &["haproxy.max_server_id is 0"]),
        ("reload_command: ''", &["haproxy.reload_command is \"\""]),
        ("bind_address: \"a\\nb\"", &["haproxy.bind_address", "one line"]),
    ] {
        check(&format!("haproxy: {{global: [], defaults: [], {keys}}}\n"), words);
    }
    check("haproxy: {global: [{}], defaults: []}\n", &["haproxy.global[0] is a map", "a line"]);
    check("haproxy: {global: [\"a\\u0000\"], defaults: []}\n", &["haproxy.global[0]"]);
}

#[test]
fn services() {
    for (keys, words) in [
        ("{}", &["services.web.discovery is missing"][..]),
        ("5", &["services.web is 5", "a map"]),
        ("{discovery: {}}", &["services.web.discovery.method is missing", "ec2tag"]),
        ("{discovery: {method: zookeeper}}", &["service web", "\"zookeeper\" is not built yet", "lobby, consul, dns"]),
        ("{discovery: {method: etcd}}", &["service web", "\"etcd\" is not built yet", "docker, multi, base"]),
        ("{discovery: {method: marathon}}", &["not built yet"]),
        ("{discovery: {method: etc}}", &["\"etc\" is unknown"]),
        ("{discovery: {method: base}, haproxy: {port: 0}}", &["services.web.haproxy.port is 0", "1 to 65535"]),
        ("{discovery: {method: base}, haproxy: {port: 80a}}", &["services.web.haproxy.port is \"80a\""]),
        ("{discovery: {method: base}, haproxy: {server_port_override: 65536}}", &["server_port_override is 65536"]),
        ("{discovery: {method: base}, backend_port_override: 'x'}", &["services.web.backend_port_override is \"x\""]),
        (
            "{discovery: {method: base}, haproxy: {server_port_override: 1, server_backup_port: '1'}}",
            &["services.web.haproxy.server_backup_port is 1", "another port"],
        ),
        ("{discovery: {method: base}, haproxy: {listen: mode http}}", &["services.web.haproxy.listen is \"mode http\""]),
        ("{discovery: {method: base}, haproxy: {cookie_value_method: x}}", &["cookie_value_method is \"x\"", "name, hash"]),
        ("{discovery: {method: base}, default_servers: [{host: h}]}", &["services.web.default_servers[0].port is missing"]),
        ("{discovery: {method: base}, default_servers: [{port: 1}]}", &["default_servers[0].host is missing"]),
        ("{discovery: {method: base}, default_servers: [{host: a b, port: 1}]}", &["host is \"a b\""]),
        ("{discovery: {method: base}, default_servers: [{host: h, port: 1, weight: 257}]}", &["weight is 257", "0 to 256"]),
        ("{discovery: {method: base}, default_servers: {}}", &["services.web.default_servers is a map", "a list"]),
        ("{discovery: {method: base}, load_test_concurrency: 0}", &["load_test_concurrency is 0"]),
        ("{discovery: {method: base}, leader_election: 1}", &["leader_election is 1"]),
    ] {
        check(&around(&format!("  web: {keys}\n")), words);
    }
    check(&around("  a/b: {discovery: {method: base}}\n"), &["services.a/b is \"a/b\"", "slashes"]);
    check(
        &around("  a_0: {discovery: {method: base}}\n  a: {discovery: {method: base}, load_test_concurrency: 1}\n"),
        &["a_0", "twice"],
    );
}

#[test]
fn discoveries() {
    let long = format!(
        "{{method: ec2tag, tag_name: a, tag_value: b, aws_access_key_id: a, aws_secret_access_key: \"{}\\n\"}}",
        "s3cr3t"
    );
    for (discovery, words) in [
        ("{method: ec2tag, tag_value: b}", &["discovery.tag_name is missing"][..]),
        ("{method: ec2tag, tag_name: a}", &["discovery.tag_value is missing"]),
        (
            "{method: ec2tag, tag_name: a, tag_value: b}",
            &["services.web.backend_port_override is missing", "server_port_override"],
        ),
        ("{method: ec2tag, tag_name: a, tag_value: b, check_interval: 0}", &["discovery.check_interval is 0", "0.1 to"]),
        ("{method: ec2tag, tag_name: a, tag_value: b, aws_access_key_id: a}", &["aws_secret_access_key is missing"]),
        (long.as_str(), &["aws_secret_access_key is something else (not shown)"]),
        ("{method: dns}", &["discovery.servers is missing"]),
        ("{method: dns, servers: [{host: h, port: 1}], nameserver: x}", &["nameserver is \"x\"", "an IP address"]),
        ("{method: docker, servers: []}", &["discovery.servers is missing"]),
        ("{method: docker, servers: [{host: h}], container_port: 1}", &["image_name is missing"]),
        ("{method: docker, servers: [{host: h}], image_name: a}", &["container_port is missing"]),
        ("{method: docker, servers: [{}], image_name: a}", &["discovery.servers[0].host is missing"]),
        ("{method: lobby, where: 'label='}", &["discovery.where is \"label=\""]),
        ("{method: consul}", &["discovery.address is missing"]),
        ("{method: consul, address: 'ftp://x'}", &["discovery.address is \"ftp://x\""]),
        ("{method: multi}", &["discovery.watchers is missing"]),
        ("{method: multi, watchers: {a: {method: base}}}", &["discovery.resolver is missing"]),
        ("{method: multi, watchers: {a: {method: base}}, resolver: {method: x}}", &["resolver.method is \"x\"", "union"]),
        ("{method: multi, watchers: {a: {method: base}}, resolver: {method: s3_toggle}}", &["s3_toggle is not supported"]),
        ("{method: multi, watchers: {a: {method: base}}, resolver: {method: fallback}}", &["watchers.primary is missing"]),
        (
            "{method: multi, watchers: {a: {method: base}, b: {method: base}}, resolver: {method: sequential, sequential_order: [a, a]}}",
            &["resolver.sequential_order is a list", "all watchers, each once: a, b"],
        ),
        ("{method: multi, watchers: {a: {method: multi}}, resolver: {method: union}}", &["watchers.a.method is \"multi\""]),
        ("{method: multi, watchers: {a: {method: etcd}}, resolver: {method: union}}", &["service web", "not built yet"]),
        (
            "{method: multi, watchers: {a: {method: base}, b: {method: base, label_filter: {label: a, value: b, condition: equals}}}, resolver: {method: union}}",
            &["discovery.watchers", "label_filters of only some watchers is not supported"],
        ),
        (
            "{method: base, label_filters: [{label: a, value: b, condition: like}]}",
            &["label_filters[0].condition is \"like\"", "not-equals"],
        ),
        ("{method: base, label_filters: [{label: a, value: b}]}", &["label_filters[0].condition is missing"]),
        ("{method: base, label_filters: {}}", &["label_filters is a map"]),
    ] {
        check(&around(&format!("  web: {{discovery: {discovery}}}\n")), words);
    }
    check(
        &around(
            "  web: {discovery: {method: base}, discovery_multi: {watchers: {primary: {method: base}}, resolver: {method: union}}}\n",
        ),
        &["discovery_multi.watchers.primary", "another name"],
    );
}

#[test]
fn there_is_a_bound_on_services() {
    let services = |count: usize| -> String {
        let one = |n| format!("\"s{n}\":{{\"discovery\":{{\"method\":\"base\"}}}},");
        let all: String = (0..count).map(one).collect();
        format!("{{\"file_output\":{{\"output_directory\":\"/o\"}},\"services\":{{{all}}}}}")
    };
    assert_eq!(parsed(&services(4096)).0.services.len(), 4096);
    check(&services(4097), &["more than 4096 services"]);
    let clones = "  a: {discovery: {method: base}, load_test_concurrency: 4096}\n";
    assert_eq!(parsed(&around(clones)).0.services.len(), 4096);
    check(&around(&format!("{clones}  b: {{discovery: {{method: base}}}}\n")), &["more than 4096 services"]);
    let large = format!(
        "  a: {{discovery: {{method: base}}, load_test_concurrency: 4096, haproxy: {{listen: [{}]}}}}\n",
        "x".repeat(1 << 20)
    );
    check(&around(&large), &["bytes of values"]);
}

#[test]
fn nginx() {
    let nginx = |keys: &str| format!("nginx: {{{keys}}}\n");
    check(&nginx(""), &["nginx.contexts is missing"]);
    check(&nginx("contexts: {main: [\"a\\u0007\"]}"), &["nginx.contexts.main[0] is", "a directive"]);
    check(&nginx("contexts: {main: []}"), &["nginx.contexts.events is missing"]);
    let contexts = "contexts: {main: [], events: []}";
    check(&nginx(contexts), &["nginx.config_file_path is missing", "do_writes"]);
    check(&nginx(&format!("{contexts}, config_file_path: /n")), &["nginx.check_command is missing"]);
    check(&nginx(&format!("{contexts}, do_writes: false")), &["nginx.reload_command is missing"]);
    check(&nginx(&format!("{contexts}, do_writes: false, reload_command: r")), &["nginx.start_command is missing"]);
}
