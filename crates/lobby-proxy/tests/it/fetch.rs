//! HTTP/1.1 as small as it can be, over TCP or a Unix socket, one connection a request: no library has to be known here.

use lobby_proxy::fetch::{Fetch, FetchError, Request, Response};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// What tests fetch with. Changes each body before it is sent, if told to; then each must have what is replaced.
#[derive(Clone, Copy, Default)]
pub(crate) struct Plain {
    /// Replaces the first by the second.
    pub(crate) replace: Option<(&'static str, &'static str)>,
}

impl Fetch for Plain {
    async fn fetch(&self, mut request: Request) -> Result<Response, FetchError> {
        if let Some((from, to)) = self.replace {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            assert!(body.contains(from), "{body}");
            request.body = body.replace(from, to).into();
        }
        let within = request.timeout;
        let answer = timeout(within, fetch(&request)).await.unwrap_or_else(|_| Err("too late".into()));
        answer.map_err(|err| FetchError(format!("{}: {err}", request.url)))
    }
}

type Tried<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

async fn fetch(request: &Request) -> Tried<Response> {
    let rest = request.url.strip_prefix("http://").ok_or("only http")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let mut text = format!(
        "{} {} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n",
        request.method,
        if path.is_empty() { "/" } else { path }
    );
    for (name, value) in &request.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("Content-Length: {}\r\n\r\n", request.body.len());
    let bytes = [text.as_bytes(), &request.body].concat();
    match &request.unix_socket {
        Some(path) => exchange(UnixStream::connect(path).await?, &bytes).await,
        None => exchange(TcpStream::connect(host).await?, &bytes).await,
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> Tried<Response> {
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or("no end of headers")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or("no status")?.parse()?;
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    let headers: Vec<(String, String)> = lines.filter_map(header).collect();
    let body = answer.split_off(end + 4);
    let is_chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    Ok(Response { status, headers, body: if is_chunked { unchunked(&body)? } else { body } })
}

fn unchunked(mut rest: &[u8]) -> Tried<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|bytes| bytes == b"\r\n").ok_or("no length of a chunk")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end])?, 16)?;
        body.extend_from_slice(rest.get(end + 2..end + 2 + length).ok_or("a chunk is cut off")?);
        rest = rest.get(end + 4 + length..).ok_or("a chunk does not end")?;
        if length == 0 {
            return Ok(body);
        }
    }
}
