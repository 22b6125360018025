//! The serving loop: accepts connections, bounds how many there are, and ends them when the agent stops.
//!
//! Each connection is a task owned by the loop (`serve::connection`), at most `Limits::connections` of them, plus a few
//! that only say 429 or 503 (`serve::room`). Over TCP it begins with a TLS handshake where certificates are set
//! (`serve::tls`); the unix socket is always plain. On stop no more are accepted, requests in flight get
//! `Limits::drain`, then the rest is cut off.
//! Not here: deadlines within a connection (`serve::guard`).

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::atomic::Ordering,
    time::Duration,
};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    App,
    access::{Caller, Door},
    counters::Refusal,
    router,
};

mod burst;
mod connection;
mod guard;
pub(crate) mod room;
pub(crate) mod tls;
mod turns;

/// After a failed accept (no file descriptors, mostly) the next one waits this long instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What we listen on.
#[derive(Debug)]
pub enum Listener {
    /// A TCP address.
    Tcp(TcpListener),
    /// A unix socket: root and our own user are operators there.
    Unix(UnixListener),
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

impl Listener {
    async fn accept(&self) -> io::Result<(Stream, Door)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                let loopback_only = listener.local_addr().is_ok_and(|addr: SocketAddr| addr.ip().to_canonical().is_loopback());
                // Answers are written whole, so waiting for more to send gains nothing.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), Door::Tcp { peer, loopback_only }))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let peer = stream.peer_cred().ok();
                let uid = peer.map(|peer| peer.uid());
                // A process of another namespace has no number here.
                let pid = peer.and_then(|peer| u32::try_from(peer.pid()?).ok()).filter(|pid| *pid != 0);
                let trusted = uid.is_some_and(|uid| uid == 0 || uid == rustix::process::geteuid().as_raw());
                Ok((Stream::Unix(stream), Door::Unix { trusted, pid, uid }))
            }
        }
    }
}

/// Serves `app` on a listener until `stop` completes, then ends every connection and returns.
pub async fn serve(listener: impl Into<Listener>, app: App, stop: impl Future<Output = ()>) {
    let listener = listener.into();
    let router = router(app.clone());
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(ended) = connections.join_next() => log_panic(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, door)) => admit(&app, &router, stream, door, &stopped, &mut connections),
                Err(err) => {
                    app.counters().accept_errors.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%err, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop((listener, stopping));
    let drained = async {
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
    };
    if timeout(app.config().limits.drain, drained).await.is_err() {
        tracing::debug!(left = connections.len(), "connections were cut off");
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(err) = ended {
        tracing::error!(%err, "a connection's task failed");
    }
}

/// Gives a connection its task, or turns it away.
fn admit(app: &App, router: &Router, stream: Stream, door: Door, stopped: &watch::Receiver<()>, tasks: &mut JoinSet<()>) {
    app.counters().accepted.fetch_add(1, Ordering::Relaxed);
    let place = match app.state.room.enter(&app.config().limits, address(door)) {
        Ok(place) => place,
        Err(refusal) => return turn_away(app, stream, refusal, tasks),
    };
    let caller = Caller { door, crowded: place.crowded };
    let shared = connection::Shared { app: app.clone(), router: router.clone(), caller, stopped: stopped.clone() };
    // A task each: one for all would be as large as the largest.
    match (stream, app.config().access.tls()) {
        (Stream::Tcp(stream), None) => tasks.spawn(async move {
            connection::run(stream, shared).await;
            drop(place);
        }),
        (Stream::Tcp(stream), Some(config)) => tasks.spawn(async move {
            let mut stopped = shared.stopped.clone();
            let stream = tokio::select! {
                stream = tls::handshake(stream, config, &shared.app) => stream,
                // Nothing was asked yet, so there is nothing to let finish.
                _ = stopped.changed() => None,
            };
            if let Some(stream) = stream {
                connection::run(stream, shared).await;
            }
            drop(place);
        }),
        (Stream::Unix(stream), _) => tasks.spawn(async move {
            connection::run(stream, shared).await;
            drop(place);
        }),
    };
}

fn address(door: Door) -> Option<IpAddr> {
    match door {
        Door::Tcp { peer, .. } => Some(peer.ip()),
        Door::Unix { .. } => None,
    }
}

/// Tells a client why it gets no place, if that is not asked of us by too many at a time.
fn turn_away(app: &App, stream: Stream, refusal: Refusal, tasks: &mut JoinSet<()>) {
    let Ok(place) = app.state.room.refusals.clone().try_acquire_owned() else {
        app.counters().refused(Refusal::Dropped);
        return;
    };
    app.counters().refused(refusal);
    let app = app.clone();
    tasks.spawn(async move {
        match (stream, app.config().access.tls()) {
            (Stream::Tcp(stream), None) => connection::refuse(stream, refusal).await,
            (Stream::Tcp(stream), Some(config)) => {
                if let Some(stream) = tls::handshake(stream, config, &app).await {
                    connection::refuse(stream, refusal).await;
                }
            }
            (Stream::Unix(stream), _) => connection::refuse(stream, refusal).await,
        }
        drop(place);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_unix_socket_tells_the_process_that_connected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("api");
        let listener = Listener::Unix(UnixListener::bind(&path).unwrap());
        let (_client, accepted) = tokio::join!(UnixStream::connect(&path), listener.accept());
        let (_, door) = accepted.unwrap();
        let Door::Unix { trusted: true, pid, uid } = door else { panic!("{door:?}") };
        assert_eq!((pid, uid), (Some(std::process::id()), Some(rustix::process::geteuid().as_raw())));
    }
}
