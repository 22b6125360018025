//! Commands: in which order and how often they run, what a failed one does to files and to the run, and that none is lost.

use lobby_render::command::CommandError;

use super::log::Log;
use super::*;

#[tokio::test(start_paused = true)]
async fn equal_commands_run_once_in_order_and_all_are_tried() {
    let mut stage = Stage::new();
    for (name, command) in [
        ("a", "echo one >> FOLDER/runs"),
        ("b", "echo two >> FOLDER/runs; exit 3"),
        ("c", "echo one >> FOLDER/runs"),
        ("d", "echo three >> FOLDER/runs"),
    ] {
        let command = stage.command(command);
        stage.template("{{key \"x\"}}", name).command = command;
    }
    stage.script.key("x", "1");
    let error = stage.run().await.unwrap_err();
    assert!(matches!(error.what(), RunError::Command(CommandError::Exit { .. })), "{error}");
    let name = format!("template 2 ((dynamic) -> {}): command exited", stage.path("b").display());
    assert!(error.to_string().starts_with(&name), "{error}");
    assert_eq!(stage.file("runs"), "one\ntwo\nthree\n");
    // Nothing is to be rolled back: the new files stay, and what failed is not run again for them.
    assert_eq!(stage.names(), ["a", "b", "c", "d", "runs"]);
    let run = stage.start();
    until(|| run.stats.evaluations.get() == 8, || run.stats.evaluations.get()).await;
    run.stop().await;
    assert_eq!(stage.file("runs"), "one\ntwo\nthree\n");
}

#[tokio::test(start_paused = true)]
async fn a_failed_command_puts_the_last_good_files_back_and_says_so() {
    let log = Log::new();
    let mut stage = Stage::new();
    let command = stage.command("cat FOLDER/f FOLDER/g >> FOLDER/runs; ! grep -q bad FOLDER/f");
    for name in ["f", "g"] {
        let template = stage.template("{{key \"a\"}}{{if keyOrDefault \"b\" \"\"}}{{end}}\n", name);
        (template.command, template.roll_back, template.error_fatal) = (command.clone(), true, false);
    }
    stage.script.key("a", "one");
    stage.script.key("b", "1");
    let run = stage.start();
    stage.until_file("runs", "one\none\n").await;
    stage.script.key("a", "bad");
    stage.until_file("runs", "one\none\nbad\nbad\none\none\n").await;
    assert_eq!((stage.file("f").as_str(), stage.file("g").as_str()), ("one\n", "one\n"));
    until(|| run.stats.roll_backs.get() == 2, || run.stats.roll_backs.get()).await;
    assert_eq!(
        (log.count("rolled back: the last good"), log.count("command exited with a non-zero")),
        (2, 1),
        "{:?}",
        log.lines()
    );
    // What was refused is not tried again until it differs.
    let evaluations = run.stats.evaluations.get();
    stage.script.key("b", "2");
    until(|| run.stats.evaluations.get() == evaluations + 2, || run.stats.evaluations.get()).await;
    stage.script.key("a", "two");
    stage.until_file("runs", "one\none\nbad\nbad\none\none\ntwo\ntwo\n").await;
    stage.until_settled().await;
    run.stop().await;
    assert_eq!((stage.file("f").as_str(), stage.names()), ("two\n", vec!["f".into(), "g".into(), "runs".into()]));
}

#[tokio::test(start_paused = true)]
async fn a_fatal_command_puts_back_too_and_the_first_file_is_removed() {
    let mut stage = Stage::new();
    let command = stage.command("test ! -e FOLDER/f");
    let template = stage.template("x", "f");
    (template.command, template.roll_back) = (command, true);
    let error = stage.run().await.unwrap_err();
    assert!(matches!(error.what(), RunError::Command(CommandError::Exit { .. })), "{error}");
    assert!(stage.names().is_empty(), "{:?}", stage.names());
}

#[tokio::test(start_paused = true)]
async fn stop_kills_a_command_with_its_group_and_the_next_run_runs_it() {
    let mut stage = Stage::new();
    let hangs = stage.command("echo begun > FOLDER/one; sleep 1000 & echo $! > FOLDER/pid; wait");
    let other = stage.command("echo other >> FOLDER/two");
    stage.template("x", "f").command = hangs;
    stage.template("x", "g").command = other;
    let run = stage.start();
    until(|| stage.file("pid").ends_with('\n'), || stage.file("pid")).await;
    let pid = stage.file("pid").trim().to_owned();
    run.orders.send(Order::Signal(1)).await.unwrap();
    run.stop().await;
    until(|| !is_alive(&pid), || pid.clone()).await;
    // In place, but unsettled; the command of the other one was never begun.
    assert_eq!((stage.file("f").as_str(), stage.file("two").as_str()), ("x", ""));
    assert!(stage.names().contains(&".g.lobby-none".to_owned()), "{:?}", stage.names());
    stage.settings.templates[0].command = stage.command("echo again > FOLDER/one");
    let run = stage.start();
    stage.until_file("two", "other\n").await;
    stage.until_settled().await;
    assert_eq!((stage.file("one").as_str(), run.stats.writes.get()), ("again\n", 0));
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_order_to_finish_lets_a_command_end_and_a_stop_does_not() {
    let mut stage = Stage::new();
    let command = stage.command("echo >> FOLDER/begun; until test -e FOLDER/go; do sleep 0.01; done; echo >> FOLDER/ended");
    stage.template("{{key \"a\"}}", "f").command = command;
    stage.script.key("a", "1");
    let run = stage.start();
    stage.until_file("begun", "\n").await;
    run.orders.send(Order::Finish).await.unwrap();
    tokio::task::yield_now().await;
    assert!(!run.task.is_finished());
    fs::write(stage.path("go"), "").unwrap();
    assert!(matches!(run.end().await, Ok(End::Stopped)));
    assert_eq!((stage.file("ended").as_str(), stage.names().len()), ("\n", 4), "{:?}", stage.names());
    // It was run, and is settled; with nothing to do, an order to finish is one to stop.
    let run = stage.start();
    until(|| run.stats.evaluations.get() == 2, || ()).await;
    run.orders.send(Order::Finish).await.unwrap();
    assert!(matches!(run.end().await, Ok(End::Stopped)));
    assert_eq!(stage.file("begun"), "\n");
    fs::remove_file(stage.path("go")).unwrap();
    stage.script.key("a", "2");
    let run = stage.start();
    stage.until_file("begun", "\n\n").await;
    run.orders.send(Order::Finish).await.unwrap();
    run.stop().await;
    assert_eq!(stage.file("ended"), "\n");
}

#[tokio::test(start_paused = true)]
async fn stop_is_heard_while_a_check_hangs() {
    let mut stage = Stage::new();
    let check = stage.command("echo begun > FOLDER/begun; sleep 1000");
    stage.template("x", "f").check = check;
    let run = stage.start();
    stage.until_file("begun", "begun\n").await;
    run.stop().await;
    until(|| stage.names() == ["begun"], || stage.names()).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_while_a_command_runs_is_rendered_after_it() {
    let mut stage = Stage::new();
    let command = stage.command("cat FOLDER/f >> FOLDER/runs; until test -e FOLDER/go; do sleep 0.01; done");
    stage.template("{{key \"a\"}}\n", "f").command = command;
    stage.script.key("a", "1");
    let run = stage.start();
    stage.until_file("runs", "1\n").await;
    stage.script.key("a", "2");
    stage.script.key("a", "3");
    fs::write(stage.path("go"), "").unwrap();
    stage.until_file("runs", "1\n3\n").await;
    run.stop().await;
}

#[tokio::test]
async fn a_command_without_a_time_goes_on_in_the_background() {
    let log = Log::new();
    let mut stage = Stage::new();
    let text = "echo > FOLDER/begun; until test -e FOLDER/go; do sleep 0.01; done; echo > FOLDER/ended; exit 3";
    let command = stage.command(text).map(|command| CommandSettings { timeout: Duration::ZERO, ..command });
    stage.template("x", "f").command = command;
    stage.settings.once = true;
    assert!(matches!(stage.run().await, Ok(End::Done)));
    assert!(!stage.path("ended").exists() && !stage.names().contains(&".f.lobby-none".to_owned()), "{:?}", stage.names());
    fs::write(stage.path("go"), "").unwrap();
    stage.until_file("ended", "\n").await;
    until(|| log.count("a command in the background has failed") == 1, || log.lines()).await;
}

#[tokio::test(start_paused = true)]
async fn what_fails_names_its_template_and_speaks_of_the_last_file_only_if_there_is_one() {
    let log = Log::new();
    let mut stage = Stage::new();
    fs::write(stage.path("b"), "old").unwrap();
    for name in ["a", "b"] {
        let template = stage.template("x", name);
        (template.user, template.error_fatal) = (Some("no such".into()), false);
    }
    let run = stage.start();
    until(|| run.stats.failures.get() == 2, || log.lines()).await;
    run.stop().await;
    for (number, name, end) in [(1, "a", "or a number"), (2, "b", "or a number; the last good file stays")] {
        let line = format!("template {number} ((dynamic) -> {}): user \"no such\" is not in", stage.path(name).display());
        assert!(log.lines().iter().any(|said| said.contains(&line) && said.ends_with(end)), "{line}: {:?}", log.lines());
    }
}

/// Killed processes may wait for whoever adopts them.
pub(super) fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}
