//! Registrations as bytes: the entries of the journal.
//!
//! ```text
//! i INSTANCE-ID  an instance, who registered it, and its checks
//! c CHECK-ID     a check of the node, or of an instance that is not in the journal itself (of a connection)
//! s CHECK-ID     what the check said last
//! d INSTANCE-ID  it is draining (no id: the whole node)
//! ```
//! An instance and its checks are one entry, so a crash never leaves it without them. Each value begins with its form; of
//! a later form, and of what is damaged, nothing is taken. Numbers are LEB128, texts have their length before them.
//! Not here: the file (`journal`), what becomes of what is read (`restore`).

use std::{sync::Arc, time::Duration};

use bytes::{BufMut, Bytes};
use lobby_core::{
    check::{
        Status,
        kind::{Http, Kind, Tls},
        spec::{Draft, ShortIntervals, Spec},
        state::Saved,
    },
    instance::{Id, Instance},
    limits,
    port::registry::{NewCheck, Source},
    wire::{
        binary::{DecodeError, Reader, put_bytes, put_varint},
        service::{decode_instance, encode_instance},
    },
};

use super::{journal::VALUE_BYTES, process::Process};

/// The form that is written.
const FORM: u8 = 1;

/// Most checks of one entry: more than a record has room for beside its instance.
const CHECKS: usize = limits::ENTRIES;

/// A check as it was registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) id: Id,
    pub(crate) name: Arc<str>,
    pub(crate) notes: Arc<str>,
    pub(crate) instance: Option<Id>,
    pub(crate) spec: Arc<Spec>,
    /// Of a check on a process: which one it was.
    pub(crate) process: Option<Process>,
    pub(crate) source: Source,
}

impl Definition {
    pub(crate) fn new(check: NewCheck, source: Source) -> Self {
        Self {
            id: check.id,
            name: check.name.into(),
            notes: check.notes.into(),
            instance: check.instance,
            spec: Arc::new(check.spec),
            process: None,
            source,
        }
    }
}

/// The key of an entry.
pub(crate) fn key(kind: u8, id: &str) -> Bytes {
    let mut key = Vec::with_capacity(1 + id.len());
    key.put_u8(kind);
    key.put_slice(id.as_bytes());
    key.into()
}

/// An instance and its checks. Whether it drains is an entry of its own.
pub(crate) fn encode_registration<'a>(
    instance: &Instance,
    source: &Source,
    checks: impl ExactSizeIterator<Item = &'a Definition>,
) -> Bytes {
    let mut out = vec![FORM];
    put_source(&mut out, source);
    let mut value = Vec::new();
    match instance.drain {
        true => encode_instance(&Instance { drain: false, ..instance.clone() }, &mut value),
        false => encode_instance(instance, &mut value),
    }
    put_bytes(&mut out, &value);
    put_varint(&mut out, checks.len() as u64);
    checks.for_each(|check| put_definition(&mut out, check));
    out.into()
}

/// The instance of this id, who registered it, and its checks.
pub(crate) fn decode_registration(id: &Id, value: &[u8]) -> Result<(Instance, Source, Vec<Definition>), DecodeError> {
    let mut reader = read_form(value)?;
    let source = read_source(&mut reader)?;
    let instance = decode_instance(id.clone(), reader.bytes(VALUE_BYTES)?)?;
    let count = reader.count(CHECKS)?;
    // Not allocated ahead: what a hostile count promises must be there.
    let checks = (0..count).map(|_| read_definition(&mut reader)).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok((instance, source, checks))
}

/// A check that is an entry of its own.
pub(crate) fn encode_check(check: &Definition) -> Bytes {
    let mut out = vec![FORM];
    put_definition(&mut out, check);
    out.into()
}

/// The same, read.
pub(crate) fn decode_check(value: &[u8]) -> Result<Definition, DecodeError> {
    let mut reader = read_form(value)?;
    let check = read_definition(&mut reader)?;
    reader.finish()?;
    Ok(check)
}

/// What a check said last.
pub(crate) fn encode_state(saved: &Saved) -> Bytes {
    let mut out = vec![FORM, saved.status as u8, saved.held.map_or(0, |held| held as u8 + 1)];
    put_bytes(&mut out, saved.output.as_bytes());
    for duration in [saved.ttl_left, saved.critical_for] {
        put_varint(&mut out, duration.map_or(0, |duration| nanos(duration).saturating_add(1)));
    }
    out.into()
}

/// The same, read.
pub(crate) fn decode_state(value: &[u8]) -> Result<Saved, DecodeError> {
    let mut reader = read_form(value)?;
    let status = read_status(reader.u8()?)?;
    let held = reader.u8()?.checked_sub(1).map(read_status).transpose()?;
    let output = reader.text(VALUE_BYTES)?.into();
    let mut duration = || Ok(reader.varint()?.checked_sub(1).map(Duration::from_nanos));
    let (ttl_left, critical_for) = (duration()?, duration()?);
    reader.finish()?;
    Ok(Saved { status, held, output, ttl_left, critical_for })
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn read_form(value: &[u8]) -> Result<Reader<'_>, DecodeError> {
    let mut reader = Reader::new(value);
    if reader.u8()? == FORM { Ok(reader) } else { Err(DecodeError::Range) }
}

fn read_status(number: u8) -> Result<Status, DecodeError> {
    Status::ALL.get(usize::from(number)).copied().ok_or(DecodeError::Range)
}

/// A file by its name. What a connection holds is never written.
fn put_source(out: &mut Vec<u8>, source: &Source) {
    put_text(out, if let Source::File(file) = source { file } else { "" });
}

fn read_source(reader: &mut Reader<'_>) -> Result<Source, DecodeError> {
    Ok(match read_text(reader)? {
        "" => Source::Api,
        file => Source::File(file.into()),
    })
}

fn put_definition(out: &mut Vec<u8>, check: &Definition) {
    put_source(out, &check.source);
    put_text(out, check.id.as_str());
    put_text(out, &check.name);
    put_text(out, &check.notes);
    put_text(out, check.instance.as_ref().map_or("", Id::as_str));
    put_spec(out, &check.spec);
    out.put_u8(check.process.is_some().into());
    if let Some(process) = &check.process {
        put_varint(out, process.pid.into());
        put_varint(out, process.start);
        put_text(out, &process.boot);
    }
}

fn read_definition(reader: &mut Reader<'_>) -> Result<Definition, DecodeError> {
    let source = read_source(reader)?;
    let id = read_id(reader)?;
    let (name, notes) = (read_text(reader)?.into(), read_text(reader)?.into());
    let instance = match reader.text(limits::ID_BYTES)? {
        "" => None,
        text => Some(text.parse().map_err(|_| DecodeError::Text)?),
    };
    let spec = Arc::new(read_spec(reader)?);
    let process = match reader.u8()? {
        0 => None,
        _ => {
            let pid = u32::try_from(reader.varint()?).map_err(|_| DecodeError::Range)?;
            Some(Process { pid, start: reader.varint()?, boot: read_text(reader)?.to_owned() })
        }
    };
    Ok(Definition { id, name, notes, instance, spec, process, source })
}

fn put_spec(out: &mut Vec<u8>, spec: &Spec) {
    put_kind(out, spec.kind());
    out.put_u8(spec.initial() as u8);
    for duration in [spec.interval(), Some(spec.timeout()), spec.deregister_after()] {
        put_varint(out, nanos(duration.unwrap_or_default()));
    }
    let numbers = [spec.success_before_passing(), spec.failures_before_warning(), spec.failures_before_critical()];
    numbers.into_iter().for_each(|number| put_varint(out, number.into()));
    put_varint(out, spec.output_max_size() as u64);
}

/// By the rules that hold for new ones: what a later version forbids is not restored.
fn read_spec(reader: &mut Reader<'_>) -> Result<Spec, DecodeError> {
    let kind = read_kind(reader)?;
    let is_maintenance = kind == Kind::Maintenance;
    let mut draft = Draft { kinds: vec![kind], initial: Some(read_status(reader.u8()?)?), ..Draft::default() };
    let mut duration = || Ok(Duration::from_nanos(reader.varint()?));
    (draft.interval, draft.timeout, draft.deregister_after) = (duration()?, duration()?, duration()?);
    let mut number = || u32::try_from(reader.varint()?).map_err(|_| DecodeError::Range);
    (draft.success_before_passing, draft.failures_before_warning) = (number()?, number()?);
    (draft.failures_before_critical, draft.output_max_size) = (number()?, number()?);
    if is_maintenance {
        return Ok(Spec::maintenance());
    }
    Spec::try_new(draft, ShortIntervals::Allow).map_err(|_| DecodeError::Range)
}

fn put_kind(out: &mut Vec<u8>, kind: &Kind) {
    put_text(out, kind.as_str());
    match kind {
        Kind::Ttl { ttl } => put_varint(out, nanos(*ttl)),
        Kind::Http(http) => {
            put_text(out, &http.url);
            put_text(out, &http.method);
            put_varint(out, http.headers.len() as u64);
            http.headers.iter().flat_map(|(name, value)| [name, value]).for_each(|text| put_text(out, text));
            put_text(out, &http.body);
            out.put_u8(http.disable_redirects.into());
            put_tls(out, Some(&http.tls));
        }
        Kind::Tcp { address, tls } | Kind::H2ping { address, tls } | Kind::Grpc { target: address, tls } => {
            put_text(out, address);
            put_tls(out, tls.as_ref());
        }
        Kind::Udp { address: text } | Kind::OsService { name: text } => put_text(out, text),
        Kind::Script { args } => put_args(out, args),
        Kind::Docker { container, shell, args } => {
            put_text(out, container);
            put_optional(out, shell.as_deref());
            put_args(out, args);
        }
        Kind::Alias { service, node } => {
            put_optional(out, service.as_deref());
            put_optional(out, node.as_deref());
        }
        Kind::Process { pid } => put_varint(out, (*pid).into()),
        // A kind that is not known here is not known when it is read either.
        _ => {}
    }
}

fn read_kind(reader: &mut Reader<'_>) -> Result<Kind, DecodeError> {
    Ok(match read_text(reader)? {
        "ttl" => Kind::Ttl { ttl: Duration::from_nanos(reader.varint()?) },
        "http" => Kind::Http(read_http(reader)?),
        "tcp" => Kind::Tcp { address: read_text(reader)?.into(), tls: read_tls(reader)? },
        "h2ping" => Kind::H2ping { address: read_text(reader)?.into(), tls: read_tls(reader)? },
        "grpc" => Kind::Grpc { target: read_text(reader)?.into(), tls: read_tls(reader)? },
        "udp" => Kind::Udp { address: read_text(reader)?.into() },
        "os_service" => Kind::OsService { name: read_text(reader)?.into() },
        "script" => Kind::Script { args: read_args(reader)? },
        "docker" => {
            Kind::Docker { container: read_text(reader)?.into(), shell: read_optional(reader)?, args: read_args(reader)? }
        }
        "alias" => Kind::Alias { service: read_optional(reader)?, node: read_optional(reader)? },
        "process" => Kind::Process { pid: u32::try_from(reader.varint()?).map_err(|_| DecodeError::Range)? },
        "hold" => Kind::Hold,
        "maintenance" => Kind::Maintenance,
        _ => return Err(DecodeError::Text),
    })
}

fn read_http(reader: &mut Reader<'_>) -> Result<Http, DecodeError> {
    let (url, method) = (read_text(reader)?.into(), read_text(reader)?.into());
    let count = reader.count(lobby_core::check::kind::ITEMS)?;
    let mut header = |_| Ok((read_text(reader)?.into(), read_text(reader)?.into()));
    let headers = (0..count).map(&mut header).collect::<Result<_, DecodeError>>()?;
    let (body, disable_redirects) = (read_text(reader)?.into(), reader.u8()? != 0);
    Ok(Http { url, method, headers, body, disable_redirects, tls: read_tls(reader)?.unwrap_or_default() })
}

fn put_tls(out: &mut Vec<u8>, tls: Option<&Tls>) {
    out.put_u8(tls.map_or(0, |tls| 1 + u8::from(tls.skip_verify)));
    if let Some(tls) = tls {
        put_optional(out, tls.server_name.as_deref());
    }
}

fn read_tls(reader: &mut Reader<'_>) -> Result<Option<Tls>, DecodeError> {
    match reader.u8()? {
        0 => Ok(None),
        flag => Ok(Some(Tls { skip_verify: flag == 2, server_name: read_optional(reader)? })),
    }
}

fn put_args(out: &mut Vec<u8>, args: &[String]) {
    put_varint(out, args.len() as u64);
    args.iter().for_each(|arg| put_text(out, arg));
}

fn read_args(reader: &mut Reader<'_>) -> Result<Vec<String>, DecodeError> {
    let count = reader.count(lobby_core::check::kind::ITEMS)?;
    (0..count).map(|_| Ok(read_text(reader)?.into())).collect()
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// No text is ever empty where it is optional.
fn put_optional(out: &mut Vec<u8>, text: Option<&str>) {
    put_text(out, text.unwrap_or_default());
}

fn read_optional(reader: &mut Reader<'_>) -> Result<Option<String>, DecodeError> {
    Ok(Some(read_text(reader)?.to_owned()).filter(|text| !text.is_empty()))
}

fn read_text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    reader.text(VALUE_BYTES)
}

fn read_id(reader: &mut Reader<'_>) -> Result<Id, DecodeError> {
    reader.text(limits::ID_BYTES)?.parse().map_err(|_| DecodeError::Text)
}

#[cfg(test)]
mod tests;
