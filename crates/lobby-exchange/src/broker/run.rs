//! The loop around the broker machine: waits for the bus, the node task and the clock, and carries out what is due.

use std::future::Future;

use lobby_core::port::{NodeEnded, PeerLink};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{backoff::random, clock::Clock};

/// How long what is still to be sent may take once we have been told to stop: the goodbye is among it.
const FAREWELL: Duration = Duration::from_millis(700);

/// A connection to a broker that restores itself for ever.
pub(crate) trait Bus: Send {
    /// The next thing that happens. Dropping the future before it is ready loses nothing.
    fn next(&mut self) -> impl Future<Output = BusEvent> + Send;

    /// Sends a payload; false when it could not be sent. Waits no longer than a broken link takes to be noticed.
    fn send(&mut self, to: Address, payload: Vec<u8>) -> impl Future<Output = bool> + Send;

    /// Takes questions of newcomers from now on, or leaves them to others.
    fn serve(&mut self, willing: bool) -> impl Future<Output = ()> + Send;

    /// Waits until everything sent has left this process.
    fn flush(&mut self) -> impl Future<Output = ()> + Send;
}

/// What woke the loop.
enum Wake {
    Bus(BusEvent),
    Announcement,
    Question(NodeId),
    Keys,
    Deadline,
    Stop,
}

/// Runs until `stop`, or until the node task has ended.
pub(crate) async fn run(mut bus: impl Bus, setup: Setup, mut link: PeerLink, clock: Clock, stop: CancellationToken) {
    let name = setup.broker;
    let mut keys = setup.keys.clone();
    let mut broker = Broker::new(setup, &link);
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::pin!(overdue);
    loop {
        while let Some(output) = broker.poll_output() {
            // What is on its way to the broker may be the goodbye, and is not said twice: it has until `overdue`.
            let tell = matches!(output, Output::Tell(_));
            tokio::select! {
                biased;
                done = carry_out(output, &mut bus, &link) => if done.is_err() { return },
                () = stop.cancelled(), if tell => {}
                () = &mut overdue => return,
            }
        }
        let deadline = broker.next_deadline().map(|at| clock.instant(at));
        let wake = tokio::select! {
            biased;
            () = stop.cancelled() => Wake::Stop,
            changed = link.announcement.changed() => match changed {
                Ok(()) => Wake::Announcement,
                Err(_) => return,
            },
            Some(node) = link.questions.recv() => Wake::Question(node),
            Ok(()) = keys.changed() => Wake::Keys,
            // Before the bus, so that a flood of packets does not silence us.
            () = tokio::time::sleep_until(deadline.unwrap_or_else(|| clock.instant(Moment::ZERO))), if deadline.is_some() => Wake::Deadline,
            event = bus.next() => Wake::Bus(event),
        };
        match wake {
            Wake::Bus(event) => {
                note_loss(&event, name, &link);
                broker.handle_bus(event, clock.now(), random());
            }
            Wake::Announcement => take_announcement(&mut broker, &mut link, clock.now()),
            Wake::Question(node) => broker.handle_question(node),
            Wake::Keys => broker.handle_keys(&keys.borrow_and_update()),
            Wake::Deadline => broker.handle_deadline(clock.now()),
            Wake::Stop => break,
        }
    }
    take_announcement(&mut broker, &mut link, clock.now());
    let farewell = async {
        while let Some(output) = broker.poll_output() {
            if let Output::Send(..) = output {
                let _ = carry_out(output, &mut bus, &link).await;
            }
        }
        bus.flush().await;
    };
    tokio::select! {
        biased;
        () = farewell => {}
        () = &mut overdue => {}
    }
}

fn note_loss(event: &BusEvent, broker: &str, link: &PeerLink) {
    if let BusEvent::Down { why } = event {
        tracing::warn!(broker, %why, "the link to the broker is down");
        link.stats.reconnected();
    }
}

fn take_announcement(broker: &mut Broker, link: &mut PeerLink, now: Now) {
    let announced = link.announcement.borrow_and_update().clone();
    broker.handle_announcement(announced, now);
}

async fn carry_out(output: Output, bus: &mut impl Bus, link: &PeerLink) -> Result<(), NodeEnded> {
    match output {
        Output::Tell(event) => return link.tell(event).await,
        Output::Serve(willing) => bus.serve(willing).await,
        Output::Send(to, kind, payload) => {
            let bytes = payload.len();
            let verdict = if bus.send(to, payload).await { Verdict::Ok } else { Verdict::Failed };
            link.stats.sent(kind, verdict, bytes);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lobby_core::{
        catalog::{Catalog, ExchangeSpec, Liveness},
        id::{Generation, Revision},
        local::LocalRecord,
        proof::{Signer, unchecked},
    };
    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::seal::fixed;

    /// Up at once; a send takes a while, and is lost when it is dropped meanwhile.
    struct SlowBus {
        up: bool,
        sending: mpsc::UnboundedSender<()>,
        sent: mpsc::UnboundedSender<Vec<u8>>,
    }

    impl Bus for SlowBus {
        async fn next(&mut self) -> BusEvent {
            if std::mem::replace(&mut self.up, true) {
                return std::future::pending().await;
            }
            BusEvent::Up { max_bytes: 1 << 20 }
        }

        async fn send(&mut self, _to: Address, payload: Vec<u8>) -> bool {
            let _ = self.sending.send(());
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.sent.send(payload).is_ok()
        }

        async fn serve(&mut self, _willing: bool) {}

        async fn flush(&mut self) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_goodbye_on_its_way_survives_the_stop() {
        let clock = Clock::start();
        let mut local = LocalRecord::new(NodeId::from_bytes([1; 16]), Generation(1), "own".parse().unwrap());
        let spec = ExchangeSpec { name: "test".into(), liveness: Liveness::Ttl(Duration::from_secs(30)) };
        let own = local.record().clone();
        let mut catalog = Catalog::new(Revision(0), [spec], own.clone(), true, Duration::from_secs(60), clock.now());
        let (_snapshots, shown) = watch::channel(catalog.poll_snapshot().unwrap());
        let (announce, announcement) = watch::channel(Announcement::new(own, true));
        let (events, _told) = mpsc::channel(64);
        let (_questions, questions) = mpsc::channel(1);
        let (reader, signer) = (CatalogReader::new(shown), Arc::new(Signer::new(&[1; 32], "lobby")));
        let link = PeerLink::new(ExchangeId(0), announcement, questions, reader, Arc::default(), signer, events);
        let keep_alive = Duration::from_secs(3600);
        let setup = Setup {
            broker: "test",
            cluster: "lobby".into(),
            keep_alive,
            answering: Answering::Claim,
            keys: fixed(Keys::default()),
            check: unchecked(),
        };
        let (sending, mut started) = mpsc::unbounded_channel();
        let (sent, mut arrived) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(SlowBus { up: false, sending, sent }, setup, link, clock, stop.clone()));
        // Hi and ask.
        for _ in 0..2 {
            started.recv().await.unwrap();
            arrived.recv().await.unwrap();
        }
        local.leave();
        announce.send_replace(Announcement::new(local.commit(Moment::ZERO).unwrap(), true));
        started.recv().await.unwrap();
        stop.cancel();
        task.await.unwrap();
        let last = packet::decode(&arrived.recv().await.expect("the goodbye was sent"), ExchangeId(0)).unwrap();
        assert!(last.message == Message::Goodbye && last.record.has_left());
        assert!(arrived.recv().await.is_none(), "and only once");
    }
}
