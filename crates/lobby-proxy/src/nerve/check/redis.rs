//! Redis: `PING`, and `EXISTS` of a key, so that a server which only accepts connections does not pass.
//!
//! Not here: passwords; Nerve knows none.

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};

use super::CheckError;

/// Both in one go: redis answers in order.
const COMMANDS: &[u8] = b"*1\r\n$4\r\nPING\r\n*2\r\n$6\r\nEXISTS\r\n$5\r\nnerve\r\n";
/// Of one answer, which is a line: errors of redis have less than a hundred.
const LINE: u64 = 1024;

/// Asks and reads both answers.
pub(super) async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), CheckError> {
    stream.write_all(COMMANDS).await?;
    let mut reader = BufReader::new(stream);
    for is_good in [|line: &str| line == "+PONG", |line: &str| line == ":0" || line == ":1"] {
        let mut line = Vec::new();
        (&mut reader).take(LINE).read_until(b'\n', &mut line).await?;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if !line.ends_with(b"\r\n") || !is_good(text) {
            return Err(CheckError::Answer(text.chars().take(80).collect()));
        }
    }
    Ok(())
}
