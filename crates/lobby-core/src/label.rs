//! A label: free text on a node, usually `NAME:VALUE`, and the splitting of label lists.
//!
//! One validator for every entrance. Labels sort bytewise and a node carries each at most once, so a
//! list of labels has one form only.
//! Not here: what labels of a certain name mean (`prometheus:…` is `lobby-http::prometheus`).

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use crate::limits;

/// A trimmed, non-empty line of at most 1 KiB without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Arc<str>);

/// Why a text is not a label. Nothing was changed; the caller shows it together with where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseLabelError {
    /// Nothing but blanks.
    #[error("a label must not be empty")]
    Empty,
    /// Longer than [`limits::LABEL_BYTES`].
    #[error("a label may have at most {most} bytes, this one has {0}", most = limits::LABEL_BYTES)]
    TooLong(usize),
    /// A control character, such as a tab or a line end in the middle.
    #[error("a label must not contain the control character {0:?}")]
    Control(char),
}

impl Label {
    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels of a comma list, as the variable LABELS has them: items are trimmed, empty ones dropped,
    /// bad ones handed back with their error.
    pub fn split_list(list: &str) -> impl Iterator<Item = Result<Self, (&str, ParseLabelError)>> {
        list.split(',').filter(|item| !item.trim().is_empty()).map(|item| item.parse().map_err(|err| (item, err)))
    }

    /// The labels of a text with one on each line, as label files and request bodies have them.
    pub fn split_lines(text: &str) -> impl Iterator<Item = Result<Self, (&str, ParseLabelError)>> {
        text.split('\n').filter(|line| !line.trim().is_empty()).map(|line| line.parse().map_err(|err| (line, err)))
    }
}

/// How many of these labels, from the first on, one node may have: [`limits::LABELS`] of them and
/// [`limits::LABELS_BYTES`] bytes together.
pub fn kept(labels: &[Label]) -> usize {
    let mut bytes = 0;
    let fits = |label: &&Label| {
        bytes += label.as_str().len();
        bytes <= limits::LABELS_BYTES
    };
    labels.iter().take(limits::LABELS).take_while(fits).count()
}

impl FromStr for Label {
    type Err = ParseLabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ParseLabelError::Empty);
        }
        if text.len() > limits::LABEL_BYTES {
            return Err(ParseLabelError::TooLong(text.len()));
        }
        match text.chars().find(|c| c.is_control()) {
            Some(c) => Err(ParseLabelError::Control(c)),
            None => Ok(Self(text.into())),
        }
    }
}

impl Borrow<str> for Label {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &[(&str, Result<&str, ParseLabelError>)] = &[
        ("service:smtp", Ok("service:smtp")),
        ("  public_ip6:2a03::1\r", Ok("public_ip6:2a03::1")),
        ("plain", Ok("plain")),
        ("with blank inside", Ok("with blank inside")),
        ("ž:ů", Ok("ž:ů")),
        ("", Err(ParseLabelError::Empty)),
        (" \t ", Err(ParseLabelError::Empty)),
        ("a\tb", Err(ParseLabelError::Control('\t'))),
        ("a\u{0}b", Err(ParseLabelError::Control('\u{0}'))),
    ];

    #[test]
    fn labels() {
        for (text, want) in CASES {
            assert_eq!(text.parse::<Label>().as_ref().map(Label::as_str).map_err(|err| *err), *want, "{text:?}");
        }
        assert!("x".repeat(limits::LABEL_BYTES).parse::<Label>().is_ok());
        assert_eq!("x".repeat(1025).parse::<Label>(), Err(ParseLabelError::TooLong(1025)));
    }

    #[test]
    fn the_list_of_the_readme_keeps_its_naive_split() {
        let list = "service:ns,ns:primary,public_ip4:1,2,3,4,public_ip6:2a03::1,location:prague";
        let mut labels: Vec<_> = Label::split_list(list).map(|label| label.unwrap()).collect();
        labels.sort();
        let labels: Vec<_> = labels.iter().map(Label::as_str).collect();
        assert_eq!(labels.join(" "), "2 3 4 location:prague ns:primary public_ip4:1 public_ip6:2a03::1 service:ns");
    }

    #[test]
    fn a_node_has_so_many_labels_and_so_many_bytes_of_them() {
        let labels = |n: usize, width: usize| (0..n).map(|n| format!("{n:0width$}").parse().unwrap()).collect::<Vec<Label>>();
        assert_eq!(kept(&labels(5000, 8)), limits::LABELS);
        assert_eq!(kept(&labels(5000, 1024)), limits::LABELS_BYTES / 1024);
        assert_eq!(kept(&labels(10, 8)), 10);
    }

    #[test]
    fn lists_drop_empty_items_and_name_bad_ones() {
        let got: Vec<_> = Label::split_list(" a ,, b\u{1},c ").collect();
        assert_eq!(got.len(), 3);
        assert_eq!(got[1], Err((" b\u{1}", ParseLabelError::Control('\u{1}'))));
        assert_eq!(Label::split_lines("a\r\n\n b \n").filter_map(Result::ok).count(), 2);
    }
}
