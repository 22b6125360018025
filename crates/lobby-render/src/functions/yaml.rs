//! YAML in. Decides what a plain word is: by YAML 1.1, as yaml.v2 has it (`yes` is true, `0777` is octal), and that aliases
//! share their value, so that no small document becomes a large one. What writes is in `write`.

mod scalar;
mod style;
mod write;

use std::collections::{BTreeMap, HashMap};

use lobby_template::value::Key;
use lobby_template::{CallError, Type, Value};
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};

use super::Named;
use super::arg::{self, Given, MAX_DEPTH, any, countable, of, text, wrapped, written};

pub(super) fn funcs() -> Vec<Named> {
    vec![
        ("parseYAML", of(&[Type::Str], |_, args| parse(&text(args, 0)?))),
        ("toYAML", of(&[Type::Any], |room, args| print(room, args).map_err(wrapped("toYAML")))),
    ]
}

fn print(room: usize, args: &[Value]) -> Given {
    let yaml = written(room, |out| write::document(out, any(args, 0)))?;
    Ok(Value::Str(yaml.trim_ascii().into()))
}

/// No text is an empty map; of several documents the first counts.
fn parse(text: &str) -> Given {
    if text.is_empty() {
        return Ok(Value::any_map::<&str>([]));
    }
    let mut reader = Reader { events: Parser::new_from_str(text), anchors: HashMap::new(), count: 0 };
    loop {
        match reader.next()? {
            Event::StreamEnd | Event::DocumentEnd => return Ok(Value::Nil),
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            event => {
                let value = arg::shallow(reader.value(event, 0)?)?;
                // What follows in the same document may be wrong.
                reader.next()?;
                return Ok(value);
            }
        }
    }
}

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Value>,
    count: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Event<'t>, CallError> {
        match self.events.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(err)) => {
                let (line, why) = (err.marker().line(), err.info());
                Err(CallError(format!("yaml: line {line}: {why}")))
            }
            None => Ok(Event::StreamEnd),
        }
    }

    /// The value that begins with this event.
    fn value(&mut self, event: Event<'t>, depth: u32) -> Result<Value, CallError> {
        self.count += 1;
        countable(self.count)?;
        if depth >= MAX_DEPTH {
            return Err(CallError(format!("yaml: nested deeper than {MAX_DEPTH}")));
        }
        let (anchor, value) = match event {
            Event::Alias(anchor) => {
                return self.anchors.get(&anchor).cloned().ok_or_else(|| "yaml: an anchor contains itself".into());
            }
            Event::Scalar(text, style, anchor, tag) => (anchor, scalar(&text, style, tag.as_deref())?),
            Event::SequenceStart(anchor, _) => (anchor, self.list(depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.map(depth)?),
            _ => return Ok(Value::Nil),
        };
        if anchor > 0 {
            // Aliases may nest deeper than what is written.
            self.anchors.insert(anchor, arg::shallow(value.clone())?);
        }
        Ok(value)
    }

    fn list(&mut self, depth: u32) -> Result<Value, CallError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Value::list(Type::Any, items)),
                event => items.push(self.value(event, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: u32) -> Result<Value, CallError> {
        let (mut entries, mut merges) = (BTreeMap::new(), Vec::new());
        loop {
            let event = match self.next()? {
                Event::MappingEnd => break,
                event => event,
            };
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.value(event, depth + 1)?;
            let event = self.next()?;
            let value = self.value(event, depth + 1)?;
            match is_merge {
                true => merges.push(value),
                false => drop(entries.insert(to_key(&key)?, value)),
            }
        }
        for merge in merges {
            self.merge(&mut entries, &merge)?;
        }
        Ok(map_of(entries))
    }

    /// `<<`: what the map has not itself; of a list, the first that has it.
    fn merge(&mut self, entries: &mut BTreeMap<Key, Value>, from: &Value) -> Result<(), CallError> {
        let maps = match from {
            Value::List(list) => list.items.as_slice(),
            one => std::slice::from_ref(one),
        };
        for map in maps {
            let Value::Map(map) = map else { return Err("yaml: map merge requires map or sequence of maps as the value".into()) };
            // Each merge copies: a few aliases of large maps would be many entries.
            self.count += map.len();
            countable(self.count)?;
            for (key, value) in map.entries().iter() {
                entries.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        Ok(())
    }
}

/// With strings as keys if all are, so that templates can name them with a dot; yaml.v2 has `interface {}` always.
fn map_of(entries: BTreeMap<Key, Value>) -> Value {
    let is_text = entries.keys().all(|key| matches!(key, Key::Str(_)));
    Value::map(if is_text { Type::Str } else { Type::Any }, Type::Any, entries)
}

fn to_key(value: &Value) -> Result<Key, CallError> {
    Ok(match value {
        Value::Bool(value) => Key::Bool(*value),
        Value::Int(value, _) => Key::Int(*value),
        Value::Uint(value, _) => Key::Uint(*value),
        Value::Str(value) => Key::Str(value.clone()),
        Value::Float(_) => Key::Str(lobby_template::format::value(value).into()),
        Value::Nil => Key::Str("null".into()),
        other => return Err(CallError(format!("yaml: invalid map key: {}", lobby_template::format::value(other)))),
    })
}

/// A word, by its tag or else by its looks.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, CallError> {
    let core = tag.filter(|tag| tag.is_yaml_core_schema()).map(|tag| tag.suffix.as_str());
    match core {
        Some("str") => Ok(text.into()),
        Some("binary") => scalar::binary(text),
        Some(_) => Ok(scalar::resolved(text)),
        None if style == ScalarStyle::Plain => Ok(scalar::resolved(text)),
        None => Ok(text.into()),
    }
}
