//! One client: what it was told last, and what it is told next.
//!
//! The body is polled by its connection and has no task of its own. It is polled only when the client has taken what came
//! before, and then tells the difference to the newest state. Without news there is a comment each [`HEARTBEAT`], which also
//! moves the client's id on, so that it does not fall out of the history while only others are told.
//! Not here: the deadline for a client that takes nothing (`serve`).

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::Frame;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    Place, delta,
    hub::{Entry, Group, Joined, Told},
};
use crate::consul::Stop;

/// Between two signs of life: middle boxes forget connections that are silent for a minute, some for half of it.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The body of an answer.
pub(super) struct Stream {
    next: Pin<Box<dyn Future<Output = Next> + Send>>,
}

/// What comes next, and the client to go on with; without them the body ends.
type Next = Option<(Bytes, Client)>;

struct Client {
    place: Place,
    /// What is still to be told of the beginning.
    first: VecDeque<Bytes>,
    group: Arc<Group>,
    told: watch::Receiver<Told>,
    /// Everything until here was told, as far as it shows.
    at: Entry,
    /// The id that the client has is of this state.
    id_of: u64,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
    heartbeat: Instant,
}

impl Stream {
    pub(super) fn new(joined: Joined, first: VecDeque<Bytes>, stop: Stop, place: Place) -> Self {
        let Joined { group, told, at, start: _ } = joined;
        let (id_of, stopped) = (at.number, Box::pin(stop.stopped()));
        let client = Client { place, first, group, told, at, id_of, stopped, heartbeat: Instant::now() + HEARTBEAT };
        Self { next: Box::pin(client.next()) }
    }
}

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some((bytes, client)) = ready!(self.next.as_mut().poll(cx)) else {
            self.next = Box::pin(std::future::ready(None));
            return Poll::Ready(None);
        };
        self.next = Box::pin(client.next());
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

impl Client {
    async fn next(mut self) -> Next {
        if let Some(first) = self.first.pop_front() {
            return Some((first, self));
        }
        loop {
            let bytes = tokio::select! {
                biased;
                () = &mut self.stopped => return None,
                // The group, and with it the other end, is held here.
                _ = self.told.changed() => self.news(),
                () = sleep_until(self.heartbeat) => Some(self.sign_of_life()),
            };
            if let Some(bytes) = bytes {
                self.heartbeat = Instant::now() + HEARTBEAT;
                return Some((bytes, self));
            }
        }
    }

    /// What shows since the last time.
    fn news(&mut self) -> Option<Bytes> {
        let told = self.told.borrow_and_update();
        let (at, seen) = (self.at.number, told.seen.clone());
        let shared = told.events.clone().filter(|_| (told.since..=told.from).contains(&at));
        let (is_news, to) = (at < told.to, told.to);
        drop(told);
        if !is_news {
            return None;
        }
        let is_shared = shared.is_some();
        let events = shared.or_else(|| self.group.between(&self.place.0.state.events, &self.at, &seen));
        if events.is_some() {
            self.id_of = if is_shared { to } else { seen.number };
        }
        self.at = seen;
        events
    }

    fn sign_of_life(&mut self) -> Bytes {
        let seen = {
            let told = self.told.borrow();
            (self.at.number >= told.to).then(|| told.seen.clone())
        };
        if let Some(seen) = seen.filter(|seen| seen.number > self.at.number) {
            self.at = seen;
        }
        if self.id_of == self.at.number {
            return Bytes::from_static(b":\n\n");
        }
        self.id_of = self.at.number;
        // An event without data changes nothing but the id.
        format!(":\nid: {}\n\n", delta::id(&self.at.snapshot)).into()
    }
}
