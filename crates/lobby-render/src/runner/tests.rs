//! A whole pass that is killed: between any two steps of apply, command and settle the file is the old or the new one, and the
//! command is not lost. The tests' program runs itself, as the process that is killed.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::manifest::Lists;
use crate::settings::{CommandSettings, Env, TemplateSettings, TemplateSource};
use crate::source::News;

/// As in `apply`: the number of the step at which the process is killed.
const KILL_AT: &str = "LOBBY_TEST_KILL_AT";

/// Set to the folder for the process that is killed.
const FOLDER: &str = "LOBBY_TEST_RUN_FOLDER";

struct Never;

impl Source for Never {
    async fn watch(&self, _: Query, news: mpsc::Sender<News>) {
        news.closed().await;
    }
}

fn template(folder: &Path, name: &str) -> TemplateSettings {
    let folder = folder.display();
    // Whoever kills itself there is killed while its command runs.
    let text = format!("cat {folder}/f {folder}/g >> {folder}/runs; if test -e {folder}/kill; then kill -9 $PPID; fi");
    TemplateSettings {
        command: Some(CommandSettings { argv: vec![text], timeout: Duration::from_secs(60), env: Env::default() }),
        backup: true,
        ..TemplateSettings::new(TemplateSource::Contents("new\n".into()), format!("{folder}/{name}"))
    }
}

/// Renders two files with one command, once.
async fn render(folder: &Path) {
    let templates = vec![template(folder, "f"), template(folder, "g")];
    let settings = Settings { templates, exec: None, wait: None, once: true, dry: false, rate: 0, stagger: None };
    let environment = Environment {
        around: Surroundings::default(),
        variables: Arc::default(),
        node: String::new(),
        keep_going: false,
        lookups_must_succeed: false,
        lists: Lists::default(),
        clock: || SystemTime::UNIX_EPOCH,
        show: |_| {},
    };
    let (_orders, receiver) = mpsc::channel(1);
    assert!(matches!(Runner::new(settings, environment, Never, receiver).unwrap().run().await, Ok(End::Done)));
}

fn old(folder: &Path) {
    for name in ["f", "g"] {
        fs::write(folder.join(name), "old\n").unwrap();
    }
}

/// Whether a process of this test alone was killed, and the steps it passed.
fn killed_at(step: Option<u32>, folder: &Path) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "runner::tests::a_process_that_is_killed", "--nocapture", "--test-threads=1"]);
    let step = step.map_or("none".into(), |step| step.to_string());
    let output = command.env(KILL_AT, step).env(FOLDER, folder).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.signal() {
        Some(9) => (true, told),
        None if output.status.success() => (false, told),
        _ => panic!("{}: {told}", output.status),
    }
}

/// Is [`killed_at`]'s; run by itself, it proves that the pass is done when nobody kills.
#[tokio::test]
async fn a_process_that_is_killed() {
    let own = TempDir::new().unwrap();
    let folder = std::env::var_os(FOLDER).map_or_else(|| own.path().to_owned(), PathBuf::from);
    old(own.path());
    render(&folder).await;
    assert_eq!(fs::read_to_string(folder.join("runs")).unwrap(), "new\nnew\n");
}

/// What must hold after a kill, and after the next run.
async fn heals(folder: &Path, told: &str) {
    for name in ["f", "g"] {
        let left = fs::read_to_string(folder.join(name)).unwrap();
        assert!(left == "old\n" || left == "new\n", "{told}: {left:?}");
    }
    let _ = fs::remove_file(folder.join("kill"));
    render(folder).await;
    let runs = fs::read_to_string(folder.join("runs")).unwrap();
    // At least once with both new files; again where nobody knows whether it was run to its end.
    assert!(["new\nnew\n", "new\nnew\nnew\nnew\n"].contains(&runs.as_str()), "{told}: {runs:?}");
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["f", "f.bak", "g", "g.bak", "runs"], "{told}");
}

#[tokio::test]
async fn a_kill_at_any_step_of_a_pass_loses_no_command() {
    for step in 0.. {
        let folder = TempDir::new().unwrap();
        old(folder.path());
        let (was_killed, told) = killed_at(Some(step), folder.path());
        if !was_killed {
            let steps: Vec<_> = told.lines().filter_map(|line| line.strip_prefix("step ")?.split_once(": ")).collect();
            // Both files are in place before the command, and settled after it.
            assert_eq!(steps.iter().filter(|(_, step)| *step == "Renamed").count(), 2, "{told}");
            assert_eq!(steps.iter().filter(|(_, step)| *step == "Settled").count(), 4, "{told}");
            return;
        }
        heals(folder.path(), &told).await;
    }
}

#[tokio::test]
async fn a_kill_while_the_command_runs_does_not_lose_it() {
    let folder = TempDir::new().unwrap();
    old(folder.path());
    fs::write(folder.path().join("kill"), "").unwrap();
    let (was_killed, told) = killed_at(None, folder.path());
    assert!(was_killed, "{told}");
    heals(folder.path(), &told).await;
}
