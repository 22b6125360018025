//! Where answers come from. Decides the one contract that lobbyd's catalog, a Lobby or Consul agent over HTTP, a folder of
//! keys and plain files have in common.
//!
//! ```text
//! Sources ─┬─ keys ──► Folder, if there is one
//!          ├─ file ──► Files
//!          └─ else ──► Consul ─► Transport ─► an agent's HTTP API: lobbyd's own router, a remote lobbyd, a Consul
//! ```

mod consul;
mod decode;
mod file;
mod folder;
mod patient;
mod routed;
mod transport;

use std::future::Future;

use tokio::sync::mpsc;

use crate::{Answer, Query};

pub use consul::{Consul, Options, Retry};
pub use file::Files;
pub use folder::Folder;
pub use patient::Patient;
pub use routed::Sources;
pub use transport::{BODY_BYTES, Reply, Transport, TransportError};

/// What a source tells about a question.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// The answer, now or changed. The first one comes as soon as the source is warm, even if it is empty.
    Answer(Query, Answer),
    /// There is none for now; the source goes on trying.
    Trouble {
        /// What could not be answered.
        query: Query,
        /// What went wrong, for people.
        message: String,
        /// How often in a row.
        attempts: u32,
    },
    /// There will be none.
    Failed {
        /// What could not be answered.
        query: Query,
        /// What went wrong, for people.
        message: String,
    },
}

/// Answers questions, again whenever the answer changes.
pub trait Source: Send + Sync + 'static {
    /// Watches one question until the future is dropped or `news` is closed. Tells at most one answer per 100 ms after the
    /// first, always the newest, and equal ones once.
    fn watch(&self, query: Query, news: mpsc::Sender<News>) -> impl Future<Output = ()> + Send;

    /// Whether answers may lack what is there although they are told as whole: an agent has given up waiting for an exchange
    /// that was never complete.
    fn is_doubtful(&self) -> bool {
        false
    }
}
