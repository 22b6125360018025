//! The functions that every template has. Decides what they answer; `and` and `or` are in `exec`, as they do not evaluate
//! all of their arguments. Comparing is in `compare`, taking parts of values in `index`, escaping in `escape`.

mod compare;
mod escape;
mod index;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::format::{self, Out};
use crate::func::{CallError, Func, Scope};
use crate::value::{Str, Type, Value};

static ALL: LazyLock<HashMap<&'static str, Func>> = LazyLock::new(|| {
    let any = || [Type::Any];
    let compare = |holds: fn(&Value, &Value) -> Result<bool, CallError>| {
        Func::new([Type::Any, Type::Any], move |args| holds(&args[0], &args[1]).map(Value::Bool))
    };
    HashMap::from([
        ("not", Func::new(any(), |args| Ok(Value::Bool(!args[0].truth())))),
        ("eq", Func::variadic(any(), Type::Any, |args| compare::eq(&args[0], &args[1..]).map(Value::Bool))),
        ("ne", compare(|one, two| compare::eq(one, std::slice::from_ref(two)).map(|equal| !equal))),
        ("lt", compare(compare::lt)),
        ("le", compare(compare::le)),
        ("gt", compare(|one, two| compare::le(one, two).map(|le| !le))),
        ("ge", compare(|one, two| compare::lt(one, two).map(|lt| !lt))),
        ("len", Func::new(any(), |args| index::len(&args[0]))),
        ("index", Func::variadic(any(), Type::Any, |args| index::index(&args[0], &args[1..]))),
        ("slice", Func::variadic(any(), Type::Any, |args| index::slice(&args[0], &args[1..]))),
        ("call", Func::scoped(any(), Some(Type::Any), |scope, args| call(scope, &args[0], &args[1..]))),
        ("print", text([], format::print)),
        ("println", text([], format::println)),
        ("printf", text([Type::Str], printf)),
        ("html", escaper(escape::html)),
        ("js", escaper(escape::js)),
        ("urlquery", escaper(escape::urlquery)),
    ])
});

/// The function of that name, but for `and` and `or`.
pub(crate) fn find(name: &str) -> Option<&'static Func> {
    ALL.get(name)
}

/// Whether there is a built-in function of that name.
pub(crate) fn is_known(name: &str) -> bool {
    matches!(name, "and" | "or") || ALL.contains_key(name)
}

/// A function that writes text, no more than there is room for.
fn text<const N: usize>(params: [Type; N], write: fn(&mut Out, &[Value])) -> Func {
    Func::scoped(params, Some(Type::Any), move |scope, args| {
        let mut out = Out::new(scope.room());
        write(&mut out, args);
        into_value(scope, out)
    })
}

const TOO_LONG: &str = "the text is longer than there is room for, or nested too deep";

fn into_value(scope: &mut dyn Scope, out: Out) -> Result<Value, CallError> {
    let bytes = out.into_bytes().ok_or(TOO_LONG)?;
    scope.made(bytes.len());
    Ok(Value::Str(Str::from(bytes)))
}

fn printf(out: &mut Out, args: &[Value]) {
    if let Some((Value::Str(format), args)) = args.split_first() {
        format::printf(out, format.as_bytes(), args);
    }
}

/// A function that escapes what `print` makes of its arguments, of which nil reads `<no value>`.
fn escaper(escape: fn(&mut Out, &[u8])) -> Func {
    Func::scoped([], Some(Type::Any), move |scope, args| {
        let shown = |arg: &Value| if matches!(arg, Value::Nil) { "<no value>".into() } else { arg.clone() };
        let args: Vec<Value> = args.iter().map(shown).collect();
        let mut plain = Out::new(scope.room());
        format::print_with(&mut plain, &args, format::write_value);
        let mut out = Out::new(scope.room());
        escape(&mut out, &plain.into_bytes().ok_or(TOO_LONG)?);
        into_value(scope, out)
    })
}

/// `call`: a function that is a value.
fn call(scope: &mut dyn Scope, func: &Value, args: &[Value]) -> Result<Value, CallError> {
    let func = match func {
        Value::Func(func) => func,
        Value::Nil => return Err("call of nil".into()),
        _ => {
            let kind = func.type_of().unwrap_or(Type::Any);
            return Err(CallError(format!("non-function of type {kind}")));
        }
    };
    let (given, wanted) = (args.len(), func.params().len());
    match func.rest() {
        Some(_) if given < wanted => {
            return Err(CallError(format!("wrong number of args: got {given} want at least {wanted}")));
        }
        None if given != wanted => return Err(CallError(format!("wrong number of args: got {given} want {wanted}"))),
        _ => {}
    }
    let wants = |index: usize| func.params().get(index).or(func.rest()).unwrap_or(&Type::Any);
    let fit = |(index, arg): (usize, &Value)| {
        index::fit(arg, wants(index)).map_err(|CallError(message)| CallError(format!("arg {index}: {message}")))
    };
    let args = args.iter().enumerate().map(fit).collect::<Result<Vec<_>, _>>()?;
    func.call(scope, &args)
}
