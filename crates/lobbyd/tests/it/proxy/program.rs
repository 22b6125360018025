//! A server behind the proxy that is a process of its own, so that it can end: a version of a service in a deploy. It works on
//! some requests for seconds, and may be ill for HAProxy's checks.
//!
//! Not here: servers that live as long as the test (`stage`).

use std::{
    net::SocketAddr,
    process::Command,
    thread::{self, JoinHandle},
};

use lobby_testkit::{
    eventually, expect, http, port,
    process::{Process, find},
};

use crate::fleet::SOON;

/// Says its name: to `/slow` after 2 s, to all else after 5 ms. `/health` is bad if the name begins with `ill`.
const TEXT: &str = r#"
import http.server, socketserver, sys, time
host, port, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    def do_GET(self):
        time.sleep(2 if self.path == "/slow" else 0.005)
        self.send_response(503 if self.path == "/health" and name.startswith("ill") else 200)
        self.send_header("Content-Length", str(len(name)))
        self.end_headers()
        self.wfile.write(name.encode())
    def log_message(self, *_):
        pass
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 128
with Server((host, port), Handler) as server:
    print("listens", flush=True)
    server.serve_forever()
"#;

/// Ends on drop as `kill -9` ends it.
pub(super) struct Program {
    pub(super) name: String,
    pub(super) port: u16,
    _process: Process,
}

impl Program {
    /// Listens when this returns.
    #[track_caller]
    pub(super) fn start(name: &str, port: u16) -> Self {
        Self::start_by(Command::new(find("python3")), name, SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// At a free port.
    #[track_caller]
    pub(super) fn anywhere(name: &str) -> Self {
        Self::start(name, port::free())
    }

    /// By a command that ends in Python's.
    #[track_caller]
    pub(super) fn start_by(mut python: Command, name: &str, address: SocketAddr) -> Self {
        python.args(["-c", TEXT, &address.ip().to_string(), &address.port().to_string(), name]);
        let process = Process::start(name, python);
        eventually(SOON, || expect(process.log().contains("listens"), process.log()));
        Self { name: name.to_owned(), port: address.port(), _process: process }
    }
}

/// Requests that take 2 s, under way at once; each comes back with its status and who answered.
pub(super) fn slow_ones(front: SocketAddr, n: usize) -> Vec<JoinHandle<Result<(u16, String), String>>> {
    let ask = move || http::get(front, "/slow").map(|answer| (answer.status, answer.text())).map_err(|err| err.to_string());
    (0..n).map(|_| thread::spawn(ask)).collect()
}
