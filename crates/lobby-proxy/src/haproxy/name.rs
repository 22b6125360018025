//! Names and addresses in HAProxy's file. Decides what a server and a section are called so that HAProxy takes it, and which
//! hosts are hosts at all: what a catalog says never becomes more than one word.

use std::net::{IpAddr, Ipv6Addr};

use sha1::{Digest, Sha1};

use crate::Backend;

/// The part of a server's name that its source gave is cut here: names and hosts (253 characters) stay far below 2 048, the
/// longest line of HAProxy 1.5.
const NAME_CHARS: usize = 128;

/// The longest host name of DNS.
const HOST_CHARS: usize = 253;

/// How many digits of a hash tell names apart that would be the same.
const HASH_DIGITS: usize = 8;

/// `NAME_HOST:PORT`, or `HOST:PORT` if it has no name; an IPv6 address without brackets, which HAProxy refuses in names.
pub fn server(backend: &Backend) -> String {
    let own = own(backend);
    let separator = if own.is_empty() { "" } else { "_" };
    clean(&format!("{own}{separator}{}:{}", backend.host, backend.port))
}

/// Its name as far as HAProxy allows.
pub(crate) fn own(backend: &Backend) -> String {
    clean(&backend.name.chars().take(NAME_CHARS).collect::<String>())
}

/// A server's name that tells it from another at a different place.
pub(crate) fn distinct(name: &str, backend: &Backend) -> String {
    let digits = hash(&format!("{}\n{}\n{}", backend.name, backend.host, backend.port));
    format!("{name}.{}", &digits[..HASH_DIGITS])
}

/// What HAProxy allows in names of sections and servers; each other character becomes `_`.
pub fn clean(text: &str) -> String {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_:.-".contains(c);
    text.chars().map(|c| if is_allowed(c) { c } else { '_' }).collect()
}

/// SHA-1 in hexadecimal digits.
pub(crate) fn hash(text: &str) -> String {
    Sha1::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether it is an address, or may be a host name.
pub fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        !label.is_empty() && !label.starts_with('-') && label.chars().all(is_allowed)
    };
    let is_name = || text.strip_suffix('.').unwrap_or(text).split('.').all(is_label);
    text.parse::<IpAddr>().is_ok() || (text.len() <= HOST_CHARS && is_name())
}

/// `HOST:PORT` with IPv6 in brackets.
pub fn address(host: &str, port: u16) -> String {
    if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(name: &str, host: &str) -> Backend {
        Backend { name: name.into(), host: host.into(), port: 80, ..Default::default() }
    }

    #[test]
    fn servers_are_named_after_name_and_place() {
        for (name, host, want) in [
            ("web", "10.0.0.1", "web_10.0.0.1:80"),
            ("", "10.0.0.1", "10.0.0.1:80"),
            ("a b\n#", "2001:db8::1", "a_b___2001:db8::1:80"),
            ("ü", "h.example", "__h.example:80"),
        ] {
            assert_eq!(server(&backend(name, host)), want);
        }
        assert!(server(&backend(&"x".repeat(10_000), "h")).len() < 140);
    }

    #[test]
    fn hosts_are_one_word() {
        for host in ["10.0.0.1", "::1", "a_b.example.", "ip-10-0-0-1.ec2.internal"] {
            assert!(is_host(host), "{host}");
        }
        for host in
            ["", "a b", "a\nb", "unix@/tmp/x", "[::1]", "fe80::1%eth0", "*", "a#b", "/x", ".", "a..b", "-a", &"a".repeat(254)]
        {
            assert!(!is_host(host), "{host}");
        }
    }

    #[test]
    fn addresses_have_brackets_where_needed() {
        assert_eq!(address("::1", 80), "[::1]:80");
        assert_eq!(address("[::1]", 80), "[::1]:80");
        assert_eq!(address("localhost", 80), "localhost:80");
    }

    #[test]
    fn a_hash_is_that_of_everyone() {
        assert_eq!(hash("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
