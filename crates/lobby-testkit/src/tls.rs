//! A certificate authority made by `openssl`, with a server's and a client's certificate.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::process::find;

/// PEM files; they live as long as this value.
#[derive(Debug)]
pub struct Ca {
    /// The root certificate.
    pub root: PathBuf,
    /// A certificate for localhost, 127.0.0.1 and ::1, good for servers and clients.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    _folder: TempDir,
}

impl Ca {
    /// Makes an authority and a certificate.
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("ca-").expect("a temporary folder");
        let dir = folder.path();
        let extensions = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\nbasicConstraints=CA:FALSE\n";
        std::fs::write(dir.join("extensions"), extensions).expect("a file in a fresh folder can be written");
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let root = ["req", "-x509", "-days", "30", "-subj", "/CN=lobby test", "-keyout", "root.key", "-out", "root.pem"];
        openssl(dir, &[&root[..], &key].concat());
        let request = ["req", "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "request.pem"];
        openssl(dir, &[&request[..], &key].concat());
        let sign =
            ["x509", "-req", "-days", "30", "-in", "request.pem", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial"];
        openssl(dir, &[&sign[..], &["-extfile", "extensions", "-out", "cert.pem"]].concat());
        Self { root: dir.join("root.pem"), cert: dir.join("cert.pem"), key: dir.join("key.pem"), _folder: folder }
    }
}

impl Default for Ca {
    fn default() -> Self {
        Self::new()
    }
}

fn openssl(dir: &Path, args: &[&str]) {
    let output = Command::new(find("openssl")).args(args).current_dir(dir).output().expect("openssl can be started");
    assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}
