//! The reload of a turn. Decides whether one may be done at all, and what is kept over it.
//!
//! A managed process that a reload does not mend is replaced by another one that takes over from it: if its master's socket
//! is gone, or if it is reloaded and its socket is missing still (HAProxy 2.6 hands the open socket on without looking whether
//! its file is there).
//!
//! Not here: why one is needed (`judge`), when it may be and how it is done (`crate::haproxy::reload`).

use std::{
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

impl<P: Parts> Task<P> {
    /// Reloads if it is due.
    pub(super) async fn reload(&mut self, layout: &Layout, reasons: Vec<(String, String)>, turn: &Turn) {
        let is_down = self.managed.as_ref().is_some_and(|managed| managed.pid().is_none());
        let due: Vec<_> = reasons.iter().map(|(_, text)| text.clone()).collect();
        self.stats.update(|status| status.reload_due = due);
        // The old file is not worth one, and a managed process that is down starts with the new one.
        let may = self.haproxy.do_reloads && turn.is_in_place && !is_down;
        self.policy.want(if may { reasons } else { Vec::new() });
        self.policy.forgive(judge::loads(&self.haproxy, layout));
        let now = Instant::now();
        if self.policy.due(now) != Some(now) {
            return;
        }
        let Some(way) = self.way.clone() else {
            self.stats.fail("a reload is needed, and nothing tells how: give reload_command, master_socket or program".into());
            return;
        };
        if self.is_in_the_way(judge::loads(&self.haproxy, layout)) {
            return;
        }
        self.keep_servers_state().await;
        let done = self.renew(&way, layout).await;
        let (now, chance) = (Instant::now(), RandomState::new().hash_one(()));
        match done {
            Ok(()) => {
                let reasons: BTreeMap<_, _> = self.policy.reasons().collect();
                self.stats.update(|status| count(status, reasons.keys()));
                self.policy.done(now, chance);
                self.unreachable_text = Some(layout.text.clone());
                self.unreachable = None;
                self.memory.reloaded(judge::loads(&self.haproxy, layout), now);
            }
            Err(err) => {
                self.stats.update(|status| status.reloads_failed += 1);
                self.stats.fail(self.with_complaint(err));
                self.policy.refused(judge::loads(&self.haproxy, layout), now, chance);
            }
        }
    }

    /// A new process, or a new worker of a master.
    async fn renew(&mut self, way: &Way, layout: &Layout) -> Result<(), String> {
        let reasons: Vec<_> = self.policy.reasons().map(|(reason, _)| reason.to_owned()).collect();
        self.haproxy.config_file_path.iter().for_each(|file| manage::forget_complaint(file));
        let text = Some(&layout.text);
        let is_vain = self.unreachable.is_some()
            && (self.unreachable_text.as_ref() == text || self.haproxy.sockets.iter().any(|socket| !socket.exists()));
        let managed = self.managed.as_ref();
        if let Some(managed) = managed.filter(|_| is_vain && self.replaced_text.as_ref() != text) {
            tracing::warn!(?reasons, "haproxy: a reload does not mend it: another process takes over");
            self.replaced_text = text.cloned();
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

fn count<'a>(status: &mut Status, reasons: impl Iterator<Item = &'a &'a str>) {
    status.reloads += 1;
    for reason in reasons {
        *status.reload_reasons.entry((*reason).to_owned()).or_default() += 1;
    }
}
