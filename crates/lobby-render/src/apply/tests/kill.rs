//! Apply: a process that is killed between any two steps leaves the old file or the new one, and the next apply heals the
//! rest. The tests' program runs itself, as the process that is killed.

use std::{os::unix::process::ExitStatusExt, process::Command};

use super::{super::step::KILL_AT, *};

/// Set to the folder for the process that is killed.
const FOLDER: &str = "LOBBY_TEST_KILL_FOLDER";

const OLD: &str = "the old text\n";
const NEW: &str = "the new text, which is longer\n";

/// What is done, and killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Settle,
    RollBack,
}

/// A process of this test alone, killed at this step; the steps it passed, and whether it was killed.
fn killed_at(step: u32, folder: &Path, deed: Deed) -> (Vec<String>, bool) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "apply::tests::kill::a_process_that_is_killed", "--nocapture", "--test-threads=1"]);
    let output = command.env(KILL_AT, step.to_string()).env(FOLDER, folder).env("DEED", format!("{deed:?}")).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let steps = told.lines().filter_map(|line| Some(line.strip_prefix("step ")?.split_once(": ")?.1.to_owned())).collect();
    match output.status.signal() {
        Some(9) => (steps, true),
        None if output.status.success() => (steps, false),
        _ => panic!("{}: {told}", output.status),
    }
}

fn victim(folder: &Path) -> Target {
    let check = command(&["cat", "{{.Path}}"]);
    Target { backup: true, perms: Some(0o640), check: Some(check), ..target(folder.join("made/f")) }
}

/// Does the deed when it is the process of [`killed_at`]; run by itself, it proves that the deed is done when nobody kills.
#[tokio::test]
async fn a_process_that_is_killed() {
    let own = TempDir::new().unwrap();
    let folder = std::env::var_os(FOLDER).map_or_else(|| own.path().to_owned(), PathBuf::from);
    let Outcome::Changed(changed) = apply(&victim(&folder), NEW).await.unwrap() else { panic!("unchanged") };
    match std::env::var("DEED").as_deref() {
        Ok("RollBack") => assert_ne!(changed.roll_back().unwrap(), RolledBack::NoneKept),
        _ => changed.settle().unwrap(),
    }
}

/// Kills at each step in turn, until one is not reached; the steps there are.
async fn kill_at_each_step(old: Option<&str>, deed: Deed) -> String {
    for step in 0.. {
        let folder = TempDir::new().unwrap();
        let (made, file) = (folder.path().join("made"), folder.path().join("made/f"));
        if let Some(old) = old {
            fs::create_dir(&made).unwrap();
            fs::write(&file, old).unwrap();
        }
        let (steps, killed) = killed_at(step, folder.path(), deed);
        let context = format!("{deed:?} with {old:?}, killed at {steps:?}");
        let left = fs::read_to_string(&file).ok();
        let (before, after) = (old, Some(NEW));
        assert!(left.as_deref() == before || left.as_deref() == after, "{context}: {left:?}");
        if let Ok(backup) = fs::read_to_string(made.join("f.bak")) {
            assert_eq!(Some(backup.as_str()), old, "{context}");
        }
        if !killed {
            assert_eq!(left.as_deref(), if deed == Deed::Settle { after } else { before }, "{context}");
            return steps.join(" ");
        }
        // A file that is in place but whose command may not have been run is a change.
        match apply(&victim(folder.path()), NEW).await.unwrap() {
            Outcome::Changed(changed) => changed.settle().unwrap(),
            Outcome::Unchanged => assert_eq!(steps.last().unwrap(), "Settled", "{context}: the command is lost"),
        }
        assert_eq!((fs::read_to_string(&file).unwrap().as_str(), mode(&file)), (NEW, 0o640), "{context}");
        let rest: Vec<_> = names(&made).into_iter().filter(|name| name != "f" && name != "f.bak").collect();
        assert!(rest.is_empty(), "{context}: {rest:?}");
    }
    unreachable!("a loop without end")
}

const WRITTEN: &str = "TempMade HalfWritten Written Owned Checked Synced";

#[tokio::test]
async fn a_kill_at_any_step_of_a_change_leaves_old_or_new() {
    let steps = kill_at_each_step(Some(OLD), Deed::Settle).await;
    assert_eq!(steps, format!("{WRITTEN} Linked BackedUp Linked LastKept Renamed FolderSynced Settled Settled"));
}

#[tokio::test]
async fn a_kill_at_any_step_of_the_first_file_leaves_none_or_new() {
    let steps = kill_at_each_step(None, Deed::Settle).await;
    assert_eq!(steps, format!("FolderMade {WRITTEN} LastKept Renamed FolderSynced Settled Settled"));
}

#[tokio::test]
async fn a_kill_at_any_step_of_a_roll_back_leaves_old_or_new() {
    let steps = kill_at_each_step(Some(OLD), Deed::RollBack).await;
    assert!(steps.ends_with("LastKept Renamed FolderSynced RolledBack Settled Settled"), "{steps}");
    let steps = kill_at_each_step(None, Deed::RollBack).await;
    assert!(steps.ends_with("LastKept Renamed FolderSynced RolledBack Settled Settled"), "{steps}");
}
