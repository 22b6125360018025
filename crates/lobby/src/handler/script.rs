//! What a handler's command is given: variables and stdin, once under our names and once under Serf's.
//!
//! ```text
//! stdin of member and service events, a line each:   NAME <tab> ADDRESS <tab> ROLE <tab> KEY=VALUE,KEY=VALUE,…
//! stdin of user events and queries:                  the payload, ended by a newline as Serf ends it
//! ```
//! Variables cannot be of any size: labels beyond [`LABEL_ENV_BYTES`] are left out of them.
//! Not here: which variables are inherited (`run`).

use lobby_core::record::Record;

use super::inbox::Work;
use crate::membership::{address, tags};

/// Most bytes of our own labels that become variables, in sorted order. The system takes about 2 MiB for everything and
/// 128 KiB for one; each label is there twice, and a record may hold 512 KiB of them.
const LABEL_ENV_BYTES: usize = 64 * 1024;

/// The variables of one run.
pub(super) fn env(work: &Work, own: &Record) -> Vec<(String, String)> {
    let mut env = Vec::new();
    let mut both = |ours: &str, serfs: &str, value: &str| {
        env.push((ours.to_owned(), value.to_owned()));
        env.push((serfs.to_owned(), value.to_owned()));
    };
    let tags = tags(own);
    both("LOBBY_SELF_NAME", "SERF_SELF_NAME", own.name.as_str());
    // One value, as in Serf and on stdin, however many labels say it: all of them together may be too large for a variable.
    let role = own.labels().find_map(|label| label.as_str().strip_prefix("role:"));
    both("LOBBY_SELF_ROLE", "SERF_SELF_ROLE", &printable(role.unwrap_or_default()));
    let mut room = LABEL_ENV_BYTES;
    for (key, value) in &tags {
        let Some(left) = room.checked_sub(key.len() + value.len()) else { continue };
        room = left;
        let key = variable(key);
        both(&format!("LOBBY_LABEL_{key}"), &format!("SERF_TAG_{key}"), &printable(value));
    }
    let mut origin = None;
    match work {
        Work::States(batch) => {
            both("LOBBY_EVENT", "SERF_EVENT", batch.kind.as_str());
            if let Some(service) = &batch.service {
                env.push(("LOBBY_SERVICE".into(), service.to_string()));
            }
        }
        Work::User(event) => {
            both("LOBBY_EVENT", "SERF_EVENT", "user");
            both("LOBBY_USER_EVENT", "SERF_USER_EVENT", &printable(&event.event.name));
            both("LOBBY_USER_LTIME", "SERF_USER_LTIME", &event.ltime.to_string());
            origin = Some(event.origin);
        }
        Work::Query(asked) => {
            both("LOBBY_EVENT", "SERF_EVENT", "query");
            both("LOBBY_QUERY_NAME", "SERF_QUERY_NAME", &printable(&asked.event.name));
            both("LOBBY_QUERY_LTIME", "SERF_QUERY_LTIME", &asked.ltime.to_string());
            origin = Some(asked.origin);
        }
    }
    if let Some(id) = own.origin.node_id() {
        env.push(("LOBBY_SELF_ID".into(), id.to_string()));
    }
    if let Some(id) = origin {
        env.push(("LOBBY_ORIGIN_ID".into(), id.to_string()));
    }
    env
}

/// What one run gets on stdin.
pub(super) fn input(work: &Work) -> Vec<u8> {
    match work {
        Work::States(batch) => batch.changes.iter().flat_map(|change| line(&change.node.record).into_bytes()).collect(),
        Work::User(event) => payload(&event.event.payload),
        Work::Query(asked) => payload(&asked.event.payload),
    }
}

/// Names and labels hold no tab and no line end, so nothing needs to be escaped.
fn line(record: &Record) -> String {
    let address = address(record).map_or_else(|| record.name.to_string(), |address| address.to_string());
    let (mut role, mut pairs) = ("", Vec::new());
    for label in record.labels() {
        let (key, value) = label.as_str().split_once(':').unwrap_or((label.as_str(), ""));
        if key == "role" && role.is_empty() {
            role = value;
        }
        pairs.push(format!("{key}={value}"));
    }
    format!("{}\t{address}\t{role}\t{}\n", record.name, pairs.join(","))
}

/// With a newline at the end, as Serf gives it, so that `read` in a shell takes the last line too.
fn payload(payload: &[u8]) -> Vec<u8> {
    let mut input = payload.to_vec();
    if input.last().is_some_and(|last| *last != b'\n') {
        input.push(b'\n');
    }
    input
}

/// A key as part of a variable's name: upper case, everything but letters, digits and `_` becomes `_`.
fn variable(key: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    key.chars().map(safe).collect()
}

/// A value without the one byte that no variable can hold.
fn printable(value: &str) -> String {
    value.replace('\0', "")
}
