//! The log of the agent as it is written, for operators who cannot reach its standard error.
//!
//! ```text
//! GET /v1/agent/monitor?loglevel=debug&logjson    lines until either side ends; 429 when too many listen already
//! ```
//! The level is that of this one listener and may be lower than that of LOG. A listener who is slow loses lines, and is told
//! how many. Silence is broken by an empty line, which shows that the other side still is there.
//! Not here: what a line looks like (`lobbyd`), the queues (`lobby_core::port::log`).

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, HttpBody},
    extract::State,
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use hyper::body::Frame;
use lobby_core::port::log::{Form, Level, Monitor, News};
use serde_json::json;
use tokio::time::{Instant, Sleep, sleep};

use crate::{
    App, View,
    answer::{self, Streamed},
    consul::Stop,
    error::{ApiError, shown},
    scope,
};

/// Between two signs of life: middle boxes forget connections that are silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(30);

pub(super) fn routes() -> Router<App> {
    Router::new().route("/v1/agent/monitor", get(monitor))
}

async fn monitor(
    State(app): State<App>,
    Extension(view): Extension<View>,
    stop: Stop,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = scope::query(&uri, &headers, &view)?;
    let level = level(query.get("loglevel").filter(|level| !level.is_empty()).unwrap_or("info"))?;
    let form = if query.has("logjson") { Form::Json } else { Form::Text };
    let log = app.state.handles.log.as_ref();
    let log = log.ok_or(ApiError::Later("the log over HTTP (it is on the standard error of the process)"))?;
    let monitor = log.monitor(form, level).ok_or(ApiError::TooManyMonitors)?;
    let body = Lines { monitor, form, heartbeat: Box::pin(sleep(HEARTBEAT)), stopped: Box::pin(stop.stopped()) };
    let mut response = Body::new(body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, answer::TEXT);
    response.extensions_mut().insert(Streamed);
    Ok(response)
}

/// As Consul calls them.
fn level(text: &str) -> Result<Level, ApiError> {
    match text.to_ascii_lowercase().as_str() {
        "trace" => Ok(Level::Trace),
        "debug" => Ok(Level::Debug),
        "info" => Ok(Level::Info),
        "warn" | "warning" => Ok(Level::Warn),
        "err" | "error" => Ok(Level::Error),
        _ => {
            let want = "trace, debug, info, warn or error";
            Err(ApiError::Field { field: "loglevel", value: shown(text), want })
        }
    }
}

/// The body of an answer.
struct Lines {
    monitor: Monitor,
    form: Form,
    heartbeat: Pin<Box<Sleep>>,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        let bytes = match self.monitor.poll_news(cx) {
            Poll::Ready(News::Line(line)) => line,
            Poll::Ready(News::Dropped(count)) => dropped(self.form, count),
            Poll::Pending if self.heartbeat.as_mut().poll(cx).is_ready() => Bytes::from_static(b"\n"),
            Poll::Pending => return Poll::Pending,
        };
        self.heartbeat.as_mut().reset(Instant::now() + HEARTBEAT);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

/// The line that stands for those that were dropped.
fn dropped(form: Form, count: u64) -> Bytes {
    match form {
        Form::Text => format!("monitor: {count} lines were dropped\n").into(),
        Form::Json => (json!({ "level": "WARN", "message": "lines were dropped", "dropped": count }).to_string() + "\n").into(),
    }
}
