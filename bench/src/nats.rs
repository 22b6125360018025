//! A publisher that speaks NATS' text protocol, and the packets of an old daemon that it publishes.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

/// The subject of the old daemon.
const SUBJECT: &str = "lobby.discovery";

/// One connection.
pub(crate) struct Publisher {
    stream: TcpStream,
}

impl Publisher {
    pub(crate) fn connect(server: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(server).expect("nats-server accepts connections");
        stream.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n").expect("nats-server reads");
        Self { stream }
    }

    pub(crate) fn publish(&mut self, payload: &str) {
        self.answer_pings();
        let message = format!("PUB {SUBJECT} {}\r\n{payload}\r\n", payload.len());
        self.stream.write_all(message.as_bytes()).expect("nats-server reads");
    }

    /// Answers the server's pings, without waiting for any.
    fn answer_pings(&mut self) {
        let mut bytes = [0; 4096];
        self.stream.set_nonblocking(true).expect("a socket can be non-blocking");
        let read = self.stream.read(&mut bytes);
        self.stream.set_nonblocking(false).expect("a socket can be blocking");
        match read {
            Ok(length) => {
                let text = String::from_utf8_lossy(&bytes[..length]);
                assert!(length > 0 && !text.contains("-ERR"), "nats-server ended the connection: {text}");
                if text.contains("PING") {
                    self.stream.write_all(b"PONG\r\n").expect("nats-server reads");
                }
            }
            Err(err) => assert_eq!(err.kind(), ErrorKind::WouldBlock, "nats-server ended the connection"),
        }
    }
}

/// The packet of server `number`, with labels such that a list shows about 312 bytes for it.
pub(crate) fn packet(number: usize) -> String {
    let labels = [
        format!("location:prague-{}", number % 4),
        format!("prometheus:x:host:10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255),
        format!("prometheus:x:rack:r{:03}", number % 97),
        format!("public_ip4:192.0.2.{}", number % 256),
        format!("public_ip6:2001:db8::{number:x}"),
        "kernel:6.1.0-9-amd64".to_owned(),
        "service:smtp".to_owned(),
    ];
    let labels = labels.map(|label| format!("\"{label}\"")).join(",");
    format!(r#"{{"discovery":{{"hostname":"n{number:05}.example.com","labels":[{labels}],"last_check":0}},"message":"hi"}}"#)
}
