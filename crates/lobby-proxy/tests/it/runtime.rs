//! Plans and acts against a real HAProxy 2.6: everything through its socket, no reload.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use lobby_proxy::haproxy::{
    Backend, Server,
    act::{Acted, act},
    plan::{Memory, Plan, Why, plan},
    socket::{Ask, Socket, SocketError, read},
    state::{Admin, Running},
};
use lobby_testkit::{
    TempDir, eventually_async, expect,
    load::{self, Connections, Load},
    port,
    process::{Process, find},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// How long anything may take: far more than it does.
const SOON: Duration = Duration::from_secs(20);

struct Proxy {
    socket: Socket,
    port: u16,
    process: Process,
    memory: Memory,
    drain: Duration,
    _folder: TempDir,
}

/// `web` with one server at `first`, `fixed` with static balancing, `foreign` that is not ours.
async fn proxy(first: u16) -> Proxy {
    let folder = TempDir::with_prefix("haproxy-").unwrap();
    let (path, port) = (folder.path().join("stats.sock"), port::free());
    let text = format!(
        "global\n  stats socket {} level admin\n  maxconn 200\n\
         defaults\n  mode http\n  timeout connect 1s\n  timeout client 60s\n  timeout server 60s\n\
         frontend in\n  bind 127.0.0.1:{port}\n  default_backend web\n\
         backend web\n  balance leastconn\n  server first 127.0.0.1:{first}\n\
         backend fixed\n  balance static-rr\n  server first 127.0.0.1:{first} weight 5\n  server-template slot 1 127.0.0.1:1 disabled\n\
         backend foreign\n  server x 127.0.0.1:{first} weight 7\n",
        path.display()
    );
    let file = folder.path().join("haproxy.cfg");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(find("haproxy"));
    command.arg("-db").arg("-f").arg(&file);
    let process = Process::start("haproxy", command);
    let socket = Socket::new(path);
    eventually_async(SOON, || read(&socket)).await;
    Proxy { socket, port, process, memory: Memory::default(), drain: Duration::from_millis(50), _folder: folder }
}

impl Proxy {
    async fn running(&self) -> Running {
        read(&self.socket).await.unwrap()
    }

    async fn hand(&self, line: &str) -> String {
        self.socket.ask(line).await.unwrap()
    }

    async fn plan(&self, wanted: &[Backend], now: Instant) -> Plan {
        plan(wanted, &self.running().await, &self.memory, now, self.drain)
    }

    async fn step(&mut self, wanted: &[Backend], now: Instant) -> Acted {
        let plan = self.plan(wanted, now).await;
        act(&self.socket, &plan, &mut self.memory, now).await
    }

    /// Until nothing is left to do; nothing may need a reload.
    async fn settle(&mut self, wanted: &[Backend]) {
        let end = now() + SOON;
        loop {
            let acted = self.step(wanted, now()).await;
            assert!(acted.trouble.is_none() && acted.failed.is_empty(), "{acted:?}");
            let Some(again) = acted.again(now()) else { break };
            assert!(now() < end, "{acted:?}");
            tokio::time::sleep(again).await;
        }
        let running = self.running().await;
        for backend in wanted {
            assert_eq!(shown(backend, &running), wished(backend), "{}", self.process.log());
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn server(name: &str, host: &str, port: u16) -> Server {
    Server { name: name.into(), host: host.into(), port, ..Server::default() }
}

fn web(servers: &[Server]) -> [Backend; 1] {
    [Backend { name: "web".into(), servers: servers.to_vec(), is_dynamic: true, ..Backend::default() }]
}

type Line = (String, String, u32, Admin, bool);

fn wished(backend: &Backend) -> Vec<Line> {
    let line = |server: &Server| {
        let admin = if server.is_draining { Admin::Drain } else { Admin::Ready };
        let endpoint = format!("{} {}", server.host, server.port);
        (server.name.clone(), endpoint, server.weight.unwrap_or(1), admin, server.is_backup)
    };
    let mut lines: Vec<Line> = backend.servers.iter().filter(|server| !server.is_disabled).map(line).collect();
    lines.sort();
    lines
}

/// Servers that rest are only allowed where they are wanted so.
fn shown(backend: &Backend, running: &Running) -> Vec<Line> {
    let rests = |name: &String| backend.servers.iter().any(|server| server.name == *name && server.is_disabled);
    let there = running.backends[&backend.name].iter().filter(|(name, there)| there.admin != Admin::Maint || !rests(name));
    let line = |(name, there): (&String, &lobby_proxy::haproxy::state::RunningServer)| {
        let endpoint = format!("{} {}", there.address.unwrap(), there.port);
        (name.clone(), endpoint, there.weight, there.admin, there.is_backup)
    };
    there.map(line).collect()
}

#[tokio::test]
async fn two_hundred_changes_need_no_reload() {
    let mut proxy = proxy(port::free()).await;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |n: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % n
    };
    let mut servers: Vec<Server> = Vec::new();
    let pid = proxy.running().await.pid;
    for n in 0..200 {
        let idx = usize::try_from(next(servers.len().max(1) as u64)).unwrap();
        match next(7) {
            // As many come as go.
            0..=2 if servers.len() < 12 => {
                let host = if next(4) == 0 { "::1".into() } else { format!("127.0.0.{}", 1 + next(200)) };
                let options = ["check inter 100ms rise 1", "maxconn 50", ""][usize::try_from(next(3)).unwrap()];
                let (weight, id) = (Some(u32::try_from(1 + next(256)).unwrap()), (next(2) == 0).then_some(1_000 + n));
                let place = 1_000 + u16::try_from(next(50_000)).unwrap();
                let is_backup = next(6) == 0;
                let new = server(&format!("s{n}_a.b:80"), &host, place);
                servers.push(Server { options: options.into(), weight, id, is_backup, ..new });
            }
            0..=2 if !servers.is_empty() => drop(servers.remove(idx)),
            3 if !servers.is_empty() => drop(servers.remove(idx)),
            4 if !servers.is_empty() => servers[idx].weight = Some(u32::try_from(next(257)).unwrap()),
            5 if !servers.is_empty() => servers[idx].port ^= 1,
            _ if !servers.is_empty() => {
                let kind = next(3);
                (servers[idx].is_draining, servers[idx].is_disabled) = (kind == 0, kind == 1);
            }
            _ => {}
        }
        proxy.settle(&web(&servers)).await;
    }
    let running = proxy.running().await;
    assert_eq!((running.pid, running.backends["foreign"]["x"].weight), (pid, 7));
}

#[tokio::test]
async fn what_hands_did_is_mended() {
    let mut proxy = proxy(port::free()).await;
    let a = Server { options: "check inter 1s".into(), weight: Some(8), ..server("a", "127.0.0.1", 1_001) };
    let wanted = web(&[a, server("b", "127.0.0.2", 1_002)]);
    proxy.settle(&wanted).await;
    let hands = [
        "set server web/a state maint",
        "set server web/a state drain;set server web/b weight 200",
        "set server web/b addr 127.0.0.9 port 9",
        "add server web/stray 127.0.0.1:1;enable server web/stray",
        "set server web/b state maint;del server web/b",
        "set server web/a state maint;set server web/b state maint",
        "disable health web/a",
        "set server foreign/x weight 70;set server foreign/x state drain",
    ];
    for hand in hands {
        proxy.hand(hand).await;
        proxy.settle(&wanted).await;
        assert!(!proxy.running().await.backends["web"]["a"].lacks_check, "{hand}");
    }
    // What is not ours stays as hands left it.
    let x = &proxy.running().await.backends["foreign"]["x"];
    assert_eq!((x.weight, x.admin), (70, Admin::Drain));
}

#[tokio::test]
async fn static_balancing_needs_a_slot_or_a_reload() {
    let mut proxy = proxy(port::free()).await;
    let first = proxy.running().await.backends["fixed"]["first"].port;
    let first = Server { weight: Some(5), ..server("first", "127.0.0.1", first) };
    let mut wanted = web(&[first, server("new", "127.0.0.1", 1_001), server("more", "127.0.0.1", 1_002)]);
    (wanted[0].name, wanted[0].is_dynamic) = ("fixed".into(), false);
    let acted = proxy.step(&wanted, now()).await;
    let failed: Vec<_> = acted.failed.iter().map(|reload| (reload.server.as_deref(), &reload.why)).collect();
    assert_eq!(failed, [(Some("more"), &Why::NoPlace)]);
    let slot = proxy.running().await.backends["fixed"]["slot1"].clone();
    assert_eq!((slot.port, slot.admin), (1_001, Admin::Ready));
    // It stays in its slot.
    assert!(proxy.plan(&wanted, now()).await.actions.is_empty());
    // The real words of a refusal.
    wanted[0].is_dynamic = true;
    let acted = proxy.step(&wanted, now()).await;
    let why = "Backend must use a dynamic load balancing to support dynamic servers.";
    assert_eq!(acted.failed.len(), 1, "{acted:?}");
    assert_eq!(acted.failed[0].why, Why::Refused(why.into()));
    let unknown = web(&[]).map(|backend| Backend { name: "other".into(), ..backend });
    assert_eq!(proxy.plan(&unknown, now()).await.reload[0].why, Why::BackendUnknown);
}

/// A server that answers a request when it is told to.
async fn slow(host: &str) -> (u16, mpsc::Sender<()>) {
    let listener = TcpListener::bind((host, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, mut told) = mpsc::channel::<()>(1);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // A check only connects.
            if !matches!(stream.read(&mut [0; 1_024]).await, Ok(1..)) {
                continue;
            }
            if told.recv().await.is_none() {
                break;
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    });
    (port, tell)
}

/// Sends a request through the proxy; waits until the server has it.
async fn request(proxy: &Proxy) -> TcpStream {
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    eventually_async(SOON, || async {
        let busy = proxy.running().await.backends["web"]["first"].n_busy;
        expect(busy == Some(1), busy)
    })
    .await;
    client
}

async fn answer(mut client: TcpStream) -> String {
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn an_added_server_is_checked_and_serves() {
    let (port, tell) = slow("localhost").await;
    let mut proxy = proxy(port::free()).await;
    let added = Server { options: "check inter 50ms".into(), weight: Some(3), ..server("b", "localhost", port) };
    let backend = Backend { server_defaults: "inter 1s enabled init-addr last,libc,none".into(), ..web(&[added])[0].clone() };
    let acted = proxy.step(std::slice::from_ref(&backend), now()).await;
    assert_eq!((acted.done.len(), acted.failed.len()), (1, 0), "{acted:?}");
    let b = proxy.running().await.backends["web"]["b"].clone();
    assert!(!b.lacks_check && b.admin == Admin::Ready && b.is_up, "{b:?}");
    // The first one goes: all requests reach the new one.
    while proxy.step(std::slice::from_ref(&backend), now()).await.again(now()).is_some() {}
    tell.send(()).await.unwrap();
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(answer(client).await.ends_with("\r\n\r\nok"));
}

#[tokio::test]
async fn requests_end_before_a_server_is_deleted() {
    let (port, tell) = slow("127.0.0.1").await;
    let mut proxy = proxy(port).await;
    let wanted = web(&[server("b", "127.0.0.1", 1_001)]);
    let client = request(&proxy).await;
    // b comes; first drains; its time ends; it cannot be deleted yet.
    let (start, mut time) = (now(), Duration::ZERO);
    while proxy.running().await.backends["web"]["first"].admin != Admin::Maint {
        let acted = proxy.step(&wanted, start + time).await;
        assert!(acted.failed.is_empty(), "{acted:?}");
        time += proxy.drain;
    }
    let acted = proxy.step(&wanted, start + time).await;
    assert_eq!((acted.done.len(), acted.waiting.len()), (0, 1), "{acted:?}");
    assert_eq!(proxy.plan(&wanted, start + time).await.summary(), "1 × del server, 0 reloads");
    tell.send(()).await.unwrap();
    assert!(answer(client).await.ends_with("\r\n\r\nok"));
    proxy.settle(&wanted).await;
}

#[tokio::test]
async fn a_request_without_end_is_cut_at_last() {
    let (port, _tell) = slow("127.0.0.1").await;
    let mut proxy = proxy(port).await;
    proxy.drain = Duration::ZERO;
    let wanted = web(&[server("b", "127.0.0.1", 1_001)]);
    let client = request(&proxy).await;
    let start = now();
    for _ in 0..2 {
        let acted = proxy.step(&wanted, start).await;
        assert!(acted.failed.is_empty(), "{acted:?}");
    }
    assert!(proxy.running().await.backends["web"].contains_key("first"));
    let later = start + lobby_proxy::haproxy::plan::DELETE_WITHIN;
    let acted = proxy.step(&wanted, later).await;
    assert_eq!(acted.done.len(), 1, "{acted:?}");
    assert!(!answer(client).await.contains("200 OK"));
    proxy.settle(&wanted).await;
}

#[tokio::test]
async fn a_process_that_is_gone_is_told() {
    let mut proxy = proxy(port::free()).await;
    let wanted = web(&[server("b", "127.0.0.1", 1_001), server("c", "127.0.0.1", 1_002)]);
    let plan = proxy.plan(&wanted, now()).await;
    proxy.process.kill();
    let acted = act(&proxy.socket, &plan, &mut proxy.memory, now()).await;
    assert!(matches!(acted.trouble, Some(SocketError::Io { .. })) && acted.done.is_empty(), "{acted:?}");
}

/// Answers each request with its name, for as long as the test runs.
fn named(name: &'static str) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || load::serve(listener, name, Duration::ZERO));
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_swaps_under_load_without_a_reload_and_no_request_fails() {
    let (blue, green) = (named("blue"), named("green"));
    let mut proxy = proxy(blue).await;
    let swapped = |is_green: bool| {
        let backup = |server: Server, is_backup| Server { options: "check inter 200ms".into(), is_backup, ..server };
        web(&[backup(server("blue", "127.0.0.1", blue), is_green), backup(server("green", "127.0.0.1", green), !is_green)])
    };
    proxy.settle(&swapped(false)).await;
    for connections in [Connections::New, Connections::Kept] {
        let load = Load::start(([127, 0, 0, 1], proxy.port).into(), connections, 300);
        for is_green in [true, false, true, false, true] {
            // Refuses whatever would take a reload.
            proxy.settle(&swapped(is_green)).await;
            // Enough requests for each of the 16 clients to have met it.
            let enough = load.n_sent() + 100;
            eventually_async(SOON, async || expect(load.n_sent() >= enough, load.n_sent())).await;
        }
        let report = load.stop();
        assert!(
            report.failed.is_empty() && report.answered.len() == 2,
            "{connections:?}: {:?} {:?}",
            report.failed,
            report.answered
        );
        proxy.settle(&swapped(false)).await;
    }
}
