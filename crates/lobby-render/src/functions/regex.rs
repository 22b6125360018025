//! Regular expressions as Go has them. Decides how Go's syntax is said in Rust's (`\d`, `\w`, `\s` and `\b` know ASCII alone,
//! a `[` in a class is itself), how large a pattern may become, and what `$1x` means: the group that is called `1x`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use lobby_template::format::Out;
use lobby_template::{CallError, Type, Value};
use regex::{Captures, Regex, RegexBuilder};

use super::Named;
use super::arg::{Given, MAX_ITEMS, int, of, text, texts, written};

/// Largest compiled pattern in bytes, as for the patterns of events: ten times what one of 128 bytes needs.
const AUTOMATON_BYTES: usize = 256 * 1024;

/// Deepest nesting of a pattern: more than anybody can read.
const NESTING: u32 = 32;

pub(super) fn funcs() -> Vec<Named> {
    const TWO: [Type; 2] = [Type::Str, Type::Str];
    const THREE: [Type; 3] = [Type::Str, Type::Str, Type::Str];
    const COUNTED: [Type; 3] = [Type::Str, Type::Str, Type::INT];
    vec![
        ("regexMatch", of(&TWO, |_, args| Ok(pattern(&text(args, 0)?)?.is_match(&text(args, 1)?).into()))),
        ("regexReplaceAll", of(&THREE, |room, args| replace(room, args, [0, 1, 2]))),
        ("sprig_regexFind", of(&TWO, |_, args| find(args))),
        ("sprig_regexFindAll", of(&COUNTED, |_, args| find_all(args))),
        // sprig has the text before what replaces.
        ("sprig_regexReplaceAll", of(&THREE, |room, args| replace(room, args, [0, 2, 1]))),
        ("sprig_regexReplaceAllLiteral", of(&THREE, replace_literally)),
        ("sprig_regexSplit", of(&COUNTED, |_, args| split(args))),
        ("sprig_regexQuoteMeta", of(&[Type::Str], |_, args| Ok(quoted(&text(args, 0)?).into()))),
    ]
}

/// Patterns that are kept compiled: more than a template has. With their tables, 32 MiB at most.
const KEPT: usize = 64;

/// Longer ones are compiled anew each time.
const KEPT_BYTES: usize = 1024;

/// Go's patterns with what they were compiled to, shared so that their tables stay warm; the last one was used last.
static COMPILED: Mutex<VecDeque<(Box<str>, Arc<Regex>)>> = Mutex::new(VecDeque::new());

/// Go's pattern, compiled.
pub(super) fn pattern(go: &str) -> Result<Arc<Regex>, CallError> {
    if go.len() > KEPT_BYTES {
        return compiled(go).map(Arc::new);
    }
    let lock = || COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = {
        let mut kept = lock();
        let place = kept.iter().position(|(known, _)| **known == *go);
        place.and_then(|place| kept.remove(place))
    };
    // Compiled without the lock: that may take milliseconds.
    let (go, regex) = match known {
        Some(known) => known,
        None => (go.into(), Arc::new(compiled(go)?)),
    };
    let mut kept = lock();
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back((go, regex.clone()));
    Ok(regex)
}

fn compiled(go: &str) -> Result<Regex, CallError> {
    let mut builder = RegexBuilder::new(&translated(go));
    builder.size_limit(AUTOMATON_BYTES).dfa_size_limit(AUTOMATON_BYTES).nest_limit(NESTING);
    builder.build().map_err(|err| {
        // The library draws pictures of several lines; the last one says what is wrong.
        let why = err.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let why = match why {
            "unclosed group" => "missing closing )",
            "unopened group" => "unexpected )",
            why => why,
        };
        CallError(format!("error parsing regexp: {why}: `{go}`"))
    })
}

/// A pattern of Go's in Rust's syntax.
fn translated(go: &str) -> String {
    let mut rust = String::with_capacity(go.len() + 16);
    let mut rest = go;
    let mut is_class = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\\' => escape(&mut rust, after, is_class),
            '[' if !is_class => {
                is_class = true;
                class_start(&mut rust, after)
            }
            '[' => match after.find(":]").filter(|_| after.starts_with(':')) {
                Some(end) => {
                    rust.push('[');
                    rust.push_str(&after[..end + 2]);
                    &after[end + 2..]
                }
                None => plain(&mut rust, "\\[", after),
            },
            ']' => {
                is_class = false;
                plain(&mut rust, "]", after)
            }
            // Operators on classes, which Go has not.
            '&' if is_class => plain(&mut rust, "\\&", after),
            '~' if is_class => plain(&mut rust, "\\~", after),
            '-' if is_class && after.starts_with('-') => plain(&mut rust, "\\-", after),
            '{' if !is_class && !repeats(after) => plain(&mut rust, "\\{", after),
            _ => plain(&mut rust, &rest[..c.len_utf8()], after),
        };
    }
    rust
}

fn plain<'g>(rust: &mut String, text: &str, after: &'g str) -> &'g str {
    rust.push_str(text);
    after
}

/// What follows a backslash.
fn escape<'g>(rust: &mut String, go: &'g str, is_class: bool) -> &'g str {
    let Some(c) = go.chars().next() else { return plain(rust, "\\", go) };
    let after = &go[c.len_utf8()..];
    let (inside, outside) = match c {
        'd' => ("0-9", "[0-9]"),
        'D' => ("[^0-9]", "[^0-9]"),
        'w' => ("0-9A-Za-z_", "[0-9A-Za-z_]"),
        'W' => ("[^0-9A-Za-z_]", "[^0-9A-Za-z_]"),
        's' => ("\\t\\n\\f\\r ", "[\\t\\n\\f\\r ]"),
        'S' => ("[^\\t\\n\\f\\r ]", "[^\\t\\n\\f\\r ]"),
        'b' => ("\\b", "(?-u:\\b)"),
        'B' => ("\\B", "(?-u:\\B)"),
        '<' => ("<", "<"),
        '>' => (">", ">"),
        'Q' => {
            let (literal, rest) = after.split_once("\\E").unwrap_or((after, ""));
            return plain(rust, &regex::escape(literal), rest);
        }
        _ => {
            rust.push('\\');
            return plain(rust, &go[..c.len_utf8()], after);
        }
    };
    plain(rust, if is_class { inside } else { outside }, after)
}

/// A class begins; a `]` that is its first character is itself.
fn class_start<'g>(rust: &mut String, go: &'g str) -> &'g str {
    let (start, after) = match go.strip_prefix('^') {
        Some(after) => ("[^", after),
        None => ("[", go),
    };
    rust.push_str(start);
    match after.strip_prefix(']') {
        Some(after) => plain(rust, "\\]", after),
        None => after,
    }
}

/// Whether `{` begins a repetition: `{2}`, `{2,}`, `{2,3}`.
fn repeats(after: &str) -> bool {
    let Some((inner, _)) = after.split_once('}') else { return false };
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    !least.is_empty() && is_number(least) && is_number(most)
}

/// All matches replaced; `places` are those of the pattern, of what replaces, and of the text.
fn replace(room: usize, args: &[Value], places: [usize; 3]) -> Given {
    let [pattern, by, text] = [text(args, places[0])?, text(args, places[1])?, text(args, places[2])?];
    replace_by(room, &pattern, &text, |out, groups| expand(out, &by, groups))
}

fn replace_literally(room: usize, args: &[Value]) -> Given {
    let by = text(args, 2)?;
    replace_by(room, &text(args, 0)?, &text(args, 1)?, |out, _| out.extend_from_slice(by.as_bytes()))
}

fn replace_by(room: usize, re: &str, text: &str, by: impl Fn(&mut Out, &Captures<'_>)) -> Given {
    let re = pattern(re)?;
    let replaced = written(room, |out| {
        let mut copied = 0;
        for groups in re.captures_iter(text) {
            let Some(found) = groups.get(0).filter(|_| !out.is_full()) else { break };
            out.extend_from_slice(&text.as_bytes()[copied..found.start()]);
            by(out, &groups);
            copied = found.end();
        }
        out.extend_from_slice(&text.as_bytes()[copied..]);
        Ok(())
    })?;
    Ok(Value::Str(replaced.into()))
}

/// `$1`, `$name` and `${name}` are groups (none of that name: nothing), `$$` is a dollar; any other dollar is itself.
fn expand(out: &mut Out, by: &str, groups: &Captures<'_>) {
    let mut rest = by;
    while let Some((before, after)) = rest.split_once('$') {
        out.extend_from_slice(before.as_bytes());
        rest = match (after.strip_prefix('$'), name(after)) {
            (Some(after), _) => {
                out.push(b'$');
                after
            }
            (None, Some((name, after))) => {
                out.extend_from_slice(group(groups, name).as_bytes());
                after
            }
            (None, None) => {
                out.push(b'$');
                after
            }
        };
    }
    out.extend_from_slice(rest.as_bytes());
}

/// The name of a group at the beginning, and what follows it.
fn name(text: &str) -> Option<(&str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (name, after) = match text.strip_prefix('{') {
        Some(braced) => braced.split_once('}')?,
        None => text.split_at(text.find(|c| !is_word(c)).unwrap_or(text.len())),
    };
    (!name.is_empty() && name.chars().all(is_word)).then_some((name, after))
}

fn group<'t>(groups: &Captures<'t>, name: &str) -> &'t str {
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    let found = match is_number {
        true => name.parse().ok().and_then(|number| groups.get(number)),
        false => groups.name(name),
    };
    found.map_or("", |found| found.as_str())
}

fn find(args: &[Value]) -> Given {
    let text = text(args, 1)?;
    let found = pattern(&self::text(args, 0)?)?.find(&text).map_or("", |found| found.as_str());
    Ok(found.into())
}

/// At most so many matches; -1: all of them.
fn find_all(args: &[Value]) -> Given {
    let text = text(args, 1)?;
    let most = usize::try_from(int(args, 2)?).unwrap_or(usize::MAX);
    texts(pattern(&self::text(args, 0)?)?.find_iter(&text).take(most).map(|found| found.as_str()))
}

/// At most so many parts; -1: all of them, 0: none.
fn split(args: &[Value]) -> Given {
    let (re, text) = (pattern(&text(args, 0)?)?, text(args, 1)?);
    match int(args, 2)? {
        0 => texts([]),
        most => texts(go_split(&re, &text, usize::try_from(most).unwrap_or(MAX_ITEMS + 1))),
    }
}

/// Go does not split before the first character where a pattern matches nothing.
fn go_split<'t>(re: &Regex, text: &'t str, most: usize) -> Vec<&'t str> {
    let (mut parts, mut from, mut end) = (Vec::new(), 0, 0);
    for found in re.find_iter(text) {
        if parts.len() + 1 >= most {
            break;
        }
        end = found.start();
        if found.end() != 0 {
            parts.push(&text[from..end]);
        }
        from = found.end();
    }
    if end != text.len() {
        parts.push(&text[from..]);
    }
    if text.is_empty() && parts.is_empty() && !re.is_match("") { vec![""] } else { parts }
}

/// As regexp.QuoteMeta.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_patterns_are_kept_up_to_a_bound() {
        for number in 0..3 * KEPT {
            assert!(pattern(&format!("^kept{number}$")).unwrap().is_match(&format!("kept{number}")));
        }
        let kept = |go: &str| COMPILED.lock().unwrap().iter().any(|(known, _)| **known == *go);
        assert!(pattern(&"x".repeat(KEPT_BYTES + 1)).is_ok() && !kept(&"x".repeat(KEPT_BYTES + 1)));
        assert!(pattern("(").is_err() && !kept("("));
        assert!(COMPILED.lock().unwrap().len() <= KEPT);
    }
}
