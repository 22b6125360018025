//! Any text as a configuration of templates, in HCL or JSON and in TOML: read or refused, never more than that.
//!
//! Not here: the text of templates.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lobby_render::config::{ConfigError, Partial, hcl};

fuzz_target!(|text: &str| {
    if let Err(error) = hcl::parse(text) {
        let line = text.split('\n').nth(error.line as usize - 1).expect("the line is one of the text's");
        assert!(error.column as usize <= line.chars().count() + 1);
    }
    let first = Partial::from_hcl(text);
    if let Err(error @ (ConfigError::UnknownKey { .. } | ConfigError::Value { .. })) = &first {
        assert!(error.to_string().len() < 1000, "{error}");
    }
    let first = first.unwrap_or_default();
    let second = Partial::from_toml(text).unwrap_or_default();
    let merged = first.clone().merge(second.clone()).merge(first.clone());
    assert_eq!(merged, first.clone().merge(second.merge(first)));
    // What is left over is refused in few words.
    if let Err(error) = merged.resolve(|_| None) {
        assert!(error.to_string().len() < 1000, "{error}");
    }
});
