//! What is told of a service. Decides its three forms: Nerve's compact JSON, an instance of the catalog, and the definition
//! of one for `/v1/hold`.
//!
//! In the catalog, labels are metadata; `haproxy_server_options` is metadata of this name, and the share is the weight of the
//! instance: watchers make the same backend of it that Synapse would make of Nerve's JSON.
//! Not here: when it is told (`watch`).

use std::collections::BTreeMap;

use lobby_core::{
    check::{
        kind::Kind,
        spec::{Draft, ShortIntervals, Spec, SpecError},
    },
    instance::{Id, Instance, Invalid, ParseIdError, Weights},
    port::registry::{NewCheck, Registration},
};
use serde_json::{Map, Value, json};

/// Metadata of an instance with words for HAProxy's server line.
const OPTIONS: &str = "haproxy_server_options";

/// What is told of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payload {
    /// The service in the catalog.
    pub service: String,
    /// Unique on the machine: that of the instance in the catalog.
    pub id: String,
    /// An address (IPv6 without brackets) or a host name.
    pub host: String,
    /// Never 0.
    pub port: u16,
    /// Who tells it: Nerve's `instance_id`.
    pub name: String,
    /// Share of the traffic.
    pub weight: Option<u16>,
    /// Words at the end of HAProxy's server line.
    pub haproxy_server_options: Option<String>,
    /// What filters look at.
    pub labels: Option<BTreeMap<String, String>>,
}

/// The catalog takes no such instance. Nothing was changed; the file has to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The name of the service, or that with the instance id.
    #[error(transparent)]
    Id(#[from] ParseIdError),
    /// A value of it.
    #[error(transparent)]
    Value(#[from] Invalid),
    /// Its check, which cannot be.
    #[error(transparent)]
    Check(#[from] SpecError),
}

impl Payload {
    /// Nerve's JSON, in its order: what its watchers read in ZooKeeper and etcd.
    pub fn json(&self) -> String {
        let text = |text: &str| Value::from(text).to_string();
        let mut json = format!(r#"{{"host":{},"port":{},"name":{}"#, text(&self.host), self.port, text(&self.name));
        if let Some(weight) = self.weight {
            json += &format!(r#","weight":{weight}"#);
        }
        if let Some(options) = &self.haproxy_server_options {
            json += &format!(r#","{OPTIONS}":{}"#, text(options));
        }
        if let Some(labels) = &self.labels {
            json += &format!(r#","labels":{}"#, json!(labels));
        }
        json + "}"
    }

    /// Labels and options. A label's name keeps only what the catalog takes in one; the rest becomes `_`.
    fn meta(&self) -> BTreeMap<String, String> {
        let labels = self.labels.iter().flatten().map(|(name, value)| (meta_key(name), value.clone()));
        let options = self.haproxy_server_options.iter().filter(|text| !text.is_empty());
        labels.chain(options.map(|text| (OPTIONS.to_owned(), text.clone()))).collect()
    }

    /// The instance of the catalog.
    pub fn instance(&self) -> Result<Instance, PayloadError> {
        let mut instance = Instance::new(self.id.parse()?, self.service.parse()?);
        instance.address = self.host.clone();
        instance.port = self.port;
        instance.meta = self.meta().into();
        if let Some(weight) = self.weight {
            instance.weights = Weights { passing: weight, warning: weight };
        }
        instance.validate()?;
        Ok(instance)
    }

    /// The instance with the check that says that somebody holds it.
    pub fn registration(&self) -> Result<Registration, PayloadError> {
        let instance = self.instance()?;
        let spec = Spec::try_new(Draft { kinds: vec![Kind::Hold], ..Draft::default() }, ShortIntervals::Allow)?;
        let check = NewCheck {
            id: format!("hold:{}", self.id).parse::<Id>()?,
            name: format!("Service '{}' reported by Nerve", self.service),
            notes: String::new(),
            instance: Some(instance.id.clone()),
            spec,
        };
        Ok(Registration { instance, checks: vec![check], replace_checks: true })
    }

    /// What `POST /v1/hold` takes for the same.
    pub fn definition(&self) -> Value {
        let mut definition = Map::new();
        definition.insert("Name".into(), self.service.clone().into());
        definition.insert("ID".into(), self.id.clone().into());
        definition.insert("Address".into(), self.host.clone().into());
        definition.insert("Port".into(), self.port.into());
        definition.insert("Meta".into(), json!(self.meta()));
        if let Some(weight) = self.weight {
            definition.insert("Weights".into(), json!({ "Passing": weight, "Warning": weight }));
        }
        definition.into()
    }
}

/// A label's name as metadata takes it.
pub(super) fn meta_key(label: &str) -> String {
    label.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use lobby_core::wire::definition::{self, Context};

    use super::*;

    fn full() -> Payload {
        Payload {
            service: "web".into(),
            id: "web_i-1".into(),
            host: "10.0.0.1".into(),
            port: 80,
            name: "i-\"1".into(),
            weight: Some(0),
            haproxy_server_options: Some("backup".into()),
            labels: Some([("az".into(), "b".into()), ("a.b".into(), "c".into())].into()),
        }
    }

    #[test]
    fn the_json_is_that_of_nerve() {
        let small = Payload { host: "h".into(), port: 1, name: "n".into(), ..Payload::default() };
        assert_eq!(small.json(), r#"{"host":"h","port":1,"name":"n"}"#);
        let want = concat!(
            r#"{"host":"10.0.0.1","port":80,"name":"i-\"1","weight":0,"haproxy_server_options":"backup","#,
            r#""labels":{"a.b":"c","az":"b"}}"#
        );
        assert_eq!(full().json(), want);
    }

    #[test]
    fn both_ways_into_the_catalog_make_the_same_instance() {
        for payload in [full(), Payload { weight: None, labels: None, haproxy_server_options: None, ..full() }] {
            let registration = payload.registration().unwrap();
            let context = Context { short: ShortIntervals::Allow, peer_pid: None };
            let read = definition::registration(&payload.definition(), &context).unwrap();
            assert_eq!(read.instance, registration.instance);
            assert_eq!(*registration.checks[0].spec.kind(), Kind::Hold);
        }
        let instance = full().instance().unwrap();
        assert_eq!(instance.meta["haproxy_server_options"], "backup");
        assert_eq!((instance.meta["a_b"].as_str(), instance.weights.passing), ("c", 0));
    }
}
