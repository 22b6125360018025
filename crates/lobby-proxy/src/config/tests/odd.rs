//! Tests of `[proxy]`: what is taken with a warning, a key too many in every table, and values of any kind.

use proptest::prelude::*;

use super::*;

#[test]
fn what_is_taken_with_a_warning() {
    let haproxy = "[proxy.haproxy]\nconfig = \"/h\"\nmanage = true\n";
    let slow = "proxy.haproxy.defaults: no `option redispatch`, nor in the lines of web";
    for (whole, service, want) in [
        ("", "server_options = \"check inter 1s ssl verify none sni str(%{host}) # x\"", None),
        (
            "",
            "server_options = \"chekc inter 1s\"",
            Some("server_options: \"chekc\" is no option of a server that is known: did you mean `check`?"),
        ),
        ("reload_command = \"true\"", "", Some("proxy.haproxy.reload_command: not used")),
        ("defaults = [\"mode tcp\"]", "", Some(slow)),
        ("defaults = [\"mode tcp\"]", "backend = [\"option redispatch 1\"]", None),
        ("defaults = [\"mode tcp\", \"option redispatch\"]", "", None),
    ] {
        let (_, warnings) = parsed(&format!("{haproxy}{whole}\n[proxy.service.web]\nport = 1\n{service}\n"));
        assert_eq!(warnings.len(), usize::from(want.is_some()), "{warnings:?}");
        assert!(want.is_none_or(|want| warnings[0].contains(want)), "{warnings:?}");
    }
}

/// Plants a key into each table, in turn, and calls with each.
fn plant(value: &toml::Value, call: &mut dyn FnMut(toml::Value)) {
    match value {
        toml::Value::Table(table) => {
            let mut with = table.clone();
            with.insert("zzz_unknown".into(), toml::Value::Boolean(true));
            call(toml::Value::Table(with));
            for (key, inner) in table {
                plant(inner, &mut |inner| {
                    let mut with = table.clone();
                    with.insert(key.clone(), inner);
                    call(toml::Value::Table(with));
                });
            }
        }
        toml::Value::Array(list) => {
            for (at, inner) in list.iter().enumerate() {
                plant(inner, &mut |inner| {
                    let mut with = list.clone();
                    with[at] = inner;
                    call(toml::Value::Array(with));
                });
            }
        }
        _ => {}
    }
}

#[test]
fn an_unknown_key_is_refused_in_every_table() {
    let mut planted = 0;
    plant(&toml::Value::Table(table(ALL)), &mut |value| {
        planted += 1;
        let table = value.as_table().unwrap();
        // Labels may be called anything.
        if table.to_string().contains("rack = \"a\", zzz_unknown") {
            return;
        }
        assert!(from_toml(table).is_err(), "{table}");
    });
    assert_eq!(planted, 25);
}

proptest! {
    /// Any scalar at the place of any value is taken or refused with words.
    #[test]
    fn no_value_is_too_much(at in 0..ALL.len(), length in 0_usize..30, piece in ".{0,10}") {
        let end = (at + length).min(ALL.len());
        prop_assume!(ALL.is_char_boundary(at) && ALL.is_char_boundary(end));
        let text = format!("{}{piece}{}", &ALL[..at], &ALL[end..]);
        if let Ok(table) = text.parse::<toml::Table>()
            && let Some(proxy) = table.get("proxy").and_then(toml::Value::as_table)
            && !proxy.contains_key("synapse")
            && let Err(err) = from_toml(proxy)
        {
            prop_assert!(!err.to_string().is_empty());
        }
    }
}
