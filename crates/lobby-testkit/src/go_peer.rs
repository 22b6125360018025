//! A stand-in for a Go Lobby daemon on a real NATS server. It cannot run here, so this speaks its packets: bare
//! envelopes without our fields, a list keyed by host name, `"labels": null` in the goodbye of a changed host name,
//! and a complaint about every message kind it does not know.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};

/// A connected stand-in. It says nothing by itself: a test decides when it beats.
#[derive(Debug)]
pub struct GoPeer {
    stream: TcpStream,
    subject: String,
    heard: Arc<Mutex<Heard>>,
}

/// What the stand-in has heard.
#[derive(Debug, Default)]
struct Heard {
    list: BTreeMap<String, Value>,
    incompatible: Vec<String>,
}

impl GoPeer {
    /// Connects to a NATS server and subscribes to the subject of discovery packets.
    pub fn connect(server: SocketAddr, subject: &str) -> Self {
        let mut stream = TcpStream::connect(server).expect("the NATS server accepts connections");
        let mut reader = BufReader::new(stream.try_clone().expect("a socket can be shared"));
        let mut greeting = String::new();
        reader.read_line(&mut greeting).expect("the NATS server greets");
        write!(stream, "CONNECT {{\"verbose\":false}}\r\nSUB {subject} 1\r\nPING\r\n").expect("the NATS server listens");
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (kept, pong) = (heard.clone(), stream.try_clone().expect("a socket can be shared"));
        // Ends when the connection does, at the latest with this process.
        std::thread::spawn(move || listen(reader, pong, &kept));
        Self { stream, subject: subject.into(), heard }
    }

    /// Says hi as `hostname` with these labels.
    pub fn hi(&mut self, hostname: &str, labels: &[&str]) {
        self.publish(
            &json!({"discovery": {"hostname": hostname, "labels": labels, "last_check": 0}, "message": "hi"}).to_string(),
        );
    }

    /// Says goodbye as after a change of the host name: with null labels.
    pub fn goodbye(&mut self, hostname: &str) {
        self.publish(
            &json!({"discovery": {"hostname": hostname, "labels": null, "last_check": 0}, "message": "goodbye"}).to_string(),
        );
    }

    /// Sends any text.
    pub fn publish(&mut self, text: &str) {
        let (subject, size) = (&self.subject, text.len());
        write!(self.stream, "PUB {subject} {size}\r\n{text}\r\n").expect("the NATS server listens");
    }

    /// The labels it would list for a host, `None` when it does not list it.
    pub fn labels(&self, hostname: &str) -> Option<Vec<String>> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = heard.list.get(hostname)?.as_array()?;
        Some(labels.iter().filter_map(|label| label.as_str().map(str::to_owned)).collect())
    }

    /// Messages it could not understand.
    pub fn incompatible(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).incompatible.clone()
    }
}

fn listen(mut reader: BufReader<TcpStream>, mut pong: TcpStream, heard: &Mutex<Heard>) {
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|n_bytes| n_bytes > 0) {
        if line.starts_with("PING") {
            let _ = pong.write_all(b"PONG\r\n");
        }
        if line.starts_with("MSG") {
            let size = line.trim().rsplit(' ').next().and_then(|size| size.parse::<usize>().ok()).unwrap_or(0);
            let mut body = vec![0; size + 2];
            if std::io::Read::read_exact(&mut reader, &mut body).is_err() {
                return;
            }
            heard.lock().unwrap_or_else(PoisonError::into_inner).take(&body[..size]);
        }
        line.clear();
    }
}

impl Heard {
    fn take(&mut self, body: &[u8]) {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let discovery = &value["discovery"];
        match (value["message"].as_str(), discovery["hostname"].as_str()) {
            (Some("hi"), Some(hostname)) => _ = self.list.insert(hostname.into(), discovery["labels"].clone()),
            (Some("goodbye"), Some(hostname)) => _ = self.list.remove(hostname),
            _ => self.incompatible.push(String::from_utf8_lossy(body).into_owned()),
        }
    }
}
