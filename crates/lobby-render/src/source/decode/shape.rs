//! Consul's JSON objects as they are read. Decides what is tolerated: unknown fields are passed over, missing ones and `null`
//! take their default; a value of another type is an error that names the field.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// Most objects in one body, which bounds what reading it allocates: 64 MiB of real entries have half as many.
const MAX_OBJECTS: usize = 1 << 20;

/// Most commas in one body, likewise: of real entries there is one in ten bytes or more.
const MAX_COMMAS: usize = 1 << 23;

/// Refuses a body that is small as text and large in memory. Counts signs in texts too, of which there are few.
pub(super) fn check_size(body: &[u8]) -> Result<(), String> {
    for (sign, most) in [(b'{', MAX_OBJECTS), (b',', MAX_COMMAS)] {
        if body.iter().filter(|byte| **byte == sign).count() > most {
            return Err(format!("more than {most} times {:?} in one answer", char::from(sign)));
        }
    }
    Ok(())
}

/// Structs whose fields are read by their JSON names, Consul's or lobbyd's.
macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty = $key:literal $(| $other:literal)?),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(super) struct $name {
            $(pub(super) $field: $type,)+
        }

        impl Shape for $name {
            const KEYS: &'static [&'static str] = &[$($key $(, $other)?),+];

            fn read<'de, M: MapAccess<'de>>(&mut self, key: &'static str, map: &mut M) -> Result<(), M::Error> {
                match key {
                    $($key $(| $other)? => self.$field = value(key, map)?,)+
                    _ => drop(map.next_value::<IgnoredAny>()?),
                }
                Ok(())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_map(Reader(PhantomData))
            }
        }
    )+};
}

/// What [`shapes`] makes.
trait Shape: Default {
    const KEYS: &'static [&'static str];

    /// Reads the value of one of the keys, or passes over that of another one.
    fn read<'de, M: MapAccess<'de>>(&mut self, key: &'static str, map: &mut M) -> Result<(), M::Error>;
}

struct Reader<S>(PhantomData<S>);

impl<'de, S: Shape> Visitor<'de> for Reader<S> {
    type Value = S;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<S, M::Error> {
        let mut shape = S::default();
        while let Some(key) = map.next_key_seed(Known(S::KEYS))? {
            shape.read(key, &mut map)?;
        }
        Ok(shape)
    }
}

/// One of these keys; any other is the empty text. Copies none.
struct Known(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Known {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static str, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Known {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<&'static str, E> {
        Ok(self.0.iter().find(|key| **key == text).copied().unwrap_or_default())
    }
}

/// A value, or its default for `null`; errors name the key.
fn value<'de, T: serde::Deserialize<'de> + Default, M: MapAccess<'de>>(key: &str, map: &mut M) -> Result<T, M::Error> {
    match map.next_value::<Option<T>>() {
        Ok(value) => Ok(value.unwrap_or_default()),
        Err(err) => Err(M::Error::custom(format_args!("{key}: {err}"))),
    }
}

/// A map of texts.
pub(super) type Texts = BTreeMap<String, String>;

shapes! {
    /// Of `/v1/catalog/nodes`.
    Node {
        id: String = "ID",
        node: String = "Node",
        address: String = "Address",
        datacenter: String = "Datacenter",
        tagged_addresses: Texts = "TaggedAddresses",
        meta: Texts = "Meta",
    }

    /// Of a health entry.
    Service {
        id: String = "ID",
        service: String = "Service",
        tags: Vec<String> = "Tags",
        address: String = "Address",
        tagged_addresses: BTreeMap<String, Place> = "TaggedAddresses",
        meta: Texts = "Meta",
        port: u16 = "Port",
        weights: Option<Weights> = "Weights",
        enable_tag_override: bool = "EnableTagOverride",
    }

    /// Where an instance is reached for a purpose.
    Place {
        address: String = "Address",
        port: u16 = "Port",
    }

    /// Shares of an instance.
    Weights {
        passing: u16 = "Passing" | "passing",
        warning: u16 = "Warning" | "warning",
    }

    /// Of a health entry.
    Check {
        node: String = "Node",
        check_id: String = "CheckID",
        name: String = "Name",
        status: String = "Status",
        notes: String = "Notes",
        output: String = "Output",
        service_id: String = "ServiceID",
        service_name: String = "ServiceName",
        service_tags: Vec<String> = "ServiceTags",
        kind: String = "Type",
    }

    /// Of `/v1/health/service`.
    Entry {
        node: Node = "Node",
        service: Service = "Service",
        checks: Vec<Check> = "Checks",
    }

    /// Of `/v1/catalog/node`.
    NodeServices {
        node: Option<Node> = "Node",
        services: BTreeMap<String, Service> = "Services",
    }

    /// Of `/v1/kv`.
    Pair {
        key: String = "Key",
        value: String = "Value",
        create_index: u64 = "CreateIndex",
        modify_index: u64 = "ModifyIndex",
        lock_index: u64 = "LockIndex",
        flags: u64 = "Flags",
        session: String = "Session",
    }

    /// Of `/v1/agent/self`.
    Agent {
        config: Config = "Config",
    }

    /// Who an agent is.
    Config {
        node_name: String = "NodeName",
    }

    /// Of lobbyd's `/v1/nodes`.
    LobbyNode {
        id: String = "id",
        name: String = "name",
        state: String = "state",
        addresses: Vec<String> = "addresses",
        labels: Vec<String> = "labels",
    }

    /// Of lobbyd's `/v1/services`.
    LobbyService {
        name: String = "name",
    }

    /// Of lobbyd's `/v1/services/NAME`.
    LobbyInstance {
        id: String = "id",
        service: String = "service",
        node: String = "node",
        node_id: String = "node_id",
        address: String = "address",
        port: u16 = "port",
        tags: Vec<String> = "tags",
        meta: Texts = "meta",
        weights: Weights = "weights",
        status: String = "status",
        maintenance: bool = "maintenance",
        drain: bool = "drain",
        checks: Vec<LobbyCheck> = "checks",
    }

    /// Of such an instance.
    LobbyCheck {
        id: String = "id",
        name: String = "name",
        of: String = "of",
        kind: String = "kind",
        status: String = "status",
        notes: String = "notes",
        output: String = "output",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_would_grow_in_memory_is_refused() {
        for (sign, most) in [("{", MAX_OBJECTS), (",", MAX_COMMAS)] {
            assert_eq!(check_size(sign.repeat(most).as_bytes()), Ok(()));
            assert!(check_size(sign.repeat(most + 1).as_bytes()).is_err());
        }
    }

    #[test]
    fn unknown_missing_and_null_fields_are_tolerated() {
        let check: Check = serde_json::from_str(r#"{"Notes":null,"Other":{"Name":1},"N\u0061me":"x"}"#).unwrap();
        assert_eq!((check.notes.as_str(), check.name.as_str(), check.service_tags.len()), ("", "x", 0));
    }

    #[test]
    fn another_type_is_an_error_that_names_the_field() {
        for (text, want) in [
            (r#"{"Service":{"Port":"80"}}"#, "Service: Port: invalid type: string \"80\", expected u16"),
            (r#"{"Service":{"Port":65536}}"#, "Service: Port: invalid value: integer `65536`, expected u16"),
            (r#"{"Node":[]}"#, "Node: invalid type: sequence, expected an object"),
            (r#"{"Checks":[{"Output":7}]}"#, "Checks: Output: invalid type: integer `7`, expected a string"),
            (r#"{"Service":{"Tags":[1]}}"#, "Service: Tags: invalid type: integer `1`, expected a string"),
        ] {
            let err = serde_json::from_str::<Entry>(text).unwrap_err().to_string();
            assert!(err.starts_with(want), "{err}");
        }
    }
}
