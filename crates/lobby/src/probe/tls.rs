//! TLS of checks that are no HTTP requests: the name to ask for, and whom to trust.
//!
//! The certificates of the system are trusted, as in HTTP requests of checks, or any certificate where the check says so.
//! Every run does the whole handshake: one that resumes an earlier one would not see that a certificate has expired.
//! Not here: HTTP requests (`http`).

use std::sync::{Arc, OnceLock};

use lobby_core::check::kind::Tls;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use rustls_platform_verifier::Verifier;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::capped::Capped;

/// One that trusts the system, and one that trusts anybody. One that cannot be made is tried again by the next run.
static CONFIGS: [OnceLock<ClientConfig>; 2] = [const { OnceLock::new() }; 2];

/// Does the handshake with `host:port`. Of protocols above it, `protocol` must be agreed on if it is given.
///
/// The error is for people.
pub(super) async fn shake_hands(
    stream: Capped,
    address: &str,
    tls: &Tls,
    protocol: Option<&'static [u8]>,
) -> Result<TlsStream<Capped>, String> {
    shake_hands_as(config(tls)?, stream, address, tls, protocol).await.map_err(|why| format!("TLS: {why}"))
}

async fn shake_hands_as(
    mut config: ClientConfig,
    stream: Capped,
    address: &str,
    tls: &Tls,
    protocol: Option<&'static [u8]>,
) -> Result<TlsStream<Capped>, String> {
    let name = tls.server_name.as_deref().unwrap_or_else(|| host(address));
    let named = ServerName::try_from(name.to_owned()).map_err(|_| format!("not a name of a server: {name:?}"))?;
    config.alpn_protocols = protocol.map(<[u8]>::to_vec).into_iter().collect();
    let stream = TlsConnector::from(Arc::new(config)).connect(named, stream).await.map_err(|err| err.to_string())?;
    let agreed = stream.get_ref().1.alpn_protocol();
    match protocol {
        Some(wanted) if agreed != Some(wanted) => Err(format!("it does not offer the protocol {}", wanted.escape_ascii())),
        _ => Ok(stream),
    }
}

/// The host of `host:port`, without the brackets of an IPv6 address.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn config(tls: &Tls) -> Result<ClientConfig, String> {
    let cell = &CONFIGS[usize::from(tls.skip_verify)];
    if let Some(config) = cell.get() {
        return Ok(config.clone());
    }
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match tls.skip_verify {
        true => Arc::new(Anybody(provider.clone())),
        false => Arc::new(Verifier::new(provider.clone()).map_err(|err| err.to_string())?),
    };
    Ok(cell.get_or_init(|| trusting(verifier, provider)).clone())
}

fn trusting(verifier: Arc<dyn ServerCertVerifier>, provider: Arc<CryptoProvider>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("ring has ciphers for each version");
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
}

/// Takes every certificate, even one that breaks the rules for certificates.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
