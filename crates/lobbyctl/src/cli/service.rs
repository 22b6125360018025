//! The arguments of the verbs of services.
//!
//! Not here: the list of all verbs and the help text (`cli`), the grammar of `--check` (`definition`).

use std::time::Duration;

use clap::{Args, ValueEnum};
use lobby::client::Status;

use super::time;
use crate::definition::Check;

/// The help text of `--check`, which rustdoc would take for links.
const CHECK: &str = "How its health is checked; may be given several times: tcp[:HOST:PORT], udp[:HOST:PORT], http[:/PATH], \
    http://HOST[:PORT]/PATH, https://…, grpc[:HOST:PORT][/SERVICE], ttl:TIME, script:COMMAND, alias:ID; then, after commas, \
    interval=TIME, timeout=TIME, failures=N, deregister=TIME, status=S, id=ID, name=NAME";

/// What an instance is, but for its name.
#[derive(Debug, Default, Args)]
pub(crate) struct Offer {
    /// Its id, unique on this node; if not given the service's name, of `run` with a port NAME-PORT
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// The port of the instance; the daemon's own is given before the verb, or in PORT
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// Where others reach it; the node's address if not given
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
    /// A tag; may be given several times
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    /// Something else to know about it; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) meta: Vec<(String, String)>,
    #[arg(long, value_name = "KIND[:TARGET][,OPTION=VALUE…]", help = CHECK)]
    pub(crate) check: Vec<Check>,
}

/// An instance that is to be registered.
#[derive(Debug, Args)]
pub(crate) struct Register {
    /// The service's name
    #[arg(long, value_name = "NAME", required_unless_present = "file")]
    pub(crate) name: Option<String>,
    /// Read it from this file instead, JSON or TOML; - reads stdin. Fields are those of Consul's service definitions:
    /// name, id, port, address, tags, meta, weights, check, checks; `service` or `services` may stand around them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "id", "port", "address", "tag", "meta", "check"])]
    pub(crate) file: Option<String>,
    #[command(flatten)]
    pub(crate) offer: Offer,
}

/// A program that is to be run and registered.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The service's name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) offer: Offer,
    /// How long it takes nothing new before it is stopped
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = time::option)]
    pub(crate) drain: Duration,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// What is watched, and what is done about it.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The instances of this service, instead of the list of servers
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// Only instances that pass all checks
    #[arg(long, requires = "service")]
    passing: bool,
    /// Only instances that this selector takes, such as 'tag=v2 and not label=zone:eu'
    #[arg(long = "where", value_name = "SELECTOR", requires = "service")]
    selector: Option<String>,
    /// Least time between the end of a run and the next
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = time::option, requires = "service")]
    pub(crate) cooldown: Duration,
    /// Run this on each change, with the instances as JSON on stdin; without it, changes are printed
    #[arg(last = true, value_name = "COMMAND", requires = "service")]
    pub(crate) command: Vec<String>,
}

/// A report to a check with a TTL.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// What it says
    #[arg(value_enum)]
    pub(crate) word: Word,
    /// The id of the check, or of an instance with one check of this kind
    #[arg(value_name = "CHECK-ID")]
    pub(crate) check: String,
    /// What becomes its output
    pub(crate) note: Option<String>,
}

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Word {
    /// All is well
    Pass,
    /// It works, with a reservation
    Warn,
    /// It does not work
    Fail,
}

/// Taking something out, or back in.
#[derive(Debug, Args)]
pub(crate) struct Maint {
    /// Out (on) or back in (off)
    #[arg(value_enum)]
    pub(crate) switch: Switch,
    /// An instance of this node; all of the node if not given
    pub(crate) id: Option<String>,
    /// Why, for everybody to see
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

/// Whether something is so from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// It is
    On,
    /// It is not
    Off,
}

/// What takes nothing new.
#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// An instance of this node; all of the node if not given
    pub(crate) id: Option<String>,
    /// It takes work again
    #[arg(long)]
    pub(crate) undo: bool,
    /// Return when the agents that answer have applied it; fails unless all have within this time, 50ms to 1m
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "10s",
        value_parser = time::option
    )]
    pub(crate) wait: Option<Duration>,
}

impl Word {
    pub(crate) const fn status(self) -> Status {
        match self {
            Self::Pass => Status::Passing,
            Self::Warn => Status::Warning,
            Self::Fail => Status::Critical,
        }
    }
}

impl Watch {
    /// The selector of all that is given.
    pub(crate) fn selector(&self) -> Option<String> {
        match (self.selector.as_deref(), self.passing) {
            (Some(selector), true) => Some(format!("({selector}) and status=passing")),
            (None, true) => Some("status=passing".into()),
            (selector, false) => selector.map(str::to_owned),
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| "expected KEY=VALUE".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selectors_of_a_watch_are_joined() {
        let selector = |selector: Option<&str>, passing| {
            let (service, selector, command) = (Some("web".into()), selector.map(str::to_owned), Vec::new());
            Watch { service, passing, selector, cooldown: Duration::ZERO, command }.selector()
        };
        assert_eq!(selector(None, false), None);
        assert_eq!(selector(None, true).unwrap(), "status=passing");
        assert_eq!(selector(Some("tag=a or tag=b"), true).unwrap(), "(tag=a or tag=b) and status=passing");
        assert_eq!(selector(Some("tag=a"), false).unwrap(), "tag=a");
    }

    #[test]
    fn pairs() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(pair("a="), Ok(("a".into(), String::new())));
        assert!(pair("a").is_err() && pair("=b").is_err());
    }
}
