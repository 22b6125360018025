//! Staggered commands: they wait for the fleet and for our turn, with what changes meanwhile.

use lobby_render::answer::LabelledNode;
use lobby_render::settings::Stagger;
use tokio::time::{Instant, sleep};

use super::*;

fn fleet() -> Query {
    Query::Selected { selector: String::new() }
}

fn nodes(ids: &[&str]) -> Answer {
    let node = |id: &&str| LabelledNode {
        id: (*id).into(),
        name: (*id).into(),
        state: "alive".into(),
        addresses: Vec::new(),
        labels: Vec::new(),
    };
    Answer::Selected(ids.iter().map(node).collect())
}

fn stage() -> Stage {
    let mut stage = Stage::new();
    stage.settings.stagger = Some(Stagger { at_once: 1, slot: Duration::from_secs(8) });
    let command = stage.command("cat FOLDER/f >> FOLDER/runs");
    stage.template("{{key \"a\"}}\n", "f").command = command;
    stage.script.key("a", "1");
    stage
}

#[tokio::test(start_paused = true)]
async fn a_command_waits_for_its_turn_with_the_newest_file() {
    let stage = stage();
    let run = stage.start();
    stage.until_file("f", "1\n").await;
    sleep(Duration::from_secs(1000)).await;
    // Who is there is not known: it might be everybody's turn.
    assert_eq!(stage.file("runs"), "");
    let ids: Vec<_> = (0..20).map(|id| id.to_string()).chain(["me".to_owned()]).collect();
    stage.script.say(fleet(), nodes(&ids.iter().map(String::as_str).collect::<Vec<_>>()));
    let began = Instant::now();
    stage.script.key("a", "2");
    stage.until_file("f", "2\n").await;
    stage.until_file("runs", "2\n").await;
    // A round of 21 windows of 12 s each.
    assert!(began.elapsed() <= Duration::from_secs(21 * 12), "{:?}", began.elapsed());
    // Right after it is the turn of others.
    sleep(Duration::from_secs(12)).await;
    stage.script.key("a", "3");
    stage.until_file("f", "3\n").await;
    let began = Instant::now();
    stage.until_file("runs", "2\n3\n").await;
    assert!((230..252).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    // The others are gone.
    sleep(Duration::from_secs(12)).await;
    stage.script.key("a", "4");
    stage.until_file("f", "4\n").await;
    sleep(Duration::from_secs(12)).await;
    assert_eq!((stage.file("runs").as_str(), run.stats.commands.get()), ("2\n3\n", 2));
    stage.script.say(fleet(), nodes(&["me"]));
    let began = Instant::now();
    stage.until_file("runs", "2\n3\n4\n").await;
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_turn_survives_a_stop() {
    let mut stage = stage();
    let run = stage.start();
    stage.until_file("f", "1\n").await;
    run.stop().await;
    stage.settings.stagger = None;
    let run = stage.start();
    stage.until_file("runs", "1\n").await;
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_program_starts_after_the_commands_and_only_they_wait() {
    let mut stage = stage();
    stage.exec("echo started >> FOLDER/runs; exec sleep 1000");
    let run = stage.start();
    stage.until_file("f", "1\n").await;
    sleep(Duration::from_secs(100)).await;
    assert_eq!(stage.file("runs"), "");
    stage.script.say(fleet(), nodes(&["me"]));
    stage.until_file("runs", "1\nstarted\n").await;
    run.stop().await;

    // Without a command there is nothing to wait for.
    let mut stage = self::stage();
    stage.settings.templates[0].command = None;
    stage.settings.once = true;
    assert!(matches!(stage.run().await, Ok(End::Done)));
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_nobody_could_tell_is_asked_for_again() {
    let mut stage = stage();
    stage.environment.keep_going = true;
    let log = log::Log::new();
    let run = stage.start();
    stage.until_file("f", "1\n").await;
    stage.script.tell(News::Failed { query: fleet(), message: "no".into() });
    until(|| stage.script.asked(&fleet()) == 2, || stage.script.asked(&fleet())).await;
    assert_eq!(log.count("query=lobby.nodes"), 1, "{:?}", log.lines());
    stage.script.say(fleet(), nodes(&["me"]));
    stage.until_file("runs", "1\n").await;
    run.stop().await;
}
