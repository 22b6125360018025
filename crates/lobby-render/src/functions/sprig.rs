//! The functions of the library sprig that templates of consul-template use, each with `sprig_` before its name. Decides which
//! there are: nothing with the clock, chance, certificates or the environment. Those on JSON, regular expressions, base64 and
//! hashes are with consul-template's own, and some are those under another name.

mod base32;
mod case;
mod decimal;
mod dict;
mod kind;
mod list;
mod number;
mod path;
mod span;
mod text;
mod url;
mod version;
mod wrap;

use lobby_template::{CallError, Value};

use super::Named;
use super::arg::MAX_DEPTH;

pub(super) fn funcs() -> Vec<Named> {
    let mut all = Vec::new();
    all.extend(text::funcs());
    all.extend(case::funcs());
    all.extend(wrap::funcs());
    all.extend(number::funcs());
    all.extend(decimal::funcs());
    all.extend(span::funcs());
    all.extend(base32::funcs());
    all.extend(list::funcs());
    all.extend(dict::funcs());
    all.extend(kind::funcs());
    all.extend(path::funcs());
    all.extend(url::funcs());
    all.extend(version::funcs());
    all
}

/// Functions that have another name here too.
pub(super) fn others(known: &[Named]) -> Vec<Named> {
    let others = OTHER_NAMES.iter().filter_map(|(other, name)| {
        let (_, func) = known.iter().find(|(known, _)| known == name)?;
        Some((*other, func.clone()))
    });
    others.collect()
}

/// sprig has some functions twice, once under `must…`, which fails where the other one panics: both fail here. Those on files'
/// paths are those on paths, as on every Unix.
pub(super) const OTHER_NAMES: &[(&str, &str)] = &[
    ("sprig_mustFirst", "sprig_first"),
    ("sprig_mustLast", "sprig_last"),
    ("sprig_mustRest", "sprig_rest"),
    ("sprig_mustInitial", "sprig_initial"),
    ("sprig_append", "sprig_push"),
    ("sprig_mustAppend", "sprig_push"),
    ("sprig_mustPush", "sprig_push"),
    ("sprig_tuple", "sprig_list"),
    ("sprig_biggest", "sprig_max"),
    ("sprig_b64enc", "base64Encode"),
    ("sprig_sha256sum", "sha256Hex"),
    ("sprig_mustToRawJson", "sprig_toRawJson"),
    ("sprig_mustMerge", "sprig_merge"),
    ("sprig_regexMatch", "regexMatch"),
    ("sprig_mustRegexMatch", "regexMatch"),
    ("sprig_mustRegexFind", "sprig_regexFind"),
    ("sprig_mustRegexFindAll", "sprig_regexFindAll"),
    ("sprig_mustRegexReplaceAll", "sprig_regexReplaceAll"),
    ("sprig_mustRegexReplaceAllLiteral", "sprig_regexReplaceAllLiteral"),
    ("sprig_mustRegexSplit", "sprig_regexSplit"),
    ("sprig_mustPrepend", "sprig_prepend"),
    ("sprig_mustUniq", "sprig_uniq"),
    ("sprig_mustWithout", "sprig_without"),
    ("sprig_mustHas", "sprig_has"),
    ("sprig_mustReverse", "sprig_reverse"),
    ("sprig_mustSlice", "sprig_slice"),
    ("sprig_mustCompact", "sprig_compact"),
    ("sprig_mustChunk", "sprig_chunk"),
    ("sprig_mustMergeOverwrite", "sprig_mergeOverwrite"),
    ("sprig_mustDeepCopy", "sprig_deepCopy"),
    ("sprig_trimall", "sprig_trimAll"),
    ("sprig_osBase", "sprig_base"),
    ("sprig_osDir", "sprig_dir"),
    ("sprig_osExt", "sprig_ext"),
    ("sprig_osClean", "sprig_clean"),
    ("sprig_osIsAbs", "sprig_isAbs"),
];

/// A value as text: texts as they are, others as `%v` prints them.
fn shown(room: usize, value: &Value) -> Result<String, CallError> {
    match value {
        Value::Str(text) => Ok(text.to_text().into_owned()),
        other => {
            let bytes = super::arg::written(room, |out| {
                lobby_template::format::write_value(out, other);
                Ok(())
            })?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
    }
}

/// A value as a list of texts: what is nil is left out, what is no list is a list of itself.
fn strings(room: usize, value: &Value) -> Result<Vec<String>, CallError> {
    let items = match value {
        Value::Nil => &[],
        Value::List(list) => list.items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut left = room;
    let mut texts = Vec::with_capacity(items.len());
    for item in items.iter().filter(|item| !matches!(item, Value::Nil)) {
        let text = shown(left, item)?;
        left = left.checked_sub(text.len()).ok_or_else(|| super::arg::too_long(room))?;
        texts.push(text);
    }
    Ok(texts)
}

/// How many comparisons one call may make: a second's work.
const MAX_COMPARISONS: u32 = 20_000_000;

/// Compares as Go's reflect.DeepEqual: with types, and all the way down.
struct Comparer {
    left: u32,
    depth: u32,
}

impl Comparer {
    fn new() -> Self {
        Self { left: MAX_COMPARISONS, depth: 0 }
    }

    fn equal(&mut self, one: &Value, two: &Value) -> Result<bool, CallError> {
        // Twice: maps that were changed may be deeper than what is made here.
        if self.depth > MAX_DEPTH * 2 {
            return Err("nested too deep to compare".into());
        }
        self.depth += 1;
        let is_equal = self.same(one, two)?;
        self.depth -= 1;
        Ok(is_equal)
    }

    fn same(&mut self, one: &Value, two: &Value) -> Result<bool, CallError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| CallError("too many values to compare".into()))?;
        Ok(match (one, two) {
            (Value::Nil, Value::Nil) => true,
            (Value::Bool(one), Value::Bool(two)) => one == two,
            (Value::Int(one, width), Value::Int(two, other)) => one == two && width == other,
            (Value::Uint(one, width), Value::Uint(two, other)) => one == two && width == other,
            (Value::Float(one), Value::Float(two)) => one == two,
            (Value::Complex(..), Value::Complex(..)) => lobby_template::format::value(one) == lobby_template::format::value(two),
            (Value::Str(one), Value::Str(two)) => one == two,
            (Value::List(one), Value::List(two)) => {
                if std::sync::Arc::ptr_eq(one, two) {
                    return Ok(true);
                }
                if one.items.len() != two.items.len() || one.element != two.element {
                    return Ok(false);
                }
                for (one, two) in one.items.iter().zip(&two.items) {
                    if !self.equal(one, two)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Map(one), Value::Map(two)) => {
                if std::sync::Arc::ptr_eq(one, two) {
                    return Ok(true);
                }
                let (held, other) = (one.entries(), two.entries());
                if held.len() != other.len() || one.key != two.key || one.element != two.element {
                    return Ok(false);
                }
                for ((key, one), (other, two)) in held.iter().zip(other.iter()) {
                    if key != other || !self.equal(one, two)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Object(one), Value::Object(two)) => std::sync::Arc::ptr_eq(one, two),
            (Value::Range(one), Value::Range(two)) => one == two,
            _ => false,
        })
    }
}
