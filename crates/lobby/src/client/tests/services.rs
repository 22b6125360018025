//! Services over HTTP: what is asked for, holding on to a registration, and following one service.

use std::sync::mpsc;

use serde_json::json;

use super::*;

/// Answers one request after another, each on a connection of its own, with what `answer` makes of its first line; the
/// lines are told.
fn answering(answer: impl Fn(usize, &str) -> (String, String) + Send + 'static) -> (Client, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let (sender, asked) = mpsc::channel();
    thread::spawn(move || {
        for (nth, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let (mut request, mut part) = (Vec::new(), [0; 4096]);
            while !is_whole(&request) {
                let n = stream.read(&mut part).unwrap();
                request.extend_from_slice(&part[..n]);
            }
            let request = String::from_utf8(request).unwrap();
            let line = request.lines().next().unwrap().trim_end_matches(" HTTP/1.1");
            let (head, body) = answer(nth, line);
            let length = body.len();
            // The test may be over.
            let _ = write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            let end = request.rsplit("\r\n").next().unwrap();
            let _ = sender.send(format!("{line} {end}").trim_end().to_owned());
        }
    });
    (client, asked)
}

#[tokio::test]
async fn each_change_goes_to_its_route() {
    let (client, asked) = answering(|_, _| ("200 OK".into(), "{}".into()));
    let check = |want: &str| assert_eq!(asked.recv().unwrap(), want);
    client.register("web", "a/b", &json!({"Port": 80})).await.unwrap();
    check("PUT /v1/services/web/a%2Fb {\"Port\":80}");
    client.deregister("/a b").await.unwrap();
    check("PUT /v1/agent/service/deregister/%2Fa%20b");
    client.drain("web", "w", true).await.unwrap();
    check("PUT /v1/services/web/w/drain");
    client.drain("web", "w", false).await.unwrap();
    check("DELETE /v1/services/web/w/drain");
    client.drain_node(true).await.unwrap();
    check("PUT /v1/drain");
    client.drain_node(false).await.unwrap();
    check("DELETE /v1/drain");
    let waited = Duration::from_millis(1500);
    assert_eq!(client.drain_and_wait(Some(("web", "a/b")), true, waited).await.unwrap(), Applied::default());
    check("PUT /v1/services/web/a%2Fb/drain?wait=1500ms");
    client.drain_and_wait(None, false, waited).await.unwrap();
    check("DELETE /v1/drain?wait=1500ms");
    client.report("service:w", Status::Warning, "slow \"x\"").await.unwrap();
    check(r#"PUT /v1/agent/check/update/service:w {"Output":"slow \"x\"","Status":"warning"}"#);
    client.maintain(Some("w"), true, "a&b").await.unwrap();
    check("PUT /v1/agent/service/maintenance/w?enable=true&reason=a%26b");
    client.maintain(None, false, "").await.unwrap();
    check("PUT /v1/agent/maintenance?enable=false");
    assert_eq!(client.own_instance("w").await.unwrap().value, OwnInstance::default());
    check("GET /v1/agent/service/w");
    assert!(client.own_instances().await.unwrap().value.is_empty());
    check("GET /v1/agent/services");
    assert!(client.own_checks().await.unwrap().value.is_empty());
    check("GET /v1/agent/checks");
}

#[tokio::test]
async fn services_are_read_though_fields_are_missing_or_new() {
    let (client, asked) = answering(|_, _| {
        let body =
            r#"[{"id":"w","name":"web","verdict":"passing","owner":{"name":"a","new":1},"checks":[{"id":"c"}],"new":{}},{}]"#;
        ("200 OK".into(), body.into())
    });
    let instances = client.service("web", Some("tag=a")).await.unwrap().value;
    assert_eq!((instances[0].checks[0].id.as_str(), instances[0].weights), ("c", Weights { passing: 1, warning: 1 }));
    assert_eq!(instances[1], Instance::default());
    assert_eq!(asked.recv().unwrap(), "GET /v1/services/web?where=tag%3Da");
    assert_eq!(client.services(None).await.unwrap().value[0].name, "web");
    assert_eq!(asked.recv().unwrap(), "GET /v1/services");
    let why = client.why("web", Some("w")).await.unwrap().value;
    assert_eq!((why[0].verdict.as_str(), &why[0].owner.more["new"]), ("passing", &json!(1)));
    assert_eq!(why[0].checks[0].id, "c");
    assert_eq!(asked.recv().unwrap(), "GET /v1/why/web/w");
    client.nodes_where("status=critical", Some("_agent")).await.unwrap();
    assert_eq!(asked.recv().unwrap(), "GET /v1/nodes?where=status%3Dcritical&near=_agent");
}

/// A daemon that takes one holding, and the end of its connection as the thread's result.
fn holding(then: impl FnOnce(&mut std::net::TcpStream) + Send + 'static) -> (Client, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut request, mut part) = (Vec::new(), [0; 4096]);
        while !is_whole(&request) {
            let n = stream.read(&mut part).unwrap();
            request.extend_from_slice(&part[..n]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n").unwrap();
        then(&mut stream);
        String::from_utf8(request).unwrap()
    });
    (client, thread)
}

#[tokio::test]
async fn dropping_a_holding_closes_its_connection() {
    let (client, daemon) = holding(|stream| assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0));
    let holding = client.hold(&json!({"Name": "web"})).await.unwrap();
    drop(holding);
    // Lets the connection see it.
    let asked = tokio::task::spawn_blocking(|| daemon.join().unwrap()).await.unwrap();
    assert!(asked.starts_with("POST /v1/hold HTTP/1.1\r\n") && asked.ends_with("{\"Name\":\"web\"}"), "{asked}");
}

#[tokio::test]
async fn a_holding_ends_with_the_daemon() {
    let (end, ended) = mpsc::channel::<()>();
    let (client, daemon) = holding(move |_| ended.recv().unwrap());
    let mut holding = client.hold(&json!({"Name": "web"})).await.unwrap();
    let still = tokio::time::timeout(Duration::from_millis(50), holding.ended()).await;
    assert!(still.is_err(), "it lasts while the daemon holds on");
    end.send(()).unwrap();
    holding.ended().await;
    daemon.join().unwrap();
    let (client, _) = answer_once("400 Bad Request", "Name: must be given");
    assert!(matches!(client.hold(&json!({})).await, Err(ClientError::Refused { status: 400, .. })));
}

/// One look of a watch: the index, whether the daemon is warm, the answer about the instances.
type Look = (&'static str, bool, &'static str, &'static str);

/// A daemon that is as each look says, and stays as the last.
fn looks(looks: &'static [Look]) -> (Client, mpsc::Receiver<String>) {
    answering(move |nth, line| {
        let (index, warm, status, body) = looks[(nth / 2).min(looks.len() - 1)];
        assert_eq!(line.starts_with("GET /v1/health/service/web"), nth % 2 == 0, "{line}");
        let head = |status| format!("{status}\r\nX-Lobby-Warm: {warm}\r\nX-Consul-Index: {index}");
        if nth % 2 == 0 { (head("200 OK"), "[]".into()) } else { (status.to_owned(), body.into()) }
    })
}

fn ids(instances: &[Instance]) -> Vec<&str> {
    instances.iter().map(|instance| instance.id.as_str()).collect()
}

#[tokio::test]
async fn a_watch_tells_what_is_other_and_begins_anew_when_the_index_falls() {
    let (client, asked) = looks(&[
        ("7", true, "200 OK", r#"[{"id":"b"},{"id":"a","status":"passing","age_ms":5,"checks":[{"id":"c","output":"1"}]}]"#),
        ("8", true, "200 OK", r#"[{"id":"b"},{"id":"a","status":"passing","age_ms":9,"checks":[{"id":"c","output":"2"}]}]"#),
        ("9", true, "200 OK", r#"[{"id":"a","status":"critical"}]"#),
        ("3", true, "404 Not Found", "service \"web\": nobody offers it"),
        ("3", true, "200 OK", r#"[{"id":"a"}]"#),
    ]);
    let mut watch = client.service_changes("web", None);
    let first = watch.next().await.unwrap();
    assert_eq!((ids(&first), first[0].age_ms, first[0].checks[0].output.as_str()), (vec!["a", "b"], None, "1"));
    assert_eq!(watch.next().await.unwrap()[0].status, "critical");
    assert_eq!(ids(&watch.next().await.unwrap()), [""; 0]);
    assert_eq!(ids(&watch.next().await.unwrap()), ["a"]);
    let health: Vec<_> = asked.try_iter().filter(|line| line.contains("health")).collect();
    let (all, since) = ("GET /v1/health/service/web".to_owned(), |n| format!("GET /v1/health/service/web?index={n}&wait=60s"));
    assert_eq!(health, [all.clone(), since(7), since(8), since(9), all]);
}

#[tokio::test]
async fn a_daemon_that_is_not_warm_removes_nobody() {
    let (client, _) = looks(&[
        ("7", true, "200 OK", r#"[{"id":"a"},{"id":"b"}]"#),
        ("1", false, "404 Not Found", "service \"web\": nobody offers it"),
        ("2", false, "200 OK", r#"[{"id":"b","port":1},{"id":"c"}]"#),
        ("3", true, "200 OK", r#"[{"id":"c"}]"#),
    ]);
    let mut watch = client.service_changes("web", None);
    assert_eq!(ids(&watch.next().await.unwrap()), ["a", "b"]);
    let partly = watch.next().await.unwrap();
    assert_eq!((ids(&partly), partly[1].port), (vec!["a", "b", "c"], 1));
    assert_eq!(ids(&watch.next().await.unwrap()), ["c"]);
}

#[tokio::test]
async fn a_watch_goes_on_after_an_error() {
    let (client, _) = answering(|nth, _| match nth {
        0 => ("503 Service Unavailable".into(), "busy".into()),
        _ => ("200 OK\r\nX-Consul-Index: 1".into(), r#"[{"id":"a"}]"#.into()),
    });
    let mut watch = client.service_changes("web", None);
    let busy = watch.next().await.unwrap_err();
    assert!(busy.is_temporary(), "{busy}");
    assert_eq!(ids(&watch.next().await.unwrap()), ["a"]);
    // A daemon without these routes is no service without instances.
    let (client, _) = answering(|_, _| ("404 Not Found".into(), "no route \"/v1/health/service/web\"".into()));
    let old = client.service_changes("web", None).next().await.unwrap_err();
    assert!(!old.is_temporary(), "{old}");
}
