//! The files of examples/proxy: each is read without a word, HAProxy takes what is made of it, and nginx takes its sample with
//! our upstreams. docs/proxy.md shows some of them as they are, and names every key that there is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use lobby_proxy::{
    Backend, Settings,
    backend::Known,
    config::from_toml,
    haproxy::{ids::Ids, text},
    nerve, nginx,
    settings::{Bind, Discovery},
    synapse,
};
use lobby_testkit::process::find;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text_of(path: &str) -> String {
    let path = project().join(path);
    fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

fn read(name: &str) -> Settings {
    let table: toml::Table = text_of(&format!("examples/proxy/{name}")).parse().unwrap();
    let (settings, warnings) = from_toml(table["proxy"].as_table().unwrap()).unwrap_or_else(|err| panic!("{name}: {err}"));
    // Whether HAProxy is in this PATH is another matter.
    let warnings: Vec<_> = warnings.iter().filter(|warning| !warning.starts_with("proxy.haproxy.program")).collect();
    assert!(warnings.is_empty(), "{name}: {warnings:?}");
    settings
}

/// Two servers for each service, one of them a backup.
fn picture(settings: &Settings) -> Vec<Known> {
    let one = Backend { name: "web-1".into(), host: "127.0.0.1".into(), port: 50001, weight: Some(1), ..Backend::default() };
    let two = Backend { port: 50002, is_backup: true, ..one.clone() };
    let known = Known { backends: Some([one, two].into()), ..Known::default() };
    vec![known; settings.services.len()]
}

/// What HAProxy says of the file; its paths below `/dev` and `/var` are those of a machine on which it is installed.
fn taken_by_haproxy(name: &str, settings: &Settings) {
    let folder = tempfile::tempdir().unwrap();
    let layout = text::layout(settings, &picture(settings), "2.4.22".parse().ok(), &mut Ids::default());
    assert!(layout.warnings.is_empty(), "{name}: {:?}", layout.warnings);
    let file = folder.path().join("haproxy.cfg");
    fs::write(&file, &layout.text).unwrap();
    let out = Command::new(find("haproxy")).arg("-c").arg("-f").arg(&file).output().unwrap();
    assert!(out.status.success(), "{name}: {}\n{}", String::from_utf8_lossy(&out.stderr), layout.text);
}

#[test]
fn each_configuration_is_read_and_haproxy_takes_its_file() {
    for name in ["lobbyd.toml", "debian.toml", "container.toml", "deploy.toml", "sources.toml"] {
        taken_by_haproxy(name, &read(name));
    }
    let sources = read("sources.toml").services;
    let has = |is_it: fn(&Discovery) -> bool| sources.iter().any(|service| is_it(&service.discovery));
    assert!(has(|it| matches!(it, Discovery::Lobby(_))) && has(|it| matches!(it, Discovery::Consul(_))));
    assert!(has(|it| matches!(it, Discovery::Dns(_))) && has(|it| matches!(it, Discovery::Ec2Tag(_))));
    assert!(has(|it| matches!(it, Discovery::Docker(_))) && has(|it| matches!(it, Discovery::Multi(_))));
    assert!(has(|it| matches!(it, Discovery::Base)), "{sources:?}");
    assert_eq!(read("deploy.toml").services[0].backup_port, Some(50002));
}

#[test]
fn the_file_of_synapse_is_read_and_haproxy_takes_what_comes_of_it() {
    let (settings, warnings) = synapse::read(&project().join("examples/proxy/synapse.conf.json")).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let binds: Vec<_> = settings.services.iter().filter_map(|service| Some(service.haproxy.as_ref()?.bind)).collect();
    assert_eq!(binds, [Bind::Port(50003), Bind::Port(50004)]);
    taken_by_haproxy("synapse.conf.json", &settings);
}

#[test]
fn the_file_of_nerve_is_read() {
    let (settings, warnings) = nerve::read(&project().join("examples/proxy/nerve.conf.json"), None).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let names: Vec<_> = settings.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["cache", "web"]);
}

#[test]
fn nginx_takes_the_sample_with_our_upstreams() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = read("nginx.toml");
    let upstreams = folder.path().join("upstreams");
    settings.nginx.as_mut().unwrap().upstreams = Some(upstreams.clone());
    for file in nginx::text::layout(&settings, &picture(&settings)).files {
        fs::create_dir_all(file.path.parent().unwrap()).unwrap();
        fs::write(&file.path, &file.text).unwrap();
    }
    assert!(upstreams.join("web.conf").exists() && upstreams.join("stream/db.conf").exists());
    let text = text_of("examples/proxy/nginx.conf").replace("/etc/nginx/upstreams", &upstreams.display().to_string());
    // Its own paths, so that the test needs no rights.
    let dir = folder.path().display();
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|what| format!("{what}_temp_path {dir}/{what};"));
    let text = text.replace("http {", &format!("pid {dir}/pid;\nhttp {{ access_log off; {}", paths.join(" ")));
    let has_stream = Path::new("/usr/lib/nginx/modules/ngx_stream_module.so").exists();
    let text = if has_stream { text } else { text.split("\nstream {").next().unwrap().to_owned() };
    fs::write(folder.path().join("nginx.conf"), text).unwrap();
    let out =
        Command::new(find("nginx")).args(["-t", "-e", "stderr", "-c"]).arg(folder.path().join("nginx.conf")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn the_page_shows_the_samples_as_they_are() {
    let page = text_of("docs/proxy.md");
    for name in ["lobbyd.toml", "debian.toml", "container.toml", "deploy.toml", "nginx.toml", "nginx.conf"] {
        let text = text_of(&format!("examples/proxy/{name}"));
        let shown: String = text.split_inclusive('\n').filter(|line| !line.starts_with('#')).collect();
        assert!(page.contains(&shown), "{name} is not in docs/proxy.md as it stands");
    }
}

/// Each key of the fixture is in the reference, as the whole first cell of a row or one of several there.
#[test]
fn the_page_has_every_key() {
    fn keys(value: &toml::Value, found: &mut Vec<String>) {
        match value {
            toml::Value::Table(table) => table.iter().for_each(|(key, value)| {
                found.push(key.clone());
                // What stands below are names and titles of the user's.
                match (key.as_str(), value) {
                    ("extra" | "labels", _) => {}
                    ("service" | "watchers", toml::Value::Table(named)) => named.values().for_each(|value| keys(value, found)),
                    _ => keys(value, found),
                }
            }),
            toml::Value::Array(list) => list.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }
    let fixture: toml::Value = toml::Value::Table(text_of("crates/lobby-proxy/tests/fixtures/proxy.toml").parse().unwrap());
    let mut found = vec!["synapse".to_owned()];
    keys(&fixture["proxy"], &mut found);
    let page = text_of("docs/proxy.md");
    let reference = page.split("\n## Reference").nth(1).expect("a reference");
    let cells: Vec<&str> = reference.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).collect();
    let nowhere: Vec<_> = found.iter().filter(|key| !cells.iter().any(|cell| cell.contains(&format!("`{key}`")))).collect();
    assert!(nowhere.is_empty(), "not in the reference of docs/proxy.md: {nowhere:?}");
}
