//! A connection's bytes under deadlines: for a request head, for the next request, for the client to take its answer.
//!
//! ```text
//! waiting ──first byte──► head ──service called──► busy ──answer made──► waiting
//!    idle                  header_read              none (handlers have their own)
//! ```
//! Sits between the socket and hyper. A missed deadline is an error of the read or write, after which
//! [`Guard::missed`] tells which one it was.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use crate::Limits;

/// A deadline that a client did not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// No further request came.
    Idle,
    /// A request head did not come to its end.
    Head,
    /// Nothing of an answer was taken.
    Write,
}

/// Counts starts and ends of requests: odd while one is being handled.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<AtomicU64>);

impl Turns {
    pub(super) fn step(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The present count, while no request is being handled.
    fn waiting(&self) -> Option<u64> {
        let count = self.0.load(Ordering::Relaxed);
        count.is_multiple_of(2).then_some(count)
    }
}

/// A socket under deadlines.
#[derive(Debug)]
pub(super) struct Guard<IO> {
    io: IO,
    limits: Limits,
    turns: Turns,
    /// When a byte last moved in either direction.
    moved: Instant,
    /// The turn in which the first byte of a head arrived, and when.
    head: Option<(u64, Instant)>,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
    /// Since when the client has taken nothing although there was something for it.
    stalled: Option<Instant>,
    missed: Option<Missed>,
}

impl<IO> Guard<IO> {
    pub(super) fn new(io: IO, limits: Limits, turns: Turns) -> Self {
        let moved = Instant::now();
        Self { io, limits, turns, moved, head: None, reading: None, writing: None, stalled: None, missed: None }
    }

    /// The deadline that was missed, if any.
    pub(super) const fn missed(&self) -> Option<Missed> {
        self.missed
    }

    /// Whether the client has yet to take something that was written.
    pub(super) const fn is_stalled(&self) -> bool {
        self.stalled.is_some()
    }

    pub(super) fn into_inner(self) -> IO {
        self.io
    }

    /// Ready with what the client is late with, once it is.
    fn poll_read_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Missed> {
        let Some(turn) = self.turns.waiting() else { return Poll::Pending };
        let (missed, deadline) = match self.head {
            Some((started, at)) if started == turn => (Missed::Head, at + self.limits.header_read),
            _ => (Missed::Idle, self.moved + self.limits.idle),
        };
        ready!(poll_until(&mut self.reading, deadline, cx));
        Poll::Ready(missed)
    }

    fn note_read(&mut self) {
        self.moved = Instant::now();
        if let Some(turn) = self.turns.waiting()
            && self.head.is_none_or(|(started, _)| started != turn)
        {
            self.head = Some((turn, self.moved));
        }
    }

    fn after_write<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            self.moved = Instant::now();
            return written;
        }
        let since = *self.stalled.get_or_insert_with(Instant::now);
        ready!(poll_until(&mut self.writing, since + self.limits.write_stall, cx));
        self.missed = Some(Missed::Write);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Ready once `deadline` is over. The timer is moved back lazily: only when it fires too early.
fn poll_until(timer: &mut Option<Pin<Box<Sleep>>>, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
    if timer.deadline() > deadline {
        timer.as_mut().reset(deadline);
    }
    loop {
        ready!(timer.as_mut().poll(cx));
        if timer.deadline() >= deadline {
            return Poll::Ready(());
        }
        timer.as_mut().reset(deadline);
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Guard<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        if read.is_ready() {
            this.note_read();
            return read;
        }
        this.missed = Some(ready!(this.poll_read_deadline(cx)));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Guard<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, buf);
        this.after_write(written, cx)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.after_write(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        // A flush with nothing to send is no sign of the client. TLS holds back what a write gave it, so it may wait here.
        if flushed.is_pending() || this.stalled.is_some() { this.after_write(flushed, cx) } else { flushed }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
