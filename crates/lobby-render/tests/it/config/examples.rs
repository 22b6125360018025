//! Whole configurations as people have them: every key that is documented, old spellings, the same in three languages.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lobby_render::config::{Config, LogLevel, Partial, load};
use lobby_render::settings::{TemplateSource, Wait};

fn fixture(name: &str) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config").join(name);
    let whole = load(None, &[path], Partial::default()).and_then(|partial| partial.resolve(|_| None));
    whole.unwrap_or_else(|error| panic!("{name}: {}", super::all(&error)))
}

#[test]
fn every_documented_key() {
    let config = fixture("full.hcl");
    let keys: Vec<_> = config.warnings.iter().filter_map(|warning| warning.split(' ').next()).collect();
    assert_eq!(keys, ["consul.transport", "vault", "nomad", "syslog", "log_file", "telemetry", "deduplicate"]);
    let consul = &config.consul;
    assert_eq!(
        (consul.address.as_deref(), consul.retry.attempts, consul.max_stale),
        (Some("127.0.0.1:8500"), 12, Duration::from_secs(600))
    );
    assert!(consul.auth.is_some() && consul.tls.as_ref().is_some_and(|tls| !tls.verify && tls.server_name.is_some()));
    assert_eq!((config.process.log_level, config.process.pid_file), (LogLevel::Warn, Some("/run/render.pid".into())));
    let exec = config.settings.exec.expect("there is a program");
    assert_eq!(
        (exec.argv, exec.splay, exec.env.denylist),
        (vec!["/usr/bin/app".into()], Duration::from_secs(5), vec!["VAULT_*".into()])
    );
    let [file, inline] = &*config.settings.templates else { panic!("two templates") };
    assert_eq!((file.perms, file.backup, file.user.as_deref()), (Some(0o600), true, Some("www-data")));
    assert_eq!(file.command.as_ref().map(|command| (command.argv.len(), command.timeout.as_secs())), Some((1, 60)));
    assert_eq!(file.wait, Some(Wait { min: Duration::from_secs(2), max: Duration::from_secs(10) }));
    let text = "{{ range service \"web\" }}\n  server {{ .Name }} ${HOST}:{{ .Port }}\n{{ end }}\n";
    assert_eq!(inline.source, TemplateSource::Contents(text.into()));
}

#[test]
fn old_spellings() {
    let config = fixture("old.hcl");
    assert_eq!((config.consul.address.as_deref(), config.warnings.len()), (Some("consul.example.org:8500"), 1));
    assert_eq!(config.settings.wait, Some(Wait { min: Duration::from_secs(5), max: Duration::from_secs(10) }));
    assert_eq!(config.settings.templates[0].function_denylist, ["plugin", "writeToFile"]);
    let env = config.settings.exec.expect("there is a program").env;
    assert_eq!((env.allowlist, env.denylist), (vec!["CONSUL_*".into()], vec!["VAULT_*".into()]));
}

#[test]
fn the_same_in_three_languages() {
    let hcl = fixture("same.hcl");
    assert_eq!(hcl.settings.templates.len(), 2);
    assert_eq!(fixture("same.json"), hcl);
    assert_eq!(fixture("same.toml"), hcl);
}

#[test]
fn a_folder_of_them() {
    let config = fixture("folder");
    let destinations: Vec<_> = config.settings.templates.iter().map(|template| template.destination.clone()).collect();
    assert_eq!(destinations, ["/etc/haproxy/haproxy.cfg", "/etc/nginx/conf.d/{{.Name}}.conf"].map(PathBuf::from));
    assert_eq!(config.process.log_level, LogLevel::Debug);
}
