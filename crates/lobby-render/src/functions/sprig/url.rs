//! sprig's functions on URLs. Decides as Go's net/url which characters are escaped in which part.

use std::fmt::Write;

use lobby_template::{CallError, Type, Value};

use super::Named;
use crate::functions::arg::{Given, fits, map, of, text, type_name};

pub(super) fn funcs() -> Vec<Named> {
    vec![("sprig_urlParse", of(&[Type::Str], |_, args| parsed(&text(args, 0)?))), ("sprig_urlJoin", of(&[Type::Any], joined))]
}

/// What each part has unescaped, beside letters, digits and `-_.~`.
const PATH: &str = "$&+,/:;=@";
const FRAGMENT: &str = "$&+,/:;=?@!()*";
const HOST: &str = "!$&'()*+,;=:[]<>\"";
const USER: &str = "$&+,;=";

fn unparsable(text: &str, why: &str) -> CallError {
    CallError(format!("unable to parse url: parse {text:?}: {why}"))
}

/// A URL's parts by name.
fn parsed(text: &str) -> Given {
    if text.contains(|c: char| c.is_ascii_control()) {
        return Err(unparsable(text, "net/url: invalid control character in URL"));
    }
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
    };
    let (scheme, rest) = rest.split_once(':').filter(|(scheme, _)| is_scheme(scheme)).unwrap_or(("", rest));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    let (opaque, path) = if !scheme.is_empty() && !rest.is_empty() && !rest.starts_with('/') { (rest, "") } else { ("", path) };
    let (userinfo, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let hostname = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((hostname, _)) => hostname,
        None => host.rsplit_once(':').map_or(host, |(hostname, _)| hostname),
    };
    let plain = |part: &str| unescaped(part).map_err(|why| unparsable(text, &why));
    let parts = [
        ("scheme", scheme.to_ascii_lowercase().into()),
        ("host", host.into()),
        ("hostname", hostname.into()),
        ("path", Value::Str(plain(path)?.into())),
        ("query", query.into()),
        ("opaque", opaque.into()),
        ("fragment", Value::Str(plain(fragment)?.into())),
        ("userinfo", userinfo.into()),
    ];
    Ok(Value::any_map(parts))
}

/// A URL of its parts, as [`parsed`] names them.
fn joined(room: usize, args: &[Value]) -> Given {
    let parts = map(args, 0)?;
    let part = |name: &str| match parts.and_then(|parts| parts.get_str(name)) {
        None => Ok(Vec::new()),
        Some(Value::Str(text)) => {
            fits(room, Some(text.len()))?;
            Ok(text.as_bytes().to_vec())
        }
        Some(other) => {
            Err(CallError(format!("unable to parse {name} key, must be of type string, but {} found", type_name(&other))))
        }
    };
    let (scheme, host, path, opaque) = (part("scheme")?, part("host")?, part("path")?, part("opaque")?);
    let user = user(&part("userinfo")?)?;
    let mut url = scheme.clone();
    if !scheme.is_empty() {
        url.push(b':');
    }
    if opaque.is_empty() {
        let is_whole = !scheme.is_empty() || !host.is_empty() || user.is_some();
        if is_whole && !(host.is_empty() && path.is_empty() && user.is_none()) {
            url.extend(b"//");
            if let Some(user) = user {
                url.extend(user.bytes());
                url.push(b'@');
            }
            url.extend(escaped(&host, HOST).bytes());
        }
        if !path.is_empty() && !path.starts_with(b"/") && !host.is_empty() {
            url.push(b'/');
        }
        if url.is_empty() && path.split(|byte| *byte == b'/').next().is_some_and(|first| first.contains(&b':')) {
            url.extend(b"./");
        }
        url.extend(escaped(&path, PATH).bytes());
    } else {
        url.extend(opaque);
    }
    let (query, fragment) = (part("query")?, part("fragment")?);
    if !query.is_empty() {
        url.push(b'?');
        url.extend(query);
    }
    if !fragment.is_empty() {
        url.push(b'#');
        url.extend(escaped(&fragment, FRAGMENT).bytes());
    }
    fits(room, Some(url.len()))?;
    Ok(Value::Str(url.into()))
}

/// `name` or `name:password`, escaped anew; None: there is none.
fn user(userinfo: &[u8]) -> Result<Option<String>, CallError> {
    let shown = String::from_utf8_lossy(userinfo);
    let wrong = |why: &str| CallError(format!("unable to parse userinfo in dict: parse \"proto://{shown}@host\": {why}"));
    if !userinfo.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(byte)) {
        return Err(wrong("net/url: invalid userinfo"));
    }
    let again = |part: &str| unescaped(part).map(|part| escaped(&part, USER)).map_err(|why| wrong(&why));
    Ok(match shown.split_once(':') {
        _ if shown.is_empty() => None,
        Some((name, password)) => Some(format!("{}:{}", again(name)?, again(password)?)),
        None => Some(again(&shown)?),
    })
}

fn escaped(bytes: &[u8], kept: &str) -> String {
    let mut escaped = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte.is_ascii_alphanumeric() || b"-_.~".contains(byte) || kept.as_bytes().contains(byte) {
            true => escaped.push(char::from(*byte)),
            false => drop(write!(escaped, "%{byte:02X}")),
        }
    }
    escaped
}

fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            plain.push(*byte);
            continue;
        }
        let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        let wrong = || format!("invalid URL escape \"%{}\"", String::from_utf8_lossy(&after[..after.len().min(2)]));
        plain.push(byte.ok_or_else(wrong)?);
        rest = &after[2..];
    }
    Ok(plain)
}
