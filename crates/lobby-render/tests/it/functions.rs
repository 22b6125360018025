//! consul-template's functions: what its contract says each gives, its errors, and the bounds of what they make.

use std::sync::Arc;

use lobby_render::{Answer, Asked, Data, Globs, Query, answer::HealthService, answer::KeyPair};

use crate::machine::{check, evaluate, pass, within};

#[test]
fn what_was_verified_with_consul_template() {
    check(&[
        (r#"{{parseJSON "{\"a\":1000000}"}}"#, "map[a:1e+06]"),
        (r#"{{index (parseJSON "[1,2]") 0 | add 1}}"#, "2"),
        (r#"{{toJSON (split "," "a<b,c&d")}}"#, r#"["a\u003cb","c\u0026d"]"#),
        (r#"{{regexReplaceAll "a" "$1x" "a"}}"#, ""),
        ("{{indent 2 \"a\\n\\nb\\n\"}}", "  a\n\n  b\n"),
        ("{{minimum 2 1}} {{maximum 2 1.5}} {{multiply 2 1.5}}", "1 2 3"),
        ("{{divide 0 1}}", "error calling divide: runtime error: integer divide by zero"),
        ("{{range loop 3 1}}x{{end}}", ""),
        (
            r#"{{containsAll "a" (split "," "a")}}"#,
            "error calling containsAll: wrong type for value; expected []interface {}; got string",
        ),
        (r#"{{containsAll (split "," "a") (split "," "a,b")}}"#, "true"),
    ]);
    assert!(evaluate(r#"{{eq (index (parseJSON "[1]") 0) 1}}"#).contains("incompatible types for comparison"));
}

#[test]
fn loops() {
    check(&[
        ("{{range loop 3}}{{.}}{{end}}", "012"),
        ("{{range $i, $n := loop 5 8}}{{$i}}:{{$n}} {{end}}", "0:5 1:6 2:7 "),
        (r#"{{range loop "2"}}{{printf "%T" .}} {{end}}"#, "int64 int64 "),
        (r#"{{loop "x"}}"#, r#"error calling loop: parseInt: strconv.ParseInt: parsing "x": invalid syntax"#),
        ("{{loop 1 2 3}}", "error calling loop: loop: wrong number of arguments, expected 1 or 2, but got 3"),
        ("{{loop 1.5}}", "error calling loop: loop: bad argument type: float64"),
        ("{{range $i := loop 9223372036854775807}}{{$i}}{{break}}{{end}}", "0"),
    ]);
}

#[test]
fn what_is_in_what() {
    check(&[
        (r#"{{in (split "," "a,b") "b"}} {{in "abc" "bc"}} {{in "abc" 1}}"#, "true true false"),
        (r#"{{"b" | in (split "," "a,b")}} {{split "," "a,b" | contains "c"}}"#, "true false"),
        (r#"{{in (parseJSON "[1,2.5]") 1}} {{in (parseJSON "[1,2.5]") 2.5}}"#, "false true"),
        (r#"{{containsAny (parseJSON "[\"a\",\"x\"]") (split "," "a,b")}}"#, "true"),
        (r#"{{containsNone (parseJSON "[\"x\"]") (split "," "a,b")}}"#, "true"),
        (r#"{{containsNotAll (parseJSON "[\"a\",\"x\"]") (split "," "a,b")}}"#, "true"),
        (r#"{{containsAll (parseJSON "[]") (split "," "a")}}"#, "true"),
    ]);
}

#[test]
fn arithmetic() {
    check(&[
        ("{{5 | subtract 2}} {{divide 2 7}} {{modulo 3 10}} {{divide 2.0 7}}", "3 3 1 3.5"),
        (r#"{{add 1 (parseUint "2")}} {{printf "%T" (add (parseUint "1") (parseUint "2"))}}"#, "3 uint64"),
        (r#"{{add "1" 2}}"#, r#"error calling add: add: unknown type for "1" (string)"#),
        (r#"{{add 1 "2"}}"#, r#"error calling add: add: unknown type for "2" (string)"#),
        ("{{modulo 2.5 1}}", "error calling modulo: modulo: unknown type for %!q(float64=2.5) (float64)"),
        ("{{add 1 9223372036854775807}}", "-9223372036854775808"),
        ("{{divide -1 -9223372036854775808}} {{modulo -1 -9223372036854775808}}", "-9223372036854775808 0"),
        ("{{divide 0 1.5}}", "+Inf"),
        (r#"{{printf "%T %T" (minimum 1 2.5) (maximum 1 2.5)}}"#, "int64 float64"),
    ]);
}

#[test]
fn texts() {
    check(&[
        (r#"{{toTitle "this is a TEST it's a.b 1st"}}"#, "This Is A TEST It's A.b 1st"),
        (r#"{{trimPrefix "a" "aab"}} {{trimSuffix "b" "abb"}} {{"xax" | trim "x"}}"#, "ab ab a"),
        (r#"{{splitToMap "," ":" " a:1,b,c:2:3 "}}"#, "map[a:1 c:2:3]"),
        (r#"{{indent -1 "a"}}"#, "error calling indent: indent value must be a positive integer"),
        (
            r#"{{toTOML (parseJSON "{\"b\":1,\"a\":{\"x\":[1,2],\"y\":null,\"z w\":\"q\\\"\"},\"c\":[{\"d\":true},{\"e\":{}}]}")}}"#,
            "b = 1.0\n\n[a]\n  x = [1.0, 2.0]\n  \"z w\" = \"q\\\"\"\n\n[[c]]\n  d = true\n\n[[c]]\n  [c.e]",
        ),
        ("{{toTOML 1}}", "error calling toTOML: toTOML: toml: top-level values must be Go maps or structs"),
        (r#"{{timestamp}} {{timestamp "unix"}}"#, "2024-02-29T15:04:05Z 1709219045"),
        (r#"{{define "x"}}<{{.}}>{{end}}{{executeTemplate "x" 1 | toUpper}}{{executeTemplate "x"}}"#, "<1><<no value>>"),
        (
            r#"{{executeTemplate "x" 1 2}}"#,
            "error calling executeTemplate: executeTemplate: wrong number of arguments, expected 1 or 2, but got 3",
        ),
        (r#"{{parseJSON ""}}{{parseYAML ""}}{{parseInt ""}}{{parseFloat ""}}{{parseBool ""}}"#, "map[]map[]00false"),
    ]);
}

#[test]
fn maps() {
    check(&[
        (r#"{{explodeMap (parseJSON "{\"a/b/c\":1,\"a/d\":2,\"e\":3,\"f/\":4}")}}"#, "map[a:map[b:map[c:1] d:2] e:3 f:map[]]"),
        (
            r#"{{explodeMap (parseJSON "{\"a\":\"x\",\"a/b\":2}")}}"#,
            r#"error calling explodeMap: explodeMap: not a map: "a/b": "a" already has value "x""#,
        ),
        (
            r#"{{mergeMap (parseJSON "{\"a\":1,\"b\":{\"c\":1},\"z\":0}") (parseJSON "{\"a\":2,\"b\":{\"c\":2,\"d\":3},\"z\":5}")}}"#,
            "map[a:1 b:map[c:1 d:3] z:5]",
        ),
        (
            r#"{{mergeMapWithOverride (parseJSON "{\"a\":1,\"b\":{\"c\":1}}") (parseJSON "{\"a\":2,\"b\":{\"d\":3}}")}}"#,
            "map[a:2 b:map[c:1 d:3]]",
        ),
        (r#"{{byTag (split "," "a")}}"#, "error calling byTag: byTag: wrong argument type []string"),
    ]);
}

/// A pass that has an answer to one question.
fn answered(query: Query, answer: Answer) -> lobby_render::Pass {
    let mut data = Data::default();
    data.put(query, answer);
    lobby_render::Pass { data, asked: Asked::default(), ..pass() }
}

#[test]
fn instances_and_keys_in_groups() {
    let instance = |id: &str, port: u16, tags: &[&str], meta: &[(&str, &str)]| {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let service_meta = meta.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Arc::new(HealthService { id: id.into(), port, tags, service_meta, ..HealthService::default() })
    };
    let two = [instance("one", 443, &["a", "b"], &[("zone", "eu/1"), ("rack", "7")]), instance("two", 80, &["b"], &[])];
    let service =
        |text: &str| within(1 << 20, answered(Query::service("web").unwrap(), Answer::Service(two.clone().into())), text);
    assert_eq!(
        service(r#"{{range $tag, $all := service "web" | byTag}}{{$tag}}:{{range $all}}{{.ID}} {{end}}{{end}}"#),
        "a:one b:one two "
    );
    assert_eq!(
        service(r#"{{range $port, $all := service "web" | byPort}}{{$port}}={{(index $all 0).ID}} {{end}}"#),
        "80=two 443=one "
    );
    assert_eq!(
        service(r#"{{range $key, $all := service "web" | byMeta "zone,rack|int"}}{{$key}} {{end}}"#),
        "_no_zone__00000 eu_1_00007 "
    );
    assert_eq!(
        service(r#"{{byKey (service "web")}}"#),
        "error calling byKey: byKey: wrong argument type []*dependency.HealthService"
    );

    let pair = |key: &str, value: &str| KeyPair { key: key.into(), value: value.as_bytes().into(), ..KeyPair::default() };
    let pairs = Answer::Keys([pair("a/x", "1"), pair("a/y/z", "2"), pair("b", "3")].into());
    let keys = |text: &str| within(1 << 20, answered(Query::keys("p").unwrap(), pairs.clone()), text);
    let by_key = r#"{{range $top, $all := tree "p" | byKey}}{{$top}}:{{range $key, $pair := $all}}{{$key}}={{.Key}}={{.Value}} {{end}}{{end}}"#;
    assert_eq!(keys(by_key), "a:x=x=1 y/z=y/z=2 ");
    assert_eq!(keys(r#"{{tree "p" | explode | toJSON}}"#), r#"{"a":{"x":"1","y":{"z":"2"}},"b":"3"}"#);
}

#[test]
fn programs() {
    check(&[
        (r#"{{plugin "echo" " a " "" "b"}}"#, "a b"),
        (r#"{{plugin ""}}"#, ""),
        (
            r#"{{plugin "sh" "-c" "echo out; echo err >&2; exit 3"}}"#,
            "error calling plugin: exec \"sh\": exit status 3\n\nstdout:\n\nout\n\n\nstderr:\n\nerr\n",
        ),
    ]);
    assert!(evaluate(r#"{{plugin "/no/such/program"}}"#).contains("exec \"/no/such/program\": "));
    let trial = lobby_render::Pass { may_act: false, ..pass() };
    assert_eq!(within(1000, trial, r#"{{plugin "echo" "a"}}"#), "a", "it only makes text");
    let denied = lobby_render::Pass { denied: Globs::new(["plugin".to_owned()]), ..pass() };
    assert_eq!(within(1000, denied, r#"{{plugin "echo" "a"}}"#), "error calling plugin: function is disabled");
}

#[cfg(unix)]
#[test]
fn files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/file");
    let shown = path.display().to_string();
    assert_eq!(evaluate(&format!(r#"{{{{"a" | writeToFile "{shown}" "" "" "0640"}}}}"#)), "");
    assert_eq!(evaluate(&format!(r#"{{{{"b" | writeToFile "{shown}" "" "" "0640" "append,newline"}}}}"#)), "");
    assert_eq!(std::fs::read(&path).unwrap(), b"ab\n");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    let err = evaluate(&format!(r#"{{{{"a" | writeToFile "{shown}" "" "" "rw"}}}}"#));
    assert_eq!(err, r#"error calling writeToFile: strconv.ParseUint: parsing "rw": invalid syntax"#);
    let err = evaluate(&format!(r#"{{{{"a" | writeToFile "{shown}" "no-such-user" "" "0600"}}}}"#));
    assert_eq!(err, "error calling writeToFile: user: unknown user no-such-user");
    let trial = lobby_render::Pass { may_act: false, ..pass() };
    assert!(
        within(1000, trial, &format!(r#"{{{{"z" | writeToFile "{shown}" "" "" "0640"}}}}"#))
            .contains("a trial run writes no files")
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"ab\n", "nothing was written by what failed");
}

#[test]
fn nothing_grows_beyond_the_room_that_there_is() {
    let full = [
        r#"{{indent 5000 "a"}}"#,
        r#"{{indent 9223372036854775807 "a"}}"#,
        r#"{{sprig_repeat 5000 "a"}}"#,
        r#"{{sprig_repeat 9223372036854775807 "aa"}}"#,
        r#"{{replaceAll "" "aaaaaaaaaa" (sprig_repeat 500 "a")}}"#,
        r#"{{regexReplaceAll "" "${0}aaaaaaaaaa" (sprig_repeat 500 "a")}}"#,
        r#"{{join (sprig_repeat 900 "-") (split "" "abcdef")}}"#,
        r#"{{base64Encode (sprig_repeat 900 "a")}}"#,
        r#"{{toJSON (sprig_until 900)}}"#,
        r#"{{toYAML (sprig_until 900)}}"#,
        r#"{{toTOML (sprig_dict "a" (sprig_until 900))}}"#,
        r#"{{sprig_nindent 600 "a\nb"}}"#,
        r#"{{sprig_b32enc (sprig_repeat 900 "a")}}"#,
        r#"{{sprig_wrapWith 1 "----" (sprig_repeat 900 "a")}}"#,
        r#"{{sprig_snakecase (sprig_repeat 450 "aB")}}"#,
        r#"{{sprig_urlJoin (sprig_dict "path" (sprig_repeat 900 "?"))}}"#,
        r#"{{spew_sdump (sprig_until 900)}}"#,
        r#"{{spew_sprintf "%#v" (sprig_until 900)}}"#,
        r#"{{sprig_toString (sprig_until 900)}}"#,
        r#"{{sprig_quote (sprig_until 900)}}"#,
    ];
    for text in full {
        let said = within(1000, pass(), text);
        assert!(said.starts_with("error calling ") && said.contains("more than "), "{text}: {said}");
    }
    check(&[
        ("{{sprig_until 1000001}}", "error calling sprig_until: more than 1000000 items"),
        ("{{sprig_untilStep 0 9223372036854775807 1}}", "error calling sprig_untilStep: more than 1000000 items"),
        ("{{sprig_seq 9223372036854775807}}", "error calling sprig_seq: more than 1000000 items"),
    ]);
}

#[test]
fn values_that_share_their_parts_do_not_explode() {
    let doubled = "{{$l := sprig_list 1}}{{range loop 100}}{{$l = sprig_list $l $l}}{{end}}";
    for print in ["toJSON", "toYAML", "toJSONPretty", "sprig_toString"] {
        let said = evaluate(&format!("{doubled}{{{{{print} $l}}}}"));
        assert!(said.contains("more than "), "{print}: {said}");
    }
    let deep = "{{$l := sprig_list 1}}{{range loop 100000}}{{$l = sprig_list $l}}{{end}}";
    assert_eq!(evaluate(deep), "error calling sprig_list: nested deeper than 128");
    let deep = r#"{{$l := sprig_dict "a" 1}}{{range loop 100000}}{{$l = sprig_dict "a" $l}}{{end}}"#;
    assert_eq!(evaluate(deep), "error calling sprig_dict: nested deeper than 128");
    assert!(evaluate(r#"{{parseJSON (sprig_repeat 100000 "[")}}"#).contains("recursion limit exceeded"));
}
