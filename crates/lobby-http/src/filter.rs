//! The selectors of `?filter=` on Consul's routes: which objects have which, and where their values stand.
//!
//! ```text
//! Node ─┐
//! Service ─┼─► HealthEntry (Node.…, Service.…, Checks, Checks.…)      CatalogService: Service… beside the node's own
//! Check ─┘
//! ```
//! Keys and kinds are those of Consul's documents; what the mesh adds is left out, but for `Connect.Native`.
//! Not here: the language (`lobby_core::expr`), when an expression is read (`catalog_api`).

use lobby_core::expr::{Field, Fields, Group, Kind, Schema, Selected};

use crate::shape::{Check, HealthEntry, Node, Pairs};

mod service;
#[cfg(test)]
mod tests;

/// A table of selectors.
type Names = &'static [(&'static str, Kind)];

const NODE: Names = &[
    ("ID", Kind::Text),
    ("Node", Kind::Text),
    ("Address", Kind::Text),
    ("Datacenter", Kind::Text),
    ("Meta", Kind::List),
    ("Meta.*", Kind::Entry),
    ("TaggedAddresses", Kind::List),
    ("TaggedAddresses.*", Kind::Entry),
];

const CHECK: Names = &[
    ("Node", Kind::Text),
    ("CheckID", Kind::Text),
    ("Name", Kind::Text),
    ("Status", Kind::Text),
    ("Notes", Kind::Text),
    ("Output", Kind::Text),
    ("ServiceID", Kind::Text),
    ("ServiceName", Kind::Text),
    ("ServiceTags", Kind::List),
    ("Type", Kind::Text),
];

impl Fields for Node<'_> {
    const SCHEMA: Schema = &[Group { prefix: "", names: NODE }];

    fn field(&self, selected: Selected<'_>) -> Field<'_> {
        match selected.name {
            "ID" => text(&self.id),
            "Node" => text(self.node),
            "Address" => text(&self.address),
            "Datacenter" => text(self.datacenter),
            "Meta" => keys(&self.meta),
            "Meta.*" => entry(&self.meta, selected.key),
            "TaggedAddresses" => keys(&self.tagged_addresses),
            "TaggedAddresses.*" => entry(&self.tagged_addresses, selected.key),
            _ => Field::Missing,
        }
    }
}

impl Fields for Check<'_> {
    const SCHEMA: Schema = &[Group { prefix: "", names: CHECK }];

    fn field(&self, selected: Selected<'_>) -> Field<'_> {
        match selected.name {
            "Node" => text(self.node),
            "CheckID" => text(self.check_id),
            "Name" => text(self.name),
            "Status" => text(self.status),
            "Notes" => text(self.notes),
            "Output" => text(self.output),
            "ServiceID" => text(self.service_id),
            "ServiceName" => text(self.service_name),
            "ServiceTags" => list(self.service_tags.iter().map(String::as_str)),
            "Type" => text(self.r#type),
            _ => Field::Missing,
        }
    }
}

impl Fields for HealthEntry<'_> {
    const SCHEMA: Schema = &[
        Group { prefix: "Node", names: NODE },
        Group { prefix: "Service", names: service::NAMES },
        Group { prefix: "", names: &[("Checks", Kind::Objects)] },
        Group { prefix: "Checks", names: CHECK },
    ];

    fn field(&self, selected: Selected<'_>) -> Field<'_> {
        match (selected.prefix, selected.name) {
            ("Node", _) => self.node.field(selected),
            ("Service", _) => self.service.field(selected),
            ("Checks", _) => Field::Each(self.checks.iter().map(|check| check.field(selected)).collect()),
            (_, "Checks") => list(self.checks.iter().map(|check| check.check_id)),
            _ => Field::Missing,
        }
    }
}

fn text(text: &str) -> Field<'_> {
    Field::Text(text.into())
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> Field<'a> {
    Field::List(items.map(Into::into).collect())
}

fn keys<'a>(pairs: &'a Pairs<'_>) -> Field<'a> {
    list(pairs.0.iter().map(|(key, _)| *key))
}

fn entry<'a>(pairs: &'a Pairs<'_>, key: Option<&str>) -> Field<'a> {
    key.and_then(|key| pairs.get(key)).map_or(Field::Missing, text)
}
