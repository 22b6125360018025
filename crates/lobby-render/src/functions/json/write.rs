//! Writes JSON as Go's encoding/json does. Decides the form of numbers, what is escaped, and the order of keys: that of their
//! texts, of numbers too.

use lobby_template::format::Out;
use lobby_template::value::{Key, Object};
use lobby_template::{CallError, Value};

use crate::functions::arg::{MAX_DEPTH, type_name};

/// How it is to look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    /// One item a line, two blanks a level.
    pub(super) is_pretty: bool,
    /// `<`, `>` and `&` as `\u003c` and so on, so that it can stand in HTML.
    pub(super) escapes_html: bool,
}

/// Appends the value.
pub(super) fn value(out: &mut Out, value: &Value, style: Style) -> Result<(), CallError> {
    Writer { out, style, depth: 0 }.value(value)
}

struct Writer<'o> {
    out: &'o mut Out,
    style: Style,
    depth: u32,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value) -> Result<(), CallError> {
        match value {
            Value::Nil => self.plain("null"),
            Value::Bool(value) => self.plain(if *value { "true" } else { "false" }),
            Value::Int(number, _) => self.plain(&number.to_string()),
            Value::Uint(number, _) => self.plain(&number.to_string()),
            Value::Float(number) => self.plain(&float(*number)?),
            Value::Str(text) => self.text(text.as_bytes()),
            Value::List(list) => self.block('[', ']', list.items.iter(), |writer, item| writer.value(item))?,
            Value::Map(map) => {
                let held = map.entries();
                let mut entries: Vec<_> = held.iter().map(|(key, value)| (key_text(key), value)).collect();
                // Those that are numbers are in their own order.
                entries.sort_by(|one, two| one.0.cmp(&two.0));
                self.block('{', '}', entries.into_iter(), |writer, (key, value)| writer.entry(&key, value))?;
            }
            Value::Object(object) => self.object(&**object)?,
            Value::Complex(..) | Value::Func(_) | Value::Range(_) => {
                return Err(CallError(format!("json: unsupported type: {}", type_name(value))));
            }
        }
        Ok(())
    }

    fn object(&mut self, object: &dyn Object) -> Result<(), CallError> {
        self.block('{', '}', object.fields().into_iter(), |writer, (name, value)| writer.entry(name.as_bytes(), &value))
    }

    fn entry(&mut self, key: &[u8], value: &Value) -> Result<(), CallError> {
        self.text(key);
        self.plain(if self.style.is_pretty { ": " } else { ":" });
        self.value(value)
    }

    fn block<T>(
        &mut self,
        open: char,
        close: char,
        items: impl ExactSizeIterator<Item = T>,
        write: impl Fn(&mut Self, T) -> Result<(), CallError>,
    ) -> Result<(), CallError> {
        self.depth += 1;
        // Twice: maps that were changed may be deeper than what is made here.
        if self.depth > MAX_DEPTH * 2 {
            return Err("json: nested too deep".into());
        }
        let is_empty = items.len() == 0;
        self.plain(open.encode_utf8(&mut [0; 4]));
        for (index, item) in items.enumerate() {
            if self.out.is_full() {
                break;
            }
            if index > 0 {
                self.plain(",");
            }
            self.line();
            write(self, item)?;
        }
        self.depth -= 1;
        if !is_empty {
            self.line();
        }
        self.plain(close.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn line(&mut self) {
        if self.style.is_pretty {
            self.plain("\n");
            (0..self.depth).for_each(|_| self.plain("  "));
        }
    }

    fn plain(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn text(&mut self, bytes: &[u8]) {
        self.plain("\"");
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                self.char(c);
            }
            // Go has one for each byte.
            (0..chunk.invalid().len()).for_each(|_| self.plain("\\ufffd"));
        }
        self.plain("\"");
    }

    fn char(&mut self, c: char) {
        match c {
            '"' => self.plain("\\\""),
            '\\' => self.plain("\\\\"),
            '\n' => self.plain("\\n"),
            '\r' => self.plain("\\r"),
            '\t' => self.plain("\\t"),
            '<' | '>' | '&' if !self.style.escapes_html => self.plain(c.encode_utf8(&mut [0; 4])),
            '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => self.plain(&format!("\\u{:04x}", u32::from(c))),
            _ => self.plain(c.encode_utf8(&mut [0; 4])),
        }
    }
}

fn key_text(key: &Key) -> Vec<u8> {
    match key {
        Key::Bool(value) => value.to_string().into(),
        Key::Int(value) => value.to_string().into(),
        Key::Uint(value) => value.to_string().into(),
        Key::Str(value) => value.as_bytes().into(),
    }
}

/// As in JavaScript: with an exponent below 1e-6 and from 1e21 on.
fn float(number: f64) -> Result<String, CallError> {
    if !number.is_finite() {
        let shown = lobby_template::format::value(&Value::Float(number));
        return Err(CallError(format!("json: unsupported value: {shown}")));
    }
    let size = number.abs();
    Ok(match size != 0.0 && !(1e-6..1e21).contains(&size) {
        true if size > 1.0 => format!("{number:e}").replace('e', "e+"),
        true => format!("{number:e}"),
        false => number.to_string(),
    })
}
