//! Whether a turn was enough. Decides which differences only a reload mends, and what counts as in step.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{Parts, Process, Reconciled, Task, Turn};
use crate::{
    haproxy::{Layout, manage::Managed, stats::BackendStatus},
    settings::Haproxy,
};

/// A socket that does not answer for so long belongs to nobody, or to a process that is beyond help: HAProxy's own start took
/// 60 to 120 ms.
pub(super) const UNREACHABLE: Duration = Duration::from_secs(2);

/// Between two looks at a managed process that does not answer yet: less than a start takes.
const STARTS: Duration = Duration::from_millis(50);

/// A managed one that has never answered may still load thousands of certificates.
const NEVER_REACHABLE: Duration = Duration::from_secs(10);

/// What a process has of the file, as far as it takes a reload.
pub(super) fn loads<'a>(haproxy: &Haproxy, layout: &'a Layout) -> &'a str {
    if haproxy.do_socket { &layout.skeleton } else { &layout.text }
}

fn reason(kind: &str, text: impl Into<String>) -> (String, String) {
    (kind.to_owned(), text.into())
}

/// Whether the process was started with what it should have; `text`: what it was started with, if that is known.
pub(super) fn structure(haproxy: &Haproxy, text: Option<&str>, layout: &Layout) -> Vec<(String, String)> {
    let is_ours = haproxy.do_writes || !haproxy.do_socket;
    match text {
        // Somebody else writes the file, if anybody does.
        _ if !is_ours => Vec::new(),
        None => vec![reason("unknown", "it is not known what the running process was started with")],
        Some(text) if text == loads(haproxy, layout) => Vec::new(),
        Some(_) if haproxy.do_socket => vec![reason("structure", "more than servers changed")],
        Some(_) => vec![reason("file", "the file changed, and the socket is not used")],
    }
}

impl<P: Parts> Task<P> {
    /// What still takes a reload: kinds with texts for people.
    pub(super) fn judge(&mut self, layout: &Layout, turn: &Turn) -> Vec<(String, String)> {
        let mut is_settled = turn.is_in_place;
        let reasons = match &turn.mended {
            None if self.haproxy.do_socket => {
                // A managed process that is down.
                is_settled = false;
                self.unreachable = None;
                Vec::new()
            }
            None => structure(&self.haproxy, self.memory.text(), layout),
            Some(Ok(mended)) => {
                (self.unreachable, self.unreachable_text, self.replaced_text) = (None, None, None);
                self.answered = self.managed.as_ref().and_then(Managed::pid);
                self.note_mended(mended, turn);
                is_settled &= mended.done.is_empty() && mended.n_failed == 0 && mended.again.is_none();
                let filed = self.filed.since().map(|since| (self.loadable_from(since), layout.skeleton.as_str()));
                match self.memory.see(mended.process, filed, Instant::now()) {
                    true => [structure(&self.haproxy, self.memory.text(), layout), mended.reload.clone()].concat(),
                    false => {
                        is_settled = false;
                        Vec::new()
                    }
                }
            }
            Some(Err(err)) => {
                is_settled = false;
                self.stats.update(|status| status.socket_failures += 1);
                let reasons = self.unreachable_for(layout, turn.began, err);
                self.fail_unreachable(err);
                reasons
            }
        };
        self.again = match &turn.mended {
            Some(Ok(mended)) => mended.again,
            // It is about to: what changed since the file that it starts with is not kept waiting.
            Some(Err(_)) if self.is_starting() => Some(STARTS),
            _ => None,
        };
        self.is_settled = is_settled && reasons.is_empty();
        if self.is_settled {
            self.policy.in_step();
        }
        let is_in_step = self.is_settled;
        self.stats.update(|status| {
            status.is_in_step = is_in_step;
            if is_in_step {
                status.last_error = None;
            }
        });
        reasons
    }

    /// From which second on a process that starts has the structure that the file has `since` then.
    fn loadable_from(&self, since: SystemTime) -> u64 {
        // Seconds do not tell whether our own start came after our own write; this does.
        let started_with = self.managed.as_ref().and_then(|managed| managed.file_changed());
        let is_started_with = started_with.is_some_and(|changed| changed >= since);
        let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if is_started_with { 0 } else { since.as_secs() }
    }

    /// A managed process runs, and does not answer yet.
    fn is_starting(&self) -> bool {
        let is_new = self.unreachable.is_none_or(|since| since.elapsed() < UNREACHABLE);
        is_new && self.managed.as_ref().is_some_and(|managed| managed.pid().is_some())
    }

    /// Perhaps a reload makes one that answers.
    fn unreachable_for(&mut self, layout: &Layout, turn_began: Instant, err: &str) -> Vec<(String, String)> {
        // Whoever accepts and says nothing has been silent since the turn began.
        let since = *self.unreachable.get_or_insert(turn_began);
        let text = Some(&layout.text);
        let is_new = self.unreachable_text.as_ref() != text || (self.managed.is_some() && self.replaced_text.as_ref() != text);
        let is_long = since.elapsed() >= if self.is_starting_up() { NEVER_REACHABLE } else { UNREACHABLE };
        if is_new && is_long { vec![reason("unreachable", format!("the socket does not answer: {err}"))] } else { Vec::new() }
    }

    /// A managed process runs that has not answered yet.
    fn is_starting_up(&self) -> bool {
        self.managed.as_ref().is_some_and(|managed| managed.pid() != self.answered)
    }

    /// Nobody can mend that a process which just starts does not answer yet.
    fn fail_unreachable(&self, err: &str) {
        let is_short = self.unreachable.is_some_and(|since| since.elapsed() < UNREACHABLE);
        match self.is_starting_up() && is_short {
            true => tracing::debug!("haproxy: {err}"),
            false => self.stats.fail(err.to_owned()),
        }
    }

    fn note_mended(&mut self, mended: &Reconciled, turn: &Turn) {
        if mended.version.is_some() && self.haproxy.version.is_none() {
            // Another text in the next turn, if it is another one.
            self.version = mended.version;
        }
        let n_done: u64 = mended.done.values().sum();
        let is_drift = self.is_settled && !turn.is_new;
        if n_done > 0 {
            let pid = mended.process.map(|Process { pid, .. }| pid);
            tracing::info!(done = ?mended.done, is_drift, pid, "haproxy: changed over the socket");
        }
        self.stats.update(|status| {
            mended.done.iter().for_each(|(kind, n)| *status.commands.entry(kind.clone()).or_default() += n);
            status.commands_failed += mended.n_failed;
            status.repaired += if is_drift { n_done } else { 0 };
            for (name, now) in &mended.backends {
                let held = status.backends.get(name).map_or(0, |before| before.held);
                status.backends.insert(name.clone(), BackendStatus { held, ..now.clone() });
            }
        });
    }
}
