//! Everything that needs more than one module: a template and answers in, text and questions out, as a runner sees them.

mod config;
mod environment;
mod forbidden;
mod functions;
mod functions_go;
mod functions_laws;
mod functions_maps;
mod functions_sprig;
mod functions_yaml;
mod lobby;
mod machine;
mod runner;
mod scratch;
mod source_functions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use lobby_render::data::Questions;
use lobby_render::{Answer, Data, Pass, Query, funcs};
use lobby_template::{MissingKey, Options, Settings, Template, Value};

/// Answers that have arrived.
fn data(answers: impl IntoIterator<Item = (Query, Answer)>) -> Data {
    let mut data = Data::default();
    for (query, answer) in answers {
        data.put(query, answer);
    }
    data
}

/// An evaluation with these answers and without variables.
fn pass(data: Data) -> Pass {
    Pass::new(data, Arc::new(BTreeMap::new()), SystemTime::UNIX_EPOCH)
}

/// What a template prints in an evaluation, or its error.
fn print(template: &str, pass: &Arc<Pass>, missing_key: MissingKey) -> Result<String, String> {
    let funcs = funcs(pass);
    let template = Template::parse("", template, &Options::default(), &funcs).map_err(|err| err.to_string())?;
    let settings = Settings { missing_key, ..Settings::default() };
    let printed = template.execute(&funcs, &Value::Nil, &settings).map_err(|err| err.to_string())?;
    Ok(String::from_utf8(printed).unwrap())
}

/// What a template prints, and what it asks.
fn evaluate(template: &str, data: Data) -> (Result<String, String>, Questions) {
    let pass = Arc::new(pass(data));
    let printed = print(template, &pass, MissingKey::Zero);
    (printed, pass.asked.questions())
}

/// What a template prints that has all its answers.
fn render(template: &str, answers: impl IntoIterator<Item = (Query, Answer)>) -> String {
    let (printed, questions) = evaluate(template, data(answers));
    assert!(questions.missing.is_empty(), "{questions:?}");
    printed.unwrap()
}

/// The error of a template that has all its answers.
fn error(template: &str, answers: impl IntoIterator<Item = (Query, Answer)>) -> String {
    evaluate(template, data(answers)).0.unwrap_err()
}
