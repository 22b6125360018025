//! Services as labels: `service:NAME`, and the family `service:NAME:KIND:VALUE` around it.
//!
//! A node offers a service as soon as one label of the family is there. Of the kinds `port` (each makes an instance NAME:P),
//! `host` and `tag` mean something here, any other is a meta pair; tags and pairs are those of all instances of the name.
//! The way back: a registered instance is shown among the labels of its node in the same form.
//! Not here: instances as they are registered (`instance`).

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    instance::{Id, Instance, address, line, word},
    label::Label,
    limits,
    record::Record,
};

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
    families(record.labels())
}

/// The instances that labels make, sorted by service and port. Of several hosts or several values of one key the first in
/// sorted order counts; values that an instance does not take mean nothing, nor do tags, pairs and ports beyond its bounds.
pub fn instances<'a>(labels: impl IntoIterator<Item = &'a Label>) -> Vec<Instance> {
    let families = families(labels);
    families.iter().filter_map(|(name, service)| Some(family_instances(&name.parse().ok()?, service))).flatten().collect()
}

/// The labels that show an instance, sorted. A name with a colon or with blanks around it has none, for they would read as
/// those of another service; for the same reason meta pairs called like a kind have none, nor do empty tags. Nor has a tag
/// that is too long for a label.
pub fn labels(instance: &Instance) -> Vec<Label> {
    let mut labels = Vec::new();
    visit(instance, &mut |text| {
        labels.extend(text.parse::<Label>());
        false
    });
    labels.sort();
    labels.dedup();
    labels
}

/// Whether one of the [`labels`] that show an instance is wanted. Makes none of them.
pub(crate) fn any_label(instance: &Instance, wanted: &dyn Fn(&str) -> bool) -> bool {
    visit(instance, &mut |text| text.trim().len() <= limits::LABEL_BYTES && wanted(text.trim()))
}

/// Shows the texts of an instance's labels until one of them is taken; whether one was.
fn visit(instance: &Instance, take: &mut dyn FnMut(&str) -> bool) -> bool {
    let name = instance.service.as_str();
    if name.contains(':') || name.trim() != name {
        return false;
    }
    let mut text = format!("{PREFIX}{name}");
    if take(&text) {
        return true;
    }
    let plain = text.len();
    let mut takes = |kind: &str, value: &str| {
        text.truncate(plain);
        [":", kind, ":", value].into_iter().for_each(|part| text.push_str(part));
        take(&text)
    };
    let mut pairs = instance.meta.iter().filter(|(key, _)| !matches!(key.as_str(), "port" | "host" | "tag"));
    (instance.port != 0 && takes("port", &instance.port.to_string()))
        || (!instance.address.is_empty() && takes("host", &instance.address))
        || instance.tags.iter().filter(|tag| !tag.trim().is_empty()).any(|tag| takes("tag", tag))
        || pairs.any(|(key, value)| takes(key, value))
}

fn families<'a>(labels: impl IntoIterator<Item = &'a Label>) -> BTreeMap<&'a str, Service<'a>> {
    let mut families = BTreeMap::<_, Service<'_>>::new();
    for label in labels {
        if let Some((name, _)) = split(label.as_str()) {
            families.entry(name).or_default().labels.push(label);
        }
    }
    families
}

fn family_instances(name: &Id, service: &Service<'_>) -> Vec<Instance> {
    let mut ports = BTreeSet::new();
    let mut plain = Instance::new(name.clone(), name.clone());
    let (mut tags, mut meta) = (Vec::new(), BTreeMap::new());
    for label in &service.labels {
        let Some((kind, value)) = split(label.as_str()).and_then(|(_, rest)| rest?.split_once(':')) else { continue };
        match kind {
            "port" => ports.extend(port(value)),
            "host" if plain.address.is_empty() && address("host", value).is_ok() => plain.address = value.into(),
            "host" => {}
            "tag" => {
                if !value.is_empty() && tags.len() < limits::TAGS && line("tag", value, limits::TAG_BYTES).is_ok() {
                    tags.push(value.to_owned());
                }
            }
            key => {
                let taken = word("key", key, limits::PAIR_KEY_BYTES).is_ok()
                    && line("value", value, limits::PAIR_VALUE_BYTES).is_ok()
                    && meta.len() < limits::PAIRS
                    && !meta.contains_key(key);
                if taken {
                    meta.insert(key.to_owned(), value.to_owned());
                }
            }
        }
    }
    (plain.tags, plain.meta) = (tags.into(), meta.into());
    if ports.is_empty() {
        return vec![plain];
    }
    let instance = |port| Some(Instance { id: format!("{name}:{port}").parse().ok()?, port, ..plain.clone() });
    ports.into_iter().take(limits::LABEL_PORTS).filter_map(instance).collect()
}

/// A port as it is written: 1 to 65535, digits only.
fn port(text: &str) -> Option<u16> {
    if text.starts_with('+') { None } else { text.parse().ok().filter(|port| *port != 0) }
}

/// The name of the service that a label tells of.
pub(crate) fn family(label: &Label) -> Option<&str> {
    split(label.as_str()).map(|(name, _)| name)
}

/// Name and rest of a label that tells of a service.
fn split(label: &str) -> Option<(&str, Option<&str>)> {
    let text = label.strip_prefix(PREFIX)?;
    let (name, rest) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
    (!name.is_empty()).then_some((name, rest))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        id::{Generation, NodeId},
        local::LocalRecord,
        time::Moment,
    };

    fn parsed(texts: &[&str]) -> Vec<Label> {
        let mut labels: Vec<Label> = texts.iter().map(|text| text.parse().unwrap()).collect();
        labels.sort();
        labels
    }

    /// The instances as `id address:port tags meta`.
    fn check(texts: &[&str], want: &[&str]) {
        let labels = parsed(texts);
        let instances = instances(&labels);
        let shown = instances.iter().map(|instance| {
            assert_eq!(instance.validate(), Ok(()));
            let meta: Vec<_> = instance.meta.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let (id, tags) = (&instance.id, instance.tags.join(","));
            format!("{id} {} {}:{} [{tags}] [{}]", instance.service, instance.address, instance.port, meta.join(","))
        });
        assert_eq!(shown.collect::<Vec<_>>(), want);
    }

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

    #[test]
    fn labels_make_instances() {
        check(&["service:web", "rack:1", "plain"], &["web web :0 [] []"]);
        check(&["service:web:port:80"], &["web:80 web :80 [] []"]);
        check(
            &["service:web", "service:web:port:8080", "service:web:port:80", "service:web:tag:a", "service:web:ver:1:2"],
            &["web:80 web :80 [a] [ver=1:2]", "web:8080 web :8080 [a] [ver=1:2]"],
        );
        check(&["service:db:host:2a03::1", "service:web"], &["db db 2a03::1:0 [] []", "web web :0 [] []"]);
    }

    #[test]
    fn values_that_mean_nothing_are_passed_over() {
        let bad = ["port:0", "port:65536", "port:+80", "port:-", "port:", "host:0.0.0.0", "host:a b", "tag:", "a.b:1", "alone"];
        let bad: Vec<_> = bad.iter().map(|rest| format!("service:web:{rest}")).collect();
        check(&bad.iter().map(String::as_str).collect::<Vec<_>>(), &["web web :0 [] []"]);
        check(&[&format!("service:{}", "x".repeat(257))], &[]);
        // The id with its port would be too long.
        check(&[&format!("service:{}:port:80", "x".repeat(256))], &[]);
        check(
            &["service:web:host:::", "service:web:host:b", "service:web:host:c", "service:web:k:2", "service:web:k:1"],
            &["web web b:0 [] [k=1]"],
        );
    }

    #[test]
    fn a_family_makes_so_many_instances_with_so_many_values() {
        let many = |kind: &str| (1..=1000).map(|n| format!("service:web:{kind}{n}").parse().unwrap()).collect::<Vec<Label>>();
        let ports = instances(&many("port:"));
        assert_eq!((ports.len(), ports[0].port, ports[63].port), (limits::LABEL_PORTS, 1, 64));
        assert_eq!(instances(&many("tag:"))[0].tags.len(), limits::TAGS);
        let pairs: Vec<Label> = (1..=1000).map(|n| format!("service:web:k{n}:v").parse().unwrap()).collect();
        assert_eq!(instances(&pairs)[0].meta.len(), limits::PAIRS);
    }

    #[test]
    fn the_instances_of_a_family_share_tags_and_pairs() {
        let texts = ["port:1", "port:2", "tag:eu", "k:v"].map(|rest| format!("service:web:{rest}").parse::<Label>().unwrap());
        let made = instances(&texts);
        assert!(Arc::ptr_eq(&made[0].tags, &made[1].tags) && Arc::ptr_eq(&made[0].meta, &made[1].meta));
    }

    #[test]
    fn an_instance_is_shown_by_labels() {
        let mut instance = Instance::new("web-1".parse().unwrap(), "web".parse().unwrap());
        (instance.port, instance.address) = (80, "10.0.0.7".into());
        instance.tags = ["b", "a", "a", ""].map(Into::into).into();
        let pairs = [("ver", "3"), ("port", "x"), ("empty", "")].map(|(key, value)| (key.into(), value.into()));
        instance.meta = Arc::new(pairs.into());
        let shown: Vec<_> = labels(&instance).iter().map(ToString::to_string).collect();
        let want = ["", ":empty:", ":host:10.0.0.7", ":port:80", ":tag:a", ":tag:b", ":ver:3"];
        assert_eq!(shown, want.map(|rest| format!("service:web{rest}")));
        for odd in ["a:port:80", " a", "a "] {
            instance.service = odd.parse().unwrap();
            assert_eq!(labels(&instance), []);
        }
    }

    #[test]
    fn what_is_asked_of_labels_without_making_them_is_what_they_say() {
        let mut instance = Instance::new("web-1".parse().unwrap(), "web".parse().unwrap());
        (instance.port, instance.address) = (80, "10.0.0.7".into());
        instance.tags = ["b ", "a", " "].map(Into::into).into();
        instance.meta = Arc::new([("ver".into(), "3 ".into()), ("host".into(), "x".into())].into());
        let seen = std::cell::RefCell::new(BTreeSet::new());
        assert!(!any_label(&instance, &|text| !seen.borrow_mut().insert(text.to_owned())), "each is shown once");
        assert_eq!(
            seen.into_inner().into_iter().collect::<Vec<_>>(),
            labels(&instance).iter().map(ToString::to_string).collect::<Vec<_>>()
        );
        for label in labels(&instance) {
            assert!(any_label(&instance, &|text| text == label.as_str()), "{label}");
        }
        instance.service = "a:b".parse().unwrap();
        assert!(!any_label(&instance, &|_| true));
    }

    #[test]
    fn the_longest_values_still_make_labels_but_for_tags() {
        let mut instance = Instance::new("i".parse().unwrap(), "n".repeat(limits::ID_BYTES).parse().unwrap());
        // Blanks around a label are no part of it.
        let longest = limits::LABEL_BYTES - "service::tag:".len() - limits::ID_BYTES;
        let tag = |len: usize| format!("{} ", "t".repeat(len));
        instance.tags = [tag(longest), tag(longest + 1), tag(limits::TAG_BYTES - 1)].into();
        assert_eq!(instance.validate(), Ok(()));
        instance.address = "a".repeat(limits::ADDRESS_BYTES);
        instance.meta = Arc::new([("k".repeat(limits::PAIR_KEY_BYTES), "v".repeat(limits::PAIR_VALUE_BYTES))].into());
        let made = labels(&instance);
        assert_eq!(made.len(), 4);
        assert!(made.iter().any(|label| label.as_str().len() == limits::LABEL_BYTES));
        let asked = std::cell::RefCell::new(BTreeSet::new());
        any_label(&instance, &|text| !asked.borrow_mut().insert(text.to_owned()));
        assert!(asked.into_inner().iter().eq(made.iter().map(Label::as_str)), "what has no form is not asked about either");
    }
}
