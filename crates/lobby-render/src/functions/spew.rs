//! Values with their types, as the library spew shows them. Decides where they go: `spew_sdump` and `spew_sprintf` give the text,
//! the other two log it and give nothing. Pointers show the one address that all have here.

use lobby_template::format::{self, Out, quote};
use lobby_template::value::Object;
use lobby_template::{CallError, Str, Type, Value};

use super::Named;
use super::arg::{MAX_DEPTH, bytes, many, type_name, written};

/// Most of a text that is logged.
const MAX_LOGGED: usize = 4096;

/// What `%p` prints.
const ADDRESS: &str = "(0xc000000000)";

type Done = Result<(), CallError>;

pub(super) fn funcs() -> Vec<Named> {
    vec![
        ("spew_sdump", many(&[], Type::Any, |room, args| Ok(dumped(room, args)?.into()))),
        ("spew_sprintf", many(&[Type::Str], Type::Any, |room, args| Ok(printed(room, args)?.into()))),
        ("spew_dump", many(&[], Type::Any, |room, args| Ok(logged(&dumped(room, args)?)))),
        ("spew_printf", many(&[Type::Str], Type::Any, |room, args| Ok(logged(&printed(room, args)?)))),
    ]
}

fn logged(text: &Str) -> Value {
    let text = &text.as_bytes()[..text.len().min(MAX_LOGGED)];
    tracing::info!("a template shows: {}", String::from_utf8_lossy(text));
    "".into()
}

fn dumped(room: usize, args: &[Value]) -> Result<Str, CallError> {
    let all = |out: &mut Out| {
        args.iter().try_for_each(|arg| {
            dump(out, arg, 0)?;
            out.push(b'\n');
            Ok(())
        })
    };
    written(room, all).map(Str::from)
}

fn put(out: &mut Out, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn check(depth: usize) -> Done {
    // Twice: maps that were changed may be deeper than what is made here.
    if depth > MAX_DEPTH as usize * 2 { Err("spew: nested too deep".into()) } else { Ok(()) }
}

/// One item a line, with types and lengths.
fn dump(out: &mut Out, value: &Value, depth: usize) -> Done {
    check(depth)?;
    let name = match value {
        Value::Nil => "interface {}".into(),
        value => type_name(value),
    };
    put(out, &format!("({name})"));
    match value {
        Value::Str(text) if text.is_empty() => put(out, " \"\""),
        Value::Str(text) => put(out, &format!(" (len={}) {}", text.len(), quote(text.as_bytes()))),
        Value::List(list) => {
            let length = list.items.len();
            put(out, &if length > 0 { format!(" (len={length} cap={length}) ") } else { " ".into() });
            block(out, depth, list.items.iter(), |out, item| dump(out, item, depth + 1))?;
        }
        Value::Map(map) => {
            put(out, &if map.is_empty() { " ".into() } else { format!(" (len={}) ", map.len()) });
            block(out, depth, map.entries().iter(), |out, (key, item)| {
                dump(out, &key.to_value(&map.key), depth + 1)?;
                put(out, ": ");
                dump(out, item, depth + 1)
            })?;
        }
        Value::Object(object) => {
            let (open, close) = if name.starts_with('*') { (format!("{ADDRESS}("), ")") } else { (" ".into(), "") };
            put(out, &open);
            match object.text() {
                Some(text) => out.extend_from_slice(text.as_bytes()),
                None => block(out, depth, object.fields().into_iter(), |out, (name, item)| {
                    put(out, &format!("{name}: "));
                    dump(out, &item, depth + 1)
                })?,
            }
            put(out, close);
        }
        Value::Func(_) | Value::Range(_) => put(out, &format!(" {ADDRESS}")),
        plain => {
            put(out, " ");
            format::write_value(out, plain);
        }
    }
    Ok(())
}

fn block<T>(
    out: &mut Out,
    depth: usize,
    items: impl ExactSizeIterator<Item = T>,
    mut write: impl FnMut(&mut Out, T) -> Done,
) -> Done {
    put(out, "{\n");
    let count = items.len();
    for (index, item) in items.enumerate() {
        put(out, &" ".repeat(depth + 1));
        write(out, item)?;
        put(out, if index + 1 < count { ",\n" } else { "\n" });
        if out.is_full() {
            break;
        }
    }
    put(out, &" ".repeat(depth));
    put(out, "}");
    Ok(())
}

/// As `printf`, but for `%v`, which looks behind pointers, and whose form with `#` has the types of all that could be anything.
fn printed(room: usize, args: &[Value]) -> Result<Str, CallError> {
    let form = bytes(args, 0)?;
    let (mut plain, mut shown) = (Vec::new(), args.get(1..).unwrap_or_default().to_vec());
    let (mut rest, mut next) = (form, 0);
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        plain.extend_from_slice(&rest[..at]);
        let end =
            rest[at + 1..].iter().position(|byte| !b"+-# 0123456789.".contains(byte)).map_or(rest.len(), |end| at + 1 + end);
        let flags = &rest[at..end];
        match rest.get(end) {
            // Arguments out of turn: for `printf` alone.
            Some(b'*' | b'[') => {
                (plain, rest) = (form.to_vec(), &[]);
                break;
            }
            Some(b'v') if next < shown.len() => {
                let (sharp, plus) = (flags.contains(&b'#'), flags.contains(&b'+'));
                let text = written(room, |out| inline(out, &shown[next], [sharp, plus, sharp], 0))?;
                shown[next] = Value::Str(text.into());
                plain.extend_from_slice(b"%s");
            }
            _ => plain.extend_from_slice(&rest[at..rest.len().min(end + 1)]),
        }
        next += usize::from(rest.get(end) != Some(&b'%'));
        rest = &rest[rest.len().min(end + 1)..];
    }
    plain.extend_from_slice(rest);
    let text = written(room, |out| {
        format::printf(out, &plain, &shown);
        Ok(())
    })?;
    Ok(text.into())
}

/// In one line; `typed`: what it stands in does not say its type.
fn inline(out: &mut Out, value: &Value, [sharp, plus, typed]: [bool; 3], depth: usize) -> Done {
    check(depth)?;
    match value {
        Value::Nil if sharp => put(out, "(interface {})"),
        value if typed => put(out, &format!("({})", type_name(value))),
        _ => {}
    }
    match value {
        Value::List(list) => {
            let typed = sharp && list.holds_anything();
            between(out, ["[", "]"], list.items.iter(), |out, item| inline(out, item, [sharp, plus, typed], depth + 1))?;
        }
        Value::Map(map) => between(out, ["map[", "]"], map.entries().iter(), |out, (key, item)| {
            format::write_value(out, &key.to_value(&map.key));
            put(out, ":");
            inline(out, item, [sharp, plus, sharp && map.holds_anything()], depth + 1)
        })?,
        Value::Object(object) => {
            let star = if sharp || !object.type_name().starts_with('*') { "" } else { "<*>" };
            put(out, star);
            put(out, if plus && !star.is_empty() { ADDRESS } else { "" });
            fields(out, &**object, [sharp, plus], depth)?;
        }
        plain => format::write_value(out, plain),
    }
    Ok(())
}

fn fields(out: &mut Out, object: &dyn Object, [sharp, plus]: [bool; 2], depth: usize) -> Done {
    if let Some(text) = object.text() {
        out.extend_from_slice(text.as_bytes());
        return Ok(());
    }
    between(out, ["{", "}"], object.fields().into_iter(), |out, (name, item)| {
        put(out, &if sharp || plus { format!("{name}:") } else { String::new() });
        inline(out, &item, [sharp, plus, sharp], depth + 1)
    })
}

fn between<T>(
    out: &mut Out,
    [open, close]: [&str; 2],
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut Out, T) -> Done,
) -> Done {
    put(out, open);
    for (index, item) in items.enumerate() {
        if out.is_full() {
            break;
        }
        put(out, if index > 0 { " " } else { "" });
        write(out, item)?;
    }
    put(out, close);
    Ok(())
}
