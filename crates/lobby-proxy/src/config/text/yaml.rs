//! YAML to tree. Decides what a plain word is, by YAML 1.1 as Ruby reads it (`yes` is true, `0777` is octal), and that an
//! alias costs what it stands for.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, StrInput, Tag};

use super::super::{
    error::ConfigError,
    tree::{Cost, DEPTH, Map, Value, once},
};

/// The first document; no text is `null`.
pub(super) fn parse(text: &str) -> Result<Value, ConfigError> {
    let mut reader = Reader { events: Parser::new_from_str(text), anchors: HashMap::new(), cost: Cost::default() };
    loop {
        match reader.next()? {
            (Event::StreamEnd | Event::DocumentEnd, _) => return Ok(Value::Null),
            (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
            (event, at) => {
                let (value, _) = reader.value(event, at, 0)?;
                // What follows in the same document may be wrong.
                reader.next()?;
                return Ok(value);
            }
        }
    }
}

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    /// With what each costs, and how deep it is.
    anchors: HashMap<usize, (Value, usize, usize)>,
    cost: Cost,
}

fn syntax(at: &Marker, problem: &str) -> ConfigError {
    ConfigError::Syntax { line: at.line(), column: at.col() + 1, problem: problem.into() }
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Marker), ConfigError> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start)),
            Some(Err(err)) => Err(syntax(err.marker(), err.info())),
            None => Ok((Event::StreamEnd, Marker::new(0, 1, 0))),
        }
    }

    /// The value that begins with this event, and how many lists and maps are in each other in it.
    fn value(&mut self, event: Event<'t>, at: Marker, depth: usize) -> Result<(Value, usize), ConfigError> {
        let deep = || ConfigError::TooMuch { limit: DEPTH, what: "lists and maps in each other" };
        if depth >= DEPTH {
            return Err(deep());
        }
        let before = self.cost.0;
        let (anchor, value, height) = match event {
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).map(|(_, cost, height)| (*cost, *height));
                let (cost, height) = known.ok_or_else(|| syntax(&at, "an anchor contains itself"))?;
                if depth + height >= DEPTH {
                    return Err(deep());
                }
                self.cost.add(cost)?;
                let value = self.anchors.get(&anchor).map_or(Value::Null, |(value, ..)| value.clone());
                return Ok((value, height));
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.cost.value(text.len())?;
                if style == ScalarStyle::Plain && text.contains("<%") {
                    return Err(ConfigError::Erb { line: at.line() });
                }
                (anchor, scalar(&text, style, tag.as_deref()), 0)
            }
            Event::SequenceStart(anchor, _) => {
                let (items, height) = self.list(depth)?;
                (anchor, items, height)
            }
            Event::MappingStart(anchor, _) => {
                let (map, height) = self.map(depth)?;
                (anchor, map, height)
            }
            _ => return Err(syntax(&at, "expected a value")),
        };
        if anchor > 0 {
            // It is kept a second time, for its aliases.
            let cost = self.cost.0 - before;
            self.cost.add(cost)?;
            self.anchors.insert(anchor, (value.clone(), cost, height));
        }
        Ok((value, height))
    }

    fn list(&mut self, depth: usize) -> Result<(Value, usize), ConfigError> {
        self.cost.value(0)?;
        let (mut items, mut most) = (Vec::new(), 0);
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok((Value::List(items), most + 1)),
                (event, at) => {
                    let (item, height) = self.value(event, at, depth + 1)?;
                    items.push(item);
                    most = most.max(height);
                }
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<(Value, usize), ConfigError> {
        self.cost.value(0)?;
        let (mut entries, mut merges, mut most) = (Map::new(), Map::new(), 0);
        loop {
            let (event, at) = self.next()?;
            let (key, is_plain) = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, style, ..) => (text.into_owned(), style == ScalarStyle::Plain),
                _ => return Err(syntax(&at, "expected a key that is a word")),
            };
            if is_plain && key.contains("<%") {
                return Err(ConfigError::Erb { line: at.line() });
            }
            self.cost.value(key.len())?;
            let (event, at) = self.next()?;
            let (value, height) = self.value(event, at, depth + 1)?;
            most = most.max(height);
            match value {
                Value::Map(map) if is_plain && key == "<<" => merges.extend(map),
                Value::List(list) if is_plain && key == "<<" => {
                    // Of several maps the first that has a key counts.
                    list.into_iter().rev().for_each(|map| {
                        if let Value::Map(map) = map {
                            merges.extend(map)
                        }
                    });
                }
                value => entries.push((key, value)),
            }
        }
        // What the map has itself counts, and stands first.
        let mut map = once(entries);
        let merges = once(merges);
        if !merges.is_empty() {
            let own: std::collections::HashSet<_> = map.iter().map(|(key, _)| key.clone()).collect();
            map.extend(merges.into_iter().filter(|(key, _)| !own.contains(key)));
        }
        Ok((Value::Map(map), most + 1))
    }
}

/// A word, by its tag or else by its looks.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let is_text = match tag.filter(|tag| tag.is_yaml_core_schema()) {
        Some(tag) => tag.suffix == "str",
        None => style != ScalarStyle::Plain,
    };
    if is_text { Value::Text(text.into()) } else { plain(text) }
}

/// Dates and `1:30` are texts.
fn plain(word: &str) -> Value {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Value::Bool(false),
        _ => {}
    }
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Value::Text(word.into());
    }
    let digits = word.replace('_', "");
    let is_number = digits.chars().all(|c| matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
    let float = || digits.parse().ok().filter(|number: &f64| is_number && number.is_finite()).map(Value::Float);
    whole(&digits).map(Value::Int).or_else(float).unwrap_or_else(|| Value::Text(word.into()))
}

fn whole(digits: &str) -> Option<i64> {
    let (sign, size) = match digits.strip_prefix('-') {
        Some(size) => ("-", size),
        None => ("", digits.strip_prefix('+').unwrap_or(digits)),
    };
    let (radix, size) = match size.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &size[2..]),
        [b'0', b'b' | b'B', ..] => (2, &size[2..]),
        [b'0', b'o' | b'O', ..] => (8, &size[2..]),
        [b'0', _, ..] => (8, &size[1..]),
        _ => (10, size),
    };
    let is_whole = !size.is_empty() && size.bytes().all(|byte| char::from(byte).is_digit(radix));
    is_whole.then(|| i64::from_str_radix(&format!("{sign}{size}"), radix).ok()).flatten()
}
