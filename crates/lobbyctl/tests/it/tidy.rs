//! The house rules that a program can check, over every Rust file, member manifest and page of the repository.
//!
//! Each test collects everything it dislikes and shows it at once. What the compiler, clippy or rustfmt check already
//! is not here; nor are dependency edges (`layers`).

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Hard bound on the length of a Rust file.
const MOST_LINES: usize = 400;

/// Hard bound on ARCHITECTURE.md, so that it is read.
const ARCHITECTURE_LINES: usize = 200;

/// Marks of unfinished work. Split, so that this file does not find itself.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!"),
    concat!("unimpl", "emented!"),
    concat!("db", "g!("),
    concat!("#[ig", "nore"),
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
];

/// Folders of one machine, which no page or source may name.
const MACHINE: &[&str] = &[concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/")];

/// Dependencies that need no reason in every manifest: the reader knows them.
const EVERYDAY: &[&str] = &[
    "anyhow",
    "bytes",
    "clap",
    "hyper-util",
    "serde",
    "serde_json",
    "tempfile",
    "thiserror",
    "tokio",
    "tokio-util",
    "toml",
    "tracing",
    "tracing-subscriber",
    "futures-util",
];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/lobbyctl is two below the root").into()
}

/// Every file below `dir` whose name ends in one of `endings`, without what git ignores.
pub(crate) fn files(dir: &Path, endings: &[&str]) -> Vec<PathBuf> {
    const SKIPPED: &[&str] = &["target", ".git", "artifacts", "coverage"];
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() && !SKIPPED.contains(&name.as_str()) => open.push(entry.path()),
                kind if kind.is_file() && endings.iter().any(|ending| name.ends_with(ending)) => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// Looks at each of `files` and fails with everything that `look` says about them.
#[track_caller]
fn each(files: Vec<PathBuf>, look: impl Fn(&Path, &str, &mut Vec<String>)) {
    assert!(!files.is_empty(), "found no files: is the root {} right?", root().display());
    let mut found = Vec::new();
    for path in files {
        let mut here = Vec::new();
        look(&path, &fs::read_to_string(&path).unwrap(), &mut here);
        let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        found.extend(here.into_iter().map(|what| format!("{name}: {what}")));
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Rust files of ours, wherever they are.
fn sources() -> Vec<PathBuf> {
    ["crates", "fuzz", "bench", "examples"].iter().flat_map(|dir| files(&root().join(dir), &[".rs"])).collect()
}

fn members() -> Vec<PathBuf> {
    files(&root().join("crates"), &["Cargo.toml"])
}

#[test]
fn every_file_says_what_it_is_and_is_short() {
    each(sources(), |path, text, found| {
        let head: usize = text.lines().take_while(|line| line.starts_with("//!")).map(|line| line.len() - 3).sum();
        if head < 30 {
            found.push("begins without a `//!` head that says what it decides".into());
        }
        let n_lines = text.lines().count();
        if n_lines > MOST_LINES {
            found.push(format!("has {n_lines} lines, {MOST_LINES} are the most"));
        }
        if path.ends_with("mod.rs") {
            found.push("is a mod.rs; use foo.rs beside foo/".into());
        }
    });
}

#[test]
fn nothing_is_unfinished() {
    each(sources(), |_, text, found| {
        for (idx, line) in text.lines().enumerate() {
            found.extend(UNFINISHED.iter().filter(|mark| line.contains(*mark)).map(|mark| format!("{}: {mark}", idx + 1)));
        }
    });
}

#[test]
fn nothing_names_a_folder_of_one_machine() {
    each(files(&root(), &[".md", ".rs", ".toml", ".service", ".conf"]), |_, text, found| {
        found.extend(MACHINE.iter().filter(|path| text.contains(*path)).map(|path| format!("names {path}")));
    });
}

#[test]
fn members_take_lints_and_versions_from_the_workspace() {
    each(members(), |_, text, found| {
        if !text.contains("[lints]\nworkspace = true") {
            found.push("does not take the workspace's lints".into());
        }
        found.extend(
            dependencies(text, |_| true)
                .filter(|(_, line)| !line.contains("workspace = true"))
                .map(|(_, line)| format!("keeps a version of its own: {line}")),
        );
    });
}

/// A dependency is explained by the line above it, or by the comment of the feature that turns it on.
#[test]
fn dependencies_have_a_reason() {
    each(members(), |_, text, found| {
        for (above, line) in dependencies(text, |section| section == "[dependencies]") {
            let name = line.split(['.', ' ', '=']).next().unwrap_or(line);
            let known = name == "lobby" || name.starts_with("lobby-") || EVERYDAY.contains(&name);
            if !known && !above.starts_with('#') && !line.contains("optional = true") {
                found.push(format!("gives no reason for {name}"));
            }
        }
    });
}

/// The dependency lines of a manifest in the sections that `wanted` picks, each with the line above it.
fn dependencies(manifest: &str, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = (&str, &str)> {
    let mut section = "";
    manifest.lines().zip(manifest.lines().skip(1)).filter(move |(above, line)| {
        if above.starts_with('[') {
            section = above;
        }
        let is_entry = line.starts_with(|c: char| c.is_ascii_alphabetic()) && line.contains('=');
        is_entry && section.ends_with("dependencies]") && wanted(section)
    })
}

#[test]
fn links_between_pages_resolve() {
    each(files(&root(), &[".md"]), |path, text, found| {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
            let file = target.split('#').next().unwrap_or(target);
            let elsewhere = file.contains("://") || file.starts_with("mailto:") || file.is_empty();
            if !elsewhere && !path.with_file_name(file).exists() {
                found.push(format!("links to {target}, which is not there"));
            }
        }
    });
}

#[test]
fn architecture_is_short_enough_to_be_read() {
    each(vec![root().join("ARCHITECTURE.md")], |_, text, found| {
        let n_lines = text.lines().count();
        if n_lines >= ARCHITECTURE_LINES {
            found.push(format!("has {n_lines} lines, fewer than {ARCHITECTURE_LINES} are allowed"));
        }
    });
}
