//! The agent that a proxy without one asks about the catalog. Decides how it is found: the settings of `lobbyd` that say where
//! it listens are read from the other side.
//!
//! Not here: what is asked, and when again (`lobby_render::source`).

use std::{net::IpAddr, path::Path, time::Duration};

use lobby::client::{Client, ClientError, Holding, Tls};
use lobby_proxy::nerve::{Hold, Payload, ReportError};
use lobby_render::{
    command::Surroundings,
    source::{BODY_BYTES, Reply, Transport, TransportError},
};

use crate::{cli::proxy::Alone, config::raw::Raw};

/// An agent, or why none can be asked.
#[derive(Clone, Debug)]
pub(super) struct Agent(Result<Client, String>);

impl Agent {
    /// The one of these settings. Nothing is asked yet.
    pub(super) fn new(raw: &Raw, alone: &Alone) -> Self {
        Self(client(raw, alone))
    }

    /// Whether the settings are good.
    pub(super) fn check(&self) -> Result<(), String> {
        self.0.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    /// What commands are given: how to reach it, and no secret.
    pub(super) fn surroundings(&self) -> Surroundings {
        let address = self.0.iter().map(|client| match client.url().strip_prefix("unix:") {
            Some(path) => format!("unix://{path}"),
            None => client.url().trim_end_matches('/').to_owned(),
        });
        let set = address.map(|address| ("CONSUL_HTTP_ADDR".to_owned(), address)).collect();
        Surroundings { set, unset: lobby::secret_variables().collect(), started: Some(lobby::rlimit::restore) }
    }
}

impl Transport for Agent {
    async fn get(&self, path_and_query: &str, wait: Duration) -> Result<Reply, TransportError> {
        let client = self.0.as_ref().map_err(|why| TransportError { message: why.clone(), is_retryable: false })?;
        let raw = client.get_raw(path_and_query, wait, BODY_BYTES).await.map_err(|err| {
            let message = match &err {
                ClientError::NotReachable { .. } => format!("{err}: {}", err.cause()),
                _ => err.to_string(),
            };
            TransportError { message, is_retryable: err.is_temporary() }
        })?;
        let last_contact = raw.last_contact.map(Duration::from_millis);
        Ok(Reply { status: raw.status, index: raw.index, warm: raw.warm, last_contact, body: raw.body })
    }
}

impl Hold for Agent {
    type Held = Holding;

    async fn hold(&self, payload: &Payload) -> Result<Holding, ReportError> {
        let client = self.0.as_ref().map_err(|why| ReportError::Client(why.clone()))?;
        client.hold(&payload.definition()).await.map_err(|err| ReportError::Client(err.to_string()))
    }

    async fn release(&self, _: &Payload, held: Holding) -> Result<(), ReportError> {
        // The agent sees the end of the connection.
        drop(held);
        Ok(())
    }

    async fn ended(held: &mut Holding) {
        held.ended().await;
    }
}

fn client(raw: &Raw, alone: &Alone) -> Result<Client, String> {
    let said = |err: ClientError| format!("the agent cannot be asked: {err}");
    let client = match raw.value("SOCKET").0 {
        "" => at_address(raw, alone)?,
        path => Client::at_socket(without_mode(path)).map_err(said)?,
    };
    match raw.value("TOKEN").0 {
        "" => Ok(client),
        token => client.with_token(token).map_err(said),
    }
}

fn at_address(raw: &Raw, alone: &Alone) -> Result<Client, String> {
    let is_https = match alone.proto.as_deref() {
        Some(proto) => proto == "https",
        None => !raw.value("TLS_CERT").0.is_empty(),
    };
    let (host, port) = (raw.value("HOST").0, raw.value("PORT").0);
    let host = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        // Where it listens is not where it is asked.
        Ok(IpAddr::V4(ip)) if ip.is_unspecified() => "127.0.0.1".into(),
        Ok(IpAddr::V6(ip)) if ip.is_unspecified() => "[::1]".into(),
        Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
        _ => host.to_owned(),
    };
    let mut tls = Tls::default();
    if let Some(file) = alone.ca_cert.as_ref().filter(|_| is_https) {
        let bad = |why: String| format!("CA_CERT {}: {why}", file.display());
        let authorities = std::fs::read(file).map_err(|err| bad(err.to_string()))?;
        tls = tls.trusting(&authorities).map_err(|err| bad(err.to_string()))?;
    }
    let url = format!("{}://{host}:{port}", if is_https { "https" } else { "http" });
    Client::with_tls(&url, tls).map_err(|err| format!("the agent cannot be asked: {err}"))
}

/// SOCKET may have the mode behind it.
fn without_mode(path: &str) -> &Path {
    let is_mode = |text: &str| !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    Path::new(path.rsplit_once(':').filter(|(_, mode)| is_mode(mode)).map_or(path, |(path, _)| path))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::cli::proxy;

    fn url(line: &str) -> Result<String, String> {
        let line = format!("lobbyd proxy --synapse /s {line}");
        let alone = proxy::find(line.split_whitespace().map(OsString::from)).unwrap().unwrap();
        let mut raw = Raw::default();
        alone.read_flags(&mut raw);
        client(&raw, &alone).map(|client| client.url().to_owned())
    }

    #[test]
    fn the_agent_is_asked_where_its_settings_say_that_it_listens() {
        for (line, want) in [
            ("--proto http", "http://127.0.0.1:1313/"),
            ("--proto http --host 0.0.0.0 --port 7", "http://127.0.0.1:7/"),
            ("--proto http --host ::", "http://[::1]:1313/"),
            ("--proto https --host lobby.example", "https://lobby.example:1313/"),
            ("--socket /run/l.sock:0660", "unix:/run/l.sock"),
        ] {
            assert_eq!(url(line).unwrap(), want, "{line}");
        }
        assert!(url("--proto http --port none").unwrap_err().contains("none"));
        let said = url("--proto https --ca-cert /no/such").unwrap_err();
        assert!(said.starts_with("CA_CERT /no/such: No such file"), "{said}");
    }
}
