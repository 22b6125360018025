//! What the values of instances and checks may be: one validator for each kind of value.
//!
//! Called by `Instance::validate` and `CheckView::validate`, and by entrances that hold a single value.
//! An error names the field, the value and what is accepted.

use std::net::IpAddr;

use crate::{
    limits::{self, beginning},
    wire,
};

/// Why an instance or a check is refused. Nothing was changed; show it to whoever sent the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The value breaks the rules of its field.
    #[error("{field}: {value:?} is not accepted: expected {accepted}")]
    Value {
        /// The field as Consul writes it, in lower case.
        field: &'static str,
        /// The value, or its beginning.
        value: String,
        /// What would be accepted.
        accepted: &'static str,
    },
    /// The value has more bytes than its field takes.
    #[error("{field}: {value:?} has {bytes} bytes: at most {most} are accepted")]
    TooLong {
        /// The field as Consul writes it, in lower case.
        field: &'static str,
        /// The beginning of the value.
        value: String,
        /// Its bytes.
        bytes: usize,
        /// The most bytes that are accepted.
        most: usize,
    },
    /// The field has more values than it takes.
    #[error("{field}: {count} are given: at most {most} are accepted")]
    TooMany {
        /// The field as Consul writes it, in lower case.
        field: &'static str,
        /// How many are given.
        count: usize,
        /// How many are accepted.
        most: usize,
    },
}

/// An address: empty (that of the node), an IP address, in brackets or not, or a host name. Not that of "all interfaces",
/// to which nobody can connect.
pub fn address(field: &'static str, text: &str) -> Result<(), Invalid> {
    fits(field, text, limits::ADDRESS_BYTES)?;
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%' | '[' | ']');
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let unspecified = bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_unspecified());
    if unspecified || !text.chars().all(allowed) {
        return refuse(field, text, "an IP address or a host name that others can connect to, or nothing for that of the node");
    }
    Ok(())
}

/// A line of at most `most` bytes without control characters; it may be empty.
pub(crate) fn line(field: &'static str, text: &str, most: usize) -> Result<(), Invalid> {
    fits(field, text, most)?;
    if text.contains(char::is_control) { refuse(field, text, "text without control characters") } else { Ok(()) }
}

/// Text of at most `most` bytes that may have several lines.
pub(crate) fn lines(field: &'static str, text: &str, most: usize) -> Result<(), Invalid> {
    fits(field, text, most)?;
    let refused = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if text.contains(refused) { refuse(field, text, "text without control characters but line ends and tabs") } else { Ok(()) }
}

/// 1 to `most` letters, digits, `_` and `-`.
pub(crate) fn word(field: &'static str, text: &str, most: usize) -> Result<(), Invalid> {
    fits(field, text, most)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if text.is_empty() || !text.bytes().all(allowed) {
        refuse(field, text, "A-Z, a-z, 0-9, _ and -, one at least")
    } else {
        Ok(())
    }
}

/// The text of a JSON object, or nothing.
pub(crate) fn object(field: &'static str, text: &str) -> Result<(), Invalid> {
    fits(field, text, limits::OPAQUE_BYTES)?;
    if text.is_empty() || wire::is_json_object(text) { Ok(()) } else { refuse(field, text, "a JSON object") }
}

/// At most `most` values.
pub(crate) fn at_most(field: &'static str, count: usize, most: usize) -> Result<(), Invalid> {
    if count <= most { Ok(()) } else { Err(Invalid::TooMany { field, count, most }) }
}

/// At most `most` bytes.
fn fits(field: &'static str, text: &str, most: usize) -> Result<(), Invalid> {
    if text.len() <= most {
        Ok(())
    } else {
        Err(Invalid::TooLong { field, value: beginning(text).to_owned(), bytes: text.len(), most })
    }
}

pub(crate) fn refuse(field: &'static str, text: &str, accepted: &'static str) -> Result<(), Invalid> {
    Err(Invalid::Value { field, value: beginning(text).to_owned(), accepted })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["", "10.0.0.7", "2a03::1", "[2a03::1]", "fe80::1%eth0", "db-1.example.com", "my_host", "büro", "127.0.0.1"]
        {
            assert_eq!(address("address", good), Ok(()), "{good:?}");
        }
        let unspecified = ["0.0.0.0", "::", "[::]", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0"];
        for bad in unspecified.into_iter().chain(["a b", "a\n", "a/b", "a,b", "a;b", "\"a\"", "a#b", "$(a)", "http://a"]) {
            assert!(matches!(address("address", bad), Err(Invalid::Value { .. })), "{bad:?}");
        }
        assert!(address("address", &"x".repeat(255)).is_ok());
        assert!(matches!(address("address", &"x".repeat(256)), Err(Invalid::TooLong { bytes: 256, most: 255, .. })));
    }

    #[test]
    fn words_and_lines() {
        assert!(word("meta key", "a_B-9", 5).is_ok());
        for bad in ["", "a b", "a.b", "ž"] {
            assert!(word("meta key", bad, 5).is_err(), "{bad:?}");
        }
        assert!(line("tags", "", 5).is_ok() && line("tags", "a: b", 5).is_ok());
        assert!(line("tags", "a\nb", 5).is_err() && line("tags", "123456", 5).is_err());
        assert!(lines("output", "a\n\tb", 5).is_ok() && lines("output", "\u{1b}[2J", 5).is_err());
    }

    #[test]
    fn objects() {
        for good in ["", "{}", " {\"a\":[1,{\"b\":null}]}\n"] {
            assert!(object("proxy", good).is_ok(), "{good:?}");
        }
        let deep = format!("{}{}", "{\"a\":".repeat(1000), "}".repeat(1000));
        for bad in ["[]", "1", "{", "{}{}", "{\"a\":1}],", deep.as_str()] {
            assert!(object("proxy", bad).is_err(), "{bad:.20}");
        }
        let padded = |bytes: usize| format!("{{{}}}", " ".repeat(bytes - 2));
        assert!(object("proxy", &padded(limits::OPAQUE_BYTES)).is_ok());
        assert!(object("proxy", &padded(limits::OPAQUE_BYTES + 1)).is_err());
    }

    #[test]
    fn an_error_names_field_value_and_what_is_accepted() {
        let text = address("address", "0.0.0.0").unwrap_err().to_string();
        assert!(text.starts_with("address: \"0.0.0.0\"") && text.contains("an IP address or a host name"), "{text}");
        let text = line("tags", &"ž".repeat(400), 512).unwrap_err().to_string();
        assert!(text.contains(&"ž".repeat(32)) && !text.contains(&"ž".repeat(33)) && text.contains("800"), "{text}");
    }
}
