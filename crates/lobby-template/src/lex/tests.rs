//! Tokens of texts that are hard to cut, and the words for those that cannot be cut.
//!
//! Not here: what is wrong about the order of tokens (`parse`).

use super::{Kind::*, *};

/// All tokens: kind, place and text.
fn cut<'t>(text: &'t str, left: &'t str, right: &'t str) -> (Vec<Token<'t>>, String) {
    let mut lexer = Lexer::new(text, left, right, &|_| false);
    let mut tokens = vec![lexer.token()];
    while !matches!(tokens.last().map(|token| token.kind), Some(Eof | Error)) {
        tokens.push(lexer.token());
    }
    (tokens, lexer.failure().into())
}

#[track_caller]
fn check(text: &str, want: &[(Kind, usize, &str)]) {
    check_with(text, "", "", want);
}

#[track_caller]
fn check_with(text: &str, left: &str, right: &str, want: &[(Kind, usize, &str)]) {
    let (tokens, failure) = cut(text, left, right);
    let tokens: Vec<_> = tokens.iter().map(|token| (token.kind, token.pos, token.text)).collect();
    assert_eq!(tokens[..tokens.len() - 1], *want, "{text}: {failure}");
    assert_eq!(tokens[tokens.len() - 1].0, Eof, "{text}: {failure}");
}

#[test]
fn text_is_copied_up_to_actions() {
    check("", &[]);
    check("{ }} ž", &[(Text, 0, "{ }} ž")]);
    check("{{.}}}", &[(LeftDelimiter, 0, "{{"), (Dot, 2, "."), (RightDelimiter, 3, "}}"), (Text, 5, "}")]);
}

#[test]
fn markers_trim_and_need_a_blank() {
    let action = |at| [(LeftDelimiter, at, "{{"), (Dot, at + 4, "."), (RightDelimiter, at + 7, "}}")];
    let [left, dot, right] = action(4);
    check("a \r\n{{- . -}}\t b", &[(Text, 0, "a"), left, dot, right, (Text, 15, "b")]);
    let [left, dot, right] = action(1);
    check(" {{-\n.\n-}} ", &[left, dot, right]);
    check(" {{-3}}", &[(Text, 0, " "), (LeftDelimiter, 1, "{{"), (Number, 3, "-3"), (RightDelimiter, 5, "}}")]);
    // Only the last of several blanks belongs to the marker.
    check("{{.  -}}", &[(LeftDelimiter, 0, "{{"), (Dot, 2, "."), (Space, 3, " "), (RightDelimiter, 6, "}}")]);
    // No-break blanks are text.
    check(
        "\u{a0}{{- . }}",
        &[(Text, 0, "\u{a0}"), (LeftDelimiter, 2, "{{"), (Dot, 6, "."), (Space, 7, " "), (RightDelimiter, 8, "}}")],
    );
}

#[test]
fn comments_vanish() {
    check("a {{/* }} */}} b", &[(Text, 0, "a "), (Text, 14, " b")]);
    check("a {{- /* {{ \n */ -}} b", &[(Text, 0, "a"), (Text, 21, "b")]);
}

#[test]
fn words_signs_and_literals() {
    check(
        "{{if $x := .if.A|f \"}}\" `}}` '}'}}",
        &[
            (LeftDelimiter, 0, "{{"),
            (If, 2, "if"),
            (Space, 4, " "),
            (Variable, 5, "$x"),
            (Space, 7, " "),
            (Declare, 8, ":="),
            (Space, 10, " "),
            (Field, 11, ".if"),
            (Field, 14, ".A"),
            (Pipe, 16, "|"),
            (Identifier, 17, "f"),
            (Space, 18, " "),
            (Quoted, 19, "\"}}\""),
            (Space, 23, " "),
            (RawQuoted, 24, "`}}`"),
            (Space, 28, " "),
            (CharConstant, 29, "'}'"),
            (RightDelimiter, 32, "}}"),
        ],
    );
    check(
        "{{($.ž),1+2i=true}}",
        &[
            (LeftDelimiter, 0, "{{"),
            (LeftParen, 2, "("),
            (Variable, 3, "$"),
            (Field, 4, ".ž"),
            (RightParen, 7, ")"),
            (Char, 8, ","),
            (Complex, 9, "1+2i"),
            (Assign, 13, "="),
            (Bool, 14, "true"),
            (RightDelimiter, 18, "}}"),
        ],
    );
}

#[test]
fn delimiters_may_be_any_text() {
    check_with(
        "a[ . ]{{",
        "[",
        " ]",
        &[(Text, 0, "a"), (LeftDelimiter, 1, "["), (Space, 2, " "), (Dot, 3, "."), (RightDelimiter, 4, " ]"), (Text, 6, "{{")],
    );
    // A word swallows what would end the action.
    assert_eq!(cut("žfendž", "ž", "end").1, "unclosed action");
}

#[test]
fn numbers_end_where_go_ends_them() {
    for number in ["1_000", "0x_1F", "0b01", "0o17", "1.", ".5", "-1e+3", "0x1.8p-2", "1e3i", "089", "0x0.2", "+"] {
        let text = format!("{{{{{number} }}}}");
        let (tokens, failure) = cut(&text, "", "");
        assert_eq!((tokens[1].kind, tokens[1].text), (Number, number), "{failure}");
    }
}

#[test]
fn failures_have_gos_words() {
    let cases = [
        ("{{", "unclosed action"),
        ("{{ (}}", "unclosed left paren"),
        ("{{/* ", "unclosed comment"),
        ("{{/* */ }}", "comment ends before closing delimiter"),
        ("{{\"a\n\"}}", "unterminated quoted string"),
        ("{{\"\\", "unterminated quoted string"),
        ("{{'a", "unterminated character constant"),
        ("{{`a", "unterminated raw quoted string"),
        ("{{:}}", "expected :="),
        ("{{a#}}", "bad character U+0023 '#'"),
        ("{{.a#}}", "bad character U+0023 '#'"),
        ("{{$-}}", "bad character U+002D '-'"),
        ("{{\x01}}", "unrecognized character in action: U+0001"),
        ("{{€}}", "unrecognized character in action: U+20AC '€'"),
        ("{{1a}}", "bad number syntax: \"1a\""),
        ("{{0b12 }}", "bad number syntax: \"0b12\""),
        ("{{1+2}}", "bad number syntax: \"1+2\""),
    ];
    for (text, want) in cases {
        let (tokens, failure) = cut(text, "", "");
        assert_eq!((tokens.last().map(|token| token.kind), &*failure), (Some(Error), want), "{text}");
    }
}

#[test]
fn long_tokens_are_shown_in_part() {
    let shown = |text| Token { kind: Quoted, pos: 0, text }.to_string();
    assert_eq!(shown("\"12345678\""), r#""\"12345678\"""#);
    assert_eq!(shown("\"žžžžžžžžžž\""), r#""\"žžžžžžžžž"..."#);
    assert_eq!(Token { kind: If, pos: 0, text: "if" }.to_string(), "<if>");
}
