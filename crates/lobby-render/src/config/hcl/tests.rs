//! What the reader of HCL takes, what it refuses and where, and that it reads what is printed.

use proptest::prelude::*;

use super::*;

fn of(text: &str) -> Value {
    let block = parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    Value::Block(block)
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn block(entries: Vec<(&str, Value)>) -> Value {
    Value::Block(Block(entries.into_iter().map(|(key, value)| Entry { key: key.into(), value, line: 0 }).collect()))
}

#[test]
fn values() {
    for (written, want) in [
        ("true", Value::Bool(true)),
        ("false", Value::Bool(false)),
        ("0", Value::Int(0)),
        ("-12", Value::Int(-12)),
        ("0600", Value::Int(0o600)),
        ("0o600", Value::Int(0o600)),
        ("0xfF", Value::Int(255)),
        ("9223372036854775807", Value::Int(i64::MAX)),
        ("1.5", Value::Float(1.5)),
        ("-2.5e-3", Value::Float(-0.0025)),
        ("1e+2", Value::Float(100.0)),
        (r#""""#, text("")),
        (r#""a\n\t\"\\\/""#, text("a\n\t\"\\/")),
        (r#""\u00e9\U0001F600\x41\101""#, text("\u{e9}\u{1f600}AA")),
        (r#""\ud83d\ude00""#, text("\u{1f600}")),
        (r#""${key "a" \n} %{if} $x $${y}""#, text(r#"${key "a" \n} %{if} $x $${y}"#)),
        (r#""${a {b} "q" }""#, text(r#"${a {b} "q" }"#)),
        ("<<EOF\na \"${b}\" \\n\n  c\nEOF", text("a \"${b}\" \\n\n  c\n")),
        ("<<EOF\nEOF\n", text("")),
        ("<<EOF\na\r\nEOF\r\n", text("a\r\n")),
        ("<<EOF\na\n  EOF", text("a\n  ")),
        ("<<-EOF\n    a\n      b\n    EOF", text("a\n  b\n")),
        ("<<-EOF\n  a\n    b\n    EOF", text("  a\n    b\n")),
        ("[]", Value::List(vec![])),
        ("[1, \"a\",\n# why\n true,]", Value::List(vec![Value::Int(1), text("a"), Value::Bool(true)])),
        ("[<<A\nx\nA\n, 2]", Value::List(vec![text("x\n"), Value::Int(2)])),
        ("{ b = 1 }", block(vec![("b", Value::Int(1))])),
    ] {
        let whole = format!("a = {written}");
        assert_eq!(of(&whole), block(vec![("a", want)]), "{whole}");
    }
}

#[test]
fn entries() {
    let one = || block(vec![("a", block(vec![("b", Value::Int(1))]))]);
    for written in [
        "a { b = 1 }",
        "a = { b = 1 }",
        "a {\n b = 1,\n}",
        "\"a\" { \"b\" = 1 }",
        "a: {b: 1}",
        "{\"a\": {\"b\": 1}}",
        " {\"a\": {\"b\": 1, \"c\": null}} // end",
        "\u{feff}a { b = 1 }",
        "// x\n# y\n/* z\n */ a /**/ { b /* = 2 */ = 1 } #",
    ] {
        assert_eq!(of(written), one(), "{written}");
    }
    assert_eq!(of(""), block(vec![]));
    assert_eq!(of("{}"), block(vec![]));
    let labels = block(vec![("x", block(vec![("y", block(vec![("c", Value::Int(1))]))]))]);
    assert_eq!(of("a \"x\" y { c = 1 }"), block(vec![("a", labels)]));
    assert_eq!(of("a = 1 a = 2\na = 3"), block(vec![("a", Value::Int(1)), ("a", Value::Int(2)), ("a", Value::Int(3))]));
    let lines: Vec<_> = parse("a = 1\n\n\nb {\n}\n").expect("it is HCL").0.iter().map(|entry| entry.line).collect();
    assert_eq!(lines, [1, 4]);
}

#[test]
fn refused_with_their_place() {
    use Problem::{Depth, Endless, Escape, Number};
    const VALUE: Problem = Problem::Expected("a value: a text in quotes, a number, true, false, `[` or `{`");
    const KEY: Problem = Problem::Expected("a key, or the end of the block");
    const AFTER: Problem = Problem::Expected("`=` or `{` after a key");
    const LIST: Problem = Problem::Expected("`,` or `]` in a list");
    const WORD: Problem = Problem::Expected("`<<WORD` or `<<-WORD` and the end of the line");
    const LAST: Problem = Problem::Expected("nothing after the last `}`");
    for (written, line, column, problem) in [
        ("a", 1, 2, AFTER),
        ("a \"b\" = 1", 1, 7, AFTER),
        ("a =", 1, 4, VALUE),
        ("a = b", 1, 5, VALUE),
        ("a = 1\n = 2", 2, 2, KEY),
        ("a = 1 }", 1, 7, KEY),
        ("é = ?", 1, 5, VALUE),
        ("a {", 1, 4, Endless("a block")),
        ("a {\n b = [1", 2, 8, LIST),
        ("a = [1,", 1, 8, Endless("a list")),
        ("a = [1 2]", 1, 8, LIST),
        ("a = \"b", 1, 5, Endless("a text")),
        ("a = \"b\n\"", 1, 5, Endless("a text")),
        ("a = \"${b\"", 1, 5, Endless("a text")),
        ("a = 1 /* b", 1, 7, Endless("a comment")),
        ("a = <<EOF\nb", 1, 5, Endless("a heredoc")),
        ("a = <<EOF", 1, 5, WORD),
        ("a = <<\nb", 1, 5, WORD),
        ("a = <b", 1, 5, WORD),
        ("a = \"\\q\"", 1, 6, Escape),
        ("a = \"\\u12\"", 1, 6, Escape),
        ("a = \"\\ud800\"", 1, 6, Escape),
        ("a = \"\\xff\"", 1, 6, Escape),
        ("a = \"\\", 1, 6, Escape),
        ("a = 08", 1, 5, Number),
        ("a = 10s", 1, 5, Number),
        ("a = 0x", 1, 5, Number),
        ("a = -", 1, 5, Number),
        ("a = 0x-1", 1, 5, Number),
        ("a = 1.2.3", 1, 5, Number),
        ("a = 1e999", 1, 5, Number),
        ("a = 9223372036854775808", 1, 5, Number),
        ("{\"a\": 1} b", 1, 10, LAST),
        (&format!("a = {}", "[".repeat(DEPTH + 1)), 1, 5 + DEPTH as u32, Depth),
        (&"a {".repeat(DEPTH + 1), 1, 3 * (DEPTH as u32 + 1), Depth),
    ] {
        assert_eq!(parse(written), Err(HclError { line, column, problem }), "{written}");
    }
    assert_eq!(parse(&format!("a {} {{}}", "b ".repeat(DEPTH + 1))).map_err(|error| error.problem), Err(Depth));
}

#[test]
fn at_the_bounds() {
    let deep = format!("a = {}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    assert!(parse(&deep).is_ok());
    assert!(parse(&format!("a {} {{}}", "b ".repeat(DEPTH - 1))).is_ok());
    assert!(parse(&"#".repeat(TEXT_BYTES)).is_ok());
    assert_eq!(parse(&"#".repeat(TEXT_BYTES + 1)).map_err(|error| error.problem), Err(Problem::Size));
    // One long line: columns are counted for errors only.
    let entries = "a=\"\\n\" b=x".len();
    assert!(parse(&"a=\"\\n\",".repeat(TEXT_BYTES / entries)).is_ok());
}

/// Prints a tree as HCL, or as JSON.
fn print(value: &Value, json: bool, out: &mut String) {
    match value {
        Value::Bool(yes) => out.push_str(&yes.to_string()),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Float(number) => out.push_str(&format!("{number:?}")),
        Value::Text(text) if !json && text.ends_with('\n') && !text.contains("END") => {
            out.push_str(&format!("<<END\n{text}END\n"))
        }
        Value::Text(text) => print_text(text, out),
        Value::List(list) => {
            out.push('[');
            for (idx, value) in list.iter().enumerate() {
                out.push_str(if idx == 0 { "" } else { ", " });
                print(value, json, out);
            }
            out.push(']');
        }
        Value::Block(block) => {
            out.push('{');
            print_entries(block, json, out);
            out.push('}');
        }
    }
}

fn print_entries(block: &Block, json: bool, out: &mut String) {
    for (idx, entry) in block.0.iter().enumerate() {
        match (&entry.value, json) {
            (_, true) => {
                out.push_str(if idx == 0 { "" } else { "," });
                print_text(&entry.key, out);
                out.push(':');
            }
            (Value::Block(_), _) => out.push_str(&format!("\n{} ", entry.key)),
            _ => out.push_str(&format!("\n{} = ", entry.key)),
        }
        print(&entry.value, json, out);
    }
}

fn print_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '$' => out.push_str("\\u0024"),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn tree() -> impl Strategy<Value = Block> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_filter("a number", |number| number.is_finite()).prop_map(Value::Float),
        any::<String>().prop_map(Value::Text),
        "([a-z ${}\"\\\\]{0,8}\n){1,3}".prop_map(Value::Text),
    ];
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List), entries_of(inner).prop_map(Value::Block)]
    });
    entries_of(value)
}

fn entries_of(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Block> {
    let entry = ("[a-zé_][a-z0-9_.-]{0,6}", value).prop_map(|(key, value)| Entry { key, value, line: 0 });
    prop::collection::vec(entry, 0..4).prop_map(Block)
}

proptest! {
    #[test]
    fn what_is_printed_is_read(tree in tree(), json: bool) {
        let mut out = String::new();
        match json {
            true => print(&Value::Block(tree.clone()), true, &mut out),
            false => print_entries(&tree, false, &mut out),
        }
        prop_assert_eq!(parse(&out), Ok(tree), "{}", out);
    }

    #[test]
    fn any_text_is_read_or_refused(text in r#"([ab1-9eEx0.+\-"\\nu${}\[\]=:,#/*\n <]|EOF|<<-?A\n|A\n|é){0,40}"#) {
        if let Err(error) = parse(&text) {
            let line = text.split('\n').nth(error.line as usize - 1);
            prop_assert!(line.is_some_and(|line| error.column as usize <= line.chars().count() + 1), "{error}");
        }
    }
}
