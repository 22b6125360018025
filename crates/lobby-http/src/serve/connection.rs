//! One connection: requests in, answers out, and an end that the client can understand.
//!
//! hyper reads and writes HTTP/1; [`Guard`] holds the client to its deadlines. When a connection ends we close our side
//! first and read on for a moment, so that the last answer is not lost to a reset while the client still sends.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    http::{Request, Response},
};
use bytes::Bytes;
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::Service,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::watch,
    time::timeout,
};
use tower::Service as _;

use super::guard::{Guard, Missed, Turns};
use crate::{App, access::Caller, answer::Streamed, consul::Stop, counters::Refusal};

/// How long, and how many bytes, we read on after our last answer.
const LINGER: (Duration, usize) = (Duration::from_millis(500), 4 << 20);

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=UTF-8\r\nretry-after: 1\r\n\
connection: close\r\ncontent-length: 26\r\n\r\nall connections are taken\n";

const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\ncontent-type: text/plain; charset=UTF-8\r\nretry-after: 1\r\n\
connection: close\r\ncontent-length: 39\r\n\r\ntoo many connections from this address\n";

const HEAD_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain; charset=UTF-8\r\n\
connection: close\r\ncontent-length: 34\r\n\r\nrequest head not received in time\n";

/// What a connection needs beside its socket.
pub(super) struct Shared {
    pub(super) app: App,
    pub(super) router: Router,
    pub(super) caller: Caller,
    pub(super) stopped: watch::Receiver<()>,
}

/// Hands hyper's requests to the router.
struct ToRouter {
    router: Router,
    caller: Caller,
    turns: Turns,
    stop: Stop,
}

/// The body of an answer that goes on for long: the turn ends when the body does.
struct Streaming {
    body: Body,
    turns: Turns,
}

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
        request.extensions_mut().insert(self.caller);
        request.extensions_mut().insert(self.stop.clone());
        self.turns.step();
        let turns = self.turns.clone();
        let answer = self.router.clone().call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if answer.extensions().get::<Streamed>().is_some() {
                return Ok(answer.map(|body| Body::new(Streaming { body, turns })));
            }
            turns.step();
            Ok(answer)
        })
    }
}

/// Serves one connection to its end.
pub(super) async fn run<IO: AsyncRead + AsyncWrite + Unpin + Send>(io: IO, shared: Shared) {
    let Shared { app, router, caller, mut stopped } = shared;
    let limits = &app.config().limits;
    let turns = Turns::default();
    let guard = Guard::new(io, limits.clone(), turns.clone());
    let mut http = http1::Builder::new();
    // hyper's own deadline, later than both of the guard's, makes it read while it waits. Only so is the guard asked.
    http.timer(TokioTimer::new()).header_read_timeout(limits.idle + 2 * limits.header_read);
    http.max_buf_size(limits.header_bytes);
    let stop = Stop(Some(Arc::new(stopped.clone())));
    let mut connection = http.serve_connection(TokioIo::new(guard), ToRouter { router, caller, turns, stop });
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            ended = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            _ = stopped.changed(), if !stopping => {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let guard = connection.into_parts().io.into_inner();
    let refusal = match (guard.missed(), ended) {
        (Some(Missed::Idle), _) => {
            app.counters().idle_closed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        (Some(Missed::Head), _) => Some(Refusal::HeaderTimeout),
        (Some(Missed::Write), _) => Some(Refusal::WriteStall),
        (None, Err(err)) if err.is_parse_too_large() => Some(Refusal::HeaderTooLarge),
        (None, Err(err)) if err.is_parse() => Some(Refusal::Malformed),
        (None, _) => None,
    };
    if let Some(refusal) = refusal {
        app.counters().refused(refusal);
    }
    let last_words: &[u8] = match refusal {
        Some(Refusal::HeaderTimeout) if !guard.is_stalled() => HEAD_TIMEOUT,
        // An abrupt end is all that a client which takes nothing can notice.
        Some(Refusal::WriteStall) => return,
        _ => &[],
    };
    close(guard.into_inner(), last_words).await;
}

/// Tells a client that it gets no place: all are taken, or as many as its address may have.
pub(super) async fn refuse(io: impl AsyncRead + AsyncWrite + Unpin, why: Refusal) {
    close(io, if why == Refusal::Address { TOO_MANY } else { FULL }).await;
}

/// Writes the last words, closes our side, and reads what the client still sends.
pub(super) async fn close(mut io: impl AsyncRead + AsyncWrite + Unpin, last_words: &[u8]) {
    let closing = async {
        io.write_all(last_words).await?;
        io.shutdown().await?;
        // Not in the future itself, which every idle connection keeps.
        let mut sink = vec![0; 4096];
        let mut left = LINGER.1;
        loop {
            match io.read(&mut sink).await? {
                0 => return Ok::<_, std::io::Error>(()),
                n if n > left => return Ok(()),
                n => left -= n,
            }
        }
    };
    // Whatever goes wrong here, the connection is over.
    let _ = timeout(LINGER.0, closing).await;
}
