//! How somebody else carries out a check of a node without an agent: what is said of it is kept and given back.
//!
//! In Consul's spelling, durations as texts, without what is not known or empty. Nothing of it is carried out here.
//! Not here: the check itself (`catalog`), how much of it there may be (`check::view`).

use serde_json::{Map, Value};

use super::{
    DefinitionError,
    fields::{Fields, refused, texts},
};
use crate::duration;

const TEXTS: &[&str] = &[
    "HTTP",
    "TLSServerName",
    "Method",
    "Body",
    "TCP",
    "UDP",
    "GRPC",
    "H2PING",
    "OSService",
    "AliasNode",
    "AliasService",
    "DockerContainerID",
    "Shell",
];

const FLAGS: &[&str] = &["TLSSkipVerify", "DisableRedirects", "TCPUseTLS", "GRPCUseTLS", "H2PingUseTLS"];

/// Each may also be given with `Duration` behind its name, which then counts.
const DURATIONS: &[&str] = &["Interval", "Timeout", "DeregisterCriticalServiceAfter", "TTL"];

/// The text of the definition; empty when it says nothing.
pub(super) fn definition(fields: &Fields<'_>) -> Result<String, DefinitionError> {
    let mut told = Map::new();
    for field in TEXTS {
        let text = fields.given(field)?;
        told.extend(text.map(|text| ((*field).to_owned(), text.into())));
    }
    for field in FLAGS {
        // One that is switched off by hand may be on where nothing is said.
        let flag = fields.value(field).map(|_| fields.flag(field, false)).transpose()?;
        told.extend(flag.map(|flag| ((*field).to_owned(), flag.into())));
    }
    for field in DURATIONS {
        let suffixed = fields.duration(&format!("{field}Duration"))?;
        let given = fields.duration(field)?;
        told.extend(suffixed.or(given).map(|given| ((*field).to_owned(), duration::text(given).into())));
    }
    let args = fields.texts("ScriptArgs")?;
    if !args.is_empty() {
        told.insert("ScriptArgs".into(), args.into());
    }
    let mut header = Map::new();
    for (name, value) in fields.free("Header")? {
        let field = fields.entry("Header", name);
        let Value::Array(list) = value else { return Err(refused(field, value, "a list of texts")) };
        header.insert(name.clone(), texts(list, &field)?.into());
    }
    if !header.is_empty() {
        told.insert("Header".into(), header.into());
    }
    Ok(if told.is_empty() { String::new() } else { Value::Object(told).to_string() })
}
