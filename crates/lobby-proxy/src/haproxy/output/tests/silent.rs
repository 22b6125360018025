//! A process that accepts and says nothing (stopped, or stuck): how soon it is replaced.
//!
//! Not here: one that nobody can connect to (`tests`); how long a question waits (`socket`).

use super::*;
use crate::haproxy::output::judge::UNREACHABLE;

#[tokio::test]
async fn the_time_that_a_question_waited_counts_as_silence() {
    let mut run = Run::new(|_, _| {});
    // It answers again afterwards: were only the time after it counted, nothing would be reloaded.
    run.fake.model().hangs = Some(UNREACHABLE);
    run.show(&["1"], Some(&[]));
    run.until(|status| status.reload_reasons.contains_key("unreachable")).await;
    run.until(|status| status.is_in_step).await;
    run.stop().await;
}

#[tokio::test]
async fn a_short_silence_reloads_nothing() {
    let mut run = Run::new(|_, _| {});
    run.show(&["1"], Some(&[]));
    run.until(|status| status.is_in_step).await;
    let (before, failures) = (run.n_reloads(), run.stats.status().socket_failures);
    run.fake.model().hangs = Some(UNREACHABLE / 4);
    run.until(|status| status.socket_failures > failures && status.is_in_step).await;
    assert_eq!(run.n_reloads(), before);
    run.stop().await;
}
