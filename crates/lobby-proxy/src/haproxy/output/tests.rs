//! The loop over a model of HAProxy: what it waits for, writes, and reloads. Real files and commands; an HAProxy of its own
//! is in `manage`.

mod refused;
mod restart;
mod silent;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use lobby_testkit::{eventually_async, expect, holds_async};
use tokio::{sync::oneshot, task::JoinHandle};

use super::*;
use crate::{
    backend::Known,
    haproxy::{
        statefile::Saved,
        statefile::SavedServer,
        stats::{BackendStatus, Status},
    },
    settings::{HaproxyService, Service},
};

const WITHIN: Duration = Duration::from_secs(10);

/// The model: a process whose number is in a file, which the reload command changes.
#[derive(Debug, Default)]
struct Model {
    /// Servers of the process.
    servers: String,
    is_silent: bool,
    /// The process of which somebody shut a frontend down.
    shut_down: Option<u32>,
    /// How long the next question waits for nothing.
    hangs: Option<Duration>,
    saved: Saved,
}

#[derive(Debug, Clone)]
struct Fake {
    model: Arc<Mutex<Model>>,
    pid_file: PathBuf,
    has_socket: bool,
}

impl Fake {
    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }
}

fn names(backends: &[Backend]) -> String {
    backends.iter().map(|backend| format!("\tserver {0} {0}:{1}\n", backend.host, backend.port)).collect()
}

/// Those of servers, or the others.
fn lines(text: &str, of_servers: bool) -> String {
    text.split_inclusive('\n').filter(|line| line.starts_with("\tserver ") == of_servers).collect()
}

impl Parts for Fake {
    fn restore(&mut self, saved: Saved) {
        self.model().saved = saved;
    }

    fn saved(&self) -> Saved {
        self.model().saved.clone()
    }

    fn layout(&mut self, settings: &Settings, picture: &[Known], _: Option<Version>, _: u64) -> Layout {
        let global = settings.haproxy.as_ref().unwrap().global.join("\n");
        let services = settings.services.iter().zip(picture);
        let text =
            services.map(|(service, known)| format!("backend {}\n{}", service.name, names(known.backends.as_ref().unwrap())));
        let text = format!("{global}\n{}", text.collect::<String>());
        Layout { skeleton: lines(&text, false), text, ..Layout::default() }
    }

    async fn version(&mut self) -> Option<Version> {
        assert!(self.has_socket);
        None
    }

    async fn servers(&mut self) -> BTreeMap<String, BTreeMap<String, Backend>> {
        assert!(self.has_socket);
        BTreeMap::new()
    }

    async fn reconcile(&mut self, wanted: &Layout) -> Result<Reconciled, String> {
        assert!(self.has_socket);
        let hangs = self.model().hangs.take();
        if let Some(hangs) = hangs {
            sleep(hangs).await;
            return Err("no whole answer".into());
        }
        let mut model = self.model();
        if model.is_silent {
            return Err("nobody is there".into());
        }
        let pid = fs::read_to_string(&self.pid_file).unwrap().trim().parse().unwrap();
        let servers = lines(&wanted.text, true);
        let is_other = std::mem::replace(&mut model.servers, servers.clone()) != servers;
        let done = is_other.then(|| ("set server".to_owned(), 1)).into_iter().collect();
        let backends = [("web".to_owned(), BackendStatus { wanted: 1, up: 1, draining: 0, held: 0 })].into();
        let reload = (model.shut_down == Some(pid)).then(|| ("frontend".to_owned(), "web".to_owned())).into_iter().collect();
        Ok(Reconciled { process: Some(Process { pid, started: 0 }), done, backends, reload, ..Reconciled::default() })
    }

    async fn servers_state(&mut self) -> Result<String, String> {
        Ok("1\n# the state\n".into())
    }
}

/// A task in a folder of its own.
struct Run {
    folder: tempfile::TempDir,
    settings: Settings,
    fake: Fake,
    picture: watch::Sender<Picture>,
    stats: Arc<Stats>,
    pace: Pace,
    task: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Run {
    fn new(change: impl FnOnce(&Path, &mut Haproxy)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        fs::write(&pid_file, "100\n").unwrap();
        let path = folder.path().display();
        let mut haproxy = Haproxy {
            global: vec!["global".into()],
            config_file_path: Some(folder.path().join("haproxy.cfg")),
            reload_command: Some(format!("cd {path}; echo noop; echo $(($(cat pid) + 1)) > new; mv new pid; echo >> reloads")),
            restart_interval: Duration::from_millis(10),
            ..Haproxy::default()
        };
        change(folder.path(), &mut haproxy);
        let service = |name: &str| Service { name: name.into(), haproxy: Some(HaproxyService::default()), ..Service::default() };
        let fake = Fake { model: Arc::default(), pid_file, has_socket: haproxy.do_socket };
        let settings = Settings { services: vec![service("web"), service("db")], haproxy: Some(haproxy), ..Settings::default() };
        let (picture, _) = watch::channel(Picture::from(Vec::new()));
        let mut run = Self { folder, settings, fake, picture, stats: Arc::default(), pace: Pace::default(), task: None };
        run.start();
        run
    }

    fn start(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let settings = Arc::new(self.settings.clone());
        self.stats = Arc::default();
        let (picture, stats) = (self.picture.subscribe(), Arc::clone(&self.stats));
        let stop_run = async { drop(stopped.await) };
        let (parts, around, pace) = (self.fake.clone(), Surroundings::default(), self.pace.clone());
        let task = tokio::spawn(run_with(parts, settings, picture, around, stats, pace, stop_run));
        self.task = Some((stop, task));
    }

    async fn start_again(&mut self) {
        self.stop().await;
        self.start();
    }

    async fn stop(&mut self) {
        let (stop, task) = self.task.take().unwrap();
        drop(stop);
        task.await.unwrap();
    }

    fn show(&self, web: &[&str], db: Option<&[&str]>) {
        let known = |hosts: &[&str]| {
            let backends = hosts.iter().map(|host| Backend { host: (*host).into(), port: 80, ..Backend::default() });
            Known { backends: Some(backends.collect()), ..Known::default() }
        };
        self.picture.send_replace(vec![known(web), db.map(known).unwrap_or_default()].into());
    }

    fn text(&self) -> String {
        fs::read_to_string(self.folder.path().join("haproxy.cfg")).unwrap_or_default()
    }

    fn n_reloads(&self) -> usize {
        fs::read_to_string(self.folder.path().join("reloads")).unwrap_or_default().lines().count()
    }

    async fn until(&self, holds: impl Fn(&Status) -> bool) {
        eventually_async(WITHIN, async || expect(holds(&self.stats.status()), (self.stats.status(), self.text()))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_before_all_have_answered_and_after_a_minute_the_last_known_stay() {
    let mut run = Run::new(|folder, haproxy| {
        haproxy.do_reloads = false;
        haproxy.do_socket = false;
        haproxy.state_file_path = Some(folder.join("state.json"));
    });
    run.stop().await;
    let server = |host: &str, seen| SavedServer {
        backend: Backend { host: host.into(), port: 80, ..Backend::default() },
        haproxy_id: None,
        seen,
        is_listed: None,
    };
    let now = unix_now();
    let db = [("9".to_owned(), server("9", now - 9)), ("2".to_owned(), server("2", now))].into();
    let saved = Saved { services: [("db".to_owned(), db)].into() };
    statefile::write(&run.folder.path().join("state.json"), &saved, &Surroundings::default()).await.unwrap();
    let began = Instant::now();
    run.start();
    run.show(&["1"], None);
    run.until(|status| status.unanswered == ["db"]).await;
    tokio::time::advance(WARM_MAX / 2).await;
    assert_eq!(run.text(), "");
    run.until(|status| status.writes == 1).await;
    assert!(began.elapsed() >= WARM_MAX);
    assert_eq!(
        run.text(),
        "global\nbackend web\n\tserver 1 1:80\nbackend db\n\tserver 2 2:80\n",
        "and not the one that was gone"
    );
    run.show(&["1"], Some(&[]));
    run.until(|status| status.writes == 2 && status.unanswered.is_empty()).await;
    assert!(run.text().ends_with("backend db\n"), "a definite answer, even if it is empty");
}

#[tokio::test]
async fn a_service_that_is_empty_from_the_start_keeps_the_servers_of_an_earlier_run() {
    let mut run = Run::new(|_, haproxy| haproxy.do_socket = false);
    run.settings.services.iter_mut().for_each(|service| service.use_previous_backends = true);
    run.show(&["1"], Some(&[]));
    run.start_again().await;
    run.until(|status| status.is_in_step).await;
    assert!(run.text().contains("server 1 1:80"));
    run.show(&[], Some(&["2"]));
    run.start_again().await;
    run.until(|status| status.is_in_step && status.writes == 1).await;
    assert!(run.text().contains("server 1 1:80") && run.text().contains("server 2 2:80"), "{}", run.text());
    run.settings.services.iter_mut().for_each(|service| service.use_previous_backends = false);
    run.start_again().await;
    run.until(|status| status.is_in_step && status.writes == 1).await;
    assert!(!run.text().contains("server 1 1:80"), "{}", run.text());
    run.stop().await;
}

#[tokio::test]
async fn without_the_socket_each_change_is_one_rename_and_one_run_of_the_command() {
    let mut run = Run::new(|_, haproxy| haproxy.do_socket = false);
    for (n, host) in ["1", "2", "3", "4"].into_iter().enumerate() {
        run.show(&[host], Some(&[]));
        run.until(|status| status.reloads == n as u64 + 1 && status.is_in_step).await;
        assert!(run.text().contains(&format!("server {host} ")));
        assert_eq!((run.stats.status().writes, run.n_reloads()), (n as u64 + 1, n + 1));
    }
    let files = fs::read_dir(run.folder.path()).unwrap().map(|file| file.unwrap().file_name());
    let mut files: Vec<_> = files.collect();
    files.sort();
    assert_eq!(files, ["haproxy.cfg", "pid", "reloads"], "nothing else where others may watch");
    run.start_again().await;
    run.until(|status| status.is_in_step && status.reloads == 1).await;
    assert_eq!(run.n_reloads(), 5, "nobody knows whether the last one was done");
    fs::write(run.folder.path().join("haproxy.cfg"), "by hand\n").unwrap();
    run.until(|status| status.writes == 1).await;
    run.stop().await;
}

#[tokio::test]
async fn servers_change_over_the_socket_and_a_restart_of_the_task_reloads_nothing() {
    let mut run = Run::new(|_, _| {});
    run.show(&["1"], Some(&[]));
    // Nobody knows what the process was started with: one reload.
    run.until(|status| status.is_in_step && status.reloads == 1).await;
    assert_eq!(run.stats.status().reload_reasons.keys().collect::<Vec<_>>(), ["unknown"]);
    for host in ["2", "3", "4"] {
        run.show(&[host], Some(&[]));
        run.until(|status| status.is_in_step && run.text().contains(&format!("server {host} "))).await;
    }
    assert_eq!(run.n_reloads(), 1);
    assert_eq!((run.stats.status().writes, run.stats.status().commands["set server"]), (4, 4));

    run.stop().await;
    run.show(&["5"], Some(&[]));
    run.start();
    run.until(|status| status.is_in_step && run.text().contains("server 5 ")).await;
    assert_eq!(run.n_reloads(), 1, "nothing structural changed");

    run.stop().await;
    run.settings.haproxy.as_mut().unwrap().global.push("another".into());
    run.start();
    run.until(|status| status.is_in_step && status.reload_reasons.contains_key("structure")).await;
    assert_eq!(run.n_reloads(), 2);

    run.fake.model().servers = "by hand".into();
    run.until(|status| status.repaired == 1 && status.is_in_step).await;
    assert_eq!(run.n_reloads(), 2, "drift is mended over the socket");
    run.stop().await;
}

#[tokio::test]
async fn a_check_that_fails_keeps_the_old_file_and_there_is_no_reload() {
    let mut run = Run::new(|_, haproxy| {
        haproxy.do_socket = false;
        haproxy.do_checks = true;
        haproxy.check_command = Some("! grep 'server bad' {{.Path}}".into());
    });
    run.show(&["1"], Some(&[]));
    run.until(|status| status.is_in_step).await;
    run.show(&["bad"], Some(&[]));
    run.until(|status| status.checks_failed == 1 && status.last_error.as_ref().is_some_and(|err| err.contains("server bad")))
        .await;
    holds_async(2 * REPAIR, async || {
        let seen = (run.n_reloads(), run.stats.status().checks_failed, run.stats.status().is_in_step);
        expect(seen == (1, 1, false) && run.text().contains("server 1 "), seen)
    })
    .await;
    run.show(&["2"], Some(&[]));
    run.until(|status| status.is_in_step && status.last_error.is_none()).await;
    assert_eq!(run.n_reloads(), 2);
    run.stop().await;
}

#[tokio::test]
async fn a_reload_that_fails_is_tried_again_until_it_succeeds() {
    let mut run = Run::new(|folder, haproxy| {
        haproxy.do_socket = false;
        haproxy.reload_command = Some(format!("test -e {}", folder.join("works").display()));
    });
    run.show(&["1"], Some(&[]));
    run.until(|status| status.reloads_failed >= 2 && status.reload_due.len() == 1 && !status.is_in_step).await;
    fs::write(run.folder.path().join("works"), "").unwrap();
    run.until(|status| status.reloads == 1 && status.is_in_step).await;
    run.stop().await;
}

#[tokio::test]
async fn a_socket_that_does_not_answer_costs_one_reload_for_each_text() {
    let mut run = Run::new(|_, _| {});
    run.fake.model().is_silent = true;
    run.show(&["1"], Some(&[]));
    run.until(|status| status.reloads == 1 && status.reload_reasons.contains_key("unreachable")).await;
    holds_async(2 * REPAIR, async || expect(run.n_reloads() == 1, run.n_reloads())).await;
    run.fake.model().is_silent = false;
    run.until(|status| status.is_in_step).await;
    assert_eq!(run.n_reloads(), 1);
    run.stop().await;
}

#[tokio::test]
async fn a_program_that_does_not_tell_its_version_is_asked_again_when_it_is_another_one() {
    let mut run = Run::new(|folder, haproxy| {
        haproxy.do_socket = false;
        haproxy.program = Some(folder.join("haproxy"));
    });
    run.stop().await;
    let [program, asked, new] = ["haproxy", "asked", "new-program"].map(|name| run.folder.path().join(name));
    let put = |says: &str| {
        let text = format!("#!/bin/sh\necho >> {}\necho {says}\n", asked.display());
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::rename(&new, &program).unwrap();
    };
    let n_asked = || fs::read_to_string(&asked).unwrap_or_default().lines().count();
    put("nothing of use");
    run.start();
    run.show(&["1"], Some(&[]));
    run.until(|status| status.is_in_step).await;
    holds_async(3 * REPAIR, async || expect(n_asked() == 1, n_asked())).await;
    put("HAProxy version 2.6.12");
    run.until(|status| status.version.as_deref() == Some("2.6.12")).await;
    assert_eq!(n_asked(), 2);
    run.stop().await;
}

#[tokio::test]
async fn switched_off_is_off() {
    let mut run = Run::new(|folder, haproxy| {
        (haproxy.do_writes, haproxy.do_reloads) = (false, false);
        haproxy.global.push(format!("server-state-file {}", folder.join("state").display()));
    });
    run.show(&["1"], Some(&[]));
    run.until(|status| status.commands.contains_key("set server") && status.is_in_step).await;
    assert_eq!((run.text(), run.n_reloads()), (String::new(), 0));
    run.stop().await;

    run.settings.haproxy.as_mut().unwrap().do_writes = true;
    run.start();
    run.until(|status| status.writes == 1 && !status.reload_due.is_empty()).await;
    assert_eq!(run.n_reloads(), 0, "only told of");
    run.stop().await;

    run.settings.haproxy.as_mut().unwrap().do_reloads = true;
    run.start();
    run.until(|status| status.reloads == 1 && status.is_in_step).await;
    assert_eq!(fs::read_to_string(run.folder.path().join("state")).unwrap(), "1\n# the state\n");
    run.stop().await;
}
