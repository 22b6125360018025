//! Laws: what is printed reads as what it was, for trees that are made up and for texts that are.
//!
//! Not here: single cases (`tests`).

use std::sync::Arc;

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;
use crate::{
    lex::quote::{quote, unquote},
    number, print,
    tree::{Command, Operand, Pipe},
};

const AT: Pos = Pos(0);

fn known(name: &str) -> bool {
    ["f", "len", "print"].contains(&name)
}

fn read(text: &str) -> Result<Vec<Tree>, ParseError> {
    parse("", text, &Options::default(), &known)
}

fn path() -> impl Strategy<Value = Vec<Arc<str>>> {
    vec(select(vec!["A", "if", "ž9", "_"]).prop_map(Arc::from), 1..3)
}

/// What can be a command without arguments.
fn callable() -> impl Strategy<Value = Operand> {
    let variable = || select(vec!["$", "$x"]).prop_map(Arc::from);
    let function = || select(vec!["f", "len"]).prop_map(|name| Operand::Function { pos: AT, name: name.into() });
    prop_oneof![
        path().prop_map(|path| Operand::Field { pos: AT, path }),
        (variable(), option::of(path())).prop_map(|(name, path)| Operand::Variable {
            pos: AT,
            name,
            path: path.unwrap_or_default()
        }),
        function(),
        (function(), path()).prop_map(|(operand, path)| Operand::Chain { pos: AT, operand: Box::new(operand), path }),
    ]
}

fn number() -> impl Strategy<Value = Operand> {
    let plain = prop_oneof![
        any::<i64>().prop_map(|int| int.to_string()),
        any::<u64>().prop_map(|uint| format!("{uint:#x}")),
        any::<f64>().prop_filter("Go has no word for it", |float| float.is_finite()).prop_map(|float| format!("{float:e}")),
        select(vec!["1_000", ".5", "0x1p-2", "2i", "+3", "017"]).prop_map(str::to_owned),
    ];
    let number = prop_oneof![
        plain.prop_map(|source| number::plain(&source)),
        select(vec!["1+2i", "-1.5-.5i"]).prop_map(number::complex),
        select(vec!["'}'", "'\\''", "'ž'", "'\\xff'"]).prop_map(number::character),
    ];
    number.prop_map(|number| Operand::Number { pos: AT, number: number.expect("a number") })
}

fn text() -> impl Strategy<Value = Operand> {
    let source = prop_oneof![
        any::<String>().prop_map(|text| quote(&text)),
        "[^`]{0,6}".prop_map(|text| format!("`{text}`")),
        select(vec![r#""\xff\101\u00e9\a""#, "\"{{}}\""]).prop_map(str::to_owned),
    ];
    source.prop_map(|source| {
        let bytes = unquote(&source).expect("a literal").into();
        Operand::Text { pos: AT, source, bytes }
    })
}

fn pipe() -> impl Strategy<Value = Pipe> {
    let leaf = prop_oneof![
        callable(),
        number(),
        text(),
        Just(Operand::Dot { pos: AT }),
        Just(Operand::Nil { pos: AT }),
        any::<bool>().prop_map(|value| Operand::Bool { pos: AT, value }),
    ];
    let operand = leaf.prop_recursive(3, 12, 3, |inner| {
        let boxed = (commands(inner), 0..3_usize).prop_map(|(commands, declares)| Box::new(declaring(commands, declares)));
        prop_oneof![
            boxed.clone().prop_map(Operand::Pipe),
            (boxed, path()).prop_map(|(pipe, path)| Operand::Chain { pos: AT, operand: Box::new(Operand::Pipe(pipe)), path }),
        ]
    });
    (commands(operand), 0..3_usize).prop_map(|(commands, declares)| declaring(commands, declares))
}

/// Commands of which only the first may be a mere value.
fn commands(operand: impl Strategy<Value = Operand> + Clone + 'static) -> impl Strategy<Value = Vec<Command>> + Clone {
    let command = |operands| Command { pos: AT, operands };
    let first = vec(operand.clone(), 1..4).prop_map(command);
    let later = (callable(), vec(operand, 0..2)).prop_map(move |(first, rest)| {
        let operands = std::iter::once(first).chain(rest).collect();
        Command { pos: AT, operands }
    });
    let made = (first, vec(later, 0..2)).prop_map(|(first, later)| std::iter::once(first).chain(later).collect::<Vec<_>>());
    made.boxed()
}

/// 0: declares nothing, 1: declares `$x`, 2: assigns it.
fn declaring(commands: Vec<Command>, declares: usize) -> Pipe {
    let variables = if declares > 0 { vec!["$x".into()] } else { Vec::new() };
    Pipe { pos: AT, variables, assigns: declares == 2, commands }
}

/// Nodes as a parser makes them: no text is empty and no two follow each other.
fn merged(made: Vec<Node>) -> Vec<Node> {
    let mut nodes = Vec::new();
    made.into_iter().for_each(|node| append(&mut nodes, node));
    nodes
}

fn nodes(in_range: bool) -> impl Strategy<Value = Vec<Node>> {
    let name = || any::<String>().prop_map(Arc::<str>::from);
    let leaf = prop_oneof![
        "[{} a\n-]{1,5}".prop_map(|text| Node::Text { pos: AT, text }),
        any::<String>().prop_filter("empty", |text| !text.is_empty()).prop_map(|text| Node::Text { pos: AT, text }),
        pipe().prop_map(|pipe| Node::Action { pos: AT, pipe }),
        (name(), option::of(pipe())).prop_map(|(name, pipe)| Node::Template { pos: AT, name, pipe }),
    ];
    let leaf = if in_range {
        prop_oneof![leaf, Just(Node::Break { pos: AT }), Just(Node::Continue { pos: AT })].boxed()
    } else {
        leaf.boxed()
    };
    let node = leaf.prop_recursive(3, 16, 3, |inner| {
        let list = vec(inner, 0..3).prop_map(merged);
        let branch = (pipe(), list.clone(), option::of(list))
            .prop_map(|(pipe, then, otherwise)| Branch { pos: AT, pipe, then, otherwise })
            .boxed();
        prop_oneof![branch.clone().prop_map(Node::If), branch.clone().prop_map(Node::With), branch.prop_map(Node::Range)]
    });
    vec(node, 0..4).prop_map(merged)
}

/// A tree in which `$x` is declared everywhere; inside a range if `in_range`.
fn tree(in_range: bool) -> impl Strategy<Value = Tree> {
    nodes(in_range).prop_map(move |inner| {
        let one = number::plain("1").expect("a number");
        let commands = vec![Command { pos: AT, operands: vec![Operand::Number { pos: AT, number: one }] }];
        let pipe = Pipe { pos: AT, variables: vec!["$y".into(), "$x".into()], assigns: false, commands };
        let nodes = if in_range {
            vec![Node::Range(Branch { pos: AT, pipe, then: inner, otherwise: None })]
        } else {
            let pipe = Pipe { variables: vec!["$x".into()], ..pipe };
            merged(std::iter::once(Node::Action { pos: AT, pipe }).chain(inner).collect())
        };
        Tree { name: "".into(), text: "".into(), nodes }
    })
}

/// Pieces of templates, in any order: most texts of them are none, and those that are have been hard to write.
fn soup() -> impl Strategy<Value = String> {
    let pieces = vec![
        "{{",
        "{{",
        "{{- ",
        "}}",
        "}}",
        " -}}",
        "{{/*",
        "*/}}",
        "{",
        " ",
        "\n",
        "a",
        "if ",
        "else",
        "end",
        "range ",
        "with ",
        "define ",
        "block ",
        "template ",
        "break",
        "\"n\" ",
        "`r`",
        "$x",
        "$",
        ":=",
        "=",
        ",",
        "|",
        "(",
        ")",
        ".",
        ".A",
        "1",
        "1.5",
        "'c'",
        "1i",
        "f",
        "len ",
        "nil",
        "true",
        "ž",
        "#",
        "{{end}}",
        "{{if 1}}",
        "{{range .}}",
        "{{else}}",
    ];
    vec(select(pieces), 0..20).prop_map(|pieces| pieces.concat())
}

fn check(text: &str) -> Result<(), TestCaseError> {
    let Ok(trees) = read(text) else { return Ok(()) };
    let printed = print(&trees);
    let again = read(&printed).map_err(|error| TestCaseError::fail(format!("{printed:?}: {error}")))?;
    prop_assert_eq!(&again, &trees, "{:?}", printed);
    // Trees know places of the text, which are not those of what was printed, but the text printed again is the same.
    prop_assert_eq!(print(&again), printed);
    Ok(())
}

proptest! {
    #[test]
    fn made_up_trees_read_as_they_print(tree in any::<bool>().prop_flat_map(tree)) {
        let printed = tree.to_string();
        let trees = read(&printed).map_err(|error| TestCaseError::fail(format!("{printed:?}: {error}")))?;
        prop_assert_eq!(&trees, &[tree], "{:?}", printed);
    }

    #[test]
    fn texts_read_as_they_print(text in soup()) {
        check(&text)?;
        check(&format!("{{{{{text}}}}}"))?;
        check(&format!("{{{{range $x := .}}}}{text}{{{{end}}}}"))?;
    }

    #[test]
    fn any_text_is_a_template_or_an_error(text in any::<String>(), left in ".{0,2}", right in ".{0,2}") {
        check(&text)?;
        let options = Options { left: &left, right: &right };
        if let Ok(trees) = parse("", &format!("a{left}1{right}{text}"), &options, &known) {
            prop_assert_eq!(read(&print(&trees)), Ok(trees));
        }
    }
}
