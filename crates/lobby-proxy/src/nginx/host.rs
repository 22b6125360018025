//! What of a catalog may stand in nginx's configuration. Decides it by what is allowed, so that no text of others becomes a
//! directive: addresses as their numbers, host names of letters, digits, dots and hyphens, names with all else replaced.

use std::net::IpAddr;

/// Of a host name (RFC 1035, 2.3.4).
const HOST_BYTES: usize = 253;

/// Of the name of an upstream: with what is put around it while a file is replaced, far below the 255 bytes of a file name.
const NAME_BYTES: usize = 200;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// As nginx writes addresses.
    Address(String),
    /// A name, which nginx would look up.
    Name(String),
}

/// None: it is neither an address nor a host name.
pub(super) fn host(text: &str) -> Option<Host> {
    match text.parse() {
        Ok(IpAddr::V4(address)) => return Some(Host::Address(address.to_string())),
        Ok(IpAddr::V6(address)) => return Some(Host::Address(format!("[{address}]"))),
        Err(_) => {}
    }
    // The one name that is an address by itself (RFC 6761, 6.3).
    if text.eq_ignore_ascii_case("localhost") {
        return Some(Host::Address("127.0.0.1".into()));
    }
    let is_label = |label: &str| {
        let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !label.is_empty() && !label.starts_with('-') && label.bytes().all(is_inside)
    };
    let is_name = text.len() <= HOST_BYTES && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label);
    is_name.then(|| Host::Name(text.to_ascii_lowercase()))
}

/// A name that is one word for nginx and a file's name. None: nothing is left of it, or it is too long.
pub(super) fn name(text: &str) -> Option<String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let mut name: String = text.chars().map(|c| if is_allowed(c) { c } else { '_' }).collect();
    if name.starts_with(['.', '-']) {
        name.replace_range(..1, "_");
    }
    (!name.is_empty() && name.len() <= NAME_BYTES).then_some(name)
}

/// An address to listen at; IPv6 gets its brackets, all else stands as its owner wrote it.
pub(super) fn listen(address: &str, port: u16) -> String {
    match host(address) {
        Some(Host::Address(known)) if address.parse::<IpAddr>().is_ok() => format!("{known}:{port}"),
        _ if address.is_empty() => format!("127.0.0.1:{port}"),
        _ => format!("{address}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses_or_plain_names_and_nothing_else() {
        let address = |text: &str| Some(Host::Address(text.into()));
        let named = |text: &str| Some(Host::Name(text.into()));
        let long = "a".repeat(254);
        let cases: [(&str, Option<Host>); 18] = [
            ("10.0.0.1", address("10.0.0.1")),
            ("FE80::1", address("[fe80::1]")),
            ("::ffff:1.2.3.4", address("[::ffff:1.2.3.4]")),
            ("LocalHost", address("127.0.0.1")),
            ("web-1.example.Com", named("web-1.example.com")),
            ("web.", named("web.")),
            ("", None),
            (".", None),
            ("a..b", None),
            ("-a", None),
            ("fe80::1%eth0", None),
            ("10.0.0.1;", None),
            ("10.0.0.1\n", None),
            ("a b", None),
            ("$host", None),
            ("unix:/run/x", None),
            ("a{", None),
            (&long, None),
        ];
        for (text, want) in cases {
            assert_eq!(host(text), want, "{text:?}");
        }
    }

    #[test]
    fn names_are_one_word_and_one_file() {
        assert_eq!(name("web-1.x_Y"), Some("web-1.x_Y".into()));
        assert_eq!(name("a/b c;{}$#\"'\n"), Some("a_b_c________".into()));
        assert_eq!((name(".."), name("-t"), name("")), (Some("_.".into()), Some("_t".into()), None));
        assert_eq!((name(&"a".repeat(200)).is_some(), name(&"a".repeat(201))), (true, None));
    }

    #[test]
    fn listeners_have_brackets_where_they_need_them() {
        let seen = ["::1", "localhost", "0.0.0.0", "*", "[::]", ""].map(|address| listen(address, 80));
        assert_eq!(seen, ["[::1]:80", "localhost:80", "0.0.0.0:80", "*:80", "[::]:80", "127.0.0.1:80"]);
    }
}
