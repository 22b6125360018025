//! Gossip under the contract: real sockets on loopback, the first node being the seed of the others.
//!
//! It has no broker, so what the contract says of a broker's loss does not apply; loss and partitions are tried in the
//! simulator of `lobby-gossip`, bytes of others in `tests/gossip.rs`.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
};

use lobby_core::{catalog::Liveness, port::PeerLink};
use lobby_exchange::{
    Exchange, ExchangeError,
    clock::Clock,
    gossip::{Config, Gossip, Key, Profile},
};
use lobby_testkit::port;
use tokio_util::sync::CancellationToken;

use crate::contract::{self, Backend};

struct Members {
    seed: SocketAddr,
    seed_runs: AtomicBool,
}

impl Members {
    fn new() -> Self {
        Self { seed: port::free_address(), seed_runs: AtomicBool::new(false) }
    }
}

/// Binds when it starts to run, as the contract starts exchanges without waiting.
struct Late(Config);

impl Exchange for Late {
    async fn run(self, link: PeerLink, stop: CancellationToken) -> Result<(), ExchangeError> {
        Gossip::bind(self.0, Clock::start()).await?.run(link, stop).await
    }
}

impl Backend for Members {
    fn exchange(&self) -> impl Exchange {
        let is_seed = !self.seed_runs.swap(true, Ordering::Relaxed);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Late(Config {
            bind: if is_seed { self.seed } else { any },
            advertise: None,
            join: vec![self.seed.to_string()],
            keys: vec![Key::from_bytes([7; 32])],
            cluster: "lobby".into(),
            profile: Profile::Fast,
            beacon: None,
            folder: None,
        })
    }

    fn liveness(&self) -> Liveness {
        Liveness::Reported
    }

    fn take_down(&mut self) {
        unreachable!("no test of this file loses a broker");
    }

    fn bring_back(&mut self) {
        unreachable!("no test of this file loses a broker");
    }
}

contract::tests!(
    Members::new(),
    late_joiner_sees_all,
    changes_arrive_at_once,
    goodbye_removes,
    crash_expires,
    a_restarted_node_is_one_node,
    a_restart_within_the_grace_is_no_change,
    two_nodes_of_one_name_are_both_known,
    an_unlisted_node_sees_and_is_not_seen,
);
