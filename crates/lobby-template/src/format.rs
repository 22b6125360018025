//! Go's package fmt, as far as templates reach it: how values print, `print`, `println` and `printf`. Decides blanks between
//! operands and what a plain value looks like; verbs are in `printf`, numbers in `number`, quoting in `quote`.

mod number;
mod printf;
mod quote;
mod verb;

pub use printf::printf;
pub(crate) use quote::is_print;
pub use quote::quote;

use crate::value::{Object, Value};

/// The widest that a verb may ask for, as in Go: wider ones are `%!(BADWIDTH)`.
pub const MAX_WIDTH: i64 = 1_000_000;

/// Text that may not grow without end: lists share their items, so a small template can make a value that prints as
/// gigabytes.
#[derive(Debug)]
pub struct Out {
    bytes: Vec<u8>,
    room: usize,
    is_full: bool,
    /// Lists, maps and objects that are being written inside each other.
    depth: usize,
}

/// How deep values may be nested that are written: each level is a call of ours, and they all have to fit into the 2 MiB
/// stack of a thread. A judgement: configurations are ten deep.
const MAX_DEPTH: usize = 200;

impl Out {
    /// Takes at most `room` bytes.
    pub fn new(room: usize) -> Self {
        Self { bytes: Vec::new(), room, is_full: false, depth: 0 }
    }

    /// The text; `None` if it did not fit, or what was written is nested too deep.
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        (!self.is_full).then_some(self.bytes)
    }

    /// Whether something did not fit: a writer may stop.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Writes what is inside a list, map or object.
    fn inside(&mut self, write: impl FnOnce(&mut Self)) {
        self.is_full |= self.depth == MAX_DEPTH;
        if !self.is_full {
            self.depth += 1;
            write(self);
            self.depth -= 1;
        }
    }

    /// Appends a byte so many times.
    fn fill(&mut self, byte: u8, count: usize) {
        self.is_full |= count > self.room - self.bytes.len();
        if !self.is_full {
            self.bytes.resize(self.bytes.len() + count, byte);
        }
    }

    /// Appends a byte.
    pub fn push(&mut self, byte: u8) {
        self.extend_from_slice(&[byte]);
    }

    /// Appends bytes: all of them or, if they do not fit, none.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.is_full |= bytes.len() > self.room - self.bytes.len();
        if !self.is_full {
            self.bytes.extend_from_slice(bytes);
        }
    }
}

/// What error texts show at most of a value.
const MAX_SHOWN: usize = 4096;

/// The value as `%v` prints it, for errors: a long one is cut.
pub fn value(value: &Value) -> String {
    let mut out = Out::new(MAX_SHOWN);
    write_value(&mut out, value);
    String::from_utf8_lossy(&out.bytes).into_owned()
}

/// Appends the value as `%v` prints it.
pub fn write_value(out: &mut Out, value: &Value) {
    match value {
        Value::Nil => out.extend_from_slice(b"<nil>"),
        Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Int(value, _) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Uint(value, _) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Float(value) => out.extend_from_slice(number::shortest(*value).as_bytes()),
        Value::Complex(real, imaginary) => out.extend_from_slice(number::complex(*real, *imaginary).as_bytes()),
        Value::Str(text) => out.extend_from_slice(text.as_bytes()),
        Value::List(list) => between(out, b"[", b"]", &list.items, write_value),
        Value::Map(map) => between(out, b"map[", b"]", map.entries().iter(), |out, (key, value)| {
            write_value(out, &key.to_value(&map.key));
            out.push(b':');
            write_value(out, value);
        }),
        Value::Object(object) => write_object(out, &**object),
        Value::Func(func) => out.extend_from_slice(func.type_of().to_string().as_bytes()),
        Value::Range(numbers) => out.extend_from_slice(format!("{}..{}", numbers.start, numbers.end).as_bytes()),
    }
}

fn write_object(out: &mut Out, object: &dyn Object) {
    match object.text() {
        Some(text) => out.extend_from_slice(text.as_bytes()),
        None => between(out, b"{", b"}", object.fields(), |out, (_, value)| write_value(out, &value)),
    }
}

/// Items with blanks between them.
fn between<T>(out: &mut Out, open: &[u8], close: &[u8], items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Out, T)) {
    out.extend_from_slice(open);
    out.inside(|out| {
        for (index, item) in items.into_iter().enumerate() {
            if out.is_full() {
                return;
            }
            if index > 0 {
                out.push(b' ');
            }
            write(out, item);
        }
    });
    out.extend_from_slice(close);
}

/// A value that stands for itself: a pointer shows that it is one.
fn write_operand(out: &mut Out, value: &Value) {
    match value {
        Value::Object(object) if object.type_name().starts_with('*') && object.text().is_none() => out.push(b'&'),
        _ => {}
    }
    write_value(out, value);
}

/// `print`: a blank between two operands of which neither is a string.
pub fn print(out: &mut Out, args: &[Value]) {
    print_with(out, args, write_operand);
}

/// As [`print()`], each operand written like this.
pub(crate) fn print_with(out: &mut Out, args: &[Value], write: fn(&mut Out, &Value)) {
    let mut after_text = true;
    for arg in args {
        let is_text = matches!(arg, Value::Str(_));
        if !is_text && !after_text {
            out.push(b' ');
        }
        write(out, arg);
        after_text = is_text;
    }
}

/// `println`: blanks between all operands, and a new line.
pub fn println(out: &mut Out, args: &[Value]) {
    between(out, b"", b"\n", args, write_operand);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_as_in_go() {
        let list = Value::list(crate::Type::Any, vec![Value::int(1), "two".into(), 3.5.into(), Value::Nil]);
        assert_eq!(value(&list), "[1 two 3.5 <nil>]");
        assert_eq!(value(&Value::any_map([("b", Value::int(2)), ("a", Value::int(1))])), "map[a:1 b:2]");
        assert_eq!(value(&Value::from(1e6)), "1e+06");
        assert_eq!(value(&Value::from(123_456.0)), "123456");
    }

    #[test]
    fn print_puts_blanks_between_what_is_no_text() {
        let args = [Value::int(1), Value::Nil, true.into(), "x".into(), 2.5.into()];
        let said = |write: fn(&mut Out, &[Value])| {
            let mut out = Out::new(100);
            write(&mut out, &args);
            String::from_utf8(out.into_bytes().unwrap()).unwrap()
        };
        assert_eq!(said(print), "1 <nil> truex2.5");
        assert_eq!(said(println), "1 <nil> true x 2.5\n");
    }

    #[test]
    fn what_is_nested_too_deep_does_not_print() {
        for wrap in [|value| Value::list(crate::Type::Any, vec![value]), |value| Value::any_map([("k", value)])] {
            let said = |deep: usize, verb: &[u8]| {
                let value = (0..deep).fold(Value::Nil, |value, _| wrap(value));
                let mut out = Out::new(1 << 20);
                printf(&mut out, verb, &[value]);
                out.into_bytes()
            };
            for verb in [&b"%v"[..], b"%#v", b"%d", b"%w"] {
                assert!(said(MAX_DEPTH, verb).is_some());
                assert_eq!(said(100_000, verb), None);
            }
        }
    }

    #[test]
    fn a_value_that_prints_as_gigabytes_does_not_fit() {
        let doubled = |value: Value| Value::list(crate::Type::Any, vec![value.clone(), value]);
        let huge = (0..64).fold(Value::from("x"), |value, _| doubled(value));
        let mut out = Out::new(1 << 20);
        write_value(&mut out, &huge);
        assert_eq!(out.into_bytes(), None);
    }
}
