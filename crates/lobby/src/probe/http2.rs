//! An HTTP/2 connection of a check: plain (with prior knowledge, h2c) or with TLS and the protocol `h2` agreed on.
//!
//! The library bounds headers and frames, and the connection below it bounds all that is said.
//! Not here: what is asked over it (`grpc`, `h2ping`), HTTP requests (`http`).

use std::{future::Future, pin::pin};

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use lobby_core::check::kind::Tls;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{tcp, tls};

/// Most bytes of the headers of an answer, and of its trailers: what servers of HTTP commonly take.
const HEADER_BYTES: u32 = 16 * 1024;

/// Most bytes of an error of somebody else's words that are shown.
const SHOWN: usize = 200;

/// TCP, with or without TLS.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Connects to `host:port`; the error is for people. The connection does nothing unless [`drive`] drives it.
pub(super) async fn connect(
    address: &str,
    tls: Option<&Tls>,
) -> Result<(SendRequest<Bytes>, Connection<Box<dyn Duplex>, Bytes>), String> {
    let stream = tcp::connect(address).await?;
    let stream: Box<dyn Duplex> = match tls {
        None => Box::new(stream),
        Some(tls) => Box::new(tls::shake_hands(stream, address, tls, Some(b"h2")).await?),
    };
    Builder::new().enable_push(false).max_header_list_size(HEADER_BYTES).handshake(stream).await.map_err(told)
}

/// Does what is to be done over a connection, and drives that meanwhile.
pub(super) async fn drive<T>(
    connection: Connection<Box<dyn Duplex>, Bytes>,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let mut work = pin!(work);
    let ended = tokio::select! {
        biased;
        done = &mut work => return done,
        ended = connection => ended,
    };
    // What came before the end counts. If it was too little, the reason of the end says more than the lack.
    work.await.map_err(|why| ended.map_or_else(told, |()| why))
}

/// An error for people.
pub(super) fn told(err: h2::Error) -> String {
    let text = match err.get_io() {
        Some(err) => err.to_string(),
        None => err.to_string(),
    };
    shown(&text).to_owned()
}

/// The beginning of what somebody else says.
pub(super) fn shown(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHOWN)]
}
