//! Apply: a disk that is full, and one that is read-only; both small ones of the test's own, in a mount namespace.

use std::process::{Command, Output};

use super::*;

/// Set to the mount point for the process inside the namespace.
const DISK: &str = "LOBBY_TEST_DISK";

/// Runs one test of this program again, with a small disk of its own where it finds `$LOBBY_TEST_DISK`.
#[track_caller]
fn inside(test: &str) {
    assert!(rustix::process::geteuid().is_root(), "this test mounts a small disk: run it as root");
    let folder = TempDir::new().unwrap();
    let script = "mount -t tmpfs -o size=64k,mode=755 lobby-test \"$LOBBY_TEST_DISK\" && exec \"$0\" \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("apply::tests::disk::{test}"), "--nocapture"]);
    let Output { status, stdout, stderr } = command.env(DISK, folder.path()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success() && stdout.contains("1 passed"), "{status}\n{stdout}\n{stderr}");
}

fn disk() -> Option<PathBuf> {
    std::env::var_os(DISK).map(PathBuf::from)
}

#[tokio::test]
async fn a_full_disk_leaves_the_old_file() {
    let Some(disk) = disk() else { return inside("a_full_disk_leaves_the_old_file") };
    let target = target(disk.join("f"));
    let (old, new) = ("o".repeat(20_000), "n".repeat(60_000));
    assert_eq!(put(&target, &old).await, Some((true, false)));
    let err = apply(&target, &new).await.unwrap_err();
    assert!(matches!(&err, ApplyError::Io { doing: "write", .. }), "{err}");
    let told = err.to_string();
    assert!(told.contains("the disk is full: make room in") && told.contains(disk.to_str().unwrap()), "{told}");
    assert_eq!((fs::read_to_string(disk.join("f")).unwrap(), names(&disk)), (old.clone(), vec!["f".to_owned()]));
    // What fits goes on.
    assert_eq!(put(&target, "short").await, Some((false, false)));
    assert_eq!(put(&target, &new).await, Some((false, false)));
    assert_eq!(fs::read_to_string(disk.join("f")).unwrap(), new);
}

#[tokio::test]
async fn a_read_only_disk_is_said_to_be_one() {
    let Some(disk) = disk() else { return inside("a_read_only_disk_is_said_to_be_one") };
    let target = target(disk.join("f"));
    put(&target, "one").await;
    assert!(Command::new("mount").args(["-o", "remount,ro"]).arg(&disk).status().unwrap().success());
    let err = apply(&target, "two").await.unwrap_err();
    assert!(err.to_string().contains("the file system is read-only"), "{err}");
    // What is there already needs no writing.
    assert_eq!(put(&target, "one").await, None);
}

#[tokio::test]
async fn a_file_that_is_mounted_cannot_be_replaced() {
    let Some(disk) = disk() else { return inside("a_file_that_is_mounted_cannot_be_replaced") };
    let target = target(disk.join("f"));
    put(&target, "one").await;
    fs::write(disk.join("outside"), "outside").unwrap();
    let mounted = Command::new("mount").arg("--bind").arg(disk.join("outside")).arg(disk.join("f")).status().unwrap();
    assert!(mounted.success());
    let err = apply(&target, "two").await.unwrap_err();
    assert!(err.to_string().contains("it is a mount point: mount the folder"), "{err}");
    assert_eq!(
        (fs::read(disk.join("f")).unwrap(), names(&disk)),
        (b"outside".to_vec(), vec!["f".to_owned(), "outside".to_owned()])
    );
}
