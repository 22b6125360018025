//! What a check is: kind, rhythm, thresholds, bounds. Parsed once; whoever holds a [`Spec`] need not check it again.
//!
//! Entrances (Consul's API, our own, files) fill in a [`Draft`] and make a [`Spec`] of it.
//! Not here: names and ids of checks, the texts of a kind (`kind`), the words of durations (the entrances).

use std::time::Duration;

use super::{
    Status,
    kind::{Kind, KindError},
};

/// The shortest interval that an entrance for Consul's clients grants: what Consul's own agent does.
pub const INTERVAL_RAISED: Duration = Duration::from_secs(1);

/// The shortest interval at all: a hundred runs a second of one check are more than any decision needs.
pub const INTERVAL_LEAST: Duration = Duration::from_millis(10);

/// The timeout of one run when none is given: that of Consul.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// The same of a command, which may have to start an interpreter first.
pub const TIMEOUT_COMMAND: Duration = Duration::from_secs(30);

/// The most bytes of output that are kept, also when a check asks for more: design.md §3.
pub const OUTPUT_BYTES: u32 = 4096;

/// The shortest time after which a critical check takes its instance away; less acts as this. That of Consul.
pub const DEREGISTER_LEAST: Duration = Duration::from_secs(60);

/// What becomes of intervals under [`INTERVAL_RAISED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortIntervals {
    /// They are raised to it, as Consul does.
    Raise,
    /// They are allowed, down to [`INTERVAL_LEAST`].
    Allow,
}

/// What somebody asks for. Zeros and `None` mean "not given".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// Every kind whose field was given. Exactly one is right.
    pub kinds: Vec<Kind>,
    /// From the start of one run to the start of the next.
    pub interval: Duration,
    /// Of one run. By default [`TIMEOUT`] or [`TIMEOUT_COMMAND`].
    pub timeout: Duration,
    /// Until the first result. By default critical, and passing for what lives while it is registered.
    pub initial: Option<Status>,
    /// Successes in a row until one counts.
    pub success_before_passing: u32,
    /// Failures in a row until they count as warning. By default, and at most, `failures_before_critical`.
    pub failures_before_warning: u32,
    /// Failures in a row until they count as critical.
    pub failures_before_critical: u32,
    /// Bytes of output to keep. By default, and at most, [`OUTPUT_BYTES`].
    pub output_max_size: u32,
    /// Critical for so long, the check takes its instance away. Less than [`DEREGISTER_LEAST`] acts as that. Never when
    /// zero.
    pub deregister_after: Duration,
}

/// What a check is; every value is an accepted one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    kind: Kind,
    rest: Draft,
}

/// A draft is no check. Nothing was changed; the caller answers 400 with the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// No field of any kind was given.
    #[error("a check needs one of TTL, HTTP, TCP, UDP, GRPC, H2PING, Args, AliasService, AliasNode, OSService, PID: none given")]
    NoKind,
    /// Fields of more than one kind were given.
    #[error("a check must be of exactly one kind: {0} and {1} given")]
    SeveralKinds(&'static str, &'static str),
    /// A field of the kind is not accepted.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// The time that a report is valid is zero.
    #[error("TTL must be above zero: 0s")]
    NoTtl,
    /// The kind is run, and nobody said how often; or more often than anybody needs.
    #[error("Interval must be at least {INTERVAL_LEAST:?} for a check of kind {kind}: {interval:?}")]
    Interval {
        /// The kind.
        kind: &'static str,
        /// What was given.
        interval: Duration,
    },
    /// The kind is not run, so an interval means a mistake.
    #[error("Interval must not be given for a check of kind {kind}: {interval:?}")]
    UselessInterval {
        /// The kind.
        kind: &'static str,
        /// What was given.
        interval: Duration,
    },
    /// Warning would come after critical.
    #[error("FailuresBeforeWarning must be at most FailuresBeforeCritical, {critical}: {warning}")]
    Thresholds {
        /// Failures before warning.
        warning: u32,
        /// Failures before critical.
        critical: u32,
    },
}

impl Spec {
    /// Makes a check of a draft.
    pub fn try_new(mut draft: Draft, short: ShortIntervals) -> Result<Self, SpecError> {
        let kind = match &mut *draft.kinds {
            [] => return Err(SpecError::NoKind),
            [_] => draft.kinds.remove(0),
            [first, second, ..] => return Err(SpecError::SeveralKinds(first.as_str(), second.as_str())),
        };
        kind.validate()?;
        if kind == (Kind::Ttl { ttl: Duration::ZERO }) {
            return Err(SpecError::NoTtl);
        }
        draft.interval = interval(&kind, draft.interval, short)?;
        if draft.failures_before_warning > draft.failures_before_critical {
            let (warning, critical) = (draft.failures_before_warning, draft.failures_before_critical);
            return Err(SpecError::Thresholds { warning, critical });
        }
        if draft.failures_before_warning == 0 {
            draft.failures_before_warning = draft.failures_before_critical;
        }
        if draft.timeout.is_zero() {
            draft.timeout = match kind {
                Kind::Script { .. } | Kind::Docker { .. } => TIMEOUT_COMMAND,
                _ => TIMEOUT,
            };
        }
        if draft.output_max_size == 0 {
            draft.output_max_size = OUTPUT_BYTES;
        }
        draft.output_max_size = draft.output_max_size.min(OUTPUT_BYTES);
        if !draft.deregister_after.is_zero() {
            draft.deregister_after = draft.deregister_after.max(DEREGISTER_LEAST);
        }
        Ok(Self { kind, rest: draft })
    }

    /// The check that stands for a maintenance mode.
    pub fn maintenance() -> Self {
        Self { kind: Kind::Maintenance, rest: Draft { output_max_size: OUTPUT_BYTES, timeout: TIMEOUT, ..Draft::default() } }
    }

    /// What it looks at.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// From the start of one run to the start of the next; `None` for a kind that is not run.
    pub fn interval(&self) -> Option<Duration> {
        self.kind.is_run().then_some(self.rest.interval)
    }

    /// How long a report of the program is valid; `None` unless it reports by itself.
    pub fn ttl(&self) -> Option<Duration> {
        match self.kind {
            Kind::Ttl { ttl } => Some(ttl),
            _ => None,
        }
    }

    /// How long one run may take.
    pub fn timeout(&self) -> Duration {
        self.rest.timeout
    }

    /// The status before the first result.
    pub fn initial(&self) -> Status {
        match self.kind {
            Kind::Maintenance => Status::Critical,
            Kind::Process { .. } | Kind::Hold => self.rest.initial.unwrap_or(Status::Passing),
            _ => self.rest.initial.unwrap_or_default(),
        }
    }

    /// Successes in a row until one counts; zero and one mean at once.
    pub fn success_before_passing(&self) -> u32 {
        self.rest.success_before_passing
    }

    /// Failures in a row until they count as warning; not above [`Self::failures_before_critical`].
    pub fn failures_before_warning(&self) -> u32 {
        self.rest.failures_before_warning
    }

    /// Failures in a row until they count as critical; zero and one mean at once.
    pub fn failures_before_critical(&self) -> u32 {
        self.rest.failures_before_critical
    }

    /// Bytes of output to keep, 1 to [`OUTPUT_BYTES`].
    pub fn output_max_size(&self) -> usize {
        self.rest.output_max_size as usize
    }

    /// After how long in critical the instance goes; at least [`DEREGISTER_LEAST`].
    pub fn deregister_after(&self) -> Option<Duration> {
        (!self.rest.deregister_after.is_zero()).then_some(self.rest.deregister_after)
    }
}

/// The interval that counts. That of an alias is dropped: registrations carry one, and Consul does not mind.
fn interval(kind: &Kind, interval: Duration, short: ShortIntervals) -> Result<Duration, SpecError> {
    let refused = SpecError::Interval { kind: kind.as_str(), interval };
    match kind {
        kind if kind.is_run() => match short {
            _ if interval.is_zero() => Err(refused),
            ShortIntervals::Raise => Ok(interval.max(INTERVAL_RAISED)),
            ShortIntervals::Allow if interval < INTERVAL_LEAST => Err(refused),
            ShortIntervals::Allow => Ok(interval),
        },
        Kind::Alias { .. } => Ok(Duration::ZERO),
        _ if interval.is_zero() => Ok(interval),
        _ => Err(SpecError::UselessInterval { kind: kind.as_str(), interval }),
    }
}

#[cfg(test)]
mod tests;
