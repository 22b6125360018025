//! A port that another program has: it costs its own service, and nobody else a request.

use std::{fs, net::TcpListener, time::Duration};

use lobby_testkit::{
    eventually, expect, http,
    load::{Connections, Load},
    port,
    process::Signal,
};

use super::stage::{Place, Server};
use crate::fleet::SOON;

/// What HAProxy takes to give up, and some: so long others would wait if it tried.
const WATCHED: Duration = Duration::from_secs(5);

#[test]
fn a_port_that_somebody_else_has_costs_no_other_service_a_request() {
    let place = Place::new();
    place.write_managed("");
    let mut agent = place.builder("n0").start();
    let server = Server::start("s");
    server.register(&agent, 1);
    place.has(&agent, SOON, &[(&server, 1)]);
    place.is_known(&agent);
    let (before, worker) = (place.reloads(), place.worker());
    let load = Load::start(place.front, Connections::New, 200);
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let file = place.path("lobbyd.toml");
    let text = fs::read_to_string(&file).unwrap();
    let more = format!("[proxy.service.new]\nservice = \"web\"\nport = {}\nserver_options = \"\"\n", taken.port());
    fs::write(&file, text + &more).unwrap();
    agent.process.signal(Signal::HUP);
    let named = format!("proxy.service.new: {taken} is taken by another program");
    eventually(SOON, || {
        let shown = agent.get("/v1/proxy").json()["haproxy"].clone();
        let error = shown["last_error"].as_str().unwrap_or_default().to_owned();
        expect(error.contains(&named) && shown["is_in_step"] == false, (shown, agent.process.log()))
    });
    // Servers go on meanwhile.
    let other = Server::start("other");
    other.register(&agent, 2);
    place.has(&agent, SOON, &[(&server, 1), (&other, 2)]);
    crate::fleet::throughout(WATCHED, || ());
    assert_eq!((place.reloads(), place.worker()), (before, worker), "{}", agent.process.log());
    drop(holder);
    eventually(SOON, || {
        let status = http::get(taken, "/").map(|answer| answer.status);
        expect(matches!(status, Ok(200)), (status, agent.process.log()))
    });
    let report = load.stop();
    assert!(report.n_answered() > 500, "{report:?}");
    assert_eq!(report.n_failed(), 0, "{report:?}\n{}", agent.process.log());
    assert_eq!(place.reloads(), before + 1, "{}", agent.process.log());
}

/// Nothing runs yet, so nobody is kept from working: HAProxy itself says why it does not start.
#[test]
fn a_first_start_that_a_taken_port_prevents_is_told_in_haproxys_words() {
    let place = Place::new();
    let more = port::free_address();
    place.write_managed(&format!("[proxy.service.new]\nport = {}", more.port()));
    let holder = TcpListener::bind(more).unwrap();
    let agent = place.builder("n0").start();
    eventually(SOON, || {
        let error = agent.get("/v1/proxy").json()["haproxy"]["last_error"].as_str().unwrap_or_default().to_owned();
        expect(error.contains("frontend new") && error.contains(&more.to_string()), (error, agent.process.log()))
    });
    drop(holder);
    let server = Server::start("s");
    server.register(&agent, 1);
    place.has(&agent, SOON, &[(&server, 1)]);
    place.answers(&agent, SOON);
}
