//! What connections and waiting requests weigh: bytes on the heap, counted by the allocator of this whole program.
//!
//! A program of its own with one test, so that nothing else allocates beside it. Its clients are sockets without any heap.
//! Not here: the same in a whole agent, with the time that the answers take (`bench watchers`).

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use lobby_core::{
    catalog::{Catalog, Snapshot},
    id::{Generation, NodeId, Revision},
    instance::Instance,
    local::LocalRecord,
    port::{CatalogReader, Commands, external::ExternalHandle, gossip::GossipHandle, registry::RegistryHandle},
    stats::AgentStats,
    time::{Moment, Now, WallSecond},
};
use lobby_http::{App, Config, Handles, serve};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::yield_now,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// Each has a socket at either end, and 1 024 open files are what a process may have without asking.
const CLIENTS: usize = 400;

/// Most bytes of a connection that is idle, of which the task and what the runtime keeps of the socket are most: 1 984 were
/// counted, of which hyper's buffers alone would be 16 384.
const CONNECTION: usize = 2560;

/// Most bytes of a waiting request beyond its connection: 627 were counted, of which 116 are its head.
const WAIT: usize = 800;

/// What the tables of those who wait, the timers and the reactor grow by, beyond what is counted for each.
const SLACK: usize = 64 << 10;

const PATH: &str = "/v1/health/service/web";

/// How often all are answered and ask again.
const ROUNDS: u16 = 3;

const NOW: Now = Now { moment: Moment::from_micros(100_000_000), wall: WallSecond(1_630_612_478) };

/// An agent's HTTP side in this task's runtime, whose only node offers `web`.
struct Running {
    addr: SocketAddr,
    catalog: Catalog,
    own: LocalRecord,
    snapshots: watch::Sender<Arc<Snapshot>>,
}

async fn start() -> Running {
    let mut own = LocalRecord::new(NodeId::from_bytes([1; 16]), Generation(1), "here".parse().unwrap());
    own.commit(NOW.moment);
    let mut catalog = Catalog::new(Revision(1), [], own.record().clone(), true, Duration::ZERO, NOW);
    let (snapshots, receiver) = watch::channel(catalog.poll_snapshot().unwrap());
    let handles = Handles {
        reader: CatalogReader::new(receiver),
        commands: Commands::new(mpsc::channel(1).0),
        gossip: GossipHandle::none(),
        registry: RegistryHandle::none(),
        externals: ExternalHandle::none(),
        agent: Arc::new(AgentStats::default()),
        exchanges: Vec::new(),
        templates: None,
        dns: None,
        proxy: None,
        proxy_counts: None,
        log: None,
        clock: Arc::new(|| NOW),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, App::new(Config::default(), handles), std::future::pending()));
    Running { addr, catalog, own, snapshots }
}

impl Running {
    /// The service moves to another port.
    fn change(&mut self, port: u16) {
        self.own.set_instance(&Instance { port, ..Instance::new("a".parse().unwrap(), "web".parse().unwrap()) }).unwrap();
        self.catalog.set_local(self.own.commit(NOW.moment).unwrap());
        self.snapshots.send_replace(self.catalog.poll_snapshot().unwrap());
    }
}

/// Bytes that are allocated now.
fn used() -> usize {
    let stats = INSTRUMENTED_SYSTEM.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

fn ask(client: &TcpStream, path: &str) {
    ask_and(client, path, "");
}

/// Asks, and sends this behind it in one piece.
fn ask_and(mut client: &TcpStream, path: &str, behind: &str) {
    let text = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:1313\r\nContent-Length: 0\r\n\r\n{behind}");
    client.write_all(text.as_bytes()).unwrap();
}

/// The next answer, which has a length.
async fn answer(mut client: &TcpStream) -> String {
    let (mut text, mut bytes) = (String::new(), [0; 4096]);
    loop {
        match client.read(&mut bytes) {
            Ok(0) => panic!("the end after {text:?}"),
            Ok(read) => text.push_str(std::str::from_utf8(&bytes[..read]).unwrap()),
            Err(err) if err.kind() == ErrorKind::WouldBlock => yield_now().await,
            Err(err) => panic!("{err}"),
        }
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && field(head, "content-length") == body.len() as u64
        {
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
            return text;
        }
    }
}

/// The number of a header.
fn field(head: &str, name: &str) -> u64 {
    let value = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {name} in {head}")).parse().unwrap()
}

/// Waits until this many requests are blocked, as the metrics say.
async fn blocked(metrics: &TcpStream, n: usize) {
    let want = format!("\nlobby_http_waits {n}\n");
    loop {
        ask(metrics, "/metrics");
        if answer(metrics).await.contains(&want) {
            return;
        }
    }
}

#[tokio::test]
async fn a_waiting_request_costs_its_head_and_what_it_waits_for() {
    let mut running = start().await;
    let connect = || {
        let client = TcpStream::connect(running.addr).unwrap();
        client.set_nonblocking(true).unwrap();
        client
    };
    let metrics = connect();
    blocked(&metrics, 0).await;
    let (mut clients, mut index) = (Vec::with_capacity(CLIENTS), 0);
    let before = used();
    for _ in 0..CLIENTS {
        let client = connect();
        ask(&client, PATH);
        index = field(&answer(&client).await, "x-consul-index");
        clients.push(client);
    }
    let idle = used();
    assert!(idle - before <= CLIENTS * CONNECTION + SLACK, "{} bytes a connection", (idle - before) / CLIENTS);
    let mut full = idle;
    for round in 1..=ROUNDS {
        for client in &clients {
            ask(client, &format!("{PATH}?passing&index={index}&wait=10m"));
        }
        blocked(&metrics, CLIENTS).await;
        full = used();
        let each = full.saturating_sub(idle) / CLIENTS;
        println!("{} bytes a connection, {each} a waiting request", (idle - before) / CLIENTS);
        assert!(full <= idle + CLIENTS * WAIT + SLACK, "{each} bytes a request in round {round}");
        running.change(round);
        for client in &clients {
            index = field(&answer(client).await, "x-consul-index");
        }
        let rest = used();
        assert!(rest <= idle + SLACK, "{} bytes are left of a request in round {round}", (rest - idle) / CLIENTS);
    }
    assert!(full > idle, "what waits was counted");
    for client in &clients {
        ask_and(client, &format!("{PATH}?passing&index={index}&wait=10m"), "GET");
    }
    blocked(&metrics, CLIENTS).await;
    let each = used().saturating_sub(idle) / CLIENTS;
    assert!(each <= WAIT + SLACK / CLIENTS, "{each} bytes a request with the first bytes of the next one");
}
