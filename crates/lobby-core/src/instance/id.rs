//! An id as Consul's clients use it: of an instance, of a check, and the name of a service.
//!
//! Nearly free text, for programs make ids such as `/a/b`, `app#127.0.0.1#3000` or `my app`; it is kept as it came, blanks
//! included, and compared byte by byte.
//! Not here: names of nodes and meta entries (`name`), which are narrower.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use crate::limits;

/// 1 to 256 bytes without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(Arc<str>);

/// Why a text is not an id. Nothing was changed; the caller shows it together with the field it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// The text is empty.
    #[error("an id must not be empty")]
    Empty,
    /// Longer than [`limits::ID_BYTES`].
    #[error("an id may have at most {most} bytes, this one has {0}", most = limits::ID_BYTES)]
    TooLong(usize),
    /// A control character, such as a tab or a line end.
    #[error("an id must not contain the control character {0:?}")]
    Control(char),
}

impl Id {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ParseIdError::Empty);
        }
        if text.len() > limits::ID_BYTES {
            return Err(ParseIdError::TooLong(text.len()));
        }
        match text.chars().find(|c| c.is_control()) {
            Some(c) => Err(ParseIdError::Control(c)),
            None => Ok(Self(text.into())),
        }
    }
}

impl Borrow<str> for Id {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &[(&str, Result<(), ParseIdError>)] = &[
        ("web", Ok(())),
        ("/a//b/../c", Ok(())),
        ("app#127.0.0.1#3000", Ok(())),
        ("service:web:1", Ok(())),
        ("50% of web", Ok(())),
        (" ", Ok(())),
        ("žluťoučký", Ok(())),
        ("", Err(ParseIdError::Empty)),
        ("a\nb", Err(ParseIdError::Control('\n'))),
        ("a\u{0}", Err(ParseIdError::Control('\u{0}'))),
        ("a\u{7f}", Err(ParseIdError::Control('\u{7f}'))),
        ("a\u{85}", Err(ParseIdError::Control('\u{85}'))),
    ];

    #[test]
    fn ids() {
        for (text, want) in CASES {
            let got = text.parse::<Id>();
            assert_eq!(got.as_ref().map(|_| ()).map_err(|err| *err), *want, "{text:?}");
            got.into_iter().for_each(|id| assert_eq!(id.as_str(), *text));
        }
    }

    #[test]
    fn an_id_has_so_many_bytes_and_no_more() {
        assert!("x".repeat(limits::ID_BYTES).parse::<Id>().is_ok());
        assert_eq!("x".repeat(257).parse::<Id>(), Err(ParseIdError::TooLong(257)));
        assert_eq!("ž".repeat(129).parse::<Id>(), Err(ParseIdError::TooLong(258)));
    }
}
