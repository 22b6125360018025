//! sprig's functions, as far as they are here.

use crate::machine::check;

#[test]
fn texts() {
    check(&[
        (r#"{{sprig_quote "a\"b" 1 nil}} {{sprig_squote "a" 1}}"#, r#""a\"b" "1" 'a' '1'"#),
        (
            r#"{{sprig_trim " a "}}|{{sprig_upper "a"}}|{{sprig_lower "A"}}|{{sprig_title "it's x"}}|{{sprig_untitle "Ab Cd"}}"#,
            "a|A|a|It'S X|ab cd",
        ),
        (
            r#"{{"a-b" | sprig_replace "-" "_"}} {{sprig_contains "b" "abc"}} {{sprig_hasPrefix "a" "abc"}} {{sprig_hasSuffix "a" "abc"}}"#,
            "a_b true true false",
        ),
        (
            r#"{{sprig_repeat 3 "ab"}} {{sprig_trunc 2 "abc"}} {{sprig_trunc -2 "abc"}} {{sprig_trunc -9 "abc"}}"#,
            "ababab ab bc abc",
        ),
        (
            r#"{{sprig_substr 1 2 "abc"}}|{{sprig_substr -1 2 "abc"}}|{{sprig_substr 1 -1 "abc"}}|{{sprig_nospace " a b "}}"#,
            "b|ab|bc|ab",
        ),
        (
            r#"{{sprig_substr 3 1 "abc"}}"#,
            "error calling sprig_substr: runtime error: slice bounds out of range [3:1] with length 3",
        ),
        (r#"{{sprig_indent 2 "a\n\nb"}}{{sprig_nindent 1 "c"}}"#, "  a\n  \n  b\n c"),
        (r#"{{sprig_cat "a" nil 1 true}}|{{sprig_join "-" (sprig_list "a" nil 1)}}|{{sprig_join "-" "a"}}"#, "a 1 true|a-1|a"),
        (
            r#"{{sprig_splitList "," "a,b"}} {{(sprig_split "," "a,b")._1}} {{sprig_sortAlpha (sprig_list "b" 1 "a")}}"#,
            "[a b] b [1 a b]",
        ),
        (r#"{{sprig_toString 1.5}} {{sprig_toStrings (sprig_list 1 "a")}} {{sprig_plural "one" "many" 1}}"#, "1.5 [1 a] one"),
        (r#"{{sprig_trimAll "$" "$5$"}} {{sprig_trimPrefix "-" "-a"}} {{sprig_trimSuffix "-" "a-"}}"#, "5 a a"),
        (r#"{{sprig_repeat -1 "a"}}"#, "error calling sprig_repeat: strings: negative Repeat count"),
    ]);
}

#[test]
fn numbers() {
    check(&[
        (
            r#"{{sprig_atoi "12"}} {{sprig_atoi "x"}} {{sprig_int "0x1f"}} {{sprig_int64 1.9}} {{sprig_float64 "1.5"}} {{sprig_int "010"}}"#,
            "12 0 31 1 1.5 8",
        ),
        (
            r#"{{sprig_add 1 "2" 3.9}} {{sprig_add1 1}} {{sprig_sub 5 2}} {{sprig_mul 2 3 4}} {{sprig_div 7 2}} {{sprig_mod 7 4}}"#,
            "6 2 3 24 3 3",
        ),
        (
            "{{sprig_max 1 3 2}} {{sprig_min 3 1 2}} {{sprig_floor 1.9}} {{sprig_ceil 1.1}} {{sprig_round 1.2345 2}} {{sprig_round 1.25 1 0.6}}",
            "3 1 1 2 1.23 1.2",
        ),
        ("{{sprig_div 1 0}}", "error calling sprig_div: runtime error: integer divide by zero"),
        ("{{sprig_div -9223372036854775808 -1}}", "-9223372036854775808"),
        (
            "{{sprig_until 3}} {{sprig_until -3}} {{sprig_untilStep 3 10 3}} {{sprig_untilStep 3 0 1}} {{sprig_untilStep 0 3 0}}",
            "[0 1 2] [0 -1 -2] [3 6 9] [] []",
        ),
        (
            "{{sprig_seq 3}}|{{sprig_seq 0}}|{{sprig_seq 2 -1}}|{{sprig_seq 0 2 5}}|{{sprig_seq 5 2 0}}|{{sprig_seq}}",
            "1 2 3|1 0|2 1 0 -1|0 2 4||",
        ),
    ]);
}

#[test]
fn lists() {
    check(&[
        (
            "{{$l := sprig_list 1 2 3}}{{sprig_first $l}}{{sprig_last $l}}{{sprig_rest $l}}{{sprig_initial $l}}{{$l}}",
            "13[2 3][1 2][1 2 3]",
        ),
        (
            "{{$l := sprig_list 1 2}}{{sprig_append $l 3}}{{sprig_prepend $l 0}}{{sprig_concat $l $l}}{{sprig_reverse $l}}",
            "[1 2 3][0 1 2][1 2 1 2][2 1]",
        ),
        (
            r#"{{sprig_uniq (sprig_list 1 1 "1" (sprig_list 2) (sprig_list 2))}}{{sprig_without (sprig_list 1 2 3) 1 3}}"#,
            "[1 1 [2]][2]",
        ),
        (r#"{{sprig_has 2 (sprig_list 1 2)}} {{sprig_has "2" (sprig_list 1 2)}} {{sprig_has 1 nil}}"#, "true false false"),
        (
            r#"{{sprig_slice (sprig_list 1 2 3) 1}}{{sprig_slice (sprig_list 1 2 3) 1 2}}{{sprig_compact (sprig_list 0 1 "" 2)}}{{sprig_chunk 2 (sprig_list 1 2 3)}}"#,
            "[2 3][2][1 2][[1 2] [3]]",
        ),
        ("{{sprig_first (sprig_list)}}", "<no value>"),
        (r#"{{sprig_first "a"}}"#, "error calling sprig_first: Cannot find first on type string"),
        ("{{sprig_slice (sprig_list 1) 3 2}}", "error calling sprig_slice: slice: index out of range: 1 items"),
    ]);
}

#[test]
fn maps() {
    let map =
        |text: &str, want: &str| check(&[(&format!(r#"{{{{$d := sprig_dict "a" 1 "b" (sprig_dict "c" 2)}}}}{text}"#), want)]);
    map(
        r#"{{sprig_get $d "a"}} {{sprig_get $d "x"}} {{sprig_hasKey $d "b"}} {{sprig_keys $d}} {{sprig_values $d}}"#,
        "1  true [a b] [1 map[c:2]]",
    );
    map(
        r#"{{sprig_set $d "z" 3}} {{sprig_unset $d "a"}} {{$d}}"#,
        "map[a:1 b:map[c:2] z:3] map[b:map[c:2] z:3] map[b:map[c:2] z:3]",
    );
    map(r#"{{sprig_pick $d "a" "x"}} {{sprig_omit $d "a"}}"#, "map[a:1] map[b:map[c:2]]");
    map(r#"{{sprig_merge $d (sprig_dict "a" 9 "b" (sprig_dict "d" 4))}}"#, "map[a:1 b:map[c:2 d:4]]");
    map(r#"{{sprig_mergeOverwrite $d (sprig_dict "a" 9)}}"#, "map[a:9 b:map[c:2]]");
    map(
        r#"{{sprig_pluck "a" $d (sprig_dict "a" 2)}} {{sprig_dig "b" "c" 0 $d}} {{sprig_dig "b" "x" "none" $d}}"#,
        "[1 2] 2 none",
    );
    map(r#"{{sprig_dig $d}}"#, "error calling sprig_dig: dig needs at least three arguments");
    map(
        r#"{{sprig_toJson $d}} {{(sprig_fromJson "{\"a\":[1]}").a}} {{sprig_fromJson "{"}}"#,
        r#"{"a":1,"b":{"c":2}} [1] <no value>"#,
    );
    map("{{sprig_toPrettyJson $d}}", "{\n  \"a\": 1,\n  \"b\": {\n    \"c\": 2\n  }\n}");
}

#[test]
fn anything() {
    check(&[
        (r#"{{sprig_default "d" ""}} {{sprig_default "d" "x"}} {{"" | sprig_default "d"}} {{sprig_default "d"}}"#, "d x d d"),
        (
            r#"{{sprig_empty 0}} {{sprig_empty (sprig_list 1)}} {{sprig_coalesce 0 "" "a" "b"}} {{sprig_ternary "y" "n" true}} {{false | sprig_ternary "y" "n"}}"#,
            "true false a y n",
        ),
        (
            r#"{{sprig_typeOf 1}} {{sprig_typeOf (sprig_list)}} {{sprig_kindOf (sprig_dict)}} {{sprig_kindOf nil}} {{sprig_kindIs "string" "a"}}"#,
            "int []interface {} map invalid true",
        ),
        (r#"{{sprig_fail "no"}}"#, "error calling sprig_fail: no"),
        (
            r#"{{sprig_base "/a/b.c"}} {{sprig_dir "/a/b.c"}} {{sprig_ext "/a/b.c"}} {{sprig_clean "/a/../b//c/."}} {{sprig_base ""}} {{sprig_dir "a"}} {{sprig_clean "../a"}}"#,
            "b.c /a .c /b/c . . ../a",
        ),
        (
            r#"{{with sprig_urlParse "HTTP://u:p@h.x:80/p/q?a=b#f"}}{{.scheme}} {{.userinfo}} {{.host}} {{.hostname}} {{.path}} {{.query}} {{.fragment}}{{end}}"#,
            "http u:p h.x:80 h.x /p/q a=b f",
        ),
        (r#"{{(sprig_urlParse "mailto:a@b").opaque}} {{(sprig_urlParse "//[::1]:80/").hostname}}"#, "a@b ::1"),
        (
            r#"{{sprig_b64enc "a"}} {{sprig_b64dec "YQ=="}} {{sprig_sha1sum "a"}}"#,
            "YQ== a 86f7e437faa5a7fce15d1ddcb9eaeaea377667b8",
        ),
        (
            r#"{{sprig_regexMatch "a+" "baa"}} {{sprig_regexFind "a+" "baa"}} {{sprig_regexReplaceAll "a(x*)b" "-ab-axxb-" "${1}W"}}"#,
            "true aa -W-xxW-",
        ),
        (r#"{{sprig_regexReplaceAllLiteral "a" "aba" "$1"}}"#, "$1b$1"),
    ]);
}

#[test]
fn versions() {
    let satisfies = |range: &str, version: &str, want: &str| {
        check(&[(&format!(r#"{{{{sprig_semverCompare "{range}" "{version}"}}}}"#), want)])
    };
    for (range, version) in [
        ("^1.2.0", "1.9.3"),
        (">= 1.2, < 2", "v1.3"),
        ("1.x || 3", "3.1.0"),
        ("1.2 - 1.4", "1.4.0"),
        ("~1.2", "1.2.9"),
        ("!=1.3.0", "1.3.1"),
        ("*", "9.9.9"),
    ] {
        satisfies(range, version, "true");
    }
    for (range, version) in
        [("^1.2.0", "2.0.0"), ("1.2.3", "1.2.4"), ("~1.2", "1.3.0"), ("!=1.3.0", "1.3.0"), (">=1", "1.2.0-beta")]
    {
        satisfies(range, version, "false");
    }
    satisfies("nonsense", "1.2.3", "error calling sprig_semverCompare: improper constraint: nonsense");
    satisfies("1", "x", "error calling sprig_semverCompare: Invalid Semantic Version");
    check(&[(
        r#"{{with sprig_semver "v1.2.3-rc.1+b"}}{{.Major}} {{.Minor}} {{.Patch}} {{.Prerelease}} {{.Metadata}} {{.Original}} {{.}}{{end}}"#,
        "1 2 3 rc.1 b v1.2.3-rc.1+b 1.2.3-rc.1+b",
    )]);
}

#[test]
fn functions_under_their_other_names() {
    check(&[
        (
            r#"{{sprig_mustFirst (sprig_list 1 2)}} {{sprig_mustAppend (sprig_list 1) 2}} {{sprig_osBase "/a/b.c"}}"#,
            "1 [1 2] b.c",
        ),
        (r#"{{sprig_mustFirst "a"}}"#, "error calling sprig_mustFirst: Cannot find first on type string"),
        (r#"{{sprig_trimall "$" "$5$"}} {{sprig_osIsAbs "a"}} {{sprig_mustHas 1 (sprig_list 1)}}"#, "5 false true"),
    ]);
}

#[test]
fn decimals_end_where_floats_do() {
    check(&[
        ("{{sprig_addf 1e300 1}} {{sprig_mulf 1e-300 1e-300}} {{sprig_divf 1e300 7}}", "1e+300 0 1.4285714285714286e+299"),
        (
            "{{sprig_mulf 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 1.1 | printf `%.6f`}}",
            "54.763699",
        ),
        ("{{sprig_mulf 1e300 1e300}}", "+Inf"),
        (r#"{{sprig_addf "nan"}}"#, "error calling sprig_addf: Cannot create a Decimal from NaN"),
    ]);
}
