//! A validated name: of a node (its host name), later of a service or a meta key.
//!
//! Parsed once at every entrance; whoever holds a [`Name`] need not check it again.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use crate::limits;

/// 1 to 128 bytes of visible characters: no blanks, no control characters, none of `/ \ " ' < >` and no comma.
/// Host names as people set them (`web-1`, `smtp.example.com`, `büro`) all pass.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is not a name. Nothing was changed; the caller shows it together with the field it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseNameError {
    /// The text is empty.
    #[error("a name must not be empty")]
    Empty,
    /// The text is longer than [`limits::NAME_BYTES`].
    #[error("a name may have at most {} bytes", limits::NAME_BYTES)]
    TooLong,
    /// The text holds a character that names must not have.
    #[error("a name must not contain {0:?}")]
    BadCharacter(char),
}

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '\\' | '"' | '\'' | '<' | '>' | ',');
        if text.is_empty() {
            return Err(ParseNameError::Empty);
        }
        if text.len() > limits::NAME_BYTES {
            return Err(ParseNameError::TooLong);
        }
        match text.chars().find(|c| refused(*c)) {
            Some(c) => Err(ParseNameError::BadCharacter(c)),
            None => Ok(Self(text.into())),
        }
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &[(&str, bool)] = &[
        ("web-1", true),
        ("smtp.example.com", true),
        ("WEB_1", true),
        ("büro", true),
        ("", false),
        ("a b", false),
        ("a\n", false),
        ("a/b", false),
        ("a,b", false),
        ("<script>", false),
        ("a\u{7f}", false),
    ];

    #[test]
    fn names() {
        for (text, good) in CASES {
            assert_eq!(text.parse::<Name>().is_ok(), *good, "{text:?}");
        }
        assert!("x".repeat(limits::NAME_BYTES).parse::<Name>().is_ok());
        assert_eq!("x".repeat(limits::NAME_BYTES + 1).parse::<Name>(), Err(ParseNameError::TooLong));
    }
}
