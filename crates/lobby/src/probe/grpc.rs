//! The standard health service of gRPC, `grpc.health.v1.Health/Check`: passing when the service is `SERVING`.
//!
//! One call over HTTP/2, by hand: two messages with one field each do not need a library for all of gRPC.
//! Not here: the connection (`http2`), the messages (`message`).

mod message;

use std::time::Duration;

use bytes::Bytes;
use h2::{RecvStream, client::SendRequest};
use http::{HeaderMap, Request, Response, StatusCode, header::CONTENT_TYPE};
use lobby_core::check::{Status, kind::Tls};

use self::message::State;
use super::{
    Verdict,
    http2::{connect, drive, shown, told},
    too_late,
};

/// Most bytes of an answer: it has seven.
const ANSWER_BYTES: usize = 4096;

/// The names of what a call may end with, by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

pub(super) async fn run(target: &str, tls: Option<&Tls>, timeout: Duration) -> Verdict {
    let what = format!("gRPC check {target}");
    match tokio::time::timeout(timeout, ask(target, tls)).await {
        Ok(Ok(State::Serving)) => Verdict::new(Status::Passing, format!("{what}: {}", State::Serving)),
        Ok(Ok(state)) => Verdict::critical(format!("{what}: {state}")),
        Ok(Err(why)) => Verdict::critical(format!("{what}: {why}")),
        Err(_) => Verdict::critical(format!("{what}: {}", too_late(timeout))),
    }
}

async fn ask(target: &str, tls: Option<&Tls>) -> Result<State, String> {
    let (address, service) = target.split_once('/').unwrap_or((target, ""));
    let scheme = if tls.is_some() { "https" } else { "http" };
    let request = Request::post(format!("{scheme}://{address}/grpc.health.v1.Health/Check"))
        .header(CONTENT_TYPE, "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "Consul Health Check")
        .body(())
        .map_err(|err| err.to_string())?;
    let (sender, connection) = connect(address, tls).await?;
    drive(connection, call(sender, request, message::question(service).into())).await
}

async fn call(sender: SendRequest<Bytes>, request: Request<()>, question: Bytes) -> Result<State, String> {
    let mut sender = sender.ready().await.map_err(told)?;
    let (answer, mut body) = sender.send_request(request, false).map_err(told)?;
    body.send_data(question, true).map_err(told)?;
    let mut answer = answer.await.map_err(told)?;
    check_head(&answer)?;
    let bytes = read(answer.body_mut()).await?;
    let trailers = answer.body_mut().trailers().await.map_err(told)?;
    // An answer without a message has in its head what comes at the end of others.
    check_end(trailers.as_ref().unwrap_or(answer.headers()))?;
    message::state(&bytes).map_err(|err| err.to_string())
}

fn check_head(answer: &Response<RecvStream>) -> Result<(), String> {
    let is_grpc = |value: &http::HeaderValue| value.as_bytes().starts_with(b"application/grpc");
    match answer.status() {
        StatusCode::OK if answer.headers().get(CONTENT_TYPE).is_some_and(is_grpc) => Ok(()),
        StatusCode::OK => Err("what answers is no gRPC server".to_owned()),
        status => Err(format!("what answers is no gRPC server: {status}")),
    }
}

async fn read(body: &mut RecvStream) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(told)?;
        if bytes.len() + chunk.len() > ANSWER_BYTES {
            return Err(format!("the answer has more than {ANSWER_BYTES} bytes"));
        }
        bytes.extend_from_slice(&chunk);
        body.flow_control().release_capacity(chunk.len()).map_err(told)?;
    }
    Ok(bytes)
}

/// How the call ended, as gRPC says it.
fn check_end(headers: &HeaderMap) -> Result<(), String> {
    let text = |name| headers.get(name).map(|value| value.as_bytes().escape_ascii().to_string());
    let Some(code) = text("grpc-status") else { return Err("the answer has no grpc-status".to_owned()) };
    if code == "0" {
        return Ok(());
    }
    let name = code.parse().ok().and_then(|code: usize| CODES.get(code).copied()).unwrap_or_else(|| shown(&code));
    match text("grpc-message") {
        Some(said) if !said.is_empty() => Err(format!("{name}: {}", shown(&said))),
        _ => Err(name.to_owned()),
    }
}

#[cfg(test)]
mod tests;
