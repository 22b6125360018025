//! Passes: questions that depend on answers, what is rendered and what is not, what an error of one template means for others.

use lobby_render::UnitError;

use super::log::Log;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_question_may_depend_on_an_answer_and_is_given_up_when_unused() {
    let mut stage = Stage::new();
    stage.template("{{key (key \"which\")}}", "f");
    let run = stage.start();
    stage.script.until_watched([key("which")]).await;
    stage.script.key("which", "a");
    stage.script.until_watched([key("which"), key("a")]).await;
    assert_eq!(stage.file("f"), "");
    stage.script.key("a", "1");
    stage.until_file("f", "1").await;
    stage.script.key("which", "b");
    stage.script.until_watched([key("which"), key("b")]).await;
    // The old file stays while an answer is missing.
    assert_eq!((stage.file("f").as_str(), run.stats.waiting.get()), ("1", 1));
    stage.script.key("b", "2");
    stage.until_file("f", "2").await;
    assert_eq!((run.stats.waiting.get(), run.stats.writes.get()), (0, 2));
    run.stop().await;
    stage.script.until_watched([]).await;
}

#[tokio::test(start_paused = true)]
async fn it_renders_only_with_all_answers_even_if_it_fails_without() {
    let mut stage = Stage::new();
    stage.template("{{key \"a\"}}{{index (ls \"none\") 5}}", "never");
    stage.template("{{key \"a\"}}{{key \"b\"}}", "f");
    let run = stage.start();
    stage.script.key("a", "1");
    until(|| run.stats.evaluations.get() == 4, || run.stats.evaluations.get()).await;
    assert_eq!((stage.names().len(), run.stats.waiting.get()), (0, 2));
    stage.script.key("b", "2");
    stage.until_file("f", "12").await;
    // Once its data is there, the error counts.
    let none = Query::Keys { prefix: "none".into(), datacenter: None };
    stage.script.say(none, Answer::Keys([].into()));
    let error = run.end().await.unwrap_err();
    assert!(matches!(error.what(), RunError::Template(UnitError::Execute { .. })), "{error}");
}

#[tokio::test(start_paused = true)]
async fn only_templates_that_asked_are_evaluated_and_equal_files_are_not_written() {
    let mut stage = Stage::new();
    stage.template("{{key \"a\"}}", "a");
    stage.template("{{if key \"b\"}}same{{end}}", "b");
    let command = stage.command("echo >> FOLDER/runs");
    stage.settings.templates[1].command = command;
    stage.script.key("a", "1");
    stage.script.key("b", "1");
    let run = stage.start();
    stage.until_file("runs", "\n").await;
    let (evaluations, writes) = (run.stats.evaluations.get(), run.stats.writes.get());
    stage.script.key("a", "2");
    stage.until_file("a", "2").await;
    assert_eq!((run.stats.evaluations.get(), run.stats.writes.get()), (evaluations + 1, writes + 1));
    stage.script.key("b", "2");
    until(|| run.stats.evaluations.get() == evaluations + 2, || run.stats.evaluations.get()).await;
    // An equal answer is none.
    stage.script.key("b", "2");
    stage.script.key("a", "3");
    stage.until_file("a", "3").await;
    assert_eq!((run.stats.evaluations.get(), run.stats.writes.get()), (evaluations + 3, writes + 2));
    assert_eq!((stage.file("runs").as_str(), run.stats.commands.get()), ("\n", 1));
    // What others did to a file is put right when its template is next rendered.
    fs::write(stage.path("b"), "other").unwrap();
    stage.script.key("b", "3");
    stage.until_file("b", "same").await;
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_error_of_one_template_is_told_once_and_stops_no_other() {
    let log = Log::new();
    let mut stage = Stage::new();
    stage.template("{{key \"a\" | index 1 2 3}}", "bad").error_fatal = false;
    stage.template("{{key \"a\"}}", "good");
    let run = stage.start();
    for value in ["1", "2", "3"] {
        stage.script.key("a", value);
        stage.until_file("good", value).await;
    }
    assert_eq!((run.stats.failures.get(), log.count("(dynamic): execute")), (3, 1), "{:?}", log.lines());
    assert_eq!(stage.names(), ["good"]);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_fatal_error_ends_the_run_after_the_others_unless_it_goes_on() {
    let mut stage = Stage::new();
    stage.template("{{index 1 2}}", "bad");
    stage.template("x", "good");
    let command = stage.command("echo >> FOLDER/runs");
    stage.settings.templates[1].command = command;
    let error = stage.run().await.unwrap_err();
    assert!(error.what().to_string().starts_with("(dynamic): execute: template: :1:"), "{error}");
    assert_eq!((stage.file("good").as_str(), stage.file("runs").as_str()), ("x", "\n"));
    assert_eq!(stage.names(), ["good", "runs"]);
    stage.environment.keep_going = true;
    let run = stage.start();
    until(|| run.stats.failures.get() == 1, || run.stats.failures.get()).await;
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_put_in_place_is_tried_again() {
    let mut stage = Stage::new();
    let template = stage.template("x", "made/f");
    (template.create_dest_dirs, template.error_fatal) = (false, false);
    let run = stage.start();
    until(|| run.stats.failures.get() == 2, || run.stats.failures.get()).await;
    fs::create_dir(stage.path("made")).unwrap();
    stage.until_file("made/f", "x").await;
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_check_that_fails_leaves_the_old_file_and_runs_no_command() {
    let mut stage = Stage::new();
    let (check, command) = (stage.command("grep -q good {{.Path}}"), stage.command("echo >> FOLDER/runs"));
    let template = stage.template("{{key \"a\"}}", "f");
    (template.check, template.command, template.error_fatal) = (check, command, false);
    stage.script.key("a", "good 1");
    let run = stage.start();
    stage.until_file("runs", "\n").await;
    stage.script.key("a", "bad");
    until(|| run.stats.failures.get() > 0, || ()).await;
    assert_eq!((stage.file("f").as_str(), stage.names()), ("good 1", vec!["f".into(), "runs".into()]));
    stage.script.key("a", "good 2");
    stage.until_file("runs", "\n\n").await;
    assert_eq!(stage.file("f"), "good 2");
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_text_of_a_template_is_read_once() {
    let mut stage = Stage::new();
    fs::write(stage.path("t"), "{{key \"a\"}} one\n").unwrap();
    let source = TemplateSource::File(stage.path("t"));
    stage.template("", "f").source = source;
    stage.script.key("a", "1");
    let run = stage.start();
    stage.until_file("f", "1 one\n").await;
    fs::write(stage.path("t"), "{{key \"a\"}} two\n").unwrap();
    stage.script.key("a", "2");
    stage.until_file("f", "2 one\n").await;
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_templates_of_one_file_are_refused() {
    let mut stage = Stage::new();
    stage.template("a", "f");
    stage.template("b", "g");
    stage.template("c", "./f");
    let said = stage.runner().0.unwrap_err().to_string();
    let (one, other) = (stage.path("f"), stage.path("./f"));
    let want = format!("template 1 ((dynamic) -> {}) and template 3 ((dynamic) -> {}) have", one.display(), other.display());
    assert!(said.contains(&want), "{said}");
    // Files that are only shown have none.
    stage.settings.templates.iter_mut().for_each(|template| template.destination = PathBuf::new());
    assert!(stage.runner().0.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_gave_up_ends_the_run_or_is_asked_again() {
    let mut stage = Stage::new();
    stage.template("{{key \"a\"}}", "f");
    let failed = || News::Failed { query: key("a"), message: "gone for good".into() };
    let run = stage.start();
    stage.script.until_watched([key("a")]).await;
    stage.script.tell(News::Trouble { query: key("a"), message: "not yet".into(), attempts: 1 });
    stage.script.tell(failed());
    assert_eq!(run.end().await.unwrap_err().to_string(), "gone for good");

    stage.environment.keep_going = true;
    let run = stage.start();
    stage.script.until_watched([key("a")]).await;
    stage.script.tell(failed());
    until(|| stage.script.asked(&key("a")) == 3, || stage.script.asked(&key("a"))).await;
    stage.script.key("a", "1");
    stage.until_file("f", "1").await;
    run.stop().await;
}

/// Answers without a rest.
struct Flood;

impl Source for Flood {
    async fn watch(&self, query: Query, news: mpsc::Sender<News>) {
        for number in 0_u64.. {
            if news.send(News::Answer(query.clone(), text(&number.to_string()))).await.is_err() {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_never_rests_holds_up_neither_rendering_nor_orders() {
    let mut stage = Stage::new();
    stage.template("{{key \"a\"}}", "f");
    stage.template("{{key \"b\"}}", "g").wait =
        Some(lobby_render::settings::Wait { min: Duration::from_millis(20), max: Duration::from_millis(50) });
    stage.settings.rate = 200;
    let (orders, receiver) = mpsc::channel(4);
    let runner = Runner::new(stage.settings.clone(), stage.environment.clone(), Flood, receiver).unwrap();
    let run = Run { orders, stats: runner.stats(), task: tokio::spawn(runner.run()) };
    let number = |name| stage.file(name).parse::<u64>().unwrap_or_default();
    for _ in 0..3 {
        let before = (number("f"), number("g"));
        until(|| number("f") > before.0 && number("g") > before.1, || before).await;
    }
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn more_questions_than_there_is_room_for_news_are_all_answered() {
    let mut stage = Stage::new();
    stage.template("{{range loop 1000}}{{key (print .)}}{{end}}", "f");
    for number in 0..1000 {
        stage.script.key(&number.to_string(), "x");
    }
    let run = stage.start();
    stage.until_file("f", &"x".repeat(1000)).await;
    run.stop().await;
}
