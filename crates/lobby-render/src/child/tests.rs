//! The program of exec mode: how it is told of changes, ended and started again, and how its own end shows.

use std::{fs, path::PathBuf};

use lobby_testkit::eventually_async;
use tempfile::TempDir;

use super::*;
use crate::settings::Env;

const SOON: Duration = Duration::from_secs(20);

/// A program that writes what happens to it to a file, a word a line.
struct Story(TempDir);

impl Story {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("story")
    }

    fn settings(&self, script: &str) -> ExecSettings {
        let script = script.replace("STORY", self.file().to_str().unwrap());
        ExecSettings {
            argv: vec!["sh".into(), "-c".into(), script],
            env: Env::default(),
            reload_signal: None,
            kill_signal: Signal::TERM.as_raw(),
            kill_timeout: Duration::from_secs(3600),
            splay: Duration::ZERO,
        }
    }

    async fn told(&self, want: &str) {
        eventually_async(SOON, || async {
            let told = fs::read_to_string(self.file()).unwrap_or_default();
            if told.split_whitespace().eq(want.split_whitespace()) { Ok(()) } else { Err(told) }
        })
        .await;
    }
}

/// Lives until it is told to end; says so of each signal it knows.
const SERVER: &str =
    "trap 'echo hup >> STORY' USR2; trap 'echo usr1 >> STORY' USR1; trap 'echo term >> STORY; kill $!; exit 7' TERM
    echo start >> STORY; while :; do sleep 1000 & wait $!; kill $!; done";

fn start(settings: ExecSettings) -> Child {
    Child::start(settings, Surroundings::default()).unwrap()
}

#[tokio::test]
async fn a_reload_signal_tells_it_of_a_change() {
    let story = Story::new();
    let mut child = start(ExecSettings { reload_signal: Some(Signal::USR2.as_raw()), ..story.settings(SERVER) });
    story.told("start").await;
    let id = child.id();
    assert_eq!(child.reload(0).await.unwrap(), Told::Signalled);
    story.told("start hup").await;
    child.signal(Signal::USR1.as_raw()).unwrap();
    story.told("start hup usr1").await;
    assert_eq!(child.id(), id);
    assert!(child.signal(12345).is_err());
    assert_eq!(child.stop().await.unwrap(), 7);
    story.told("start hup usr1 term").await;
    // Stopping and signalling what has ended does nothing.
    assert_eq!((child.stop().await.unwrap(), child.id()), (7, None));
    child.signal(Signal::USR1.as_raw()).unwrap();
}

#[tokio::test]
async fn without_one_it_is_started_again() {
    let story = Story::new();
    let mut child = start(story.settings(SERVER));
    story.told("start").await;
    let id = child.id();
    assert_eq!(child.reload(0).await.unwrap(), Told::Restarted);
    story.told("start term start").await;
    assert_ne!(child.id(), id);
    assert_eq!(child.stop().await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_is_killed_with_its_group() {
    let story = Story::new();
    // Ready when it has written its line: the paused clock moves on only while this test waits.
    let mut child = start(story.settings("trap '' TERM; echo start > STORY; sleep 1000; echo end >> STORY"));
    story.told("start").await;
    assert_eq!(child.stop().await.unwrap(), 128 + 9);
    story.told("start").await;
}

#[tokio::test]
async fn its_own_end_is_told_with_its_code() {
    let story = Story::new();
    assert_eq!(start(story.settings("exit 0")).wait().await.unwrap(), 0);
    assert_eq!(start(story.settings("exit 42")).wait().await.unwrap(), 42);
    assert_eq!(start(story.settings("kill -USR2 $$")).wait().await.unwrap(), 128 + 12);
    let missing = ExecSettings { argv: vec!["/nonexistent".into()], ..story.settings("") };
    assert!(matches!(Child::start(missing, Surroundings::default()), Err(CommandError::Start { .. })));
}

#[tokio::test]
async fn one_that_ended_is_not_told_but_reported() {
    let story = Story::new();
    let splay = Duration::from_secs(3600);
    let mut child = start(ExecSettings { splay, ..story.settings("exit 5") });
    assert_eq!(child.reload(u64::MAX).await.unwrap(), Told::Ended(5));
    let mut child = start(story.settings("exit 6"));
    child.wait().await.unwrap();
    assert_eq!(child.reload(0).await.unwrap(), Told::Ended(6));
}

#[tokio::test]
async fn a_text_for_the_shell_gets_signals_as_a_group() {
    let story = Story::new();
    let settings = story.settings("");
    let inner = format!("trap 'exit 9' TERM; sh {} & wait $!; wait", story.0.path().join("server").display());
    fs::write(story.0.path().join("server"), SERVER.replace("STORY", story.file().to_str().unwrap())).unwrap();
    let mut child = start(ExecSettings { argv: vec![inner], ..settings });
    story.told("start").await;
    let group = group(&child);
    assert_eq!(child.stop().await.unwrap(), 9);
    story.told("start term").await;
    // Also a sleep that was being started when the signal came, and missed it as the shell had not given up its traps yet.
    is_empty(group).await;
}

fn group(child: &Child) -> Pid {
    Pid::from_raw(child.id().unwrap() as i32).unwrap()
}

/// Nobody is left in a group; the dead may wait for whoever adopts them.
async fn is_empty(group: Pid) {
    let is_of = |stat: String| {
        let (_, rest) = stat.rsplit_once(')')?;
        let mut words = rest.split_whitespace();
        (words.next()? != "Z" && words.nth(1)?.parse() == Ok(group.as_raw_nonzero().get())).then_some(stat.clone())
    };
    eventually_async(SOON, || async {
        let stats = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
        let left: Vec<_> = stats.filter_map(is_of).collect();
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
}

#[tokio::test]
async fn what_a_stopped_program_leaves_in_its_group_ends_too() {
    // One that would take the signal, one that does not care, and one in a group of its own.
    let worker = "sh -c \"trap 'echo told >> STORY; exit' TERM; echo up >> STORY; while :; do sleep 0.01; done\" &";
    let stubborn = "sh -c \"trap '' TERM; echo up >> STORY; exec sleep 1000\" &";
    let story = Story::new();
    let script = format!("{worker} {stubborn} trap 'exit 4' TERM; while :; do sleep 0.01; done");
    let mut child = start(story.settings(&script));
    story.told("up up").await;
    let group = group(&child);
    assert_eq!(child.stop().await.unwrap(), 4);
    story.told("up up told").await;
    is_empty(group).await;
}

#[tokio::test]
async fn what_a_program_leaves_that_ended_by_itself_goes_on() {
    let story = Story::new();
    let mut child = start(story.settings("sleep 1000 & echo $! > STORY"));
    let group = group(&child);
    let ended = (child.wait().await, child.stop().await);
    let id = fs::read_to_string(story.file()).unwrap_or_default();
    let stat = fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
    // First: nothing of a test that fails may stay.
    let killed = kill_process_group(group, Signal::KILL);
    assert_eq!((ended.0.unwrap(), ended.1.unwrap(), killed), (0, 0, Ok(())));
    assert!(!stat.is_empty() && !stat.contains(") Z "), "{stat}");
}

#[tokio::test]
async fn dropped_it_is_killed() {
    let story = Story::new();
    let child = start(story.settings("echo $$ > STORY; sleep 1000"));
    let id = child.id().unwrap();
    story.told(&id.to_string()).await;
    drop(child);
    let stat = format!("/proc/{id}/stat");
    eventually_async(SOON, || async {
        let stat = fs::read_to_string(&stat).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") { Ok(()) } else { Err(stat) }
    })
    .await;
}

#[test]
fn a_splay_is_the_share_that_chance_has() {
    let minute = Duration::from_secs(60);
    assert_eq!([0, 1 << 63, u64::MAX].map(|chance| splay(minute, chance).as_millis()), [0, 30_000, 59_999]);
    assert_eq!(splay(Duration::ZERO, u64::MAX), Duration::ZERO);
    assert!(splay(Duration::MAX, u64::MAX) <= Duration::MAX);
}
