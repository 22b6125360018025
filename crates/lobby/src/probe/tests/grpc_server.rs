//! A real gRPC server with the standard health service: that of Google, in Python.

use std::{env, path::PathBuf, process::Command};

use lobby_testkit::{
    process::{Process, find},
    tls::Ca,
};

use super::SOON;

/// Lives as long as this value.
pub(in crate::probe) struct GrpcServer {
    /// `127.0.0.1:port`.
    pub(in crate::probe) address: String,
    _process: Process,
}

impl GrpcServer {
    /// Starts one and waits until it listens; with TLS if there is a certificate.
    pub(in crate::probe) fn start(ca: Option<&Ca>) -> Self {
        let python = match env::var_os("LOBBY_TEST_VENV") {
            Some(venv) => PathBuf::from(venv).join("bin/python3"),
            None => find("python3"),
        };
        let mut command = Command::new(python);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/probe/tests/health.py"));
        command.args(ca.map(|ca| [&ca.key, &ca.cert]).into_iter().flatten());
        let (process, lines) = Process::start_with_lines("health.py", command);
        let port = lines.recv_timeout(SOON).unwrap_or_else(|err| {
            panic!("no gRPC server ({err}); ./test installs grpcio into LOBBY_TEST_VENV\n{}", process.log())
        });
        Self { address: format!("127.0.0.1:{port}"), _process: process }
    }
}
