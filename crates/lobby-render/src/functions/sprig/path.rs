//! sprig's functions on paths with slashes, and on URLs. Decides as Go's package path does, whatever the system.

use lobby_template::{CallError, Type, Value};

use super::Named;
use crate::functions::arg::{Given, of, text};

pub(super) fn funcs() -> Vec<Named> {
    const ONE: [Type; 1] = [Type::Str];
    vec![
        ("sprig_base", of(&ONE, |_, args| Ok(base(&text(args, 0)?).into()))),
        (
            "sprig_dir",
            of(&ONE, |_, args| {
                let path = text(args, 0)?;
                Ok(clean(path.rfind('/').map_or("", |slash| &path[..=slash])).into())
            }),
        ),
        (
            "sprig_ext",
            of(&ONE, |_, args| {
                let path = text(args, 0)?;
                let name = path.rsplit('/').next().unwrap_or_default();
                Ok(name.rfind('.').map_or("", |point| &name[point..]).into())
            }),
        ),
        ("sprig_clean", of(&ONE, |_, args| Ok(clean(&text(args, 0)?).into()))),
        ("sprig_isAbs", of(&ONE, |_, args| Ok(text(args, 0)?.starts_with('/').into()))),
        ("sprig_urlParse", of(&ONE, |_, args| url(&text(args, 0)?))),
    ]
}

fn base(path: &str) -> &str {
    match (path, path.trim_end_matches('/')) {
        ("", _) => ".",
        (_, "") => "/",
        (_, path) => path.rsplit('/').next().unwrap_or_default(),
    }
}

/// Without `.`, without double slashes, and `..` taken back where that can be.
fn clean(path: &str) -> String {
    let is_rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if is_rooted => {}
            part => parts.push(part),
        }
    }
    match (is_rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".into(),
        (false, false) => parts.join("/"),
    }
}

/// A URL's parts by name.
fn url(text: &str) -> Given {
    if text.contains(|c: char| c.is_ascii_control()) {
        return Err(CallError(format!("unable to parse url: parse {text:?}: net/url: invalid control character in URL")));
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
    let scheme = scheme.to_ascii_lowercase();
    let parts = [
        ("scheme", scheme.as_str()),
        ("host", host),
        ("hostname", hostname),
        ("path", path),
        ("query", query),
        ("opaque", opaque),
        ("fragment", fragment),
        ("userinfo", userinfo),
    ];
    Ok(Value::any_map(parts.map(|(name, part)| (name, part.into()))))
}
