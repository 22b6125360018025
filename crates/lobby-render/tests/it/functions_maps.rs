//! Maps that change: who sees it, and what cannot be made of them. What sprig itself answers is in `fixtures/sprig_cases.json`.

use std::sync::Arc;

use lobby_render::{Answer, Data, Query, answer::HealthService};
use proptest::prelude::*;

use crate::machine::{check, evaluate, pass, within};

#[test]
fn a_template_that_is_called_changes_the_map_of_its_caller() {
    check(&[(
        r#"{{define "u"}}{{$_ := sprig_set . "in" 1}}{{end}}{{$d := sprig_dict}}{{template "u" $d}}{{executeTemplate "u" $d}}{{$d}}"#,
        "map[in:1]",
    )]);
}

#[test]
fn no_map_holds_itself() {
    check(&[
        (r#"{{$d := sprig_dict}}{{sprig_set $d "d" $d}}"#, "error calling sprig_set: a map cannot hold itself"),
        (
            r#"{{$a := sprig_dict}}{{$b := sprig_dict "a" (sprig_list $a)}}{{sprig_set $a "b" $b}}"#,
            "error calling sprig_set: a map cannot hold itself",
        ),
        (
            r#"{{$d := sprig_dict}}{{sprig_merge $d (sprig_dict "x" (sprig_dict "d" $d))}}"#,
            "error calling sprig_merge: a map cannot hold itself",
        ),
        (
            r#"{{$d := sprig_dict "a" 1}}{{sprig_merge $d $d}}{{$e := sprig_dict "d" $d}}{{sprig_merge $d.x $e}}"#,
            "map[a:1]map[d:map[a:1]]",
        ),
        // It no longer does.
        (r#"{{$a := sprig_dict}}{{$b := sprig_dict "a" $a}}{{$_ := sprig_unset $b "a"}}{{sprig_set $a "b" $b}}"#, "map[b:map[]]"),
    ]);
}

/// Two chains of maps that were made from the top down: no step of it was deep.
fn chains(length: u32, then: &str) -> String {
    let text = format!(
        r#"{{{{define "chain"}}}}{{{{$d := .}}}}{{{{range loop {length}}}}}{{{{$n := sprig_dict}}}}{{{{$_ := sprig_set $d "n" $n}}}}{{{{$d = $n}}}}{{{{end}}}}{{{{end}}}}{{{{$top := sprig_dict}}}}{{{{template "chain" $top}}}}{{{{$other := sprig_dict}}}}{{{{template "chain" $other}}}}{then}"#
    );
    evaluate(&text)
}

#[test]
fn what_is_deep_is_refused_where_it_is_walked() {
    assert_eq!(chains(100_000, "made"), "made");
    for (then, want) in [
        ("{{$top}}", "output"),
        (r#"{{printf "%#v" $top}}"#, "nested too deep"),
        ("{{toJSON $top}}", "nested too deep"),
        ("{{toYAML $top}}", "nested too deep"),
        ("{{toTOML $top}}", "nested too deep"),
        ("{{sprig_deepCopy $top}}", "nested too deep to copy"),
        ("{{sprig_deepEqual $top $other}}", "nested too deep to compare"),
        ("{{mergeMap $top $other}}", "nested too deep to merge"),
        ("{{sprig_list $top}}", "nested deeper than 128"),
        ("{{spew_sdump $top}}", "nested too deep"),
        ("{{spew_sprintf \"%v\" $top}}", "nested too deep"),
        ("{{sprig_toString $top}}", "more than"),
    ] {
        let said = chains(10_000, then);
        assert!(said.contains(want), "{then}: {said:.200}");
    }
}

#[test]
fn what_is_shared_many_times_ends() {
    // 2 to the power of 100 maps, of which 100 are there.
    let doubled = |then: &str| {
        evaluate(&format!(
            r#"{{{{$d := sprig_dict "x" 1}}}}{{{{$e := sprig_dict "y" 1}}}}{{{{range loop 100}}}}{{{{$d = sprig_dict "a" $d "b" $d}}}}{{{{$e = sprig_dict "a" $e "b" $e}}}}{{{{end}}}}{then}"#
        ))
    };
    for (then, want) in [
        ("{{sprig_merge $d $e}}", "more than 1000000 items"),
        ("{{sprig_deepCopy $d}}", "more than 1000000 items"),
        ("{{sprig_deepEqual $d $e}}", "false"),
        ("{{sprig_set (sprig_dict) \"k\" $d | len}}", "1"),
    ] {
        let said = doubled(then);
        assert!(said.contains(want), "{then}: {said:.200}");
    }
}

#[test]
fn a_range_sees_the_map_as_it_was() {
    check(&[(
        r#"{{$d := sprig_dict "a" 1 "b" 2}}{{range $k, $v := $d}}{{$_ := sprig_set $d (print $k $k) $v}}{{$_ := sprig_unset $d $k}}{{$k}}{{end}}{{$d}}"#,
        "abmap[aa:1 bb:2]",
    )]);
}

#[test]
fn answers_never_change() {
    let instance = HealthService { id: "a".into(), service_meta: [("k".into(), "v".into())].into(), ..HealthService::default() };
    let mut data = Data::default();
    data.put(Query::service("www").unwrap(), Answer::Service([Arc::new(instance)].into()));
    let meta = "(index (service \"www\") 0).ServiceMeta";
    for (template, want) in [
        (format!("{{{{sprig_set {meta} \"a\" 1}}}}"), "expected map[string]interface {}; got map[string]string"),
        (
            format!("{{{{sprig_merge (sprig_dict \"m\" {meta}) (sprig_dict \"m\" (sprig_dict \"a\" 1))}}}}{{{{{meta}}}}}"),
            "map[m:map[a:1 k:v]]map[k:v]",
        ),
    ] {
        let said = within(1 << 20, lobby_render::Pass { data: data.clone(), ..pass() }, &template);
        assert!(said.contains(want), "{template}: {said}");
    }
}

proptest! {
    /// Any changes through either of two names, beside a map of Rust's.
    #[test]
    fn a_map_of_two_names_is_one_map(steps in prop::collection::vec((0..2_usize, 0..6_u8, prop::option::of(0..9_u8)), 0..20)) {
        let mut template = String::from("{{$one := sprig_dict}}{{$two := $one}}");
        let mut model = std::collections::BTreeMap::new();
        for (name, key, value) in steps {
            let name = ["$one", "$two"][name];
            match value {
                Some(value) => {
                    template += &format!("{{{{$_ := sprig_set {name} \"k{key}\" {value}}}}}");
                    model.insert(format!("k{key}"), value);
                }
                None => {
                    template += &format!("{{{{$_ := sprig_unset {name} \"k{key}\"}}}}");
                    model.remove(&format!("k{key}"));
                }
            }
        }
        let want = serde_json::to_string(&model).unwrap();
        prop_assert_eq!(evaluate(&format!("{template}{{{{toJSON $one}}}} {{{{toJSON $two}}}}")), format!("{want} {want}"));
    }

    #[test]
    fn a_copy_has_nothing_of_the_first(key in "[a-c]", value: u8) {
        let template = format!(
            r#"{{{{$d := sprig_dict "a" 1 "b" (sprig_list (sprig_dict "c" 2))}}}}{{{{$c := sprig_deepCopy $d}}}}{{{{sprig_deepEqual $c $d}}}} {{{{$_ := sprig_set (index $c.b 0) "{key}" {value}}}}}{{{{$d}}}}"#
        );
        prop_assert_eq!(evaluate(&template), "true map[a:1 b:[map[c:2]]]");
    }
}
