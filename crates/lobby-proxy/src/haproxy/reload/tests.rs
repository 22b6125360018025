//! The policy in virtual time: tables of what was wanted when, and when it may be done.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn reason(kind: &str) -> [(String, String); 1] {
    [(kind.to_owned(), format!("{kind} for people"))]
}

#[tokio::test(start_paused = true)]
async fn the_first_is_at_once_and_the_next_after_the_interval_with_all_reasons_at_once() {
    let (mut policy, start) = (Policy::new(2 * SECOND, 0.0), Instant::now());
    assert_eq!(policy.due(start), None);
    policy.want(reason("structure"));
    assert_eq!(policy.due(start), Some(start));
    policy.done(start, 0);
    policy.in_step();
    assert_eq!(policy.due(start), None, "nothing is wanted");
    policy.want(reason("structure").into_iter().chain(reason("unknown")));
    assert_eq!(policy.due(start + SECOND), Some(start + 2 * SECOND));
    assert_eq!(policy.reasons().map(|(kind, _)| kind).collect::<Vec<_>>(), ["structure", "unknown"]);
    assert_eq!(policy.due(start + 3 * SECOND), Some(start + 3 * SECOND));
    policy.want([]);
    assert_eq!(policy.due(start + 3 * SECOND), None, "what was wanted is so again");
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_failed_keeps_its_reasons_and_is_tried_after_longer_and_longer() {
    let (mut policy, mut now) = (Policy::new(2 * SECOND, 0.0), Instant::now());
    policy.want(reason("structure"));
    for want in [2, 4, 8, 16, 32, 60, 60] {
        assert_eq!(policy.due(now), Some(now));
        policy.failed(now, 0);
        assert_eq!(policy.due(now), Some(now + want * SECOND));
        now += want * SECOND;
    }
    assert_eq!(policy.reasons().count(), 1);
    policy.in_step();
    policy.failed(now, 0);
    assert_eq!(policy.due(now), Some(now + 2 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_text_that_is_refused_is_tried_ever_more_seldom_and_another_one_soon() {
    let (mut policy, mut now) = (Policy::new(2 * SECOND, 0.0), Instant::now());
    policy.want(reason("structure"));
    for want in [2, 8, 32, 128, 512, 600, 600] {
        assert_eq!(policy.due(now), Some(now));
        policy.refused("a", now, 0);
        policy.forgive("a");
        assert_eq!(policy.due(now), Some(now + want * SECOND));
        now += want * SECOND;
    }
    policy.refused("a", now, 0);
    policy.forgive("b");
    assert_eq!(policy.due(now), Some(now + 60 * SECOND), "so much failed that even another text waits, but not for long");
    policy.in_step();
    policy.refused("a", now, 0);
    policy.put_off(now + SECOND);
    assert_eq!(policy.due(now), Some(now + 2 * SECOND));
    policy.put_off(now + 9 * SECOND);
    assert_eq!(policy.due(now), Some(now + 9 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn the_jitter_adds_up_to_its_share_of_the_interval() {
    const CASES: [(f64, u64, f64); 6] = [
        (0.5, 0, 10.0),
        (0.5, u64::MAX, 15.0),
        (1.0, u64::MAX / 2, 15.0),
        (0.0, u64::MAX, 10.0),
        (-1.0, 7, 10.0),
        (f64::NAN, 7, 10.0),
    ];
    for (jitter, chance, want) in CASES {
        let (mut policy, start) = (Policy::new(10 * SECOND, jitter), Instant::now());
        policy.want(reason("structure"));
        policy.done(start, chance);
        policy.want(reason("structure"));
        let due = policy.due(start).unwrap() - start;
        assert!((due.as_secs_f64() - want).abs() < 0.001, "{jitter} {chance}: {due:?}");
    }
    let mut endless = Policy::new(10 * SECOND, 1e300);
    endless.want(reason("structure"));
    endless.done(Instant::now(), u64::MAX);
}

#[tokio::test(start_paused = true)]
async fn reloads_in_vain_come_more_and_more_seldom_until_all_is_in_step() {
    let (mut policy, mut now) = (Policy::new(2 * SECOND, 0.0), Instant::now());
    for want in [2, 4, 8, 16, 32, 60, 60] {
        policy.want(reason("structure"));
        policy.done(now, 0);
        policy.want(reason("structure"));
        let due = policy.due(now).unwrap();
        assert_eq!(due - now, want * SECOND);
        now = due;
    }
    policy.in_step();
    policy.done(now, 0);
    policy.want(reason("structure"));
    assert_eq!(policy.due(now).unwrap() - now, 2 * SECOND);
    let mut slow = Policy::new(300 * SECOND, 0.0);
    slow.done(now, 0);
    slow.want(reason("structure"));
    assert_eq!(slow.due(now).unwrap() - now, 300 * SECOND, "an interval of one's own is never shortened");
}

#[tokio::test(start_paused = true)]
async fn without_an_interval_what_fails_is_still_not_a_busy_loop() {
    let (mut policy, mut now) = (Policy::new(Duration::ZERO, 0.0), Instant::now());
    policy.want(reason("structure"));
    for want in [1, 2, 4, 8, 16, 32, 32] {
        policy.failed(now, 0);
        assert_eq!(policy.due(now), Some(now + want * SECOND));
        now += want * SECOND;
    }
    policy.in_step();
    for is_at_once in [true, true, false, false] {
        policy.done(now, 0);
        policy.want(reason("structure"));
        assert_eq!(policy.due(now) == Some(now), is_at_once);
    }
    policy.in_step();
    policy.done(now, 0);
    policy.want(reason("structure"));
    assert_eq!(policy.due(now), Some(now), "as configured");
}

#[tokio::test(start_paused = true)]
async fn who_follows_another_one_keeps_its_distance_but_not_what_was_in_vain() {
    let (pace, start) = (Pace::default(), Instant::now());
    let way = |command: &str| Some(Way::Command(command.into()));
    let next_by = |file: &str, command: &str| {
        let mut next = Policy::after(2 * SECOND, 0.0, pace.clone(), Some(file.into()), way(command));
        next.want(reason("structure"));
        next
    };
    let next = |file: &str| next_by(file, "reload");
    let mut policy = next("/a");
    assert_eq!(policy.due(start), Some(start));
    (0..4).for_each(|_| policy.done(start, 0));
    policy.want(reason("structure"));
    assert_eq!(policy.due(start), Some(start + 16 * SECOND));
    let mut policy = next("/a");
    assert_eq!(policy.due(start), Some(start + 2 * SECOND));
    (0..3).for_each(|_| policy.refused("x", start, 0));
    let mut policy = next("/a");
    policy.forgive("x");
    assert_eq!(policy.due(start), Some(start + 32 * SECOND), "the same text");
    policy.forgive("y");
    assert_eq!(policy.due(start), Some(start + 2 * SECOND), "another one");
    assert_eq!(next("/a").due(start), Some(start + 2 * SECOND), "also for who comes next");
    let mut shorter = Policy::after(SECOND, 0.0, pace.clone(), Some("/a".into()), way("reload"));
    shorter.want(reason("structure"));
    assert_eq!(shorter.due(start), Some(start + SECOND), "an interval that is shorter now");
    assert_eq!(next_by("/a", "other").due(start), Some(start + 2 * SECOND), "another way");
    assert_eq!(next("/b").due(start), Some(start), "another HAProxy");
    policy.in_step();
    assert_eq!(next("/a").due(start), Some(start), "and that one again");
}
