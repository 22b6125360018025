//! Whether records are their owners': asked by thousands of engines of the same few versions, so each is checked once.
//!
//! What is remembered is the signed text with the key and the signature, and only if it was right: a forged record is
//! forged each time.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use lobby_core::proof::{Check, Checker};

use super::CLUSTER;

#[derive(Default)]
pub(super) struct Proofs(Arc<Mutex<HashSet<Vec<u8>>>>);

impl Proofs {
    pub(super) fn check(&self) -> Check {
        let (good, checker) = (self.0.clone(), Checker::new(CLUSTER));
        Arc::new(move |record, content| {
            assert!(content.is_none(), "gossip has the content");
            let mut seen = checker.statement(record);
            if let Some(proof) = record.proof() {
                seen.extend(proof.key);
                seen.extend(proof.signature);
            }
            let mut good = good.lock().unwrap();
            if good.contains(&seen) {
                return Ok(());
            }
            checker.check(record)?;
            good.insert(seen);
            Ok(())
        })
    }
}
