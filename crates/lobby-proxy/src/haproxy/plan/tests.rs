//! Tables of plans: what is wanted, what runs, what is done about it, as people read it.

use super::*;
use crate::haproxy::{
    Server,
    state::{Admin, RunningServer},
};

const DRAIN: Duration = Duration::from_secs(5);

#[expect(clippy::disallowed_methods, reason = "any moment: these tests only add to it")]
fn start() -> Instant {
    Instant::now()
}

fn server(name: &str, last: u8) -> Server {
    Server { name: name.into(), host: format!("10.0.0.{last}"), port: 80, options: "check inter 1s".into(), ..Server::default() }
}

fn backend(servers: &[Server]) -> Backend {
    Backend { name: "web".into(), servers: servers.to_vec(), is_dynamic: true, ..Backend::default() }
}

fn there(last: u8) -> RunningServer {
    RunningServer {
        address: format!("10.0.0.{last}").parse().ok(),
        port: 80,
        id: Some(last.into()),
        weight: 1,
        initial_weight: 1,
        is_up: true,
        n_busy: Some(1),
        ..RunningServer::default()
    }
}

fn running(version: &str, servers: &[(&str, RunningServer)]) -> Running {
    let servers = servers.iter().map(|(name, server)| ((*name).to_owned(), server.clone())).collect();
    let foreign = BTreeMap::from([("x".to_owned(), there(99))]);
    let backends = BTreeMap::from([("web".to_owned(), servers), ("foreign".to_owned(), foreign)]);
    Running { version: version.parse().unwrap(), pid: 7, frontends: BTreeMap::new(), backends }
}

#[track_caller]
fn check(wanted: &Backend, running: &Running, want: &[&str]) {
    check_with(wanted, running, &Memory::default(), start(), want);
}

#[track_caller]
fn check_with(wanted: &Backend, running: &Running, memory: &Memory, now: Instant, want: &[&str]) {
    let plan = plan(std::slice::from_ref(wanted), running, memory, now, DRAIN);
    assert_eq!(plan.to_string().lines().map(str::trim).collect::<Vec<_>>(), want);
}

#[test]
fn what_is_right_needs_nothing() {
    let mut other_form = server("c", 3);
    other_form.host = "0:0::1".into();
    let c = RunningServer { address: "::1".parse().ok(), ..there(3) };
    let wanted = backend(&[server("a", 1), other_form]);
    check(&wanted, &running("2.6.12", &[("a", there(1)), ("c", c)]), &["0 reloads"]);
}

#[test]
fn servers_of_hand_written_lines_stay_unless_they_stand_by() {
    let spare = RunningServer { admin: Admin::Maint, ..there(7) };
    let found = running("2.6.12", &[("a", there(1)), ("own", there(2)), ("slot1", spare)]);
    let mut wanted = backend(&[server("a", 1)]);
    wanted.foreign = vec!["own".into(), "slot1".into()];
    check(&wanted, &found, &["0 reloads"]);
    wanted.foreign.clear();
    let now = plan(&[wanted], &found, &Memory::default(), start(), DRAIN);
    assert!(now.to_string().contains("set server web/own state drain"), "{now}");
}

#[test]
fn what_can_be_set_is_set() {
    let (mut a, mut b) = (server("a", 9), server("b", 2));
    a.weight = Some(20);
    b.options = "check weight 7".into();
    let b_runs = RunningServer { admin: Admin::Maint, lacks_check: true, ..there(2) };
    let running = running("2.6.12", &[("a", there(1)), ("b", b_runs)]);
    let want = [
        "5 × set server, 0 reloads",
        "set server web/a addr 10.0.0.9:80",
        "set server web/a weight 20",
        "set server web/b weight 7",
        "enable health web/b",
        "set server web/b state ready",
    ];
    check(&backend(&[a, b]), &running, &want);
}

#[test]
fn what_comes_stands_before_what_goes() {
    let mut new = server("new", 2);
    (new.weight, new.id, new.is_backup) = (Some(3), Some(44), true);
    let mut wanted = backend(&[server("a", 1), new]);
    wanted.server_defaults = "fall 2 enabled init-addr none".into();
    let idle = RunningServer { n_busy: Some(0), ..there(4) };
    let running = running("2.6.12", &[("a", there(1)), ("busy", there(3)), ("idle", idle)]);
    let want = [
        "2 × set server, 1 × add server, 1 × del server, 0 reloads",
        "add server web/new 10.0.0.2:80 fall 2 check inter 1s backup weight 3 id 44",
        "set server web/busy state drain",
        "set server web/idle state maint",
        "del server web/idle",
        "waiting: web/busy finishes what it has",
    ];
    check(&wanted, &running, &want);
}

#[test]
fn an_id_in_use_does_not_delay_a_server() {
    let new = Server { id: Some(1), ..server("new", 2) };
    let want = ["1 × add server, 0 reloads", "add server web/new 10.0.0.2:80 check inter 1s"];
    check(&backend(&[server("a", 1), new]), &running("2.6.12", &[("a", there(1))]), &want);
}

#[test]
fn two_that_come_with_one_id_both_come() {
    let new = |name, last| Server { id: Some(5), ..server(name, last) };
    let want = [
        "2 × add server, 0 reloads",
        "add server web/b 10.0.0.2:80 check inter 1s id 5",
        "add server web/c 10.0.0.3:80 check inter 1s",
    ];
    check(&backend(&[server("a", 1), new("b", 2), new("c", 3)]), &running("2.6.12", &[("a", there(1))]), &want);
}

#[test]
fn the_last_servers_stay_until_a_wanted_one_is_there() {
    let runs = running("2.6.12", &[("old", there(1))]);
    let want = ["1 × add server, 0 reloads", "add server web/new 10.0.0.2:80 check inter 1s"];
    check(&backend(&[server("new", 2)]), &runs, &want);
    let both = running("2.6.12", &[("old", there(1)), ("new", there(2))]);
    let want = ["1 × set server, 0 reloads", "set server web/old state drain", "waiting: web/old finishes what it has"];
    check(&backend(&[server("new", 2)]), &both, &want);
    // Nothing is wanted: a definite answer.
    check(&backend(&[]), &runs, &["1 × set server, 0 reloads", want[1], want[2]]);
}

#[test]
fn drain_then_maint_then_delete_then_cut_then_rest() {
    let (wanted, now) = (backend(&[server("a", 1)]), start());
    let key = ("web".to_owned(), "b".to_owned());
    let b = |admin| running("2.6.12", &[("a", there(1)), ("b", RunningServer { admin, ..there(2) })]);
    let mut memory = Memory::default();
    memory.see(7);
    memory.drains(key.clone(), now);
    let waits = ["0 reloads", "waiting: web/b finishes what it has"];
    check_with(&wanted, &b(Admin::Drain), &memory, now + DRAIN - Duration::from_millis(1), &waits);
    let maint = ["1 × set server, 1 × del server, 0 reloads", "set server web/b state maint", "del server web/b"];
    check_with(&wanted, &b(Admin::Drain), &memory, now + DRAIN, &maint);
    memory.is_busy(key.clone(), now);
    check_with(&wanted, &b(Admin::Maint), &memory, now + DELETE_WITHIN / 2, &["1 × del server, 0 reloads", "del server web/b"]);
    let cut = ["1 × del server, 0 reloads", "del server web/b, cutting its sessions"];
    check_with(&wanted, &b(Admin::Maint), &memory, now + DELETE_WITHIN, &cut);
    check_with(&wanted, &b(Admin::Maint), &memory, now + DELETE_WITHIN * 2, &["0 reloads"]);
    // Another process knows nothing of it.
    let other = Running { pid: 8, ..b(Admin::Maint) };
    check_with(&wanted, &other, &memory, now + DELETE_WITHIN * 2, &["1 × del server, 0 reloads", "del server web/b"]);
}

#[test]
fn other_options_replace_one_server_at_a_time() {
    let old = backend(&[server("a", 1), server("b", 2)]);
    let memory = Memory::started_with(7, std::slice::from_ref(&old));
    let mut new = old.clone();
    for server in &mut new.servers {
        server.options = "check inter 2s".into();
    }
    let both = [("a", there(1)), ("b", there(2))];
    let want = ["1 × set server, 0 reloads", "set server web/a state drain", "waiting: web/a finishes what it has"];
    check_with(&new, &running("2.6.12", &both), &memory, start(), &want);
    let under_way = [("a", there(1)), ("b", RunningServer { admin: Admin::Maint, ..there(2) })];
    check_with(&new, &running("2.6.12", &under_way), &memory, start(), &["1 × del server, 0 reloads", "del server web/b"]);
    // Alone, or where it cannot be added: a reload.
    new.servers.pop();
    let reload = ["1 reload", "reload: web/a: its options differ, and it cannot be replaced without a gap"];
    check_with(&new, &running("2.6.12", &both[..1]), &memory, start(), &reload);
    new.servers.push(server("b", 2));
    check_with(&new, &running("2.4.22", &both), &memory, start(), &reload);
}

#[test]
fn one_that_serves_nobody_is_replaced_at_once() {
    let old = backend(&[server("a", 1)]);
    let memory = Memory::started_with(7, std::slice::from_ref(&old));
    let new = backend(&[Server { options: "check inter 2s".into(), ..server("a", 1) }]);
    let a = RunningServer { admin: Admin::Drain, n_busy: Some(0), ..there(1) };
    let want = ["1 × set server, 1 × del server, 0 reloads", "set server web/a state maint", "del server web/a"];
    check_with(&new, &running("2.6.12", &[("a", a)]), &memory, start(), &want);
}

#[test]
fn only_a_reload_does_the_rest() {
    let reload = |wanted: Backend, version: &str, want: &str| {
        check(&wanted, &running(version, &[("a", there(1))]), &["1 reload", &format!("reload: {want}")]);
    };
    let with = |server: Server| backend(&[self::server("a", 1), server]);
    let no_place = "web/b: servers cannot be added here at run time, and none stands by";
    reload(Backend { name: "other".into(), ..backend(&[]) }, "3.3.0", "other: the process does not have this backend");
    reload(Backend { is_dynamic: false, ..with(server("b", 2)) }, "2.6.12", no_place);
    reload(with(server("b", 2)), "2.4.22", no_place);
    let cookie = with(Server { cookie: Some("b".into()), ..server("b", 2) });
    reload(Backend { has_cookies: true, ..cookie }, "2.9.0", "web/b: a cookie at run time needs HAProxy 3.0");
    let words = Server { options: "sni str(\"x\")".into(), ..server("b", 2) };
    reload(with(words), "2.6.12", "web/b: its options cannot be said through the socket");
    let backup = Server { is_backup: true, ..server("a", 1) };
    reload(backend(&[backup]), "2.6.12", "web/a: backup cannot be changed at run time, and it cannot be replaced without a gap");
    let weight = Server { weight: Some(9), ..server("a", 1) };
    let weight = Backend { is_dynamic: false, ..backend(&[weight]) };
    reload(weight, "2.6.12", "web/a: static balancing takes no weight at run time");
}

#[test]
fn a_command_cannot_be_smuggled_into_words() {
    for options in ["check;del server foreign/x", "check <<", "sni \\;", "a\u{0}b", "$HOME", "alpn \"h2\"", "x#y"] {
        let wanted = backend(&[server("a", 1), Server { options: options.into(), ..server("b", 2) }]);
        let plan = plan(&[wanted], &running("3.3.0", &[("a", there(1))]), &Memory::default(), start(), DRAIN);
        assert_eq!((plan.actions.len(), &plan.reload[0].why), (0, &Why::Words), "{options:?}");
    }
    // The end of a line is no more than a blank.
    let lines = backend(&[server("a", 1), Server { options: "check\nmaxconn 5".into(), ..server("b", 2) }]);
    let want = ["1 × add server, 0 reloads", "add server web/b 10.0.0.2:80 check maxconn 5"];
    check(&lines, &running("2.6.12", &[("a", there(1))]), &want);
    let long = Server { options: "x".repeat(5_000), ..server("b", 2) };
    let plan = plan(&[backend(&[long])], &running("3.3.0", &[]), &Memory::default(), start(), DRAIN);
    assert_eq!(plan.reload[0].why, Why::Words);
}

#[test]
fn slots_serve_where_nothing_can_be_added() {
    let spare = RunningServer { admin: Admin::Maint, ..there(0) };
    // One is b already, one still serves somebody who is gone, one rests.
    let slots = [("a", there(1)), ("slot1", there(2)), ("slot2", there(8)), ("slot10", spare)];
    let mut wanted = backend(&[server("a", 1), server("b", 2), server("c", 3)]);
    let mut want = vec![
        "2 × set server, 0 reloads",
        "set server web/slot10 addr 10.0.0.3:80 (for c)",
        "set server web/slot2 state drain",
        "waiting: web/slot2 finishes what it has",
    ];
    check(&wanted, &running("2.2.0", &slots), &want);
    // All are full: the place of the one that is gone is taken; nothing is added before something is removed.
    wanted.servers.push(server("d", 4));
    want.splice(0..1, ["2 × set server, 0 reloads"]);
    want.splice(2.., ["set server web/slot2 addr 10.0.0.4:80 (for d)"]);
    check(&wanted, &running("2.2.0", &slots), &want);
    wanted.servers.push(server("e", 5));
    let plan = plan(&[wanted], &running("2.2.0", &slots), &Memory::default(), start(), DRAIN);
    assert_eq!((plan.actions.len(), plan.reload[0].why.label()), (2, "no_place"));
}

#[test]
fn a_slot_serves_only_those_that_it_speaks_to_as_they_want() {
    let slots = [("a", there(1)), ("slot1", RunningServer { admin: Admin::Maint, ..there(0) })];
    let reasons = |options: &str, slot_options: &str, defaults: &str| {
        let mut wanted = backend(&[server("a", 1), Server { options: options.into(), ..server("b", 2) }]);
        (wanted.slot_options, wanted.server_defaults) = (slot_options.into(), defaults.into());
        plan(&[wanted], &running("2.2.0", &slots), &Memory::default(), start(), DRAIN).reload.len()
    };
    for (options, slot_options, defaults, want) in [
        ("check maxconn 5", "disabled", "", 0),
        ("check send-proxy", "check", "", 1),
        ("check", "check ssl verify none", "", 1),
        ("check ssl verify none", "ssl verify none disabled", "", 0),
        ("check", "disabled", "ssl verify none", 0),
        ("check no-ssl", "disabled", "ssl verify none", 1),
    ] {
        assert_eq!(reasons(options, slot_options, defaults), want, "{options}, {slot_options}, {defaults}");
    }
}

#[test]
fn a_name_is_not_compared_with_an_address() {
    let named = |host: &str| backend(&[Server { host: host.into(), ..server("a", 1) }]);
    let from_file = RunningServer { fqdn: Some("db.example".into()), ..there(1) };
    check(&named("db.example"), &running("2.6.12", &[("a", from_file.clone())]), &["0 reloads"]);
    let want = ["1 × set server, 0 reloads", "set server web/a addr other.example:80"];
    check(&named("other.example"), &running("2.6.12", &[("a", from_file)]), &want);
    // Looked up by us: only memory knows the name, also of one that stood by.
    let mut memory = Memory::default();
    memory.see(7);
    memory.added(("web".into(), "slot1".into()), named("db.example").servers.remove(0));
    check_with(&named("db.example"), &running("2.2.0", &[("slot1", there(1))]), &memory, start(), &["0 reloads"]);
    let want = ["1 × set server, 0 reloads", "set server web/slot1 addr db.example:80 (for a)"];
    check(&named("db.example"), &running("2.2.0", &[("slot1", there(1))]), &want);
}

#[test]
fn a_server_that_clients_will_try_again_is_not_deleted() {
    let rests = RunningServer { admin: Admin::Maint, ..there(2) };
    let deletes = |keeps_trying| {
        let wanted = Backend { keeps_trying, ..backend(&[server("a", 1)]) };
        let servers = running("2.6.12", &[("a", there(1)), ("b", rests.clone())]);
        plan(&[wanted], &servers, &Memory::default(), start(), DRAIN).actions.len()
    };
    assert_eq!([false, true].map(deletes), [1, 0]);
}

#[test]
fn one_that_drains_does_not_take_the_place_of_the_last_that_serves() {
    let mut goes = server("goes", 2);
    goes.is_draining = true;
    let mut comes = server("comes", 3);
    comes.is_backup = true;
    let found = running("2.0.0", &[("slot1", there(1))]);
    let plan = plan(&[backend(&[comes, goes.clone()])], &found, &Memory::default(), start(), DRAIN);
    assert_eq!((plan.actions.len(), plan.reload.len()), (0, 2), "{plan}");
    // Nobody else is wanted: it may.
    check(&backend(&[goes]), &found, &["1 × set server, 0 reloads", "set server web/slot1 addr 10.0.0.2:80 (for goes)"]);
}

#[test]
fn a_disabled_one_with_other_words_is_away_so_that_it_can_come_at_once() {
    let rests = RunningServer { admin: Admin::Maint, ..there(2) };
    let found = running("2.6.12", &[("a", there(1)), ("b", rests)]);
    let mut b = server("b", 2);
    b.is_disabled = true;
    check(&backend(&[server("a", 1), b.clone()]), &found, &["0 reloads"]);
    b.is_backup = true;
    check(&backend(&[server("a", 1), b]), &found, &["1 × del server, 0 reloads", "del server web/b"]);
}
