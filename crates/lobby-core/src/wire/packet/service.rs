//! Instances and checks as members of a JSON packet, short and readable: what has its default is left out.
//!
//! ```text
//! service   {"id","service"[,"address","port","tags":[…],"meta":{…},"tagged":{NAME:{"address","port"}},
//!            "weights":[passing,warning],"tag_override":true,"kind","drain":true,"proxy","connect"]}
//! check     {"id","name","status"[,"service","kind","interval","timeout","notes","output","definition"]}   (nanoseconds)
//! ```
//! Read back, each is what it was, so that the record's hash is the same. Not here: the labels that show an instance to
//! daemons that know none (`super`), the binary form (`wire::service`).

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    check::view::{CheckKind, CheckView},
    instance::{Instance, TaggedAddress, Weights},
};

#[derive(Serialize, Deserialize)]
pub(super) struct WireService {
    id: String,
    service: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    address: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    port: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    meta: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tagged: BTreeMap<String, WireAddress>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weights: Option<(u64, u64)>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    tag_override: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    drain: bool,
    /// JSON in a text: it must come back byte by byte.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    proxy: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    connect: String,
}

#[derive(Serialize, Deserialize)]
struct WireAddress {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    address: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    port: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireCheck {
    id: String,
    name: String,
    status: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    service: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    interval: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    timeout: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    notes: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    output: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    definition: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<Instance> for WireService {
    fn from(instance: Instance) -> Self {
        let weights = instance.weights;
        let tagged = |tagged: TaggedAddress| WireAddress { address: tagged.address, port: tagged.port.into() };
        Self {
            id: instance.id.to_string(),
            service: instance.service.to_string(),
            address: instance.address,
            port: instance.port.into(),
            tags: instance.tags.to_vec(),
            meta: std::sync::Arc::unwrap_or_clone(instance.meta),
            tagged: instance.tagged_addresses.into_iter().map(|(name, address)| (name, tagged(address))).collect(),
            weights: (weights != Weights::default()).then(|| (weights.passing.into(), weights.warning.into())),
            tag_override: instance.enable_tag_override,
            kind: instance.kind,
            drain: instance.drain,
            proxy: instance.proxy,
            connect: instance.connect,
        }
    }
}

impl WireService {
    /// The instance, if each value keeps its rules.
    pub(super) fn read(self) -> Option<Instance> {
        let mut tagged_addresses = BTreeMap::new();
        for (name, WireAddress { address, port }) in self.tagged {
            tagged_addresses.insert(name, TaggedAddress { address, port: port.try_into().ok()? });
        }
        let weights = match self.weights {
            None => Weights::default(),
            Some((passing, warning)) => Weights { passing: passing.try_into().ok()?, warning: warning.try_into().ok()? },
        };
        let instance = Instance {
            id: self.id.parse().ok()?,
            service: self.service.parse().ok()?,
            tags: self.tags.into(),
            address: self.address,
            port: self.port.try_into().ok()?,
            meta: self.meta.into(),
            tagged_addresses,
            weights,
            enable_tag_override: self.tag_override,
            kind: self.kind,
            drain: self.drain,
            proxy: self.proxy,
            connect: self.connect,
        };
        instance.validate().is_ok().then_some(instance)
    }
}

impl From<CheckView> for WireCheck {
    fn from(check: CheckView) -> Self {
        // Whatever was validated fits.
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self {
            id: check.id.to_string(),
            name: check.name,
            status: check.status.to_string(),
            service: check.instance.map(|id| id.to_string()).unwrap_or_default(),
            kind: check.kind.to_string(),
            interval: nanos(check.interval),
            timeout: nanos(check.timeout),
            notes: check.notes,
            output: check.output,
            definition: check.definition,
        }
    }
}

impl WireCheck {
    /// The check, if each value keeps its rules.
    pub(super) fn read(self) -> Option<CheckView> {
        let instance = match &*self.service {
            "" => None,
            id => Some(id.parse().ok()?),
        };
        let check = CheckView {
            status: self.status.parse().ok()?,
            // A kind that only a newer agent knows is none of ours.
            kind: CheckKind::from_word(&self.kind),
            interval: Duration::from_nanos(self.interval),
            timeout: Duration::from_nanos(self.timeout),
            notes: self.notes,
            output: self.output,
            definition: self.definition,
            ..CheckView::new(self.id.parse().ok()?, self.name, instance)
        };
        check.validate().is_ok().then_some(check)
    }
}
