//! A thread that takes datagrams from one socket and answers them there.
//!
//! Not here: what is answered (`respond`), names of others (`forward`).

use std::{
    io,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::runtime::Handle;

use super::local::{Client, Udp};
use crate::{
    counters::{Counters, Event},
    forward::{Asked, Forward},
    respond::{Action, Responder},
};

/// Longest request that is read whole. A question with all its options has some hundred bytes; longer ones are malformed.
const REQUEST_BYTES: usize = 4096;

/// If nobody wakes the thread at the end, it looks up so often by itself.
const LOOK_UP: Duration = Duration::from_secs(1);

/// One thread's work.
pub(super) struct Worker {
    socket: Arc<Udp>,
    responder: Responder,
    counters: Arc<Counters>,
    forward: Option<Arc<Forward>>,
    runtime: Handle,
    stopping: Arc<AtomicBool>,
}

impl Worker {
    pub(super) fn new(
        socket: UdpSocket,
        responder: Responder,
        counters: Arc<Counters>,
        forward: Option<Arc<Forward>>,
        stopping: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        socket.set_read_timeout(Some(LOOK_UP))?;
        let socket = Arc::new(Udp::new(socket)?);
        Ok(Self { socket, responder, counters, forward, runtime: Handle::current(), stopping })
    }

    /// Answers until the end.
    pub(super) fn run(mut self) {
        let mut request = vec![0; REQUEST_BYTES];
        let mut answer = Vec::with_capacity(2048);
        loop {
            let received = self.socket.receive(&mut request);
            if self.stopping.load(Ordering::Relaxed) {
                return;
            }
            // Nothing came for a while, or the network said something about an earlier answer.
            let Ok((len, client)) = received else { continue };
            match self.responder.datagram(&request[..len], client.addr.ip(), &mut answer) {
                Action::Send => send(&self.socket, &self.counters, &answer, &client),
                Action::Nothing => {}
                Action::Forward => self.forward(&request[..len], client),
            }
        }
    }

    fn forward(&self, bytes: &[u8], client: Client) {
        let Some(forward) = &self.forward else { return };
        let (socket, counters) = (self.socket.clone(), self.counters.clone());
        match forward.ask(bytes, false) {
            Asked::Now(answer) => send(&socket, &counters, &answer, &client),
            Asked::Later(answer) => {
                let sending = async move { send(&socket, &counters, &answer.await, &client) };
                drop(self.runtime.spawn(sending));
            }
        }
    }
}

fn send(socket: &Udp, counters: &Counters, answer: &[u8], to: &Client) {
    // Whoever cannot be reached asks again.
    if socket.send(answer, to).is_err() {
        counters.event(Event::SendFailed);
    }
}
