//! Settings of the Redis exchange as options of its client library: where, who we are, TLS.

use redis::{ClientTlsConfig, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, TlsCertificates};

use super::*;
use crate::pem;

pub(super) fn client(config: &Config) -> Result<Client, ExchangeError> {
    let unusable = |setting| move |err: redis::RedisError| ExchangeError::Setting { setting, why: err.to_string() };
    check(config)?;
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

/// Values that no server can accept.
fn check(config: &Config) -> Result<(), ExchangeError> {
    let refuse = |setting, why| Err(ExchangeError::Setting { setting, why });
    match config {
        Config { port: 0, .. } => refuse("REDIS_PORT", "0: expected a port from 1 to 65535".into()),
        Config { db: ..0, .. } => refuse("REDIS_DB", format!("{}: expected the number of a database, 0 or more", config.db)),
        _ => Ok(()),
    }
}

/// The files of TLS; `None` when none is set.
fn certificates(config: &Config) -> Result<Option<TlsCertificates>, ExchangeError> {
    let lacks = |setting, other| Err(ExchangeError::Setting { setting, why: format!("it needs {other} as well") });
    let client_tls = match (&config.cert, &config.key) {
        (Some(cert), Some(key)) => {
            let (client_cert, client_key) = (pem::certificates("REDIS_CERT", cert)?, pem::key("REDIS_KEY", key)?);
            Some(ClientTlsConfig { client_cert, client_key })
        }
        (None, None) => None,
        (Some(_), None) => return lacks("REDIS_CERT", "REDIS_KEY"),
        (None, Some(_)) => return lacks("REDIS_KEY", "REDIS_CERT"),
    };
    let root_cert = config.ca.as_ref().map(|path| pem::certificates("REDIS_CA", path)).transpose()?;
    Ok((client_tls.is_some() || root_cert.is_some()).then_some(TlsCertificates { client_tls, root_cert }))
}

#[cfg(test)]
mod tests {
    use lobby_testkit::{TempDir, tls::Ca};

    use super::*;

    #[test]
    fn what_can_never_work_is_refused_with_its_name() {
        let (ca, folder) = (Ca::new(), TempDir::new().unwrap());
        let bad = folder.path().join("no.pem");
        std::fs::write(&bad, "no PEM").unwrap();
        let file = |path: &PathBuf| Some(path.clone());
        let pem = format!("{}: expected", bad.display());
        for (config, name, why) in [
            (Config { port: 0, ..Config::default() }, "REDIS_PORT", "0: expected a port from 1 to 65535"),
            (Config { db: -1, ..Config::default() }, "REDIS_DB", "-1: expected"),
            (Config { ca: file(&bad), ..Config::default() }, "REDIS_CA", &pem),
            (Config { cert: file(&bad), key: file(&ca.key), ..Config::default() }, "REDIS_CERT", &pem),
            (Config { cert: file(&ca.cert), key: file(&bad), ..Config::default() }, "REDIS_KEY", &pem),
        ] {
            let said = client(&config).unwrap_err().to_string();
            assert!(said.starts_with(&format!("{name} is not usable: {why}")), "{said}");
        }
        let (cert, key) = (file(&ca.cert), file(&ca.key));
        assert!(client(&Config { cert, key, ca: file(&ca.root), ..Config::default() }).is_ok());
    }
}
