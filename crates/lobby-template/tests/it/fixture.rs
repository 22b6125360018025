//! What Go printed, or said, for each of many small templates: we print and say the same.

use lobby_template::{MissingKey, Options, Settings, Template, Value};
use serde::{Deserialize, Serialize};

/// One template and what Go made of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) template: String,
    missingkey: String,
    left: String,
    right: String,
    output: Option<String>,
    error: Option<String>,
    stage: Option<String>,
}

impl Case {
    /// Without an answer.
    pub(crate) fn new(template: String, missingkey: &str) -> Self {
        let (left, right) = (String::new(), String::new());
        Self { template, missingkey: missingkey.into(), left, right, output: None, error: None, stage: None }
    }
}

/// What the Go that builds consul-template today accepts, and the one that answered the cases did not.
const NEWER: [(&str, &str); 2] = [("{{range 3}}{{.}}{{end}}", "012"), ("{{with nilv}}a{{else with m}}{{.a}}{{end}}", "1")];

/// The cases of all fixtures.
pub(crate) fn cases() -> Vec<Case> {
    let read = |text: &str| -> Vec<Case> { serde_json::from_str(text).unwrap() };
    [include_str!("../fixtures/template_cases.json"), include_str!("../fixtures/more_cases.json")].map(read).concat()
}

/// What Go answered: the output, or the stage and the error.
pub(crate) fn expected(case: &Case) -> Result<String, (String, String)> {
    match (&case.output, &case.error, &case.stage) {
        (Some(output), None, None) => Ok(output.clone()),
        (None, Some(error), Some(stage)) => Err((stage.clone(), error.clone())),
        _ => panic!("a case without an answer: {case:?}"),
    }
}

/// What we answer.
pub(crate) fn run(case: &Case) -> Result<String, (String, String)> {
    let funcs = super::functions::functions();
    let options = Options { left: &case.left, right: &case.right };
    let failed = |stage: &str, error: String| (stage.to_owned(), error);
    let template = Template::parse("", &case.template, &options, &funcs).map_err(|error| failed("parse", error.to_string()))?;
    let missing_key = match case.missingkey.as_str() {
        "zero" => MissingKey::Zero,
        "error" => MissingKey::Error,
        _ => MissingKey::Invalid,
    };
    let settings = Settings { missing_key, ..Settings::default() };
    let out = template.execute(&funcs, &Value::Nil, &settings).map_err(|error| failed("exec", error.to_string()))?;
    Ok(shown(&out))
}

/// Text as Go's JSON shows it: every byte that is not UTF-8 as a sign of its own.
fn shown(bytes: &[u8]) -> String {
    let chunk = |chunk: std::str::Utf8Chunk<'_>| chunk.valid().to_owned() + &"\u{fffd}".repeat(chunk.invalid().len());
    bytes.utf8_chunks().map(chunk).collect()
}

#[test]
fn templates_do_what_go_does() {
    let cases = cases();
    let mut wrong = Vec::new();
    for case in &cases {
        let newer = NEWER.iter().find(|(template, _)| *template == case.template);
        let expected = newer.map_or_else(|| expected(case), |(_, output)| Ok((*output).to_owned()));
        let got = run(case);
        if got != expected {
            wrong.push(format!("{:?}\n  want {expected:?}\n  got  {got:?}", case.template));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() >= 86, "{} cases", cases.len());
}
