//! Changes of the local record whose room is kept for them until they come.
//!
//! ```text
//! reserve (may be refused) ─► on disk ─► apply (never refused) or release
//! ```
//! What is reserved counts as if it were there, so neither labels nor others can take its room meanwhile.
//! Not here: the record itself (`local`), the disk (the crate `lobby`).

use std::{collections::BTreeMap, sync::Arc};

use super::{LocalRecord, MOST_BYTES, SetError};
use crate::{
    check::view::CheckView,
    instance::{Id, Instance},
    record::{Key, meta},
    wire::service::{encode_check, encode_instance},
};

/// One change of what our record tells of instances and checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordChange {
    /// Adds an instance, or replaces the one of its id.
    SetInstance(Arc<Instance>),
    /// Removes an instance, but not its checks.
    RemoveInstance(Id),
    /// Adds a check, or replaces the one of its id.
    SetCheck(Box<CheckView>),
    /// Removes a check.
    RemoveCheck(Id),
    /// Whether the whole node takes nothing new.
    Drain(bool),
}

impl RecordChange {
    /// The instance or check that it is about.
    pub fn id(&self) -> Option<&Id> {
        match self {
            Self::SetInstance(instance) => Some(&instance.id),
            Self::SetCheck(check) => Some(&check.id),
            Self::RemoveInstance(id) | Self::RemoveCheck(id) => Some(id),
            Self::Drain(_) => None,
        }
    }

    /// Key and weight of what it sets, once it is found to be valid. A check counts without its output, which gives way.
    fn claim(&self) -> Result<Option<(Key, usize)>, SetError> {
        let (key, value_len) = match self {
            Self::SetInstance(instance) => {
                instance.validate()?;
                let mut value = Vec::new();
                encode_instance(instance, &mut value);
                (Key::Instance(instance.id.clone()), value.len())
            }
            Self::SetCheck(check) => {
                check.validate()?;
                let mut value = Vec::new();
                encode_check(&CheckView { output: String::new(), ..(**check).clone() }, &mut value);
                (Key::Check(check.id.clone()), value.len())
            }
            Self::RemoveInstance(_) | Self::RemoveCheck(_) | Self::Drain(_) => return Ok(None),
        };
        let weight = key.weight(None) + value_len;
        Ok(Some((key, weight)))
    }

    fn key(&self) -> Option<Key> {
        match self {
            Self::SetInstance(instance) => Some(Key::Instance(instance.id.clone())),
            Self::SetCheck(check) => Some(Key::Check(check.id.clone())),
            Self::RemoveInstance(_) | Self::RemoveCheck(_) | Self::Drain(_) => None,
        }
    }
}

impl LocalRecord {
    /// Keeps room for all of these changes, each of another key, until each is applied or released. When it fails, nothing is kept. What some
    /// of them would free is not counted: it is there until they are applied.
    pub fn reserve(&mut self, changes: &[RecordChange]) -> Result<(), SetError> {
        let mut claims = BTreeMap::new();
        let mut total = self.bytes + self.promised;
        for change in changes {
            let Some((key, weight)) = change.claim()? else { continue };
            let known = claims.get(&key).copied().unwrap_or(0).max(self.taken(&key));
            total = total - known + known.max(weight);
            if total > MOST_BYTES {
                let id = change.id().expect("what has a claim sets something that has an id").clone();
                return Err(SetError::TooLarge { id, bytes: total, most: MOST_BYTES });
            }
            let most = claims.get(&key).copied().unwrap_or(0).max(weight);
            claims.insert(key, most);
        }
        for (key, weight) in claims {
            let now = self.weight_now(&key);
            let old = self.claims.get(&key).copied().unwrap_or(0);
            self.promised = self.promised + weight.max(old).saturating_sub(now) - old.saturating_sub(now);
            self.claims.insert(key, weight.max(old));
        }
        Ok(())
    }

    /// Gives up the room that was kept for these changes.
    pub fn release(&mut self, changes: &[RecordChange]) {
        for key in changes.iter().filter_map(RecordChange::key) {
            if let Some(claim) = self.claims.remove(&key) {
                self.promised -= claim.saturating_sub(self.weight_now(&key));
            }
        }
    }

    /// Makes a change, and gives up the room that was kept for it. What was reserved is never refused.
    pub fn apply(&mut self, change: &RecordChange) -> Result<(), SetError> {
        let done = match change {
            RecordChange::SetInstance(instance) => self.set_instance(instance),
            RecordChange::SetCheck(check) => self.set_check(check),
            RecordChange::RemoveInstance(id) => {
                self.remove_instance(id);
                Ok(())
            }
            RecordChange::RemoveCheck(id) => {
                self.remove_check(id);
                Ok(())
            }
            RecordChange::Drain(true) => {
                self.set_meta(meta::DRAIN, "true");
                Ok(())
            }
            RecordChange::Drain(false) => {
                self.remove(Key::meta(meta::DRAIN));
                Ok(())
            }
        };
        self.release(std::slice::from_ref(change));
        done
    }

    /// The bytes of all, promised ones too, if this key had this weight.
    pub(super) fn bytes_with(&self, key: &Key, weight: usize) -> usize {
        let claim = self.claims.get(key).copied().unwrap_or(0);
        self.bytes + self.promised - self.taken(key) + weight.max(claim)
    }

    /// What counts for a key: what it has, or what it was promised if that is more.
    fn taken(&self, key: &Key) -> usize {
        self.weight_now(key).max(self.claims.get(key).copied().unwrap_or(0))
    }

    fn weight_now(&self, key: &Key) -> usize {
        self.wanted.get(key).map_or(0, |value| key.weight(Some(value)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        id::{Generation, NodeId},
        label::Label,
        limits,
        time::Moment,
    };

    fn record() -> LocalRecord {
        LocalRecord::new(NodeId::from_bytes([1; 16]), Generation(1), "a".parse().unwrap())
    }

    fn instance(n: u16, tags: usize) -> RecordChange {
        let mut instance = Instance::new(format!("i{n}").parse().unwrap(), "web".parse().unwrap());
        instance.tags = vec!["x".repeat(500); tags].into();
        RecordChange::SetInstance(Arc::new(instance))
    }

    fn check(n: u16, output: usize) -> RecordChange {
        let mut view = CheckView::new(format!("c{n}").parse().unwrap(), "C", None);
        view.output = "x".repeat(output);
        RecordChange::SetCheck(Box::new(view))
    }

    /// As many large instances as there is room for.
    fn full() -> (LocalRecord, u16) {
        let mut local = record();
        let n_fit = (0..u16::MAX).find(|n| local.apply(&instance(*n, 256)).is_err()).unwrap();
        (local, n_fit)
    }

    #[test]
    fn what_is_promised_is_not_given_to_others() {
        let (mut local, n) = full();
        local.apply(&RecordChange::RemoveInstance("i0".parse().unwrap())).unwrap();
        local.reserve(&[instance(n, 256)]).unwrap();
        assert!(matches!(local.apply(&instance(n + 1, 256)), Err(SetError::TooLarge { .. })));
        let labels = (0..4096).map(|n| format!("{n}:{}", "y".repeat(120)).parse::<Label>().unwrap());
        assert!(local.set_labels(labels) > 0, "labels get what is left");
        local.apply(&instance(n, 256)).unwrap();
        assert!(local.claims.is_empty() && local.promised == 0);
        assert!(local.commit(Moment::ZERO).unwrap().entries().len() > usize::from(n));
    }

    #[test]
    fn a_reservation_that_fails_keeps_nothing_and_a_released_one_frees_its_room() {
        let (mut local, n) = full();
        local.apply(&RecordChange::RemoveInstance("i0".parse().unwrap())).unwrap();
        assert!(local.reserve(&[instance(n, 256), instance(n + 1, 256)]).is_err());
        assert!(local.claims.is_empty() && local.promised == 0);
        let changes = [instance(n, 256)];
        local.reserve(&changes).unwrap();
        local.release(&changes);
        local.apply(&instance(n + 1, 256)).unwrap();
        assert!(matches!(local.reserve(&changes), Err(SetError::TooLarge { .. })));
        local.reserve(&[instance(n + 1, 255)]).expect("replacing takes no more");
    }

    #[test]
    fn room_is_given_to_the_last_byte_and_to_one_only() {
        let (mut local, n) = full();
        // Two more tags than `tags`, which have this many bytes more than their least.
        let sized = |tags: usize, more: usize| {
            let RecordChange::SetInstance(mut large) = instance(n, tags) else { unreachable!() };
            let tails = [more.min(350), more.saturating_sub(350)].map(|more| "x".repeat(150 + more));
            Arc::make_mut(&mut large).tags = large.tags.iter().cloned().chain(tails).collect();
            [RecordChange::SetInstance(large)]
        };
        let tags = (0..250).rev().find(|tags| {
            let is_taken = local.reserve(&sized(*tags, 0)).is_ok();
            local.release(&sized(*tags, 0));
            is_taken
        });
        // The largest that is taken leaves nothing.
        assert!((0..=700).rev().any(|more| local.reserve(&sized(tags.unwrap(), more)).is_ok()));
        assert_eq!(local.bytes + local.promised, MOST_BYTES);
        assert!(local.reserve(&[check(1, 0)]).is_err(), "that room is promised");
    }

    #[test]
    fn who_asks_twice_for_one_key_gets_the_larger_and_gives_back_all_of_it() {
        let mut local = record();
        local.reserve(&[instance(1, 9)]).unwrap();
        let large = local.promised;
        local.reserve(&[instance(1, 9)]).unwrap();
        local.reserve(&[instance(1, 2)]).unwrap();
        assert_eq!(local.promised, large);
        local.release(&[instance(1, 2)]);
        assert_eq!((local.promised, local.claims.len()), (0, 0));
        local.reserve(&[instance(1, 9), instance(1, 2)]).unwrap();
        assert_eq!(local.promised, large);
        local.release(&[instance(1, 9)]);
        let asked = [0, limits::OUTPUT_BYTES].map(|output| {
            local.reserve(&[check(1, output)]).unwrap();
            let promised = local.promised;
            local.release(&[check(1, output)]);
            promised
        });
        assert_eq!(asked[0], asked[1], "an output gives way");
    }

    #[test]
    fn a_drain_that_never_was_leaves_no_trace() {
        let mut local = record();
        local.apply(&RecordChange::Drain(false)).unwrap();
        assert_eq!(local.commit(Moment::ZERO), None);
        local.apply(&RecordChange::Drain(true)).unwrap();
        assert_eq!(local.commit(Moment::ZERO).unwrap().meta(meta::DRAIN), Some("true"));
        local.apply(&RecordChange::Drain(false)).unwrap();
        assert_eq!(local.commit(Moment::ZERO).unwrap().meta(meta::DRAIN), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Whatever others do between the promise and the change, the change is taken, and the books are right.
        #[test]
        fn what_was_reserved_is_never_refused(
            others in prop::collection::vec((0..30_u16, 0..200_usize, any::<bool>()), 0..60),
            mine in prop::collection::btree_map(20..40_u16, 0..256_usize, 1..6),
        ) {
            let mut local = record();
            for n in 100..106 {
                local.apply(&instance(n, 256)).unwrap();
            }
            let changes: Vec<_> = mine.iter().flat_map(|(&n, &tags)| [instance(n, tags), check(n, tags)]).collect();
            if local.reserve(&changes).is_ok() {
                for (n, tags, remove) in others {
                    let id = || format!("i{n}").parse().unwrap();
                    let _ = local.apply_other(&if remove { RecordChange::RemoveInstance(id()) } else { instance(n, tags) });
                    let _ = local.apply_other(&check(n, tags));
                }
                for change in &changes {
                    prop_assert_eq!(local.apply(change), Ok(()));
                }
            }
            prop_assert!(local.claims.is_empty() && local.promised == 0);
            let bytes: usize = local.wanted.iter().map(|(key, value)| key.weight(Some(value))).sum();
            prop_assert_eq!(bytes, local.bytes);
            prop_assert!(bytes <= MOST_BYTES);
        }
    }

    impl LocalRecord {
        /// A change by somebody who reserved nothing, such as another status of the same check.
        fn apply_other(&mut self, change: &RecordChange) -> Result<(), SetError> {
            match change {
                RecordChange::SetInstance(instance) => self.set_instance(instance),
                RecordChange::SetCheck(check) => self.set_check(check),
                RecordChange::RemoveInstance(id) => {
                    self.remove_instance(id);
                    Ok(())
                }
                _ => Ok(()),
            }
        }
    }
}
