//! sprig's functions on paths with slashes. Decides as Go's package path does, whatever the system.

use lobby_template::Type;

use super::Named;
use crate::functions::arg::{of, text};

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
