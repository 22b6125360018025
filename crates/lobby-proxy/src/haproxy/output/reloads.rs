//! The reload of a turn. Decides whether one may be done at all, and what is kept over it.
//!
//! A managed process that a reload does not mend is replaced by another one that takes over from it: if its master's socket
//! is gone, or if it is reloaded and its socket is missing still (HAProxy 2.6 hands the open socket on without looking whether
//! its file is there).
//!
//! While the new file is refused, the old one is worth a reload only if that mends what is wrong with the process: it does not
//! answer, or a frontend was shut down. What is noted then is that of the old file.
//!
//! Not here: why one is needed (`judge`), when it may be and how it is done (`crate::haproxy::reload`).

use std::{
    borrow::Cow,
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
    path::Path,
};

use lobby_render::apply::Target;
use tokio::time::Instant;

use super::{Parts, Task, Turn, judge};
use crate::haproxy::{
    Layout, manage,
    reload::way::{self, ReloadError, Way},
    stats::Status,
};

/// Kinds of reasons that a reload with the old file mends as well.
const MENDED_BY_OLD: [&str; 2] = ["unreachable", "frontend"];

/// What a reload would read.
#[derive(Debug)]
struct There<'a> {
    text: Cow<'a, str>,
    /// What a process has of it then: see [`judge::loads`].
    loads: Cow<'a, str>,
}

impl<P: Parts> Task<P> {
    /// Reloads if it is due.
    pub(super) async fn reload(&mut self, layout: &Layout, reasons: Vec<(String, String)>, turn: &Turn) {
        let is_down = self.managed.as_ref().is_some_and(|managed| managed.pid().is_none());
        let due: Vec<_> = reasons.iter().map(|(_, text)| text.clone()).collect();
        self.stats.update(|status| status.reload_due = due);
        // A managed process that is down starts with the file.
        let may = self.haproxy.do_reloads && !is_down;
        let (there, reasons) = match turn.is_in_place {
            _ if !may => (None, Vec::new()),
            true => {
                let (text, loads) = (layout.text.as_str(), judge::loads(&self.haproxy, layout));
                (Some(There { text: text.into(), loads: loads.into() }), reasons)
            }
            false => self.mended_by_old(reasons).await,
        };
        self.policy.want(reasons);
        self.policy.forgive(there.as_ref().map_or(judge::loads(&self.haproxy, layout), |there| &there.loads));
        let Some(there) = there else { return };
        let now = Instant::now();
        if self.policy.due(now) != Some(now) {
            return;
        }
        let Some(way) = self.way.clone() else {
            self.stats.fail("a reload is needed, and nothing tells how: give reload_command, master_socket or program".into());
            return;
        };
        if self.is_in_the_way(&there.loads) {
            return;
        }
        self.keep_servers_state().await;
        let done = self.renew(&way, &there.text).await;
        let (now, chance) = (Instant::now(), RandomState::new().hash_one(()));
        match done {
            Ok(()) => {
                let reasons: BTreeMap<_, _> = self.policy.reasons().collect();
                self.stats.update(|status| count(status, reasons.keys()));
                self.policy.done(now, chance);
                self.unreachable_text = Some(there.text.into_owned());
                self.unreachable = None;
                self.memory.reloaded(&there.loads, now);
            }
            Err(err) => {
                self.stats.update(|status| status.reloads_failed += 1);
                self.stats.fail(self.with_complaint(err));
                self.policy.refused(&there.loads, now, chance);
            }
        }
    }

    /// The old file, while the new one is refused, and the reasons that it is worth a reload for.
    async fn mended_by_old(&self, mut reasons: Vec<(String, String)>) -> (Option<There<'static>>, Vec<(String, String)>) {
        reasons.retain(|(reason, _)| MENDED_BY_OLD.contains(&reason.as_str()));
        let Some(file) = self.haproxy.config_file_path.as_ref().filter(|_| !reasons.is_empty()) else {
            return (None, Vec::new());
        };
        let text = tokio::fs::read_to_string(file).await.unwrap_or_default();
        // Written by half, or by somebody else meanwhile, it is nothing that ever was good.
        if text.is_empty() || self.put.as_ref().is_some_and(|put| *put != text) {
            return (None, Vec::new());
        }
        let is_replaced = self.managed.is_none() || self.replaced_text.as_ref() == Some(&text);
        if self.unreachable_text.as_ref() == Some(&text) && is_replaced {
            // It did not help.
            reasons.retain(|(reason, _)| reason != "unreachable");
        }
        // Else it is told from any structure, which costs one reload once a file is in place.
        let loads = self.memory.text().filter(|loaded| has_structure(&text, loaded)).unwrap_or(&text).to_owned();
        (Some(There { text: text.into(), loads: loads.into() }), reasons)
    }

    /// A new process, or a new worker of a master, with the file that is there: `text`.
    async fn renew(&mut self, way: &Way, text: &str) -> Result<(), String> {
        let reasons: Vec<_> = self.policy.reasons().map(|(reason, _)| reason.to_owned()).collect();
        self.haproxy.config_file_path.iter().for_each(|file| manage::forget_complaint(file));
        let text = Some(text);
        let is_vain = self.unreachable.is_some()
            && (self.unreachable_text.as_deref() == text || self.haproxy.sockets.iter().any(|socket| !socket.exists()));
        let managed = self.managed.as_ref();
        if let Some(managed) = managed.filter(|_| is_vain && self.replaced_text.as_deref() != text) {
            tracing::warn!(?reasons, "haproxy: a reload does not mend it: another process takes over");
            self.replaced_text = text.map(str::to_owned);
            return managed.replace().await;
        }
        match (way.go(&self.around).await, managed, way) {
            (Err(err @ ReloadError::Master { .. }), Some(managed), Way::Master(socket)) if !socket.exists() => {
                tracing::warn!(?reasons, "haproxy: {err}: its socket is gone, so another process takes over");
                managed.replace().await
            }
            (done, ..) => {
                done.map_err(|err| err.to_string())?;
                tracing::info!(?reasons, "haproxy: reloaded");
                Ok(())
            }
        }
    }

    /// For those whose global section names a file for it: what was set at run time outlasts the reload.
    async fn keep_servers_state(&mut self) {
        let named = way::global(&self.haproxy, "server-state-file");
        let Some(named) = named.filter(|_| self.haproxy.do_socket) else { return };
        let base = way::global(&self.haproxy, "server-state-base").unwrap_or_default();
        let path = Path::new(base).join(named);
        let kept = match self.parts.servers_state().await {
            Ok(text) => {
                let target = Target::plain(path, None, None);
                target.apply(text.into_bytes().into(), &self.around).await.map(drop).map_err(|err| err.to_string())
            }
            Err(err) => Err(err),
        };
        if let Err(err) = kept {
            self.stats.fail(format!("the state of servers is not kept over the reload: {err}"));
        }
    }

    /// What the process was started with.
    pub(super) async fn remember(&mut self) {
        if let Err(err) = self.memory.save(&self.around).await {
            self.stats.fail(format!("the next start may reload needlessly: {err}"));
        }
    }
}

/// Whether `text` is `skeleton` with servers.
pub(super) fn has_structure(text: &str, skeleton: &str) -> bool {
    let mut skeleton = skeleton.lines().peekable();
    let is_server = |line: &str| line.trim_start().starts_with("server ");
    text.lines().all(|line| skeleton.next_if_eq(&line).is_some() || is_server(line)) && skeleton.peek().is_none()
}

fn count<'a>(status: &mut Status, reasons: impl Iterator<Item = &'a &'a str>) {
    status.reloads += 1;
    for reason in reasons {
        *status.reload_reasons.entry((*reason).to_owned()).or_default() += 1;
    }
}
