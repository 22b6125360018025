//! Packets that are refused because of their seal: what the log says of it, and that they are no empty world.
//!
//! Whoever has another EXCHANGE_KEY than the others hears everybody and believes nobody. That is told at the first such packet
//! and once a minute from then on, for whoever reaches the broker can send as many as it likes. While all that is heard is
//! refused the picture is not complete, however long we wait: the node gives up on us after its WARM_MAX.
//! Not here: seals (`seal`), counters of what is refused (`Stats`).

use super::*;

/// Between two lines of the log.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// What is remembered of refused packets, and of those that are not.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    up_at: Moment,
    /// The last of each since the link came up.
    refused: Option<Moment>,
    accepted: Option<Moment>,
    logged: Option<Moment>,
    /// Since that line.
    unknown: u64,
    unsealed: u64,
}

impl Refusals {
    /// The link is up: what was heard before is over.
    pub(super) fn begin(&mut self, now: Moment) {
        (self.up_at, self.refused, self.accepted) = (now, None, None);
    }

    /// Whether others are there, of whom we believe nobody. A stranger that has gone changes nothing for long.
    pub(super) fn are_all(&self, now: Moment, keep_alive: Duration) -> bool {
        self.accepted.is_none() && self.refused.is_some_and(|last| now.since(last) <= keep_alive * answer::FRESH)
    }

    /// What the log is to say now that another one is refused, if it is time.
    fn line(&mut self, now: Moment, broker: &str) -> Option<String> {
        if self.logged.is_some_and(|logged| now.since(logged) < LOG_EVERY) {
            return None;
        }
        self.logged = Some(now);
        let (unknown, unsealed) = (std::mem::take(&mut self.unknown), std::mem::take(&mut self.unsealed));
        let seconds = |at| now.since(at).as_secs();
        let why = match self.accepted {
            None => {
                let up = seconds(self.up_at);
                format!("none was accepted since the link came up {up} s ago: does EXCHANGE_KEY differ from that of the others?")
            }
            Some(at) => {
                format!("the last one was accepted {} s ago: whoever sends those has another EXCHANGE_KEY, or none", seconds(at))
            }
        };
        Some(format!("packets from {broker} are refused: {unknown} with an unknown key, {unsealed} without a seal; {why}"))
    }
}

impl Broker {
    /// A payload was opened, or not.
    pub(super) fn note_seal(&mut self, opened: &Result<Opened, Verdict>, now: Moment) {
        let refusals = &mut self.refusals;
        match opened {
            // Our own come back whatever the others have.
            Ok(Opened { sender: Some(sender), .. }) if *sender == self.own => return,
            // Its seal is good, even if it may be a recording.
            Ok(_) | Err(Verdict::Unproven) => return refusals.accepted = Some(now),
            Err(Verdict::WrongKey) => refusals.unknown += 1,
            Err(Verdict::NoKey) => refusals.unsealed += 1,
            Err(_) => return,
        }
        refusals.refused = Some(now);
        if let Some(line) = refusals.line(now, self.setup.broker) {
            tracing::warn!("{line}");
        }
    }
}
