//! What a managed HAProxy says. Decides what of it people are told again when something failed.
//!
//! Not here: whose pipes these are (`manage`).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest line of its log that is passed on; the rest follows as another.
const LOG_BYTES: usize = 4 * 1024;

/// Of an alert: enough for a path, a section and an address.
const ALERT_CHARS: usize = 300;

/// The last alerts by the file of who told them. Whoever reads its log outlives the supervisor that started it, so it is kept
/// here; as many as there are files.
static COMPLAINTS: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());

/// What the HAProxy with this file complained of last.
pub(in crate::haproxy) fn complaint(file: &Path) -> Option<String> {
    COMPLAINTS.lock().unwrap_or_else(PoisonError::into_inner).get(file).cloned()
}

/// What it says from now on is about something new.
pub(in crate::haproxy) fn forget_complaint(file: &Path) {
    COMPLAINTS.lock().unwrap_or_else(PoisonError::into_inner).remove(file);
}

/// `[ALERT]    (31281) : Binding … cannot bind socket …`; the last one of all only says that it ends, and that a backend is
/// empty is nothing that ends it.
fn alert(line: &str) -> Option<&str> {
    let (_, text) = line.split_once("[ALERT]")?.1.split_once(" : ")?;
    (!text.ends_with("Exiting.") && !text.contains("has no server available")).then(|| text.trim())
}

/// Has all that it says in our log as well.
pub(super) async fn pass_on(mut pipe: Box<dyn AsyncRead + Send + Unpin>, file: PathBuf) {
    let mut buffer = Vec::with_capacity(LOG_BYTES);
    while let Ok(1..) = pipe.read_buf(&mut buffer).await {
        let end = match buffer.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if buffer.len() >= LOG_BYTES => buffer.len(),
            None => continue,
        };
        for line in String::from_utf8_lossy(&buffer[..end]).lines() {
            tracing::info!("haproxy says: {line}");
            if let Some(alert) = alert(line) {
                let text = alert.chars().take(ALERT_CHARS).collect();
                COMPLAINTS.lock().unwrap_or_else(PoisonError::into_inner).insert(file.clone(), text);
            }
        }
        buffer.drain(..end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_alert_that_says_something_is_kept_until_something_new_begins() {
        let file = PathBuf::from("/nowhere/at/all/haproxy.cfg");
        let said = "[NOTICE]   (1) : version\n[ALERT]    (1) : first : one\n[ALERT]    (1) : Binding for frontend new: no\n\
            [ALERT]    (1) : [haproxy.main()] Some protocols failed to start their listeners! Exiting.\n\
            [ALERT]    (1) : backend 'web' has no server available!\n[WARNING]  (1) : x\n";
        assert_eq!(complaint(&file), None);
        pass_on(Box::new(said.as_bytes()), file.clone()).await;
        assert_eq!(complaint(&file).as_deref(), Some("Binding for frontend new: no"));
        forget_complaint(&file);
        assert_eq!(complaint(&file), None);
    }
}
