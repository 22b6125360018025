//! What a dry run prints: each file that would change, as consul-template does, and with `-diff` what would change in it.
//!
//! Not here: differences (`diff`).

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use lobby_render::runner::Shown;

use crate::diff::diff;

/// Prints a file as it would be, or that it would go or have another mode or owner.
pub(crate) fn show(shown: Shown<'_>) {
    match shown {
        Shown::Text(path, bytes) => print(&[format!("> {}\n", path.display()).as_bytes(), bytes]),
        Shown::Owner(path, change) => print(&[format!("> {}: {change}\n", path.display()).as_bytes()]),
        Shown::Gone(path) => print(&[gone(path).as_bytes()]),
    }
}

fn gone(path: &Path) -> String {
    format!("> {}: removed\n", path.display())
}

/// The same, and how it differs from the one that is there.
pub(crate) fn show_with_diff(shown: Shown<'_>) {
    match shown {
        Shown::Text(path, bytes) => text_with_diff(path, bytes),
        Shown::Gone(path) => {
            let old = fs::read(path).unwrap_or_default();
            let diff = diff(&path.display().to_string(), &String::from_utf8_lossy(&old), "");
            print(&[gone(path).as_bytes(), diff.as_bytes()]);
        }
        owner @ Shown::Owner(..) => show(owner),
    }
}

fn text_with_diff(path: &Path, bytes: &[u8]) {
    let old = fs::read(path).unwrap_or_default();
    let (old, new) = (String::from_utf8_lossy(&old), String::from_utf8_lossy(bytes));
    let end = if new.is_empty() || new.ends_with('\n') { "" } else { "\n" };
    let diff = diff(&path.display().to_string(), &old, &new);
    print(&[format!("> {}\n", path.display()).as_bytes(), bytes, end.as_bytes(), diff.as_bytes()]);
}

/// That nobody reads it ends nothing.
fn print(parts: &[&[u8]]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(&parts.concat()).and_then(|()| out.flush());
}
