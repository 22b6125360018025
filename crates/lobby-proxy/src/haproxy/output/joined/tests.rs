//! A managed HAProxy and everything behind it: servers that come and go without a reload, a kill, a hand edit, a structural
//! change, and a restart of the task.

use std::{net::SocketAddr, path::PathBuf, process::Command};

use lobby_testkit::{eventually_async, expect};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use super::*;
use crate::{
    haproxy::{master, stats::Status},
    settings::{Bind, HaproxyService, Service},
};

const WITHIN: Duration = Duration::from_secs(10);

/// Answers each request with its own port.
async fn origin() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let body = port.to_string();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

/// The body that a port answers with.
async fn get(port: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(port).await.ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    answer.starts_with("HTTP/1.1 200").then(|| answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
}

struct Run {
    folder: tempfile::TempDir,
    settings: Settings,
    ports: Vec<SocketAddr>,
    picture: watch::Sender<Picture>,
    stats: Arc<Stats>,
    task: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Run {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let haproxy = Haproxy {
            global: vec![format!("stats socket {} level admin", socket.display())],
            defaults: lines(&[
                "mode http",
                "timeout client 5s",
                "timeout server 5s",
                "timeout connect 1s",
                "balance roundrobin",
                "option redispatch",
            ]),
            config_file_path: Some(folder.path().join("haproxy.cfg")),
            program: Some("/usr/sbin/haproxy".into()),
            manage: true,
            do_checks: true,
            sockets: vec![socket],
            bind_address: "127.0.0.1".into(),
            drain: Duration::from_millis(50),
            ..Haproxy::default()
        };
        let ports = vec![lobby_testkit::port::free_address(), lobby_testkit::port::free_address()];
        let services = vec![Self::service("web", ports[0])];
        let settings = Settings { services, haproxy: Some(haproxy), ..Settings::default() };
        let (picture, _) = watch::channel(Picture::from(Vec::new()));
        Self { folder, settings, ports, picture, stats: Arc::default(), task: None }
    }

    fn service(name: &str, port: SocketAddr) -> Service {
        let haproxy = Some(HaproxyService { bind: Bind::Port(port.port()), ..HaproxyService::default() });
        Service { name: name.into(), haproxy, ..Service::default() }
    }

    fn start(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        self.stats = Arc::default();
        let (settings, stats) = (Arc::new(self.settings.clone()), Arc::clone(&self.stats));
        let stopped = async { drop(stopped.await) };
        let task = tokio::spawn(run(settings, self.picture.subscribe(), Surroundings::default(), stats, stopped));
        self.task = Some((stop, task));
    }

    async fn stop(&mut self) {
        let (stop, task) = self.task.take().unwrap();
        drop(stop);
        task.await.unwrap();
    }

    fn show(&self, ports: &[u16]) {
        let backend = |port: &u16| Backend { host: "127.0.0.1".into(), port: *port, ..Backend::default() };
        let known = Known { backends: Some(ports.iter().map(backend).collect()), ..Known::default() };
        self.picture.send_replace(vec![known; self.settings.services.len()].into());
    }

    /// All of these answer, no other does, and the task has nothing to do.
    async fn serves(&self, port: SocketAddr, want: &[u16]) -> Status {
        let mut want: Vec<_> = want.iter().map(u16::to_string).collect();
        want.sort();
        eventually_async(WITHIN, async || {
            let mut seen = Vec::new();
            for _ in 0..2 * want.len() {
                seen.extend(get(port).await);
            }
            seen.sort();
            seen.dedup();
            let status = self.stats.status();
            expect(seen == want && status.is_in_step, (seen, status.clone())).map(|()| status)
        })
        .await
    }

    fn master(&self) -> PathBuf {
        self.folder.path().join("haproxy-master.sock")
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Ok(pid) = std::fs::read_to_string(self.folder.path().join(".haproxy.cfg.lobby-pid")) {
            let _ = Command::new("kill").args(["-9", pid.lines().next().unwrap_or_default()]).status();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_managed_haproxy_follows_the_picture_and_survives_what_happens_to_it() {
    let (a, b, c) = (origin().await, origin().await, origin().await);
    let mut run = Run::new();
    let port = run.ports[0];
    run.show(&[a, b]);
    run.start();
    let status = run.serves(port, &[a, b]).await;
    assert_eq!((status.starts, status.reloads, status.reloads_failed), (1, 0, 0), "{status:?}");

    run.show(&[b, c]);
    let status = run.serves(port, &[b, c]).await;
    assert_eq!(status.reloads, 0, "{status:?}");
    let n_done = |kind: &str| status.commands.get(kind).copied().unwrap_or(0);
    assert!(n_done("add server") >= 1 && n_done("del server") >= 1, "{status:?}");

    let killed = Instant::now();
    let pid = status.managed_pid.unwrap().to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    eventually_async(WITHIN, async || expect(run.stats.status().starts == 2, run.stats.status())).await;
    let all = eventually_async(WITHIN, async || get(port).await.ok_or("it does not serve")).await;
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    assert!([b, c].map(|port| port.to_string()).contains(&all));
    let status = run.serves(port, &[b, c]).await;
    assert_eq!((status.reloads, status.crashes), (0, 1), "{status:?}");

    let edit = Socket::new(run.folder.path().join("s"));
    edit.ask(&format!("set server web/127.0.0.1:{b} state maint")).await.unwrap();
    eventually_async(Duration::from_secs(2), async || expect(run.stats.status().repaired >= 1, run.stats.status())).await;
    run.serves(port, &[b, c]).await;

    run.stop().await;
    let before = master::processes(&run.master()).await.unwrap();
    run.show(&[a, b, c]);
    run.start();
    let status = run.serves(port, &[a, b, c]).await;
    assert_eq!((status.starts, status.reloads), (0, 0), "a restart of ours is nothing to it: {status:?}");

    run.stop().await;
    run.settings.services.push(Run::service("db", run.ports[1]));
    run.show(&[a]);
    run.start();
    let status = run.serves(run.ports[1], &[a]).await;
    run.serves(port, &[a]).await;
    assert_eq!((status.reloads, status.starts), (1, 0), "a new service takes one reload: {status:?}");
    let after = master::processes(&run.master()).await.unwrap();
    assert_eq!((after.master, after.n_reloads), (before.master, before.n_reloads + 1));
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_is_cut_while_its_haproxy_starts_costs_no_reload() {
    let a = origin().await;
    let mut run = Run::new();
    run.show(&[a]);
    run.start();
    eventually_async(WITHIN, async || run.stats.status().managed_pid.ok_or("none")).await;
    // As if the program had been killed.
    let (stop, task) = run.task.take().unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    drop(stop);
    let _ = std::fs::remove_file(run.folder.path().join(".haproxy.cfg.lobby-running"));
    run.start();
    let status = run.serves(run.ports[0], &[a]).await;
    assert_eq!((status.starts, status.reloads, status.writes), (0, 0, 0), "{status:?}");
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_nobody_tells_any_more_keep_their_options() {
    let (a, b) = (origin().await, origin().await);
    let mut run = Run::new();
    run.settings.services[0].use_previous_backends = true;
    run.show(&[a]);
    run.start();
    run.serves(run.ports[0], &[a]).await;
    let options = "check inter 2s fall 2 maxconn 50".to_owned();
    let backend =
        |port| Backend { host: "127.0.0.1".into(), port, haproxy_server_options: options.clone(), ..Backend::default() };
    let known = |backends: &[Backend]| Known { backends: Some(backends.into()), ..Known::default() };
    run.picture.send_replace(vec![known(&[backend(a), backend(b)])].into());
    run.serves(run.ports[0], &[a, b]).await;
    run.stop().await;
    let path = run.folder.path().join("haproxy.cfg");
    let file = || std::fs::read_to_string(&path).unwrap();
    let before = file();
    assert_eq!(before.matches("check inter 2s fall 2 maxconn 50").count(), 2, "{before}");
    run.picture.send_replace(vec![known(&[])].into());
    run.start();
    let status = run.serves(run.ports[0], &[a, b]).await;
    assert_eq!((file(), status.writes, status.reloads), (before, 0, 0));
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_managed_haproxy_whose_sockets_are_removed_has_them_again() {
    let (a, b) = (origin().await, origin().await);
    let mut run = Run::new();
    let port = run.ports[0];
    run.show(&[a]);
    run.start();
    let first = run.serves(port, &[a]).await.managed_pid.unwrap();
    std::fs::remove_file(run.folder.path().join("s")).unwrap();
    run.show(&[b]);
    let status = run.serves(port, &[b]).await;
    assert!((status.reloads, status.crashes) == (1, 0) && status.reload_reasons.contains_key("unreachable"), "{status:?}");
    let second = status.managed_pid.unwrap();
    assert_ne!(second, first, "2.6 does not bind a socket again that it has");

    // Another structure, and no master to tell.
    run.stop().await;
    std::fs::remove_file(run.master()).unwrap();
    run.settings.services.push(Run::service("db", run.ports[1]));
    run.show(&[a]);
    run.start();
    let status = run.serves(run.ports[1], &[a]).await;
    assert!((status.reloads, status.starts, status.crashes) == (1, 1, 0) && run.master().exists(), "{status:?}");
    let last = status.managed_pid.unwrap();
    assert_ne!(last, second);
    run.stop().await;

    // No longer managed, and the key of its socket is gone with it.
    run.settings.haproxy.as_mut().unwrap().manage = false;
    run.settings.haproxy.as_mut().unwrap().master_socket = Some("/nowhere/else".into());
    run.start();
    let is_there = || !std::fs::read(format!("/proc/{last}/cmdline")).unwrap_or_default().is_empty();
    eventually_async(WITHIN, async || expect(!is_there(), "it runs")).await;
    run.stop().await;
}

/// Balancing that takes no new servers: those that stand by get addresses, however often servers come and go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_stand_by_take_part_without_a_reload_also_over_a_restart_of_ours() {
    let (a, b, c) = (origin().await, origin().await, origin().await);
    let mut run = Run::new();
    let lines = ["balance static-rr", "server-template slot 4 127.0.0.1:1 check disabled"].map(str::to_owned);
    run.settings.services[0].haproxy.as_mut().unwrap().backend = lines.to_vec();
    let port = run.ports[0];
    run.show(&[a]);
    run.start();
    run.serves(port, &[a]).await;
    for n in 0..30 {
        let all = [a, b, c];
        let shown = if n % 2 == 0 { &all } else { &all[2..] };
        run.show(shown);
        run.serves(port, shown).await;
    }
    run.show(&[b, c]);
    let status = run.serves(port, &[b, c]).await;
    assert_eq!(status.reloads, 0, "{status:?}");
    run.stop().await;
    run.settings.services[0].use_previous_backends = true;
    run.show(&[]);
    run.start();
    let status = run.serves(port, &[b, c]).await;
    assert_eq!((status.reloads, status.writes), (0, 0), "{status:?}");
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_stays_the_same_while_it_ages_wherever_the_clock_is_set() {
    let info = |pid: u32, uptime: u64| format!("Name: HAProxy\nPid: {pid}\nUptime_sec: {uptime}\n");
    let now = Instant::now();
    // The wall clock was set forward by an hour since.
    let last = Seen { process: Process { pid: 7, started: unix_now() - 3700 }, uptime: 100, at: now };
    let is_same = |pid, uptime, after| {
        let seen = Seen::of(&info(pid, uptime), Some(last), now + Duration::from_secs(after)).unwrap();
        seen.process == last.process
    };
    assert!(is_same(7, 100, 0) && is_same(7, 101, 0) && is_same(7, 160, 60));
    assert!(!is_same(8, 100, 0), "another process");
    assert!(!is_same(7, 1, 1), "its number was given to another");
    assert!(!is_same(7, 110, 60), "also if that is older by now");
}

#[tokio::test]
async fn lines_count_only_when_they_are_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("haproxy.cfg");
    let mut joined = Joined::new(&Haproxy { config_file_path: Some(file.clone()), do_writes: true, ..Haproxy::default() });
    let lines = vec![haproxy::Backend { name: "a".into(), ..haproxy::Backend::default() }];
    joined.next = Some(("new\n".into(), lines.clone()));
    std::fs::write(&file, "old\n").unwrap();
    joined.note_lines("next\n").await;
    assert_eq!(joined.lines, None, "refused, or not written yet");
    std::fs::write(&file, "new\n").unwrap();
    joined.note_lines("next\n").await;
    assert_eq!((joined.lines, joined.next), (Some(lines), None));
}
