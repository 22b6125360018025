//! The loop around the broker machine: waits for the bus, the node task and the clock, and carries out what is due.

use std::future::Future;

use lobby_core::port::{NodeEnded, PeerLink};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{backoff::random, clock::Clock};

/// How long a goodbye may take to leave.
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
    Deadline,
    Stop,
}

/// Runs until `stop`, or until the node task has ended.
pub(crate) async fn run(mut bus: impl Bus, setup: Setup, mut link: PeerLink, clock: Clock, stop: CancellationToken) {
    let name = setup.broker;
    let mut broker = Broker::new(setup, &link);
    loop {
        while let Some(output) = broker.poll_output() {
            tokio::select! {
                biased;
                done = carry_out(output, &mut bus, &link) => if done.is_err() { return },
                () = stop.cancelled() => {}
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
            // Before the bus, so that a flood of packets does not silence us.
            () = tokio::time::sleep_until(deadline.unwrap_or_else(|| clock.instant(Moment::ZERO))), if deadline.is_some() => Wake::Deadline,
            event = bus.next() => Wake::Bus(event),
        };
        match wake {
            Wake::Bus(event) => {
                if let BusEvent::Down { why } = &event {
                    tracing::warn!(broker = name, %why, "the link to the broker is down");
                    link.stats.reconnected();
                }
                broker.handle_bus(event, clock.now(), random());
            }
            Wake::Announcement => {
                let announced = link.announcement.borrow_and_update().clone();
                broker.handle_announcement(announced, clock.now());
            }
            Wake::Question(node) => broker.handle_question(node),
            Wake::Deadline => broker.handle_deadline(clock.now()),
            Wake::Stop => break,
        }
    }
    let announced = link.announcement.borrow_and_update().clone();
    broker.handle_announcement(announced, clock.now());
    let farewell = async {
        while let Some(output) = broker.poll_output() {
            if let Output::Send(..) = output {
                let _ = carry_out(output, &mut bus, &link).await;
            }
        }
        bus.flush().await;
    };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
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
