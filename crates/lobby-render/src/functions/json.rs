//! JSON in and out. Decides that numbers are floats, as Go decodes into `interface {}`, and Go's words for what is no JSON;
//! how it is written is in `write`.

mod write;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use lobby_template::value::Key;
use lobby_template::{CallError, Type, Value};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::Named;
use super::arg::{Given, MAX_ITEMS, any, of, text, wrapped, written};
use write::Style;

pub(super) fn funcs() -> Vec<Named> {
    const COMPACT: Style = Style { is_pretty: false, escapes_html: true };
    const PRETTY: Style = Style { is_pretty: true, escapes_html: true };
    const RAW: Style = Style { is_pretty: false, escapes_html: false };
    const RAW_PRETTY: Style = Style { is_pretty: true, escapes_html: false };
    const ONE: [Type; 1] = [Type::Any];
    vec![
        ("parseJSON", of(&[Type::Str], |_, args| parse_or_empty(&text(args, 0)?))),
        ("toJSON", of(&ONE, |room, args| print(room, args, COMPACT).map_err(wrapped("toJSON")))),
        ("toJSONPretty", of(&ONE, |room, args| print(room, args, PRETTY).map_err(wrapped("toJSONPretty")))),
        ("toUnescapedJSON", of(&ONE, |room, args| print(room, args, RAW).map_err(wrapped("toUnescapedJSON")))),
        ("toUnescapedJSONPretty", of(&ONE, |room, args| print(room, args, RAW_PRETTY).map_err(wrapped("toUnescapedJSONPretty")))),
        // sprig's give nothing where those with "must" fail.
        ("sprig_fromJson", of(&[Type::Str], |_, args| Ok(parse(&text(args, 0)?).unwrap_or_default()))),
        ("sprig_mustFromJson", of(&[Type::Str], |_, args| parse(&text(args, 0)?))),
        ("sprig_toJson", of(&ONE, |room, args| print(room, args, COMPACT).or_else(empty))),
        ("sprig_mustToJson", of(&ONE, |room, args| print(room, args, COMPACT))),
        ("sprig_toPrettyJson", of(&ONE, |room, args| print(room, args, PRETTY).or_else(empty))),
        ("sprig_mustToPrettyJson", of(&ONE, |room, args| print(room, args, PRETTY))),
        ("sprig_toRawJson", of(&ONE, |room, args| print(room, args, RAW))),
    ]
}

fn empty(_: CallError) -> Given {
    Ok("".into())
}

fn print(room: usize, args: &[Value], style: Style) -> Given {
    Ok(Value::Str(written(room, |out| write::value(out, any(args, 0), style))?.into()))
}

/// No text is an empty map.
fn parse_or_empty(text: &str) -> Given {
    match text.is_empty() {
        true => Ok(Value::any_map::<&str>([])),
        false => parse(text),
    }
}

fn parse(text: &str) -> Given {
    match whole_characters(text) {
        Some(whole) => read(&whole),
        None => read(text),
    }
}

/// The text with U+FFFD for each escaped half of a character, as Go reads it; None: there is none.
fn whole_characters(text: &str) -> Option<String> {
    let mut whole = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = text[at..].find('\\') {
        at += found;
        let unit = |at: usize| {
            let digits = text.get(at..at + 6)?.strip_prefix("\\u").filter(|digits| !digits.starts_with('+'))?;
            u16::from_str_radix(digits, 16).ok()
        };
        at += match (unit(at), unit(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                whole.push_str(&text[copied..at]);
                whole.push('\u{fffd}');
                copied = at + 6;
                6
            }
            // Whatever is escaped is no backslash that begins something.
            _ => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    (copied > 0).then(|| whole + &text[copied..])
}

fn read(text: &str) -> Given {
    let count = Cell::new(0);
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Values(&count).deserialize(&mut reader).map_err(|err| refused(text, &err))?;
    reader.end().map_err(|err| refused(text, &err))?;
    Ok(value)
}

/// Go's words for the mistake, as far as they can be told.
fn refused(text: &str, err: &serde_json::Error) -> CallError {
    if err.is_eof() {
        return "unexpected end of JSON input".into();
    }
    let why = err.to_string();
    let place = match why.split(" at line").next().unwrap_or_default() {
        "expected value" => "looking for beginning of value",
        "trailing characters" => "after top-level value",
        "key must be a string" => "looking for beginning of object key string",
        "trailing comma" => "looking for beginning of value",
        "expected `:`" => "after object key",
        "expected `,` or `]`" => "after array element",
        "expected `,` or `}`" => "after object key:value pair",
        "invalid escape" => "in string escape code",
        "invalid number" => "in numeric literal",
        "control character (\\u0000-\\u001F) found while parsing a string" => "in string literal",
        _ => return CallError(why),
    };
    let line = text.lines().nth(err.line().saturating_sub(1)).unwrap_or_default();
    let mut at = err.column().saturating_sub(1);
    let mut place = place;
    // The library points behind the digits of a character.
    let escape = line.get(..at + 1).and_then(|before| before.rfind("\\u")).filter(|escape| escape + 6 > at);
    if let Some(escape) = escape.filter(|_| place == "in string escape code") {
        place = "in \\u hexadecimal character escape";
        at = escape + 2 + line[escape + 2..].bytes().take_while(u8::is_ascii_hexdigit).count();
    }
    match line.get(at..).and_then(|rest| rest.chars().next()) {
        Some('}') if why.starts_with("trailing comma") => {
            "invalid character '}' looking for beginning of object key string".into()
        }
        Some('\'') => CallError(format!("invalid character '\\'' {place}")),
        Some(c) => CallError(format!("invalid character {} {place}", format!("{c:?}").replace("\\\"", "\""))),
        None => CallError(why),
    }
}

/// Makes values, and counts what is in them.
#[derive(Clone, Copy)]
struct Values<'c>(&'c Cell<usize>);

impl Values<'_> {
    fn count<E: Error>(self) -> Result<(), E> {
        self.0.set(self.0.get() + 1);
        match self.0.get() > MAX_ITEMS {
            true => Err(E::custom(format!("more than {MAX_ITEMS} items"))),
            false => Ok(()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Float(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Float(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            self.count()?;
            list.push(item);
        }
        Ok(Value::list(Type::Any, list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(key) = entries.next_key::<String>()? {
            self.count()?;
            map.insert(Key::Str(key.into()), entries.next_value_seed(self)?);
        }
        Ok(Value::map(Type::Str, Type::Any, map))
    }
}
