//! What can be typed: options and verbs.
//!
//! The Go tools take long options with one dash; those are rewritten before clap sees them.
//! Not here: the help text (`help`), where the daemon is (`door`), the arguments of the verbs of gossip (`gossip`), of services
//! (`service`) and of the local proxy (`proxy`), what a verb does (`cmd/<verb>.rs`).

use std::{collections::BTreeSet, ffi::OsString, path::PathBuf};

use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand, value_parser};
use lobby::client::Label;

use help::HELP;

pub(crate) mod blame;
pub(crate) mod door;
pub(crate) mod gossip;
mod help;
pub(crate) mod proxy;
pub(crate) mod serf;
pub(crate) mod service;
pub(crate) mod time;

/// The daemon's port where it stands behind a verb.
const DAEMON_PORT: &str = "daemon_port";

/// Asks and tells a running lobbyd.
#[derive(Debug, Parser)]
#[command(name = "lobbyctl", version, help_template = HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) door: door::Door,
    /// Print JSON: one value, or one per line for `watch`, `events --watch` and `query`
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Names of the servers that carry exactly this label
    Resolve {
        /// The whole label, such as service:smtp
        label: Label,
    },
    /// The packet of the daemon's own server
    Discovery,
    /// Every server and its labels
    Discoveries {
        #[command(subcommand)]
        only: Option<Only>,
    },
    /// Add or delete labels at run time
    Labels {
        #[command(subcommand)]
        change: LabelChange,
    },
    /// Every node with its state, failed ones too
    Nodes {
        /// Nearest to this node first (name, id or 8 digits of it, or _agent), with the estimated round trip to it
        #[arg(long, value_name = "NODE")]
        near: Option<String>,
        /// Only nodes that this selector takes, such as 'label=zone:eu and service=web'
        #[arg(long = "where", value_name = "SELECTOR")]
        selector: Option<String>,
    },
    /// What changes, as it happens; begins with what is there
    Watch(service::Watch),
    /// What is offered, by how many, and how they are
    Services {
        /// Only instances that this selector takes, such as 'status=critical or tag=v2'
        #[arg(long = "where", value_name = "SELECTOR")]
        selector: Option<String>,
    },
    /// The instances of a service, those of failed nodes too, and what is wrong with them
    Service {
        /// Its name
        name: String,
        /// Only instances that this selector takes, such as 'status=critical or tag=v2'
        #[arg(long = "where", value_name = "SELECTOR")]
        selector: Option<String>,
    },
    /// The evidence for what is made of the instances of a service
    Why {
        /// The service
        service: String,
        /// Only the instances of this id
        id: Option<String>,
    },
    /// Run a program, registered for as long as it runs
    Run(service::Run),
    /// Register an instance at the daemon, or replace it
    Register(service::Register),
    /// Take an instance of the daemon's node away, with its checks
    Deregister {
        /// Its id
        id: String,
    },
    /// Report to a check with a TTL
    Check(service::Report),
    /// Take an instance of the daemon's node, or all of the node, out or back in
    Maint(service::Maint),
    /// An instance of the daemon's node, or all of the node, takes nothing new
    Drain(service::Drain),
    /// HAProxy, kept in step with where services are
    Proxy {
        #[command(subcommand)]
        verb: proxy::Proxy,
    },
    /// Which of two ports of a service takes its requests
    Deploy {
        #[command(subcommand)]
        verb: proxy::Deploy,
    },
    /// Whether the daemon serves, is warm, and its links are up
    Status,
    /// Who the daemon is, and the numbers of its gossip
    Info,
    /// Members as gossip sees them
    Members(gossip::Members),
    /// Tell everybody that something happens
    Event(gossip::Event),
    /// The newest user events
    Events {
        /// Then each new one as it comes, until stopped
        #[arg(long)]
        watch: bool,
        /// Events of this name only
        #[arg(long)]
        name: Option<String>,
    },
    /// Ask everybody; prints acknowledgements and answers as they come
    Query(gossip::Query),
    /// Estimated round trip between two nodes
    Rtt {
        /// A name, or an id (8 digits or more of it)
        a: String,
        /// Another one; without it the daemon's own node
        #[arg(default_value = "_agent", hide_default_value = true)]
        b: String,
    },
    /// Make the daemon contact these agents now, and again for as long as it runs
    Join {
        /// host, host:port or address:port
        #[arg(required = true, value_name = "ADDR", value_parser = gossip::address)]
        addresses: Vec<String>,
    },
    /// Make everybody forget a failed node
    ForceLeave {
        /// A name, or an id (8 digits or more of it)
        node: String,
        /// Forget also that it was ever there
        #[arg(long)]
        prune: bool,
    },
    /// Keys of the gossip of the whole cluster
    Keys {
        #[command(subcommand)]
        verb: gossip::Keys,
    },
    /// Read the label sources again
    Reload,
    /// Say goodbye to the fleet and end the daemon
    Leave,
    /// Print a new key for GOSSIP_KEY or EXCHANGE_KEY; asks no daemon
    Keygen,
    /// Print what a shell needs to complete the words of lobbyctl; asks no daemon
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages of lobbyctl into a folder; asks no daemon
    #[command(hide = true)]
    Manpages {
        /// The folder, which must be there
        folder: PathBuf,
    },
    /// Keep files in step with the fleet and run commands; `lobbyctl template -h` shows consul-template's flags
    Template,
}

/// Which servers.
#[derive(Debug, Subcommand)]
pub(crate) enum Only {
    /// Servers with any of these labels; shows the matching labels only
    Labels {
        /// Whole labels
        #[arg(required = true)]
        labels: Vec<Label>,
    },
    /// Servers with a label that begins with any of these; shows the matching labels only
    Search {
        /// Beginnings of labels, such as service:
        #[arg(required = true)]
        prefixes: Vec<String>,
    },
}

/// What to do with labels.
#[derive(Debug, Subcommand)]
pub(crate) enum LabelChange {
    /// Add labels at run time
    Add {
        /// Labels, usually NAME:VALUE
        #[arg(required = true)]
        labels: Vec<Label>,
    },
    /// Delete labels that were added at run time
    Del {
        /// Whole labels
        #[arg(required = true)]
        labels: Vec<Label>,
    },
}

/// The whole grammar, for reading, completing and describing it.
pub(crate) fn grammar() -> clap::Command {
    Cli::command().mut_subcommands(with_port)
}

/// Reads what was typed.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let matches = grammar().try_get_matches_from(double_dashed(args))?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    let (mut below, mut port) = (&matches, None);
    while let Some((_, verb)) = below.subcommand() {
        port = verb.try_get_one(DAEMON_PORT).ok().flatten().or(port);
        below = verb;
    }
    cli.door.prefer_typed(&matches, port.is_some());
    cli.door.port = port.copied().unwrap_or(cli.door.port);
    Ok(cli)
}

/// What stands before the verb `template`, and the words behind it, which have a grammar of their own. None: another verb.
pub(crate) fn template(args: &[OsString]) -> Option<(Cli, &[OsString])> {
    let mut places = args.iter().enumerate().filter(|(_, arg)| *arg == "template").map(|(at, _)| at + 1);
    places.find_map(|end| {
        let cli = parse(args[..end].iter().cloned()).ok()?;
        matches!(cli.command, Command::Template).then(|| (cli, &args[end..]))
    })
}

/// Lets the daemon's port stand behind a verb too, unless the verb has one of its own.
fn with_port(verb: clap::Command) -> clap::Command {
    let has_own = verb.get_arguments().any(|arg| arg.get_long() == Some("port"));
    let port = || {
        Arg::new(DAEMON_PORT)
            .long("port")
            .value_name("PORT")
            .value_parser(value_parser!(u16))
            .help("The daemon's port [env: PORT=] [default: 1313]")
    };
    let verb = if has_own { verb } else { verb.arg(port()) };
    verb.mut_subcommands(with_port)
}

/// Rewrites the old tools' `-host H` and `-host=H` to `--host H`, up to a `--`.
pub(crate) fn double_dashed(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut command = Cli::command();
    // Adds what clap has of its own, such as `help`.
    command.build();
    let long = long_options(&command);
    let mut options = true;
    let rewrite = |arg: OsString| {
        options &= arg != "--";
        let name = arg.to_str().and_then(|text| text.strip_prefix('-')).map(|text| text.split('=').next().unwrap_or(text));
        if options && name.is_some_and(|name| long.contains(name)) {
            let mut dashed = OsString::from("-");
            dashed.push(arg);
            return dashed;
        }
        arg
    };
    args.map(rewrite).collect()
}

/// The long options of a command and of all below it.
fn long_options(command: &clap::Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned);
    own.chain(command.get_subcommands().flat_map(long_options)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_names_every_verb() {
        for verb in Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
            assert!(HELP.contains(&format!("\n  {}", verb.get_name())), "{}", verb.get_name());
        }
    }

    #[test]
    fn long_options_may_have_one_dash() {
        let args = ["lobbyctl", "-host", "h", "-port=1", "-h", "--json", "-x", "--", "-host"];
        let got = double_dashed(args.iter().map(OsString::from));
        assert_eq!(got, ["lobbyctl", "--host", "h", "--port=1", "-h", "--json", "-x", "--", "-host"]);
        for line in [
            "members -state alive -label=x",
            "query -timeout 1s -no-ack -relay-factor=2 -node a x",
            "event -service s -tag t x",
            "force-leave -prune n",
            "events -watch -name x",
            "nodes -near a -json -where status=critical",
            "register -name web -port 8080 -tag a -tag b -meta k=v -check tcp,interval=2s",
            "run -name web -drain 2s -- sleep -name 1",
            "watch -service web -passing -where tag=a -cooldown 1s -- cat -n",
            "maint on web -reason x",
            "drain -undo -wait",
            "check pass web note",
            "proxy plan -config f -timeout 2s",
            "proxy apply -synapse f",
            "deploy swap web -to 50002 -force -wait 0",
        ] {
            let args = double_dashed(std::iter::once("lobbyctl").chain(line.split(' ')).map(OsString::from));
            Cli::try_parse_from(args).unwrap_or_else(|err| panic!("{line}: {err}"));
        }
    }

    #[test]
    fn the_words_of_template_are_its_own() {
        let split = |line: &str| {
            let args: Vec<_> = std::iter::once("lobbyctl").chain(line.split(' ')).map(OsString::from).collect();
            template(&args).map(|(cli, words)| (cli.door.port, words.join(" ".as_ref()).into_string().unwrap()))
        };
        let words = "-template a:b -port 8 -json --nonsense -wait=1s -h template x";
        assert_eq!(split(&format!("--port 7 template {words}")), Some((7, words.into())));
        assert_eq!(split("-host template -port=7 template -once"), Some((7, "-once".into())));
        assert_eq!(split("--port 7 template"), Some((7, String::new())));
        for other in ["resolve template", "run --name web -- template -once", "--host template nodes", "help template"] {
            assert_eq!(split(other), None, "{other}");
        }
    }

    #[test]
    fn the_port_is_the_daemons_but_that_of_an_instance() {
        for (line, want) in [
            ("--port 7 nodes", 7),
            ("nodes --port 7", 7),
            ("--port 8 labels add --port 7 x", 7),
            ("keys --port 7 list", 7),
            ("--port 7 register --name web --port 8080", 7),
            ("--port 7 run --name web --port 8080 -- x --port 9", 7),
            ("watch --service web --port 7 -- x --port 9", 7),
        ] {
            let cli = parse(std::iter::once("lobbyctl").chain(line.split(' ')).map(OsString::from)).unwrap();
            assert_eq!(cli.door.port, want, "{line}");
            if let Command::Register(service::Register { offer, .. }) | Command::Run(service::Run { offer, .. }) = &cli.command {
                assert_eq!(offer.port, Some(8080), "{line}");
            }
        }
        grammar().debug_assert();
    }
}
