//! The fields of a check: of which kind it is, its rhythm and thresholds, its id and name.
//!
//! Every kind whose field is given is handed to `check::spec`, which refuses none and several. A kind's own texts are
//! validated there too. Not here: checks of the catalog (`catalog`), which are told and not carried out.

use serde_json::Value;

use super::{
    Context, DefinitionError,
    fields::{Fields, refused, texts},
};
use crate::{
    check::{
        Status,
        kind::{Http, Kind, Tls},
        spec::{Draft, OUTPUT_BYTES, Spec},
    },
    instance::{Id, Instance, line, lines},
    limits::{self, beginning},
    port::registry::NewCheck,
};

/// Longest notes in bytes: as long as an output.
const NOTES_BYTES: usize = OUTPUT_BYTES as usize;

/// A check that names itself.
pub(super) fn alone(fields: &Fields<'_>, context: &Context) -> Result<NewCheck, DefinitionError> {
    let missing = || DefinitionError::Missing { what: "check name", field: fields.path("Name") };
    let name = name(fields)?.ok_or_else(missing)?;
    let id = match own_id(fields)? {
        Some(id) => id,
        None => made_id(fields, &name)?,
    };
    finish(fields, "", (id, name, fields.parsed("ServiceID")?), context)
}

/// Check `nth` of all the `total` checks that an instance brings along.
pub(super) fn of_service(
    fields: &Fields<'_>,
    at: &str,
    instance: &Instance,
    (nth, total): (usize, usize),
    context: &Context,
) -> Result<NewCheck, DefinitionError> {
    let id = match own_id(fields)? {
        Some(id) => id,
        None if total == 1 => made_id(fields, &format!("service:{}", instance.id))?,
        None => made_id(fields, &format!("service:{}:{nth}", instance.id))?,
    };
    let name = name(fields)?.unwrap_or_else(|| format!("Service '{}' check", instance.service));
    finish(fields, at, (id, name, Some(instance.id.clone())), context)
}

/// An id that was made of names, which may be too long together.
pub(super) fn made_id(fields: &Fields<'_>, text: &str) -> Result<Id, DefinitionError> {
    let (field, value) = (fields.path("CheckID"), beginning(text).into());
    text.parse().map_err(|error| DefinitionError::Text { field, value, why: format!("{error}") })
}

/// A status word that is given.
pub(super) fn status(fields: &Fields<'_>) -> Result<Option<Status>, DefinitionError> {
    fields.parsed("Status")
}

/// The id that a check gives itself.
pub(super) fn own_id(fields: &Fields<'_>) -> Result<Option<Id>, DefinitionError> {
    match fields.parsed("CheckID")? {
        Some(id) => Ok(Some(id)),
        None => fields.parsed("ID"),
    }
}

fn name(fields: &Fields<'_>) -> Result<Option<String>, DefinitionError> {
    let name = fields.given("Name")?;
    name.as_deref().map_or(Ok(()), |name| line("name", name, limits::CHECK_NAME_BYTES))?;
    Ok(name)
}

fn finish(
    fields: &Fields<'_>,
    at: &str,
    (id, name, instance): (Id, String, Option<Id>),
    context: &Context,
) -> Result<NewCheck, DefinitionError> {
    let notes = fields.text("Notes")?.to_owned();
    lines("notes", &notes, NOTES_BYTES)?;
    let at = if at.is_empty() { String::new() } else { format!("{at}: ") };
    let spec = Spec::try_new(draft(fields, context)?, context.short);
    let spec = spec.map_err(|source| DefinitionError::Spec { at, source })?;
    Ok(NewCheck { id, name, notes, instance, spec })
}

fn draft(fields: &Fields<'_>, context: &Context) -> Result<Draft, DefinitionError> {
    let count = |field| Ok::<u32, DefinitionError>(fields.number(field, u32::MAX.into())?.unwrap_or_default());
    let duration = |field| Ok::<_, DefinitionError>(fields.duration(field)?.unwrap_or_default());
    let mut kinds = network_kinds(fields)?;
    kinds.extend(command_kind(fields)?);
    kinds.extend(other_kinds(fields, context)?);
    Ok(Draft {
        kinds,
        interval: duration("Interval")?,
        timeout: duration("Timeout")?,
        initial: status(fields)?,
        success_before_passing: count("SuccessBeforePassing")?,
        failures_before_warning: count("FailuresBeforeWarning")?,
        failures_before_critical: count("FailuresBeforeCritical")?,
        output_max_size: count("OutputMaxSize")?,
        deregister_after: duration("DeregisterCriticalServiceAfter")?,
    })
}

/// The kinds that ask somebody over the network.
fn network_kinds(fields: &Fields<'_>) -> Result<Vec<Kind>, DefinitionError> {
    let tls = Tls { server_name: fields.given("TLSServerName")?, skip_verify: fields.flag("TLSSkipVerify", false)? };
    let tls_if = |field, default| Ok::<_, DefinitionError>(fields.flag(field, default)?.then(|| tls.clone()));
    let mut kinds = Vec::new();
    if let Some(url) = fields.given("HTTP")? {
        kinds.push(Kind::Http(Http {
            url,
            method: fields.text("Method")?.to_owned(),
            headers: headers(fields)?,
            body: fields.text("Body")?.to_owned(),
            disable_redirects: fields.flag("DisableRedirects", false)?,
            tls: tls.clone(),
        }));
    }
    if let Some(address) = fields.given("TCP")? {
        kinds.push(Kind::Tcp { address, tls: tls_if("TCPUseTLS", false)? });
    }
    if let Some(address) = fields.given("UDP")? {
        kinds.push(Kind::Udp { address });
    }
    if let Some(target) = fields.given("GRPC")? {
        kinds.push(Kind::Grpc { target, tls: tls_if("GRPCUseTLS", false)? });
    }
    if let Some(address) = fields.given("H2PING")? {
        // Consul's default: HTTP/2 without TLS is rare.
        kinds.push(Kind::H2ping { address, tls: tls_if("H2PingUseTLS", true)? });
    }
    Ok(kinds)
}

fn headers(fields: &Fields<'_>) -> Result<Vec<(String, String)>, DefinitionError> {
    let mut headers = Vec::new();
    for (name, value) in fields.free("Header")? {
        let field = fields.entry("Header", name);
        let Value::Array(list) = value else { return Err(refused(field, value, "a list of texts")) };
        headers.extend(texts(list, &field)?.into_iter().map(|value| (name.clone(), value)));
    }
    Ok(headers)
}

/// A command, here or in a container. The old `Script` is a line for the shell.
fn command_kind(fields: &Fields<'_>) -> Result<Option<Kind>, DefinitionError> {
    let mut args = fields.texts("Args")?;
    if args.is_empty() {
        args = fields.texts("ScriptArgs")?;
    }
    let shell = fields.given("Shell")?;
    if let Some(script) = fields.given("Script")?.filter(|_| args.is_empty()) {
        args = vec![shell.clone().unwrap_or_else(|| "/bin/sh".into()), "-c".into(), script];
    }
    Ok(match fields.given("DockerContainerID")? {
        Some(container) => Some(Kind::Docker { container, shell, args }),
        None if args.is_empty() => None,
        None => Some(Kind::Script { args }),
    })
}

fn other_kinds(fields: &Fields<'_>, context: &Context) -> Result<Vec<Kind>, DefinitionError> {
    let mut kinds = Vec::new();
    if let Some(ttl) = fields.duration("TTL")? {
        kinds.push(Kind::Ttl { ttl });
    }
    let (service, node) = (fields.given("AliasService")?, fields.given("AliasNode")?);
    if service.is_some() || node.is_some() {
        kinds.push(Kind::Alias { service, node });
    }
    if let Some(name) = fields.given("OSService")? {
        kinds.push(Kind::OsService { name });
    }
    match fields.value("PID") {
        None => {}
        Some(Value::String(text)) if text == "self" => match context.peer_pid {
            Some(pid) => kinds.push(Kind::Process { pid }),
            None => return Err(DefinitionError::NoPeer { field: fields.path("PID") }),
        },
        Some(value) => match value.as_u64().and_then(|pid| u32::try_from(pid).ok()) {
            Some(pid) => kinds.push(Kind::Process { pid }),
            None => return Err(refused(fields.path("PID"), value, "the number of a process, or \"self\"")),
        },
    }
    if fields.flag("Hold", false)? {
        kinds.push(Kind::Hold);
    }
    Ok(kinds)
}
