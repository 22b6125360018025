//! The serving loop: accepts connections, bounds how many there are, and ends them when the agent stops.
//!
//! Each connection is a task owned by the loop (`serve::connection`), at most `Limits::connections` of them plus
//! [`REFUSALS`] that only say 503. On stop no more are accepted, requests in flight get `Limits::drain`, then the
//! rest is cut off.
//! Not here: deadlines within a connection (`serve::guard`).

use std::{future::Future, io, net::SocketAddr, pin::pin, sync::atomic::Ordering, time::Duration};

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

mod connection;
mod guard;

/// Connections above the bound that still get an answer; those above are dropped.
const REFUSALS: usize = 64;

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
                let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                let trusted = uid.is_some_and(|uid| uid == 0 || uid == rustix::process::geteuid().as_raw());
                Ok((Stream::Unix(stream), Door::Unix { trusted }))
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

/// Counts a connection for as long as it lives.
struct Place(App);

impl Place {
    /// Takes a place and tells how many were taken before.
    fn take(app: &App) -> (Self, usize) {
        app.counters().accepted.fetch_add(1, Ordering::Relaxed);
        let before = app.counters().open.fetch_add(1, Ordering::Relaxed);
        (Self(app.clone()), before)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.counters().open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Gives a connection its task, or refuses it.
fn admit(app: &App, router: &Router, stream: Stream, door: Door, stopped: &watch::Receiver<()>, tasks: &mut JoinSet<()>) {
    let bound = app.config().limits.connections;
    let (place, before) = Place::take(app);
    if before >= bound {
        if before >= bound + REFUSALS {
            app.counters().refused(Refusal::Dropped);
            return;
        }
        app.counters().refused(Refusal::Full);
        tasks.spawn(async move {
            match stream {
                Stream::Tcp(stream) => connection::refuse(stream).await,
                Stream::Unix(stream) => connection::refuse(stream).await,
            }
            drop(place);
        });
        return;
    }
    let caller = Caller { door, crowded: before >= bound - bound / 10 };
    let shared = connection::Shared { app: app.clone(), router: router.clone(), caller, stopped: stopped.clone() };
    tasks.spawn(async move {
        match stream {
            Stream::Tcp(stream) => connection::run(stream, shared).await,
            Stream::Unix(stream) => connection::run(stream, shared).await,
        }
        drop(place);
    });
}
