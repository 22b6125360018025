//! Laws of the decoder: nothing panics, the spelling of a key means nothing, and what comes out has passed its validator.

use proptest::{collection, prelude::*, sample};
use serde_json::{Map, Value};

use super::*;

/// Every field there is, so that arbitrary objects hit them.
const KEYS: &[&str] = &[
    "Name",
    "ID",
    "Service",
    "Tags",
    "Address",
    "Port",
    "Meta",
    "Weights",
    "Passing",
    "Warning",
    "EnableTagOverride",
    "Kind",
    "Proxy",
    "Connect",
    "SidecarService",
    "TaggedAddresses",
    "Check",
    "Checks",
    "CheckID",
    "ServiceID",
    "Notes",
    "Status",
    "Args",
    "ScriptArgs",
    "Script",
    "DockerContainerID",
    "HTTP",
    "Header",
    "Method",
    "TCP",
    "TCPUseTLS",
    "UDP",
    "GRPC",
    "H2PING",
    "TTL",
    "Interval",
    "Timeout",
    "AliasService",
    "OSService",
    "PID",
    "Hold",
    "OutputMaxSize",
    "FailuresBeforeCritical",
    "DeregisterCriticalServiceAfter",
    "Node",
    "NodeMeta",
    "Definition",
    "IntervalDuration",
    "Datacenter",
    "Config",
];

const CONTEXT: Context = Context { short: ShortIntervals::Allow, peer_pid: Some(7) };

/// Whose keys are kept as they are.
const FREE: &[&str] = &["Meta", "Header", "TaggedAddresses", "NodeMeta", "Config"];

fn leaf() -> impl Strategy<Value = Value> {
    const WORDS: &[&str] = &["", "a", "web", "10s", "1m", "0.0.0.0", "a:1", "http://a", "passing", "self", "::", "a\n"];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..70_000_u64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        sample::select(WORDS).prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let key = || prop_oneof![8 => sample::select(KEYS).prop_map(str::to_owned), 1 => ".{0,4}"];
    leaf().prop_recursive(4, 64, 12, move |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            collection::vec((key(), inner), 0..12).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// A body that is accepted, more often than not.
fn likely_body() -> impl Strategy<Value = Value> {
    let check = prop_oneof![
        Just(serde_json::json!({"TTL": "10s"})),
        Just(serde_json::json!({"HTTP": "http://a", "Interval": "1s", "Header": {"x_Y": ["a"]}, "TLSSkipVerify": true})),
        Just(serde_json::json!({"ScriptArgs": ["a"], "Interval": "1s", "FailuresBeforeCritical": 3})),
        Just(serde_json::json!({"H2PING": "a:1", "H2PingUseTLS": false, "Interval": 1_000_000_000})),
        Just(serde_json::json!({"AliasService": "a", "DeregisterCriticalServiceAfter": "2m", "CheckID": "c"})),
    ];
    (collection::vec(check, 0..4), any::<bool>(), 0..70_000_u32).prop_map(|(checks, single, port)| {
        serde_json::json!({"Name": "web", "ID": "w", "Port": port, "Checks": checks, "Meta": {"a_B": "c"},
            "Check": if single { serde_json::json!({"TTL": "1s", "Status": "passing"}) } else { Value::Null },
            "TaggedAddresses": {"lan_4": {"Address": "10.0.0.1", "Port": 1}}, "EnableTagOverride": true,
            "Proxy": {"LocalServicePort": 1, "Config": {"a_B": 1}}, "Connect": {"SidecarService": {"Port": 1}}})
    })
}

/// The same with other spellings of its keys; `how` says which, letter by letter.
fn respelled(value: &Value, how: &mut impl FnMut() -> u8) -> Value {
    match value {
        Value::Object(map) => {
            let mut spelled = Map::new();
            for (key, value) in map {
                let mut name = String::new();
                for c in key.chars() {
                    match how() % 4 {
                        0 => name.push(c.to_ascii_uppercase()),
                        1 => name.push(c.to_ascii_lowercase()),
                        2 => name.extend(['_', c]),
                        _ => name.push(c),
                    }
                }
                let inner = match FREE.contains(&key.as_str()) {
                    true => value.clone(),
                    false => respelled(value, how),
                };
                spelled.insert(name, inner);
            }
            Value::Object(spelled)
        }
        Value::Array(list) => list.iter().map(|value| respelled(value, how)).collect(),
        other => other.clone(),
    }
}

fn check_decoded(value: &Value) {
    if let Ok(made) = registration(value, &CONTEXT) {
        assert_eq!(made.instance.validate(), Ok(()));
        assert!(made.checks.len() <= CHECKS && made.checks.iter().all(|check| check.instance == Some(made.instance.id.clone())));
        if let Some(sidecar) = sidecar(value, &made) {
            assert_eq!(sidecar.instance.validate(), Ok(()));
        }
    }
    let _ = check(value, &CONTEXT);
    let _ = catalog_deregister(value);
    if let Ok(made) = catalog_register(value) {
        assert!(made.service.is_none_or(|service| service.validate().is_ok()));
        assert!(made.checks.iter().all(|check| check.view.validate().is_ok()));
    }
}

proptest! {
    #[test]
    fn nothing_panics(value in any_json()) {
        check_decoded(&value);
    }

    #[test]
    fn no_bytes_panic(bytes in collection::vec(any::<u8>(), 0..64)) {
        if let Ok(value) = parse(&bytes) {
            check_decoded(&value);
        }
    }

    #[test]
    fn the_spelling_of_keys_means_nothing(value in prop_oneof![likely_body(), any_json()], spelling: Vec<u8>) {
        let mut letters = spelling.iter().copied().cycle();
        let spelled = respelled(&value, &mut || letters.next().unwrap_or(1));
        let without_text = |made: Result<Registration, DefinitionError>| made.map_err(|_| ());
        prop_assume!(!has_clashes(&value));
        prop_assert_eq!(without_text(registration(&spelled, &CONTEXT)), without_text(registration(&value, &CONTEXT)));
        prop_assert_eq!(check(&spelled, &CONTEXT).ok(), check(&value, &CONTEXT).ok());
        prop_assert_eq!(catalog_register(&spelled).ok(), catalog_register(&value).ok());
    }

    #[test]
    fn likely_bodies_are_accepted(value in likely_body()) {
        let port = value["Port"].as_u64().unwrap();
        let made = registration(&value, &CONTEXT);
        prop_assert_eq!(made.is_ok(), port <= 65_535);
        if let Ok(made) = made {
            prop_assert!(sidecar(&value, &made).is_some());
        }
    }
}

/// Whether an object has one key twice, so that the order of spellings counts, or keys that are handed on as they are.
fn has_clashes(value: &Value) -> bool {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().map(|key| key.replace('_', "").to_ascii_lowercase()).collect();
            keys.sort();
            let count = keys.len();
            keys.dedup();
            keys.len() != count
                || map.iter().any(|(key, value)| matches!(&**key, "Proxy" | "Connect") && has_own(value))
                || map.values().any(has_clashes)
        }
        Value::Array(list) => list.iter().any(has_clashes),
        _ => false,
    }
}

/// Whether a key below a proxy is not one that is printed in Consul's spelling.
fn has_own(value: &Value) -> bool {
    const PRINTED: &[&str] = &["LocalServicePort", "Config", "SidecarService", "Checks"];
    match value {
        Value::Object(map) => {
            map.iter().any(|(key, value)| !PRINTED.contains(&key.as_str()) || (key != "Config" && has_own(value)))
        }
        Value::Array(list) => list.iter().any(has_own),
        _ => false,
    }
}
