//! Containers of a stand-in for Docker: no daemon can run here, so this says what one would, over a Unix socket and TCP.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use lobby_proxy::settings::{Discovery, DockerServer, DockerWatch};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixListener},
};

use super::{EVERY, complains, run, shows};
use crate::fetch::Plain;

/// What was last said: a status and a body.
type Said = Arc<Mutex<(u16, String)>>;

/// Stands in for Docker on a Unix socket.
fn on_socket(path: &Path, said: Said) -> String {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            answer(stream, "localhost", &said).await;
        }
    });
    format!("unix:{}", path.display())
}

/// The same over TCP.
async fn on_port(said: Said) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let endpoint = format!("http://{host}");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            answer(stream, &host, &said).await;
        }
    });
    endpoint
}

/// `/containers/json`, in chunks as Docker does.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, host: &str, said: &Said) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.is_ok_and(|n| n > 0) {}
    let asked = String::from_utf8_lossy(&request).into_owned();
    assert!(asked.starts_with(&format!("GET /containers/json HTTP/1.1\r\nHost: {host}\r\n")), "{asked}");
    let (status, body) = said.lock().unwrap().clone();
    let head = format!("HTTP/1.1 {status} X\r\nServer: stand-in\r\nTransfer-Encoding: chunked\r\n\r\n");
    let answer = format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let _ = stream.write_all(answer.as_bytes()).await;
}

fn container(image: &str, public: u16) -> String {
    format!(r#"{{"Image":"{image}","Ports":[{{"PrivatePort":80,"PublicPort":{public},"Type":"tcp"}}]}}"#)
}

#[tokio::test]
async fn containers_follow_each_daemon_and_stay_while_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let said = [1, 2].map(|port| Arc::new(Mutex::new((200, format!("[{}]", container("web:1", port))))));
    let endpoints = [on_socket(&folder.path().join("docker.sock"), said[0].clone()), on_port(said[1].clone()).await];
    let server =
        |at: usize| DockerServer { name: format!("d{at}"), host: format!("10.0.0.{at}"), endpoint: endpoints[at].clone() };
    let nowhere = format!("http://{}", lobby_testkit::port::free_address());
    let away = DockerServer { name: String::new(), host: "h".into(), endpoint: nowhere.clone() };
    let watch =
        |servers| Discovery::Docker(DockerWatch { servers, image_name: "web".into(), container_port: 80, interval: EVERY });
    let discoveries = vec![watch(vec![server(0), server(1)]), watch(vec![away])];
    let (picture, _watching) = run(discoveries, Plain::default(), &[]);
    shows(&picture, 0, &["d0 10.0.0.0:1", "d1 10.0.0.1:2"]).await;
    complains(&picture, 1, &format!("docker {nowhere}: ")).await;
    assert_eq!(super::shown(&picture, 1), None);
    // One fails, the other goes on.
    *said[0].lock().unwrap() = (500, "no".into());
    *said[1].lock().unwrap() = (200, format!("[{},{}]", container("web", 5), container("db", 6)));
    shows(&picture, 0, &["d0 10.0.0.0:1", "d1 10.0.0.1:5"]).await;
    complains(&picture, 0, "docker d0: status 500").await;
    *said[0].lock().unwrap() = (200, "[]".into());
    shows(&picture, 0, &["d1 10.0.0.1:5"]).await;
    assert_eq!(picture.borrow()[0].trouble, None);
}
