//! sprig's functions on text. Decides nothing that sprig has not: `title` takes an apostrophe for the end of a word, `indent`
//! indents empty lines, lengths are in bytes.

use lobby_template::format::quote;
use lobby_template::{CallError, Type, Value};

use super::{Named, shown, strings};
use crate::functions::arg::{Given, any, bytes, fits, int, many, of, text, texts, written};
use crate::functions::strings::{lower, mapped, parts, replace, trim, upper};

pub(super) fn funcs() -> Vec<Named> {
    let mut all = changed();
    all.extend(shaped());
    all
}

/// Those that change some characters of a text, or look at them.
fn changed() -> Vec<Named> {
    const ONE: [Type; 1] = [Type::Str];
    const TWO: [Type; 2] = [Type::Str, Type::Str];
    vec![
        ("sprig_quote", many(&[], Type::Any, |room, args| quoted(room, args, |text| quote(text.as_bytes())))),
        ("sprig_squote", many(&[], Type::Any, |room, args| quoted(room, args, |text| format!("'{text}'")))),
        ("sprig_trim", of(&ONE, |_, args| Ok(text(args, 0)?.trim().into()))),
        ("sprig_trimAll", of(&TWO, |_, args| trim(&text(args, 0)?, &text(args, 1)?))),
        (
            "sprig_trimPrefix",
            of(&TWO, |_, args| Ok(text(args, 1)?.strip_prefix(&*text(args, 0)?).unwrap_or(&text(args, 1)?).into())),
        ),
        (
            "sprig_trimSuffix",
            of(&TWO, |_, args| Ok(text(args, 1)?.strip_suffix(&*text(args, 0)?).unwrap_or(&text(args, 1)?).into())),
        ),
        ("sprig_upper", of(&ONE, |room, args| mapped(room, &text(args, 0)?, upper))),
        ("sprig_lower", of(&ONE, |room, args| mapped(room, &text(args, 0)?, lower))),
        ("sprig_title", of(&ONE, |room, args| title(room, &text(args, 0)?, upper))),
        ("sprig_untitle", of(&ONE, |room, args| title(room, &text(args, 0)?, lower))),
        (
            "sprig_replace",
            of(&[Type::Str, Type::Str, Type::Str], |room, args| replace(room, &text(args, 0)?, &text(args, 1)?, &text(args, 2)?)),
        ),
        ("sprig_contains", of(&TWO, |_, args| Ok(text(args, 1)?.contains(&*text(args, 0)?).into()))),
        ("sprig_hasPrefix", of(&TWO, |_, args| Ok(bytes(args, 1)?.starts_with(bytes(args, 0)?).into()))),
        ("sprig_hasSuffix", of(&TWO, |_, args| Ok(bytes(args, 1)?.ends_with(bytes(args, 0)?).into()))),
    ]
}

/// Those that make other text of text, and lists of it.
fn shaped() -> Vec<Named> {
    const ONE: [Type; 1] = [Type::Str];
    const TWO: [Type; 2] = [Type::Str, Type::Str];
    vec![
        ("sprig_repeat", of(&[Type::INT, Type::Str], |room, args| repeat(room, int(args, 0)?, bytes(args, 1)?))),
        ("sprig_trunc", of(&[Type::INT, Type::Str], |_, args| Ok(truncated(int(args, 0)?, bytes(args, 1)?)))),
        ("sprig_substr", of(&[Type::INT, Type::INT, Type::Str], |_, args| part(int(args, 0)?, int(args, 1)?, bytes(args, 2)?))),
        ("sprig_nospace", of(&ONE, |_, args| Ok(text(args, 0)?.replace(char::is_whitespace, "").into()))),
        ("sprig_indent", of(&[Type::INT, Type::Str], |room, args| indent(room, "", args))),
        ("sprig_nindent", of(&[Type::INT, Type::Str], |room, args| indent(room, "\n", args))),
        (
            "sprig_cat",
            many(&[], Type::Any, |room, args| {
                joined(
                    room,
                    " ",
                    &args
                        .iter()
                        .filter(|arg| !matches!(arg, Value::Nil))
                        .map(|arg| shown(room, arg))
                        .collect::<Result<Vec<_>, _>>()?,
                )
            }),
        ),
        ("sprig_join", of(&[Type::Str, Type::Any], |room, args| joined(room, &text(args, 0)?, &strings(room, any(args, 1))?))),
        ("sprig_splitList", of(&TWO, |_, args| texts(parts(&text(args, 0)?, &text(args, 1)?)))),
        ("sprig_split", of(&TWO, |_, args| numbered(parts(&text(args, 0)?, &text(args, 1)?)))),
        (
            "sprig_splitn",
            of(&[Type::Str, Type::INT, Type::Str], |_, args| {
                let most = usize::try_from(int(args, 1)?).unwrap_or(usize::MAX);
                numbered(text(args, 2)?.splitn(most, &*text(args, 0)?))
            }),
        ),
        (
            "sprig_sortAlpha",
            of(&[Type::Any], |room, args| {
                let mut sorted = strings(room, any(args, 0))?;
                sorted.sort_unstable();
                Ok(Value::strings(sorted))
            }),
        ),
        ("sprig_toString", of(&[Type::Any], |room, args| Ok(shown(room, any(args, 0))?.into()))),
        ("sprig_toStrings", of(&[Type::Any], |room, args| Ok(Value::strings(strings(room, any(args, 0))?)))),
        (
            "sprig_plural",
            of(&[Type::Str, Type::Str, Type::INT], |_, args| Ok(any(args, usize::from(int(args, 2)? != 1)).clone())),
        ),
    ]
}

fn quoted(room: usize, args: &[Value], quote: fn(&str) -> String) -> Given {
    let mut parts = Vec::with_capacity(args.len());
    for arg in args.iter().filter(|arg| !matches!(arg, Value::Nil)) {
        parts.push(quote(&shown(room, arg)?));
    }
    joined(room, " ", &parts)
}

fn joined(room: usize, separator: &str, parts: &[String]) -> Given {
    let joined = written(room, |out| {
        for (index, part) in parts.iter().enumerate() {
            out.extend_from_slice(if index > 0 { separator.as_bytes() } else { b"" });
            out.extend_from_slice(part.as_bytes());
        }
        Ok(())
    })?;
    Ok(Value::Str(joined.into()))
}

/// The first letter of each word changed; a word ends at whatever is no letter, digit or `_`.
fn title(room: usize, text: &str, change: fn(char) -> char) -> Given {
    fits(room, text.len().checked_mul(2))?;
    let mut before = ' ';
    let separates = |c: char| match c.is_ascii() {
        true => !c.is_ascii_alphanumeric() && c != '_',
        false => c.is_whitespace(),
    };
    let change = |c| {
        let starts = separates(std::mem::replace(&mut before, c));
        if starts { change(c) } else { c }
    };
    Ok(text.chars().map(change).collect::<String>().into())
}

fn repeat(room: usize, count: i64, text: &[u8]) -> Given {
    let count = usize::try_from(count).map_err(|_| CallError("strings: negative Repeat count".into()))?;
    fits(room, text.len().checked_mul(count))?;
    Ok(Value::Str(text.repeat(count).into()))
}

/// The first bytes, or the last ones if the number is negative.
fn truncated(count: i64, text: &[u8]) -> Value {
    let length = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX).min(text.len());
    Value::Str(if count < 0 { text[text.len() - length..].into() } else { text[..length].into() })
}

/// From a byte to another one; a negative one is the end.
fn part(start: i64, end: i64, text: &[u8]) -> Given {
    let length = text.len();
    let end = usize::try_from(end).ok().filter(|end| *end <= length).unwrap_or(length);
    let start = usize::try_from(start).unwrap_or(0);
    match text.get(start..end) {
        Some(part) => Ok(Value::Str(part.into())),
        None => Err(CallError(format!("runtime error: slice bounds out of range [{start}:{end}] with length {length}"))),
    }
}

/// Blanks before all lines, empty ones too.
fn indent(room: usize, before: &str, args: &[Value]) -> Given {
    let spaces = usize::try_from(int(args, 0)?).map_err(|_| CallError("strings: negative Repeat count".into()))?;
    fits(room, Some(spaces))?;
    let blanks = " ".repeat(spaces);
    let Value::Str(text) = replace(room, "\n", &format!("\n{blanks}"), &text(args, 1)?)? else { return Ok("".into()) };
    joined(room, "", &[before.into(), blanks, text.to_text().into_owned()])
}

/// `_0`, `_1` … as a map.
fn numbered<'t>(parts: impl Iterator<Item = &'t str>) -> Given {
    let Value::List(parts) = texts(parts)? else { return Ok(Value::Nil) };
    let entries = parts
        .items
        .iter()
        .enumerate()
        .map(|(index, part)| (lobby_template::value::Key::Str(format!("_{index}").into()), part.clone()));
    Ok(Value::map(Type::Str, Type::Str, entries.collect()))
}
