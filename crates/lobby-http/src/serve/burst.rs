//! hyper at work on a connection: from the first byte of a request until all is answered, or one of them waits.
//!
//! Its buffers and the handlers' futures are some tens of KiB; an idle or waiting connection has none of them (`connection`).
//! What hyper has read too much goes back to the guard. Only after a request without a body is it known where the next
//! one begins: after others hyper stays.
//! Not here: what comes before and after (`connection`), deadlines (`guard`).

use std::{
    convert::Infallible,
    future::{Future, pending, poll_fn},
    io::Write as _,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, HttpBody},
    http::{Method, Request, Response},
};
use bytes::Bytes;
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::Service,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tower::Service as _;

use super::{
    guard::Guard,
    turns::{Aside, Turns},
};
use crate::{
    Limits,
    access::Caller,
    answer::Streamed,
    consul::Stop,
    parking::{self, Parking},
};

/// Hands hyper's requests to the router.
pub(super) struct ToRouter {
    pub(super) router: Router,
    pub(super) caller: Caller,
    pub(super) turns: Turns,
    pub(super) stop: Stop,
    /// The first request was put aside before.
    pub(super) has_waited: AtomicBool,
}

/// Why hyper is no longer at work.
pub(super) enum Ended {
    /// The connection is over.
    Over(Option<hyper::Error>),
    /// All is answered.
    AtRest,
    /// A request is put aside.
    Waits(Aside),
}

/// The body of an answer that goes on for long: the turn ends when the body does.
struct Streaming {
    body: Body,
    turns: Turns,
}

type Http<IO> = http1::Connection<TokioIo<Guard<IO>>, ToRouter>;

impl HttpBody for Streaming {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.turns.step();
    }
}

impl Service<Request<Incoming>> for ToRouter {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let has_body = !request.body().is_end_stream();
        let has_waited = self.has_waited.swap(false, Ordering::Relaxed);
        let head = (!has_waited && !has_body && may_wait(&request)).then(|| head(&request));
        let parking = match (&head, has_waited) {
            (_, true) => Parking::Over,
            (Some(_), _) => Parking::Free,
            (None, _) => Parking::InPlace,
        };
        request.extensions_mut().insert(parking);
        request.extensions_mut().insert(self.caller);
        request.extensions_mut().insert(self.stop.clone());
        self.turns.begin(has_body);
        let turns = self.turns.clone();
        let answer = self.router.clone().call(request);
        Box::pin(async move {
            let mut answer = answer.await?;
            if let Some((wait, head)) = parking::take(&mut answer).zip(head) {
                turns.park(Aside { wait, head });
                // All of this is dropped with hyper.
                return pending().await;
            }
            if answer.extensions().get::<Streamed>().is_some() {
                return Ok(answer.map(|body| Body::new(Streaming { body, turns })));
            }
            turns.step();
            Ok(answer)
        })
    }
}

/// Whether it may be a blocking query, so that its head is worth a copy.
fn may_wait(request: &Request<Incoming>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD) && request.uri().query().is_some_and(|query| query.contains("index="))
}

/// The head of a request as it could have been sent, with no blanks that need not be and the shorter of the line ends that
/// hyper takes: it is no longer than it was, and so within the bound again.
fn head(request: &Request<Incoming>) -> Box<[u8]> {
    let mut head = Vec::with_capacity(256);
    // Writing to memory does not fail.
    let _ = writeln!(head, "{} {} {:?}", request.method(), request.uri(), request.version());
    for (name, value) in request.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.push(b':');
        head.extend_from_slice(value.as_bytes());
        head.push(b'\n');
    }
    head.push(b'\n');
    head.into_boxed_slice()
}

/// Lets hyper work on what the guard has for it. When the agent stops, hyper answers what it has begun.
pub(super) async fn run<IO: AsyncRead + AsyncWrite + Unpin + Send>(
    guard: Guard<IO>,
    service: ToRouter,
    limits: &Limits,
    stopped: &mut watch::Receiver<()>,
    is_stopping: &mut bool,
) -> (Guard<IO>, Ended) {
    let turns = service.turns.clone();
    let mut http = http1::Builder::new();
    // hyper's own deadline, later than both of the guard's, makes it read while it waits. Only so is the guard asked.
    http.timer(TokioTimer::new()).header_read_timeout(limits.idle + 2 * limits.header_read);
    http.max_buf_size(limits.header_bytes).keep_alive(!*is_stopping);
    let mut connection = http.serve_connection(TokioIo::new(guard), service);
    let ended = loop {
        tokio::select! {
            // First, for a hyper that is told to stop before it has read anything answers nothing.
            biased;
            ended = poll_fn(|cx| poll(&mut connection, &turns, cx)) => break ended,
            _ = stopped.changed(), if !*is_stopping => {
                *is_stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let parts = connection.into_parts();
    let mut guard = parts.io.into_inner();
    // A copy, for hyper's buffer is larger by far.
    guard.put_back(Bytes::copy_from_slice(without_empty_lines(&parts.read_buf)));
    (guard, ended)
}

/// Some clients send an empty line behind their request, which is not the beginning of another.
fn without_empty_lines(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    bytes
}

fn poll<IO: AsyncRead + AsyncWrite + Unpin + Send>(
    connection: &mut Http<IO>,
    turns: &Turns,
    cx: &mut Context<'_>,
) -> Poll<Ended> {
    match connection.poll_without_shutdown(cx) {
        Poll::Ready(ended) => Poll::Ready(Ended::Over(ended.err())),
        // What is not yet written is with hyper.
        Poll::Pending if !turns.is_flushed() => Poll::Pending,
        Poll::Pending => match turns.take_parked() {
            Some(aside) => Poll::Ready(Ended::Waits(aside)),
            None if turns.is_at_rest() => Poll::Ready(Ended::AtRest),
            None => Poll::Pending,
        },
    }
}
