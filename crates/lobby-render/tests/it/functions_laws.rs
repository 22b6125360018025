//! Laws: JSON and YAML read back what was written, and arithmetic is Go's for any numbers.

use proptest::prelude::*;

use crate::machine::evaluate;

/// Any JSON: text, and numbers that a float holds.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<f64>().prop_filter("JSON has no others", |number| number.is_finite()).prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
        "[ a-c:#'\"\\n\\-0-9.yesno~]{0,100}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// A constant of a template.
fn quoted(text: &str) -> String {
    let quoted = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\U{:08x}", u32::from(c)),
        c => c.into(),
    });
    format!("\"{}\"", quoted.collect::<String>())
}

/// All numbers as floats, as templates have them.
fn floats(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Number(number) => number.as_f64().into(),
        serde_json::Value::Array(items) => items.into_iter().map(floats).collect(),
        serde_json::Value::Object(map) => map.into_iter().map(|(key, value)| (key, floats(value))).collect(),
        other => other,
    }
}

proptest! {
    #[test]
    fn json_reads_back(value in json()) {
        for print in ["toJSON", "toJSONPretty", "toUnescapedJSON", "toUnescapedJSONPretty"] {
            let printed = evaluate(&format!("{{{{parseJSON {} | {print}}}}}", quoted(&value.to_string())));
            let read: serde_json::Value = serde_json::from_str(&printed).map_err(|err| TestCaseError::fail(format!("{err}: {printed}")))?;
            prop_assert_eq!(floats(read), floats(value.clone()));
        }
    }

    #[test]
    fn yaml_reads_back(value in json()) {
        // Something last: toYAML cuts line breaks off the end, as consul-template does.
        let json = quoted(&value.to_string());
        let again = evaluate(&format!("{{{{sprig_list (parseJSON {json}) \"end\" | toYAML | parseYAML | toJSON}}}}"));
        let yaml = evaluate(&format!("{{{{sprig_list (parseJSON {json}) \"end\" | toYAML}}}}"));
        let read: serde_json::Value = serde_json::from_str(&again).map_err(|err| TestCaseError::fail(format!("{err}: {again}: {yaml}")))?;
        prop_assert_eq!(floats(read), floats(vec![value, "end".into()].into()), "{}", yaml);
    }

    #[test]
    fn no_text_breaks_a_parser(text in ".{0,200}") {
        let text = quoted(&text);
        evaluate(&format!("{{{{parseJSON {text}}}}}"));
        evaluate(&format!("{{{{parseYAML {text}}}}}"));
        evaluate(&format!("{{{{regexMatch {text} {text}}}}}"));
        evaluate(&format!("{{{{regexReplaceAll \"(.)\" {text} {text}}}}}"));
        evaluate(&format!("{{{{timestamp {text}}}}}"));
        evaluate(&format!("{{{{sockaddr {text}}}}}"));
        evaluate(&format!("{{{{sprig_semverCompare {text} \"1.2.3\"}}}}"));
        evaluate(&format!("{{{{sprig_urlParse {text}}}}}{{{{sprig_clean {text}}}}}{{{{toTitle {text}}}}}"));
        evaluate(&format!("{{{{sprig_urlJoin (sprig_dict \"path\" {text} \"userinfo\" {text} \"fragment\" {text})}}}}"));
        evaluate(&format!("{{{{sprig_b32dec {text}}}}}{{{{sprig_camelcase {text}}}}}{{{{sprig_durationRound {text}}}}}"));
        evaluate(&format!("{{{{spew_sprintf {text} {text} 1 (sprig_list {text})}}}}{{{{spew_sdump {text}}}}}"));
    }

    #[test]
    fn what_makes_other_words_keeps_the_letters(text in "[a-zA-Z0-9 _.-]{0,40}") {
        let letters = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        for name in ["camelcase", "snakecase", "kebabcase", "swapcase", "shuffle", "wrap 5", "wrapWith 5 \"\\n\""] {
            let made = evaluate(&format!("{{{{sprig_{name} {}}}}}", quoted(&text)));
            let sorted = |text: &str| { let mut all: Vec<char> = letters(text).chars().collect(); all.sort_unstable(); all };
            prop_assert_eq!(sorted(&made), sorted(&text), "{}", name);
        }
        let swapped = evaluate(&format!("{{{{sprig_swapcase (sprig_swapcase {})}}}}", quoted(&text)));
        prop_assert_eq!(swapped, text);
    }

    #[test]
    fn a_url_that_was_joined_is_parsed_alike(path in "/[a-z%?# é/]{0,20}", fragment in "[a-z%?# é]{0,10}") {
        let (path_of, fragment_of) = (quoted(&path), quoted(&fragment));
        let template = format!("sprig_urlJoin (sprig_dict \"scheme\" \"http\" \"host\" \"h\" \"path\" {path_of} \"fragment\" {fragment_of})");
        let parsed = evaluate(&format!("{{{{with sprig_urlParse ({template})}}}}{{{{.path}}}}\t{{{{.fragment}}}}{{{{end}}}}"));
        prop_assert_eq!(parsed, format!("{path}\t{fragment}"));
    }

    #[test]
    fn decimals_add_as_integers_do(one in -1_000_000_i64..1_000_000, two in -1_000_000_i64..1_000_000) {
        let of = |name: &str| evaluate(&format!("{{{{printf \"%.2f\" ({name} {}e-2 {}e-2)}}}}", one, two));
        let shown = |cents: i64| format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100);
        prop_assert_eq!(of("sprig_addf"), shown(one + two));
        prop_assert_eq!(of("sprig_subf"), shown(one - two));
    }

    #[test]
    fn no_signs_break_a_parser(text in "[-?:,\\[\\]{}#&*!|>'\"%@` \n\t.a<~0-9\\\\uUd]{0,80}") {
        let text = quoted(&text);
        evaluate(&format!("{{{{parseYAML {text}}}}}"));
        evaluate(&format!("{{{{parseJSON {text}}}}}"));
        evaluate(&format!("{{{{regexMatch {text} \"a\"}}}}"));
    }

    #[test]
    fn arithmetic_is_that_of_int64(one: i64, two: i64) {
        let of = |name: &str| evaluate(&format!("{{{{{name} ({two} | int64) ({one} | int64)}}}}").replace("| int64", "| sprig_int64"));
        prop_assert_eq!(of("add"), one.wrapping_add(two).to_string());
        prop_assert_eq!(of("subtract"), one.wrapping_sub(two).to_string());
        prop_assert_eq!(of("multiply"), one.wrapping_mul(two).to_string());
        prop_assert_eq!(of("minimum"), one.min(two).to_string());
        prop_assert_eq!(of("maximum"), one.max(two).to_string());
        if two != 0 {
            prop_assert_eq!(of("divide"), one.wrapping_div(two).to_string());
            prop_assert_eq!(of("modulo"), one.wrapping_rem(two).to_string());
        }
    }
}
