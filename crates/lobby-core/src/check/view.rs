//! What others are told of a check: enough to judge an instance, and to show why.
//!
//! Kept in the record under the check's id (`record`), written by `wire::service`.
//! A [`CheckView`] in the hand is a proposal; what comes out of a record has passed [`CheckView::validate`].
//! Not here: what the agent that runs the check knows besides (target, thresholds, the whole output).

use std::{fmt, time::Duration};

use super::Status;
use crate::{
    instance::{Id, Invalid, line, lines, object, refuse},
    limits,
};

/// One check of a node, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckView {
    /// Unique on its node.
    pub id: Id,
    /// For people.
    pub name: String,
    /// The instance it judges; `None`: all of the node.
    pub instance: Option<Id>,
    /// What it says.
    pub status: Status,
    /// How it finds out.
    pub kind: CheckKind,
    /// How often it runs; 0: it does not run by itself. At most 2^64 - 1 nanoseconds.
    pub interval: Duration,
    /// How long a run may take; 0: as is usual for its kind. At most 2^64 - 1 nanoseconds.
    pub timeout: Duration,
    /// What its author says about it.
    pub notes: String,
    /// The beginning of what it last said, see [`short`].
    pub output: String,
    /// How somebody else carries it out, for a check of a node without an agent: the text of a JSON object in Consul's words,
    /// at most [`limits::OPAQUE_BYTES`]; empty: nobody said.
    pub definition: String,
}

/// How a check finds out. Discriminants travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CheckKind {
    /// Nobody said, or a newer agent that knows more kinds.
    #[default]
    Other = 0,
    /// Asks an HTTP server.
    Http = 1,
    /// Connects.
    Tcp = 2,
    /// Sends a datagram.
    Udp = 3,
    /// Asks the health service of a gRPC server.
    Grpc = 4,
    /// Waits for signs of life.
    Ttl = 5,
    /// Runs a program.
    Script = 6,
    /// Runs a program in a container.
    Docker = 7,
    /// Says what other checks say.
    Alias = 8,
    /// Sends an HTTP/2 ping.
    H2ping = 9,
    /// Asks the service manager.
    OsService = 10,
    /// Critical for as long as it is there.
    Maintenance = 11,
    /// Passes for as long as a process lives.
    Process = 12,
    /// Passes for as long as a connection is open.
    Hold = 13,
}

impl CheckKind {
    /// All of them, each at the place of its number.
    pub const ALL: [Self; 14] = [
        Self::Other,
        Self::Http,
        Self::Tcp,
        Self::Udp,
        Self::Grpc,
        Self::Ttl,
        Self::Script,
        Self::Docker,
        Self::Alias,
        Self::H2ping,
        Self::OsService,
        Self::Maintenance,
        Self::Process,
        Self::Hold,
    ];

    /// The word for it, as Consul has it; the last two are ours.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Other => "",
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Grpc => "grpc",
            Self::Ttl => "ttl",
            Self::Script => "script",
            Self::Docker => "docker",
            Self::Alias => "alias",
            Self::H2ping => "h2ping",
            Self::OsService => "os_service",
            Self::Maintenance => "maintenance",
            Self::Process => "process",
            Self::Hold => "hold",
        }
    }

    /// The kind of this word; one that only a newer agent knows is [`Self::Other`].
    pub(crate) fn from_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).unwrap_or_default()
    }

    /// The kind of this number; one that only a newer agent knows is [`Self::Other`].
    pub(crate) fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or_default()
    }
}

impl fmt::Display for CheckKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl CheckView {
    /// A check of which nothing but its names is known: critical.
    pub fn new(id: Id, name: impl Into<String>, instance: Option<Id>) -> Self {
        Self {
            id,
            name: name.into(),
            instance,
            status: Status::default(),
            kind: CheckKind::default(),
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            notes: String::new(),
            output: String::new(),
            definition: String::new(),
        }
    }

    /// Whether every value is one that a record takes.
    pub fn validate(&self) -> Result<(), Invalid> {
        line("name", &self.name, limits::CHECK_NAME_BYTES)?;
        if self.name.is_empty() {
            refuse("name", "", "text")?;
        }
        for (field, value) in [("interval", self.interval), ("timeout", self.timeout)] {
            if u64::try_from(value.as_nanos()).is_err() {
                refuse(field, &format!("{value:?}"), "at most 584 years")?;
            }
        }
        lines("notes", &self.notes, limits::NOTES_BYTES)?;
        lines("output", &self.output, limits::OUTPUT_BYTES)?;
        object("definition", &self.definition)
    }
}

/// The beginning of a text as a record takes it: at most `most` bytes, cut at a character border, without control characters
/// but line ends and tabs.
pub fn short(text: &str, most: usize) -> String {
    let mut short = String::new();
    for c in text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')) {
        if short.len() + c.len_utf8() > most {
            break;
        }
        short.push(c);
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut CheckView)) -> Result<(), Invalid> {
        let mut view = CheckView::new("service:web".parse().unwrap(), "web", None);
        change(&mut view);
        view.validate()
    }

    #[test]
    fn every_kind_stands_at_its_number() {
        for (idx, kind) in CheckKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, idx);
            assert_eq!(CheckKind::from_number(kind as u8), kind);
            assert_eq!(CheckKind::from_word(kind.as_str()), kind);
        }
        assert_eq!(CheckKind::from_number(14), CheckKind::Other);
        assert_eq!(CheckKind::from_word("astrology"), CheckKind::Other);
        let words: std::collections::BTreeSet<_> = CheckKind::ALL.into_iter().map(CheckKind::as_str).collect();
        assert_eq!(words.len(), CheckKind::ALL.len());
    }

    #[test]
    fn values_at_their_bounds_are_accepted_and_not_beyond() {
        assert_eq!(check(|_| {}), Ok(()));
        let text = |bytes: usize| "x".repeat(bytes);
        assert!(check(|view| view.name = text(512)).is_ok() && check(|view| view.name = text(513)).is_err());
        assert!(check(|view| view.notes = text(512)).is_ok() && check(|view| view.notes = text(513)).is_err());
        assert!(check(|view| view.output = text(512)).is_ok() && check(|view| view.output = text(513)).is_err());
        assert!(check(|view| view.interval = Duration::from_nanos(u64::MAX)).is_ok());
        assert!(check(|view| view.timeout = Duration::MAX).is_err());
        assert!(check(|view| view.name = String::new()).is_err());
        assert!(check(|view| view.name = "a\nb".into()).is_err());
        assert!(check(|view| view.output = "a\nb".into()).is_ok());
        let padded = |bytes: usize| format!("{{{}}}", " ".repeat(bytes - 2));
        assert!(check(|view| view.definition = padded(limits::OPAQUE_BYTES)).is_ok());
        assert!(check(|view| view.definition = padded(limits::OPAQUE_BYTES + 1)).is_err());
        assert!(check(|view| view.definition = "[]".into()).is_err());
    }

    #[test]
    fn long_output_is_cut_to_what_a_record_takes() {
        assert_eq!(short("a\r\n\u{1b}[2Jb\tc", 512), "a\n[2Jb\tc");
        assert_eq!(short("ab", 2), "ab");
        assert_eq!(short("abž", 3), "ab");
        let cut = short(&"ž\u{0}".repeat(4096), limits::OUTPUT_BYTES);
        assert_eq!(cut.len(), 512);
        assert_eq!(check(|view| view.output = cut), Ok(()));
    }
}
