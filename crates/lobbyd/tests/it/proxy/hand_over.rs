//! An HAProxy that somebody else has started, with a `program` and no other way to reload: each reload is a new process that
//! takes the listeners of the old one over.

use std::{collections::BTreeSet, fs, process::Command};

use lobby_testkit::{
    eventually, expect, http,
    load::{Connections, Load, Report},
    port,
    process::{Process, Signal, find},
};

use super::stage::{Place, Server};
use crate::fleet::SOON;

/// Requests after the change.
const SOME: u64 = 100;

/// What lobbyd knows of it, and one more stanza.
fn write(place: &Place, more: &str) {
    let program = find("haproxy");
    place.write(&format!("program = \"{}\"\nreload_interval = \"1s\"", program.display()), more);
}

/// As an init script starts one: in the background, with a file that it had before lobbyd.
fn start(place: &Place, exposed: &str) {
    let (file, socket) = (place.path("haproxy.cfg"), place.path("haproxy.sock"));
    let text = format!(
        "global\n\tstats socket {} mode 660 level admin{exposed}\ndefaults\n\tmode http\n\ttimeout connect 1s\n\
         \ttimeout client 9s\n\ttimeout server 9s\nfrontend web\n\tbind {}\n\tdefault_backend web\nbackend web\n",
        socket.display(),
        place.front
    );
    fs::write(&file, text).unwrap();
    let mut command = Command::new(find("haproxy"));
    command.arg("-D").arg("-f").arg(file).arg("-p").arg(place.path("haproxy.cfg.pid"));
    let mut started = Process::start("haproxy -D", command);
    assert!(started.wait(SOON).success(), "{}", started.log());
}

fn noted(place: &Place) -> BTreeSet<u32> {
    let text = fs::read_to_string(place.path("haproxy.cfg.pid")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[test]
fn a_new_process_takes_the_listeners_over_and_no_request_is_lost() {
    assert_eq!(takes_over(" expose-fd listeners").failed, [].into());
}

#[test]
fn one_that_does_not_give_its_listeners_is_followed_all_the_same() {
    assert!(takes_over("").n_answered() > SOME);
}

/// What clients felt when a new process took over.
fn takes_over(exposed: &str) -> Report {
    let place = Place::new();
    start(&place, exposed);
    write(&place, "");
    let mut agent = place.builder("n0").start();
    let server = Server::start("s");
    server.register(&agent, 1);
    place.answers(&agent, SOON);
    place.is_known(&agent);
    let before = place.worker();
    let load = Load::start(place.front, Connections::New, 200);
    let new = port::free_address();
    write(&place, &format!("[proxy.service.new]\nport = {}\nservice = \"web\"", new.port()));
    agent.process.signal(Signal::HUP);
    eventually(SOON, || {
        let status = http::get(new, "/").map(|answer| answer.status);
        expect(matches!(status, Ok(200)), (status, agent.process.log()))
    });
    let n_sent = load.n_sent();
    eventually(SOON, || expect(load.n_sent() > n_sent + SOME, load.n_sent()));
    let report = load.stop();
    assert!(place.worker() != before, "{before:?}\n{}", agent.process.log());
    // The old one has ended, and the next reload finds the new one.
    eventually(SOON, || {
        let (there, noted) = (place.processes(), noted(&place));
        expect(there.len() == 1 && noted.iter().eq(&there), (there, noted, agent.process.log()))
    });
    report
}

#[test]
fn one_whose_process_is_not_known_gets_no_second_one_beside_it() {
    let place = Place::new();
    start(&place, "");
    fs::remove_file(place.path("haproxy.cfg.pid")).unwrap();
    write(&place, "");
    let agent = place.builder("n0").start();
    let server = Server::start("s");
    server.register(&agent, 1);
    eventually(SOON, || {
        let log = agent.process.log();
        expect(log.contains("no reload: the HAProxy that answers is process") && log.contains("haproxy.cfg.pid"), log)
    });
    assert_eq!(place.processes().len(), 1, "{}", agent.process.log());
}
