//! What a caller may: read, write services, operate. Routes ask here, and nowhere else, with [`need`].
//!
//! [`Rights`] are found once per request (`access::rights`) and lie among its extensions. Labels belong to no service, so
//! writing them takes the right to write every service, or the operator's.
//! Not here: how a caller is known (`given`, `tokens`), which routes need what (`access`).

use std::sync::Arc;

use crate::error::{ApiError, shown};

/// What a request may do.
#[derive(Clone, Debug)]
pub(crate) struct Rights {
    pub(super) who: Who,
    pub(super) read: bool,
    pub(super) write: Writes,
    pub(super) operate: bool,
}

/// Whom the rights belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Everybody: no token is set.
    Anyone,
    /// Nobody we know: the token is missing or wrong.
    Stranger,
    /// Whoever has TOKEN.
    Owner,
    /// Whoever has this token of TOKENS_FILE.
    Named(Arc<str>),
}

/// Which services may be registered, changed and removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    None,
    All,
    Some(Arc<[Pattern]>),
}

/// Names of services: one, or all that begin so. Upper and lower case differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Name(Box<str>),
    Prefix(Box<str>),
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need<'a> {
    /// To see lists, nodes, services, metrics.
    Read,
    /// To register, change or remove the service of this name, its instances and their checks.
    Write(&'a str),
    /// To write at least one service. What stands before routes that then ask for the one they write.
    WriteAny,
    /// To change the labels of this node.
    Labels,
    /// To steer the agent or cost the fleet.
    Operate,
}

impl Rights {
    /// Of whoever has TOKEN.
    pub(super) const OWNER: Self = Self { who: Who::Owner, read: true, write: Writes::All, operate: true };

    /// Of whoever has no good token where one is set.
    pub(super) const STRANGER: Self = Self { who: Who::Stranger, read: false, write: Writes::None, operate: false };

    /// Of everybody, where no token is set.
    pub(super) const ANYONE: Self = Self { who: Who::Anyone, read: true, write: Writes::All, operate: false };

    /// Whether lists may be seen.
    pub(crate) const fn reads(&self) -> bool {
        self.read
    }

    /// Whether the service of this name may be written.
    pub(crate) fn writes(&self, service: &str) -> bool {
        match &self.write {
            Writes::None => false,
            Writes::All => true,
            Writes::Some(patterns) => patterns.iter().any(|pattern| pattern.takes(service)),
        }
    }

    /// Whether operator verbs may be used.
    pub(crate) const fn operates(&self) -> bool {
        self.operate
    }
}

impl Pattern {
    /// `web`, `web-*` or `*`. `None` when it is empty or has a star elsewhere.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (start, rest) = text.split_once('*').map_or((text, None), |(start, rest)| (start, Some(rest)));
        match rest {
            None if text.is_empty() => None,
            None => Some(Self::Name(text.into())),
            Some("") => Some(Self::Prefix(start.into())),
            Some(_) => None,
        }
    }

    fn takes(&self, service: &str) -> bool {
        match self {
            Self::Name(name) => **name == *service,
            Self::Prefix(prefix) => service.starts_with(&**prefix),
        }
    }
}

/// Whether these rights are enough.
pub(crate) fn need(rights: &Rights, need: Need<'_>) -> Result<(), ApiError> {
    let enough = match need {
        Need::Read => rights.reads(),
        Need::Write(service) => rights.writes(service),
        Need::WriteAny => rights.write != Writes::None,
        Need::Labels => rights.write == Writes::All || rights.operates(),
        Need::Operate => rights.operates(),
    };
    match (&rights.who, need) {
        _ if enough => Ok(()),
        (Who::Named(token), need) => Err(ApiError::NotAllowed { token: token.to_string(), what: need.words() }),
        (Who::Anyone, Need::Operate) => Err(ApiError::NotOperator),
        _ => Err(ApiError::AccessDenied),
    }
}

impl Need<'_> {
    fn words(self) -> String {
        match self {
            Self::Read => "read".into(),
            Self::Write(service) => format!("write the service {:?}", shown(service)),
            Self::WriteAny => "write services".into(),
            Self::Labels => "write labels, which takes all services or the operator".into(),
            Self::Operate => "use operator verbs".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(patterns: &[&str], operate: bool) -> Rights {
        let write = Writes::Some(patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect());
        Rights { who: Who::Named("t".into()), read: false, write, operate }
    }

    #[test]
    fn names_and_prefixes() {
        let rights = named(&["web-*", "db"], false);
        for (service, want) in
            [("web-", true), ("web-1", true), ("db", true), ("web", false), ("Web-1", false), ("db2", false), ("", false)]
        {
            assert_eq!(need(&rights, Need::Write(service)).is_ok(), want, "{service}");
        }
        for bad in ["", "*a", "a*b", "a**", "**"] {
            assert_eq!(Pattern::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn labels_take_every_service_or_the_operator() {
        for (rights, want) in [
            (named(&["web-*"], false), false),
            (named(&["web-*"], true), true),
            (Rights { write: Writes::All, ..named(&[], false) }, true),
            (Rights::ANYONE, true),
            (Rights::STRANGER, false),
        ] {
            assert_eq!(need(&rights, Need::Labels).is_ok(), want, "{rights:?}");
        }
    }

    #[test]
    fn a_refusal_tells_whether_the_token_is_known() {
        let refused = |rights: &Rights, what| need(rights, what).unwrap_err();
        assert!(matches!(refused(&Rights::STRANGER, Need::Read), ApiError::AccessDenied));
        assert!(matches!(refused(&Rights::STRANGER, Need::Operate), ApiError::AccessDenied));
        assert!(matches!(refused(&Rights::ANYONE, Need::Operate), ApiError::NotOperator));
        for what in [Need::Read, Need::Write("a"), Need::Labels, Need::Operate] {
            assert!(matches!(refused(&named(&["b"], false), what), ApiError::NotAllowed { .. }), "{what:?}");
        }
        assert!(need(&named(&["b"], false), Need::WriteAny).is_ok());
    }

    proptest! {
        #[test]
        fn a_prefix_takes_exactly_what_begins_so(prefix in "[a-c]{0,3}", service in "[a-c]{0,4}") {
            prop_assert_eq!(named(&[&format!("{prefix}*")], false).writes(&service), service.starts_with(&prefix));
        }
    }
}
