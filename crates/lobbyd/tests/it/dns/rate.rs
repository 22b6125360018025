//! DNS_RATE, for a client on another host: made-up names over TCP wait, datagrams are sent to TCP or dropped, what is at hand
//! is answered.
//!
//! Whatever time it takes: a network gets its rate at once and again for each second that passes, and no more. That our own
//! machine is not counted and the arithmetic of rates are in `lobby-dns`.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use lobby_testkit::{TempDir, bridge::Bridge, eventually, netns, process::Process};

use super::floods::made_up;
use crate::{catalog::now, fleet::SOON};

/// A second: so little that no machine is too slow to pass it.
const RATE: u64 = 1;

/// Made-up names that are asked for at once.
const QUESTIONS: u16 = 40;

/// At hand, when they are asked for once more.
const AGAIN: u16 = 200;

/// An agent on a host, and another host.
struct Hosts {
    bridge: Bridge,
    folder: TempDir,
    agent: Process,
    at: SocketAddr,
}

impl Hosts {
    fn start() -> Self {
        let (bridge, folder) = (Bridge::new(2), TempDir::new().unwrap());
        let host = &bridge.hosts()[0];
        let mut command = host.command(env!("CARGO_BIN_EXE_lobbyd").as_ref());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOSTNAME", "n1");
        for (name, file) in [("SOCKET", "sock"), ("DATA_DIR", "data"), ("LABELS_PATH", "labels")] {
            command.env(name, folder.path().join(file));
        }
        command.env("GOSSIP_ADDR", "127.0.0.1:1314").env("DNS_ADDR", "0.0.0.0:8600").env("DNS_RATE", RATE.to_string());
        let (agent, lines) = Process::start_with_lines("n1", command);
        let ready = lines.recv_timeout(SOON).unwrap_or_default();
        assert!(ready.contains("\"dns\":\"0.0.0.0:8600\""), "{ready}\n{}", agent.log());
        let at = (host.ip, 8600).into();
        Self { bridge, folder, agent, at }
    }

    fn metric(&self, series: &str) -> u64 {
        let answer = netns::request(&self.folder.path().join("sock"), "GET", "/metrics", "").unwrap();
        let text = answer.text();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series}: {}", self.agent.log())).parse().unwrap()
    }

    fn limited(&self, what: &str) -> u64 {
        self.metric(&format!("lobby_dns_limited_total{{what=\"{what}\"}}"))
    }
}

/// Most questions of one network that are within the rate from one look at the clock to a later one.
fn within_the_rate(since: Duration) -> u64 {
    RATE + RATE * (now() - since).as_secs()
}

/// Asks all at once on one connection, and takes all answers.
fn ask(stream: &mut TcpStream, questions: impl Iterator<Item = u16>) {
    let mut frames = Vec::new();
    let mut ids = Vec::new();
    for n in questions {
        let message = made_up(n);
        frames.extend_from_slice(&u16::try_from(message.len()).unwrap().to_be_bytes());
        frames.extend_from_slice(&message);
        ids.push(n);
    }
    stream.write_all(&frames).unwrap();
    for id in ids {
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer[..2], id.to_be_bytes());
        assert_eq!(answer[2] & 0x82, 0x80, "an answer, and not cut");
    }
}

#[test]
fn what_has_to_be_made_waits_above_the_rate_and_what_is_at_hand_does_not() {
    let hosts = Hosts::start();
    let mut stream = hosts.bridge.hosts()[1].within(|| TcpStream::connect(hosts.at).unwrap());
    stream.set_read_timeout(Some(SOON)).unwrap();
    let begin = now();
    ask(&mut stream, 0..QUESTIONS);
    let (waited, within) = (hosts.limited("wait"), within_the_rate(begin));
    assert!(waited > 0 && waited + within >= QUESTIONS.into(), "{waited} waited, {within} were within the rate");
    assert!(waited <= u64::from(QUESTIONS) - RATE, "{waited}: the first ones need not wait");

    let counts = || ["hit", "made"].map(|result| hosts.metric(&format!("lobby_dns_cache_total{{result=\"{result}\"}}")));
    let before = counts();
    ask(&mut stream, std::iter::repeat_n(QUESTIONS - 1, AGAIN.into()));
    let after = counts();
    let [hits, made] = [after[0] - before[0], after[1] - before[1]];
    assert_eq!(hits + made, u64::from(AGAIN));
    // An answer is made anew after some seconds.
    assert!(hosts.limited("wait") - waited <= made && hits > made, "{hits} {made}");
}

#[test]
fn datagrams_above_the_rate_are_sent_to_tcp_and_dropped_in_turn() {
    let hosts = Hosts::start();
    let socket = hosts.bridge.hosts()[1].within(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
    // Nothing is taken from any other address.
    socket.connect(hosts.at).unwrap();
    socket.set_nonblocking(true).unwrap();
    let begin = now();
    (0..QUESTIONS).for_each(|n| _ = socket.send(&made_up(n)).unwrap());
    let (mut answered, mut again) = (0, 0);
    let dropped = eventually(SOON, || {
        let mut answer = [0; 2048];
        while let Ok(len) = socket.recv(&mut answer) {
            assert!(len > 12 && answer[2] & 0x80 != 0, "an answer");
            *(if answer[2] & 0x02 == 0 { &mut answered } else { &mut again }) += 1;
        }
        let dropped = hosts.limited("drop");
        if answered + again + dropped == u64::from(QUESTIONS) { Ok(dropped) } else { Err((answered, again, dropped)) }
    });
    let within = within_the_rate(begin);
    assert!((RATE..=within).contains(&answered), "{answered} of {within} within the rate");
    assert_eq!(hosts.limited("again"), again);
    assert!(again > 0 && (again == dropped || again == dropped + 1), "{again} {dropped}");
}
