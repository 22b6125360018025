//! A Consul at an address, over the program's HTTP.

use std::time::Duration;

use lobby_render::source::{Reply, Transport, TransportError};

use crate::fetch::{Fetch, Request};

/// Added to what the agent may hold a request: a slow network and a long answer.
const GRACE: Duration = Duration::from_secs(20);

/// Asks one address.
#[derive(Debug)]
pub(super) struct Direct<F> {
    pub(super) fetch: F,
    /// `http://HOST:PORT`, without a slash at its end.
    pub(super) address: String,
    pub(super) token: Option<String>,
}

impl<F: Fetch> Transport for Direct<F> {
    async fn get(&self, path_and_query: &str, wait: Duration) -> Result<Reply, TransportError> {
        let request = Request {
            method: "GET",
            url: format!("{}{path_and_query}", self.address),
            headers: self.token.iter().map(|token| ("X-Consul-Token".to_owned(), token.clone())).collect(),
            timeout: wait + wait / 16 + GRACE,
            ..Request::default()
        };
        let failed = |err: crate::fetch::FetchError| TransportError { message: err.to_string(), is_retryable: true };
        let response = self.fetch.fetch(request).await.map_err(failed)?;
        let warm = response.header("x-lobby-warm").and_then(|warm| warm.parse().ok());
        let index = response.header("x-consul-index").and_then(|index| index.parse().ok());
        let last_contact = response.header("x-consul-lastcontact").and_then(|age| age.parse().ok()).map(Duration::from_millis);
        Ok(Reply { status: response.status, index, warm, last_contact, body: response.body })
    }
}
