//! An HTTP request: the status of the answer is the result; its line and the end of the body are the output.
//!
//! The result is certain with the head of the answer. A body that never ends, or comes too slowly, is left unread at
//! [`BODY_BYTES`] or at the deadline and changes nothing. Every run has a connection of its own.
//! Not here: the clients and their TLS (`client`), headers and redirects (`request`).

mod client;
mod request;

use std::time::Duration;

use lobby_core::check::{
    Status,
    kind::Http,
    output::{NOTE_BYTES, Output},
};
use reqwest::{Response, StatusCode, Url};

use self::request::Request;
use super::{Verdict, tail::Tail, too_late};
use crate::fetch::innermost;

/// Most bytes of a body that are read: 256 times what is kept of it at most. Whoever sends more is cut off.
const BODY_BYTES: u64 = 1 << 20;

/// Most redirects that are followed; as many as Go's client, and so Consul.
const REDIRECTS: usize = 10;

/// What is known of an answer so far.
struct Heard {
    status: Option<StatusCode>,
    body: Tail,
}

pub(super) async fn run(http: &Http, timeout: Duration, keep: usize) -> Verdict {
    let mut heard = Heard { status: None, body: Tail::new(keep) };
    let ended = tokio::time::timeout(timeout, ask(http, &mut heard)).await;
    let method = if http.method.is_empty() { "GET" } else { &http.method };
    let what = format!("HTTP {method} {}", shown(&http.url));
    let why = match ended {
        Ok(Ok(())) => String::new(),
        Ok(Err(why)) => why,
        Err(_) => too_late(timeout),
    };
    let Some(code) = heard.status else { return Verdict::critical(format!("{what}: {why}")) };
    let status = match code.as_u16() {
        200..=299 => Status::Passing,
        429 => Status::Warning,
        _ => Status::Critical,
    };
    let reason = code.canonical_reason().map_or(String::new(), |reason| format!(" {reason}"));
    let unread = if why.is_empty() { why } else { format!(" (body not read to its end: {why})") };
    let head = format!("{what}: {}{reason}{unread} Output: ", code.as_u16());
    // The status line is worth more than the beginning of the body, unless a long URL leaves too little of the body.
    let most = keep.saturating_sub(head.len() + NOTE_BYTES).max(keep / 2).max(1);
    let body = Output { tail: &heard.body.text(), total: heard.body.total() }.cut(most);
    Verdict::new(status, head + &body)
}

/// The error is for people: why there is no answer, or not all of it.
async fn ask(http: &Http, heard: &mut Heard) -> Result<(), String> {
    let mut request = Request::try_new(http)?;
    for _ in 0..=REDIRECTS {
        let mut response = request.send(http).await?;
        if http.disable_redirects || !request.follow(&response)? {
            heard.status = Some(response.status());
            return read(&mut response, &mut heard.body).await;
        }
    }
    Err(format!("more than {REDIRECTS} redirects"))
}

async fn read(response: &mut Response, body: &mut Tail) -> Result<(), String> {
    while let Some(chunk) = response.chunk().await.map_err(innermost)? {
        let left = BODY_BYTES - body.total();
        body.push(&chunk[..chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX))]);
        if chunk.len() as u64 > left {
            return Err(format!("it has more than {BODY_BYTES} bytes"));
        }
    }
    Ok(())
}

/// A URL as it is shown to everybody who may read outputs: without name and password.
fn shown(url: &str) -> String {
    match url.parse::<Url>() {
        Ok(mut parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
            // Both succeed where there is a host, and only there can they be set.
            let _ = (parsed.set_username(""), parsed.set_password(None));
            parsed.into()
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests;
