//! Records in Synapse's form, and files that come, stay and go.

use std::{fs, path::Path, time::Duration};

use lobby_testkit::{eventually_async, expect};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;
use crate::{
    backend::Known,
    settings::{FileOutput, Service},
};

/// Far above what a turn takes.
const SOON: Duration = Duration::from_secs(10);

fn at(host: &str) -> Backend {
    Backend { host: host.into(), port: 80, ..Backend::default() }
}

fn known(backends: &[Backend]) -> Known {
    Known { backends: Some(backends.into()), ..Known::default() }
}

fn settings(folder: &Path, names: &[&str]) -> Arc<Settings> {
    let service = |name: &&str| Service { name: (*name).into(), file_output: true, ..Service::default() };
    let services = names.iter().map(service).collect();
    Arc::new(Settings { services, file_output: Some(FileOutput { output_directory: folder.into() }), ..Settings::default() })
}

async fn once(settings: &Settings, picture: &[Known]) -> Status {
    let (stats, folder) = (Stats::default(), &settings.file_output.as_ref().unwrap().output_directory);
    turn(settings, folder, &picture.into(), &Surroundings::default(), &stats).await;
    stats.status()
}

#[test]
fn records_have_synapse_s_fields_in_its_order_and_two_more_and_only_those_set() {
    let full = Backend {
        name: "a\"\n".into(),
        id: Some(3),
        weight: Some(0),
        haproxy_server_options: "check".into(),
        labels: [("az".into(), "x".into())].into(),
        is_backup: true,
        ..at("10.0.0.1")
    };
    let want = r#"[{"name":"a\"\n","host":"10.0.0.1","port":80,"id":3,"weight":0,"haproxy_server_options":"check","labels":{"az":"x"},"backup":true},{"host":"::1","port":80},{"host":"b","port":80,"draining":true}]"#;
    let draining = Backend { is_draining: true, ..at("b") };
    assert_eq!(records(&[full, at("::1"), draining]), want);
    assert_eq!(records(&[]), "[]");
}

#[tokio::test]
async fn files_are_written_when_they_say_something_else_and_removed_only_if_they_are_ours() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join("new").join(name);
    let two = settings(&folder.path().join("new"), &["web", "db"]);
    let status = once(&two, &[known(&[at("10.0.0.1")]), Known::default()]).await;
    assert_eq!((status.writes, status.is_in_step, status.unanswered), (1, true, vec!["db".to_owned()]));
    assert!(!path("db.json").exists(), "its source has not answered");
    fs::write(path("other.json"), "[]").unwrap();
    let spaced = "[ {\"port\": 80, \"host\": \"10.0.0.1\"} ]";
    fs::write(path("web.json"), spaced).unwrap();
    assert_eq!(once(&two, &[known(&[at("10.0.0.1")]), known(&[])]).await.writes, 1);
    assert_eq!(fs::read_to_string(path("web.json")).unwrap(), spaced, "it says the same");
    assert_eq!(fs::read_to_string(path("db.json")).unwrap(), "[]");
    assert_eq!(once(&two, &[known(&[at("10.0.0.2")]), Known::default()]).await.writes, 1);
    assert_eq!(fs::read_to_string(path("web.json")).unwrap(), r#"[{"host":"10.0.0.2","port":80}]"#);
    assert!(path("db.json").exists(), "no answer is no reason to remove it");
    // Of one that never answered it is not known whose it is.
    once(&settings(&folder.path().join("new"), &["web", "db", "other"]), &vec![Known::default(); 3]).await;
    let none = settings(&folder.path().join("new"), &["db"]);
    let status = once(&none, &[Known::default()]).await;
    assert_eq!((status.removed, status.is_in_step), (1, true));
    let mut names: Vec<_> = fs::read_dir(folder.path().join("new")).unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [LIST, "db.json", "other.json"]);
}

#[tokio::test]
async fn names_that_are_no_files_get_none() {
    let folder = TempDir::new().unwrap();
    let long = "x".repeat(201);
    let names = ["../up", "a/b", "", ".", "..", ".hidden", "a\nb", "a\0b", &long];
    assert!(names.iter().all(|name| file_name(name).is_none()));
    let (all, picture) = (settings(folder.path(), &names), vec![known(&[at("10.0.0.1")]); names.len()]);
    let status = once(&all, &picture).await;
    assert_eq!((status.writes, status.is_in_step), (0, true));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(file_name("a b;$"), Some("a b;$.json".into()));
}

#[tokio::test]
async fn what_cannot_be_written_is_told_and_the_others_are_written() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("a.json")).unwrap();
    let status = once(&settings(folder.path(), &["a", "b"]), &[known(&[]), known(&[])]).await;
    assert_eq!((status.writes, status.writes_failed, status.is_in_step), (1, 1, false));
    assert!(status.last_error.unwrap().contains("a.json"));
}

#[tokio::test]
async fn the_task_follows_the_picture_mends_files_and_ends() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("web.json");
    let (picture_tx, picture) = watch::channel(Picture::from([Known::default()]));
    let (stop_tx, stop) = oneshot::channel::<()>();
    let stats = Arc::new(Stats::default());
    let stop = async {
        let _ = stop.await;
    };
    let task = tokio::spawn(run(settings(folder.path(), &["web"]), picture, Surroundings::default(), Arc::clone(&stats), stop));
    eventually_async(SOON, || async { expect(stats.status().unanswered == ["web"], stats.status()) }).await;
    picture_tx.send_replace([known(&[at("10.0.0.1")])].into());
    let has = |text: &'static str| {
        let path = path.clone();
        move || {
            let seen = fs::read_to_string(&path).unwrap_or_default();
            async move { expect(seen == text, seen) }
        }
    };
    eventually_async(SOON, has(r#"[{"host":"10.0.0.1","port":80}]"#)).await;
    drop(picture_tx);
    fs::remove_file(&path).unwrap();
    eventually_async(SOON, has(r#"[{"host":"10.0.0.1","port":80}]"#)).await;
    drop(stop_tx);
    task.await.unwrap();
}
