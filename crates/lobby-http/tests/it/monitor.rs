//! The log over HTTP: levels, forms, lines that are lost, places, who may.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Request, StatusCode},
    response::Response,
};
use http_body_util::BodyExt;
use lobby_core::port::log::{Form, LINES, Level, MONITORS};
use lobby_http::{Caller, Config};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::fixture::{Fleet, Served, config, from, local};

async fn open(served: &Served, caller: Caller, query: &str) -> Response {
    let mut request = Request::get(format!("/v1/agent/monitor{query}")).header("host", "localhost").body(Body::empty()).unwrap();
    request.extensions_mut().insert(caller);
    served.router.clone().oneshot(request).await.unwrap()
}

async fn listen(served: &Served, query: &str) -> Body {
    let response = open(served, local(), query).await;
    assert_eq!(response.status(), StatusCode::OK, "{query}");
    assert_eq!(response.headers()["content-type"], "text/plain; charset=UTF-8");
    response.into_body()
}

async fn next(body: &mut Body) -> String {
    let frame = body.frame().await.expect("it goes on").unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_listener_has_its_level_and_its_form() {
    let served = Fleet::new(&[]).serve(config());
    let mut info = listen(&served, "").await;
    let mut all = listen(&served, "?loglevel=TRACE").await;
    let mut json = listen(&served, "?loglevel=err&logjson").await;
    assert_eq!(served.log.wanted(Form::Text), Some(Level::Trace));
    for (level, line) in [(Level::Debug, "d\n"), (Level::Info, "i\n"), (Level::Error, "e\n")] {
        served.log.put(Form::Text, level, line.as_bytes());
        served.log.put(Form::Json, level, format!("{{{line}").as_bytes());
    }
    for line in ["d\n", "i\n", "e\n"] {
        assert_eq!(next(&mut all).await, line);
    }
    assert_eq!((next(&mut info).await, next(&mut info).await), ("i\n".to_owned(), "e\n".to_owned()));
    assert_eq!(next(&mut json).await, "{e\n");
    // Silence is broken now and then.
    let start = Instant::now();
    assert_eq!((next(&mut info).await.as_str(), start.elapsed()), ("\n", Duration::from_secs(30)));
    drop((info, all));
    assert_eq!(served.log.wanted(Form::Text), None, "who goes away wants nothing more");
}

#[tokio::test]
async fn who_is_slow_is_told_what_is_missing() {
    let served = Fleet::new(&[]).serve(config());
    let (mut text, mut json) = (listen(&served, "").await, listen(&served, "?logjson").await);
    for _ in 0..LINES + 7 {
        served.log.put(Form::Text, Level::Warn, b"x\n");
        served.log.put(Form::Json, Level::Warn, b"{}\n");
    }
    assert_eq!(next(&mut text).await, "monitor: 7 lines were dropped\n");
    assert_eq!(next(&mut json).await, "{\"dropped\":7,\"level\":\"WARN\",\"message\":\"lines were dropped\"}\n");
    assert_eq!((next(&mut text).await.as_str(), next(&mut json).await.as_str()), ("x\n", "{}\n"));
}

#[tokio::test]
async fn what_is_refused() {
    let served = Fleet::new(&[]).serve(config());
    for level in ["loglevel=INVALID", "loglevel=%00", "loglevel=6"] {
        let answer = served.get(&format!("/v1/agent/monitor?{level}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{level}");
        assert!(answer.text().contains("trace, debug, info, warn or error"), "{}", answer.text());
    }
    assert_eq!(served.get("/v1/agent/monitor?dc=dc2").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    let mut places = Vec::new();
    for _ in 0..MONITORS {
        places.push(listen(&served, "").await);
    }
    let full = open(&served, local(), "").await;
    assert_eq!((full.status(), &full.headers()["retry-after"]), (StatusCode::TOO_MANY_REQUESTS, &"1".parse().unwrap()));
    places.pop();
    drop(listen(&served, "").await);
}

#[tokio::test]
async fn only_operators_listen() {
    let open_door = Fleet::new(&[]).serve(config());
    assert_eq!(open(&open_door, from("10.0.0.9:5", false), "").await.status(), StatusCode::FORBIDDEN);
    let guarded = Fleet::new(&[]).serve(Config { token: Some("s3cret".to_owned()), ..config() });
    assert_eq!(open(&guarded, local(), "").await.status(), StatusCode::FORBIDDEN);
    assert_eq!(open(&guarded, local(), "?token=s3cret").await.status(), StatusCode::OK);
    assert_eq!(guarded.put("/v1/agent/monitor?token=s3cret", "").await.status, StatusCode::METHOD_NOT_ALLOWED);
}
