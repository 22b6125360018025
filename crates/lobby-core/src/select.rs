//! Which hosts a list shows: the filters of Lobby's REST API.
//!
//! `labels=a,b` takes hosts that carry any of the labels, `prefixes=a,b` hosts with a label that starts with any
//! of the texts; labels win when both are given, an empty list does not filter.

use crate::{catalog::Host, label::Label};

/// A filter over hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selector {
    /// Every host.
    #[default]
    All,
    /// Hosts with any of these labels. Sorted.
    AnyLabel(Vec<String>),
    /// Hosts with a label that starts with any of these.
    AnyPrefix(Vec<String>),
}

impl Selector {
    /// The selector of a query's `labels` and `prefixes`.
    pub fn from_query(labels: Option<&str>, prefixes: Option<&str>) -> Self {
        let items = |list: Option<&str>| -> Vec<String> {
            let items = list.unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty());
            items.map(str::to_owned).collect()
        };
        let mut labels = items(labels);
        if !labels.is_empty() {
            labels.sort();
            return Self::AnyLabel(labels);
        }
        let prefixes = items(prefixes);
        if prefixes.is_empty() { Self::All } else { Self::AnyPrefix(prefixes) }
    }

    /// Whether the selector takes a host.
    pub fn takes(&self, host: &Host) -> bool {
        match self {
            Self::All => true,
            Self::AnyLabel(_) | Self::AnyPrefix(_) => host.labels.iter().any(|label| self.matches(label)),
        }
    }

    /// The labels of a host that match, all of them when nothing is filtered.
    pub fn matching(&self, host: &Host) -> Vec<Label> {
        host.labels.iter().filter(|label| self.matches(label)).cloned().collect()
    }

    fn matches(&self, label: &Label) -> bool {
        match self {
            Self::All => true,
            Self::AnyLabel(labels) => labels.binary_search_by(|item| item.as_str().cmp(label.as_str())).is_ok(),
            Self::AnyPrefix(prefixes) => prefixes.iter().any(|prefix| label.as_str().starts_with(prefix.as_str())),
        }
    }
}
