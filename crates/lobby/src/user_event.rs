//! User events one by one, for handlers and for programs that embed an agent.
//!
//! The log of gossip is what waits: it holds the newest events, so a slow reader needs no queue of its own, and what it
//! misses is counted. Events that were fired before the agent came are in the log and never told.
//! Not here: firing events, and the log itself (`lobby_core::port::gossip`).

use std::sync::Arc;

use lobby_core::port::gossip::{EventLog, UserEvent};
use tokio::sync::watch;

/// The user events for this node, in the order in which they came.
#[derive(Debug)]
pub struct UserEvents {
    log: watch::Receiver<EventLog>,
    /// How many of the log were looked at, or have left it.
    n_taken: u64,
    n_missed: u64,
}

impl UserEvents {
    /// Those that come from now on.
    pub(crate) fn from_now(log: watch::Receiver<EventLog>) -> Self {
        let n_taken = log.borrow().n_seen;
        Self { log, n_taken, n_missed: 0 }
    }

    /// Those that came since the start of the agent.
    pub(crate) const fn from_start(log: watch::Receiver<EventLog>) -> Self {
        Self { log, n_taken: 0, n_missed: 0 }
    }

    /// The next event; `None` when gossip has ended, or there is none. Loses nothing when it is cancelled.
    pub async fn next(&mut self) -> Option<Arc<UserEvent>> {
        loop {
            if let Some(event) = self.take() {
                return Some(event);
            }
            self.changed().await?;
        }
    }

    /// How many events left the log before they could be taken.
    pub const fn missed(&self) -> u64 {
        self.n_missed
    }

    /// The next event, if one is there.
    pub(crate) fn take(&mut self) -> Option<Arc<UserEvent>> {
        let log = self.log.borrow_and_update().clone();
        let oldest = log.n_seen.saturating_sub(log.events.len() as u64);
        self.n_missed += oldest.saturating_sub(self.n_taken);
        self.n_taken = self.n_taken.max(oldest);
        while self.n_taken < log.n_seen {
            let event = log.events.get((self.n_taken - oldest) as usize)?;
            self.n_taken += 1;
            if !event.replayed {
                return Some(event.clone());
            }
        }
        None
    }

    /// Waits until there may be more; `None` when there never will.
    pub(crate) async fn changed(&mut self) -> Option<()> {
        self.log.changed().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lobby_core::{
        id::NodeId,
        port::gossip::{EVENTS, EventId, Filter, NewEvent},
    };

    use super::*;

    fn push(log: &watch::Sender<EventLog>, name: u64, replayed: bool) {
        let event = NewEvent { name: name.to_string(), payload: Bytes::new(), filter: Filter::default() };
        let (id, origin) = (EventId([0; 16]), NodeId::from_bytes([1; 16]));
        log.send_modify(|log| {
            log.n_seen += 1;
            let number = log.n_seen;
            log.events.push_back(Arc::new(UserEvent { id, ltime: number, origin, event, number, replayed }));
            if log.events.len() > EVENTS {
                log.events.pop_front();
            }
        });
    }

    #[tokio::test]
    async fn events_come_once_in_order_and_old_ones_never() {
        let (log, seen) = watch::channel(EventLog::default());
        push(&log, 1, false);
        let (mut late, mut early) = (UserEvents::from_now(seen.clone()), UserEvents::from_start(seen));
        push(&log, 2, true);
        push(&log, 3, false);
        push(&log, 4, false);
        let name = async |events: &mut UserEvents| events.next().await.unwrap().event.name.clone();
        assert_eq!([name(&mut early).await, name(&mut early).await, name(&mut early).await], ["1", "3", "4"]);
        assert_eq!([name(&mut late).await, name(&mut late).await], ["3", "4"]);
        drop(log);
        assert_eq!(late.next().await, None);
    }

    #[tokio::test]
    async fn what_left_the_log_is_counted() {
        let (log, seen) = watch::channel(EventLog::default());
        let mut events = UserEvents::from_start(seen);
        for n in 0..EVENTS as u64 + 7 {
            push(&log, n, false);
        }
        assert_eq!(events.next().await.unwrap().event.name, "7");
        assert_eq!(events.missed(), 7);
    }
}
