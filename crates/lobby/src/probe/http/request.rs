//! The requests of one run: the first, and those that redirects lead to.
//!
//! Redirects are followed here and not by the client, since only here is it known which headers are meant for one host:
//! its name, when the check gives it, and credentials. They end where a redirect leaves the origin.
//! Not here: what an answer means (`http`), and connections (`client`).

use lobby_core::check::kind::Http;
use reqwest::{
    Method, Response, StatusCode, Url,
    header::{
        ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION,
        TRANSFER_ENCODING, USER_AGENT,
    },
};

use super::client;
use crate::fetch::innermost;

/// What Consul's checks call themselves: logs and firewalls of services know it.
const AGENT: HeaderValue = HeaderValue::from_static("Consul Health Check");

/// Text if there is a choice: the answer is read by people.
const ACCEPTED: HeaderValue = HeaderValue::from_static("text/plain, text/*, */*");

/// Most bytes of a bad address that are shown: enough to recognise it.
const SHOWN: usize = 200;

/// A request that is to be made.
pub(super) struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: String,
}

impl Request {
    /// What the check asks for; the error is for people.
    pub(super) fn try_new(http: &Http) -> Result<Self, String> {
        let url = http.url.parse().map_err(|err| format!("not a URL: {err}"))?;
        let method = match &*http.method {
            "" => Method::GET,
            method => Method::from_bytes(method.as_bytes()).map_err(|err| err.to_string())?,
        };
        Ok(Self { method, url, headers: headers(http)?, body: http.body.clone() })
    }

    /// Makes it, on a connection of its own.
    pub(super) async fn send(&self, http: &Http) -> Result<Response, String> {
        let (client, url, host) = client::of(&http.tls, &self.url).await?;
        let mut headers = self.headers.clone();
        if let Some(host) = host {
            headers.entry(HOST).or_insert(host);
        }
        // Name and password of the URL become a header, unless the check has its own.
        let request = client.request(self.method.clone(), url).headers(headers);
        let request = if self.body.is_empty() { request } else { request.body(self.body.clone()) };
        request.send().await.map_err(innermost)
    }

    /// Becomes the request that this answer leads to. `false` if the answer leads nowhere.
    pub(super) fn follow(&mut self, answer: &Response) -> Result<bool, String> {
        use StatusCode as Code;
        let keeps_method = match answer.status() {
            Code::MOVED_PERMANENTLY | Code::FOUND | Code::SEE_OTHER => false,
            Code::TEMPORARY_REDIRECT | Code::PERMANENT_REDIRECT => true,
            _ => return Ok(false),
        };
        let Some(location) = answer.headers().get(LOCATION) else { return Ok(false) };
        let next = location.to_str().ok().and_then(|location| self.url.join(location).ok());
        let next = next.filter(|next| matches!(next.scheme(), "http" | "https"));
        let next = next.ok_or_else(|| {
            let shown = &location.as_bytes()[..location.len().min(SHOWN)];
            format!("redirected to what is no HTTP URL: {}", shown.escape_ascii())
        })?;
        if next.origin() != self.url.origin() {
            for private in [HOST, AUTHORIZATION, COOKIE] {
                self.headers.remove(private);
            }
        }
        if !keeps_method {
            if self.method != Method::HEAD {
                self.method = Method::GET;
            }
            self.body.clear();
        }
        self.url = next;
        Ok(true)
    }
}

fn headers(http: &Http) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &http.headers {
        let refused = |why: String| format!("header {name:?}: {why}");
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|err| refused(err.to_string()))?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|err| refused(err.to_string()))?;
        match header {
            // How the request is framed is ours to say.
            CONNECTION | CONTENT_LENGTH | TRANSFER_ENCODING => {}
            HOST => drop(headers.insert(HOST, value)),
            header => drop(headers.append(header, value)),
        }
    }
    headers.entry(USER_AGENT).or_insert(AGENT);
    headers.entry(ACCEPT).or_insert(ACCEPTED);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(headers)
}
