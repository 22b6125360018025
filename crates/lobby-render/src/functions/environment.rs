//! Functions of the environment that a rendering runs in: variables and the time. Decides what counts as set.

use std::sync::Arc;

use lobby_template::{CallError, Func, Type};

use super::{Named, Pass, text};

pub(super) fn funcs(pass: &Arc<Pass>) -> Vec<Named> {
    let (env, or_default, must) = (pass.clone(), pass.clone(), pass.clone());
    vec![
        ("env", Func::new([Type::Str], move |args| Ok(variable(&env, args)?.unwrap_or_default().into()))),
        (
            "envOrDefault",
            // Set to nothing counts as set.
            Func::new([Type::Str, Type::Str], move |args| match variable(&or_default, args)? {
                Some(value) => Ok(value.into()),
                None => Ok(args.get(1).cloned().unwrap_or_default()),
            }),
        ),
        (
            "mustEnv",
            Func::new([Type::Str], move |args| match variable(&must, args)? {
                Some(value) => Ok(value.into()),
                None => Err(CallError(format!("environment variable \"{}\" is not set", text(args, 0)?))),
            }),
        ),
    ]
}

fn variable(pass: &Pass, args: &[lobby_template::Value]) -> Result<Option<String>, CallError> {
    Ok(pass.env.get(&text(args, 0)?).cloned())
}
