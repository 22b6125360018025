//! Instances and checks as bytes: the values of a record's entries; their ids are the keys.
//!
//! ```text
//! instance = form flags service address port passing warning tags meta tagged kind proxy connect
//! tags     = count text*        meta = count (text text)*        tagged = count (text address port)*
//! check    = form status kind instance name interval timeout notes output definition   (no instance: empty; nanoseconds)
//! given    = form tags                         (what others give to an agent's instance)
//! ```
//! Numbers are LEB128, texts have their length before them. The definition of a check came with form 2; one without it is
//! written in form 1. Later forms only append: what follows the last known field of
//! a later form is skipped, and flags and kinds that are not known mean nothing. Bytes come from the network and are
//! hostile: a length is checked before anything is allocated, and every value passes its validator.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::BufMut;

use super::binary::{DecodeError, Reader, put_bytes, put_varint};
use crate::{
    check::{
        Status,
        view::{CheckKind, CheckView},
    },
    instance::{Id, Instance, TaggedAddress, Weights, validate_tags},
    limits,
};

/// The form that is written. Forms begin at 1.
const FORM: u8 = 1;

/// The form of a check that has a definition.
const FORM_DEFINED: u8 = 2;

const TAG_OVERRIDE: u8 = 1;
const DRAIN: u8 = 2;

/// Writes everything of an instance but its id.
pub fn encode_instance(instance: &Instance, out: &mut Vec<u8>) {
    out.put_u8(FORM);
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    out.put_u8(flag(instance.enable_tag_override, TAG_OVERRIDE) | flag(instance.drain, DRAIN));
    put_text(out, instance.service.as_str());
    put_text(out, &instance.address);
    put_varint(out, instance.port.into());
    put_varint(out, instance.weights.passing.into());
    put_varint(out, instance.weights.warning.into());
    put_tags(out, &instance.tags);
    put_varint(out, instance.meta.len() as u64);
    for (key, value) in &*instance.meta {
        put_text(out, key);
        put_text(out, value);
    }
    put_varint(out, instance.tagged_addresses.len() as u64);
    for (name, tagged) in &instance.tagged_addresses {
        put_text(out, name);
        put_text(out, &tagged.address);
        put_varint(out, tagged.port.into());
    }
    put_text(out, &instance.kind);
    put_text(out, &instance.proxy);
    put_text(out, &instance.connect);
}

/// Reads the instance of this id from bytes that it fills to the end.
pub fn decode_instance(id: Id, bytes: &[u8]) -> Result<Instance, DecodeError> {
    let mut reader = Reader::new(bytes);
    let form = read_form(&mut reader)?;
    let flags = reader.u8()?;
    let instance = Instance {
        id,
        service: read_id(&mut reader)?,
        address: reader.text(limits::ADDRESS_BYTES)?.into(),
        port: read_u16(&mut reader)?,
        weights: Weights { passing: read_u16(&mut reader)?, warning: read_u16(&mut reader)? },
        tags: read_tags(&mut reader)?,
        meta: read_meta(&mut reader)?.into(),
        tagged_addresses: read_tagged_addresses(&mut reader)?,
        enable_tag_override: flags & TAG_OVERRIDE != 0,
        drain: flags & DRAIN != 0,
        kind: reader.text(limits::KIND_BYTES)?.into(),
        proxy: reader.text(limits::OPAQUE_BYTES)?.into(),
        connect: reader.text(limits::OPAQUE_BYTES)?.into(),
    };
    finish(reader, form, FORM)?;
    instance.validate().map_err(|_| DecodeError::Text)?;
    Ok(instance)
}

/// Writes tags that are given to an instance.
pub fn encode_tags(tags: &[String], out: &mut Vec<u8>) {
    out.put_u8(FORM);
    put_tags(out, tags);
}

/// Reads tags that are given to an instance from bytes that they fill to the end.
pub fn decode_tags(bytes: &[u8]) -> Result<Arc<[String]>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let form = read_form(&mut reader)?;
    let tags = read_tags(&mut reader)?;
    finish(reader, form, FORM)?;
    validate_tags(&tags).map_err(|_| DecodeError::Text)?;
    Ok(tags)
}

/// Writes everything of a check but its id.
pub fn encode_check(check: &CheckView, out: &mut Vec<u8>) {
    let is_defined = !check.definition.is_empty();
    out.put_u8(if is_defined { FORM_DEFINED } else { FORM });
    out.put_u8(check.status as u8);
    out.put_u8(check.kind as u8);
    put_text(out, check.instance.as_ref().map_or("", Id::as_str));
    put_text(out, &check.name);
    put_duration(out, check.interval);
    put_duration(out, check.timeout);
    put_text(out, &check.notes);
    put_text(out, &check.output);
    if is_defined {
        put_text(out, &check.definition);
    }
}

/// Reads the check of this id from bytes that it fills to the end.
pub fn decode_check(id: Id, bytes: &[u8]) -> Result<CheckView, DecodeError> {
    let mut reader = Reader::new(bytes);
    let form = read_form(&mut reader)?;
    let status = Status::ALL.get(usize::from(reader.u8()?)).copied().ok_or(DecodeError::Range)?;
    let kind = CheckKind::from_number(reader.u8()?);
    let instance = match reader.text(limits::ID_BYTES)? {
        "" => None,
        text => Some(text.parse().map_err(|_| DecodeError::Text)?),
    };
    let check = CheckView {
        id,
        name: reader.text(limits::CHECK_NAME_BYTES)?.into(),
        instance,
        status,
        kind,
        interval: Duration::from_nanos(reader.varint()?),
        timeout: Duration::from_nanos(reader.varint()?),
        notes: reader.text(limits::NOTES_BYTES)?.into(),
        output: reader.text(limits::OUTPUT_BYTES)?.into(),
        definition: if form < FORM_DEFINED { String::new() } else { reader.text(limits::OPAQUE_BYTES)?.into() },
    };
    finish(reader, form, FORM_DEFINED)?;
    check.validate().map_err(|_| DecodeError::Text)?;
    Ok(check)
}

fn put_tags(out: &mut Vec<u8>, tags: &[String]) {
    put_varint(out, tags.len() as u64);
    tags.iter().for_each(|tag| put_text(out, tag));
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_duration(out: &mut Vec<u8>, duration: Duration) {
    // Whatever was validated fits.
    put_varint(out, u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
}

fn read_form(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    match reader.u8()? {
        0 => Err(DecodeError::Range),
        form => Ok(form),
    }
}

/// What a later form appended is skipped.
fn finish(reader: Reader<'_>, form: u8, newest: u8) -> Result<(), DecodeError> {
    if form <= newest { reader.finish() } else { Ok(()) }
}

fn read_id(reader: &mut Reader<'_>) -> Result<Id, DecodeError> {
    reader.text(limits::ID_BYTES)?.parse().map_err(|_| DecodeError::Text)
}

fn read_u16(reader: &mut Reader<'_>) -> Result<u16, DecodeError> {
    u16::try_from(reader.varint()?).map_err(|_| DecodeError::Range)
}

fn read_tags(reader: &mut Reader<'_>) -> Result<Arc<[String]>, DecodeError> {
    let count = reader.count(limits::TAGS)?;
    (0..count).map(|_| Ok(reader.text(limits::TAG_BYTES)?.into())).collect()
}

fn read_meta(reader: &mut Reader<'_>) -> Result<BTreeMap<String, String>, DecodeError> {
    let count = reader.count(limits::PAIRS)?;
    let mut pair = |_| Ok((reader.text(limits::PAIR_KEY_BYTES)?.into(), reader.text(limits::PAIR_VALUE_BYTES)?.into()));
    (0..count).map(&mut pair).collect()
}

fn read_tagged_addresses(reader: &mut Reader<'_>) -> Result<BTreeMap<String, TaggedAddress>, DecodeError> {
    let count = reader.count(limits::TAGGED_ADDRESSES)?;
    let mut tagged = |_| {
        let name = reader.text(limits::PAIR_KEY_BYTES)?.into();
        Ok((name, TaggedAddress { address: reader.text(limits::ADDRESS_BYTES)?.into(), port: read_u16(reader)? }))
    };
    (0..count).map(&mut tagged).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> (Instance, Vec<u8>) {
        let instance = Instance::new("web-1".parse().unwrap(), "web".parse().unwrap());
        let mut bytes = Vec::new();
        encode_instance(&instance, &mut bytes);
        (instance, bytes)
    }

    fn check() -> (CheckView, Vec<u8>) {
        let check = CheckView::new("c".parse().unwrap(), "C", Some("web-1".parse().unwrap()));
        let mut bytes = Vec::new();
        encode_check(&check, &mut bytes);
        (check, bytes)
    }

    #[test]
    fn a_later_form_may_append_and_this_one_may_not() {
        let (instance, mut bytes) = instance();
        bytes.extend([7; 9]);
        assert_eq!(decode_instance(instance.id.clone(), &bytes), Err(DecodeError::Trailing));
        bytes[0] = FORM + 1;
        bytes[1] = 0xfc; // Flags that only the later form knows.
        assert_eq!(decode_instance(instance.id.clone(), &bytes), Ok(instance.clone()));
        bytes[0] = 0;
        assert_eq!(decode_instance(instance.id, &bytes), Err(DecodeError::Range));

        let (check, mut bytes) = check();
        bytes.extend([7; 9]);
        assert_eq!(decode_check(check.id.clone(), &bytes), Err(DecodeError::Trailing));
        let end = bytes.len() - 9;
        bytes[end] = 0; // Without a definition.
        bytes[0] = FORM_DEFINED;
        assert_eq!(decode_check(check.id.clone(), &bytes), Err(DecodeError::Trailing));
        bytes[0] = FORM_DEFINED + 1;
        bytes[2] = 200; // A kind that only the later form knows.
        assert_eq!(decode_check(check.id.clone(), &bytes), Ok(check.clone()));
        bytes[1] = 3;
        assert_eq!(decode_check(check.id, &bytes), Err(DecodeError::Range), "there will be no fourth status");
    }

    #[test]
    fn a_definition_needs_the_second_form() {
        let (mut check, plain) = check();
        check.definition = r#"{"HTTP":"http://a/","Interval":"10s"}"#.into();
        let mut bytes = Vec::new();
        encode_check(&check, &mut bytes);
        assert_eq!((plain[0], bytes[0]), (FORM, FORM_DEFINED));
        assert_eq!(decode_check(check.id.clone(), &bytes), Ok(check.clone()));
        for end in 0..bytes.len() {
            assert_eq!(decode_check(check.id.clone(), &bytes[..end]), Err(DecodeError::Short), "{end}");
        }
        let last = bytes.len() - 1;
        bytes[last] = b']';
        assert_eq!(decode_check(check.id, &bytes), Err(DecodeError::Text));
    }

    #[test]
    fn every_cut_is_noticed() {
        let (instance, bytes) = instance();
        for end in 0..bytes.len() {
            assert_eq!(decode_instance(instance.id.clone(), &bytes[..end]), Err(DecodeError::Short), "{end}");
        }
        let (check, bytes) = check();
        for end in 0..bytes.len() {
            assert_eq!(decode_check(check.id.clone(), &bytes[..end]), Err(DecodeError::Short), "{end}");
        }
    }

    #[test]
    fn values_that_break_their_rules_are_refused() {
        let refused = |change: fn(&mut Instance)| {
            let (mut instance, _) = instance();
            change(&mut instance);
            let mut bytes = Vec::new();
            encode_instance(&instance, &mut bytes);
            decode_instance(instance.id, &bytes).unwrap_err()
        };
        assert_eq!(refused(|instance| instance.address = "0.0.0.0".into()), DecodeError::Text);
        assert_eq!(refused(|instance| instance.proxy = "{".into()), DecodeError::Text);
        assert_eq!(refused(|instance| instance.tags = vec![String::new(); limits::TAGS + 1].into()), DecodeError::Range);
        assert_eq!(refused(|instance| instance.tags = ["x".repeat(limits::TAG_BYTES + 1)].into()), DecodeError::Range);
        let pairs = |instance: &mut Instance| {
            instance.meta = Arc::new((0..=limits::PAIRS).map(|n| (n.to_string(), String::new())).collect())
        };
        assert_eq!(refused(pairs), DecodeError::Range);
    }

    #[test]
    fn a_port_has_sixteen_bits() {
        let (mut instance, _) = instance();
        instance.port = u16::MAX;
        let mut bytes = Vec::new();
        encode_instance(&instance, &mut bytes);
        let at = bytes.windows(3).position(|part| part == [0xff, 0xff, 0x03]).unwrap();
        assert_eq!(decode_instance(instance.id.clone(), &bytes), Ok(instance.clone()));
        bytes[at + 2] = 0x04;
        assert_eq!(decode_instance(instance.id, &bytes), Err(DecodeError::Range));
    }
}
