//! Sources: what feeds the local record.
//!
//! A source is a task that sends whole states, never differences, so a missed message heals with the next one.

pub(crate) mod address;
pub(crate) mod folder;
pub(crate) mod hostname;
pub(crate) mod keys;
pub(crate) mod labels;
pub(crate) mod scan;
pub(crate) mod watch;

/// Carries out work on files where it may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("file work does not panic and is never aborted")
}
