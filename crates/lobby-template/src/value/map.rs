//! Go's map: a reference, so that a change is seen by everyone who holds it. Decides which maps can change (those from strings
//! to anything, as templates make them; typed ones, as answers have them, never do) and that none ever holds itself.

use std::collections::{BTreeMap, HashSet};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Key, Type, Value, take_apart};
use crate::func::CallError;

/// A Go map. Iteration is in the order of its keys, as text/template has it.
#[derive(Debug)]
pub struct Map {
    /// The type of the keys.
    pub key: Type,
    /// The type of the values: what a missing key gives is its zero value.
    pub element: Type,
    held: Held,
}

#[derive(Debug)]
enum Held {
    /// For good: read without a lock.
    Fixed(BTreeMap<Key, Value>),
    /// Shared with those who read it just now: they keep what they saw, and a change copies it only then.
    Open(Mutex<Arc<BTreeMap<Key, Value>>>),
}

/// The entries of a map as they were when they were asked for: what changes later does not change these.
#[derive(Debug)]
pub enum Entries<'m> {
    /// Of a map that does not change.
    Fixed(&'m BTreeMap<Key, Value>),
    /// Of one that can.
    Now(Arc<BTreeMap<Key, Value>>),
}

/// Most values that are looked at to see whether a map would hold itself: a second's work.
const MAX_LOOKED_AT: usize = 10_000_000;

impl Map {
    /// A map with these entries.
    pub fn new(key: Type, element: Type, entries: BTreeMap<Key, Value>) -> Self {
        let held = match (&key, &element) {
            (Type::Str, Type::Any) => Held::Open(Mutex::new(Arc::new(entries))),
            _ => Held::Fixed(entries),
        };
        Self { key, element, held }
    }

    /// Whether its values may be of any type.
    pub fn holds_anything(&self) -> bool {
        self.element == Type::Any
    }

    /// Whether [`Map::insert`] and [`Map::remove`] change it.
    pub fn can_change(&self) -> bool {
        matches!(self.held, Held::Open(_))
    }

    /// All entries, as they are now.
    pub fn entries(&self) -> Entries<'_> {
        match &self.held {
            Held::Fixed(entries) => Entries::Fixed(entries),
            Held::Open(entries) => Entries::Now(entries.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        }
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.look(BTreeMap::len)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.look(BTreeMap::is_empty)
    }

    /// What stands under `key`; `None` if nothing does.
    pub fn get(&self, key: &Key) -> Option<Value> {
        self.look(|entries| entries.get(key).cloned())
    }

    /// What stands under a key that is a string, if these are the keys that the map has.
    pub fn get_str(&self, key: &str) -> Option<Value> {
        self.get(&Key::Str(key.into()))
    }

    /// Changes an entry, for all who hold the map.
    ///
    /// # Errors
    ///
    /// The map is one that never changes, or `value` has this very map in it.
    pub fn insert(&self, key: Key, value: Value) -> Result<(), CallError> {
        if self.is_in(&value)? {
            return Err("a map cannot hold itself".into());
        }
        // What stood there goes after the lock: it may be large.
        self.change(|entries| entries.insert(key, value)).map(drop)
    }

    /// Takes an entry out, for all who hold the map; of one that is not there, nothing happens.
    ///
    /// # Errors
    ///
    /// The map is one that never changes.
    pub fn remove(&self, key: &Key) -> Result<(), CallError> {
        self.change(|entries| entries.remove(key)).map(drop)
    }

    fn look<T>(&self, look: impl FnOnce(&BTreeMap<Key, Value>) -> T) -> T {
        match &self.held {
            Held::Fixed(entries) => look(entries),
            Held::Open(entries) => look(&entries.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<Key, Value>) -> T) -> Result<T, CallError> {
        match &self.held {
            Held::Fixed(_) => Err(CallError(format!("a map[{}]{} does not change", self.key, self.element))),
            Held::Open(entries) => Ok(change(Arc::make_mut(&mut entries.lock().unwrap_or_else(PoisonError::into_inner)))),
        }
    }

    /// Whether it is somewhere in a value. What is shared is looked into once, or a small value could take for ever.
    fn is_in(&self, value: &Value) -> Result<bool, CallError> {
        if !matches!(value, Value::List(_) | Value::Map(_)) {
            return Ok(false);
        }
        let mut open = vec![value.clone()];
        let mut seen: HashSet<*const ()> = HashSet::new();
        let mut left = MAX_LOOKED_AT;
        while let Some(value) = open.pop() {
            let more = match &value {
                Value::List(list) if list.element.holds_others() && seen.insert(Arc::as_ptr(list).cast()) => list.items.len(),
                Value::Map(map) if std::ptr::eq(Arc::as_ptr(map), self) => return Ok(true),
                Value::Map(map) if map.element.holds_others() && seen.insert(Arc::as_ptr(map).cast()) => map.len(),
                _ => continue,
            };
            left = left.checked_sub(more).ok_or("too many values in a value")?;
            let holds = |value: &&Value| matches!(value, Value::List(_) | Value::Map(_));
            match &value {
                Value::List(list) => open.extend(list.items.iter().filter(holds).cloned()),
                Value::Map(map) => open.extend(map.entries().values().filter(holds).cloned()),
                _ => {}
            }
        }
        Ok(false)
    }

    /// The values, for taking them apart; those that somebody else still reads stay.
    pub(super) fn take_values(&mut self) -> Vec<Value> {
        let entries = match &mut self.held {
            Held::Fixed(entries) => std::mem::take(entries),
            Held::Open(entries) => {
                let entries = std::mem::take(entries.get_mut().unwrap_or_else(PoisonError::into_inner));
                Arc::into_inner(entries).unwrap_or_default()
            }
        };
        entries.into_values().collect()
    }
}

impl Deref for Entries<'_> {
    type Target = BTreeMap<Key, Value>;

    fn deref(&self) -> &BTreeMap<Key, Value> {
        match self {
            Self::Fixed(entries) => entries,
            Self::Now(entries) => entries,
        }
    }
}

impl Default for Entries<'_> {
    fn default() -> Self {
        static NONE: BTreeMap<Key, Value> = BTreeMap::new();
        Self::Fixed(&NONE)
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        take_apart(self.take_values());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(entries: &[(&str, Value)]) -> Arc<Map> {
        let entries = entries.iter().map(|(key, value)| (Key::Str((*key).into()), value.clone()));
        Arc::new(Map::new(Type::Str, Type::Any, entries.collect()))
    }

    fn key(text: &str) -> Key {
        Key::Str(text.into())
    }

    #[test]
    fn keys_are_in_the_order_of_their_numbers() {
        let entries = [(10, "x"), (2, "y")].map(|(key, value)| (Key::Int(key), Value::from(value)));
        let map = Map::new(Type::INT, Type::Str, entries.into());
        assert_eq!(map.entries().keys().collect::<Vec<_>>(), [&Key::Int(2), &Key::Int(10)]);
    }

    #[test]
    fn every_holder_sees_a_change_but_who_reads_already() {
        let map = open(&[("a", Value::int(1))]);
        let (other, reading) = (map.clone(), map.entries());
        map.insert(key("b"), Value::int(2)).unwrap();
        map.remove(&key("a")).unwrap();
        assert_eq!(other.entries().keys().collect::<Vec<_>>(), [&key("b")]);
        assert_eq!(reading.keys().collect::<Vec<_>>(), [&key("a")]);
    }

    #[test]
    fn typed_maps_never_change() {
        let map = Map::new(Type::Str, Type::Str, BTreeMap::new());
        assert!(!map.can_change() && map.insert(key("a"), "b".into()).is_err() && map.remove(&key("a")).is_err());
        assert!(map.is_empty());
    }

    #[test]
    fn no_map_holds_itself_however_far_down() {
        let map = open(&[]);
        let own = Value::Map(map.clone());
        let within = Value::list(Type::Any, vec![Value::Map(open(&[("x", own.clone())]))]);
        for value in [own, within] {
            assert_eq!(map.insert(key("a"), value), Err("a map cannot hold itself".into()));
        }
        assert!(map.is_empty());
        drop(map);
    }

    #[test]
    fn what_is_shared_is_looked_into_once() {
        let doubled = |value: Value| Value::list(Type::Any, vec![value.clone(), value]);
        let huge = (0..100).fold(Value::list(Type::Any, Vec::new()), |value, _| doubled(value));
        open(&[]).insert(key("a"), huge).unwrap();
    }
}
