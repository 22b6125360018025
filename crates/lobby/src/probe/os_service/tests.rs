//! What stands for systemctl answers in each way that the real one does; and the real one, whatever it says here.

use std::{fs, os::unix::fs::PermissionsExt};

use lobby_core::check::kind::Kind;

use super::*;
use crate::probe::tests::{SOON, check, text};

/// The verdict about `unit` when this shell script is systemctl.
async fn check_with(script: &str, unit: &str, timeout: Duration) -> Verdict {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("systemctl");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    // Another test may be starting a program and hold our file open for a moment: it cannot be executed then.
    loop {
        let verdict = ask(program.to_str().unwrap(), unit, timeout).await;
        if !text(&verdict).contains("Text file busy") {
            return verdict;
        }
    }
}

#[tokio::test]
async fn each_state() {
    let cases = [
        ("loaded", "active", Status::Passing, "unit web: active"),
        ("loaded", "reloading", Status::Passing, "unit web: reloading"),
        ("loaded", "inactive", Status::Critical, "unit web: inactive"),
        ("loaded", "failed", Status::Critical, "unit web: failed"),
        ("loaded", "deactivating", Status::Critical, "unit web: deactivating"),
        ("masked", "inactive", Status::Critical, "unit web: inactive"),
        ("loaded", "activating", Status::Warning, "unit web: activating"),
        ("not-found", "inactive", Status::Warning, "unit web: undeterminable: systemd knows no unit of this name"),
        ("loaded", "maintenance", Status::Warning, "unit web: undeterminable: its state is maintenance"),
    ];
    for (load, active, status, told) in cases {
        let verdict = check_with(&format!("echo ActiveState={active}; echo LoadState={load}"), "web", SOON).await;
        assert_eq!((verdict.status, text(&verdict)), (status, told.into()));
    }
}

#[tokio::test]
async fn what_cannot_be_told_is_a_warning_with_the_reason() {
    let states = "echo LoadState=loaded; echo ActiveState=active";
    let cases = [
        ("echo System has not been booted with systemd >&2; exit 1", "exit status: 1: System has not been booted"),
        ("exit 0", "does not tell the state of one unit"),
        ("echo nonsense", "does not tell the state of one unit: nonsense"),
        ("echo LoadState=loaded; head -c 100000 /dev/zero", "does not tell the state of one unit"),
        (&format!("{states}; echo; {states}"), "does not tell the state of one unit"),
        ("kill -9 $$", "signal: 9"),
    ];
    for (script, why) in cases {
        let verdict = check_with(script, "web*", SOON).await;
        assert_eq!(verdict.status, Status::Warning, "{script}");
        let text = text(&verdict);
        assert!(text.starts_with("unit web*: undeterminable: ") && text.contains(why), "{text}");
    }
    let verdict = check_with("sleep 600", "web", Duration::from_millis(300)).await;
    assert_eq!(verdict.status, Status::Warning);
    assert!(text(&verdict).contains("it took longer than 300ms"), "{verdict:?}");
    let verdict = ask("/nothing/here", "web", SOON).await;
    assert_eq!(verdict.status, Status::Warning);
    assert!(text(&verdict).contains("cannot start /nothing/here"), "{verdict:?}");
}

#[tokio::test]
async fn a_unit_is_never_an_option_nor_a_command() {
    let script = r#"[ "$*" = "show --property=LoadState --property=ActiveState -- --help; \$(x)" ] && echo LoadState=loaded
        echo ActiveState=active"#;
    assert_eq!(check_with(script, "--help; $(x)", SOON).await.status, Status::Passing);
}

#[tokio::test]
async fn the_real_one_knows_no_such_unit() {
    let verdict = check(&Kind::OsService { name: "lobby-test-of-no-unit.service".into() }).await;
    assert_eq!(verdict.status, Status::Warning, "{verdict:?}");
    assert!(text(&verdict).contains("undeterminable"), "{verdict:?}");
}
