//! Text between quotes, in Go's spelling: reading literals of templates, and quoting what an error or a printed tree shows.
//!
//! Not here: where a literal ends (`lex`), and the verb `%q` of printf.

use crate::format::{self, is_print};

/// What a literal between `"` or `` ` `` means, quotes included in `source`. None: an escape is none of Go's.
///
/// Escapes give bytes, which need not be UTF-8.
pub(crate) fn unquote(source: &str) -> Option<Vec<u8>> {
    if let Some(raw) = source.strip_prefix('`') {
        // Carriage returns vanish, so that a file means the same with either kind of line end.
        return Some(raw.strip_suffix('`')?.bytes().filter(|byte| *byte != b'\r').collect());
    }
    let mut rest = source.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let plain = rest.find('\\').unwrap_or(rest.len());
        bytes.extend_from_slice(&rest.as_bytes()[..plain]);
        rest = &rest[plain..];
        if let Some(after) = rest.strip_prefix('\\') {
            let (unit, tail) = escape(after, '"')?;
            match unit {
                Unit::Byte(byte) => bytes.push(byte),
                Unit::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
            rest = tail;
        }
    }
    Some(bytes)
}

/// The first character of what stands behind the opening quote of a character constant, and what follows it.
pub(crate) fn unquote_char(text: &str) -> Option<(u32, &str)> {
    let mut chars = text.chars();
    match chars.next()? {
        '\'' => None,
        '\\' => {
            let (unit, tail) = escape(chars.as_str(), '\'')?;
            let value = match unit {
                Unit::Byte(byte) => u32::from(byte),
                Unit::Char(c) => u32::from(c),
            };
            Some((value, tail))
        }
        c => Some((u32::from(c), chars.as_str())),
    }
}

/// What an escape stands for: `\xff` is a byte, `\u00ff` two of them.
enum Unit {
    Byte(u8),
    Char(char),
}

/// Reads what follows a backslash; `quote` is the only quote that may be escaped.
fn escape(text: &str, quote: char) -> Option<(Unit, &str)> {
    let kind = text.chars().next()?;
    let rest = &text[kind.len_utf8()..];
    let byte = match kind {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        '0'..='7' => {
            let (value, rest) = digits(text, 3, 8)?;
            return Some((Unit::Byte(u8::try_from(value).ok()?), rest));
        }
        'x' => {
            let (value, rest) = digits(rest, 2, 16)?;
            return Some((Unit::Byte(u8::try_from(value).ok()?), rest));
        }
        'u' | 'U' => {
            let (value, rest) = digits(rest, if kind == 'u' { 4 } else { 8 }, 16)?;
            return Some((Unit::Char(char::from_u32(value)?), rest));
        }
        _ if kind == quote => quote as u8,
        _ => return None,
    };
    Some((Unit::Byte(byte), rest))
}

/// Exactly so many digits.
fn digits(text: &str, count: usize, radix: u32) -> Option<(u32, &str)> {
    let (number, rest) = text.split_at_checked(count)?;
    let plain = number.chars().all(|c| c.is_digit(radix));
    plain.then(|| u32::from_str_radix(number, radix).ok()).flatten().map(|value| (value, rest))
}

/// A text as Go quotes it (`%q`).
pub(crate) fn quote(text: &str) -> String {
    format::quote(text.as_bytes())
}

/// A character as errors name it (`%#U`): `U+0023 '#'`.
pub(crate) fn unicode(c: char) -> String {
    let code = u32::from(c);
    if is_print(c) { format!("U+{code:04X} '{c}'") } else { format!("U+{code:04X}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_give_bytes() {
        let cases: &[(&str, Option<&[u8]>)] = &[
            (r#""""#, Some(b"")),
            (r#""a\a\b\f\n\r\t\v\\\"z""#, Some(b"a\x07\x08\x0c\n\r\t\x0b\\\"z")),
            (r#""\x00\xfF\377\101""#, Some(b"\x00\xff\xffA")),
            (r#""ž\u017E\U0000017e""#, Some("žžž".as_bytes())),
            ("`a\\n\r\n\"`", Some(b"a\\n\n\"")),
            (r#""\'""#, None),
            (r#""\q""#, None),
            (r#""\x1""#, None),
            (r#""\x+1""#, None),
            (r#""\400""#, None),
            (r#""\18""#, None),
            (r#""\ud800""#, None),
            (r#""\U00110000""#, None),
            (r#""\ž""#, None),
            ("\"\\xž\"", None),
        ];
        for (source, want) in cases {
            assert_eq!(unquote(source).as_deref(), *want, "{source}");
        }
    }

    #[test]
    fn characters_have_one_value() {
        let cases = [
            ("x'", Some((0x78, "'"))),
            (r"\n'", Some((10, "'"))),
            (r"\''", Some((39, "'"))),
            (r"\xff'", Some((255, "'"))),
            (r"\u00e9'", Some((0xe9, "'"))),
            ("é'", Some((0xe9, "'"))),
            ("\"'", Some((34, "'"))),
            ("ab'", Some((97, "b'"))),
            (r#"\"'"#, None),
            ("'", None),
        ];
        for (text, want) in cases {
            assert_eq!(unquote_char(text), want, "{text}");
        }
    }

    #[test]
    fn errors_quote_as_go_does() {
        let cases = [
            ("a\"\\'b", r#""a\"\\'b""#),
            ("\x07\x08\x0c\n\r\t\x0b\x00\x7f", r#""\a\b\f\n\r\t\v\x00\x7f""#),
            ("ž\u{301}", "\"ž\u{301}\""),
            ("\u{301}", "\"\u{301}\""),
            ("\u{a0}\u{200b}\u{e000}\u{10ffff}", r#""\u00a0\u200b\ue000\U0010ffff""#),
        ];
        for (text, want) in cases {
            assert_eq!(quote(text), want);
        }
        assert_eq!(unicode('#'), "U+0023 '#'");
        assert_eq!(unicode('\''), "U+0027 '''");
        assert_eq!(unicode('\x01'), "U+0001");
        assert_eq!(unicode('😀'), "U+1F600 '😀'");
    }
}
