//! One GET as it is: any route in Consul's or in Lobby's form, answered at once or held until something moved.
//!
//! For whoever reads the bodies elsewhere, such as templates, and of an agent that may as well be a Consul. Statuses of every
//! kind are answers here. Not here: routes with types of their own (`client` and its other files).

use std::time::Duration;

use reqwest::{Response, Url, header};

use super::{Client, ClientError, TIMEOUT};

/// An answer of whatever status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw {
    /// The status code.
    pub status: u16,
    /// `X-Consul-Index`: what one waits on with `?index=`; `None` if there is none.
    pub index: Option<u64>,
    /// `X-Lobby-Warm`: whether the daemon's first complete picture has arrived. `None` if no lobbyd answered.
    pub warm: Option<bool>,
    /// `X-Consul-LastContact`, in milliseconds: how long ago the server that answered heard of its leader.
    pub last_contact: Option<u64>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Client {
    /// The same client, whose [`Client::get_raw`] has this `Authorization` header, such as `Basic dTpw`, for an agent behind
    /// a proxy that wants one. The token goes along in Consul's form.
    ///
    /// # Errors
    /// [`ClientError::BadToken`] if it has characters that a header cannot carry.
    pub fn with_authorization(mut self, value: &str) -> Result<Self, ClientError> {
        let mut value = header::HeaderValue::try_from(value).map_err(|_| ClientError::BadToken)?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }

    /// GET of a path with its query, both escaped, such as `/v1/health/service/web?index=7&wait=60s`. `wait` is how long the
    /// agent was told that it may hold the request, `most` how many bytes of body are read. The token is sent in the form of
    /// lobbyd and in that of Consul.
    ///
    /// ```no_run
    /// # async fn demo() -> Result<(), lobby::client::ClientError> {
    /// # let client = lobby::client::Client::new("http://127.0.0.1:8500")?;
    /// let services = client.get_raw("/v1/catalog/services", std::time::Duration::ZERO, 1 << 20).await?;
    /// println!("{} {:?}", services.status, services.index);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::BadUrl`] if the path is none, [`ClientError::NotReachable`] if no answer came in time, and
    /// [`ClientError::Unexpected`] if it is longer than `most`.
    pub async fn get_raw(&self, path_and_query: &str, wait: Duration, most: usize) -> Result<Raw, ClientError> {
        let url = self.below(path_and_query)?;
        // The agent adds up to a sixteenth to the wait.
        let mut request = self.http.get(url).timeout(wait + wait / 16 + TIMEOUT);
        if let Some(authorization) = self.authorization.as_ref().or(self.token.as_ref()) {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(token) = self.token.as_ref().and_then(consul_token) {
            request = request.header("x-consul-token", token);
        }
        let response = request.send().await.map_err(|err| self.lost(err))?;
        let mut raw = Raw {
            status: response.status().as_u16(),
            index: header_value(&response, "x-consul-index"),
            warm: header_value(&response, "x-lobby-warm"),
            last_contact: header_value(&response, "x-consul-lastcontact"),
            body: Vec::new(),
        };
        self.read_raw(response, &mut raw.body, most).await?;
        Ok(raw)
    }

    /// The address of a path below that of the agent.
    fn below(&self, path_and_query: &str) -> Result<Url, ClientError> {
        let mut base = self.base.clone();
        base.set_query(None);
        base.set_fragment(None);
        let text = format!("{}{path_and_query}", base.as_str().trim_end_matches('/'));
        let bad = |why: &str| ClientError::BadUrl { url: path_and_query.to_owned(), why: why.into() };
        if !path_and_query.starts_with('/') {
            return Err(bad("expected a path that begins with a slash"));
        }
        // Parsing resolves dots: what then is another address was not meant.
        match text.parse::<Url>() {
            Ok(url) if url.as_str() == text => Ok(url),
            Ok(_) => Err(bad("expected an escaped path without dots as segments")),
            Err(err) => Err(bad(&err.to_string())),
        }
    }

    async fn read_raw(&self, mut response: Response, body: &mut Vec<u8>, most: usize) -> Result<(), ClientError> {
        while let Some(chunk) = response.chunk().await.map_err(|err| self.lost(err))? {
            if body.len() + chunk.len() > most {
                let why = format!("more than {most} bytes");
                return Err(ClientError::Unexpected { url: response.url().to_string(), why });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(())
    }
}

fn header_value<T: std::str::FromStr>(response: &Response, name: &str) -> Option<T> {
    response.headers().get(name)?.to_str().ok()?.parse().ok()
}

/// The token without the word that lobbyd wants before it.
fn consul_token(token: &header::HeaderValue) -> Option<header::HeaderValue> {
    let mut token = header::HeaderValue::from_bytes(token.as_bytes().strip_prefix(b"Token ")?).ok()?;
    token.set_sensitive(true);
    Some(token)
}
