//! sprig's functions on whatever there is: defaults, types and refusals. Decides what is empty: the same as for `if`.

use lobby_template::{CallError, Type, Value};

use super::{Comparer, Named};
use crate::functions::arg::{any, many, of, text, type_name};

pub(super) fn funcs() -> Vec<Named> {
    const ONE: [Type; 1] = [Type::Any];
    vec![
        ("sprig_default", many(&ONE, Type::Any, |_, args| Ok(any(args, usize::from(any(args, 1).truth())).clone()))),
        ("sprig_empty", of(&ONE, |_, args| Ok((!any(args, 0).truth()).into()))),
        ("sprig_coalesce", many(&[], Type::Any, |_, args| Ok(args.iter().find(|arg| arg.truth()).cloned().unwrap_or_default()))),
        ("sprig_all", many(&[], Type::Any, |_, args| Ok(args.iter().all(Value::truth).into()))),
        ("sprig_any", many(&[], Type::Any, |_, args| Ok(args.iter().any(Value::truth).into()))),
        (
            "sprig_ternary",
            of(&[Type::Any, Type::Any, Type::Bool], |_, args| Ok(any(args, usize::from(!any(args, 2).truth())).clone())),
        ),
        ("sprig_typeOf", of(&ONE, |_, args| Ok(type_name(any(args, 0)).into()))),
        ("sprig_typeIs", of(&[Type::Str, Type::Any], |_, args| Ok((type_name(any(args, 1)) == text(args, 0)?).into()))),
        (
            "sprig_typeIsLike",
            of(&[Type::Str, Type::Any], |_, args| {
                let (wanted, name) = (text(args, 0)?, type_name(any(args, 1)));
                Ok((name == wanted || name.strip_prefix('*') == Some(&*wanted)).into())
            }),
        ),
        ("sprig_hello", of(&[], |_, _| Ok("Hello!".into()))),
        ("sprig_kindOf", of(&ONE, |_, args| Ok(kind(any(args, 0)).into()))),
        ("sprig_kindIs", of(&[Type::Str, Type::Any], |_, args| Ok((kind(any(args, 1)) == text(args, 0)?).into()))),
        ("sprig_deepEqual", of(&[Type::Any, Type::Any], |_, args| Ok(Comparer::new().equal(any(args, 0), any(args, 1))?.into()))),
        ("sprig_fail", of(&[Type::Str], |_, args| Err(CallError(text(args, 0)?.into_owned())))),
    ]
}

/// Go's kind of a value.
fn kind(value: &Value) -> String {
    match value {
        Value::Nil => "invalid".into(),
        Value::List(_) => "slice".into(),
        Value::Map(_) => "map".into(),
        Value::Func(_) => "func".into(),
        Value::Range(_) => "chan".into(),
        Value::Object(object) => if object.type_name().starts_with('*') { "ptr" } else { "struct" }.into(),
        other => type_name(other),
    }
}
