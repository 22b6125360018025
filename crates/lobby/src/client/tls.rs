//! Whom a client trusts over `https`, and who it says it is.
//!
//! Not here: where the PEM comes from (`lobbyctl` reads files).

use reqwest::{Certificate, ClientBuilder, Identity};

use super::{ClientError, error::innermost};

/// Whom to trust and who to be. By default the system's certificates, and nobody.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Trusted, and nobody else.
    authorities: Vec<Certificate>,
    identity: Option<Identity>,
    /// Certificates are not looked at.
    is_blind: bool,
}

impl Tls {
    /// Trusts these authorities, one or several certificates in PEM, and nobody else.
    ///
    /// # Errors
    /// [`ClientError::BadTls`] if there is none, or one cannot be read.
    pub fn trusting(mut self, pem: &[u8]) -> Result<Self, ClientError> {
        self.authorities = Certificate::from_pem_bundle(pem).map_err(|err| bad(&err))?;
        match &*self.authorities {
            [] => Err(ClientError::BadTls { why: "no certificate in PEM found".into() }),
            _ => Ok(self),
        }
    }

    /// Believes whoever answers: the connection is secret, but nobody knows from whom. For agents whose certificates are of no
    /// known authority; better is to trust that authority.
    #[must_use]
    pub fn trusting_anybody(mut self) -> Self {
        self.is_blind = true;
        self
    }

    /// Shows this certificate, with those between it and its authority, to a daemon that asks for one. Both are PEM.
    ///
    /// # Errors
    /// [`ClientError::BadTls`] if the certificate or the key is missing. That they are not of each other is found when a
    /// client is made.
    pub fn showing(mut self, certificate: &[u8], key: &[u8]) -> Result<Self, ClientError> {
        let pem = [certificate, b"\n", key].concat();
        self.identity = Some(Identity::from_pem(&pem).map_err(|err| bad(&err))?);
        Ok(self)
    }

    pub(super) fn apply(self, mut http: ClientBuilder) -> ClientBuilder {
        if !self.authorities.is_empty() {
            http = http.tls_certs_only(self.authorities);
        }
        if self.is_blind {
            http = http.tls_danger_accept_invalid_certs(true);
        }
        match self.identity {
            Some(identity) => http.identity(identity),
            None => http,
        }
    }
}

fn bad(err: &reqwest::Error) -> ClientError {
    ClientError::BadTls { why: innermost(err) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pem_is_refused() {
        for pem in [&b""[..], b"no certificate", b"-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(Tls::default().trusting(pem), Err(ClientError::BadTls { .. })));
            assert!(matches!(Tls::default().showing(pem, pem), Err(ClientError::BadTls { .. })));
        }
    }
}
