//! The HTTP clients of checks. They keep no connections, so all checks of one sort share one.
//!
//! Only a check that names a TLS server has a client of its own: the name takes the host's place in the URL, with the
//! addresses of the host, and the request says the host itself.
//! Proxies of the environment are not used: a check is about the service, not about the way out of the house.

use std::{net::IpAddr, sync::OnceLock};

use lobby_core::check::kind::Tls;
use reqwest::{Client, ClientBuilder, Url, header::HeaderValue, redirect::Policy};

use crate::fetch::innermost;
use crate::probe::resolve;

/// The one that verifies certificates, and the one that does not. A client that cannot be built is tried again by the next run.
static CLIENTS: [OnceLock<Client>; 2] = [const { OnceLock::new() }; 2];

/// A client, the URL to ask it for, and the host to say if it is not that of the URL.
pub(super) async fn of(tls: &Tls, url: &Url) -> Result<(Client, Url, Option<HeaderValue>), String> {
    match &tls.server_name {
        Some(name) if url.scheme() == "https" && url.host_str() != Some(name) => named(tls, url.clone(), name).await,
        _ => Ok((shared(tls, url)?, url.clone(), None)),
    }
}

fn shared(tls: &Tls, url: &Url) -> Result<Client, String> {
    let cell = &CLIENTS[usize::from(tls.skip_verify)];
    if let Some(client) = cell.get() {
        return Ok(client.clone());
    }
    match builder(tls).build() {
        Ok(client) => Ok(cell.get_or_init(|| client).clone()),
        // Without root certificates, which a plain request does not need.
        Err(_) if url.scheme() == "http" => builder(tls).tls_certs_only([]).build().map_err(innermost),
        Err(err) => Err(innermost(err)),
    }
}

async fn named(tls: &Tls, mut url: Url, name: &str) -> Result<(Client, Url, Option<HeaderValue>), String> {
    let refused = || format!("TLSServerName must be a host name: {name:?}");
    if name.parse::<IpAddr>().is_ok() {
        return Err(refused());
    }
    let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(443));
    let addresses = resolve(&format!("{host}:{port}")).await.map_err(|err| err.to_string())?;
    let said = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
    let said = HeaderValue::try_from(said).map_err(|err| err.to_string())?;
    url.set_host(Some(name)).map_err(|_| refused())?;
    let Some(domain) = url.domain() else { return Err(refused()) };
    let client = builder(tls).resolve_to_addrs(domain, &addresses).build().map_err(innermost)?;
    Ok((client, url, Some(said)))
}

fn builder(tls: &Tls) -> ClientBuilder {
    crate::fetch::tls_provider();
    Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .redirect(Policy::none())
        .tls_danger_accept_invalid_certs(tls.skip_verify)
}
