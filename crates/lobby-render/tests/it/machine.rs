//! Evaluates templates in a made environment. Decides nothing: what each case is about is beside it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lobby_render::{Data, Pass, funcs};
use lobby_template::{Settings, Template, Value};

/// 2024-02-29T15:04:05.123456Z
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(1_709_219_045, 123_456_000)
}

/// A pass without answers.
pub(crate) fn pass() -> Pass {
    Pass::new(Data::default(), Arc::new(BTreeMap::new()), now())
}

/// What a template prints, or what is wrong from `error calling` on; its output and its functions' have so many bytes.
pub(crate) fn within(bytes: usize, pass: Pass, text: &str) -> String {
    let mut settings = Settings::default();
    settings.limits.bytes = bytes;
    let all = funcs(&Arc::new(pass));
    let template = match Template::parse("t", text, &Default::default(), &all) {
        Ok(template) => template,
        Err(err) => return err.to_string(),
    };
    match template.execute(&all, &Value::Nil, &settings) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(err) => {
            let err = err.to_string();
            err.find("error calling ").map_or(err.clone(), |at| err[at..].to_owned())
        }
    }
}

/// What a template prints, or what is wrong.
pub(crate) fn evaluate(text: &str) -> String {
    within(1 << 20, pass(), text)
}

/// Templates with what they print.
#[track_caller]
pub(crate) fn check(cases: &[(&str, &str)]) {
    for (text, want) in cases {
        assert_eq!(evaluate(text), *want, "{text}");
    }
}
