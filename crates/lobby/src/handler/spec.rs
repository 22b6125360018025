//! Which events a handler is run for: `member-join,member-*,service-*,user:NAME,query,*`.
//!
//! Not here: the events themselves (`lobby_core::change`, `lobby_core::port::gossip`).

use std::{collections::BTreeSet, str::FromStr};

use lobby_core::change::Kind;

/// The kinds that a handler can be run for. A restart within AGENT_GRACE is none, so that scripts written for Serf get
/// what they know.
pub(super) const KINDS: [Kind; 8] = [
    Kind::MemberLeave,
    Kind::MemberFailed,
    Kind::MemberReap,
    Kind::MemberUpdate,
    Kind::MemberJoin,
    Kind::ServiceDown,
    Kind::ServiceUpdate,
    Kind::ServiceUp,
];

/// What may stand before the `=`.
const EXPECTED: &str = "member-join, member-leave, member-failed, member-update, member-reap, member-*, service-up, \
                        service-down, service-update, service-*, user, user:NAME, query, query:NAME, or *";

/// The events that a handler is run for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Specs {
    pub(super) kinds: BTreeSet<Kind>,
    pub(super) users: Names,
    pub(super) queries: Names,
}

/// Which user events, or which queries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Names {
    #[default]
    None,
    These(BTreeSet<String>),
    All,
}

/// Why a text is no handler. Nothing was changed; the caller names the setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseHandlerError {
    /// Nothing follows the events.
    #[error("{0:?} has no command: expected EVENTS=PROGRAM ARGUMENTS, such as member-join,user:deploy=/usr/local/bin/on-event")]
    NoCommand(String),
    /// No events stand before the command.
    #[error("no events before the command: expected a comma list of {EXPECTED}")]
    NoEvents,
    /// One of them is none.
    #[error("{0:?} is no event: expected {EXPECTED}")]
    UnknownEvent(String),
}

impl Names {
    pub(super) fn takes(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::These(names) => names.contains(name),
            Self::All => true,
        }
    }

    pub(super) const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// `None` is every name.
    fn add(&mut self, name: Option<&str>) {
        match (&mut *self, name) {
            (Self::All, _) => {}
            (_, None) => *self = Self::All,
            (Self::These(names), Some(name)) => _ = names.insert(name.into()),
            (Self::None, Some(name)) => *self = Self::These(BTreeSet::from([name.into()])),
        }
    }
}

impl FromStr for Specs {
    type Err = ParseHandlerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut specs = Self::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            specs.add(item)?;
        }
        if specs == Self::default() { Err(ParseHandlerError::NoEvents) } else { Ok(specs) }
    }
}

impl Specs {
    fn add(&mut self, item: &str) -> Result<(), ParseHandlerError> {
        let unknown = || ParseHandlerError::UnknownEvent(item.into());
        match item.split_once(':') {
            Some((_, "")) => return Err(unknown()),
            Some(("user", name)) => self.users.add(Some(name)),
            Some(("query", name)) => self.queries.add(Some(name)),
            Some(_) => return Err(unknown()),
            None if item == "user" => self.users.add(None),
            None if item == "query" => self.queries.add(None),
            None => {
                let prefix = item.strip_suffix('*').filter(|prefix| matches!(*prefix, "" | "member-" | "service-"));
                let takes = |kind: &&Kind| match prefix {
                    Some(prefix) => kind.as_str().starts_with(prefix),
                    None => kind.as_str() == item,
                };
                let kinds: Vec<_> = KINDS.iter().filter(takes).copied().collect();
                if kinds.is_empty() {
                    return Err(unknown());
                }
                self.kinds.extend(kinds);
                if item == "*" {
                    self.users.add(None);
                    self.queries.add(None);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::Handler;

    fn names(text: &str) -> String {
        let specs: Specs = text.parse().unwrap();
        let kinds: Vec<_> = specs.kinds.iter().map(|kind| kind.as_str()).collect();
        format!("{} | {:?} | {:?}", kinds.join(" "), specs.users, specs.queries)
    }

    #[test]
    fn specs() {
        assert_eq!(names("member-join, member-failed"), "member-failed member-join | None | None");
        let members = "member-leave member-failed member-reap member-update member-join";
        assert_eq!(names("member-*"), format!("{members} | None | None"));
        assert_eq!(names("service-*,"), "service-down service-update service-up | None | None");
        assert_eq!(names("user:deploy,user:stop"), r#" | These({"deploy", "stop"}) | None"#);
        assert_eq!(names("user:deploy,user,query:a:b"), r#" | All | These({"a:b"})"#);
        assert_eq!(names("*"), format!("{members} service-down service-update service-up | All | All"));
    }

    #[test]
    fn what_is_no_event_is_named() {
        for text in ["member", "member-jion", "m*", "member-restarted", "user:", "load:x", "service-up:web", "**", "User"] {
            let err = format!("{text},member-join").parse::<Specs>().unwrap_err();
            assert_eq!(err, ParseHandlerError::UnknownEvent(text.into()));
            assert!(err.to_string().contains("expected member-join"), "{err}");
        }
        for text in ["", " , "] {
            assert_eq!(text.parse::<Specs>(), Err(ParseHandlerError::NoEvents));
        }
    }

    #[test]
    fn a_handler_is_events_and_a_command() {
        let handler: Handler = "member-*,user:x=/bin/on-event --a=b  c".parse().unwrap();
        assert_eq!((handler.name.as_str(), handler.command.join("|")), ("/bin/on-event", "/bin/on-event|--a=b|c".into()));
        for text in ["member-join", "member-join=", "member-join=  ", ""] {
            assert_eq!(text.parse::<Handler>(), Err(ParseHandlerError::NoCommand(text.into())));
        }
        assert_eq!("=/bin/true".parse::<Handler>(), Err(ParseHandlerError::NoEvents));
    }
}
