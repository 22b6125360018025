//! `html`, `js` and `urlquery`: text made safe to stand in other text. Decides which characters are written how.

use crate::format::{Out, is_print};

/// As in the text and in the attributes of a page.
pub(super) fn html(out: &mut Out, text: &[u8]) {
    for byte in text {
        match byte {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            byte => out.push(*byte),
        }
    }
}

/// As in a string of JavaScript.
pub(super) fn js(out: &mut Out, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.extend_from_slice(b"\\\\"),
                '\'' => out.extend_from_slice(b"\\'"),
                '"' => out.extend_from_slice(b"\\\""),
                '<' | '>' | '&' | '=' | '\0'..' ' => out.extend_from_slice(format!("\\u{:04X}", c as u32).as_bytes()),
                c if c.is_ascii() || is_print(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => out.extend_from_slice(format!("\\u{:04X}", c as u32).as_bytes()),
            }
        }
        // U+FFFD is printable: bytes that are no text stay as they are.
        out.extend_from_slice(chunk.invalid());
    }
}

/// As a value in the query of a URL.
pub(super) fn urlquery(out: &mut Out, text: &[u8]) {
    for byte in text {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(*byte),
            b' ' => out.push(b'+'),
            byte => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_escapes_what_it_must() {
        let said = |escape: fn(&mut Out, &[u8]), text: &str| {
            let mut out = Out::new(100);
            escape(&mut out, text.as_bytes());
            String::from_utf8(out.into_bytes().unwrap()).unwrap()
        };
        assert_eq!(said(html, "<a href='x'>&\0"), "&lt;a href=&#39;x&#39;&gt;&amp;\u{fffd}");
        assert_eq!(said(js, "it's <\n\u{2028}é"), "it\\'s \\u003C\\u000A\\u2028é");
        assert_eq!(said(urlquery, "a b/ü"), "a+b%2F%C3%BC");
    }
}
