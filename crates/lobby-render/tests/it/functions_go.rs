//! Every answer that `fixtures/functions.go` recorded from Go's own packages, outputs and errors.

use crate::machine::evaluate;

#[test]
fn functions_answer_as_go_does() {
    let cases: serde_json::Value = serde_json::from_str(include_str!("../fixtures/functions_cases.json")).unwrap();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() > 200);
    let mut wrong = Vec::new();
    for case in cases {
        let text = |name: &str| case[name].as_str().unwrap_or_default();
        let want = if text("error").is_empty() { text("output") } else { text("error") };
        let got = evaluate(text("template"));
        if got != want {
            wrong.push(format!("{}\n   want {want:?}\n   got  {got:?}", text("template")));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
