//! What answers DNS requests for the target: a node with labels, services and more instances than fit into a datagram.
//!
//! Its clock stands still. Not here: the requests.

use std::{sync::Arc, time::Duration};

use lobby_core::{
    catalog::Catalog,
    id::{ExchangeId, Revision},
    instance::Instance,
    port::{CatalogReader, LinkState, PeerEvent},
    record::meta,
    time::{Moment, Now},
};
use lobby_dns::{Responder, Settings, Shared};
use tokio::sync::watch;

use crate::local;

/// Answers for `consul` and `lobby`.
pub fn responder() -> Responder {
    let mut own = local(1);
    own.set_meta(meta::ADDRESSES, "10.0.0.1,2001:db8::1");
    for n in 0..120_u8 {
        let address = if n % 3 == 0 { format!("10.1.0.{n}") } else { format!("2001:db8::{n}") };
        let web = Instance::new(format!("web.{n}").parse().expect("an id"), "web".parse().expect("a name"));
        let tags = [format!("t.{}", n % 4)].into();
        let web = Instance { address, port: 80, tags, ..web };
        own.set_instance(&web).expect("a good instance");
    }
    own.commit(Moment::ZERO);
    let spec = lobby_core::catalog::ExchangeSpec { name: "gossip".into(), liveness: lobby_core::catalog::Liveness::Reported };
    let record = own.record().clone();
    let mut catalog = Catalog::new(Revision(1), [spec], record, true, Duration::ZERO, Now::default());
    catalog.apply(ExchangeId(0), PeerEvent::Link(LinkState::Up), Now::default());
    catalog.apply(ExchangeId(0), PeerEvent::Warm, Now::default());
    let snapshot = catalog.poll_snapshot().expect("a new catalog has a first snapshot");
    // A receiver whose sender is gone still reads.
    let (_, receiver) = watch::channel(snapshot);
    let shared = Shared {
        settings: Arc::new(Settings { node_txt: true, ..Settings::default() }),
        reader: CatalogReader::new(receiver),
        clock: Arc::new(Now::default),
        counters: Arc::default(),
        distances: Arc::default(),
    };
    Responder::new(shared)
}
