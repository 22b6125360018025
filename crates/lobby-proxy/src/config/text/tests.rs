//! Tests of texts: which is JSON, what YAML's words are, and that no text costs more than it may.

use proptest::prelude::*;

use super::super::tree::DEPTH;
use super::*;

fn read(text: &str) -> Result<Value, ConfigError> {
    parse(text, &mut Vec::new())
}

fn error(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
}

#[test]
fn json_with_comments_and_yaml_are_the_same_tree_in_the_order_of_the_text() {
    let want = map(&[
        ("z", Value::List(vec![Value::Int(1), Value::Float(120.0), Value::Null])),
        ("a", map(&[("b//c", Value::Text("d\n\u{e9}\u{1f600}/*x*/".into())), ("t", Value::Bool(true))])),
    ]);
    for text in [
        "{\"z\": [1, 120.0, null], \"a\": {\"b//c\": \"d\\n\\u00e9\\ud83d\\ude00/*x*/\", \"t\": true}}",
        "\u{feff}// one\n/* two\n * lines */ {\"z\":[1,/**/120.0,null,],# three\n\"a\":{\"b//c\":\"d\\né😀\\/*x*/\",\"t\":true,},} // end",
        "# comment\nz: [1, 120.0, ~]\na:\n  b//c: \"d\\né😀/*x*/\"\n  t: yes\n",
        "---\nz:\n- 1\n- 1.2e2\n- \na: &a\n  b//c: |-\n    d\n    é😀/*x*/\n  t: on\n...\n",
        // YAML in braces.
        "{z: [1, 120.0, null], a: {'b//c': \"d\\né😀/*x*/\", t: True}}",
    ] {
        assert_eq!(read(text).unwrap_or_else(|err| panic!("{err}: {text}")), want, "{text}");
    }
}

#[test]
fn a_key_counts_once_with_its_last_value() {
    let want = map(&[("a", Value::Int(3)), ("b", Value::Int(2))]);
    assert_eq!(read("{\"a\":1,\"b\":2,\"a\":3}").unwrap(), want);
    assert_eq!(read("a: 1\nb: 2\na: 3\n").unwrap(), want);
    let merged = read("x: &x {a: 1, b: 2}\ny: {b: 3, <<: *x}\nz: {<<: [{a: 5}, *x]}\n").unwrap();
    let Value::Map(merged) = merged else { panic!("{merged:?}") };
    assert_eq!(merged[1].1, map(&[("b", Value::Int(3)), ("a", Value::Int(1))]));
    assert_eq!(merged[2].1, map(&[("a", Value::Int(5)), ("b", Value::Int(2))]));
}

#[test]
fn plain_words_of_yaml() {
    for (word, want) in [
        ("0777", Value::Int(0o777)),
        ("0x1F", Value::Int(31)),
        ("-1_000", Value::Int(-1000)),
        ("+5", Value::Int(5)),
        ("1e400", Value::Text("1e400".into())),
        ("10.0.0.1", Value::Text("10.0.0.1".into())),
        ("10s", Value::Text("10s".into())),
        ("2001-12-14", Value::Text("2001-12-14".into())),
        ("99999999999999999999", Value::Float(1e20)),
        ("'8080'", Value::Text("8080".into())),
        ("!!str 8080", Value::Text("8080".into())),
        ("off", Value::Bool(false)),
        ("y", Value::Text("y".into())),
        ("NULL", Value::Null),
        (".5", Value::Float(0.5)),
    ] {
        assert_eq!(read(&format!("a: {word}")).unwrap(), map(&[("a", want)]), "{word}");
    }
    assert_eq!(read("").unwrap(), Value::Null);
}

#[test]
fn what_is_neither_is_told_with_its_line() {
    for (text, words) in [
        ("{\n  \"a\": 1\n  \"b\": 2}", &["line 3, column 3", "expected `,` or `}`"][..]),
        ("{\"a\": // x\n tru}", &["line 2, column 2", "expected a value"]),
        ("{\"a\": \"b", &["line 1, column 7", "never ends"]),
        ("{ /* \"a\": 1}", &["comment that never ends"]),
        ("{\"a\": 1} // x\n 2", &["line 2", "nothing after"]),
        ("{\"a\": \"\\ud800\" // x\n}", &["\\uXXXX"]),
        ("{\"a\": \"\\q\" // x\n}", &["escape"]),
        ("a: [1", &["line "]),
        ("a: 1\n b: 2\n", &["line 2"]),
        ("? [a]\n: 1\n", &["a key that is a word"]),
        ("a: &a [*a]\n", &["an anchor contains itself"]),
    ] {
        let message = error(text);
        assert!(words.iter().all(|word| message.contains(word)), "{text:?}: {message}");
    }
}

#[test]
fn ruby_is_refused_and_named_where_it_is_in_quotes() {
    for (text, line) in [
        ("<% x = 1 %>\na: 1\n", 1),
        ("{\n\"a\": <%= ENV['A'] %>}", 2),
        ("{\"a\": 1,\n <% if x %>}", 2),
        ("a: 1\nb: <%= x %>\n", 2),
        ("a: 1\n<%= x %>: 2\n", 2),
        ("a:\n<% 3.times do |i| %>\n  b: 1\n<% end %>\n", 2),
    ] {
        let message = error(text);
        assert!(message.starts_with(&format!("line {line}: `<%`")) && message.contains("not evaluated"), "{text:?}: {message}");
    }
    for text in ["{\"a\": \"<%= x %>\"}", "a: '<%= x %>'\n"] {
        let mut warnings = Vec::new();
        assert_eq!(parse(text, &mut warnings).unwrap(), map(&[("a", Value::Text("<%= x %>".into()))]));
        assert_eq!(warnings, [ERB_WARNING]);
    }
    let mut warnings = Vec::new();
    parse("{\"a\": 1 // <% x %>\n}", &mut warnings).unwrap();
    parse("a: 1 # <% x %>\n", &mut warnings).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn depth_and_size_have_bounds() {
    let deep = |depth: usize| format!("{}{}", "{\"a\":".repeat(depth - 1), format_args!("1{}", "}".repeat(depth - 1)));
    assert!(read(&deep(DEPTH)).is_ok());
    assert!(error(&deep(DEPTH + 1)).contains("64 lists and maps"));
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(read(&deep(DEPTH)).is_ok());
    assert!(error(&deep(DEPTH + 1)).contains("64 lists and maps"));
    // Aliases make it deeper than it is written.
    let aliased = |depth: usize| format!("a: &a {}1{}\nb: [[*a]]\n", "[".repeat(depth), "]".repeat(depth));
    assert!(read(&aliased(DEPTH - 4)).is_ok());
    assert!(error(&aliased(DEPTH - 2)).contains("64 lists and maps"));
    assert!(error(&" ".repeat(TEXT_BYTES + 1)).contains("16777216 bytes in the file"));
    let laughs: String = (1..12).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "))).collect();
    assert!(error(&format!("a0: &a0 lol\n{laughs}")).contains("with aliases expanded"));
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(100));
    assert!(error(&long).contains("with aliases expanded"));
    assert!(error(&format!("{{\"a\": [{}]}}", "1,".repeat(3 << 20))).contains("bytes of values"));
}

proptest! {
    #[test]
    fn no_text_is_too_much(text in ".{0,200}") {
        drop(read(&text));
        drop(read(&format!("{{{text}")));
    }

    #[test]
    fn nor_are_pieces_of_both_languages(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", ": ", "- ", "\n", "\n  ", "\"", "'", "\\", "\\u", "d83d", "//", "/*", "*/", "#", "<%", "%>",
                "&a ", "*a", "<<", "|", ">-", "---", "...", "!!str ", "? ", "%YAML", "a", "1", "-1", "1e9", "true", "null", "é", "\t",
            ]),
            0..40,
        )
    ) {
        drop(read(&pieces.concat()));
        drop(read(&format!("{{{}", pieces.concat())));
    }
}
