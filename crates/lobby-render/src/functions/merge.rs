//! Merging maps, as the library mergo does it for consul-template and sprig: into the first one, which everybody who holds it
//! sees. Decides which of two values stays.

use std::sync::Arc;

use lobby_template::value::Map;
use lobby_template::{CallError, Type, Value};

use super::arg::{Given, MAX_DEPTH, any, changeable, countable, map, open, put};

/// Whose value stays where both maps have one and they are not maps themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wins {
    /// The first map's, unless it is empty; nil replaces nothing.
    First,
    /// The second map's, nil too; but a map replaces nothing that is not empty.
    Second,
}

/// The parameters of a function that merges a map into another one.
pub(super) fn of_two() -> [Type; 2] {
    [changeable(), Type::Any]
}

/// Merges all further maps into the first, and gives that.
pub(super) fn all(args: &[Value], wins: Wins) -> Given {
    let target = open(args, 0)?;
    let mut merger = Merger { wins, done: 0 };
    for index in 1..args.len() {
        if let Some(from) = map(args, index)? {
            merger.merge(target, from, MAX_DEPTH)?;
        }
    }
    Ok(any(args, 0).clone())
}

struct Merger {
    wins: Wins,
    /// Entries that were looked at: shared maps in maps would be merged for ever.
    done: usize,
}

impl Merger {
    fn merge(&mut self, target: &Map, from: &Map, most: u32) -> Result<(), CallError> {
        let below = most.checked_sub(1).ok_or("nested too deep to merge")?;
        for (key, new) in from.entries().iter() {
            self.done += 1;
            countable(self.done)?;
            let value = match (target.get(key), new, self.wins) {
                (None, ..) => new.clone(),
                (Some(Value::Map(old)), Value::Map(new), _) if old.key == Type::Str && new.key == Type::Str => {
                    if old.can_change() {
                        self.merge(&old, new, below)?;
                        continue;
                    }
                    // A typed one belongs to an answer, which others have too.
                    let copy = Map::new(Type::Str, Type::Any, old.entries().clone());
                    self.merge(&copy, new, below)?;
                    Value::Map(Arc::new(copy))
                }
                (Some(old), _, Wins::First) if old.truth() || matches!(new, Value::Nil) => continue,
                (Some(old), Value::Map(_), Wins::Second) if old.truth() => continue,
                _ => new.clone(),
            };
            put(target, key.clone(), value)?;
        }
        Ok(())
    }
}
