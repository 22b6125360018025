//! The token that a request gives, in each of the forms that clients use.
//!
//! ```text
//! ?token=X  >  X-Consul-Token: X  >  Authorization: Bearer X │ Token X │ X
//! ```
//! The first form that is there counts, even when a later one would be right; an empty one is not there. Credentials of
//! `Basic` are never a token. Only digests leave this file, so that comparing tells nothing of a secret.

use std::{fmt, hint::black_box};

use axum::http::{HeaderMap, Uri, header};

use crate::query;

/// SHA-256, in words: few steps to compare it with many others. Not shown, because a short secret can be guessed from it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u64; 4]);

/// Readings of one token: `Token x` is the token `x`, or one that itself begins with the word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given(Digest, Option<Digest>);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digest").finish_non_exhaustive()
    }
}

impl Digest {
    /// The digest of a secret.
    pub(crate) fn of(secret: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, secret);
        Self::from_bytes(digest.as_ref())
    }

    /// 64 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut words = [0; 4];
        for (word, at) in words.iter_mut().zip([0, 16, 32, 48]) {
            *word = u64::from_str_radix(text.get(at..at + 16)?, 16).ok()?;
        }
        Some(Self(words))
    }

    /// The first 32 bytes.
    fn from_bytes(bytes: &[u8]) -> Self {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks(8)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        Self(words)
    }

    /// Compares in a time that depends on nothing.
    pub(super) fn same(&self, other: &Self) -> bool {
        let differences = self.0.iter().zip(&other.0).fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
        differences == 0
    }
}

impl Given {
    /// The token of a request, if it gives one.
    pub(super) fn find(uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        // A query that cannot be decoded is refused by the handler.
        let query = query::parse(uri.query().unwrap_or_default()).unwrap_or_default();
        if let Some(token) = query.get("token").filter(|token| !token.is_empty()) {
            return Some(Self(Digest::of(token.as_bytes()), None));
        }
        let header = |name| headers.get(name).map(|value| value.as_bytes().trim_ascii()).filter(|value| !value.is_empty());
        if let Some(token) = header("x-consul-token") {
            return Some(Self(Digest::of(token), None));
        }
        Self::authorization(header(header::AUTHORIZATION.as_str())?)
    }

    fn authorization(value: &[u8]) -> Option<Self> {
        let end = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
        let (scheme, rest) = (value.get(..end)?, value.get(end..)?.trim_ascii());
        let worded = if scheme.eq_ignore_ascii_case(b"token") {
            Some(rest)
        } else if scheme.eq_ignore_ascii_case(b"bearer") {
            rest.split(u8::is_ascii_whitespace).next()
        } else if scheme.eq_ignore_ascii_case(b"basic") {
            return None;
        } else {
            None
        };
        let worded = worded.filter(|token| !token.is_empty());
        Some(Self(Digest::of(value), worded.map(Digest::of)))
    }

    /// Whether one of its readings is the token of this digest.
    pub(super) fn is(&self, token: &Digest) -> bool {
        self.0.same(token) | self.1.is_some_and(|worded| worded.same(token))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_digest_is_sha_256() {
        let of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::parse(of_abc), Some(Digest::of(b"abc")));
        assert_eq!(Digest::parse(&of_abc.to_uppercase()), Some(Digest::of(b"abc")));
        for bad in [&of_abc[1..], "", &of_abc.replace('b', "g"), &of_abc.replace('b', "+"), &"é".repeat(32)] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn each_word_of_a_digest_counts() {
        let digest = Digest([1, 2, 3, 4]);
        assert!(digest.same(&Digest([1, 2, 3, 4])));
        for other in [[0, 2, 3, 4], [1, 0, 3, 4], [1, 2, 0, 4], [1, 2, 3, 1 << 63]] {
            assert!(!digest.same(&Digest(other)), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(query in "[ -~]{0,30}", value in proptest::collection::vec(any::<u8>(), 0..30)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.insert("authorization", value);
            }
            if let Ok(uri) = format!("/?{query}").parse() {
                Given::find(&uri, &headers);
            }
        }
    }
}
