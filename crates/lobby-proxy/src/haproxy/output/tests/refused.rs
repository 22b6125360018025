//! While a new file is refused, the old one is reloaded for what is wrong with the process, and for nothing else.
//!
//! Not here: that it is refused (`tests`), ports (`ports`, `taken`).

use super::*;

/// The process was started with the file, and a new one that adds a line to its structure is refused as long as `no` is there.
async fn refused() -> Run {
    let mut run = Run::new(|folder, haproxy| {
        haproxy.do_checks = true;
        haproxy.check_command = Some(format!("! test -e {}/no || ! grep bad {{{{.Path}}}}", folder.display()));
    });
    run.show(&["1"], Some(&[]));
    run.until(|status| status.is_in_step).await;
    assert_eq!(run.n_reloads(), 1, "nobody knew what it was started with");
    fs::write(run.folder.path().join("no"), "").unwrap();
    run.stop().await;
    run.settings.haproxy.as_mut().unwrap().global.push("bad".into());
    run.start();
    run.until(|status| status.checks_failed == 1).await;
    run
}

fn pid(run: &Run) -> u32 {
    fs::read_to_string(&run.fake.pid_file).unwrap().trim().parse().unwrap()
}

fn remembered(run: &Run) -> String {
    let text = fs::read_to_string(run.folder.path().join(".haproxy.cfg.lobby-running")).unwrap();
    text.split_once('\n').unwrap().1.to_owned()
}

#[tokio::test]
async fn a_frontend_that_was_shut_down_is_back_with_the_old_file() {
    let mut run = refused().await;
    let old = run.text();
    run.fake.model().shut_down = Some(pid(&run));
    run.until(|status| status.reload_reasons.get("frontend") == Some(&1)).await;
    // It answers, and what it was started with is the old file.
    holds_async(2 * REPAIR, async || expect((run.n_reloads(), run.text()) == (2, old.clone()), run.stats.status())).await;
    assert_eq!(remembered(&run), "global\nbackend web\nbackend db\n");
    run.stop().await;
    run.settings.haproxy.as_mut().unwrap().global.pop();
    run.start();
    run.until(|status| status.is_in_step).await;
    assert_eq!(run.n_reloads(), 2, "the old structure again: nothing is to be done");
    run.stop().await;
}

#[tokio::test]
async fn a_process_that_does_not_answer_is_reloaded_once_with_the_old_file_and_once_with_the_new() {
    let mut run = refused().await;
    run.fake.model().is_silent = true;
    run.until(|status| status.reload_reasons.get("unreachable") == Some(&1)).await;
    assert!(!run.text().contains("bad"));
    holds_async(judge::UNREACHABLE + 2 * REPAIR, async || expect(run.n_reloads() == 2, run.stats.status())).await;
    assert_eq!(remembered(&run), "global\nbackend web\nbackend db\n");
    fs::remove_file(run.folder.path().join("no")).unwrap();
    run.show(&["2"], Some(&[]));
    run.until(|status| status.reload_reasons.get("unreachable") == Some(&2)).await;
    assert!(run.text().contains("bad"));
    run.fake.model().is_silent = false;
    run.until(|status| status.is_in_step).await;
    assert_eq!((run.n_reloads(), remembered(&run).as_str()), (3, "global\nbad\nbackend web\nbackend db\n"));
    run.stop().await;
}

#[tokio::test]
async fn a_file_that_somebody_else_wrote_is_not_loaded() {
    let mut run = refused().await;
    fs::remove_file(run.folder.path().join("no")).unwrap();
    run.show(&["2"], Some(&[]));
    run.until(|status| status.is_in_step).await;
    let before = run.n_reloads();
    fs::write(run.folder.path().join("no"), "").unwrap();
    fs::write(run.folder.path().join("haproxy.cfg"), "half of\n").unwrap();
    run.until(|status| status.checks_failed > 1).await;
    run.fake.model().shut_down = Some(pid(&run));
    run.until(|status| status.reload_due.len() == 1).await;
    holds_async(2 * REPAIR, async || expect(run.n_reloads() == before, run.stats.status())).await;
    run.stop().await;
}

#[test]
fn a_structure_is_known_by_its_lines() {
    let skeleton = "global\n\nbackend a\n\tserver own 1:1\nbackend b\n";
    for (text, want) in [
        ("global\n\nbackend a\n\tserver own 1:1\nbackend b\n", true),
        ("global\n\nbackend a\n\tserver own 1:1\n\tserver x 1:1\nbackend b\n\tserver y 1:1\n", true),
        ("global\n\nbackend a\nbackend b\n", false),
        ("global\n\nbackend a\n\tserver own 1:1\n", false),
        ("global\n\nbackend a\n\tserver own 1:1\nbackend b\n\tmode http\n", false),
        ("", false),
    ] {
        assert_eq!(reloads::has_structure(text, skeleton), want, "{text}");
    }
}
