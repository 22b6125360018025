//! `for_each`: a file for each service or node, those of gone ones removed, and names that would leave their folder.

use lobby_render::answer::{CatalogService, LabelledNode};
use lobby_render::settings::ForEach;

use super::*;

pub(super) fn services() -> Query {
    Query::Services { datacenter: None }
}

pub(super) fn names(names: &[&str]) -> Answer {
    Answer::Services(names.iter().map(|name| CatalogService { name: (*name).into(), tags: Vec::new() }).collect())
}

fn stage(contents: &str, name: &str) -> Stage {
    let mut stage = Stage::new();
    let command = stage.command("ls FOLDER/d | tr '\\n' ' ' >> FOLDER/runs; echo >> FOLDER/runs");
    let template = stage.template(contents, name);
    (template.for_each, template.command) = (Some(ForEach::Service), command);
    stage
}

fn folder(stage: &Stage) -> Vec<String> {
    let entries = fs::read_dir(stage.path("d")).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.ends_with(".lobby-files"));
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn each_service_has_its_file_and_gone_ones_lose_theirs() {
    let stage = stage("{{.Name}} {{key .Name}}", "d/{{.Name}}.conf");
    stage.script.say(services(), names(&["a", "b"]));
    let run = stage.start();
    stage.script.until_watched([services(), key("a"), key("b")]).await;
    stage.script.key("a", "1");
    stage.script.key("b", "2");
    stage.until_file("runs", "a.conf b.conf \n").await;
    assert_eq!((stage.file("d/a.conf").as_str(), stage.file("d/b.conf").as_str()), ("a 1", "b 2"));
    fs::write(stage.path("d/other.conf"), "not ours").unwrap();
    stage.script.say(services(), names(&["b"]));
    stage.until_file("runs", "a.conf b.conf \nb.conf other.conf \n").await;
    until(|| folder(&stage) == ["b.conf", "other.conf"], || folder(&stage)).await;
    run.stop().await;
    assert_eq!(folder(&stage), ["b.conf", "other.conf"]);

    // What went while nobody looked is removed, too.
    stage.script.say(services(), names(&[]));
    let run = stage.start();
    stage.until_file("runs", "a.conf b.conf \nb.conf other.conf \nother.conf \n").await;
    until(|| folder(&stage) == ["other.conf"], || folder(&stage)).await;
    run.stop().await;
    assert_eq!(folder(&stage), ["other.conf"]);
}

#[tokio::test(start_paused = true)]
async fn the_command_after_a_removal_survives_a_stop() {
    let mut stage = stage("x", "d/{{.Name}}");
    stage.script.say(services(), names(&["a", "b"]));
    let run = stage.start();
    stage.until_file("runs", "a b \n").await;
    stage.script.say(services(), names(&["b"]));
    stage.until_file("runs", "a b \nb \n").await;
    until(|| folder(&stage) == ["b"], || folder(&stage)).await;
    run.stop().await;

    let hangs = stage.command("echo > FOLDER/begun; sleep 1000");
    let command = std::mem::replace(&mut stage.settings.templates[0].command, hangs);
    stage.script.say(services(), names(&[]));
    let run = stage.start();
    stage.until_file("begun", "\n").await;
    run.stop().await;
    stage.settings.templates[0].command = command;
    let run = stage.start();
    stage.until_file("runs", "a b \nb \n\n").await;
    until(|| folder(&stage).is_empty(), || folder(&stage)).await;
    run.stop().await;
    // Not for ever.
    let run = stage.start();
    until(|| run.stats.evaluations.get() == 2, || run.stats.evaluations.get()).await;
    run.stop().await;
    assert_eq!(stage.file("runs"), "a b \nb \n\n");
}

#[tokio::test(start_paused = true)]
async fn each_node_that_a_selector_takes() {
    let mut stage = stage("{{.Name}}", "d/{{.Name}}");
    stage.settings.templates[0].for_each = Some(ForEach::Node("dc:a".into()));
    let node = |name: &str| LabelledNode {
        id: format!("id-{name}"),
        name: name.into(),
        state: "alive".into(),
        addresses: Vec::new(),
        labels: Vec::new(),
    };
    stage.script.say(Query::Selected { selector: "dc:a".into() }, Answer::Selected([node("x"), node("y")].into()));
    let run = stage.start();
    stage.until_file("runs", "x y \n").await;
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn hostile_names_are_left_out_and_the_others_have_their_files() {
    for hostile in ["../up", "a/../../up", "b/", ".x.lobby-files"] {
        let stage = stage("x", "d/{{.Name}}");
        stage.script.say(services(), names(&[hostile, "a"]));
        let run = stage.start();
        stage.until_file("d/a", "x").await;
        run.stop().await;
        assert!(!stage.path("up").exists(), "{hostile}");
        let made: Vec<_> = fs::read_dir(stage.path("d")).unwrap().map(|file| file.unwrap().file_name()).collect();
        let made: Vec<_> = made.iter().filter(|name| !name.to_string_lossy().starts_with('.')).collect();
        assert_eq!(made, ["a"], "{hostile}");
    }
    // Nothing says where these are to be.
    let mut stage = stage("x", "f");
    stage.settings.templates[0].destination = "{{.Name}}".into();
    let name = stage.path("absolute").to_str().unwrap().to_owned();
    stage.script.say(services(), names(&[&name]));
    stage.settings.once = true;
    assert!(stage.run().await.is_ok() && !stage.path("absolute").exists());
}

#[tokio::test(start_paused = true)]
async fn double_names_are_refused_before_anything_is_written() {
    for destination in ["d/same{{if .Name}}{{end}}", "d/{{if .Name}}{{end}}same"] {
        let stage = stage("x", destination);
        stage.script.say(services(), names(&["a", "b"]));
        let error = stage.run().await.unwrap_err().to_string();
        assert!(error.contains("is that of another one too") && error.contains("\"b\""), "{destination}: {error}");
        assert!(stage.names().is_empty(), "{:?}", stage.names());
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_fails_keeps_no_other_from_its_command() {
    let mut stage = stage("x", "d/{{.Name}}");
    stage.settings.templates[0].error_fatal = false;
    fs::create_dir_all(stage.path("d/b")).unwrap();
    stage.script.say(services(), names(&["a", "b", "c"]));
    let run = stage.start();
    stage.until_file("runs", "a b c \n").await;
    until(|| run.stats.failures.get() > 0, || ()).await;
    fs::remove_dir(stage.path("d/b")).unwrap();
    stage.until_file("d/b", "x").await;
    stage.until_file("runs", "a b c \na b c \n").await;
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_templates_with_one_file_are_told_and_the_first_ones_stays() {
    for (second, is_each) in [("d/{{.Name}}{{if .}}{{end}}", true), ("d/a", false), ("l/x/../a", false)] {
        let mut stage = stage("first", "d/{{.Name}}");
        fs::create_dir_all(stage.path("d/x")).unwrap();
        std::os::unix::fs::symlink("d", stage.path("l")).unwrap();
        stage.template("second", second).for_each = is_each.then_some(ForEach::Service);
        stage.settings.templates.iter_mut().for_each(|template| template.error_fatal = false);
        stage.script.say(services(), names(&["a"]));
        let log = log::Log::new();
        let run = stage.start();
        until(|| run.stats.failures.get() == 1, || log.lines()).await;
        // A plain one asks nothing, and is there first.
        let (first, second) = if is_each { (1, 2) } else { (2, 1) };
        let name = |number: usize| stage.settings.templates[number - 1].called(number - 1);
        let said = format!("{} and {} have the same destination {:?}", name(first), name(second), stage.path("d/a"));
        assert_eq!(log.count(&said), 1, "{said}: {:?}", log.lines());
        let holds = if is_each { "first" } else { "second" };
        assert_eq!(stage.file("d/a"), holds);
        // Who does not have it does not remove it, either.
        stage.script.say(services(), names(&[]));
        if is_each {
            until(|| !stage.path("d/a").exists(), || ()).await;
        } else {
            let evaluations = run.stats.evaluations.get();
            until(|| run.stats.evaluations.get() > evaluations, || ()).await;
        }
        run.stop().await;
        assert_eq!(stage.file("d/a"), if is_each { "" } else { holds });
    }
}

#[tokio::test(start_paused = true)]
async fn files_of_a_template_that_is_no_longer_configured_go_and_changed_ones_stay() {
    let mut stage = stage("x", "d/{{.Name}}.old");
    let lists = |stage: &Stage| {
        let known = lobby_render::manifest::lists(&stage.settings.templates);
        Lists { owner: "us".into(), known, ..Lists::default() }
    };
    stage.environment.lists = lists(&stage);
    stage.settings.once = true;
    stage.script.say(services(), names(&["a", "b"]));
    stage.run().await.unwrap();
    fs::write(stage.path("d/b.old"), "by hand").unwrap();
    stage.settings.templates[0].destination = stage.path("d/{{.Name}}.new");
    stage.environment.lists = lists(&stage);
    stage.settings.dry = true;
    stage.run().await.unwrap();
    assert_eq!(folder(&stage), ["a.old", "b.old"], "a dry run");
    stage.settings.dry = false;
    stage.run().await.unwrap();
    assert_eq!(folder(&stage), ["a.new", "b.new", "b.old"]);
    // Another spelling of the same files.
    stage.settings.templates[0].destination = stage.path("d/{{ .Name }}.new");
    stage.environment.lists = lists(&stage);
    let before = fs::metadata(stage.path("d/a.new")).unwrap().modified().unwrap();
    stage.run().await.unwrap();
    assert_eq!(fs::metadata(stage.path("d/a.new")).unwrap().modified().unwrap(), before, "not even for a moment");
}
