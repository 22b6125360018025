//! The state machine of one check: results, reports and the passing of time become a status.
//!
//! ```text
//! result ─► thresholds ─► own status ─► flap hold ─► status shown
//! beat, TTL expiry ─────────┘   └─► time until the instance is taken away
//! ```
//! Each input first does what was due until then, so nothing depends on how promptly deadlines are handled. What changed
//! comes back as a value. Not here: when to run (`schedule`), where status and output go (the crate `lobby`).

use std::{mem::discriminant, sync::Arc, time::Duration};

use super::{
    Status,
    flap::Flap,
    kind::Kind,
    output::{NOTE_BYTES, Output},
    spec::Spec,
};
use crate::time::Moment;

/// Between two publications of one check's output alone: design.md §3.
pub const OUTPUT_EVERY: Duration = Duration::from_secs(5);

/// What stands before the last output of a program that no longer reports.
const EXPIRED: &str = "TTL expired; last output: ";

/// Most bytes of an output as it is kept, above those that were asked for.
const EXTRA_BYTES: usize = NOTE_BYTES + EXPIRED.len();

/// What the world must hear about after an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[must_use]
pub enum Change {
    /// Nothing.
    None,
    /// The output, at most once per [`OUTPUT_EVERY`].
    Output,
    /// The status shown, or whether it is flapping; with the output as it is now.
    Status,
}

/// A program reported to a check that is not of the kind TTL. Nothing was changed; the caller answers 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only a check with a TTL takes reports; this one is of kind {0}")]
pub struct NotTtlError(pub &'static str);

/// One check and what it says.
#[derive(Clone, Debug)]
pub struct Check {
    spec: Arc<Spec>,
    /// By results and thresholds, before any hold.
    own: Status,
    output: Arc<str>,
    successes: u32,
    failures: u32,
    /// Since when it is critical, and for how long it had been when we were restored.
    critical: Option<(Moment, Duration)>,
    /// When the last report of the program is worth no more.
    expires: Option<Moment>,
    /// For checks that are run only.
    flap: Option<Flap>,
    /// When status or output were last published.
    published: Option<Moment>,
    /// Whether the output has changed since.
    is_output_due: bool,
    since: Moment,
    reported: Option<Moment>,
}

/// What outlives a restart of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Its own status.
    pub status: Status,
    /// What was shown instead, if it was flapping.
    pub held: Option<Status>,
    /// The last output.
    pub output: Arc<str>,
    /// How long the last report would have been valid; `None` when it was not, or for other kinds.
    pub ttl_left: Option<Duration>,
    /// For how long its own status has been critical; `None` when it is not.
    pub critical_for: Option<Duration>,
}

impl Check {
    /// A check that has just been registered. Its TTL counts from now.
    pub fn new(spec: impl Into<Arc<Spec>>, now: Moment) -> Self {
        let spec = spec.into();
        let own = spec.initial();
        Self {
            own,
            output: "".into(),
            successes: 0,
            failures: 0,
            critical: (own == Status::Critical).then_some((now, Duration::ZERO)),
            expires: spec.ttl().map(|ttl| now + ttl),
            flap: spec.interval().map(Flap::new),
            published: None,
            is_output_due: false,
            since: now,
            reported: None,
            spec,
        }
    }

    /// A check as it was before a restart. A program that had reported goes on with what was left of its time, at most a
    /// whole TTL; what is missing or cannot be is as after a registration.
    pub fn restore(spec: impl Into<Arc<Spec>>, saved: &Saved, now: Moment) -> Self {
        let mut check = Self::new(spec, now);
        if *check.spec.kind() == Kind::Maintenance {
            return check;
        }
        check.own = saved.status;
        if let (Some(held), Some(flap)) = (saved.held, &mut check.flap) {
            flap.hold(held, now);
        }
        check.critical = (check.own == Status::Critical).then_some((now, saved.critical_for.unwrap_or_default()));
        check.output = Output::from(&*saved.output).cut(check.spec.output_max_size() + EXTRA_BYTES).into();
        if let Some(ttl) = check.spec.ttl() {
            let is_expired = saved.ttl_left.is_none() && saved.status == Status::Critical;
            check.expires = (!is_expired).then(|| now + saved.ttl_left.unwrap_or(ttl).min(ttl));
        }
        check
    }

    /// What outlives a restart.
    pub fn save(&self, now: Moment) -> Saved {
        Saved {
            status: self.own,
            held: self.is_flapping().then(|| self.status()),
            output: self.output.clone(),
            ttl_left: self.expires.map(|expires| expires.since(now)),
            critical_for: self.critical_for(now),
        }
    }

    /// The same check was registered again, perhaps with other fields: status and output stay, a TTL counts from now.
    /// What lives while it is registered has just proven that it lives.
    pub fn replace(&mut self, spec: impl Into<Arc<Spec>>, now: Moment) -> Change {
        let spec = spec.into();
        self.input(now, |check| {
            let old = std::mem::replace(&mut check.spec, spec);
            check.expires = check.spec.ttl().map(|ttl| now + ttl);
            // What changed too often was the old target.
            if old.interval() != check.spec.interval() || old.kind() != check.spec.kind() {
                check.flap = check.spec.interval().map(Flap::new);
            }
            if discriminant(old.kind()) != discriminant(check.spec.kind()) {
                (check.successes, check.failures) = (0, 0);
            }
            if matches!(check.spec.kind(), Kind::Process { .. } | Kind::Hold | Kind::Maintenance) {
                check.set_own(check.spec.initial(), now);
            }
        })
    }

    /// A run, a target or a guard said something. Ignored by checks that nobody runs or watches: TTL and maintenance.
    pub fn result<'a>(&mut self, status: Status, output: impl Into<Output<'a>>, now: Moment) -> Change {
        if matches!(self.spec.kind(), Kind::Ttl { .. } | Kind::Maintenance) {
            return Change::None;
        }
        self.input(now, |check| {
            check.reported = Some(now);
            if let Some(status) = check.judge(status) {
                check.set_output(output.into().cut(check.spec.output_max_size()));
                check.set_own(status, now);
            }
        })
    }

    /// The program reported by itself.
    pub fn beat<'a>(&mut self, status: Status, note: impl Into<Output<'a>>, now: Moment) -> Result<Change, NotTtlError> {
        let ttl = self.spec.ttl().ok_or(NotTtlError(self.spec.kind().as_str()))?;
        Ok(self.input(now, |check| {
            check.reported = Some(now);
            check.expires = Some(now + ttl);
            check.set_output(note.into().cut(check.spec.output_max_size()));
            check.set_own(status, now);
        }))
    }

    /// When [`Self::handle_deadline`] wants to be called next.
    pub fn deadline(&self) -> Option<Moment> {
        let output = self.published.filter(|_| self.is_output_due).map(|published| published + OUTPUT_EVERY);
        [self.expires, self.flap.as_ref().and_then(Flap::deadline), output].into_iter().flatten().min()
    }

    /// Does what is due. Afterwards the deadline lies after `now`.
    pub fn handle_deadline(&mut self, now: Moment) -> Change {
        self.input(now, |_| {})
    }

    /// When the instance goes if the check stays critical. By its own status: one that passes now and then while it is
    /// held at critical is not given up.
    pub fn deregister_at(&self) -> Option<Moment> {
        let (since, before) = self.critical?;
        Some(since + self.spec.deregister_after()?.saturating_sub(before))
    }

    /// Whether the instance must go now.
    pub fn deregister_due(&self, now: Moment) -> bool {
        self.deregister_at().is_some_and(|at| at <= now)
    }

    /// What it is.
    pub fn spec(&self) -> &Arc<Spec> {
        &self.spec
    }

    /// The status shown.
    pub fn status(&self) -> Status {
        self.flap.as_ref().map_or(self.own, |flap| flap.shown(self.own))
    }

    /// The status by results and thresholds alone; differs from the one shown while it is flapping.
    pub fn own_status(&self) -> Status {
        self.own
    }

    /// Whether it changed so often that it is held at its worst.
    pub fn is_flapping(&self) -> bool {
        self.flap.as_ref().is_some_and(Flap::is_flapping)
    }

    /// What it said last, as far as it counted.
    pub fn output(&self) -> &Arc<str> {
        &self.output
    }

    /// Since when the status shown is shown, as far as this process knows.
    pub fn since(&self) -> Moment {
        self.since
    }

    /// When the last result or report came, in this process.
    pub fn reported(&self) -> Option<Moment> {
        self.reported
    }

    /// For how long its own status has been critical without a break.
    pub fn critical_for(&self, now: Moment) -> Option<Duration> {
        self.critical.map(|(since, before)| now.since(since).saturating_add(before))
    }
}

// What follows is private.

impl Check {
    fn input(&mut self, now: Moment, change: impl FnOnce(&mut Self)) -> Change {
        let before = (self.status(), self.is_flapping());
        self.settle(now);
        change(self);
        let after = (self.status(), self.is_flapping());
        if before.0 != after.0 {
            self.since = now;
        }
        let is_output_free = self.published.is_none_or(|published| now.since(published) >= OUTPUT_EVERY);
        let change = match before == after {
            false => Change::Status,
            true if self.is_output_due && is_output_free => Change::Output,
            true => return Change::None,
        };
        self.published = Some(now);
        self.is_output_due = false;
        change
    }

    /// What was due until now. A report that came late counts as missed from now on, not from the deadline: after a pause
    /// of the whole machine the program gets its time to report before the instance goes.
    fn settle(&mut self, now: Moment) {
        if let Some(flap) = &mut self.flap {
            flap.handle_deadline(now);
        }
        if self.expires.is_some_and(|expires| expires <= now) {
            self.expires = None;
            // It may expire again without a report in between, after a second registration.
            if !self.output.starts_with(EXPIRED) {
                self.set_output(format!("{EXPIRED}{}", self.output));
            }
            self.set_own(Status::Critical, now);
        }
    }

    /// What a result means, by the thresholds; `None` when it does not count yet. Exactly Consul's rule, so the first of
    /// several failures that warn also lifts a check that is critical from the start to warning.
    fn judge(&mut self, status: Status) -> Option<Status> {
        if !self.spec.kind().is_run() {
            return Some(status);
        }
        if status != Status::Critical {
            self.failures = 0;
            self.successes = self.successes.saturating_add(1);
            return (self.successes >= self.spec.success_before_passing()).then_some(status);
        }
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        match self.failures {
            failures if failures >= self.spec.failures_before_critical() => Some(Status::Critical),
            failures if failures >= self.spec.failures_before_warning() => Some(Status::Warning),
            _ => None,
        }
    }

    fn set_own(&mut self, status: Status, now: Moment) {
        let old = std::mem::replace(&mut self.own, status);
        if old == status {
            return;
        }
        self.critical = (status == Status::Critical).then_some((now, Duration::ZERO));
        if let Some(flap) = &mut self.flap {
            flap.handle_change(status, now);
        }
    }

    fn set_output(&mut self, output: String) {
        if *self.output != *output {
            self.output = output.into();
            self.is_output_due = true;
        }
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
