//! Kills and hand edits: lobbyd in the middle of whatever it does, its HAProxy, and what somebody does to that over the socket.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime},
};

use lobby_testkit::{
    daemon::Daemon,
    eventually, expect,
    haproxy::kill,
    load::{Connections, Load},
    process::find,
};

use super::stage::{Place, Server};
use crate::fleet::SOON;

/// What drift, and an HAProxy that was killed, may take.
const REPAIRED: Duration = Duration::from_secs(1);

/// A crash loop is watched for so long.
const LOOP: Duration = Duration::from_secs(4);

/// Rounds of kills: each takes a second or two.
const KILLS: usize = 10;

/// No step of a change takes longer than all of these: read, socket, check, fsync, rename, and what is saved.
const CHANGE_MS: u64 = 80;

/// SplitMix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[test]
fn a_lobbyd_that_is_killed_in_the_middle_costs_no_request_and_no_reload() {
    let mut seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into();
    println!("seed {seed}");
    let place = Place::new();
    place.write_managed("");
    let mut agent = place.builder("n0").start();
    let servers: Vec<_> = (0..4).map(|idx| Server::start(&format!("s{idx}"))).collect();
    servers.iter().for_each(|server| server.register(&agent, 1));
    place.has(&agent, SOON, &servers.iter().map(|server| (server, 1)).collect::<Vec<_>>());
    place.is_known(&agent);
    let (before, worker) = (place.reloads(), place.worker());
    let load = Load::start(place.front, Connections::New, 200);
    let mut weights = [Some(1); 4];
    for round in 0..KILLS {
        // Away, back with another weight; then the next one.
        let idx = round / 2 % servers.len();
        weights[idx] = if weights[idx].is_some() { None } else { Some(1 + u32::try_from(round).unwrap()) };
        match weights[idx] {
            Some(weight) => servers[idx].register(&agent, weight),
            None => servers[idx].deregister(&agent),
        }
        let wait = Duration::from_millis(random(&mut seed) % CHANGE_MS);
        crate::fleet::throughout(wait, || ());
        agent.kill();
        agent = agent.start_again();
        let wanted: Vec<_> = servers.iter().zip(weights).filter_map(|(server, weight)| Some((server, weight?))).collect();
        place.has(&agent, SOON, &wanted);
    }
    let report = load.stop();
    assert_eq!(report.n_failed(), 0, "{report:?}\n{}", agent.process.log());
    assert_eq!((place.reloads(), place.worker()), (before, worker), "{}", agent.process.log());
}

#[test]
fn a_lobbyd_that_is_killed_during_a_reload_finishes_it_at_its_next_start() {
    let mut seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into();
    println!("seed {seed}");
    let place = Place::new();
    let marked = |round: usize| place.write_managed(&format!("frontend = [\"http-response set-header X-Mark {round}\"]"));
    marked(0);
    let mut agent = place.builder("n0").start();
    let server = Server::start("s");
    server.register(&agent, 1);
    place.has(&agent, SOON, &[(&server, 1)]);
    place.is_known(&agent);
    let load = Load::start(place.front, Connections::New, 200);
    for round in 1..=KILLS / 2 {
        marked(round);
        agent.process.signal(lobby_testkit::process::Signal::HUP);
        // A reload of HAProxy takes about as long again as a change.
        let wait = Duration::from_millis(random(&mut seed) % (2 * CHANGE_MS));
        crate::fleet::throughout(wait, || ());
        agent.kill();
        agent = agent.start_again();
        eventually(SOON, || {
            let mark = lobby_testkit::http::get(place.front, "/").map(|answer| answer.header("x-mark").map(str::to_owned));
            expect(mark.as_ref().is_ok_and(|mark| *mark == Some(round.to_string())), (mark, agent.process.log()))
        });
    }
    let report = load.stop();
    assert_eq!(report.n_failed(), 0, "{report:?}\n{}", agent.process.log());
}

/// In the middle of its start, when nobody has written down yet that it runs.
#[test]
fn a_lobbyd_that_is_killed_while_it_starts_haproxy_leaves_one_and_no_more() {
    let mut seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into();
    println!("seed {seed}");
    let place = Place::new();
    place.write_managed("");
    let server = Server::start("s");
    let mut agent = place.builder("n0").start();
    server.register(&agent, 1);
    for _ in 0..KILLS / 2 {
        place.has(&agent, SOON, &[(&server, 1)]);
        place.processes().into_iter().for_each(kill);
        let wait = Duration::from_millis(random(&mut seed) % (3 * CHANGE_MS));
        crate::fleet::throughout(wait, || ());
        agent.kill();
        agent = agent.start_again();
        place.answers(&agent, SOON);
        // A master and its worker.
        eventually(SOON, || expect(place.processes().len() == 2, (place.processes(), agent.process.log())));
    }
}

#[test]
fn edits_by_hand_are_repaired() {
    let place = Place::new();
    place.write_managed("");
    let agent = place.builder("n0").start();
    let servers = ["a", "b", "c"].map(Server::start);
    servers.iter().for_each(|server| server.register(&agent, 1));
    let all: Vec<_> = servers.iter().map(|server| (server, 1)).collect();
    place.has(&agent, SOON, &all);
    place.is_known(&agent);
    let before = place.reloads();
    let n_repairs = || agent.process.log().matches("changed over the socket").count();
    let one = format!("web/n0_127.0.0.1:{}", servers[0].port);
    for edits in [
        vec![format!("set server {one} weight 7")],
        vec![format!("set server {one} state maint")],
        vec![format!("set server {one} state drain")],
        vec![format!("set server {one} addr 127.0.0.9 port 9")],
        vec![format!("set server {one} state maint"), format!("del server {one}")],
        vec!["add server web/more 127.0.0.1:9".into(), "set server web/more state ready".into()],
    ] {
        let before = n_repairs();
        for edit in &edits {
            let answer = place.ask(edit);
            assert!(!answer.contains("No such") && !answer.contains("nknown"), "{edit}: {answer}");
        }
        place.has(&agent, REPAIRED, &all);
        eventually(SOON, || expect(n_repairs() > before, (edits.join("; "), agent.process.log())));
    }
    assert_eq!(place.reloads(), before, "{}", agent.process.log());
}

#[test]
fn edits_by_hand_while_lobbyd_is_away_are_repaired_when_it_is_back() {
    let place = Place::new();
    place.write_managed("");
    let mut agent = place.builder("n0").start();
    let servers = ["a", "b", "c"].map(Server::start);
    servers.iter().for_each(|server| server.register(&agent, 1));
    let all: Vec<_> = servers.iter().map(|server| (server, 1)).collect();
    place.has(&agent, SOON, &all);
    place.is_known(&agent);
    let before = (place.reloads(), place.worker());
    agent.kill();
    let name = |at: usize| format!("web/n0_127.0.0.1:{}", servers[at].port);
    for edit in [
        format!("set server {} state maint", name(0)),
        format!("set server {} state maint", name(1)),
        format!("del server {}", name(1)),
        "add server web/stray 127.0.0.1:9".into(),
        "set server web/stray state ready".into(),
    ] {
        let answer = place.ask(&edit);
        assert!(!answer.contains("No such") && !answer.contains("nknown"), "{edit}: {answer}");
    }
    assert_ne!(place.ready(), Ok(lines(&all)));
    let agent = agent.start_again();
    place.has(&agent, REPAIRED, &all);
    place.answers(&agent, REPAIRED);
    assert_eq!((place.reloads(), place.worker()), before, "{}", agent.process.log());
}

/// A managed HAProxy that has one server, which lobbyd knows.
fn with_one_server() -> (Place, Daemon, Server) {
    let place = Place::new();
    place.write_managed("");
    let agent = place.builder("n0").start();
    let server = Server::start("s");
    server.register(&agent, 1);
    place.has(&agent, SOON, &[(&server, 1)]);
    place.is_known(&agent);
    (place, agent, server)
}

#[test]
fn a_frontend_that_is_switched_off_by_hand_serves_again() {
    let (place, agent, _server) = with_one_server();
    place.answers(&agent, SOON);
    let before = place.reloads();
    for (edit, told, n_reloads) in
        [("disable frontend web", "enable frontend", 0), ("shutdown frontend web", "[\"frontend\"]", 1)]
    {
        assert_eq!(place.ask(edit).trim(), "");
        eventually(SOON, || expect(agent.process.log().contains(told), (edit, agent.process.log())));
        place.answers(&agent, REPAIRED);
        assert_eq!(place.reloads(), before + n_reloads, "{edit}\n{}", agent.process.log());
    }
}

fn lines(servers: &[(&Server, u32)]) -> Vec<(String, u32, u32)> {
    let mut lines: Vec<_> = servers.iter().map(|(server, weight)| server.line(*weight)).collect();
    lines.sort();
    lines
}

#[test]
fn a_managed_haproxy_that_is_killed_serves_again_with_the_same_backends() {
    let place = Place::new();
    place.write_managed("");
    let agent = place.builder("n0").start();
    let servers = ["a", "b"].map(Server::start);
    servers.iter().for_each(|server| server.register(&agent, 2));
    let all: Vec<_> = servers.iter().map(|server| (server, 2)).collect();
    place.has(&agent, SOON, &all);
    place.is_known(&agent);
    let worker = || place.worker().and_then(|pid| pid.parse::<u32>().ok());
    let master = || place.processes().into_iter().min();
    for what in ["worker", "master", "master and worker"] {
        let (before, master) = (worker(), master());
        assert!(before.is_some() && master.is_some() && before != master, "{before:?} {master:?}");
        master.filter(|_| what.contains("master")).into_iter().for_each(kill);
        before.filter(|_| what.contains("worker")).into_iter().for_each(kill);
        eventually(REPAIRED, || {
            let (now, ready) = (worker(), place.ready());
            expect(now.is_some() && now != before && ready == Ok(lines(&all)), (what, now, ready, agent.process.log()))
        });
        place.answers(&agent, REPAIRED);
        place.is_known(&agent);
    }
}

#[test]
fn a_foreign_haproxy_that_takes_over_is_named() {
    let (place, agent, _server) = with_one_server();
    let master = place.processes().into_iter().min().unwrap().to_string();
    let mut foreign = std::process::Command::new(find("haproxy"));
    foreign.arg("-db").arg("-f").arg(place.path("haproxy.cfg")).args(["-sf", &master]);
    let foreign = lobby_testkit::process::Process::start("foreign", foreign);
    let named = format!("process {} told it to finish", foreign.pid());
    eventually(SOON, || expect(agent.process.log().contains(&named), (&named, agent.process.log())));
    place.answers(&agent, SOON);
}

#[test]
fn a_managed_haproxy_that_ends_at_once_is_started_ever_more_seldom() {
    let place = Place::new();
    let (program, starts, flag) = (place.path("haproxy-that-ends"), place.path("starts"), place.path("works"));
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *-W*) test -e {} || {{ echo start >> {}; exit 1; }} ;; esac\nexec {} \"$@\"\n",
        flag.display(),
        starts.display(),
        find("haproxy").display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    place.write(&Place::managed(&program.display().to_string()), "");
    let agent = place.builder("n0").start();
    let n_starts = || fs::read_to_string(&starts).unwrap_or_default().lines().count();
    eventually(SOON, || expect(n_starts() >= 3, agent.process.log()));
    crate::fleet::throughout(LOOP, || ());
    // After 100, 200, 400 ms and so on: not one of them is to be missed, nor are there more.
    assert!((4..=8).contains(&n_starts()), "{}\n{}", n_starts(), agent.process.log());
    assert!(agent.process.log().contains("managed process: it ended"), "{}", agent.process.log());
    assert_eq!(agent.get("/v1/health").status, 200, "nothing else ends with it");
    eventually(SOON, || {
        // Between two starts; for a moment it may run.
        let shown = agent.get("/v1/health").json()["proxy"].clone();
        expect(shown["crashes"].as_u64() >= Some(3) && shown["backoff_ms"].as_u64() >= Some(100), shown)
    });
    let metrics = agent.get("/metrics").text();
    let counted = metrics.lines().find_map(|line| line.strip_prefix("lobby_proxy_managed_crashes_total "));
    assert!(counted.and_then(|n| n.parse::<u64>().ok()) >= Some(3), "{metrics}");
    fs::write(&flag, "").unwrap();
    let server = Server::start("s");
    server.register(&agent, 1);
    place.has(&agent, SOON, &[(&server, 1)]);
    place.answers(&agent, SOON);
}
