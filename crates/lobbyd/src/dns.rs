//! DNS as a part of the daemon: bound before anybody is told of us, answering once the agent runs.
//!
//! Not here: what is configured (`config::dns`), what is answered (`lobby_dns`).

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use lobby::Lobby;
use lobby_core::stats::DnsCounts;
use lobby_dns::{Counters, Limits, Server, Shared, Sockets};

use crate::config::dns::Dns;

/// DNS that is bound, or off.
#[derive(Default)]
pub(crate) struct Bound(Option<(Sockets, Dns, Arc<Counters>)>);

/// Binds the sockets. A default address that is taken turns DNS off; one that somebody chose ends the start.
pub(crate) fn bind(dns: Option<Dns>) -> anyhow::Result<Bound> {
    let Some(dns) = dns else { return Ok(Bound::default()) };
    match Sockets::bind(dns.addr, lobby_dns::workers()) {
        Ok(sockets) => Ok(Bound(Some((sockets, dns, Arc::default())))),
        Err(err) if dns.default_addr => {
            tracing::warn!(
                "DNS is off: its default address {} cannot be used: {err}; set DNS_ADDR to another, or to off",
                dns.addr
            );
            Ok(Bound::default())
        }
        Err(err) => {
            let needs_right = err.kind() == std::io::ErrorKind::PermissionDenied && dns.addr.port() < 1024;
            let hint = if needs_right { " (a low port needs CAP_NET_BIND_SERVICE)" } else { "" };
            Err(err).with_context(|| format!("DNS cannot listen on {}{hint}, set DNS_ADDR", dns.addr))
        }
    }
}

impl Bound {
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        self.0.as_ref().map(|(sockets, ..)| sockets.addr())
    }

    /// Reads what is counted, if there is anything.
    pub(crate) fn counts(&self) -> Option<Arc<dyn Fn() -> DnsCounts + Send + Sync>> {
        let (_, _, counters) = self.0.as_ref()?;
        let counters = counters.clone();
        Some(Arc::new(move || counters.read()))
    }

    /// Answers from now on.
    pub(crate) fn start(self, lobby: &Lobby) -> anyhow::Result<Option<Server>> {
        let Some((sockets, dns, counters)) = self.0 else { return Ok(None) };
        let clock = lobby.clock();
        let shared = Shared {
            settings: Arc::new(dns.settings),
            reader: lobby.reader(),
            clock: Arc::new(move || clock.now()),
            counters,
            distances: Arc::default(),
        };
        let server = Server::start(sockets, &shared, Limits::default(), dns.resolvers, lobby.gossip());
        server.context("DNS cannot start").map(Some)
    }
}

/// Answers no more.
pub(crate) async fn stop(server: Option<Server>) {
    if let Some(server) = server {
        server.stop().await;
    }
}
