//! `printf`: reads a format and hands each operand to its verb. Decides flags, width, precision, `*`, `[n]`, and Go's words
//! for formats that do not fit their operands.

use super::verb::{Spec, write_arg};
use super::{MAX_WIDTH, Out};
use crate::value::Value;

/// The format with its operands in place. Never fails: what does not fit is said in the text, as in Go.
pub fn printf(out: &mut Out, format: &[u8], args: &[Value]) {
    let (at, arg, reordered, good_index, after_index) = (0, 0, false, true, false);
    let mut reader = Reader { format, args, out, at, arg, reordered, good_index, after_index };
    while !reader.out.is_full()
        && let Some(length) = reader.rest().iter().position(|byte| *byte == b'%')
    {
        let start = reader.at;
        reader.out.extend_from_slice(&format[start..start + length]);
        reader.at += length + 1;
        reader.verb();
    }
    let start = reader.at;
    reader.out.extend_from_slice(&format[start..]);
    reader.tell_extra();
}

struct Reader<'a> {
    format: &'a [u8],
    args: &'a [Value],
    out: &'a mut Out,
    /// Bytes read.
    at: usize,
    /// The next operand.
    arg: usize,
    /// An `[n]` was used, so that operands left over are no mistake.
    reordered: bool,
    /// The `[n]` of this verb was usable.
    good_index: bool,
    /// The last thing read was an `[n]`.
    after_index: bool,
}

impl Reader<'_> {
    fn rest(&self) -> &[u8] {
        self.format.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    /// What follows a `%`.
    fn verb(&mut self) {
        let mut spec = self.flags();
        (self.good_index, self.after_index) = (true, false);
        self.index();
        self.width(&mut spec);
        self.precision(&mut spec);
        if !self.after_index {
            self.index();
        }
        let Some(verb) = self.character() else {
            self.out.extend_from_slice(b"%!(NOVERB)");
            return;
        };
        if verb == '%' {
            self.out.push(b'%');
        } else if !self.good_index {
            self.complain(verb, "BADINDEX");
        } else if let Some(arg) = self.args.get(self.arg) {
            self.arg += 1;
            if verb == 'v' {
                (spec.sharp_v, spec.sharp) = (spec.sharp, false);
                (spec.plus_v, spec.plus) = (spec.plus, false);
            }
            write_arg(self.out, &mut spec, arg, verb);
        } else {
            self.complain(verb, "MISSING");
        }
    }

    fn complain(&mut self, verb: char, what: &str) {
        self.out.extend_from_slice(format!("%!{verb}({what})").as_bytes());
    }

    fn flags(&mut self) -> Spec {
        let mut spec = Spec::default();
        while let Some(flag) = self.peek() {
            match flag {
                b'#' => spec.sharp = true,
                // Zeros go to the left only.
                b'0' => spec.zero = !spec.minus,
                b'+' => spec.plus = true,
                b'-' => (spec.minus, spec.zero) = (true, false),
                b' ' => spec.space = true,
                _ => break,
            }
            self.at += 1;
        }
        spec
    }

    fn width(&mut self, spec: &mut Spec) {
        if self.peek() != Some(b'*') {
            spec.width = self.digits();
            // `%[3]2d`
            self.good_index &= !(self.after_index && spec.width.is_some());
            return;
        }
        self.at += 1;
        match self.int_arg() {
            Some(width) => {
                spec.width = Some(width.unsigned_abs() as usize);
                if width < 0 {
                    (spec.minus, spec.zero) = (true, false);
                }
            }
            None => self.out.extend_from_slice(b"%!(BADWIDTH)"),
        }
        self.after_index = false;
    }

    fn precision(&mut self, spec: &mut Spec) {
        if self.peek() != Some(b'.') || self.at + 1 >= self.format.len() {
            return;
        }
        self.at += 1;
        // `%[3].2d`
        self.good_index &= !self.after_index;
        self.index();
        if self.peek() != Some(b'*') {
            spec.precision = Some(self.digits().unwrap_or(0));
            return;
        }
        self.at += 1;
        spec.precision = self.int_arg().and_then(|precision| usize::try_from(precision).ok());
        if spec.precision.is_none() {
            self.out.extend_from_slice(b"%!(BADPREC)");
        }
        self.after_index = false;
    }

    /// `[n]`: the operand to take next.
    fn index(&mut self) {
        self.after_index = false;
        if self.peek() != Some(b'[') {
            return;
        }
        self.reordered = true;
        let Some(length) = self.rest().iter().position(|byte| *byte == b']') else {
            self.at += 1;
            self.good_index = false;
            return;
        };
        let number = std::str::from_utf8(&self.rest()[1..length]).ok().filter(|it| it.bytes().all(|b| b.is_ascii_digit()));
        let number = number.and_then(|digits| digits.parse::<usize>().ok());
        self.at += length + 1;
        match number {
            Some(number) if (1..=self.args.len()).contains(&number) => {
                (self.arg, self.after_index) = (number - 1, true);
            }
            number => (self.good_index, self.after_index) = (false, number.is_some()),
        }
    }

    /// Digits, as far as they go; `None` if there are none. Past the largest width the rest of the format is gone, as in Go.
    fn digits(&mut self) -> Option<usize> {
        let mut number = None;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            let next = number.unwrap_or(0) * 10 + usize::from(digit - b'0');
            if next > MAX_WIDTH as usize {
                self.at = self.format.len();
                return None;
            }
            (number, self.at) = (Some(next), self.at + 1);
        }
        number
    }

    /// The operand of a `*`.
    fn int_arg(&mut self) -> Option<i64> {
        let arg = self.args.get(self.arg)?;
        self.arg += 1;
        let number = match arg {
            Value::Int(number, _) => *number,
            Value::Uint(number, _) => i64::try_from(*number).ok()?,
            _ => return None,
        };
        (-MAX_WIDTH..=MAX_WIDTH).contains(&number).then_some(number)
    }

    /// The verb: one character, or U+FFFD for bytes that are none.
    fn character(&mut self) -> Option<char> {
        let rest = self.rest();
        let first = rest.utf8_chunks().next()?;
        let (verb, length) = match first.valid().chars().next() {
            Some(verb) => (verb, verb.len_utf8()),
            None => (char::REPLACEMENT_CHARACTER, 1),
        };
        self.at += length;
        Some(verb)
    }

    fn tell_extra(&mut self) {
        let Some(extra) = self.args.get(self.arg..).filter(|extra| !extra.is_empty() && !self.reordered) else { return };
        self.out.extend_from_slice(b"%!(EXTRA ");
        for (index, arg) in extra.iter().enumerate() {
            if index > 0 {
                self.out.extend_from_slice(b", ");
            }
            if let Some(kind) = arg.type_of() {
                self.out.extend_from_slice(format!("{kind}=").as_bytes());
            }
            write_arg(self.out, &mut Spec::default(), arg, 'v');
        }
        self.out.push(b')');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(format: &str, args: &[Value]) -> String {
        {
            let mut out = Out::new(2 << 20);
            printf(&mut out, format.as_bytes(), args);
            String::from_utf8(out.into_bytes().unwrap()).unwrap()
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        assert_eq!(print("%d", &["x".into()]), "%!d(string=x)");
        assert_eq!(print("%d", &[]), "%!d(MISSING)");
        assert_eq!(print("x", &[Value::int(1), Value::Nil]), "x%!(EXTRA int=1, <nil>)");
        assert_eq!(print("%z", &[Value::int(1)]), "%!z(int=1)");
        assert_eq!(print("100%", &[]), "100%!(NOVERB)");
        assert_eq!(print("%[5]d", &[Value::int(1)]), "%!d(BADINDEX)");
        assert_eq!(print("%[2]*[1]d", &[Value::int(1), Value::int(3)]), "  1");
        assert_eq!(print("%*d", &["x".into(), Value::int(1)]), "%!(BADWIDTH)1");
        assert_eq!(print("%.*d", &[Value::int(-1), Value::int(1)]), "%!(BADPREC)1");
    }

    #[test]
    fn widths_are_bounded() {
        assert_eq!(print("%1000000d", &[Value::int(1)]).len(), 1_000_000);
        assert_eq!(print("%1000001d", &[Value::int(1)]), "%!(NOVERB)%!(EXTRA int=1)");
    }
}
