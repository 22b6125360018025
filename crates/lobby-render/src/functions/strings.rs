//! Functions on text. Decides nothing that Go's package strings has not decided; what is not UTF-8 becomes U+FFFD in those
//! that look at characters.

use lobby_template::{Type, Value};

use super::Named;
use super::arg::{self, Given, bytes, countable, fits, int, of, text, written};

pub(super) fn funcs() -> Vec<Named> {
    const ONE: [Type; 1] = [Type::Str];
    const TWO: [Type; 2] = [Type::Str, Type::Str];
    const THREE: [Type; 3] = [Type::Str, Type::Str, Type::Str];
    vec![
        ("join", of(&[Type::Str, Type::Str.list()], |room, args| join(room, &text(args, 0)?, arg::items(args, 1)?))),
        ("split", of(&TWO, |_, args| split(&text(args, 0)?, text(args, 1)?.trim()))),
        ("splitToMap", of(&THREE, |_, args| split_to_map(args))),
        ("trim", of(&TWO, |_, args| trim(&text(args, 0)?, &text(args, 1)?))),
        ("trimPrefix", of(&TWO, |_, args| Ok(strip(bytes(args, 1)?.strip_prefix(bytes(args, 0)?), args)))),
        ("trimSuffix", of(&TWO, |_, args| Ok(strip(bytes(args, 1)?.strip_suffix(bytes(args, 0)?), args)))),
        ("trimSpace", of(&ONE, |_, args| Ok(text(args, 0)?.trim().into()))),
        ("replaceAll", of(&THREE, |room, args| replace(room, &text(args, 0)?, &text(args, 1)?, &text(args, 2)?))),
        ("toLower", of(&ONE, |room, args| mapped(room, &text(args, 0)?, lower))),
        ("toUpper", of(&ONE, |room, args| mapped(room, &text(args, 0)?, upper))),
        ("toTitle", of(&ONE, |room, args| title(room, &text(args, 0)?))),
        ("indent", of(&[Type::INT, Type::Str], |room, args| indent(room, int(args, 0)?, bytes(args, 1)?))),
    ]
}

/// The texts with `separator` between them.
pub(super) fn join(room: usize, separator: &str, items: &[Value]) -> Given {
    let joined = written(room, |out| {
        for index in 0..items.len() {
            if index > 0 {
                out.extend_from_slice(separator.as_bytes());
            }
            out.extend_from_slice(bytes(items, index)?);
        }
        Ok(())
    })?;
    Ok(Value::Str(joined.into()))
}

/// As Go splits: at nothing means into characters, and nothing has no parts.
fn split(separator: &str, text: &str) -> Given {
    match text.is_empty() {
        true => Ok(Value::strings::<&str>([])),
        false => arg::texts(parts(separator, text)),
    }
}

/// The parts of a text between separators, or its characters.
pub(super) fn parts<'t>(separator: &'t str, text: &'t str) -> Box<dyn Iterator<Item = &'t str> + 't> {
    match separator.is_empty() {
        true => Box::new(text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()])),
        false => Box::new(text.split(separator)),
    }
}

/// `splitToMap "," "=" "a=1,b=2"`; what has no second separator is left out.
fn split_to_map(args: &[Value]) -> Given {
    let (outer, inner, text) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    let text = text.trim();
    countable(text.matches(&*outer).count())?;
    let pairs = parts(&outer, text).filter_map(|part| part.split_once(&*inner));
    Ok(Value::string_map(pairs.collect::<Vec<_>>()))
}

/// Without the characters of `cutset` at both ends.
pub(super) fn trim(cutset: &str, text: &str) -> Given {
    Ok(text.trim_matches(|c| cutset.contains(c)).into())
}

/// What was left, or the last argument as it was.
fn strip(left: Option<&[u8]>, args: &[Value]) -> Value {
    left.map_or_else(|| arg::any(args, 1).clone(), |left| Value::Str(left.into()))
}

/// All of `from` in `text` replaced.
pub(super) fn replace(room: usize, from: &str, to: &str, text: &str) -> Given {
    let added = text.matches(from).count().checked_mul(to.len());
    fits(room, added.and_then(|added| added.checked_add(text.len())))?;
    Ok(text.replace(from, to).into())
}

/// Each character by itself, as Go does: `ß` stays.
pub(super) fn mapped(room: usize, text: &str, change: fn(char) -> char) -> Given {
    // A character may become longer, but not twice as long.
    fits(room, text.len().checked_mul(2))?;
    Ok(text.chars().map(change).collect::<String>().into())
}

/// The one small letter of a character.
pub(super) fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// The one capital of a character.
pub(super) fn upper(c: char) -> char {
    let mut capital = c.to_uppercase();
    match (capital.next(), capital.next()) {
        (Some(capital), None) => capital,
        _ => c,
    }
}

/// A capital at the beginning of each word, the rest as it is. Words go on over what joins letters: `it's`, `a.b`.
fn title(room: usize, text: &str) -> Given {
    fits(room, text.len().checked_mul(2))?;
    let mut titled = String::with_capacity(text.len());
    let mut is_within = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        titled.push(if is_within { c } else { upper(c) });
        let joins = matches!(c, '\'' | '.' | ':' | '·' | '’' | '‘') && chars.peek().is_some_and(|next| next.is_alphabetic());
        is_within = c.is_alphanumeric() || c == '_' || (is_within && joins);
    }
    Ok(titled.into())
}

/// Blanks before all lines that are not empty.
pub(super) fn indent(room: usize, spaces: i64, text: &[u8]) -> Given {
    let Ok(spaces) = usize::try_from(spaces) else { return Err("indent value must be a positive integer".into()) };
    fits(room, Some(spaces))?;
    let blanks = vec![b' '; spaces];
    let indented = written(room, |out| {
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            if out.is_full() {
                break;
            }
            if line != b"\n" {
                out.extend_from_slice(&blanks);
            }
            out.extend_from_slice(line);
        }
        Ok(())
    })?;
    Ok(Value::Str(indented.into()))
}
