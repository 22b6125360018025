//! Whom a user event or query is for: the patterns of a [`Filter`], compiled once, held against records.
//!
//! The asker compiles it to refuse a bad one with a reason; each receiver compiles it to know whether it is meant.
//! Patterns come from the network: their length, the size of their automaton and their nesting have bounds, and matching
//! takes time linear in the text.
//! Not here: how filters travel (`lobby-gossip`).

use regex::{Regex, RegexBuilder};

use crate::{
    id::NodeId,
    port::gossip::{FILTER_BYTES, Filter, GossipError},
    record::Record,
    service,
};

/// Largest compiled pattern in bytes: ten times what a pattern of 128 bytes needs that repeats nothing.
pub(crate) const AUTOMATON_BYTES: usize = 256 * 1024;

/// Deepest nesting of a pattern: more than anybody can read.
const NESTING: u32 = 16;

/// The shortest beginning of an id that counts as one, as lobbyctl shows it: 32 random bits.
const ID_DIGITS: usize = 8;

/// A compiled filter.
#[derive(Clone, Debug)]
pub struct Matcher {
    node: Option<Regex>,
    /// The alternatives of `node` that may be ids, or beginnings of them.
    ids: Vec<String>,
    service: Option<Regex>,
    tag: Option<Regex>,
    labels: Vec<String>,
}

impl Matcher {
    /// Compiles a filter.
    ///
    /// Fails with [`GossipError::Invalid`], which names the field.
    pub fn compile(filter: &Filter) -> Result<Self, GossipError> {
        let patterns = [&filter.node, &filter.service, &filter.tag].into_iter().flatten();
        let n_bytes = patterns.chain(&filter.labels).map(String::len).sum::<usize>();
        if n_bytes > FILTER_BYTES {
            return Err(invalid("filter", format!("all patterns together have {n_bytes} bytes, accepted are {FILTER_BYTES}")));
        }
        if filter.tag.is_some() && filter.service.is_none() {
            return Err(invalid("tag", "a tag is one of a service: give the service too".into()));
        }
        if filter.labels.iter().any(|label| label.trim().is_empty()) {
            return Err(invalid("label", "empty: expected a label, or the beginning of one up to a colon".into()));
        }
        Ok(Self {
            node: pattern("node", filter.node.as_deref())?,
            ids: filter.node.as_deref().map(ids).unwrap_or_default(),
            service: pattern("service", filter.service.as_deref())?,
            tag: pattern("tag", filter.tag.as_deref())?,
            labels: filter.labels.iter().map(|label| label.trim().trim_end_matches(':').to_owned()).collect(),
        })
    }

    /// Whether the node with this record is meant.
    pub fn matches(&self, record: &Record) -> bool {
        self.takes_node(record) && self.takes_services(record) && self.labels.iter().all(|label| carries(record, label))
    }

    fn takes_node(&self, record: &Record) -> bool {
        self.node.as_ref().is_none_or(|node| {
            let is_id = |id: NodeId| {
                let id = id.to_string();
                self.ids.iter().any(|given| id.starts_with(given))
            };
            node.is_match(record.name.as_str()) || record.origin.node_id().is_some_and(is_id)
        })
    }

    fn takes_services(&self, record: &Record) -> bool {
        let Some(name) = &self.service else { return true };
        let services = service::services(record);
        let mut named = services.iter().filter(|(service, _)| name.is_match(service));
        named.any(|(_, service)| self.tag.as_ref().is_none_or(|tag| service.tags().any(|text| tag.is_match(text))))
    }
}

/// Whether a node carries this label, or one that goes on with a colon.
fn carries(record: &Record, wanted: &str) -> bool {
    record.labels().any(|label| is_or_goes_on(label.as_str(), wanted))
}

/// Whether a label is this one, or goes on after it with a colon.
pub(crate) fn is_or_goes_on(label: &str, wanted: &str) -> bool {
    label.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// What of the alternatives `a|b|(?:c)` is an id, or its beginning: nothing but hexadecimal digits.
fn ids(pattern: &str) -> Vec<String> {
    let plain = |part: &str| part.strip_prefix("(?:").and_then(|part| part.strip_suffix(')')).unwrap_or(part).to_owned();
    let is_id = |part: &String| part.len() >= ID_DIGITS && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    pattern.split('|').map(plain).filter(is_id).collect()
}

fn pattern(field: &'static str, text: Option<&str>) -> Result<Option<Regex>, GossipError> {
    let Some(text) = text else { return Ok(None) };
    let bad = |why| invalid(field, format!("{text:?} is no regular expression that is accepted: {why}"));
    regex_within(text, AUTOMATON_BYTES).map(Some).map_err(bad)
}

/// Compiles a stranger's pattern to so many bytes at most, or says in one line what is wrong with it.
pub(crate) fn regex_within(text: &str, most_bytes: usize) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(text);
    builder.size_limit(most_bytes).dfa_size_limit(most_bytes).nest_limit(NESTING);
    builder.build().map_err(|err| {
        // The library draws pictures of several lines; the last one says what is wrong.
        let why = err.to_string();
        why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

fn invalid(field: &'static str, why: String) -> GossipError {
    GossipError::Invalid { field, why }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{id::Generation, local::LocalRecord, time::Moment};

    fn record() -> Arc<Record> {
        let mut local = LocalRecord::new(NodeId::from_bytes([0xab; 16]), Generation(1), "web-1.example".parse().unwrap());
        let labels = ["service:api", "service:api:tag:v2", "service:db", "service:db:tag:old", "zone:eu:1", "plain"];
        local.set_labels(labels.iter().map(|label| label.parse().unwrap()));
        local.commit(Moment::ZERO).unwrap()
    }

    fn filter(text: &str) -> Filter {
        let mut filter = Filter::default();
        for item in text.split_whitespace() {
            let (field, value) = item.split_once('=').unwrap();
            match field {
                "node" => filter.node = Some(value.into()),
                "service" => filter.service = Some(value.into()),
                "tag" => filter.tag = Some(value.into()),
                _ => filter.labels.push(value.into()),
            }
        }
        filter
    }

    const CASES: &[(&str, bool)] = &[
        ("", true),
        ("node=web", true),
        ("node=^web$", false),
        (r"node=(?i)WEB-\d", true),
        ("node=abababababababababababababababab", true),
        ("node=ababab", false),
        ("node=abababab", true),
        ("node=abababac", false),
        ("node=abababababababababababababababab0", false),
        ("node=db|abababababababababababababababab", true),
        ("node=(?:db)|(?:abababab)|(?:x)", true),
        ("node=(?:db)|(?:web-2)", false),
        ("node=(?:db)|(?:web-1)", true),
        ("node=^[^w].*$", false),
        ("service=^api$", true),
        ("service=^web$", false),
        ("service=api tag=^v2$", true),
        ("service=api tag=old", false),
        ("service=. tag=old", true),
        ("label=plain", true),
        ("label=pla", false),
        ("label=zone", true),
        ("label=zone:", true),
        ("label=zone:eu", true),
        ("label=zone:e", false),
        ("label=zone:eu:1 label=plain", true),
        ("label=zone:eu:1 label=other", false),
        ("node=web service=api tag=v2 label=zone", true),
    ];

    #[test]
    fn filters() {
        for (text, want) in CASES {
            assert_eq!(Matcher::compile(&filter(text)).unwrap().matches(&record()), *want, "{text}");
        }
    }

    #[test]
    fn a_bad_filter_names_its_field() {
        let long = format!("node={}", "x".repeat(FILTER_BYTES));
        let both = format!("{long} label=y");
        for (text, want) in [
            ("node=(", "node"),
            ("service=[a", "service"),
            ("service=a tag=*", "tag"),
            ("tag=a", "tag"),
            (r"node=(\w{200}){200}", "node"),
            ("node=((((((((((((((((((((a))))))))))))))))))))", "node"),
            (both.as_str(), "filter"),
        ] {
            let err = Matcher::compile(&filter(text)).unwrap_err();
            assert!(
                matches!(&err, GossipError::Invalid { field, why } if *field == want && !why.contains('\n')),
                "{text}: {err}"
            );
        }
        assert!(Matcher::compile(&filter(&long)).is_ok());
        let blank = Filter { labels: vec![" ".into()], ..Filter::default() };
        assert!(matches!(Matcher::compile(&blank), Err(GossipError::Invalid { field: "label", .. })));
    }
}
