//! What is refused, and that the error names the key, what was found and what is accepted.

use lobby_render::config::error::TemplateProblem;
use lobby_render::config::{ConfigError, Partial, template_from_toml};

use super::{all, config, try_config};

fn refusal(text: &str) -> ConfigError {
    match try_config(text) {
        Ok(config) => panic!("{text} is {config:?}"),
        Err(error) => error,
    }
}

#[test]
fn unknown_keys_at_every_level() {
    for (text, want_key, want_nearest) in [
        ("templates {}", "templates", "template"),
        ("nosuch = 1", "nosuch", ""),
        ("log_levle = \"warn\"", "log_levle", "log_level"),
        ("consul { adress = \"a\" }", "consul.adress", "address"),
        ("consul { auth { user = \"a\" } }", "consul.auth.user", "username"),
        ("consul { ssl { verfy = true } }", "consul.ssl.verfy", "verify"),
        ("consul { retry { attempt = 1 } }", "consul.retry.attempt", "attempts"),
        ("default_delimiters { lft = \"a\" }", "default_delimiters.lft", "left"),
        ("exec { comand = \"a\" }", "exec.comand", "command"),
        ("exec { env { customs = [] } }", "exec.env.customs", "custom"),
        ("wait { minimum = \"1s\" }", "wait.minimum", "min"),
        ("stagger { at_onc = 1 }", "stagger.at_onc", "at_once"),
        ("template { destinaton = \"a\" }", "template.destinaton", "destination"),
        ("template { exec { time_out = \"1s\" } }", "template.exec.time_out", "timeout"),
        ("template { check { cmmand = \"a\" } }", "template.check.cmmand", "command"),
        ("template \"web\" { source = \"a\" }", "template.web", ""),
    ] {
        match refusal(text) {
            ConfigError::UnknownKey { key, line: 1, nearest } => {
                assert_eq!((&*key, nearest.unwrap_or_default()), (want_key, want_nearest), "{text}")
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    let error = refusal("\n\nconsul {\n  adress = \"a\"\n}");
    assert_eq!(error.to_string(), "line 4: unknown key \"consul.adress\": did you mean `address`?");
    assert!(refusal(&format!("{} = 1", "x".repeat(100_000))).to_string().len() < 200);
}

#[test]
fn values_that_do_not_fit() {
    for (text, want_key, want_found) in [
        ("once = \"maybe\"", "once", "\"maybe\""),
        ("once = 1", "once", "1"),
        ("rate = -1", "rate", "-1"),
        ("rate = 0", "rate", "0"),
        ("rate = 1.5", "rate", "1.5"),
        ("log_level = \"loud\"", "log_level", "\"loud\""),
        ("log_level = 3", "log_level", "3"),
        ("pid_file = true", "pid_file", "true"),
        ("kill_signal = \"SIGFOO\"", "kill_signal", "\"SIGFOO\""),
        ("kill_signal = 65", "kill_signal", "65"),
        ("max_stale = \"10\"", "max_stale", "\"10\""),
        ("max_stale = -1", "max_stale", "-1"),
        ("wait = \"10s:5s\"", "wait", "\"10s:5s\""),
        ("wait = \"-5s\"", "wait", "\"-5s\""),
        ("wait = 5", "wait", "5"),
        ("wait { min = \"10s\" max = \"5s\" }", "wait", "\"10s:5s\""),
        ("stagger { at_once = 0 }", "stagger.at_once", "0"),
        ("stagger { slot = \"0s\" }", "stagger.slot", "0s"),
        ("stagger = 3", "stagger", "3"),
        ("consul = 3", "consul", "3"),
        ("consul = []", "consul", "a list"),
        ("consul { auth = true }", "consul.auth", "true"),
        ("consul { token = 5 }", "consul.token", "5"),
        ("consul { ssl = \"yes\" }", "consul.ssl", "\"yes\""),
        ("exec { command = 5 }", "exec.command", "5"),
        ("exec { command = [\"\", \"a\"] }", "exec.command", "a list"),
        ("exec { command = [\"a\", 1] }", "exec.command", "a list"),
        ("exec { env { custom = [1] } }", "exec.env.custom", "a list"),
        ("exec { env { custom = [\"A=b\", \"Ab\"] } }", "exec.env.custom", "\"Ab\""),
        ("exec { env { custom = \"=b\" } }", "exec.env.custom", "\"=b\""),
        ("exec { env { custom = {} } }", "exec.env.custom", "a block"),
        ("template = \"a:b\"", "template", "\"a:b\""),
        ("template { perms = 600 }", "template.perms", "600"),
        ("template { perms = \"0888\" }", "template.perms", "\"0888\""),
        ("template { perms = \"01777\" }", "template.perms", "\"01777\""),
        ("template { perms = true }", "template.perms", "true"),
        ("template { user = -1 }", "template.user", "-1"),
        ("template { uid = true }", "template.uid", "true"),
        ("template { for_each = \"label\" }", "template.for_each", "\"label\""),
        ("template { for_each = { nodes = \"a\" } }", "template.for_each", "a block"),
        ("template { for_each = { node = 1 } }", "template.for_each", "a block"),
        ("template { source = \"a\" destination = \"b\" wait { min = \"2s\" max = \"1s\" } }", "template.wait", "\"2s:1s\""),
    ] {
        match refusal(text) {
            ConfigError::Value { key, found, accepted, .. } => {
                assert_eq!((&*key, &*found), (want_key, want_found), "{text}");
                assert!(!accepted.is_empty());
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    let error = refusal("template {\n perms = 600\n}").to_string();
    assert_eq!(error, "line 2: template.perms is 600: expected octal permissions as \"0644\", from 0 to 0777");
}

#[test]
fn templates_that_lack_something() {
    use TemplateProblem::{CheckPlace, CheckTimeout, Delimiters, NoDestination, NoText, OneDestination, TwoTexts};
    for (text, want) in [
        ("destination = \"b\"", NoText),
        ("source = \"\" destination = \"b\"", NoText),
        ("source = \"a\" contents = \"x\" destination = \"b\"", TwoTexts),
        ("source = \"a\"", NoDestination),
        ("source = \"a\" destination = \"\"", NoDestination),
        ("source = \"a\" destination = \"b\" for_each = \"node\"", OneDestination),
        ("source = \"a\" destination = \"<.>\" left_delimiter = \"<\" for_each = \"node\"", OneDestination),
        ("source = \"a\" destination = \"b\" left_delimiter = \"|\" right_delimiter = \"|\"", Delimiters),
        ("source = \"a\" destination = \"b\" left_delimiter = \"}}\"", Delimiters),
        ("source = \"a\" destination = \"b\" check = \"x {{.Pth}}\"", CheckPlace),
        ("source = \"a\" destination = \"b\" check = \"x {{Path}}\"", CheckPlace),
        ("source = \"a\" destination = \"b\" check = \"x {{.Path\"", CheckPlace),
        ("source = \"a\" destination = \"b\" check = [\"x\", \"{{.Path}} {{  .Path}}\"]", CheckPlace),
        ("source = \"a\" destination = \"b\" check { command = \"x {{.Path}}\" timeout = 0 }", CheckTimeout),
    ] {
        match refusal(&format!("template {{ {text} }}")) {
            ConfigError::Template { problem, .. } => assert_eq!(problem, want, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    for text in ["source = \"a\"", "source = \"a\" for_each = \"node\""] {
        assert!(try_config(&format!("dry = true template {{ {text} }}")).is_ok(), "{text}");
    }
    assert_eq!(
        refusal("template { source = \"a.tpl\" }").to_string(),
        "template \"a.tpl\": missing destination: expected `destination`, unless nothing is written (-dry)"
    );
}

#[test]
fn names_of_files_that_are_no_template() {
    for (destination, want) in [
        ("x/{{.Name", "template \"a\": template: destination:1: "),
        ("x/{{nosuch .Name}}", "template \"a\": template: destination:1: function \"nosuch\" not defined"),
    ] {
        let error = refusal(&format!("template {{ source = \"a\" destination = \"{destination}\" for_each = \"service\" }}"));
        assert!(error.to_string().starts_with(want), "{error}");
    }
}

#[test]
fn what_has_no_effect_is_warned_about() {
    let of_template = |text: &str| config(&format!("template {{ source = \"a\" destination = \"b\" {text} }}")).warnings;
    for (text, want) in [
        ("roll_back = true", "roll_back does nothing without a command that is waited for"),
        ("roll_back = true command = \"x\" command_timeout = 0", "roll_back does nothing without a command that is waited for"),
        ("command = \"x\" exec { command = \"y\" }", "command is not run: the one of exec is"),
        ("check = \"x y\"", "check does not see the new text: write {{.Path}} where it takes a file"),
        ("function_denylist = [\"[\"]", "function_denylist: no function is called \"[\""),
    ] {
        assert_eq!(of_template(text), [format!("template \"a\": {want}")], "{text}");
    }
    let template = "template { source = \"a\" destination = \"b\" }";
    for (text, want) in [
        ("", &["there is no template: nothing is rendered"][..]),
        (&format!("{template} diff = true"), &["diff does nothing without dry"]),
        (&format!("{template} stagger {{ slot = \"1s\" }}"), &["stagger does nothing without commands"]),
        (&format!("{template} diff = true dry = true stagger {{ slot = \"1s\" }} exec {{ command = \"x\" }}"), &[]),
    ] {
        assert_eq!(config(text).idle(), want, "{text}");
    }
}

#[test]
fn what_is_not_there_is_warned_about() {
    let users = "template { source = \"a\" destination = \"b\" user = \"no such\" } template { source = \"c\" destination = \"d\" user = \"root\" }";
    let config = config(&format!("keys_dir = \"/no/such\" {users}"));
    let missing = lobby_render::config::missing(&config.settings, config.keys_dir.as_deref());
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert_eq!(missing[0], "keys_dir /no/such is no folder: there are no keys");
    assert!(missing[1].starts_with("template 1 (a -> b): user \"no such\" is not in /etc/passwd"), "{missing:?}");
}

#[test]
fn texts_of_other_languages() {
    assert!(
        matches!(Partial::from_hcl("[consul]\naddress = 1"), Err(ConfigError::Hcl(error)) if (error.line, error.column) == (1, 1))
    );
    assert!(matches!(Partial::from_hcl("template:\n  - a"), Err(ConfigError::Hcl(error)) if error.line == 2));
    assert!(matches!(Partial::from_toml("consul {}"), Err(ConfigError::Toml(_))));
    let error = Partial::from_hcl("").and_then(|partial| partial.resolve(|name| (name == "CT_LOG").then(|| "loud".into())));
    let text = all(&error.expect_err("there is no such level"));
    assert_eq!(text, "CT_LOG: log_level is \"loud\": expected one of trace, debug, info, warn and err");
}

#[test]
fn a_template_of_lobbyd() {
    for (text, want) in
        [("source = 1", "source is 1: expected a text in quotes"), ("sorce = 1", "unknown key \"sorce\": did you mean `source`?")]
    {
        let table: toml::Table = text.parse().expect("it is TOML");
        assert_eq!(template_from_toml(&table).expect_err("it is refused").to_string(), want);
    }
}
