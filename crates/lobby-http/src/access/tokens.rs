//! TOKENS_FILE: named tokens and what each may do.
//!
//! ```text
//! [[token]]
//! name = "deploy"                 # for messages, unique
//! secret = "…"                    # or secret_sha256 = "64 hexadecimal digits"
//! read = true                     # the default
//! write = ["web-*", "db"]         # services; a star ends a prefix; the default is none
//! operator = false                # the default
//! ```
//! Secrets are kept as digests and never repeated in messages. A search compares with every token.
//! Not here: reading and reading again (`files`), what rights mean (`rights`).

use std::sync::Arc;

use toml::{Table, Value};

use super::{
    given::{Digest, Given},
    rights::{Pattern, Rights, Who, Writes},
};

/// Most tokens in the file: searching all of them takes some microseconds.
pub(super) const TOKENS: usize = 1024;

/// Longest name and longest secret, bytes. Far more than people and generators choose, far less than a request head.
const TEXT_BYTES: usize = 512;

const KEYS: &[&str] = &["name", "secret", "secret_sha256", "read", "write", "operator"];

/// The tokens of a file.
#[derive(Debug, Default)]
pub(super) struct Tokens(Vec<Token>);

#[derive(Debug)]
struct Token {
    digest: Digest,
    rights: Rights,
}

/// What is wrong with the file. Nothing of it is used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum TokensError {
    /// It is not TOML.
    #[error("line {line}: not TOML")]
    Syntax { line: usize },
    /// It holds something else than tokens.
    #[error("{key:?} is not known: expected [[token]] blocks")]
    NotTokens { key: String },
    /// A token has a key that means nothing.
    #[error("token {n}: {key:?} is not known: expected {}", KEYS.join(", "))]
    UnknownKey { n: usize, key: String },
    /// A token has a value that cannot be used.
    #[error("token {n}: {field}: expected {want}")]
    Field { n: usize, field: &'static str, want: &'static str },
    /// Two tokens share what only one may have.
    #[error("token {n}: an earlier one has the same {field}")]
    Twice { n: usize, field: &'static str },
    /// There are too many.
    #[error("more than {TOKENS} tokens")]
    TooMany,
}

impl Tokens {
    /// Reads the text of a file.
    pub(super) fn parse(text: &str) -> Result<Self, TokensError> {
        // Without the parser's own words, which may repeat a secret.
        let table: Table = text.parse().map_err(|err: toml::de::Error| TokensError::Syntax {
            line: err.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.matches('\n').count() + 1),
        })?;
        let mut tokens = Vec::new();
        for (key, value) in table {
            let blocks = match value {
                Value::Array(blocks) if key == "token" => blocks,
                _ => return Err(TokensError::NotTokens { key }),
            };
            if blocks.len() > TOKENS {
                return Err(TokensError::TooMany);
            }
            for (idx, block) in blocks.into_iter().enumerate() {
                let Value::Table(block) = block else { return Err(TokensError::NotTokens { key }) };
                let token = Block { n: idx + 1, table: block }.token()?;
                let twice = |field| TokensError::Twice { n: idx + 1, field };
                for other in &tokens {
                    let other: &Token = other;
                    if other.rights.who == token.rights.who {
                        return Err(twice("name"));
                    }
                    if other.digest == token.digest {
                        return Err(twice("secret"));
                    }
                }
                tokens.push(token);
            }
        }
        Ok(Self(tokens))
    }

    /// The rights of whoever gives this token. Compares with all of them, so that the time tells nothing.
    pub(super) fn find(&self, given: &Given) -> Option<&Rights> {
        self.0.iter().fold(None, |found, token| if given.is(&token.digest) { Some(&token.rights) } else { found })
    }
}

/// One `[[token]]`, counted from 1.
struct Block {
    n: usize,
    table: Table,
}

impl Block {
    fn token(self) -> Result<Token, TokensError> {
        if let Some(key) = self.table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(TokensError::UnknownKey { n: self.n, key: crate::error::shown(key) });
        }
        let is_name = |name: &&str| (1..=TEXT_BYTES).contains(&name.len()) && !name.chars().any(char::is_control);
        let name = self.text("name")?.filter(is_name);
        let name = name.ok_or_else(|| self.bad("name", "1 to 512 bytes without control characters"))?;
        Ok(Token {
            digest: self.digest()?,
            rights: Rights {
                who: Who::Named(name.into()),
                read: self.truth("read", true)?,
                write: self.writes()?,
                operate: self.truth("operator", false)?,
            },
        })
    }

    fn digest(&self) -> Result<Digest, TokensError> {
        match (self.text("secret")?, self.text("secret_sha256")?) {
            (Some(secret), None) => {
                // Others cannot stand in a header, or would be cut there.
                let good = (1..=TEXT_BYTES).contains(&secret.len()) && secret.bytes().all(|byte| byte.is_ascii_graphic());
                let want = "1 to 512 visible ASCII characters";
                if good { Ok(Digest::of(secret.as_bytes())) } else { Err(self.bad("secret", want)) }
            }
            (None, Some(hex)) => Digest::parse(hex).ok_or_else(|| self.bad("secret_sha256", "64 hexadecimal digits")),
            _ => Err(self.bad("secret", "either it or secret_sha256")),
        }
    }

    fn writes(&self) -> Result<Writes, TokensError> {
        let bad = || self.bad("write", "a list of service names, each of which may end with a star");
        let items = match self.table.get("write") {
            None => return Ok(Writes::None),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(bad()),
        };
        let pattern = |item: &Value| item.as_str().and_then(Pattern::parse);
        let patterns: Arc<[Pattern]> = items.iter().map(pattern).collect::<Option<_>>().ok_or_else(bad)?;
        Ok(match &*patterns {
            [] => Writes::None,
            patterns if patterns.contains(&Pattern::Prefix("".into())) => Writes::All,
            _ => Writes::Some(patterns),
        })
    }

    fn text(&self, field: &'static str) -> Result<Option<&str>, TokensError> {
        match self.table.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.bad(field, "a text")),
        }
    }

    fn truth(&self, field: &'static str, default: bool) -> Result<bool, TokensError> {
        match self.table.get(field) {
            None => Ok(default),
            Some(Value::Boolean(truth)) => Ok(*truth),
            Some(_) => Err(self.bad(field, "true or false")),
        }
    }

    const fn bad(&self, field: &'static str, want: &'static str) -> TokensError {
        TokensError::Field { n: self.n, field, want }
    }
}

#[cfg(test)]
mod tests;
