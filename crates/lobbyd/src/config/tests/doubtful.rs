//! What works and is hardly meant: an API that everybody reaches, a way to log in that does not count, a moving data folder.
//!
//! Each is a warning that names the setting, its value unless it is secret, and what to do.

use super::*;

/// The one warning of this configuration, if there is any.
#[track_caller]
fn warning(variables: &[(&str, &str)]) -> Option<String> {
    let mut warnings = config(variables).warnings;
    assert!(warnings.len() <= 1, "{warnings:?}");
    warnings.pop()
}

#[test]
fn an_api_that_listens_beyond_this_machine_without_a_token_is_a_warning() {
    let (all, tls) = (("HOST", "0.0.0.0"), lobby_testkit::tls::Ca::new());
    for (variables, doors) in [
        (&[all][..], "HOST = 0.0.0.0:"),
        (&[("HOST", "192.0.2.7")], "HOST = 192.0.2.7:"),
        (&[("HOST", "::")], "HOST = :::"),
        (&[("CONSUL_ADDR", "0.0.0.0:8500")], "CONSUL_ADDR = 0.0.0.0:8500:"),
        (&[all, ("CONSUL_ADDR", "[::]:8500")], "HOST = 0.0.0.0, CONSUL_ADDR = [::]:8500:"),
        (&[all, ("OPERATOR_LOOPBACK", "false")], "HOST = 0.0.0.0:"),
    ] {
        let warning = warning(variables).unwrap();
        assert!(warning.starts_with(doors) && !warning.contains("ENABLE_SCRIPT_CHECKS"), "{warning}");
        for word in ["read everything", "register services", "TOKEN, TOKENS_FILE or TLS_CLIENT_CA"] {
            assert!(warning.contains(word), "{warning}");
        }
    }
    assert!(warning(&[all, ("ENABLE_SCRIPT_CHECKS", "true")]).unwrap().contains("ENABLE_SCRIPT_CHECKS"));
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens.toml");
    std::fs::write(&tokens, "[[token]]\nname = \"n\"\nsecret = \"s3cret\"\n").unwrap();
    std::fs::set_permissions(&tokens, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (tokens, cert, key, root) = (path(&tokens), path(&tls.cert), path(&tls.key), path(&tls.root));
    let https = [all, ("TLS_CERT", &cert), ("TLS_KEY", &key)];
    for variables in [
        &[][..],
        &[("HOST", "localhost")],
        &[("HOST", "::1"), ("CONSUL_ADDR", "127.0.0.2:8500")],
        &[("HOST", "::ffff:127.0.0.1")],
        &[all, ("TOKEN", "s3cret")],
        &[all, ("TOKENS_FILE", &tokens)],
        &[https[0], https[1], https[2], ("TLS_CLIENT_CA", &root)],
        &[all, ("DISABLE_API", "true")],
    ] {
        assert_eq!(warning(variables), None, "{variables:?}");
    }
    assert!(warning(&https).is_some(), "HTTPS alone lets everybody in");
}

#[test]
fn a_way_to_log_in_that_does_not_count_is_a_warning() {
    let (nats, redis, user) = (("NATS_URL", "nats://127.0.0.1"), ("DRIVER", "redis"), ("NATS_USER", "jo"));
    for (variables, words) in [
        (&[nats, user, ("NATS_TOKEN", "s3cret")][..], &["NATS_USER = \"jo\" is not used", "NATS_TOKEN counts"][..]),
        (&[nats, user], &["NATS_USER = \"jo\"", "no NATS_PASSWORD"]),
        (&[redis, ("REDIS_USER", "jo")], &["REDIS_USER = \"jo\" is not used", "REDIS_PASSWORD"]),
        (&[nats, user, ("NATS_PASSWORD", "s3cret")], &[]),
        (&[("NATS_URL", "nats://jo:s3cret@h"), user], &[]),
        (&[nats, ("NATS_TOKEN", "s3cret")], &[]),
        (&[redis, ("REDIS_PASSWORD", "s3cret")], &[]),
        (&[redis, ("REDIS_USER", "jo"), ("REDIS_PASSWORD", "s3cret")], &[]),
        // Of exchanges that do not run: other programs read such variables too.
        (&[user, ("NATS_TOKEN", "s3cret"), ("REDIS_USER", "jo")], &[]),
    ] {
        let warning = warning(variables);
        assert_eq!(warning.is_none(), words.is_empty(), "{variables:?}: {warning:?}");
        let warning = warning.unwrap_or_default();
        assert!(words.iter().all(|word| warning.contains(word)) && !warning.contains("s3cret"), "{warning}");
    }
    let nkey = ("NATS_NKEY", "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY");
    let warnings = config(&[nats, user, ("NATS_TOKEN", "s3cret"), nkey]).warnings;
    assert!(warnings.len() == 2 && warnings.iter().all(|warning| warning.contains("NATS_NKEY counts")), "{warnings:?}");
}

#[test]
fn a_data_folder_that_depends_on_where_we_start_is_a_warning() {
    for folder in ["data", "./data", "../data"] {
        let warning = warning(&[("DATA_DIR", folder)]).unwrap();
        let now = std::env::current_dir().unwrap().display().to_string();
        assert!(warning.contains(&format!("DATA_DIR = {folder:?}")) && warning.contains(&now), "{warning}");
    }
    assert_eq!((warning(&[("DATA_DIR", "/srv/lobby")]), warning(&[])), (None, None));
}
