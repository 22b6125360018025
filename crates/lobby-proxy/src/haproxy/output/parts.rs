//! What the task needs of text and socket. Decides the seam between them, so that the task is tested without an HAProxy.

use std::{collections::BTreeMap, future::Future, time::Duration};

use crate::{
    Backend, Settings,
    backend::Known,
    haproxy::{Layout, statefile::Saved, stats::BackendStatus, version::Version},
};

/// Which process it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its id: of a worker, where there is a master.
    pub pid: u32,
    /// When it started, in seconds of Unix time, give or take one.
    pub started: u64,
}

/// What was read and done over the socket.
#[derive(Debug, Clone, Default)]
pub struct Reconciled {
    /// None: not said.
    pub process: Option<Process>,
    /// None: not said.
    pub version: Option<Version>,
    /// Commands that were done, by kind.
    pub done: BTreeMap<String, u64>,
    /// Commands that were refused.
    pub n_failed: u64,
    /// What takes a reload: kinds, which are few, and texts for people.
    pub reload: Vec<(String, String)>,
    /// Of each backend that we own.
    pub backends: BTreeMap<String, BackendStatus>,
    /// Something is open (servers finish what they have): look again after this. None: nothing is.
    pub again: Option<Duration>,
}

/// Text and socket of one HAProxy. The socket's methods are never called with `do_socket = false`.
pub trait Parts: Send + 'static {
    /// What an earlier run remembered.
    fn restore(&mut self, saved: Saved);

    /// What is remembered now.
    fn saved(&self) -> Saved;

    /// What it should be like. `now`: seconds of Unix time.
    fn layout(&mut self, settings: &Settings, picture: &[Known], version: Option<Version>, now: u64) -> Layout;

    /// The version of the running process; None: it does not answer.
    fn version(&mut self) -> impl Future<Output = Option<Version>> + Send;

    /// The servers that the running process has, by the names of their backend and their own; none if it does not answer.
    fn servers(&mut self) -> impl Future<Output = BTreeMap<String, BTreeMap<String, Backend>>> + Send;

    /// Reads, and mends what differs in backends that we own. An error: it does not answer.
    fn reconcile(&mut self, wanted: &Layout) -> impl Future<Output = Result<Reconciled, String>> + Send;

    /// `show servers state`.
    fn servers_state(&mut self) -> impl Future<Output = Result<String, String>> + Send;
}
