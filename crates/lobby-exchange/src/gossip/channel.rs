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
    /// The other end has no key, and we have.
    #[error("the stream is not encrypted")]
    NoKey,
    /// The other end names a key that we have, but has another one.
    #[error("the handshake does not open with our key")]
    Handshake(#[from] snow::Error),
    /// Both have the key, and yet their very first message does not open: the handshake's fresh keys are not theirs.
    #[error("the stream was recorded and is played again")]
    Replayed,
    /// A later message does not open: somebody changed the bytes, or left some out.
    #[error("a message was changed on its way")]
    Changed,
    /// The stream ends within a preamble, a handshake, a message or a frame.
    #[error("the stream is cut short")]
    Truncated,
    /// A frame or the whole stream is longer than it may be.
    #[error("more bytes than a stream may bring")]
    TooLong,
    /// Somebody connected and hung up: a member that wants to know whether anything listens here.
    #[error("nothing was said")]
    Knock,
}

impl ChannelError {
    /// What is counted; `None` for what is no mistake.
    pub(super) const fn verdict(&self) -> Option<Verdict> {
        Some(match self {
            Self::Io(_) => Verdict::Failed,
            Self::Preamble(OpenError::Foreign) => Verdict::Foreign,
            Self::Preamble(OpenError::WrongKey) | Self::Handshake(_) => Verdict::WrongKey,
            Self::Preamble(OpenError::Garbage) | Self::Changed => Verdict::Garbage,
            Self::Truncated => Verdict::Truncated,
            Self::NoKey => Verdict::NoKey,
            Self::Replayed => Verdict::Replayed,
            Self::TooLong => Verdict::Oversize,
            Self::Knock => return None,
        })
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
                handshake.read_message(&read_handshake(&mut socket).await?, &mut [0; 256])?;
                Some(Box::new(handshake.into_transport_mode()?))
            }
        };
        Ok(Self::new(socket, noise))
    }

    /// Opens a stream that somebody else began.
    pub(super) async fn accept(socket: TcpStream, keyring: &Keyring) -> Result<Self, ChannelError> {
        Self::try_accept(socket, keyring).await.map_err(|err| match err {
            ChannelError::Io(err) if err.kind() == io::ErrorKind::UnexpectedEof => ChannelError::Truncated,
            err => err,
        })
    }

    async fn try_accept(mut socket: TcpStream, keyring: &Keyring) -> Result<Self, ChannelError> {
        let mut preamble = [0; PREAMBLE_BYTES];
        let n_read = socket.read(&mut preamble).await?;
        if n_read == 0 {
            return Err(ChannelError::Knock);
        }
        socket.read_exact(&mut preamble[n_read..]).await?;
        // The second byte marks the key, 0 none.
        let secrets = keyring.stream_secrets(&preamble).map_err(|err| match err {
            OpenError::WrongKey if preamble[1] == 0 => ChannelError::NoKey,
            err => err.into(),
        })?;
        let noise = if secrets.is_empty() {
            None
        } else {
            let mut handshake = greeted(&read_handshake(&mut socket).await?, &secrets, &preamble)?;
            write_handshake(&mut socket, &mut handshake).await?;
            Some(Box::new(handshake.into_transport_mode()?))
        };
        Ok(Self::new(socket, noise))
    }

    fn new(socket: TcpStream, noise: Option<Box<TransportState>>) -> Self {
        Self { socket, noise, raw: BytesMut::new(), plain: BytesMut::new(), n_read: 0 }
    }

    /// Waits for the first message from the other end, which is kept for [`Self::read_frame`]. That it opens shows that
    /// the other end has the key: the handshake's own message may be recorded.
    pub(super) async fn prove(&mut self) -> Result<(), ChannelError> {
        loop {
            self.decrypt()?;
            let is_open = self.noise.as_ref().is_none_or(|noise| noise.receiving_nonce() > 0);
            if is_open && !self.plain.is_empty() {
                return Ok(());
            }
            if self.receive().await? == 0 {
                return Err(if self.raw.is_empty() { ChannelError::Knock } else { ChannelError::Truncated });
            }
        }
    }

    /// The next frame; `None` at the end of the stream. May be dropped and called again without loss.
    pub(super) async fn read_frame(&mut self) -> Result<Option<Vec<u8>>, ChannelError> {
        loop {
            self.decrypt()?;
            if let Some(frame) = self.cut_frame()? {
                return Ok(Some(frame));
            }
            if self.receive().await? == 0 {
                return if self.raw.is_empty() && self.plain.is_empty() { Ok(None) } else { Err(ChannelError::Truncated) };
            }
        }
    }

    /// Takes what the network has; how many bytes that is, 0 at the end.
    async fn receive(&mut self) -> Result<usize, ChannelError> {
        let target = if self.noise.is_some() { &mut self.raw } else { &mut self.plain };
        let n_read = self.socket.read_buf(target).await?;
        self.n_read += n_read;
        if self.n_read > MOST_BYTES { Err(ChannelError::TooLong) } else { Ok(n_read) }
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

    /// Gives back the memory that reading took: a kept stream says nothing for hours.
    pub(super) fn shrink(&mut self) {
        for buffer in [&mut self.raw, &mut self.plain] {
            *buffer = BytesMut::from(&buffer[..]);
        }
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
            let first = noise.receiving_nonce() == 0;
            let opened = noise.read_message(&self.raw[2..2 + length], &mut plain);
            let n_bytes = opened.map_err(|_| if first { ChannelError::Replayed } else { ChannelError::Changed })?;
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

/// One message of the handshake, of 256 bytes at most.
async fn read_handshake(socket: &mut TcpStream) -> Result<Vec<u8>, ChannelError> {
    let length = socket.read_u16().await?;
    if length > 256 {
        return Err(ChannelError::TooLong);
    }
    let mut message = vec![0; usize::from(length)];
    socket.read_exact(&mut message).await?;
    Ok(message)
}

/// Takes in the first message: it proves which of the secrets the other has, for preambles can be equal by chance.
fn greeted(message: &[u8], secrets: &[[u8; 32]], preamble: &[u8]) -> Result<HandshakeState, ChannelError> {
    let mut failed = snow::Error::Decrypt;
    for secret in secrets {
        let mut handshake = builder(secret, preamble)?.build_responder()?;
        match handshake.read_message(message, &mut [0; 256]) {
            Ok(_) => return Ok(handshake),
            Err(err) => failed = err,
        }
    }
    Err(failed.into())
}

fn length_of(n_bytes: usize) -> u16 {
    u16::try_from(n_bytes).expect("no Noise message is longer than 65 535 bytes")
}

#[cfg(test)]
impl Channel {
    /// Bytes that reading has reserved.
    pub(super) fn buffered(&self) -> usize {
        self.raw.capacity() + self.plain.capacity()
    }

    /// Bytes that are no message.
    pub(super) async fn write_raw(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }
}
