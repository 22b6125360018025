//! Lobby's selector: each form, what is refused with which words, and its laws.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::expr::{DEPTH, TEXT_BYTES};

/// A thing of a few labels, services, tags and a state.
#[derive(Clone, Debug)]
struct Thing {
    labels: Vec<String>,
    services: Vec<String>,
    tags: Vec<String>,
    status: Option<Status>,
}

impl Subject for Thing {
    fn any_label(&self, wanted: &dyn Fn(&str) -> bool) -> bool {
        self.labels.iter().any(|label| wanted(label))
    }

    fn has_service(&self, name: &str) -> bool {
        self.services.iter().any(|service| service == name)
    }

    fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|carried| carried == tag)
    }

    fn status(&self) -> Option<Status> {
        self.status
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn thing() -> Thing {
    Thing {
        labels: strings(&["zone:eu:1", "plain", "with blank", "a=b(c)"]),
        services: strings(&["web", "not"]),
        tags: strings(&["v2", "or"]),
        status: Some(Status::Warning),
    }
}

/// What a text takes of [`thing`], and how it prints.
const CASES: &[(&str, bool, &str)] = &[
    ("label=plain", true, "label=plain"),
    ("label=zone:eu", false, "label=zone:eu"),
    ("label=zone:eu:1", true, "label=zone:eu:1"),
    ("label != plain", false, "not label=plain"),
    (r#"label="with blank""#, true, r#"label="with blank""#),
    ("label=`a=b(c)`", true, r#"label="a=b(c)""#),
    (r#"label="plain""#, true, "label=plain"),
    (r#"label=" plain ""#, true, "label=plain"),
    ("label^=zone:e", true, "label^=zone:e"),
    ("label ^= zone:u", false, "label^=zone:u"),
    ("label^=`with `", true, r#"label^="with ""#),
    ("label:zone", true, "label:zone"),
    ("label:zone:", true, "label:zone"),
    ("label:zone:eu", true, "label:zone:eu"),
    ("label:zone:e", false, "label:zone:e"),
    ("label:zo", false, "label:zo"),
    ("label:plain", true, "label:plain"),
    (r#"label:"with blank""#, true, r#"label:"with blank""#),
    ("service=web", true, "service=web"),
    ("service=not", true, "service=not"),
    ("service!=web", false, "not service=web"),
    ("service=we", false, "service=we"),
    ("tag=v2", true, "tag=v2"),
    ("tag=or", true, "tag=or"),
    ("tag!=v1", true, "not tag=v1"),
    ("status=warning", true, "status=warning"),
    ("status!=passing", true, "not status=passing"),
    ("not status=critical", true, "not status=critical"),
    ("not(status=critical)", true, "not status=critical"),
    ("not not status=warning", true, "not not status=warning"),
    ("label:plain and (service=db or not status=critical)", true, "label:plain and (service=db or not status=critical)"),
    ("label:plain or service=db and tag=x", true, "label:plain or service=db and tag=x"),
    ("(label:plain or service=db) and tag=x", false, "(label:plain or service=db) and tag=x"),
    (" ((label:plain)\tand\n(tag=v2)) ", true, "label:plain and tag=v2"),
    ("not (tag=a and tag=b)", true, "not (tag=a and tag=b)"),
];

#[test]
fn forms() {
    for (text, want, printed) in CASES {
        let selector: Selector = text.parse().unwrap_or_else(|err| panic!("{text}: {err}"));
        assert_eq!(selector.takes(&thing()), *want, "{text}");
        assert_eq!(selector.to_string(), *printed, "{text}");
    }
    let stateless = Thing { status: None, ..thing() };
    for status in Status::ALL {
        assert!(!format!("status={status}").parse::<Selector>().unwrap().takes(&stateless));
    }
}

/// Where a text goes wrong, and what it says that it accepts there.
const BAD: &[(&str, usize, &str)] = &[
    ("", 0, CONDITION),
    ("not", 3, CONDITION),
    ("zone=eu", 0, CONDITION),
    ("Label=eu", 0, CONDITION),
    ("label=a and", 11, CONDITION),
    ("label=a AND label=b", 8, "`and`, `or` or the end"),
    ("label=a label=b", 8, "`and`, `or` or the end"),
    ("label=a=b", 7, "`and`, `or` or the end"),
    ("label=a)", 7, "`and`, `or` or the end"),
    ("(label=a", 8, "`and`, `or` or `)`"),
    ("label", 5, "=, != or ^=, or : without a blank before it"),
    ("label :a", 6, "=, != or ^=, or : without a blank before it"),
    ("label==a", 5, "=, != or ^=, or : without a blank before it"),
    ("label=", 6, LABEL),
    ("label=\"\"", 6, LABEL),
    (r#"label="\n""#, 6, LABEL),
    ("label:", 6, LABEL),
    ("label: a", 7, LABEL),
    ("label:::", 0, LABEL),
    ("label^=``", 7, PREFIX),
    ("service^=a", 7, "= or !="),
    ("service=(a)", 8, NAME),
    (r#"tag="\t""#, 4, NAME),
    ("status=up", 7, STATUS),
    ("status=Passing", 7, STATUS),
];

#[test]
fn what_is_refused_says_where_and_what_is_accepted() {
    for (text, want_at, want) in BAD {
        match text.parse::<Selector>() {
            Err(SyntaxError::Unexpected { at, expected, .. }) => assert_eq!((at, expected), (*want_at, *want), "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert_eq!(
        "status=up".parse::<Selector>().unwrap_err().to_string(),
        r#"at byte 7: found "up", expected passing, warning or critical"#
    );
}

#[test]
fn bounds() {
    let parse = |text: &str| text.parse::<Selector>();
    for form in ["label=", "label^=", "label:", "service=", "tag="] {
        let long = format!("{form}{}", "x".repeat(limits::LABEL_BYTES));
        assert!(parse(&long).is_ok(), "{form}");
        assert!(matches!(parse(&format!("{long}x")), Err(SyntaxError::Unexpected { .. })), "{form}");
    }
    let nested = |n: usize, inner: &str| format!("{}{inner}{}", "(".repeat(n), ")".repeat(n));
    assert!(parse(&nested(DEPTH, "tag=a")).is_ok());
    assert_eq!(parse(&nested(DEPTH + 1, "tag=a")), Err(SyntaxError::TooDeep { at: DEPTH + 1 }));
    assert!(parse(&nested(DEPTH - 1, "tag!=a")).is_ok());
    assert!(matches!(parse(&nested(DEPTH, "tag!=a")), Err(SyntaxError::TooDeep { .. })));
    let padded = |n: usize| format!("tag=a{}", " ".repeat(n - 5));
    assert!(parse(&padded(TEXT_BYTES)).is_ok());
    assert_eq!(parse(&padded(TEXT_BYTES + 1)), Err(SyntaxError::TooLong { bytes: TEXT_BYTES + 1 }));
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[ab]{1,2}(:[ab]{0,1})?", 1 => "[ -~ž]{1,6}".prop_filter("trimmed", |text| text.trim() == text && !text.is_empty())]
}

fn leaf() -> impl Strategy<Value = Term> {
    let exists = word().prop_filter("a name", |text| !text.ends_with(':'));
    prop_oneof![
        word().prop_map(|text| Term::Label(text.parse().unwrap())),
        word().prop_map(Term::Prefix),
        exists.prop_map(Term::Exists),
        word().prop_map(Term::Service),
        word().prop_map(Term::Tag),
        proptest::sample::select(Status::ALL.to_vec()).prop_map(Term::Status),
    ]
}

fn tree() -> impl Strategy<Value = Tree<Term>> {
    leaf().prop_map(Tree::Leaf).prop_recursive(4, 16, 3, |tree| {
        prop_oneof![
            tree.clone().prop_map(|tree| Tree::Not(Box::new(tree))),
            vec(tree.clone(), 2..4).prop_map(Tree::All),
            vec(tree, 2..4).prop_map(Tree::Any),
        ]
    })
}

fn things() -> impl Strategy<Value = Thing> {
    let texts = || vec("[ab]{1,2}(:[ab])?", 0..4);
    let status = proptest::option::of(proptest::sample::select(Status::ALL.to_vec()));
    (texts(), texts(), texts(), status).prop_map(|(labels, services, tags, status)| Thing { labels, services, tags, status })
}

/// The meaning of a tree, written down once more.
fn naive(tree: &Tree<Term>, thing: &Thing) -> bool {
    let labels = &thing.labels;
    match tree {
        Tree::Not(tree) => !naive(tree, thing),
        Tree::All(trees) => trees.iter().filter(|tree| naive(tree, thing)).count() == trees.len(),
        Tree::Any(trees) => trees.iter().filter(|tree| naive(tree, thing)).count() > 0,
        Tree::Leaf(Term::Label(label)) => labels.contains(&label.to_string()),
        Tree::Leaf(Term::Prefix(prefix)) => labels.iter().any(|label| label.find(prefix) == Some(0)),
        Tree::Leaf(Term::Exists(name)) => {
            labels.contains(name) || labels.iter().any(|label| label.find(&format!("{name}:")) == Some(0))
        }
        Tree::Leaf(Term::Service(name)) => thing.services.contains(name),
        Tree::Leaf(Term::Tag(tag)) => thing.tags.contains(tag),
        Tree::Leaf(Term::Status(status)) => thing.status.iter().any(|own| own == status),
    }
}

proptest! {
    #[test]
    fn what_is_printed_reads_as_the_same(tree in tree()) {
        let selector = Selector(tree);
        prop_assert_eq!(selector.to_string().parse(), Ok(selector));
    }

    #[test]
    fn it_takes_what_the_reference_takes(tree in tree(), thing in things()) {
        let want = naive(&tree, &thing);
        prop_assert_eq!(Selector(tree).takes(&thing), want);
    }

    #[test]
    fn de_morgan(a in tree(), b in tree(), thing in things()) {
        let takes = |text: String| text.parse::<Selector>().unwrap().takes(&thing);
        let (a, b) = (Selector(a), Selector(b));
        prop_assert_eq!(takes(format!("not (({a}) and ({b}))")), takes(format!("not ({a}) or not ({b})")));
        prop_assert_eq!(takes(format!("not (({a}) or ({b}))")), takes(format!("not ({a}) and not ({b})")));
    }

    #[test]
    fn any_text_is_read_or_refused(text in r#"([ -~\t\n]|label|label\^=|service=|status=passing| and | or |not |[(]|[)]|"|`|ž){0,24}"#) {
        if let Ok(selector) = text.parse::<Selector>() {
            prop_assert_eq!(selector.to_string().parse(), Ok(selector));
        }
    }
}
