//! TOML out, as BurntSushi's encoder writes it. Decides the layout (values before tables, tables indented below theirs) and what
//! TOML cannot say: nothing in a list, and anything but a map at the top.

use std::borrow::Cow;

use lobby_template::format::Out;
use lobby_template::value::Key;
use lobby_template::{CallError, Type, Value};

use super::Named;
use super::arg::{Given, MAX_DEPTH, any, of, type_name, wrapped, written};

pub(super) fn funcs() -> Vec<Named> {
    vec![("toTOML", of(&[Type::Any], |room, args| print(room, args).map_err(wrapped("toTOML"))))]
}

fn print(room: usize, args: &[Value]) -> Given {
    let toml = written(room, |out| {
        let Some(entries) = table(any(args, 0))? else { return Err("toml: top-level values must be Go maps or structs".into()) };
        Writer { out, is_begun: false }.table(&mut Vec::new(), entries)
    })?;
    Ok(Value::Str(toml.trim_ascii().into()))
}

/// Names and values, in the order to write them.
type Entries<'v> = Vec<(String, Cow<'v, Value>)>;

/// The entries of a map or an object; None: it is neither.
fn table<'v>(value: &'v Value) -> Result<Option<Entries<'v>>, CallError> {
    Ok(Some(match value {
        Value::Map(map) => {
            let entry = |(key, value): (&Key, &Value)| match key {
                Key::Str(key) => Ok((key.to_text().into_owned(), Cow::Owned(value.clone()))),
                _ => Err(CallError::from("toml: cannot encode a map with non-string key type")),
            };
            map.entries().iter().map(entry).collect::<Result<_, _>>()?
        }
        Value::Object(object) => object.fields().into_iter().map(|(name, value)| (name.to_owned(), Cow::Owned(value))).collect(),
        _ => return Ok(None),
    }))
}

/// Whether it is a list of nothing but tables.
fn is_tables(value: &Value) -> bool {
    let is_table = |item: &Value| matches!(item, Value::Map(_) | Value::Object(_));
    matches!(value, Value::List(list) if !list.items.is_empty() && list.items.iter().all(is_table))
}

struct Writer<'o> {
    out: &'o mut Out,
    is_begun: bool,
}

impl Writer<'_> {
    fn table(&mut self, path: &mut Vec<String>, entries: Entries<'_>) -> Result<(), CallError> {
        if path.len() as u32 > MAX_DEPTH {
            return Err("toml: nested too deep".into());
        }
        // What is nil is not there.
        let entries = entries.into_iter().filter(|(_, value)| !matches!(**value, Value::Nil));
        let (tables, plain): (Entries<'_>, Entries<'_>) =
            entries.partition(|(_, value)| matches!(**value, Value::Map(_) | Value::Object(_)) || is_tables(value));
        for (name, value) in plain {
            let indent = "  ".repeat(path.len());
            self.write(&format!("{indent}{} = ", quoted_key(&name)));
            self.value(&value, 0)?;
            self.write("\n");
        }
        for (name, value) in tables {
            if self.out.is_full() {
                break;
            }
            path.push(name);
            match &*value {
                Value::List(list) => {
                    for item in &list.items {
                        self.header(path, "[[", "]]");
                        self.table(path, table(item)?.unwrap_or_default())?;
                    }
                }
                value => {
                    self.header(path, "[", "]");
                    self.table(path, table(value)?.unwrap_or_default())?;
                }
            }
            path.pop();
        }
        Ok(())
    }

    /// An empty line stands before what is at the top, and before each of several tables.
    fn header(&mut self, path: &[String], open: &str, close: &str) {
        if self.is_begun && (path.len() == 1 || open == "[[") {
            self.write("\n");
        }
        let name: Vec<Cow<'_, str>> = path.iter().map(|name| quoted_key(name)).collect();
        self.write(&format!("{}{open}{}{close}\n", "  ".repeat(path.len() - 1), name.join(".")));
    }

    fn value(&mut self, value: &Value, depth: u32) -> Result<(), CallError> {
        if depth > MAX_DEPTH {
            return Err("toml: nested too deep".into());
        }
        match value {
            Value::Bool(value) => self.write(&value.to_string()),
            Value::Int(number, _) => self.write(&number.to_string()),
            Value::Uint(number, _) => self.write(&number.to_string()),
            Value::Float(number) => self.write(&float(*number)),
            Value::Str(text) => self.write(&quoted(&text.to_text())),
            Value::List(list) => {
                self.write("[");
                for (index, item) in list.items.iter().enumerate() {
                    if self.out.is_full() {
                        break;
                    }
                    if matches!(item, Value::Nil) {
                        return Err("toml: cannot encode array with nil element".into());
                    }
                    self.write(if index > 0 { ", " } else { "" });
                    self.value(item, depth + 1)?;
                }
                self.write("]");
            }
            other => match table(other)? {
                Some(entries) => {
                    self.write("{");
                    let entries = entries.into_iter().filter(|(_, value)| !matches!(**value, Value::Nil));
                    for (index, (name, value)) in entries.enumerate() {
                        self.write(if index > 0 { ", " } else { "" });
                        self.write(&format!("{} = ", quoted_key(&name)));
                        self.value(&value, depth + 1)?;
                    }
                    self.write("}");
                }
                None => return Err(CallError(format!("toml: unsupported type: {}", type_name(other)))),
            },
        }
        Ok(())
    }

    fn write(&mut self, text: &str) {
        self.is_begun |= !text.is_empty();
        self.out.extend_from_slice(text.as_bytes());
    }
}

fn quoted_key(name: &str) -> Cow<'_, str> {
    let is_bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if is_bare { name.into() } else { quoted(name).into() }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '\t' => quoted.push_str("\\t"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\0'..='\x1f' | '\x7f' => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// With a point always, so that it reads as a float.
fn float(number: f64) -> String {
    match number {
        number if number.is_nan() => "nan".into(),
        number if number.is_infinite() => if number > 0.0 { "inf" } else { "-inf" }.into(),
        number if number.fract() == 0.0 => format!("{number}.0"),
        number => number.to_string(),
    }
}
