//! What a stream is asked for: which kinds of events, about which nodes and instances.
//!
//! | parameter | takes |
//! |---|---|
//! | `kind=service-down` | events of this kind; `member` and `service` stand for all kinds that begin so |
//! | `service=web` | instances of this service, and nodes that offer it; without a `kind`, nothing but instances |
//! | `label=zone` | what carries this label, or one that goes on after it with a colon |
//! | `where=…` | what the selector takes |
//!
//! Of several kinds or services one is enough, of several labels all are needed. Equal filters have equal keys, by which
//! streams share what is rendered.

use std::collections::BTreeSet;

use lobby_core::{
    catalog::{
        InstanceView, Node, Snapshot,
        subject::{InstanceSubject, NodeSubject},
    },
    selector::{Selector, Subject},
};

use crate::{
    error::{ApiError, shown},
    query::Query,
};

lobby_core::named! {
    /// What happened, in the words of handlers (`lobby_core::change`), in the order in which those of one difference are told:
    /// whoever goes is told before whoever comes.
    #[derive(PartialOrd, Ord)]
    pub(super) Kind {
        /// An instance is gone, or is none that was asked for any more.
        ServiceDown = "service-down",
        /// A node said goodbye, is forgotten, or is none that was asked for any more.
        MemberLeave = "member-leave",
        /// No exchange holds a node alive any more.
        MemberFailed = "member-failed",
        /// What is shown of a node is another.
        MemberUpdate = "member-update",
        /// A node is there, or there again.
        MemberJoin = "member-join",
        /// What is shown of an instance is another.
        ServiceUpdate = "service-update",
        /// Nothing but its status or that of its checks is another.
        ServiceStatus = "service-status",
        /// An instance is there, or there again.
        ServiceUp = "service-up",
    }
}

impl Kind {
    const fn is_about_members(self) -> bool {
        matches!(self, Self::MemberLeave | Self::MemberFailed | Self::MemberUpdate | Self::MemberJoin)
    }
}

/// What a request takes.
#[derive(Debug)]
pub(super) struct Filter {
    kinds: BTreeSet<Kind>,
    /// In lower case.
    services: BTreeSet<String>,
    labels: BTreeSet<String>,
    selector: Option<Selector>,
    key: String,
}

impl Filter {
    pub(super) fn from_query(query: &Query<'_>) -> Result<Self, ApiError> {
        let given = |field| query.all(field).filter(|text| !text.is_empty());
        let services: BTreeSet<_> = given("service").map(str::to_ascii_lowercase).collect();
        let labels = given("label").map(str::to_owned).collect();
        let mut kinds = BTreeSet::new();
        for word in given("kind") {
            kinds.extend(kinds_of(word)?);
        }
        if kinds.is_empty() {
            kinds.extend(Kind::ALL.iter().filter(|kind| services.is_empty() || !kind.is_about_members()));
        }
        let selector = query.selector()?;
        let key = format!("{kinds:?} {services:?} {labels:?} {}", selector.as_ref().map(ToString::to_string).unwrap_or_default());
        Ok(Self { kinds, services, labels, selector, key })
    }

    /// Filters that take the same have the same.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn wants(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Whether any event about members is wanted.
    pub(super) fn members(&self) -> bool {
        self.kinds.iter().any(|kind| kind.is_about_members())
    }

    /// Whether any event about instances is wanted.
    pub(super) fn instances(&self) -> bool {
        self.kinds.iter().any(|kind| !kind.is_about_members())
    }

    pub(super) fn takes_node(&self, snapshot: &Snapshot, node: &Node) -> bool {
        self.takes(&NodeSubject::new(snapshot, node))
    }

    pub(super) fn takes_instance(&self, snapshot: &Snapshot, view: &InstanceView) -> bool {
        self.takes(&InstanceSubject::new(snapshot, view))
    }

    fn takes(&self, subject: &impl Subject) -> bool {
        let carries = |wanted: &String| {
            let goes_on = |rest: &str| rest.is_empty() || rest.starts_with(':');
            subject.any_label(&|label| label.strip_prefix(wanted.as_str()).is_some_and(goes_on))
        };
        (self.services.is_empty() || self.services.iter().any(|name| subject.has_service(name)))
            && self.labels.iter().all(carries)
            && self.selector.as_ref().is_none_or(|selector| selector.takes(subject))
    }
}

/// The kinds that a word stands for.
fn kinds_of(word: &str) -> Result<Vec<Kind>, ApiError> {
    let of_word =
        |kind: &Kind| kind.as_str() == word || (matches!(word, "member" | "service") && kind.as_str().starts_with(word));
    let kinds: Vec<_> = Kind::ALL.iter().copied().filter(of_word).collect();
    let want = "member, service, member-join, member-update, member-leave, member-failed, service-up, service-update, \
                service-status or service-down";
    if kinds.is_empty() { Err(ApiError::Field { field: "kind", value: shown(word), want }) } else { Ok(kinds) }
}

#[cfg(test)]
mod tests {
    use lobby_core::change;

    use super::*;
    use crate::query;

    fn filter(text: &str) -> Result<Filter, ApiError> {
        Filter::from_query(&query::parse(text).unwrap())
    }

    #[test]
    fn kinds_are_in_the_words_of_handlers() {
        let theirs: Vec<_> = change::Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        let only_here: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).filter(|kind| !theirs.contains(kind)).collect();
        assert_eq!(only_here, ["service-status"]);
        let Err(ApiError::Field { want, .. }) = filter("kind=x") else { panic!("no kind") };
        assert!(Kind::ALL.iter().all(|kind| want.contains(kind.as_str())), "{want}");
    }

    #[test]
    fn which_kinds_are_wanted() {
        let names = |text| filter(text).unwrap().kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>();
        assert_eq!(names("").len(), Kind::ALL.len());
        assert_eq!(names("kind=").len(), Kind::ALL.len());
        assert_eq!(names("kind=member").len(), 4);
        assert_eq!(names("service=web"), names("kind=service"));
        assert_eq!(names("service=web&kind=member"), names("kind=member"));
        assert_eq!(names("kind=service-up&kind=member-join"), ["member-join", "service-up"]);
        for text in ["kind=Member", "kind=service-", "kind=member-restarted", "kind=m", "where=x"] {
            assert!(filter(text).is_err(), "{text}");
        }
    }

    #[test]
    fn equal_filters_have_equal_keys() {
        let key = |text| filter(text).unwrap().key;
        assert_eq!(
            key("service=A&service=b&label=x&where=tag=v2"),
            key("where=tag%20=%20v2&label=x&service=B&service=a&service=")
        );
        assert_eq!(key("kind=member&kind=service"), key(""));
        let all = ["", "kind=member", "service=a", "label=a", "where=tag=a", "where=tag=b", "service=a&service=b"].map(key);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
