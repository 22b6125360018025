//! Random and mutated datagrams at a daemon's gossip port, random and mutated requests at its API: nothing crashes,
//! memory stays flat, the counters add up.
//!
//! Forged members of a cluster without a key may name any address, and the daemon would probe it. So all of this runs in
//! a network namespace that has nothing but a loopback interface (`unshare --net`, which wants root).

use std::{
    env, fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream, UdpSocket},
    process::Command,
    time::Duration,
};

use lobby_gossip::{Key, Keyring};
use lobby_testkit::{
    daemon::{Builder, Daemon},
    eventually, expect,
};

use crate::{
    host::{Metrics, lobbyd, metric, mib, root},
    random::Random,
};

/// Told to the second start of this program: it is inside the namespace.
const INSIDE: &str = "LOBBY_BENCH_INSIDE";

/// Datagrams sent before the counters must have caught up: they fit into the socket's buffer.
const BURST: usize = 100;

/// Memory is shown after each of so many parts. The first fills buffers and tables.
const PARTS: usize = 4;

/// Growth after the first part that still counts as flat.
const FLAT_MIB: f64 = 4.0;

/// Base64 of 32 bytes.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

const REQUESTS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /?labels=a,b&prefixes=c%3A HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n",
    "GET /v1/discoveries?prefixes=x HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: W/\"1-2\"\r\n\r\n",
    "GET /v1/resolve?label=a%20b HTTP/1.0\r\n\r\n",
    "GET /v1/prometheus/x HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v1/nodes HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "POST /v1/labels HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nflood:one",
    "DELETE /v1/labels HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nflood:one\r\n0\r\n\r\n",
    "POST /v1/labels HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\nOrigin: http://evil.example\r\n\r\nflood:x",
];

pub(crate) fn run(count: u32) {
    let interfaces = fs::read_to_string("/proc/net/dev").expect("/proc is mounted");
    if env::var_os(INSIDE).is_none() {
        // Built outside, where crates can be fetched.
        return enter_namespace(&lobbyd(), count);
    }
    assert!(interfaces.lines().skip(2).all(|line| line.trim().starts_with("lo:")), "not alone:\n{interfaces}");
    let (program, count) = (lobbyd(), count as usize);
    println!("| what comes in | RSS MiB before | after each quarter | counted |\n|---|---|---|---|");
    datagrams(Daemon::build(&program, "open"), &[], count);
    let key = KEY.parse().expect("base64 of 32 bytes");
    datagrams(Daemon::build(&program, "sealed").env("GOSSIP_KEY", KEY), &[key], count);
    requests(Daemon::build(&program, "api").start(), count);
}

fn enter_namespace(program: &str, count: u32) {
    let this = env::current_exe().expect("this program has a path");
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", "ip link set lo up && exec \"$0\" flood \"$1\""]).arg(this).arg(count.to_string());
    let status = command.env(INSIDE, "1").env("LOBBYD", program).status().expect("unshare can be started");
    assert!(status.success(), "the flood failed: {status}");
}

/// Plaintexts that a real engine sent, from the corpus of the fuzz target.
fn recorded() -> Vec<Vec<u8>> {
    let path = root().join("fuzz/corpus/gossip_datagram/conversation");
    let script = fs::read(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    let (mut rest, mut found) = (&script[..], Vec::new());
    while let [_, low, high, tail @ ..] = rest {
        let (payload, tail) = tail.split_at(usize::from(u16::from_le_bytes([*low, *high])));
        found.push(payload.to_vec());
        rest = tail;
    }
    found
}

fn datagrams(builder: Builder, keys: &[Key], count: usize) {
    let mut daemon = builder.env("DRIVER", "gossip").start();
    let preamble = Keyring::new("lobby", keys).expect("one key").preamble();
    let (recorded, mut random) = (recorded(), Random(1));
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is up");
    let counted = |verdict| metric(&daemon, "lobby_packets_received_total", &["kind=\"datagram\"", verdict]);
    let (before, mut after) = (mib(&daemon.process), Vec::new());
    let mut sent = 0;
    for part in 1..=PARTS {
        while sent < count * part / PARTS {
            for _ in 0..BURST.min(count * part / PARTS - sent) {
                let bytes = datagram(&mut random, &preamble, &recorded, sent as u64);
                socket.send_to(&bytes, daemon.gossip()).expect("the daemon listens");
                sent += 1;
            }
            let all = || (counted("verdict"), sent);
            eventually(Duration::from_secs(10), || expect(all().0 >= all().1 as u64, all()));
        }
        after.push(mib(&daemon.process));
    }
    let kind = if keys.is_empty() { "datagrams without a key" } else { "datagrams with a key" };
    let (all, used) = (counted("verdict"), counted("verdict=\"ok\""));
    row(&format!("{count} {kind}"), before, &after, &format!("{all}, of them {used} good"));
    assert_eq!(all, count as u64, "each datagram is counted once");
    assert_eq!(used == 0, !keys.is_empty(), "without the key nothing is used");
    alive(&mut daemon);
}

fn datagram(random: &mut Random, preamble: &[u8], recorded: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut plaintext = match random.below(4) {
        0 => return random.bytes(1400),
        1 => random.bytes(400),
        2 => random.choose(recorded).clone(),
        _ => {
            let good = random.choose(recorded);
            random.mutated(good)
        }
    };
    // The sender's generation, so that not all of them are replays.
    if let Some(generation) = plaintext.get_mut(16..24) {
        generation.copy_from_slice(&(number + 8).to_le_bytes());
    }
    [preamble, &plaintext].concat()
}

fn requests(mut daemon: Daemon, count: usize) {
    let mut random = Random(2);
    let (first, before, mut after) = (Metrics::of(&daemon), mib(&daemon.process), Vec::new());
    let mut seen = 0;
    for part in 1..=PARTS {
        for _ in count * (part - 1) / PARTS..count * part / PARTS {
            let good = random.choose(REQUESTS).as_bytes();
            let bytes = match random.below(4) {
                0 => random.bytes(600),
                1 => good.to_vec(),
                _ => random.mutated(good),
            };
            seen += n_answers(&exchange(daemon.http, &bytes));
        }
        after.push(mib(&daemon.process));
    }
    let last = Metrics::of(&daemon);
    // The first reading of the metrics is a connection and an answer too.
    let more = |name, label| last.sum(name, &[label]) - first.sum(name, &[label]);
    let connections = more("lobby_http_connections_accepted_total", "") - 1;
    let refused = more("lobby_http_refused_total", "malformed") + more("lobby_http_refused_total", "header_too_large");
    let answers = more("lobby_http_requests_total", "") + refused - 1;
    row(&format!("{count} requests"), before, &after, &format!("{connections} connections, {answers} answers; {seen} seen"));
    assert_eq!((connections, answers), (count as u64, seen as u64), "each connection and each answer is counted once");
    alive(&mut daemon);
}

/// Sends the bytes, closes our half, and reads all that comes back.
fn exchange(daemon: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(daemon).expect("the daemon listens");
    stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a timeout that is not zero");
    // The daemon may have refused what it read so far and closed; its answer, or none, is what counts.
    let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn n_answers(bytes: &[u8]) -> usize {
    bytes.windows(9).filter(|nine| *nine == b"HTTP/1.1 " || *nine == b"HTTP/1.0 ").count()
}

fn row(what: &str, before: f64, after: &[f64], counted: &str) {
    let shown: Vec<_> = after.iter().map(|mib| format!("{mib:.1}")).collect();
    println!("| {what} | {before:.1} | {} | {counted} |", shown.join(", "));
    let growth = after[after.len() - 1] - after[0];
    assert!(growth <= FLAT_MIB, "memory grew by {growth:.1} MiB after the first quarter");
}

/// Still the same process, still answering, and it ends as it should.
fn alive(daemon: &mut Daemon) {
    assert_eq!(daemon.get("/v1/discovery").status, 200);
    let log = daemon.process.log();
    assert!(!log.contains("panicked"), "something panicked:\n{log}");
    daemon.stop(Duration::from_secs(5));
}
