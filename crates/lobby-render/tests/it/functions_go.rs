//! Every answer that the programs in `fixtures/` recorded from Go's own packages and from sprig itself, outputs and errors.

use crate::machine::evaluate;

#[track_caller]
fn answers_alike(cases: &str, at_least: usize) {
    let cases: serde_json::Value = serde_json::from_str(cases).unwrap();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() > at_least);
    let mut wrong = Vec::new();
    for case in cases {
        let text = |name: &str| case[name].as_str().unwrap_or_default();
        let want = if text("error").is_empty() { text("output") } else { text("error") };
        let got = evaluate(text("template"));
        // JSON has no bytes that are not UTF-8; Go writes one U+FFFD for each.
        if got != want {
            wrong.push(format!("{}\n   want {want:?}\n   got  {got:?}", text("template")));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn functions_answer_as_go_does() {
    answers_alike(include_str!("../fixtures/functions_cases.json"), 200);
}

#[test]
fn sprig_answers_as_the_library() {
    answers_alike(include_str!("../fixtures/sprig_cases.json"), 200);
}
