//! Files of TLS that settings name: read, and seen to be PEM, before anything connects. A client library would say so at each
//! attempt to connect, or trust nobody without a word.
//!
//! Not here: whether anybody trusts them, which shows when they are used.

use std::path::Path;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::ExchangeError;

/// The bytes of a file with at least one certificate.
pub(crate) fn certificates(setting: &'static str, path: &Path) -> Result<Vec<u8>, ExchangeError> {
    let bytes = read(setting, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(list) if !list.is_empty() => Ok(bytes),
        _ => Err(unusable(setting, path, "expected certificates in PEM (-----BEGIN CERTIFICATE-----)")),
    }
}

/// The bytes of a file with a private key. What is wrong with one is not told: it might show some of it.
pub(crate) fn key(setting: &'static str, path: &Path) -> Result<Vec<u8>, ExchangeError> {
    let bytes = read(setting, path)?;
    match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(_) => Ok(bytes),
        Err(_) => {
            Err(unusable(setting, path, "expected a private key in PEM, without a passphrase (-----BEGIN PRIVATE KEY-----)"))
        }
    }
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, ExchangeError> {
    std::fs::read(path).map_err(|err| unusable(setting, path, err))
}

fn unusable(setting: &'static str, path: &Path, why: impl std::fmt::Display) -> ExchangeError {
    ExchangeError::Setting { setting, why: format!("{}: {why}", path.display()) }
}

#[cfg(test)]
mod tests {
    use lobby_testkit::{TempDir, tls::Ca};

    use super::*;

    #[test]
    fn only_pem_of_the_right_kind_is_taken() {
        let (ca, folder) = (Ca::new(), TempDir::new().unwrap());
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let cut = std::fs::read(&ca.cert).unwrap();
        let bad = [
            file("empty", b""),
            file("text", b"no PEM at all\n"),
            file("binary", &[0x30, 0x82, 0xff, 0x00]),
            file("cut", &cut[..cut.len() / 2]),
            file("locked", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"),
            folder.path().join("missing"),
        ];
        for (check, good, other) in [
            (certificates as fn(&'static str, &Path) -> Result<Vec<u8>, ExchangeError>, &ca.cert, &ca.key),
            (key, &ca.key, &ca.cert),
        ] {
            assert_eq!(check("SOME_FILE", good).unwrap(), std::fs::read(good).unwrap());
            for path in bad.iter().chain([other]) {
                let said = check("SOME_FILE", path).unwrap_err().to_string();
                let named = format!("SOME_FILE is not usable: {}: ", path.display());
                assert!(said.starts_with(&named), "{said}");
            }
        }
        assert!(certificates("SOME_FILE", &ca.root).is_ok());
    }
}
