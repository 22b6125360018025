//! `lobbyctl deploy swap` and drains under requests: two versions take turns on two ports, and each old one ends as soon as
//! HAProxy has it as the backup. And lobbyd killed in the middle of a drain and of a swap.
//!
//! Not here: what `swap` asks a daemon (lobbyctl's tests), swaps by labels at 1 000 requests a second (`bench proxy`).

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, SystemTime},
};

use lobby_testkit::{
    daemon::Daemon,
    eventually, expect,
    load::{Connections, Load},
    port,
    process::find,
};
use serde_json::json;

use super::{
    program::{Program, slow_ones},
    stage::Place,
};
use crate::fleet::{SOON, all_list, ctl, ctl_command, daemon, is_warm, json, throughout};

/// Requests a second of each load.
const RATE: u32 = 100;

/// For how many requests each state is kept.
const SOME: u64 = 60;

/// What a server of ours that is gone, or turns into the backup, has to finish. Longer than a request, shorter than a patience.
const DRAIN: &str = "drain = \"500ms\"";

/// No step of a swap ends later than all of them: labels, socket, drain, file.
const SWAP_MS: u64 = 900;

/// So many requests among three servers that each has one of them.
const SLOW: usize = 24;

/// `web` as a pair of ports, with an HAProxy that is managed.
struct Pair {
    place: Place,
    ports: [u16; 2],
}

impl Pair {
    fn new() -> Self {
        let (place, ports) = (Place::new(), [port::free(), port::free()]);
        let text = format!(
            "[proxy.haproxy]\nconfig = {:?}\n{}\n{DRAIN}\n[proxy.service.web]\nport = {}\nbackup_port = {}\n\
             server_options = \"check inter 100ms fall 1 rise 1\"\n",
            place.path("haproxy.cfg"),
            Place::managed(&find("haproxy").display().to_string()),
            place.front.port(),
            ports[1]
        );
        fs::write(place.path("lobbyd.toml"), text).unwrap();
        Self { place, ports }
    }

    /// At the first of the ports; it stays registered there, whatever runs.
    #[track_caller]
    fn register(&self, agent: &Daemon) {
        let body = json!({ "address": "127.0.0.1", "port": self.ports[0] }).to_string();
        let answer = agent.request("PUT", "/v1/services/web/web-1", &[], &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Which port HAProxy itself has as what.
    fn roles(&self) -> Result<BTreeMap<String, &'static str>, String> {
        let shown = self.place.try_ask("show stat")?;
        let mut lines = shown.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let head = lines.next().ok_or("no statistics")?;
        let at = |name: &str| head.iter().position(|word| *word == name).ok_or(format!("no {name} in {head:?}"));
        let (backup, status, address) = (at("bck")?, at("status")?, at("addr")?);
        let servers = lines.filter(|line| line.len() > address && line[0] == "web" && !matches!(line[1], "FRONTEND" | "BACKEND"));
        let role = |line: Vec<&str>| match (line[backup], line[status]) {
            (_, status) if status.starts_with("MAINT") || status.starts_with("DRAIN") => "out",
            ("1", _) => "backup",
            _ => "primary",
        };
        Ok(servers.map(|line| (line[address].rsplit(':').next().unwrap_or_default().to_owned(), role(line))).collect())
    }

    /// Waits until HAProxy has these two, and nobody else.
    #[track_caller]
    fn has(&self, agent: &Daemon, primary: u16, backup: u16) {
        let want: BTreeMap<_, _> = [(primary.to_string(), "primary"), (backup.to_string(), "backup")].into();
        eventually(SOON, || {
            let roles = self.roles();
            expect(roles.as_ref() == Ok(&want), (roles, agent.process.log()))
        });
    }
}

#[track_caller]
fn is_in_step(agent: &Daemon) {
    eventually(SOON, || {
        // Just after its start an agent may know of no proxy yet.
        let answer = agent.get("/v1/proxy");
        let is_in_step = answer.status == 200 && answer.json()["haproxy"]["is_in_step"] == true;
        expect(is_in_step, (answer.text(), agent.process.log()))
    });
}

/// Until the load has come so much further.
#[track_caller]
fn for_some_requests(load: &Load) {
    let n_sent = load.n_sent();
    eventually(SOON, || expect(load.n_sent() >= n_sent + SOME, load.n_sent()));
}

fn random(below: u64) -> u64 {
    u64::from(SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos()) / 1000 % below
}

#[test]
fn deploy_swap_brings_each_version_and_the_old_one_ends_without_a_lost_request() {
    let pair = Pair::new();
    // The proxy is another agent than the one whose versions change.
    let proxy = pair.place.builder("n0").start();
    let host = daemon("n1").env("GOSSIP_JOIN", proxy.gossip()).start();
    all_list([&proxy, &host], &["n0", "n1"]);
    [&proxy, &host].into_iter().for_each(is_warm);
    let [first, second] = pair.ports;
    let mut runs = Program::start("v0", first);
    pair.register(&host);
    pair.has(&proxy, first, second);
    pair.place.is_known(&proxy);
    is_in_step(&proxy);
    let before = pair.place.reloads();
    let loads = [Connections::New, Connections::Kept].map(|connections| Load::start(pair.place.front, connections, RATE));
    let (code, said) = ctl(&host, &["deploy", "swap", "web", "--to", &second.to_string()]);
    assert!(code == Some(1) && said.contains(&format!("nobody listens on port {second}")), "{code:?} {said}");
    for round in 1..=6 {
        let (to, from) = if round % 2 == 1 { (second, first) } else { (first, second) };
        let next = Program::start(&format!("v{round}"), to);
        let (code, said) = ctl(&host, &["deploy", "swap", "web", "--to", &to.to_string()]);
        assert!(code == Some(0) && said.contains("\napplied by 2 of 2\n"), "{code:?} {said}");
        assert!(said.contains("not checked whether any proxy swaps web"), "n1 has none: {said}");
        pair.has(&proxy, to, from);
        // Whoever was primary is killed; nobody listens there until the next version does.
        runs = next;
        loads.iter().for_each(for_some_requests);
        let place = &json(&host, &["deploy", "status", "web"])[0];
        assert_eq!((&place["node"], &place["primary"]), (&"n1".into(), &to.into()), "{place}");
    }
    for load in loads {
        let report = load.stop();
        let log = proxy.process.log();
        assert_eq!((report.n_failed(), report.closed_idle), (0, 0), "{:?} {:?}\n{log}", report.failed, report.answered);
        assert!((0..=6).all(|version| report.answered.contains_key(&format!("v{version}"))), "{:?}", report.answered);
    }
    is_in_step(&proxy);
    assert_eq!((runs.name.as_str(), pair.place.reloads()), ("v6", before), "{}", proxy.process.log());
}

#[test]
fn a_port_outside_of_the_pair_is_refused_and_a_label_that_names_one_swaps_nothing() {
    let pair = Pair::new();
    let agent = pair.place.builder("n0").start();
    let [first, second] = pair.ports;
    let _versions = [Program::start("first", first), Program::start("second", second)];
    let third = Program::anywhere("third");
    pair.register(&agent);
    pair.has(&agent, first, second);
    let swap = |to: u16, more: &[&str]| ctl(&agent, &[&["deploy", "swap", "web", "--to", &to.to_string()], more].concat());
    assert_eq!(swap(second, &[]).0, Some(0));
    pair.has(&agent, second, first);
    let (code, said) = swap(third.port, &[]);
    let want = format!("the proxy of n0 swaps web between {first} and {second}, not to {}", third.port);
    assert!(code == Some(1) && said.contains(&want), "{code:?} {said}");
    let (code, said) = ctl(&agent, &["deploy", "swap", "other", "--to", &second.to_string(), "--force"]);
    assert!(code == Some(0) && said.contains("has no service other, of those that swap: web"), "{code:?} {said}");
    assert_eq!(json(&agent, &["deploy", "status", "web"])[0]["primary"], second, "nothing was changed");
    // Whoever insists changes nothing but the label.
    let (code, said) = swap(third.port, &["--force"]);
    assert_eq!(code, Some(0), "{said}");
    agent.process.wait_for_log(SOON, "a label names a port outside of the pair");
    is_in_step(&agent);
    throughout(Duration::from_secs(1), || {
        let want = [(first.to_string(), "backup"), (second.to_string(), "primary")].into();
        assert_eq!(pair.roles(), Ok(want), "{}", agent.process.log());
    });
    assert_eq!(agent.process.log().matches("a label names a port outside of the pair").count(), 1, "{}", agent.process.log());
    assert_eq!(swap(first, &[]).0, Some(0));
    pair.has(&agent, first, second);
}

#[test]
fn a_lobbyd_that_is_killed_in_the_middle_of_a_swap_ends_it_at_its_next_start() {
    let pair = Pair::new();
    let mut agent = pair.place.builder("n0").start();
    let [first, second] = pair.ports;
    let _versions = [Program::start("first", first), Program::start("second", second)];
    pair.register(&agent);
    pair.has(&agent, first, second);
    pair.place.is_known(&agent);
    let before = (pair.place.reloads(), pair.place.worker());
    let load = Load::start(pair.place.front, Connections::New, RATE);
    for round in 1..=6 {
        let (to, from) = if round % 2 == 1 { (second, first) } else { (first, second) };
        let arguments = ["deploy", "swap", "web", "--to", &to.to_string(), "--wait", "0"];
        let swap = ctl_command(&agent, &arguments).stdout(std::process::Stdio::null()).spawn();
        // In half of the rounds it may not even be told.
        let wait = random(if round % 2 == 0 { SWAP_MS } else { SWAP_MS / 10 });
        throughout(Duration::from_millis(wait), || ());
        agent.kill();
        let is_done = swap.unwrap().wait().unwrap().success();
        println!("round {round}: killed after {wait} ms, told: {is_done}");
        for_some_requests(&load);
        agent = agent.start_again();
        // Once told, it holds. If not, one repeats it.
        if !is_done {
            let (code, said) = ctl(&agent, &arguments);
            assert_eq!(code, Some(0), "{said}");
        }
        pair.has(&agent, to, from);
        is_in_step(&agent);
    }
    let report = load.stop();
    assert_eq!(report.n_failed(), 0, "{report:?}\n{}", agent.process.log());
    assert!(["first", "second"].iter().all(|name| report.answered.contains_key(*name)), "{:?}", report.answered);
    assert_eq!((pair.place.reloads(), pair.place.worker()), before, "{}", agent.process.log());
}

/// Of the server at `port`: its administrative state, if HAProxy has it.
fn admin(place: &Place, port: u16) -> Result<Option<u32>, String> {
    let servers = lobby_testkit::haproxy::servers(&place.path("haproxy.sock"), "web").map_err(|err| err.to_string())?;
    Ok(servers.into_iter().find(|(address, ..)| *address == format!("127.0.0.1:{port}")).map(|(_, admin, _)| admin))
}

#[test]
fn a_lobbyd_that_is_killed_in_the_middle_of_a_drain_keeps_serving_and_repairs_what_changed_meanwhile() {
    let place = Place::new();
    place.write(&format!("{}\ndrain = \"3s\"", Place::managed(&find("haproxy").display().to_string())), "");
    let mut agent = place.builder("n0").start();
    let programs = ["a", "b", "c"].map(Program::anywhere);
    let ask = |agent: &Daemon, method: &str, path: &str, body: &str| {
        let answer = agent.request(method, path, &[], body);
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    };
    let register = |agent: &Daemon, program: &Program| {
        let body = json!({ "address": "127.0.0.1", "port": program.port }).to_string();
        ask(agent, "PUT", &format!("/v1/services/web/{}", program.name), &body);
    };
    programs.iter().for_each(|program| register(&agent, program));
    let ready_but = |agent: &Daemon, but: Option<u16>| {
        let there = programs.iter().filter(|program| Some(program.port) != but);
        let mut want: Vec<_> = there.map(|program| (format!("127.0.0.1:{}", program.port), 0, 1)).collect();
        want.sort();
        eventually(SOON, || expect(place.ready().as_ref() == Ok(&want), (place.ready(), agent.process.log())));
        is_in_step(agent);
    };
    ready_but(&agent, None);
    place.is_known(&agent);
    let before = (place.reloads(), place.worker());
    let load = Load::start(place.front, Connections::New, RATE);
    for round in 0..4 {
        let (it, other, goes) = (&programs[round % 3], &programs[(round + 1) % 3], round % 2 == 1);
        let slow = slow_ones(place.front, SLOW);
        for_some_requests(&load);
        let path = format!("/v1/services/web/{}", it.name);
        if goes {
            ask(&agent, "DELETE", &path, "");
        } else {
            ask(&agent, "PUT", &format!("{path}/drain"), "");
        }
        // HAProxy was told, and waits for the slow ones.
        eventually(SOON, || expect(!matches!(admin(&place, it.port), Ok(Some(0))), agent.process.log()));
        agent.kill();
        assert!(matches!(admin(&place, it.port), Ok(Some(_))), "it still works on slow requests");
        let [it_is, other_is] = [it, other].map(|program| format!("web/n0_127.0.0.1:{}", program.port));
        for edit in [format!("set server {it_is} state ready"), format!("set server {other_is} weight 7")] {
            let said = place.ask(&edit);
            assert!(!said.contains("No such") && !said.contains("nknown"), "{edit}: {said}");
        }
        for_some_requests(&load);
        agent = agent.start_again();
        ready_but(&agent, Some(it.port));
        let slow: Vec<_> = slow.into_iter().map(|slow| slow.join().unwrap()).collect();
        assert!(slow.iter().all(|answer| matches!(answer, Ok((200, _)))), "{slow:?}\n{}", agent.process.log());
        assert!(slow.contains(&Ok((200, it.name.clone()))), "the drained one had some: {slow:?}");
        if goes {
            eventually(SOON, || expect(admin(&place, it.port) == Ok(None), agent.process.log()));
            register(&agent, it);
        } else {
            ask(&agent, "DELETE", &format!("{path}/drain"), "");
        }
        ready_but(&agent, None);
    }
    let report = load.stop();
    assert_eq!(report.n_failed(), 0, "{report:?}\n{}", agent.process.log());
    assert_eq!((place.reloads(), place.worker()), before, "{}", agent.process.log());
}
