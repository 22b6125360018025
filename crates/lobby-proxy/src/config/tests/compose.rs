//! The files of docker compose in docs/proxy.md, as far as that goes without Docker: they are YAML, each service has an image
//! and only keys that compose knows, and images, volumes, paths and the stanzas beside them fit together.
//!
//! Not here: that lobbyd takes the stanzas, and what the container's shell does (lobbyd's tests).

use super::super::{text::parse, tree::Value};
use super::*;

/// Of a service that compose starts, those in use.
const KEYS: [&str; 7] = ["image", "user", "network_mode", "restart", "command", "volumes", "working_dir"];

fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/proxy.md")).unwrap()
}

/// The fenced blocks of a language in the section about containers.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let section = page.split("\n### A container\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let fence = format!("```{language}\n");
    section.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn get<'v>(value: &'v Value, key: &str) -> &'v Value {
    let Value::Map(map) = value else { panic!("{key} of {}", value.show()) };
    map.iter().find(|(name, _)| name == key).map_or(&Value::Null, |(_, value)| value)
}

fn texts(value: &Value) -> Vec<&str> {
    let Value::List(list) = value else { panic!("{} is no list", value.show()) };
    list.iter().map(text).collect()
}

fn text(value: &Value) -> &str {
    let Value::Text(text) = value else { panic!("{} is no text", value.show()) };
    text
}

/// What is mounted where: `SOURCE:TARGET`, perhaps with `:ro`.
fn mounts(service: &Value) -> Vec<(&str, &str)> {
    let volumes = texts(get(service, "volumes")).into_iter();
    volumes.map(|volume| volume.split_once(':').unwrap()).map(|(from, to)| (from, to.trim_end_matches(":ro"))).collect()
}

#[test]
fn the_compose_files_fit_the_stanzas_beside_them() {
    let page = page();
    let yaml = blocks(&page, "yaml");
    let [whole, better] = &yaml[..] else { panic!("{yaml:?}") };
    let whole = parse(whole, &mut Vec::new()).unwrap();
    let better = parse(&format!("services:\n{better}"), &mut Vec::new()).unwrap();
    let Value::Map(named) = get(&whole, "volumes") else { panic!("no volumes") };
    let lobbyd = get(get(&whole, "services"), "lobbyd");
    let toml = blocks(&page, "toml");
    assert_eq!(toml.len(), 2);
    for (stanza, haproxy) in toml.iter().zip([&whole, &better].map(|file| get(get(file, "services"), "haproxy"))) {
        for (service, image) in [(lobbyd, "lobby"), (haproxy, "haproxy:2.6-alpine")] {
            let Value::Map(keys) = service else { panic!("{}", service.show()) };
            assert!(keys.iter().all(|(key, _)| KEYS.contains(&key.as_str())), "{keys:?}");
            assert_eq!((text(get(service, "image")), text(get(service, "network_mode"))), (image, "host"));
            assert_eq!((text(get(service, "restart")), text(get(service, "user"))), ("always", "root"));
            let is_known = |from: &str| from.starts_with("./") || named.iter().any(|(name, _)| name == from);
            assert!(mounts(service).iter().all(|(from, _)| is_known(from)), "{:?}", mounts(service));
        }
        let (settings, warnings) = parsed(stanza);
        assert!(warnings.is_empty(), "{warnings:?}");
        let settings = settings.haproxy.unwrap();
        let file = settings.config_file_path.unwrap();
        let shared = |service| mounts(service).into_iter().find(|(_, to)| file.parent() == Some(to.as_ref())).unwrap();
        assert_eq!(shared(lobbyd), shared(haproxy), "both have the folder of {file:?}");
        assert!(settings.state_file_path.is_some_and(|path| path.starts_with("/var/lib/lobby") && !path.starts_with("/etc")));
        let command = texts(get(haproxy, "command")).join(" ");
        let in_folder =
            get(haproxy, "working_dir") == &Value::Text("/etc/haproxy".into()) && command.contains(" -f haproxy.cfg ");
        assert!(in_folder || command.contains(&format!("-f {}", file.display())), "{command}");
        if let Some(master) = settings.master_socket {
            assert!(command.contains(&format!("-S {}", master.display())), "{command}");
        }
    }
    let [option, file] = texts(get(lobbyd, "command"))[..] else { panic!("the command of lobbyd") };
    assert!(option == "--config" && mounts(lobbyd).contains(&("./lobby.toml", file)), "{file}");
    assert!(mounts(lobbyd).contains(&("lobby", "/var/lib/lobby")), "what is remembered outlasts the container");
}
