//! No template runs away: each bound is met with an error, in time, and within the 2 MiB stack of a thread in a debug build.

use lobby_template::parse::NESTING;
use lobby_template::{Func, Funcs, Limits, Settings, Template, Type, Value};

const LIMITS: Limits = Limits { steps: 1_000_000, bytes: 1 << 20, nesting: 64 };

/// The output, or the error, of a run in a thread with the usual stack.
fn run(text: &str, limits: Limits) -> Result<String, String> {
    let text = text.to_owned();
    let work = move || {
        let wrap = Func::new([Type::Any], |args| Ok(Value::list(Type::Any, vec![args[0].clone()])));
        let run = Func::scoped([Type::Str], None, |scope, args| {
            let Value::Str(name) = &args[0] else { return Ok(Value::Nil) };
            scope.execute(&name.to_text(), &Value::Nil).map(Value::Str)
        });
        let count = Func::new([Type::INT64], |args| {
            let Value::Int(end, _) = args[0] else { return Ok(Value::Nil) };
            Ok(Value::Range(0..end))
        });
        let funcs: Funcs = [("wrap", wrap), ("run", run), ("count", count)].into_iter().collect();
        let template = Template::parse("t", &text, &Default::default(), &funcs).map_err(|error| error.to_string())?;
        let settings = Settings { limits, ..Settings::default() };
        let out = template.execute(&funcs, &Value::Nil, &settings).map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap()
}

#[track_caller]
fn fails(text: &str, with: &str) {
    let error = run(text, LIMITS).expect_err("it must fail");
    assert!(error.contains(with), "{error}");
}

#[test]
fn a_template_that_calls_itself_ends_as_in_go() {
    let text = "{{define \"T\"}}{{template \"T\" .}}{{end}}{{template \"T\" 1}}";
    let error = "template: t:1:25: executing \"T\" at <{{template \"T\" .}}>: exceeded maximum template depth (100000)";
    assert_eq!(run(text, LIMITS), Err(error.into()));
    let inside = "{{define \"T\"}}{{range wrap 1}}{{with 1}}{{template \"T\"}}{{end}}{{end}}{{end}}{{template \"T\"}}";
    fails(inside, "exceeded maximum template depth (100000)");
}

#[test]
fn output_and_steps_are_counted() {
    fails("{{range count 9223372036854775807}}{{end}}", "more than 1000000 steps");
    fails("{{range count 9223372036854775807}}0123456789{{end}}", "the output is longer than 1048576 bytes");
    fails("{{define \"T\"}}{{template \"T\"}}{{template \"T\"}}{{end}}{{template \"T\"}}", "exceeded maximum template depth");
    let doubling: String = (0..40)
        .map(|n| format!("{{{{define \"{n}\"}}}}{{{{template \"{0}\"}}}}{{{{template \"{0}\"}}}}{{{{end}}}}", n + 1))
        .collect();
    fails(&(doubling + "{{define \"40\"}}x{{end}}{{template \"0\"}}"), "more than 1000000 steps");
    let long = "x".repeat(1 << 20);
    assert_eq!(run(&long, LIMITS).map(|out| out.len()), Ok(1 << 20));
    fails(&(long + "x"), "the output is longer");
}

#[test]
fn texts_that_double_do_not_fit() {
    for double in ["print $x $x", "printf \"%s%s\" $x $x", "html $x $x", "printf \"%v\" (print $x $x)", "js \"<\" $x $x"] {
        fails(
            &format!("{{{{$x := \"ab\"}}}}{{{{range count 64}}}}{{{{$x = {double}}}}}{{{{end}}}}"),
            "longer than there is room for",
        );
    }
    // None of them alone is too long, and none is printed.
    let many = "{{$x := printf \"%100000d\" 1}}{{range count 64}}{{$y := print $x}}{{end}}";
    fails(many, "longer than there is room for");
}

#[test]
fn wide_verbs_do_not_fit() {
    let wide = "%1000000d".repeat(1000);
    fails(&format!("{{{{printf \"{wide}\" 1 2 3}}}}"), "longer than there is room for");
    fails("{{range count 1000}}{{printf \"%1000000d\" 1}}{{end}}", "longer than there is room for");
    fails("{{printf \"%.1000000f%.1000000f\" 1.5 1.5}}", "longer than there is room for");
}

#[test]
fn the_deepest_that_parses_runs() {
    let wrapped = |open: &str, inner: &str, close: &str| format!("{}{inner}{}", open.repeat(NESTING), close.repeat(NESTING));
    assert_eq!(run(&format!("{{{{{}}}}}", wrapped("(", "1", ")")), LIMITS), Ok("1".into()));
    assert_eq!(run(&format!("{{{{{}}}}}", wrapped("(print ", "1", ")")), LIMITS), Ok("1".into()));
    assert_eq!(run(&format!("{{{{{}}}}}", wrapped("(and 1 ", "1", ")")), LIMITS), Ok("1".into()));
    assert_eq!(run(&wrapped("{{if 1}}", "x", "{{end}}"), LIMITS), Ok("x".into()));
    assert_eq!(run(&wrapped("{{range wrap 1}}", "x", "{{end}}"), LIMITS), Ok("x".into()));
    fails(&format!("{{{{{}}}}}", wrapped("(", "(1)", ")")), "inside each other");
}

#[test]
fn functions_that_run_templates_are_bounded_however_deep_they_are_called() {
    fails("{{define \"T\"}}{{run \"T\"}}{{end}}{{run \"T\"}}", "templates run each other too deep");
    let deep = format!("{}(run \"T\"){}", "(print ".repeat(40), ")".repeat(40));
    fails(&format!("{{{{define \"T\"}}}}{{{{{deep}}}}}{{{{end}}}}{{{{run \"T\"}}}}"), "pipelines are nested too deep");
}

#[test]
fn deep_values_are_kept_and_dropped_and_do_not_print() {
    let deep = |then: &str| format!("{{{{$x := 1}}}}{{{{range count 200000}}}}{{{{$x = wrap $x}}}}{{{{end}}}}{then}");
    assert_eq!(run(&deep("{{len $x}}"), LIMITS), Ok("1".into()));
    fails(&deep("{{$x}}"), "longer than");
    fails(&deep("{{print $x}}"), "nested too deep");
    fails(&deep("{{printf \"%#v\" $x}}"), "nested too deep");
    fails(&deep("{{eq $x $x}}"), "non-comparable type ...");
    fails(&deep("{{index $x 0 1}}"), "index out of range");
    assert!(run(&deep("{{range $x.y}}{{end}}"), LIMITS).is_err());
}

#[test]
fn bytes_that_are_no_text_are_printed_as_they_are() {
    let text = b"l\xf6w \xf4\x8f\xbf\xbf \xc3\xb6\n{{- /* \xff */}}{{\"d\xfcrr\"}}{{`r\xe4w`}}{{printf \"%s\" \"\xfe\"}}{{define \"d\"}}\x80{{end}}{{template \"d\"}}";
    let template = Template::parse_bytes("t", text, &Default::default(), &Funcs::default()).unwrap();
    let got = template.execute(&Funcs::default(), &Value::Nil, &Settings::default()).unwrap();
    assert_eq!(got, b"l\xf6w \xf4\x8f\xbf\xbf \xc3\xb6d\xfcrrr\xe4w\xfe\x80");
}
