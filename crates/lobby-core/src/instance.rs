//! An instance: one place where a service is offered, as its node tells everybody.
//!
//! Made by a registration or by labels (`service`), kept in the record under its id (`record`), written by `wire::service`.
//! An [`Instance`] in the hand is a proposal; what comes out of a record has passed [`Instance::validate`].
//! Not here: checks (`check`), which address of the node stands for an empty one (outputs).

use std::{collections::BTreeMap, sync::Arc};

use crate::limits;

mod id;
mod value;

pub use id::{Id, ParseIdError};
pub use value::{Invalid, address};
pub(crate) use value::{line, lines, object, refuse, word};

/// One instance of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Unique on its node.
    pub id: Id,
    /// The name of the service.
    pub service: Id,
    /// In the order in which they were given; at most [`limits::TAGS`]. Shared: the instances of one label family have the same.
    pub tags: Arc<[String]>,
    /// IP address or host name; empty: that of the node.
    pub address: String,
    /// 0: none, so that it never reaches SRV records or proxies.
    pub port: u16,
    /// At most [`limits::PAIRS`]. Shared as tags are.
    pub meta: Arc<BTreeMap<String, String>>,
    /// Other addresses by what they are for (`lan`, `wan`); at most [`limits::TAGGED_ADDRESSES`].
    pub tagged_addresses: BTreeMap<String, TaggedAddress>,
    /// Its share among the instances of its service.
    pub weights: Weights,
    /// Whether others may change the tags in the catalog.
    pub enable_tag_override: bool,
    /// Consul's word for what it is, such as `connect-proxy`; empty for a plain service.
    pub kind: String,
    /// It takes nothing new, but is not down.
    pub drain: bool,
    /// The JSON object of a proxy's settings, handed on untouched; empty: none.
    pub proxy: String,
    /// The JSON object of Consul's mesh settings, handed on untouched; empty: none.
    pub connect: String,
}

/// An address for a purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaggedAddress {
    /// IP address or host name.
    pub address: String,
    /// 0: none.
    pub port: u16,
}

/// Shares by status. Consul's default is 1 for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// While all checks pass.
    pub passing: u16,
    /// While one of them warns.
    pub warning: u16,
}

impl Default for Weights {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

impl Instance {
    /// An instance of which nothing but id and service is known.
    pub fn new(id: Id, service: Id) -> Self {
        Self {
            id,
            service,
            tags: Arc::default(),
            address: String::new(),
            port: 0,
            meta: Arc::default(),
            tagged_addresses: BTreeMap::new(),
            weights: Weights::default(),
            enable_tag_override: false,
            kind: String::new(),
            drain: false,
            proxy: String::new(),
            connect: String::new(),
        }
    }

    /// Whether every value is one that a record takes.
    pub fn validate(&self) -> Result<(), Invalid> {
        validate_tags(&self.tags)?;
        address("address", &self.address)?;
        value::at_most("meta", self.meta.len(), limits::PAIRS)?;
        for (key, value) in &*self.meta {
            word("meta key", key, limits::PAIR_KEY_BYTES)?;
            line("meta value", value, limits::PAIR_VALUE_BYTES)?;
        }
        value::at_most("taggedaddresses", self.tagged_addresses.len(), limits::TAGGED_ADDRESSES)?;
        for (name, tagged) in &self.tagged_addresses {
            line("taggedaddresses", name, limits::PAIR_KEY_BYTES)?;
            address("taggedaddresses address", &tagged.address)?;
        }
        if !self.kind.is_empty() {
            word("kind", &self.kind, limits::KIND_BYTES)?;
        }
        value::object("proxy", &self.proxy)?;
        value::object("connect", &self.connect)
    }
}

/// Whether an instance may have these tags.
pub fn validate_tags(tags: &[String]) -> Result<(), Invalid> {
    value::at_most("tags", tags.len(), limits::TAGS)?;
    tags.iter().try_for_each(|tag| line("tags", tag, limits::TAG_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Instance)) -> Result<(), Invalid> {
        let mut instance = Instance::new("web-1".parse().unwrap(), "web".parse().unwrap());
        change(&mut instance);
        instance.validate()
    }

    fn field(change: impl FnOnce(&mut Instance)) -> &'static str {
        match check(change).unwrap_err() {
            Invalid::Value { field, .. } | Invalid::TooLong { field, .. } | Invalid::TooMany { field, .. } => field,
        }
    }

    fn pairs(count: usize) -> BTreeMap<String, String> {
        (0..count).map(|n| (format!("{n:0>128}"), "x".repeat(512))).collect()
    }

    #[test]
    fn an_instance_at_its_bounds_is_accepted() {
        assert_eq!(check(|_| {}), Ok(()));
        let at_bounds = |instance: &mut Instance| {
            instance.tags = vec!["x".repeat(limits::TAG_BYTES); limits::TAGS].into();
            instance.meta = pairs(limits::PAIRS).into();
            instance.address = "x".repeat(limits::ADDRESS_BYTES);
            instance.kind = "x".repeat(limits::KIND_BYTES);
            instance.tagged_addresses =
                (0..limits::TAGGED_ADDRESSES).map(|n| (n.to_string(), TaggedAddress::default())).collect();
        };
        assert_eq!(check(at_bounds), Ok(()));
    }

    #[test]
    fn one_more_than_the_bounds_is_refused_by_its_field() {
        assert_eq!(field(|instance| instance.tags = vec![String::new(); limits::TAGS + 1].into()), "tags");
        assert_eq!(field(|instance| instance.tags = vec!["x".repeat(limits::TAG_BYTES + 1)].into()), "tags");
        assert_eq!(field(|instance| instance.meta = pairs(limits::PAIRS + 1).into()), "meta");
        assert_eq!(field(|instance| instance.meta = Arc::new([("x".repeat(129), String::new())].into())), "meta key");
        assert_eq!(field(|instance| instance.meta = Arc::new([("a".into(), "x".repeat(513))].into())), "meta value");
        assert_eq!(field(|instance| instance.kind = "x".repeat(limits::KIND_BYTES + 1)), "kind");
        let tagged = |count: usize| (0..count).map(|n| (n.to_string(), TaggedAddress::default())).collect();
        assert_eq!(field(|instance| instance.tagged_addresses = tagged(limits::TAGGED_ADDRESSES + 1)), "taggedaddresses");
    }

    #[test]
    fn bad_values_are_refused_by_their_field() {
        assert_eq!(field(|instance| instance.address = "0.0.0.0".into()), "address");
        assert_eq!(field(|instance| instance.tags = ["a\nb".into()].into()), "tags");
        assert_eq!(field(|instance| instance.meta = Arc::new([("a.b".into(), String::new())].into())), "meta key");
        assert_eq!(field(|instance| instance.meta = Arc::new([("a".into(), "\r".into())].into())), "meta value");
        let any = TaggedAddress { address: "::".into(), port: 1 };
        assert_eq!(field(|instance| instance.tagged_addresses = [("lan".into(), any)].into()), "taggedaddresses address");
        assert_eq!(field(|instance| instance.kind = "a b".into()), "kind");
        assert_eq!(field(|instance| instance.proxy = "[]".into()), "proxy");
        assert_eq!(field(|instance| instance.connect = "{".into()), "connect");
    }
}
