//! Nodes without an agent, as somebody registers them: what the next version of such a node's record is.
//!
//! ```text
//! newest version here, changes, the time, who writes ─► next version ─► every agent keeps it, the latest one counts
//! ```
//! Versions are ordered by the time of their writing, which never falls from one to the next, and then by the agent that
//! wrote. A node that was removed leaves a version that says so, kept for [`REMEMBER`].
//! Not here: who may write, keeping them on disk (the crate `lobby`), showing them (`catalog`).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    check::view::CheckView,
    coordinate::Coordinate,
    id::{Generation, NodeId, Origin, Version},
    instance::{Id, Instance, Invalid, address, line, validate_tags, word},
    limits,
    local::SetError,
    name::Name,
    record::{Entry, Key, Phase, Record, Stamp, Value, meta},
    wire::service::{encode_check, encode_instance, encode_tags},
};

mod place;
pub mod tags;

pub use place::coordinate;
use place::coordinate_text;

/// How long it is remembered that a node was removed: longer than any agent that comes back was away, or it brings the node
/// back.
pub const REMEMBER: Duration = Duration::from_secs(24 * 3600);

/// How far ahead of our clock a version may be stamped: a clock that is further off is broken, and a version from there could
/// not be followed by any other.
pub const AHEAD: Duration = Duration::from_secs(24 * 3600);

/// What a registration says about the node itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeData {
    /// IP address or host name.
    pub address: String,
    /// Other addresses by what they are for; at most [`limits::TAGGED_ADDRESSES`].
    pub tagged_addresses: BTreeMap<String, String>,
    /// At most [`limits::PAIRS`].
    pub pairs: BTreeMap<String, String>,
    /// The id that Consul's clients gave it, text; empty: none.
    pub consul_id: String,
}

/// One thing that a write changes.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The node itself.
    Node(NodeData),
    /// Adds an instance, or replaces the one of its id.
    Instance(Box<Instance>),
    /// Adds a check, or replaces the one of its id.
    Check(Box<CheckView>),
    /// Where the node is in the space of round trip times. Of a node that is not there it means nothing.
    Coordinate(Coordinate),
    /// Gives tags to an instance of the agent of this name, or (`None`) takes them away, so that its own show again.
    Tags(Id, Option<Arc<[String]>>),
    /// Removes an instance and its checks, and the tags that are given to an agent's instance of this id.
    RemoveInstance(Id),
    /// Removes a check.
    RemoveCheck(Id),
    /// Removes the node with all that it has.
    Remove,
}

/// The next version of the record after these changes, in their order; `None` when they change nothing. `now` is in Unix
/// microseconds.
///
/// # Errors
/// When a value breaks its rules, or the record would be too large. Nothing of it counts then.
pub fn next(old: Option<&Record>, name: &Name, writer: NodeId, now: u64, changes: &[Change]) -> Result<Option<Record>, SetError> {
    let before: BTreeMap<Key, Value> = old.filter(|old| !old.has_left()).map(live).unwrap_or_default();
    let mut after = before.clone();
    for change in changes {
        match change {
            Change::Remove => {
                after.clear();
            }
            Change::Node(data) => set_node(&mut after, data)?,
            Change::Instance(instance) => {
                instance.validate()?;
                let mut value = Vec::new();
                encode_instance(instance, &mut value);
                after.insert(Key::Instance(instance.id.clone()), value.into());
            }
            Change::Check(check) => {
                check.validate()?;
                let mut value = Vec::new();
                encode_check(check, &mut value);
                after.insert(Key::Check(check.id.clone()), value.into());
            }
            Change::Coordinate(place) if after.contains_key(&Key::meta(meta::ADDRESSES)) => {
                after.insert(Key::meta(meta::COORDINATE), coordinate_text(place).into_bytes().into());
            }
            Change::Coordinate(_) => {}
            Change::Tags(id, Some(tags)) => {
                validate_tags(tags)?;
                let mut value = Vec::new();
                encode_tags(tags, &mut value);
                after.insert(Key::Tags(id.clone()), value.into());
            }
            Change::Tags(id, None) => _ = after.remove(&Key::Tags(id.clone())),
            Change::RemoveInstance(id) => remove_instance(&mut after, id),
            Change::RemoveCheck(id) => _ = after.remove(&Key::Check(id.clone())),
        }
    }
    if after == before {
        return Ok(None);
    }
    // What is left of a node that is not there, and gives no tags, is nothing.
    let is_there = after.keys().any(|key| matches!(key, Key::Tags(_)) || *key == Key::meta(meta::ADDRESSES));
    let phase = if is_there { Phase::Running } else { Phase::Left };
    record(old, name, writer, now, phase, after).map(Some)
}

/// Whether this version says that the node was removed so long ago that nobody need remember it. `now` is in Unix seconds.
pub fn is_forgotten(record: &Record, now: u64) -> bool {
    let written = record.stamp.generation.0 / 1_000_000;
    record.has_left() && now.saturating_sub(written) > REMEMBER.as_secs()
}

/// Whether this version is stamped so far ahead of our clock that it is refused. `now` is in Unix seconds.
pub fn is_from_the_future(record: &Record, now: u64) -> bool {
    record.stamp.generation.0 / 1_000_000 > now.saturating_add(AHEAD.as_secs())
}

/// Whether this agent wrote this version. Agents with ids that begin alike are taken for one another.
pub fn is_by(record: &Record, writer: NodeId) -> bool {
    record.stamp.version == version_of(writer)
}

/// What a record says of the node itself.
pub fn node_data(record: &Record) -> NodeData {
    let mut data = NodeData { address: record.meta(meta::ADDRESSES).unwrap_or_default().into(), ..NodeData::default() };
    for (name, value) in record.metas() {
        if let Some(key) = name.as_str().strip_prefix(meta::PAIR) {
            data.pairs.insert(key.into(), value.into());
        } else if let Some(key) = name.as_str().strip_prefix(meta::TAGGED_ADDRESS) {
            data.tagged_addresses.insert(key.into(), value.into());
        } else if name.as_str() == meta::CONSUL_ID {
            data.consul_id = value.into();
        }
    }
    data
}

fn live(record: &Record) -> BTreeMap<Key, Value> {
    let marker = Key::meta(meta::EXTERNAL);
    let live = record.entries().filter_map(|(key, entry)| Some((key.clone(), entry.value.clone()?)));
    live.filter(|(key, _)| *key != marker).collect()
}

fn set_node(entries: &mut BTreeMap<Key, Value>, data: &NodeData) -> Result<(), SetError> {
    address("Address", &data.address)?;
    let too_many = |field, count, most| (count > most).then_some(Invalid::TooMany { field, count, most }).map_or(Ok(()), Err);
    too_many("NodeMeta", data.pairs.len(), limits::PAIRS)?;
    too_many("TaggedAddresses", data.tagged_addresses.len(), limits::TAGGED_ADDRESSES)?;
    // Where it is was told by somebody else.
    let place = Key::meta(meta::COORDINATE);
    entries.retain(|key, _| !matches!(key, Key::Meta(_)) || *key == place);
    let mut set = |field, name: String, value: &str| {
        let key = name.parse().map_err(|_| Invalid::Value { field, value: name, accepted: "a name without blanks" })?;
        entries.insert(Key::Meta(key), value.as_bytes().into());
        Ok::<_, SetError>(())
    };
    set("Address", meta::ADDRESSES.into(), &data.address)?;
    for (key, value) in &data.pairs {
        word("NodeMeta key", key, limits::PAIR_KEY_BYTES - meta::PAIR.len())?;
        line("NodeMeta value", value, limits::PAIR_VALUE_BYTES)?;
        set("NodeMeta", format!("{}{key}", meta::PAIR), value)?;
    }
    for (key, value) in &data.tagged_addresses {
        word("TaggedAddresses", key, limits::PAIR_KEY_BYTES - meta::TAGGED_ADDRESS.len())?;
        address("TaggedAddresses", value)?;
        set("TaggedAddresses", format!("{}{key}", meta::TAGGED_ADDRESS), value)?;
    }
    if !data.consul_id.is_empty() {
        line("ID", &data.consul_id, limits::PAIR_KEY_BYTES)?;
        set("ID", meta::CONSUL_ID.into(), &data.consul_id)?;
    }
    Ok(())
}

fn remove_instance(entries: &mut BTreeMap<Key, Value>, id: &Id) {
    entries.remove(&Key::Instance(id.clone()));
    entries.remove(&Key::Tags(id.clone()));
    entries.retain(|key, value| match key {
        Key::Check(check) => {
            crate::wire::service::decode_check(check.clone(), value).is_ok_and(|check| check.instance.as_ref() != Some(id))
        }
        _ => true,
    });
}

fn record(
    old: Option<&Record>,
    name: &Name,
    writer: NodeId,
    now: u64,
    phase: Phase,
    mut entries: BTreeMap<Key, Value>,
) -> Result<Record, SetError> {
    entries.insert(Key::meta(meta::EXTERNAL), writer.to_string().into_bytes().into());
    let version = version_of(writer);
    let generation = Generation(now.max(old.map_or(0, |old| old.stamp.generation.0.saturating_add(1))));
    let bytes = entries.iter().map(|(key, value)| key.weight(Some(value))).sum();
    let origin = Origin::Node(NodeId::external(name));
    let stamp = Stamp { generation, version };
    let entries = entries.into_iter().map(|(key, value)| (key, Entry { version, value: Some(value) }));
    let too_large = || SetError::TooLarge { id: id_of(name), bytes, most: limits::RECORD_BYTES };
    Record::from_parts(origin, name.clone(), stamp, version, phase, entries).ok_or_else(too_large)
}

/// Of several versions of one time that of the largest counts.
fn version_of(writer: NodeId) -> Version {
    let [a, b, c, d, e, f, g, h, ..] = *writer.as_bytes();
    Version(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

/// The name as errors show it.
fn id_of(name: &Name) -> Id {
    name.as_str().parse().expect("a name is shorter than an id and has no control characters")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Invalid;

    fn name() -> Name {
        "Db-1".parse().unwrap()
    }

    fn node(address: &str) -> Change {
        Change::Node(NodeData {
            address: address.into(),
            pairs: [("rack".to_owned(), "r2".to_owned())].into(),
            ..NodeData::default()
        })
    }

    fn instance(id: &str) -> Change {
        Change::Instance(Box::new(Instance::new(id.parse().unwrap(), "db".parse().unwrap())))
    }

    fn check(id: &str, instance: &str) -> Change {
        Change::Check(Box::new(CheckView::new(id.parse().unwrap(), "ping", Some(instance.parse().unwrap()))))
    }

    fn write(old: Option<&Record>, writer: u8, now: u64, changes: &[Change]) -> Option<Record> {
        next(old, &name(), NodeId::from_bytes([writer; 16]), now, changes).unwrap()
    }

    #[test]
    fn writes_add_up_and_the_same_again_changes_nothing() {
        let changes = [node("10.0.0.9"), instance("a"), instance("b"), check("c", "a")];
        let one = write(None, 1, 100, &changes).unwrap();
        assert!(one.is_external() && !one.has_left());
        assert_eq!(node_data(&one).pairs["rack"], "r2");
        assert_eq!((one.instances().count(), one.checks().count()), (2, 1));
        assert_eq!(write(Some(&one), 2, 200, &changes), None);
        let two = write(Some(&one), 2, 50, &[Change::RemoveInstance("a".parse().unwrap())]).unwrap();
        assert!(two.stamp > one.stamp, "whatever the clock says");
        assert_eq!((two.instances().count(), two.checks().count()), (1, 0), "an instance takes its checks along");
    }

    #[test]
    fn a_removed_node_is_remembered_for_a_day_and_can_come_back() {
        let one = write(None, 1, 5_000_000, &[node("10.0.0.9"), instance("a")]).unwrap();
        let gone = write(Some(&one), 1, 6_000_000, &[Change::Remove]).unwrap();
        assert!(gone.is_external() && gone.has_left() && gone.stamp > one.stamp);
        assert_eq!(gone.instances().count(), 0);
        assert!(!is_forgotten(&gone, 6 + 86_400) && is_forgotten(&gone, 7 + 86_400) && !is_forgotten(&one, u64::MAX));
        assert_eq!(write(Some(&gone), 1, 7_000_000, &[Change::Remove]), None);
        let back = write(Some(&gone), 1, 7_000_000, &[node("10.0.0.9")]).unwrap();
        assert!(!back.has_left() && back.instances().count() == 0);
    }

    #[test]
    fn where_a_node_is_stays_until_it_goes() {
        let mut place = Coordinate { vec: [1e-40; 8], height: 1e-5, adjustment: -0.1, error: 1.5 };
        place.vec[3] = -3600.0;
        let told = Change::Coordinate(place);
        assert_eq!(write(None, 1, 100, std::slice::from_ref(&told)), None, "of a node that is not there");
        let one = write(None, 1, 100, &[node("10.0.0.9"), told.clone()]).unwrap();
        assert_eq!(coordinate(&one), Some(place));
        assert_eq!(write(Some(&one), 1, 200, &[told]), None, "the same again");
        let two = write(Some(&one), 1, 200, &[node("10.0.0.10")]).unwrap();
        assert_eq!((coordinate(&two), node_data(&two).address.as_str()), (Some(place), "10.0.0.10"));
        let gone = write(Some(&two), 1, 300, &[Change::Remove]).unwrap();
        let back = write(Some(&gone), 1, 400, &[node("10.0.0.9")]).unwrap();
        assert_eq!((coordinate(&gone), coordinate(&back)), (None, None));
        let said = |text: &str| {
            let entry = Entry { version: two.stamp.version, value: Some(text.as_bytes().into()) };
            let mut record = two.clone();
            record.entries.insert(Key::meta(meta::COORDINATE), entry);
            coordinate(&record)
        };
        assert!(said("0,0,0,0,0,0,0,0,0,0,0").is_some());
        for bad in ["", "0,0,0,0,0,0,0,0,0,0", "0,0,0,0,0,0,0,0,0,0,0,0", "x,0,0,0,0,0,0,0,0,0,0", "NaN,0,0,0,0,0,0,0,0,0,0"] {
            assert_eq!(said(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_version_from_more_than_a_day_ahead_is_not_believed() {
        let at = |micros| write(None, 1, micros, &[node("10.0.0.9")]).unwrap();
        assert!(!is_from_the_future(&at(86_500_999_999), 100) && is_from_the_future(&at(86_501_000_000), 100));
        assert!(is_from_the_future(&at(u64::MAX), 100) && !is_from_the_future(&at(u64::MAX), u64::MAX));
    }

    #[test]
    fn of_two_writes_at_one_time_all_agents_take_the_same() {
        let write = |writer| write(None, writer, 100, &[node("10.0.0.9")]).unwrap();
        assert!(write(2).stamp > write(1).stamp);
    }

    #[test]
    fn a_record_of_another_name_is_not_of_this_node() {
        let mut record = write(None, 1, 100, &[node("10.0.0.9")]).unwrap();
        record.name = "other".parse().unwrap();
        assert!(!record.is_external());
        record.name = "dB-1".parse().unwrap();
        assert!(record.is_external(), "names are told apart as Consul's are");
    }

    #[test]
    fn bad_values_are_refused_by_their_field() {
        let field = |data: NodeData| {
            let refused = next(None, &name(), NodeId::from_bytes([1; 16]), 1, &[Change::Node(data)]).unwrap_err();
            match refused {
                SetError::Invalid(
                    Invalid::Value { field, .. } | Invalid::TooLong { field, .. } | Invalid::TooMany { field, .. },
                ) => field,
                SetError::TooLarge { .. } => "size",
            }
        };
        let pairs = |key: String, value: &str| NodeData { pairs: [(key, value.into())].into(), ..NodeData::default() };
        assert_eq!(field(NodeData { address: "0.0.0.0".into(), ..NodeData::default() }), "Address");
        assert_eq!(field(pairs("a b".into(), "")), "NodeMeta key");
        assert_eq!(field(pairs("a".into(), "\n")), "NodeMeta value");
        assert_eq!(field(pairs("x".repeat(limits::PAIR_KEY_BYTES), "")), "NodeMeta key");
        let many = (0..=limits::PAIRS).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(field(NodeData { pairs: many, ..NodeData::default() }), "NodeMeta");
        let tagged = [("lan".to_owned(), "::".to_owned())].into();
        assert_eq!(field(NodeData { tagged_addresses: tagged, ..NodeData::default() }), "TaggedAddresses");
    }

    #[test]
    fn a_node_written_again_is_all_that_it_says_now_and_keeps_its_services() {
        let one = write(None, 1, 100, &[node("10.0.0.9"), instance("a"), check("c", "a"), check("d", "a")]).unwrap();
        let bare = Change::Node(NodeData { address: "10.0.0.8".into(), ..NodeData::default() });
        let two = write(Some(&one), 2, 200, &[bare, Change::RemoveCheck("c".parse().unwrap())]).unwrap();
        let want = NodeData { address: "10.0.0.8".into(), ..NodeData::default() };
        assert_eq!((node_data(&two), two.instances().count(), two.checks().count()), (want, 1, 1));
        let by = |record: &Record| [1, 2].map(|writer| is_by(record, NodeId::from_bytes([writer; 16])));
        assert_eq!((by(&one), by(&two)), ([true, false], [false, true]));
    }

    #[test]
    fn bounds_and_what_is_judged() {
        let node = |data: NodeData| next(None, &name(), NodeId::from_bytes([1; 16]), 1, &[Change::Node(data)]).is_ok();
        let data = || NodeData { address: "10.0.0.9".into(), ..NodeData::default() };
        let pairs = |n: usize| (0..n).map(|n| (n.to_string(), String::new())).collect();
        let tagged = |n: usize| (0..n).map(|n| (format!("lan{n}"), "10.0.0.9".into())).collect();
        let named = |len: usize| [("x".repeat(len), "10.0.0.9".to_owned())].into();
        let longest = limits::PAIR_KEY_BYTES - meta::TAGGED_ADDRESS.len();
        for (n, want) in [(0, true), (1, false)] {
            assert_eq!(node(NodeData { pairs: pairs(limits::PAIRS + n), ..data() }), want);
            assert_eq!(node(NodeData { tagged_addresses: tagged(limits::TAGGED_ADDRESSES + n), ..data() }), want);
            assert_eq!(node(NodeData { tagged_addresses: named(longest + n), ..data() }), want);
            assert_eq!(node(NodeData { consul_id: "x".repeat(limits::PAIR_KEY_BYTES + n), ..data() }), want);
        }
        assert!(!node(NodeData { consul_id: "a\nb".into(), ..data() }));
        let refused = |change| next(None, &name(), NodeId::from_bytes([1; 16]), 1, &[change]).is_err();
        let (mut bad, mut said) = (instance("a"), check("c", "a"));
        if let (Change::Instance(bad), Change::Check(said)) = (&mut bad, &mut said) {
            bad.address = "0.0.0.0".into();
            said.name = "a\0b".into();
        }
        assert!(refused(bad) && refused(said));
    }
}
