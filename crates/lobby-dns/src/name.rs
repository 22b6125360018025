//! Domain names: how ours are made, and the labels of one as it travels.
//!
//! Names compare without regard to case, and keep theirs. One in the hand has at most 255 bytes and labels of 1 to 63.
//! Not here: which names mean something (`zone`), reading one from a request (`message`), compression (`encode`).

pub use hickory_proto::rr::Name;

/// Longest name, its closing zero included (RFC 1035 §2.3.4).
pub const NAME_BYTES: usize = Name::MAX_LENGTH;

/// Longest label (RFC 1035 §2.3.4).
pub const LABEL_BYTES: usize = 63;

/// A name written with dots, with or without one at the end. `None` for the root and for what is no name.
pub fn parse(text: &str) -> Option<Name> {
    let text = text.strip_suffix('.').unwrap_or(text);
    above(&[text], &Name::root())
}

/// A name of hosts: letters, digits, hyphens and underscores, and no number at the end. Whoever reads answers strictly throws
/// away all of one that has another name in it.
pub fn host(text: &str) -> Option<Name> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let known = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    let is_number = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if known && !is_number { parse(text) } else { None }
}

/// These labels, which may have dots of their own, above another name. Their bytes stay as they are.
pub fn above(labels: &[&str], domain: &Name) -> Option<Name> {
    let labels = labels.iter().flat_map(|text| text.split('.')).map(str::as_bytes).chain(domain);
    labels.into_iter().try_fold(Name::root(), |name, label| name.append_label(label).ok())
}

/// The name that has these labels, whatever is in them.
pub(crate) fn of(labels: &[String]) -> Option<Name> {
    labels.iter().try_fold(Name::root(), |name, label| name.append_label(label.as_bytes()).ok())
}

/// The labels of a name in wire form, which was checked before.
#[derive(Clone, Debug)]
pub struct Labels<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&len, rest) = self.0.split_first()?;
        let (label, rest) = rest.split_at_checked(usize::from(len))?;
        self.0 = rest;
        (len != 0).then_some(label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (text, want) in [("a", Some("a.")), ("Web.b.", Some("Web.b.")), ("", None), (".", None), ("a..b", None), (".a", None)]
        {
            assert_eq!(parse(text).map(|name| name.to_string()).as_deref(), want, "{text:?}");
        }
        let domain = parse("consul").unwrap();
        assert_eq!(above(&["a.b", "node"], &domain).unwrap().to_string(), "a.b.node.consul.");
        assert_eq!(above(&["a..b", "node"], &domain), None);
    }

    #[test]
    fn names_of_hosts() {
        assert!(["a", "a.b.", "web-1_x.Example.com", "1.a1"].iter().all(|text| host(text).is_some()));
        let none = ["", ".", "10.0.0.300", "10.0.0.1:80", "fe80::1%eth0", "a b", "ä", "a..b", "a.1", "2"];
        assert!(none.iter().all(|text| host(text).is_none()));
    }

    #[test]
    fn a_name_and_its_labels_have_so_many_bytes_and_no_more() {
        assert!(parse(&"x".repeat(63)).is_some());
        assert!(parse(&"x".repeat(64)).is_none());
        let text = |last: usize| format!("{0}.{0}.{0}.{1}", "x".repeat(63), "x".repeat(last));
        assert_eq!(parse(&text(61)).unwrap().len() + 1, NAME_BYTES);
        assert!(parse(&text(62)).is_none());
    }
}
