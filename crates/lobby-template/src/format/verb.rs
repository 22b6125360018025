//! One operand under one verb. Decides which verbs a type has, signs, prefixes and padding; the digits of floats are `number`,
//! quoting is `quote`.

use super::Out;
use super::number;
use super::quote::{backquoted, is_print, quote, quote_ascii, quote_char};
use crate::value::{Object, Str, Type, Value};

/// Flags, width and precision of a verb.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spec {
    pub(super) minus: bool,
    pub(super) plus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    /// `%+v`: fields with their names.
    pub(super) plus_v: bool,
    /// `%#v`: as in Go's source.
    pub(super) sharp_v: bool,
    /// In a complaint, where objects show their fields whatever they would say.
    complains: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

impl Spec {
    /// Appends the text, filled up to the width.
    fn pad(&self, out: &mut Out, text: &[u8]) {
        let length: usize = text.utf8_chunks().map(|it| it.valid().chars().count() + it.invalid().len()).sum();
        let missing = self.width.unwrap_or(0).saturating_sub(length);
        if self.minus {
            out.extend_from_slice(text);
        }
        self.fill(out, missing);
        if !self.minus {
            out.extend_from_slice(text);
        }
    }

    fn fill(&self, out: &mut Out, count: usize) {
        out.fill(if self.zero { b'0' } else { b' ' }, count);
    }

    /// As [`Spec::pad`], never with zeros.
    fn pad_blank(&self, out: &mut Out, text: &[u8]) {
        Self { zero: false, ..*self }.pad(out, text);
    }
}

/// An operand of `printf`.
pub(super) fn write_arg(out: &mut Out, spec: &mut Spec, arg: &Value, verb: char) {
    match (verb, arg) {
        ('T' | 'v', Value::Nil) => spec.pad(out, b"<nil>"),
        ('T', _) => {
            let name = arg.type_of().map(|kind| kind.to_string()).unwrap_or_default();
            text(out, spec, name.as_bytes(), 's', arg);
        }
        ('p', Value::List(_) | Value::Map(_) | Value::Object(_) | Value::Func(_) | Value::Range(_)) => {
            // Values have no address here that would mean anything.
            spec.pad(out, b"0xc000000000");
        }
        ('w', Value::List(_) | Value::Map(_) | Value::Object(_) | Value::Func(_) | Value::Range(_)) => {
            bad(out, spec, arg, verb);
        }
        (_, Value::Object(object)) if object.type_name().starts_with('*') && said(spec, &**object, verb).is_none() => {
            out.push(b'&');
            write(out, spec, arg, verb);
        }
        _ => write(out, spec, arg, verb),
    }
}

fn write(out: &mut Out, spec: &mut Spec, value: &Value, verb: char) {
    match value {
        Value::Nil if verb == 'v' => out.extend_from_slice(b"<nil>"),
        Value::Nil => bad(out, spec, value, verb),
        Value::Bool(truth) if matches!(verb, 't' | 'v') => spec.pad(out, if *truth { b"true" } else { b"false" }),
        Value::Bool(_) => bad(out, spec, value, verb),
        Value::Int(number, _) => integer(out, spec, number.unsigned_abs(), *number < 0, verb, value),
        Value::Uint(number, _) => {
            let before = spec.sharp;
            spec.sharp |= spec.sharp_v;
            let verb_of_it = if spec.sharp_v && verb == 'v' { 'x' } else { verb };
            integer(out, spec, *number, false, verb_of_it, value);
            spec.sharp = before;
        }
        Value::Float(number) => float(out, spec, *number, verb, value),
        Value::Complex(real, imaginary) => complex(out, spec, *real, *imaginary, verb, value),
        Value::Str(bytes) => text(out, spec, bytes.as_bytes(), verb, value),
        Value::List(list) => {
            let open = if spec.sharp_v { format!("[]{}{{", list.element) } else { "[".into() };
            let close = if spec.sharp_v { "}" } else { "]" };
            items(out, spec, &open, close, &list.items, |out, spec, item| element(out, spec, item, verb, &list.element));
        }
        Value::Map(map) => {
            let open = if spec.sharp_v { format!("map[{}]{}{{", map.key, map.element) } else { "map[".into() };
            let close = if spec.sharp_v { "}" } else { "]" };
            items(out, spec, &open, close, map.entries().iter(), |out, spec, (key, item)| {
                write(out, spec, &key.to_value(&map.key), verb);
                out.push(b':');
                element(out, spec, item, verb, &map.element);
            });
        }
        Value::Object(object) => fields(out, spec, &**object, verb),
        Value::Func(_) | Value::Range(_) => super::write_value(out, value),
    }
}

/// An item of a list or map; nil reads otherwise there.
fn element(out: &mut Out, spec: &mut Spec, item: &Value, verb: char, kind: &Type) {
    match item {
        Value::Nil if spec.sharp_v => out.extend_from_slice(format!("{kind}(nil)").as_bytes()),
        Value::Nil => out.extend_from_slice(b"<nil>"),
        _ => write(out, spec, item, verb),
    }
}

fn items<T>(
    out: &mut Out,
    spec: &mut Spec,
    open: &str,
    close: &str,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Out, &mut Spec, T),
) {
    out.extend_from_slice(open.as_bytes());
    out.inside(|out| {
        for (index, item) in items.into_iter().enumerate() {
            if out.is_full() {
                return;
            }
            if index > 0 {
                out.extend_from_slice(if spec.sharp_v { b", " } else { &b" "[..] });
            }
            write(out, spec, item);
        }
    });
    out.extend_from_slice(close.as_bytes());
}

/// What an object says of itself, where it is asked.
fn said(spec: &Spec, object: &dyn Object, verb: char) -> Option<Str> {
    let asked = matches!(verb, 'v' | 's' | 'x' | 'X' | 'q') && !spec.sharp_v && !spec.complains;
    if asked { object.text() } else { None }
}

fn fields(out: &mut Out, spec: &mut Spec, object: &dyn Object, verb: char) {
    if let Some(said) = said(spec, object, verb) {
        return text(out, spec, said.as_bytes(), verb, &Value::Str(said.clone()));
    }
    let open = match spec.sharp_v {
        true => format!("{}{{", object.type_name().trim_start_matches('*')),
        false => "{".into(),
    };
    items(out, spec, &open, "}", object.fields(), |out, spec, (name, field)| {
        if spec.plus_v || spec.sharp_v {
            out.extend_from_slice(format!("{name}:").as_bytes());
        }
        element(out, spec, &field, verb, &Type::Any);
    });
}

/// `%!z(int=1)`
fn bad(out: &mut Out, spec: &mut Spec, value: &Value, verb: char) {
    out.extend_from_slice(format!("%!{verb}(").as_bytes());
    match value.type_of() {
        Some(kind) => {
            out.extend_from_slice(format!("{kind}=").as_bytes());
            write_arg(out, &mut Spec { complains: true, ..*spec }, value, 'v');
        }
        None => out.extend_from_slice(b"<nil>"),
    }
    out.push(b')');
}

fn text(out: &mut Out, spec: &mut Spec, bytes: &[u8], verb: char, value: &Value) {
    match verb {
        'v' if spec.sharp_v => quoted(out, spec, truncated(bytes, spec.precision)),
        'v' | 's' => spec.pad(out, truncated(bytes, spec.precision)),
        'q' => quoted(out, spec, truncated(bytes, spec.precision)),
        'x' | 'X' => hex(out, spec, bytes, verb == 'X'),
        _ => bad(out, spec, value, verb),
    }
}

fn quoted(out: &mut Out, spec: &Spec, bytes: &[u8]) {
    let said = match spec.sharp.then(|| backquoted(bytes)).flatten() {
        Some(said) => said,
        None if spec.plus => quote_ascii(bytes),
        None => quote(bytes),
    };
    spec.pad(out, said.as_bytes());
}

/// The first `precision` characters; a byte that is none of UTF-8 counts as one.
fn truncated(bytes: &[u8], precision: Option<usize>) -> &[u8] {
    let Some(mut left) = precision else { return bytes };
    let mut end = 0;
    for chunk in bytes.utf8_chunks() {
        let characters = chunk.valid().chars().map(char::len_utf8).chain(chunk.invalid().iter().map(|_| 1));
        for length in characters {
            if left == 0 {
                return &bytes[..end];
            }
            (left, end) = (left - 1, end + length);
        }
    }
    bytes
}

fn hex(out: &mut Out, spec: &Spec, bytes: &[u8], upper: bool) {
    let bytes = &bytes[..bytes.len().min(spec.precision.unwrap_or(usize::MAX))];
    let prefix = match (spec.sharp, upper) {
        (false, _) => "",
        (true, false) => "0x",
        (true, true) => "0X",
    };
    let mut said = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if spec.space && index > 0 {
            said.push(' ');
        }
        if index == 0 || spec.space {
            said.push_str(prefix);
        }
        said.push_str(&if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
    }
    spec.pad(out, said.as_bytes());
}

fn integer(out: &mut Out, spec: &mut Spec, size: u64, negative: bool, verb: char, value: &Value) {
    let signed = || if negative { size.wrapping_neg() as i64 } else { i64::try_from(size).unwrap_or(i64::MAX) };
    let digits = match verb {
        'v' | 'd' => size.to_string(),
        'b' => format!("{size:b}"),
        'o' | 'O' => format!("{size:o}"),
        'x' => format!("{size:x}"),
        'X' => format!("{size:X}"),
        'c' => {
            let c = u32::try_from(signed()).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
            return spec.pad(out, c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        'q' => return spec.pad(out, quote_char(signed(), spec.plus).as_bytes()),
        'U' => return unicode(out, spec, if negative { size.wrapping_neg() } else { size }),
        _ => return bad(out, spec, value, verb),
    };
    if spec.precision == Some(0) && size == 0 {
        return spec.pad_blank(out, b"");
    }
    let sign = match (negative, spec.plus, spec.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    let least = match (spec.precision, spec.width) {
        (Some(precision), _) => precision,
        (None, Some(width)) if spec.zero => width.saturating_sub(sign.len()),
        _ => 0,
    };
    let digits = zeros_before(digits, least);
    let prefix = match verb {
        'b' if spec.sharp => "0b",
        'o' if spec.sharp && !digits.starts_with('0') => "0",
        'O' if spec.sharp && !digits.starts_with('0') => "0o0",
        'O' => "0o",
        'x' if spec.sharp => "0x",
        'X' if spec.sharp => "0X",
        _ => "",
    };
    spec.pad_blank(out, format!("{sign}{prefix}{digits}").as_bytes());
}

/// At least so many digits. Rust's own formatting takes no width beyond 65 535.
fn zeros_before(digits: String, least: usize) -> String {
    let mut filled = "0".repeat(least.saturating_sub(digits.len()));
    filled.push_str(&digits);
    filled
}

/// `U+0078`, and `U+0078 'x'` with `#`.
fn unicode(out: &mut Out, spec: &Spec, code: u64) {
    let least = spec.precision.unwrap_or(4).max(4);
    let mut said = format!("U+{}", zeros_before(format!("{code:X}"), least));
    if let Some(c) = u32::try_from(code).ok().and_then(char::from_u32).filter(|c| spec.sharp && is_print(*c)) {
        said.push_str(&format!(" '{c}'"));
    }
    spec.pad_blank(out, said.as_bytes());
}

fn complex(out: &mut Out, spec: &mut Spec, real: f64, imaginary: f64, verb: char, value: &Value) {
    if !matches!(verb, 'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E') {
        return bad(out, spec, value, verb);
    }
    out.push(b'(');
    float(out, spec, real, verb, value);
    // The imaginary part always has its sign.
    float(out, &mut Spec { plus: true, ..*spec }, imaginary, verb, value);
    out.extend_from_slice(b"i)");
}

fn float(out: &mut Out, spec: &mut Spec, number: f64, verb: char, value: &Value) {
    let (form, usual) = match verb {
        'v' => (b'g', None),
        'b' | 'g' | 'G' | 'x' | 'X' => (verb as u8, None),
        'f' | 'e' | 'E' => (verb as u8, Some(6)),
        'F' => (b'f', Some(6)),
        _ => return bad(out, spec, value, verb),
    };
    let precision = spec.precision.or(usual);
    let said = number::float(number, form, precision);
    let (sign, said) = match said.strip_prefix(['-', '+']) {
        Some(rest) if said.starts_with('-') => ("-", rest.to_owned()),
        Some(rest) => ("+", rest.to_owned()),
        None => ("+", said),
    };
    let sign = if spec.space && sign == "+" && !spec.plus { " " } else { sign };
    if !number.is_finite() {
        // Infinities show their sign always.
        let sign = if number.is_nan() && !spec.space && !spec.plus { "" } else { sign };
        return spec.pad_blank(out, format!("{sign}{said}").as_bytes());
    }
    let said = if spec.sharp && form != b'b' { with_point(&said, form, precision) } else { said };
    if !spec.plus && sign == "+" {
        return spec.pad(out, said.as_bytes());
    }
    let length = sign.len() + said.len();
    match spec.width {
        // The sign stands before the zeros.
        Some(width) if spec.zero && width > length => {
            out.extend_from_slice(sign.as_bytes());
            spec.fill(out, width - length);
            out.extend_from_slice(said.as_bytes());
        }
        _ => spec.pad(out, format!("{sign}{said}").as_bytes()),
    }
}

/// `#`: a decimal point always, and the zeros that g leaves out.
fn with_point(said: &str, form: u8, precision: Option<usize>) -> String {
    let tail_at = match form {
        b'x' | b'X' => said.find(['p', 'P']),
        _ => said.find(['e', 'E']),
    };
    let (head, tail) = said.split_at(tail_at.unwrap_or(said.len()));
    let counts = matches!(form, b'g' | b'G' | b'x');
    let wanted = if counts { precision.unwrap_or(6) } else { 0 };
    let leading = |c: &char| matches!(c, '0' | '.');
    let significant = head.chars().skip_while(leading).filter(|c| *c != '.').count();
    let has_point = head.contains('.');
    let zero = usize::from(!has_point && head == "0");
    let zeros = wanted.saturating_sub(significant + zero);
    let point = if has_point { "" } else { "." };
    format!("{head}{point}{}{tail}", "0".repeat(zeros))
}
