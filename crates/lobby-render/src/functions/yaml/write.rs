//! Writes YAML as yaml.v2 does. Decides the layout: blocks with two blanks a level, lists not indented in maps, and keys in the
//! order that people expect of `a2` and `a10`; how a text is quoted is in `style`.

use std::borrow::Cow;

use lobby_template::format::{self, Out};
use lobby_template::value::Key;
use lobby_template::{CallError, Value};

use super::style::{Style, Text};
use crate::functions::arg::{MAX_DEPTH, type_name};

/// Appends the value as a document.
pub(super) fn document(out: &mut Out, value: &Value) -> Result<(), CallError> {
    Writer { out, column: 0, depth: 0 }.node(value, 0, Place::Top)
}

/// Where a value stands: it decides whether it begins on a line of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    /// After `key:`.
    Value,
    /// After `- `.
    Item,
}

/// Longest key that stands before its colon on one line, as in libyaml.
const MAX_SIMPLE_KEY: usize = 128;

/// Where lines are folded, as in libyaml.
const WIDTH: usize = 80;

struct Writer<'o> {
    out: &'o mut Out,
    column: usize,
    depth: u32,
}

impl Writer<'_> {
    /// A value below something that begins in the column `base`.
    fn node(&mut self, value: &Value, base: usize, place: Place) -> Result<(), CallError> {
        self.depth += 1;
        // Twice: maps that were changed may be deeper than what is made here.
        if self.depth > MAX_DEPTH * 2 {
            return Err("yaml: nested too deep".into());
        }
        match value {
            Value::List(list) if !list.items.is_empty() => self.list(&list.items, base, place)?,
            Value::Map(map) if !map.is_empty() => {
                let held = map.entries();
                let mut entries: Vec<_> = held.iter().map(|(key, value)| (key_value(key), Cow::Borrowed(value))).collect();
                entries.sort_by_cached_key(|(key, _)| natural(key));
                self.map(entries, base, place)?;
            }
            Value::Object(object) => {
                let entry = |(name, value): (&str, Value)| (name.to_lowercase().into(), Cow::Owned(value));
                self.map(object.fields().into_iter().map(entry).collect(), base, place)?;
            }
            _ => {
                if place == Place::Value {
                    self.plain(" ");
                }
                let below = if place == Place::Top { 2 } else { base + 2 };
                self.scalar(value, below, false)?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn list(&mut self, items: &[Value], base: usize, place: Place) -> Result<(), CallError> {
        let column = match place {
            Place::Top => 0,
            Place::Value => base,
            Place::Item => base + 2,
        };
        for (index, item) in items.iter().enumerate() {
            if self.out.is_full() {
                break;
            }
            if index > 0 || place == Place::Value {
                self.line(column);
            }
            self.plain("- ");
            self.node(item, column, Place::Item)?;
        }
        Ok(())
    }

    fn map(&mut self, entries: Vec<(Value, Cow<'_, Value>)>, base: usize, place: Place) -> Result<(), CallError> {
        let column = if place == Place::Top { 0 } else { base + 2 };
        if entries.is_empty() {
            self.plain(if place == Place::Value { " {}" } else { "{}" });
        }
        for (index, (key, value)) in entries.into_iter().enumerate() {
            if self.out.is_full() {
                break;
            }
            if index > 0 || place == Place::Value {
                self.line(column);
            }
            match &key {
                Value::Str(key) if key.len() > MAX_SIMPLE_KEY || key.as_bytes().contains(&b'\n') => {
                    self.plain("? ");
                    self.text(&key.to_text(), column + 2, false);
                    self.line(column);
                }
                key => self.scalar(key, column + 2, true)?,
            }
            self.plain(":");
            self.node(&value, column, Place::Value)?;
        }
        Ok(())
    }

    fn scalar(&mut self, value: &Value, indent: usize, is_key: bool) -> Result<(), CallError> {
        match value {
            Value::Nil => self.plain("null"),
            Value::Str(text) => match std::str::from_utf8(text.as_bytes()) {
                Ok(text) => self.text(text, indent, is_key),
                Err(_) => {
                    self.plain("!!binary ");
                    self.plain(&super::scalar::to_binary(text.as_bytes()));
                }
            },
            Value::Float(number) if number.is_nan() => self.plain(".nan"),
            Value::Float(number) if number.is_infinite() => self.plain(if *number > 0.0 { ".inf" } else { "-.inf" }),
            Value::Bool(_) | Value::Int(..) | Value::Uint(..) | Value::Float(_) => self.plain(&format::value(value)),
            Value::List(_) => self.plain("[]"),
            Value::Map(_) => self.plain("{}"),
            _ => return Err(CallError(format!("cannot marshal type: {}", type_name(value)))),
        }
        Ok(())
    }

    fn text(&mut self, text: &str, indent: usize, is_key: bool) {
        let looks = Text::of(text);
        match looks.style(is_key) {
            Style::Plain => self.folded(text, indent, is_key, |c| c.into()),
            Style::Single => {
                self.plain("'");
                self.folded(text, indent, is_key, |c| if c == '\'' { "''".into() } else { c.into() });
                self.plain("'");
            }
            Style::Double => {
                self.plain("\"");
                self.double(text, indent, is_key);
                self.plain("\"");
            }
            Style::Literal => self.literal(text, indent),
        }
    }

    /// Text on lines of some width, broken where there is one blank.
    fn folded(&mut self, text: &str, indent: usize, is_key: bool, write: impl Fn(char) -> String) {
        let mut after_blank = true;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let breaks =
                c == ' ' && !is_key && !after_blank && self.column > WIDTH && chars.peek().is_some_and(|next| *next != ' ');
            match breaks {
                true => self.line(indent),
                false => self.plain(&write(c)),
            }
            after_blank = c == ' ';
        }
    }

    fn double(&mut self, text: &str, indent: usize, is_key: bool) {
        let mut after_blank = false;
        let mut chars = text.chars().peekable();
        let mut is_first = true;
        while let Some(c) = chars.next() {
            let breaks = c == ' ' && !is_key && !after_blank && !is_first && self.column > WIDTH && chars.peek().is_some();
            match breaks {
                true => {
                    self.line(indent);
                    if chars.peek() == Some(&' ') {
                        self.plain("\\");
                    }
                }
                false => self.plain(&super::style::escaped(c)),
            }
            after_blank = c == ' ';
            is_first = false;
        }
    }

    /// `|` and the lines as they are.
    fn literal(&mut self, text: &str, indent: usize) {
        self.plain("|");
        if text.starts_with([' ', '\n']) {
            self.plain("2");
        }
        match text.strip_suffix('\n') {
            None => self.plain("-"),
            Some(rest) if rest.is_empty() || rest.ends_with('\n') => self.plain("+"),
            Some(_) => {}
        }
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            match line.is_empty() {
                true => self.plain("\n"),
                false => {
                    self.line(indent);
                    self.plain(line);
                }
            }
        }
    }

    fn line(&mut self, indent: usize) {
        self.out.push(b'\n');
        (0..indent).for_each(|_| self.out.push(b' '));
        self.column = indent;
    }

    fn plain(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
        self.column += text.chars().count();
    }
}

fn key_value(key: &Key) -> Value {
    match key {
        Key::Bool(value) => (*value).into(),
        Key::Int(value) => Value::int64(*value),
        Key::Uint(value) => Value::uint64(*value),
        Key::Str(value) => Value::Str(value.clone()),
    }
}

/// A part of a key: what is neither digit nor letter comes first, then numbers by their size, then letters.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Sign(char),
    Number(u128, usize),
    Letter(char),
}

/// What keys are sorted by: numbers before texts, and in texts numbers by their size.
fn natural(key: &Value) -> (i128, Vec<Part>) {
    let text = match key {
        Value::Str(text) => text.to_text().into_owned(),
        Value::Int(number, _) => return (i128::from(*number), Vec::new()),
        Value::Uint(number, _) => return (i128::from(*number), Vec::new()),
        // Before all others.
        other => return (i128::MIN + i128::from(other.truth()), Vec::new()),
    };
    let mut parts = Vec::new();
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let length = digits.max(if digits == 0 { c.len_utf8() } else { 0 });
        parts.push(match digits {
            0 if c.is_alphabetic() => Part::Letter(c),
            0 => Part::Sign(c),
            _ => Part::Number(rest[..digits].parse().unwrap_or(u128::MAX), digits),
        });
        rest = &rest[length..];
    }
    (i128::MAX, parts)
}
