//! Every server that the test kit can start does start, restarts on its port and dies with its owner.

use std::time::Duration;

use lobby_testkit::{
    http, port,
    process::installed,
    server::{nats, nginx, prometheus, redis, traefik},
    tls::Ca,
};

#[test]
fn nats_keeps_its_port_and_dies_with_its_owner() {
    let mut server = nats::start("");
    let address = server.address;
    server.kill();
    assert!(!port::is_open(address));
    server.restart();
    assert!(port::is_open(address));
    drop(server);
    assert!(!port::is_open(address));
}

#[test]
fn three_nats_servers_know_each_other() {
    assert_eq!(nats::cluster(3).len(), 3);
}

#[test]
fn servers_with_tls_start() {
    let ca = Ca::new();
    nats::start_tls(&ca, "");
    redis::start_tls(&ca, &["--requirepass", "secret"]);
}

#[test]
fn prometheus_and_nginx_talk_http() {
    let web = nginx::start(|address, _| format!("server {{ listen {address}; location / {{ return 200 'hello'; }} }}"));
    let answer = http::get(web.address, "/").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    let server = prometheus::start("global: { scrape_interval: 1s }\n");
    assert!(prometheus::targets(&server).is_empty());
}

#[test]
fn traefik_without_a_route_knows_nobody() {
    let server = traefik::start("");
    assert_eq!(http::get(server.address, "/").unwrap().status, 404);
}

#[test]
fn what_the_test_command_installs_is_found_below_the_folder_it_names() {
    assert!(installed("CARGO_MANIFEST_DIR", "tests/servers.rs").is_file());
}

#[test]
#[should_panic(expected = "run ./test")]
fn what_is_not_installed_names_the_command_that_installs_it() {
    installed("CARGO_MANIFEST_DIR", "no/such/file");
}

#[test]
fn a_program_that_ends_is_reported_with_its_status() {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "echo out; echo err >&2; exit 3"]);
    let mut process = lobby_testkit::process::Process::start("sh", command);
    assert_eq!(process.wait(Duration::from_secs(5)).code(), Some(3));
    process.wait_for_log(Duration::from_secs(5), "err");
    process.wait_for_log(Duration::from_secs(5), "out");
}
