//! The services that a node's labels tell of: `service:NAME`, and the family `service:NAME:KIND:VALUE` around it.
//!
//! A node offers a service as soon as one label of the family is there. Of the kinds only `tag` means something here.
//! Not here: instances with ports and checks, which are records of their own.

use std::collections::BTreeMap;

use crate::{label::Label, record::Record};

/// What a label of a service begins with.
const PREFIX: &str = "service:";

/// One service of one node: all labels of its family, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service<'a> {
    /// The labels that tell of it.
    pub labels: Vec<&'a Label>,
}

impl<'a> Service<'a> {
    /// Its tags: the values of `service:NAME:tag:VALUE`.
    pub fn tags(&self) -> impl Iterator<Item = &'a str> {
        self.labels.iter().filter_map(|label| split(label.as_str())?.1?.strip_prefix("tag:"))
    }
}

/// The services of a node by name.
pub fn services(record: &Record) -> BTreeMap<&str, Service<'_>> {
    let mut services = BTreeMap::<_, Service<'_>>::new();
    for label in record.labels() {
        if let Some((name, _)) = split(label.as_str()) {
            services.entry(name).or_default().labels.push(label);
        }
    }
    services
}

/// Name and rest of a label that tells of a service.
fn split(label: &str) -> Option<(&str, Option<&str>)> {
    let text = label.strip_prefix(PREFIX)?;
    let (name, rest) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
    (!name.is_empty()).then_some((name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{Generation, NodeId},
        local::LocalRecord,
        time::Moment,
    };

    #[test]
    fn a_family_of_labels_is_one_service() {
        let mut local = LocalRecord::new(NodeId::from_bytes([1; 16]), Generation(1), "a".parse().unwrap());
        let labels =
            ["service:web", "service:web-2", "service:web:tag:eu:1", "service:web:port:80", "service:", "service::x", "x:web"];
        local.set_labels(labels.iter().map(|label| label.parse().unwrap()));
        let record = local.commit(Moment::ZERO).unwrap();
        let services = services(&record);
        assert_eq!(services.keys().copied().collect::<Vec<_>>(), ["web", "web-2"]);
        assert_eq!(services["web"].labels.len(), 3);
        assert_eq!(services["web"].tags().collect::<Vec<_>>(), ["eu:1"]);
        assert_eq!(services["web-2"].tags().count(), 0);
    }
}
