//! Settings of the Redis exchange as options of its client library: where, who we are, TLS.

use redis::{ClientTlsConfig, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, TlsCertificates};

use super::*;

pub(super) fn client(config: &Config) -> Result<Client, ExchangeError> {
    let unusable = |setting| move |err: redis::RedisError| ExchangeError::Setting { setting, why: err.to_string() };
    let (host, port) = (config.host.clone(), config.port);
    let certificates = certificates(config)?;
    let addr = if config.tls || certificates.is_some() {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    let mut settings = RedisConnectionInfo::default().set_db(config.db).set_protocol(ProtocolVersion::RESP3);
    if let Some(user) = &config.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = config.password.as_ref().filter(|password| !password.is_empty()) {
        settings = settings.set_password(password);
    }
    let info = addr.into_connection_info().map_err(unusable("REDIS_HOST"))?.set_redis_settings(settings);
    match certificates {
        None => Client::open(info).map_err(unusable("REDIS_HOST")),
        Some(certificates) => Client::build_with_tls(info, certificates).map_err(unusable("REDIS_CA")),
    }
}

/// The files of TLS; `None` when none is set.
fn certificates(config: &Config) -> Result<Option<TlsCertificates>, ExchangeError> {
    let read = |setting, path: &PathBuf| {
        std::fs::read(path).map_err(|err| ExchangeError::Setting { setting, why: format!("{}: {err}", path.display()) })
    };
    let lacks = |setting, other| Err(ExchangeError::Setting { setting, why: format!("it needs {other} as well") });
    let client_tls = match (&config.cert, &config.key) {
        (Some(cert), Some(key)) => {
            Some(ClientTlsConfig { client_cert: read("REDIS_CERT", cert)?, client_key: read("REDIS_KEY", key)? })
        }
        (None, None) => None,
        (Some(_), None) => return lacks("REDIS_CERT", "REDIS_KEY"),
        (None, Some(_)) => return lacks("REDIS_KEY", "REDIS_CERT"),
    };
    let root_cert = config.ca.as_ref().map(|path| read("REDIS_CA", path)).transpose()?;
    Ok((client_tls.is_some() || root_cert.is_some()).then_some(TlsCertificates { client_tls, root_cert }))
}
