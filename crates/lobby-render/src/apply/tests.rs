//! Apply: what is written and what is not, owner and mode, the check, backup and roll back, and what stands in the way.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use super::*;
use crate::{command::CommandError, settings::Env};

mod disk;
mod kill;

fn target(destination: PathBuf) -> Target {
    Target { perms: None, keep_last: true, ..Target::private(destination) }
}

fn command(argv: &[&str]) -> CommandSettings {
    let argv = argv.iter().map(|word| (*word).to_owned()).collect();
    CommandSettings { argv, timeout: Duration::from_secs(60), env: Env::default() }
}

async fn apply(target: &Target, text: &str) -> Result<Outcome, ApplyError> {
    target.apply(text.as_bytes().into(), &Surroundings::default()).await
}

/// Applies and settles; None: unchanged.
async fn put(target: &Target, text: &str) -> Option<(bool, bool)> {
    match apply(target, text).await.unwrap() {
        Outcome::Unchanged => None,
        Outcome::Changed(changed) => {
            let seen = (changed.is_created(), changed.is_again());
            changed.settle().unwrap();
            Some(seen)
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().mode() & 0o7777
}

#[tokio::test]
async fn equal_bytes_are_not_written() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("f");
    let target = target(file.clone());
    assert_eq!(put(&target, "one").await, Some((true, false)));
    let before = fs::metadata(&file).unwrap();
    assert_eq!(put(&target, "one").await, None);
    assert_eq!(fs::metadata(&file).unwrap().ino(), before.ino());
    let differs = |text: &[u8]| target.compare(text).unwrap().text;
    assert!(!differs(b"one") && differs(b"two") && differs(b"one."));
    assert_eq!(put(&target, "two").await, Some((false, false)));
    assert_eq!(fs::read(&file).unwrap(), b"two");
    // Larger than the buffer of the comparison, and different in the last byte only.
    let (long, other) = ("x".repeat(100_000) + "a", "x".repeat(100_000) + "b");
    assert_eq!(put(&target, &long).await, Some((false, false)));
    assert_eq!((put(&target, &long).await, put(&target, &other).await), (None, Some((false, false))));
    assert_eq!(names(folder.path()), ["f"]);
}

#[tokio::test]
async fn mode_is_kept_unless_one_is_given() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("f");
    let mut target = target(file.clone());
    put(&target, "one").await;
    assert_eq!(mode(&file), 0o644);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(put(&target, "one").await, None);
    put(&target, "two").await;
    assert_eq!(mode(&file), 0o640);
    target.perms = Some(0o600);
    assert_eq!(put(&target, "two").await, Some((false, false)), "another mode alone is a change");
    assert_eq!((mode(&file), put(&target, "two").await), (0o600, None));
}

#[tokio::test]
async fn owner_is_kept_unless_one_is_given() {
    assert!(rustix::process::geteuid().is_root(), "this test gives files away: run it as root");
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("f");
    let owner = |file: &Path| fs::metadata(file).map(|there| (there.uid(), there.gid())).unwrap();
    let mut target = target(file.clone());
    put(&target, "one").await;
    chown(&file, Some(1234), Some(4321)).unwrap();
    put(&target, "two").await;
    assert_eq!(owner(&file), (1234, 4321));
    target.user = Some("root".into());
    assert_eq!(put(&target, "two").await, Some((false, false)), "another owner alone is a change");
    assert_eq!((owner(&file), put(&target, "two").await), ((0, 4321), None));
    target.group = Some("77".into());
    put(&target, "two").await;
    assert_eq!(owner(&file), (0, 77));
    for wrong in ["nobody-has-this-name", "4294967295", ""] {
        target.group = Some(wrong.into());
        let err = apply(&target, "three").await.unwrap_err();
        assert!(matches!(&err, ApplyError::Unknown { kind: "group", name, .. } if name == wrong), "{err}");
    }
    assert_eq!((fs::read(&file).unwrap(), names(folder.path())), (b"two".to_vec(), vec!["f".to_owned()]));
}

#[tokio::test]
async fn a_check_sees_the_new_file_and_its_failure_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("with 'a quote and $HOME");
    let mut target = target(file.clone());
    target.check = Some(command(&["grep good {{.Path}} >&2"]));
    assert_eq!(put(&target, "good").await, Some((true, false)));
    target.check = Some(command(&["cat {{.Path}}; echo not taken >&2; exit 3"]));
    let err = apply(&target, "bad").await.unwrap_err();
    let ApplyError::Check { source: CommandError::Exit { status, output, .. }, .. } = &err else { panic!("{err}") };
    assert_eq!((status.code(), output.as_str()), (Some(3), "badnot taken\n"));
    // A file that is its own check: nobody may have it open for writing.
    target.check = Some(command(&["{{.Path}}"]));
    target.perms = Some(0o755);
    assert_eq!(put(&target, "#!/bin/sh\nexit 0\n").await, Some((false, false)));
    assert!(matches!(apply(&target, "#!/bin/sh\nexit 1\n").await, Err(ApplyError::Check { .. })));
    assert_eq!(fs::read(&file).unwrap(), b"#!/bin/sh\nexit 0\n");
    assert_eq!(names(folder.path()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_is_killed() {
    let folder = TempDir::new().unwrap();
    let mut target = target(folder.path().join("f"));
    target.check = Some(command(&["sleep", "1000"]));
    let err = apply(&target, "text").await.unwrap_err();
    assert!(matches!(&err, ApplyError::Check { source: CommandError::Timeout { .. }, .. }), "{err}");
    assert!(names(folder.path()).is_empty());
}

#[tokio::test]
async fn a_backup_is_the_file_before() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("f");
    let mut target = target(file.clone());
    target.backup = true;
    put(&target, "one").await;
    assert_eq!(names(folder.path()), ["f"]);
    let first = fs::metadata(&file).unwrap().ino();
    put(&target, "two").await;
    assert_eq!(fs::metadata(folder.path().join("f.bak")).unwrap().ino(), first, "a link, not a copy");
    put(&target, "three").await;
    assert_eq!(fs::read(folder.path().join("f.bak")).unwrap(), b"two");
    assert_eq!(names(folder.path()), ["f", "f.bak"]);
}

#[tokio::test]
async fn roll_back_puts_the_last_good_file_back() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("f");
    let target = target(file.clone());
    let roll_back = async |text: &str| match apply(&target, text).await.unwrap() {
        Outcome::Changed(changed) => changed.roll_back().unwrap(),
        Outcome::Unchanged => panic!("unchanged"),
    };
    assert_eq!(roll_back("bad").await, RolledBack::Removed(file.clone()));
    assert!(names(folder.path()).is_empty());
    put(&target, "good").await;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    // Neither of these was settled: the last good one is from before both.
    let Outcome::Changed(changed) = apply(&target, "bad").await.unwrap() else { panic!("unchanged") };
    drop(changed);
    assert_eq!(roll_back("worse").await, RolledBack::Restored(file.clone()));
    assert_eq!((fs::read(&file).unwrap(), mode(&file), names(folder.path()).len()), (b"good".to_vec(), 0o640, 1));
}

#[tokio::test]
async fn without_a_last_good_copy_nothing_is_kept_nor_rolled_back() {
    let folder = TempDir::new().unwrap();
    let mut target = target(folder.path().join("f"));
    target.keep_last(false);
    let Outcome::Changed(changed) = apply(&target, "one").await.unwrap() else { panic!("unchanged") };
    assert_eq!(names(folder.path()), ["f"]);
    assert_eq!(changed.roll_back().unwrap(), RolledBack::NoneKept);
    assert_eq!(put(&target, "one").await, None);
}

#[tokio::test]
async fn a_file_that_was_never_settled_is_a_change_again() {
    let folder = TempDir::new().unwrap();
    let mut target = target(folder.path().join("f"));
    let _ = apply(&target, "one").await.unwrap();
    assert_eq!(put(&target, "one").await, Some((false, true)));
    assert_eq!(put(&target, "one").await, None);
    let _ = apply(&target, "two").await.unwrap();
    // The configuration has no command any more.
    target.keep_last(false);
    assert_eq!(put(&target, "two").await, None);
    assert_eq!(names(folder.path()), ["f"]);
}

#[tokio::test]
async fn folders_are_made_or_missed() {
    let folder = TempDir::new().unwrap();
    let mut target = target(folder.path().join("a/b/f"));
    target.create_dest_dirs = false;
    let err = apply(&target, "text").await.unwrap_err();
    assert!(matches!(&err, ApplyError::ParentMissing(missing) if *missing == folder.path().join("a/b")), "{err}");
    assert!(err.to_string().contains("parent directory is missing"));
    target.create_dest_dirs = true;
    put(&target, "text").await;
    assert_eq!((mode(&folder.path().join("a")), fs::read(folder.path().join("a/b/f")).unwrap()), (0o755, b"text".to_vec()));
}

#[tokio::test]
async fn links_are_followed_and_kept() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("available")).unwrap();
    fs::create_dir_all(path("enabled")).unwrap();
    symlink("../available/site", path("enabled/site")).unwrap();
    symlink(path("enabled/site"), path("site")).unwrap();
    let target = target(path("site"));
    assert_eq!(put(&target, "one").await, Some((true, false)));
    assert_eq!(put(&target, "one").await, None);
    assert_eq!(put(&target, "two").await, Some((false, false)));
    assert_eq!(fs::read(path("available/site")).unwrap(), b"two");
    assert!(path("site").is_symlink() && path("enabled/site").is_symlink());
    symlink(path("round"), path("round")).unwrap();
    let err = apply(&super::tests::target(path("round")), "x").await.unwrap_err();
    assert!(matches!(err, ApplyError::Link { .. }), "{err}");
    std::os::unix::fs::lchown(path("site"), Some(1234), None).unwrap();
    let err = apply(&target, "three").await.unwrap_err();
    assert!(matches!(&err, ApplyError::Link { path: link, .. } if *link == path("site")), "{err}");
    assert_eq!(fs::read(path("available/site")).unwrap(), b"two");
}

#[tokio::test]
async fn folders_that_are_links_of_strangers_are_not_followed() {
    assert!(rustix::process::geteuid().is_root(), "this test gives links away: run it as root");
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let give = |name: &str, uid| std::os::unix::fs::lchown(path(name), Some(uid), None).unwrap();
    for name in ["real/sub", "home"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    symlink("real", path("ours")).unwrap();
    symlink("../ours/sub/..", path("home/theirs")).unwrap();
    assert_eq!(put(&target(path("home/theirs/../real/sub/f")), "one").await, Some((true, false)));
    assert_eq!(fs::read(path("real/sub/f")).unwrap(), b"one");
    give("home/theirs", 1234);
    let refused = target(path("home/theirs/f"));
    let err = apply(&refused, "two").await.unwrap_err();
    assert!(matches!(&err, ApplyError::FolderLink { path: link, .. } if *link == path("home/theirs")), "{err}");
    assert!(!path("real/f").exists() && refused.compare(b"two").is_err());
    // Whose folder it is may lead to where he likes.
    give("home", 1234);
    assert_eq!(put(&refused, "two").await, Some((true, false)));
    give("home", 4321);
    assert!(apply(&refused, "three").await.is_err());
    // One link that leads to another stranger's.
    symlink("home/theirs", path("chain")).unwrap();
    assert!(matches!(apply(&target(path("chain/f")), "x").await, Err(ApplyError::FolderLink { .. })));
    symlink("round", path("round")).unwrap();
    assert!(matches!(apply(&target(path("round/f")), "x").await, Err(ApplyError::Link { .. })));
}

#[tokio::test]
async fn what_is_no_file_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("folder")).unwrap();
    fs::write(path("file"), "text").unwrap();
    assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
    let refused = async |destination: PathBuf| apply(&target(destination), "x").await.unwrap_err();
    for name in ["folder", "folder/", "new/", "folder/.."] {
        let err = refused(path(name)).await;
        assert!(matches!(err, ApplyError::IsFolder(_)), "{name}: {err}");
    }
    assert!(matches!(refused(PathBuf::new()).await, ApplyError::IsFolder(_)));
    assert!(matches!(refused(path("pipe")).await, ApplyError::NotAFile(_)));
    let err = refused(path("file/below")).await;
    assert!(err.to_string().contains("is a file, not a folder"), "{err}");
    let err = refused(path(&"n".repeat(244))).await;
    assert!(err.to_string().contains("name is too long"), "{err}");
    assert_eq!(put(&target(path(&"n".repeat(243))), "x").await, Some((true, false)));
    assert_eq!(put(&target(path("\u{1f600} \n'\"$")), "x").await, Some((true, false)));
}

#[tokio::test]
async fn what_a_crash_left_is_removed_and_what_lives_is_not() {
    let folder = TempDir::new().unwrap();
    let new = folder.path().join(".f.lobby-new");
    fs::write(&new, "half").unwrap();
    fs::write(folder.path().join(".f.lobby-link"), "old").unwrap();
    fs::write(folder.path().join(".g.lobby-new"), "another's").unwrap();
    let target = target(folder.path().join("f"));
    put(&target, "one").await;
    assert_eq!(names(folder.path()), [".g.lobby-new", "f"]);
    fs::write(&new, "half").unwrap();
    assert_eq!((put(&target, "one").await, new.exists()), (None, false), "also when nothing is to be written");
    // Somebody else is at it.
    fs::write(&new, "half").unwrap();
    let living = File::open(&new).unwrap();
    living.lock().unwrap();
    let err = apply(&target, "two").await.unwrap_err();
    assert!(matches!(err, ApplyError::Taken(_)), "{err}");
    assert_eq!(fs::read(&new).unwrap(), b"half");
    drop(living);
    assert_eq!(put(&target, "two").await, Some((false, false)));
}
