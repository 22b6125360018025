//! The rules that drafts must keep, one by one: what is refused, what acts as something else.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn tcp() -> Kind {
    Kind::Tcp { address: "a:1".into(), tls: None }
}

fn ttl() -> Kind {
    Kind::Ttl { ttl: SECOND }
}

fn draft(kind: Kind) -> Draft {
    let interval = if kind.is_run() { SECOND } else { Duration::ZERO };
    Draft { kinds: vec![kind], interval, ..Draft::default() }
}

fn spec(draft: Draft) -> Result<Spec, SpecError> {
    Spec::try_new(draft, ShortIntervals::Allow)
}

fn one_of_each() -> Vec<Kind> {
    vec![
        ttl(),
        Kind::Http(super::super::kind::Http { url: "http://a".into(), ..Default::default() }),
        tcp(),
        Kind::Udp { address: "a:1".into() },
        Kind::Grpc { target: "a:1".into(), tls: None },
        Kind::H2ping { address: "a:1".into(), tls: None },
        Kind::Script { args: vec!["true".into()] },
        Kind::Docker { container: "c".into(), shell: None, args: vec!["true".into()] },
        Kind::Alias { service: Some("a".into()), node: None },
        Kind::OsService { name: "ssh".into() },
        Kind::Process { pid: 1 },
        Kind::Hold,
    ]
}

#[test]
fn a_check_is_of_exactly_one_kind() {
    assert_eq!(spec(Draft::default()), Err(SpecError::NoKind));
    let both = Draft { kinds: vec![ttl(), tcp()], interval: SECOND, ..Draft::default() };
    assert_eq!(spec(both), Err(SpecError::SeveralKinds("ttl", "tcp")));
    for kind in one_of_each() {
        assert_eq!(spec(draft(kind.clone())).unwrap().kind(), &kind);
    }
}

#[test]
fn what_is_run_needs_an_interval_and_nothing_else_may_have_one() {
    for kind in one_of_each() {
        let word = kind.as_str();
        let without = spec(Draft { interval: Duration::ZERO, ..draft(kind.clone()) });
        let with = spec(Draft { interval: SECOND, ..draft(kind.clone()) });
        match &kind {
            kind if kind.is_run() => {
                assert_eq!(without, Err(SpecError::Interval { kind: word, interval: Duration::ZERO }));
                assert_eq!(with.unwrap().interval(), Some(SECOND));
            }
            Kind::Alias { .. } => assert_eq!(with.unwrap().interval(), None),
            _ => {
                assert_eq!(without.unwrap().interval(), None);
                assert_eq!(with, Err(SpecError::UselessInterval { kind: word, interval: SECOND }));
            }
        }
    }
}

#[test]
fn short_intervals_are_raised_for_consul_and_allowed_for_us() {
    let with = |nanos, short| Spec::try_new(Draft { interval: Duration::from_nanos(nanos), ..draft(tcp()) }, short);
    for (nanos, raised, allowed) in [
        (0, None, None),
        (10, Some(SECOND), None),
        (9_999_999, Some(SECOND), None),
        (10_000_000, Some(SECOND), Some(INTERVAL_LEAST)),
        (100_000_000, Some(SECOND), Some(SECOND / 10)),
        (2_000_000_000, Some(2 * SECOND), Some(2 * SECOND)),
    ] {
        assert_eq!(with(nanos, ShortIntervals::Raise).ok().and_then(|spec| spec.interval()), raised, "{nanos}");
        assert_eq!(with(nanos, ShortIntervals::Allow).ok().and_then(|spec| spec.interval()), allowed, "{nanos}");
    }
}

#[test]
fn a_ttl_is_above_zero_and_has_no_lower_bound() {
    assert_eq!(spec(draft(Kind::Ttl { ttl: Duration::ZERO })), Err(SpecError::NoTtl));
    let ttl = Duration::from_nanos(1);
    assert_eq!(spec(draft(Kind::Ttl { ttl })).unwrap().ttl(), Some(ttl));
    assert_eq!(spec(draft(tcp())).unwrap().ttl(), None);
}

#[test]
fn warning_comes_not_after_critical() {
    let with = |warning, critical| {
        spec(Draft { failures_before_warning: warning, failures_before_critical: critical, ..draft(tcp()) })
            .map(|spec| (spec.failures_before_warning(), spec.failures_before_critical()))
    };
    assert_eq!(with(0, 0), Ok((0, 0)));
    assert_eq!(with(0, 3), Ok((3, 3)));
    assert_eq!(with(3, 3), Ok((3, 3)));
    assert_eq!(with(1, 0), Err(SpecError::Thresholds { warning: 1, critical: 0 }));
    assert_eq!(with(4, 3), Err(SpecError::Thresholds { warning: 4, critical: 3 }));
}

#[test]
fn defaults_and_bounds() {
    let plain = spec(draft(tcp())).unwrap();
    assert_eq!((plain.timeout(), plain.output_max_size(), plain.deregister_after()), (TIMEOUT, 4096, None));
    assert_eq!(spec(draft(Kind::Script { args: vec!["true".into()] })).unwrap().timeout(), TIMEOUT_COMMAND);
    let size = |output_max_size| spec(Draft { output_max_size, ..draft(tcp()) }).unwrap().output_max_size();
    assert_eq!([1, 4096, 4097, u32::MAX].map(size), [1, 4096, 4096, 4096]);
    let after = |seconds| {
        let deregister_after = Duration::from_secs(seconds);
        spec(Draft { deregister_after, ..draft(tcp()) }).unwrap().deregister_after().map_or(0, |after| after.as_secs())
    };
    assert_eq!([0, 1, 59, 60, 61].map(after), [0, 60, 60, 60, 61]);
}

#[test]
fn the_status_at_first() {
    for kind in one_of_each() {
        let lives = matches!(kind, Kind::Process { .. } | Kind::Hold);
        let want = if lives { Status::Passing } else { Status::Critical };
        assert_eq!(spec(draft(kind.clone())).unwrap().initial(), want, "{kind:?}");
        let warning = Draft { initial: Some(Status::Warning), ..draft(kind) };
        assert_eq!(spec(warning).unwrap().initial(), Status::Warning);
    }
    assert_eq!(Spec::maintenance().initial(), Status::Critical);
}

#[test]
fn an_error_names_field_value_and_what_is_accepted() {
    let error = spec(Draft { interval: Duration::from_millis(5), ..draft(tcp()) }).unwrap_err().to_string();
    assert!(error.contains("Interval") && error.contains("5ms") && error.contains("10ms"), "{error}");
    let error = spec(Draft { failures_before_warning: 2, failures_before_critical: 1, ..draft(tcp()) }).unwrap_err().to_string();
    assert!(error.contains("FailuresBeforeWarning") && error.contains('2') && error.contains('1'), "{error}");
}
