//! The stats socket: one command line, one answer. Decides how long an exchange takes and how much it may bring, and reads what a
//! process is like.
//!
//! Each exchange has its own connection: HAProxy closes it after the answer, so the end of an answer is never guessed. Several
//! processes (`nbproc`) are several [`Socket`]s. Not here: what answers mean (`state`, `act`).

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use super::state::{InvalidState, Running};

/// The longest answer: `show stat` takes about 400 bytes a server, so this is 160 000 servers.
pub const ANSWER_BYTES: usize = 64 << 20;

/// The longest command: HAProxy takes no longer line than `tune.bufsize`, 16 384 unless it is set.
pub const COMMAND_BYTES: usize = 8_192;

/// For one exchange, from the connection to the end of the answer: half of HAProxy's own default `stats timeout` of 10 s.
pub const EXCHANGE: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Nobody is there, or the connection broke. The command may have been done if it broke later.
    #[error("socket {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not within [`EXCHANGE`]. The command may have been done.
    #[error("socket {path}: no whole answer within {within} s", path = .0.display(), within = EXCHANGE.as_secs())]
    TimedOut(PathBuf),
    /// An answer above [`ANSWER_BYTES`].
    #[error("socket {path}: the answer is longer than {limit} MiB", path = .0.display(), limit = ANSWER_BYTES >> 20)]
    TooLong(PathBuf),
    /// The answer is not one of HAProxy's.
    #[error(transparent)]
    Invalid(#[from] InvalidState),
}

/// Who answers commands: a socket, or a model of HAProxy in a test.
pub trait Ask: Sync {
    /// Sends one line (commands joined by `;`), brings the whole answer.
    fn ask(&self, line: &str) -> impl Future<Output = Result<String, SocketError>> + Send;
}

/// One stats socket of level admin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    path: PathBuf,
    within: Duration,
    n_bytes: usize,
}

impl Socket {
    /// At `path`; nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), within: EXCHANGE, n_bytes: ANSWER_BYTES }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn exchange(&self, line: &str) -> Result<String, SocketError> {
        let broken = |source| SocketError::Io { path: self.path.clone(), source };
        let mut stream = UnixStream::connect(&self.path).await.map_err(broken)?;
        stream.write_all(line.as_bytes()).await.map_err(broken)?;
        stream.write_all(b"\n").await.map_err(broken)?;
        let mut answer = Vec::new();
        // One byte more shows that the answer is too long.
        let mut bounded = stream.take(self.n_bytes as u64 + 1);
        bounded.read_to_end(&mut answer).await.map_err(broken)?;
        if answer.len() > self.n_bytes {
            return Err(SocketError::TooLong(self.path.clone()));
        }
        Ok(String::from_utf8(answer).unwrap_or_else(|err| String::from_utf8_lossy(err.as_bytes()).into_owned()))
    }
}

impl Ask for Socket {
    async fn ask(&self, line: &str) -> Result<String, SocketError> {
        match timeout(self.within, self.exchange(line)).await {
            Ok(answer) => answer,
            Err(_) => Err(SocketError::TimedOut(self.path.clone())),
        }
    }
}

/// What the process behind it is like now.
pub async fn read(socket: &impl Ask) -> Result<Running, SocketError> {
    let info = socket.ask("show info").await?;
    let stat = socket.ask("show stat").await?;
    let servers = socket.ask("show servers state").await?;
    Ok(Running::parse(&info, &stat, &servers)?)
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    /// A socket whose other end answers `answer` and then closes, or not.
    async fn other_end(answer: Vec<u8>, closes: bool) -> (tempfile::TempDir, Socket) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut line = [0; 64];
                let _ = stream.read(&mut line).await;
                let _ = stream.write_all(&answer).await;
                if !closes {
                    std::future::pending::<()>().await;
                }
            }
        });
        (folder, Socket { path, within: Duration::from_millis(300), n_bytes: 1_000 })
    }

    #[tokio::test]
    async fn answers_have_an_end_and_a_size() {
        let (_folder, socket) = other_end(vec![b'x'; 1_000], true).await;
        assert_eq!(socket.ask("show info").await.unwrap().len(), 1_000);
        let (_folder, socket) = other_end(vec![b'x'; 1_001], true).await;
        assert!(matches!(socket.ask("show info").await, Err(SocketError::TooLong(_))));
        let (_folder, socket) = other_end(b"half".to_vec(), false).await;
        assert!(matches!(socket.ask("show info").await, Err(SocketError::TimedOut(_))));
        let (_folder, socket) = other_end(b"\xff\xfe".to_vec(), true).await;
        assert!(matches!(read(&socket).await, Err(SocketError::Invalid(_))));
    }

    #[tokio::test]
    async fn nobody_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let socket = Socket::new(folder.path().join("none"));
        assert!(matches!(read(&socket).await, Err(SocketError::Io { .. })));
    }
}
