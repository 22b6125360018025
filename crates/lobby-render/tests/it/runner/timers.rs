//! Time: changes are gathered per template, the cap on renderings, and templates that tell the time.

use lobby_render::settings::Wait;
use tokio::time::{Instant, sleep};

use super::*;

const fn wait(min: u64, max: u64) -> Option<Wait> {
    Some(Wait { min: Duration::from_secs(min), max: Duration::from_secs(max) })
}

/// Waits until a file holds this; how long that took.
async fn took(stage: &Stage, name: &str, want: &str) -> u64 {
    let began = Instant::now();
    stage.until_file(name, want).await;
    began.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn the_first_rendering_does_not_wait_and_later_ones_do() {
    let mut stage = Stage::new();
    stage.settings.wait = wait(5, 20);
    stage.template("{{key \"a\"}}", "a");
    // No wait at all.
    stage.template("{{key \"a\"}}", "b").wait = wait(0, 0);
    stage.template("{{key \"c\"}}", "c");
    stage.script.key("a", "1");
    let run = stage.start();
    assert_eq!(took(&stage, "a", "1").await, 0);
    // Not all have rendered: nothing is gathered yet.
    stage.script.key("a", "2");
    assert_eq!(took(&stage, "a", "2").await, 0);
    stage.script.key("c", "1");
    assert_eq!(took(&stage, "c", "1").await, 0);
    stage.script.key("a", "3");
    assert_eq!((took(&stage, "b", "3").await, took(&stage, "a", "3").await), (0, 5));
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn changes_are_gathered_until_the_longest_wait_and_others_are_left_alone() {
    let mut stage = Stage::new();
    stage.template("{{key \"a\"}}", "a").wait = wait(5, 12);
    stage.template("{{key \"b\"}}", "b").wait = wait(30, 60);
    stage.script.key("a", "0");
    stage.script.key("b", "0");
    let run = stage.start();
    stage.until_file("b", "0").await;
    let began = Instant::now();
    stage.script.key("b", "1");
    for value in ["1", "2", "3"] {
        stage.script.key("a", value);
        sleep(Duration::from_secs(4)).await;
    }
    stage.until_file("a", "3").await;
    assert_eq!((began.elapsed().as_secs(), stage.file("b").as_str()), (12, "0"));
    assert_eq!(run.stats.writes.get(), 3);
    stage.until_file("b", "1").await;
    assert_eq!(began.elapsed().as_secs(), 30);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_cap_delays_and_loses_nothing() {
    let mut stage = Stage::new();
    stage.settings.rate = 2;
    for name in ["a", "b", "c", "d", "e"] {
        stage.template(&format!("{{{{keyOrDefault \"x\" \"\"}}}}{name}"), name);
    }
    stage.script.key("x", "1");
    let run = stage.start();
    let began = Instant::now();
    until(|| run.stats.writes.get() == 5, || run.stats.writes.get()).await;
    // The first rendering does not wait: five find the question, five render.
    assert_eq!((began.elapsed().as_secs(), run.stats.evaluations.get(), run.stats.delayed.get()), (0, 10, 0));
    stage.script.key("x", "2");
    until(|| run.stats.writes.get() == 10, || run.stats.writes.get()).await;
    // Two a second.
    assert_eq!((began.elapsed().as_secs(), run.stats.evaluations.get(), run.stats.delayed.get()), (2, 15, 2));
    for name in ["a", "b", "c", "d", "e"] {
        assert_eq!(stage.file(name), format!("2{name}"));
    }
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn under_a_cap_the_last_template_is_rendered_too() {
    let mut stage = Stage::new();
    stage.settings.rate = 1;
    stage.template("{{keyOrDefault \"x\" \"\"}}", "busy");
    stage.template("{{keyOrDefault \"x\" \"\"}}", "last");
    stage.script.key("x", "0");
    let run = stage.start();
    for number in 1..100 {
        stage.script.key("x", &number.to_string());
        sleep(Duration::from_millis(200)).await;
    }
    let (busy, last): (u32, u32) = (stage.file("busy").parse().unwrap(), stage.file("last").parse().unwrap());
    assert!(busy.abs_diff(last) < 20, "{busy} {last}");
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_template_that_tells_the_time_is_rewritten_only_with_its_data() {
    let mut stage = Stage::new();
    stage.template("{{key \"a\" | len}} {{timestamp \"unix\"}}", "f");
    stage.template("{{key \"b\"}}", "other");
    stage.script.key("a", "x");
    stage.script.key("b", "1");
    let run = stage.start();
    stage.until_file("other", "1").await;
    let first = stage.file("f");
    for value in ["y", "z"] {
        sleep(Duration::from_secs(100)).await;
        stage.script.key("a", value);
        stage.script.key("b", value);
        stage.until_file("other", value).await;
        assert_eq!(stage.file("f"), first);
    }
    sleep(Duration::from_secs(10_000)).await;
    // Nothing is evaluated because time goes by.
    assert_eq!((run.stats.writes.get(), stage.file("f")), (4, first.clone()));
    let evaluations = run.stats.evaluations.get();
    stage.script.key("a", "longer");
    until(|| stage.file("f").starts_with("6 "), || stage.file("f")).await;
    let times: Vec<u64> = [first, stage.file("f")].iter().map(|text| text[2..].parse().unwrap()).collect();
    assert!(times[1] >= times[0] + 10_200, "{times:?}");
    assert_eq!(run.stats.evaluations.get(), evaluations + 2);
    run.stop().await;
}
