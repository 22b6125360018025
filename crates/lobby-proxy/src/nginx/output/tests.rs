//! The task with commands that are a shell's: what is done when, and how often. A real nginx is in `tests/it`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use lobby_testkit::{eventually_async, expect, holds_async};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

use super::*;
use crate::{
    Backend,
    nginx::Status,
    settings::{NginxService, Service},
};

/// Far above what a turn or an interval takes.
const SOON: Duration = Duration::from_secs(10);

/// Above two turns.
const A_WHILE: Duration = Duration::from_millis(300);

struct Running {
    picture: watch::Sender<Picture>,
    stats: Arc<Stats>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    async fn stop(self) -> Status {
        drop(self.stop);
        self.task.await.unwrap();
        self.stats.status()
    }

    async fn until(&self, is_so: impl Fn(&Status) -> bool) -> Status {
        eventually_async(SOON, || async {
            let status = self.stats.status();
            if is_so(&status) { Ok(status) } else { Err(status) }
        })
        .await
    }
}

/// Commands write into `calls`, a line each.
fn nginx(folder: &Path) -> Nginx {
    let call = |what: &str, then: &str| Some(format!("cd {} && echo {what} >>calls && {then}", folder.display()));
    Nginx {
        upstreams: Some(folder.join("u")),
        do_writes: true,
        do_reloads: true,
        check_command: call("check", "! test -e no-check"),
        reload_command: call("reload", "! test -e no-reload"),
        listen_address: "127.0.0.1".into(),
        ..Nginx::default()
    }
}

fn calls(folder: &Path) -> String {
    fs::read_to_string(folder.join("calls")).unwrap_or_default().replace('\n', " ")
}

fn start(nginx: Nginx) -> Running {
    let web = Service { name: "web".into(), nginx: Some(NginxService::default()), ..Service::default() };
    let other = Service { name: "other".into(), ..Service::default() };
    let settings = Arc::new(Settings { services: vec![web, other], nginx: Some(nginx), ..Settings::default() });
    let (picture_tx, picture) = watch::channel(Picture::default());
    let (stop_tx, stop) = oneshot::channel::<()>();
    let (stats, around) = (Arc::new(Stats::default()), Surroundings::default());
    let stop = async {
        let _ = stop.await;
    };
    let task = tokio::spawn(run(settings, picture, around, Arc::clone(&stats), stop));
    Running { picture: picture_tx, stats, stop: stop_tx, task }
}

/// The other service has not answered, which is of no importance for nginx.
fn picture(port: u16) -> Picture {
    let backend = Backend { host: "10.0.0.1".into(), port, ..Backend::default() };
    [Known { backends: Some([backend].into()), ..Known::default() }, Known::default()].into()
}

fn text(folder: &Path) -> String {
    fs::read_to_string(folder.join("u/web.conf")).unwrap_or_default()
}

#[tokio::test]
async fn nothing_before_the_first_answer_then_files_a_check_and_a_reload() {
    let folder = TempDir::new().unwrap();
    let running = start(nginx(folder.path()));
    running.until(|status| status.unanswered == ["web"]).await;
    holds_async(A_WHILE, || async { expect(!folder.path().join("u").exists(), "written") }).await;
    running.picture.send_replace(picture(80));
    running.until(|status| status.is_in_step && status.reloads == 1).await;
    assert!(text(folder.path()).contains("server 10.0.0.1:80;"));
    assert_eq!(calls(folder.path()), "check reload ");
    running.stop().await;
    // Another process finds everything as it should be.
    let running = start(nginx(folder.path()));
    running.picture.send_replace(picture(80));
    let status = running.until(|status| status.is_in_step).await;
    assert_eq!((status.writes, status.reloads, calls(folder.path()).as_str()), (0, 0, "check reload "));
    // What somebody changed by hand is mended.
    fs::write(folder.path().join("u/web.conf"), "x").unwrap();
    running.until(|status| status.reloads == 1).await;
    assert!(text(folder.path()).contains("server 10.0.0.1:80;"));
}

#[tokio::test]
async fn changes_within_the_interval_are_one_reload() {
    let folder = TempDir::new().unwrap();
    // Far above what ten changes take.
    let running = start(Nginx { restart_interval: Duration::from_secs(4), ..nginx(folder.path()) });
    for port in 1..=10 {
        running.picture.send_replace(picture(port));
        eventually_async(SOON, || async { expect(text(folder.path()).contains(&format!(":{port};")), text(folder.path())) })
            .await;
    }
    running.until(|status| status.is_in_step).await;
    let status = running.stop().await;
    assert_eq!(status.writes, 10, "files are not held back");
    assert!(status.reloads <= 2, "{status:?}: {}", calls(folder.path()));
    // The last one comes long after the last check.
    assert!(calls(folder.path()).ends_with("check check reload "), "{}", calls(folder.path()));
}

#[tokio::test]
async fn a_reload_that_fails_is_due_until_it_succeeds_also_for_the_next_process() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("no-reload"), "").unwrap();
    let running = start(nginx(folder.path()));
    running.picture.send_replace(picture(80));
    let status = running.until(|status| status.reloads_failed == 2).await;
    assert!(!status.is_in_step && !status.reload_due.is_empty() && status.last_error.is_some(), "{status:?}");
    running.stop().await;
    fs::remove_file(folder.path().join("no-reload")).unwrap();
    let running = start(nginx(folder.path()));
    running.picture.send_replace(picture(80));
    let status = running.until(|status| status.is_in_step).await;
    assert_eq!((status.writes, status.reloads, status.last_error), (0, 1, None));
}

#[tokio::test]
async fn what_the_check_refuses_is_not_there_and_not_reloaded_and_the_next_change_is_tried_at_once() {
    let folder = TempDir::new().unwrap();
    let running = start(nginx(folder.path()));
    running.picture.send_replace(picture(80));
    running.until(|status| status.is_in_step).await;
    fs::write(folder.path().join("no-check"), "").unwrap();
    running.picture.send_replace(picture(81));
    let status = running.until(|status| status.checks_failed == 1).await;
    assert!(!status.is_in_step && status.last_error.unwrap().contains("1 old ones are back"));
    assert!(text(folder.path()).contains(":80;"), "{}", text(folder.path()));
    fs::remove_file(folder.path().join("no-check")).unwrap();
    running.picture.send_replace(picture(82));
    running.until(|status| status.is_in_step && status.reloads == 2).await;
    assert!(text(folder.path()).contains(":82;"));
    assert_eq!(calls(folder.path()).matches("reload").count(), 2);
}

#[tokio::test]
async fn no_reload_of_files_that_the_check_refuses_by_then() {
    let folder = TempDir::new().unwrap();
    let running = start(nginx(folder.path()));
    running.picture.send_replace(picture(80));
    running.until(|status| status.is_in_step).await;
    running.picture.send_replace(picture(81));
    running.until(|status| status.writes == 2).await;
    fs::write(folder.path().join("no-check"), "").unwrap();
    let status = running.until(|status| status.reloads_failed == 1).await;
    assert_eq!((status.reloads, status.checks_failed), (1, 0));
    fs::remove_file(folder.path().join("no-check")).unwrap();
    running.until(|status| status.is_in_step && status.reloads == 2).await;
}

#[tokio::test]
async fn nginx_is_started_once_when_the_reload_says_that_it_does_not_run() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("no-reload"), "").unwrap();
    let start_command = format!("cd {} && echo start >>calls && test -e may-start", folder.path().display());
    let with_start = || Nginx { start_command: Some(start_command.clone()), ..nginx(folder.path()) };
    let running = start(with_start());
    running.picture.send_replace(picture(80));
    let status = running.until(|status| status.reloads_failed == 1).await;
    assert!(status.last_error.unwrap().contains("so did the start"));
    fs::write(folder.path().join("may-start"), "").unwrap();
    running.until(|status| status.is_in_step && status.starts == 1).await;
    running.picture.send_replace(picture(81));
    running.until(|status| status.reloads_failed == 2).await;
    assert_eq!(running.stop().await.starts, 1);
    assert_eq!(calls(folder.path()).matches("start").count(), 2, "{}", calls(folder.path()));
    // One that runs is found by a reload, though nothing has changed.
    fs::remove_file(folder.path().join("no-reload")).unwrap();
    let running = start(with_start());
    running.picture.send_replace(picture(81));
    let status = running.until(|status| status.is_in_step).await;
    assert_eq!((status.reloads, status.starts), (1, 0));
}

#[tokio::test]
async fn what_is_not_to_be_done_is_not_done() {
    let folder = TempDir::new().unwrap();
    let running = start(Nginx { do_reloads: false, start_command: Some("false".into()), ..nginx(folder.path()) });
    running.picture.send_replace(picture(80));
    running.until(|status| status.is_in_step && status.writes == 1).await;
    running.picture.send_replace(picture(81));
    running.until(|status| status.is_in_step && status.writes == 2).await;
    assert_eq!(calls(folder.path()), "check check ");
    running.stop().await;
    let (other, dir) = (TempDir::new().unwrap(), PathBuf::from("u"));
    let running = start(Nginx { do_writes: false, ..nginx(other.path()) });
    running.picture.send_replace(picture(80));
    running.until(|status| status.is_in_step).await;
    holds_async(A_WHILE, || async { expect(!other.path().join(&dir).exists(), "written") }).await;
    assert_eq!(calls(other.path()), "");
}

#[tokio::test]
async fn a_source_that_never_answers_keeps_its_file_and_does_not_hold_up_the_others_for_ever() {
    let folder = TempDir::new().unwrap();
    let service = |name: &str| Service { name: name.into(), nginx: Some(NginxService::default()), ..Service::default() };
    let settings =
        |nginx| Arc::new(Settings { services: vec![service("web"), service("db")], nginx: Some(nginx), ..Settings::default() });
    let task = |settings, picture: Picture, age: Duration| {
        let (_, picture) = watch::channel(picture);
        let mut task = Task::new(settings, picture, Surroundings::default(), Arc::default()).unwrap();
        task.began -= age;
        task
    };
    let answered = |port| picture(port)[0].clone();
    let both: Picture = [answered(80), answered(81)].into();
    task(settings(nginx(folder.path())), both, Duration::ZERO).turn().await;
    let db = fs::read_to_string(folder.path().join("u/db.conf")).unwrap();
    let mut early = task(settings(nginx(folder.path())), picture(90), WARM_MAX / 2);
    early.turn().await;
    assert!(text(folder.path()).contains(":80;"), "{}", text(folder.path()));
    early.began -= WARM_MAX;
    early.turn().await;
    assert!(text(folder.path()).contains(":90;"), "{}", text(folder.path()));
    assert_eq!(fs::read_to_string(folder.path().join("u/db.conf")).unwrap(), db);
    assert_eq!(early.stats.status().unanswered, ["db"]);
    let whole = Nginx {
        contexts: Some(Default::default()),
        config_file_path: Some(folder.path().join("n.conf")),
        upstreams: None,
        ..nginx(folder.path())
    };
    task(settings(whole), picture(90), 2 * WARM_MAX).turn().await;
    assert!(!folder.path().join("n.conf").exists());
}
