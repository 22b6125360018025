//! Single requests to programs that are no Lobby: a cloud's API, a container engine on its socket.
//!
//! No retries, no redirects, no cookies. Proxies of the environment (`HTTPS_PROXY`, `NO_PROXY`) are used for `https` only: what
//! is asked without TLS is near, such as the metadata of this machine.
//! Not here: a running lobbyd (`client`), checks (`probe`).

use std::{path::PathBuf, sync::OnceLock, time::Duration};

use reqwest::{
    Client, ClientBuilder, Method, RequestBuilder,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST` …
    pub method: &'static str,
    /// With `http:` or `https:`.
    pub url: String,
    /// In order; those of the connection are added.
    pub headers: Vec<(String, String)>,
    /// Sent as it is.
    pub body: Vec<u8>,
    /// Over this socket instead of TCP.
    pub unix_socket: Option<PathBuf>,
    /// Whoever answers over `https` is believed, and no proxy is asked: for what is near and has no certificate of its own.
    pub is_insecure: bool,
    /// From the connection to the last byte.
    pub timeout: Duration,
    /// A longer body is an error.
    pub most: usize,
}

/// An answer of whatever status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case; those that are no text are left out.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Sends it and reads the answer.
///
/// # Errors
/// For people: what is wrong with the request, or why no whole answer came. The URL is not in it, which may hold secrets.
pub async fn fetch(request: Request) -> Result<Response, String> {
    let most = request.most;
    let mut response = builder(request)?.send().await.map_err(innermost)?;
    let text = |(name, value): (&HeaderName, &HeaderValue)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()));
    let headers = response.headers().iter().filter_map(text).collect();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(innermost)? {
        if body.len() + chunk.len() > most {
            return Err(format!("the answer has more than {most} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response { status: response.status().as_u16(), headers, body })
}

fn builder(request: Request) -> Result<RequestBuilder, String> {
    let method: Method = request.method.parse().map_err(|_| format!("{:?} is no HTTP method", request.method))?;
    let url: reqwest::Url = request.url.parse().map_err(|err| format!("the URL cannot be read: {err}"))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let bad = || format!("the header {name:?} cannot be sent");
        headers.append(name.parse::<HeaderName>().map_err(|_| bad())?, value.parse().map_err(|_| bad())?);
    }
    let client = match request.unix_socket {
        // Made anew each time: it asks seldom, and keeps nothing.
        Some(path) => plain().unix_socket(path).build().map_err(innermost)?,
        None => shared(match (url.scheme(), request.is_insecure) {
            ("https", false) => Sort::Trusted,
            ("https", true) => Sort::Blind,
            _ => Sort::Plain,
        })?,
    };
    Ok(client.request(method, url).headers(headers).body(request.body).timeout(request.timeout))
}

/// Requests of one sort share a client.
#[derive(Clone, Copy)]
enum Sort {
    Plain,
    Trusted,
    Blind,
}

fn shared(sort: Sort) -> Result<Client, String> {
    static CLIENTS: [OnceLock<Client>; 3] = [const { OnceLock::new() }; 3];
    let cell = &CLIENTS[sort as usize];
    if let Some(client) = cell.get() {
        return Ok(client.clone());
    }
    let client = match sort {
        Sort::Plain => plain(),
        Sort::Trusted => base(),
        Sort::Blind => base().no_proxy().tls_danger_accept_invalid_certs(true),
    };
    let client = client.build().map_err(innermost)?;
    Ok(cell.get_or_init(|| client).clone())
}

/// Without the system's certificates, which are slow to read and not needed.
fn plain() -> ClientBuilder {
    base().no_proxy().tls_certs_only([])
}

fn base() -> ClientBuilder {
    tls_provider();
    Client::builder().redirect(Policy::none())
}

/// Installs ring where the program has chosen no other provider.
pub(crate) fn tls_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Lost only to another thread that installs one at this moment, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

/// The innermost cause, such as `Connection refused`: the rest repeats the URL.
pub(crate) fn innermost(err: reqwest::Error) -> String {
    let err = err.without_url();
    let mut err: &dyn std::error::Error = &err;
    while let Some(source) = err.source() {
        err = source;
    }
    err.to_string()
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::net::UnixListener,
        thread,
    };

    use lobby_testkit::TempDir;

    use super::*;

    fn request(url: &str) -> Request {
        let headers = vec![("X-Asked".to_owned(), "for".to_owned())];
        let timeout = Duration::from_secs(10);
        Request { method: "PUT", url: url.into(), headers, body: b"what".to_vec(), timeout, most: 3, ..Request::default() }
    }

    #[tokio::test]
    async fn a_socket_is_asked_and_answers_of_every_status_are_read_up_to_their_bound() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("engine.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let mut asked = String::new();
            for body in ["yes", "long"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut bytes = [0; 4096];
                let n_bytes = stream.read(&mut bytes).unwrap();
                asked = String::from_utf8_lossy(&bytes[..n_bytes]).into_owned();
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 404 Not Found\r\nX-Told: you\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                )
                .unwrap();
            }
            asked
        });
        let ask = || Request { unix_socket: Some(path.clone()), ..request("http://engine/containers/json?all=1") };
        let answer = fetch(ask()).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (404, b"yes".as_slice()));
        assert!(answer.headers.contains(&("x-told".into(), "you".into())), "{answer:?}");
        assert_eq!(fetch(ask()).await.unwrap_err(), "the answer has more than 3 bytes");
        let asked = server.join().unwrap();
        assert!(asked.starts_with("PUT /containers/json?all=1 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("x-asked: for\r\n") && asked.ends_with("\r\n\r\nwhat"), "{asked}");
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_told_without_its_secrets() {
        for (request, why) in [
            (Request { method: "NO SUCH", ..request("http://a") }, "\"NO SUCH\" is no HTTP method"),
            (request("secret"), "the URL cannot be read: relative URL without a base"),
            (
                Request { headers: vec![("a b".into(), "secret".into())], ..request("http://a") },
                "the header \"a b\" cannot be sent",
            ),
        ] {
            assert_eq!(fetch(request).await.unwrap_err(), why);
        }
        let nobody = format!("http://{}/secret", lobby_testkit::port::free_address());
        let why = fetch(request(&nobody)).await.unwrap_err();
        assert!(why.contains("refused") && !why.contains("secret"), "{why}");
    }
}
