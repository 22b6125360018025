//! Tags that others give to an agent's instances: kept beside nodes without an agent, because anybody may write them.
//!
//! ```text
//! agent's own record: instance, its tags, "others may change them" ─┐
//! external record of the node's name: tags by instance ─────────────┴─► what catalogs show
//! ```
//! The owner's word stays its own: it is what shows again when the tags are taken away, and it says whether others' count.
//! Not here: who takes away tags of what is not there any more (the crate `lobby`), the making of versions ([`super::next`]).

use std::sync::Arc;

use crate::{
    catalog::{InstanceView, Snapshot},
    instance::Id,
    name::Name,
    record::{Key, Record, Value, meta},
    wire::service::decode_tags,
};

/// Whether the record tells of a node, rather than of tags only.
pub fn has_node(record: &Record) -> bool {
    !record.has_left() && record.entries.get(&Key::meta(meta::ADDRESSES)).is_some_and(|entry| entry.value.is_some())
}

/// The instances of an agent of this name to which tags are given here, by id, each with the tags as they are written.
pub fn tagged(record: &Record) -> impl Iterator<Item = (&Id, &Value)> {
    let tags = record.entries.iter().filter_map(|(key, entry)| match (key, &entry.value) {
        (Key::Tags(id), Some(value)) => Some((id, value)),
        _ => None,
    });
    tags.filter(|_| !record.has_left())
}

/// The tags that are given here to this instance.
pub fn tags(record: &Record, id: &Id) -> Option<Arc<[String]>> {
    let value = record.entries.get(&Key::Tags(id.clone()))?.value.as_ref()?;
    decode_tags(value).ok().filter(|_| !record.has_left())
}

/// The instance of this id that an agent of this name has registered with the word that others may change its tags.
pub fn open_to_tags<'a>(snapshot: &'a Snapshot, name: &Name, id: &Id) -> Option<&'a Arc<InstanceView>> {
    let agents = snapshot.offers_by_name(name.as_str()).filter(|offers| {
        let node = &offers.node;
        node.external.is_none() && node.origin.node_id().is_some() && !node.failed
    });
    let views = agents.filter_map(|offers| Some(&offers.instances.get(id)?.value));
    { views }.find(|view| view.instance.enable_tag_override && !view.from_label)
}
