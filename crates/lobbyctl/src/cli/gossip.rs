//! The arguments of the verbs of gossip that have more than one or two.
//!
//! Not here: the list of all verbs and the help text (`cli`).

use std::time::Duration;

use clap::{Args, Subcommand};
use lobby::{
    client::Audience,
    core::port::gossip::{QUERY_TIME, RELAYS},
};

/// The longest that daemons hold a request for answers.
const LONGEST: Duration = Duration::from_secs(60);

/// Which members are shown.
#[derive(Debug, Args)]
pub(crate) struct Members {
    /// Only members in this state; given several times, in any of them
    #[arg(long, value_name = "STATE", value_parser = ["alive", "suspect", "unattended", "restarting", "failed", "left"])]
    pub(crate) state: Vec<String>,
    /// Only members with this label, or with one that begins so up to a colon; given several times, with all of them
    #[arg(long, value_name = "LABEL")]
    pub(crate) label: Vec<String>,
}

/// A user event.
#[derive(Debug, Args)]
pub(crate) struct Event {
    /// Its name, at most 64 bytes
    pub(crate) name: String,
    /// What it says, at most 1024 bytes; - reads stdin
    pub(crate) payload: Option<String>,
    /// Only for nodes with this regular expression in their name, or with this id (8 digits or more of it)
    #[arg(long, value_name = "REGEX")]
    node: Option<String>,
    /// Only for nodes with a service in whose name this regular expression is found
    #[arg(long, value_name = "REGEX")]
    service: Option<String>,
    /// Only for those of these services that have a tag in which this regular expression is found
    #[arg(long, value_name = "REGEX", requires = "service")]
    tag: Option<String>,
    /// Only for nodes with this label, or with one that begins so up to a colon; given several times, with all of them
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
}

/// A query.
#[derive(Debug, Args)]
pub(crate) struct Query {
    /// Its name, at most 64 bytes
    pub(crate) name: String,
    /// What it says, at most 1024 bytes; - reads stdin
    pub(crate) payload: Option<String>,
    /// Only nodes with this regular expression in their name, or with this id (8 digits or more of it); given several times,
    /// those that any of them takes
    #[arg(long, value_name = "REGEX")]
    node: Vec<String>,
    /// Only nodes with this label, or with one that begins so up to a colon; given several times, with all of them
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
    /// How long answers are waited for, such as 500ms or 2s; 50ms to 1m
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time)]
    pub(crate) timeout: Duration,
    /// Nobody acknowledges; only answers come
    #[arg(long)]
    pub(crate) no_ack: bool,
    /// Each answer travels through this many other members as well, 5 at most
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=i64::from(RELAYS)))]
    pub(crate) relay_factor: u8,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Which node has which keys, by fingerprint
    List,
    /// Every node accepts this key too
    Install {
        /// base64 of 32 bytes; @FILE reads a file, - reads stdin, so that other users of the machine do not see it
        key: String,
    },
    /// Every node seals with this key; refused unless everybody has it
    Use {
        /// A key or its fingerprint; @FILE reads a file, - reads stdin
        key: String,
    },
    /// Every node forgets this key; refused while anybody seals with it
    Remove {
        /// A key or its fingerprint; @FILE reads a file, - reads stdin
        key: String,
    },
}

impl Event {
    pub(crate) fn audience(&self) -> Audience {
        let Self { node, service, tag, label, .. } = self;
        Audience { node: node.clone(), service: service.clone(), tag: tag.clone(), labels: label.clone() }
    }
}

impl Query {
    pub(crate) fn audience(&self) -> Audience {
        let node = (!self.node.is_empty()).then(|| any_of(&self.node));
        Audience { node, labels: self.label.clone(), ..Audience::default() }
    }
}

/// One expression for any of these. Each stands alone, so that a flag such as `(?i)` holds for its own alternative only; what
/// is plain needs no brackets, since all patterns together have few bytes.
fn any_of(patterns: &[String]) -> String {
    let plain = |pattern: &str| pattern.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    match patterns {
        [one] => one.clone(),
        many => {
            let each = many.iter().map(|one| if plain(one) { one.clone() } else { format!("(?:{one})") });
            each.collect::<Vec<_>>().join("|")
        }
    }
}

/// An address that can be one of a list.
pub(crate) fn address(text: &str) -> Result<String, String> {
    match text.is_empty() || text.contains(|c: char| c == ',' || c.is_whitespace()) {
        true => Err("expected host, host:port or address:port".into()),
        false => Ok(text.to_owned()),
    }
}

/// A number of seconds, or with the unit ms, s or m; as short and as long as daemons accept.
fn time(text: &str) -> Result<Duration, String> {
    let time = super::time::parse(text);
    let time = time.filter(|time| (*QUERY_TIME.start()..=LONGEST).contains(time));
    time.ok_or_else(|| "expected a time from 50ms to 1m, such as 500ms or 2s".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, millis) in
            [("2s", 2000), ("2", 2000), ("0.5", 500), ("500ms", 500), ("1m", 60_000), ("1.5s", 1500), ("50ms", 50)]
        {
            assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "0", "0s", "-1s", "1ms", "49ms", "1h", "1 s", "61s", "2m", "NaN", "inf", "1e9", "5sm"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn several_nodes_are_alternatives_that_stand_alone() {
        for (nodes, want) in [
            (&["^web|db$"][..], "^web|db$"),
            (&["web-1", "abababab"], "web-1|abababab"),
            (&["(?i)WEB", "db|x", "n.1"], "(?:(?i)WEB)|(?:db|x)|n.1"),
        ] {
            let nodes: Vec<_> = nodes.iter().map(|node| (*node).to_owned()).collect();
            assert_eq!(any_of(&nodes), want);
        }
    }

    #[test]
    fn addresses_are_one_each() {
        assert_eq!(address("[::1]:1314"), Ok("[::1]:1314".into()));
        for text in ["", "a,b", "a b"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
