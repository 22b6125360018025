//! Filing, waking and taking out; what a difference of snapshots tells is tried through the router (`tests/it/blocking`).

use std::{
    future::Future,
    pin::pin,
    sync::atomic::AtomicBool,
    task::{Context, Poll, Waker},
};

use super::*;

fn service(name: &str) -> Topic {
    Topic::Service(name.into())
}

/// Polls once.
fn poll(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
}

#[test]
fn a_request_is_woken_by_each_of_its_topics_and_by_no_other() {
    for woken_by in [service("a"), Topic::Nodes] {
        let watches = Watches::default();
        let waiting = watches.wait_for((service("a"), Some(Topic::Nodes)));
        let is_news = AtomicBool::new(false);
        let mut news = pin!(waiting.news(|| is_news.load(Ordering::Relaxed)));
        assert!(!poll(news.as_mut()));
        is_news.store(true, Ordering::Relaxed);
        watches.wake(&service("b"));
        watches.wake(&Topic::All);
        assert!(!poll(news.as_mut()));
        assert_eq!(watches.counts(), (0, 0));
        watches.wake(&woken_by);
        assert!(poll(news.as_mut()));
        assert_eq!(watches.counts(), (1, 0));
    }
}

#[test]
fn who_is_woken_in_vain_waits_on_and_is_counted() {
    let watches = Watches::default();
    let waiting = watches.wait_for((Topic::Nodes, None));
    let is_news = AtomicBool::new(false);
    let mut news = pin!(waiting.news(|| is_news.load(Ordering::Relaxed)));
    assert!(!poll(news.as_mut()));
    for n in 1..4 {
        watches.wake(&Topic::Nodes);
        assert!(!poll(news.as_mut()));
        assert_eq!(watches.counts(), (n, n));
    }
    is_news.store(true, Ordering::Relaxed);
    watches.wake(&Topic::Nodes);
    assert!(poll(news.as_mut()));
    assert_eq!(watches.counts(), (4, 3));
}

#[test]
fn what_comes_before_the_look_is_seen_at_the_look() {
    let watches = Watches::default();
    let waiting = watches.wait_for((Topic::Nodes, None));
    assert!(poll(pin!(waiting.news(|| true))));
    // And what comes at the look itself wakes.
    let looks = AtomicU64::new(0);
    let mut news = pin!(waiting.news(|| {
        watches.wake(&Topic::Nodes);
        looks.fetch_add(1, Ordering::Relaxed) > 0
    }));
    assert!(poll(news.as_mut()));
    assert_eq!(watches.counts(), (1, 0));
}

#[test]
fn a_topic_is_there_as_long_as_somebody_waits_for_it() {
    let watches = Watches::default();
    let first = watches.wait_for((service("a"), Some(Topic::Nodes)));
    let second = watches.wait_for((service("a"), None));
    assert_eq!(watches.topics(), 2);
    drop(first);
    assert_eq!(watches.topics(), 1);
    drop(second);
    assert_eq!(watches.topics(), 0);
}
