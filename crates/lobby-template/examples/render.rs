//! Renders a template with JSON as its data: `render TEMPLATE <data.json`. The crate's front door, not a tool.

use std::{env, error::Error, fs, io};

use lobby_template::{Funcs, Settings, Template, Type, Value};

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("usage: render TEMPLATE <data.json")?;
    let data = value(serde_json::from_reader(io::stdin())?);
    let funcs = Funcs::default();
    let template = Template::parse(&path, &fs::read_to_string(&path)?, &Default::default(), &funcs)?;
    let out = template.execute(&funcs, &data, &Settings::default())?;
    Ok(io::Write::write_all(&mut io::stdout(), &out)?)
}

fn value(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(truth) => truth.into(),
        serde_json::Value::Number(number) => number.as_i64().map_or_else(|| number.as_f64().unwrap_or(0.0).into(), Value::int),
        serde_json::Value::String(text) => text.into(),
        serde_json::Value::Array(items) => Value::list(Type::Any, items.into_iter().map(value).collect()),
        serde_json::Value::Object(entries) => Value::any_map(entries.into_iter().map(|(key, it)| (key, value(it)))),
    }
}
