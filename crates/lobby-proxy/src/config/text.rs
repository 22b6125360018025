//! Text to tree: JSON, JSON with comments, YAML. Decides which of them a text is, and that Ruby's templates in it are
//! refused, not taken for values.

mod json;
#[cfg(test)]
mod tests;
mod yaml;

use super::{
    error::ConfigError,
    tree::{TEXT_BYTES, Value},
};

/// What is said when a quoted text looks like Ruby.
const ERB_WARNING: &str = "a quoted text holds `<%`: templates (ERB) are not evaluated, the text counts as it is";

/// Reads a text, whichever it is.
pub(crate) fn parse(text: &str, warnings: &mut Vec<String>) -> Result<Value, ConfigError> {
    if text.len() > TEXT_BYTES {
        return Err(ConfigError::TooMuch { limit: TEXT_BYTES, what: "bytes in the file" });
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = json::Reader::new(text);
    let value = if reader.is_json() {
        match reader.document() {
            // `{a: b}` is YAML; a text with `//` would be YAML too, but one with other words.
            Err(err @ ConfigError::Syntax { .. }) if !reader.has_comments => yaml::parse(text).map_err(|_| err)?,
            read => read?,
        }
    } else {
        // What ERB leaves of YAML is rarely YAML.
        yaml::parse(text).map_err(|err| first_erb(text).map_or(err, |line| ConfigError::Erb { line }))?
    };
    if text.contains("<%") && holds_erb(&value) {
        warnings.push(ERB_WARNING.into());
    }
    Ok(value)
}

/// The line of the first `<%`.
fn first_erb(text: &str) -> Option<usize> {
    text.find("<%").map(|at| text[..at].matches('\n').count() + 1)
}

fn holds_erb(value: &Value) -> bool {
    match value {
        Value::Text(text) => text.contains("<%"),
        Value::List(list) => list.iter().any(holds_erb),
        Value::Map(map) => map.iter().any(|(key, value)| key.contains("<%") || holds_erb(value)),
        _ => false,
    }
}
