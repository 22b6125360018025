//! The agent that templates are answered by: which one, how it is reached, and what commands are told of it.
//!
//! ```text
//! consul.address (-consul-addr, files, CONSUL_HTTP_ADDR) ─► that one, with consul's token, TLS and authentication
//! nothing of that                                        ─► lobbyd as all of lobbyctl finds it (HOST, PORT, SOCKET, TOKEN)
//! ```
//! Commands get none of the variables that are secrets of lobbyd, but the token in Consul's own variable, as consul-template
//! does it. Not here: questions and when they are asked again (`lobby_render::source`).

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lobby::client::{Client, ClientError, Tls};
use lobby_render::{
    command::Surroundings,
    config::{self, Auth, Consul},
    source::{BODY_BYTES, Options, Reply, Retry, Transport, TransportError},
};

use crate::cli::door::Door;

/// Where things are named, for errors.
const ADDRESS: &str = "consul.address (-consul-addr, CONSUL_HTTP_ADDR)";
const CERT: &str = "consul.ssl.cert (-consul-ssl-cert, CONSUL_CLIENT_CERT)";
const CA_PATH: &str = "consul.ssl.ca_path (-consul-ssl-ca-path, CONSUL_CAPATH)";

/// One agent.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    client: Client,
    /// As people write it, for commands.
    address: String,
    token: Option<String>,
    /// Added to each question.
    namespace: Option<String>,
}

impl Agent {
    /// The one that the configuration names, or else the one behind the door, which is opened only then.
    pub(crate) fn new<'a>(consul: &Consul, door: impl FnOnce() -> anyhow::Result<&'a Door>) -> anyhow::Result<Self> {
        let token = match (&consul.token, &consul.token_file) {
            (Some(token), _) => Some(token.0.clone()),
            (None, Some(path)) => Some(
                read("consul.token_file (-consul-token-file, CONSUL_HTTP_TOKEN_FILE)", path)
                    .map(|text| String::from_utf8_lossy(&text).trim().to_owned())?,
            ),
            (None, None) => None,
        };
        let (mut client, address, token) = match &consul.address {
            Some(address) => (at(address, consul.tls.as_ref())?, address.clone(), token),
            None => {
                if consul.tls.is_some() {
                    tracing::warn!("consul.ssl belongs to consul.address: the local lobbyd is reached as PROTO and CA_CERT say");
                }
                let door = door()?;
                let client = door.client()?;
                let address = local_address(client.url());
                (client, address, token.or_else(|| door.token().map(str::to_owned)))
            }
        };
        if let Some(token) = token.as_deref().filter(|token| !token.is_empty()) {
            client = client.with_token(token)?;
        }
        if let Some(Auth { username, password }) = &consul.auth {
            client = client.with_authorization(&format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.0))))?;
        }
        let namespace = consul.namespace.clone().filter(|name| !name.is_empty());
        Ok(Self { client, address, token, namespace })
    }

    /// The one behind the door.
    pub(crate) fn local(door: &Door) -> anyhow::Result<Self> {
        let client = door.client()?;
        let address = local_address(client.url());
        Ok(Self { client, address, token: door.token().map(str::to_owned), namespace: None })
    }

    /// What commands find in their environment.
    pub(crate) fn surroundings(&self, consul: &Consul) -> Surroundings {
        let mut set = vec![("CONSUL_HTTP_ADDR".to_owned(), self.address.clone())];
        let mut give = |name: &str, value: String| set.push((name.to_owned(), value));
        if let Some(token) = &self.token {
            give("CONSUL_HTTP_TOKEN", token.clone());
        }
        if let Some(Auth { username, password }) = &consul.auth {
            give("CONSUL_HTTP_AUTH", format!("{username}:{}", password.0));
        }
        if let Some(tls) = consul.tls.as_ref().filter(|_| consul.address.is_some()) {
            give("CONSUL_HTTP_SSL", "true".into());
            give("CONSUL_HTTP_SSL_VERIFY", tls.verify.to_string());
        }
        Surroundings { set, unset: lobby::secret_variables().collect(), started: None }
    }

    /// The id of its node, if it is a lobbyd.
    pub(crate) async fn node(&self) -> Result<String, ClientError> {
        Ok(self.client.info().await?.value.agent.id)
    }
}

impl Transport for Agent {
    async fn get(&self, path_and_query: &str, wait: Duration) -> Result<Reply, TransportError> {
        let path = match &self.namespace {
            Some(name) => with_namespace(path_and_query, name),
            None => path_and_query.to_owned(),
        };
        let raw = self.client.get_raw(&path, wait, BODY_BYTES).await.map_err(|err| {
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

/// How it is asked; when lookups must succeed, only once.
pub(crate) fn options(consul: &Consul, lookups_must_succeed: bool) -> Options {
    let config::Retry { enabled, attempts, backoff, max_backoff } = consul.retry;
    // Zero is without bound.
    let max_backoff = if max_backoff.is_zero() { Duration::MAX } else { max_backoff };
    let retry = Retry { enabled: enabled && !lookups_must_succeed, attempts, backoff, max_backoff };
    // The lobbyd beside us answers from its own memory.
    let max_stale = if consul.address.is_some() { consul.max_stale } else { Duration::ZERO };
    Options { wait: consul.block_query_wait, retry, max_stale, ..Options::default() }
}

/// A client of the agent at this address.
fn at(address: &str, tls: Option<&config::Tls>) -> anyhow::Result<Client> {
    if let Some(path) = address.strip_prefix("unix://") {
        return Ok(Client::at_socket(Path::new(path))?);
    }
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
    if !matches!(scheme, "http" | "https") {
        bail!("consul.address is {address:?}: expected HOST:PORT, http://…, https://… or unix://PATH");
    }
    match tls {
        // As Consul's own tools: who wants TLS never goes without because of the address.
        Some(settings) => Client::with_tls(&format!("https://{rest}"), trust(settings)?).context(ADDRESS),
        None => Client::new(&format!("{scheme}://{rest}")).context(ADDRESS),
    }
}

fn trust(settings: &config::Tls) -> anyhow::Result<Tls> {
    let mut tls = Tls::default();
    if !settings.verify {
        tracing::warn!("consul.ssl.verify is false: whoever answers at the address of the agent is believed");
        tls = tls.trusting_anybody();
    }
    if let Some(name) = &settings.server_name {
        tracing::warn!("consul.ssl.server_name does nothing here: write {name:?} as host of consul.address");
    }
    let ca_cert = settings.ca_cert.as_deref().map(|path| read("consul.ssl.ca_cert (-consul-ssl-ca-cert, CONSUL_CACERT)", path));
    let mut authorities = ca_cert.transpose()?.unwrap_or_default();
    if let Some(folder) = &settings.ca_path {
        let mut files =
            fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>).with_context(|| shown(CA_PATH, folder))?;
        files.sort_by_key(fs::DirEntry::path);
        for file in files.iter().map(fs::DirEntry::path).filter(|path| path.is_file()) {
            authorities.extend(read(CA_PATH, &file)?);
            authorities.push(b'\n');
        }
    }
    if !authorities.is_empty() {
        tls = tls.trusting(&authorities)?;
    }
    match (&settings.cert, &settings.key) {
        (Some(cert), Some(key)) => {
            Ok(tls.showing(&read(CERT, cert)?, &read("consul.ssl.key (-consul-ssl-key, CONSUL_CLIENT_KEY)", key)?)?)
        }
        (Some(both), None) => Ok(tls.showing(&read(CERT, both)?, b"")?),
        (None, Some(_)) => bail!("consul.ssl.key needs the certificate of the key: set consul.ssl.cert"),
        (None, None) => Ok(tls),
    }
}

/// A file, and where it was named.
fn read(key: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| shown(key, path))
}

fn shown(key: &str, path: &Path) -> String {
    format!("{key}: cannot read {}", path.display())
}

/// The client's address as Consul's own tools take it.
fn local_address(url: &str) -> String {
    match url.strip_prefix("unix:") {
        Some(path) => format!("unix://{path}"),
        None => url.trim_end_matches('/').to_owned(),
    }
}

fn with_namespace(path: &str, name: &str) -> String {
    let mut path = format!("{path}{}ns=", if path.contains('?') { '&' } else { '?' });
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => path.push(char::from(byte)),
            _ => path += &format!("%{byte:02X}"),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use lobby_render::config::Partial;

    use super::*;

    fn consul(text: &str) -> Consul {
        Partial::from_hcl(text).unwrap().resolve(|_| None).unwrap().consul
    }

    /// The address of the client, and what commands are given.
    fn made(text: &str) -> Result<(String, Vec<String>), String> {
        let consul = consul(text);
        let agent = Agent::new(&consul, || bail!("the door")).map_err(|err| format!("{err:#}"))?;
        let set = agent.surroundings(&consul).set.into_iter().map(|(name, value)| format!("{name}={value}"));
        Ok((agent.client.url().to_owned(), set.collect()))
    }

    #[test]
    fn addresses_are_those_of_consuls_tools() {
        for (address, want) in [
            ("h:8500", "http://h:8500/"),
            ("http://h:8500/", "http://h:8500/"),
            ("https://h:8501", "https://h:8501/"),
            ("[::1]:8500", "http://[::1]:8500/"),
            ("unix:///run/consul.sock", "unix:/run/consul.sock"),
        ] {
            let (url, set) = made(&format!("consul {{ address = \"{address}\" }}")).unwrap();
            assert_eq!((&*url, &set[..]), (want, &[format!("CONSUL_HTTP_ADDR={address}")][..]));
        }
        let said = made("consul { address = \"ftp://h\" }").unwrap_err();
        assert_eq!(said, "consul.address is \"ftp://h\": expected HOST:PORT, http://…, https://… or unix://PATH");
        let said = made("consul { address = \"http://host name:1\" }").unwrap_err();
        assert!(
            said.starts_with("consul.address (-consul-addr, CONSUL_HTTP_ADDR): \"http://host name:1\" is not usable"),
            "{said}"
        );
        assert_eq!(made("").unwrap_err(), "the door", "without an address");
    }

    #[test]
    fn commands_are_given_what_reaches_the_agent() {
        let text = "consul { address = \"http://h:1\" token = \"t\" auth = \"u:p\" ssl { enabled = true verify = false } }";
        let (url, set) = made(text).unwrap();
        assert_eq!(url, "https://h:1/", "TLS was asked for");
        let want = ["ADDR=http://h:1", "TOKEN=t", "AUTH=u:p", "SSL=true", "SSL_VERIFY=false"];
        assert_eq!(set, want.map(|pair| format!("CONSUL_HTTP_{pair}")));
    }

    #[test]
    fn files_that_are_not_there_are_named() {
        let said = |keys: &str| made(&format!("consul {{ address = \"h:1\" {keys} }}")).unwrap_err();
        for (text, key, path) in [
            ("token_file = \"/no/such\"", "consul.token_file (-consul-token-file, CONSUL_HTTP_TOKEN_FILE)", "/no/such"),
            ("ssl { ca_cert = \"/no/ca\" }", "consul.ssl.ca_cert (-consul-ssl-ca-cert, CONSUL_CACERT)", "/no/ca"),
            ("ssl { ca_path = \"/no/folder\" }", "consul.ssl.ca_path (-consul-ssl-ca-path, CONSUL_CAPATH)", "/no/folder"),
            ("ssl { cert = \"/no/cert\" }", "consul.ssl.cert (-consul-ssl-cert, CONSUL_CLIENT_CERT)", "/no/cert"),
        ] {
            assert!(said(text).starts_with(&format!("{key}: cannot read {path}: No such file")), "{}", said(text));
        }
        assert_eq!(said("ssl { key = \"/k\" }"), "consul.ssl.key needs the certificate of the key: set consul.ssl.cert");
    }

    #[test]
    fn a_namespace_goes_with_each_question() {
        assert_eq!(with_namespace("/v1/kv/a", "team-1"), "/v1/kv/a?ns=team-1");
        assert_eq!(with_namespace("/v1/kv/a?recurse", "a&b"), "/v1/kv/a?recurse&ns=a%26b");
    }

    #[test]
    fn retries_are_as_configured() {
        let of = |text: &str| options(&consul(text), false);
        assert_eq!(of("").retry, Retry::default());
        let got = of("consul { retry { attempts = 0 backoff = \"1s\" max_backoff = 0 } } block_query_wait = \"5s\"");
        let retry = Retry { enabled: true, attempts: 0, backoff: Duration::from_secs(1), max_backoff: Duration::MAX };
        assert_eq!((got.retry, got.wait), (retry, Duration::from_secs(5)));
        assert!(!of("consul { retry { enabled = false } }").retry.enabled && !options(&consul(""), true).retry.enabled);
        let stale = |text: &str| of(text).max_stale.as_secs();
        assert_eq!((stale(""), stale("consul { address = \"h:1\" }")), (0, 2));
        assert_eq!(stale("max_stale = 0 consul { address = \"h:1\" }"), 0);
    }
}
