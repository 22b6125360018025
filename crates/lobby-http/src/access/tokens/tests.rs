//! Files of tokens: good ones, every kind of bad one, the bounds, and that no secret is repeated.

use axum::http::HeaderMap;
use proptest::prelude::*;

use super::*;

fn given(token: &str) -> Given {
    Given::find(&format!("/?token={token}").parse().unwrap(), &HeaderMap::new()).unwrap()
}

#[test]
fn each_token_has_its_own_rights() {
    let text = "[[token]]\nname = \"reader\"\nsecret = \"r3ader\"\n\
        [[token]]\nname = \"deploy\"\nsecret = \"d3ploy\"\nread = false\nwrite = [\"web-*\", \"db\"]\n\
        [[token]]\nname = \"hashed\"\n\
        secret_sha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\nwrite = [\"a\", \"*\"]\noperator = true\n";
    let tokens = Tokens::parse(text).unwrap();
    let rights = |token| {
        tokens.find(&given(token)).map(|rights| (rights.read, rights.writes("web-1"), rights.writes("db2"), rights.operate))
    };
    assert_eq!(rights("r3ader"), Some((true, false, false, false)));
    assert_eq!(rights("d3ploy"), Some((false, true, false, false)));
    assert_eq!(rights("abc"), Some((true, true, true, true)));
    assert_eq!(tokens.find(&given("abc")).unwrap().write, Writes::All);
    for other in ["r3ade", "r3aderx", "R3ader", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"] {
        assert_eq!(rights(other), None, "{other}");
    }
    assert!(Tokens::parse("").unwrap().find(&given("x")).is_none());
}

/// One token with these lines after its name.
fn with(lines: &str) -> Result<Tokens, TokensError> {
    Tokens::parse(&format!("[[token]]\nname = \"n\"\n{lines}"))
}

#[test]
fn a_bad_file_is_named_by_token_and_field_without_its_secrets() {
    let field = |result: Result<Tokens, TokensError>| match result.unwrap_err() {
        TokensError::Field { n: 1, field, .. } => field,
        other => panic!("{other}"),
    };
    for (lines, want) in [
        ("", "secret"),
        ("secret = \"\"", "secret"),
        ("secret = \"s3cret s3cret\"", "secret"),
        ("secret = \"s3crét\"", "secret"),
        ("secret = 5", "secret"),
        ("secret = \"a\"\nsecret_sha256 = \"b\"", "secret"),
        ("secret_sha256 = \"s3cret\"", "secret_sha256"),
        ("secret = \"a\"\nread = \"yes\"", "read"),
        ("secret = \"a\"\noperator = 1", "operator"),
        ("secret = \"a\"\nwrite = \"web\"", "write"),
        ("secret = \"a\"\nwrite = [\"w*b\"]", "write"),
        ("secret = \"a\"\nwrite = [\"\"]", "write"),
        ("secret = \"a\"\nwrite = [1]", "write"),
    ] {
        assert_eq!(field(with(lines)), want, "{lines}");
    }
    assert_eq!(field(Tokens::parse("[[token]]\nsecret = \"a\"")), "name");
    assert_eq!(field(Tokens::parse("[[token]]\nname = \"a\\nb\"\nsecret = \"a\"")), "name");
    for (text, line) in [("[[token]]\nname = \"n\"\nsecret = \"s3cret", 3), ("token", 1)] {
        assert_eq!(Tokens::parse(text).unwrap_err(), TokensError::Syntax { line });
    }
    let message = Tokens::parse("[[token]]\nname = \"n\"\nsecret = \"s3cret\n").unwrap_err().to_string();
    assert!(!message.contains("s3cret"), "{message}");
    assert!(matches!(with("secret = \"a\"\nwirte = []").unwrap_err(), TokensError::UnknownKey { n: 1, .. }));
    for text in ["[token]\nname = \"x\"", "token = [1]", "x = 1"] {
        assert!(matches!(Tokens::parse(text).unwrap_err(), TokensError::NotTokens { .. }), "{text}");
    }
}

#[test]
fn names_and_secrets_are_their_tokens_own() {
    let two = |second: &str| Tokens::parse(&format!("[[token]]\nname = \"a\"\nsecret = \"x\"\n[[token]]\n{second}")).unwrap_err();
    assert_eq!(two("name = \"a\"\nsecret = \"y\""), TokensError::Twice { n: 2, field: "name" });
    assert_eq!(two("name = \"b\"\nsecret = \"x\""), TokensError::Twice { n: 2, field: "secret" });
}

#[test]
fn the_number_of_tokens_is_bounded() {
    let many = |n: usize| {
        let blocks: String = (0..n).map(|n| format!("[[token]]\nname = \"{n}\"\nsecret = \"s{n}\"\n")).collect();
        Tokens::parse(&blocks)
    };
    let tokens = many(TOKENS).unwrap();
    assert!(tokens.find(&given("s0")).is_some() && tokens.find(&given("s1023")).is_some());
    assert_eq!(many(TOKENS + 1).unwrap_err(), TokensError::TooMany);
}

proptest! {
    #[test]
    fn no_text_does_harm(text in "(\\[\\[token\\]\\]\n|name = |secret = |\"a\"\n|write = |\\[|\\]|.){0,30}") {
        let _ = Tokens::parse(&text);
    }
}
