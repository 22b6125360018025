//! Which crate may know which: the edges of ARCHITECTURE.md, checked over what Cargo says.
//!
//! A new edge, or a product's library in a second crate, is a decision: change the tables here in the commit that
//! makes it.

use std::{collections::BTreeMap, fs};

use cargo_metadata::{Dependency, DependencyKind, MetadataCommand, Package};

use crate::tidy::root;

/// Every crate of ours and which of ours it may know.
const EDGES: &[(&str, &[&str])] = &[
    ("lobby-core", &[]),
    ("lobby-gossip", &["lobby-core"]),
    ("lobby-exchange", &["lobby-core", "lobby-gossip"]),
    ("lobby", &["lobby-core", "lobby-exchange"]),
    ("lobby-dns", &["lobby-core"]),
    ("lobby-http", &["lobby-core"]),
    ("lobby-template", &[]),
    ("lobby-render", &["lobby-core", "lobby-template"]),
    ("lobby-proxy", &["lobby-core", "lobby-render"]),
    ("lobbyctl", &["lobby", "lobby-core", "lobby-proxy", "lobby-render"]),
    (
        "lobbyd",
        &["lobby", "lobby-core", "lobby-dns", "lobby-exchange", "lobby-gossip", "lobby-http", "lobby-proxy", "lobby-render"],
    ),
    ("lobby-testkit", &[]),
];

/// May be known for tests by anybody, and by nobody otherwise.
const TESTS_ONLY: &str = "lobby-testkit";

/// Libraries whose types stop at these crates.
const CONFINED: &[(&str, &[&str])] = &[
    ("async-nats", &["lobby-exchange"]),
    ("axum", &["lobby-http"]),
    ("clap", &["lobbyctl", "lobbyd"]),
    ("foca", &["lobby-gossip"]),
    ("hickory-proto", &["lobby-dns"]),
    ("hickory-resolver", &["lobby-exchange", "lobby-proxy"]),
    ("hyper", &["lobby-http"]),
    ("nix", &["lobby-dns"]),
    ("notify", &["lobby"]),
    ("redis", &["lobby-exchange"]),
    ("regex", &["lobby-core", "lobby-render"]),
    ("reqwest", &["lobby"]),
    ("socket2", &["lobby-dns", "lobby-exchange"]),
];

/// Packages that must not be in the lock file: one TLS provider, which is ring.
const BANNED: &[&str] = &["aws-lc-rs", "aws-lc-sys", "native-tls", "openssl", "openssl-sys"];

fn packages() -> Vec<Package> {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .expect("cargo, which runs this test, also tells about the workspace")
        .packages
}

/// The dependencies of a crate, tests included, on crates of ours.
fn ours<'a>(package: &'a Package, edges: &'a BTreeMap<&str, &[&str]>) -> impl Iterator<Item = &'a Dependency> {
    package.dependencies.iter().filter(|dependency| edges.contains_key(dependency.name.as_str()))
}

#[test]
fn crates_know_only_whom_they_may() {
    let edges: BTreeMap<_, _> = EDGES.iter().copied().collect();
    let mut found = Vec::new();
    for package in &packages() {
        let Some(allowed) = edges.get(package.name.as_str()) else {
            found.push(format!("{} is not in the table of edges", package.name));
            continue;
        };
        for dependency in ours(package, &edges) {
            let test_only = dependency.name == TESTS_ONLY && dependency.kind == DependencyKind::Development;
            if !test_only && !allowed.contains(&dependency.name.as_str()) {
                found.push(format!("{} must not know {}", package.name, dependency.name));
            }
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn libraries_stop_where_they_are_needed() {
    let mut found = Vec::new();
    for package in &packages() {
        for dependency in package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal) {
            let confined = CONFINED.iter().find(|(name, _)| *name == dependency.name);
            if confined.is_some_and(|(_, crates)| !crates.contains(&package.name.as_str())) {
                found.push(format!("{} must not know {}", package.name, dependency.name));
            }
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn the_pure_crates_have_no_runtime() {
    for package in packages() {
        let tokio = package.dependencies.iter().find(|dependency| dependency.name == "tokio");
        match package.name.as_str() {
            "lobby-core" => {
                let tokio = tokio.expect("lobby-core has channels");
                assert_eq!(tokio.features, ["sync"]);
                assert!(!tokio.uses_default_features);
            }
            "lobby-gossip" => assert!(tokio.is_none(), "lobby-gossip waits for nothing"),
            _ => {}
        }
    }
}

#[test]
fn the_lock_file_has_one_tls_provider() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for name in BANNED {
        assert!(!lock.contains(&format!("name = \"{name}\"\n")), "{name} is in Cargo.lock");
    }
}
