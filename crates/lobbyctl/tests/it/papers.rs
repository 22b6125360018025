//! The manual against the code: every route, metric and verb has its place in `docs/`, and no metric is made up.
//!
//! Not here: settings, which `lobbyd` compares with docs/configuration.md itself.

use std::{collections::BTreeSet, fs};

use crate::tidy::{files, root};

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// All of lobby-http's source but its tests.
fn http() -> String {
    let read = |path| fs::read_to_string(path).unwrap();
    let texts = files(&root().join("crates/lobby-http/src"), &[".rs"]).into_iter().map(read);
    texts.map(|text| text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()).collect()
}

/// The names in a text that begin with `lobby_` and follow `mark`.
fn metrics(text: &str, mark: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let name = |rest: &str| rest.chars().take_while(|c| is_name(*c)).collect::<String>();
    text.split(mark).map(name).filter(|name| name.starts_with("lobby_") && !name.ends_with('_')).collect()
}

#[test]
fn every_metric_is_explained_and_none_is_made_up() {
    assert_eq!(metrics(&page("metrics.md"), "`"), metrics(&http(), "\""));
}

#[test]
fn every_route_is_explained() {
    let (http, page) = (http(), page("rest.md"));
    let routes: Vec<_> = http.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(routes.len() > 8, "found only {routes:?}");
    for route in routes {
        let shown = route.replace("{name}", ":name");
        assert!([" ", "`", "?"].iter().any(|end| page.contains(&format!(" {shown}{end}"))), "docs/rest.md lacks {route}");
    }
}

#[test]
fn every_verb_is_explained() {
    let page = page("lobbyctl.md");
    for verb in files(&root().join("crates/lobbyctl/src/cmd"), &[".rs"]) {
        let verb = verb.file_stem().unwrap().to_str().unwrap().replace('_', "-");
        assert!(page.contains(&format!("`{verb}")), "docs/lobbyctl.md lacks {verb}");
    }
}
