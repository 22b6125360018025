//! A connection that ends when the other side says too much: what a check has to hear is small.
//!
//! It bounds the work of all layers above, TLS and HTTP/2, whatever frames they are sent. Time is bounded elsewhere.
//! Not here: HTTP requests, whose bodies may be long (`http`).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Most bytes that are read from one connection: a long chain of certificates has a tenth of that.
const BYTES: u64 = 1 << 20;

/// A connection from which at most [`BYTES`] are read.
pub(super) struct Capped {
    stream: TcpStream,
    left: u64,
}

impl Capped {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self { stream, left: BYTES }
    }
}

impl AsyncRead for Capped {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        // The last read may be above by one buffer, which its owner has bounded.
        match self.left.checked_sub((buffer.filled().len() - before) as u64) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Err(io::Error::other(format!("it said more than {BYTES} bytes")))),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Capped {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
