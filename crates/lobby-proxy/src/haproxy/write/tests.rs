//! Files put in place: once a change, checked, and those that cannot be replaced.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    process::Command,
};

use super::*;

fn haproxy(folder: &Path) -> Haproxy {
    Haproxy { config_file_path: Some(folder.join("haproxy.cfg")), ..Haproxy::default() }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_change_is_one_rename_and_the_same_text_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let around = Surroundings::default();
    let mut writer = Writer::new(&haproxy(folder.path())).unwrap();
    assert_eq!(writer.put("one\n", &around).await.unwrap(), Written::Replaced);
    let inode = fs::metadata(writer.path()).unwrap().ino();
    assert_eq!(writer.put("one\n", &around).await.unwrap(), Written::Unchanged);
    assert_eq!(fs::metadata(writer.path()).unwrap().ino(), inode);
    assert_eq!(writer.put("two\n", &around).await.unwrap(), Written::Replaced);
    assert_ne!(fs::metadata(writer.path()).unwrap().ino(), inode, "another file: nobody finds half of it");
    assert_eq!(names(folder.path()), ["haproxy.cfg"]);
    assert!(Writer::new(&Haproxy { do_writes: false, ..haproxy(folder.path()) }).is_none());
}

#[tokio::test]
async fn a_check_that_fails_keeps_the_old_file_and_tells_what_it_printed() {
    let folder = tempfile::tempdir().unwrap();
    let around = Surroundings::default();
    let candidate = folder.path().join("a candidate.tmp");
    let check = "grep -q good {{.Path}} || { echo it is bad >&2; exit 3; }";
    for candidate_config_file_path in [None, Some(candidate.clone())] {
        let _ = fs::remove_file(folder.path().join("haproxy.cfg"));
        let settings =
            Haproxy { do_checks: true, check_command: Some(check.into()), candidate_config_file_path, ..haproxy(folder.path()) };
        let mut writer = Writer::new(&settings).unwrap();
        assert_eq!(writer.put("good 1\n", &around).await.unwrap(), Written::Replaced);
        let err = writer.put("bad\n", &around).await.unwrap_err();
        assert!(matches!(&err, WriteError::Check { .. }) && err.to_string().contains("it is bad"), "{err}");
        assert_eq!(fs::read_to_string(writer.path()).unwrap(), "good 1\n");
        assert_eq!(writer.put("good 2\n", &around).await.unwrap(), Written::Replaced);
        assert_eq!(names(folder.path()), ["haproxy.cfg"]);
    }
    let named = Haproxy {
        do_checks: true,
        check_command: Some(format!("grep -q good '{}'", candidate.display())),
        candidate_config_file_path: Some(candidate),
        ..haproxy(folder.path())
    };
    let mut writer = Writer::new(&named).unwrap();
    assert_eq!(writer.put("good 3\n", &around).await.unwrap(), Written::Replaced, "as Synapse's commands name it");
}

#[tokio::test]
async fn what_the_system_says_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let program = Some("/nonexistent/haproxy".into());
    let missing = Haproxy { program, do_checks: true, ..haproxy(folder.path()) };
    let err = Writer::new(&missing).unwrap().put("one\n", &Surroundings::default()).await.unwrap_err().to_string();
    assert!(err.starts_with("nobody can check the new ") && err.contains("/nonexistent/haproxy"), "{err}");
    assert!(err.ends_with("No such file or directory (os error 2)"), "{err}");
    let nowhere = haproxy(Path::new("/proc/none"));
    let err = Writer::new(&nowhere).unwrap().put("one\n", &Surroundings::default()).await.unwrap_err().to_string();
    assert!(err.contains("\"/proc/none\"") && err.ends_with("(os error 2)"), "{err}");
}

#[tokio::test]
async fn a_candidate_is_as_private_as_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let (candidate, around) = (folder.path().join("candidate"), Surroundings::default());
    let settings = Haproxy {
        do_checks: true,
        check_command: Some("exit 3".into()),
        candidate_config_file_path: Some(candidate.clone()),
        ..haproxy(folder.path())
    };
    let mut writer = Writer::new(&settings).unwrap();
    let mode = || fs::metadata(&candidate).unwrap().mode() & 0o7777;
    writer.put("stats auth a:b\n", &around).await.unwrap_err();
    assert_eq!(mode(), 0o600, "no file yet");
    for want in [0o640, 0o600, 0o644] {
        fs::write(writer.path(), "").unwrap();
        fs::set_permissions(writer.path(), fs::Permissions::from_mode(want)).unwrap();
        writer.put("stats auth a:b\n", &around).await.unwrap_err();
        assert_eq!(mode(), want);
    }
}

#[test]
fn the_check_is_the_given_one_or_the_programs_own_or_none() {
    let folder = Path::new("/nowhere");
    let argv = |settings: Haproxy| check_command(&settings).map(|command| command.argv);
    let checked = || Haproxy { do_checks: true, ..haproxy(folder) };
    assert_eq!(argv(Haproxy { program: Some("haproxy".into()), ..haproxy(folder) }), None, "checks are off");
    assert_eq!(argv(checked()), None, "no program is known");
    let program = Haproxy { program: Some("/usr/sbin/haproxy".into()), ..checked() };
    assert_eq!(argv(program.clone()).unwrap(), ["/usr/sbin/haproxy", "-c", "-f", "{{.Path}}"]);
    assert_eq!(argv(Haproxy { check_command: Some("my check".into()), ..program }).unwrap(), ["my check"]);
}

/// The test binary calls itself in a mount namespace of its own: only root may, and where it may not, nothing is proved.
#[test]
fn a_file_that_is_a_mount_of_its_own_is_written_in_place() {
    const FILE: &str = "LOBBY_TEST_MOUNTED_FILE";
    if let Ok(file) = std::env::var(FILE) {
        write_mounted(Path::new(&file));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (file, real) = (folder.path().join("haproxy.cfg"), folder.path().join("real"));
    fs::write(&file, "").unwrap();
    fs::write(&real, "old\n").unwrap();
    let me = std::env::current_exe().unwrap();
    let script = "mount --bind \"$1\" \"$2\" || exit 77\nexec \"$3\" --nocapture --exact \
        haproxy::write::tests::a_file_that_is_a_mount_of_its_own_is_written_in_place";
    let run = Command::new("unshare").args(["-m", "sh", "-c", script, "sh"]).args([&real, &file, &me]).env(FILE, &file).output();
    let run = run.unwrap();
    let printed = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    if run.status.code() == Some(77) || printed.contains("unshare failed") {
        println!("skipped: mounts are not allowed here");
        return;
    }
    assert!(run.status.success() && printed.contains("in place"), "{printed}");
    assert_eq!(fs::read_to_string(&real).unwrap(), "short\n", "the file that is mounted there");
}

fn write_mounted(file: &Path) {
    let inode = fs::metadata(file).unwrap().ino();
    let settings = Haproxy { config_file_path: Some(file.to_owned()), ..Haproxy::default() };
    let mut writer = Writer::new(&settings).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let around = Surroundings::default();
    assert_eq!(runtime.block_on(writer.put("a longer text\n", &around)).unwrap(), Written::InPlace);
    assert_eq!(runtime.block_on(writer.put("short\n", &around)).unwrap(), Written::InPlace);
    assert_eq!(runtime.block_on(writer.put("short\n", &around)).unwrap(), Written::Unchanged);
    assert_eq!(fs::read_to_string(file).unwrap(), "short\n");
    assert_eq!(fs::metadata(file).unwrap().ino(), inode);
    println!("in place");
}
