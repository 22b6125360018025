//! The machine by example: thresholds, reports, deadlines, restarts.

use super::*;
use crate::check::spec::{Draft, ShortIntervals};
use Status::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: f64) -> Moment {
    Moment::ZERO + Duration::from_secs_f64(seconds)
}

fn check(draft: Draft) -> Check {
    let is_run = draft.kinds[0].is_run();
    let interval = if is_run { SECOND } else { Duration::ZERO };
    let spec = Spec::try_new(Draft { interval, ..draft }, ShortIntervals::Allow).unwrap();
    Check::new(spec, Moment::ZERO)
}

fn draft(kind: Kind) -> Draft {
    Draft { kinds: vec![kind], ..Draft::default() }
}

fn udp() -> Kind {
    Kind::Udp { address: "a:1".into() }
}

fn ttl(millis: u64) -> Kind {
    Kind::Ttl { ttl: Duration::from_millis(millis) }
}

/// The statuses that results of a check with these thresholds lead to, one per second.
fn run(thresholds: (u32, u32, u32), initial: Status, results: &[Status]) -> Vec<Status> {
    let (success_before_passing, failures_before_warning, failures_before_critical) = thresholds;
    let initial = Some(initial);
    let mut check =
        check(Draft { success_before_passing, failures_before_warning, failures_before_critical, initial, ..draft(udp()) });
    let step = |(n, status): (usize, &Status)| {
        _ = check.result(*status, "", at(n as f64 * 60.0));
        check.status()
    };
    results.iter().enumerate().map(step).collect()
}

#[test]
fn thresholds() {
    let (p, w, c) = (Passing, Warning, Critical);
    for (thresholds, initial, results, want) in [
        ((0, 0, 0), c, &[p, c, w, c][..], &[p, c, w, c][..]),
        ((1, 1, 1), c, &[p, c, w, c], &[p, c, w, c]),
        ((3, 0, 0), c, &[p, p, p, c, p, p, w], &[c, c, p, c, c, c, w]),
        ((2, 0, 0), c, &[p, c, p, c, p, p], &[c, c, c, c, c, p]),
        ((0, 0, 3), p, &[c, c, c, p], &[p, p, c, p]),
        ((0, 0, 3), p, &[c, c, p, c, c, c], &[p, p, p, p, p, c]),
        ((0, 2, 4), p, &[c, c, c, c, c, p], &[p, w, w, c, c, p]),
        // Consul's rule to the letter: a failure that only warns is better than critical.
        ((0, 1, 2), c, &[c, c], &[w, c]),
    ] {
        assert_eq!(run(thresholds, initial, results), want, "{thresholds:?} from {initial} with {results:?}");
    }
}

#[test]
fn what_does_not_count_yet_changes_no_output() {
    let mut check = check(Draft { failures_before_critical: 2, initial: Some(Passing), ..draft(udp()) });
    assert_eq!(check.result(Critical, "refused", at(1.0)), Change::None);
    assert_eq!((&**check.output(), check.reported()), ("", Some(at(1.0))));
    assert_eq!(check.result(Critical, "refused", at(2.0)), Change::Status);
    assert_eq!((&**check.output(), check.since()), ("refused", at(2.0)));
}

#[test]
fn a_ttl_of_100_ms_expires_on_time_with_the_last_output() {
    let mut check = check(Draft { initial: Some(Passing), ..draft(ttl(100)) });
    assert_eq!(check.deadline(), Some(at(0.1)), "the clock starts at registration");
    assert_eq!(check.beat(Warning, "so so", at(0.05)), Ok(Change::Status));
    assert_eq!(check.deadline(), Some(at(0.15)));
    assert_eq!(check.handle_deadline(at(0.149_999)), Change::None);
    assert_eq!(check.handle_deadline(at(0.15)), Change::Status);
    assert_eq!((check.status(), &**check.output()), (Critical, "TTL expired; last output: so so"));
    assert_eq!(check.critical_for(at(1.15)), Some(SECOND));
    assert_eq!(check.beat(Passing, "", at(9.0)), Ok(Change::Status));
    assert_eq!((check.status(), &**check.output(), check.critical_for(at(9.0))), (Passing, "", None));
}

#[test]
fn an_expiry_does_not_pile_up_texts() {
    let mut check = check(draft(ttl(100)));
    _ = check.beat(Passing, "x".repeat(5000).as_str(), at(0.0));
    for n in 1..100 {
        let now = at(f64::from(n));
        let (saved, spec) = (check.save(now), check.spec().clone());
        _ = check.replace(spec.clone(), now);
        _ = check.handle_deadline(now + SECOND);
        assert_eq!(check.output().matches("TTL expired").count(), 1);
        assert!(check.output().len() <= 4096 + EXTRA_BYTES);
        check = Check::restore(spec, &Saved { ttl_left: saved.ttl_left, ..check.save(now) }, now);
    }
}

#[test]
fn only_a_ttl_check_takes_reports_and_it_takes_nothing_else() {
    assert_eq!(check(draft(udp())).beat(Passing, "", at(1.0)), Err(NotTtlError("udp")));
    assert_eq!(check(draft(ttl(100))).result(Passing, "", at(0.01)), Change::None);
}

#[test]
fn maintenance_is_critical_whatever_happens() {
    let mut check = Check::new(Spec::maintenance(), at(0.0));
    assert_eq!(check.result(Passing, "", at(1.0)), Change::None);
    assert!(check.beat(Passing, "", at(1.0)).is_err());
    assert_eq!((check.status(), check.deadline(), check.deregister_at()), (Critical, None, None));
    let saved = Saved { status: Passing, ..check.save(at(1.0)) };
    assert_eq!(Check::restore(Spec::maintenance(), &saved, at(2.0)).status(), Critical);
}

#[test]
fn outputs_alone_are_published_each_five_seconds_and_the_last_one_is_not_lost() {
    let mut check = check(Draft { initial: Some(Passing), ..draft(udp()) });
    assert_eq!(check.result(Passing, "1", at(1.0)), Change::Output);
    assert_eq!(check.result(Passing, "1", at(2.0)), Change::None);
    assert_eq!(check.deadline(), None, "nothing to tell");
    assert_eq!(check.result(Passing, "2", at(3.0)), Change::None);
    assert_eq!((&**check.output(), check.deadline()), ("2", Some(at(6.0))));
    assert_eq!(check.handle_deadline(at(5.9)), Change::None);
    assert_eq!(check.handle_deadline(at(6.0)), Change::Output);
    assert_eq!(check.deadline(), None);
    assert_eq!(check.result(Critical, "3", at(7.0)), Change::Status, "a status waits for nothing");
    assert_eq!(check.result(Critical, "4", at(11.9)), Change::None, "it took the output along");
    assert_eq!(check.result(Critical, "5", at(12.0)), Change::Output);
}

#[test]
fn output_is_cut_to_what_was_asked_for() {
    let mut check = check(Draft { output_max_size: 3, ..draft(ttl(100)) });
    _ = check.beat(Passing, "abcde", at(0.01));
    assert_eq!(&**check.output(), "[last 3 of 5 bytes]\ncde");
    _ = check.beat(Passing, Output { tail: "e", total: 1000 }, at(0.02));
    assert_eq!(&**check.output(), "[last 1 of 1000 bytes]\ne");
}

#[test]
fn critical_for_too_long_without_a_break() {
    let mut check = check(Draft { deregister_after: 90 * SECOND, ..draft(udp()) });
    assert_eq!(check.deregister_at(), Some(at(90.0)), "critical from the start counts");
    _ = check.result(Passing, "", at(80.0));
    assert_eq!((check.deregister_at(), check.deregister_due(at(1000.0))), (None, false));
    _ = check.result(Critical, "", at(100.0));
    _ = check.result(Critical, "again", at(150.0));
    assert!(!check.deregister_due(at(189.999)) && check.deregister_due(at(190.0)));
}

#[test]
fn a_program_that_was_paused_with_us_has_its_time_to_report() {
    let mut check = check(Draft { deregister_after: 60 * SECOND, initial: Some(Passing), ..draft(ttl(10_000)) });
    assert_eq!(check.handle_deadline(at(3600.0)), Change::Status);
    assert_eq!(check.deregister_at(), Some(at(3660.0)));
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut old = check(Draft { deregister_after: 60 * SECOND, ..draft(ttl(10_000)) });
    _ = old.beat(Passing, "fine", at(5.0));
    let spec = old.spec().clone();
    let mut new = Check::restore(spec.clone(), &old.save(at(9.0)), at(1.0));
    assert_eq!((new.status(), &**new.output(), new.deadline()), (Passing, "fine", Some(at(7.0))));
    assert_eq!(new.handle_deadline(at(7.0)), Change::Status);
    let mut newer = Check::restore(spec.clone(), &new.save(at(57.0)), at(0.0));
    assert_eq!((newer.status(), newer.deadline()), (Critical, None), "expired stays expired");
    assert_eq!(newer.deregister_at(), Some(at(10.0)), "50 s are over, also for a clock that starts anew");
    assert_eq!(newer.handle_deadline(at(5.0)), Change::None);
    let odd = Saved { status: Passing, held: None, output: "".into(), ttl_left: None, critical_for: Some(SECOND) };
    let mut restored = Check::restore(spec.clone(), &odd, at(0.0));
    assert_eq!((restored.deadline(), restored.critical_for(at(1.0))), (Some(at(10.0)), None), "no passing for ever");
    restored = Check::restore(spec, &Saved { ttl_left: Some(Duration::MAX), ..odd }, at(0.0));
    assert_eq!(restored.deadline(), Some(at(10.0)), "no more than a whole TTL");
}

#[test]
fn registered_again_it_keeps_status_output_and_counts() {
    let mut check = check(Draft { success_before_passing: 3, ..draft(udp()) });
    let spec = check.spec().clone();
    for n in 0..3 {
        let change = check.result(Passing, "fine", at(f64::from(n)));
        assert_eq!(change, if n < 2 { Change::None } else { Change::Status }, "result {n}");
        assert_eq!(check.replace(spec.clone(), at(f64::from(n) + 0.5)), Change::None);
    }
    assert_eq!((check.status(), &**check.output()), (Passing, "fine"));
    let ttl = Spec::try_new(draft(ttl(100)), ShortIntervals::Allow).unwrap();
    assert_eq!(check.replace(ttl, at(10.0)), Change::None);
    assert_eq!((check.status(), check.deadline()), (Passing, Some(at(10.1))));
    let process = Spec::try_new(draft(Kind::Process { pid: 7 }), ShortIntervals::Allow).unwrap();
    _ = check.handle_deadline(at(11.0));
    assert_eq!(check.replace(process, at(12.0)), Change::Status, "it lives");
    assert_eq!((check.status(), check.deadline()), (Passing, None));
}

#[test]
fn flapping_is_held_shown_saved_and_not_given_up() {
    let mut check = check(Draft { deregister_after: 60 * SECOND, initial: Some(Passing), ..draft(udp()) });
    let mut changes = Vec::new();
    for n in 1..=6 {
        let status = if n % 2 == 0 { Passing } else { Critical };
        changes.push((check.result(status, "", at(f64::from(n))), check.status(), check.is_flapping()));
    }
    assert_eq!(
        changes[3..],
        [(Change::Status, Passing, false), (Change::Status, Critical, false), (Change::Status, Critical, true)]
    );
    assert_eq!((check.own_status(), check.deregister_at()), (Passing, None));
    assert_eq!(check.result(Passing, "", at(20.0)), Change::None);
    let restored = Check::restore(check.spec().clone(), &check.save(at(20.0)), at(0.0));
    assert_eq!((restored.status(), restored.own_status(), restored.deadline()), (Critical, Passing, Some(at(30.0))));
    assert_eq!(check.deadline(), Some(at(36.0)));
    assert_eq!(check.handle_deadline(at(36.0)), Change::Status);
    assert_eq!((check.status(), check.is_flapping()), (Passing, false));
}

#[test]
fn what_a_program_says_of_itself_is_never_held() {
    let mut check = check(draft(ttl(60_000)));
    for n in 0..100 {
        let status = Status::ALL[n % 3];
        _ = check.beat(status, "", at(n as f64 / 10.0));
        assert_eq!((check.status(), check.is_flapping()), (status, false));
    }
}

#[test]
fn another_target_is_not_held_for_what_the_former_did() {
    for (draft_of, lets_go) in [(draft(udp()), false), (draft(Kind::Udp { address: "b:1".into() }), true)] {
        let mut check = check(draft(udp()));
        for n in 0..20 {
            _ = check.result(if n % 2 == 0 { Passing } else { Critical }, "", at(f64::from(n)));
        }
        _ = check.result(Passing, "", at(20.0));
        assert!(check.is_flapping() && check.status() == Critical);
        let spec = Spec::try_new(Draft { interval: SECOND, ..draft_of }, ShortIntervals::Allow).unwrap();
        _ = check.replace(spec, at(21.0));
        assert_eq!(check.is_flapping(), !lets_go);
        assert_eq!(check.status() == check.own_status(), lets_go);
    }
}
