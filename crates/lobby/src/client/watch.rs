//! Follows a daemon's list and says what changed.
//!
//! The list is asked for only when the revision of a small answer differs, so that a quiet fleet costs a few hundred
//! bytes a turn. Changes are the difference of two lists (level-triggered): what came and went between two turns, or
//! while the daemon was away, shows only in its result.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{Client, ClientError, Filter, Packet};

/// Time between two questions.
const TURN: Duration = Duration::from_millis(250);

/// One change of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum Change {
    /// A server is listed that was not.
    Added {
        /// Its host name.
        hostname: String,
        /// Its labels, sorted.
        labels: Vec<String>,
    },
    /// A server is no longer listed.
    Removed {
        /// Its host name.
        hostname: String,
    },
    /// A server has other labels.
    Relabelled {
        /// Its host name.
        hostname: String,
        /// Labels it did not have, sorted.
        added: Vec<String>,
        /// Labels it no longer has, sorted.
        removed: Vec<String>,
    },
}

/// The changes of a daemon's list, beginning with every listed server as [`Change::Added`].
///
/// ```no_run
/// # async fn demo() -> Result<(), lobby::client::ClientError> {
/// let mut watch = lobby::client::Client::new("http://127.0.0.1:1313")?.watch();
/// loop {
///     for change in watch.next().await? {
///         println!("{change:?}");
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Watch {
    client: Client,
    known: BTreeMap<String, Vec<String>>,
    /// The revision that `known` is the list of.
    revision: Option<u64>,
    /// The next question waits a turn.
    waits: bool,
}

impl Watch {
    pub(super) fn new(client: Client) -> Self {
        Self { client, known: BTreeMap::new(), revision: None, waits: false }
    }

    /// Waits until something changed and returns it, ordered by host name; never an empty list.
    ///
    /// A daemon that is not warm does not know who is missing, so its list removes nobody. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// See [`ClientError`]. The watch stays usable: the next call asks again and reports what changed meanwhile.
    pub async fn next(&mut self) -> Result<Vec<Change>, ClientError> {
        loop {
            if std::mem::replace(&mut self.waits, true) {
                tokio::time::sleep(TURN).await;
            }
            let seen = self.client.discovery().await?.revision;
            if seen.is_some() && seen == self.revision {
                continue;
            }
            let list = self.client.list(Filter::All).await?;
            let warm = list.warm.unwrap_or(true);
            self.revision = list.revision.filter(|_| warm);
            let changes = apply(&mut self.known, list.value, warm);
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }
}

/// Makes `known` the new list and says what that changed. Servers that are missing in an incomplete list stay.
fn apply(known: &mut BTreeMap<String, Vec<String>>, list: Vec<Packet>, complete: bool) -> Vec<Change> {
    let mut gone = if complete { std::mem::take(known) } else { known.clone() };
    let mut changes = Vec::new();
    for Packet { hostname, labels, .. } in list {
        match gone.remove(&hostname) {
            None => changes.push(Change::Added { hostname: hostname.clone(), labels: labels.clone() }),
            Some(old) if old != labels => changes.push(Change::Relabelled {
                hostname: hostname.clone(),
                added: labels.iter().filter(|label| !old.contains(label)).cloned().collect(),
                removed: old.into_iter().filter(|label| !labels.contains(label)).collect(),
            }),
            Some(_) => {}
        }
        known.insert(hostname, labels);
    }
    if complete {
        changes.extend(gone.into_keys().map(|hostname| Change::Removed { hostname }));
    }
    changes.sort_by(|a, b| a.hostname().cmp(b.hostname()));
    changes
}

impl Change {
    /// The host that changed.
    pub fn hostname(&self) -> &str {
        match self {
            Self::Added { hostname, .. } | Self::Removed { hostname } | Self::Relabelled { hostname, .. } => hostname,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(hosts: &[(&str, &[&str])]) -> Vec<Packet> {
        let packet = |(hostname, labels): &(&str, &[&str])| Packet {
            hostname: (*hostname).into(),
            labels: labels.iter().map(|label| (*label).into()).collect(),
            last_check: 1,
        };
        hosts.iter().map(packet).collect()
    }

    #[test]
    fn the_difference_of_two_lists_is_what_changed() {
        let mut known = BTreeMap::new();
        assert_eq!(apply(&mut known, list(&[("b", &["x"]), ("c", &[])]), true).len(), 2);
        let changes = apply(&mut known, list(&[("a", &["z"]), ("b", &["x", "y"])]), true);
        let want = [
            Change::Added { hostname: "a".into(), labels: vec!["z".into()] },
            Change::Relabelled { hostname: "b".into(), added: vec!["y".into()], removed: vec![] },
            Change::Removed { hostname: "c".into() },
        ];
        assert_eq!(changes, want);
        assert_eq!(apply(&mut known, list(&[("a", &["z"]), ("b", &["x", "y"])]), true), []);
    }

    #[test]
    fn an_incomplete_list_removes_nobody() {
        let mut known = BTreeMap::new();
        apply(&mut known, list(&[("a", &[]), ("b", &[])]), true);
        assert_eq!(apply(&mut known, list(&[("b", &[])]), false), []);
        assert_eq!(apply(&mut known, list(&[("b", &[])]), true), [Change::Removed { hostname: "a".into() }]);
    }
}
