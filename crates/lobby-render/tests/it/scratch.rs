//! `scratch` over one evaluation: what setters keep, in which order maps come back, where it ends.

use super::{error, render};

#[test]
fn what_is_set_is_got_and_setters_print_nothing() {
    for (template, want) in [
        ("{{scratch.Set \"a\" 1}}{{scratch.Get \"a\"}} {{scratch.Key \"a\"}} {{scratch.Key \"b\"}}", "1 true false"),
        (
            "{{scratch.Set \"a\" 1}}{{scratch.SetX \"a\" 2}}{{scratch.SetX \"b\" 3}}{{scratch.Get \"a\"}}{{scratch.Get \"b\"}}",
            "13",
        ),
        ("{{scratch.Set \"a\" 1}}{{scratch.Set \"a\" \"two\"}}{{scratch.Get \"a\"}}", "two"),
        ("{{scratch.MapSet \"m\" \"b\" 2}}{{scratch.MapSet \"m\" \"a\" 1}}{{range scratch.MapValues \"m\"}}{{.}}{{end}}", "12"),
        (
            "{{scratch.MapSet \"m\" \"a\" 1}}{{scratch.MapSetX \"m\" \"a\" 2}}{{scratch.MapSet \"m\" \"b\" 3}}{{scratch.MapSet \"m\" \
             \"b\" 4}}{{range $k, $v := scratch.Get \"m\"}}{{$k}}{{$v}}{{end}}",
            "a1b4",
        ),
        ("{{range scratch.MapValues \"none\"}}x{{else}}empty{{end}}", "empty"),
        ("{{define \"t\"}}{{scratch.Set \"a\" 1}}{{end}}{{template \"t\"}}{{scratch.Get \"a\"}}", "1"),
    ] {
        assert_eq!(render(template, []), want, "{template}");
    }
}

#[test]
fn each_evaluation_has_its_own() {
    let template = "{{if scratch.Key \"a\"}}old{{else}}{{scratch.Set \"a\" 1}}new{{end}}";
    assert_eq!((render(template, []), render(template, [])), ("new".into(), "new".into()));
}

#[test]
fn a_value_that_is_no_map_stays_as_it_is() {
    for call in ["scratch.MapSet \"a\" \"k\" 1", "scratch.MapValues \"a\""] {
        let error = error(&format!("{{{{scratch.Set \"a\" 1}}}}{{{{{call}}}}}"), []);
        assert!(error.contains("\"a\" is not a map"), "{error}");
    }
}

#[test]
fn a_map_that_was_handed_out_changes_too() {
    let template = "{{scratch.MapSet \"m\" \"a\" 1}}{{$old := scratch.Get \"m\"}}{{scratch.MapSet \"m\" \"b\" 2}}{{len $old}}\
                    {{len (scratch.Get \"m\")}}";
    assert_eq!(render(template, []), "22");
    let template = "{{$d := sprig_dict}}{{scratch.Set \"m\" $d}}{{scratch.MapSet \"m\" \"a\" 1}}{{$_ := sprig_set $d \"b\" 2}}{{$d}}\
                    {{scratch.MapValues \"m\"}}";
    assert_eq!(render(template, []), "map[a:1 b:2][1 2]");
}

#[test]
fn keys_are_bounded_over_all_maps_together() {
    let fill = |keys: u32, call: &str| format!("{{{{range $i := {keys}}}}}{{{{scratch.{call} $i}}}}{{{{end}}}}ok");
    // A map takes a key for its name.
    for (call, most) in [("Set (print $i)", 100_000), ("MapSet \"m\" (print $i)", 99_999), ("MapSet (print $i) \"k\"", 50_000)] {
        assert_eq!(render(&fill(most, call), []), "ok", "{call}");
        assert!(error(&fill(most + 1, call), []).contains("more than 100000 keys"), "{call}");
    }
    // What is replaced takes none.
    assert_eq!(render(&fill(100_001, "Set \"a\""), []), "ok");
}

#[test]
fn what_nests_without_end_is_refused() {
    for (template, want) in [
        ("{{range loop 100000}}{{scratch.Set \"l\" (sprig_list (scratch.Get \"l\"))}}{{end}}", "nested deeper than 128"),
        (
            "{{range loop 2}}{{scratch.MapSet \"m\" \"a\" (scratch.Get \"m\")}}{{end}}",
            "error calling MapSet: a map cannot hold itself",
        ),
    ] {
        let said = error(template, []);
        assert!(said.ends_with(want), "{said}");
    }
}

#[test]
fn a_scratch_may_hold_itself() {
    let template = "{{scratch.Set \"s\" scratch}}{{scratch.MapSet \"m\" \"s\" scratch}}{{(scratch.Get \"s\").Key \"m\"}}";
    assert_eq!(render(template, []), "true");
}
