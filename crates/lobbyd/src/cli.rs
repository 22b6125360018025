//! The command line: made from the table of settings, so help and configuration cannot disagree.
//!
//! Single-dash long options of the old tools (`-host H`) are rewritten before parsing. What is parsed here is text;
//! `config` gives it types, so that `--help` works whatever the configuration holds.

use std::{ffi::OsString, path::PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, error::ErrorKind};

use crate::config::{
    raw::{Origin, Raw},
    setting::{GROUPS, Kind, SETTINGS},
};

mod paper;
pub(crate) mod proxy;
pub(crate) mod serf;

pub(crate) use paper::Paper;

/// What to do with the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Run,
    Check,
    Print,
}

/// The command line.
pub(crate) struct Cli {
    pub(crate) mode: Mode,
    pub(crate) dev: bool,
    pub(crate) config: Option<PathBuf>,
    /// To print this about the command line itself, and nothing else.
    pub(crate) generate: Option<Paper>,
    matches: ArgMatches,
}

const ABOUT: &str = "Shares what runs on this server and answers what runs on all others.

Without any setting the agent speaks gossip on 127.0.0.1:1314 and answers HTTP on 127.0.0.1:1313.
Every setting is a flag, an environment variable (NAME or LOBBY_NAME) and a key of the file;
flags win over the environment, the environment over the file. docs/configuration.md has them all.

`lobbyd proxy` keeps HAProxy and nginx in step without an agent in the process; `lobbyd proxy --help` says how.";

/// The command with a flag for each setting.
pub(crate) fn command() -> Command {
    let mut command = Command::new("lobbyd")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Shares what runs on this server and answers what runs on all others.")
        .long_about(ABOUT)
        .arg(Arg::new("config").long("config").value_name("FILE").help("Reads settings from this TOML file [env: LOBBY_CONFIG]"))
        .arg(flag("dev", "Throw-away agent: temporary folder, free ports where none is given, a name of its own"))
        .arg(flag("check-config", "Checks the configuration and ends: status 0, or 64 and what is wrong"))
        .arg(flag("print-config", "Prints the configuration and where each value comes from, without secrets"))
        .arg(
            Arg::new("generate")
                .long("generate")
                .value_name("PAPER")
                .hide(true)
                .value_parser(clap::builder::PossibleValuesParser::new(Paper::NAMES)),
        );
    for (group, heading) in GROUPS {
        for setting in SETTINGS.iter().filter(|setting| setting.group() == *group) {
            let default = if setting.default.is_empty() { String::new() } else { format!(" [default: {}]", setting.default) };
            let mut arg = Arg::new(setting.name)
                .long(setting.flag())
                .value_name(setting.value)
                .help(format!("{}{default} [env: {}]", setting.help, setting.name))
                .help_heading(*heading)
                .allow_hyphen_values(true);
            if setting.value == "BOOL" {
                arg = arg.num_args(0..=1).default_missing_value("true").require_equals(true);
            }
            if setting.name == "GOSSIP_JOIN" {
                arg = arg.visible_alias("join").action(ArgAction::Append);
            }
            if setting.kind == Kind::Lines {
                arg = arg.action(ArgAction::Append);
            }
            command = command.arg(arg);
        }
    }
    command
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

impl Cli {
    /// Reads the arguments; on a mistake, or for `--help`, clap's error says what to print and how to exit.
    pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self, clap::Error> {
        let arguments: Vec<_> = arguments.map(double_dash).collect();
        if let Some(flag) = without_value(&arguments) {
            let why = format!("a value is required for --{flag}; one that begins with -- is joined to it: --{flag}=--VALUE");
            return Err(command().error(ErrorKind::InvalidValue, why));
        }
        let matches = command().try_get_matches_from(arguments)?;
        let mode = match (matches.get_flag("check-config"), matches.get_flag("print-config")) {
            (true, _) => Mode::Check,
            (false, true) => Mode::Print,
            (false, false) => Mode::Run,
        };
        let config = matches.get_one::<String>("config").map(PathBuf::from);
        let generate = matches.get_one::<String>("generate").and_then(|name| Paper::named(name));
        Ok(Self { mode, dev: matches.get_flag("dev"), config, generate, matches })
    }

    /// Adds the flags that were given.
    pub(crate) fn read_flags(&self, raw: &mut Raw) {
        for setting in SETTINGS {
            if let Some(values) = self.matches.get_many::<String>(setting.name) {
                raw.set(setting, &values.cloned().collect::<Vec<_>>().join(setting.kind.separator()), Origin::Flag);
            }
        }
    }
}

/// `-host` becomes `--host` when that is a flag of ours; everything else stays.
fn double_dash(argument: OsString) -> OsString {
    let Some(name) = argument.to_str().and_then(|text| text.strip_prefix('-')) else { return argument };
    let bare = name.split('=').next().unwrap_or_default();
    let ours = ["config", "dev", "check-config", "print-config", "join", "help", "version"];
    if ours.contains(&bare) || SETTINGS.iter().any(|setting| setting.flag() == bare) {
        return format!("--{name}").into();
    }
    argument
}

/// The first flag of a setting whose value was forgotten. Values may begin with a dash, as negative numbers and some
/// passwords do, so clap would take the next flag for it: `--token --check-config` would start a daemon.
fn without_value(arguments: &[OsString]) -> Option<&str> {
    let takes_value =
        |flag: &str| flag == "join" || SETTINGS.iter().any(|setting| setting.value != "BOOL" && setting.flag() == flag);
    arguments.windows(2).skip(1).find_map(|pair| {
        let flag = pair[0].to_str()?.strip_prefix("--")?;
        (takes_value(flag) && pair[1].as_encoded_bytes().starts_with(b"--")).then_some(flag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(arguments: &[&str]) -> Raw {
        let arguments = ["lobbyd"].iter().chain(arguments).map(OsString::from);
        let mut raw = Raw::default();
        Cli::parse(arguments).unwrap().read_flags(&mut raw);
        raw
    }

    #[test]
    fn the_command_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn single_and_double_dashes_and_bare_truths_work() {
        let raw = flags(&["-host", "127.0.0.2", "--port=0", "--disable-api", "-register=false", "--join", "a", "--join", "b"]);
        assert_eq!(raw.value("HOST"), ("127.0.0.2", Origin::Flag));
        assert_eq!(raw.value("PORT"), ("0", Origin::Flag));
        assert_eq!(raw.value("DISABLE_API"), ("true", Origin::Flag));
        assert_eq!(raw.value("REGISTER"), ("false", Origin::Flag));
        assert_eq!(raw.value("GOSSIP_JOIN"), ("a,b", Origin::Flag));
        let raw = flags(&["--on", "member-join,user:a=x -y", "-on=query=z"]);
        assert_eq!(raw.value("ON"), ("member-join,user:a=x -y\nquery=z", Origin::Flag));
    }

    #[test]
    fn the_next_flag_is_no_value() {
        for (arguments, flag) in [
            (&["--token", "--check-config"][..], "token"),
            (&["--port", "1", "-token", "-check-config"], "token"),
            (&["--nats-password", "--s3cret"], "nats-password"),
            (&["--cluster", "--print-config"], "cluster"),
            (&["--join", "--join", "a"], "join"),
            (&["--token", "--", "x"], "token"),
        ] {
            let err = Cli::parse(["lobbyd"].iter().chain(arguments).map(OsString::from)).err().unwrap();
            assert_eq!(err.kind(), ErrorKind::InvalidValue, "{arguments:?}");
            let said = err.to_string();
            assert!(said.contains(&format!("--{flag}=--VALUE")) && !said.contains("s3cret"), "{said}");
        }
        let raw = flags(&["--token=--check-config", "--nats-password", "-s3cret", "--disable-api", "--redis-db", "-1"]);
        assert_eq!(raw.value("TOKEN"), ("--check-config", Origin::Flag));
        assert_eq!(raw.value("NATS_PASSWORD"), ("-s3cret", Origin::Flag));
        assert_eq!(raw.value("REDIS_DB"), ("-1", Origin::Flag));
    }

    #[test]
    fn an_unknown_flag_names_the_nearest() {
        let err = Cli::parse(["lobbyd", "--gossip-adr", "x"].iter().map(OsString::from)).err().unwrap();
        assert!(err.to_string().contains("--gossip-addr"), "{err}");
    }
}
