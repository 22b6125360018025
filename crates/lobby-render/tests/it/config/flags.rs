//! The command line: Go's rules, each flag's key, what is refused.

use std::path::PathBuf;

use lobby_render::config::{Config, Exit, FlagError, Flags, flags::usage, load};

use super::all;

fn parse(words: &[&str]) -> Result<Flags, FlagError> {
    Flags::parse(words.iter().map(|word| (*word).to_owned()))
}

fn config(words: &[&str]) -> Config {
    let flags = parse(words).unwrap_or_else(|error| panic!("{words:?}: {}", all(&error)));
    let Flags::Run { partial, .. } = flags else { panic!("{words:?} is {flags:?}") };
    partial.resolve(|_| None).unwrap_or_else(|error| panic!("{words:?}: {}", all(&error)))
}

/// The same as a text in HCL.
fn same(words: &[&str], text: &str) {
    assert_eq!(Config { warnings: vec![], ..config(words) }, Config { warnings: vec![], ..super::config(text) }, "{words:?}");
}

#[test]
fn forms() {
    for words in [&["-max-stale", "5s"][..], &["--max-stale", "5s"], &["-max-stale=5s"], &["--max-stale=5s", "--"]] {
        same(words, "max_stale = \"5s\"");
    }
    for words in [&["-once"][..], &["--once"], &["-once=true"], &["-once=1"], &["-once=false", "-once"]] {
        same(words, "once = true");
    }
    same(&["-once=F"], "");
    same(&["-kill-signal", "", "-pid-file="], "kill_signal = \"\"");
    same(&["-consul-token", "-once"], "consul { token = \"-once\" }");
}

#[test]
fn each_flag_sets_its_key() {
    for (words, text) in [
        (&["-dry", "-diff", "-parse-only"][..], "dry = true diff = true parse_only = true"),
        (&["-wait", "5s"], "wait { min = \"5s\" max = \"20s\" }"),
        (&["-wait", "5s:10s"], "wait { min = \"5s\" max = \"10s\" }"),
        (&["-exec", "p q"], "exec { command = \"p q\" }"),
        (
            &["-exec=p", "-exec-kill-signal=TERM", "-exec-kill-timeout=2s", "-exec-reload-signal=HUP", "-exec-splay=1s"],
            "exec { command = \"p\" kill_signal = \"TERM\" kill_timeout = \"2s\" reload_signal = \"HUP\" splay = \"1s\" }",
        ),
        (
            &["-exec=p", "-exec-env-pristine", "-exec-env-custom", "A=1", "-exec-env-custom=B=2", "-exec-env-allowlist=A*"],
            "exec { command = \"p\" env { pristine = true custom = [\"A=1\", \"B=2\"] allowlist = [\"A*\"] } }",
        ),
        (&["-exec=p", "-exec-env-denylist=X", "-exec-env-blacklist=Y"], "exec { command = \"p\" env { denylist = \"X,Y\" } }"),
        (&["-kill-signal=SIGTERM", "-reload-signal=SIGNULL"], "kill_signal = 15 reload_signal = \"\""),
        (&["-pid-file=/p", "-log-level=info"], "pid_file = \"/p\" log_level = \"info\""),
        (&["-max-stale=1s", "-block-query-wait=9s"], "max_stale = \"1s\" block_query_wait = \"9s\""),
        (&["-consul-addr", "h:1"], "consul { address = \"h:1\" }"),
        (&["-consul", "h:1"], "consul = \"h:1\""),
        (&["-consul-namespace=n", "-consul-auth=u:w"], "consul { namespace = \"n\" auth { username = \"u\" password = \"w\" } }"),
        (&["-consul-token=t", "-consul-token-file=/t"], "consul { token = \"t\" token_file = \"/t\" }"),
        (&["-consul-retry=false", "-consul-retry-attempts=3"], "consul { retry { enabled = false attempts = 3 } }"),
        (
            &["-consul-retry-backoff=1s", "-consul-retry-max-backoff=2s"],
            "consul { retry { backoff = \"1s\" max_backoff = \"2s\" } }",
        ),
        (&["-retry=10s"], "consul { retry { backoff = \"10s\" max_backoff = \"10s\" } }"),
        (&["-consul-ssl"], "consul { ssl { enabled = true } }"),
        (&["-consul-ssl-verify=false", "-consul-ssl-cert=/c"], "consul { ssl { verify = false cert = \"/c\" } }"),
        (&["-consul-ssl-key=/k", "-consul-ssl-ca-cert=/a"], "consul { ssl { key = \"/k\" ca_cert = \"/a\" } }"),
        (&["-consul-ssl-ca-path=/p", "-consul-ssl-server-name=s"], "consul { ssl { ca_path = \"/p\" server_name = \"s\" } }"),
        (&["-auth=u", "-token=t", "-ssl"], "consul { auth = \"u\" token = \"t\" ssl { enabled = true } }"),
        (&["-err-on-failed-lookup", "-keys-dir=/k"], "err_on_failed_lookup = true keys_dir = \"/k\""),
        (&["-rate=7", "-stagger-at-once=2", "-stagger-slot=5s"], "rate = 7 stagger { at_once = 2 slot = \"5s\" }"),
        (
            &["-template=a:b", "-default-left-delimiter=<", "-default-right-delimiter=>", "-template-error-fatal=false"],
            "template { source = \"a\" destination = \"b\" left_delimiter = \"<\" right_delimiter = \">\" error_fatal = false }",
        ),
    ] {
        same(words, text);
    }
}

#[test]
fn what_does_nothing_is_accepted_with_one_warning() {
    let words = [
        "-vault-addr=a",
        "-vault-renew-token",
        "-vault-token",
        "t",
        "-nomad-addr",
        "x",
        "-dedup",
        "-syslog",
        "-syslog-name=a",
        "-log-file=/l",
        "-log-rotate-bytes=5",
        "-consul-transport-dial-timeout=1s",
        "-consul-transport-disable-keep-alives=false",
    ];
    same(&words, "");
    assert_eq!(config(&words).warnings.len(), 6);
    assert_eq!(config(&["-consul=h:1"]).warnings.len(), 1);
}

#[test]
fn templates_are_split_at_colons() {
    for (word, source, destination, command) in [
        ("a:b", "a", "b", None),
        ("./x.tpl:./x:./run.sh", "./x.tpl", "./x", Some("./run.sh")),
        ("a:b:c -p 1:2", "a", "b", Some("c -p 1:2")),
        ("a:b:curl http://[::1]:80/", "a", "b", Some("curl http://[::1]:80/")),
        ("in::cmd", "in", "cmd", None),
        (":a:b:", "a", "b", None),
        ("a:out", "a", "out", None),
    ] {
        let command = command.map(|command| format!("command = \"{command}\"")).unwrap_or_default();
        same(&["-template", word], &format!("template {{ source = \"{source}\" destination = \"{destination}\" {command} }}"));
    }
    same(&["-dry", "-template=a"], "dry = true template { source = \"a\" }");
    same(
        &["-template=a:b", "-template=c:d"],
        "template { source = \"a\" destination = \"b\" } template { source = \"c\" destination = \"d\" }",
    );
    for word in ["", " ", ":", "::", " :b"] {
        assert!(matches!(parse(&["-template", word]), Err(FlagError::NoTemplate)), "{word:?}");
    }
}

#[test]
fn help_version_and_files() {
    for words in [&["-h"][..], &["--help"], &["-once", "-h", "-unknown"]] {
        assert_eq!(parse(words).expect("it is help"), Flags::Help, "{words:?}");
    }
    for words in [&["-v"][..], &["-version"], &["--v=true", "-once"]] {
        assert_eq!(parse(words).expect("it is the version"), Flags::Version, "{words:?}");
    }
    let Ok(Flags::Run { configs, .. }) = parse(&["-config", "b", "-once", "--config=a", "-v=false"]) else { panic!("two files") };
    assert_eq!(configs, [PathBuf::from("b"), PathBuf::from("a")]);
}

#[test]
fn refused() {
    assert!(matches!(parse(&["-onec"]), Err(FlagError::Unknown { flag, nearest: Some("once") }) if flag == "onec"));
    for (word, hint) in [
        ("-nosuch", ""),
        ("-consu", ": did you mean -consul-ssl?"),
        ("-tokn=x", ""),
        ("-consul-adr=x", ": did you mean -consul-addr?"),
    ] {
        let name = word.trim_matches('-').trim_end_matches("=x");
        assert_eq!(parse(&[word]).unwrap_err().to_string(), format!("unknown flag -{name}{hint}"));
    }
    assert!(matches!(parse(&["-vault-adr=x"]), Err(FlagError::Unknown { nearest: Some("vault-addr"), .. })));
    assert!(matches!(parse(&["-v", "-x=1"]), Err(FlagError::Unknown { .. })));
    assert!(matches!(parse(&["---once"]), Err(FlagError::Syntax(word)) if word == "---once"));
    assert!(matches!(parse(&["-=1"]), Err(FlagError::Syntax(_))));
    assert!(matches!(parse(&["-once", "-config"]), Err(FlagError::NoValue(flag)) if flag == "config"));
    for words in [&["a"][..], &["-once", "true"], &["-"], &[""], &["--", "-once"], &["-once", "--", "a"]] {
        assert!(matches!(parse(words), Err(FlagError::Leftover(_))), "{words:?}");
    }
    for words in
        ["-wait=10s:5s", "-wait=-1s", "-once=maybe", "-v=x", "-max-stale=5", "-log-level=loud", "-consul-retry-attempts=x"]
    {
        assert!(matches!(parse(&[words]), Err(FlagError::Value { .. })), "{words}");
    }
    let error = parse(&["-exec-splay=never"]).expect_err("it is none");
    assert_eq!(
        all(&error),
        "flag -exec-splay: exec.splay is \"never\": expected a duration as \"1h2m\" or \"300ms\", or a number of nanoseconds, \
         not negative"
    );
}

#[test]
fn exit_codes() {
    assert_eq!([Exit::Ok, Exit::Stopped, Exit::Flags, Exit::Runner, Exit::Config].map(Exit::code), [0, 12, 13, 14, 15]);
}

#[test]
fn help_names_every_flag_that_does_something_and_parses_it() {
    let text = usage("consul-template");
    let mut seen = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("  -")) {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let word = match (name, value) {
            (_, "") => format!("-{name}"),
            (_, "DURATION" | "MIN[:MAX]") => format!("-{name}=1s"),
            (_, "NUMBER") => format!("-{name}=1"),
            (_, "SIGNAL") => format!("-{name}=INT"),
            (_, "LEVEL") => format!("-{name}=info"),
            (_, "NAME=VALUE") => format!("-{name}=A=b,c"),
            _ => format!("-{name}=a"),
        };
        assert!(parse(&[&word]).is_ok(), "{word}");
        seen += 1;
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn flags_go_over_files() {
    let Ok(Flags::Run { partial, .. }) = parse(&["-consul-addr=flag:1", "-template=c:d"]) else { panic!("flags") };
    let local = "consul { address = \"local:1\" namespace = \"n\" } template { source = \"a\" destination = \"b\" }";
    let whole = load(Some(local), &[], *partial).expect("it is good").resolve(|_| None).expect("it is good");
    assert_eq!((whole.consul.address.as_deref(), whole.consul.namespace.as_deref()), (Some("flag:1"), Some("n")));
    let destinations: Vec<_> =
        whole.settings.templates.iter().map(|template| template.destination.display().to_string()).collect();
    assert_eq!(destinations, ["b", "d"]);
}
