//! Laws of planning and acting together, against a model of HAProxy that answers as the releases of the contract do: whatever is
//! wanted and whatever hands did, it ends as wanted, nothing foreign is touched, and no backend is left without servers.

use std::collections::BTreeSet;

use proptest::prelude::*;

use self::model::Model;
use super::*;
use crate::haproxy::{
    Backend,
    plan::{SLOT, plan},
    socket::read,
    state::Running,
    version::Version,
};

mod model;

const DRAIN: Duration = Duration::from_millis(500);

/// Rounds until all is settled; draining and deleting one server after the other (replaced ones) takes some dozen each.
const ROUNDS: usize = 600;

/// One moment of what is wanted.
#[derive(Debug, Clone)]
struct Scene {
    backends: Vec<Backend>,
    hands: Vec<String>,
}

fn servers() -> impl Strategy<Value = Vec<Server>> {
    let one = (0..7_u8, 0..3_u8, proptest::option::of(0..4_u32), 0..10_u8, 0..16_u8, proptest::option::of(1..9_u32));
    proptest::collection::vec(one, 0..6).prop_map(|list| {
        let mut names = BTreeSet::new();
        let list = list.into_iter().filter(|one| names.insert(one.0));
        let server = |(name, place, weight, kind, options, id)| Server {
            name: format!("s{name}"),
            host: format!("10.0.{place}.{name}"),
            port: 80,
            id,
            cookie: Some(format!("c{name}")),
            options: if options % 8 == 0 { "check inter 2s".into() } else { "check".into() },
            weight,
            is_backup: name == 6 || options > 12,
            is_draining: kind == 0,
            is_disabled: kind == 1,
        };
        list.map(server).collect()
    })
}

fn scene() -> impl Strategy<Value = Scene> {
    let hands = proptest::collection::vec((0..2_u8, 0..9_u8, 0..6_u8), 0..4).prop_map(|hands| {
        let hand = |(backend, server, what): (u8, u8, u8)| {
            let path = format!("b{backend}/{}", if server < 7 { format!("s{server}") } else { format!("{SLOT}{}", server - 6) });
            match what {
                0 => format!("set server {path} state maint"),
                1 => format!("set server {path} state drain"),
                2 => format!("set server {path} weight 9"),
                3 => format!("set server {path} addr 10.9.9.9 port 9"),
                4 => format!("set server {path} state maint;del server {path}"),
                _ => format!("add server {path} 10.8.8.8:8;set server {path} state ready"),
            }
        };
        hands.into_iter().map(hand).collect()
    });
    (servers(), servers(), hands).prop_map(|(dynamic, fixed, hands)| Scene {
        backends: vec![
            Backend { name: "b0".into(), servers: dynamic, is_dynamic: true, ..Backend::default() },
            Backend { name: "b1".into(), servers: fixed, has_cookies: true, ..Backend::default() },
        ],
        hands,
    })
}

/// Takes requests: by name, or the slot that has its address.
fn serves(server: &Server, backend: &str, running: &Running) -> bool {
    let at = |there: &&crate::haproxy::state::RunningServer| {
        there.admin == Admin::Ready && there.address == server.host.parse().ok() && there.port == server.port
    };
    running.backends[backend].iter().any(|(name, there)| (*name == server.name || name.starts_with(SLOT)) && at(&there))
}

/// Plans and acts until nothing is left; how often it had to reload.
async fn settle(model: &Model, wanted: &[Backend], memory: &mut Memory, now: &mut Instant) -> Result<usize, TestCaseError> {
    let mut n_reloads = 0;
    for _ in 0..ROUNDS {
        let running = read(model).await.expect("the model answers");
        let plan = plan(wanted, &running, memory, *now, DRAIN);
        if plan.is_empty() && plan.waiting.is_empty() {
            return Ok(n_reloads);
        }
        let acted = act(model, &plan, memory, *now).await;
        prop_assert!(acted.trouble.is_none());
        // Written and loaded after a while only: until then the socket does what it can.
        if !acted.failed.is_empty() && acted.done.is_empty() {
            n_reloads += 1;
            let pid = model.reload(wanted);
            *memory = Memory::started_with(pid, wanted);
        }
        *now += acted.again(*now).unwrap_or_default().min(Duration::from_millis(100));
        model.finish_some_requests();
    }
    let running = read(model).await.expect("the model answers");
    Err(TestCaseError::fail(format!("not settled: {}", plan(wanted, &running, memory, *now, DRAIN))))
}

fn is_as_wanted(wanted: &[Backend], running: &Running) -> Result<(), TestCaseError> {
    for backend in wanted {
        let there = &running.backends[&backend.name];
        let mut names: BTreeSet<&str> = BTreeSet::new();
        for server in &backend.servers {
            names.insert(&server.name);
            let Some(found) = there.get(&server.name) else {
                prop_assert!(server.is_disabled || server.is_draining || serves(server, &backend.name, running), "{server:?}");
                continue;
            };
            let want = if server.is_disabled {
                Admin::Maint
            } else if server.is_draining {
                Admin::Drain
            } else {
                Admin::Ready
            };
            prop_assert_eq!(found.admin, want, "{:?}", server);
            if !server.is_disabled {
                prop_assert_eq!(found.address, server.host.parse().ok(), "{:?}", server);
                prop_assert_eq!(found.weight, server.weight.unwrap_or(1), "{:?}", server);
                prop_assert_eq!(found.is_backup, server.is_backup, "{:?}", server);
            }
        }
        let addresses: BTreeSet<IpAddr> = backend.servers.iter().filter_map(|server| server.host.parse().ok()).collect();
        for (name, there) in there.iter().filter(|(name, _)| !names.contains(name.as_str())) {
            let is_ours = name.starts_with(SLOT) && there.address.is_some_and(|address| addresses.contains(&address));
            prop_assert!(there.admin == Admin::Maint || is_ours, "{name}: {there:?}");
            let is_deleted = running.version.has_dynamic_servers() && !name.starts_with(SLOT);
            prop_assert!(!is_deleted, "{name} is left");
        }
    }
    Ok(())
}

/// Whether names on both sides keep what cannot be set, so that what comes can always come first.
fn all_can_come_first(before: &[Backend], after: &Backend, version: Version) -> bool {
    let old = before.iter().filter(|backend| backend.name == after.name).flat_map(|backend| &backend.servers);
    let old = old.filter_map(|old| after.servers.iter().find(|new| new.name == old.name).map(|new| (old, new)));
    let is_same = |(old, new): (&Server, &Server)| old.options == new.options && old.is_backup == new.is_backup;
    after.is_dynamic && version.has_dynamic_servers() && { old }.all(is_same)
}

async fn play(version: &str, scenes: &[Scene]) -> Result<(), TestCaseError> {
    let version: Version = version.parse().expect("a version");
    let model = Model::new(version, &scenes[0].backends);
    let foreign = model.foreign();
    let mut memory = Memory::started_with(1, &scenes[0].backends);
    let mut now = Clock::now().into_std();
    let mut before: &[Backend] = &[];
    for scene in scenes {
        for hand in &scene.hands {
            model.hand(hand);
        }
        let counts = model.start_counting();
        let n_reloads = settle(&model, &scene.backends, &mut memory, &mut now).await?;
        is_as_wanted(&scene.backends, &read(&model).await.expect("the model answers"))?;
        prop_assert_eq!(&model.foreign(), &foreign);
        let least = model.least();
        // Servers that hands added lack their cookie and are no backups: they are replaced, which takes one away first.
        let is_added = scene.hands.iter().any(|hand| hand.starts_with("add"));
        let can_be_told = |backend: &Backend| {
            let has_cookies = backend.has_cookies && (!version.has_dynamic_cookie() || is_added);
            let is_swapped = is_added && backend.servers.iter().any(|server| server.is_backup);
            !has_cookies && !is_swapped && all_can_come_first(before, backend, version)
        };
        for backend in &scene.backends {
            let after = backend.servers.iter().filter(|server| !server.is_draining && !server.is_disabled).count();
            let floor = after.min(counts[&backend.name]);
            let least = least[&backend.name];
            let want = if can_be_told(backend) { floor } else { floor.min(1) };
            prop_assert!(least >= want, "{}: {least} usable, {want} wanted", backend.name);
        }
        // The file is right, so one reload is enough for whatever it was.
        prop_assert!(n_reloads <= 1);
        if scene.backends.iter().all(can_be_told) && !is_added {
            prop_assert_eq!(n_reloads, 0);
        }
        before = &scene.backends;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]
    #[test]
    fn it_always_ends_as_wanted(
        version in prop::sample::select(vec!["2.0.0", "2.4.22", "2.5.0", "2.6.12", "3.0.0", "3.3.0"]),
        mut scenes in proptest::collection::vec(scene(), 1..5),
        are_dynamic in any::<bool>(),
    ) {
        for scene in &mut scenes {
            scene.backends[1].is_dynamic = are_dynamic;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(play(version, &scenes))?;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pair_swaps_without_a_reload_and_one_of_them_always_serves() {
    let server = |name: &str, is_backup| Server {
        name: name.into(),
        host: format!("10.0.0.{}", name.len()),
        port: 80,
        options: "check".into(),
        is_backup,
        ..Server::default()
    };
    let backend = |servers| [Backend { name: "b0".into(), servers, is_dynamic: true, ..Backend::default() }];
    let mut now = Clock::now().into_std();
    for n in 1..=3 {
        let names: Vec<String> = (1..=2 * n).map(|len| "s".repeat(len)).collect();
        let turned = |by: usize| backend(names.iter().enumerate().map(|(i, name)| server(name, (i + by) % 2 == 1)).collect());
        let model = Model::new(Version::new(2, 6), &turned(0));
        let mut memory = Memory::started_with(1, &turned(0));
        for by in [1, 0] {
            model.start_counting();
            let n_reloads = settle(&model, &turned(by), &mut memory, &mut now).await.unwrap();
            is_as_wanted(&turned(by), &read(&model).await.unwrap()).unwrap();
            // More than that are swapped at once.
            assert_eq!((n_reloads, model.least()["b0"] >= 1), (usize::from(n > 2), true), "{n} pairs");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_breaks_ends_it() {
    struct Broken;
    impl Ask for Broken {
        async fn ask(&self, _: &str) -> Result<String, SocketError> {
            Err(SocketError::TimedOut("/gone".into()))
        }
    }
    let model = Model::new(Version::new(2, 6), &[Backend { name: "b0".into(), is_dynamic: true, ..Backend::default() }]);
    let server = |name: &str| Server { name: name.into(), host: "10.0.0.1".into(), port: 80, ..Server::default() };
    let wanted = Backend { name: "b0".into(), servers: vec![server("a"), server("b")], is_dynamic: true, ..Backend::default() };
    let mut memory = Memory::default();
    let now = Clock::now().into_std();
    let plan = plan(&[wanted], &read(&model).await.unwrap(), &memory, now, DRAIN);
    let acted = act(&Broken, &plan, &mut memory, now).await;
    assert!(matches!(acted.trouble, Some(SocketError::TimedOut(_))) && acted.done.is_empty());
    let acted = act(&model, &plan, &mut memory, now).await;
    assert_eq!((acted.done.len(), acted.failed.len()), (2, 0));
    assert_eq!(acted.again(now), Some(DELETE_PAUSE));
}

#[tokio::test]
async fn a_name_without_an_address_is_no_reason_for_a_reload() {
    let model = Model::new(Version::new(2, 6), &[Backend { name: "b0".into(), is_dynamic: true, ..Backend::default() }]);
    let server = |name: &str, host: &str| Server { name: name.into(), host: host.into(), port: 80, ..Server::default() };
    let servers = vec![server("a", "no.such.host.invalid"), server("b", "10.0.0.1")];
    let wanted = Backend { name: "b0".into(), servers, is_dynamic: true, ..Backend::default() };
    let (mut memory, now) = (Memory::default(), Clock::now().into_std());
    let plan = plan(&[wanted], &read(&model).await.unwrap(), &memory, now, DRAIN);
    let acted = act(&model, &plan, &mut memory, now).await;
    assert_eq!((acted.done.len(), acted.failed.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn one_refusal_stops_nothing_else() {
    let model = Model::new(Version::new(2, 6), &[Backend { name: "b1".into(), ..Backend::default() }]);
    let server = |name: &str, options: &str| Server {
        name: name.into(),
        host: "10.0.0.1".into(),
        port: 80,
        options: options.into(),
        ..Server::default()
    };
    // We take its balancing for dynamic; it is not.
    let wanted =
        Backend { name: "b1".into(), servers: vec![server("a", ""), server("b", "")], is_dynamic: true, ..Backend::default() };
    let mut memory = Memory::default();
    let now = Clock::now().into_std();
    let plan = plan(&[wanted], &read(&model).await.unwrap(), &memory, now, DRAIN);
    let acted = act(&model, &plan, &mut memory, now).await;
    let text: Vec<String> = acted.failed.iter().map(ToString::to_string).collect();
    let refused = "refused: Backend must use a dynamic load balancing to support dynamic servers.";
    assert_eq!(text, [format!("b1/a: {refused}"), format!("b1/b: {refused}")]);
}
