//! Single cases of how backends come about; what holds for all of them is in `laws`.

use std::time::Duration;

use super::*;
use crate::settings::LabelFilter;

fn backend(host: &str, port: u16) -> Backend {
    Backend { name: format!("n-{host}"), host: host.into(), port, ..Backend::default() }
}

fn labelled(host: &str, label: (&str, &str)) -> Backend {
    Backend { labels: [(label.0.into(), label.1.into())].into(), ..backend(host, 80) }
}

fn service() -> Service {
    Service { name: "web".into(), ..Service::default() }
}

/// What a service has after these answers, each of which finds these well.
fn after(service: &Service, answers: &[&[Backend]]) -> Vec<String> {
    let mut keeper = Keeper::new(service, Guard::default());
    answers.iter().for_each(|well| keeper.answer(well, &[], Instant::now()));
    shown(&keeper)
}

fn shown(keeper: &Keeper) -> Vec<String> {
    let backends = keeper.known().backends.as_ref().expect("an answer was given");
    backends.iter().map(|b| format!("{}:{}{}", b.host, b.port, if b.is_backup { " backup" } else { "" })).collect()
}

#[tokio::test]
async fn nothing_is_known_before_the_first_answer() {
    let mut keeper = Keeper::new(&service(), Guard::default());
    keeper.trouble(Some("no route".into()));
    keeper.tick(Instant::now());
    assert_eq!(keeper.known(), &Known { backends: None, n_held: 0, trouble: Some("no route".into()) });
}

#[tokio::test]
async fn an_empty_answer_falls_back_on_defaults_then_on_the_previous_then_on_nothing() {
    let plain = service();
    let defaults = Service { default_servers: vec![backend("d", 1)], use_previous_backends: true, ..service() };
    let previous = Service { use_previous_backends: true, ..service() };
    let kept = Service { keep_default_servers: true, ..defaults.clone() };
    let a: &[Backend] = &[backend("a", 80)];
    assert_eq!(after(&plain, &[a, &[]]), [""; 0]);
    assert_eq!(after(&defaults, &[a, &[]]), ["d:1"]);
    assert_eq!(after(&previous, &[a, &[]]), ["a:80"]);
    assert_eq!(after(&previous, &[&[]]), [""; 0], "there was nothing before");
    assert_eq!(after(&kept, &[a]), ["a:80", "d:1"]);
    assert_eq!(after(&kept, &[a, &[]]), ["d:1"]);
}

#[tokio::test]
async fn the_port_of_the_service_counts_for_found_and_kept_ones() {
    let kept = Service { default_servers: vec![backend("d", 1)], keep_default_servers: true, ..service() };
    let kept = Service { backend_port_override: Some(9), ..kept };
    assert_eq!(after(&kept, &[&[backend("a", 80)]]), ["a:9", "d:9"]);
    let fallback = Service { keep_default_servers: false, ..kept };
    assert_eq!(after(&fallback, &[&[]]), ["d:1"], "what stands in for nothing is taken as it is written");
}

#[tokio::test]
async fn all_filters_must_hold_and_what_they_leave_out_was_found_all_the_same() {
    let filter = |label: &str, value: &str, is_equal| LabelFilter { label: label.into(), value: value.into(), is_equal };
    let found = [labelled("a", ("zone", "eu")), labelled("b", ("zone", "us")), backend("c", 80)];
    for (filters, want) in [
        (vec![filter("zone", "eu", true)], vec!["a:80"]),
        (vec![filter("zone", "eu", false)], vec!["b:80", "c:80"]),
        (vec![filter("zone", "eu", false), filter("zone", "us", false)], vec!["c:80"]),
        (vec![filter("zone", "asia", true)], vec![]),
    ] {
        // Synapse filters when it reads: defaults and previous ones are for when nothing is found.
        let of =
            Service { label_filters: filters, default_servers: vec![backend("d", 1)], use_previous_backends: true, ..service() };
        assert_eq!(after(&of, &[&found]), want);
    }
}

#[tokio::test]
async fn the_backup_port_comes_after_all_primaries_and_a_label_swaps_the_two() {
    let of = Service { backend_port_override: Some(50001), backup_port: Some(50002), ..service() };
    let found = [backend("a", 1), labelled("b", ("deploy:web:primary", "50002")), labelled("c", ("deploy:web:primary", "50001"))];
    let want = ["a:50001", "b:50002", "c:50001", "a:50002 backup", "b:50001 backup", "c:50002 backup"];
    assert_eq!(after(&of, &[&found]), want);
    let other = [labelled("a", ("deploy:other:primary", "50002"))];
    assert_eq!(after(&of, &[&other]), ["a:50001", "a:50002 backup"]);
    let same = Service { backend_port_override: Some(50002), ..of };
    assert_eq!(after(&same, &[&[backend("a", 1)]]), ["a:50002"]);
}

#[tokio::test]
async fn a_label_outside_of_the_pair_leaves_the_primary_as_it_is() {
    let of = Service { backend_port_override: Some(50001), backup_port: Some(50002), ..service() };
    let said = |port: &str| labelled("a", ("deploy:web:primary", port));
    let (first, second) = (["a:50001", "a:50002 backup"], ["a:50002", "a:50001 backup"]);
    for other in ["50003", "0", "new", "", "50002x", "99999"] {
        assert_eq!(after(&of, &[&[said(other)]]), first, "{other}");
        assert_eq!(after(&of, &[&[said("50002")], &[said(other)], &[said(other)]]), second, "{other}");
        assert_eq!(after(&of, &[&[said("50002")], &[said("50001")], &[said(other)]]), first, "{other}");
        // Without any label it is as configured, and stays so.
        assert_eq!(after(&of, &[&[said("50002")], &[backend("a", 1)], &[said(other)]]), first, "{other}");
    }
}

#[tokio::test]
async fn the_leader_has_the_smallest_id_and_nobody_leads_if_one_has_none() {
    let of = Service { leader_election: true, use_previous_backends: true, ..service() };
    let with_id = |host: &str, id| Backend { id: Some(id), ..backend(host, 80) };
    let two: &[Backend] = &[with_id("a", 7), with_id("b", 3)];
    assert_eq!(after(&of, &[two]), ["b:80"]);
    assert_eq!(after(&of, &[two, &[with_id("a", 7), backend("c", 80)]]), [""; 0]);
    let deploy = Service { backup_port: Some(81), ..of.clone() };
    assert_eq!(after(&deploy, &[two]), ["b:80", "b:81 backup"]);
    assert_eq!(after(&of, &[&[with_id("a", 3), with_id("b", 3)]]), ["a:80"], "one, whatever happens");
    let stand_in = |servers: &[Backend]| Service { default_servers: servers.to_vec(), ..of.clone() };
    assert_eq!(after(&stand_in(two), &[&[]]), ["b:80"], "default servers have one leader too");
    assert_eq!(after(&stand_in(&[backend("c", 80)]), &[&[]]), [""; 0]);
}

#[tokio::test]
async fn doubles_go_and_another_order_is_no_change() {
    let mut keeper = Keeper::new(&service(), Guard::default());
    let heavy = Backend { weight: Some(5), ..backend("a", 80) };
    keeper.answer(&[heavy.clone(), backend("b", 80), backend("a", 80)], &[], Instant::now());
    assert_eq!(shown(&keeper), ["a:80", "b:80"]);
    let before = keeper.known().backends.clone().unwrap();
    keeper.answer(&[backend("b", 80), backend("a", 80), heavy.clone()], &[], Instant::now());
    assert!(Arc::ptr_eq(&before, keeper.known().backends.as_ref().unwrap()));
    keeper.answer(&[backend("b", 80), heavy], &[], Instant::now());
    assert!(!Arc::ptr_eq(&before, keeper.known().backends.as_ref().unwrap()));
}

#[tokio::test]
async fn what_is_beyond_the_bound_is_dropped_and_counted() {
    let many: Vec<_> = (0..=MOST_BACKENDS).map(|i| backend(&format!("h{i}"), 80)).collect();
    let mut keeper = Keeper::new(&service(), Guard::default());
    keeper.answer(&many[..MOST_BACKENDS], &[], Instant::now());
    assert_eq!((shown(&keeper).len(), keeper.n_dropped()), (MOST_BACKENDS, 0));
    keeper.answer(&many, &many[..3], Instant::now());
    assert_eq!((shown(&keeper).len(), keeper.n_dropped()), (MOST_BACKENDS, 4));
}

#[tokio::test]
async fn lost_ones_go_by_share_and_the_rest_waits_for_the_window_a_return_or_proof() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let all: Vec<_> = ["a", "b", "c", "d"].map(|host| backend(host, 80)).into();
    let guard = Guard { percent: 50, window: Duration::from_secs(60) };
    let mut keeper = Keeper::new(&service(), guard);
    keeper.answer(&all, &[], at(0));
    keeper.answer(&all[3..], &all[..3], at(10));
    assert_eq!((shown(&keeper), keeper.known().n_held), (vec!["d:80".into(), "c:80".into()], 1));
    assert_eq!(keeper.deadline(), Some(at(70)));
    // The one that is held returns, another one is lost.
    keeper.answer(&all[2..3], &all[3..], at(20));
    assert_eq!((shown(&keeper), keeper.known().n_held), (vec!["d:80".into(), "c:80".into()], 1));
    // While the source is in trouble nobody goes.
    keeper.trouble(Some("away".into()));
    assert_eq!(keeper.deadline(), None);
    keeper.tick(at(200));
    assert_eq!(keeper.known().n_held, 1);
    keeper.trouble(None);
    keeper.tick(at(201));
    assert_eq!((shown(&keeper), keeper.known().n_held), (vec!["c:80".into()], 0));
    // Proof needs no leave.
    let mut keeper = Keeper::new(&service(), guard);
    keeper.answer(&all, &[], at(0));
    keeper.answer(&[], &all, at(1));
    assert_eq!(keeper.known().n_held, 2);
    keeper.answer(&[], &[], at(2));
    assert_eq!((shown(&keeper).len(), keeper.known().n_held), (0, 0));
}

#[tokio::test]
async fn the_guard_holds_for_those_who_are_lost_at_the_first_answer() {
    let start = Instant::now();
    let all: Vec<_> = ["a", "b", "c", "d"].map(|host| backend(host, 80)).into();
    let mut keeper = Keeper::new(&service(), Guard { percent: 50, window: Duration::from_secs(60) });
    keeper.trouble(Some("not yet".into()));
    keeper.trouble(None);
    keeper.answer(&[], &all, start);
    assert_eq!((shown(&keeper), keeper.known().n_held), (vec!["c:80".into(), "d:80".into()], 2));
    keeper.answer(&[], &all, start + Duration::from_secs(59));
    assert_eq!(shown(&keeper), ["c:80", "d:80"], "who went does not come back in lost");
    keeper.tick(start + Duration::from_secs(60));
    assert_eq!((shown(&keeper), keeper.known().n_held), (vec!["d:80".into()], 1));
}

#[tokio::test]
async fn one_may_always_go_and_who_was_never_used_does_not_come_in_lost() {
    let none = Guard { percent: 0, window: Duration::from_secs(60) };
    let mut keeper = Keeper::new(&service(), none);
    keeper.answer(&[backend("a", 80)], &[], Instant::now());
    keeper.answer(&[backend("a", 80)], &[backend("x", 80)], Instant::now());
    assert_eq!(shown(&keeper), ["a:80"]);
    keeper.answer(&[], &[backend("a", 80), backend("x", 80)], Instant::now());
    assert_eq!((shown(&keeper).len(), keeper.known().n_held), (0, 0));
}

#[tokio::test]
async fn whom_a_doubtful_answer_lacks_goes_through_the_guard_and_with_the_proof() {
    let start = Instant::now();
    let filed: Vec<_> = ["a", "b", "c", "d"].map(|host| backend(host, 80)).into();
    let guard = Guard { percent: 50, window: Duration::from_secs(60) };
    let of = Service {
        discovery: crate::settings::Discovery::Lobby(crate::settings::LobbyWatch::default()),
        label_filters: vec![LabelFilter { label: "zone".into(), value: "eu".into(), is_equal: true }],
        ..service()
    };
    let after_first = || {
        let mut keeper = Keeper::new(&of, guard);
        keeper.remember(filed.clone());
        keeper.answer(&[labelled("a", ("zone", "eu"))], &[], start);
        keeper
    };
    let mut keeper = after_first();
    assert_eq!((shown(&keeper), keeper.known().n_held), (vec!["a:80".into(), "d:80".into()], 1));
    // One that comes back is told as any other from then on; who went does not come back by itself.
    keeper.answer(&[labelled("d", ("zone", "eu"))], &[], start + Duration::from_secs(1));
    assert_eq!((shown(&keeper), keeper.known().n_held), (vec!["d:80".into()], 0));
    keeper.answer(&[], &[], start + Duration::from_secs(2));
    assert_eq!(shown(&keeper), [""; 0], "an answer that names it and one that does not any more are proof");
    // The end of doubts is a proof as well, and so is the end of the window.
    let mut keeper = after_first();
    keeper.trust(start);
    assert_eq!((shown(&keeper), keeper.remembers()), (vec!["a:80".into()], false));
    let mut keeper = after_first();
    keeper.tick(start + Duration::from_secs(60));
    assert_eq!(shown(&keeper), ["a:80"]);
    // So is an answer that names one which is ill.
    let mut keeper = after_first();
    keeper.forget(&filed[3..]);
    keeper.answer(&[labelled("a", ("zone", "eu"))], &[], start);
    assert_eq!(shown(&keeper), ["a:80"]);
    // While the source is in trouble nobody goes.
    let mut keeper = after_first();
    keeper.trouble(Some("away".into()));
    keeper.trust(start);
    assert_eq!(shown(&keeper), ["a:80", "d:80"]);
}
