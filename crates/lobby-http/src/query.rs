//! The query string: percent-decoded `key=value` pairs, as the old daemon reads them.
//!
//! A plus sign is a blank; of a repeated key the first value counts; unknown keys are ignored by most handlers.
//! Also [`segment`], the same for one segment of a path, where a plus sign is itself.
//! Not here: what `labels` and `prefixes` mean (`lobby_core::select`).

use std::borrow::Cow;

use lobby_core::selector::Selector;

use crate::error::{ApiError, shown};

/// The decoded pairs of a query string, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// Why a query string was refused. Show it to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseQueryError {
    /// A percent sign without two hexadecimal digits after it, in the value of this key.
    #[error("bad percent-encoding in {0:?}")]
    Encoding(String),
    /// The decoded bytes are not UTF-8, in this pair.
    #[error("not UTF-8 in {0:?}")]
    NotUtf8(String),
}

/// Decodes a query string, given without its question mark.
pub fn parse(text: &str) -> Result<Query<'_>, ParseQueryError> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decode(key, Plus::Blank)?, decode(value, Plus::Blank)?))
    });
    Ok(Query { pairs: pairs.collect::<Result<_, _>>()? })
}

/// Decodes one segment of a path.
pub fn segment(text: &str) -> Result<Cow<'_, str>, ParseQueryError> {
    decode(text, Plus::Itself)
}

impl Query<'_> {
    /// The first value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.all(key).next()
    }

    /// Every value of a key, in their order.
    pub fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(name, _)| name == key).map(|(_, value)| &**value)
    }

    /// Every key, as often as it is given.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(name, _)| &**name)
    }

    /// Refuses keys that are not among these, where a slip in a name would mean something else or everything.
    pub(crate) fn only(&self, accepted: &[&str]) -> Result<(), ApiError> {
        match self.keys().find(|key| !accepted.contains(key)) {
            None => Ok(()),
            Some(key) => Err(ApiError::Parameter { name: shown(key), accepted: accepted.join(", ") }),
        }
    }

    /// The selector `where`, if there is one.
    pub(crate) fn selector(&self) -> Result<Option<Selector>, ApiError> {
        let text = self.get("where").filter(|text| !text.trim().is_empty());
        Ok(text.map(str::parse).transpose()?)
    }

    /// A flag, which is set by its name alone.
    pub(crate) fn flag(&self, field: &'static str) -> Result<bool, ApiError> {
        match self.get(field) {
            None | Some("0" | "false") => Ok(false),
            Some("" | "1" | "true") => Ok(true),
            Some(value) => Err(ApiError::Field { field, value: shown(value), want: "no value, true or false" }),
        }
    }

    /// Whether the key is there, with whatever value.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }
}

/// What a plus sign stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    Blank,
    Itself,
}

fn decode(text: &str, plus: Plus) -> Result<Cow<'_, str>, ParseQueryError> {
    if !text.bytes().any(|byte| byte == b'%' || (byte == b'+' && plus == Plus::Blank)) {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        bytes.push(match (first, tail) {
            (b'+', _) if plus == Plus::Blank => b' ',
            (b'%', [high, low, tail @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = tail;
                digit(*high) << 4 | digit(*low)
            }
            (b'%', _) => return Err(ParseQueryError::Encoding(shown(text))),
            (byte, _) => *byte,
        });
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Owned(text)),
        Err(_) => Err(ParseQueryError::NotUtf8(shown(text))),
    }
}

/// The value of a hexadecimal digit.
const fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CASES: &[(&str, &[(&str, &str)])] = &[
        ("", &[]),
        ("labels=a,b", &[("labels", "a,b")]),
        ("labels=&prefixes=x%3A", &[("labels", ""), ("prefixes", "x:")]),
        ("label=public_ip6:2a03::1", &[("label", "public_ip6:2a03::1")]),
        ("label=a+b%20c%2b", &[("label", "a b c+")]),
        ("label=%C5%BE", &[("label", "ž")]),
        ("label", &[("label", "")]),
        ("&&a=1&a=2", &[("a", "1"), ("a", "2")]),
        ("a=b=c", &[("a", "b=c")]),
    ];

    #[test]
    fn queries() {
        for (text, want) in CASES {
            let query = parse(text).unwrap();
            let got: Vec<_> = query.pairs.iter().map(|(key, value)| (&**key, &**value)).collect();
            assert_eq!(got, *want, "{text:?}");
        }
        let query = parse("a=1&b&a=2").unwrap();
        assert_eq!((query.get("a"), query.all("a").collect::<Vec<_>>()), (Some("1"), vec!["1", "2"]));
        assert!(query.has("b") && !query.has("c"));
    }

    #[test]
    fn segments() {
        for (text, want) in
            [("web-1", "web-1"), ("a+b", "a+b"), ("a%2Bb%2fc", "a+b/c"), ("%C5%BE%25", "ž%"), ("..", ".."), ("", "")]
        {
            assert_eq!(segment(text).unwrap(), want, "{text:?}");
        }
        assert_eq!(segment("a%"), Err(ParseQueryError::Encoding("a%".to_owned())));
        assert_eq!(segment("%c3%28"), Err(ParseQueryError::NotUtf8("%c3%28".to_owned())));
    }

    #[test]
    fn bad_queries() {
        assert_eq!(parse("a=%"), Err(ParseQueryError::Encoding("%".to_owned())));
        assert_eq!(parse("a=%4"), Err(ParseQueryError::Encoding("%4".to_owned())));
        assert_eq!(parse("a=%+1"), Err(ParseQueryError::Encoding("%+1".to_owned())));
        assert_eq!(parse("a=%ff"), Err(ParseQueryError::NotUtf8("%ff".to_owned())));
    }

    fn encode(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02X}")).collect()
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (parse(&text), segment(&text));
        }

        #[test]
        fn what_is_encoded_comes_back(key in ".*", value in ".*") {
            let text = format!("{}={}", encode(&key), encode(&value));
            let query = parse(&text).unwrap();
            prop_assert_eq!(query.get(&key), Some(value.as_str()));
            let encoded = encode(&key);
            prop_assert_eq!(&*segment(&encoded).unwrap(), key.as_str());
        }
    }
}
