//! What is a template and what is not, with the words and lines of a real Go 1.19, and the limits against hostile texts.
//!
//! Not here: that printing gives the text back (`laws`).

use serde_json::Value;

use super::*;
use crate::{
    print,
    tree::{Command, Operand, Pipe, line_and_column},
};

/// Functions of the cases, built-in ones among them.
const KNOWN: &str = "and or not eq ne lt le gt ge len index slice print printf println html js urlquery call \
    service m ms mi ints empty nilv fail add split join toUpper loop";

fn trees(text: &str) -> Result<Vec<Tree>, ParseError> {
    parse("", text, &Options::default(), &|name| KNOWN.split_whitespace().any(|known| known == name))
}

/// The pipeline at the end of a text.
fn pipe(text: &str) -> Pipe {
    match trees(text).expect(text)[0].nodes.last() {
        Some(Node::Action { pipe, .. }) => pipe.clone(),
        node => panic!("{node:?}"),
    }
}

fn error(text: &str) -> String {
    trees(text).expect_err(text).to_string()
}

#[test]
fn conformance_cases_fail_here_only_if_go_fails_here() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../tests/fixtures/template_cases.json")).expect("JSON of ours");
    let mut refused = 0;
    for case in &cases {
        let text = |key: &str| case[key].as_str().unwrap_or_default();
        let options = Options { left: text("left"), right: text("right") };
        let known = |name: &str| KNOWN.split_whitespace().any(|known| known == name);
        let parsed = parse("", text("template"), &options, &known);
        // Go 1.19 did not know it yet.
        if text("stage") != "parse" || text("template").contains("else with") {
            assert!(parsed.is_ok(), "{}: {parsed:?}", text("template"));
            continue;
        }
        assert_eq!(parsed.expect_err(text("template")).to_string(), text("error"));
        refused += 1;
    }
    assert!(refused > 5 && cases.len() > 80, "{refused} of {}", cases.len());
}

#[test]
fn mistakes_are_told_in_gos_words() {
    let cases = [
        ("{{print(1)}}", "1: unexpected \"(\" in operand"),
        ("\n{{if}}x{{end}}", "2: missing value for if"),
        ("{{if 1}}\n", "2: unexpected EOF"),
        ("{{nope}}", "1: function \"nope\" not defined"),
        ("{{$x}}", "1: undefined variable \"$x\""),
        ("{{1\n\n", "3: unclosed action started at :1"),
        ("{{1\n  #a$ b# }}", "2: unexpected \"#\" in operand"),
        ("{{1\n  len# }}", "2: bad character U+0023 '#' in action started at :1"),
        ("{{len# }}", "1: bad character U+0023 '#'"),
        ("{{range 1}}\n{{else if\n\"a\n}}", "2: unexpected <if> in input"),
        ("{{if 1}}{{else if\n\"a\n}}", "2: unterminated quoted string"),
        ("{{$a, $b := 1}}", "1: too many declarations in command"),
        ("{{range $a, $b, $c := 1}}{{end}}", "1: too many declarations in range"),
        ("{{range $a, 1}}{{end}}", "1: range can only initialize variables"),
        ("{{1 | 2}}", "1: non executable command in pipeline stage 2"),
        ("{{| 1}}", "1: unexpected \"|\" in command"),
        ("{{(1 | )}}x{{()}}", "1: missing value for parenthesized pipeline"),
        ("{{1.5 .x\"}}", "1: bad character U+0022 '\"'"),
        ("{{\"a\".B}}", "1: unexpected . after term \"\\\"a\\\"\""),
        ("{{\"\\q\"}}", "1: invalid syntax"),
        ("{{end}}", "1: unexpected {{end}}"),
        ("{{else}}", "1: unexpected {{else}}"),
        ("{{if 1}}{{else}}{{else}}{{end}}", "1: expected end; found {{else}}"),
        ("{{else 1}}", "1: unexpected \"1\" in else"),
        ("{{break}}", "1: {{break}} outside {{range}}"),
        ("{{range 1}}{{end}}{{continue}}", "1: {{continue}} outside {{range}}"),
        ("{{range 1}}{{break 1}}{{end}}", "1: unexpected \"1\" in {{break}}"),
        ("{{range 1}}{{block \"a\" 1}}{{break}}{{end}}{{end}}", "1: {{break}} outside {{range}}"),
        ("{{if 1}}{{define \"a\"}}{{end}}{{end}}", "1: unexpected <define> in command"),
        ("{{define a}}{{end}}", "1: unexpected \"a\" in define clause"),
        ("{{define \"a\"}}{{else}}{{end}}", "1: unexpected {{else}} in define clause"),
        ("\n{{block \"a\" 1}}\n{{else}}{{end}}", "2: unexpected {{else}} in block clause"),
        ("{{template a}}", "1: unexpected \"a\" in template clause"),
        ("{{define \"a\"}}1{{end}}\n{{define \"a\"}}2{{end}}", "2: template: multiple definition of template \"a\""),
        ("1{{define \"\"}}1{{end}}", "1: template: multiple definition of template \"\""),
    ];
    for (text, want) in cases {
        assert_eq!(error(text), format!("template: :{want}"), "{text}");
    }
}

#[test]
fn errors_tell_the_name() {
    let error = parse("a.tpl", "\n{{1\n", &Options::default(), &|_| false).expect_err("it is not closed");
    assert_eq!(error.to_string(), "template: a.tpl:3: unclosed action started at a.tpl:2");
    assert_eq!((&*error.name, error.line), ("a.tpl", 3));
}

#[test]
fn variables_end_with_their_action() {
    assert!(trees("{{$x := 1}}{{if $x}}{{$y := $x}}{{$y}}{{end}}{{$x}}{{$}}").is_ok());
    assert!(trees("{{range $k, $v := m}}{{$k}}{{else}}{{$v}}{{end}}").is_ok());
    // Whether there is something to assign to is found out later, as in Go.
    assert!(trees("{{$x = 1}}").is_ok());
    for text in [
        "{{if $x := 1}}{{end}}{{$x}}",
        "{{if 1}}{{$x := 1}}{{else}}{{end}}{{$x}}",
        "{{$x := 1}}{{define \"a\"}}{{$x}}{{end}}",
        "{{$x := 1}}{{block \"a\" $x}}{{$x}}{{end}}",
        "{{define \"a\"}}{{$x := 1}}{{end}}{{$x}}",
    ] {
        assert!(error(text).ends_with("undefined variable \"$x\""), "{text}");
    }
    assert!(trees("{{$x := 1}}{{with $x := 2}}{{end}}{{$x}}").is_ok(), "the outer one is still there");
}

#[test]
fn the_text_is_first_and_definitions_follow() {
    let named = |text| {
        let trees = trees(text).expect(text);
        trees.iter().map(|tree| (tree.name.to_string(), tree.to_string())).collect::<Vec<_>>()
    };
    let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    assert_eq!(named("a{{define \"x\"}}b{{end}}c"), [pair("", "ac"), pair("x", "b")]);
    assert_eq!(named("{{block `x` 1}}b{{end}}"), [pair("", "{{template \"x\" 1}}"), pair("x", "b")]);
    // What says something replaces what is blank, and is never replaced by it.
    let text = "{{define \"x\"}} {{end}}{{define \"y\"}}{{end}}{{define \"x\"}}1{{end}}{{define \"x\"}}\n{{end}}";
    assert_eq!(named(text), [pair("", ""), pair("x", "1"), pair("y", "")]);
    assert_eq!(named(" {{define \"y\"}}2{{end}}{{define \"\"}}1{{end}}"), [pair("", "1"), pair("y", "2")]);
    let trees = trees("{{define \"x\"}}{{end}}").expect("a template");
    assert!(trees.iter().all(|tree| &*tree.text == "{{define \"x\"}}{{end}}"));
}

#[test]
fn chains_of_else_nest() {
    assert_eq!(trees("{{if 1}}a{{else if 2}}b{{else}}c{{end}}"), trees("{{if 1}}a{{else}}{{if 2}}b{{else}}c{{end}}{{end}}"));
    assert_eq!(
        trees("{{with 1}}a{{else with 2}}b{{else}}c{{end}}"),
        trees("{{with 1}}a{{else}}{{with 2}}b{{else}}c{{end}}{{end}}")
    );
    assert_eq!(error("{{if 1}}{{else with 2}}{{end}}"), "template: :1: unexpected <with> in input");
    assert_eq!(error("{{else with 1}}"), "template: :1: unexpected {{else}}");
}

#[test]
fn texts_around_a_comment_are_one() {
    let trees = trees("a{{/* */}}b{{define \"x\"}}{{end}}c").expect("a template");
    assert_eq!(trees[0].nodes, [Node::Text { pos: Pos(0), text: "abc".into() }]);
}

#[test]
fn words_are_fields_and_functions_too() {
    assert!(matches!(&pipe("{{.if.end}}").commands[0].operands[..], [Operand::Field { path, .. }] if path.len() == 2));
    let trees = parse("", "{{break}}{{continue | break}}", &Options::default(), &|_| true).expect("functions");
    assert_eq!(trees[0].to_string(), "{{break}}{{continue | break}}");
}

#[test]
fn places_are_those_of_go() {
    let pipe = pipe("\n{{ print .A.B (len `x`).C $.D | print $ }}");
    assert_eq!(pipe.pos.0, 4);
    let [Command { pos, operands }, last] = &pipe.commands[..] else { panic!("{pipe:?}") };
    assert_eq!((pos.0, last.pos.0), (4, 33));
    let places = operands.iter().map(|operand| match operand {
        Operand::Function { pos, .. }
        | Operand::Field { pos, .. }
        | Operand::Variable { pos, .. }
        | Operand::Chain { pos, .. } => pos.0,
        _ => usize::MAX,
    });
    assert_eq!(places.collect::<Vec<_>>(), [4, 12, 24, 28]);
    let Operand::Chain { operand, .. } = &operands[2] else { panic!("{operands:?}") };
    assert!(matches!(&**operand, Operand::Pipe(pipe) if pipe.pos.0 == 16), "{operand:?}");
    assert_eq!(line_and_column("\n{{ print", Pos(4)), (2, 3));
    assert_eq!(line_and_column("ž\n", Pos(2)), (1, 2));
    assert_eq!(line_and_column("ž\n", Pos(99)), (2, 0));
}

#[test]
fn a_range_may_declare_without_a_sign() {
    // Go reads it so; nobody writes it.
    assert_eq!(trees("{{$y := m}}{{range $x, $y}}{{end}}"), trees("{{$y := m}}{{range $x := $y}}{{end}}"));
}

#[test]
fn nesting_ends_at_its_limit() {
    let cases: [(&str, &str, &str); 6] = [
        ("{{if 1}}", "", "{{end}}"),
        ("{{range 1}}", "", "{{else}}{{end}}"),
        ("{{block \"a\" 1}}", "", "{{end}}"),
        ("{{with 1}}{{if 2}}", "", "{{end}}{{end}}"),
        ("(", "1", ")"),
        ("{{else if 1}}", "", ""),
    ];
    for (open, inner, close) in cases {
        // Block after block of one name would be one definition too many, and is blank but for the next one.
        let step = open.matches("{{").count().max(1);
        let text = |depth: usize| {
            let depth = depth / step;
            let middle = format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
            match open {
                "(" => format!("{{{{{middle}}}}}"),
                "{{else if 1}}" => format!("{{{{if 1}}}}{}{{{{end}}}}", open.repeat(depth - 1)),
                _ => middle,
            }
        };
        let deepest = text(NESTING);
        if !open.contains("block") {
            let read = trees(&deepest).expect("as deep as it may be");
            let again = trees(&print(&read)).expect("as deep as it was");
            assert_eq!((&again, &read.clone()), (&read, &read));
            assert!(!format!("{read:?}").is_empty());
        }
        let message = format!("template: :1: more than {NESTING} actions and parentheses inside each other");
        assert_eq!(error(&text(NESTING + step)), message);
        assert_eq!(error(&text(100 * NESTING)), message, "it stops there");
    }
}

#[test]
fn texts_end_at_their_limit() {
    let text = "a".repeat(TEXT_BYTES);
    assert!(trees(&text).is_ok());
    assert_eq!(error(&(text + "a")), "template: :1: text of 16777217 bytes, at most 16777216 are accepted");
}
