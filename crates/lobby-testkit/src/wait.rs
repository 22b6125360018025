//! Waiting for a condition: polls until it holds, or panics at the deadline with the last state seen.
//!
//! The only place where a test sleeps.

use std::{fmt::Debug, future::Future, time::Duration};

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(10);

/// Polls `look` until it is `Ok`; panics with the last `Err` when `within` has passed.
#[track_caller]
pub fn eventually<T, E: Debug>(within: Duration, mut look: impl FnMut() -> Result<T, E>) -> T {
    let start = now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(state) if start.elapsed() >= within => panic!("not within {within:?}; last seen: {state:#?}"),
            Err(_) => pause(),
        }
    }
}

/// As [`eventually`], for conditions that must be awaited; leaves the runtime free meanwhile.
pub async fn eventually_async<T, E: Debug, F: Future<Output = Result<T, E>>>(within: Duration, mut look: impl FnMut() -> F) -> T {
    let start = now();
    loop {
        match look().await {
            Ok(value) => return value,
            Err(state) if start.elapsed() >= within => panic!("not within {within:?}; last seen: {state:#?}"),
            Err(_) => tokio::time::sleep(EVERY).await,
        }
    }
}

/// Polls `look` for as long as `during`; panics with its `Err` as soon as there is one. Proves that nothing happens.
pub async fn holds_async<E: Debug, F: Future<Output = Result<(), E>>>(during: Duration, mut look: impl FnMut() -> F) {
    let start = now();
    while start.elapsed() < during {
        if let Err(state) = look().await {
            panic!("not for the whole of {during:?}; seen after {:?}: {state:#?}", start.elapsed());
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// `Ok` when `holds`, else what was seen instead; the usual end of a closure for [`eventually`].
pub fn expect<S>(holds: bool, seen: S) -> Result<(), S> {
    if holds { Ok(()) } else { Err(seen) }
}

#[expect(clippy::disallowed_methods, reason = "deadlines of tests are real time, also under a paused clock")]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the one polling pause of all tests")]
pub(crate) fn pause() {
    std::thread::sleep(EVERY);
}
