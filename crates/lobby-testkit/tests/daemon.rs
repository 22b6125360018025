//! How a daemon is started, tried on a shell script that behaves like one.

use std::time::Duration;

use lobby_testkit::{
    daemon::{Builder, Daemon},
    port,
};

const SOON: Duration = Duration::from_secs(10);

fn script(text: &str) -> Builder {
    Daemon::build("/bin/sh", "a").arg("-c").arg(text)
}

#[test]
fn a_ready_daemon_knows_its_addresses_and_keeps_its_folder() {
    let ready = r#"{"ready":true,"node":"ab","http":"127.0.0.1:1","gossip":"127.0.0.1:2"}"#;
    let text = format!(
        "trap 'exit 0' TERM; echo $HOSTNAME $DATA_DIR $MORE >&2; touch kept; echo '{ready}'; while :; do sleep 0.1; done"
    );
    let mut daemon = script(&text).env("MORE", 7).without_env("DATA_DIR").start();
    assert_eq!((daemon.http.port(), daemon.gossip().port(), daemon.node().as_str()), (1, 2, "ab"));
    daemon.process.wait_for_log(SOON, "a 7\n");
    daemon.kill();
    let mut daemon = daemon.start_again();
    assert!(daemon.folder().join("kept").exists());
    daemon.stop(SOON);
}

#[test]
fn a_refused_configuration_has_a_code_and_a_log() {
    let (code, log) = script("echo PORT=$PORT is bad >&2; exit 64").run(SOON);
    assert_eq!(code, Some(64));
    assert!(log.contains("PORT=0 is bad"));
}

#[test]
#[should_panic(expected = "why it failed")]
fn a_daemon_that_is_not_ready_shows_its_log() {
    script("echo why it failed >&2; echo; exec sleep 60").start();
}

#[test]
fn ports_are_below_those_of_outgoing_connections() {
    let ports: std::collections::BTreeSet<_> = (0..50).map(|_| port::free()).collect();
    assert_eq!(ports.len(), 50);
    assert!(ports.iter().all(|port| *port < 32_768));
}
