//! Who may use the API and how it is reached beside HOST:PORT: TOKENS_FILE, certificates, CONSUL_ADDR; and whether nothing
//! guards it.
//!
//! The files are read here, so that `--check-config` finds what is wrong with them. Not here: what is in them and reading
//! them again (`lobby_http::Access`).

use std::net::SocketAddr;

use lobby_http::{Access, TlsFiles};

use super::{ConfigError, Http, Read};

/// Reads the files that are set.
pub(super) fn read(read: &Read<'_>) -> Result<Access, ConfigError> {
    let (cert, key, client_ca) = (read.path("TLS_CERT"), read.path("TLS_KEY"), read.path("TLS_CLIENT_CA"));
    let tls = match (cert, key, client_ca) {
        (Some(cert), Some(key), client_ca) => Some(TlsFiles { cert, key, client_ca }),
        (None, None, None) => None,
        (None, None, Some(_)) => {
            return Err(together("TLS_CLIENT_CA asks clients for certificates, so TLS_CERT and TLS_KEY are needed"));
        }
        (Some(_), None, _) => return Err(together("TLS_CERT is set, so TLS_KEY is needed")),
        (None, Some(_), _) => return Err(together("TLS_KEY is set, so TLS_CERT is needed")),
    };
    Access::read(read.path("TOKENS_FILE"), tls).map_err(|err| read.refuse(err.setting(), format!("a good file ({})", err.why())))
}

/// The address of the second listener.
pub(super) fn consul_addr(read: &Read<'_>) -> Result<Option<SocketAddr>, ConfigError> {
    match read.text("CONSUL_ADDR") {
        "" | "off" => Ok(None),
        _ => read.parse("CONSUL_ADDR", "off, or IP:PORT such as 127.0.0.1:8500").map(Some),
    }
}

/// A warning if others than this machine reach the API and need not show anything.
pub(super) fn open(read: &Read<'_>, http: &Http) -> Result<Option<String>, ConfigError> {
    let is_closed = http.token.is_some() || ["TOKENS_FILE", "TLS_CLIENT_CA"].iter().any(|name| !read.text(name).is_empty());
    let doors = [("HOST", Some(http.addr)), ("CONSUL_ADDR", http.consul_addr)];
    let doors = doors.into_iter().filter_map(|(name, addr)| Some((name, addr?)));
    let doors: Vec<_> = doors.filter(|(_, addr)| !addr.ip().to_canonical().is_loopback()).map(|(name, _)| name).collect();
    if is_closed || http.disable_api || doors.is_empty() {
        return Ok(None);
    }
    let doors: Vec<_> = doors.into_iter().map(|name| format!("{name} = {}", read.text(name))).collect();
    let script = if read.truth("ENABLE_SCRIPT_CHECKS")? { ", and so run programs here (ENABLE_SCRIPT_CHECKS)" } else { "" };
    Ok(Some(format!(
        "{}: the API is open to the network: whoever reaches it may read everything and register services{script}; set \
         TOKEN, TOKENS_FILE or TLS_CLIENT_CA, or listen on 127.0.0.1",
        doors.join(", ")
    )))
}

fn together(why: &str) -> ConfigError {
    ConfigError::Together(why.into())
}
