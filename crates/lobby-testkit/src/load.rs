//! Requests at a steady rate, whatever becomes of them, and each failure counted: what a proxy's clients would feel.
//!
//! The rate is that of arrivals (an open loop): a request that is late because the one before it hung counts from when it was
//! due. Nothing is tried again. Not here: what is proxied, and what is changed meanwhile.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Clients that share the rate: with answers of 5 ms, 16 carry 3 000 a second.
const CLIENTS: u32 = 16;

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// How clients use connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// A new one for each request.
    New,
    /// Each client keeps its own; one that the proxy closed while it was idle is opened anew and counted apart.
    Kept,
}

/// Requests under way.
#[derive(Debug)]
pub struct Load {
    clients: Vec<JoinHandle<Report>>,
    stop: Arc<AtomicBool>,
    n_sent: Arc<AtomicU64>,
}

/// What became of them.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Answered with 200, by the body, which names the server.
    pub answered: BTreeMap<String, u64>,
    /// Not answered, or with another status, by why.
    pub failed: BTreeMap<String, u64>,
    /// Kept connections that were closed while idle, found at the next request: a client's to repeat, if it may.
    pub closed_idle: u64,
    /// The last requests that each server answered.
    pub last: BTreeMap<String, Last>,
    times: Vec<Duration>,
}

/// The latest of the requests that a server answered. A proxy may try one that it had in hand again much later, so the last
/// answer need not be that of the last request.
#[derive(Debug, Clone, Copy)]
pub struct Last {
    /// When one was last sent.
    pub sent: Instant,
    /// When one was last answered.
    pub answered: Instant,
}

impl Load {
    /// Asks `address` for `/` so many times a second until it is stopped.
    pub fn start(address: SocketAddr, connections: Connections, per_second: u32) -> Self {
        let (stop, n_sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (begin, step) = (now(), Duration::from_secs(1) / per_second);
        let client = |number: u32| {
            let (stop, n_sent) = (stop.clone(), n_sent.clone());
            thread::spawn(move || {
                let mut client = Client { address, connections, kept: None, report: Report::default() };
                let mut due = begin + step * number;
                while !stop.load(Ordering::Relaxed) {
                    pause(due.saturating_duration_since(now()));
                    client.ask(due);
                    n_sent.fetch_add(1, Ordering::Relaxed);
                    due += step * CLIENTS;
                }
                client.report
            })
        };
        Self { clients: (0..CLIENTS).map(client).collect(), stop, n_sent }
    }

    /// How many have an end by now, whatever it was.
    pub fn n_sent(&self) -> u64 {
        self.n_sent.load(Ordering::Relaxed)
    }

    /// Lets the requests under way end.
    pub fn stop(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let reports = self.clients.into_iter().map(|client| client.join().expect("a client of the load does not panic"));
        let mut all = reports.fold(Report::default(), Report::and);
        all.times.sort_unstable();
        all
    }
}

impl Report {
    /// All that were sent.
    pub fn n_sent(&self) -> u64 {
        self.n_answered() + self.n_failed()
    }

    /// Answered with 200.
    pub fn n_answered(&self) -> u64 {
        self.answered.values().sum()
    }

    /// All that failed, idle connections not counted.
    pub fn n_failed(&self) -> u64 {
        self.failed.values().sum()
    }

    /// The time within which that share of the answers came; zero if there were none.
    pub fn within(&self, percent: usize) -> Duration {
        let last = self.times.len().saturating_sub(1);
        self.times.get(last * percent / 100).copied().unwrap_or_default()
    }

    fn and(mut self, other: Self) -> Self {
        other.answered.into_iter().for_each(|(server, n)| *self.answered.entry(server).or_default() += n);
        other.failed.into_iter().for_each(|(why, n)| *self.failed.entry(why).or_default() += n);
        for (server, last) in other.last {
            self.saw(server, last);
        }
        self.closed_idle += other.closed_idle;
        self.times.extend(other.times);
        self
    }

    fn saw(&mut self, server: String, Last { sent, answered }: Last) {
        let last = self.last.entry(server).or_insert(Last { sent, answered });
        *last = Last { sent: sent.max(last.sent), answered: answered.max(last.answered) };
    }
}

struct Client {
    address: SocketAddr,
    connections: Connections,
    kept: Option<BufReader<TcpStream>>,
    report: Report,
}

impl Client {
    fn ask(&mut self, due: Instant) {
        let mut sent = now();
        let answer = match self.kept.take() {
            Some(kept) => exchange(kept).or_else(|(kind, why)| {
                if kind != When::Idle {
                    return Err((kind, why));
                }
                self.report.closed_idle += 1;
                sent = now();
                self.connect().and_then(exchange)
            }),
            None => self.connect().and_then(exchange),
        };
        match answer {
            Ok((200, server, stream)) => {
                let answered = now();
                self.report.saw(server.clone(), Last { sent, answered });
                *self.report.answered.entry(server).or_default() += 1;
                self.report.times.push(answered.saturating_duration_since(due));
                self.kept = stream.filter(|_| self.connections == Connections::Kept);
            }
            Ok((status, ..)) => self.failed(format!("status {status}")),
            Err((_, why)) => self.failed(why),
        }
    }

    fn connect(&self) -> Result<BufReader<TcpStream>, (When, String)> {
        let failed = |err: io::Error| (When::Connecting, format!("connect: {}", err.kind()));
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_nodelay(true)).map_err(failed)?;
        Ok(BufReader::new(stream))
    }

    fn failed(&mut self, why: String) {
        *self.report.failed.entry(why).or_default() += 1;
    }
}

/// When a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Connecting,
    /// Not a byte of an answer came on a connection that had been idle: its other side had closed it.
    Idle,
    Answering,
}

type Answer = (u16, String, Option<BufReader<TcpStream>>);

fn exchange(mut stream: BufReader<TcpStream>) -> Result<Answer, (When, String)> {
    let failed = |when| move |err: io::Error| (when, format!("{when:?}: {}", err.kind()).to_lowercase());
    stream.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: load\r\n\r\n").map_err(failed(When::Idle))?;
    let mut line = String::new();
    let first = stream.read_line(&mut line).map_err(|err| match err.kind() {
        io::ErrorKind::ConnectionReset => failed(When::Idle)(err),
        _ => failed(When::Answering)(err),
    })?;
    if first == 0 {
        return Err((When::Idle, "closed without an answer".into()));
    }
    let status = line.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let status: u16 = status.ok_or_else(|| (When::Answering, format!("no status: {line:?}")))?;
    let (mut length, mut is_kept) = (0, true);
    loop {
        line.clear();
        stream.read_line(&mut line).map_err(failed(When::Answering))?;
        match line.trim_end().to_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap_or(0),
            Some(("connection", "close")) => is_kept = false,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).map_err(failed(When::Answering))?;
    Ok((status, String::from_utf8_lossy(&body).into_owned(), is_kept.then_some(stream)))
}

/// A server behind a proxy: answers every request with its name after `delay`, until the process ends.
pub fn serve(listener: TcpListener, name: &str, delay: Duration) {
    for stream in listener.incoming().flatten() {
        let name = name.to_owned();
        thread::spawn(move || answer(stream, &name, delay));
    }
}

/// Until the client goes.
fn answer(stream: TcpStream, name: &str, delay: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let (mut line, mut is_head) = (String::new(), false);
    while stream.read_line(&mut line)? > 0 {
        if line.trim_end().is_empty() && is_head {
            pause(delay);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", name.len());
            stream.get_mut().write_all((head + name).as_bytes())?;
            is_head = false;
        } else {
            is_head = true;
        }
        line.clear();
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "measures what clients wait")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a rate, and the time that an answer takes, are what is asked for")]
fn pause(time: Duration) {
    thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{eventually, port};

    fn ask(load: Load, n_requests: u64) -> Report {
        eventually(PATIENCE, || if load.n_sent() >= n_requests { Ok(()) } else { Err(load.n_sent().to_string()) });
        load.stop()
    }

    #[test]
    fn answers_and_failures_are_counted_by_what_they_are() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || serve(listener, "one", Duration::ZERO));
        for connections in [Connections::New, Connections::Kept] {
            let report = ask(Load::start(address, connections, 500), 100);
            assert!(report.n_answered() >= 100, "{report:?}");
            assert_eq!((report.n_failed(), report.closed_idle), (0, 0), "{report:?}");
            assert!(report.within(50) <= report.within(99));
        }
        let report = ask(Load::start(port::free_address(), Connections::Kept, 100), 10);
        assert!(report.n_failed() > 0 && report.n_answered() == 0, "{report:?}");
    }
}
