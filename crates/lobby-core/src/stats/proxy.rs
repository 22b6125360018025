//! What the local proxy counts, as plain numbers for /metrics.
//!
//! Not here: counting (lobby-proxy), the text of metrics (lobby-http).

/// What the local proxy has come to, since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyCounts {
    /// Services that are proxied, now.
    pub services: u64,
    /// Those of them whose source has not answered yet, now.
    pub unanswered: u64,
    /// Backends of each service, now.
    pub backends: Vec<ProxyBackends>,
    /// Those that there are: `haproxy`, `nginx`, `files`.
    pub outputs: Vec<(&'static str, ProxyOutput)>,
    /// Commands over HAProxy's socket by kind, such as `add server`: each a change without a reload.
    pub commands: Vec<(String, u64)>,
    /// Commands over the socket that were refused or lost.
    pub commands_failed: u64,
    /// Reads of the socket that failed.
    pub socket_failures: u64,
    /// Commands that mended what somebody else had changed.
    pub repaired: u64,
    /// Starts of a managed HAProxy.
    pub starts: u64,
    /// Ends of a managed HAProxy that nobody asked for.
    pub crashes: u64,
}

/// The backends of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyBackends {
    /// As in the proxy's file.
    pub name: String,
    /// Those that should take traffic.
    pub wanted: u64,
    /// Those that do.
    pub up: u64,
    /// Those that finish what they have.
    pub draining: u64,
    /// Those that are kept although contact with their node is lost.
    pub held: u64,
}

/// What one proxy's files and reloads have come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyOutput {
    /// Files and process are as they should be.
    pub is_in_step: bool,
    /// Files put in place.
    pub writes: u64,
    /// Files that could not be written.
    pub writes_failed: u64,
    /// Files that the check did not take.
    pub checks_failed: u64,
    /// Reloads that were done.
    pub reloads: u64,
    /// For how many of them there was this reason; one may have several.
    pub reload_reasons: Vec<(String, u64)>,
    /// Reloads that failed.
    pub reloads_failed: u64,
}
