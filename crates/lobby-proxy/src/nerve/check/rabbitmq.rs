//! RabbitMQ: a message goes through the queue `nerve`: declared, published, fetched, acknowledged.
//!
//! ```text
//! "AMQP" 0-9-1 ─► start ─ start-ok (PLAIN) ─► tune ─ tune-ok, open ─► open-ok ─ channel ─► ok
//!   ─ declare ─► ok ─ publish + header + body, get ─► get-ok + header + body ─ ack, close ─► close-ok
//! ```
//! As the AMQP 0-9-1 specification has it (numbers of classes and methods are from there). Whatever else the server says, is
//! a failure with its words. Not here: TLS, other virtual hosts than `/`; Nerve knows none.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::CheckError;

/// What a client begins with: the version.
const HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
/// Bytes of a frame's content: what RabbitMQ proposes by default.
const FRAME: u32 = 131_072;
/// The last byte of a frame.
const FRAME_END: u8 = 0xCE;
/// The queue. Neither durable nor exclusive nor deleted by itself, as Nerve declares it.
const QUEUE: &str = "nerve";
/// The message.
const MESSAGE: &[u8] = b"nerve";
/// Frames of other kinds that are passed over, such as heartbeats: a server that sends more instead of an answer is ill.
const PASSED_OVER: usize = 16;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Method = 1,
    Header = 2,
    Body = 3,
}

/// Class and method.
type Method = (u16, u16);

const START: Method = (10, 10);
const START_OK: Method = (10, 11);
const TUNE: Method = (10, 30);
const TUNE_OK: Method = (10, 31);
const OPEN: Method = (10, 40);
const OPEN_OK: Method = (10, 41);
const CLOSE: Method = (10, 50);
const CLOSE_OK: Method = (10, 51);
const CHANNEL_OPEN: Method = (20, 10);
const CHANNEL_OPEN_OK: Method = (20, 11);
const CHANNEL_CLOSE: Method = (20, 40);
const DECLARE: Method = (50, 10);
const DECLARE_OK: Method = (50, 11);
const PUBLISH: Method = (60, 40);
const GET: Method = (60, 70);
const GET_OK: Method = (60, 71);
const ACK: Method = (60, 80);

/// Sends a message through the queue.
pub(super) async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, username: &str, password: &str) -> Result<(), CheckError> {
    let mut session = Session { stream };
    session.stream.write_all(HEADER).await?;
    session.expect(START).await?;
    let login = format!("\0{username}\0{password}");
    let start_ok = Fields::default().text(&properties().0).short("PLAIN").text(login.as_bytes()).short("en_US");
    session.send(0, method(START_OK, start_ok)).await?;
    let tune = session.expect(TUNE).await?;
    session.send(0, method(TUNE_OK, tuned(&tune)?)).await?;
    session.send(0, method(OPEN, Fields::default().short("/").short("").byte(0))).await?;
    session.expect(OPEN_OK).await?;
    session.send(1, method(CHANNEL_OPEN, Fields::default().short(""))).await?;
    session.expect(CHANNEL_OPEN_OK).await?;
    session.send(1, method(DECLARE, Fields::default().word(0).short(QUEUE).byte(0).long(0))).await?;
    session.expect(DECLARE_OK).await?;
    // The exchange without a name hands it to the queue of this name.
    session.send(1, method(PUBLISH, Fields::default().word(0).short("").short(QUEUE).byte(0))).await?;
    let header = Fields::default().word(PUBLISH.0).word(0).tag(MESSAGE.len() as u64).word(0);
    session.send(1, (Kind::Header, header)).await?;
    session.send(1, (Kind::Body, Fields(MESSAGE.to_vec()))).await?;
    session.send(1, method(GET, Fields::default().word(0).short(QUEUE).byte(0))).await?;
    let got = session.expect(GET_OK).await?;
    let tag = got.get(..8).and_then(|tag| tag.try_into().ok()).map(u64::from_be_bytes);
    let tag = tag.ok_or_else(|| CheckError::Answer("a message without a tag".into()))?;
    session.send(1, method(ACK, Fields::default().tag(tag).byte(0))).await?;
    session.send(0, method(CLOSE, Fields::default().word(200).short("").word(0).word(0))).await?;
    // Until then it is not known that the acknowledgement has arrived. What came before are header and body of the message.
    session.expect(CLOSE_OK).await.map(drop)
}

/// What we are able to: with it RabbitMQ says that a login is refused, and does not only hang up.
fn properties() -> Fields {
    let able = Fields::default().short("authentication_failure_close").put(b"t\x01");
    Fields::default().short("capabilities").put(b"F").text(&able.0)
}

fn method((class, method): Method, fields: Fields) -> (Kind, Fields) {
    let mut bytes = [class.to_be_bytes(), method.to_be_bytes()].concat();
    bytes.extend(fields.0);
    (Kind::Method, Fields(bytes))
}

/// One channel, frames as the server has them up to our bound, no heartbeats: the connection lasts a moment.
fn tuned(tune: &[u8]) -> Result<Fields, CheckError> {
    let frame = tune.get(2..6).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    let frame = frame.ok_or_else(|| CheckError::Answer("tune without its numbers".into()))?;
    // 0: the server has no bound.
    let frame = if frame == 0 { FRAME } else { frame.min(FRAME) };
    Ok(Fields::default().word(1).long(frame).word(0))
}

/// Bytes of fields.
#[derive(Debug, Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn put(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn byte(self, byte: u8) -> Self {
        self.put(&[byte])
    }

    fn word(self, word: u16) -> Self {
        self.put(&word.to_be_bytes())
    }

    /// Also an empty table: its length is 0.
    fn long(self, long: u32) -> Self {
        self.put(&long.to_be_bytes())
    }

    fn tag(self, tag: u64) -> Self {
        self.put(&tag.to_be_bytes())
    }

    /// Ours have a few letters.
    fn short(self, text: &str) -> Self {
        self.byte(text.len() as u8).put(text.as_bytes())
    }

    /// Names and passwords have at most what a configuration takes.
    fn text(self, text: &[u8]) -> Self {
        self.long(text.len() as u32).put(text)
    }
}

/// A connection.
struct Session<S> {
    stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    async fn send(&mut self, channel: u16, (kind, content): (Kind, Fields)) -> Result<(), CheckError> {
        let frame = Fields::default().byte(kind as u8).word(channel).text(&content.0).byte(FRAME_END);
        Ok(self.stream.write_all(&frame.0).await?)
    }

    /// Reads until this method, and returns its fields.
    async fn expect(&mut self, wanted: Method) -> Result<Vec<u8>, CheckError> {
        for _ in 0..PASSED_OVER {
            let (kind, content) = self.receive().await?;
            if kind != Kind::Method as u8 {
                continue;
            }
            let word = |at: usize| content.get(at..at + 2).and_then(|two| two.try_into().ok()).map(u16::from_be_bytes);
            let found = word(0).zip(word(2)).unwrap_or_default();
            if found == wanted {
                return Ok(content[4..].to_vec());
            }
            return Err(CheckError::Answer(words(found, &content)));
        }
        Err(CheckError::Answer(format!("{PASSED_OVER} frames, but not what was asked for")))
    }

    async fn receive(&mut self) -> Result<(u8, Vec<u8>), CheckError> {
        let mut head = [0; 7];
        self.stream.read_exact(&mut head).await?;
        let [kind, _, _, size @ ..] = head;
        // A server of another version answers with the header of its own, and ends.
        if &head[..4] == b"AMQP" {
            return Err(CheckError::Answer("another version of AMQP".into()));
        }
        let size = u32::from_be_bytes(size);
        if size > FRAME {
            return Err(CheckError::TooLong(size as usize));
        }
        let mut content = vec![0; size as usize + 1];
        self.stream.read_exact(&mut content).await?;
        match content.pop() {
            Some(FRAME_END) => Ok((kind, content)),
            _ => Err(CheckError::Answer("a frame without its end".into())),
        }
    }
}

/// What the server says instead, for people.
fn words(found: Method, content: &[u8]) -> String {
    // A code and a short text.
    let text = content.get(6).and_then(|length| content.get(7..7 + usize::from(*length)));
    match (found, text) {
        (CLOSE | CHANNEL_CLOSE, Some(text)) => String::from_utf8_lossy(text).into_owned(),
        (found, _) => format!("method {}.{}", found.0, found.1),
    }
}
