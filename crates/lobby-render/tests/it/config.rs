//! Configurations through the public door: each key and each refusal, flags, files, whole examples, and the laws of merging.

mod examples;
mod files;
mod flags;
mod keys;
mod laws;
mod refusals;

use lobby_render::config::{Config, ConfigError, Partial};

/// The whole of a text in HCL, with nothing in the environment.
fn config(text: &str) -> Config {
    try_config(text).unwrap_or_else(|error| panic!("{text}: {}", all(&error)))
}

fn try_config(text: &str) -> Result<Config, ConfigError> {
    Partial::from_hcl(text)?.resolve(|_| None)
}

/// An error with its causes, as a program prints it.
fn all(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}
