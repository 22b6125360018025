//! The command lines of a proxy without an agent: `lobbyd proxy`, and those of Synapse and Nerve for a program of their name.
//!
//! ```text
//! lobbyd proxy --synapse FILE | --nerve FILE | --config FILE
//! synapse -c FILE                     SYNAPSE_CONFIG, DEBUG
//! nerve -c FILE [-i ID] [-k]          NERVE_CONFIG, NERVE_INSTANCE_ID, NERVE_CHECK_CONFIG
//! ```
//! Where the agent is that services of the catalog are asked from, and how to log, are the settings of `lobbyd` of that name.
//! Not here: what is done with all that (`alone`).

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Arg, ArgAction, ArgGroup, ArgMatches, Command,
    builder::{FalseyValueParser, ValueParser},
};

use crate::config::{
    raw::{Origin, Raw},
    setting::{SETTINGS, by_name},
};

/// Settings of the agent that say where it is, and those of the log.
const ALSO: [&str; 6] = ["HOST", "PORT", "SOCKET", "TOKEN", "LOG", "LOG_FORMAT"];

/// Under which name it was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Lobbyd,
    Synapse,
    Nerve,
}

/// The files that say what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Files {
    /// A file of lobbyd, of which `[proxy]` counts, and where the agent is.
    pub(crate) config: Option<PathBuf>,
    pub(crate) synapse: Option<PathBuf>,
    pub(crate) nerve: Option<PathBuf>,
}

/// The command line of a proxy without an agent.
#[derive(Debug)]
pub(crate) struct Alone {
    pub(crate) program: Program,
    pub(crate) files: Files,
    /// Nerve's `instance_id`, instead of that in its file.
    pub(crate) instance: Option<String>,
    /// Only look whether the files are good.
    pub(crate) is_check: bool,
    pub(crate) is_debug: bool,
    /// How the agent is reached; None: with TLS if its settings have a certificate.
    pub(crate) proto: Option<String>,
    pub(crate) ca_cert: Option<PathBuf>,
    matches: ArgMatches,
}

impl Program {
    /// As people call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Lobbyd => "lobbyd proxy",
            Self::Synapse => "synapse",
            Self::Nerve => "nerve",
        }
    }

    fn command(self) -> Command {
        let (own, of) = match self {
            Self::Lobbyd => return lobbyd(),
            Self::Synapse => {
                ([file("config", Some('c'), "Synapse's file: JSON or YAML").env("SYNAPSE_CONFIG")].to_vec(), "Synapse")
            }
            Self::Nerve => (nerve(), "Nerve"),
        };
        let about = format!("Lobby, with the command line of {of}. `lobbyd proxy --help` has more.");
        Command::new(self.name()).version(env!("CARGO_PKG_VERSION")).about(about).args(own)
    }
}

/// The command line, if it is one of these.
pub(crate) fn find(arguments: impl Iterator<Item = OsString>) -> Option<Result<Alone, clap::Error>> {
    let mut arguments: Vec<_> = arguments.collect();
    let called = PathBuf::from(arguments.first()?);
    let program = match called.file_name()?.to_str()? {
        "synapse" => Program::Synapse,
        "nerve" => Program::Nerve,
        _ if arguments.get(1).is_some_and(|word| word == "proxy") => {
            arguments.remove(0);
            Program::Lobbyd
        }
        _ => return None,
    };
    Some(program.command().try_get_matches_from(arguments).map(|matches| Alone::of(program, matches)))
}

impl Alone {
    fn of(program: Program, matches: ArgMatches) -> Self {
        let given = |id: &str| matches.try_get_one::<PathBuf>(id).ok().flatten().cloned();
        let config = given("config");
        let files = match program {
            Program::Lobbyd => Files { config, synapse: given("synapse"), nerve: given("nerve") },
            Program::Synapse => Files { synapse: config, ..Files::default() },
            Program::Nerve => Files { nerve: config, ..Files::default() },
        };
        let text = |id: &str| matches.try_get_one::<String>(id).ok().flatten().cloned();
        Self {
            files,
            instance: text("instance_id"),
            is_check: matches.try_get_one::<bool>("check").ok().flatten().is_some_and(|check| *check),
            is_debug: program == Program::Synapse && std::env::var_os("DEBUG").is_some(),
            proto: text("proto"),
            ca_cert: given("ca-cert"),
            program,
            matches,
        }
    }

    /// Adds the settings that were given.
    pub(crate) fn read_flags(&self, raw: &mut Raw) {
        for setting in SETTINGS.iter().filter(|setting| ALSO.contains(&setting.name)) {
            if let Ok(Some(value)) = self.matches.try_get_one::<String>(setting.name) {
                raw.set(setting, value, Origin::Flag);
            }
        }
    }
}

fn lobbyd() -> Command {
    const ABOUT: &str = "Keeps HAProxy, nginx and files in step, without an agent in this process: no listener, no exchange,
no data folder. Services of the catalog are asked from the agent at HOST:PORT.

SIGHUP reads the files again, SIGTERM ends it; HAProxy and nginx go on. docs/proxy.md has more.";
    let mut command = Command::new("lobbyd proxy")
        .bin_name("lobbyd proxy")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Keeps HAProxy, nginx and files in step, without an agent in this process")
        .long_about(ABOUT)
        .arg(file("synapse", None, "What to do, as Synapse has it: JSON or YAML").required(false))
        .arg(file("nerve", None, "What to check and report, as Nerve has it: JSON or YAML").required(false))
        .arg(file("config", None, "A TOML file of lobbyd, whose [proxy] says what to do").required(false))
        .group(ArgGroup::new("what").args(["synapse", "nerve", "config"]).required(true).multiple(true))
        .arg(check("check-config", "Checks the files and ends: status 0, or 64 and what is wrong"))
        .arg(instance())
        .arg(Arg::new("proto").long("proto").env("PROTO").value_parser(["http", "https"]).help("How to talk to the agent"))
        .arg(file("ca-cert", None, "Over https, trust these authorities (PEM)").env("CA_CERT").required(false));
    command = command.mut_arg("config", |arg| arg.conflicts_with_all(["synapse", "nerve"]));
    for setting in ALSO.iter().filter_map(|name| by_name(name)) {
        let arg = Arg::new(setting.name).long(setting.flag()).value_name(setting.value);
        command = command.arg(arg.help(format!("As of lobbyd [env: {}]", setting.name)).help_heading("The agent, the log"));
    }
    command
}

fn nerve() -> Vec<Arg> {
    vec![
        file("config", Some('c'), "Nerve's file: JSON or YAML").env("NERVE_CONFIG"),
        instance(),
        check("check-config", "Checks the file and ends").short('k').env("NERVE_CHECK_CONFIG"),
    ]
}

fn file(name: &'static str, short: Option<char>, help: &'static str) -> Arg {
    let parser = ValueParser::path_buf();
    let arg = Arg::new(name).long(name).value_name("FILE").value_parser(parser).help(help).required(true);
    if let Some(short) = short { arg.short(short) } else { arg }
}

fn instance() -> Arg {
    let arg = Arg::new("instance_id").long("instance_id").short('i').value_name("ID").env("NERVE_INSTANCE_ID");
    arg.help("Nerve's instance_id, instead of that in its file")
}

fn check(long: &'static str, help: &'static str) -> Arg {
    // Of its variable: whatever is not empty, 0, no, off or false.
    Arg::new("check").long(long).action(ArgAction::SetTrue).value_parser(FalseyValueParser::new()).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<Result<Alone, String>> {
        let parsed = find(line.split(' ').map(OsString::from))?;
        Some(parsed.map_err(|err| err.to_string()))
    }

    #[test]
    fn the_commands_are_well_formed() {
        for program in [Program::Lobbyd, Program::Synapse, Program::Nerve] {
            program.command().debug_assert();
        }
    }

    #[test]
    fn names_and_the_first_word_decide() {
        for line in ["lobbyd --host x", "lobbyd", "/usr/bin/lobbyd --config proxy", "synapse-ng -c x"] {
            assert!(parsed(line).is_none(), "{line}");
        }
        let files = |line: &str| parsed(line).unwrap().map(|alone| (alone.program, alone.files));
        let path = |path: &str| Some(PathBuf::from(path));
        let want = (Program::Synapse, Files { synapse: path("/etc/s.json"), ..Files::default() });
        for line in ["synapse -c /etc/s.json", "/opt/bin/synapse --config /etc/s.json", "synapse --config=/etc/s.json"] {
            assert_eq!(files(line).unwrap(), want, "{line}");
        }
        let want = Files { synapse: path("/s"), nerve: path("/n"), config: None };
        assert_eq!(files("lobbyd proxy --synapse /s --nerve /n").unwrap(), (Program::Lobbyd, want));
        let nerve = parsed("nerve -c /n -i me -k").unwrap().unwrap();
        assert_eq!((nerve.files.nerve, nerve.instance.as_deref(), nerve.is_check), (path("/n"), Some("me"), true));
        let mut raw = Raw::default();
        parsed("lobbyd proxy --config /c --port 7 --log debug").unwrap().unwrap().read_flags(&mut raw);
        assert_eq!((raw.value("PORT"), raw.value("LOG")), (("7", Origin::Flag), ("debug", Origin::Flag)));
    }

    #[test]
    fn what_is_missing_or_too_much_is_told() {
        for (line, word) in [
            ("lobbyd proxy", "--synapse"),
            ("lobbyd proxy --config /c --synapse /s", "cannot be used with"),
            ("lobbyd proxy --sinapse /s", "--synapse"),
            ("synapse", "--config"),
            ("synapse --port 7 -c /s", "--port"),
        ] {
            let said = parsed(line).unwrap().unwrap_err();
            assert!(said.contains(word), "{line}: {said}");
        }
        let help = parsed("lobbyd proxy --help").unwrap().unwrap_err();
        assert!(help.contains("Usage: lobbyd proxy "), "{help}");
    }
}
