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
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::turns::Turns;
use crate::Limits;

/// Most bytes that are read while hyper is not there: most heads are shorter.
const AHEAD: usize = 1024;

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

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
struct Deadlines {
    idle: Duration,
    header_read: Duration,
    write_stall: Duration,
}

/// A socket under deadlines.
#[derive(Debug)]
pub(super) struct Guard<IO> {
    io: IO,
    /// What was read from the client and not yet taken by hyper.
    ahead: Bytes,
    deadlines: Deadlines,
    turns: Turns,
    /// When a byte last moved in either direction.
    moved: Instant,
    /// The turn in which the first byte of a head arrived, and when.
    head: Option<(u64, Instant)>,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
    /// Since when the client has taken nothing although there was something for it.
    stalled: Option<Instant>,
    /// The client says no more, which is not told while it has yet to take something.
    has_ended: bool,
    missed: Option<Missed>,
}

impl<IO> Guard<IO> {
    pub(super) fn new(io: IO, limits: &Limits, turns: Turns) -> Self {
        let (ahead, moved) = (Bytes::new(), Instant::now());
        let Limits { idle, header_read, write_stall, .. } = *limits;
        let deadlines = Deadlines { idle, header_read, write_stall };
        let (head, reading, writing, stalled, missed) = (None, None, None, None, None);
        Self { io, ahead, deadlines, turns, moved, head, reading, writing, stalled, has_ended: false, missed }
    }

    /// Whether something was read that hyper has not taken.
    pub(super) const fn has_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Has this read again before everything else.
    pub(super) fn put_back(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.ahead = if self.ahead.is_empty() { bytes } else { [bytes, std::mem::take(&mut self.ahead)].concat().into() };
        self.note_read();
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
            Some((started, at)) if started == turn => (Missed::Head, at + self.deadlines.header_read),
            _ => (Missed::Idle, self.moved + self.deadlines.idle),
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
            self.turns.head_begun(turn);
        }
    }

    fn after_write<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            self.turns.set_stalled(false);
            self.moved = Instant::now();
            if std::mem::take(&mut self.has_ended) {
                cx.waker().wake_by_ref();
            }
            return written;
        }
        let since = *self.stalled.get_or_insert_with(Instant::now);
        self.turns.set_stalled(true);
        ready!(poll_until(&mut self.writing, since + self.deadlines.write_stall, cx));
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

impl<IO: AsyncRead + Unpin> Guard<IO> {
    /// Reads what comes next, for hyper to take it later. Ready with `false` when nothing comes any more. Never ready
    /// while there is as much as is read ahead.
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let room = AHEAD.saturating_sub(self.ahead.len());
        if room == 0 {
            return Poll::Pending;
        }
        let mut bytes = [0; AHEAD];
        let mut buf = ReadBuf::new(&mut bytes[..room]);
        let read = ready!(self.poll_read_on(cx, &mut buf));
        let has_come = read.is_ok() && !buf.filled().is_empty();
        if has_come {
            self.ahead = [&self.ahead, buf.filled()].concat().into();
        }
        Poll::Ready(has_come)
    }

    /// Reads what has not been read before. At the end hyper would give up an answer, of which there is more to take.
    fn poll_read_on(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if matches!(read, Poll::Ready(Ok(()))) && buf.filled().len() == before && self.is_stalled() {
            self.has_ended = true;
            return Poll::Pending;
        }
        if read.is_ready() {
            self.note_read();
            return read;
        }
        self.missed = Some(ready!(self.poll_read_deadline(cx)));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Guard<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            buf.put_slice(&this.ahead.split_to(this.ahead.len().min(buf.remaining())));
            return Poll::Ready(Ok(()));
        }
        this.poll_read_on(cx, buf)
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
