//! What the tests of several parts need: an engine that knows nobody.

use std::sync::Arc;

use lobby_core::{
    id::{Generation, NodeId},
    local::LocalRecord,
    port::Announcement,
    record::Record,
    time::Moment,
};
use lobby_gossip::{Engine, Keyring, Profile, Setup};

pub(super) const NOW: Moment = Moment::from_micros(1_000_000);

pub(super) fn own_id() -> NodeId {
    NodeId::from_bytes([1; 16])
}

/// The record of the node `own`, with one label.
pub(super) fn own_record() -> Arc<Record> {
    let mut local = LocalRecord::new(own_id(), Generation(1), "own".parse().unwrap());
    local.set_labels(["role:db:main".parse().unwrap()]);
    local.commit(NOW).unwrap()
}

pub(super) fn engine() -> Engine {
    let setup = Setup {
        config: Profile::Lan.config(),
        keyring: Arc::new(Keyring::new("test", &[]).unwrap()),
        advertise: ([127, 0, 0, 1], 1).into(),
        announcement: Announcement::new(own_record(), true),
        seeded: false,
        peers: Vec::new(),
        nonces: Box::new(|| [0; 24]),
        seed: 1,
        check: lobby_core::proof::unchecked(),
        signer: Arc::new(lobby_core::proof::Signer::new(&[1; 32], "test")),
        stats: Arc::default(),
    };
    Engine::new(setup, NOW)
}
