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

/// Each line of the threat model names the tests that show it, and each of them is there.
#[test]
fn every_test_of_the_threat_model_exists() {
    let page = page("security.md");
    let model = page.split("## Threat model").nth(1).expect("a threat model").split("\n## ").next().unwrap_or_default();
    let rows: Vec<_> = model.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| from ")).collect();
    assert!(rows.len() > 20, "only {} lines", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        // Odd pieces are those between backquotes.
        let named: Vec<_> = row.split('`').skip(1).step_by(2).filter_map(|text| text.split_once("::")).collect();
        if named.is_empty() {
            wrong.push(format!("names no test: {row}"));
        }
        for (path, test) in named {
            let text = fs::read_to_string(root().join("crates").join(path)).unwrap_or_default();
            if !text.contains(&format!("fn {test}(")) {
                wrong.push(format!("there is no {path}::{test}"));
            }
        }
    }
    assert!(wrong.is_empty(), "docs/security.md:\n{}", wrong.join("\n"));
}
