//! A real nginx: followed under load, refused changes, no servers, and texts that it takes whatever a catalog says.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
    thread,
    time::Duration,
};

use lobby_proxy::{
    Backend, Picture, Settings,
    backend::Known,
    nginx::{self, Stats, Status},
    settings::{Contexts, Nginx, NginxService, Service},
};
use lobby_render::command::Surroundings;
use lobby_testkit::{
    eventually, eventually_async, expect,
    load::{Connections, Load, Report, serve},
    port,
    process::{Process, find},
};
use proptest::{prelude::*, test_runner::TestRunner};
use tempfile::TempDir;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

/// Far above what a reload or a start takes.
const SOON: Duration = Duration::from_secs(20);

/// The folder of one nginx; whatever runs in it ends with this.
struct Place {
    folder: TempDir,
    process: Option<Process>,
}

impl Place {
    /// With a configuration that includes upstream files.
    fn new() -> Self {
        let place = Self { folder: TempDir::with_prefix("nginx-").unwrap(), process: None };
        let text = format!(
            "{};\nevents {{ {}; }}\nhttp {{ {};\ninclude {}/*.conf; }}\n",
            place.main().join(";\n"),
            EVENTS,
            place.http().join(";\n"),
            place.upstreams().display()
        );
        std::fs::write(place.config(), text).unwrap();
        place
    }

    fn main(&self) -> Vec<String> {
        let dir = self.folder.path().display();
        [
            "worker_processes 1".into(),
            format!("pid {dir}/nginx.pid"),
            format!("error_log {dir}/error.log"),
            "worker_shutdown_timeout 10s".into(),
        ]
        .into()
    }

    fn http(&self) -> Vec<String> {
        let temporary = |what: &str| format!("{what}_temp_path {}/{what}", self.folder.path().display());
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(temporary);
        [vec!["access_log off".to_owned()], paths.to_vec()].concat()
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("nginx.conf")
    }

    fn upstreams(&self) -> PathBuf {
        self.folder.path().join("upstreams")
    }

    /// As a shell runs it.
    fn command(&self, arguments: &str) -> String {
        let (program, dir) = (find("nginx"), self.folder.path().display());
        format!("{} -p {dir} -e stderr -c {} {arguments}", program.display(), self.config().display())
    }

    fn run(&self, arguments: &str) -> Output {
        Command::new("sh").args(["-c", &self.command(arguments)]).output().unwrap()
    }

    fn start(&mut self) {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {}", self.command("-g 'daemon off;'"))]);
        self.process = Some(Process::start("nginx", command));
        eventually(SOON, || expect(self.is_running(), "no process id"));
    }

    /// A check alone leaves an empty file.
    fn is_running(&self) -> bool {
        std::fs::read_to_string(self.folder.path().join("nginx.pid")).is_ok_and(|pid| !pid.is_empty())
    }

    fn settings(&self) -> Nginx {
        Nginx {
            upstreams: Some(self.upstreams()),
            do_writes: true,
            do_reloads: true,
            check_command: Some(self.command("-t")),
            reload_command: Some(self.command("-s reload")),
            restart_interval: Duration::from_secs(1),
            listen_address: "127.0.0.1".into(),
            ..Nginx::default()
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_running() {
            // The master ends its workers, which a kill of it would not; it removes the file last.
            let _ = self.run("-s stop");
            eventually(SOON, || expect(!self.is_running(), "it still runs"));
        }
    }
}

const EVENTS: &str = "worker_connections 512";

struct Running {
    picture: watch::Sender<Picture>,
    stats: Arc<Stats>,
    _stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    fn start(nginx: Nginx, service: NginxService) -> Self {
        let services = vec![Service { name: "web".into(), nginx: Some(service), ..Service::default() }];
        let settings = Arc::new(Settings { services, nginx: Some(nginx), ..Settings::default() });
        let (picture_tx, picture) = watch::channel(Picture::default());
        let (stop_tx, stop) = oneshot::channel::<()>();
        let (stats, around) = (Arc::new(Stats::default()), Surroundings::default());
        let stop = async {
            let _ = stop.await;
        };
        let task = tokio::spawn(nginx::run(settings, picture, around, Arc::clone(&stats), stop));
        Self { picture: picture_tx, stats, _stop: stop_tx, task }
    }

    /// These are the backends from now on.
    fn set(&self, ports: &[u16]) {
        let backend = |port: &u16| Backend { host: "127.0.0.1".into(), port: *port, ..Backend::default() };
        let backends = Some(ports.iter().map(backend).collect());
        self.picture.send_replace([Known { backends, ..Known::default() }].into());
    }

    async fn until(&self, is_so: impl Fn(&Status) -> bool) -> Status {
        eventually_async(SOON, || async {
            let status = self.stats.status();
            if is_so(&status) { Ok(status) } else { Err(status) }
        })
        .await
    }
}

fn listening(port: u16) -> NginxService {
    NginxService { port: Some(port), ..NginxService::default() }
}

/// A server that answers with its name.
fn server(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || serve(listener, name, Duration::from_millis(2)));
    port
}

/// What a few requests get.
fn ask(port: u16) -> Report {
    let load = Load::start(SocketAddr::from(([127, 0, 0, 1], port)), Connections::New, 200);
    eventually(SOON, || expect(load.n_sent() >= 10, load.n_sent()));
    load.stop()
}

/// Waits until all requests are answered by these.
async fn until_answered_by(port: u16, names: &[&str]) {
    eventually_async(SOON, || async {
        let report = tokio::task::spawn_blocking(move || ask(port)).await.unwrap();
        expect(report.n_failed() == 0 && report.answered.keys().eq(names), report)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_followed_under_load_and_no_request_fails() {
    let (mut place, port, [one, two]) = (Place::new(), port::free(), ["one", "two"].map(server));
    place.start();
    let running = Running::start(place.settings(), listening(port));
    running.set(&[one]);
    until_answered_by(port, &["one"]).await;
    let load = Load::start(SocketAddr::from(([127, 0, 0, 1], port)), Connections::Kept, 300);
    for (ports, names) in
        [(vec![one, two], vec!["one", "two"]), (vec![two], vec!["two"]), (vec![one], vec!["one"]), (vec![two], vec!["two"])]
    {
        running.set(&ports);
        until_answered_by(port, &names).await;
    }
    let n_sent = load.n_sent();
    eventually_async(SOON, || async { expect(load.n_sent() > n_sent + 100, load.n_sent()) }).await;
    let report = tokio::task::spawn_blocking(move || load.stop()).await.unwrap();
    assert_eq!(report.n_failed(), 0, "{report:?}");
    assert!(report.last["one"].answered < report.last["two"].answered && report.n_answered() > 500, "{report:?}");
    let status = running.until(|status| status.is_in_step).await;
    assert_eq!((status.reloads, status.reloads_failed, status.checks_failed), (5, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_changes_at_once_are_two_reloads_at_most_and_the_last_one_counts() {
    let (mut place, port, one) = (Place::new(), port::free(), server("one"));
    place.start();
    let running = Running::start(Nginx { restart_interval: Duration::from_secs(3), ..place.settings() }, listening(port));
    for other in 0..9 {
        running.set(&[one, 10_000 + other]);
        running.until(|status| status.writes > other.into()).await;
    }
    running.set(&[one]);
    running.until(|status| status.writes == 10 && status.is_in_step).await;
    assert!(running.stats.status().reloads <= 2, "{:?}", running.stats.status());
    until_answered_by(port, &["one"]).await;
    let (text, path) = (std::fs::read_to_string(place.upstreams().join("web.conf")).unwrap(), place.config());
    assert!(text.contains(&format!("\tserver 127.0.0.1:{one};\n}}")) && path.exists(), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_nginx_refuses_leaves_the_old_file_and_what_it_serves() {
    let (mut place, port, [one, two]) = (Place::new(), port::free(), ["one", "two"].map(server));
    place.start();
    let running = Running::start(place.settings(), listening(port));
    running.set(&[one]);
    until_answered_by(port, &["one"]).await;
    drop(running);
    let path = place.upstreams().join("web.conf");
    let before = std::fs::read_to_string(&path).unwrap();
    let broken = NginxService { upstream: vec!["no_such_directive 1".into()], ..listening(port) };
    let running = Running::start(place.settings(), broken);
    running.set(&[two]);
    let status = running.until(|status| status.checks_failed == 1).await;
    let error = status.last_error.unwrap();
    assert!(error.contains("no_such_directive") && error.contains("1 old ones are back"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
    assert!(place.run("-t").status.success() && status.reloads == 0);
    until_answered_by(port, &["one"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_servers_it_answers_503_and_serves_again_when_there_is_one() {
    let (mut place, port, one) = (Place::new(), port::free(), server("one"));
    place.start();
    let running = Running::start(place.settings(), listening(port));
    running.set(&[]);
    running.until(|status| status.is_in_step).await;
    eventually_async(SOON, || async {
        let report = tokio::task::spawn_blocking(move || ask(port)).await.unwrap();
        expect(report.failed.keys().eq(["status 503"]) && report.n_answered() == 0, report)
    })
    .await;
    running.set(&[one]);
    until_answered_by(port, &["one"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_file_is_written_and_nginx_started_with_it_then_reloaded() {
    let (place, port, [one, two]) = (Place::new(), port::free(), ["one", "two"].map(server));
    std::fs::remove_file(place.config()).unwrap();
    let contexts = Contexts { main: place.main(), events: vec![EVENTS.into()], http: place.http(), stream: Vec::new() };
    let nginx = Nginx {
        contexts: Some(contexts),
        config_file_path: Some(place.config()),
        upstreams: None,
        start_command: Some(place.command("")),
        ..place.settings()
    };
    let running = Running::start(nginx, listening(port));
    running.set(&[one]);
    until_answered_by(port, &["one"]).await;
    running.set(&[two]);
    until_answered_by(port, &["two"]).await;
    let status = running.until(|status| status.is_in_step).await;
    assert_eq!((status.starts, status.reloads), (1, 1));
}

fn backend() -> impl Strategy<Value = Backend> {
    let host = prop_oneof![
        Just("10.0.0.1".to_owned()),
        Just("fe80::1".to_owned()),
        Just("no.such.host.invalid".to_owned()),
        Just("10.0.0.1:80; } server { listen 1".to_owned()),
        "[a-z0-9.:;{}\"'$#\\\\\n\r %/_-]{0,12}",
        "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}",
        "([0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}",
    ];
    let flags = (any::<bool>(), any::<bool>(), proptest::option::of(prop_oneof![0..3u32, any::<u32>()]));
    (host, any::<u16>(), flags).prop_map(|(host, port, (is_backup, is_draining, weight))| Backend {
        name: host.clone(),
        host,
        port,
        weight,
        is_backup,
        is_draining,
        ..Backend::default()
    })
}

#[test]
fn nginx_takes_whatever_is_made_of_a_catalog() {
    let place = Place::new();
    const METHODS: [&str; 5] = ["", "ip_hash", "random", "hash $uri consistent", "least_conn"];
    let services =
        proptest::collection::vec((proptest::collection::vec(backend(), 0..5), proptest::sample::select(&METHODS[..])), 1..5);
    // Each case starts a program.
    let mut runner = TestRunner::new(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() });
    let port = port::free();
    runner
        .run(&services, |services| {
            let (mut all, mut picture) = (Vec::new(), Vec::new());
            for (idx, (backends, method)) in services.into_iter().enumerate() {
                let of =
                    NginxService { upstream: vec![method.into()], port: (idx == 0).then_some(port), ..NginxService::default() };
                all.push(Service { name: format!("web {idx};"), nginx: Some(of), ..Service::default() });
                picture.push(Known { backends: Some(backends.into()), ..Known::default() });
            }
            let settings = Settings { services: all, nginx: Some(place.settings()), ..Settings::default() };
            let layout = nginx::text::layout(&settings, &picture);
            write_all(&place.upstreams(), &layout);
            let said = place.run("-t");
            prop_assert!(said.status.success(), "{}\n{:?}", String::from_utf8_lossy(&said.stderr), layout);
            Ok(())
        })
        .unwrap();
}

fn write_all(folder: &Path, layout: &nginx::Layout) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).unwrap();
    layout.files.iter().for_each(|file| std::fs::write(&file.path, &file.text).unwrap());
}
