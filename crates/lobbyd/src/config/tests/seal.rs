//! EXCHANGE_KEY and EXCHANGE_UNSIGNED: what is taken, what is refused and how that is told, what is a warning.
//!
//! Not here: whole agents with keys (`tests/it/sealed.rs`).

use std::{fs, os::unix::fs::PermissionsExt};

use lobby_testkit::TempDir;

use super::*;

/// The broker that the keys are for.
const NATS: (&str, &str) = ("NATS_URL", "nats://127.0.0.1:4222");

fn key(digit: char) -> String {
    format!("{}A=", digit.to_string().repeat(42))
}

fn taken(text: &str) -> lobby::seal::Keys {
    config(&[NATS, ("EXCHANGE_KEY", text)]).exchange_keys.borrow().clone()
}

#[test]
fn keys_of_brokers_stand_in_the_setting_or_in_a_file() {
    assert!(config(&[]).exchange_keys.borrow().list.is_empty());
    let two = taken(&format!("{}, {},", key('A'), key('B')));
    assert_eq!((two.list.len(), two.takes_unsigned), (2, false));
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keys");
    fs::write(&path, format!("# new\n{}\n\n{} # old\n", key('A'), key('B'))).unwrap();
    let path = path.display().to_string();
    assert_eq!(taken(&path), two);
    for (mode, n_warnings) in [(0o644, 1), (0o400, 0)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(config(&[NATS, ("EXCHANGE_KEY", &path)]).warnings.len(), n_warnings, "{mode:o}");
    }
    // A key may begin like a path.
    assert_eq!(taken(&key('/')).list.len(), 1);
}

#[test]
fn a_key_that_is_set_but_empty_is_refused_in_every_layer() {
    let names = |message: &str| {
        for word in ["EXCHANGE_KEY = ", "1 to 5 different keys", "base64 of 32 bytes", "there is none", "leave it out"] {
            assert!(message.contains(word), "{message}");
        }
    };
    for empty in ["", " ", ",", " , ,"] {
        for name in ["EXCHANGE_KEY", "LOBBY_EXCHANGE_KEY"] {
            let message = refused(&[(name, empty)]);
            names(&message);
            assert!(message.contains(&format!("the variable {name}")) && !message.contains("<hidden>"), "{message}");
        }
        let mut raw = Raw::default();
        raw.set(setting::by_name("EXCHANGE_KEY").unwrap(), empty, Origin::Flag);
        names(&Config::from_raw(raw, false).err().unwrap().to_string());
        names(&file(&format!("[exchange]\nkey = {empty:?}\n")).err().unwrap().to_string());
    }
    names(&file("[exchange]\nkey = []\n").err().unwrap().to_string());
    // It does not fall back to a layer below: that would be the key of before.
    let mut raw = Raw::default();
    raw.read_file(Path::new("f"), &format!("[exchange]\nkey = {:?}\n", key('A'))).unwrap();
    raw.read_environment([("EXCHANGE_KEY".to_owned(), String::new())].into_iter());
    names(&Config::from_raw(raw, false).err().unwrap().to_string());
}

#[test]
fn what_is_wrong_with_a_key_is_told_by_its_place_and_without_it() {
    let (a, b) = (key('A'), key('B'));
    let sixteen = format!("{}==", "C".repeat(22));
    let all: Vec<_> = ('A'..='F').map(key).collect();
    for (text, why) in [
        ("s3cret", "item 1 is not base64"),
        (&format!("{a},s3cr-t"), "item 2 is not base64"),
        (&format!("{a},,{}", b.trim_end_matches('=')), "item 3 is not base64: it has 43 characters, a key has 44"),
        (&format!("{sixteen},{a}"), "item 1 is base64 of 16 bytes, not of 32"),
        (&b.replace("A=", "B="), "item 1 is not base64"),
        (&format!("{a},{b},{a}"), "item 3 is the same key as item 1"),
        (&all.join(","), "there are 6"),
        (&format!("{},/etc/lobby/keys", key('/')), "item 2 is not base64"),
        (&format!("/{}", "aB3".repeat(14)), "as a file: "),
        (&format!("/{}=", "a".repeat(42)), "as a file: "),
    ] {
        let message = refused(&[("EXCHANGE_KEY", text)]);
        assert!(message.contains(why) && message.contains("EXCHANGE_KEY = \"<hidden>\""), "{why}: {message}");
        assert!(text.split(',').filter(|item| !item.is_empty()).all(|item| !message.contains(item)), "{message}");
    }
}

#[test]
fn what_is_wrong_with_a_file_of_keys_is_told_with_its_path() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("Keys-2.txt").display().to_string();
    let (a, b) = (key('A'), key('B'));
    let all: Vec<_> = ('A'..='F').map(key).collect();
    for (text, why) in [
        (format!("{a}\n# old\ns3cr-t # {b}\n"), "line 3 is not base64"),
        (format!("{a},{}==\n", "C".repeat(22)), "line 1 is base64 of 16 bytes, not of 32"),
        (format!("{a}\n{b}\n\n{a}\n"), "line 4 is the same key as line 1"),
        (all.join("\n"), "there are 6"),
        ("# none yet\n\n".into(), "there is none"),
        (String::new(), "there is none"),
        ("#".repeat(70_000), "at most 65536 bytes"),
    ] {
        fs::write(&path, &text).unwrap();
        let message = refused(&[("EXCHANGE_KEY", &path)]);
        assert!(message.contains(why) && message.contains(&format!("EXCHANGE_KEY = {path:?}")), "{why}: {message}");
        assert!(!message.contains(&a) && !message.contains("s3cr-t"), "{message}");
    }
    for (path, why) in [("/nonexistent/keys", "No such file"), ("/dev/null", "not a file"), ("/etc", "not a file")] {
        let message = refused(&[("EXCHANGE_KEY", path)]);
        assert!(message.contains(why) && message.contains(&format!("EXCHANGE_KEY = {path:?}")), "{message}");
    }
}

#[test]
fn no_key_is_printed_as_none() {
    let printed = environment(&[]).print();
    assert!(printed.contains("\n# key = \"\" # default\n"), "{printed}");
    let printed = environment(&[("EXCHANGE_KEY", &key('A'))]).print();
    assert!(printed.contains("\nkey = \"<hidden>\" # EXCHANGE_KEY\n"), "{printed}");
}

#[test]
fn seals_that_protect_nothing_are_a_warning() {
    let key = key('A');
    let (key, unsigned) = (("EXCHANGE_KEY", key.as_str()), ("EXCHANGE_UNSIGNED", "true"));
    for (variables, words) in [
        (&[NATS, unsigned][..], &["EXCHANGE_UNSIGNED", "without EXCHANGE_KEY"][..]),
        (&[NATS, key, unsigned], &["EXCHANGE_UNSIGNED", "until it is taken away"]),
        (&[key], &["EXCHANGE_KEY", "DRIVER is gossip"]),
        (&[NATS, key, ("DRIVER", "Gossip")], &["EXCHANGE_KEY", "DRIVER is gossip"]),
        (&[NATS, key], &[]),
        (&[NATS, key, ("DRIVER", "gossip,redis")], &[]),
    ] {
        let warnings = config(variables).warnings;
        assert_eq!(warnings.len(), usize::from(!words.is_empty()), "{warnings:?}");
        assert!(words.iter().all(|word| warnings[0].contains(word)), "{warnings:?}");
    }
}
