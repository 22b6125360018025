//! Laws of Consul's filter language: printing, a naive reference, de Morgan, and any text at all.

use std::{borrow::Cow, collections::BTreeMap};

use proptest::{collection::btree_map, collection::vec, prelude::*, sample::select};

use super::{
    parse::{Op, Term},
    tree::Tree,
    *,
};

/// A thing with one field of each kind.
#[derive(Clone, Debug)]
struct Thing {
    name: String,
    port: i64,
    native: bool,
    tags: Vec<String>,
    meta: BTreeMap<String, String>,
    checks: Vec<String>,
}

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
        Group { prefix: "Checks", names: &[("Name", Kind::Text)] },
    ];

    fn field(&self, selected: Selected<'_>) -> Field<'_> {
        let text = |text: &'_ String| Cow::<'static, str>::Owned(text.clone());
        match (selected.prefix, selected.name) {
            ("", "Name") => Field::Text(text(&self.name)),
            ("", "Port") => Field::Number(self.port),
            ("", "Native") => Field::Bool(self.native),
            ("", "Tags") => Field::List(self.tags.iter().map(text).collect()),
            ("", "Meta") => Field::List(self.meta.keys().map(text).collect()),
            ("", "Checks") => Field::List(self.checks.iter().map(text).collect()),
            ("Checks", _) => Field::Each(self.checks.iter().map(|check| Field::Text(text(check))).collect()),
            _ => selected.key.and_then(|key| self.meta.get(key)).map_or(Field::Missing, |value| Field::Text(text(value))),
        }
    }
}

fn thing() -> impl Strategy<Value = Thing> {
    let text = || "[ab]{0,2}";
    (text(), 0..3_i64, any::<bool>(), vec(text(), 0..3), btree_map("[ab]", text(), 0..3), vec(text(), 0..3))
        .prop_map(|(name, port, native, tags, meta, checks)| Thing { name, port, native, tags, meta, checks })
}

fn term(path: &[&str], op: Op, negated: bool, value: String) -> Term {
    let path = path.iter().map(|name| (*name).to_owned()).collect();
    let value = if op == Op::Empty { String::new() } else { value };
    Term { path, path_at: Default::default(), op, negated, value, value_at: Default::default() }
}

/// Terms that fit [`Thing`].
fn good_term() -> impl Strategy<Value = Term> {
    const ROWS: &[(&[&str], &[Op], &str)] = &[
        (&["Name"], &[Op::Equals, Op::Contains, Op::Matches], "[ab]{0,2}"),
        (&["Port"], &[Op::Equals], "[012]"),
        (&["Native"], &[Op::Equals], "(true|false|1|0)"),
        (&["Tags"], &[Op::Contains, Op::Empty], "[ab]{0,2}"),
        (&["Meta"], &[Op::Contains, Op::Empty], "[ab]"),
        (&["Meta", "a"], &[Op::Equals, Op::Contains, Op::Matches, Op::Empty], "[ab]{0,2}"),
        (&["Checks"], &[Op::Empty], ""),
        (&["Checks", "Name"], &[Op::Equals, Op::Contains, Op::Matches], "[ab]{0,2}"),
    ];
    select(ROWS).prop_flat_map(|(path, ops, value)| {
        (select(ops), any::<bool>(), value).prop_map(move |(op, negated, value)| term(path, op, negated, value))
    })
}

/// Terms of any names and values.
fn any_term() -> impl Strategy<Value = Term> {
    let first = "[A-Za-z][A-Za-z0-9_/]{0,4}".prop_filter("the one reserved word", |name| name != "not");
    let name = prop_oneof!["[A-Za-z0-9_/]{0,4}", "[ -~ž\n]{0,3}", Just("not".to_owned()), Just("in".to_owned())];
    let op = select(&[Op::Equals, Op::Contains, Op::Matches, Op::Empty][..]);
    (first, vec(name, 0..3), op, any::<bool>(), ".{0,6}").prop_map(|(first, names, op, negated, value)| {
        let path: Vec<&str> = [&first].into_iter().chain(&names).map(String::as_str).collect();
        term(&path, op, negated, value)
    })
}

/// Trees of terms that fit, with at most so many regular expressions.
fn good_tree(most: usize) -> impl Strategy<Value = Tree<Term>> {
    tree(good_term()).prop_filter("more regular expressions than a filter may have", move |tree| {
        Expr(tree.clone()).to_string().matches(" matches ").count() <= most
    })
}

fn tree(term: impl Strategy<Value = Term> + 'static) -> impl Strategy<Value = Tree<Term>> {
    term.prop_map(Tree::Leaf).prop_recursive(4, 16, 3, |tree| {
        prop_oneof![
            tree.clone().prop_map(|tree| Tree::Not(Box::new(tree))),
            vec(tree.clone(), 2..4).prop_map(Tree::All),
            vec(tree, 2..4).prop_map(Tree::Any),
        ]
    })
}

/// The meaning of a tree, written down once more; patterns are plain text here.
fn naive(tree: &Tree<Term>, thing: &Thing) -> bool {
    match tree {
        Tree::Not(tree) => !naive(tree, thing),
        Tree::All(trees) => trees.iter().filter(|tree| naive(tree, thing)).count() == trees.len(),
        Tree::Any(trees) => trees.iter().filter(|tree| naive(tree, thing)).count() > 0,
        Tree::Leaf(Term { path, op, negated, value, .. }) => {
            let on_text = |text: &String| match op {
                Op::Equals => text == value,
                Op::Contains | Op::Matches => text.contains(value),
                Op::Empty => text.is_empty(),
            };
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let is_true = match (&path[..], op) {
                (["Name"], _) => on_text(&thing.name),
                (["Port"], _) => thing.port.to_string() == *value,
                (["Native"], _) => thing.native == matches!(value.as_str(), "true" | "1"),
                (["Tags"], Op::Empty) => thing.tags.is_empty(),
                (["Tags"], _) => thing.tags.contains(value),
                (["Meta"], Op::Empty) => thing.meta.is_empty(),
                (["Meta"], _) => thing.meta.contains_key(value),
                (["Meta", key], _) => thing.meta.get(*key).map_or(*op == Op::Empty, on_text),
                (["Checks"], _) => thing.checks.is_empty(),
                _ => return thing.checks.iter().any(|check| on_text(check) != *negated),
            };
            is_true != *negated
        }
    }
}

fn takes(text: &str, thing: &Thing) -> bool {
    Filter::parse::<Thing>(text).unwrap_or_else(|err| panic!("{text}: {err}")).takes(thing)
}

proptest! {
    #[test]
    fn what_is_printed_reads_as_the_same(tree in tree(any_term())) {
        let expr = Expr(tree);
        prop_assert_eq!(expr.to_string().parse(), Ok(expr));
    }

    #[test]
    fn it_takes_what_the_reference_takes(tree in good_tree(MOST_PATTERNS), thing in thing()) {
        let want = naive(&tree, &thing);
        prop_assert_eq!(takes(&Expr(tree).to_string(), &thing), want);
    }

    #[test]
    fn de_morgan(a in good_tree(MOST_PATTERNS / 2), b in good_tree(MOST_PATTERNS / 2), thing in thing()) {
        let (a, b) = (Expr(a), Expr(b));
        let both = takes(&format!("not (({a}) and ({b}))"), &thing);
        prop_assert_eq!(both, takes(&format!("not ({a}) or not ({b})"), &thing));
        let any = takes(&format!("not (({a}) or ({b}))"), &thing);
        prop_assert_eq!(any, takes(&format!("not ({a}) and not ({b})"), &thing));
        prop_assert_eq!(takes(&format!("not not ({a})"), &thing), takes(&a.to_string(), &thing));
    }

    #[test]
    fn one_way_or_the_other_of_saying_it(value in "[ -~]{0,3}", thing in thing()) {
        let value = lex::quote(&value);
        for selector in ["Name", "Tags", "Meta", "Meta.a", "Checks.Name"] {
            for not in ["", "not "] {
                let contains = takes(&format!("{selector} {not}contains {value}"), &thing);
                prop_assert_eq!(contains, takes(&format!("{value} {not}in {selector}"), &thing));
            }
        }
    }

    #[test]
    fn pieces_in_any_order_are_read_or_refused(
        pieces in vec(select(&[
            "Name", "Tags", "Meta.a", "[\"a\"]", "Checks.Name", " == ", "!=", " in ", " not ", "not ", " contains ", " is ", "empty",
            " matches ", " and ", " or ", "(", ")", "\"a\"", "`(`", "\"\\x\"", "5", ".", "a", " ", "ž", "\0", "^", "[", "]",
        ][..]), 0..12),
    ) {
        let text = pieces.concat();
        if let Ok(expr) = text.parse::<Expr>() {
            prop_assert_eq!(expr.to_string().parse(), Ok(expr.clone()));
            let _ = expr.bind::<Thing>();
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        if let Ok(expr) = text.parse::<Expr>() {
            prop_assert_eq!(expr.to_string().parse(), Ok(expr));
        }
    }
}

/// However the bound is filled, a quarter of a worker's stack is enough, even unoptimised: nesting is refused, everything
/// else is a list.
#[test]
fn texts_that_fill_the_bound() {
    const DEEP: &[&str] = &["(", "not ", "not(", "a==b and(", "a==b or not ("];
    const FLAT: &[&str] = &["a==b or ", "a in b.c and ", "\"", "`", "a[", "a.", "[\"a\"]", "\\", "a in ", "\"\\n\"in a or "];
    let read_all = || {
        for (pieces, is_deep) in [(DEEP, true), (FLAT, false)] {
            for piece in pieces {
                let read = piece.repeat(TEXT_BYTES / piece.len()).parse::<Expr>();
                assert_eq!(matches!(read, Err(SyntaxError::TooDeep { .. })), is_deep, "{piece}: {read:?}");
            }
        }
        let chain = format!("{}a==b", "a==b or ".repeat(TEXT_BYTES / 8 - 1));
        let deep = format!("{0}a==b{1}", "a==b and (a==b or not (".repeat(DEPTH / 3), "))".repeat(DEPTH / 3));
        for text in [chain, deep] {
            let expr: Expr = text.parse().unwrap();
            assert!(expr.0.holds(&|_| true) && !expr.0.holds(&|_| false));
            assert!(expr.to_string().len() > text.len(), "values are printed with quotes");
        }
    };
    let thread = std::thread::Builder::new().stack_size(512 * 1024).spawn(read_all).unwrap();
    thread.join().unwrap();
}
