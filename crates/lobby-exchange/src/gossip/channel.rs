//! Frames over TCP: a preamble, a Noise handshake when there are keys, then frames with their length before them.
//!
//! ```text
//! ► preamble[10] [message 1]      ◄ [message 2]        NNpsk0: both sides fresh keys, mixed with the cluster's secret
//! ⇄ [Noise message]*              plaintext of all messages joined = (length[4] frame)*
//! ```
//! `[x]` is x with two bytes of length before it. Without keys there is no handshake and the frames travel bare.
//! Not here: what frames say (`lobby_gossip`), who may speak how long (`stream`).

use std::io;

use bytes::{Buf, BytesMut};
use lobby_core::stats::Verdict;
use lobby_gossip::{FRAME_BYTES, Keyring, OpenError, PREAMBLE_BYTES};
use snow::{Builder, HandshakeState, TransportState};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";

/// Longest Noise message, and what it adds to its payload.
const MESSAGE_BYTES: usize = 65_535;
const TAG_BYTES: usize = 16;

/// What one stream may bring in all: twice what an exchange gives.
const MOST_BYTES: usize = 64 << 20;

/// Why a stream could not be opened or went wrong. Drop it; the engine tries again.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChannelError {
    /// The network.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The preamble is not ours.
    #[error(transparent)]
    Preamble(#[from] OpenError),
    /// The other end has another key, or somebody changed the bytes.
    #[error("the handshake or a message does not open with our key")]
    Noise(#[from] snow::Error),
    /// A frame or the whole stream is longer than it may be.
    #[error("more bytes than a stream may bring")]
    TooLong,
}

impl ChannelError {
    pub(super) const fn verdict(&self) -> Verdict {
        match self {
            Self::Io(_) => Verdict::Failed,
            Self::Preamble(OpenError::Foreign) => Verdict::Foreign,
            Self::Preamble(OpenError::WrongKey) | Self::Noise(_) => Verdict::WrongKey,
            Self::Preamble(OpenError::Garbage) => Verdict::Garbage,
            Self::TooLong => Verdict::Oversize,
        }
    }
}

/// A stream that is ready for frames.
pub(super) struct Channel {
    socket: TcpStream,
    noise: Option<Box<TransportState>>,
    /// As it came from the network.
    raw: BytesMut,
    /// Decrypted, cut into frames.
    plain: BytesMut,
    n_read: usize,
}

impl Channel {
    /// Opens the stream from our side.
    pub(super) async fn connect(mut socket: TcpStream, keyring: &Keyring) -> Result<Self, ChannelError> {
        let preamble = keyring.preamble();
        socket.write_all(&preamble).await?;
        let noise = match keyring.stream_secret() {
            None => None,
            Some(secret) => {
                let mut handshake = builder(&secret, &preamble)?.build_initiator()?;
                write_handshake(&mut socket, &mut handshake).await?;
                read_handshake(&mut socket, &mut handshake).await?;
                Some(Box::new(handshake.into_transport_mode()?))
            }
        };
        Ok(Self::new(socket, noise))
    }

    /// Opens a stream that somebody else began.
    pub(super) async fn accept(mut socket: TcpStream, keyring: &Keyring) -> Result<Self, ChannelError> {
        let mut preamble = [0; PREAMBLE_BYTES];
        socket.read_exact(&mut preamble).await?;
        let noise = match keyring.accept_stream(&preamble)? {
            None => None,
            Some(secret) => {
                let mut handshake = builder(&secret, &preamble)?.build_responder()?;
                read_handshake(&mut socket, &mut handshake).await?;
                write_handshake(&mut socket, &mut handshake).await?;
                Some(Box::new(handshake.into_transport_mode()?))
            }
        };
        Ok(Self::new(socket, noise))
    }

    fn new(socket: TcpStream, noise: Option<Box<TransportState>>) -> Self {
        Self { socket, noise, raw: BytesMut::new(), plain: BytesMut::new(), n_read: 0 }
    }

    /// The next frame; `None` at the end of the stream. May be dropped and called again without loss.
    pub(super) async fn read_frame(&mut self) -> Result<Option<Vec<u8>>, ChannelError> {
        loop {
            self.decrypt()?;
            if let Some(frame) = self.cut_frame()? {
                return Ok(Some(frame));
            }
            let target = if self.noise.is_some() { &mut self.raw } else { &mut self.plain };
            let n_read = self.socket.read_buf(target).await?;
            if n_read == 0 {
                return Ok(None);
            }
            self.n_read += n_read;
            if self.n_read > MOST_BYTES {
                return Err(ChannelError::TooLong);
            }
        }
    }

    /// Sends one frame.
    pub(super) async fn write_frame(&mut self, frame: &[u8]) -> Result<(), ChannelError> {
        let length = u32::try_from(frame.len()).map_err(|_| ChannelError::TooLong)?;
        let plain = [&length.to_be_bytes(), frame].concat();
        let Some(noise) = &mut self.noise else { return Ok(self.socket.write_all(&plain).await?) };
        let mut message = vec![0; MESSAGE_BYTES];
        for part in plain.chunks(MESSAGE_BYTES - TAG_BYTES) {
            let n_bytes = noise.write_message(part, &mut message)?;
            self.socket.write_u16(length_of(n_bytes)).await?;
            self.socket.write_all(&message[..n_bytes]).await?;
        }
        Ok(())
    }

    /// Ends our side once all is sent.
    pub(super) async fn close(mut self) {
        let _ = self.socket.shutdown().await;
    }

    fn decrypt(&mut self) -> Result<(), ChannelError> {
        let Some(noise) = &mut self.noise else { return Ok(()) };
        while let Some(length) = self.raw.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)))
            && self.raw.len() >= 2 + length
        {
            let mut plain = vec![0; length];
            let n_bytes = noise.read_message(&self.raw[2..2 + length], &mut plain)?;
            self.plain.extend_from_slice(&plain[..n_bytes]);
            self.raw.advance(2 + length);
        }
        Ok(())
    }

    fn cut_frame(&mut self) -> Result<Option<Vec<u8>>, ChannelError> {
        let Some(length) = self.plain.first_chunk().map(|length| u32::from_be_bytes(*length) as usize) else { return Ok(None) };
        if length > FRAME_BYTES {
            return Err(ChannelError::TooLong);
        }
        if self.plain.len() < 4 + length {
            return Ok(None);
        }
        self.plain.advance(4);
        Ok(Some(self.plain.split_to(length).to_vec()))
    }
}

fn builder<'a>(secret: &'a [u8; 32], preamble: &'a [u8]) -> Result<Builder<'a>, snow::Error> {
    let params = PATTERN.parse()?;
    Builder::new(params).psk(0, secret)?.prologue(preamble)
}

async fn write_handshake(socket: &mut TcpStream, handshake: &mut HandshakeState) -> Result<(), ChannelError> {
    let mut message = [0; 256];
    let n_bytes = handshake.write_message(&[], &mut message)?;
    socket.write_u16(length_of(n_bytes)).await?;
    Ok(socket.write_all(&message[..n_bytes]).await?)
}

async fn read_handshake(socket: &mut TcpStream, handshake: &mut HandshakeState) -> Result<(), ChannelError> {
    let length = usize::from(socket.read_u16().await?);
    let mut message = [0; 256];
    let message = message.get_mut(..length).ok_or(ChannelError::TooLong)?;
    socket.read_exact(message).await?;
    handshake.read_message(message, &mut [0; 256])?;
    Ok(())
}

fn length_of(n_bytes: usize) -> u16 {
    u16::try_from(n_bytes).expect("no Noise message is longer than 65 535 bytes")
}
