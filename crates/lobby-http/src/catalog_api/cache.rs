//! Rendered bodies of one snapshot: each distinct question is answered once, however many ask it at a time.
//!
//! The bodies of the newest snapshot alone are kept, [`BODIES`] of them with [`BYTES`] together at most; beyond that all but
//! the newest are forgotten, and whoever waits for one still gets it. The lock is held for a look.
//! Not here: what makes two questions the same (`catalog_api`).

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use lobby_core::catalog::Snapshot;
use tokio::sync::OnceCell;

use crate::body::Body;

/// Most bodies that are kept: as many different questions as the clients of one agent are known to ask.
pub(crate) const BODIES: usize = 256;

/// Most bytes that they have together: a few long lists and many short ones.
pub(crate) const BYTES: usize = 8 << 20;

type Slot = Arc<OnceCell<Arc<Body>>>;

/// The bodies of the newest snapshot.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Bodies>);

#[derive(Debug, Default)]
struct Bodies {
    snapshot: Weak<Snapshot>,
    slots: HashMap<Box<str>, Slot>,
    bytes: usize,
}

impl Cache {
    /// The body of `key`, made by `make` unless somebody has made it of the same snapshot, or is about to.
    pub(crate) async fn body<F: Future<Output = Body>>(
        &self,
        snapshot: &Arc<Snapshot>,
        key: &str,
        make: impl FnOnce() -> F,
    ) -> Arc<Body> {
        let slot = self.slot(snapshot, key);
        let mut is_mine = false;
        let body = slot
            .get_or_init(async || {
                is_mine = true;
                Arc::new(make().await)
            })
            .await
            .clone();
        if is_mine {
            self.weigh(key, &slot, body.len());
        }
        body
    }

    fn slot(&self, snapshot: &Arc<Snapshot>, key: &str) -> Slot {
        let mut bodies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::ptr::eq(bodies.snapshot.as_ptr(), Arc::as_ptr(snapshot)) {
            *bodies = Bodies { snapshot: Arc::downgrade(snapshot), ..Bodies::default() };
        }
        if let Some(slot) = bodies.slots.get(key) {
            return slot.clone();
        }
        if bodies.slots.len() >= BODIES {
            (bodies.slots, bodies.bytes) = Default::default();
        }
        bodies.slots.entry(key.into()).or_default().clone()
    }

    /// Counts a body that was just made, if it is still among those kept.
    fn weigh(&self, key: &str, slot: &Slot, bytes: usize) {
        let mut bodies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !bodies.slots.get(key).is_some_and(|kept| Arc::ptr_eq(kept, slot)) {
            return;
        }
        let bytes = bytes + key.len();
        if bytes > BYTES {
            bodies.slots.remove(key);
            return;
        }
        bodies.bytes += bytes;
        if bodies.bytes > BYTES {
            bodies.slots.clear();
            bodies.slots.insert(key.into(), slot.clone());
            bodies.bytes = bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use lobby_core::{
        catalog::Catalog,
        id::{Generation, NodeId, Revision},
        local::LocalRecord,
        time::{Moment, Now, WallSecond},
    };

    use super::*;

    fn snapshot() -> Arc<Snapshot> {
        let own = LocalRecord::new(NodeId::from_bytes([1; 16]), Generation(1), "a".parse().unwrap());
        let now = Now { moment: Moment::ZERO, wall: WallSecond(0) };
        let mut catalog = Catalog::new(Revision(1), [], own.record().clone(), true, Duration::ZERO, now);
        catalog.poll_snapshot().unwrap()
    }

    /// Asks for a body of so many bytes and tells whether it was made for us.
    async fn made(cache: &Cache, snapshot: &Arc<Snapshot>, key: &str, bytes: usize) -> bool {
        let made = AtomicUsize::new(0);
        let body = cache.body(snapshot, key, async || {
            made.fetch_add(1, Ordering::Relaxed);
            Body::new(vec![b'x'; bytes])
        });
        assert_eq!(body.await.len(), bytes);
        made.load(Ordering::Relaxed) == 1
    }

    #[tokio::test]
    async fn a_body_is_made_once_for_each_snapshot() {
        let (cache, first, second) = (Cache::default(), snapshot(), snapshot());
        assert!(made(&cache, &first, "a", 1).await && !made(&cache, &first, "a", 1).await);
        assert!(made(&cache, &first, "b", 1).await);
        assert!(made(&cache, &second, "a", 2).await && !made(&cache, &second, "a", 2).await);
    }

    #[tokio::test]
    async fn all_who_ask_at_a_time_share_one() {
        let (cache, snapshot) = (Arc::new(Cache::default()), snapshot());
        let made = Arc::new(AtomicUsize::new(0));
        let ask = || {
            let (cache, snapshot, made) = (cache.clone(), snapshot.clone(), made.clone());
            tokio::spawn(async move {
                let make = async || {
                    tokio::task::yield_now().await;
                    made.fetch_add(1, Ordering::Relaxed);
                    Body::new(b"x".to_vec())
                };
                cache.body(&snapshot, "a", make).await
            })
        };
        for task in (0..100).map(|_| ask()).collect::<Vec<_>>() {
            assert_eq!(task.await.unwrap().len(), 1);
        }
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn so_many_bodies_are_kept() {
        let (cache, snapshot) = (Cache::default(), snapshot());
        for n in 0..BODIES {
            assert!(made(&cache, &snapshot, &n.to_string(), 1).await);
        }
        assert!(!made(&cache, &snapshot, "0", 1).await);
        assert!(made(&cache, &snapshot, "more", 1).await);
        assert!(made(&cache, &snapshot, "0", 1).await, "all were forgotten");
    }

    #[tokio::test]
    async fn so_many_bytes_are_kept() {
        let (cache, snapshot) = (Cache::default(), snapshot());
        let half = BYTES / 2 - 1;
        assert!(made(&cache, &snapshot, "a", half).await && made(&cache, &snapshot, "b", half).await);
        assert!(!made(&cache, &snapshot, "a", half).await, "both fit, with their keys");
        assert!(made(&cache, &snapshot, "c", 1).await);
        assert!(made(&cache, &snapshot, "a", half).await && !made(&cache, &snapshot, "c", 1).await, "the newest stays");
        // One that is too large by itself is not kept, and takes no other with it.
        assert!(made(&cache, &snapshot, "d", BYTES).await && made(&cache, &snapshot, "d", BYTES).await);
        assert!(!made(&cache, &snapshot, "c", 1).await);
    }
}
