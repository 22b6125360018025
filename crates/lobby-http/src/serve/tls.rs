//! HTTPS: which certificate we show, whose certificates we ask for, and the handshake before a connection's first request.
//!
//! Handshakes are bounded in time and number ([`Limits`](crate::Limits)); who speaks plain HTTP is told so.
//! Nothing here looks at the clock but the check of a client's certificate. Not here: when files are read again
//! (`access::files`), the connection after its handshake (`serve::connection`).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier},
};
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::connection;
use crate::{
    App,
    access::{self, FileError},
    counters::Refusal,
};

const CERT: &str = "TLS_CERT";
/// The setting that names the key.
pub(crate) const KEY: &str = "TLS_KEY";
const CLIENT_CA: &str = "TLS_CLIENT_CA";

/// The first byte of a TLS connection: a record of the handshake.
const HANDSHAKE_RECORD: u8 = 0x16;

const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=UTF-8\r\n\
connection: close\r\ncontent-length: 39\r\n\r\nthis port speaks TLS: use an https URL\n";

/// The files of HTTPS, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// TLS_CERT: our certificate, and those between it and its authority.
    pub cert: PathBuf,
    /// TLS_KEY: its key.
    pub key: PathBuf,
    /// TLS_CLIENT_CA: clients must show a certificate of one of these authorities.
    pub client_ca: Option<PathBuf>,
}

/// What is wrong with a file of HTTPS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("not PEM")]
    Pem,
    #[error("no certificate in it")]
    NoCertificate,
    #[error("no private key in it")]
    NoKey,
    #[error("{0}")]
    Unusable(rustls::Error),
    #[error("{0}")]
    Authorities(VerifierBuilderError),
}

/// Reads the files and checks that certificate and key belong together.
pub(crate) fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, FileError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates(CERT, &files.cert)?;
    let bad_key = |why| FileError::tls(KEY, &files.key, why);
    let key = PrivateKeyDer::from_pem_slice(&access::read_file(KEY, &files.key)?)
        .map_err(|err| bad_key(if matches!(err, pem::Error::NoItemsFound) { TlsError::NoKey } else { TlsError::Pem }))?;
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|err| bad_key(TlsError::Unusable(err)))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let bad = |why| FileError::tls(CLIENT_CA, path, why);
            let mut roots = RootCertStore::empty();
            for certificate in certificates(CLIENT_CA, path)? {
                roots.add(certificate).map_err(|err| bad(TlsError::Unusable(err)))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|err| bad(TlsError::Authorities(err)))?)
        }
    };
    // Fails also when the key is another certificate's.
    let mut config = builder.with_single_cert(chain, key).map_err(|err| bad_key(TlsError::Unusable(err)))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if files.client_ca.is_some() {
        // A resumed session would not see that the client's certificate has expired.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let bytes = access::read_file(setting, path)?;
    let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(FileError::tls(setting, path, TlsError::NoCertificate)),
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(FileError::tls(setting, path, TlsError::Pem)),
    }
}

/// Shakes hands with a client. `None`: it is gone, told what it needs to know.
pub(super) async fn handshake(stream: TcpStream, config: Arc<ServerConfig>, app: &App) -> Option<TlsStream<TcpStream>> {
    match try_handshake(stream, config, app, &app.state.room.handshakes).await {
        Ok(stream) => Some(stream),
        Err(refusal) => {
            if let Some(refusal) = refusal {
                app.counters().refused(refusal);
            }
            None
        }
    }
}

async fn try_handshake(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    app: &App,
    places: &Semaphore,
) -> Result<TlsStream<TcpStream>, Option<Refusal>> {
    let deadline = Instant::now() + app.config().limits.handshake;
    let mut first = [0];
    // Looked at and left where it is. Who has not begun yet takes no place.
    match timeout_at(deadline, stream.peek(&mut first)).await {
        Ok(Ok(0) | Err(_)) => return Err(None),
        Ok(Ok(_)) if first[0] == HANDSHAKE_RECORD => {}
        Ok(Ok(_)) if first[0].is_ascii_uppercase() => {
            connection::close(stream, PLAIN_HTTP).await;
            return Err(Some(Refusal::PlainHttp));
        }
        Ok(Ok(_)) | Err(_) => return Err(Some(Refusal::Handshake)),
    }
    let _place = places.try_acquire().map_err(|_| Some(Refusal::Handshakes))?;
    match timeout_at(deadline, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(_)) | Err(_) => Err(Some(Refusal::Handshake)),
    }
}
