//! Go's quoted strings: `strconv.Quote` and what `%q` and `%#q` choose. Decides which characters are escaped; which of them
//! are printable is Rust's own answer, which is Go's but for a few unassigned ones.

/// `"text"` with Go's escapes; bytes that are not UTF-8 as `\xff`.
pub fn quote(bytes: &[u8]) -> String {
    quoted(bytes, '"', false)
}

/// As [`quote`], with everything beyond ASCII escaped too.
pub(super) fn quote_ascii(bytes: &[u8]) -> String {
    quoted(bytes, '"', true)
}

/// `'x'`
pub(super) fn quote_char(code: i64, ascii: bool) -> String {
    let c = u32::try_from(code).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
    quoted(c.encode_utf8(&mut [0; 4]).as_bytes(), '\'', ascii)
}

/// Between backquotes, if nothing in it needs escaping there.
pub(super) fn backquoted(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let plain = |c: char| c != '`' && c != '\u{feff}' && c != '\u{7f}' && (c == '\t' || c >= ' ');
    text.chars().all(plain).then(|| format!("`{text}`"))
}

fn quoted(bytes: &[u8], mark: char, ascii: bool) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push(mark);
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| escape(&mut out, c, mark, ascii));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push(mark);
    out
}

fn escape(out: &mut String, c: char, mark: char, ascii: bool) {
    match c {
        '\\' => out.push_str("\\\\"),
        c if c == mark => out.extend(['\\', c]),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        ' '..='~' => out.push(c),
        c if (c as u32) < 0x80 => out.push_str(&format!("\\x{:02x}", c as u32)),
        c if !ascii && is_print(c) => out.push(c),
        c if (c as u32) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", c as u32)),
        c => out.push_str(&format!("\\U{:08x}", c as u32)),
    }
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation and symbols; of spaces only the ASCII one.
pub(crate) fn is_print(c: char) -> bool {
    // Rust's own escapes follow the same rule, but for marks at the very beginning, hence the letter in front.
    let mut text = [b'a'; 5];
    let length = c.encode_utf8(&mut text[1..]).len();
    let shown = || std::str::from_utf8(&text[..=length]).is_ok_and(|text| text.escape_debug().skip(1).eq([c]));
    matches!(c, ' '..='~') || shown()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_quoted_as_in_go() {
        assert_eq!(quote(b"h\"i\n\x01\xff\xc3\xa9"), "\"h\\\"i\\n\\x01\\xff\u{e9}\"");
        assert_eq!(quote_ascii("é😀".as_bytes()), "\"\\u00e9\\U0001f600\"");
        assert_eq!(quote("\u{a0}e\u{301}".as_bytes()), "\"\\u00a0e\u{301}\"");
    }

    #[test]
    fn characters_take_their_own_mark() {
        assert_eq!(quote_char(39, false), r"'\''");
        assert_eq!(quote_char(34, false), "'\"'");
        assert_eq!(quote_char(-1, false), "'\u{fffd}'");
    }

    #[test]
    fn backquotes_hold_what_needs_no_escape() {
        assert_eq!(backquoted(b"a\tb").as_deref(), Some("`a\tb`"));
        assert_eq!(backquoted(b"a\nb"), None);
        assert_eq!(backquoted(b"`"), None);
    }
}
