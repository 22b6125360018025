//! Random and damaged bytes at a running agent, and the doors of its API.

use std::{
    io::Write,
    net::{TcpStream, UdpSocket},
    time::Duration,
};

use lobby_testkit::{daemon::Daemon, eventually, expect, http};

use crate::fleet::{SOON, daemon, is_warm, lists, metric};

/// A small generator whose seed is printed by the test that uses it.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let n_bytes = self.next() as usize % most;
        (0..n_bytes).map(|_| self.next() as u8).collect()
    }
}

const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// Datagrams that were counted as anything but good.
fn refused(agent: &Daemon) -> f64 {
    let text = agent.get("/metrics").text();
    let lines = text.lines().filter(|line| line.starts_with("lobby_packets_received_total{") && line.contains("datagram"));
    lines.filter(|line| !line.contains("\"ok\"")).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// A datagram of a real agent, to be damaged: what it sends to a member that says to be at our socket.
fn captured(agent: &Daemon) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let here = socket.local_addr().unwrap();
    let _joiner = daemon("joiner").env("GOSSIP_JOIN", agent.gossip()).env("GOSSIP_ADVERTISE", here).start();
    let mut buffer = [0; 2048];
    let n_bytes = socket.recv(&mut buffer).unwrap();
    buffer[..n_bytes].to_vec()
}

#[test]
fn ten_thousand_bad_datagrams_are_counted_and_forgotten() {
    let seed = 0x10bb_1e5d;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    let agent = daemon("a").env("GOSSIP_KEY", KEY).start();
    let peer = daemon("b").env("GOSSIP_KEY", KEY).env("GOSSIP_JOIN", agent.gossip()).start();
    lists(&agent, &["a", "b"]);
    // Of a keyless cluster of the same name: the envelope is right, the seal is not.
    let good = captured(&daemon("keyless").start());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(agent.gossip()).unwrap();
    let mut bad = |n: usize| {
        let mut bytes = good.clone();
        if n.is_multiple_of(2) {
            bytes = random.bytes(1500);
        } else {
            for _ in 0..=random.next() % 8 {
                let at = random.next() as usize % bytes.len();
                bytes[at] = random.next() as u8;
            }
            bytes.truncate(random.next() as usize % (bytes.len() + 1));
        }
        bytes
    };
    // Warm up the allocator before memory is compared.
    for n in 0..500 {
        let _ = socket.send(&bad(n));
    }
    let (memory, before) = (agent.process.memory(), refused(&agent));
    let mut sent = 0;
    for n in 0..10_000 {
        sent += usize::from(socket.send(&bad(n)).is_ok());
        if n % 50 == 0 {
            // Let it read, so that the kernel drops none.
            assert_eq!(agent.get("/v1/health").status, 200);
        }
    }
    eventually(SOON, || {
        let seen = refused(&agent) - before;
        expect(seen >= 0.99 * sent as f64, seen)
    });
    let grown = agent.process.memory().saturating_sub(memory);
    assert!(grown < 4 << 20, "memory grew by {grown} bytes");
    lists(&agent, &["a", "b"]);
    lists(&peer, &["a", "b"]);
}

#[test]
fn ten_thousand_bad_requests_leave_the_agent_as_it_was() {
    let seed = 0x5eed_cafe;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    let agent = daemon("a").env("LABELS", "x:1").start();
    is_warm(&agent);
    let good = b"GET /v1/?labels=a,b&prefixes=c HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    let mut send = |n: usize| {
        for idx in 0..n {
            let bytes = if idx % 2 == 0 {
                random.bytes(400)
            } else {
                let mut bytes = good.to_vec();
                for _ in 0..=random.next() % 4 {
                    let at = random.next() as usize % bytes.len();
                    bytes[at] = random.next() as u8;
                }
                bytes
            };
            let mut stream = TcpStream::connect(agent.http).unwrap();
            // It may have been closed on us already.
            let _ = stream.write_all(&bytes);
        }
    };
    send(500);
    let memory = agent.process.memory();
    let before = metric(&agent, "lobby_http_connections_accepted_total");
    send(10_000);
    let accepted = || metric(&agent, "lobby_http_connections_accepted_total") - before;
    eventually(SOON, || expect(accepted() >= 10_000.0, accepted()));
    let grown = agent.process.memory().saturating_sub(memory);
    assert!(grown < 8 << 20, "memory grew by {grown} bytes");
    assert_eq!(agent.hosts(), ["a"]);
}

#[test]
fn web_pages_of_others_can_neither_read_nor_drive_the_api() {
    let agent = daemon("a").env("ALLOWED_HOSTS", "lobby.example.com").start();
    let status = |method: &str, path: &str, headers: &[(&str, &str)]| agent.request(method, path, headers, "x:1").status;
    assert_eq!(status("POST", "/v1/labels", &[("Sec-Fetch-Site", "cross-site")]), 403);
    assert_eq!(status("POST", "/v1/labels", &[("Origin", "http://evil.example")]), 403);
    assert_eq!(status("PUT", "/v1/agent/leave", &[("Origin", "null")]), 403);
    // DNS rebinding: the attacker's own name leads to 127.0.0.1, and the browser takes it for the same origin.
    let rebound = [("Host", "evil.example"), ("Origin", "http://evil.example"), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(status("GET", "/", &rebound), 403);
    assert_eq!(status("GET", "/", &[("Host", "lobby.example.com")]), 200);
    assert_eq!(status("GET", "/", &[("Host", "localhost:1313")]), 200);
    assert_eq!(agent.hosts(), ["a"], "it has not left");
}

#[test]
fn the_token_covers_everything_but_a_short_health() {
    let agent = daemon("a").env("TOKEN", "s3cret").start();
    for path in ["/", "/v1/", "/v1/discovery", "/v1/nodes", "/metrics", "/v1/prometheus/x", "/v1/resolve?label=x"] {
        let answer = agent.get(path);
        assert_eq!((answer.status, answer.json()["message"].as_str()), (403, Some("access denied")), "{path}");
    }
    let health = agent.get("/v1/health").json();
    assert_eq!(health.as_object().unwrap().keys().collect::<Vec<_>>(), ["ok", "warm"]);
    for value in ["Token s3cret", "s3cret"] {
        assert_eq!(agent.request("GET", "/", &[("Authorization", value)], "").status, 200);
    }
    assert_eq!(agent.request("GET", "/", &[("Authorization", "Token s3cre")], "").status, 403);
}

#[test]
fn without_the_api_metrics_and_health_are_left() {
    let agent = daemon("a").env("DISABLE_API", "true").start();
    assert_eq!(agent.get("/").status, 404);
    assert_eq!(agent.get("/v1/health").status, 200);
    assert!(agent.get("/metrics").text().contains("lobby_revision"));
}

#[test]
fn a_slow_client_and_a_huge_body_are_turned_away() {
    let agent = daemon("a").start();
    let head = format!("POST /v1/labels HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", 1 << 30);
    let answer = http::parse(&http::raw(agent.http, head.as_bytes()).unwrap()).unwrap();
    assert_eq!(answer.status, 413);
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(64 << 10));
    let answer = http::parse(&http::raw(agent.http, long.as_bytes()).unwrap()).unwrap();
    assert_eq!(answer.status, 431);
    // Its head never ends: it is told so and the connection closed.
    let slow = http::raw(agent.http, b"GET / HTTP/1.1\r\nHost: local").unwrap();
    assert_eq!(http::parse(&slow).unwrap().status, 408);
    eventually(Duration::from_secs(5), || expect(agent.get("/v1/health").status == 200, "not serving"));
}
