//! Pairs as TXT: `key=value` with what RFC 1464 says about odd characters. Keys that begin with `rfc1035-` give their value alone.
//!
//! Not here: who is asked for them (`node`, `instance`, `service`).

use std::collections::HashSet;

use hickory_proto::rr::rdata::TXT;
use lobby_core::{
    catalog::{InstanceNode, Snapshot},
    instance::Instance,
};

/// Most texts of one answer: more is a database, not a name.
const MOST: usize = 64;

/// Longest string of a TXT record (RFC 1035 §3.3.14); longer texts are several of them.
const STRING_BYTES: usize = 255;

/// Longest text that is told.
const TEXT_BYTES: usize = 2048;

/// Each of them once (RFC 2181 §5), for what differs may be written the same; as many as there may be in an answer.
pub(super) fn distinct(texts: impl Iterator<Item = TXT>) -> impl Iterator<Item = TXT> {
    let mut seen = HashSet::new();
    texts.filter(move |text| seen.insert(text.clone())).take(MOST)
}

/// What a node says of itself: its labels, those that are pairs as pairs; of a node without an agent, its meta.
pub(super) fn of_node(snapshot: &Snapshot, node: &InstanceNode) -> Vec<TXT> {
    if let Some(data) = &node.external {
        return data.pairs.iter().filter_map(|(key, value)| pair(key, value)).take(MOST).collect();
    }
    let record = snapshot.nodes.get(&node.origin).map(|node| &node.record);
    let labels = record.into_iter().flat_map(|record| record.labels());
    let text = |text: &str| match text.split_once(':') {
        Some((name, value)) => pair(name, value),
        None => strings(text),
    };
    labels.filter_map(|label| text(label.as_str())).take(MOST).collect()
}

/// The tags of an instance, and its meta.
pub(super) fn of_instance(instance: &Instance) -> impl Iterator<Item = TXT> {
    let tags = instance.tags.iter().filter_map(|tag| pair("tag", tag));
    tags.chain(instance.meta.iter().filter_map(|(key, value)| pair(key, value)))
}

fn pair(key: &str, value: &str) -> Option<TXT> {
    if key.to_ascii_lowercase().starts_with("rfc1035-") {
        return strings(value);
    }
    let mut text = String::with_capacity(key.len() + value.len() + 1);
    let blanks = [' ', '\t'];
    let trimmed = key.trim_start_matches(blanks).len();
    let (begin, end) = (key.len() - trimmed, key.trim_end_matches(blanks).len());
    for (at, c) in key.char_indices() {
        if matches!(c, '`' | '=') || at < begin || at >= end {
            text.push('`');
        }
        text.push(c);
    }
    text.push('=');
    text.push_str(&value.replace('`', "``"));
    strings(&text)
}

/// A text; `None` when it is too long.
fn strings(text: &str) -> Option<TXT> {
    let bytes = text.as_bytes();
    let strings = bytes.chunks(STRING_BYTES).chain(bytes.is_empty().then_some(&[][..]));
    (bytes.len() <= TEXT_BYTES).then(|| TXT::from_bytes(strings.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_as_rfc_1464_has_them() {
        let cases: &[(&str, &str, &str)] = &[
            ("color", "blue", "color=blue"),
            ("equation", "a=4", "equation=a=4"),
            ("a=a", "true", "a`=a=true"),
            ("a\\=a", "false", "a\\`=a=false"),
            ("=", "\\=", "`==\\="),
            ("string", "\"Cat\"", "string=\"Cat\""),
            ("string2", "`abc`", "string2=``abc``"),
            ("novalue", "", "novalue="),
            ("a b", "c d", "a b=c d"),
            ("abc ", "123 ", "abc` =123 "),
            (" abc", "x", "` abc=x"),
            ("rfc1035-spf", "v=spf1", "v=spf1"),
            ("RFC1035-x", "", ""),
        ];
        for (key, value, want) in cases {
            let text = pair(key, value).unwrap();
            assert_eq!(text.txt_data.iter().map(|string| &**string).collect::<Vec<_>>(), [want.as_bytes()], "{key}={value}");
        }
    }

    #[test]
    fn long_texts_are_several_strings_and_very_long_ones_nothing() {
        let text = strings(&"x".repeat(300)).unwrap();
        assert_eq!(text.txt_data.iter().map(|string| string.len()).collect::<Vec<_>>(), [255, 45]);
        assert!(strings(&"x".repeat(TEXT_BYTES)).is_some() && strings(&"x".repeat(TEXT_BYTES + 1)).is_none());
    }
}
