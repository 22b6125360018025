//! A gossip that answers as each test wants, in place of the real one.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use lobby_core::{
    coordinate::Coordinate,
    id::{Generation, NodeId},
    port::gossip::{EventId, EventLog, Filter, GossipCommand, GossipHandle, Member, NewEvent, QueryNews, UserEvent, View},
};
use lobby_http::Config;
use tokio::sync::{mpsc, watch};

use crate::fixture::{Fleet, Served, config};

/// A query that was asked and is still open.
pub(crate) type Open = mpsc::Sender<QueryNews>;

/// What the commands came to, as text, and where events appear.
pub(crate) struct Gossip {
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    pub(crate) log: watch::Sender<EventLog>,
    pub(crate) handle: GossipHandle,
}

pub(crate) fn id(byte: u8) -> NodeId {
    NodeId::from_bytes([byte; 16])
}

/// The id as a path or an answer has it.
pub(crate) fn hex(byte: u8) -> String {
    id(byte).to_string()
}

/// A gossip whose commands `answer` sees; it returns what is noted of each.
pub(crate) fn gossip(mut answer: impl FnMut(GossipCommand) -> String + Send + 'static) -> Gossip {
    let (commands, mut received) = mpsc::channel(64);
    let (log, events) = watch::channel(EventLog::default());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = asked.clone();
    // Ends when the app, and with it the sender, is gone.
    tokio::spawn(async move {
        while let Some(command) = received.recv().await {
            let note = answer(command);
            notes.lock().unwrap().push(note);
        }
    });
    Gossip { asked, log, handle: GossipHandle::new(commands, events) }
}

/// Ourselves and `fleet` over this gossip.
pub(crate) fn serve(fleet: Fleet, gossip: &Gossip) -> Served {
    serve_with(fleet, gossip, config())
}

pub(crate) fn serve_with(fleet: Fleet, gossip: &Gossip, config: Config) -> Served {
    fleet.serve_gossip(config, gossip.handle.clone())
}

impl Gossip {
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Adds an event to the log.
    pub(crate) fn tell(&self, event: UserEvent) {
        self.log.send_modify(|log| {
            log.events.push_back(Arc::new(event));
            log.n_seen += 1;
        });
    }
}

pub(crate) fn event(byte: u8, name: &str, payload: &'static [u8]) -> UserEvent {
    UserEvent {
        id: event_id(byte),
        ltime: u64::from(byte) + 40,
        origin: id(2),
        event: NewEvent { name: name.to_owned(), payload: Bytes::from_static(payload), filter: Filter::default() },
        number: 1,
        replayed: false,
    }
}

/// An id whose index is [`event_index`]. For numbers below 16.
pub(crate) fn event_id(byte: u8) -> EventId {
    let mut id = [byte; 16];
    id[8..].fill(byte << 4);
    EventId(id)
}

pub(crate) fn member(byte: u8, state: &'static str) -> Member {
    Member {
        id: id(byte),
        name: None,
        generation: Generation(7),
        addr: format!("10.0.0.{byte}:1314").parse().unwrap(),
        state,
        coordinate: None,
        rtt: None,
        own: byte == 1,
    }
}

/// Every byte of it is the number twice, as hexadecimal digits.
pub(crate) fn event_index(byte: u8) -> u64 {
    u64::from_be_bytes([byte << 4 | byte; 8])
}

/// A member this many milliseconds to the east.
pub(crate) fn member_at(byte: u8, east: f32) -> Member {
    Member { coordinate: Some(at(east)), rtt: Some(Duration::from_micros(1234)), ..member(byte, "alive") }
}

pub(crate) fn at(east: f32) -> Coordinate {
    let mut vec = [0.0; 8];
    vec[0] = east / 1000.0;
    Coordinate { vec, height: 1e-5, adjustment: 0.0, error: 0.5 }
}

/// A gossip that only ever tells this view; coordinates of others are asked for in vain.
pub(crate) fn viewed(members: Vec<Member>) -> Gossip {
    let view = View { members, numbers: vec![("rumours", 3), ("health", 0)] };
    gossip(move |command| match command {
        GossipCommand::View(answer) => {
            let _ = answer.send(Ok(view.clone()));
            "view".to_owned()
        }
        GossipCommand::Coordinates(ids, answer) => {
            let of = |id: &NodeId| view.members.iter().find(|member| member.id == *id)?.coordinate;
            let _ = answer.send(Ok(ids.iter().map(of).collect()));
            format!("coordinates of {}", ids.len())
        }
        other => panic!("unexpected {other:?}"),
    })
}
