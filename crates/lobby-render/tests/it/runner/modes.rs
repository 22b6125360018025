//! Once, dry, and the program that uses the files. Programs have real time, as what they are given ends early else.

use lobby_render::settings::ForEach;

use super::commands::is_alive;
use super::items::{names, services};
use super::log::Log;
use super::*;

#[tokio::test(start_paused = true)]
async fn once_waits_for_all_data_then_ends() {
    let mut stage = Stage::new();
    stage.settings.once = true;
    let command = stage.command("cat FOLDER/a FOLDER/b >> FOLDER/runs");
    stage.template("{{key \"a\"}}", "a");
    stage.template("{{key \"b\"}}\n", "b").command = command;
    let run = stage.start();
    stage.script.until_watched([key("a"), key("b")]).await;
    stage.script.key("a", "1");
    stage.until_file("a", "1").await;
    // It asks no more, and is rendered once.
    stage.script.until_watched([key("b")]).await;
    stage.script.key("a", "2");
    stage.script.say(key("b"), Answer::Key(None));
    stage.script.key("b", "3");
    assert!(matches!(run.end().await, Ok(End::Done)));
    assert_eq!((stage.file("a").as_str(), stage.file("runs").as_str()), ("1", "13\n"));
}

#[tokio::test]
async fn once_with_a_program_ends_with_it_and_changes_nothing_meanwhile() {
    let mut stage = Stage::new();
    stage.settings.once = true;
    stage.template("{{key \"a\"}}", "f");
    stage.exec("until test -e FOLDER/go; do sleep 0.01; done; exit 7");
    stage.script.key("a", "1");
    let run = stage.start();
    stage.until_file("f", "1").await;
    stage.script.until_watched([]).await;
    stage.script.key("a", "2");
    fs::write(stage.path("go"), "").unwrap();
    assert!(matches!(run.end().await, Ok(End::Program(7))));
    assert_eq!(stage.file("f"), "1");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_shows_what_differs_and_does_nothing() {
    let mut stage = Stage::new();
    (stage.settings.once, stage.settings.dry) = (true, true);
    let command = stage.command("echo >> FOLDER/runs");
    fs::write(stage.path("same"), "same").unwrap();
    for name in ["same", "new"] {
        let template = stage.template(name, name);
        (template.command, template.check) = (command.clone(), command.clone());
    }
    stage.template("to nowhere", "").destination = PathBuf::new();
    stage.exec("echo >> FOLDER/runs");
    assert!(matches!(stage.run().await, Ok(End::Done)));
    assert_eq!((stage.names(), stage.file("same").as_str()), (vec!["same".into()], "same"));
    let shown = lock(&SHOWN).clone();
    let shown: Vec<_> =
        shown.into_iter().filter(|(path, _)| path.starts_with(stage.folder.path()) || path.as_os_str().is_empty()).collect();
    assert_eq!(shown, [(stage.path("new"), "new".into()), (PathBuf::new(), "to nowhere".into())]);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_shows_what_would_go_and_another_mode() {
    let mut stage = Stage::new();
    stage.settings.once = true;
    let template = stage.template("x", "d/{{.Name}}");
    (template.for_each, template.perms) = (Some(ForEach::Service), Some(0o644));
    stage.script.say(services(), names(&["a", "b"]));
    assert!(matches!(stage.run().await, Ok(End::Done)));
    stage.settings.dry = true;
    stage.settings.templates[0].perms = Some(0o600);
    stage.script.say(services(), names(&["b", "c"]));
    assert!(matches!(stage.run().await, Ok(End::Done)));
    let shown: Vec<_> = lock(&SHOWN).iter().filter(|(path, _)| path.starts_with(stage.path("d"))).cloned().collect();
    let want = [("b", "(mode 0644 -> 0600)"), ("c", "x"), ("a", "(gone)")];
    assert_eq!(shown, want.map(|(name, what)| (stage.path("d").join(name), what.to_owned())));
    assert!(stage.path("d/a").exists() && !stage.path("d/c").exists());
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_runs_programs_of_templates_but_writes_no_files() {
    let mut stage = Stage::new();
    (stage.settings.once, stage.settings.dry) = (true, true);
    stage.template("{{plugin \"echo\" \"said\"}}", "f");
    assert!(matches!(stage.run().await, Ok(End::Done)));
    let shown = lock(&SHOWN).iter().any(|(path, text)| *path == stage.path("f") && text == "said");
    assert!(shown && stage.names().is_empty());
    let text = stage.with_folder("{{writeToFile \"FOLDER/out\" \"\" \"\" \"0644\" \"x\"}}");
    stage.template(&text, "g");
    let error = stage.run().await.unwrap_err().to_string();
    assert!(error.contains("writeToFile: a trial run writes no files"), "{error}");
    assert!(stage.names().is_empty());
}

#[tokio::test(start_paused = true)]
async fn where_lookups_must_succeed_a_missing_key_ends_the_run() {
    let mut stage = Stage::new();
    stage.environment.lookups_must_succeed = true;
    stage.template("{{keyOrDefault \"a\" \"x\"}}", "a");
    stage.template("{{key \"b\"}}", "b").error_fatal = false;
    stage.script.say(key("a"), Answer::Key(None));
    stage.script.say(key("b"), Answer::Key(None));
    let error = stage.run().await.unwrap_err().to_string();
    assert_eq!(error, "kv.block(b): lookup error: there is no such thing (err_on_failed_lookup)");
    assert_eq!(stage.file("a"), "x");
}

/// Not HUP: below nohup a shell cannot take it.
const TELLS: &str = "echo $$ > FOLDER/pid; trap 'echo hup >> FOLDER/told' USR2; trap 'echo usr1 >> FOLDER/told' USR1; \
                     trap 'echo end >> FOLDER/told; exit 3' TERM; cat FOLDER/a FOLDER/b >> FOLDER/told; \
                     while :; do sleep 0.01; done";

#[tokio::test]
async fn a_program_starts_after_all_files_and_is_told_by_a_signal() {
    let mut stage = Stage::new();
    stage.template("{{key \"a\"}}", "a");
    stage.template("{{key \"b\"}}\n", "b");
    stage.exec(TELLS).reload_signal = Some(12);
    let run = stage.start();
    // Before there is a program, a signal is for nobody.
    run.orders.send(Order::Signal(10)).await.unwrap();
    stage.script.until_watched([key("a"), key("b")]).await;
    stage.script.key("a", "1");
    stage.until_file("a", "1").await;
    assert_eq!(stage.file("told"), "");
    stage.script.key("b", "2");
    stage.until_file("told", "12\n").await;
    stage.script.key("a", "3");
    stage.until_file("told", "12\nhup\n").await;
    run.orders.send(Order::Signal(10)).await.unwrap();
    stage.until_file("told", "12\nhup\nusr1\n").await;
    let pid = stage.file("pid").trim().to_owned();
    run.stop().await;
    assert_eq!((stage.file("told").as_str(), is_alive(&pid)), ("12\nhup\nusr1\nend\n", false));
}

#[tokio::test]
async fn without_a_signal_it_is_started_again_and_its_end_is_ours() {
    let mut stage = Stage::new();
    stage.template("{{key \"a\"}}\n", "a");
    stage.template("", "b");
    stage.exec(TELLS);
    stage.script.key("a", "1");
    let run = stage.start();
    stage.until_file("told", "1\n").await;
    stage.script.key("a", "2");
    stage.until_file("told", "1\nend\n2\n").await;
    run.orders.send(Order::Signal(15)).await.unwrap();
    assert!(matches!(run.end().await, Ok(End::Program(3))));
}

#[tokio::test]
async fn a_failure_ends_the_program_and_is_not_hidden_by_it() {
    let mut stage = Stage::new();
    stage.template("{{if eq (key \"a\") \"bad\"}}{{index 1 2}}{{end}}\n", "a");
    stage.template("", "b");
    stage.exec(TELLS);
    stage.script.key("a", "1");
    let run = stage.start();
    stage.until_file("told", "\n").await;
    stage.script.key("a", "bad");
    assert!(matches!(run.end().await.unwrap_err().what(), RunError::Template(_)));
    assert_eq!(stage.file("told"), "\nend\n");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_whoever_gives_orders_is_a_stop() {
    let log = Log::new();
    let mut stage = Stage::new();
    stage.template("{{key \"a\"}}", "a");
    let Run { orders, task, .. } = stage.start();
    stage.script.until_watched([key("a")]).await;
    drop(orders);
    assert!(matches!(task.await.unwrap(), Ok(End::Stopped)));
    assert!(log.lines().iter().all(|line| !line.starts_with("ERROR")), "{:?}", log.lines());
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_text_are_copied() {
    let mut stage = Stage::new();
    stage.settings.once = true;
    fs::write(stage.path("t"), b"l\xf6w {{`r\xe4w`}}\n").unwrap();
    let source = TemplateSource::File(stage.path("t"));
    stage.template("", "f").source = source;
    assert!(matches!(stage.run().await, Ok(End::Done)));
    assert_eq!(fs::read(stage.path("f")).unwrap(), b"l\xf6w r\xe4w\n");
}

#[test]
fn a_folder_is_no_destination() {
    let mut stage = Stage::new();
    fs::create_dir(stage.path("d")).unwrap();
    stage.template("x", "d");
    let error = stage.runner().0.unwrap_err().to_string();
    assert!(error.contains("template 1 ") && error.contains("is a directory: give the path of a file"), "{error}");
}
