//! Quiescence: the timers by hand, and the law that holds for any times of changes.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Moment {
    Moment::from_micros(millis * 1000)
}

fn wait(min: u64, max: u64) -> Option<Wait> {
    Some(Wait { min: Duration::from_millis(min), max: Duration::from_millis(max) })
}

#[test]
fn nothing_waits_before_all_have_rendered() {
    let mut timers = Quiescence::new([wait(10, 40)]);
    assert_eq!(timers.handle_change(0, at(0)), When::Now);
    assert_eq!(timers.next_deadline(), None);
    timers.begin();
    assert_eq!(timers.handle_change(0, at(1)), When::Later);
    assert_eq!(timers.next_deadline(), Some(at(11)));
}

#[test]
fn each_change_starts_min_again_up_to_max() {
    let mut timers = Quiescence::new([wait(10, 25)]);
    timers.begin();
    let due = [0, 8, 16, 24].map(|now| {
        timers.handle_change(0, at(now));
        assert!(timers.take_due(at(now)).is_empty());
        timers.next_deadline().unwrap()
    });
    assert_eq!(due, [at(10), at(18), at(25), at(25)]);
    assert_eq!(timers.take_due(at(25)), [0]);
    assert!(!timers.is_waiting(0));
    // The next set starts anew.
    timers.handle_change(0, at(26));
    assert_eq!(timers.next_deadline(), Some(at(36)));
}

#[test]
fn templates_wait_for_themselves_only() {
    let mut timers = Quiescence::new([wait(10, 40), None, wait(30, 90), wait(0, 0)]);
    timers.begin();
    let when = [0, 1, 2, 3, 4].map(|template| timers.handle_change(template, at(0)));
    assert_eq!(when, [When::Later, When::Now, When::Later, When::Now, When::Now]);
    assert_eq!(timers.take_due(at(10)), [0]);
    assert!(timers.is_waiting(2));
    assert_eq!(timers.take_due(at(30)), [2]);
}

proptest! {
    /// A rendering comes `min` after the last change or `max` after the first, whichever is earlier; exactly then.
    #[test]
    fn never_before_quiet_and_never_after_max(min in 0u64..50, more in 0u64..200, gaps in prop::collection::vec(0u64..60, 1..60)) {
        let max = min + more;
        let mut timers = Quiescence::new([wait(min, max)]);
        timers.begin();
        let (mut now, mut first, mut last) = (0, None, 0);
        for gap in gaps {
            for tick in now..now + gap {
                let due = first.map(|first: u64| (last + min).min(first + max));
                let fires = timers.take_due(at(tick)) == [0];
                prop_assert_eq!(fires, due.is_some_and(|due| due <= tick));
                if fires {
                    prop_assert_eq!(due, Some(tick));
                    first = None;
                }
            }
            now += gap;
            if timers.handle_change(0, at(now)) == When::Later {
                (first, last) = (first.or(Some(now)), now);
            } else {
                prop_assert!(min == 0 && first.is_none());
            }
        }
    }
}
