//! One connection: requests in, answers out, and an end that the client can understand.
//!
//! ```text
//! idle ──first bytes──► burst (hyper, handlers) ──all answered──► idle
//!                          ▲          └──a request waits──► put aside ──over──┐
//!                          └───────────────────────────────the same head──────┘
//! ```
//! [`Guard`] holds the client to its deadlines. Who is idle or waits has neither buffers nor handlers: a task and its socket.
//! When a connection ends we close our side first and read on for a moment, so that the last answer is not lost to a reset
//! while the client still sends.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::Router;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::watch,
    task::yield_now,
    time::timeout,
};

use super::{
    burst::{self, Ended, ToRouter},
    guard::{Guard, Missed},
    turns::{Aside, Turns},
};
use crate::{App, access::Caller, consul::Stop, counters::Refusal, parking::Wait};

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

/// Serves one connection to its end.
pub(super) async fn run<IO: AsyncRead + AsyncWrite + Unpin + Send>(io: IO, shared: Shared) {
    let Shared { app, router, caller, mut stopped } = shared;
    let limits = &app.config().limits;
    let turns = Turns::default();
    let stop = Stop(Some(Arc::new(stopped.clone())));
    let mut guard = Guard::new(io, limits, turns.clone());
    let (mut is_stopping, mut has_waited) = (false, false);
    let error = loop {
        if !has_waited && !begins(&mut guard, &mut stopped).await {
            break None;
        }
        let (router, stop, turns) = (router.clone(), stop.clone(), turns.clone());
        let service = ToRouter { router, caller, turns: turns.clone(), stop, has_waited: AtomicBool::new(has_waited) };
        // Not in this future itself, which every idle connection keeps.
        let (back, ended) = Box::pin(burst::run(guard, service, limits, &mut stopped, &mut is_stopping)).await;
        guard = back;
        has_waited = match ended {
            Ended::Over(err) => break err,
            // Nobody asks any more.
            Ended::AtRest if is_stopping => break None,
            Ended::AtRest => {
                // Who asks much at once lets others in between.
                if guard.has_ahead() {
                    yield_now().await;
                }
                false
            }
            Ended::Waits(Aside { wait, head }) => {
                if !is_over(wait, &mut guard, &mut stopped, &mut is_stopping).await {
                    break None;
                }
                turns.step();
                guard.put_back(head.into());
                true
            }
        };
    };
    end(guard, error, &app).await;
}

/// Waits for the first bytes of a request. `false` when none come.
async fn begins<IO: AsyncRead + Unpin>(guard: &mut Guard<IO>, stopped: &mut watch::Receiver<()>) -> bool {
    if guard.has_ahead() {
        return true;
    }
    tokio::select! {
        biased;
        has_come = poll_fn(|cx| guard.poll_ahead(cx)) => has_come,
        _ = stopped.changed() => false,
    }
}

/// Waits until a request that was put aside is to be asked again. `false` when the client has gone away.
async fn is_over<IO: AsyncRead + Unpin>(
    wait: Wait,
    guard: &mut Guard<IO>,
    stopped: &mut watch::Receiver<()>,
    is_stopping: &mut bool,
) -> bool {
    if *is_stopping {
        return true;
    }
    // Only the beginning of what the client sends already is read, and whether it goes behind that is not seen.
    let gone = async { while poll_fn(|cx| guard.poll_ahead(cx)).await {} };
    tokio::select! {
        biased;
        _ = wait => true,
        () = gone => false,
        _ = stopped.changed() => {
            *is_stopping = true;
            true
        }
    }
}

/// Counts why the connection is over, and tells the client where it can be told.
async fn end<IO: AsyncRead + AsyncWrite + Unpin>(guard: Guard<IO>, error: Option<hyper::Error>, app: &App) {
    let refusal = match (guard.missed(), error) {
        (Some(Missed::Idle), _) => {
            app.counters().idle_closed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        (Some(Missed::Head), _) => Some(Refusal::HeaderTimeout),
        (Some(Missed::Write), _) => Some(Refusal::WriteStall),
        (None, Some(err)) if err.is_parse_too_large() => Some(Refusal::HeaderTooLarge),
        (None, Some(err)) if err.is_parse() => Some(Refusal::Malformed),
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
