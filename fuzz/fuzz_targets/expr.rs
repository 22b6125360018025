//! Any text as a filter expression of Consul and as a selector of ours: what is read prints as the same, and its negation
//! takes what it does not take.
//!
//! Not here: query strings (`query`).
#![no_main]

use libfuzzer_sys::fuzz_target;
use lobby_core::{
    check::Status,
    expr::{Expr, Field, Fields, FilterError, Group, Kind, Schema, Selected, TEXT_BYTES},
    selector::{Selector, Subject},
};

/// A thing with a selector of each kind.
struct Thing;

impl Fields for Thing {
    const SCHEMA: Schema = &[
        Group {
            prefix: "",
            names: &[
                ("Name", Kind::Text),
                ("Port", Kind::Number),
                ("Native", Kind::Bool),
                ("Tags", Kind::List),
                ("Meta", Kind::List),
                ("Meta.*", Kind::Entry),
                ("Checks", Kind::Objects),
            ],
        },
        Group { prefix: "Checks", names: &[("Status", Kind::Text)] },
    ];

    fn field(&self, selected: Selected<'_>) -> Field<'_> {
        let texts = || Field::List(vec!["a".into(), "b".into()]);
        match (selected.prefix, selected.name) {
            ("Checks", _) => Field::Each(vec![Field::Text("passing".into()), Field::Text("critical".into())]),
            (_, "Name") => Field::Text("a".into()),
            (_, "Port") => Field::Number(80),
            (_, "Native") => Field::Bool(true),
            (_, "Meta.*") if selected.key == Some("a") => Field::Text("b".into()),
            (_, "Meta.*") => Field::Missing,
            _ => texts(),
        }
    }
}

impl Subject for Thing {
    fn any_label(&self, wanted: &dyn Fn(&str) -> bool) -> bool {
        ["zone:eu", "a b"].into_iter().any(wanted)
    }

    fn has_service(&self, name: &str) -> bool {
        name == "web"
    }

    fn has_tag(&self, tag: &str) -> bool {
        tag == "v2"
    }

    fn status(&self) -> Option<Status> {
        Some(Status::Warning)
    }
}

fuzz_target!(|text: &str| {
    if let Ok(expr) = text.parse::<Expr>() {
        let (printed, negated) = (expr.to_string(), format!("not ({expr})"));
        let takes = |expr: &Expr| expr.bind::<Thing>().map(|filter| filter.takes(&Thing));
        let taken = takes(&expr);
        // What is printed has quotes and so may be too long.
        if printed.len() <= TEXT_BYTES {
            let again = printed.parse::<Expr>().expect("what we print we read");
            assert_eq!(again, expr);
            match (&taken, takes(&again)) {
                (Ok(one), Ok(other)) => assert_eq!(*one, other),
                (one, other) => assert_eq!(kind(one), kind(&other)),
            }
        }
        // Which may be too deep as well.
        if let (Ok(negated), Ok(taken)) = (negated.parse::<Expr>(), taken) {
            assert_eq!(takes(&negated).expect("the same terms"), !taken);
        }
    }
    if let Ok(selector) = text.parse::<Selector>() {
        let printed = selector.to_string();
        if printed.len() <= TEXT_BYTES {
            assert_eq!(printed.parse::<Selector>().expect("what we print we read"), selector);
        }
        if let Ok(negated) = format!("not ({selector})").parse::<Selector>() {
            assert_eq!(negated.takes(&Thing), !selector.takes(&Thing));
        }
    }
});

/// What is wrong, without where.
fn kind(taken: &Result<bool, FilterError>) -> Option<std::mem::Discriminant<FilterError>> {
    taken.as_ref().err().map(std::mem::discriminant)
}
