//! YAML as yaml.v2 reads and writes it.

use crate::machine::{check, evaluate};

/// What a document is, as JSON.
#[track_caller]
fn read(cases: &[(&str, &str)]) {
    for (yaml, want) in cases {
        let quoted = yaml.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t");
        assert_eq!(evaluate(&format!("{{{{parseYAML \"{quoted}\" | toJSON}}}}")), *want, "{yaml}");
    }
}

/// What JSON is in YAML.
#[track_caller]
fn written(cases: &[(&str, &str)]) {
    for (json, want) in cases {
        let quoted = json.replace('\\', "\\\\").replace('"', "\\\"");
        assert_eq!(evaluate(&format!("{{{{parseJSON \"{quoted}\" | toYAML}}}}")), *want, "{json}");
    }
}

#[test]
fn words_are_what_yaml_1_1_says() {
    read(&[
        ("[yes, No, on, y, true, 'yes']", r#"[true,false,true,true,true,"yes"]"#),
        ("[~, null, '', ]", r#"[null,null,""]"#),
        ("[1, -1, +1, 0x1f, 0b11, 0777, 1_000, 1.5, .5, 1e3, 0o7]", "[1,-1,1,31,3,511,1000,1.5,0.5,1000,7]"),
        (
            "[18446744073709551615, 2001-12-14, 1.2.3, 1:30, 0x, inf, 1e400]",
            r#"[18446744073709551615,"2001-12-14","1.2.3","1:30","0x","inf","1e400"]"#,
        ),
        ("!!str 12", r#""12""#),
        ("!!binary aGk=", r#""hi""#),
        ("a: 1\n2: b\n", r#"{"2":"b","a":1}"#),
        ("a: |\n  x\n  y\nb: >\n  x\n  y\n", r#"{"a":"x\ny\n","b":"x y\n"}"#),
        ("--- 1\n--- 2\n", "1"),
        ("# nothing", "null"),
    ]);
    check(&[(r#"{{(parseYAML "a: {b: 1}").a.b}} {{printf "%T" (parseYAML "1")}}"#, "1 int")]);
}

#[test]
fn aliases_and_merges() {
    read(&[
        ("a: &x [1]\nb: *x", r#"{"a":[1],"b":[1]}"#),
        ("x: &x {a: 1, b: 2}\nw:\n  <<: *x\n  b: 3", r#"{"w":{"a":1,"b":3},"x":{"a":1,"b":2}}"#),
        ("x: &x {a: 1}\nz: &z {a: 2, c: 3}\nw: {<<: [*x, *z]}", r#"{"w":{"a":1,"c":3},"x":{"a":1},"z":{"a":2,"c":3}}"#),
    ]);
}

#[test]
fn hostile_documents_are_refused() {
    assert!(evaluate(r#"{{parseYAML "a: [1"}}"#).starts_with("error calling parseYAML: yaml: line "));
    assert!(evaluate(r#"{{parseYAML "[a], [a]"}}"#).starts_with("error calling parseYAML: yaml: line "));
    assert!(evaluate(r#"{{parseYAML "a: &a [*a]"}}"#).starts_with("error calling parseYAML: yaml: "));
    assert!(evaluate(r#"{{parseYAML (sprig_repeat 1000 "[")}}"#).starts_with("error calling parseYAML: "));
    // Each level twice the one before.
    let laughs: String = (1..100).map(|level| format!("a{level}: &a{level} [*a{0}, *a{0}]\\n", level - 1)).collect();
    let said = evaluate(&format!("{{{{parseYAML \"a0: &a0 [x]\\n{laughs}\" | toJSON}}}}"));
    assert!(said.contains("more than "), "{said}");
    // Each level in the one before.
    let deep: String = (1..1000).map(|level| format!("a{level}: &a{level} [*a{}]\\n", level - 1)).collect();
    assert_eq!(
        evaluate(&format!("{{{{parseYAML \"a0: &a0 [x]\\n{deep}\"}}}}")),
        "error calling parseYAML: nested deeper than 128"
    );
}

#[test]
fn values_are_written_as_yaml_v2_does() {
    written(&[
        (
            r#"{"b":{"y":[1,{"k":"v","l":[]},[2,[3]]],"x":{}},"a":null}"#,
            "a: null\nb:\n  x: {}\n  \"y\":\n  - 1\n  - k: v\n    l: []\n  - - 2\n    - - 3",
        ),
        (
            r##"["yes","1","1.5","","a: b","a #b","#a","- a","-a"," a","it's","a:b","null","2001-01-01","1:30","~"]"##,
            "- \"yes\"\n- \"1\"\n- \"1.5\"\n- \"\"\n- 'a: b'\n- 'a #b'\n- '#a'\n- '- a'\n- -a\n- ' a'\n- it's\n- a:b\n- \"null\"\n- \"2001-01-01\"\n- \"1:30\"\n- \"~\"",
        ),
        (
            r#"["a\nb","a\nb\n","a\n\n"," a\nb","a \nb","a\tb","é","😀","'a'"]"#,
            "- |-\n  a\n  b\n- |\n  a\n  b\n- |+\n  a\n\n- |2-\n   a\n  b\n- \"a \\nb\"\n- \"a\\tb\"\n- é\n- \"\\U0001F600\"\n- '''a'''",
        ),
        (
            r#"{"a10":1,"a2":2,"A":3,"1":4,"b":1000000,"c":1.5,"true":true}"#,
            "\"1\": 4\nA: 3\na2: 2\na10: 1\nb: 1e+06\nc: 1.5\n\"true\": true",
        ),
        (r#""plain""#, "plain"),
        (r#"{"a":"x\ny"}"#, "a: |-\n  x\n  y"),
    ]);
    let long = "word ".repeat(20);
    written(&[(
        &format!(r#"{{"a":"{}"}}"#, long.trim()),
        &format!("a: {}\n  {}", "word ".repeat(16).trim(), "word ".repeat(4).trim()),
    )]);
}
