//! A daemon that gives prepared answers, one connection per request, until it is dropped.
//!
//! Not a mock of lobbyd's behaviour: what it answers is written in each test.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Makes an answer (status line and headers without the length, body) of a request line and its body.
type Answer = dyn Fn(&str, &str) -> (String, String) + Send + Sync;

pub(crate) struct Canned {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Canned {
    pub(crate) fn start(answer: impl Fn(&str, &str) -> (String, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let thread = thread::spawn({
            let (asked, stop) = (asked.clone(), stop.clone());
            move || {
                while let Ok((stream, _)) = listener.accept()
                    && !stop.load(Ordering::Relaxed)
                {
                    serve(stream, &asked, &answer);
                }
            }
        });
        Self { address, asked, stop, thread: Some(thread) }
    }

    /// Gives this body with status 200 to every request.
    pub(crate) fn with_body(body: &'static str) -> Self {
        Self::start(move |_, _| ("200 OK".into(), body.into()))
    }

    /// The requests so far: request line, interesting headers, body.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Canned {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the accept.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn serve(mut stream: TcpStream, asked: &Mutex<Vec<String>>, answer: &Answer) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        match line.trim() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let header = |name: &str| head.iter().find_map(|line| line.to_lowercase().strip_prefix(name).map(str::to_owned));
    let length = header("content-length: ").map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    let token = head.iter().find(|line| line.to_lowercase().starts_with("authorization:")).cloned().unwrap_or_default();
    asked.lock().unwrap().push(format!("{}\n{token}\n{body}", head[0]));
    let (status, text) = answer(&head[0], &body);
    let length = text.len();
    // A client that has gone meanwhile is its own business.
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}");
}
