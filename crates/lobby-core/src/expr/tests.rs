//! Consul's filter language: each operator on each kind, what is refused with which words, and the bounds.

use std::borrow::Cow;

use super::*;

/// A service with its node and checks, as health/service shows it.
#[derive(Clone, Debug, Default)]
struct Entry {
    node: &'static str,
    name: &'static str,
    port: i64,
    native: bool,
    tags: &'static [&'static str],
    meta: &'static [(&'static str, &'static str)],
    ports: &'static [(&'static str, i64)],
    checks: &'static [(&'static str, &'static [&'static str])],
}

const SERVICE: &[(&str, Kind)] = &[
    ("Service", Kind::Text),
    ("Port", Kind::Number),
    ("Connect.Native", Kind::Bool),
    ("Tags", Kind::List),
    ("Meta", Kind::List),
    ("Meta.*", Kind::Entry),
    ("TaggedAddresses.*.Port", Kind::Number),
];

impl Fields for Entry {
    const SCHEMA: Schema = &[
        Group { prefix: "", names: &[("Node.Node", Kind::Text), ("Checks", Kind::Objects)] },
        Group { prefix: "Service", names: SERVICE },
        Group { prefix: "Checks", names: &[("Status", Kind::Text), ("ServiceTags", Kind::List)] },
    ];

    fn field(&self, selected: Selected<'_>) -> Field<'_> {
        let list = |texts: &[&'static str]| Field::List(texts.iter().map(|text| Cow::Borrowed(*text)).collect());
        let text = |text: &'static str| Field::Text(text.into());
        match (selected.prefix, selected.name, selected.key) {
            ("", "Node.Node", _) => text(self.node),
            ("", "Checks", _) => Field::List(self.checks.iter().map(|(status, _)| (*status).into()).collect()),
            ("Service", "Service", _) => text(self.name),
            ("Service", "Port", _) => Field::Number(self.port),
            ("Service", "Connect.Native", _) => Field::Bool(self.native),
            ("Service", "Tags", _) => list(self.tags),
            ("Service", "Meta", _) => Field::List(self.meta.iter().map(|(key, _)| (*key).into()).collect()),
            ("Service", "Meta.*", Some(key)) => {
                self.meta.iter().find(|(own, _)| *own == key).map_or(Field::Missing, |(_, value)| text(value))
            }
            ("Service", "TaggedAddresses.*.Port", Some(key)) => {
                self.ports.iter().find(|(own, _)| *own == key).map_or(Field::Missing, |(_, port)| Field::Number(*port))
            }
            ("Checks", "Status", _) => Field::Each(self.checks.iter().map(|(status, _)| text(status)).collect()),
            ("Checks", "ServiceTags", _) => Field::Each(self.checks.iter().map(|(_, tags)| list(tags)).collect()),
            other => panic!("no such selector: {other:?}"),
        }
    }
}

fn entry() -> Entry {
    Entry {
        node: "web-1",
        name: "web",
        port: 80,
        native: true,
        tags: &["v2", "prod"],
        meta: &[("zone", "eu-1"), ("a.b", "c"), ("none", "")],
        ports: &[("lan", 81)],
        checks: &[("passing", &[]), ("critical", &["prod"])],
    }
}

const CASES: &[(&str, bool)] = &[
    // Texts.
    (r#"Service.Service == "web""#, true),
    ("Service.Service==web", true),
    ("Service.Service == Web", false),
    ("Service.Service == `web` ", true),
    ("Service.Service != web", false),
    (r#"Service.Service != """#, true),
    ("Node.Node contains eb", true),
    ("Node.Node not contains eb", false),
    (r#""eb-" in Node.Node"#, true),
    (r#""eb-" not in Node.Node"#, false),
    ("web in Node.Node", true),
    ("1 in Node.Node", true),
    ("-1 in Node.Node", true),
    ("Node.Node == web.1", false),
    (r#"Node.Node matches "^w.b-\\d$""#, true),
    ("Node.Node matches `^w.b-[0-9]$`", true),
    ("Node.Node matches eb", true),
    ("Node.Node matches `^eb`", false),
    ("Node.Node matches `(?i)WEB`", true),
    ("Node.Node not matches `^eb`", true),
    // Numbers and booleans.
    ("Service.Port == 80", true),
    (r#"Service.Port == "80""#, true),
    ("Service.Port != 80", false),
    ("Service.Port == -80", false),
    ("Service.Connect.Native == true", true),
    ("Service.Connect.Native == 1", true),
    ("Service.Connect.Native != TRUE", false),
    ("Service.Connect.Native == f", false),
    // Lists: equality with an element, not part of one.
    (r#""prod" in Service.Tags"#, true),
    ("prod in Service.Tags", true),
    ("pro in Service.Tags", false),
    ("pro not in Service.Tags", true),
    ("Service.Tags contains v2", true),
    ("Service.Tags not contains v2", false),
    ("Service.Tags is empty", false),
    ("Service.Tags is not empty", true),
    // Maps: their keys, and values under them.
    ("zone in Service.Meta", true),
    (r#""eu-1" in Service.Meta"#, false),
    ("Service.Meta is empty", false),
    ("Service.Meta.zone == `eu-1`", true),
    (r#"Service.Meta["zone"] == `eu-1`"#, true),
    (r#"Service["Meta"].zone contains eu"#, true),
    (r#"Service.Meta[ "a.b" ] == c"#, true),
    (r#""c" in Service.Meta["a.b"]"#, true),
    ("Service.Meta.none is empty", true),
    ("Service.Meta.zone is empty", false),
    ("Service.TaggedAddresses.lan.Port == 81", true),
    // Missing keys.
    ("Service.Meta.x == ``", false),
    ("Service.Meta.x != ``", true),
    ("a in Service.Meta.x", false),
    ("a not in Service.Meta.x", true),
    ("Service.Meta.x matches ``", false),
    ("Service.Meta.x not matches ``", true),
    ("Service.Meta.x is empty", true),
    ("Service.Meta.x is not empty", false),
    ("Service.Meta.5 is empty", true),
    ("Service.TaggedAddresses.wan.Port != 81", true),
    // Lists of objects: one of them has to.
    ("Checks is empty", false),
    ("Checks is not empty", true),
    ("Checks.Status == critical", true),
    ("Checks.Status != critical", true),
    ("Checks.Status == warning", false),
    ("not Checks.Status == warning", true),
    ("prod in Checks.ServiceTags", true),
    ("Checks.ServiceTags is empty", true),
    // Joined.
    ("Service.Port == 80 and Service.Service == db or Node.Node matches web", true),
    ("Service.Port == 80 and (Service.Service == db or Node.Node matches web)", true),
    ("Service.Port == 81 and Service.Service == db or Node.Node matches web", true),
    ("Service.Port == 81 and (Service.Service == db or Node.Node matches web)", false),
    ("not Service.Port == 81 and Service.Port == 80", true),
    ("not (Service.Port == 80 or Service.Port == 81)", false),
    ("not not Service.Port == 80", true),
    ("not(Service.Port==81)and(Service.Port==80)", true),
    ("\t((Service.Port == 80))\r\n", true),
    ("Service.Service == and or Service.Service == not", false),
    ("in in Service.Tags", false),
];

#[test]
fn operators_on_kinds() {
    for (text, want) in CASES {
        let filter = Filter::parse::<Entry>(text).unwrap_or_else(|err| panic!("{text}: {err}"));
        assert_eq!(filter.takes(&entry()), *want, "{text}");
    }
}

#[test]
fn of_no_objects_none_satisfies_anything() {
    let entry = Entry { checks: &[], ..entry() };
    for (text, want) in [
        ("Checks.Status == critical", false),
        ("Checks.Status != critical", false),
        ("Checks.ServiceTags is empty", false),
        ("Checks is empty", true),
        ("not Checks.Status == critical", true),
    ] {
        assert_eq!(Filter::parse::<Entry>(text).unwrap().takes(&entry), want, "{text}");
    }
}

/// Where a text goes wrong, and what is found there.
const NO_EXPRESSIONS: &[(&str, usize, &str)] = &[
    ("", 0, "the end"),
    (" ", 1, "the end"),
    ("not a valid expression((", 6, "\"valid\""),
    ("Service.Port", 12, "the end"),
    ("Service.Port ==", 15, "the end"),
    ("Service.Port = 80", 13, "\"=\""),
    ("Service.Port == 80 and", 22, "the end"),
    ("Service.Port == 80 AND Service.Port == 81", 19, "\"AND\""),
    ("Service.Port == 80 Service.Port == 81", 19, "\"Service.Port\""),
    ("(Service.Port == 80", 19, "the end"),
    ("Service.Port == 80)", 18, "\")\""),
    ("()", 1, "\")\""),
    ("Service.Port == 080", 16, "\"080\""),
    ("Service.Port == 1.", 16, "\"1.\""),
    ("Service.Port == +1", 16, "\"+1\""),
    ("Node.Node == web-1", 13, "\"web-1\""),
    ("Node.Node == (web)", 13, "\"(\""),
    ("Node.Node == \"web", 13, "\"\\\"web\""),
    ("Node.Node is", 12, "the end"),
    ("Node.Node is not", 16, "the end"),
    ("Node.Node not is empty", 14, "\"is\""),
    ("Node.Node not == a", 14, "\"==\""),
    ("Node.Node EQUALS a", 10, "\"EQUALS\""),
    ("\"Node\" == a", 0, "\"Node\""),
    ("\"\" is empty", 0, "\"\""),
    ("5 == 5", 0, "\"5\""),
    ("Node. == a", 0, "\"Node.\""),
    (".Node == a", 0, "\".Node\""),
    ("Node..Node == a", 0, "\"Node..Node\""),
    ("a in 5", 5, "\"5\""),
    ("a in \"Service.Tags\"", 5, "\"Service.Tags\""),
    ("web-1 in Service.Tags", 0, "\"web-1\""),
    ("a[\"b\"] in Service.Tags", 0, "\"a\""),
    ("Service.Meta[zone] == a", 13, "\"zone\""),
    ("Service.Meta[\"zone\" == a", 20, "\"==\""),
    ("Service.Meta[\"zone\"]b == a", 20, "\"b\""),
    ("Service.Meta [\"zone\"] == a", 13, "\"[\""),
    ("not == 5", 4, "\"==\""),
    ("a in not", 5, "\"not\""),
];

#[test]
fn what_is_no_expression_says_where_and_what_is_there() {
    for (text, want_at, want) in NO_EXPRESSIONS {
        match text.parse::<Expr>() {
            Err(SyntaxError::Unexpected { at, found, .. }) => assert_eq!((at, found.as_str()), (*want_at, *want), "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    let long = "x".repeat(SHOWN_CHARS + 1);
    let Err(SyntaxError::Unexpected { found, .. }) = format!("a b{long}").parse::<Expr>() else { panic!() };
    assert_eq!(found, format!("\"b{}\"…", &long[..SHOWN_CHARS - 1]));
}

fn refused(text: &str) -> FilterError {
    Filter::parse::<Entry>(text).expect_err(text)
}

#[test]
fn unknown_selectors_are_refused_with_those_that_there_are() {
    for text in ["a is empty", "service.Port == 80", "Service.Meta.a.b == c", "Service == a", "Node.Node.x == a", "a in Tags"] {
        assert!(matches!(refused(text), FilterError::Selector { .. }), "{text}");
    }
    let names = "Node.Node, Checks, Service.Service, Service.Port, Service.Connect.Native, Service.Tags, Service.Meta, \
                 Service.Meta.<key>, Service.TaggedAddresses.<key>.Port, Checks.Status, Checks.ServiceTags";
    assert_eq!(
        refused(r#"Service.Port == 80 and Checks["s"].x == 1"#).to_string(),
        format!(r#"at byte 23: found selector "Checks.s.x", accepted are {names}"#)
    );
}

#[test]
fn each_kind_refuses_the_operators_that_it_has_not() {
    let terms = |operators: &str| operators.split(';').map(str::to_owned).collect::<Vec<_>>();
    let all = terms("S == 1;S != 1;1 in S;S not contains 1;S matches 1;S not matches 1;S is empty;S is not empty");
    for (selector, good) in [
        ("Node.Node", "==!=incontainsmatches"),
        ("Service.Meta.zone", "==!=incontainsmatchesempty"),
        ("Service.Port", "==!="),
        ("Service.Connect.Native", "==!="),
        ("Service.Tags", "incontainsempty"),
        ("Checks", "empty"),
        ("Checks.ServiceTags", "incontainsempty"),
    ] {
        for term in &all {
            let is_good = term.split(' ').any(|word| !matches!(word, "S" | "1" | "is" | "not") && good.contains(word));
            match Filter::parse::<Entry>(&term.replace('S', selector)) {
                Ok(_) => assert!(is_good, "{selector}: {term}"),
                Err(FilterError::Operator { .. }) => assert!(!is_good, "{selector}: {term}"),
                Err(err) => panic!("{selector}: {term}: {err}"),
            }
        }
    }
    let text = refused("Service.Tags == a").to_string();
    assert_eq!(text, r#"at byte 0: found ==, != on "Service.Tags", accepted there: in, contains, is empty"#);
}

#[test]
fn values_must_be_of_the_kind() {
    for (text, want) in [
        ("Service.Port == web", "an integer"),
        ("Service.Port == 80.5", "an integer"),
        ("Service.Port == 9223372036854775808", "an integer"),
        ("Service.Port == ``", "an integer"),
        ("Service.Connect.Native == yes", "true or false"),
        ("Service.Connect.Native == 2", "true or false"),
    ] {
        assert!(matches!(refused(text), FilterError::Value { accepted, at, .. } if accepted == want && at > 8), "{text}");
    }
    for text in [
        "Node.Node matches `(`",
        r"Node.Node matches `(\w{200}){200}`",
        "Node.Node matches `((((((((((((((((((a))))))))))))))))))`",
    ] {
        assert!(matches!(refused(text), FilterError::Pattern { at: 18, why, .. } if !why.contains('\n')), "{text}");
    }
}

#[test]
fn bounds() {
    let nested = |n: usize| format!("{}Service.Port == 80{}", "(".repeat(n), ")".repeat(n));
    assert!(Filter::parse::<Entry>(&nested(DEPTH)).unwrap().takes(&entry()));
    assert_eq!(refused(&nested(DEPTH + 1)), SyntaxError::TooDeep { at: DEPTH + 1 }.into());
    let negated = |n: usize| format!("{}Service.Port == 80", "not ".repeat(n));
    assert!(Filter::parse::<Entry>(&negated(DEPTH)).unwrap().takes(&entry()));
    assert!(matches!(refused(&negated(DEPTH + 1)), FilterError::Syntax(SyntaxError::TooDeep { .. })));
    let padded = |n: usize| format!("Service.Port == 80{}", " ".repeat(n - 18));
    assert!(Filter::parse::<Entry>(&padded(TEXT_BYTES)).is_ok());
    assert_eq!(refused(&padded(TEXT_BYTES + 1)), SyntaxError::TooLong { bytes: TEXT_BYTES + 1 }.into());
    // Chains and neighbours are not deep, however many.
    let chain = vec!["(Checks is empty)"; TEXT_BYTES / 21].join(" or ");
    assert!(!Filter::parse::<Entry>(&chain).unwrap().takes(&entry()));
    let patterns = |n: usize| vec!["Node.Node matches a"; n].join(" or ");
    assert!(Filter::parse::<Entry>(&patterns(MOST_PATTERNS)).is_ok());
    assert_eq!(refused(&patterns(MOST_PATTERNS + 1)), FilterError::Patterns { at: 18 + 23 * MOST_PATTERNS });
    // Many that are compiled each take less than one may, and never more together.
    let large = |n: usize| vec![r"Node.Node matches `^\w{4}$`"; n].join(" or ");
    assert!(Filter::parse::<Entry>(&large(1)).is_ok());
    assert!(matches!(refused(&large(MOST_PATTERNS)), FilterError::Pattern { .. }));
    assert!(Filter::parse::<Entry>(&["Node.Node matches `^web-[0-9]+\\.`"; MOST_PATTERNS].join(" or ")).is_ok());
}
